//! The façade: hash → shard, and what concerns all shards at once.
//!
//! | file       | what                                                            |
//! |------------|-----------------------------------------------------------------|
//! | `opening`  | from a plan to a cache, with what an arena's file holds          |
//! | `read`     | `get` and its kin, pins, visits                                  |
//! | `store`    | values that are at hand, and removing them                       |
//! | `update`   | the caller's function under the lock                             |
//! | `transfer` | memory for values that are still to arrive                       |
//! | `pages`    | pages across shards: gathering them, shrinking, growing          |
//! | `apart`    | a long item that is being read, copied for a change              |
//! | `walk`     | all items, a few at a time, page by page                         |
//! | `scan`     | all items, hash by hash: none that stays is left out             |
//! | `export`   | all items with all that is known of them, least valuable first   |
//! | `report`   | counters, size classes, the audit                                |

mod apart;
mod curve;
pub(crate) mod export;
pub(crate) mod opening;
mod pages;
pub(crate) mod read;
mod report;
pub(crate) mod scan;
mod store;
mod transfer;
pub(crate) mod update;
pub(crate) mod walk;

use std::sync::atomic::Ordering;

use parking_lot::{Mutex, RwLock};

use opening::{Opening, Restored};

use crate::error::{KeyError, OpenError};
use crate::geometry::WORD_BYTES;
use crate::hash::{Key, KeyHash};
use crate::index::probe::Spot;
use crate::persist::superblock;
use crate::plan::{CACHE_BYTES_MAX, Plan};
use crate::region::Region;
use crate::shard::clean::Cleaning;
use crate::shard::locked::Shard;
use crate::shard::sweep::Round;
use crate::space::{DATABASES, Spaces};
use crate::tick::Tick;
use crate::types::Maintained;

/// A cache whose memory is one budget.
///
/// Shared by reference between any number of threads. See the crate's documentation for
/// an example.
pub struct Cache {
    plan: Plan,
    region: Region,
    shards: Box<[Shard]>,
    /// The sweep's round through the pages. Taken before any shard's lock.
    round: Mutex<Round>,
    /// The way through what was flushed with its database. Taken before any shard's lock.
    cleaning: Mutex<Cleaning>,
    /// Pages are retired and restored by one thread at a time.
    resizing: Mutex<()>,
    /// Held by an export: there is one at a time. Taken before any shard's lock.
    exporting: Mutex<()>,
    /// Shared by those who store a large value, which they hold memory for meanwhile; taken alone by one for whom
    /// that left no space. Taken before any shard's lock.
    large: RwLock<()>,
    unix_zero: u64,
    restored: Restored,
}

// What the plan counts the cache itself as.
static_assertions::const_assert!(size_of::<Cache>() <= CACHE_BYTES_MAX);

impl Cache {
    /// Reserves the arena and everything beside it. What happens afterwards asks the global
    /// allocator for nothing.
    ///
    /// A file is opened empty, whatever it held, unless the plan says that it is [to be restored](crate::Options::restore).
    /// [`Opening`] does the same in parts, by several threads.
    ///
    /// # Errors
    /// When the memory or the file cannot be had.
    pub fn open(plan: Plan) -> Result<Cache, OpenError> {
        let opening = Opening::new(plan)?;
        (0..opening.parts()).for_each(|part| opening.restore(part));
        opening.finish()
    }

    /// The calendar's second (since 1970) at tick 0: the plan's, or that of the file which was restored.
    #[must_use]
    pub fn unix_zero(&self) -> u64 {
        self.unix_zero
    }

    /// A number that whoever has the cache keeps in it, and finds again when it is restored; 0 in a new one.
    #[must_use]
    pub fn kept_number(&self) -> u64 {
        superblock::number(&self.region.arena).load(Ordering::Acquire)
    }

    /// Keeps another.
    pub fn keep_number(&self, number: u64) {
        superblock::number(&self.region.arena).store(number, Ordering::Release);
    }

    /// What became of the items that the arena's file held.
    #[must_use]
    pub fn restored(&self) -> Restored {
        self.restored
    }

    /// The plan that the cache was opened with.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Checks and hashes a key, once for whatever is done with it.
    ///
    /// # Errors
    /// When it is longer than the plan's `key_bytes_max`.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Result<Key<'k>, KeyError> {
        Key::new(
            bytes,
            self.region.spaces.first(),
            self.region.key_bytes_max,
            self.region.hash_seed,
        )
    }

    /// The same for a key of another database than 0: [`DATABASES`](crate::DATABASES) of them are keyspaces of their own.
    /// The key is of use until that database is flushed; after that nothing is found under it, and what is stored
    /// under it is lost.
    ///
    /// # Errors
    /// As [`Cache::key`].
    #[inline]
    pub fn key_in<'k>(&self, database: usize, bytes: &'k [u8]) -> Result<Key<'k>, KeyError> {
        match database {
            0 => self.key(bytes),
            _ => self.key_apart(database, bytes),
        }
    }

    #[inline(never)]
    fn key_apart<'k>(&self, database: usize, bytes: &'k [u8]) -> Result<Key<'k>, KeyError> {
        let region = &self.region;
        if bytes.len() > region.key_bytes_max {
            return Err(KeyError::TooLong);
        }
        let space = region
            .spaces
            .of(database, |spaces| spaces.keep(&region.arena));
        Ok(Key::apart(bytes, space, region.hash_seed))
    }

    /// The same for a further key of the database that `first` is of.
    ///
    /// # Errors
    /// As [`Cache::key`].
    pub fn key_beside<'k>(&self, first: Key<'_>, bytes: &'k [u8]) -> Result<Key<'k>, KeyError> {
        self.key_in(first.space().database_of_key(), bytes)
    }

    #[inline(always)]
    fn shard(&self, hash: KeyHash) -> &Shard {
        &self.shards[hash.shard_no()]
    }

    /// Hints that `key` will be looked up soon: its bucket's cache line is asked for. Says where
    /// that is, for [`Cache::prefetch_item`], [`Cache::get_at`] and [`Cache::put_at`].
    #[inline(always)]
    pub fn prefetch(&self, key: Key<'_>) -> Spot {
        let (arena, geometry) = (&self.region.arena, &self.region.geometry);
        let spot = Spot::of(arena, geometry, key.hash());
        spot.prefetch(arena);
        spot
    }

    /// Hints that `key`'s item will be read soon, and remembers in `spot` what the bucket said of it. Worth
    /// it when [`Cache::prefetch`] has had time to bring the bucket, and when the item is read soon: a store to
    /// the same bucket meanwhile makes [`Cache::get_at`] look anew.
    #[inline]
    pub fn prefetch_item(&self, key: Key<'_>, spot: &mut Spot) {
        let (arena, geometry) = (&self.region.arena, &self.region.geometry);
        spot.look(arena, geometry, key.hash());
    }

    /// Removes all items of all databases, in a time that does not depend on how many there are. Their memory is taken back
    /// by [`Cache::maintain`], and by stores before they evict anything.
    pub fn flush(&self) {
        let keep = |spaces: &Spaces| spaces.keep(&self.region.arena);
        self.region.spaces.flush_all(|| self.empty(), keep);
    }

    /// Removes all items of one database, in a time that does not depend on how many there are. Their memory is taken
    /// back by [`Cache::maintain`], or as that of others is. Where only database 0 was ever used, this is
    /// [`Cache::flush`].
    pub fn flush_database(&self, database: usize) {
        let keep = |spaces: &Spaces| spaces.keep(&self.region.arena);
        self.region
            .spaces
            .flush(database % DATABASES, || self.empty(), keep);
    }

    fn empty(&self) {
        for shard in &self.shards {
            shard.lock(&self.region).flush();
        }
    }

    /// Upkeep: reclaims what has expired, about `work_max` items at most, and pages that a flush left, and
    /// lets the index shrink. Call it about every tenth of a second, again at once while there is
    /// `more`.
    pub fn maintain(&self, now: Tick, work_max: usize) -> Maintained {
        self.maintain_until(now, work_max, || false)
    }

    /// As [`Cache::maintain`], for a caller with a clock: it is asked behind each page in which something had expired, and
    /// ends the call.
    pub fn maintain_until(
        &self,
        now: Tick,
        work_max: usize,
        mut is_late: impl FnMut() -> bool,
    ) -> Maintained {
        let mut done = Maintained::default();
        for shard in &self.shards {
            let mut state = shard.lock(&self.region);
            done.more |= state.reclaim_flushed();
            state.tidy(now, 16);
        }
        // Two who maintain at once are one too many.
        if let Some(mut round) = self.round.try_lock() {
            let shard = |shard_no: usize| self.shards[shard_no].lock(&self.region);
            let (reclaimed, more) = round.go_on(&self.region, shard, now, work_max, &mut is_late);
            done.reclaimed = reclaimed;
            done.more |= more;
        }
        if let Some(mut cleaning) = self.cleaning.try_lock() {
            let shard = |shard_no: usize| self.shards[shard_no].lock(&self.region);
            done.more |= cleaning.go_on(&self.region, shard, work_max, is_late);
        }
        done
    }

    /// Runs `work` while every store to the arena is a fault: the proof that what `work` does
    /// writes no shared memory. Not for an arena on the heap.
    ///
    /// # Errors
    /// When the memory cannot be protected.
    #[doc(hidden)]
    pub fn read_only_while<R>(&self, work: impl FnOnce() -> R) -> std::io::Result<R> {
        self.region.arena.read_only_while(work)
    }

    /// Bytes of the arena.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.region.geometry.arena_words * WORD_BYTES
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn shard_of(&self, shard_no: usize) -> &Shard {
        &self.shards[shard_no]
    }
}
