//! The index's room: one bucket more or a few fewer before an insert, and an overflow bucket in store if one is needed.

use super::locked::Locked;
use crate::hash::KeyHash;
use crate::index::bucket::Bucket;
use crate::item::view::View;
use crate::slab::page::CLASS_OVERFLOW;
use crate::tick::Tick;

/// Buckets that are merged before an insert, where items are few beside them: what is stored is larger than it was, and wants
/// the index's pages. With one of them an index of small items was still there when large ones had filled the cache once.
const MERGES_PER_INSERT: usize = 4;

impl Locked<'_> {
    /// Before an insert under `hash`: one bucket more or a few fewer, and an overflow bucket in store if its chain is full.
    ///
    /// Where buckets are many beside the items, as in small caches of large items, nearly no chain ever is, and a page of
    /// overflow buckets in each shard would stand empty. Returns the chain's first bucket.
    #[inline(always)]
    pub(super) fn provision(&mut self, hash: KeyHash, now: Tick) -> Bucket {
        let (arena, geometry) = (&self.region.arena, &self.region.geometry);
        let is_settled = self.inserted_bytes <= self.epoch.due
            && !self.index.wants_growth()
            && !self.index.wants_shrink(geometry)
            && !self.has_idle_overflow();
        if is_settled {
            let primary = self.index.primary(arena, geometry, hash);
            if self.slab.overflow_free() > 0 || !self.index.is_full(arena, geometry, primary) {
                return primary;
            }
        }
        self.provide(hash, now)
    }

    #[inline(never)]
    fn provide(&mut self, hash: KeyHash, now: Tick) -> Bucket {
        let region = self.region;
        self.roll_epoch();
        if self.index.wants_growth() {
            self.grow_index(now);
        } else if self.index.wants_shrink(&region.geometry) {
            self.tidy(now, MERGES_PER_INSERT);
        }
        let primary = self.index.primary(&region.arena, &region.geometry, hash);
        if self.index.is_full(&region.arena, &region.geometry, primary) {
            self.store_overflow(1, now);
        } else if self.has_idle_overflow() {
            self.slab.drop_overflow_page(region);
        }
        // Making room empties buckets, and leaves them where they are.
        primary
    }

    /// Whether a page of overflow buckets stands empty, and will.
    #[inline(always)]
    fn has_idle_overflow(&self) -> bool {
        self.slab.has_idle_overflow_page(self.region) && self.index.is_sparse()
    }

    fn grow_index(&mut self, now: Tick) {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        let Some(needs_page) = self.index.growth_needs_page(geometry) else {
            return;
        };
        let page = if needs_page {
            if region.pool.count() == 0 {
                self.release_any(now);
            }
            match self.slab.take_index_page(region) {
                Some(page_no) => Some(page_no),
                None => return,
            }
        } else {
            None
        };
        // Last, because making room may have emptied overflow pages.
        let spares = self.index.split_spares(arena, geometry);
        if !self.store_overflow(spares, now) {
            if let Some(page_no) = page {
                region.pool.push(region.pages(), page_no);
            }
            return;
        }
        let state = &mut **self;
        let slab = std::cell::RefCell::new(&mut state.slab);
        state.index.split(
            arena,
            geometry,
            page,
            |chunk| View::known(region, chunk).hash(),
            || slab.borrow_mut().take_overflow(region),
            |bucket| slab.borrow_mut().give_overflow(region, bucket),
        );
    }

    pub(super) fn shrink_index(&mut self, now: Tick) {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        let spares = self.index.merge_spares(arena, geometry);
        if !self.store_overflow(spares, now) {
            return;
        }
        let state = &mut **self;
        let slab = std::cell::RefCell::new(&mut state.slab);
        let page = state.index.merge(
            arena,
            geometry,
            || slab.borrow_mut().take_overflow(region),
            |bucket| slab.borrow_mut().give_overflow(region, bucket),
        );
        if let Some(page_no) = page {
            region.pool.push(region.pages(), page_no);
        }
    }

    /// Makes sure of `count` free overflow buckets.
    fn store_overflow(&mut self, count: usize, now: Tick) -> bool {
        let region = self.region;
        while self.slab.overflow_free() < count {
            let page_no = match region.pool.pop(region.pages()) {
                Some(page_no) => page_no,
                None => {
                    if !self.release_any(now) {
                        return false;
                    }
                    match region.pool.pop(region.pages()) {
                        Some(page_no) => page_no,
                        None => return false,
                    }
                }
            };
            self.slab.adopt(region, CLASS_OVERFLOW, page_no);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Cache, Lookup, Options, Plan};

    const NOW: Tick = Tick::from_secs(1);

    fn open() -> Cache {
        let options = Options {
            budget_bytes: 8 << 20,
            ..Options::default()
        };
        Cache::open(Plan::new(&options).unwrap()).unwrap()
    }

    /// Keys of shard 0 whose bucket has `bits` for its low `mask`.
    fn keys(cache: &Cache, mask: u32, bits: u32) -> impl Iterator<Item = [u8; 8]> {
        (0u64..).map(u64::to_le_bytes).filter(move |bytes| {
            let hash = cache.key(bytes).unwrap().hash();
            hash.shard_no() == 0 && hash.bucket_bits() & mask == bits
        })
    }

    fn put(cache: &Cache, bytes: &[u8; 8]) {
        let key = cache.key(bytes).unwrap();
        cache
            .put(key, b"value", Attributes::default(), NOW)
            .unwrap();
    }

    fn is_there(cache: &Cache, bytes: &[u8; 8]) -> bool {
        let found = cache.get(cache.key(bytes).unwrap(), NOW, &mut [0; 5]);
        found != Lookup::Miss
    }

    /// Two chains of every length around the limits become one, with exactly as many overflow buckets in store as
    /// were asked for.
    #[test]
    fn a_merge_asks_for_as_many_buckets_as_it_needs() {
        for (lower, upper) in [
            (12, 12),
            (11, 12),
            (12, 1),
            (1, 12),
            (12, 11),
            (23, 12),
            (12, 23),
            (24, 24),
        ] {
            let cache = open();
            let region = cache.region();
            let first = cache.shard_of(0).lock(region).index.buckets() as u32;
            // The first bucket that is added and the one that it is split from, and others to make the index grow so far.
            let mask = first.next_power_of_two() - 1;
            let split = first & (mask >> 1);
            let mut kept: Vec<_> = keys(&cache, mask, split).take(lower).collect();
            kept.extend(keys(&cache, mask, first).take(upper));
            let others: Vec<_> = keys(&cache, 7, 5)
                .take(10 * first as usize + 10 - kept.len())
                .collect();
            kept.iter()
                .chain(&others)
                .for_each(|bytes| put(&cache, bytes));
            assert!(cache.shard_of(0).lock(region).index.buckets() as u32 > first);
            for bytes in &others {
                assert!(cache.delete(cache.key(bytes).unwrap(), NOW));
            }
            let mut state = cache.shard_of(0).lock(region);
            while state.index.buckets() as u32 > first {
                let spares = state.index.merge_spares(&region.arena, &region.geometry);
                let mut taken = Vec::new();
                while state.slab.overflow_free() > spares {
                    taken.push(state.slab.take_overflow(region).unwrap());
                }
                state.shrink_index(NOW);
                for bucket in taken {
                    state.slab.give_overflow(region, bucket);
                }
            }
            drop(state);
            assert!(kept.iter().all(|bytes| is_there(&cache, bytes)));
            cache.audit().unwrap();
        }
    }

    /// A page of overflow buckets comes with the first full chain, and goes when hardly any is.
    #[test]
    fn overflow_buckets_have_a_page_while_they_are_needed() {
        let cache = open();
        let region = cache.region();
        let pages = || cache.shard_of(0).lock(region).slab.overflow_pages();
        let all: Vec<_> = keys(&cache, 0, 0).take(100).collect();
        all.iter().for_each(|bytes| put(&cache, bytes));
        assert_eq!(pages(), 0, "two items a bucket");
        let chain: Vec<_> = keys(&cache, 63, 9).take(40).collect();
        chain.iter().for_each(|bytes| put(&cache, bytes));
        assert_eq!(pages(), 1);
        cache.audit().unwrap();
        for bytes in &chain {
            assert!(is_there(&cache, bytes) && cache.delete(cache.key(bytes).unwrap(), NOW));
        }
        put(&cache, &all[0]);
        cache.delete(cache.key(&all[1]).unwrap(), NOW);
        put(&cache, &all[1]);
        assert_eq!(pages(), 0, "and none is full any more");
        cache.audit().unwrap();
    }

    /// More than a reader without the lock follows.
    #[test]
    fn a_very_long_chain_has_no_false_misses() {
        let cache = open();
        let all: Vec<_> = keys(&cache, (1 << 12) - 1, 5).take(900).collect();
        for bytes in &all {
            put(&cache, bytes);
        }
        let misses = all.iter().filter(|bytes| !is_there(&cache, bytes)).count();
        assert_eq!(misses, 0);
        for bytes in &all {
            let key = cache.key(bytes).unwrap();
            assert!(cache.meta(key, NOW).is_some());
            let spot = cache.prefetch(key);
            let found = cache.get_at(key, &spot, NOW, &mut [0; 5], |_, _| Some(0));
            assert_eq!(found, crate::Copied::Bytes(5));
        }
        cache.audit().unwrap();
    }
}
