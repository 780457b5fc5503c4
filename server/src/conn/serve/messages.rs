//! Messages between clients: requests about them, and what is delivered.

use std::io;
use std::task::Waker;

use super::super::outbox::Sent;
use super::super::{Conn, Halt, Phase, Turn, WorkerState};
use super::{Planned, RequestLoop};
use crate::clients::Standing;
use crate::execute::messages::{self, Messaged};
use crate::proto::{LongMessage, Reply, ReplyFormat, Rest, Role};
use crate::pubsub::{Brought, LongBegun, LongNo, Published};

/// So often a turn fills the outbox with messages before it looks at requests.
const ROUNDS_MAX: usize = 4;

impl RequestLoop<'_, '_> {
    /// Carries out a request about messages. `None`: it is done.
    #[cold]
    pub(super) fn message(&mut self, planned: &Planned<'_>) -> io::Result<Option<Halt>> {
        loop {
            let before = self.conn.subscriber;
            let done = messages::run(
                &planned.work,
                (self.tools.shared, self.tools.counters),
                (&mut self.conn.subscriber, self.waker),
                (self.tools.now, !self.conn.transaction.is_replayed()),
                planned.format,
                self.tools.outbox.room(),
            );
            if before.is_some() != self.conn.subscriber.is_some() {
                self.conn.codec.subscribed(self.conn.subscriber.is_some());
                // Before the answer goes out: who has it may tell another to look.
                self.note_standing(Standing::OTHER, planned);
            }
            match done {
                Messaged::Said(len, is_all) => {
                    self.push(planned.format, Reply::Whole { len });
                    let bytes = planned.work.message_bytes();
                    self.budget.spend(0, bytes);
                    if is_all {
                        return Ok(None);
                    }
                    if let Some(halt) = self.empty_outbox()? {
                        return Ok(Some(halt));
                    }
                }
                // It may fit into the whole outbox.
                Messaged::NeedsRoom if !self.tools.outbox.is_empty() => {
                    if let Some(halt) = self.empty_outbox()? {
                        return Ok(Some(halt));
                    }
                }
                // Whose turn it is first is known from the next pass on.
                Messaged::NotNow if planned.work.is_published() => return Ok(Some(Halt::Tired)),
                Messaged::NotNow => return Ok(Some(Halt::WaitLarge)),
                Messaged::NeedsRoom if self.tools.outbox.is_limited() => {
                    return Ok(Some(Halt::WaitLarge));
                }
                Messaged::NeedsRoom => {
                    let refusal = messages::too_long(self.tools.counters);
                    self.push(planned.format, Reply::Refused(refusal));
                    return Ok(None);
                }
                Messaged::Refused(refusal) => {
                    self.push(planned.format, Reply::Refused(refusal));
                    return Ok(None);
                }
            }
        }
    }
}

impl RequestLoop<'_, '_> {
    /// A message that is not held whole. `None`: there is no room for it yet.
    pub(super) fn begin_message(&mut self, message: LongMessage<'_>) -> Option<Phase> {
        let rest = Rest::bytes(message.len + 2);
        if !self.conn.codec.permits(Role::Write) {
            self.tools.counters.refusals.add(1);
            let words = Some(ReplyFormat::MAY_NOT_PUBLISH);
            return Some(Phase::Skipping { words, rest });
        }
        let now = self.tools.now.as_millis() as u32;
        match self.tools.shared.pubsub.begin_long(message, now) {
            LongBegun::Yes(no) => Some(Phase::Publishing { no, rest }),
            LongBegun::NotNow => None,
            LongBegun::Nobody => {
                self.tools.counters.published.add(1);
                self.tools.counters.others.add(1);
                let words = Some(ReplyFormat::NOBODY);
                Some(Phase::Skipping { words, rest })
            }
        }
    }

    /// A piece of a message comes in; the last publishes it.
    pub(super) fn publish_long(
        &mut self,
        no: LongNo,
        rest: Rest,
        bytes: &[u8],
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        if let Some(halt) = self.lacks_room()? {
            return Ok(Some(halt));
        }
        let (taken, left) = rest.within(&bytes[*at..]);
        let hub = &self.tools.shared.pubsub;
        let piece = &bytes[*at..][..taken];
        *at += taken;
        if !hub.write_long(no, piece) {
            self.tools.counters.refusals.add(1);
            self.conn.phase = Phase::Skipping {
                words: Some(ReplyFormat::SLOW_MESSAGE),
                rest: left.unwrap_or(Rest::bytes(0)),
            };
            return Ok(None);
        }
        let rest = left.unwrap_or(Rest::bytes(0));
        self.conn.phase = Phase::Publishing { no, rest };
        if left.is_some() {
            return Ok(Some(Halt::Hungry));
        }
        let published = hub.publish_long(no, self.tools.now.as_millis() as u32);
        let Published::To(received) = published else {
            return Ok(Some(Halt::Tired));
        };
        self.conn.phase = Phase::Requests;
        let len = messages::received_by(received, self.tools.counters, self.tools.outbox.room());
        self.tools.outbox.filled(len);
        self.budget.spend(1, taken);
        Ok(None)
    }
}

impl Conn {
    /// Whether anybody's messages reach it.
    pub fn is_subscriber(&self) -> bool {
        self.subscriber.is_some()
    }

    /// Whether messages may be sent to it now: not in the middle of an answer.
    #[inline]
    pub(in crate::conn) fn may_be_told(&self) -> bool {
        self.is_subscriber() && matches!(self.phase, Phase::Requests) && self.codec.may_tell()
    }

    /// Whether it has lost messages, because it does not read.
    pub fn has_lost_messages(&self, worker: &WorkerState<'_>) -> bool {
        let lapped = |subscriber| worker.tools.shared.pubsub.is_lapped(subscriber);
        self.subscriber.is_some_and(lapped)
    }

    /// Sends what is pending. `None`: the turn goes on with requests.
    #[cold]
    pub(in crate::conn) fn deliver(
        &mut self,
        worker: &mut WorkerState<'_>,
        waker: &Waker,
    ) -> io::Result<Option<Turn>> {
        let Some(subscriber) = self.subscriber else {
            return Ok(None);
        };
        let hub = &worker.tools.shared.pubsub;
        // Without a place for what the peer does not take nothing is begun.
        if !worker.tools.leases.has_output() {
            let waits = hub.is_pending(subscriber);
            return Ok(waits.then_some(Turn::WaitLarge));
        }
        let mut is_inside = false;
        for _ in 0..ROUNDS_MAX {
            let (len, is_all) =
                match hub.bring(subscriber, worker.tools.outbox.room(), self.codec.is_v3()) {
                    Brought::All(len) => (len, true),
                    Brought::Some(len, inside) => {
                        is_inside = inside;
                        (len, false)
                    }
                    Brought::Lapped => {
                        worker.tools.counters.subscribers_lapped.add(1);
                        return Ok(Some(Turn::Close));
                    }
                };
            worker.tools.outbox.filled(len);
            let sent = worker
                .tools
                .outbox
                .send(&mut self.stream, worker.tools.counters)?;
            if sent == Sent::Blocked {
                self.put_aside_output(worker)?;
                return Ok(Some(Turn::Rest));
            }
            if is_all {
                return Ok(None);
            }
        }
        // Others have their turn before more is sent; no answer stands in the middle of a message.
        hub.end_turn(subscriber, worker.tools.now.as_millis() as u32);
        waker.wake_by_ref();
        Ok(is_inside.then_some(Turn::Rest))
    }
}
