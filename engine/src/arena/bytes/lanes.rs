//! The 32 lanes of a line, looked at together: which of them hold a print (`index::ghosts`).
//!
//! The words were loaded by whoever asks: there is no memory here. SSE2 has eight lanes of 16 bits in a register, and every
//! x86-64 has SSE2; elsewhere it is a loop over lanes.

/// Words of a line.
pub const WORDS: usize = 8;
/// Bits of a lane.
pub const LANE_BITS: u32 = 16;
/// Lanes of a word.
pub const WORD_LANES: usize = 4;

/// Which lanes are `wanted` in the bits of `mask`: a bit each, the first one lowest.
#[cfg(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))]
#[inline(always)]
pub fn equal(words: [u64; WORDS], wanted: u16, mask: u16) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64, and nothing here is of memory.
    unsafe {
        let (wanted, mask) = (_mm_set1_epi16(wanted as i16), _mm_set1_epi16(mask as i16));
        let of = |at: usize| {
            let lanes = _mm_set_epi64x(words[at + 1] as i64, words[at] as i64);
            _mm_cmpeq_epi16(_mm_and_si128(lanes, mask), wanted)
        };
        let low = _mm_movemask_epi8(_mm_packs_epi16(of(0), of(2))) as u32;
        let high = _mm_movemask_epi8(_mm_packs_epi16(of(4), of(6))) as u32;
        low | high << 16
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri), not(flagstone_portable))))]
pub use by_lane::equal;

/// The same, one lane after the other.
#[cfg(any(
    test,
    not(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))
))]
mod by_lane {
    use super::*;

    pub fn equal(words: [u64; WORDS], wanted: u16, mask: u16) -> u32 {
        (0..WORDS * WORD_LANES)
            .filter(|lane| {
                let word = words[lane / WORD_LANES];
                (word >> (LANE_BITS as usize * (lane % WORD_LANES))) as u16 & mask == wanted
            })
            .fold(0, |found, lane| found | 1 << lane)
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
        // Few values, so that equal ones, zeros and full ones are common.
        let values = [0, 1, 0xFFFF, 0x8000, 0x7FFF, 0xFFF0, 0x8010, 0x0010];
        for _ in 0..20_000 {
            let words = std::array::from_fn(|_| {
                (0..4).fold(0, |word, _| word << 16 | values[draw() as usize % 8])
            });
            for mask in [0xFFFF, 0xFFF0] {
                let wanted = values[draw() as usize % 8] as u16 & mask;
                let found = equal(words, wanted, mask);
                assert_eq!(found, by_lane::equal(words, wanted, mask));
                hits += found.count_ones();
            }
        }
        assert!(hits > 100_000, "{hits}");
    }
}
