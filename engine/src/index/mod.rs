//! The index: which chunk may hold a key.
//!
//! Linear hashing (Litwin, 1980) over cache-line buckets: when there are more than
//! ten items a bucket, *one* bucket is split in two, so that the table
//! grows and shrinks with the items, a page at a time inside the budget, and no client
//! ever waits for a rebuild. A full bucket continues in an overflow bucket.
//!
//! Knows hashes, tags and `ChunkRef`s. Whether a candidate is the key that is looked for,
//! and what a candidate's hash is, it asks through closures.

pub(crate) mod bucket;
mod chain;
pub(crate) mod ghosts;
pub(crate) mod probe;
mod resize;
pub(crate) mod restore;

use bucket::{Bucket, SLOTS};
use chain::{chain_end, chain_overflows, push_overflow, take_out};
use std::sync::atomic::Ordering;

use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_WORDS, Geometry};
use crate::hash::{KeyHash, SCAN_PLACE_BITS};

/// What readers load first: how many buckets there are, and a count of all changes of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent(u64);

impl Extent {
    #[inline(always)]
    pub fn load(arena: &Arena, header_word: usize) -> Self {
        Extent(arena.word(header_word).load(Ordering::Acquire))
    }

    #[inline(always)]
    pub fn is_current(self, arena: &Arena, header_word: usize) -> bool {
        arena.load(header_word) == self.0
    }

    #[inline(always)]
    fn buckets(self) -> u32 {
        self.0 as u32
    }

    /// The bucket of `hash`: the low bits, one fewer where that bucket is not there yet.
    #[inline(always)]
    pub fn bucket_no(self, hash: KeyHash) -> u32 {
        self.bucket_no_by(self.mask(), hash)
    }

    /// The bits that number the buckets.
    #[inline(always)]
    fn mask(self) -> u32 {
        u32::MAX >> (self.buckets().wrapping_sub(1) | 1).leading_zeros()
    }

    /// The same where the caller has the mask at hand.
    #[inline(always)]
    fn bucket_no_by(self, mask: u32, hash: KeyHash) -> u32 {
        let bucket_no = hash.bucket_bits() & mask;
        if bucket_no >= self.buckets() {
            bucket_no & (mask >> 1)
        } else {
            bucket_no
        }
    }
}

/// A found slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The chain's first bucket, whose stamp guards it.
    pub primary: Bucket,
    /// The bucket of the slot.
    pub bucket: Bucket,
    pub slot: usize,
    pub chunk: ChunkRef,
    pub marks: u32,
}

/// The chain of a hash has no free slot, and an overflow bucket is needed for one.
#[derive(Debug)]
pub(crate) struct ChainFull;

/// One shard's index. Guarded by the shard's lock.
pub(crate) struct Index {
    header_word: usize,
    directory_word: usize,
    directory_entries: usize,
    /// Mirror of the extent word, and what follows from it.
    extent: Extent,
    mask: u32,
    items: usize,
    /// The time of ghosts, and where the arena remembers it.
    ghost_epoch: u32,
    ghost_word: usize,
    /// Pages whose lines of ghosts are in use.
    ghost_pages: u32,
    /// The line that was tidied last.
    ghost_hand: usize,
    /// Ghosts of this epoch.
    ghosts_lately: u32,
}

/// A bucket's word, through the shard's part of the directory.
#[inline(always)]
pub(crate) fn bucket_at(
    arena: &Arena,
    geometry: &Geometry,
    shard_no: usize,
    bucket_no: u32,
) -> Bucket {
    let (entry, within) = geometry.bucket_position(bucket_no);
    let first = geometry.directory_word + shard_no * geometry.directory_stride;
    let pair = arena.load(first + entry / 2);
    let page_no = (pair >> (32 * (entry % 2))) as u32 as usize;
    // A reader with a stale extent may find any number here; the extent is checked again.
    let page_no = page_no.min(geometry.page_count - 1);
    Bucket(geometry.page_word(page_no) + within * BUCKET_WORDS)
}

impl Index {
    /// An index without buckets; `grow` gives it the first page of them.
    pub fn new(geometry: &Geometry, shard_no: usize) -> Self {
        Index {
            header_word: geometry.header_word(shard_no),
            directory_word: geometry.directory_word + shard_no * geometry.directory_stride,
            directory_entries: geometry.directory_entries,
            extent: Extent(0),
            mask: 1,
            items: 0,
            ghost_epoch: 0,
            ghost_word: geometry.ghost_word(shard_no),
            ghost_pages: 0,
            ghost_hand: 0,
            ghosts_lately: 0,
        }
    }

    pub fn items(&self) -> usize {
        self.items
    }

    pub fn buckets(&self) -> usize {
        self.extent.buckets() as usize
    }

    #[inline(always)]
    fn directory_get(&self, arena: &Arena, entry: usize) -> usize {
        let pair = arena.load(self.directory_word + entry / 2);
        (pair >> (32 * (entry % 2))) as u32 as usize
    }

    fn directory_set(&self, arena: &Arena, entry: usize, page_no: usize) {
        let at = self.directory_word + entry / 2;
        let shift = 32 * (entry % 2);
        let pair = arena.load(at) & !(0xFFFF_FFFF << shift);
        arena.store(at, pair | (page_no as u64) << shift);
    }

    #[inline(always)]
    pub fn bucket(&self, arena: &Arena, geometry: &Geometry, bucket_no: u32) -> Bucket {
        let (entry, within) = geometry.bucket_position(bucket_no);
        let page_no = self.directory_get(arena, entry);
        Bucket(geometry.page_word(page_no) + within * BUCKET_WORDS)
    }

    /// The bucket that a chain for `hash` begins with.
    #[inline(always)]
    pub fn primary(&self, arena: &Arena, geometry: &Geometry, hash: KeyHash) -> Bucket {
        self.bucket(arena, geometry, self.bucket_no(hash))
    }

    /// The slot of `hash`'s chain whose tag fits and whose chunk `is_it`.
    #[inline(always)]
    pub fn find(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        hash: KeyHash,
        mut is_it: impl FnMut(ChunkRef) -> bool,
    ) -> Option<Place> {
        let primary = self.primary(arena, geometry, hash);
        // Nearly always the first whose tag fits is it, and a loop would prepare for more.
        match primary.matches(arena, hash.tag()).next() {
            Some(slot) => {
                let (chunk, marks) = primary.slot(arena, slot);
                if is_it(chunk) {
                    return Some(Place {
                        primary,
                        bucket: primary,
                        slot,
                        chunk,
                        marks,
                    });
                }
            }
            None => {
                primary.overflow(arena, geometry)?;
            }
        }
        Self::find_further(arena, geometry, (primary, hash.tag()), is_it)
    }

    /// The same, for keys that are further behind, or not there.
    #[cold]
    #[inline(never)]
    fn find_further(
        arena: &Arena,
        geometry: &Geometry,
        (primary, tag): (Bucket, u8),
        mut is_it: impl FnMut(ChunkRef) -> bool,
    ) -> Option<Place> {
        let mut bucket = primary;
        loop {
            for slot in bucket.matches(arena, tag) {
                let (chunk, marks) = bucket.slot(arena, slot);
                if is_it(chunk) {
                    return Some(Place {
                        primary,
                        bucket,
                        slot,
                        chunk,
                        marks,
                    });
                }
            }
            bucket = bucket.overflow(arena, geometry)?;
        }
    }

    /// Whether an item that is put into the chain `primary` needs an overflow bucket.
    #[inline]
    pub fn is_full(&self, arena: &Arena, geometry: &Geometry, primary: Bucket) -> bool {
        match primary.overflow(arena, geometry) {
            None => primary.tag(arena, SLOTS - 1) != 0,
            Some(_) => chain_end(arena, geometry, primary).1 == SLOTS,
        }
    }

    /// Puts `chunk` at the end of the chain `primary`, which is that of `hash`.
    #[inline(always)]
    pub fn insert(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        primary: Bucket,
        hash: KeyHash,
        chunk: ChunkRef,
    ) -> Result<(), ChainFull> {
        let (last, used) = chain_end(arena, geometry, primary);
        if used == SLOTS {
            return Err(ChainFull);
        }
        let writing = primary.begin_writing(arena);
        last.set_slot(arena, used, hash.tag(), chunk, 0);
        writing.end();
        self.items += 1;
        Ok(())
    }

    /// Appends the zeroed bucket `spare` to the full chain `primary`.
    pub fn extend(&mut self, arena: &Arena, geometry: &Geometry, primary: Bucket, spare: Bucket) {
        let writing = primary.begin_writing(arena);
        let (last, used) = chain_end(arena, geometry, primary);
        debug_assert_eq!(used, SLOTS);
        push_overflow(arena, geometry, last, spare);
        writing.end();
    }

    /// Points a slot at another chunk: the item was replaced, or has moved.
    pub fn redirect(&mut self, arena: &Arena, place: Place, chunk: ChunkRef, marks: u32) {
        let writing = place.primary.begin_writing(arena);
        let tag = place.bucket.tag(arena, place.slot);
        place.bucket.set_slot(arena, place.slot, tag, chunk, marks);
        writing.end();
    }

    /// Sets a slot's marks. Under the lock, but without the stamp: no reader depends on them.
    pub fn set_marks(&self, arena: &Arena, place: Place, marks: u32) {
        place.bucket.set_marks(arena, place.slot, marks);
    }

    /// Takes a slot out; returns an overflow bucket that is no longer needed.
    #[inline(always)]
    pub fn remove(&mut self, arena: &Arena, geometry: &Geometry, place: Place) -> Option<Bucket> {
        let writing = place.primary.begin_writing(arena);
        let spare = take_out(arena, geometry, place.primary, place.bucket, place.slot);
        writing.end();
        self.items -= 1;
        spare
    }

    /// Calls `each` with every slot.
    pub fn for_each(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        mut each: impl FnMut(u32, u8, ChunkRef),
    ) {
        for bucket_no in 0..self.extent.buckets() {
            let mut walk = Some(self.bucket(arena, geometry, bucket_no));
            while let Some(bucket) = walk {
                for slot in 0..bucket.used(arena) {
                    each(
                        bucket_no,
                        bucket.tag(arena, slot),
                        bucket.slot(arena, slot).0,
                    );
                }
                walk = bucket.overflow(arena, geometry);
            }
        }
    }

    /// The bucket of the hashes at a [place](KeyHash::scan_place), and where the next bucket's begin in that order.
    pub fn bucket_in_order(&self, arena: &Arena, geometry: &Geometry, place: u64) -> (Bucket, u64) {
        let buckets = self.extent.buckets();
        let bits = u32::BITS - (buckets.wrapping_sub(1) | 1).leading_zeros();
        let low = KeyHash::bucket_bits_at(place) & (u32::MAX >> (u32::BITS - bits));
        // One bit fewer where that bucket is not there yet; and its other half has it too, as long as it is not split.
        let half = 1 << (bits - 1);
        let lower = low & (half - 1);
        let (bucket_no, bits) = match lower + half < buckets {
            true => (low, bits),
            false => (lower, bits - 1),
        };
        let bucket = self.bucket(arena, geometry, bucket_no);
        let first = KeyHash::scan_place_of(bucket_no);
        (bucket, first + (1 << (SCAN_PLACE_BITS - bits)))
    }

    /// The bucket number that `hash` belongs to now.
    #[inline(always)]
    pub fn bucket_no(&self, hash: KeyHash) -> u32 {
        self.extent.bucket_no_by(self.mask, hash)
    }

    /// What follows from the extent, for the holder of the lock.
    fn follow_extent(&mut self, geometry: &Geometry) {
        self.mask = self.extent.mask();
        self.ghost_pages = ghosts::pages_in_use(self.pages(geometry)) as u32;
    }

    /// Pages that its buckets are in.
    pub fn pages(&self, geometry: &Geometry) -> usize {
        self.buckets().div_ceil(geometry.buckets_per_page())
    }

    /// Overflow buckets in use.
    pub fn overflow_count(&self, arena: &Arena, geometry: &Geometry) -> usize {
        (0..self.extent.buckets())
            .map(|bucket_no| {
                chain_overflows(arena, geometry, self.bucket(arena, geometry, bucket_no))
            })
            .sum()
    }
}
