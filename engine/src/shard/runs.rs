//! Room for the ends of items: runs of any length, from wherever this shard can get them.

use std::sync::atomic::Ordering;

use super::evict::{EXAMINED_MAX, STALE_LOOKS, SWEEP_ON_REQUEST};
use super::locked::Locked;
use super::reserve::Shortage;
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::item::view::View;
use crate::tick::Tick;

/// Most runs that an end is cut into.
const PARTS_MAX: usize = 3;
/// A run that is too short for the whole end is used if it holds this part of it: the others are to suffice for the rest.
const PART_SHARE: usize = 2;

impl<'s> Locked<'s> {
    /// Puts held runs for `left` bytes of a body behind the piece `before`, and tells `each`. If there is no room for all, those
    /// that there was room for are there.
    pub(super) fn chain_runs(
        &mut self,
        mut before: View<'s>,
        mut left: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
        mut each: impl FnMut(View<'s>),
    ) -> Result<(), Shortage> {
        let region = self.region;
        let mut parts_left = PARTS_MAX;
        while left > 0 {
            parts_left -= 1;
            let chunk = self.obtain_run(left, parts_left > 0, bag, now)?;
            self.slab.hold(region, chunk);
            let view = View::known(region, chunk);
            view.set_prev_piece(region.geometry.chunk_at(before.word));
            before.set_next_piece(chunk);
            left -= usize::from(view.header.value_len);
            each(view);
            before = view;
        }
        Ok(())
    }

    /// A run for `len` bytes of a body. It may be for fewer, if it `may_be_part`: rather than to evict, what is free is used
    /// up. The order is that of [`Locked::obtain`].
    fn obtain_run(
        &mut self,
        len: usize,
        may_be_part: bool,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        let region = self.region;
        let mut patience = EXAMINED_MAX;
        loop {
            if let Some(chunk) = self.slab.take_run(region, len) {
                return Ok(chunk);
            }
            if let Some(page_no) = bag.pop().or_else(|| region.pool.pop(region.pages())) {
                self.slab.adopt_runs(region, page_no);
                continue;
            }
            if self.slab.stale() > 0 {
                self.slab.reclaim_stale(region, STALE_LOOKS, 1);
                continue;
            }
            if region.stale.load(Ordering::Relaxed) > 0 {
                return Err(Shortage::Pages(1));
            }
            if may_be_part {
                let part = self.slab.longest_part(region);
                if part * PART_SHARE >= len {
                    let chunk = self.slab.take_run(region, part);
                    return Ok(chunk.expect("there is a run of that length"));
                }
            }
            if self.sweep_for_room(region, now, SWEEP_ON_REQUEST) > 0 {
                continue;
            }
            if self.compact() {
                continue;
            }
            if self.another_shard_is_older() {
                return Err(Shortage::Pages(1));
            }
            if self.make_room(None, &mut patience, now).is_none() {
                return Err(Shortage::Pages(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::item::view::View;
    use crate::lru::choice::Choice;
    use crate::slab::page::CLASS_RUNS;
    use crate::{Attributes, Cache, Condition, Lookup, Options, Plan, Tick};

    const NOW: Tick = Tick::from_secs(1);

    fn open(budget_bytes: usize) -> Cache {
        let options = Options {
            budget_bytes: budget_bytes + Choice::HEAP_BYTES,
            hash_seed: 0,
            ..Options::default()
        };
        Cache::open(Plan::new(&options).unwrap()).unwrap()
    }

    /// Keys of shard 0.
    fn keys(cache: &Cache, count: usize) -> Vec<[u8; 8]> {
        (0u64..)
            .map(u64::to_le_bytes)
            .filter(|bytes| cache.key(bytes).unwrap().hash().shard_no() == 0)
            .take(count)
            .collect()
    }

    /// Of all lengths that are cut.
    fn value(at: usize) -> Vec<u8> {
        let len = 1400 + at * 37 % 1200;
        (0..len).map(|byte| (byte * 7 + at * 31) as u8).collect()
    }

    fn put(cache: &Cache, bytes: &[u8], value: &[u8]) {
        let key = cache.key(bytes).unwrap();
        cache.put(key, value, Attributes::default(), NOW).unwrap();
    }

    fn get(cache: &Cache, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 64 << 10];
        match cache.get(cache.key(bytes).unwrap(), NOW, &mut out) {
            Lookup::Hit(meta) => Some(out[..meta.value_len].to_vec()),
            _ => None,
        }
    }

    /// Pieces of an item, and how many of them are runs.
    fn pieces(cache: &Cache, bytes: &[u8]) -> (usize, usize) {
        let region = cache.region();
        let state = cache.shard_of(0).lock(region);
        let mut piece = state.find(cache.key(bytes).unwrap()).unwrap().chunk;
        let (mut all, mut runs) = (0, 0);
        while piece.is_some() {
            let (class, _) = region.pages().owner(region.geometry.page_of(piece));
            all += 1;
            runs += usize::from(class == CLASS_RUNS);
            piece = View::known(region, piece).next_piece();
        }
        (all, runs)
    }

    fn run_pages(cache: &Cache) -> usize {
        cache.shard_of(0).lock(cache.region()).slab.run_pages()
    }

    #[test]
    fn ends_of_all_lengths_share_pages() {
        let cache = open(64 << 20);
        let keys = keys(&cache, 400);
        for (at, bytes) in keys.iter().enumerate() {
            put(&cache, bytes, &value(at));
        }
        let bytes_of_runs: usize = keys
            .iter()
            .enumerate()
            .filter(|(_, bytes)| pieces(&cache, *bytes) == (2, 1))
            .map(|(at, _)| value(at).len() - 1200)
            .sum();
        let pages = run_pages(&cache);
        assert!(pages > 1, "{pages}");
        assert!(
            pages * cache.region().geometry.page_bytes < bytes_of_runs,
            "{pages}"
        );
        cache.audit().unwrap();
        for (at, bytes) in keys.iter().enumerate() {
            assert_eq!(get(&cache, bytes), Some(value(at)));
        }
        keys.iter().for_each(|bytes| {
            assert!(cache.delete(cache.key(bytes).unwrap(), NOW));
        });
        assert_eq!(run_pages(&cache), 0, "empty pages are the pool's");
        cache.audit().unwrap();
    }

    /// Four of five items go, some are pinned, and some are reserved: what is left moves together, but for what is held.
    #[test]
    fn pages_of_runs_are_emptied_into_each_other() {
        let cache = open(64 << 20);
        let keys = keys(&cache, 1000);
        let (mut pins, mut reserved) = (Vec::new(), Vec::new());
        for (at, bytes) in keys.iter().enumerate() {
            let key = cache.key(bytes).unwrap();
            if at % 100 == 7 {
                let mut reservation = cache
                    .reserve(key, value(at).len(), Attributes::default(), NOW)
                    .unwrap();
                reservation.write(&value(at), NOW).unwrap();
                reserved.push(reservation);
                continue;
            }
            put(&cache, bytes, &value(at));
            if at % 100 == 5 {
                pins.push((at, cache.pin(key, NOW).unwrap().unwrap()));
            }
        }
        let stays = |at: usize| at.is_multiple_of(5) || at % 100 == 7;
        for (_, bytes) in keys.iter().enumerate().filter(|(at, _)| !stays(*at)) {
            assert!(cache.delete(cache.key(bytes).unwrap(), NOW));
        }
        let before = run_pages(&cache);
        let compact = || while cache.shard_of(0).lock(cache.region()).compact() {};
        compact();
        let after = run_pages(&cache);
        assert!(after * 2 < before, "{before} pages, then {after}");
        cache.audit().unwrap();
        for (at, pin) in &mut pins {
            let mut out = vec![0; value(*at).len()];
            assert_eq!(pin.read(&mut out), out.len());
            assert_eq!(out, value(*at));
        }
        drop(pins);
        for reservation in reserved {
            reservation.commit(Condition::Always, NOW).unwrap();
        }
        compact();
        cache.audit().unwrap();
        for (at, bytes) in keys.iter().enumerate() {
            assert_eq!(get(&cache, bytes), stays(at).then(|| value(at)), "{at}");
        }
    }

    /// In a full cache what is free is used up by ends of several runs.
    #[test]
    fn an_end_is_cut_where_no_free_run_is_long_enough() {
        let cache = open(4 << 20);
        let keys = keys(&cache, 2000);
        for round in 0..6 {
            for (at, bytes) in keys
                .iter()
                .enumerate()
                .filter(|(at, _)| (at * 7 + round) % 3 > 0)
            {
                put(&cache, bytes, &value(at + round));
            }
        }
        let live: Vec<_> = keys
            .iter()
            .filter(|bytes| get(&cache, *bytes).is_some())
            .collect();
        let most = live
            .iter()
            .map(|bytes| pieces(&cache, *bytes))
            .max()
            .unwrap();
        assert!(
            (3..=4).contains(&most.0) && most.1 > 1,
            "{most:?} of {}",
            live.len()
        );
        cache.audit().unwrap();
        for bytes in live {
            let at = keys.iter().position(|key| key == bytes).unwrap();
            let found = get(&cache, bytes).unwrap();
            assert!((0..6).any(|round| found == value(at + round)), "{at}");
        }
    }

    /// Items with ends leave one by one, and so do their pages: the others' pages are emptied into each other before an item is
    /// evicted, also for one that has no end itself.
    #[test]
    fn a_store_without_an_end_has_pages_of_runs_emptied() {
        let cache = open(4 << 20);
        let keys = keys(&cache, 6000);
        let (ends, whole) = keys.split_at(2000);
        for (at, bytes) in ends.iter().enumerate() {
            put(&cache, bytes, &value(at));
        }
        let region = cache.region();
        let is_sparse = || cache.shard_of(0).lock(region).slab.runs_are_sparse(region);
        assert!(run_pages(&cache) > 4);
        let mut sparse = 0;
        for bytes in whole {
            put(&cache, bytes, &[7; 300]);
            sparse += usize::from(is_sparse());
        }
        assert!(sparse < whole.len() / 4, "{sparse}");
        assert!(cache.stats().evictions > 0 && cache.stats().pages_moved > 0);
        cache.audit().unwrap();
    }

    /// A flush leaves whole pages; what is held in one of runs stays, and its page is one of runs again.
    #[test]
    fn what_is_held_in_runs_outlives_a_flush() {
        let cache = open(64 << 20);
        let keys = keys(&cache, 300);
        for (at, bytes) in keys.iter().enumerate() {
            put(&cache, bytes, &value(at));
        }
        let at = (0..300)
            .find(|at| pieces(&cache, &keys[*at]).1 == 1)
            .unwrap();
        let key = cache.key(&keys[at]).unwrap();
        let mut pin = cache.pin(key, NOW).unwrap().unwrap();
        cache.flush();
        cache.audit().unwrap();
        while cache.maintain(NOW, 1000).more {}
        cache.audit().unwrap();
        assert_eq!(run_pages(&cache), 1);
        for (at, bytes) in keys.iter().enumerate() {
            put(&cache, bytes, &value(at + 1));
        }
        let mut out = vec![0; value(at).len()];
        assert_eq!(pin.read(&mut out), out.len());
        assert_eq!(out, value(at));
        drop(pin);
        cache.audit().unwrap();
        for (at, bytes) in keys.iter().enumerate() {
            assert_eq!(get(&cache, bytes), Some(value(at + 1)));
        }
    }
}
