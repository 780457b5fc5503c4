//! Many words at once: what a `memcpy` is to bytes.
//!
//! A loop of relaxed loads is what the language offers for words that others may be writing, and no
//! compiler widens it: it moves 8 bytes an instruction, where the machine moves 16. On x86-64 the loop is written
//! by hand. Its 16-byte moves are, for the language, what two relaxed loads (or stores) of
//! neighbouring words are: x86-64 never tears an aligned word within a wider move, in whatever order it does the
//! words, and relaxed promises no order. So mixing them with the atomics of everybody else is as sound as the loop.
//!
//! Elsewhere, and under tools that do not look into assembly, it is the loop.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::geometry::WORD_BYTES;

/// Words moved by one round of the wide loop.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const ROUND: usize = 8;

/// Relaxed loads of all `words` into `out`, which has as many.
#[inline(always)]
pub fn load(words: &[AtomicU64], out: &mut [[u8; WORD_BYTES]]) {
    assert_eq!(words.len(), out.len());
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    let (words, out) = if words.len() < ROUND {
        (words, out)
    } else {
        let wide = words.len() / ROUND * ROUND;
        // SAFETY: both are valid for `wide` words (asserted to be equally long), `out` for writing;
        // `words` is aligned to 8, as an `AtomicU64` is; they cannot overlap, because `out` is a
        // mutable reference.
        unsafe { move_rounds(words.as_ptr().cast(), out.as_mut_ptr().cast(), wide / ROUND) };
        (&words[wide..], &mut out[wide..])
    };
    for (bytes, word) in out.iter_mut().zip(words) {
        *bytes = word.load(Relaxed).to_le_bytes();
    }
}

/// Relaxed stores of all of `bytes` to `words`, which has as many. The caller is their only
/// writer.
#[inline(always)]
pub fn store(words: &[AtomicU64], bytes: &[[u8; WORD_BYTES]]) {
    assert_eq!(words.len(), bytes.len());
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    let (words, bytes) = {
        let wide = words.len() / ROUND * ROUND;
        if wide > 0 {
            // SAFETY: both are valid for `wide` words (asserted to be equally long); words may be
            // written through a shared reference, because they are atomics, aligned to 8; `bytes` are
            // not in the arena, of which no plain reference is ever made.
            unsafe {
                move_rounds(
                    bytes.as_ptr().cast(),
                    words.as_ptr().cast_mut().cast(),
                    wide / ROUND,
                )
            };
        }
        (&words[wide..], &bytes[wide..])
    };
    for (word, bytes) in words.iter().zip(bytes) {
        word.store(u64::from_le_bytes(*bytes), Relaxed);
    }
}

/// Moves `rounds` times 64 bytes; at least one.
///
/// # Safety
/// - both pointers are valid for `rounds` × 64 bytes, `to` for writing;
/// - they do not overlap;
/// - what others do to the same memory meanwhile they do with atomic words, and on the side that is the arena
///   the pointer is aligned to 8.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
unsafe fn move_rounds(from: *const u8, to: *mut u8, rounds: usize) {
    debug_assert!(rounds > 0);
    // SAFETY: the caller's debts are just what the moves need. Flags are changed, the stack is not.
    unsafe {
        std::arch::asm!(
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            "movups [{to} + 48], {d}",
            "add {from}, 64",
            "add {to}, 64",
            "dec {rounds}",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            rounds = inout(reg) rounds => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
}
