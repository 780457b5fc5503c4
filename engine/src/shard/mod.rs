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
//! Readers take no lock (`read`). Everything else here is a method of the locked shard (`locked`):
//!
//! | files                      | what                                                       |
//! |----------------------------|------------------------------------------------------------|
//! | `store`, `insert`          | a value that is at hand; the short way of a new one         |
//! | `reserve`, `fill`          | chunks for one that arrives, or of several pieces; bytes     |
//! | `edit`, `join`, `extend`   | a caller's edit; a longer value, and a long one's ends       |
//! | `visit`, `fields`          | reads with consequences; an item gets fields                 |
//! | `link`, `lists`            | making items reachable and unreachable; which list they are on |
//! | `evict`, `runs`, `ages`    | making room, also for ends; whose turn it is                 |
//! | `evacuate`, `provision`    | emptying a page; the index's pages and buckets               |
//! | `sweep`, `clean`           | what has expired; what was flushed with its database         |
//! | `maintain`                 | what is done now and then                                    |
//! | `export`                   | items on their way into a file, and back                     |
//! | `storage`, `pins`          | pages and chunks; what must not be freed yet                 |
//! | `restore`                  | a shard that another process left                            |
//! | `audit`                    | whether all of it holds together                             |

mod ages;
pub(crate) mod audit;
pub(crate) mod clean;
pub(crate) mod edit;
mod evacuate;
mod evict;
pub(crate) mod export;
mod extend;
mod fields;
pub(crate) mod fill;
mod insert;
pub(crate) mod join;
mod link;
mod lists;
pub(crate) mod locked;
mod maintain;
pub(crate) mod pins;
mod provision;
pub(crate) mod read;
pub(crate) mod reserve;
pub(crate) mod restore;
mod runs;
mod storage;
mod store;
pub(crate) mod sweep;
pub(crate) mod visit;

use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, SHARD_COUNT};
use crate::hash::KeyHash;
use crate::index::Index;
use crate::lru::list::List;
use crate::lru::segments::{Held, Segment};
use crate::rebalance::Ages;
use crate::region::Region;
use crate::space::Counts;
use crate::stats::Counters;
use pins::{Guards, Pins};
pub(crate) use storage::PageBag;
use storage::Slab;

/// Higher CAS numbers than this are nobody's: there is room above them.
pub(crate) const CAS_MAX: u64 = 1 << 62;

/// Guarded by the shard's lock, all of it.
pub(crate) struct ShardState {
    pub shard_no: usize,
    pub index: Index,
    pub slab: Slab,
    classes: Box<[Class]>,
    pub pins: Pins,
    pub guards: Guards,
    /// An item that an operation under way still needs: it is not evicted meanwhile.
    protected: ChunkRef,
    /// A long item that is copied under the lock though it is being read: it was tried often enough without.
    pub copied_here: ChunkRef,
    last_tail: LastTail,
    /// No page of this shard is to be swept before this second.
    deadline_min: u32,
    /// The earliest that was stored since the sweep's round began.
    deadline_noted: u32,
    /// Where a store that finds no room goes on to sweep, and the second in which it found nothing.
    sweep_at: usize,
    sweep_rests_in: u32,
    /// The last CAS number given out.
    cas_last: u64,
    /// Items and bytes on the lists of all classes together, by segment.
    held: [Held; 2],
    /// Bytes inserted: the clock of `rebalance`.
    inserted_bytes: u64,
    epoch: Epoch,
    /// Bytes of ghosts in this epoch of theirs.
    ghost_bytes: u64,
    /// Nothing had to leave yet.
    is_filling: bool,
    /// Evictions since another shard's age was looked at.
    evicted_lately: u32,
    /// The class with the oldest tail of each segment, as of not many evictions ago.
    oldest: [Oldest; 2],
    pub counters: Counters,
    /// Items of each database.
    pub counts: Counts,
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

/// The last piece of the value that was lengthened last: to walk there from the first one takes as long as the
/// chain is. Forgotten as soon as either end is another (`extend`).
#[derive(Clone, Copy, Default)]
struct LastTail {
    head: ChunkRef,
    tail: ChunkRef,
}

/// A stretch of the shard's clock, for comparing it with the clock of all shards.
#[derive(Clone, Copy, Default)]
struct Epoch {
    /// Both clocks when it began.
    begun: u64,
    begun_all: u64,
    /// Bytes inserted that end it, about: pages come and go.
    due: u64,
    /// How long the last ones took on either, the latest counting most.
    span: u64,
    span_all: u64,
}

/// A size class's items, by segment.
#[derive(Clone, Copy, Default)]
struct Class {
    queues: [Queue; 2],
    /// Which class gives way when this one needs a chunk, by segment.
    giving: [Giving; 2],
    evictions: u64,
}

/// The class that was chosen to give way, not many evictions ago.
#[derive(Clone, Copy, Default)]
struct Giving {
    /// The low half of the shard's clock.
    chosen_at: u16,
    class: u8,
    /// So often it is still good.
    uses_left: u8,
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

impl ShardState {
    /// A shard with one page of index. The pool of a planned arena has more than that.
    pub(crate) fn new(region: &Region, shard_no: usize, cas_first: u64) -> Self {
        let mut state = ShardState::blank(region, shard_no, cas_first);
        let page_no = state
            .slab
            .take_index_page(region)
            .expect("a plan has a page for each shard's index");
        state.index.open(&region.arena, &region.geometry, page_no);
        state
    }

    /// A shard without any page.
    fn blank(region: &Region, shard_no: usize, cas_first: u64) -> Self {
        let geometry = &region.geometry;
        ShardState {
            shard_no,
            index: Index::new(geometry, shard_no),
            slab: Slab::new(geometry, shard_no),
            classes: vec![Class::default(); geometry.classes.count()].into(),
            pins: Pins::default(),
            guards: Guards::default(),
            protected: ChunkRef::NONE,
            copied_here: ChunkRef::NONE,
            last_tail: LastTail::default(),
            deadline_min: u32::MAX,
            deadline_noted: u32::MAX,
            sweep_at: 0,
            sweep_rests_in: u32::MAX,
            cas_last: (cas_first & !(SHARD_COUNT as u64 - 1)) | shard_no as u64,
            held: Default::default(),
            inserted_bytes: 0,
            epoch: Epoch::default(),
            ghost_bytes: 0,
            is_filling: true,
            evicted_lately: 0,
            oldest: Default::default(),
            counters: Counters::default(),
            counts: Counts::default(),
        }
    }

    /// Chunk bytes that were ever inserted.
    pub fn inserted_bytes(&self) -> u64 {
        self.inserted_bytes
    }

    /// Index pages and overflow pages beside those of the classes.
    pub fn index_pages(&self, geometry: &Geometry) -> usize {
        self.index.pages(geometry) + self.slab.overflow_pages()
    }
}
