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
        let now = self.now.as_millis() as u32;
        let done = Reply::Said(Word::Ok);
        let reply = match step {
            Step::Begin => done,
            Step::Keep => return Ok(self.keep(planned, now)),
            Step::Execute { spoiled } => {
                let failed = match self.transaction.ticket {
                    _ if spoiled || self.transaction.is_spoiled => Some(ReplyFormat::SPOILED),
                    Some(ticket) if !self.queues.is_held(ticket) => Some(ReplyFormat::REVOKED),
                    _ => None,
                };
                match failed {
                    None => return self.begin_replay(format),
                    Some(refusal) => {
                        self.transaction.close(self.queues);
                        Reply::Refused(refusal)
                    }
                }
            }
            Step::Forget => {
                self.transaction.close(self.queues);
                done
            }
            Step::Abort => {
                self.transaction.close(self.queues);
                Reply::Refused(ReplyFormat::BAD_EXEC)
            }
            Step::Unwatch => {
                // What is watched does not matter any more once it is executed.
                if !self.transaction.is_replayed {
                    self.transaction.close(self.queues);
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
                self.counters.refusals.add(1);
                if refusal == ReplyFormat::REVOKED {
                    self.counters.transactions_revoked.add(1);
                }
            }
            _ => self.counters.others.add(1),
        }
    }

    fn keep(&mut self, planned: &Planned<'_>, now: u32) -> Stepped {
        let (request, is_last) = planned.work.kept();
        let (queues, bytes) = (&mut *self.queues, &mut *self.kept);
        let kept = match (self.transaction.is_spoiled, self.transaction.ticket) {
            // It will be refused anyhow.
            (true, _) => Ok(()),
            (false, Some(ticket)) => queues.keep(bytes, ticket, (request, is_last), now),
            (false, None) => queues.open(now).and_then(|ticket| {
                self.transaction.ticket = Some(ticket);
                queues.keep(bytes, ticket, (request, is_last), now)
            }),
        };
        let refusal = match kept {
            Ok(()) if !is_last => {
                self.budget.spend(1, 0);
                return Stepped::Done;
            }
            Ok(()) => {
                self.counters.others.add(1);
                self.say(ReplyFormat::KEPT);
                return Stepped::Done;
            }
            Err(Refused::Full) => ReplyFormat::QUEUE_FULL,
            Err(Refused::Revoked) => ReplyFormat::REVOKED,
        };
        self.transaction.is_spoiled = true;
        let reply = Reply::Refused(refusal);
        self.count_step(reply);
        self.push(planned.format, reply);
        if !is_last {
            self.codec.give_up_kept();
        }
        Stepped::Done
    }

    fn watch(&mut self, planned: &Planned<'_>, seen: Seen, now: u32) -> Result<(), Refused> {
        let key = planned.work.key().map_or(&b""[..], |key| key.bytes());
        let ticket = self.transaction.open(self.queues, now)?;
        let (queues, bytes) = (&mut *self.queues, &mut *self.kept);
        let watched = (self.codec.database() as u8, key, seen.pack());
        let watched = queues.watch(bytes, ticket, watched, now);
        // Whoever believes that it watches must not be told that nothing has changed.
        self.transaction.is_spoiled |= watched.is_err();
        watched
    }

    /// Executes what was kept, if nothing that is watched has changed.
    fn begin_replay(&mut self, format: ReplyFormat<'_>) -> io::Result<Stepped> {
        let room = self.outbox.room_bytes();
        if room < ANSWERS_BYTES {
            return Ok(match self.outbox.is_empty() {
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
        if let Some(ticket) = self.transaction.ticket {
            let (cache, now) = (self.shared.cache, self.now);
            let (queues, bytes) = (&mut *self.queues, &*self.kept);
            let holds = queues.watched_hold(bytes, ticket, |database, key, looks| {
                let database = usize::from(database);
                execute::is_as_seen(cache, (database, key), Seen::unpack(looks), now)
            });
            count = match holds {
                true => queues.begin(ticket).ok(),
                false => None,
            };
        }
        self.counters.others.add(1);
        let len = format.answers_head(count, self.outbox.room()).unwrap_or(0);
        self.outbox.filled(len);
        self.budget.spend(1, len);
        if count.unwrap_or(0) == 0 {
            self.transaction.close(self.queues);
            self.be_beside();
            return Ok(Stepped::Done);
        }
        self.transaction.is_replayed = true;
        *self.phase = Phase::Replaying;
        Ok(Stepped::Done)
    }

    /// Executes one request while all others stay outside.
    #[inline(never)]
    pub(super) fn do_alone(&mut self, planned: &Planned<'_>) -> Option<Halt> {
        let was_alone = self.leave.as_ref().is_some_and(|leave| leave.is_alone());
        if !was_alone {
            self.be_alone();
        }
        let (shared, now, format) = (self.shared, self.now, planned.format);
        let room = self.outbox.room();
        let done = planned
            .work
            .run_alone(shared, now, format, room, self.counters);
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
        let Some(ticket) = self.transaction.ticket else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // Whatever ends this turn, the next goes on here.
        *self.phase = Phase::Replaying;
        // Taken, so that requests can borrow them while all else changes.
        let bytes = std::mem::take(&mut self.kept);
        let halt = self.replay_some(bytes, ticket);
        self.kept = bytes;
        let halt = halt?;
        if halt.is_none() && matches!(self.phase, Phase::Replaying) {
            *self.phase = Phase::Requests;
            self.transaction.close(self.queues);
            self.be_beside();
            if self.budget.is_spent() || self.budget.is_late() {
                self.counters.yields.add(1);
                return Ok(Some(Halt::Tired));
            }
        }
        Ok(halt)
    }

    fn replay_some(&mut self, bytes: &[u8], ticket: Ticket) -> io::Result<Option<Halt>> {
        let until = thread_cpu_micros() + ALONE_MICROS;
        let (mut done, mut is_late) = (0, false);
        while let Some((start, end)) = self.queues.left(ticket) {
            let left = &bytes[start..end];
            let taken = match self.next(*self.codec, left, 0) {
                Next::Planned(planned) => {
                    let mut at = 0;
                    if let Some(halt) = self.execute_one(&planned, &mut at)? {
                        return Ok(Some(halt));
                    }
                    self.codec.go_on(planned.inside);
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
                    self.codec.go_on(inside);
                    taken + some
                }
                // Only whole requests were kept.
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            self.queues.advance(ticket, taken);
            if !matches!(self.phase, Phase::Replaying) {
                return Ok(None);
            }
            if done >= ALONE_REQUESTS_MAX || is_late {
                return Ok(Some(Halt::Tired));
            }
        }
        Ok(None)
    }
}
