//! Memory for requests that wait until the last of them is there.

use crate::proto::WHOLE_BYTES_MAX;

/// Where a queue begins: a few requests, a few keys that are watched.
pub const QUEUE_SMALL_BYTES: usize = 1 << 10;
/// What a longer one goes on in: any request that can be held whole fits.
pub const QUEUE_LARGE_BYTES: usize = WHOLE_BYTES_MAX;

/// The blocks of all workers together take this part of the memory …
const QUEUES_SHARE: usize = 128;
/// … but never more than this in a worker …
const QUEUES_BYTES_MAX: usize = 2 << 20;
/// … and at least so many of each size: one transaction of 32 KiB, and a few short ones.
const COUNTS_MIN: [usize; 2] = [8, 2];

/// A worker's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// Of [`QUEUE_SMALL_BYTES`] each.
    pub small_count: usize,
    /// Of [`QUEUE_LARGE_BYTES`] each.
    pub large_count: usize,
}

impl QueuePlan {
    /// An eighth of the memory for queues is in small blocks.
    pub(super) fn new(memory_bytes: usize, workers: usize) -> Self {
        let bytes = (memory_bytes / QUEUES_SHARE / workers).min(QUEUES_BYTES_MAX);
        let [small, large] = COUNTS_MIN;
        QueuePlan {
            small_count: (bytes / 8 / QUEUE_SMALL_BYTES).max(small),
            large_count: (bytes / 8 * 7 / QUEUE_LARGE_BYTES).max(large),
        }
    }

    /// What all of them take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.small_count * QUEUE_SMALL_BYTES + self.large_count * QUEUE_LARGE_BYTES
    }
}
