//! What values on their way, in pieces, may hold still.

use crate::memory::costs::{CHARGE_MIN, SHORT_BYTES};

/// Long values on their way, in pieces, may hold this part of the memory still …
const LONG_TRANSFERS_SHARE: usize = 8;
/// … and the shorter ones among them this.
const SHORT_TRANSFERS_SHARE: usize = 24;
/// More of them at a time than this on one worker help nobody.
const TRANSFERS_MAX: usize = 128;

/// What values on their way, in pieces, may hold still, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferPlan {
    /// Values below `SHORT_BYTES`.
    pub short_bytes: usize,
    /// Longer ones.
    pub long_bytes: usize,
    /// Transfers at a time in each worker.
    pub places: usize,
}

impl TransferPlan {
    /// A part of the engine's budget, and room for one of the longest at least.
    pub fn new(budget_bytes: usize, item_bytes_max: usize) -> Self {
        // One of the longest can always be under way.
        let long_bytes = (budget_bytes / LONG_TRANSFERS_SHARE).max(item_bytes_max);
        let short_bytes = (budget_bytes / SHORT_TRANSFERS_SHARE).max(SHORT_BYTES);
        TransferPlan {
            short_bytes,
            long_bytes,
            places: ((short_bytes + long_bytes) / CHARGE_MIN).clamp(1, TRANSFERS_MAX),
        }
    }
}
