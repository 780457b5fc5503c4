//! Connections that wait for a buffer or for a long value's turn.

use super::*;
use crate::memory::permits::Kind;
impl Worker<'_> {
    /// Wakes who may begin a turn now, in the order in which they came. Each is asked, because
    /// one may need only what another cannot use; those who cannot go to the back.
    pub(super) fn wake_for_leases(&mut self) {
        for _ in 0..self.lease_queue.len().min(ASKED_PER_PASS) {
            let Some(slot_no) = self.lease_queue.pop_front() else {
                break;
            };
            // Who has gone stands in no queue.
            let Some(conn) = &mut self.slots[slot_no as usize].conn else {
                continue;
            };
            if conn.may_go_on(&self.state.tools.leases).is_some() {
                conn.queued = false;
                self.lease_grants += 1;
                self.mailbox.ready.wake(slot_no as usize);
            } else {
                self.lease_queue.push_back(slot_no);
            }
        }
    }

    /// Whether anybody here waits for a permit, or others think so.
    #[inline]
    pub(super) fn has_wishes(&self) -> bool {
        self.heads_told != [false; 2] || self.wishes.iter().any(|wishes| !wishes.is_empty())
    }

    /// Gives a turn to those who have waited for a permit and may have it now.
    #[cold]
    pub(super) fn serve_wishes(&mut self) {
        for kind in Kind::ALL {
            let mut served = 0;
            loop {
                let first = self.wishes[kind as usize].front().copied();
                let wish = first
                    .map(|(_, wish)| wish)
                    .filter(|_| self.state.tools.larges.has_place());
                if wish.is_none() && !self.heads_told[kind as usize] {
                    break;
                }
                self.heads_told[kind as usize] = wish.is_some();
                let permits = &self.state.tools.shared.permits;
                if !permits.serve(kind, self.worker_no, wish) {
                    break;
                }
                self.heads_told[kind as usize] = false;
                self.wishes[kind as usize].pop_front();
                if let Some((slot_no, wish)) = first
                    && let Some(conn) = &mut self.slots[slot_no as usize].conn
                {
                    conn.queued = false;
                    self.state.tools.larges.grant(wish.charge);
                    self.turn(slot_no as usize);
                    self.state.tools.larges.end_grant();
                }
                served += 1;
                if served == SERVED_PER_PASS {
                    self.mailbox.wake();
                    break;
                }
            }
        }
    }
}
