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
//!
//! The chunk fields of free slots remember *ghosts*, two each: of an item that was evicted, 11 hash
//! bits, and in 4 bits when. They cost nothing, since the slots are there anyway, and no
//! reader looks at them: their tags are 0, and so are their marks.

use crate::arena::Arena;
use crate::chunk_ref::{CHUNK_REF_BITS, ChunkRef};
use crate::geometry::{BUCKET_WORDS, Geometry};
use crate::hash::GHOST_BITS;
use static_assertions::{const_assert, const_assert_eq};

/// Slots in a bucket.
pub(crate) const SLOTS: usize = 12;
const_assert_eq!(BUCKET_WORDS * 8, 4 + SLOTS + SLOTS * 4);

/// Bits in which a ghost's epoch is kept.
const EPOCH_BITS: u32 = 4;
const EPOCH_MASK: u32 = (1 << EPOCH_BITS) - 1;
const LANE_BITS: u32 = GHOST_BITS + EPOCH_BITS;
/// The lowest bit of both lanes.
const BOTH: u32 = 1 | 1 << LANE_BITS;
const PRINT_MASK: u32 = LANE_MASK & !EPOCH_MASK;
/// Where the two ghosts of a slot lie.
const LANE_SHIFTS: [u32; 2] = [0, LANE_BITS];
const LANE_MASK: u32 = (1 << LANE_BITS) - 1;
const_assert!(2 * LANE_BITS <= CHUNK_REF_BITS);

/// Epochs after which a ghost is outdated: half of those that there are numbers for.
pub(crate) const GHOST_LIFE: u32 = 1 << (EPOCH_BITS - 1);

/// What is remembered of an item that left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ghost {
    /// Some bits of its hash, or 0 for none.
    pub print: u32,
    /// When it left, modulo 16.
    pub epoch: u32,
}

/// Where a ghost may be put.
#[derive(Clone, Copy)]
pub(crate) struct GhostPlace {
    bucket: Bucket,
    slot: usize,
    shift: u32,
    /// The age of who is there; [`GHOST_LIFE`] and more for nobody worth keeping.
    pub age: u32,
}

impl GhostPlace {
    pub fn put(self, arena: &Arena, ghost: Ghost) {
        let half = self.bucket.half(arena, self.slot) & !(LANE_MASK << self.shift);
        self.bucket
            .set_half(arena, self.slot, half | ghost.bits() << self.shift);
    }
}

/// A slot's ghosts without those that are outdated: those are dropped by whoever comes along, before
/// their epochs seem new again.
#[inline(always)]
fn current(half: u32, epoch: u32) -> u32 {
    // Both lanes' ages at once; the bit above keeps one lane from borrowing of the other.
    let ages = (1 << EPOCH_BITS | epoch & EPOCH_MASK) * BOTH - (half & (EPOCH_MASK * BOTH));
    // An age of half the epochs and more has its highest bit set.
    let outdated = (ages & (GHOST_LIFE * BOTH)) / GHOST_LIFE;
    half & !(outdated * LANE_MASK)
}

impl Ghost {
    #[inline(always)]
    fn at(half: u32, shift: u32) -> Ghost {
        let bits = half >> shift & LANE_MASK;
        Ghost {
            print: bits >> EPOCH_BITS,
            epoch: bits & EPOCH_MASK,
        }
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.print << EPOCH_BITS | self.epoch & EPOCH_MASK
    }

    /// Epochs since it left.
    pub fn age(self, epoch: u32) -> u32 {
        epoch.wrapping_sub(self.epoch) & EPOCH_MASK
    }
}

/// The marks of a slot that is a link. A slot with ghosts has none.
const LINK_MARKS: u32 = 1;

const CHUNK_MASK: u32 = (1 << CHUNK_REF_BITS) - 1;
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The bucket that begins at this word of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bucket(pub usize);

/// The numbers of the bytes of `word` that equal `tag`, as the top bits of those bytes.
///
/// Exact (the shorter formula has false positives behind a true one, and a false hit on
/// the link slot must not happen): add 0x7F to the low seven bits of each byte, which
/// sets its top bit unless they were zero; no carry leaves a byte.
#[inline(always)]
pub(crate) fn equal_bytes(word: u64, tag: u8) -> u64 {
    let differ = word ^ (LOW * u64::from(tag));
    !((((differ & !HIGH) + !HIGH) | differ) | !HIGH)
}

/// Slots whose tag matched, lowest first.
#[derive(Clone, Copy)]
pub(crate) struct Matches {
    first: u64,
    second: u64,
}

impl Matches {
    /// From a bucket's first two words.
    #[inline(always)]
    pub fn of(word_0: u64, word_1: u64, tag: u8) -> Self {
        Matches {
            first: equal_bytes(word_0, tag) >> 32,
            second: equal_bytes(word_1, tag),
        }
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.first != 0 {
            let slot = self.first.trailing_zeros() / 8;
            self.first &= self.first - 1;
            return Some(slot as usize);
        }
        if self.second != 0 {
            let slot = self.second.trailing_zeros() / 8;
            self.second &= self.second - 1;
            return Some(4 + slot as usize);
        }
        None
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
    #[inline(always)]
    pub fn tag(self, arena: &Arena, slot: usize) -> u8 {
        let (word, shift) = tag_position(slot);
        (arena.load(self.0 + word) >> shift) as u8
    }

    fn set_tag(self, arena: &Arena, slot: usize, tag: u8) {
        let (word, shift) = tag_position(slot);
        let kept = arena.load(self.0 + word) & !(0xFF << shift);
        arena.store(self.0 + word, kept | u64::from(tag) << shift);
    }

    #[inline(always)]
    fn half(self, arena: &Arena, slot: usize) -> u32 {
        let (word, shift) = slot_position(slot);
        (arena.load(self.0 + word) >> shift) as u32
    }

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

    /// The place for a ghost in the slots from `used` on: one that is free or outdated, else the
    /// oldest.
    #[inline]
    pub fn ghost_place(self, arena: &Arena, used: usize, epoch: u32) -> Option<GhostPlace> {
        let mut best: Option<GhostPlace> = None;
        for slot in used..SLOTS {
            let half = self.half(arena, slot);
            for shift in LANE_SHIFTS {
                let ghost = Ghost::at(half, shift);
                let age = if ghost.print == 0 {
                    GHOST_LIFE
                } else {
                    ghost.age(epoch)
                };
                if best.is_none_or(|best| age > best.age) {
                    best = Some(GhostPlace {
                        bucket: self,
                        slot,
                        shift,
                        age,
                    });
                }
                if age >= GHOST_LIFE {
                    return best;
                }
            }
        }
        best
    }

    /// Forgets `ghost`; whether it was remembered, and not outdated.
    #[inline]
    pub fn take_ghost(self, arena: &Arena, used: usize, ghost: Ghost) -> bool {
        let mut found = false;
        for slot in used..SLOTS {
            let half = self.half(arena, slot);
            let mut kept = current(half, ghost.epoch);
            let differ = (kept & (PRINT_MASK * BOTH)) ^ ((ghost.print << EPOCH_BITS) * BOTH);
            for shift in LANE_SHIFTS {
                if differ >> shift & LANE_MASK == 0 {
                    kept &= !(LANE_MASK << shift);
                    found = true;
                }
            }
            if kept != half {
                self.set_half(arena, slot, kept);
            }
        }
        found
    }

    /// The ghosts of a free slot, which an item is to have.
    pub fn displaced_ghosts(
        self,
        arena: &Arena,
        slot: usize,
    ) -> impl Iterator<Item = Ghost> + use<> {
        let half = self.half(arena, slot);
        let ghosts = LANE_SHIFTS
            .into_iter()
            .map(move |shift| Ghost::at(half, shift));
        ghosts.filter(|ghost| ghost.print != 0)
    }

    /// Everything but the stamp.
    pub fn clear_slots(self, arena: &Arena) {
        arena.store(self.0, arena.load(self.0) & 0xFFFF_FFFF);
        arena.clear_words(self.0 + 1, BUCKET_WORDS - 1);
    }

    /// Slots in use, the link not counted.
    pub fn used(self, arena: &Arena) -> usize {
        let free = Matches::of(arena.load(self.0), arena.load(self.0 + 1), 0);
        SLOTS - (free.first.count_ones() + free.second.count_ones()) as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_is_exact() {
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few values, so that equal and neighbouring bytes are common.
            let word = seed & 0x8103_8103_0181_0301;
            for tag in [0u8, 1, 2, 3, 0x80, 0x81, 0x83] {
                let expected = word
                    .to_le_bytes()
                    .iter()
                    .enumerate()
                    .filter(|&(_, &byte)| byte == tag)
                    .fold(0, |mask, (at, _)| mask | 0x80u64 << (8 * at));
                assert_eq!(equal_bytes(word, tag), expected, "{word:#x} {tag:#x}");
            }
        }
    }
}

#[cfg(test)]
mod ghost_tests {
    use super::*;
    use crate::plan::Backing;

    fn ghost(print: u32, epoch: u32) -> Ghost {
        Ghost { print, epoch }
    }

    /// A bucket with nine items: six ghosts fit.
    fn bucket_of_nine(arena: &Arena) -> Bucket {
        let bucket = Bucket(0);
        for slot in 0..9 {
            let chunk = ChunkRef::from_granule(100 + slot as u32);
            bucket.set_slot(arena, slot, 7, chunk, 0);
        }
        bucket
    }

    fn put(arena: &Arena, bucket: Bucket, ghost: Ghost, epoch: u32) -> u32 {
        let place = bucket.ghost_place(arena, 9, epoch).unwrap();
        place.put(arena, ghost);
        place.age
    }

    #[test]
    fn ghosts_fill_the_free_slots_and_the_oldest_gives_way() {
        let arena = Arena::open(8, &Backing::Heap, false, false).unwrap();
        let bucket = bucket_of_nine(&arena);
        for print in 1..=6 {
            assert_eq!(put(&arena, bucket, ghost(print, print), 6), GHOST_LIFE);
        }
        assert_eq!(
            put(&arena, bucket, ghost(7, 6), 6),
            5,
            "the first one's age"
        );
        for (print, known) in [(1, false), (2, true), (2, false), (7, true)] {
            let taken = bucket.take_ghost(&arena, 9, ghost(print, 6));
            assert_eq!(taken, known, "{print}");
        }
        assert_eq!(bucket.used(&arena), 9);
        assert!(bucket.ghost_place(&arena, SLOTS, 6).is_none());
    }

    #[test]
    fn a_ghost_is_forgotten_after_its_life() {
        let arena = Arena::open(8, &Backing::Heap, false, false).unwrap();
        let bucket = bucket_of_nine(&arena);
        for left in [0, 13, 14, 15] {
            for since in 0..16 {
                put(&arena, bucket, ghost(5, left), left);
                let known = bucket.take_ghost(&arena, 9, ghost(5, left + since));
                assert_eq!(known, since < GHOST_LIFE, "{left} and {since}");
            }
        }
    }

    #[test]
    fn an_item_takes_the_slot_of_ghosts() {
        let arena = Arena::open(8, &Backing::Heap, false, false).unwrap();
        let bucket = bucket_of_nine(&arena);
        (1..=6).for_each(|print| {
            put(&arena, bucket, ghost(print, 0), 0);
        });
        let displaced = bucket.displaced_ghosts(&arena, 9);
        assert!(displaced.map(|ghost| ghost.print).eq([1, 2]));
        bucket.set_slot(&arena, 9, 7, ChunkRef::from_granule(99), 0);
        assert_eq!(bucket.used(&arena), 10);
        assert_eq!(bucket.slot(&arena, 9), (ChunkRef::from_granule(99), 0));
        assert!(!bucket.take_ghost(&arena, 9, ghost(1, 0)));
        assert!(bucket.take_ghost(&arena, 9, ghost(3, 0)));
    }
}
