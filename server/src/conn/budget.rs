//! What one turn of a connection may take.

use crate::clock::exact_nanos;
use crate::memory::plan::OUTBOX_BYTES;
use crate::settings::limits::REQUESTS_PER_TURN;

/// A turn ends after [`REQUESTS_PER_TURN`], or so many bytes of replies …
const REPLY_BYTES_PER_TURN: usize = 4 * OUTBOX_BYTES;
/// … or this time.
const NANOS_PER_TURN: u64 = 250_000;

/// What is left of a turn.
pub struct Budget {
    pub requests: u32,
    pub reply_bytes: usize,
    /// Of values that go out in pieces, so much was taken by the peer.
    pub moved_bytes: usize,
    /// When its time is over; 0: nobody has looked at the clock.
    pub until_nanos: u64,
    /// When somebody looked last.
    pub seen_nanos: u64,
    /// A store of which more than so much is there is begun with its head: the kernel has no room for the rest, and neither
    /// have we.
    pub early_at: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            requests: REQUESTS_PER_TURN,
            reply_bytes: REPLY_BYTES_PER_TURN,
            moved_bytes: 0,
            until_nanos: 0,
            seen_nanos: 0,
            early_at: usize::MAX,
        }
    }
}

impl Budget {
    /// Whether the turn has taken too long since this was asked first. Asked where much may have been done: most turns are
    /// too short to look at a clock.
    pub fn is_late(&mut self) -> bool {
        let now = exact_nanos();
        self.seen_nanos = now;
        if self.until_nanos == 0 {
            self.until_nanos = now + NANOS_PER_TURN;
        }
        now >= self.until_nanos
    }

    pub fn take_moved(&mut self) -> usize {
        std::mem::take(&mut self.moved_bytes)
    }

    pub fn spend(&mut self, requests: u32, reply_bytes: usize) {
        self.requests = self.requests.saturating_sub(requests);
        self.reply_bytes = self.reply_bytes.saturating_sub(reply_bytes);
    }

    /// Spends a request, answered by so many bytes. Says whether that was the last.
    #[inline(always)]
    pub fn spend_one(&mut self, reply_bytes: usize) -> bool {
        let requests = self.requests.saturating_sub(1);
        let reply_bytes = self.reply_bytes.saturating_sub(reply_bytes);
        (self.requests, self.reply_bytes) = (requests, reply_bytes);
        requests == 0 || reply_bytes == 0
    }

    pub fn is_spent(&self) -> bool {
        self.requests == 0 || self.reply_bytes == 0
    }
}
