//! Requests that were decoded and are not executed yet.

use smallvec::SmallVec;

/// Requests decoded ahead. Prefetching more than about this many lines at a time stops
/// helping: a core has 10 to 16 misses under way at most, in two rounds.
pub const BATCH_MAX: usize = 32;

/// Up to [`BATCH_MAX`] of them, on the stack. Not an array, which would have to be filled
/// before it is used: most batches are short.
pub struct Batch<T>(SmallVec<[T; BATCH_MAX]>);

impl<T> Batch<T> {
    #[inline]
    pub fn new() -> Self {
        Batch(SmallVec::new())
    }

    #[inline]
    pub fn of(first: T) -> Self {
        let mut batch = Batch::new();
        batch.push(first);
        batch
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.0.len() == BATCH_MAX
    }

    /// Appends one; there must be room.
    #[inline]
    pub fn push(&mut self, one: T) {
        assert!(!self.is_full(), "a batch never grows");
        self.0.push(one);
    }
}

impl<T> std::ops::Deref for Batch<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Batch<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
