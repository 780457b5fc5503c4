//! All items with all that is known of them, on their way into a file, and back.
//!
//! Least valuable first: probation before main, each list from its tail on, and the lists of all classes and shards side by
//! side in portions, so that what is stored again in this order stands as it stood, and where not all of it finds room the
//! most valuable remains.

use parking_lot::MutexGuard;

use super::Cache;
use crate::error::StoreError;
use crate::geometry::SHARD_COUNT;
use crate::hash::Key;
use crate::lru::segments::Segment;
use crate::pinned::Pinned;
use crate::shard::export::Portion;
use crate::shard::{CAS_MAX, PageBag};
use crate::tick::Tick;
use crate::types::{CasWish, Condition, ItemMeta, Sink, Standing};

/// Each list is written in so many turns.
const TURNS: u32 = 64;

/// An export that goes on step by step. See [`Cache::export`].
pub struct Export<'c> {
    cache: &'c Cache,
    _alone: MutexGuard<'c, ()>,
    segment: Segment,
    turns_left: u32,
    shard_no: usize,
    class: usize,
    /// Items that are left of the list's turn, once it has begun.
    left: Option<u32>,
}

/// How far a step of an export came.
pub enum Exporting<'c> {
    /// There is more. No lock is held meanwhile.
    More,
    /// There is more, and the sink has no room for it.
    Full,
    /// The item that the sink wanted held still.
    Pinned(Pinned<'c>),
    /// It cannot be held still now, because too many are: come again, or [`Export::skip`] it.
    Busy,
    /// That was all.
    Done,
}

impl Cache {
    /// Begins to hand out all items of all databases. What is there from the beginning to the end, and not stored anew nor
    /// given fields meanwhile, is met once, or twice if it moved; what is not may be met or not. Expired items are left out.
    /// `None`: there is an export already.
    pub fn export(&self) -> Option<Export<'_>> {
        let export = Export {
            _alone: self.exporting.try_lock()?,
            cache: self,
            segment: Segment::Probation,
            turns_left: TURNS,
            shard_no: 0,
            class: 0,
            left: None,
        };
        export.begin_segment();
        Some(export)
    }

    /// Stores an item as it was when it was exported: with its CAS number, its marks and its standing.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn import(
        &self,
        key: Key<'_>,
        value: &[u8],
        meta: &ItemMeta,
        standing: Standing,
        now: Tick,
    ) -> Result<(), StoreError> {
        let wish = meta.cas.map_or(CasWish::IfKept, CasWish::Be);
        let attributes = meta.attributes();
        self.store_as(key, value, attributes, Condition::Always, wish, now)?;
        self.settle(key, meta, standing, now)
    }

    /// The second half of [`Cache::import`], for an item that came by a reservation.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] while transfers hold the memory.
    pub fn settle(
        &self,
        key: Key<'_>,
        meta: &ItemMeta,
        standing: Standing,
        now: Tick,
    ) -> Result<(), StoreError> {
        let mut bag = PageBag::new(&self.region);
        self.with_pages(key, &mut bag, now, |bag| {
            let mut state = self.shard(key.hash()).lock(&self.region);
            state.settle(key, meta, standing, bag, now)
        })
    }

    /// The highest CAS number that was given out.
    #[must_use]
    pub fn cas_last(&self) -> u64 {
        let last = |shard: &crate::shard::locked::Shard| shard.lock(&self.region).cas_last();
        self.shards.iter().map(last).max().unwrap_or(0)
    }

    /// Gives out CAS numbers above `last` only. A number beyond all reason changes nothing.
    pub fn raise_cas(&self, last: u64) {
        if last < CAS_MAX {
            for shard in &self.shards {
                shard.lock(&self.region).raise_cas(last);
            }
        }
    }
}

impl<'c> Export<'c> {
    fn begin_segment(&self) {
        for shard in &self.cache.shards {
            shard.lock(&self.cache.region).begin_export(self.segment);
        }
    }

    /// Hands some items to the sink, under one lock of a shard that is held for about ten microseconds.
    pub fn go_on(&mut self, now: Tick, sink: &mut dyn Sink) -> Exporting<'c> {
        let (cache, region) = (self.cache, &self.cache.region);
        let class_count = region.geometry.classes.count();
        let shard = &cache.shards[self.shard_no];
        let mut state = shard.lock(region);
        while self.class < class_count {
            let (class, segment) = (self.class, self.segment);
            let is_last = self.turns_left == 1;
            let mut left = match self.left {
                Some(left) => left,
                None => state.export_turn(class, segment, TURNS, is_last),
            };
            let had = left;
            let portion = state.export(class, segment, &mut left, now, sink);
            self.left = Some(left);
            match portion {
                Portion::Over => {
                    self.class += 1;
                    self.left = None;
                    if left < had {
                        return Exporting::More;
                    }
                }
                Portion::More => return Exporting::More,
                Portion::Full => return Exporting::Full,
                Portion::Busy => return Exporting::Busy,
                Portion::Pinned(chunk) => {
                    // Under the lock, so that the sink was told this very length.
                    return Exporting::Pinned(Pinned::new(region, shard, chunk));
                }
            }
        }
        drop(state);
        self.class = 0;
        self.shard_no += 1;
        if self.shard_no < SHARD_COUNT {
            return Exporting::More;
        }
        self.shard_no = 0;
        self.turns_left -= 1;
        if self.turns_left > 0 {
            return Exporting::More;
        }
        if self.segment == Segment::Main {
            // Asked again, it begins the last turn again, which finds nothing.
            self.turns_left = 1;
            return Exporting::Done;
        }
        self.segment = Segment::Main;
        self.turns_left = TURNS;
        self.begin_segment();
        Exporting::More
    }

    /// Goes past the item that could not be held still.
    pub fn skip(&mut self) {
        let mut state = self.cache.shards[self.shard_no].lock(&self.cache.region);
        state.skip_exported(self.class, self.segment);
        self.left = self.left.map(|left| left.saturating_sub(1));
    }
}

impl Drop for Export<'_> {
    fn drop(&mut self) {
        for shard in &self.cache.shards {
            shard.lock(&self.cache.region).end_export();
        }
    }
}
