//! Bytes in and out of words, at any alignment: what `memcpy` and `memcmp` are to plain memory.
//!
//! Words that others may be writing can only be loaded and stored as words, and no compiler merges
//! relaxed accesses into wider ones, or splits off what a byte offset needs. On x86-64 the moves are therefore
//! written by hand: each is *a relaxed access of every byte that it touches*, in no order, and of no others. That is what
//! C++ calls a copy of atomic bytes (P1478), which neither language has yet. No more than this is claimed:
//!
//! - **A byte is never torn.** What is read of a byte is what somebody stored to it, or the memory's zero.
//! - **More than a byte may be.** No manual promises that a move of 16 or 32 bytes, or one of 8 that is not aligned, is
//!   one access, and nothing here needs it: a word or a length read beside a writer may be half of each.
//! - **Whoever reads beside a writer discards what is torn.** A reader without a lock believes nothing before
//!   its stamp is [validated](crate::stamp), and until then uses what it read only where any number will do: compared,
//!   copied to its own buffer, or as a position that is checked against the arena. The stamp's two fences order single
//!   bytes as they order words: who saw a byte of the change sees that the stamp has moved on.
//! - **Stores have one writer.** The holder of the lock that guards the bytes, or the owner of a reservation. So a
//!   word that is loaded whole, by an atomic load, is torn by a move for nobody but such a reader; under the
//!   lock all moves are over.
//! - **Bytes beside are not touched.** A store writes its own bytes and no others; two writers of one word do not exist.
//!
//! Mixed sizes: that the same bytes are loaded as a word here and moved as bytes there is outside of what the language
//! speaks of, as all assembly is. The processor's model has it: accesses of different widths to normal memory are
//! coherent byte by byte, and x86-64 keeps the order of loads and of stores.
//!
//! Elsewhere, and under tools that do not look into assembly, it is loops over words: `portable`, in which every access is
//! an aligned relaxed word and the language alone is enough. That is also what aarch64 has. Moves by its vector registers
//! would be as sound by the same argument, where its weaker order is kept by the stamp's fences, but nobody has measured
//! them, and so there are none.
//!
//! `--cfg flagstone_portable` has the loops on x86-64, too: `scripts/soundness portable` runs the engine's tests with what
//! aarch64 runs, and `scripts/soundness thread` has them because ThreadSanitizer sees no access that assembly makes. Such a
//! loop keeps the bytes beside by storing what it had loaded of them, which is the same where a word has one writer.

pub(crate) mod lanes;
#[cfg(any(
    test,
    not(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))
))]
mod portable;
#[cfg(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))]
mod x86_64;

use std::sync::atomic::AtomicU64;

use crate::geometry::WORD_BYTES;

#[cfg(not(all(target_arch = "x86_64", not(miri), not(flagstone_portable))))]
use portable as moves;
#[cfg(all(target_arch = "x86_64", not(miri), not(flagstone_portable)))]
use x86_64 as moves;

/// Panics unless `len` bytes from byte `at` on lie in `words`.
#[inline(always)]
fn check(words: &[AtomicU64], at: usize, len: usize) {
    let bytes = words.len() * WORD_BYTES;
    assert!(
        at <= bytes && len <= bytes - at,
        "the bytes lie in the words"
    );
}

/// The `len` bytes (1 to 8) from byte `at` on, as the low end of a word; what is above is anything.
#[inline(always)]
fn peek_short(words: &[AtomicU64], at: usize, len: usize) -> u64 {
    debug_assert!(len > 0 && len <= WORD_BYTES);
    // The last 8 bytes of the words are there, if not those from `at` on.
    let from = at.min(words.len() * WORD_BYTES - WORD_BYTES);
    moves::peek(words, from) >> (8 * (at - from))
}

/// The 8 bytes from byte `at` on. Relaxed loads.
#[inline(always)]
pub fn peek(words: &[AtomicU64], at: usize) -> u64 {
    moves::peek(words, at)
}

/// Copies the bytes from byte `at` of `words` on to `out`. Relaxed loads.
#[inline(always)]
pub fn copy_out(words: &[AtomicU64], at: usize, out: &mut [u8]) {
    let len = out.len();
    check(words, at, len);
    if len >= 2 * WORD_BYTES {
        moves::load(words, at, out);
    } else if len >= WORD_BYTES {
        let (low, high) = (
            moves::peek(words, at),
            moves::peek(words, at + len - WORD_BYTES),
        );
        out[..WORD_BYTES].copy_from_slice(&low.to_le_bytes());
        out[len - WORD_BYTES..].copy_from_slice(&high.to_le_bytes());
    } else if len > 0 {
        put_short(out, peek_short(words, at, len));
    }
}

/// Copies `bytes` to `words` from byte `at` on. Relaxed stores; the caller is the only writer of the
/// words touched, and those at the ends keep their other bytes.
#[inline(always)]
pub fn copy_in(words: &[AtomicU64], at: usize, bytes: &[u8]) {
    check(words, at, bytes.len());
    if !bytes.is_empty() {
        moves::store(words, at, bytes);
    }
}

/// Whether the bytes from byte `at` of `words` on are `bytes`. Relaxed loads.
#[inline(always)]
pub fn equals(words: &[AtomicU64], at: usize, bytes: &[u8]) -> bool {
    let len = bytes.len();
    check(words, at, len);
    if len >= 2 * WORD_BYTES {
        moves::equals(words, at, bytes)
    } else if len >= WORD_BYTES {
        let rest = len - WORD_BYTES;
        let low = moves::peek(words, at) ^ get_word(&bytes[..WORD_BYTES]);
        let high = moves::peek(words, at + rest) ^ get_word(&bytes[rest..]);
        low | high == 0
    } else if len > 0 {
        // What is above the bytes is shifted out.
        (peek_short(words, at, len) ^ get_short(bytes)) << (8 * (WORD_BYTES - len)) == 0
    } else {
        true
    }
}

/// Which of the 16 bytes of two words are `byte`, a bit each, the first one lowest.
#[cfg(all(target_arch = "x86_64", not(flagstone_portable)))]
#[inline(always)]
pub fn equal_to(byte: u8, word_0: u64, word_1: u64) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        let words = _mm_set_epi64x(word_1 as i64, word_0 as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(words, _mm_set1_epi8(byte as i8))) as u32
    }
}

#[cfg(not(all(target_arch = "x86_64", not(flagstone_portable))))]
pub use equal_by_word as equal_to;

/// The same without an instruction for it.
///
/// Exact (the shorter formula has false positives behind a true one, and a false hit on a bucket's
/// link must not happen): add 0x7F to the low seven bits of each byte, which sets its top bit unless they
/// were zero; no carry leaves a byte.
#[cfg(any(test, not(all(target_arch = "x86_64", not(flagstone_portable)))))]
pub fn equal_by_word(byte: u8, word_0: u64, word_1: u64) -> u32 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    [word_1, word_0].into_iter().fold(0, |bits, word| {
        let differ = word ^ (LOW * u64::from(byte));
        let equal = !((((differ & !HIGH) + !HIGH) | differ) | !HIGH);
        // The top bit of byte n lands in bit n of the top byte.
        let gathered = (equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits << 8 | gathered as u32
    })
}

/// All 8 bytes of a word.
#[inline(always)]
fn get_word(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD_BYTES];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// The low bytes of `word` as `out`, which has 1 to 7.
#[inline(always)]
fn put_short(out: &mut [u8], word: u64) {
    let len = out.len();
    if len >= 4 {
        // Both halves are there whole, and overlap.
        out[..4].copy_from_slice(&(word as u32).to_le_bytes());
        out[len - 4..].copy_from_slice(&((word >> (8 * (len - 4))) as u32).to_le_bytes());
    } else {
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = (word >> (8 * at)) as u8;
        }
    }
}

/// `bytes`, of which there are 1 to 7, as the low end of a word.
#[inline(always)]
fn get_short(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*first))
            | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4) % 64)
    } else {
        let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
        byte(0) | byte(len / 2) | byte(len - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    /// Every start, length and neighbour: what goes in comes out, nothing beside it moves, and whatever
    /// differs is seen; by both ways of moving.
    #[test]
    fn bytes_go_in_and_come_out_at_every_offset() {
        let words: Vec<AtomicU64> = (0..24).map(|_| AtomicU64::new(0)).collect();
        let bytes: Vec<u8> = (1..=160).collect();
        for at in 0..24 {
            for len in 0..=160 {
                words.iter().for_each(|word| word.store(u64::MAX, Relaxed));
                let written = &bytes[..len];
                copy_in(&words, at, written);
                let seen: Vec<u8> = words
                    .iter()
                    .flat_map(|word| word.load(Relaxed).to_le_bytes())
                    .collect();
                assert_eq!(&seen[at..at + len], written);
                let mut beside = seen[..at].iter().chain(&seen[at + len..]);
                assert!(beside.all(|&byte| byte == 0xFF), "at {at} len {len}");
                let mut out = vec![0; len];
                copy_out(&words, at, &mut out);
                assert_eq!(out, written, "at {at}");
                assert!(equals(&words, at, written));
                for wrong in 0..len {
                    let mut other = written.to_vec();
                    other[wrong] ^= 0x40;
                    assert!(!equals(&words, at, &other), "at {at} len {len} {wrong}");
                }
                words.iter().for_each(|word| word.store(u64::MAX, Relaxed));
                portable::store(&words, at, written);
                assert!(equals(&words, at, written), "at {at} len {len}");
                if len >= 2 * WORD_BYTES {
                    assert!(portable::equals(&words, at, written));
                    out.fill(0);
                    portable::load(&words, at, &mut out);
                    assert_eq!(out, written);
                    out[len / 3] ^= 1;
                    assert!(!portable::equals(&words, at, &out));
                }
            }
        }
    }

    #[test]
    fn equal_bytes_are_found_exactly() {
        let mut seed = 1u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few values, so that equal and neighbouring bytes are common.
            seed & 0x8103_8103_0181_0301
        };
        for _ in 0..20_000 {
            let words = [draw(), draw()];
            for byte in [0u8, 1, 2, 3, 0x80, 0x81, 0x83] {
                let expected = words
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .enumerate()
                    .fold(0, |bits, (at, seen)| bits | u32::from(seen == byte) << at);
                for equal_to in [equal_to, equal_by_word] {
                    let seen = equal_to(byte, words[0], words[1]);
                    assert_eq!(seen, expected, "{words:x?} {byte:#x}");
                }
            }
        }
    }

    /// The last bytes of the words, and not one more.
    #[test]
    fn nothing_beyond_the_words_is_touched() {
        let words: [AtomicU64; 4] = Default::default();
        for len in 1..=32 {
            let bytes = vec![7; len];
            copy_in(&words, 32 - len, &bytes);
            assert!(equals(&words, 32 - len, &bytes));
            let mut out = vec![0; len];
            copy_out(&words, 32 - len, &mut out);
            assert_eq!(out, bytes);
            for work in [
                &(|| copy_in(&words, 33 - len, &bytes)) as &dyn Fn(),
                &|| copy_out(&words, 33 - len, &mut vec![0; len]),
                &|| _ = equals(&words, 33 - len, &bytes),
                &|| _ = equals(&words, usize::MAX, &bytes),
            ] {
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                assert!(caught.is_err());
            }
        }
    }
}
