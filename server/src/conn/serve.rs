//! Step 3 of a turn: executing what is in the inbox.
//!
//! Requests are decoded a batch at a time. Before the first of a batch is
//! executed, the buckets of all their keys are prefetched, then their items, so that memory
//! latency is paid once a batch. A request that comes alone skips all that.
//!
//! A request is executed only when there is room for its reply. So whenever this stops, all
//! requests up to `at` are executed and answered exactly once, and none behind it was begun.

pub(super) mod clients;
mod lists;
mod messages;
mod plain;
mod slow;
mod transaction;
mod transfers;

use std::io;
use std::slice;
use std::task::Waker;

use flagstone_engine::Tick;

use self::plain::Run;
use self::transaction::Stepped;
use super::batch::{BATCH_MAX, Batch};
use super::large::{Begun, Larges};
use super::outbox::{Outbox, Sent};
use super::stream::Stream;
use super::transaction::Transaction;
use super::{Budget, Conn, Halt, Phase, WorkerState};
use crate::clients::ClientNo;
use crate::execute::{self, Done, Work};
use crate::memory::queues::Queues;
use crate::observe::counters::Counters;
use crate::observe::hot_keys::Sampler;
use crate::proto::{
    Answer, Codec, Decoded, Inside, LongHead, REPLY_BYTES_MAX, Refusal, Reply, ReplyFormat,
    Sniffed, sniff,
};
use crate::pubsub::SubscriberNo;
use crate::server::gates::Leave;
use crate::server::shared::Shared;

/// A decoded request.
#[derive(Clone, Copy)]
struct Planned<'a> {
    work: Work<'a>,
    format: ReplyFormat<'a>,
    /// Where in the inbox it ends.
    end: usize,
    /// Where the next one is then.
    inside: Inside,
}

enum Next<'a> {
    Planned(Planned<'a>),
    Long(LongHead<'a>),
    More,
    HangUp(&'static [u8]),
}

/// What is needed to execute a request, borrowed apart from the inbox that it borrows.
struct RequestLoop<'d, 'w> {
    codec: &'d mut Codec,
    phase: &'d mut Phase,
    stream: &'d mut Stream,
    shared: &'w Shared<'w>,
    counters: &'w Counters,
    outbox: &'d mut Outbox,
    larges: &'d mut Larges<'w>,
    budget: &'d mut Budget,
    transaction: &'d mut Transaction,
    queues: &'d mut Queues,
    /// What is in them.
    kept: &'d mut [u8],
    /// Nobody else executes requests while it is ours alone.
    leave: Option<Leave<'w>>,
    subscriber: &'d mut Option<SubscriberNo>,
    /// Its place among the clients.
    client: ClientNo,
    /// Looks at some of the requests.
    sampler: &'d mut Sampler<'w>,
    /// Whether one of the turn's requests is in the list of slow ones.
    slow_is_noted: &'d mut bool,
    now: Tick,
    waker: &'d Waker,
}

/// Splits a worker's state into its inbox and the loop over requests.
macro_rules! requests {
    ($conn:ident, $worker:ident, $budget:ident, $waker:ident) => {
        (
            &$worker.inbox,
            RequestLoop {
                codec: &mut $conn.codec,
                phase: &mut $conn.phase,
                stream: &mut $conn.stream,
                shared: $worker.shared,
                counters: $worker.counters,
                outbox: &mut $worker.outbox,
                larges: &mut $worker.larges,
                budget: $budget,
                transaction: &mut $conn.transaction,
                queues: &mut $worker.kept.queues,
                kept: &mut $worker.kept.bytes,
                leave: Some($worker.shared.gates.enter($worker.worker_no)),
                subscriber: &mut $conn.subscriber,
                client: $worker.client,
                sampler: &mut $worker.sampler,
                slow_is_noted: &mut $worker.first.is_noted,
                now: $worker.now,
                waker: $waker,
            },
        )
    };
}

impl Conn {
    /// Executes what can be executed of `inbox[*at..have]`, and moves `at` on.
    #[inline(always)]
    pub(super) fn serve(
        &mut self,
        have: usize,
        at: &mut usize,
        budget: &mut Budget,
        worker: &mut WorkerState<'_>,
        waker: &Waker,
    ) -> io::Result<Halt> {
        if !self.sniffed {
            match sniff(&worker.inbox[*at..have], self.codec.accepts()) {
                Sniffed::Text => self.sniffed = true,
                Sniffed::Binary => {
                    self.codec.begin_binary();
                    self.sniffed = true;
                }
                Sniffed::Undecided => return Ok(Halt::Hungry),
                Sniffed::HangUp(words) => {
                    let (_, mut requests) = requests!(self, worker, budget, waker);
                    return requests.hang_up(words);
                }
            }
        }
        // After the last read of many a turn nothing is left, and what the one before has brought is still there.
        if have > 0 && matches!(self.phase, Phase::Requests) {
            worker.first.note(have);
        }
        let (inbox, mut requests) = requests!(self, worker, budget, waker);
        let bytes = &inbox[..have];
        loop {
            let halt = match *requests.phase {
                // As after nearly every turn.
                Phase::Requests if requests.transaction.is_replayed() => requests.replay()?,
                Phase::Replaying => requests.replay()?,
                Phase::Requests if *at == have => Some(Halt::Hungry),
                Phase::Requests => requests.requests(bytes, inbox.len(), at)?,
                Phase::Skipping { words, rest } => {
                    requests.skip(words.map(Answer::Words), rest, bytes, at)?
                }
                Phase::SkippingTo { brief, rest } => {
                    requests.skip(Some(Answer::Brief(brief)), rest, bytes, at)?
                }
                Phase::Publishing { no, rest } => requests.publish_long(no, rest, bytes, at)?,
                Phase::Storing(no) => requests.store(no, bytes, at)?,
                Phase::Settling(no) => requests.settle(no, bytes, at)?,
                Phase::Sending(no) => requests.send_value(no)?,
                Phase::Dumping(walk, format) => requests.dump(walk, format)?,
                Phase::Measuring(list) => requests.measure(list)?,
                Phase::Listing(list) => requests.list_clients(list)?,
                Phase::Telling {
                    topic,
                    format,
                    lines,
                } => requests.tell(topic, format, lines)?,
                Phase::Lingering { .. } => Some(Halt::Close),
            };
            if let Some(halt) = halt {
                return Ok(halt);
            }
        }
    }
}

impl<'w> RequestLoop<'_, 'w> {
    /// A batch of requests. `None`: there is more to do.
    fn requests(
        &mut self,
        bytes: &[u8],
        inbox_bytes: usize,
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        if let Run::Executed(halt) = self.run(bytes, at)? {
            return Ok(halt);
        }
        let mut codec = *self.codec;
        let first = match self.next(codec, bytes, *at) {
            Next::Planned(first) => first,
            Next::HangUp(words) => return self.hang_up(words).map(Some),
            Next::Long(head) => return Ok(self.begin_long(head, at)),
            Next::More if *at == 0 && bytes.len() == inbox_bytes => {
                return match codec.decode_long(bytes) {
                    Some(head) => Ok(self.begin_long(head, at)),
                    None => self.hang_up(b"").map(Some),
                };
            }
            Next::More
                if bytes.len() - *at > self.budget.early_at
                    && let Some(head) = codec.decode_begun(&bytes[*at..]) =>
            {
                return Ok(self.begin_long(head, at));
            }
            Next::More => return Ok(Some(Halt::Hungry)),
        };
        if first.end == bytes.len() || first.work.changes_session() {
            return self.execute(slice::from_ref(&first), bytes, at);
        }
        codec.go_on(first.inside);
        let mut batch = Batch::of(first);
        // Behind a login nothing is known before it is executed.
        while !batch.is_full() && !codec.is_locked() {
            // What is not a request ends the batch, and is looked at again as the first.
            let Next::Planned(planned) = self.next(codec, bytes, batch[batch.len() - 1].end) else {
                break;
            };
            if planned.work.changes_session() {
                break;
            }
            codec.go_on(planned.inside);
            batch.push(planned);
        }
        if batch.len() > 1 {
            let cache = self.shared.cache;
            let keys = || batch.iter().filter_map(|planned| planned.work.key());
            let mut spots = Batch::new();
            keys().for_each(|key| spots.push(cache.prefetch(key)));
            keys()
                .zip(spots.iter_mut())
                .for_each(|(key, spot)| cache.prefetch_item(key, spot));
        }
        self.execute(&batch, bytes, at)
    }

    #[inline]
    fn next<'a>(&self, codec: Codec, bytes: &'a [u8], at: usize) -> Next<'a> {
        match codec.decode(&bytes[at..]) {
            Decoded::More => Next::More,
            Decoded::Request(request) => Next::Planned(Planned {
                work: Work::of(self.shared.cache, request.command, codec.database()),
                format: request.format,
                end: at + request.taken,
                inside: request.inside,
            }),
            Decoded::Long(head) => Next::Long(head),
            Decoded::HangUp(words) => Next::HangUp(words),
        }
    }

    /// Nothing behind the stray is looked at.
    fn hang_up(&mut self, words: &[u8]) -> io::Result<Halt> {
        if let Some(halt) = self.lacks_room()? {
            return Ok(halt);
        }
        self.say(words);
        self.counters.hangups.add(1);
        Ok(Halt::Close)
    }

    /// Executes requests in order. `None`: all of them, or up to one whose value is being
    /// streamed from now on.
    fn execute(
        &mut self,
        batch: &[Planned<'_>],
        bytes: &[u8],
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        for planned in batch {
            let since = planned.work.is_heavy().then(|| self.begin_heavy());
            if let Some(halt) = self.execute_one(planned, at)? {
                return Ok(Some(halt));
            }
            let is_late = since.is_some_and(|since| self.after_heavy(since, &bytes[*at..]));
            self.take(planned, at);
            self.sampler.pass(1, |_| planned.work.key());
            if !matches!(self.phase, Phase::Requests) {
                return Ok(None);
            }
            if self.budget.is_spent() || is_late {
                self.counters.yields.add(1);
                return Ok(Some(Halt::Tired));
            }
        }
        if batch.len() == BATCH_MAX && self.budget.is_late() {
            self.counters.yields.add(1);
            return Ok(Some(Halt::Tired));
        }
        Ok(None)
    }

    #[inline]
    fn execute_one(&mut self, planned: &Planned<'_>, at: &mut usize) -> io::Result<Option<Halt>> {
        loop {
            if let Some(halt) = self.lacks_room()? {
                return Ok(Some(halt));
            }
            let format = planned.format;
            let room = self.outbox.room();
            let done = planned
                .work
                .run(self.shared, self.now, format, room, self.counters);
            match done {
                Done::Reply(reply) => {
                    self.push(format, reply);
                    return Ok(None);
                }
                Done::TooLong(value_len) if self.outbox.is_empty() => {
                    let (shared, now, counters) = (self.shared, self.now, self.counters);
                    let room = self.outbox.room();
                    let mut is_cut = false;
                    let begun = self.larges.send(format.value_tail(), value_len, now, || {
                        let mut found =
                            execute::pin(planned.work, shared, now, format, room, counters)?;
                        if execute::may_be_cut(shared, format)
                            && let Some((pinned, _)) = &mut found
                        {
                            is_cut = execute::has_newline(pinned, room);
                        }
                        Ok(found.filter(|_| !is_cut))
                    });
                    match begun {
                        Begun::Yes(no, head_len) => {
                            self.outbox.filled(head_len);
                            self.begin_sending(no, planned.work.key(), value_len);
                        }
                        Begun::NotNow => return Ok(Some(Halt::WaitLarge)),
                        Begun::Missing if is_cut => {
                            self.push(format, Reply::Refused(Refusal::Malformed));
                        }
                        // It was evicted or deleted since it was looked up.
                        Begun::Missing => {
                            self.counters.misses.add(1);
                            self.push(format, Reply::Missing);
                        }
                        Begun::Refused(refusal) => {
                            self.counters.refusals.add(1);
                            self.push(format, Reply::Refused(refusal));
                        }
                    }
                    return Ok(None);
                }
                // Of a turn without a place for what it leaves over, the next may have one.
                Done::NeedsRoom if self.outbox.is_empty() && self.outbox.is_limited() => {
                    return Ok(Some(Halt::WaitLarge));
                }
                Done::NeedsRoom if self.outbox.is_empty() => {
                    debug_assert!(false, "no report is longer than an outbox");
                    self.push(format, Reply::Refused(Refusal::Malformed));
                    return Ok(None);
                }
                // It may fit into the whole outbox.
                Done::TooLong(_) | Done::NeedsRoom => {
                    if let Some(halt) = self.empty_outbox()? {
                        return Ok(Some(halt));
                    }
                }
                Done::Stats(topic) => {
                    self.begin_tell(topic, format.plain());
                    return Ok(None);
                }
                Done::Reset => return Ok(self.reset()),
                Done::LoggedIn(role) => {
                    self.logged_in(planned, role);
                    return Ok(None);
                }
                Done::Messages => return self.message(planned),
                Done::Client => return self.about_clients(planned, at),
                Done::LoginFailed => return Ok(self.login_failed(planned, at)),
                Done::Dump(listing) => {
                    self.begin_dump(listing);
                    return Ok(None);
                }
                Done::Step(step) => match self.step(step, planned)? {
                    Stepped::Done => return Ok(None),
                    Stepped::Again => {}
                    Stepped::Halt(halt) => return Ok(Some(halt)),
                },
                Done::Alone => return Ok(self.do_alone(planned)),
                Done::NotNow => return Ok(Some(Halt::WaitLarge)),
                Done::Close(reply) => {
                    self.push(format, reply);
                    return Ok(Some(self.close_behind(planned, at)));
                }
                Done::Quit => {
                    self.counters.others.add(1);
                    self.say(format.farewell());
                    return Ok(Some(self.close_behind(planned, at)));
                }
            }
        }
    }

    fn close_behind(&mut self, planned: &Planned<'_>, at: &mut usize) -> Halt {
        self.take(planned, at);
        Halt::Close
    }

    fn reset(&mut self) -> Option<Halt> {
        self.counters.others.add(1);
        self.transaction.close(self.queues);
        if let Some(subscriber) = self.subscriber.take() {
            self.shared.pubsub.leave(subscriber);
        }
        self.codec.reset(!self.shared.users.is_empty());
        execute::clients::forget(self.shared, self.client);
        self.say(ReplyFormat::RESET);
        None
    }

    /// Too many from one address end the connection.
    fn login_failed(&mut self, planned: &Planned<'_>, at: &mut usize) -> Option<Halt> {
        self.push(planned.format, Reply::Refused(Refusal::LoginFailed));
        if !self.shared.guesses.note(self.stream.origin(), self.now) {
            return None;
        }
        self.counters.login_cuts.add(1);
        Some(self.close_behind(planned, at))
    }

    /// A request is done.
    #[inline]
    fn take(&mut self, planned: &Planned<'_>, at: &mut usize) {
        *at = planned.end;
        self.codec.go_on(planned.inside);
    }

    /// Makes room for any short reply. Else says why there is none.
    #[inline]
    fn lacks_room(&mut self) -> io::Result<Option<Halt>> {
        if self.outbox.room_bytes() >= REPLY_BYTES_MAX {
            return Ok(None);
        }
        self.empty_outbox()
    }

    /// Sends what is there. Says why not, or why nothing more may be filled in.
    #[inline(never)]
    fn empty_outbox(&mut self) -> io::Result<Option<Halt>> {
        if self.outbox.is_limited() && !self.outbox.is_empty() {
            return Ok(Some(Halt::Tired));
        }
        let sent = self.outbox.send(self.stream, self.counters)?;
        Ok((sent == Sent::Blocked).then_some(Halt::Blocked))
    }

    /// Appends words for which there is room.
    fn say(&mut self, words: &[u8]) {
        self.outbox.room()[..words.len()].copy_from_slice(words);
        self.outbox.filled(words.len());
        self.budget.spend(1, words.len());
    }

    /// Appends an answer that was known before its request was skipped, for which there is room.
    fn answer_early(&mut self, answer: Answer) {
        let len = answer.encode(self.outbox.room()).unwrap_or(0);
        self.outbox.filled(len);
        self.budget.spend(1, len);
    }

    /// Appends a reply for which there is room.
    #[inline]
    fn push(&mut self, format: ReplyFormat<'_>, reply: Reply<'_>) {
        let Some(reply) = self.codec.gather(format, reply) else {
            self.budget.spend(1, 0);
            return;
        };
        let before = self.outbox.unsent().len();
        let pushed = self.outbox.push(format, reply);
        debug_assert!(pushed, "room was made before the request was executed");
        self.budget.spend(1, self.outbox.unsent().len() - before);
    }
}
