//! Step 3 of a turn: executing what is in the inbox.
//!
//! Requests are decoded a batch at a time. Before the first of a batch is
//! executed, the buckets of all their keys are prefetched, then their items, so that memory
//! latency is paid once a batch. A request that comes alone skips all that.
//!
//! A request is executed only when there is room for its reply. So whenever this stops, all
//! requests up to `at` are executed and answered exactly once, and none behind it was begun.

pub(super) mod clients;
mod keys;
mod lists;
mod messages;
mod plain;
mod settle;
mod slow;
mod transaction;
mod transfers;
mod uses;

use std::io;
use std::slice;
use std::task::Waker;

use self::plain::Run;
use self::transaction::Stepped;
use super::batch::{BATCH_MAX, Batch};
use super::large::Begun;
use super::outbox::Sent;
use super::worker_state::Tools;
use super::{Budget, Conn, Halt, Phase, WorkerState};
use crate::auth::guesses::Origin;
use crate::execute::{self, Done, Work};
use crate::proto::{
    Answer, Codec, Decoded, Inside, LongHead, REPLY_BYTES_MAX, Refusal, Reply, ReplyFormat,
    Sniffed, sniff,
};
use crate::server::gates::Leave;

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
    conn: &'d mut Conn,
    tools: &'d mut Tools<'w>,
    /// What is in the queues.
    kept: &'d mut [u8],
    budget: &'d mut Budget,
    /// Nobody else executes requests while it is ours alone.
    leave: Option<Leave<'w>>,
    waker: &'d Waker,
}

impl<'d, 'w> RequestLoop<'d, 'w> {
    #[inline(always)]
    fn new(
        conn: &'d mut Conn,
        (tools, kept): (&'d mut Tools<'w>, &'d mut [u8]),
        budget: &'d mut Budget,
        waker: &'d Waker,
    ) -> Self {
        let leave = tools.shared.gates.enter(tools.worker_no);
        RequestLoop {
            conn,
            tools,
            kept,
            budget,
            leave: Some(leave),
            waker,
        }
    }
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
                    return RequestLoop::new(
                        self,
                        (&mut worker.tools, &mut worker.kept),
                        budget,
                        waker,
                    )
                    .hang_up(words);
                }
            }
        }
        // After the last read of many a turn nothing is left, and what the one before has brought is still there.
        if have > 0 && matches!(self.phase, Phase::Requests) {
            worker.tools.first.note(have);
        }
        let inbox = &worker.inbox;
        let bytes = &inbox[..have];
        let mut requests =
            RequestLoop::new(self, (&mut worker.tools, &mut worker.kept), budget, waker);
        loop {
            let halt = match requests.conn.phase {
                // As after nearly every turn.
                Phase::Requests if requests.conn.transaction.is_replayed() => requests.replay()?,
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
                Phase::Arriving(_) | Phase::Lingering { .. } => Some(Halt::Close),
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
        let mut codec = self.conn.codec;
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
        if let Some(list) = codec.list()
            && let Some(executed) = self.begin_list(list, &first, bytes, at)?
        {
            return Ok(executed);
        }
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
            let cache = self.tools.shared.cache;
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
                work: Work::of(self.tools.shared.cache, request.command, codec.database()),
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
        self.tools.counters.hangups.add(1);
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
            self.tools.sampler.pass(1, |_| planned.work.key());
            if !matches!(self.conn.phase, Phase::Requests) {
                return Ok(None);
            }
            if self.budget.is_spent() || is_late {
                self.tools.counters.yields.add(1);
                return Ok(Some(Halt::Tired));
            }
        }
        if batch.len() == BATCH_MAX && self.budget.is_late() {
            self.tools.counters.yields.add(1);
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
            match self.run_noted(planned) {
                Done::Reply(reply) => {
                    self.push(format, reply);
                    return Ok(None);
                }
                Done::TooLong(value_len) if self.tools.outbox.is_empty() => {
                    return Ok(self.begin_long_answer(planned, value_len));
                }
                // Of a turn without a place for what it leaves over, the next may have one.
                Done::NeedsRoom
                    if self.tools.outbox.is_empty() && self.tools.outbox.is_limited() =>
                {
                    return Ok(Some(Halt::WaitLarge));
                }
                Done::NeedsRoom if self.tools.outbox.is_empty() => {
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
                    self.tools.counters.others.add(1);
                    self.say(format.farewell());
                    return Ok(Some(self.close_behind(planned, at)));
                }
            }
        }
    }

    /// Begins to send a value that is longer than the outbox. Says why not.
    #[inline(never)]
    fn begin_long_answer(&mut self, planned: &Planned<'_>, value_len: usize) -> Option<Halt> {
        let format = planned.format;
        let (shared, now, counters) = (self.tools.shared, self.tools.now, self.tools.counters);
        let room = self.tools.outbox.room();
        let mut is_cut = false;
        let begun = self
            .tools
            .larges
            .send(format.value_tail(), value_len, now, || {
                let mut found = execute::pin(planned.work, shared, now, format, room, counters)?;
                if execute::may_be_cut(shared, format)
                    && let Some((pinned, _)) = &mut found
                {
                    is_cut = execute::has_newline(pinned, room);
                }
                Ok(found.filter(|_| !is_cut))
            });
        match begun {
            Begun::Yes(no, head_len) => {
                self.note_sending(&planned.work);
                self.tools.outbox.filled(head_len);
                self.begin_sending(no, planned.work.key(), value_len);
            }
            Begun::NotNow => return Some(Halt::WaitLarge),
            Begun::Missing if is_cut => {
                self.push(format, Reply::Refused(Refusal::Malformed));
            }
            // It was evicted or deleted since it was looked up.
            Begun::Missing => {
                self.tools.counters.misses.add(1);
                self.push(format, Reply::Missing);
            }
            Begun::Refused(refusal) => {
                self.tools.counters.refusals.add(1);
                self.push(format, Reply::Refused(refusal));
            }
        }
        None
    }

    fn close_behind(&mut self, planned: &Planned<'_>, at: &mut usize) -> Halt {
        self.take(planned, at);
        Halt::Close
    }

    fn reset(&mut self) -> Option<Halt> {
        self.tools.counters.others.add(1);
        self.conn.transaction.close(&mut self.tools.queues);
        if let Some(subscriber) = self.conn.subscriber.take() {
            self.tools.shared.pubsub.leave(subscriber);
        }
        self.conn.codec.reset(!self.tools.shared.users.is_empty());
        execute::clients::forget(self.tools.shared, self.tools.client);
        self.say(ReplyFormat::RESET);
        None
    }

    /// Too many from one address end the connection.
    fn login_failed(&mut self, planned: &Planned<'_>, at: &mut usize) -> Option<Halt> {
        self.push(planned.format, Reply::Refused(Refusal::LoginFailed));
        let peer = self.tools.shared.clients.peer(self.tools.client);
        let origin = Origin::of(peer.ip());
        if !self.tools.shared.guesses.note(origin, self.tools.now) {
            return None;
        }
        self.tools.counters.login_cuts.add(1);
        Some(self.close_behind(planned, at))
    }

    /// A request is done.
    #[inline]
    fn take(&mut self, planned: &Planned<'_>, at: &mut usize) {
        *at = planned.end;
        self.conn.codec.go_on(planned.inside);
    }

    /// Makes room for any short reply. Else says why there is none.
    #[inline]
    fn lacks_room(&mut self) -> io::Result<Option<Halt>> {
        if self.tools.outbox.room_bytes() >= REPLY_BYTES_MAX {
            return Ok(None);
        }
        self.empty_outbox()
    }

    /// Sends what is there. Says why not, or why nothing more may be filled in.
    #[inline(never)]
    fn empty_outbox(&mut self) -> io::Result<Option<Halt>> {
        if self.tools.outbox.is_limited() && !self.tools.outbox.is_empty() {
            return Ok(Some(Halt::Tired));
        }
        let sent = self
            .tools
            .outbox
            .send(&mut self.conn.stream, self.tools.counters)?;
        Ok((sent == Sent::Blocked).then_some(Halt::Blocked))
    }

    /// Appends words for which there is room.
    fn say(&mut self, words: &[u8]) {
        self.tools.outbox.room()[..words.len()].copy_from_slice(words);
        self.tools.outbox.filled(words.len());
        self.budget.spend(1, words.len());
    }

    /// Appends an answer that was known before its request was skipped, for which there is room.
    fn answer_early(&mut self, answer: Answer) {
        let len = answer.encode(self.tools.outbox.room()).unwrap_or(0);
        self.tools.outbox.filled(len);
        self.budget.spend(1, len);
    }

    /// Appends a reply for which there is room.
    #[inline]
    fn push(&mut self, format: ReplyFormat<'_>, reply: Reply<'_>) {
        let Some(reply) = self.conn.codec.gather(format, reply) else {
            self.budget.spend(1, 0);
            return;
        };
        let before = self.tools.outbox.unsent().len();
        let pushed = self.tools.outbox.push(format, reply);
        debug_assert!(pushed, "room was made before the request was executed");
        self.budget
            .spend(1, self.tools.outbox.unsent().len() - before);
    }
}
