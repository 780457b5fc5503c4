//! The stamp: how a reader without a lock knows that what it copied was one whole item.
//!
//! ```text
//! reader                                writer (holds the shard's lock)
//! 1. note the stamp     (Acquire)       a. stamp := odd        (Relaxed)
//!    odd? try again                        fence(Release)
//! 2. copy words         (Relaxed)       b. change bucket, items (Relaxed)
//! 3. fence(Acquire)                     c. stamp := next even  (Release)
//! 4. load the stamp     (Relaxed)
//!    other? try again
//! ```
//!
//! Why it holds: a reader that saw any word of b sees, by the two fences, the odd stamp
//! of a or a later one in step 4. A reader that noted the even stamp of c saw, by
//! release and acquire, all of b.
//!
//! An unlinked chunk is filled anew without the stamp of its old bucket. That is why
//! [`before_reuse`] stands before the first store into any chunk: a reader that sees the
//! new bytes must also see that the old bucket has moved on. A release *store* would not
//! do, since it does not hold back the relaxed stores that follow it.
//!
//! Volatile reads of plain memory would be a data race; words of relaxed atomics are not
//! (Boehm, "Can seqlocks get along with programming language memory models?", 2012).
//!
//! The word type and the fence are parameters so that `tests/loom_stamp.rs` drives this
//! very code, and shows that it fails when a fence is taken out.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A 64-bit atomic: std's, or a model checker's.
pub trait Word {
    /// Atomic load.
    fn load(&self, order: Ordering) -> u64;
    /// Atomic store.
    fn store(&self, value: u64, order: Ordering);
}

/// Where fences come from: std, a model checker, or a test that leaves one out.
pub trait Fences {
    /// Between copying and the second look at the stamp: `fence(Acquire)`.
    fn reader();
    /// Between the odd stamp and the changes: `fence(Release)`.
    fn writer();
    /// Between unlinking a chunk and filling it anew: `fence(Release)`.
    fn reuse();
}

impl Word for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }
    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }
}

/// std's fences.
pub struct StdFences;

impl Fences for StdFences {
    #[inline(always)]
    fn reader() {
        fence(Ordering::Acquire);
    }
    #[inline(always)]
    fn writer() {
        fence(Ordering::Release);
    }
    #[inline(always)]
    fn reuse() {
        fence(Ordering::Release);
    }
}

/// The stamp is the word's low half; the high half belongs to the bucket.
const STAMP_MASK: u64 = u32::MAX as u64;

/// What a reader noted: the whole first word of the bucket.
#[derive(Clone, Copy, Debug)]
pub struct Noted(u64);

impl Noted {
    /// The word, whose high half a reader may use.
    #[inline(always)]
    #[must_use]
    pub fn word(self) -> u64 {
        self.0
    }
}

/// Step 1. `None`: a writer is at work.
#[inline(always)]
pub fn note<W: Word>(word: &W) -> Option<Noted> {
    let seen = word.load(Ordering::Acquire);
    if seen & 1 == 1 {
        None
    } else {
        Some(Noted(seen))
    }
}

/// Steps 3 and 4: whether all that was read since [`note`] belongs together.
#[inline(always)]
pub fn validate<W: Word, F: Fences>(word: &W, noted: Noted) -> bool {
    F::reader();
    is_same(word, noted)
}

/// Whether nothing was written since [`note`], to one who keeps writers away by now, and to whom they have shown all that they
/// wrote: what was read since then belongs together.
#[inline(always)]
pub fn is_same<W: Word>(word: &W, noted: Noted) -> bool {
    word.load(Ordering::Relaxed) & STAMP_MASK == noted.0 & STAMP_MASK
}

/// Steps a and c: the stamp is odd from [`Writing::begin`] to [`Writing::end`].
///
/// A panic in between leaves it odd: readers go on looking until whoever holds the lock has made
/// the bucket whole again ([`Writing::resume`]). So dropping this does not close the stamp, as a
/// guard's drop usually does: it would tell readers that what is half done can be read.
#[must_use = "a stamp that was opened has to be closed: `end`"]
pub struct Writing<'w, W: Word, F: Fences> {
    word: &'w W,
    fences: PhantomData<F>,
}

impl<'w, W: Word, F: Fences> Writing<'w, W, F> {
    /// Step a. The caller is the only writer.
    #[inline(always)]
    pub fn begin(word: &'w W) -> Self {
        let seen = word.load(Ordering::Relaxed);
        debug_assert!(seen & 1 == 0, "a stamp is opened once");
        word.store(next(seen), Ordering::Relaxed);
        F::writer();
        Writing {
            word,
            fences: PhantomData,
        }
    }

    /// Step a, when a panic may have come between a and c before: then it is done already.
    pub fn resume(word: &'w W) -> Self {
        if word.load(Ordering::Relaxed) & 1 == 0 {
            return Self::begin(word);
        }
        Writing {
            word,
            fences: PhantomData,
        }
    }

    /// Step c.
    #[inline(always)]
    pub fn end(self) {
        let seen = self.word.load(Ordering::Relaxed);
        debug_assert!(seen & 1 == 1, "a stamp is closed after it was opened");
        self.word.store(next(seen), Ordering::Release);
        std::mem::forget(self);
    }
}

impl<W: Word, F: Fences> Drop for Writing<'_, W, F> {
    #[inline(always)]
    fn drop(&mut self) {
        debug_assert!(
            std::thread::panicking(),
            "only a panic leaves a stamp open: `end` was forgotten"
        );
    }
}

/// What a writer owes before the first store into a chunk that may have been linked before.
#[inline(always)]
pub fn before_reuse<F: Fences>() {
    F::reuse();
}

/// The stamp alone counts on; at 2^32 it wraps without a carry into the tags.
#[inline(always)]
fn next(word: u64) -> u64 {
    (word & !STAMP_MASK) | ((word + 1) & STAMP_MASK)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    type Opened<'w> = Writing<'w, AtomicU64, StdFences>;

    /// What readers use of the word beside the stamp stays, also where the stamp wraps.
    #[test]
    fn a_stamp_counts_in_its_own_half() {
        for (before, open, after) in [
            (7 << 32, 7 << 32 | 1, 7 << 32 | 2),
            (7 << 32 | 0xFFFF_FFFE, 7 << 32 | 0xFFFF_FFFF, 7 << 32),
        ] {
            let word = AtomicU64::new(before);
            let noted = note(&word).expect("even");
            let writing = Opened::begin(&word);
            assert_eq!(AtomicU64::load(&word, Ordering::Relaxed), open);
            assert!(note(&word).is_none());
            writing.end();
            assert_eq!(AtomicU64::load(&word, Ordering::Relaxed), after);
            assert!(!validate::<_, StdFences>(&word, noted));
        }
    }

    /// What is half done stays closed to readers, until somebody has made it whole.
    #[test]
    fn a_panic_leaves_the_stamp_odd_until_it_is_resumed() {
        let word = AtomicU64::new(4);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _writing = Opened::begin(&word);
            panic!("on purpose");
        }));
        assert!(caught.is_err());
        assert!(note(&word).is_none());
        for after in [6, 8] {
            Opened::resume(&word).end();
            assert_eq!(note(&word).expect("even").word(), after);
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "`end` was forgotten")]
    fn an_end_that_is_forgotten_is_found() {
        drop(Opened::begin(&AtomicU64::new(0)));
    }
}
