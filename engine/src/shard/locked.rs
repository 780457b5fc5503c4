//! The shard's lock, and what holding it gives: the state, and the region that it lies in.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use super::storage::Slab;
use super::{Class, ShardState};
use crate::geometry::SHARD_COUNT;
use crate::region::Region;

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
    pub(super) region: &'s Region,
    /// The thread panicked before it came here, or in the caller's code.
    excused: bool,
}

impl Locked<'_> {
    /// The next CAS number: rising within the shard, and so for every key, and never one that
    /// another shard gives out. The arena remembers it, so that whoever opens it again goes on above.
    pub fn next_cas(&mut self) -> u64 {
        self.cas_last += SHARD_COUNT as u64;
        self.keep_cas();
        self.cas_last
    }

    /// Has the arena remember the last CAS number.
    #[inline(always)]
    pub fn keep_cas(&self) {
        let region = self.region;
        let at = region.geometry.cas_word(self.shard_no);
        region.arena.store(at, self.cas_last);
    }

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

    /// With this state.
    pub fn new(state: ShardState) -> Self {
        Shard {
            state: Mutex::new(state),
        }
    }

    /// Heap bytes of one shard, its place in the box of shards included.
    pub const fn heap_bytes(class_count: usize) -> usize {
        size_of::<Shard>() + class_count * (size_of::<Class>() + Slab::HEAP_BYTES_PER_CLASS)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::chunk_ref::ChunkRef;
    use crate::item::view::View;
    use crate::lru::segments::Segment;
    use crate::shard::storage;
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
