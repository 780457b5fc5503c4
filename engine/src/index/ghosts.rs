//! Ghosts: what the free slots of a bucket remember of items that were evicted.
//!
//! ```text
//! a word of two slots
//! ┌ 0 0 ┬ lane ┬ lane ┬ 0 0 ┬ lane ┬ lane ┐    lane 15: print 11, epoch 4
//! ```
//!
//! A *print* is 11 bits of the item's hash, or 0 for nobody; the *epoch* says when it left. They cost
//! no memory, since the slots are there anyway, and no reader looks at them: their tags are 0,
//! and so are their marks.
//!
//! All lanes of a bucket are looked at together (`arena::bytes::lanes`): an insert asks two buckets whether its key was
//! there not long ago, and an eviction for the oldest ghost of two; lane by lane that was a fifth of their time.

use std::sync::atomic::Ordering::Relaxed;

use static_assertions::{const_assert, const_assert_eq};

use super::bucket::{Bucket, SLOTS};
use crate::arena::Arena;
use crate::arena::bytes::lanes::{self, EPOCH_BITS, EPOCH_MASK, LANE_BITS, LIFE, Oldest, WORDS};
use crate::chunk_ref::CHUNK_REF_BITS;
use crate::geometry::BUCKET_WORDS;

const LANE_MASK: u64 = (1 << LANE_BITS) - 1;
const_assert!(2 * LANE_BITS <= CHUNK_REF_BITS);
const_assert_eq!(2 * WORDS, SLOTS);

/// The first word of a bucket that is slots.
const FIRST_WORD: usize = BUCKET_WORDS - WORDS;
/// Where the two ghosts of a slot lie.
const LANE_SHIFTS: [u32; 2] = [0, LANE_BITS];

/// Epochs after which a ghost is outdated: half of those that there are numbers for, and so the
/// highest bit of an age.
pub(crate) const GHOST_LIFE: u32 = LIFE;

/// What is remembered of an item that left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ghost {
    /// Some bits of its hash, or 0 for none.
    pub print: u32,
    /// When it left, modulo 16.
    pub epoch: u32,
}

impl Ghost {
    fn at(half: u32, shift: u32) -> Ghost {
        let bits = half >> shift & LANE_MASK as u32;
        Ghost {
            print: bits >> EPOCH_BITS,
            epoch: bits & EPOCH_MASK,
        }
    }

    fn bits(self) -> u64 {
        u64::from(self.print << EPOCH_BITS | self.epoch & EPOCH_MASK)
    }

    /// Epochs since it left.
    pub fn age(self, epoch: u32) -> u32 {
        epoch.wrapping_sub(self.epoch) & EPOCH_MASK
    }
}

/// Where a ghost may be put.
#[derive(Clone, Copy)]
pub(crate) struct GhostPlace {
    bucket: Bucket,
    lane: usize,
    /// The age of who is there; [`GHOST_LIFE`] for nobody worth keeping.
    pub age: u32,
}

impl GhostPlace {
    #[inline(always)]
    pub fn put(self, arena: &Arena, ghost: Ghost) {
        let (word, shift) = lanes::position(self.lane);
        let at = self.bucket.0 + FIRST_WORD + word;
        let kept = arena.load(at) & !(LANE_MASK << shift);
        arena.store(at, kept | ghost.bits() << shift);
    }
}

impl Bucket {
    /// The words of slots.
    #[inline(always)]
    fn slot_words(self, arena: &Arena) -> [u64; WORDS] {
        let words = arena.run::<BUCKET_WORDS>(self.0);
        std::array::from_fn(|at| words[FIRST_WORD + at].load(Relaxed))
    }

    /// Where in the slots from `used` on a ghost may be put: a place that is free or whose ghost is outdated, or that of
    /// the oldest ghost.
    ///
    /// The last one: items take the first free slot, and a ghost there has to move again.
    #[inline(always)]
    pub fn ghost_place(self, arena: &Arena, used: usize, epoch: u32) -> Option<GhostPlace> {
        let Oldest { age, lane } = lanes::oldest(self.slot_words(arena), 2 * used, epoch)?;
        Some(GhostPlace {
            bucket: self,
            lane,
            age,
        })
    }

    /// Forgets `ghost`; whether it was remembered, and not outdated.
    ///
    /// Drops those that are outdated on the way, before their epochs seem new again.
    #[inline(always)]
    pub fn take_ghost(self, arena: &Arena, used: usize, ghost: Ghost) -> bool {
        let words = self.slot_words(arena);
        let found = lanes::known(words, 2 * used, ghost.print, ghost.epoch);
        self.clear_lanes(arena, found.known | found.outdated);
        found.known != 0
    }

    /// Drops the ghosts that are outdated.
    pub fn drop_outdated(self, arena: &Arena, used: usize, epoch: u32) {
        let found = lanes::known(self.slot_words(arena), 2 * used, 0, epoch);
        self.clear_lanes(arena, found.outdated);
    }

    #[inline(always)]
    fn clear_lanes(self, arena: &Arena, mut gone: u32) {
        while gone != 0 {
            let (word, shift) = lanes::position(gone.trailing_zeros() as usize);
            let at = self.0 + FIRST_WORD + word;
            arena.store(at, arena.load(at) & !(LANE_MASK << shift));
            gone &= gone - 1;
        }
    }

    /// The ghosts of a free slot, which an item is to have.
    #[inline]
    pub fn displaced_ghosts(self, arena: &Arena, slot: usize) -> [Option<Ghost>; 2] {
        let half = self.half(arena, slot);
        LANE_SHIFTS.map(|shift| Some(Ghost::at(half, shift)).filter(|ghost| ghost.print != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Backing;
    use crate::chunk_ref::ChunkRef;

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
        let arena = Arena::open(8, &Backing::Heap, false, false, false, 4096).unwrap();
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
        let arena = Arena::open(8, &Backing::Heap, false, false, false, 4096).unwrap();
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
    fn what_is_outdated_is_dropped_before_it_seems_new_again() {
        let arena = Arena::open(8, &Backing::Heap, false, false, false, 4096).unwrap();
        let bucket = bucket_of_nine(&arena);
        put(&arena, bucket, ghost(5, 0), 0);
        put(&arena, bucket, ghost(6, 1), 1);
        bucket.drop_outdated(&arena, 9, GHOST_LIFE);
        for (print, known) in [(5, false), (6, true)] {
            // Sixteen epochs later the numbers are the same.
            let taken = bucket.take_ghost(&arena, 9, ghost(print, 1));
            assert_eq!(taken, known, "{print}");
        }
    }

    #[test]
    fn an_item_takes_the_slot_of_ghosts() {
        let arena = Arena::open(8, &Backing::Heap, false, false, false, 4096).unwrap();
        let bucket = bucket_of_nine(&arena);
        (1..=6).for_each(|print| {
            put(&arena, bucket, ghost(print, 0), 0);
        });
        let displaced = bucket.displaced_ghosts(&arena, 9);
        assert!(
            displaced.map(|ghost| ghost.map(|ghost| ghost.print)) == [Some(6), Some(5)],
            "the slot was filled last"
        );
        bucket.set_slot(&arena, 9, 7, ChunkRef::from_granule(99), 0);
        assert_eq!(bucket.used(&arena), 10);
        assert_eq!(bucket.slot(&arena, 9), (ChunkRef::from_granule(99), 0));
        assert!(!bucket.take_ghost(&arena, 9, ghost(6, 0)));
        assert!(bucket.take_ghost(&arena, 9, ghost(3, 0)));
    }
}
