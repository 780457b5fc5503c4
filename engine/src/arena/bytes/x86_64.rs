//! The moves, by hand: what they stand for, and why that is sound, is told at the head of `bytes`.

use std::arch::asm;
use std::arch::x86_64::{__m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8};
use std::sync::atomic::AtomicU64;

use super::{WORD_BYTES, check, get_short, get_word};

/// Bytes moved by one instruction that every x86-64 has.
const LANE: usize = 16;
/// Bytes moved by one round of the loop: a cache line.
const ROUND: usize = 4 * LANE;

/// The 8 bytes from byte `at` on.
#[inline(always)]
pub fn peek(words: &[AtomicU64], at: usize) -> u64 {
    check(words, at, WORD_BYTES);
    let seen: u64;
    // SAFETY: 8 bytes from `at` on lie in `words`, which are atomics: the head of `bytes` says what such a load is. Nothing
    // is written.
    unsafe {
        let from = words.as_ptr().cast::<u8>().add(at);
        asm!("mov {seen}, qword ptr [{from}]", from = in(reg) from, seen = out(reg) seen,
            options(nostack, preserves_flags, readonly));
    }
    seen
}

/// Copies from `at` on; `out` has at least 16 bytes.
#[inline(always)]
pub fn load(words: &[AtomicU64], at: usize, out: &mut [u8]) {
    check(words, at, out.len());
    assert!(out.len() >= LANE);
    // SAFETY: both sides are valid for so many bytes, at least a lane; they cannot overlap, because `out` is a mutable
    // reference and no plain reference into the arena is ever made.
    unsafe {
        copy(
            words.as_ptr().cast::<u8>().add(at),
            out.as_mut_ptr(),
            out.len(),
        )
    };
}

/// Copies to `at` on; there is at least a byte.
#[inline(always)]
pub fn store(words: &[AtomicU64], at: usize, bytes: &[u8]) {
    let len = bytes.len();
    check(words, at, len);
    // SAFETY: `words` may be written through a shared reference, because they are atomics; both sides are
    // valid for `len` bytes, of which every case writes those and no other; they cannot overlap, as above.
    unsafe {
        let to = words.as_ptr().cast_mut().cast::<u8>().add(at);
        if len >= LANE {
            copy(bytes.as_ptr(), to, len);
        } else if let (Some(first), Some(last)) =
            (bytes.first_chunk::<8>(), bytes.last_chunk::<8>())
        {
            poke_8(to, u64::from_le_bytes(*first));
            poke_8(to.add(len - 8), u64::from_le_bytes(*last));
        } else if let (Some(first), Some(last)) =
            (bytes.first_chunk::<4>(), bytes.last_chunk::<4>())
        {
            poke_4(to, u32::from_le_bytes(*first));
            poke_4(to.add(len - 4), u32::from_le_bytes(*last));
        } else {
            let word = get_short(bytes);
            for place in 0..len {
                poke_1(to.add(place), (word >> (8 * place)) as u8);
            }
        }
    }
}

/// Compares from `at` on; there are at least 16 bytes.
#[inline(always)]
pub fn equals(words: &[AtomicU64], at: usize, bytes: &[u8]) -> bool {
    let len = bytes.len();
    check(words, at, len);
    assert!(len >= LANE);
    // SAFETY: the first and the last lane of the `len` bytes that both sides are valid for.
    let ends_same = unsafe {
        let from = words.as_ptr().cast::<u8>().add(at);
        let last = len - LANE;
        let first = _mm_cmpeq_epi8(lane(from), lane(bytes.as_ptr()));
        let last = _mm_cmpeq_epi8(lane(from.add(last)), lane(bytes.as_ptr().add(last)));
        _mm_movemask_epi8(_mm_and_si128(first, last)) == 0xFFFF
    };
    ends_same && (len <= 2 * LANE || equals_between(words, at, bytes))
}

/// The words between the first and the last lane, for keys that are longer than most.
#[inline(never)]
fn equals_between(words: &[AtomicU64], at: usize, bytes: &[u8]) -> bool {
    let same = |place| peek(words, at + place) == get_word(&bytes[place..place + WORD_BYTES]);
    (LANE..bytes.len() - LANE).step_by(WORD_BYTES).all(same)
}

/// # Safety
/// 16 bytes at `from` live: of atomic words, or of a reference.
#[inline(always)]
unsafe fn lane(from: *const u8) -> __m128i {
    let seen;
    // SAFETY: the caller's debt. Nothing is written.
    unsafe {
        asm!("movups {seen}, xmmword ptr [{from}]", from = in(reg) from, seen = out(xmm_reg) seen,
            options(nostack, preserves_flags, readonly));
    }
    seen
}

/// # Safety
/// 8 bytes at `to` are of atomic words that live, and nobody else writes them.
#[inline(always)]
unsafe fn poke_8(to: *mut u8, value: u64) {
    // SAFETY: the caller's debt.
    unsafe {
        asm!("mov qword ptr [{to}], {value}", to = in(reg) to, value = in(reg) value,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// As [`poke_8`], for 4 bytes.
#[inline(always)]
unsafe fn poke_4(to: *mut u8, value: u32) {
    // SAFETY: the caller's debt.
    unsafe {
        asm!("mov dword ptr [{to}], {value:e}", to = in(reg) to, value = in(reg) value,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// As [`poke_8`], for a byte.
#[inline(always)]
unsafe fn poke_1(to: *mut u8, value: u8) {
    // SAFETY: the caller's debt.
    unsafe {
        asm!("mov byte ptr [{to}], {value}", to = in(reg) to, value = in(reg_byte) value,
            options(nostack, preserves_flags));
    }
}

/// Moves `len` bytes, at least 16.
///
/// # Safety
/// - both pointers are valid for `len` bytes, `to` for writing, and do not overlap;
/// - one side is of the arena, and nobody else writes there if it is `to`.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    debug_assert!(len >= LANE);
    // SAFETY: lanes within the `len` bytes.
    unsafe {
        if len > 4 * LANE {
            return copy_long(from, to, len);
        }
        // Two or four lanes, which overlap; no loop.
        let last = len - LANE;
        move_lane(from, to);
        if len > 2 * LANE {
            move_lane(from.add(LANE), to.add(LANE));
            move_lane(from.add(last - LANE), to.add(last - LANE));
        }
        move_lane(from.add(last), to.add(last));
    }
}

/// As [`copy`], for at least 64 bytes.
///
/// # Safety
/// As [`copy`].
#[inline(never)]
unsafe fn copy_long(from: *const u8, to: *mut u8, len: usize) {
    debug_assert!(len >= ROUND);
    let whole = len / ROUND * ROUND;
    // SAFETY: whole rounds, then the lanes behind them that are needed, then the lane that ends with the bytes.
    unsafe {
        move_rounds(from, to, whole / ROUND);
        for place in (whole..len).step_by(LANE) {
            let place = place.min(len - LANE);
            move_lane(from.add(place), to.add(place));
        }
    }
}

/// # Safety
/// As [`copy`], for 16 bytes.
#[inline(always)]
unsafe fn move_lane(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's debt.
    unsafe {
        asm!(
            "movups {a}, xmmword ptr [{from}]",
            "movups xmmword ptr [{to}], {a}",
            from = in(reg) from,
            to = in(reg) to,
            a = out(xmm_reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// Moves `rounds` times 64 bytes; at least one.
///
/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn move_rounds(from: *const u8, to: *mut u8, rounds: usize) {
    debug_assert!(rounds > 0);
    // SAFETY: the caller's debts are just what the moves need. Flags are changed, the stack is not; of the wide
    // registers the compiler knows only the lower halves, and the upper ones are clear afterwards.
    unsafe {
        if std::arch::is_x86_feature_detected!("avx") {
            asm!(
                "2:",
                "vmovdqu ymm0, ymmword ptr [{from}]",
                "vmovdqu ymm1, ymmword ptr [{from} + 32]",
                "vmovdqu ymmword ptr [{to}], ymm0",
                "vmovdqu ymmword ptr [{to} + 32], ymm1",
                "add {from}, 64",
                "add {to}, 64",
                "dec {rounds}",
                "jnz 2b",
                "vzeroupper",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                rounds = inout(reg) rounds => _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack),
            );
        } else {
            asm!(
                "2:",
                "movups {a}, xmmword ptr [{from}]",
                "movups {b}, xmmword ptr [{from} + 16]",
                "movups {c}, xmmword ptr [{from} + 32]",
                "movups {d}, xmmword ptr [{from} + 48]",
                "movups xmmword ptr [{to}], {a}",
                "movups xmmword ptr [{to} + 16], {b}",
                "movups xmmword ptr [{to} + 32], {c}",
                "movups xmmword ptr [{to} + 48], {d}",
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
}
