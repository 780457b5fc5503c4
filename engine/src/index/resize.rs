//! More buckets and fewer: one is split, or the last one merged, when the load asks for it.
//!
//! A reader in a bucket that is split or merged notices by the bucket's stamp. One that computed the
//! bucket's number before notices by the extent.

use std::sync::atomic::Ordering;

use super::bucket::{Bucket, SLOTS};
use super::chain::{
    chain_end, chain_entries, chain_overflows, overflows_for, push_overflow, settle, take_out,
};
use super::{Extent, Index};
use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, WORD_BYTES};
use crate::hash::KeyHash;
use crate::stamp::{self, StdFences, Writing};

/// Split above this load. Of the 12 slots, so that few hits need a second line.
const ITEMS_PER_BUCKET: usize = 10;
/// Merge below this load: far enough from the other that a page does not come and go.
const ITEMS_PER_BUCKET_MIN: usize = 4;
/// Below this load hardly any chain is full.
const ITEMS_PER_BUCKET_SPARSE: usize = 5;

impl Index {
    /// Whether an insert would be better off with one more bucket.
    pub fn wants_growth(&self) -> bool {
        self.items >= self.buckets() * ITEMS_PER_BUCKET
    }

    /// Whether there are so few items that hardly any chain is full: at five a bucket one in 500 is.
    pub fn is_sparse(&self) -> bool {
        self.items < self.buckets() * ITEMS_PER_BUCKET_SPARSE
    }

    /// Whether one bucket fewer would do.
    pub fn wants_shrink(&self, geometry: &Geometry) -> bool {
        self.buckets() > geometry.buckets_per_page()
            && self.items < self.buckets() * ITEMS_PER_BUCKET_MIN
    }

    /// Whether the next bucket needs a page, and the directory has room for it.
    pub fn growth_needs_page(&self, geometry: &Geometry) -> Option<bool> {
        let (page, within) = geometry.bucket_position(self.buckets() as u32);
        if within != 0 {
            return Some(false);
        }
        (page < self.directory_entries).then_some(true)
    }

    /// The first page: all its buckets at once, empty.
    pub fn open(&mut self, arena: &Arena, geometry: &Geometry, page_no: usize) {
        debug_assert_eq!(self.buckets(), 0);
        self.add_page(arena, geometry, page_no, 0);
        self.set_extent(arena, geometry, geometry.buckets_per_page());
    }

    /// Makes `page_no` the home of buckets from `entry` on.
    fn add_page(&mut self, arena: &Arena, geometry: &Geometry, page_no: usize, entry: usize) {
        stamp::before_reuse::<StdFences>();
        arena.clear_words(
            geometry.page_word(page_no),
            geometry.page_bytes / WORD_BYTES,
        );
        self.directory_set(arena, entry, page_no);
    }

    fn set_extent(&mut self, arena: &Arena, geometry: &Geometry, buckets: usize) {
        let changes = (self.extent.0 >> 32).wrapping_add(1);
        self.extent = Extent(changes << 32 | buckets as u64);
        self.follow_extent(geometry);
        // Release: pairs with `Extent::load`; publishes the directory and the new bucket.
        arena
            .word(self.header_word)
            .store(self.extent.0, Ordering::Release);
    }

    /// Splits one bucket. `page` is there if [`Index::growth_needs_page`] said so.
    ///
    /// `hash_of` rehashes an item's key; `spare` gives an overflow bucket, at least
    /// [`Index::split_spares`] times, and `unneeded` takes one back.
    pub fn split(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        page: Option<usize>,
        hash_of: impl Fn(ChunkRef) -> KeyHash,
        mut spare: impl FnMut() -> Option<Bucket>,
        mut unneeded: impl FnMut(Bucket),
    ) {
        let new_no = self.extent.buckets();
        if let Some(page_no) = page {
            let (entry, _) = geometry.bucket_position(new_no);
            self.add_page(arena, geometry, page_no, entry);
        }
        let level = 1u32 << (31 - new_no.leading_zeros());
        let old = self.bucket(arena, geometry, new_no - level);
        let new = self.bucket(arena, geometry, new_no);
        let writing = old.begin_writing(arena);
        // The new bucket is private until the extent is stored, but not zero: a merge may
        // have left it behind. Its stamp only ever grows.
        new.clear_slots(arena);
        let (mut bucket, mut slot) = (old, 0);
        while let Some((at, index)) = settle(arena, geometry, bucket, slot) {
            (bucket, slot) = (at, index);
            let (chunk, marks) = bucket.slot(arena, slot);
            let hash = hash_of(chunk);
            if hash.bucket_bits() & level == 0 {
                slot += 1;
                continue;
            }
            let (mut last, mut used) = chain_end(arena, geometry, new);
            if used == SLOTS {
                let more = spare().expect("the caller made sure of the spares");
                push_overflow(arena, geometry, last, more);
                (last, used) = chain_end(arena, geometry, new);
            }
            last.set_slot(arena, used, hash.tag(), chunk, marks);
            if let Some(freed) = take_out(arena, geometry, old, bucket, slot) {
                if freed == bucket {
                    // The bucket under the cursor is gone; its last entry moved to the slot before.
                    (bucket, slot) = (old, 0);
                }
                unneeded(freed);
            }
        }
        self.set_extent(arena, geometry, new_no as usize + 1);
        writing.end();
    }

    /// How many overflow buckets the split of the next bucket could need at most.
    pub fn split_spares(&self, arena: &Arena, geometry: &Geometry) -> usize {
        let new_no = self.extent.buckets();
        let level = 1u32 << (31 - new_no.leading_zeros());
        chain_overflows(
            arena,
            geometry,
            self.bucket(arena, geometry, new_no - level),
        )
    }

    /// How many overflow buckets [`Index::merge`] will need: both chains' entries are one chain's then, and those
    /// of the chain that goes are given back only afterwards.
    pub fn merge_spares(&self, arena: &Arena, geometry: &Geometry) -> usize {
        let last_no = self.extent.buckets() - 1;
        let level = 1u32 << (31 - last_no.leading_zeros());
        let target = self.bucket(arena, geometry, last_no - level);
        let source = self.bucket(arena, geometry, last_no);
        let entries =
            chain_entries(arena, geometry, target) + chain_entries(arena, geometry, source);
        overflows_for(entries) - chain_overflows(arena, geometry, target)
    }

    /// Merges the last bucket into the one it was split from; returns its page if that is
    /// empty now.
    pub fn merge(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        mut spare: impl FnMut() -> Option<Bucket>,
        mut unneeded: impl FnMut(Bucket),
    ) -> Option<usize> {
        let last_no = self.extent.buckets() - 1;
        let level = 1u32 << (31 - last_no.leading_zeros());
        let target = self.bucket(arena, geometry, last_no - level);
        let source = self.bucket(arena, geometry, last_no);
        let writing_source = source.begin_writing(arena);
        let writing_target = target.begin_writing(arena);
        let mut walk = Some(source);
        while let Some(bucket) = walk {
            for slot in 0..bucket.used(arena) {
                let (chunk, marks) = bucket.slot(arena, slot);
                let (mut end, mut used) = chain_end(arena, geometry, target);
                if used == SLOTS {
                    let more = spare().expect("the caller made sure of the spares");
                    push_overflow(arena, geometry, end, more);
                    (end, used) = chain_end(arena, geometry, target);
                }
                end.set_slot(arena, used, bucket.tag(arena, slot), chunk, marks);
            }
            walk = bucket.overflow(arena, geometry);
            if bucket != source {
                unneeded(bucket);
            }
        }
        self.set_extent(arena, geometry, last_no as usize);
        source.clear_slots(arena);
        writing_target.end();
        writing_source.end();
        let (entry, within) = geometry.bucket_position(last_no);
        (within == 0).then(|| self.directory_get(arena, entry))
    }

    /// Begins anew with the buckets of the first page, emptied; returns that page, and how many others are not
    /// the index's any more. Overflow buckets are forgotten.
    ///
    /// A reader in another page notices by the extent, and one in the first by the stamps. A panic may have left
    /// some of these odd; they are even afterwards.
    pub fn set_aside(&mut self, arena: &Arena, geometry: &Geometry) -> (usize, usize) {
        let pages = self.pages(geometry);
        for bucket_no in 0..geometry.buckets_per_page() {
            let primary = self.bucket(arena, geometry, bucket_no as u32);
            let writing = Writing::<_, StdFences>::resume(arena.word(primary.0));
            primary.clear_slots(arena);
            writing.end();
        }
        self.items = 0;
        self.forget_ghosts(arena, geometry);
        self.set_extent(arena, geometry, geometry.buckets_per_page());
        (self.directory_get(arena, 0), pages - 1)
    }
}
