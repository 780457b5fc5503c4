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
    /// How often anything was flushed.
    flushes: AtomicU64,
}

impl Default for FlushTimer {
    fn default() -> Self {
        FlushTimer {
            due: AtomicU64::new(u64::MAX),
            flushes: AtomicU64::new(0),
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
            cache.keep_number(0);
            self.note_flush();
        } else {
            self.set_due(cache, due);
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
            cache.keep_number(0);
            self.note_flush();
        }
    }

    /// What the process before had still to do, if the cache is that of its file.
    pub fn go_on(&self, cache: &Cache) {
        let due = cache.kept_number();
        if due != 0 {
            self.due.store(due, Relaxed);
        }
    }

    /// The moment, if there is one.
    pub fn due(&self) -> Option<Tick> {
        let due = self.due.load(Relaxed);
        (due != u64::MAX).then_some(Tick::from_millis(due))
    }

    /// Everything is to be removed then, as it was to be before a restart.
    pub fn set_due(&self, cache: &Cache, due: Tick) {
        self.due.store(due.as_millis(), Relaxed);
        // For who goes on with the cache's file: its clock is this one's.
        cache.keep_number(due.as_millis());
    }

    /// Items were flushed: whoever is writing them down meanwhile begins anew.
    pub fn note_flush(&self) {
        self.flushes.fetch_add(1, Relaxed);
    }

    /// How often that was.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }
}
