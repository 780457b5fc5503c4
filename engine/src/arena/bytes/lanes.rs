//! Six words of four lanes each, looked at together: what the free slots of a bucket remember (`index::ghosts`).
//!
//! ```text
//! a word        ┌ 0 0 ┬ lane 3 ┬ lane 2 ┬ 0 0 ┬ lane 1 ┬ lane 0 ┐    lane 15: print 11, epoch 4
//! ```
//!
//! The words were loaded by whoever asks: there is no memory here. SSE2 has eight lanes of 16 bits in a register, and every
//! x86-64 has SSE2; elsewhere it is a loop over lanes.

use crate::hash::GHOST_BITS;

/// Words of a bucket that are slots.
pub const WORDS: usize = 6;
/// Bits of a lane that say when.
pub const EPOCH_BITS: u32 = 4;
/// Epochs after which a lane is outdated.
pub const LIFE: u32 = 1 << (EPOCH_BITS - 1);
/// The same bits.
pub const EPOCH_MASK: u32 = (1 << EPOCH_BITS) - 1;
/// Bits of a lane.
pub const LANE_BITS: u32 = GHOST_BITS + EPOCH_BITS;

/// Where a lane lies: its word, and the shift in it.
#[inline(always)]
pub fn position(lane: usize) -> (usize, u32) {
    let shift = 32 * (lane as u32 / 2 % 2) + LANE_BITS * (lane as u32 % 2);
    (lane / 4, shift)
}

/// A lane that a new print may have, with how old what is there is: [`LIFE`] for nobody, or outdated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Oldest {
    pub age: u32,
    pub lane: usize,
}

/// Lanes, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// With the print, and not outdated.
    pub known: u32,
    /// With any print, and outdated.
    pub outdated: u32,
}

/// Of the oldest lanes from `first` on the last one.
#[cfg(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))]
#[inline(always)]
pub fn oldest(words: [u64; WORDS], first: usize, epoch: u32) -> Option<Oldest> {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64, and nothing here is of memory.
    let key = unsafe {
        let all = _mm_set1_epi16(EPOCH_MASK as i16);
        let now = _mm_set1_epi16(epoch as i16);
        let used = _mm_set1_epi16(first as i16);
        let mut numbers = _mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0);
        let mut best = _mm_set1_epi16(-1);
        for pair in words.as_chunks::<2>().0 {
            let lanes = sse2::unpack(pair);
            let age = _mm_and_si128(_mm_sub_epi16(now, lanes), all);
            let print = _mm_srli_epi16::<{ EPOCH_BITS as i32 }>(lanes);
            let is_empty = _mm_cmpeq_epi16(print, _mm_setzero_si128());
            let age = _mm_or_si128(age, _mm_and_si128(is_empty, all));
            let age = _mm_min_epi16(age, _mm_set1_epi16(LIFE as i16));
            let key = _mm_or_si128(_mm_slli_epi16::<{ sse2::NUMBER_BITS as i32 }>(age), numbers);
            // All ones is less than any.
            let key = _mm_or_si128(key, _mm_cmpgt_epi16(used, numbers));
            best = _mm_max_epi16(best, key);
            numbers = _mm_add_epi16(numbers, _mm_set1_epi16(8));
        }
        best = _mm_max_epi16(best, _mm_srli_si128::<8>(best));
        best = _mm_max_epi16(best, _mm_srli_si128::<4>(best));
        best = _mm_max_epi16(best, _mm_srli_si128::<2>(best));
        _mm_cvtsi128_si32(best) as i16
    };
    (key >= 0).then_some(Oldest {
        age: key as u32 >> sse2::NUMBER_BITS,
        lane: key as usize % (1 << sse2::NUMBER_BITS),
    })
}

/// Which lanes from `first` on have `print`, and which are outdated.
#[cfg(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))]
#[inline(always)]
pub fn known(words: [u64; WORDS], first: usize, print: u32, epoch: u32) -> Known {
    use std::arch::x86_64::*;
    let (mut known, mut outdated) = (0, 0);
    for (at, pair) in words.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: SSE2 is part of x86-64, and nothing here is of memory.
        let both = unsafe {
            let lanes = sse2::unpack(pair);
            let all = _mm_set1_epi16(EPOCH_MASK as i16);
            let age = _mm_and_si128(_mm_sub_epi16(_mm_set1_epi16(epoch as i16), lanes), all);
            let is_old = _mm_cmpgt_epi16(age, _mm_set1_epi16(LIFE as i16 - 1));
            let prints = _mm_srli_epi16::<{ EPOCH_BITS as i32 }>(lanes);
            let is_it = _mm_cmpeq_epi16(prints, _mm_set1_epi16(print as i16));
            let is_empty = _mm_cmpeq_epi16(prints, _mm_setzero_si128());
            let known = _mm_andnot_si128(is_old, is_it);
            let outdated = _mm_andnot_si128(is_empty, is_old);
            _mm_movemask_epi8(_mm_packs_epi16(known, outdated)) as u32
        };
        known |= (both & 0xFF) << (8 * at);
        outdated |= both >> 8 << (8 * at);
    }
    let free = u32::MAX << first;
    Known {
        known: known & free,
        outdated: outdated & free,
    }
}

#[cfg(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))]
mod sse2 {
    use std::arch::x86_64::*;

    /// Bits for a lane's number.
    pub const NUMBER_BITS: u32 = 5;

    /// The lanes of two words, 16 bits each, the first one lowest.
    ///
    /// # Safety
    /// SSE2 is there.
    #[inline(always)]
    pub unsafe fn unpack(pair: &[u64; 2]) -> __m128i {
        let mask = (1 << super::LANE_BITS) - 1;
        // SAFETY: the caller's debt.
        unsafe {
            let words = _mm_set_epi64x(pair[1] as i64, pair[0] as i64);
            let even = _mm_and_si128(words, _mm_set1_epi32(mask));
            let odd = _mm_slli_epi32::<{ 16 - super::LANE_BITS as i32 }>(words);
            _mm_or_si128(even, _mm_and_si128(odd, _mm_set1_epi32(mask << 16)))
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri), not(flagstone_portable))))]
pub use by_lane::{known, oldest};

/// The same, one lane after the other.
#[cfg(any(
    test,
    not(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))
))]
mod by_lane {
    use super::*;

    const LANES: usize = 4 * WORDS;

    /// A lane's print, and how old it is.
    fn lane(words: [u64; WORDS], lane: usize, epoch: u32) -> (u32, u32) {
        let (word, shift) = position(lane);
        let bits = (words[word] >> shift) as u32 & ((1 << LANE_BITS) - 1);
        (bits >> EPOCH_BITS, epoch.wrapping_sub(bits) & EPOCH_MASK)
    }

    pub fn oldest(words: [u64; WORDS], first: usize, epoch: u32) -> Option<Oldest> {
        let lanes = (first..LANES).map(|at| {
            let (print, age) = lane(words, at, epoch);
            let age = if print == 0 { LIFE } else { age.min(LIFE) };
            Oldest { age, lane: at }
        });
        lanes.max_by_key(|oldest| oldest.age)
    }

    pub fn known(words: [u64; WORDS], first: usize, print: u32, epoch: u32) -> Known {
        let mut found = Known {
            known: 0,
            outdated: 0,
        };
        for at in first..LANES {
            let (seen, age) = lane(words, at, epoch);
            if seen == print && age < LIFE {
                found.known |= 1 << at;
            }
            if seen != 0 && age >= LIFE {
                found.outdated |= 1 << at;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lanes at once say what each says alone.
    #[test]
    fn lanes_are_told_apart() {
        let mut seed = 5u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 20
        };
        let mut hits = 0;
        // Prints of few bits, so that equal ones, zeros and full ones are common.
        let prints = [0, 0, 1, 0x7FF, 0x400, 0x7FE, 3, 0x3FF];
        for round in 0..50_000u32 {
            let words = std::array::from_fn(|_| {
                [0, 15, 32, 47].into_iter().fold(0, |word, shift| {
                    let lane = (prints[draw() as usize % 8] << EPOCH_BITS) | (draw() as u32 % 16);
                    word | u64::from(lane) << shift
                })
            });
            let (print, epoch) = (prints[2 + round as usize % 6], round / 8);
            for first in [0, 1, 8, 17, 22, 24] {
                assert_eq!(
                    oldest(words, first, epoch),
                    by_lane::oldest(words, first, epoch)
                );
                let found = known(words, first, print, epoch);
                assert_eq!(found, by_lane::known(words, first, print, epoch));
                hits += found.known.count_ones();
            }
        }
        assert!(hits > 50_000, "{hits}");
    }
}
