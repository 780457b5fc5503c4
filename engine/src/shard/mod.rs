//! One sixteenth of the cache: the one place where storage, index and lists meet.
//!
//! ```text
//! ShardState ── Slab      chunks and pages of this shard        (storage)
//!            ├─ Index     hash → chunk, read by anyone          (../index)
//!            ├─ Class[]   two LRU lists a size class            (evict)
//!            └─ Pins      items that must not be freed yet      (pins)
//! ```
//!
//! **Lock order.** A shard's lock, then the pool's. Never two shards' locks: whoever
//! needs a page of another shard gives its own lock back first.
//!
//! Readers take no lock (`read`); everything else here runs under the shard's.

pub(crate) mod arith;
pub(crate) mod audit;
mod evacuate;
mod evict;
pub(crate) mod join;
mod maintain;
pub(crate) mod pins;
mod provision;
pub(crate) mod read;
mod storage;
pub(crate) mod visit;
pub(crate) mod write;

use parking_lot::Mutex;

use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, SHARD_COUNT};
use crate::hash::KeyHash;
use crate::index::Index;
use crate::lru::list::List;
use crate::lru::segments::Segment;
use crate::rebalance::Ages;
use crate::region::Region;
use crate::stats::{ClassStats, Counters};
use pins::Pins;
pub(crate) use storage::PageBag;
use storage::Slab;

/// A shard's lock, on lines of its own.
#[repr(align(128))]
pub(crate) struct Shard {
    pub state: Mutex<ShardState>,
}

/// Guarded by the shard's lock, all of it.
pub(crate) struct ShardState {
    pub shard_no: usize,
    pub index: Index,
    pub slab: Slab,
    classes: Box<[Class]>,
    pub pins: Pins,
    /// An item that an operation under way still needs: it is not evicted meanwhile.
    protected: ChunkRef,
    /// No item of this shard expires before this second.
    deadline_min: u32,
    /// The last CAS number given out.
    cas_last: u64,
    /// Items and bytes on the lists of all classes together, by segment.
    held: [Held; 2],
    /// Bytes inserted: the clock of `rebalance`.
    inserted_bytes: u64,
    epoch: Epoch,
    /// Bytes of ghosts in this epoch of theirs.
    ghost_bytes: u64,
    /// Evictions since another shard's age was looked at.
    evicted_lately: u32,
    /// The class with the oldest tail of each segment, as of not many evictions ago.
    oldest: [Oldest; 2],
    pub counters: Counters,
}

/// The class with the oldest tail: looking at every class for each eviction would cost more
/// than the eviction.
#[derive(Clone, Copy, Default)]
struct Oldest {
    class: usize,
    /// The age of the next oldest class then, and when that was.
    next_age: u64,
    noted_at: u32,
    /// So often it is still good.
    uses_left: u32,
}

/// What the lists of one segment hold.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    items: usize,
    bytes: u64,
}

/// A stretch of the shard's clock, for comparing it with the clock of all shards.
#[derive(Clone, Copy, Default)]
struct Epoch {
    /// Both clocks when it began.
    begun: u64,
    begun_all: u64,
    /// How long the last ones took on either, the latest counting most.
    span: u64,
    span_all: u64,
}

/// A size class's items, by segment.
#[derive(Clone, Copy, Default)]
struct Class {
    queues: [Queue; 2],
    evictions: u64,
}

/// A list and when its items entered it.
#[derive(Clone, Copy, Default)]
struct Queue {
    list: List,
    ages: Ages,
    /// What is likely to be its tail next, and its key's hash: computed to prefetch the bucket.
    next: ChunkRef,
    next_hash: KeyHash,
}

impl Class {
    fn list(&mut self, segment: Segment) -> &mut List {
        &mut self.queues[segment as usize].list
    }
}

impl Shard {
    /// A shard with one page of index. The pool of a planned arena has more than that.
    pub fn new(region: &Region, shard_no: usize, cas_first: u64) -> Self {
        let geometry = &region.geometry;
        let mut state = ShardState {
            shard_no,
            index: Index::new(geometry, shard_no),
            slab: Slab::new(geometry, shard_no),
            classes: vec![Class::default(); geometry.classes.count()].into(),
            pins: Pins::default(),
            protected: ChunkRef::NONE,
            deadline_min: u32::MAX,
            cas_last: (cas_first & !(SHARD_COUNT as u64 - 1)) | shard_no as u64,
            held: Default::default(),
            inserted_bytes: 0,
            epoch: Epoch::default(),
            ghost_bytes: 0,
            evicted_lately: 0,
            oldest: Default::default(),
            counters: Counters::default(),
        };
        let page_no = state
            .slab
            .take_index_page(region)
            .expect("a plan has a page for each shard's index");
        state.index.open(&region.arena, geometry, page_no);
        Shard {
            state: Mutex::new(state),
        }
    }

    /// Heap bytes of one shard, its place in the box of shards included.
    pub const fn heap_bytes(class_count: usize) -> usize {
        size_of::<Shard>() + class_count * (size_of::<Class>() + Slab::HEAP_BYTES_PER_CLASS)
    }
}

impl ShardState {
    /// The next CAS number: rising within the shard, and so for every key, and never one that
    /// another shard gives out.
    pub fn next_cas(&mut self) -> u64 {
        self.cas_last += SHARD_COUNT as u64;
        self.cas_last
    }

    /// Chunk bytes that were ever inserted.
    pub fn inserted_bytes(&self) -> u64 {
        self.inserted_bytes
    }

    /// Adds what this shard has of `class`, except for the chunks in use: only their pages
    /// know how many.
    pub fn add_class_stats(&self, class: usize, stats: &mut ClassStats) {
        let state = &self.classes[class];
        stats.pages += self.slab.page_count(class) as u64;
        stats.items_probation += state.queues[Segment::Probation as usize].list.len() as u64;
        stats.items_main += state.queues[Segment::Main as usize].list.len() as u64;
        stats.evictions += state.evictions;
        stats.tail_age_bytes = stats.tail_age_bytes.max(self.tail_age_bytes(class));
    }

    /// Index pages and overflow pages beside those of the classes.
    pub fn index_pages(&self, geometry: &Geometry) -> usize {
        let shift = geometry.buckets_per_page_shift();
        self.index.buckets().div_ceil(1 << shift) + self.slab.overflow_pages()
    }
}
