//! The façade: hash → shard, and what concerns all shards at once.
//!
//! | file       | what                                                            |
//! |------------|-----------------------------------------------------------------|
//! | `read`     | `get` and its kin, pins, visits                                  |
//! | `store`    | values that are at hand, and removing them                       |
//! | `update`   | the caller's function under the lock                             |
//! | `transfer` | memory for values that are still to arrive                       |
//! | `pages`    | pages across shards: gathering them, shrinking, growing          |
//! | `walk`     | all items, a few at a time, page by page                         |
//! | `scan`     | all items, hash by hash: none that stays is left out             |
//! | `export`   | all items with all that is known of them, least valuable first   |
//! | `report`   | counters, size classes, the audit                                |

pub(crate) mod export;
mod pages;
pub(crate) mod read;
mod report;
pub(crate) mod scan;
mod store;
mod transfer;
pub(crate) mod update;
pub(crate) mod walk;

use parking_lot::{Mutex, RwLock};
use std::sync::atomic::AtomicUsize;

use crate::arena::Arena;
use crate::error::{KeyError, OpenError};
use crate::geometry::{KEY_BYTES_MAX, SHARD_COUNT, WORD_BYTES};
use crate::hash::{Key, KeyHash};
use crate::index::probe::Spot;
use crate::plan::{CACHE_BYTES_MAX, Plan};
use crate::rebalance::Tails;
use crate::region::Region;
use crate::shard::clean::Cleaning;
use crate::shard::locked::Shard;
use crate::shard::sweep::Round;
use crate::slab::free_list::PagePool;
use crate::space::{DATABASES, Spaces};
use crate::superblock::Superblock;
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
}

// What the plan counts the cache itself as.
static_assertions::const_assert!(size_of::<Cache>() <= CACHE_BYTES_MAX);

impl Cache {
    /// Reserves the arena and everything beside it. What happens afterwards asks the global
    /// allocator for nothing.
    ///
    /// A file is opened empty, whatever it held.
    ///
    /// # Errors
    /// When the memory or the file cannot be had.
    pub fn open(plan: Plan) -> Result<Cache, OpenError> {
        let geometry = plan.geometry().clone();
        let options = plan.options();
        let arena = Arena::open(
            geometry.arena_words,
            &options.backing,
            options.prefault,
            options.huge_pages,
            options.os_page_bytes,
        )?;
        arena.clear_words(0, geometry.directory_word);
        Superblock::new(&geometry, options.hash_seed, options.item_bytes_max).write(&arena);
        let region = Region {
            arena,
            pool: PagePool::new(geometry.page_count),
            hash_seed: options.hash_seed,
            key_bytes_max: options.key_bytes_max.min(KEY_BYTES_MAX),
            eviction: options.eviction,
            tails: Tails::default(),
            stale: AtomicUsize::new(0),
            spaces: Spaces::default(),
            geometry,
        };
        let shards = (0..SHARD_COUNT)
            .map(|shard_no| Shard::new(&region, shard_no, options.cas_first))
            .collect();
        Ok(Cache {
            plan,
            region,
            shards,
            round: Mutex::default(),
            cleaning: Mutex::default(),
            resizing: Mutex::new(()),
            exporting: Mutex::new(()),
            large: RwLock::new(()),
        })
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
        let space = region.spaces.of(database);
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
    /// that is, for [`Cache::prefetch_item`] and [`Cache::get_at`].
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
        self.region.spaces.flush_all(|| self.empty());
    }

    /// Removes all items of one database, in a time that does not depend on how many there are. Their memory is taken
    /// back by [`Cache::maintain`], or as that of others is. Where only database 0 was ever used, this is
    /// [`Cache::flush`].
    pub fn flush_database(&self, database: usize) {
        self.region
            .spaces
            .flush(database % DATABASES, || self.empty());
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
