//! Subscribers that were woken and have had no turn since, first come first.
//!
//! A publisher is not far ahead of the first of them, so that nobody who reads loses messages because another's worker is
//! quicker than its own. A connection that has its turn is due no longer, whatever it does with it: nobody can keep publishers
//! waiting.

use super::terms::NONE;
use super::topics::Tables;

/// A worker that gives no turn for so long is not waited for.
pub const WAIT_MILLIS: u32 = 1000;

/// Where a subscriber stands among those who are due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    is_due: bool,
    before: u32,
    after: u32,
    /// Where the ring's head was when it became due, and when that was.
    head: u64,
    since: u32,
}

impl Due {
    pub const NOT: Due = Due {
        is_due: false,
        before: NONE,
        after: NONE,
        head: 0,
        since: 0,
    };
}

impl Tables {
    /// Puts a subscriber behind all that are due.
    pub fn be_due(&mut self, no: u32, head: u64, now: u32) {
        self.not_due(no);
        let last = std::mem::replace(&mut self.due_last, no);
        match self.subscribers.get_mut(last as usize) {
            Some(last) => last.due.after = no,
            None => self.due_first = no,
        }
        self.subscribers[no as usize].due = Due {
            is_due: true,
            before: last,
            after: NONE,
            head,
            since: now,
        };
    }

    pub fn not_due(&mut self, no: u32) {
        let due = std::mem::replace(&mut self.subscribers[no as usize].due, Due::NOT);
        if !due.is_due {
            return;
        }
        match self.subscribers.get_mut(due.before as usize) {
            Some(before) => before.due.after = due.after,
            None => self.due_first = due.after,
        }
        match self.subscribers.get_mut(due.after as usize) {
            Some(after) => after.due.before = due.before,
            None => self.due_last = due.before,
        }
    }

    /// Whether the ring's head is too far ahead of the first that is due.
    pub fn is_ahead(&mut self, head: u64, most: u64, now: u32) -> bool {
        while let Some(first) = self.subscribers.get(self.due_first as usize) {
            let due = first.due;
            if head - due.head <= most {
                return false;
            }
            if now.wrapping_sub(due.since) < WAIT_MILLIS {
                return true;
            }
            self.not_due(self.due_first);
        }
        false
    }
}
