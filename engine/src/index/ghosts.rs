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
//! The four lanes of a word are looked at together: an insert asks two buckets whether its key was there
//! not long ago, and lane by lane that was a fifth of its time.

use std::sync::atomic::Ordering::Relaxed;

use static_assertions::const_assert;

use super::bucket::{Bucket, SLOTS, slot_position};
use crate::arena::Arena;
use crate::chunk_ref::CHUNK_REF_BITS;
use crate::geometry::BUCKET_WORDS;
use crate::hash::GHOST_BITS;

/// Bits in which a ghost's epoch is kept.
const EPOCH_BITS: u32 = 4;
const EPOCH_MASK: u32 = (1 << EPOCH_BITS) - 1;
const LANE_BITS: u32 = GHOST_BITS + EPOCH_BITS;
const LANE_MASK: u64 = (1 << LANE_BITS) - 1;
const_assert!(2 * LANE_BITS <= CHUNK_REF_BITS);

/// Where the two ghosts of a slot lie.
const LANE_SHIFTS: [u32; 2] = [0, LANE_BITS];
/// The lowest bit of each lane of a word; times a small number, that number in each lane.
const LANES: u64 = UPPER_LANES | UPPER_LANES >> 32;
/// The same, of the lanes of the word's second slot.
const UPPER_LANES: u64 = (1 | 1 << LANE_BITS) << 32;

/// Epochs after which a ghost is outdated: half of those that there are numbers for, and so the
/// highest bit of an age.
pub(crate) const GHOST_LIFE: u32 = 1 << (EPOCH_BITS - 1);

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
    word: usize,
    shift: u32,
    /// The age of who is there; [`GHOST_LIFE`] for nobody worth keeping.
    pub age: u32,
}

impl GhostPlace {
    pub fn put(self, arena: &Arena, ghost: Ghost) {
        let kept = arena.load(self.word) & !(LANE_MASK << self.shift);
        arena.store(self.word, kept | ghost.bits() << self.shift);
    }
}

/// The age of each lane's ghost.
#[inline(always)]
fn ages(word: u64, epoch: u32) -> u64 {
    // The bit above keeps one lane from borrowing of the next.
    let now = u64::from(1 << EPOCH_BITS | epoch & EPOCH_MASK) * LANES;
    (now - (word & (u64::from(EPOCH_MASK) * LANES))) & (u64::from(EPOCH_MASK) * LANES)
}

/// The lanes, their lowest bits set, whose ghosts are outdated.
#[inline(always)]
fn outdated(word: u64, epoch: u32) -> u64 {
    ages(word, epoch) >> (EPOCH_BITS - 1) & LANES
}

/// The lanes, their lowest bits set, with this print.
#[inline(always)]
fn with_print(word: u64, print: u32) -> u64 {
    let mask = (1u64 << GHOST_BITS) - 1;
    let differ = ((word >> EPOCH_BITS) ^ (u64::from(print) * LANES)) & (mask * LANES);
    // The bit above a print is set by the sum unless the prints are equal, and none further.
    !(differ + mask * LANES) >> GHOST_BITS & LANES
}

/// The words of a bucket with a free slot from `used` on, the last one first, and their lanes.
#[inline(always)]
fn free_words(used: usize) -> impl Iterator<Item = (usize, u64)> {
    let (first, shift) = slot_position(used);
    (first..BUCKET_WORDS).rev().map(move |at| {
        let half_used = at == first && shift != 0;
        (at, if half_used { UPPER_LANES } else { LANES })
    })
}

impl Bucket {
    /// A place in the slots from `used` on that is free, or whose ghost is outdated.
    ///
    /// The last one: items take the first free slot, and a ghost there has to move again.
    #[inline]
    pub fn vacant_place(self, arena: &Arena, used: usize, epoch: u32) -> Option<GhostPlace> {
        let words = arena.run::<BUCKET_WORDS>(self.0);
        free_words(used).find_map(|(at, lanes)| {
            let word = words[at].load(Relaxed);
            let vacant = (with_print(word, 0) | outdated(word, epoch)) & lanes;
            Some(GhostPlace {
                word: self.0 + at,
                shift: vacant.checked_ilog2()?,
                age: GHOST_LIFE,
            })
        })
    }

    /// The place of the oldest ghost in the slots from `used` on, none of which is vacant.
    #[inline]
    pub fn oldest_place(self, arena: &Arena, used: usize, epoch: u32) -> Option<GhostPlace> {
        let words = arena.run::<BUCKET_WORDS>(self.0);
        let places = free_words(used).map(|(at, mut lanes)| {
            let ages = ages(words[at].load(Relaxed), epoch);
            let mut age = 0;
            // Bit by bit, those that have it stay if there are any.
            for bit in (0..EPOCH_BITS - 1).rev() {
                let older = ages >> bit & lanes;
                if older != 0 {
                    lanes = older;
                    age |= 1 << bit;
                }
            }
            GhostPlace {
                word: self.0 + at,
                shift: lanes.ilog2(),
                age,
            }
        });
        places.max_by_key(|place| place.age)
    }

    /// Forgets `ghost`; whether it was remembered, and not outdated.
    ///
    /// Drops those that are outdated on the way, before their epochs seem new again.
    #[inline]
    pub fn take_ghost(self, arena: &Arena, used: usize, ghost: Ghost) -> bool {
        let words = arena.run::<BUCKET_WORDS>(self.0);
        let mut found = 0;
        for (at, lanes) in free_words(used) {
            let word = words[at].load(Relaxed);
            let old = outdated(word, ghost.epoch);
            let known = with_print(word, ghost.print) & !old & lanes;
            found |= known;
            let kept = word & !(((old & lanes) | known) * LANE_MASK);
            if kept != word {
                words[at].store(kept, Relaxed);
            }
        }
        found != 0
    }

    /// The ghosts of a free slot, which an item is to have.
    #[inline]
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
}

const_assert!(SLOTS.is_multiple_of(2));

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
        let place = bucket
            .vacant_place(arena, 9, epoch)
            .or_else(|| bucket.oldest_place(arena, 9, epoch))
            .unwrap();
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
        assert!(bucket.vacant_place(&arena, SLOTS, 6).is_none());
        assert!(bucket.oldest_place(&arena, SLOTS, 6).is_none());
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
    fn an_item_takes_the_slot_of_ghosts() {
        let arena = Arena::open(8, &Backing::Heap, false, false, false, 4096).unwrap();
        let bucket = bucket_of_nine(&arena);
        (1..=6).for_each(|print| {
            put(&arena, bucket, ghost(print, 0), 0);
        });
        let displaced = bucket.displaced_ghosts(&arena, 9);
        assert!(
            displaced.map(|ghost| ghost.print).eq([6, 5]),
            "the slot was filled last"
        );
        bucket.set_slot(&arena, 9, 7, ChunkRef::from_granule(99), 0);
        assert_eq!(bucket.used(&arena), 10);
        assert_eq!(bucket.slot(&arena, 9), (ChunkRef::from_granule(99), 0));
        assert!(!bucket.take_ghost(&arena, 9, ghost(6, 0)));
        assert!(bucket.take_ghost(&arena, 9, ghost(3, 0)));
    }

    /// Four lanes at once say what each says alone.
    #[test]
    fn lanes_are_told_apart() {
        let mut seed = 5u64;
        let mut hits = 0;
        for round in 0..200_000u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Prints of few bits, so that equal ones, zeros and full ones are common.
            let prints = [0, 0, 1, 0x7FF, 0x400, 0x7FE, 3, 0x3FF];
            let shifts = [0, LANE_BITS, 32, 32 + LANE_BITS];
            let lanes = shifts.map(|shift| {
                let bits = seed >> (shift / 2 + 20);
                ghost(prints[bits as usize % 8], (bits >> 3) as u32 & EPOCH_MASK)
            });
            let word = lanes
                .iter()
                .zip(shifts)
                .fold(0, |word, (lane, shift)| word | lane.bits() << shift);
            let (print, epoch) = (prints[round as usize % 8], round / 8);
            for (lane, shift) in lanes.iter().zip(shifts) {
                let bit = |mask: u64| mask >> shift & 1 != 0;
                hits += u32::from(lane.print == print);
                assert_eq!(bit(with_print(word, print)), lane.print == print);
                assert_eq!(bit(outdated(word, epoch)), lane.age(epoch) >= GHOST_LIFE);
                let age = ages(word, epoch) >> shift & LANE_MASK;
                assert_eq!(age, u64::from(lane.age(epoch)));
            }
        }
        assert!(hits > 50_000, "{hits}");
    }
}
