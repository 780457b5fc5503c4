//! The tuning that all shards go by, and the trials that choose it, for many threads.
//!
//! Shards read two numbers. Who notes a key of the sample tries for the lock and does without if another has it: a trial is a
//! sample anyway, and nobody waits.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use super::segments::Eviction;
use super::trials::{self, TUNINGS, Trials, Tuning};
use crate::hash::KeyHash;

/// The chosen tuning. All orders are relaxed: the numbers are hints, and order nothing.
pub(crate) struct Choice {
    /// The tuning's number.
    chosen: AtomicU32,
    /// Keys whose bits are no more than this are noted.
    limit: AtomicU32,
    eviction: Eviction,
    trials: Box<Mutex<Trials>>,
}

/// What there is to be told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub tuning: Tuning,
    /// How often it has been another.
    pub changes: u64,
}

impl Choice {
    /// Bytes on the heap.
    pub const HEAP_BYTES: usize = size_of::<Mutex<Trials>>();

    pub fn new(eviction: Eviction) -> Self {
        let trials = Trials::new();
        let limit = match eviction {
            Eviction::Adaptive => trials.limit(),
            Eviction::S3Fifo | Eviction::Lru => 0,
        };
        Choice {
            chosen: AtomicU32::new(trials.chosen() as u32),
            limit: AtomicU32::new(limit),
            eviction,
            trials: Box::new(Mutex::new(trials)),
        }
    }

    #[inline(always)]
    pub fn tuning(&self) -> Tuning {
        TUNINGS[self.chosen.load(Relaxed) as usize % TUNINGS.len()]
    }

    /// Whether a key is of the sample.
    #[inline(always)]
    pub fn wants(&self, hash: KeyHash) -> bool {
        trials::sampled_by(hash) <= self.limit.load(Relaxed)
    }

    /// A key of the sample was asked for, in a shard of so many items, in which something had to leave already or not.
    #[cold]
    #[inline(never)]
    pub fn note(&self, hash: KeyHash, items: usize, is_full: bool) {
        if self.eviction != Eviction::Adaptive {
            return;
        }
        if let Some(mut trials) = self.trials.try_lock() {
            trials.note(hash, items, is_full);
            self.limit.store(trials.limit(), Relaxed);
            self.chosen.store(trials.chosen() as u32, Relaxed);
        }
    }

    pub fn chosen(&self) -> Chosen {
        Chosen {
            tuning: self.tuning(),
            changes: self.trials.lock().changes(),
        }
    }
}
