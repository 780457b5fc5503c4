//! A long value is read straight into its memory, without a stay in the inbox.
//!
//! ```text
//!   inbox:   head and the first 16 KiB ──► copied into the value's first pieces
//!   readv:   ──► the other pieces ──► what stands behind the value: into the inbox
//! ```
//!
//! One call fills as many pieces as have come, and what it reads behind them is the beginning of the next request, which would
//! otherwise be a call of its own. Plain sockets only: what TLS brings is not the value yet. A turn without a lease only looks at
//! what has come, and reads as ever.

use super::*;
use crate::conn::large::Large;
use flagstone_engine::Drawn;

/// Shorter rests of a value come with what follows them.
const STRAIGHT_BYTES_MIN: usize = 4 << 10;
/// So many reads belong to a turn that is storing a value.
const READS_A_VALUE: u32 = 8;

impl Conn {
    /// Reads into the value that comes in, if there is one of which much is left and nothing of it is in the inbox. False: nothing was
    /// read.
    #[inline(never)]
    pub(super) fn read_straight(
        &mut self,
        inflow: &mut Inflow,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<bool> {
        let (Phase::Storing(no), Stream::Plain(socket)) = (self.phase, &mut self.stream) else {
            return Ok(false);
        };
        let Some(Large::Storing {
            reservation, scan, ..
        }) = worker.tools.larges.get_mut(no)
        else {
            return Ok(false);
        };
        let left = scan.unseen();
        if inflow.have > 0 || self.left_in_kernel || left < STRAIGHT_BYTES_MIN {
            return Ok(false);
        }
        let (inbox, now) = (&mut worker.inbox, worker.tools.now);
        let is_counted = scan.is_counted();
        let room = match is_counted {
            true => &mut inbox[..],
            false => &mut [],
        };
        let drawn = socket.poll_read_by(|fd| reservation.read_from(fd, room, now));
        let Poll::Ready(drawn) = drawn else {
            return Ok(false);
        };
        let Drawn {
            value_bytes,
            mut behind_bytes,
            is_full,
        } = drawn?;
        let read = value_bytes + behind_bytes;
        if read == 0 {
            // The end, or no memory, which the next read finds as well.
            return Ok(false);
        }
        if is_counted {
            scan.taken_some(value_bytes);
        } else {
            // It has just come, so both copies are the processor's own.
            let bytes = &mut inbox[..value_bytes];
            reservation.copy_last(bytes);
            let value_bytes = scan.surely(bytes);
            behind_bytes = bytes.len() - value_bytes;
            bytes.copy_within(value_bytes.., 0);
            reservation.take_back(behind_bytes);
        }
        // Nobody knows how long the rest of a line is; half of all have as much to come as has come.
        let left = match is_counted {
            true => left - value_bytes,
            false => reservation.written(),
        };
        *inflow = Inflow {
            reads: inflow.reads + 1,
            may_have_more: is_full,
            ..Inflow::new(behind_bytes)
        };
        worker.tools.counters.read_bytes.add(read as u64);
        self.note_progress(read - behind_bytes, now);
        self.widen(read, left, worker);
        Ok(true)
    }

    /// Whether a turn in which a value comes in has another read.
    #[inline]
    pub(super) fn stores_on(&self, inflow: &Inflow) -> bool {
        matches!(self.phase, Phase::Storing(_)) && inflow.reads < READS_A_VALUE
    }
}

#[cfg(test)]
mod tests {
    use crate::memory::plan::INBOX_BYTES;

    /// A line is read a page at a time, and what stands behind its end goes to the inbox.
    #[test]
    fn a_page_fits_the_inbox() {
        let plan = flagstone_engine::Plan::new(&flagstone_engine::Options::default());
        assert!(plan.expect("a plan").page_bytes() <= INBOX_BYTES);
    }
}
