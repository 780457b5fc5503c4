//! What goes in and out of a connection beside its requests: reads, what is put aside, the goodbye.

use super::*;
use std::io;
use std::task::Poll;

/// So many reads that fill the inbox are answered together.
const READS_A_SEND: u32 = 3;

impl Conn {
    #[inline]
    pub(super) fn read_ready(&mut self, room: &mut [u8]) -> io::Result<Poll<usize>> {
        debug_assert!(
            !room.is_empty(),
            "an empty room would look like the peer's end"
        );
        match self.stream.poll_read(room) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(n) => Ok(Poll::Ready(n?)),
        }
    }

    /// Also what was left in the kernel.
    #[cold]
    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<Poll<usize>> {
        if !std::mem::take(&mut self.left_in_kernel) {
            return self.read_ready(room);
        }
        match self.stream.poll_read_left(room, false) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(n) => Ok(Poll::Ready(n?)),
        }
    }

    /// Whether the answers so far wait for those to what is surely there: the read has filled the inbox, and more was sent with it.
    /// A write for each read would cost as much as the reads.
    #[inline(always)]
    pub(super) fn may_read_on(
        &self,
        halt: Halt,
        inflow: &Inflow,
        worker: &WorkerState<'_>,
    ) -> bool {
        halt == Halt::Hungry
            && inflow.may_have_more
            && inflow.reads < READS_A_SEND
            && inflow.have <= INBOX_BYTES / 2
            && !self.ended
            && worker.tools.outbox.unsent().len() < OUTBOX_BYTES / 4
    }

    /// Sends the answers that waited for a read which brought nothing. `None`: all are sent.
    #[cold]
    pub(super) fn send_answers(
        &mut self,
        inflow: &Inflow,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<Option<Turn>> {
        if worker
            .tools
            .outbox
            .send(&mut self.stream, worker.tools.counters)?
            == Sent::All
        {
            return Ok(None);
        }
        self.enlarge(worker);
        self.put_aside_output(worker)?;
        self.put_aside_input(inflow, worker)?;
        Ok(Some(Turn::Rest))
    }

    /// Step 1. False: the peer has not taken all of it.
    pub(super) fn send_left_over(&mut self, worker: &mut WorkerState<'_>) -> io::Result<bool> {
        let Some(lease) = &mut self.output else {
            return Ok(true);
        };
        while !lease.is_empty() {
            let unsent = worker.tools.leases.bytes(lease);
            match send_some(&mut self.stream, unsent, worker.tools.counters)? {
                Poll::Ready(n) => {
                    lease.advance(n);
                    self.moved_bytes = self.moved_bytes.saturating_add(n as u32);
                }
                Poll::Pending => return Ok(false),
            }
        }
        if let Some(lease) = self.output.take() {
            worker.tools.leases.give(lease);
        }
        self.got_on(worker.tools.now);
        Ok(true)
    }

    /// Step 2. Says how much is in the inbox now.
    #[inline(always)]
    pub(super) fn bring_back_input(&mut self, worker: &mut WorkerState<'_>) -> usize {
        match self.input.take() {
            None => 0,
            Some(lease) => Self::empty_input(lease, worker),
        }
    }

    pub(super) fn empty_input(lease: Lease, worker: &mut WorkerState<'_>) -> usize {
        let bytes = worker.tools.leases.bytes(&lease);
        let len = bytes.len();
        worker.inbox[..len].copy_from_slice(bytes);
        worker.tools.leases.give(lease);
        len
    }

    #[inline]
    pub(super) fn put_aside_input(
        &mut self,
        inflow: &Inflow,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<()> {
        let owned = inflow.owned;
        self.left_in_kernel |= inflow.is_left();
        if owned > 0 {
            self.input = worker.tools.leases.put_input(&worker.inbox[..owned]);
            // There was one when the turn began, or they came out of one.
            debug_assert!(self.input.is_some());
            if self.input.is_none() {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
        Ok(())
    }

    /// Nothing is left of a value that can be read again.
    pub(super) fn put_aside_output(&mut self, worker: &mut WorkerState<'_>) -> io::Result<()> {
        if worker.tools.outbox.is_empty() {
            return Ok(());
        }
        self.output = worker.tools.leases.put_output(worker.tools.outbox.unsent());
        // Else the kernel did not take what it seemed to have room for.
        if self.output.is_none() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    /// Everything is answered, and the stream has taken it. Our FIN follows; the socket itself is
    /// closed when the peer has seen it, because closing it with unread input would make the
    /// kernel send a reset, which may overtake the replies.
    pub(super) fn say_goodbye(&mut self, worker: &mut WorkerState<'_>) -> io::Result<Turn> {
        self.give_back(worker);
        // The kernel sends what it has, and then a FIN, also if the socket is closed.
        if self.ended && !self.is_tls() {
            return Ok(Turn::Close);
        }
        // Without TLS this is one system call and never pending. With it the last record may be
        // the session's still: closing now would lose it.
        if self.stream.poll_shutdown()?.is_pending() {
            self.closing = true;
            return Ok(Turn::Rest);
        }
        if self.ended {
            return Ok(Turn::Close);
        }
        self.phase = Phase::Lingering { left: LINGER_BYTES };
        self.got_on(worker.tools.now);
        self.linger(worker)
    }

    pub(super) fn linger(&mut self, worker: &mut WorkerState<'_>) -> io::Result<Turn> {
        let Phase::Lingering { left } = self.phase else {
            return Ok(Turn::Close);
        };
        match self.read(&mut worker.inbox)? {
            Poll::Pending => Ok(Turn::Rest),
            Poll::Ready(n) => {
                let forgotten = u32::try_from(n).unwrap_or(u32::MAX);
                self.phase = Phase::Lingering {
                    left: left.saturating_sub(forgotten),
                };
                let is_over = n == 0 || left <= forgotten;
                Ok(if is_over { Turn::Close } else { Turn::Again })
            }
        }
    }

    /// Large socket buffers for a connection that moves much, if there is a place for one more.
    #[inline]
    pub(super) fn enlarge(&mut self, worker: &WorkerState<'_>) {
        if !self.room.is_large() {
            let sockets = &worker.tools.shared.sockets;
            sockets.raise(&mut self.room, &self.stream);
        }
    }

    /// The same for one that stores a long value, of which `left` bytes are still to come after a read of `read` bytes; and if they are
    /// more than a large buffer, an even larger one.
    pub(super) fn widen(&mut self, read: usize, left: usize, worker: &WorkerState<'_>) {
        if read < MUCH_READ_BYTES {
            return;
        }
        self.enlarge(worker);
        let sockets = &worker.tools.shared.sockets;
        if self.room.may_be_wide() && sockets.is_worth_it(read, left) {
            sockets.widen(&mut self.room, &self.stream);
        }
    }

    /// Takes the large buffers away again.
    pub fn shrink(&mut self, worker: &WorkerState<'_>) {
        let sockets = &worker.tools.shared.sockets;
        sockets.lower(&mut self.room, &self.stream);
    }

    /// What only long values need is taken away.
    pub fn narrow(&mut self, worker: &WorkerState<'_>) {
        let sockets = &worker.tools.shared.sockets;
        sockets.narrow(&mut self.room, &self.stream);
    }

    /// Whether it has places for large socket buffers, or more than one.
    pub fn has_room(&self) -> bool {
        self.room.places() > 0
    }

    /// It goes, and with its socket what is in the kernel.
    pub fn leave_with_room(self, worker: &WorkerState<'_>) {
        let mut room = self.room;
        drop(self);
        worker.tools.shared.sockets.leave(&mut room);
    }

    /// Gives back everything that is held. The connection must not get another turn, except
    /// to say goodbye and to linger.
    pub fn give_back(&mut self, worker: &mut WorkerState<'_>) {
        self.shrink(worker);
        if let Some(subscriber) = self.subscriber.take() {
            worker.tools.shared.pubsub.leave(subscriber);
        }
        for lease in [self.input.take(), self.output.take()]
            .into_iter()
            .flatten()
        {
            worker.tools.leases.give(lease);
        }
        self.transaction.close(&mut worker.tools.queues);
        if let Phase::Publishing { no, .. } = self.phase {
            worker.tools.shared.pubsub.drop_long(no);
            self.phase = Phase::Requests;
        }
        if let Phase::Storing(no) | Phase::Settling(no) | Phase::Sending(no) = self.phase {
            worker.tools.larges.take(no);
            self.phase = Phase::Requests;
        }
    }
}
