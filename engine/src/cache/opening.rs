//! From a plan to a cache.
//!
//! Where the plan goes on with a file, that takes a while: a second for a gigabyte or so. It is done in parts, by as
//! many threads as the caller has, and whoever wants to know how far it is can ask.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::Cache;
use crate::arena::{Arena, Backing};
use crate::error::OpenError;
use crate::geometry::{Geometry, KEY_BYTES_MAX, PAGE_META_WORDS, SHARD_COUNT, WORD_BYTES};
use crate::lru::choice::Choice;
use crate::persist::Nothing;
use crate::persist::superblock::{self, Superblock, Unusable};
use crate::plan::Plan;
use crate::rebalance::Tails;
use crate::region::{OwnLines, Region};
use crate::shard::ShardState;
use crate::shard::locked::Shard;
use crate::shard::restore::owned;
use crate::slab::free_list::PagePool;
use crate::slab::page::{PageMeta, PageTable};
use crate::space::Spaces;
use crate::tick::Tick;

/// What became of the items that an arena's file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restored {
    /// Nobody asked for them.
    NotAsked,
    /// There was no file, or an empty one.
    New,
    /// None was taken over, because of this.
    Nothing(Unusable),
    /// They are the cache's.
    Items {
        /// So many.
        items: u64,
        /// What was being written to when the process before ended, and what did not check: slots of the index.
        forgotten: u64,
        /// Lists of which nobody knows any more which item was used last.
        unordered: u64,
    },
}

/// A cache that is being opened.
///
/// ```
/// use flagstone_engine::{Opening, Options, Plan};
/// let plan = Plan::new(&Options::default()).unwrap();
/// let opening = Opening::new(plan).unwrap();
/// std::thread::scope(|scope| {
///     for first in 0..2 {
///         let opening = &opening;
///         scope.spawn(move || (first..opening.parts()).step_by(2).for_each(|part| opening.restore(part)));
///     }
/// });
/// let cache = opening.finish().unwrap();
/// # assert_eq!(cache.stats().items, 0);
/// ```
pub struct Opening {
    plan: Plan,
    region: Region,
    shards: [Mutex<Option<ShardState>>; SHARD_COUNT],
    restored: Restored,
    unix_zero: u64,
    parts_done: AtomicUsize,
    items: AtomicU64,
    forgotten: AtomicU64,
    unordered: AtomicU64,
}

impl Opening {
    /// Reserves the memory, or takes the file.
    ///
    /// # Errors
    /// When the memory or the file cannot be had.
    pub fn new(plan: Plan) -> Result<Opening, OpenError> {
        let geometry = plan.geometry().clone();
        let options = plan.options();
        let arena = Arena::open(
            geometry.arena_words,
            &options.backing,
            options.prefault,
            options.huge_pages,
            plan.found().is_ok(),
            options.os_page_bytes,
        )?;
        Opening::over(plan, arena)
    }

    /// The same when the arena is there.
    pub(crate) fn over(plan: Plan, arena: Arena) -> Result<Opening, OpenError> {
        let geometry = plan.geometry().clone();
        let options = plan.options();
        let found = plan.found().and_then(|found| match again(&arena) {
            Ok(same) if same == found => Ok(found),
            // Another process had it in between.
            Ok(_) => Err(Nothing::Unusable(Unusable::Damaged)),
            Err(why) => Err(Nothing::Unusable(why)),
        });
        let spaces = match found {
            Ok(_) => Spaces::load(&arena),
            Err(_) => None,
        };
        let (restored, spaces) = match (found, spaces) {
            (Ok(_), Some(spaces)) => {
                let none = Restored::Items {
                    items: 0,
                    forgotten: 0,
                    unordered: 0,
                };
                (none, spaces)
            }
            (Ok(_), None) => (Restored::Nothing(Unusable::Damaged), Spaces::default()),
            (Err(Nothing::Unusable(why)), _) => (Restored::Nothing(why), Spaces::default()),
            (Err(Nothing::New), _) => (Restored::New, Spaces::default()),
            (Err(Nothing::NotAsked), _) => (Restored::NotAsked, Spaces::default()),
        };
        let is_found = matches!(restored, Restored::Items { .. });
        let mut block = Superblock {
            hash_seed: options.hash_seed,
            boot: options.boot,
            unix_zero: options.unix_zero,
            places: geometry.places(),
            places_no: 0,
        };
        if is_found {
            block = found.unwrap_or(block);
            if block.places != geometry.places() {
                grow(&arena, &Geometry::of(block.places), &geometry);
                block.places = geometry.places();
                block.places_no += 1;
                block.write_places(&arena);
            }
        } else {
            if plan.found().is_ok() {
                let provided = arena.provide(0, geometry.arena_words);
                provided.map_err(|error| file_error(&plan, error))?;
            }
            superblock::set_made(&arena, false);
            arena.clear_words(0, geometry.directory_word);
            block.write(&arena);
            spaces.keep(&arena);
        }
        let mut region = Region {
            arena,
            pool: OwnLines(PagePool::new(geometry.page_count)),
            hash_seed: block.hash_seed,
            key_bytes_max: options.key_bytes_max.min(KEY_BYTES_MAX),
            eviction: options.eviction,
            choice: Choice::new(options.eviction),
            tails: Tails::default(),
            stale: AtomicUsize::new(0),
            spaces,
            geometry,
        };
        if is_found {
            let page_count = region.geometry.page_count;
            let tables = region.geometry.table_pages();
            let is_owned = |page_no| tables.contains(&page_no) || owned(&region, page_no).is_some();
            region.pool = OwnLines(PagePool::found(region.pages(), page_count, is_owned));
        }
        Ok(Opening {
            plan,
            region,
            shards: Default::default(),
            restored,
            unix_zero: block.unix_zero,
            parts_done: AtomicUsize::new(0),
            items: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            unordered: AtomicU64::new(0),
        })
    }

    /// So many parts there are to restore.
    #[must_use]
    pub fn parts(&self) -> usize {
        SHARD_COUNT
    }

    /// So many have been.
    #[must_use]
    pub fn parts_done(&self) -> usize {
        self.parts_done.load(Relaxed)
    }

    /// Restores a part: once for each of them, in any thread.
    pub fn restore(&self, part: usize) {
        let (region, cas_first) = (&self.region, self.plan.options().cas_first);
        let cas_first = (cas_first & !(SHARD_COUNT as u64 - 1)) | part as u64;
        let mut shard = self.shards[part].lock();
        if shard.is_some() {
            return;
        }
        let state = if matches!(self.restored, Restored::Items { .. }) {
            let (state, found) = ShardState::restore(region, part, cas_first);
            self.items.fetch_add(found.items, Relaxed);
            self.forgotten.fetch_add(found.forgotten, Relaxed);
            self.unordered.fetch_add(found.unordered, Relaxed);
            state
        } else {
            ShardState::new(region, part, cas_first)
        };
        *shard = Some(state);
        self.parts_done.fetch_add(1, Relaxed);
    }

    /// The cache, when all parts are restored; those that are not are now.
    ///
    /// # Errors
    /// When there is no memory for the pages that are free: the disk is full.
    pub fn finish(self) -> Result<Cache, OpenError> {
        let pages = self.plan.pages_in_budget();
        self.finish_within(pages)
    }

    /// The same, where fewer pages may be used at first than the plan has: what is restored gives up the oldest items
    /// until it has no more, and no memory is asked for that the others would take. A new cache has all of its pages.
    ///
    /// # Errors
    /// As [`Opening::finish`].
    pub fn finish_within(self, pages: usize) -> Result<Cache, OpenError> {
        (0..self.parts()).for_each(|part| self.restore(part));
        let restored = match self.restored {
            Restored::Items { .. } => Restored::Items {
                items: self.items.into_inner(),
                forgotten: self.forgotten.into_inner(),
                unordered: self.unordered.into_inner(),
            },
            other => other,
        };
        let shards = self
            .shards
            .into_iter()
            .filter_map(|shard| shard.into_inner().map(Shard::new))
            .collect();
        superblock::set_made(&self.region.arena, true);
        let pages = pages.min(self.plan.pages_in_budget());
        let cache = Cache {
            plan: self.plan,
            region: self.region,
            shards,
            round: Mutex::default(),
            cleaning: Mutex::default(),
            resizing: Mutex::new(()),
            exporting: Mutex::new(()),
            large: Default::default(),
            unix_zero: self.unix_zero,
            restored,
        };
        if matches!(restored, Restored::Items { .. }) {
            let shards = || cache.shards.iter().map(|shard| shard.lock(&cache.region));
            let bytes_of_all = shards().map(|state| state.held_bytes()).sum();
            shards().for_each(|mut state| state.begin_epochs(bytes_of_all));
            cache
                .fit(pages)
                .map_err(|error| file_error(&cache.plan, error))?;
        }
        Ok(cache)
    }
}

impl Cache {
    /// Retires what is more than the budget holds, and sees to it that there is memory for the rest.
    fn fit(&self, pages: usize) -> std::io::Result<()> {
        self.resize(pages, usize::MAX, Tick::ZERO)?;
        let (region, geometry) = (&self.region, &self.region.geometry);
        region.pool.for_each_in_use(region.pages(), |pages| {
            let count = pages.len() * geometry.page_bytes / WORD_BYTES;
            region.arena.provide(geometry.page_word(pages.start), count)
        })
    }
}

/// Copies the tables of an arena to where they are when it has grown. Until that is said, the old ones count.
fn grow(arena: &Arena, from: &Geometry, to: &Geometry) {
    let end = to.directory_word + to.directory_stride * SHARD_COUNT;
    arena.clear_words(to.page_table_word, end - to.page_table_word);
    let entries = from.page_count * PAGE_META_WORDS;
    arena.copy_words(from.page_table_word, to.page_table_word, entries);
    for shard_no in 0..SHARD_COUNT {
        arena.copy_words(
            from.directory_word + shard_no * from.directory_stride,
            to.directory_word + shard_no * to.directory_stride,
            from.directory_stride,
        );
    }
    // What they were in, if it was pages, is free.
    let table = PageTable::new(arena, to);
    for page_no in from.table_pages() {
        table.set(page_no, PageMeta::EMPTY);
    }
}

fn file_error(plan: &Plan, error: std::io::Error) -> OpenError {
    match &plan.options().backing {
        Backing::File(path) => OpenError::File(path.clone(), error),
        _ => OpenError::Memory(error),
    }
}

/// What the arena says of itself now that it is locked.
fn again(arena: &Arena) -> Result<Superblock, Unusable> {
    let mut head = [0; superblock::HEAD_BYTES];
    arena.copy_out(0, &mut head);
    let len = arena.len_bytes() as u64;
    Superblock::read(&head, len)
}
