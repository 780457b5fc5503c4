//! Requests that are kept, and executed together when the last of them has come.
//!
//! They are kept as they came, in a queue of the worker's (`memory/queues`), and are read and executed again as if they had
//! just arrived, while all other workers stay outside (`server/gates`). So nobody sees half of a transaction, and what is
//! watched is looked at and written without anybody in between.
//!
//! Only as much is executed alone as is bounded: so many requests, and answers for which there is room or which the peer
//! takes at once. What is left then is executed in later turns, with others in between: to wait for a peer with
//! everybody else outside would be worse.

use std::io;

use super::{Halt, Next, Phase, Planned, RequestLoop};
use crate::clock::thread_cpu_micros;
use crate::execute::{self, Done, Seen, Step};
use crate::memory::plan::OUTBOX_BYTES;
use crate::memory::queues::{Refused, Ticket};
use crate::proto::{LongHead, Reply, ReplyFormat, Word};

/// So much room for answers there is when a transaction begins.
const ANSWERS_BYTES: usize = 32 << 10;
static_assertions::const_assert!(ANSWERS_BYTES < OUTBOX_BYTES);
/// So many requests are executed alone, at most …
const ALONE_REQUESTS_MAX: u32 = 16 << 10;
/// … and where some of them go through long values or all keys, for no more of the processor's time than this: what others on
/// the machine do does not end a transaction's solitude.
const ALONE_MICROS: u64 = 10_000;

/// What became of a step.
pub(super) enum Stepped {
    /// It is done, and answered.
    Done,
    /// Room for the answers was made: try again.
    Again,
    /// It cannot be done now.
    Halt(Halt),
}

impl RequestLoop<'_, '_> {
    #[inline(never)]
    pub(super) fn step(&mut self, step: Step, planned: &Planned<'_>) -> io::Result<Stepped> {
        let format = planned.format;
        let now = self.tools.now.as_millis() as u32;
        let done = Reply::Said(Word::Ok);
        let reply = match step {
            Step::Begin => done,
            Step::Keep => return Ok(self.keep(planned, now)),
            Step::Execute { spoiled } => {
                let failed = match self.conn.transaction.ticket {
                    _ if spoiled || self.conn.transaction.is_spoiled => Some(ReplyFormat::SPOILED),
                    Some(ticket) if !self.tools.queues.is_held(ticket) => {
                        Some(ReplyFormat::REVOKED)
                    }
                    _ => None,
                };
                match failed {
                    None => return self.begin_replay(format),
                    Some(refusal) => {
                        self.conn.transaction.close(&mut self.tools.queues);
                        Reply::Refused(refusal)
                    }
                }
            }
            Step::Forget => {
                self.conn.transaction.close(&mut self.tools.queues);
                done
            }
            Step::Abort => {
                self.conn.transaction.close(&mut self.tools.queues);
                Reply::Refused(ReplyFormat::BAD_EXEC)
            }
            Step::Unwatch => {
                // What is watched does not matter any more once it is executed.
                if !self.conn.transaction.is_replayed {
                    self.conn.transaction.close(&mut self.tools.queues);
                }
                done
            }
            Step::Watch(seen) => match self.watch(planned, seen, now) {
                Ok(()) => Reply::Touched,
                Err(_) => Reply::Refused(ReplyFormat::WATCH_FULL),
            },
        };
        self.count_step(reply);
        self.push(format, reply);
        Ok(Stepped::Done)
    }

    fn count_step(&self, reply: Reply<'_>) {
        match reply {
            Reply::Refused(refusal) => {
                self.tools.counters.refusals.add(1);
                if refusal == ReplyFormat::REVOKED {
                    self.tools.counters.transactions_revoked.add(1);
                }
            }
            _ => self.tools.counters.others.add(1),
        }
    }

    fn keep(&mut self, planned: &Planned<'_>, now: u32) -> Stepped {
        let (request, is_last) = planned.work.kept();
        let (queues, bytes) = (&mut self.tools.queues, &mut *self.kept);
        let kept = match (
            self.conn.transaction.is_spoiled,
            self.conn.transaction.ticket,
        ) {
            // It will be refused anyhow.
            (true, _) => Ok(()),
            (false, Some(ticket)) => queues.keep(bytes, ticket, (request, is_last), now),
            (false, None) => queues.open(now).and_then(|ticket| {
                self.conn.transaction.ticket = Some(ticket);
                queues.keep(bytes, ticket, (request, is_last), now)
            }),
        };
        let refusal = match kept {
            Ok(()) if !is_last => {
                self.budget.spend(1, 0);
                return Stepped::Done;
            }
            Ok(()) => {
                self.tools.counters.others.add(1);
                self.say(ReplyFormat::KEPT);
                return Stepped::Done;
            }
            Err(Refused::Full) => ReplyFormat::QUEUE_FULL,
            Err(Refused::Revoked) => ReplyFormat::REVOKED,
        };
        self.conn.transaction.is_spoiled = true;
        let reply = Reply::Refused(refusal);
        self.count_step(reply);
        self.push(planned.format, reply);
        if !is_last {
            self.conn.codec.give_up_kept();
        }
        Stepped::Done
    }

    fn watch(&mut self, planned: &Planned<'_>, seen: Seen, now: u32) -> Result<(), Refused> {
        let key = planned.work.key().map_or(&b""[..], |key| key.bytes());
        let ticket = self.conn.transaction.open(&mut self.tools.queues, now)?;
        let (queues, bytes) = (&mut self.tools.queues, &mut *self.kept);
        let watched = (self.conn.codec.database() as u8, key, seen.pack());
        let watched = queues.watch(bytes, ticket, watched, now);
        // Whoever believes that it watches must not be told that nothing has changed.
        self.conn.transaction.is_spoiled |= watched.is_err();
        watched
    }

    /// Executes what was kept, if nothing that is watched has changed.
    fn begin_replay(&mut self, format: ReplyFormat<'_>) -> io::Result<Stepped> {
        let room = self.tools.outbox.room_bytes();
        if room < ANSWERS_BYTES {
            return Ok(match self.tools.outbox.is_empty() {
                // This turn has no place for what it leaves over; the next may have one.
                true => Stepped::Halt(Halt::WaitLarge),
                false => match self.empty_outbox()? {
                    Some(halt) => Stepped::Halt(halt),
                    None => Stepped::Again,
                },
            });
        }
        self.be_alone();
        let mut count = Some(0);
        if let Some(ticket) = self.conn.transaction.ticket {
            let (cache, now) = (self.tools.shared.cache, self.tools.now);
            let (queues, bytes) = (&mut self.tools.queues, &*self.kept);
            let holds = queues.watched_hold(bytes, ticket, |database, key, looks| {
                let database = usize::from(database);
                execute::is_as_seen(cache, (database, key), Seen::unpack(looks), now)
            });
            count = match holds {
                true => queues.begin(ticket).ok(),
                false => None,
            };
        }
        self.tools.counters.others.add(1);
        let len = format
            .answers_head(count, self.tools.outbox.room())
            .unwrap_or(0);
        self.tools.outbox.filled(len);
        self.budget.spend(1, len);
        if count.unwrap_or(0) == 0 {
            self.conn.transaction.close(&mut self.tools.queues);
            self.be_beside();
            return Ok(Stepped::Done);
        }
        self.conn.transaction.is_replayed = true;
        self.conn.phase = Phase::Replaying;
        Ok(Stepped::Done)
    }

    /// Executes one request while all others stay outside.
    #[inline(never)]
    pub(super) fn do_alone(&mut self, planned: &Planned<'_>) -> Option<Halt> {
        let was_alone = self.leave.as_ref().is_some_and(|leave| leave.is_alone());
        if !was_alone {
            self.be_alone();
        }
        let (shared, now, format) = (self.tools.shared, self.tools.now, planned.format);
        let room = self.tools.outbox.room();
        let done = planned
            .work
            .run_alone(shared, now, format, room, self.tools.counters);
        if !was_alone {
            self.be_beside();
        }
        match done {
            Done::Reply(reply) => {
                self.push(format, reply);
                None
            }
            _ => Some(Halt::WaitLarge),
        }
    }

    pub(super) fn be_alone(&mut self) {
        self.leave = self.leave.take().map(|leave| leave.be_alone());
    }

    pub(super) fn be_beside(&mut self) {
        if self.leave.as_ref().is_some_and(|leave| leave.is_alone()) {
            self.leave = self.leave.take().map(|leave| leave.be_beside());
        }
    }

    /// Goes on to execute what was kept. `None`: all of it is, or a long value goes out in between.
    #[inline(never)]
    pub(super) fn replay(&mut self) -> io::Result<Option<Halt>> {
        let Some(ticket) = self.conn.transaction.ticket else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // Whatever ends this turn, the next goes on here.
        self.conn.phase = Phase::Replaying;
        // Taken, so that requests can borrow them while all else changes.
        let bytes = std::mem::take(&mut self.kept);
        let halt = self.replay_some(bytes, ticket);
        self.kept = bytes;
        let halt = halt?;
        if halt.is_none() && matches!(self.conn.phase, Phase::Replaying) {
            self.conn.phase = Phase::Requests;
            self.conn.transaction.close(&mut self.tools.queues);
            self.be_beside();
            if self.budget.is_spent() || self.budget.is_late() {
                self.tools.counters.yields.add(1);
                return Ok(Some(Halt::Tired));
            }
        }
        Ok(halt)
    }

    fn replay_some(&mut self, bytes: &[u8], ticket: Ticket) -> io::Result<Option<Halt>> {
        let until = thread_cpu_micros() + ALONE_MICROS;
        let (mut done, mut is_late) = (0, false);
        while let Some((start, end)) = self.tools.queues.left(ticket) {
            let left = &bytes[start..end];
            let taken = match self.next(self.conn.codec, left, 0) {
                Next::Planned(planned) => {
                    let mut at = 0;
                    if let Some(halt) = self.execute_one(&planned, &mut at)? {
                        return Ok(Some(halt));
                    }
                    self.conn.codec.go_on(planned.inside);
                    done += 1;
                    // Looked at behind what may take long: so many others take less.
                    is_late = planned.work.is_heavy() && thread_cpu_micros() >= until;
                    planned.end
                }
                // What is left of a refused one.
                Next::Long(LongHead::Skip {
                    answer: None,
                    rest,
                    taken,
                    inside,
                }) if let (some, None) = rest.within(&left[taken..]) => {
                    self.conn.codec.go_on(inside);
                    taken + some
                }
                // Only whole requests were kept.
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            self.tools.queues.advance(ticket, taken);
            if !matches!(self.conn.phase, Phase::Replaying) {
                return Ok(None);
            }
            if done >= ALONE_REQUESTS_MAX || is_late {
                return Ok(Some(Halt::Tired));
            }
        }
        Ok(None)
    }
}
