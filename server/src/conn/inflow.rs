//! What a turn reads, and what it leaves in the kernel: a connection for whose half request there is no buffer only looks at it.

use super::*;
use std::io;
use std::task::Poll;

/// What a turn has in the inbox, and what it knows of the socket.
pub(super) struct Inflow {
    /// So many bytes are ours; what is behind them in a turn that peeks is still the kernel's.
    pub(super) owned: usize,
    /// So many there are in all.
    pub(super) have: usize,
    pub(super) reads: u32,
    /// The peer has ended, and this is all that it sent.
    pub(super) is_last: bool,
    /// The last read has filled its room.
    pub(super) may_have_more: bool,
}

impl Inflow {
    #[inline(always)]
    pub(super) fn new(owned: usize) -> Self {
        Inflow {
            owned,
            have: owned,
            reads: 0,
            is_last: false,
            may_have_more: false,
        }
    }

    /// Whether something that was looked at is in the kernel still.
    #[inline(always)]
    pub(super) fn is_left(&self) -> bool {
        self.owned < self.have
    }

    /// So many bytes in the kernel were looked at in this turn.
    pub(super) fn known(&self) -> usize {
        if self.reads > 0 {
            self.have - self.owned
        } else {
            0
        }
    }
}

/// What becomes of half a request that was looked at.
pub(super) enum Looked {
    /// An event brings the rest.
    Rests,
    /// It is to be looked at once more: its peer has ended, or a store may begin with what is there.
    Again,
    /// No event would come: it needs a lease.
    Waits,
}

impl Conn {
    /// Where is a place for what it reads and cannot finish? Its own input lease counts: it is given back when the turn
    /// begins. `None`: nowhere.
    #[inline]
    pub(super) fn may_begin(&self, leases: &Leases) -> Option<Place> {
        let can_peek = self.stream.can_peek();
        let has_own = self.input.as_ref().is_some_and(Lease::is_input);
        match has_own || leases.has_input(!can_peek) {
            true => Some(Place::Lease),
            false => can_peek.then_some(Place::Kernel),
        }
    }

    /// The same, also for one whose request is half in the kernel, which has no room for the rest: that one needs a lease,
    /// and may have one of those that are kept. It never has a turn of the quick kind.
    #[cold]
    pub fn may_go_on(&self, leases: &Leases) -> Option<Place> {
        match self.may_begin(leases) {
            Some(Place::Kernel) if self.is_clogged => {
                leases.has_input(true).then_some(Place::Lease)
            }
            place => place,
        }
    }

    /// Looks at what the kernel has. So many bytes are `known` from the look before in this turn: if there are no more, it is
    /// as if nothing had come. Whoever has ended is taken to be readable for ever.
    #[cold]
    pub(super) fn peek(&mut self, room: &mut [u8], known: usize) -> io::Result<Poll<usize>> {
        // What is left this time is known when the turn ends.
        self.left_in_kernel = false;
        match self.stream.poll_read_left(room, true) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(n) => {
                let n = n?;
                let is_new = n != known || n == 0;
                let rests = !is_new
                    && (self.stream.has_ended() || self.stream.poll_readable().is_pending());
                Ok(if rests { Poll::Pending } else { Poll::Ready(n) })
            }
        }
    }

    /// So much of the inbox was executed: out with it, here and, if it was only looked at, in the kernel.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        taken: usize,
        peeks: bool,
        inflow: &mut Inflow,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<()> {
        let Inflow { owned, have, .. } = *inflow;
        if peeks && taken > owned {
            self.stream.consume(&mut worker.inbox[owned..taken])?;
            worker.tools.counters.read_bytes.add((taken - owned) as u64);
        }
        if taken < have {
            worker.inbox.copy_within(taken..have, 0);
            worker.tools.first.forget();
        }
        inflow.have = have - taken;
        inflow.owned = match peeks {
            true => owned.saturating_sub(taken),
            false => inflow.have,
        };
        Ok(())
    }

    /// Half a request was looked at, and nothing more comes for now.
    #[cold]
    pub(super) fn after_look(
        &mut self,
        inflow: &mut Inflow,
        budget: &mut Budget,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<Looked> {
        // The end is not read as long as something stands before it. Another look, because the rest may have come with
        // it; half a request is nobody's.
        if !inflow.is_last && self.stream.has_ended() {
            inflow.is_last = true;
            return Ok(Looked::Again);
        }
        if !self.stream.is_clogged() {
            return Ok(Looked::Rests);
        }
        // The kernel has no room for the other half: no event would come. Room is made if that can be done without a large
        // lease. Little is many times as much in the kernel, and a small lease is enough for it.
        let Inflow { owned, have, .. } = *inflow;
        if worker.tools.leases.has_small(have) {
            self.stream.consume(&mut worker.inbox[owned..have])?;
            worker.tools.counters.read_bytes.add((have - owned) as u64);
            self.left_in_kernel = false;
            inflow.owned = have;
            return Ok(Looked::Rests);
        }
        let may_begin = have > SMALL_LEASE_BYTES && budget.early_at > SMALL_LEASE_BYTES;
        if may_begin {
            budget.early_at = SMALL_LEASE_BYTES;
        }
        Ok(match may_begin {
            true => Looked::Again,
            false => Looked::Waits,
        })
    }
}
