//! What a worker notes of turns that took long, and of connections that waited.

use super::*;
use crate::observe::slow;
use crate::observe::slow_log::Cause;

/// Since when a connection waits, and for what. In four bytes, because each slot has one: milliseconds, wrapping after
/// twelve days, and two bits for the cause.
#[derive(Clone, Copy)]
pub(super) struct Waits(u32);

impl Waits {
    pub(super) const NOT: Waits = Waits(0);
    const CAUSES: [Cause; 3] = [Cause::Lease, Cause::Permit, Cause::Memory];
    const MILLIS_MAX: u32 = u32::MAX >> 2;

    #[inline(always)]
    pub(super) fn is_set(self) -> bool {
        self.0 != 0
    }

    /// From now on, unless it has waited before and could not go on.
    pub(super) fn begin(&mut self, queue: Queue, now: Tick) {
        if !self.is_set() {
            let cause = match queue {
                Queue::Lease => 1,
                Queue::Permit(_) => 2,
                Queue::Memory => 3,
            };
            self.0 = (now.as_millis() as u32) << 2 | cause;
        }
    }

    /// How long it was, and for what.
    fn end(&mut self, now: Tick) -> Option<(u64, Cause)> {
        let Waits(since) = std::mem::replace(self, Waits::NOT);
        let cause = Self::CAUSES.get((since & 3).checked_sub(1)? as usize)?;
        let millis = (now.as_millis() as u32).wrapping_sub(since >> 2) & Self::MILLIS_MAX;
        Some((u64::from(millis) * 1_000_000, *cause))
    }
}

impl Worker<'_> {
    /// A turn was over `nanos` after the pass began, and the one before it at `begun_nanos`.
    #[cold]
    pub(super) fn note_slow(
        &mut self,
        slot_no: usize,
        nanos: u64,
        begun_nanos: u64,
        done: &Commands,
    ) {
        let slot = &self.slots[slot_no];
        let Some(conn) = &slot.conn else {
            return;
        };
        let shared = self.state.tools.shared;
        if nanos >= shared.limits.slow_request_nanos() {
            shared.slow.lock().note(slow::Turn {
                nanos,
                worker_no: self.worker_no,
                protocol_no: conn.protocol_no(),
                done: *done,
            });
        }
        // Its wait is told instead.
        if nanos < shared.slow_log.threshold_nanos() || slot.waits.is_set() {
            return;
        }
        let others = begun_nanos.saturating_sub(self.pass_nanos);
        let (requests, kind) = most_of(done);
        let cause = match requests {
            _ if others > nanos / 2 => Cause::Busy,
            0 | 1 => Cause::Work,
            _ => Cause::Pipeline,
        };
        let speaks = conn.speaks();
        self.state
            .note_slow(speaks, (nanos, cause), (requests, kind));
    }

    /// A connection that waited has had a turn. Where it goes on waiting it is the same wait.
    #[cold]
    pub(super) fn end_wait(&mut self, slot_no: usize, turn: Turn) {
        if matches!(turn, Turn::WaitLease | Turn::WaitLarge) {
            return;
        }
        let slot = &mut self.slots[slot_no];
        let threshold = self.state.tools.shared.slow_log.threshold_nanos();
        if let (Some(late), Some(conn)) = (slot.waits.end(self.state.tools.now), &slot.conn)
            && late.0 >= threshold
        {
            let speaks = conn.speaks();
            self.state.note_slow(speaks, late, (0, ""));
        }
    }
}

/// How many requests, and what most of them were.
fn most_of(done: &Commands) -> (u32, &'static str) {
    let all: u64 = done.0.iter().sum();
    let most = (0..Commands::COUNT).max_by_key(|&no| done.0[no]);
    let kind = most.map_or("", |no| Commands::NAMES[no]);
    (u32::try_from(all).unwrap_or(u32::MAX), kind)
}
