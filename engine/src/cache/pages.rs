//! Pages across shards: gathered for an operation that lacks them, taken out of use, and put back into it.
//!
//! No two shards' locks are held at once: an operation that needs another shard's
//! page has given its own lock back.

use std::sync::atomic::Ordering;

use super::Cache;
use crate::error::StoreError;
use crate::geometry::WORD_BYTES;
use crate::hash::Key;
use crate::shard::PageBag;
use crate::shard::reserve::Shortage;
use crate::stamp::{self, StdFences};
use crate::tick::Tick;

impl Cache {
    /// Keeps the key's item from being evicted, if there is one.
    pub(super) fn guard(&self, key: Key<'_>, now: Tick) -> Option<usize> {
        let mut state = self.shard(key.hash()).lock(&self.region);
        let place = state.find_live(key, now)?;
        state.guards.begin(place.chunk)
    }

    pub(super) fn unguard(&self, key: Key<'_>, guard: Option<usize>) {
        if let Some(no) = guard {
            self.shard(key.hash()).lock(&self.region).guards.end(no);
        }
    }

    /// Runs `attempt`, and again if there was no space for it because others were about to store large values: when
    /// those are done what they hold can be evicted, and the attempt has the cache to itself. It fails then only if
    /// memory is held for longer than a call, by reservations and pins.
    ///
    /// `holds`: the attempt is itself one that holds memory for as long as it runs.
    #[cold]
    #[inline(never)]
    pub(super) fn with_room<T>(
        &self,
        holds: bool,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let first = {
            let _others_wait = holds.then(|| self.large.read());
            attempt()
        };
        if !matches!(first, Err(StoreError::NoSpace)) {
            return first;
        }
        let _alone = self.large.write();
        attempt()
    }

    /// Runs `attempt` until it has the pages that it needs; each shortage is made good by
    /// all shards together, without holding any lock in between. The item that the key has is the last to go for it: the
    /// attempt may be to change it.
    #[inline(always)]
    pub(crate) fn with_pages<'r, T>(
        &'r self,
        key: Key<'_>,
        bag: &mut PageBag<'r>,
        now: Tick,
        mut attempt: impl FnMut(&mut PageBag<'r>) -> Result<T, Shortage>,
    ) -> Result<T, StoreError> {
        match attempt(bag) {
            Ok(done) => Ok(done),
            Err(shortage) => self.with_more_pages(key, bag, now, attempt, shortage),
        }
    }

    /// The rare part of it, apart.
    #[cold]
    #[inline(never)]
    pub(super) fn with_more_pages<'r, T>(
        &'r self,
        key: Key<'_>,
        bag: &mut PageBag<'r>,
        now: Tick,
        mut attempt: impl FnMut(&mut PageBag<'r>) -> Result<T, Shortage>,
        mut shortage: Shortage,
    ) -> Result<T, StoreError> {
        let (mut want, mut copies) = (0, 0);
        loop {
            match shortage {
                Shortage::Copy => {
                    self.set_apart(key, copies, now)?;
                    copies += 1;
                }
                Shortage::Pages(missing) => {
                    // More each time: what an attempt took and gave back is in the pool, and asking for as much again would find
                    // it there for ever.
                    want = (bag.count() + missing).max(want + 1);
                    self.gather_sparing(key, bag, want, now)?;
                }
            }
            match attempt(bag) {
                Ok(done) => return Ok(done),
                Err(more) => shortage = more,
            }
        }
    }

    /// Fills `bag` up to `want` pages; what `key` has is the last to go for it.
    fn gather_sparing(
        &self,
        key: Key<'_>,
        bag: &mut PageBag<'_>,
        want: usize,
        now: Tick,
    ) -> Result<(), StoreError> {
        let guard = self.guard(key, now);
        let mut enough = self.gather(bag, want, now);
        self.unguard(key, guard);
        if !enough && guard.is_some() {
            enough = self.gather(bag, want, now);
        }
        enough.then_some(()).ok_or(StoreError::NoSpace)
    }

    /// Fills `bag` up to `pages`, as far as the pool has any, before a shard's lock is taken, and touches each: memory that was
    /// never used is made by the kernel when it is, which took 20 ms for 100 MiB, and under the lock everybody would wait for that.
    pub(super) fn take_ahead(&self, bag: &mut PageBag<'_>, pages: usize) {
        let region = &self.region;
        while bag.count() < pages
            && let Some(page_no) = region.pool.pop(region.pages())
        {
            bag.push(page_no);
            // Nobody's now: its word is what it was. A reader that has an old name may look at it all the same.
            stamp::before_reuse::<StdFences>();
            let word = region.geometry.page_word(page_no);
            region.arena.store(word, region.arena.load(word));
        }
    }

    /// Fills `bag` up to `want` pages, from the pool or from the shards in turn.
    fn gather(&self, bag: &mut PageBag<'_>, want: usize, now: Tick) -> bool {
        let region = &self.region;
        let mut exhausted = 0u32;
        while bag.count() < want {
            if let Some(page_no) = region.pool.pop(region.pages()) {
                bag.push(page_no);
                continue;
            }
            // What was flushed goes first.
            if region.stale.load(Ordering::Relaxed) > 0
                && self.shards.iter().any(|shard| {
                    let mut state = shard.lock(region);
                    state.slab.stale() > 0 && state.release_any(now)
                })
            {
                continue;
            }
            // The shard whose items are oldest gives first.
            let Some((shard_no, _)) = region.tails.oldest(exhausted) else {
                return false;
            };
            let mut state = self.shards[shard_no].lock(&self.region);
            if !state.release_any(now) {
                exhausted |= 1 << shard_no;
            }
            // It is younger now; the next page may be another's.
            state.publish_age();
        }
        true
    }

    /// Pages that may be used now: the plan's, less those that [`Cache::resize`] retired.
    #[must_use]
    pub fn pages_usable(&self) -> usize {
        self.region.geometry.usable_pages() - self.region.pool.retired()
    }

    /// The fewest pages that [`Cache::resize`] leaves.
    #[must_use]
    pub fn pages_usable_min(&self) -> usize {
        self.plan.page_count_min()
    }

    /// Shrinks or grows the cache, while it is in use, towards `pages` of the plan's.
    ///
    /// To shrink, what is oldest is evicted and the pages' memory is given back to the OS
    /// (that of an arena on the heap stays where it is). To grow, retired pages become
    /// available again; they cost memory as they are used (a file's blocks are allocated at once). At most `pages_max` pages change
    /// hands in a call, so that the caller decides how long it takes. Returns
    /// [`Cache::pages_usable`] afterwards.
    ///
    /// # Errors
    /// When the OS does not take the memory back; the page stays in use. When there is no memory to grow into (the
    /// disk of an arena's file is full); then the pages stay retired.
    pub fn resize(&self, pages: usize, pages_max: usize, now: Tick) -> std::io::Result<usize> {
        let (region, geometry) = (&self.region, &self.region.geometry);
        let _alone = self.resizing.lock();
        let words = |pages: std::ops::Range<usize>| {
            let count = pages.len() * geometry.page_bytes / WORD_BYTES;
            (geometry.page_word(pages.start), count)
        };
        let pages = pages.clamp(self.pages_usable_min(), geometry.usable_pages());
        let usable = self.pages_usable();
        if pages >= usable {
            let count = (pages - usable).min(pages_max);
            region.pool.restore(region.pages(), count, |pages| {
                let (at, count) = words(pages);
                region.arena.provide(at, count)
            })?;
            return Ok(self.pages_usable());
        }
        let mut left = (usable - pages).min(pages_max);
        let fresh = region.pool.retire_fresh(left);
        left -= fresh.len();
        if !fresh.is_empty() {
            // Nobody has stored anything there, but a file's blocks are there, or those of an arena that was
            // touched at open.
            let (at, count) = words(fresh);
            region.arena.discard(at, count)?;
        }
        let mut bag = PageBag::new(&self.region);
        while left > 0 {
            if bag.count() == 0 && !self.gather(&mut bag, 1, now) {
                break;
            }
            let Some(page_no) = bag.pop() else {
                break;
            };
            let (at, count) = words(page_no..page_no + 1);
            if let Err(error) = region.arena.discard(at, count) {
                region.pool.push(region.pages(), page_no);
                return Err(error);
            }
            region.pool.retire(region.pages(), page_no);
            left -= 1;
        }
        Ok(self.pages_usable())
    }
}
