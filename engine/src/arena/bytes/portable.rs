//! The moves, a word at a time.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{WORD_BYTES, get_word};

/// The 8 bytes from byte `at` on.
#[inline(always)]
pub fn peek(words: &[AtomicU64], at: usize) -> u64 {
    let (word, shift) = (at / WORD_BYTES, 8 * (at % WORD_BYTES));
    let low = words[word].load(Relaxed) >> shift;
    if shift == 0 {
        low
    } else {
        low | words[word + 1].load(Relaxed) << (64 - shift)
    }
}

/// Copies from `at` on; `out` has at least 16 bytes.
pub fn load(words: &[AtomicU64], at: usize, out: &mut [u8]) {
    let last = out.len() - WORD_BYTES;
    for (place, bytes) in out.chunks_exact_mut(WORD_BYTES).enumerate() {
        bytes.copy_from_slice(&peek(words, at + place * WORD_BYTES).to_le_bytes());
    }
    out[last..].copy_from_slice(&peek(words, at + last).to_le_bytes());
}

/// Copies to `at` on.
pub fn store(words: &[AtomicU64], at: usize, bytes: &[u8]) {
    let mut rest = bytes;
    let (mut word, mut shift) = (at / WORD_BYTES, at % WORD_BYTES);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(WORD_BYTES - shift));
        let whole = if part.len() == WORD_BYTES {
            get_word(part)
        } else {
            let mut all = words[word].load(Relaxed).to_le_bytes();
            all[shift..shift + part.len()].copy_from_slice(part);
            u64::from_le_bytes(all)
        };
        words[word].store(whole, Relaxed);
        (rest, word, shift) = (after, word + 1, 0);
    }
}

/// Compares from `at` on; there are at least 16 bytes.
pub fn equals(words: &[AtomicU64], at: usize, bytes: &[u8]) -> bool {
    let last = bytes.len() - WORD_BYTES;
    let same = |place| peek(words, at + place) == get_word(&bytes[place..place + WORD_BYTES]);
    (0..last).step_by(WORD_BYTES).all(same) && same(last)
}
