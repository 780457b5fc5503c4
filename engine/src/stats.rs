//! What the writers count. Hits and misses are the callers' to count, each in a place of
//! its own: a counter here would make every read write shared memory.

use crate::space::DATABASES;

/// One shard's counters, under its lock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub items: u64,
    pub item_bytes: u64,
    pub sets: u64,
    pub deletes: u64,
    pub touches: u64,
    /// By the segment that they left.
    pub evictions: [u64; 2],
    /// The age of the last one that was looked at, by segment.
    pub evicted_age_bytes: [u64; 2],
    pub expired: Expired,
    pub flushed: u64,
    pub pages_moved: u64,
    pub items_moved: u64,
}

/// Items whose deadline had passed, by what reclaimed them. A read does not: it finds nothing,
/// and leaves what is there to the sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// The sweep, in its round or because room was needed.
    pub swept: u64,
    /// Eviction, which met them at the end of a list.
    pub evicted: u64,
    /// A store of another value under their key.
    pub replaced: u64,
    /// A delete of their key, which found nothing alive.
    pub deleted: u64,
}

impl Expired {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.swept + self.evicted + self.replaced + self.deleted
    }
}

/// A snapshot over all shards. Each shard is consistent in itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items that are linked now; some may have expired and not been reclaimed yet.
    pub items: u64,
    /// The same by database, without those that were flushed.
    pub databases: [u64; DATABASES],
    /// Their keys and values, in bytes, with the four that stand before a short key of another database than 0.
    pub item_bytes: u64,
    /// Stores that were carried out.
    pub sets: u64,
    /// Items that were deleted.
    pub deletes: u64,
    /// Deadlines that were changed.
    pub touches: u64,
    /// Live items that had to leave to make room.
    pub evictions: u64,
    /// Of them, those that had been asked for since they were stored: they left the main list,
    /// not probation.
    pub evictions_main: u64,
    /// How long the items that left probation of late had been on it, in bytes inserted into
    /// the cache: an estimate. 0 before the first.
    pub evicted_age_probation_bytes: u64,
    /// The same, of those that left main.
    pub evicted_age_main_bytes: u64,
    /// Bytes of items on probation, about: chunks, and what continues them.
    pub probation_bytes: u64,
    /// The same on the main list.
    pub main_bytes: u64,
    /// The share of probation that is aimed at, in percent: it follows what is asked for.
    pub probation_percent: u64,
    /// Hits with which an item at the end of probation goes on to main; 0: none do, only items that come back
    /// after they were evicted.
    pub probation_hits: u64,
    /// How often these two have changed.
    pub probation_changes: u64,
    /// Expired items that were reclaimed.
    pub expired: Expired,
    /// Items that a flush removed.
    pub flushed: u64,
    /// Pages that were emptied so that another class or shard could have them.
    pub pages_moved: u64,
    /// Items that changed their place for that.
    pub items_moved: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages that nobody uses, those included that a flush left and that were not taken back yet.
    pub pages_free: u64,
    /// Pages whose memory was given back to the OS: see [`Cache::resize`](crate::Cache::resize).
    pub pages_retired: u64,
    /// Pages with items.
    pub pages_items: u64,
    /// Pages of the index.
    pub pages_index: u64,
    /// Buckets of the index, overflow buckets not counted.
    pub index_buckets: u64,
    /// Items that are being streamed out.
    pub pinned: u64,
    /// Chunk bytes that stores ever took: the clock of [`ClassStats::tail_age_bytes`].
    pub inserted_bytes: u64,
}

/// One size class over all shards, or the pages of runs, of which the units are its chunks: see [`Cache::classes`](crate::Cache::classes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Its number, from 0: the smallest chunks.
    pub class: usize,
    /// See [`ClassStats::is_runs`].
    pub(crate) runs: bool,
    /// Bytes of each of its chunks.
    pub chunk_bytes: u64,
    /// Pages that it owns.
    pub pages: u64,
    /// Chunks of a page.
    pub chunks_per_page: u64,
    /// Chunks in those pages.
    pub chunks: u64,
    /// Those with an item or a piece of one in them, or reserved for one.
    pub chunks_used: u64,
    /// Items whose first piece lies here and that have yet to prove themselves.
    pub items_probation: u64,
    /// Items whose first piece lies here and that were asked for.
    pub items_main: u64,
    /// Live items of the class that had to leave to make room.
    pub evictions: u64,
    /// The age of its oldest items, in bytes inserted into the cache since they were: an
    /// estimate, of the shard where it is greatest. 0 without items.
    pub tail_age_bytes: u64,
}

impl ClassStats {
    /// Whether this is no size class but the pages of runs: no item begins there, and the chunks are units.
    #[must_use]
    pub fn is_runs(&self) -> bool {
        self.runs
    }

    /// Items whose first piece lies here.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items_probation + self.items_main
    }
}

impl Stats {
    /// Adds one shard's. Ages are summed: they are to be divided by the shards that have one.
    pub(crate) fn add(&mut self, counters: &Counters) {
        self.items += counters.items;
        self.item_bytes += counters.item_bytes;
        self.sets += counters.sets;
        self.deletes += counters.deletes;
        self.touches += counters.touches;
        self.evictions += counters.evictions.iter().sum::<u64>();
        self.evictions_main += counters.evictions[1];
        let [probation, main] = counters.evicted_age_bytes;
        self.evicted_age_probation_bytes += probation;
        self.evicted_age_main_bytes += main;
        self.expired.swept += counters.expired.swept;
        self.expired.evicted += counters.expired.evicted;
        self.expired.replaced += counters.expired.replaced;
        self.expired.deleted += counters.expired.deleted;
        self.flushed += counters.flushed;
        self.pages_moved += counters.pages_moved;
        self.items_moved += counters.items_moved;
    }
}

/// What [`Cache::audit`](crate::Cache::audit) counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Linked items.
    pub items: usize,
    /// Further pieces of linked or reserved items.
    pub pieces: usize,
    /// First pieces of items that are being filled, or that only a pin still holds.
    pub reserved_chunks: usize,
    /// Those among them that only a pin still holds.
    pub orphans: usize,
    /// Chunks that are free within the pages of a class.
    pub free_chunks: usize,
    /// Bytes of those, and of chunks that were never handed out, in pages with items.
    pub free_bytes: usize,
    /// Bytes of headers, fields, keys and values: what chunks hold, less what they round up.
    pub used_bytes: usize,
    /// Pages with items.
    pub item_pages: usize,
    /// Pages of the index.
    pub index_pages: usize,
    /// Pages in the pool.
    pub free_pages: usize,
    /// Pages whose memory was given back.
    pub retired_pages: usize,
    /// Pages that a flush left and that were not taken back yet.
    pub flushed_pages: usize,
}
