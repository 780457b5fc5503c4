//! When a phase is over, and what happens between two of them.

use super::super::ledger::NEVER_WRITTEN_COUNT;
use super::super::tally::{Fault, Reader};
use super::super::{Phase, Role};
use super::{RAMP_MAX, Run};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The keys written last are those that take this part of the limit together: well within
/// the probation of a cache that keeps a tenth for keys nobody has asked for yet.
const NEWEST_SHARE: u64 = 32;

impl Run<'_> {
    /// Goes on to the next phase when this one has done its work.
    pub(super) fn advance(&mut self, elapsed: Duration) {
        let abuse = self.desk.abuse;
        let written_bytes = self.desk.tally.written_bytes;
        let in_phase = self.phase_start.elapsed();
        let late = elapsed > abuse.deadline;
        // Without any writer nothing more can be learnt: the server is dead, and the faults
        // say so.
        if !self
            .conns
            .iter()
            .flatten()
            .any(|conn| conn.role == Role::Writer)
        {
            self.phase = Phase::Over;
            return;
        }
        let stopped = abuse
            .stop
            .as_ref()
            .is_some_and(|stop| stop.load(Ordering::Relaxed));
        let filled = written_bytes >= abuse.fill_times * abuse.limit_bytes;
        let (done, give_up) = match self.phase {
            Phase::Fill => (
                written_bytes >= abuse.limit_bytes * abuse.fill_times.min(3),
                late,
            ),
            Phase::Ramp => {
                let complete = filled && self.crowd.len() >= abuse.crowd();
                (
                    complete
                        && !self
                            .crowd
                            .iter()
                            .rev()
                            .take(RAMP_MAX)
                            .any(|&slot| self.is_connecting(slot)),
                    late,
                )
            }
            Phase::Storm => (
                stopped || (in_phase >= abuse.storm && abuse.stop.is_none()),
                late,
            ),
            Phase::Calm | Phase::Proof => (!self.anyone_waits(), in_phase > abuse.patience),
            Phase::Over => return,
        };
        if give_up && !done {
            self.desk.tally.fault(Fault::Late {
                phase: self.phase,
                written_bytes,
            });
        }
        if done || give_up {
            self.enter();
        }
    }

    fn anyone_waits(&self) -> bool {
        self.conns
            .iter()
            .flatten()
            .any(|conn| !conn.pending.is_empty())
    }

    fn enter(&mut self) {
        self.phase_start = Instant::now();
        self.phase = match self.phase {
            Phase::Fill => Phase::Ramp,
            Phase::Ramp => {
                let abuse = self.desk.abuse;
                for (role, count) in [
                    (Role::Large, abuse.large),
                    (Role::Slow, abuse.slow),
                    (Role::Silent, abuse.silent),
                    (Role::Stalled, abuse.stalled),
                ] {
                    for _ in 0..count {
                        if self.open(role).is_err() {
                            self.desk.tally.fault(Fault::Closed {
                                role,
                                phase: Phase::Ramp,
                            });
                        }
                    }
                }
                Phase::Storm
            }
            Phase::Storm => {
                for slot in 0..self.conns.len() {
                    if self.conns[slot]
                        .as_ref()
                        .is_some_and(|conn| matches!(conn.role, Role::Silent | Role::Stalled))
                    {
                        self.close(slot, slot.is_multiple_of(2));
                    }
                }
                Phase::Calm
            }
            Phase::Calm => {
                self.unanswered();
                self.prove();
                Phase::Proof
            }
            Phase::Proof | Phase::Over => {
                self.unanswered();
                Phase::Over
            }
        };
    }

    /// Who still waits has waited for too long. Its connection ends here: what comes late would be taken for the answer to
    /// something else.
    fn unanswered(&mut self) {
        for slot in 0..self.conns.len() {
            let Some(conn) = &self.conns[slot] else {
                continue;
            };
            if conn.pending.is_empty() {
                continue;
            }
            self.desk.tally.fault(Fault::Unanswered {
                role: conn.role,
                pending: conn.pending.len(),
            });
            self.close(slot, false);
        }
    }

    /// Asks for what was written last, dealt to the writers, and pings the crowd.
    fn prove(&mut self) {
        let abuse = self.desk.abuse;
        let newest = self
            .desk
            .ledger
            .newest(abuse.limit_bytes / NEWEST_SHARE, abuse.lengths);
        let writers: Vec<usize> = (0..self.conns.len())
            .filter(|&slot| {
                self.conns[slot]
                    .as_ref()
                    .is_some_and(|conn| conn.role == Role::Writer)
            })
            .collect();
        for (i, key) in newest.into_iter().enumerate() {
            let Some(&slot) = writers.get(i % writers.len().max(1)) else {
                break;
            };
            if let Some(conn) = &mut self.conns[slot] {
                self.desk.get(conn, key, Reader::Newest);
            }
        }
        for slot in writers {
            self.ready(slot);
        }
        // Every connection at least once, and every key that was half sent at least once.
        for i in 0..self.crowd.len().max(NEVER_WRITTEN_COUNT as usize) {
            let Some(&slot) = self.crowd.get(i % self.crowd.len().max(1)) else {
                break;
            };
            self.speak(slot, |desk, conn| desk.ping(conn, i as u32));
        }
    }
}
