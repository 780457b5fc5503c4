//! Every constant of the engine's memory, and how they hang together.
//!
//! ```text
//! arena ┌───────────┬───────────────┬────────────┬───────────┬──────┬────────┬────────┬───
//!       │superblock │ shard headers │ page table │ directory │ pad  │ page 0 │ page 1 │ …
//!       └───────────┴───────────────┴────────────┴───────────┴──────┴────────┴────────┴───
//!        4 KiB       16 × 128 B      24 B a page  4 B a page         page_bytes each
//! ```
//!
//! All positions are word numbers (a word is 8 bytes) from the arena's start, so
//! that they mean the same wherever the arena is mapped. Knows no item and no lock.

use std::ops::Range;

use static_assertions::const_assert;

use crate::chunk_ref::{CHUNK_REF_BITS, ChunkRef};
use crate::slab::size_class::{CHUNK_BYTES_MIN, SizeClasses};

/// Bytes in a word, the only unit in which the arena is read and written.
pub(crate) const WORD_BYTES: usize = 8;
/// Bytes of a cache line.
pub(crate) const LINE_BYTES: usize = 64;
/// Shards of the cache: the top four hash bits pick one.
pub(crate) const SHARD_COUNT: usize = 16;
/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 16 << 10;
/// A key up to this long lies before the value, whole; a longer one goes on at the value's front.
pub(crate) const SHORT_KEY_BYTES_MAX: usize = 250;

/// The first bytes of every arena.
pub(crate) const SUPERBLOCK_BYTES: usize = 4096;
/// Two cache lines, because the adjacent-line prefetcher pairs them.
pub(crate) const SHARD_HEADER_BYTES: usize = 128;
pub(crate) const SHARD_HEADER_WORDS: usize = SHARD_HEADER_BYTES / WORD_BYTES;
/// Three words of bookkeeping a page: see `slab::page`.
pub(crate) const PAGE_META_WORDS: usize = 3;
/// A directory entry names one page of index buckets.
pub(crate) const DIRECTORY_ENTRY_BYTES: usize = 4;
/// One cache line a bucket.
pub(crate) const BUCKET_WORDS: usize = 8;
pub(crate) const BUCKET_BYTES: usize = BUCKET_WORDS * WORD_BYTES;
/// Of sixteen lines of an index's page so many are for ghosts, the last ones. With four, each item could have one, and would
/// cost 0.6 bytes more.
const GHOST_LINES_IN_16: usize = 3;

const_assert!(SHARD_COUNT.is_power_of_two());
const_assert!(SHARD_HEADER_BYTES.is_multiple_of(WORD_BYTES));
const_assert!(SUPERBLOCK_BYTES.is_multiple_of(SHARD_HEADER_BYTES));
const_assert!(CHUNK_BYTES_MIN.is_multiple_of(WORD_BYTES));
// A free chunk keeps its link in word 0 and its kind in word 1.
const_assert!(CHUNK_BYTES_MIN >= 2 * WORD_BYTES);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Small pages in small budgets: 16 shards times 50 classes, each with a page half empty,
/// cost 1.6 MB at 4 KiB, and would cost 400 MB at memcached's 1 MiB. Larger ones as soon as
/// they are affordable: their divisors are closer together, which is what decides how well a
/// size class fits above 250 bytes.
///
/// And never smaller than the OS's, which are 16 or 64 KiB on some machines: a part of one cannot be given back.
pub(crate) const fn page_bytes_for(budget_bytes: usize, os_page_bytes: usize) -> usize {
    let page_bytes = if budget_bytes <= 24 * MIB {
        PAGE_BYTES_MIN
    } else if budget_bytes <= 128 * MIB {
        8 * KIB
    } else if budget_bytes <= 2 * GIB {
        16 * KIB
    } else {
        PAGE_BYTES_MAX
    };
    if page_bytes < os_page_bytes && os_page_bytes <= PAGE_BYTES_MAX {
        os_page_bytes
    } else {
        page_bytes
    }
}

/// The length of a value's part in a page is a number of 16 bits.
pub(crate) const PAGE_BYTES_MAX: usize = 64 * KIB;
/// The smallest pages that there are.
pub(crate) const PAGE_BYTES_MIN: usize = 4 * KIB;
/// The page table has 24 bits for a page's number and one.
pub(crate) const PAGE_COUNT_MAX: usize = 1 << 24;

/// A `ChunkRef` counts granules. They are words up to 8 GiB, and double from there.
pub(crate) const fn granule_shift_for(budget_bytes: usize) -> u32 {
    let mut shift = 3;
    while budget_bytes > 1 << (CHUNK_REF_BITS + shift) {
        shift += 1;
    }
    shift
}

/// Past this the granule would pass the bucket's 64 bytes.
pub(crate) const BUDGET_BYTES_MAX: usize = 1 << (CHUNK_REF_BITS + 6);

/// What a geometry follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Places {
    pub page_bytes: usize,
    pub granule_shift: u32,
    pub page_count: usize,
    pub page_table_word: usize,
    pub directory_word: usize,
    pub first_page_word: usize,
}

/// Where everything is. Immutable after the cache is opened.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// All of the arena, in words.
    pub arena_words: usize,
    pub headers_word: usize,
    pub page_table_word: usize,
    pub directory_word: usize,
    /// Directory entries of one shard (even, so that shards never share a word).
    pub directory_entries: usize,
    /// Words of a shard's part of the directory.
    pub directory_stride: usize,
    pub first_page_word: usize,
    pub page_count: usize,
    pub page_bytes: usize,
    pub page_shift: u32,
    /// log2 of the granule in bytes.
    pub granule_shift: u32,
    pub classes: SizeClasses,
    buckets_per_page: u32,
    /// What to multiply by instead of dividing by it.
    buckets_reciprocal: u64,
}

/// The reciprocal of a page's buckets has so many bits behind the point. Exact for as many buckets as the most pages have.
const RECIPROCAL_SHIFT: u32 = 40;
const_assert!(
    PAGE_COUNT_MAX / SHARD_COUNT * (PAGE_BYTES_MAX / BUCKET_BYTES).pow(2) <= 1 << RECIPROCAL_SHIFT
);

impl Geometry {
    /// Lays out `page_count` pages; the caller has checked that they fit its budget.
    pub fn new(budget_bytes: usize, page_count: usize, os_page_bytes: usize) -> Self {
        let page_bytes = page_bytes_for(budget_bytes, os_page_bytes);
        Geometry::of_pages(page_bytes, granule_shift_for(budget_bytes), page_count)
    }

    /// Lays out `page_count` pages of `page_bytes`.
    pub fn of_pages(page_bytes: usize, granule_shift: u32, page_count: usize) -> Self {
        let page_table_word = SUPERBLOCK_BYTES / WORD_BYTES + SHARD_COUNT * SHARD_HEADER_WORDS;
        let directory_word = page_table_word + page_count * PAGE_META_WORDS;
        let directory_end = directory_word + directory_words_for(page_count);
        let places = Places {
            page_bytes,
            granule_shift,
            page_count,
            page_table_word,
            directory_word,
            first_page_word: directory_end.next_multiple_of(page_bytes / WORD_BYTES),
        };
        Geometry::of(places)
    }

    /// The geometry whose parts are at these places.
    pub fn of(places: Places) -> Self {
        let Places {
            page_bytes,
            granule_shift,
            page_count,
            page_table_word,
            directory_word,
            first_page_word,
        } = places;
        let lines_per_page = page_bytes / BUCKET_BYTES;
        let buckets_per_page = lines_per_page - lines_per_page / 16 * GHOST_LINES_IN_16;
        Geometry {
            arena_words: first_page_word + page_count * (page_bytes / WORD_BYTES),
            headers_word: SUPERBLOCK_BYTES / WORD_BYTES,
            page_table_word,
            directory_word,
            directory_entries: directory_entries_for(page_count),
            directory_stride: directory_words_for(page_count) / SHARD_COUNT,
            first_page_word,
            page_count,
            page_bytes,
            page_shift: page_bytes.trailing_zeros(),
            granule_shift,
            classes: SizeClasses::new(page_bytes, 1 << granule_shift),
            buckets_per_page: buckets_per_page as u32,
            buckets_reciprocal: (1 << RECIPROCAL_SHIFT) / buckets_per_page as u64 + 1,
        }
    }

    /// The pages in which its page table and its directory are: none unless the arena has grown.
    pub fn table_pages(&self) -> Range<usize> {
        if self.page_table_word < self.first_page_word {
            return 0..0;
        }
        let end = self.directory_word + directory_words_for(self.page_count);
        let first = self.page_of_word(self.page_table_word);
        first..self.page_of_word(end - 1) + 1
    }

    /// Pages for items and index.
    pub fn usable_pages(&self) -> usize {
        self.page_count - self.table_pages().len()
    }

    /// The same arena with as many pages as `bytes` more hold; `None` if that is no more than the tables of them would
    /// need, or more than names of chunks reach. Nothing moves but the tables, behind what is there.
    pub fn grown(&self, bytes: usize) -> Option<Geometry> {
        let names_reach = 1usize << (CHUNK_REF_BITS + self.granule_shift);
        let bytes = bytes.min(names_reach.saturating_sub(self.arena_words * WORD_BYTES));
        let places = Places {
            page_count: self.page_count + bytes / self.page_bytes,
            page_table_word: self.arena_words,
            directory_word: 0,
            ..self.places()
        };
        let directory_word = places.page_table_word + places.page_count * PAGE_META_WORDS;
        let grown = Geometry::of(Places {
            directory_word,
            ..places
        });
        let tables_end = directory_word + directory_words_for(grown.page_count);
        (tables_end <= grown.arena_words && grown.usable_pages() > self.usable_pages())
            .then_some(grown)
    }

    /// Where its parts are.
    pub fn places(&self) -> Places {
        Places {
            page_bytes: self.page_bytes,
            granule_shift: self.granule_shift,
            page_count: self.page_count,
            page_table_word: self.page_table_word,
            directory_word: self.directory_word,
            first_page_word: self.first_page_word,
        }
    }

    /// The first word that `chunk` names.
    #[inline(always)]
    pub fn word_of(&self, chunk: ChunkRef) -> usize {
        (chunk.granule() as usize) << (self.granule_shift - 3)
    }

    /// The name of the chunk that starts at `word`.
    #[inline(always)]
    pub fn chunk_at(&self, word: usize) -> ChunkRef {
        ChunkRef::from_granule((word >> (self.granule_shift - 3)) as u32)
    }

    /// The page that holds `word`; only meaningful for words past `first_page_word`.
    #[inline(always)]
    pub fn page_of_word(&self, word: usize) -> usize {
        (word - self.first_page_word) >> (self.page_shift - 3)
    }

    /// The page that holds `chunk`.
    #[inline(always)]
    pub fn page_of(&self, chunk: ChunkRef) -> usize {
        self.page_of_word(self.word_of(chunk))
    }

    /// The first word of page `page_no`.
    #[inline(always)]
    pub fn page_word(&self, page_no: usize) -> usize {
        self.first_page_word + (page_no << (self.page_shift - 3))
    }

    /// Whether `len` bytes at byte `at` of the arena lie within its pages. Every length that
    /// was read without a lock passes through here before it is used.
    #[inline(always)]
    pub fn in_pages(&self, at: usize, len: usize) -> bool {
        let end = self.arena_words * WORD_BYTES;
        at >= self.first_page_word * WORD_BYTES && at <= end && len <= end - at
    }

    /// The word of `shard_no`'s header: what readers load before they probe.
    #[inline(always)]
    pub fn header_word(&self, shard_no: usize) -> usize {
        self.headers_word + shard_no * SHARD_HEADER_WORDS
    }

    /// Lines for ghosts in a page of the index: its last ones.
    #[inline(always)]
    pub fn ghost_lines_per_page(&self) -> usize {
        self.page_bytes / BUCKET_BYTES / 16 * GHOST_LINES_IN_16
    }

    /// Index buckets in a page.
    #[inline(always)]
    pub fn buckets_per_page(&self) -> usize {
        self.buckets_per_page as usize
    }

    /// The number of a bucket's page among the index's, and which one it is there.
    #[inline(always)]
    pub fn bucket_position(&self, bucket_no: u32) -> (usize, usize) {
        let page = (u64::from(bucket_no).wrapping_mul(self.buckets_reciprocal)) >> RECIPROCAL_SHIFT;
        let within = bucket_no.wrapping_sub((page as u32).wrapping_mul(self.buckets_per_page));
        (page as usize, within as usize)
    }

    /// A number that two arenas share only if each could read the other.
    pub fn layout_hash(&self) -> u64 {
        let mut seed = 0xF1A6_5704u64;
        let mut mix = |value: usize| {
            seed = (seed ^ value as u64)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(23);
        };
        for value in [
            self.arena_words,
            self.page_table_word,
            self.directory_word,
            self.directory_entries,
            self.first_page_word,
            self.page_count,
            self.page_bytes,
            self.granule_shift as usize,
            SHARD_COUNT,
            PAGE_META_WORDS,
            BUCKET_WORDS,
            self.buckets_per_page(),
        ] {
            mix(value);
        }
        for class in 0..self.classes.count() {
            mix(self.classes.chunk_bytes(class));
        }
        seed
    }

    /// The word of a shard's header in which the last CAS number that it gave out is kept: not on the line that
    /// readers load.
    pub fn cas_word(&self, shard_no: usize) -> usize {
        self.header_word(shard_no) + SHARD_HEADER_WORDS / 2
    }

    /// The word of a shard's header in which the time of its ghosts is kept.
    pub fn ghost_word(&self, shard_no: usize) -> usize {
        self.cas_word(shard_no) + 1
    }
}

/// A shard's index may take every sixteenth page, which is four times what 50-byte items need.
pub(crate) const fn directory_entries_for(page_count: usize) -> usize {
    (page_count.div_ceil(SHARD_COUNT) + 1).next_multiple_of(2)
}

/// Words of all shards' parts of the directory.
pub(crate) const fn directory_words_for(page_count: usize) -> usize {
    SHARD_COUNT * directory_entries_for(page_count) * DIRECTORY_ENTRY_BYTES / WORD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buckets_page_is_what_a_division_says() {
        for page_bytes in [PAGE_BYTES_MIN, 8 * KIB, 16 * KIB, 32 * KIB, PAGE_BYTES_MAX] {
            let geometry = Geometry::of_pages(page_bytes, 3, 64);
            let buckets = geometry.buckets_per_page();
            let lines = page_bytes / BUCKET_BYTES;
            assert_eq!(buckets + geometry.ghost_lines_per_page(), lines);
            let pages = PAGE_COUNT_MAX / SHARD_COUNT + 2;
            let near = [1, 2, 3, 1000, pages / 2, pages - 1, pages];
            for page in near {
                for bucket_no in page * buckets - 2..page * buckets + 2 {
                    let expected = (bucket_no / buckets, bucket_no % buckets);
                    assert_eq!(geometry.bucket_position(bucket_no as u32), expected);
                }
            }
        }
    }
}
