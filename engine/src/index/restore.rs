//! An index that another process left, taken over where it lies.
//!
//! Whoever opens an arena anew is one more reader of it: what a bucket names while its stamp is even is whole, because
//! at any moment a reader might come. Where the stamp is odd a writer was at work, and what the bucket holds is forgotten.

use super::bucket::{Bucket, SLOTS, link_of};
use super::{Extent, Index};
use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::Geometry;
use crate::stamp::{StdFences, Writing};

/// What is known of the chunks that an index names.
pub(crate) trait Chunks {
    /// Whether the chunk is a whole item that belongs into this bucket, and was not taken before. It is taken now.
    fn take(&mut self, index: &Index, bucket_no: u32, tag: u8, chunk: ChunkRef) -> bool;
    /// It was taken, and is given back.
    fn give_back(&mut self, chunk: ChunkRef);
    /// The overflow bucket there, if it is one and was not taken before. It is taken now.
    fn take_overflow(&mut self, link: ChunkRef) -> Option<Bucket>;
    /// It was taken, and is given back.
    fn give_back_overflow(&mut self, bucket: Bucket);
}

/// One slot of a chain.
#[derive(Clone, Copy)]
struct Entry {
    tag: u8,
    chunk: ChunkRef,
    marks: u32,
}

impl Index {
    /// The index that the arena holds for a shard, still to be gone through; `None` if it cannot be one. `take_page` says
    /// whether a page is one of the shard's for buckets, and was not taken before.
    pub fn found(
        arena: &Arena,
        geometry: &Geometry,
        shard_no: usize,
        mut take_page: impl FnMut(usize) -> bool,
    ) -> Option<Index> {
        let mut index = Index::new(geometry, shard_no);
        index.extent = Extent::load(arena, index.header_word);
        index.ghost_epoch = arena.load(index.ghost_word) as u32;
        let pages = index.pages(geometry);
        index.follow_extent(geometry);
        let is_one = index.buckets() >= geometry.buckets_per_page()
            && pages <= index.directory_entries
            && (0..pages).all(|entry| take_page(index.directory_get(arena, entry)));
        is_one.then_some(index)
    }

    /// Goes through all chains: what `chunks` does not know is forgotten. Returns how many slots that were.
    pub fn restore(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        chunks: &mut impl Chunks,
    ) -> usize {
        let mut forgotten = 0;
        let mut kept = Vec::new();
        let mut overflows = Vec::new();
        for bucket_no in 0..self.extent.buckets() {
            kept.clear();
            overflows.clear();
            let primary = self.bucket(arena, geometry, bucket_no);
            if let Some(ahead) = (bucket_no + AHEAD < self.extent.buckets())
                .then(|| self.bucket(arena, geometry, bucket_no + AHEAD))
            {
                // Of a bucket that is near its line is there, of one that is nearer its items are.
                arena.prefetch(ahead.0);
            }
            if let Some(ahead) = (bucket_no + AHEAD / 2 < self.extent.buckets())
                .then(|| self.bucket(arena, geometry, bucket_no + AHEAD / 2))
            {
                for slot in 0..ahead.used(arena) {
                    arena.prefetch(geometry.word_of(ahead.slot(arena, slot).0));
                }
            }
            if is_being_written(arena, primary) {
                forgotten += primary.used(arena);
                self.rewrite(arena, primary, &[]);
                continue;
            }
            let whole = self.walk(arena, bucket_no, primary, chunks, &mut kept, &mut overflows);
            if let Err(missed) = whole {
                for entry in kept.drain(SLOTS.min(kept.len())..) {
                    chunks.give_back(entry.chunk);
                    forgotten += 1;
                }
                overflows
                    .drain(..)
                    .for_each(|bucket| chunks.give_back_overflow(bucket));
                forgotten += missed;
                self.rewrite(arena, primary, &kept);
            }
            self.items += kept.len();
        }
        forgotten
    }

    /// Takes what a chain names. `Err`: it is not as a chain is, and so many of its slots name nothing.
    fn walk(
        &self,
        arena: &Arena,
        bucket_no: u32,
        primary: Bucket,
        chunks: &mut impl Chunks,
        kept: &mut Vec<Entry>,
        overflows: &mut Vec<Bucket>,
    ) -> Result<(), usize> {
        let mut missed = 0;
        let mut is_chain = true;
        let mut bucket = primary;
        loop {
            let used = bucket.used(arena);
            for slot in 0..used {
                let tag = bucket.tag(arena, slot);
                let (chunk, marks) = bucket.slot(arena, slot);
                if chunks.take(self, bucket_no, tag, chunk) {
                    kept.push(Entry { tag, chunk, marks });
                } else {
                    missed += 1;
                }
            }
            // The used slots are the first ones, and an overflow bucket has two or more.
            is_chain &= (used..SLOTS).all(|slot| bucket.tag(arena, slot) == 0);
            is_chain &= bucket == primary || used > 1;
            let link = match used {
                SLOTS => None,
                _ => link_of(bucket.half(arena, SLOTS - 1)),
            };
            let Some(link) = link else {
                break;
            };
            match chunks.take_overflow(link) {
                Some(next) if used == SLOTS - 1 => {
                    overflows.push(next);
                    bucket = next;
                }
                Some(next) => {
                    overflows.push(next);
                    is_chain = false;
                    break;
                }
                None => {
                    is_chain = false;
                    break;
                }
            }
        }
        if missed == 0 && is_chain {
            Ok(())
        } else {
            Err(missed)
        }
    }

    /// Makes the chain one bucket with these entries.
    fn rewrite(&self, arena: &Arena, primary: Bucket, entries: &[Entry]) {
        let writing = Writing::<_, StdFences>::resume(arena.word(primary.0));
        primary.clear_slots(arena);
        for (slot, entry) in entries.iter().enumerate() {
            primary.set_slot(arena, slot, entry.tag, entry.chunk, entry.marks);
        }
        writing.end();
    }
}

/// Whether a writer was at work in the chain.
fn is_being_written(arena: &Arena, primary: Bucket) -> bool {
    #[cfg(test)]
    if crate::arena::crash::trusts_writers() {
        return false;
    }
    arena.load(primary.0) & 1 == 1
}

/// Buckets that are asked for ahead of the one that is looked at.
const AHEAD: u32 = 8;
