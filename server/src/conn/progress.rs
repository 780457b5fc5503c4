//! What a connection holds, and whether it gets on.

use super::*;
use crate::clients::Standing;
use crate::conn::list::standing;
use crate::memory::permits;
use flagstone_engine::Tick;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

impl Conn {
    /// Whether it holds anything that others may be waiting for.
    pub(super) fn holds(&self) -> bool {
        self.input.is_some()
            || self.output.is_some()
            || self.left_in_kernel
            || self.closing
            || !matches!(
                self.phase,
                Phase::Requests
                    | Phase::Skipping { .. }
                    | Phase::SkippingTo { .. }
                    | Phase::Dumping(..)
                    | Phase::Measuring(_)
                    | Phase::Listing(_)
                    | Phase::Telling { .. }
            )
    }

    /// How it speaks, and the number of the protocol.
    pub fn speaks(&self) -> (Codec, usize) {
        (self.codec, self.protocol_no())
    }

    /// The number of the protocol that it speaks, among those that are counted apart.
    pub fn protocol_no(&self) -> usize {
        self.codec.name_no()
    }

    /// How it stands, after a turn in which it asked something of this kind first.
    #[inline]
    pub fn standing(&self, kind_no: u8) -> Standing {
        Standing {
            kind: kind_no + 1,
            ..standing(self.codec, self.subscriber.is_some())
        }
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Whether it keeps replies in a lease, which its peer does not take.
    pub fn keeps_output(&self) -> bool {
        self.output.is_some()
    }

    /// Whether it keeps half a request in a lease that those need who cannot do without.
    pub fn keeps_input(&self) -> bool {
        self.input.as_ref().is_some_and(Lease::is_input)
    }

    /// Whether its peer has done its part, and it is us who are slow: what it waits for has arrived, or what it keeps
    /// could be sent. Asked only of those that are about to be closed.
    pub fn is_for_us_to_go_on(&self) -> bool {
        match self.keeps_output() || matches!(self.phase, Phase::Sending(_)) {
            true => self.stream.is_writable(),
            false => self.stream.has_unread(),
        }
    }

    /// For how long a transfer has moved nothing at all, in milliseconds.
    pub fn still_millis(&self, now: Tick) -> u32 {
        (now.as_millis() as u32).wrapping_sub(self.moved_at)
    }

    /// Of which kind the long value is that it has on its way, and whether it has a permit.
    pub fn transfer(&self, larges: &Larges<'_>) -> Option<(permits::Kind, bool)> {
        match self.phase {
            Phase::Storing(no) | Phase::Settling(no) | Phase::Sending(no) => larges.kind(no),
            _ => None,
        }
    }

    /// What it holds of buffers, and of memory for a value on its way.
    pub fn held_bytes(&self, larges: &Larges<'_>) -> usize {
        let leases = [&self.input, &self.output].into_iter().flatten();
        let buffers: usize = leases.map(Lease::size).sum();
        buffers
            + match self.phase {
                Phase::Storing(no) | Phase::Settling(no) | Phase::Sending(no) => {
                    larges.charged_bytes(no)
                }
                _ => 0,
            }
    }

    /// Whether its socket is only waiting for the peer's FIN.
    pub fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. })
    }

    /// For how long it has held something without getting on, in milliseconds.
    pub fn held_millis(&self, now: Tick) -> Option<u32> {
        self.holds()
            .then(|| (now.as_millis() as u32).wrapping_sub(self.held_since))
    }

    /// For how long it had no turn that got anywhere, in milliseconds.
    pub fn quiet_millis(&self, now: Tick) -> u32 {
        (now.as_millis() as u32).wrapping_sub(self.held_since)
    }

    /// Whether the kernel holds bytes that this peer has not taken, or that we do not take from it because of that.
    /// What has just arrived is none of that: it is about to be read. A few system calls; asked only when the
    /// kernel holds too much.
    pub fn keeps_kernel_memory(&self) -> bool {
        if self.output.is_some() || self.queued {
            return true;
        }
        // The kernel calls a socket writable while less than so much is unsent: with 1, only
        // if nothing is.
        let socket = SockRef::from(&self.stream);
        let Ok(usual) = socket.tcp_notsent_lowat() else {
            return false;
        };
        if socket.set_tcp_notsent_lowat(1).is_err() {
            return false;
        }
        let mut polled = [PollFd::new(&self.stream, PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let has_unsent = poll(&mut polled, Some(&now)).is_ok_and(|ready| ready == 0);
        let _ = socket.set_tcp_notsent_lowat(usual);
        has_unsent
    }

    pub(super) fn note_progress(&mut self, bytes: usize, now: Tick) {
        // A whole request is progress whatever its size; a piece of a value is when it is
        // not a trickle.
        if matches!(
            self.phase,
            Phase::Storing(_) | Phase::Settling(_) | Phase::Publishing { .. }
        ) {
            self.note_moved(bytes, now);
        } else {
            self.got_on(now);
        }
    }

    /// So much of a value moved.
    #[inline]
    pub(super) fn note_moved(&mut self, bytes: usize, now: Tick) {
        if bytes > 0 {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.moved_bytes = self.moved_bytes.saturating_add(bytes);
            self.moved_at = now.as_millis() as u32;
            if self.moved_bytes >= PROGRESS_BYTES {
                self.got_on(now);
            }
        }
    }

    /// Time has passed in which nobody could get on.
    pub fn forgive(&mut self, millis: u32) {
        self.held_since = self.held_since.wrapping_add(millis);
        self.moved_at = self.moved_at.wrapping_add(millis);
        self.stream.forgive(millis);
    }

    /// Begins to measure anew how long it holds what it holds.
    pub fn got_on(&mut self, now: Tick) {
        // Wraps after 49 days, which no timeout reaches.
        self.held_since = now.as_millis() as u32;
        self.moved_at = self.held_since;
        self.moved_bytes = 0;
    }

    /// Whether it is in a handshake that takes too long.
    pub fn is_late(&self) -> bool {
        self.stream.is_late()
    }
}
