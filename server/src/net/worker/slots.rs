//! Connections come to a worker, leave it, and are handed to another.

use super::*;
use crate::conn::Conn;
use crate::memory::permits::Kind;
use crate::proto::Codec;
use std::sync::atomic::{Ordering::AcqRel, Ordering::Relaxed};
impl Worker<'_> {
    /// Gives a connection that has just had its turn, and owns nothing, to another worker.
    #[cold]
    pub(super) fn hand_over(&mut self, slot_no: usize) {
        let to = &self.mailboxes[self.gives.1];
        let slot = &mut self.slots[slot_no];
        if !slot.conn.as_ref().is_some_and(Conn::is_movable) {
            return;
        }
        if !to.reserve() {
            self.gives.0 = 0;
            return;
        }
        // Who drains waits for what is reserved, and takes nothing in that is reserved later.
        if self.state.shared.life.is_draining() {
            to.connections.fetch_sub(1, AcqRel);
            self.gives.0 = 0;
            return;
        }
        if let Some(mut conn) = slot.conn.take() {
            // Whoever has it next finds out by itself that it moves much.
            conn.shrink(&self.state);
            let (stream, codec) = conn.leave();
            match Guest::unregister(stream) {
                Ok(guest) => to.post(Newcomer {
                    guest,
                    accepts: codec.accepts(),
                    moved: Some(codec),
                }),
                // The socket is closed.
                Err(_) => {
                    to.connections.fetch_sub(1, AcqRel);
                    self.state.shared.admission.leave();
                }
            }
            self.gives.0 -= 1;
            self.free.push(slot_no as u32);
            self.mailbox.connections.fetch_sub(1, AcqRel);
        }
    }

    /// If this worker is busy and another is not, some of its lively connections go there.
    pub(super) fn balance(&mut self) {
        let (busy_before, nanos_before) = self.measured;
        let busy = self.busy_nanos;
        let nanos = self.pass_nanos.saturating_sub(nanos_before).max(1);
        self.measured = (busy, self.pass_nanos);
        let percent = busy.saturating_sub(busy_before) * 100 / nanos;
        let load = usize::try_from(percent).unwrap_or(100).min(100);
        self.mailbox.load_percent.store(load, Relaxed);
        // Right after some have gone, nobody's figure says how it is now.
        let has_given = self.gives.1 != self.worker_no;
        self.gives = (0, self.worker_no);
        if load < BUSY_PERCENT || has_given || self.drain.is_some() {
            return;
        }
        let others = self.mailboxes.iter().enumerate();
        let idle = others.filter(|&(no, other)| no != self.worker_no && other.is_idle());
        if let Some((to, other)) = idle.min_by_key(|(_, other)| other.load_percent()) {
            let now = self.state.now;
            let is_lively = |conn: &Conn| conn.is_movable() && conn.quiet_millis(now) < 500;
            let conns = self.slots.iter().filter_map(|slot| slot.conn.as_ref());
            let lively = conns.filter(|conn| is_lively(conn)).count();
            // As many as make both alike, if all of them cost the same.
            self.gives = (lively * (load - other.load_percent()) / (2 * load), to);
        }
    }

    pub(super) fn close(&mut self, slot_no: usize) {
        let slot = &mut self.slots[slot_no];
        if let Some(mut conn) = slot.conn.take() {
            conn.give_back(&mut self.state);
            let was_queued = conn.queued;
            drop(conn);
            if was_queued {
                self.lease_queue
                    .retain(|&queued| queued as usize != slot_no);
                self.memory_queue
                    .retain(|&queued| queued as usize != slot_no);
                for (kind, wishes) in Kind::ALL.into_iter().zip(&mut self.wishes) {
                    let before = wishes.len();
                    wishes.retain(|&(queued, _)| queued as usize != slot_no);
                    self.state
                        .shared
                        .permits
                        .give_up(kind, before - wishes.len());
                }
            }
            self.free.push(slot_no as u32);
            self.left();
        }
    }

    /// A connection of this worker is gone.
    pub(super) fn left(&self) {
        self.mailbox.connections.fetch_sub(1, AcqRel);
        self.state.shared.admission.leave();
    }

    pub(super) fn take_mail(&mut self) {
        loop {
            // The lock is not held while a socket is registered: the acceptor needs it.
            let Some(newcomer) = self.mailbox.sockets.lock().pop() else {
                break;
            };
            let Some(slot_no) = self.empty_slot() else {
                debug_assert!(false, "the acceptor counts, so there is a slot");
                self.left();
                continue;
            };
            match newcomer.guest.register(self.events.epoll(), slot_no) {
                Ok(stream) => {
                    let has_to_log_in = !self.state.shared.users.is_empty();
                    let conn = if let Some(codec) = newcomer.moved {
                        Conn::moved(stream, codec, self.state.now)
                    } else {
                        let codec = Codec::new(newcomer.accepts).locked(has_to_log_in);
                        self.state.counters.connections.add(1);
                        Conn::new(stream, codec, self.state.now)
                    };
                    self.slots[slot_no].conn = Some(conn);
                    self.slots[slot_no].waits = Waits::NOT;
                    self.slots[slot_no].came = self.state.now.as_millis() as u32;
                    self.mailbox.ready.wake(slot_no);
                }
                // No memory for the registration; the socket is closed.
                Err(_) => {
                    self.free.push(slot_no as u32);
                    self.left();
                }
            }
        }
        if self.drain.is_none() && self.state.shared.life.is_draining() {
            self.begin_drain();
        }
    }

    /// A slot that was used before, or else the first that never was.
    pub(super) fn empty_slot(&mut self) -> Option<usize> {
        if let Some(slot_no) = self.free.pop() {
            return Some(slot_no as usize);
        }
        let slot_no = self.slots.len();
        if slot_no == self.state.shared.plan.worker.slot_count {
            return None;
        }
        self.slots.push(Slot {
            conn: None,
            came: 0,
            waits: Waits::NOT,
            waker: self.mailbox.ready.waker(slot_no),
        });
        Some(slot_no)
    }
}
