//! Looking for events for a moment before sleeping, if it was asked for (`--spin`).
//!
//! ```text
//!   nothing to do ── the last wait was shorter than the spin? ── yes ─► look, and look again … found something ─► a pass
//!                                  │ no                                          │ for as long as a spin
//!                                  ▼                                             ▼
//!                                sleep ◄─────────────────────────────────────────┘
//! ```
//!
//! To wake a thread takes longer than a request. A client that waits for each answer before it asks again waits for that, too, and
//! is answered in less than half of the time by a worker that did not go to sleep. What that costs is processor time, so it is
//! spent only while it pays: after a wait that was longer, the next sleeps at once. A worker that is idle, or is asked something
//! now and then, never spins.

use std::time::Duration;

use crate::clock::exact_nanos;
use crate::net::events::Events;
use crate::net::ready::ReadySet;

/// How long a worker may look before it sleeps, and whether it is worth it.
pub(super) struct Spin {
    /// 0: it never does.
    nanos: u64,
    /// The last wait took less than that.
    was_short: bool,
}

impl Spin {
    pub fn new(time: Duration) -> Self {
        Spin {
            nanos: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            was_short: false,
        }
    }

    /// Whether it ever does.
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.nanos > 0
    }

    /// Whether a worker that has nothing to do looks for a while.
    #[inline]
    pub fn is_worth_it(&self) -> bool {
        self.was_short
    }

    /// Nothing came for so long, whether the worker slept meanwhile or not.
    #[inline]
    pub fn waited(&mut self, nanos: u64) {
        self.was_short = nanos < self.nanos;
    }

    /// Looks for events from `since` on, in nanoseconds, and not longer than `until`. False: there were none in time, or somebody
    /// has woken the worker.
    #[cold]
    pub fn finds(&self, events: &mut Events, ready: &ReadySet, since: u64, until: u64) -> bool {
        let until = since.saturating_add(self.nanos).min(until);
        loop {
            events.wait(0);
            if events.count() > 0 {
                return true;
            }
            if ready.any() || exact_nanos() >= until {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_worth_it_after_a_wait_that_was_shorter() {
        let mut spin = Spin::new(Duration::from_micros(50));
        let waits = [
            (49_999, true),
            (50_000, false),
            (1_000, true),
            (100_000_000, false),
        ];
        assert!(!spin.is_worth_it(), "nothing is known yet");
        for (nanos, is_worth_it) in waits {
            spin.waited(nanos);
            assert_eq!(spin.is_worth_it(), is_worth_it, "after {nanos} ns");
        }
    }

    #[test]
    fn who_may_not_never_does() {
        let mut spin = Spin::new(Duration::ZERO);
        for nanos in [0, 1, 1_000_000] {
            spin.waited(nanos);
            assert!(!spin.is_worth_it());
        }
    }
}
