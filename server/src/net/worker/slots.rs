//! Connections come to a worker, leave it, and are handed to another.

use super::*;
use crate::clients::{Newcomer as Ends, Place};
use crate::conn::{Conn, Stream};
use crate::memory::permits::Kind;
use crate::proto::Codec;
use socket2::{SockAddr, SockRef};
use std::io;
use std::sync::atomic::{Ordering::AcqRel, Ordering::Relaxed};
impl Worker<'_> {
    /// Gives a connection that has just had its turn, and owns nothing, to another worker.
    #[cold]
    pub(super) fn hand_over(&mut self, slot_no: usize) {
        let to = &self.mailboxes[self.gives.1];
        let slot = &mut self.slots[slot_no];
        let Some(conn) = slot.conn.as_mut().filter(|conn| conn.is_movable()) else {
            return;
        };
        // Whoever has it next finds out by itself that it moves much. If what lies unread is counted for it, it stays.
        conn.shrink(&self.state);
        if conn.has_room() {
            return;
        }
        if !to.reserve() {
            self.gives.0 = 0;
            return;
        }
        // Who drains waits for what is reserved, and takes nothing in that is reserved later.
        if self.state.tools.shared.life.is_draining() {
            to.connections.fetch_sub(1, AcqRel);
            self.gives.0 = 0;
            return;
        }
        if let Some(conn) = slot.conn.take() {
            let (stream, codec) = conn.leave();
            match Guest::unregister(stream) {
                Ok(guest) => to.post(Newcomer {
                    guest,
                    accepts: codec.accepts(),
                    proxied: false,
                    moved: Some((codec, slot.client)),
                }),
                // The socket is closed.
                Err(_) => {
                    to.connections.fetch_sub(1, AcqRel);
                    self.state.tools.shared.clients.leave(slot.client);
                    self.state.tools.shared.admission.leave();
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
            let now = self.state.tools.now;
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
            let client = slot.client;
            conn.leave_with_room(&self.state);
            if was_queued {
                self.lease_queue
                    .retain(|&queued| queued as usize != slot_no);
                self.memory_queue
                    .retain(|&queued| queued as usize != slot_no);
                for (kind, wishes) in Kind::ALL.into_iter().zip(&mut self.wishes) {
                    let before = wishes.len();
                    wishes.retain(|&(queued, _)| queued as usize != slot_no);
                    self.state
                        .tools
                        .shared
                        .permits
                        .give_up(kind, before - wishes.len());
                }
            }
            self.free.push(slot_no as u32);
            self.state.tools.shared.clients.leave(client);
            self.left();
        }
    }

    /// Closes the connections that clients have asked to be closed: some in each pass.
    #[cold]
    fn close_doomed(&mut self) {
        let mut left = DOOMED_PER_PASS;
        for slot_no in 0..self.slots.len() {
            if left == 0 {
                self.state.tools.shared.clients.want_again(self.worker_no);
                return self.mailbox.wake();
            }
            let slot = &self.slots[slot_no];
            let clients = &self.state.tools.shared.clients;
            if slot.conn.is_some() && clients.cell(slot.client).is_doomed() {
                self.state.tools.counters.clients_killed.add(1);
                left -= 1;
                self.close(slot_no);
            }
        }
    }

    /// A connection of this worker is gone.
    pub(super) fn left(&self) {
        self.mailbox.connections.fetch_sub(1, AcqRel);
        self.state.tools.shared.admission.leave();
    }

    pub(super) fn take_mail(&mut self) {
        loop {
            // The lock is not held while a socket is registered: the acceptor needs it.
            let Some(newcomer) = self.mailbox.sockets.lock().pop() else {
                break;
            };
            let moved = newcomer.moved.map(|(_, client)| client);
            let Some(slot_no) = self.empty_slot() else {
                debug_assert!(false, "the acceptor counts, so there is a slot");
                self.lose(moved);
                continue;
            };
            let registered = newcomer.guest.register(self.events.epoll(), slot_no);
            let client = match &registered {
                Ok(stream) => self.client_of(stream, moved),
                Err(_) => None,
            };
            let (Ok(stream), Some(client)) = (registered, client) else {
                // No memory for the registration; the socket is closed.
                self.free.push(slot_no as u32);
                self.lose(moved);
                continue;
            };
            let conn = if let Some((codec, _)) = newcomer.moved {
                Conn::moved(stream, codec, self.state.tools.now)
            } else {
                let has_to_log_in = !self.state.tools.shared.users.is_empty();
                let codec = Codec::new(newcomer.accepts).locked(has_to_log_in);
                self.state.tools.counters.connections.add(1);
                let mut conn = Conn::new(stream, codec, self.state.tools.now);
                if newcomer.proxied {
                    conn.expect_header();
                }
                conn
            };
            let slot = &mut self.slots[slot_no];
            slot.conn = Some(conn);
            slot.came = self.state.tools.now.as_millis() as u32;
            slot.client = client;
            slot.waits = Waits::NOT;
            self.mailbox.ready.wake(slot_no);
        }
        if self.state.tools.shared.clients.take_wanted(self.worker_no) {
            self.close_doomed();
        }
        if self.drain.is_none() && self.state.tools.shared.life.is_draining() {
            self.begin_drain();
        }
    }

    /// The place among the clients of a connection that has come here.
    fn client_of(&self, stream: &Stream, moved: Option<ClientNo>) -> Option<ClientNo> {
        let clients = &self.state.tools.shared.clients;
        if let Some(client) = moved {
            clients.move_to(client, self.worker_no);
            return Some(client);
        }
        let socket = SockRef::from(stream);
        let place = |address: io::Result<SockAddr>| {
            Place::from(address.ok().and_then(|address| address.as_socket()))
        };
        let newcomer = Ends {
            peer: place(socket.peer_addr()),
            local: place(socket.local_addr()),
        };
        clients.enter(&newcomer, self.worker_no, self.state.tools.now)
    }

    /// A connection did not come in.
    fn lose(&self, client: Option<ClientNo>) {
        if let Some(client) = client {
            self.state.tools.shared.clients.leave(client);
        }
        self.left();
    }

    /// A slot that was used before, or else the first that never was.
    pub(super) fn empty_slot(&mut self) -> Option<usize> {
        if let Some(slot_no) = self.free.pop() {
            return Some(slot_no as usize);
        }
        let slot_no = self.slots.len();
        if slot_no == self.state.tools.shared.plan.worker.slot_count {
            return None;
        }
        self.slots.push(Slot {
            conn: None,
            came: 0,
            client: ClientNo(0),
            waits: Waits::NOT,
            waker: self.mailbox.ready.waker(slot_no),
        });
        Some(slot_no)
    }
}
