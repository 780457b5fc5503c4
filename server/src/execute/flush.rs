//! Removing everything, at once or at a later moment.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flagstone_engine::{Cache, Tick};

use super::lifetime::deadline;
use crate::clock::Clock;
use crate::proto::Lifetime;

/// The moment at which everything is to be removed.
#[derive(Debug)]
pub struct FlushTimer {
    /// In milliseconds of the clock; `u64::MAX`: never.
    due: AtomicU64,
}

impl Default for FlushTimer {
    fn default() -> Self {
        FlushTimer {
            due: AtomicU64::new(u64::MAX),
        }
    }
}

impl FlushTimer {
    /// Removes everything, now or at a later moment. A new wish takes the place of an old one.
    pub fn flush(&self, cache: &Cache, when: Lifetime, now: Tick, clock: &Clock) {
        let due = deadline(when, now, clock).tick().unwrap_or(now);
        if due <= now {
            self.due.store(u64::MAX, Relaxed);
            cache.flush();
        } else {
            self.due.store(due.as_millis(), Relaxed);
        }
    }

    /// Removes everything if its moment has come. One load if not: asked once a pass.
    #[inline]
    pub fn flush_if_due(&self, cache: &Cache, now: Tick) {
        let due = self.due.load(Relaxed);
        if due <= now.as_millis()
            // Who clears it does it.
            && self
                .due
                .compare_exchange(due, u64::MAX, Relaxed, Relaxed)
                .is_ok()
        {
            cache.flush();
        }
    }
}
