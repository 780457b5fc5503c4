//! What was restored at the start.

use std::time::Duration;

use flagstone_engine::Restored;

/// What was restored, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Restoring {
    /// What became of the file's items.
    pub restored: Restored,
    /// From taking the file to having them.
    pub took: Duration,
    /// The calendar's second at which it was done.
    pub unix: u64,
}

impl Restoring {
    /// Items that came back.
    pub fn items(&self) -> u64 {
        match self.restored {
            Restored::Items { items, .. } => items,
            _ => 0,
        }
    }

    /// How long that took, in milliseconds.
    pub fn took_millis(&self) -> u64 {
        u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX)
    }

    /// Slots of the index that were forgotten: what was being written to, and what did not check.
    pub fn forgotten(&self) -> u64 {
        match self.restored {
            Restored::Items { forgotten, .. } => forgotten,
            _ => 0,
        }
    }
}
