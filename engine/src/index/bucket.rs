//! One index bucket: a cache line of twelve slots.
//!
//! ```text
//! word 0 ┌ stamp 32 ──────────────┬ tags 0 to 3 ─┐
//! word 1 ├ tags 4 to 11 ──────────┴──────────────┤
//! word 2 ├ slot 0 ────────────────┬ slot 1 ──────┤   slot: marks 2, chunk 30
//!   …    │                        │              │
//! word 7 └ slot 10 ───────────────┴ slot 11 ─────┘
//! ```
//!
//! Tags come first: two words answer for twelve slots. A tag of 0 is an empty slot; the
//! used slots are the first ones. Slot 11 with tag 0 but a mark is the link to an
//! overflow bucket of the same form, whose own stamp is not used. Knows nothing of keys.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::arena::{Arena, bytes};
use crate::chunk_ref::{CHUNK_REF_BITS, ChunkRef};
use crate::geometry::{BUCKET_WORDS, Geometry, WORD_BYTES};
use crate::stamp::{StdFences, Writing};
use static_assertions::const_assert_eq;

/// Slots in a bucket.
pub(crate) const SLOTS: usize = 12;
const_assert_eq!(BUCKET_WORDS * 8, 4 + SLOTS + SLOTS * 4);

/// The marks of a slot that is a link.
const LINK_MARKS: u32 = 1;

const CHUNK_MASK: u32 = (1 << CHUNK_REF_BITS) - 1;
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The bucket that begins at this word of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bucket(pub usize);

/// The top bit of the lowest zero byte of `word`, among others above it; 0 if there is none.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Slots whose tag matched, lowest first: a bit each.
#[derive(Clone, Copy)]
pub(crate) struct Matches(u32);

impl Matches {
    /// From a bucket's first two words.
    #[inline(always)]
    pub fn of(word_0: u64, word_1: u64, tag: u8) -> Self {
        // The tags are the last 12 bytes of the two words.
        Matches(bytes::equal_to(tag, word_0, word_1) >> (2 * WORD_BYTES - SLOTS))
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(slot as usize)
    }
}

/// A slot that is in use: marks and chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(NonZeroU32);

impl Slot {
    /// `None` for a slot without chunk and marks, as a torn one may be.
    #[inline(always)]
    pub fn of(half: u32) -> Option<Self> {
        NonZeroU32::new(half).map(Slot)
    }

    #[inline(always)]
    pub fn chunk(self) -> ChunkRef {
        unpack_slot(self.0.get()).0
    }

    #[inline(always)]
    pub fn marks(self) -> u32 {
        unpack_slot(self.0.get()).1
    }
}

/// A slot's half of its word, split.
#[inline(always)]
pub(crate) fn unpack_slot(half: u32) -> (ChunkRef, u32) {
    (
        ChunkRef::from_granule(half & CHUNK_MASK),
        half >> CHUNK_REF_BITS,
    )
}

/// The word of `slot` from the bucket's first, and the shift within it.
#[inline(always)]
pub(crate) fn slot_position(slot: usize) -> (usize, u32) {
    (2 + slot / 2, 32 * (slot as u32 % 2))
}

#[inline(always)]
fn tag_position(slot: usize) -> (usize, u32) {
    if slot < 4 {
        (0, 32 + 8 * slot as u32)
    } else {
        (1, 8 * (slot as u32 - 4))
    }
}

impl Bucket {
    /// From now on readers of this chain's items try again, until [`Writing::end`]. Of a primary
    /// bucket: an overflow bucket has no stamp of its own.
    #[inline(always)]
    pub fn begin_writing(self, arena: &Arena) -> Writing<'_, AtomicU64, StdFences> {
        Writing::begin(arena.word(self.0))
    }

    #[inline(always)]
    pub fn tag(self, arena: &Arena, slot: usize) -> u8 {
        let (word, shift) = tag_position(slot);
        (arena.load(self.0 + word) >> shift) as u8
    }

    #[inline(always)]
    fn set_tag(self, arena: &Arena, slot: usize, tag: u8) {
        let (word, shift) = tag_position(slot);
        let kept = arena.load(self.0 + word) & !(0xFF << shift);
        arena.store(self.0 + word, kept | u64::from(tag) << shift);
    }

    #[inline(always)]
    pub(super) fn half(self, arena: &Arena, slot: usize) -> u32 {
        let (word, shift) = slot_position(slot);
        (arena.load(self.0 + word) >> shift) as u32
    }

    #[inline(always)]
    fn set_half(self, arena: &Arena, slot: usize, half: u32) {
        let (word, shift) = slot_position(slot);
        let kept = arena.load(self.0 + word) & !(0xFFFF_FFFF << shift);
        arena.store(self.0 + word, kept | u64::from(half) << shift);
    }

    /// Chunk and marks of a slot.
    #[inline(always)]
    pub fn slot(self, arena: &Arena, slot: usize) -> (ChunkRef, u32) {
        unpack_slot(self.half(arena, slot))
    }

    #[inline(always)]
    pub fn set_slot(self, arena: &Arena, slot: usize, tag: u8, chunk: ChunkRef, marks: u32) {
        debug_assert!(tag != 0 && chunk.is_some());
        self.set_tag(arena, slot, tag);
        self.set_half(arena, slot, chunk.granule() | marks << CHUNK_REF_BITS);
    }

    pub fn set_marks(self, arena: &Arena, slot: usize, marks: u32) {
        let half = self.half(arena, slot) & CHUNK_MASK;
        self.set_half(arena, slot, half | marks << CHUNK_REF_BITS);
    }

    pub fn clear_slot(self, arena: &Arena, slot: usize) {
        self.set_tag(arena, slot, 0);
        self.set_half(arena, slot, 0);
    }

    /// Moves what is in a slot to another, or to nowhere if that is the same; it is free then.
    #[inline(always)]
    pub fn move_slot(self, arena: &Arena, from: usize, to: usize) {
        let (tag, half) = (self.tag(arena, from), self.half(arena, from));
        if from != to {
            self.set_tag(arena, to, tag);
            self.set_half(arena, to, half);
        }
        self.clear_slot(arena, from);
    }

    /// Everything but the stamp.
    pub fn clear_slots(self, arena: &Arena) {
        arena.store(self.0, arena.load(self.0) & 0xFFFF_FFFF);
        arena.clear_words(self.0 + 1, BUCKET_WORDS - 1);
    }

    /// Slots in use, the link not counted.
    #[inline(always)]
    pub fn used(self, arena: &Arena) -> usize {
        // They are the first ones, so the first zero tag tells; for the lowest zero byte the
        // short formula is exact, and a count of bits is not an instruction everywhere.
        let words = arena.run::<2>(self.0);
        let first = zero_bytes(words[0].load(Relaxed) >> 32 | !0 << 32);
        if first != 0 {
            return first.trailing_zeros() as usize / 8;
        }
        4 + zero_bytes(words[1].load(Relaxed)).trailing_zeros() as usize / 8
    }

    /// The slots with `tag`.
    #[inline(always)]
    pub fn matches(self, arena: &Arena, tag: u8) -> Matches {
        Matches::of(arena.load(self.0), arena.load(self.0 + 1), tag)
    }

    /// The bucket that continues this one.
    #[inline]
    pub fn overflow(self, arena: &Arena, geometry: &Geometry) -> Option<Bucket> {
        if self.tag(arena, SLOTS - 1) != 0 {
            return None;
        }
        let link = link_of(self.half(arena, SLOTS - 1))?;
        Some(Bucket(geometry.word_of(link)))
    }

    /// Makes the last slot the link to `next`.
    pub fn set_overflow(self, arena: &Arena, geometry: &Geometry, next: Bucket) {
        self.set_tag(arena, SLOTS - 1, 0);
        let link = geometry.chunk_at(next.0).granule() | LINK_MARKS << CHUNK_REF_BITS;
        self.set_half(arena, SLOTS - 1, link);
    }
}

/// What the last slot's half links to, if its tag is 0.
#[inline(always)]
pub(crate) fn link_of(half: u32) -> Option<ChunkRef> {
    let (chunk, marks) = unpack_slot(half);
    (marks == LINK_MARKS).then_some(chunk)
}
