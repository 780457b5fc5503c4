//! Words from the global allocator, aligned to cache lines.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Zeroable;

use crate::geometry::{BUCKET_WORDS, WORD_BYTES};

/// A cache line, so that a bucket is one.
#[repr(C, align(64))]
struct Line([AtomicU64; BUCKET_WORDS]);

// SAFETY: `AtomicU64` has the representation of `u64`, for which all zeroes is a value.
unsafe impl Zeroable for Line {}

/// The boxed lines.
pub(super) struct HeapWords(Box<[Line]>);

impl HeapWords {
    /// `len` words (rounded up to a line) of zeroes; the OS provides them on first touch
    /// unless `prefault`.
    pub fn zeroed(len: usize, prefault: bool) -> Self {
        let lines: Box<[Line]> = bytemuck::zeroed_slice_box(len.div_ceil(BUCKET_WORDS));
        if prefault {
            for line in lines.iter().step_by(4096 / (BUCKET_WORDS * WORD_BYTES)) {
                line.0[0].store(0, Ordering::Relaxed);
            }
        }
        HeapWords(lines)
    }

    pub fn start(&self) -> NonNull<AtomicU64> {
        // A box is never null, and a `Line` begins with its first word.
        NonNull::from(self.0.as_ref()).cast()
    }
}
