//! A worker says goodbye to everybody.

use super::*;

pub(super) struct Drain {
    /// Everyone still there is closed.
    deadline: Tick,
    /// Passes until every event that the kernel has is surely known, and connections without
    /// a request may be closed.
    passes_left: usize,
}

impl Worker<'_> {
    pub(super) fn begin_drain(&mut self) {
        let shared = self.state.tools.shared;
        let millis = u64::try_from(shared.limits.drain_timeout.as_millis()).unwrap_or(u64::MAX);
        self.drain = Some(Drain {
            deadline: self.state.tools.now.plus_millis(millis),
            // So many events are fetched before each pass.
            passes_left: 2 + self.slots.len() / EVENTS_MAX,
        });
        self.hurry_clock();
    }

    /// While draining: says goodbye to whoever has no request waiting. True: nobody is left.
    pub(super) fn drained(&mut self) -> bool {
        let Some(drain) = &mut self.drain else {
            return false;
        };
        if drain.passes_left > 0 {
            drain.passes_left -= 1;
            // Another pass, after a look for events.
            self.mailbox.wake();
            if drain.passes_left == 0 {
                self.state.tools.finishing = true;
                for slot_no in 0..self.slots.len() {
                    if self.slots[slot_no].conn.is_some() {
                        self.mailbox.ready.wake(slot_no);
                    }
                }
            }
            return false;
        }
        if self.state.tools.now >= drain.deadline {
            for slot_no in 0..self.slots.len() {
                if self.slots[slot_no].conn.is_some() {
                    self.state.tools.counters.drain_cuts.add(1);
                }
                self.close(slot_no);
            }
        }
        // One may be on its way from another worker.
        self.free.len() == self.slots.len() && self.mailbox.connections() == 0
    }
}
