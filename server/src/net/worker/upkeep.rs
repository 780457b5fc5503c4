//! What a worker does now and then: figures, and connections that hold too much for too long.

use super::*;
use crate::clock::thread_cpu_micros;
use crate::conn::{Conn, LINGER_MILLIS};
use crate::memory::permits::Kind;
use std::collections::VecDeque;
impl Worker<'_> {
    #[cold]
    pub(super) fn tick(&mut self) {
        // First, while those who wait still stand in their queues.
        let is_short = self.processor.is_short(self.pass_nanos);
        let patience = LET_GO_MILLIS * if is_short { LET_GO_FACTOR } else { 1 };
        let (larges, for_memory) = (&mut self.state.tools.larges, !self.memory_queue.is_empty());
        larges.let_blocked_go(for_memory, patience, self.state.tools.now);
        self.shed();
        while let Some(slot_no) = self.memory_queue.pop_front() {
            if let Some(conn) = &mut self.slots[slot_no as usize].conn {
                conn.queued = false;
                self.mailbox.ready.wake(slot_no as usize);
            }
        }
        if self.state.tools.now.millis_since(self.swept) >= SWEEP_INTERVAL.as_millis() as u64 {
            self.swept = self.state.tools.now;
            self.state.tools.sampler.age(self.state.tools.now);
            self.sweep();
        }
        let waits = !self.lease_queue.is_empty()
            || !self.memory_queue.is_empty()
            || self.wishes.iter().any(|wishes| !wishes.is_empty())
            || self.state.tools.larges.keeps_others_waiting();
        self.set_clock(waits || self.drain.is_some());
    }

    /// The stall timeout, divided.
    pub(super) fn stall_millis(&self, pressure: u32) -> u32 {
        let stall = self.state.tools.shared.limits.stall_timeout.as_millis();
        u32::try_from(stall).unwrap_or(u32::MAX) / pressure
    }

    /// While others wait, those go who keep them waiting: of the connections that have not got on for long enough, as
    /// many as wait, beginning with those that have not for longest.
    pub(super) fn shed(&mut self) {
        let (leases, larges) = (&self.state.tools.leases, &self.state.tools.larges);
        let for_lease = self.lease_queue.len();
        let (no_input, no_output) = (!leases.has_input(true), !leases.has_output());
        let permits = &self.state.tools.shared.permits;
        let waiting = Kind::ALL.map(|kind| permits.waiting(kind));
        // Or for a buffer for a long reply: who waits for memory waits for whoever holds it.
        let for_memory = self.memory_queue.len();
        let mut left = for_lease + for_memory + waiting[0] + waiting[1];
        if left == 0 {
            return;
        }
        let [patience, patience_with_long] = match self.processor.is_short(self.pass_nanos) {
            true => SHORT_FACTORS,
            false => [1, 1],
        };
        let (for_buffer, for_transfer) = (
            patience * self.stall_millis(PRESSURE_ON_BUFFER),
            patience_with_long * self.stall_millis(PRESSURE_ON_TRANSFER),
        );
        let now = self.state.tools.now;
        let mut longest = Slowest::new();
        for (slot_no, slot) in self.slots.iter().enumerate() {
            let Some(conn) = &slot.conn else { continue };
            let Some(held) = conn.held_millis(now) else {
                continue;
            };
            let output = for_memory > 0 && no_output && conn.keeps_output();
            let input = for_lease > 0 && no_input && conn.keeps_input();
            let buffer = (output || input) && held >= for_buffer;
            let is_slow =
                conn.still_millis(now) >= for_transfer || held >= SLOW_FACTOR * for_transfer;
            let transfer = is_slow
                && !conn.queued
                && conn.transfer(larges).is_some_and(|(kind, is_permitted)| {
                    let is_wanted = waiting[kind as usize] > 0;
                    for_memory > 0 || (is_wanted && (is_permitted || !larges.has_place()))
                });
            if buffer || transfer {
                longest.note(held, slot_no);
            }
        }
        for (_, slot_no) in longest.sorted() {
            if left == 0 {
                break;
            }
            let is_ours = |conn: &Conn| conn.is_for_us_to_go_on();
            if self.slots[slot_no].conn.as_ref().is_some_and(is_ours) {
                continue;
            }
            left -= 1;
            self.state.tools.counters.stalls_shed.add(1);
            self.close(slot_no);
        }
    }

    /// Writes down how this worker stands, for the metrics.
    pub(super) fn note_figures(&mut self) {
        if self.lease_queue.is_empty() || self.lease_stands.0 != self.lease_grants {
            self.lease_stands = (self.lease_grants, self.state.tools.now);
        }
        let counters = self.state.tools.counters;
        counters.cpu_micros.set(thread_cpu_micros());
        counters
            .connections_now
            .set(self.mailbox.connections() as u64);
        for (counter, in_use) in counters
            .leases_in_use
            .iter()
            .zip(self.state.tools.leases.in_use())
        {
            counter.set(in_use);
        }
        let wishes: usize = self.wishes.iter().map(VecDeque::len).sum();
        let waiting = self.lease_queue.len() + self.memory_queue.len() + wishes;
        counters.waiting.set(waiting as u64);
        let firsts = self.wishes.iter().filter_map(VecDeque::front);
        let waits = firsts.map(|&(_, wish)| wish.since);
        let waits = waits.chain([self.lease_stands.1]);
        let longest = waits
            .map(|since| self.state.tools.now.millis_since(since))
            .max();
        counters.longest_wait_millis.set(longest.unwrap_or(0));
    }

    /// Says in the log, once a second at most, that somebody had to go for others.
    pub(super) fn tell_of_shed(&mut self) {
        let shed = self.state.tools.counters.stalls_shed.get();
        let closed = shed - std::mem::replace(&mut self.shed_told, shed);
        if closed > 0 {
            log::warn!(
                "worker {}: closed {closed} connections that hardly moved and held a buffer or a long value that others \
                 waited for",
                self.worker_no
            );
        }
    }

    /// The same of subscribers that did not read.
    fn tell_of_lapped(&mut self) {
        let lapped = self.state.tools.counters.subscribers_lapped.get();
        let closed = lapped - std::mem::replace(&mut self.lapped_told, lapped);
        if closed > 0 {
            log::warn!(
                "worker {}: closed {closed} subscribers that did not read their messages in time",
                self.worker_no
            );
        }
    }

    /// The same of connections that did not begin as those of a proxy do, with the last of them.
    fn tell_of_strange(&mut self) {
        let faults = self.state.tools.counters.proxy_faults.get();
        let closed = faults - std::mem::replace(&mut self.strange_told, faults);
        if let Some(strange) = self.state.tools.strange.take() {
            log::warn!(
                "worker {}: closed {closed} connections at a place behind a proxy: the last of them, from {}, began with {}",
                self.worker_no,
                strange.peer,
                strange.fault,
            );
        }
    }

    /// Closes who has held something for too long.
    pub(super) fn sweep(&mut self) {
        let now = self.state.tools.now;
        self.note_figures();
        let state = &mut self.state;
        state
            .tools
            .shared
            .curve
            .take_in(&mut state.tools.uses, state.tools.now);
        self.balance();
        self.tell_of_shed();
        self.tell_of_lapped();
        self.tell_of_strange();
        // Who waits for a buffer of ours is not the one who stalls.
        for &slot_no in &self.lease_queue {
            if let Some(conn) = &mut self.slots[slot_no as usize].conn {
                conn.got_on(now);
            }
        }
        let stall_millis = self.stall_millis(1);
        let idle_timeout = self.state.tools.shared.limits.idle_timeout;
        let idle_millis = idle_timeout.map(|time| time.as_millis() as u64);
        let shared = self.state.tools.shared;
        if shared.memory.are_sockets_over() {
            self.relieve_kernel();
        }
        let is_full = shared.sockets.is_full();
        let large_quiet_millis = match is_full {
            true => LARGE_QUIET_MILLIS_WANTED,
            false => LARGE_QUIET_MILLIS,
        };
        for slot in &mut self.slots {
            if let Some(conn) = &slot.conn {
                let held = conn.held_bytes(&self.state.tools.larges);
                shared.clients.cell(slot.client).hold(held);
            }
            if let Some(conn) = &mut slot.conn
                && conn.has_room()
            {
                if conn.quiet_millis(now) >= large_quiet_millis {
                    conn.shrink(&self.state);
                } else if is_full {
                    conn.narrow(&self.state);
                }
            }
        }
        let login_timeout = self.state.tools.shared.limits.login_timeout.as_millis();
        let login_millis = match u32::try_from(login_timeout) {
            Ok(0) | Err(_) => u32::MAX,
            Ok(millis) => millis,
        };
        for slot_no in 0..self.slots.len() {
            let slot = &self.slots[slot_no];
            let Some(conn) = &slot.conn else {
                continue;
            };
            let here_millis = (now.as_millis() as u32).wrapping_sub(slot.came);
            if here_millis >= login_millis && conn.is_locked() {
                self.state.tools.counters.login_timeouts.add(1);
                self.close(slot_no);
                continue;
            }
            if conn.is_late() {
                self.state.tools.counters.stalls.add(1);
                self.close(slot_no);
                continue;
            }
            if conn.has_lost_messages(&self.state) {
                self.state.tools.counters.subscribers_lapped.add(1);
                self.close(slot_no);
                continue;
            }
            let Some(held_millis) = conn.held_millis(now) else {
                if conn.is_subscriber() {
                    continue;
                }
                if idle_millis.is_some_and(|millis| u64::from(conn.quiet_millis(now)) >= millis) {
                    self.state.tools.counters.idle_kicks.add(1);
                    self.close(slot_no);
                }
                continue;
            };
            if conn.is_lingering() {
                if held_millis >= LINGER_MILLIS {
                    self.close(slot_no);
                }
            } else if held_millis >= stall_millis {
                self.state.tools.counters.stalls.add(1);
                self.close(slot_no);
            }
        }
    }

    /// The kernel holds too much for peers that do not read or are not read from: those that
    /// have been stuck for longest are closed, about half of them; the next sweep looks again.
    pub(super) fn relieve_kernel(&mut self) {
        let stuck =
            (0..self.slots.len()).filter_map(|slot_no| self.stuck_millis(slot_no, STUCK_MILLIS));
        if let Some(longest) = stuck.max() {
            self.close_stuck(STUCK_MILLIS.max(longest / 2));
        }
    }

    /// Closes all that have been stuck for so long.
    pub(super) fn close_stuck(&mut self, at_least: u32) {
        for slot_no in 0..self.slots.len() {
            if self.stuck_millis(slot_no, at_least).is_some() {
                self.state.tools.counters.stalls_kernel.add(1);
                self.close(slot_no);
            }
        }
    }

    /// For how long a connection has not moved although the kernel holds something of it, if that is long enough. A few
    /// system calls for those alone.
    pub(super) fn stuck_millis(&self, slot_no: usize, at_least: u32) -> Option<u32> {
        let conn = self.slots[slot_no].conn.as_ref()?;
        let millis = conn.quiet_millis(self.state.tools.now);
        (millis >= at_least && conn.keeps_kernel_memory()).then_some(millis)
    }
}
