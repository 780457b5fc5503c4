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
//! Readers take no lock (`read`); everything else here runs under the shard's:
//!
//! | files                      | what                                                       |
//! |----------------------------|------------------------------------------------------------|
//! | `store`, `reserve`, `fill` | a value that is at hand; chunks for one that arrives; bytes |
//! | `edit`, `join`, `extend`   | a caller's edit; a longer value, and a long one's ends       |
//! | `visit`, `fields`          | reads with consequences; an item gets fields                 |
//! | `link`, `lists`            | making items reachable and unreachable; which list they are on |
//! | `evict`, `ages`            | making room; whose turn it is                                |
//! | `evacuate`, `provision`    | emptying a page; the index's pages and buckets               |
//! | `sweep`, `maintain`        | what has expired; what is done now and then                  |
//! | `storage`, `pins`          | pages and chunks; what must not be freed yet                 |
//! | `audit`                    | whether all of it holds together                             |

mod ages;
pub(crate) mod audit;
pub(crate) mod edit;
mod evacuate;
mod evict;
mod extend;
mod fields;
pub(crate) mod fill;
pub(crate) mod join;
mod link;
mod lists;
mod maintain;
pub(crate) mod pins;
mod provision;
pub(crate) mod read;
pub(crate) mod reserve;
mod storage;
mod store;
pub(crate) mod sweep;
pub(crate) mod visit;

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, SHARD_COUNT};
use crate::hash::KeyHash;
use crate::index::Index;
use crate::lru::list::List;
use crate::lru::segments::Segment;
use crate::rebalance::Ages;
use crate::region::Region;
use crate::stats::{ClassStats, Counters};
use pins::{Guards, Pins};
pub(crate) use storage::PageBag;
use storage::Slab;

/// A shard's lock, on lines of its own.
#[repr(align(128))]
pub(crate) struct Shard {
    state: Mutex<ShardState>,
}

/// The shard, locked, and the region that it lies in: nearly all that is done here needs both.
///
/// A panic under the lock, which is a bug, may leave anything half done: a stamp odd, an item on no list. Then the
/// shard is emptied before the lock is given back, and is whole: a cache may forget, and must not lie. A panic in a
/// closure of the caller's is told apart: it is only called when nothing is half done ([`Locked::call`]).
pub(crate) struct Locked<'s> {
    state: MutexGuard<'s, ShardState>,
    region: &'s Region,
    /// The thread panicked before it came here, or in the caller's code.
    excused: bool,
}

impl Locked<'_> {
    /// Runs the caller's code.
    #[inline(always)]
    pub fn call<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.excused, true);
        let result = work(self);
        self.excused = before;
        result
    }
}

impl Deref for Locked<'_> {
    type Target = ShardState;

    #[inline(always)]
    fn deref(&self) -> &ShardState {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut ShardState {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if std::thread::panicking() && !self.excused {
            self.heal();
        }
    }
}

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

/// The last piece of the value that was lengthened last: to walk there from the first one takes as long as the
/// chain is. Forgotten as soon as either end is another (`extend`).
#[derive(Clone, Copy, Default)]
struct LastTail {
    head: ChunkRef,
    tail: ChunkRef,
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
    #[inline(always)]
    pub fn lock<'s>(&'s self, region: &'s Region) -> Locked<'s> {
        Locked {
            state: self.state.lock(),
            region,
            excused: std::thread::panicking(),
        }
    }

    #[inline(always)]
    pub fn try_lock<'s>(&'s self, region: &'s Region) -> Option<Locked<'s>> {
        Some(Locked {
            state: self.state.try_lock()?,
            region,
            excused: std::thread::panicking(),
        })
    }

    /// A shard with one page of index. The pool of a planned arena has more than that.
    pub fn new(region: &Region, shard_no: usize, cas_first: u64) -> Self {
        let geometry = &region.geometry;
        let mut state = ShardState {
            shard_no,
            index: Index::new(geometry, shard_no),
            slab: Slab::new(geometry, shard_no),
            classes: vec![Class::default(); geometry.classes.count()].into(),
            pins: Pins::default(),
            guards: Guards::default(),
            protected: ChunkRef::NONE,
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

impl Locked<'_> {
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::item::view::View;
    use crate::{Attributes, Cache, Lookup, Options, Plan, Tick, Visit};

    const NOW: Tick = Tick::from_secs(1);

    fn filled(count: u64) -> Cache {
        let options = Options {
            budget_bytes: 8 << 20,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        fill(&cache, count);
        cache
    }

    fn fill(cache: &Cache, count: u64) {
        for number in 0..count {
            let bytes = number.to_le_bytes();
            let key = cache.key(&bytes).unwrap();
            cache
                .put(key, &[number as u8; 50], Attributes::default(), NOW)
                .unwrap();
        }
    }

    /// Items that are there, all whole, by shard.
    fn found(cache: &Cache, count: u64) -> [u64; SHARD_COUNT] {
        let mut found = [0; SHARD_COUNT];
        for number in 0..count {
            let bytes = number.to_le_bytes();
            let key = cache.key(&bytes).unwrap();
            let mut out = [0; 50];
            if matches!(cache.get(key, NOW, &mut out), Lookup::Hit(_)) {
                assert_eq!(out, [number as u8; 50]);
                found[key.hash().shard_no()] += 1;
            }
        }
        found
    }

    /// What a bug could leave half done when it panics: each costs the shard its items, and nothing else.
    #[test]
    fn a_panic_under_the_lock_leaves_the_shard_whole_and_empty() {
        type Harm = fn(&mut Locked<'_>, &Region, ChunkRef);
        let harms: [Harm; 5] = [
            |_, _, _| {},
            // In the middle of a change of its bucket, in the first page of the index and beyond.
            |state, region, chunk| {
                let place = state.place_of(chunk);
                std::mem::forget(place.primary.begin_writing(&region.arena));
                place.bucket.clear_slot(&region.arena, place.slot);
            },
            // Off the lists, but in the index.
            |state, region, chunk| {
                let class = storage::class_of(region, chunk);
                state.take_off(chunk, class, Segment::Probation, 1);
            },
            // Taken, and nowhere yet.
            |state, region, _| {
                state.slab.take(region, 3);
            },
            |state, region, chunk| {
                let page_no = region.geometry.page_of(chunk);
                state.slab.begin_evacuation(region, page_no);
            },
        ];
        for (at, harm) in harms.into_iter().enumerate() {
            // Enough for several pages of index.
            let count = 20_000;
            let cache = filled(count);
            let before = found(&cache, count);
            for round in 0..20 {
                let victim = cache.key(&u64::to_le_bytes(round)).unwrap().hash();
                let shard_no = victim.shard_no();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let region = cache.region();
                    let mut state = cache.shard_of(shard_no).lock(region);
                    let tail = (0..state.classes.len())
                        .find_map(|class| state.queue(class, Segment::Probation).list.tail());
                    if let Some(chunk) = tail {
                        assert_eq!(View::known(region, chunk).hash().shard_no(), shard_no);
                        harm(&mut state, region, chunk);
                    }
                    panic!("on purpose");
                }));
                assert!(caught.is_err());
                let mut after = found(&cache, count);
                assert_eq!(after[shard_no], 0, "harm {at}");
                after[shard_no] = before[shard_no];
                assert_eq!(after, before, "harm {at}");
                cache
                    .audit()
                    .unwrap_or_else(|wrong| panic!("harm {at}: {wrong}"));
                fill(&cache, count);
                assert_eq!(found(&cache, count), before, "harm {at}");
                while cache.maintain(NOW, 1000).more {}
            }
            cache
                .audit()
                .unwrap_or_else(|wrong| panic!("harm {at}: {wrong}"));
        }
    }

    #[test]
    fn a_panic_of_the_callers_code_costs_nothing() {
        let cache = filled(1000);
        let before = found(&cache, 1000);
        let bytes = 7u64.to_le_bytes();
        let key = cache.key(&bytes).unwrap();
        let visit = Visit::default();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _ = cache.visit(key, &visit, NOW, &mut [0; 99], 9, |_, _| {
                panic!("on purpose")
            });
        }));
        assert!(caught.is_err());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            cache.walk(&mut crate::Walk::default(), 99, NOW, |_, _| {
                panic!("on purpose")
            });
        }));
        assert!(caught.is_err());
        assert_eq!(found(&cache, 1000), before);
        cache.audit().unwrap();
    }

    /// Whatever takes the lock while its thread unwinds for another reason is no bug in here.
    #[test]
    fn a_reservation_that_a_panic_drops_costs_nothing() {
        let cache = filled(1000);
        let before = found(&cache, 1000);
        let key = cache.key(b"unfinished").unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _reservation = cache.reserve(key, 20_000, Attributes::default(), NOW);
            let _growing = cache.reserve_growing(key, Attributes::default(), NOW);
            panic!("on purpose");
        }));
        assert!(caught.is_err());
        assert_eq!(found(&cache, 1000), before);
        assert_eq!(cache.audit().unwrap().reserved_chunks, 0);
    }
}
