//! What the curve of hit ratios may take.

use flagstone_engine::{Curve, Eviction, Reference};

use crate::settings::config::Config;

/// The model takes this part of the memory: with 64 MiB it errs by a point or two …
const SHARE: usize = 256;
/// … but never more entries a point than these: more would not make it better by much …
const ENTRIES_MAX: usize = 4096;
/// … and with fewer than these there is none: below about 24 MiB.
const ENTRIES_MIN: usize = 512;
/// References that a worker keeps until it hands them over.
pub const USES: usize = 512;

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurvePlan {
    /// Entries of each point; 0: there is no model.
    pub entries: usize,
    /// Which items leave.
    pub eviction: Eviction,
    /// Workers that note references.
    workers: usize,
}

impl CurvePlan {
    pub(super) fn new(config: &Config, memory_bytes: usize) -> Self {
        let entries = Curve::entries_in(memory_bytes / SHARE).min(ENTRIES_MAX);
        CurvePlan {
            entries: match config.curve && entries >= ENTRIES_MIN {
                true => entries,
                false => 0,
            },
            eviction: config.eviction,
            workers: config.workers,
        }
    }

    /// Places for references of each worker.
    #[must_use]
    pub fn uses(&self) -> usize {
        if self.entries > 0 { USES } else { 0 }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self.entries {
            0 => 0,
            entries => Curve::bytes(entries) + self.workers * self.uses() * size_of::<Reference>(),
        }
    }
}
