//! A connection: a small state machine that gets a turn when something happened to it.
//!
//! ```text
//!        readable │ writable │ a buffer became free │ it asked for another turn
//!                             ▼
//!   1. send what an earlier turn left over      not all taken? rest: a peer that
//!                             │                 does not read is not read from
//!   2. bring back unexecuted input              from its lease into the worker's inbox
//!                             │
//!   3. execute every whole request ◄────┐       replies collect in the worker's outbox
//!                             │         │
//!   4. one write for all the replies    │
//!                             │         │
//!   5. read ────────────────────────────┘       nothing there? put leftovers aside, rest
//! ```
//!
//! Between turns it owns no buffer unless something was left over. An ordinary request costs
//! one read and one write: a read that did not fill the inbox says that nothing more is there, so the
//! second visit to step 5 only registers for the next event.
//!
//! A turn is bounded in requests, in bytes and in time, so that a client who pipelines without end
//! does not starve its neighbours.
//!
//! Nothing in this module knows which protocol is spoken.

mod batch;
mod budget;
mod inflow;
mod large;
pub(crate) mod lease;
mod list;
mod outbox;
mod plain_socket;
mod progress;
mod proxied;
mod serve;
mod slow;
mod straight;
mod stream;
mod tls_stream;
mod traffic;
mod transaction;
mod worker_state;

use std::io;
use std::task::{Poll, Waker};

use rustix::event::epoll::EventFlags;

use flagstone_engine::{Tick, Walk};

use self::budget::Budget;
use self::inflow::{Inflow, Looked};
use self::large::{LargeNo, Larges};
use self::lease::{Lease, Leases};
use self::list::List;
use self::outbox::{Sent, send_some};
pub use self::plain_socket::PlainSocket;
pub use self::stream::Stream;
pub use self::tls_stream::TlsStream;
use self::transaction::Transaction;
pub use self::worker_state::WorkerState;
use crate::memory::plan::{INBOX_BYTES, OUTBOX_BYTES, SMALL_LEASE_BYTES};
use crate::memory::room::{MUCH_READ_BYTES, Room};
use crate::proto::proxied::Header;
use crate::proto::{
    Answer, Brief, Codec, HEAD_BYTES_MAX, KEY_BYTES_MAX, ListFormat, PlainFormat, REPLY_BYTES_MAX,
    Rest, Topic, WHOLE_BYTES_MAX, Words,
};
use crate::pubsub::{LongNo, SubscriberNo};

// A request that fills the inbox without an end is longer than any head, and one that is too
// long is recognised by its head alone.
static_assertions::const_assert!(INBOX_BYTES > HEAD_BYTES_MAX);
// A store's key and numbers are known before it is begun early.
static_assertions::const_assert!(SMALL_LEASE_BYTES > 2 * KEY_BYTES_MAX);
// What has to be held whole can be, and a full inbox holds nothing else.
static_assertions::const_assert_eq!(INBOX_BYTES, WHOLE_BYTES_MAX);
// An empty outbox has room for any reply but a long value.
static_assertions::const_assert!(OUTBOX_BYTES > 32 * REPLY_BYTES_MAX);
// Ten thousand idle ones are little more than a megabyte.
static_assertions::const_assert!(size_of::<Conn>() <= 136);

/// A transfer that moves this much is not stalled.
const PROGRESS_BYTES: u32 = 64 << 10;
/// After our FIN, so much of what the peer still sends is read and forgotten, so that a reset
/// does not overtake the last replies …
const LINGER_BYTES: u32 = 1 << 20;
/// … for so long.
pub const LINGER_MILLIS: u32 = 1000;

/// One client's connection.
pub struct Conn {
    stream: Stream,
    /// Read, and not executed yet.
    input: Option<Lease>,
    /// Answered, and not sent yet.
    output: Option<Lease>,
    /// When it began to hold what it holds, or last got on, or had a turn while it held
    /// nothing: milliseconds, wrapping.
    held_since: u32,
    /// What a transfer moved since then.
    moved_bytes: u32,
    /// When it moved anything last: milliseconds, wrapping.
    moved_at: u32,
    phase: Phase,
    /// Where it stands among those who receive messages.
    subscriber: Option<SubscriberNo>,
    codec: Codec,
    /// What it keeps until it is executed together.
    transaction: Transaction,
    /// Whether it stands in a queue of its worker's.
    pub queued: bool,
    /// How large its socket buffers are.
    room: Room,
    /// The first bytes have been looked at.
    sniffed: bool,
    /// The peer will send no more.
    ended: bool,
    /// The kernel has something of it of which no event will tell: requests that were looked at and left there, or
    /// replies that leave no room for more.
    left_in_kernel: bool,
    /// Half a request was left there, and there is no room for the other half: it needs a lease.
    is_clogged: bool,
    /// Close when everything is sent.
    closing: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// One request after the other.
    Requests,
    /// The rest of a request that is too long goes nowhere; then it is refused, if it was not before.
    Skipping { words: Option<Words>, rest: Rest },
    /// The same, and this is its answer.
    SkippingTo { brief: Brief, rest: Rest },
    /// A long message comes in, of which this is left.
    Publishing { no: LongNo, rest: Rest },
    /// A long value comes in.
    Storing(LargeNo),
    /// A long value is there, and how it is to be stored is not known yet.
    Settling(LargeNo),
    /// A long value goes out.
    Sending(LargeNo),
    /// Items go out.
    Dumping(Walk, ListFormat),
    /// Clients are to be listed, and how long the list will be is added up.
    Measuring(List),
    /// Clients go out.
    Listing(List),
    /// Counters go out: so many lines have.
    Telling {
        topic: Topic,
        format: PlainFormat,
        lines: u16,
    },
    /// What was kept is executed.
    Replaying,
    /// The header of a proxy comes in, before everything else.
    Arriving(Header),
    /// Our FIN is sent; so many bytes are still read and forgotten.
    Lingering { left: u32 },
}

impl Phase {
    /// So much is skipped, and this is answered then; nothing, if it was before. Apart by the kind of answer, because one field
    /// for both would make every connection larger.
    fn skipping(answer: Option<Answer>, rest: Rest) -> Self {
        match answer {
            None => Phase::Skipping { words: None, rest },
            Some(Answer::Words(words)) => Phase::Skipping {
                words: Some(words),
                rest,
            },
            Some(Answer::Brief(brief)) => Phase::SkippingTo { brief, rest },
        }
    }
}

/// What a connection wants after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To be woken by its socket.
    Rest,
    /// Another turn, after its neighbours'.
    Again,
    /// A turn when there is a buffer for what it may leave over.
    WaitLease,
    /// A turn when a transfer that keeps it waiting ends, or memory or a buffer becomes free.
    WaitLarge,
    /// To be closed.
    Close,
}

/// Where what was read and is not finished can stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a lease.
    Lease,
    /// Where it is.
    Kernel,
}

/// Why step 3 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// No whole request is left.
    Hungry,
    /// The peer does not take its replies.
    Blocked,
    /// The turn is over.
    Tired,
    /// A transfer cannot begin or go on.
    WaitLarge,
    /// The connection is to be closed.
    Close,
}

impl Conn {
    pub fn new(stream: Stream, codec: Codec, now: Tick) -> Self {
        Conn {
            stream,
            input: None,
            output: None,
            held_since: now.as_millis() as u32,
            moved_bytes: 0,
            moved_at: now.as_millis() as u32,
            phase: Phase::Requests,
            subscriber: None,
            codec,
            transaction: Transaction::default(),
            queued: false,
            room: Room::SMALL,
            sniffed: false,
            ended: false,
            left_in_kernel: false,
            is_clogged: false,
            closing: false,
        }
    }

    /// One that another worker had, between two requests.
    pub fn moved(stream: Stream, codec: Codec, now: Tick) -> Self {
        Conn {
            sniffed: true,
            ..Conn::new(stream, codec, now)
        }
    }

    /// Whether another worker can have it: it owns nothing here, and nothing is known of it but how it speaks. A session of
    /// TLS stays where it is.
    pub fn is_movable(&self) -> bool {
        self.sniffed
            && !self.codec.is_locked()
            && matches!(self.phase, Phase::Requests)
            && !self.transaction.is_open()
            && self.subscriber.is_none()
            && !(self.holds() || self.queued || self.ended || self.is_tls())
    }

    /// Whether nobody has logged in on it who has to.
    pub fn is_locked(&self) -> bool {
        self.codec.is_locked() && !self.is_lingering()
    }

    /// Leaves its worker.
    pub fn leave(self) -> (Stream, Codec) {
        (self.stream, self.codec)
    }

    /// Remembers an event of the socket. True: it is to have a turn.
    #[inline]
    pub fn note(&mut self, event: EventFlags) -> bool {
        self.stream.note(event)
    }

    /// Does what can be done now. Errors of the socket just end the connection: a peer that
    /// resets is nobody's problem.
    pub fn turn(&mut self, worker: &mut WorkerState<'_>, waker: &Waker) -> Turn {
        let held = self.holds();
        let was_told = self.may_be_told();
        if let Some(subscriber) = self.subscriber {
            worker.tools.shared.pubsub.begin_turn(subscriber);
        }
        let turn = self.try_turn(worker, waker).unwrap_or(Turn::Close);
        if self.stream.take_postponed() || (!was_told && self.may_be_told()) {
            // Also what came while an answer was half sent.
            waker.wake_by_ref();
        }
        // An error may leave replies behind.
        worker.tools.outbox.reset();
        // Who held nothing had a turn all the same: it is alive. So is who holds nothing now.
        if !held {
            self.got_on(worker.tools.now);
            return turn;
        }
        let waits_for_us = match turn {
            Turn::WaitLease => true,
            // A transfer that has begun holds memory that others may be waiting for: it stays
            // on the clock, so that no two wait for each other for ever.
            Turn::WaitLarge => !matches!(self.phase, Phase::Storing(_) | Phase::Settling(_)),
            _ => false,
        };
        if waits_for_us || !self.holds() {
            self.got_on(worker.tools.now);
        }
        turn
    }

    fn try_turn(&mut self, worker: &mut WorkerState<'_>, waker: &Waker) -> io::Result<Turn> {
        if let Phase::Lingering { .. } | Phase::Arriving(_) = self.phase
            && let Some(turn) = self.turn_aside(worker)?
        {
            return Ok(turn);
        }
        if !self.send_left_over(worker)? {
            return Ok(Turn::Rest);
        }
        if self.closing {
            return self.say_goodbye(worker);
        }
        if self.may_be_told()
            && let Some(turn) = self.deliver(worker, waker)?
        {
            return Ok(turn);
        }
        let has_leases = worker.tools.leases.has_output()
            && self.may_begin(&worker.tools.leases) == Some(Place::Lease);
        if has_leases && !self.left_in_kernel {
            self.serve_turn::<false>(Place::Lease, worker, waker)
        } else {
            self.frugal_turn(worker, waker)
        }
    }

    /// A turn without a place for whatever it leaves over, or after one.
    #[cold]
    fn frugal_turn(&mut self, worker: &mut WorkerState<'_>, waker: &Waker) -> io::Result<Turn> {
        let Some(place) = self.may_go_on(&worker.tools.leases) else {
            return Ok(Turn::WaitLease);
        };
        if !worker.tools.leases.has_output() {
            // A value that is sent in pieces can be read again from where the peer has stopped.
            let needs_room = !matches!(self.phase, Phase::Sending(_));
            if needs_room && self.stream.poll_roomy()?.is_pending() {
                self.left_in_kernel = true;
                return Ok(Turn::Rest);
            }
            worker.tools.outbox.limit();
        }
        self.serve_turn::<true>(place, worker, waker)
    }

    /// Steps 2 to 5.
    #[inline]
    fn serve_turn<const FRUGAL: bool>(
        &mut self,
        place: Place,
        worker: &mut WorkerState<'_>,
        waker: &Waker,
    ) -> io::Result<Turn> {
        let peeks = FRUGAL && place == Place::Kernel;
        if FRUGAL {
            self.is_clogged = false;
        }
        let mut inflow = Inflow::new(self.bring_back_input(worker));
        let mut budget = Budget::default();
        if peeks && self.stream.is_narrow() {
            budget.early_at = HEAD_BYTES_MAX;
        }
        let mut sends_later = false;
        loop {
            // Nearly every turn begins with nothing but the news that there is something to read.
            let is_fresh = inflow.reads == 0 && inflow.have == 0 && !self.ended;
            if !(is_fresh && matches!(self.phase, Phase::Requests)) {
                let mut taken = 0;
                let halt = self.serve(inflow.have, &mut taken, &mut budget, worker, waker)?;
                if taken > 0 {
                    self.note_progress(taken, worker.tools.now);
                    self.take(taken, peeks, &mut inflow, worker)?;
                }
                if budget.moved_bytes > 0 {
                    self.note_moved(budget.take_moved(), worker.tools.now);
                }
                sends_later = !FRUGAL && self.may_read_on(halt, &inflow, worker);
                if !sends_later
                    && let Some(turn) = self.after_serving::<FRUGAL>(halt, &inflow, worker)?
                {
                    return Ok(turn);
                }
            }
            // A read that did not fill its room has emptied the socket: only an event brings more.
            let rests = inflow.reads > 0 && self.stream.poll_readable().is_pending();
            let may_be_straight = !(peeks || rests) && matches!(self.phase, Phase::Storing(_));
            if may_be_straight && self.read_straight(&mut inflow, worker)? {
                continue;
            }
            let read = match rests {
                true => Poll::Pending,
                false if peeks => self.peek(&mut worker.inbox[inflow.owned..], inflow.known())?,
                false if FRUGAL => self.read(&mut worker.inbox[inflow.have..])?,
                false => self.read_ready(&mut worker.inbox[inflow.have..])?,
            };
            if sends_later
                && read.is_pending()
                && let Some(turn) = self.send_answers(&inflow, worker)?
            {
                return Ok(turn);
            }
            match read {
                Poll::Ready(0) => self.ended = true,
                Poll::Ready(n) => {
                    if peeks {
                        inflow.have = inflow.owned + n;
                    } else {
                        inflow.have += n;
                        inflow.owned = inflow.have;
                        worker.tools.counters.read_bytes.add(n as u64);
                    }
                    if n >= MUCH_READ_BYTES {
                        self.enlarge(worker);
                    }
                    inflow.reads += 1;
                    inflow.may_have_more = inflow.have == worker.inbox.len();
                }
                Poll::Pending if worker.tools.finishing => {
                    self.left_in_kernel |= inflow.is_left();
                    return self.say_goodbye(worker);
                }
                Poll::Pending => {
                    if peeks && inflow.is_left() {
                        match self.after_look(&mut inflow, &mut budget, worker)? {
                            Looked::Rests => {}
                            Looked::Again => {
                                inflow.reads = 0;
                                continue;
                            }
                            Looked::Waits => {
                                self.put_aside_input(&inflow, worker)?;
                                self.is_clogged = true;
                                return Ok(Turn::WaitLease);
                            }
                        }
                    }
                    self.put_aside_input(&inflow, worker)?;
                    return Ok(Turn::Rest);
                }
            }
        }
    }

    /// Sends what is answered. `None`: the turn goes on with a read.
    #[inline(always)]
    fn after_serving<const FRUGAL: bool>(
        &mut self,
        halt: Halt,
        inflow: &Inflow,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<Option<Turn>> {
        let is_all = FRUGAL && worker.tools.outbox.is_limited() && !worker.tools.outbox.is_empty();
        let sent = match halt {
            Halt::Blocked => Sent::Blocked,
            _ => worker
                .tools
                .outbox
                .send(&mut self.stream, worker.tools.counters)?,
        };
        self.closing = halt == Halt::Close;
        if sent == Sent::Blocked {
            self.enlarge(worker);
            self.put_aside_output(worker)?;
            match self.closing {
                true => self.left_in_kernel |= inflow.is_left(),
                false => self.put_aside_input(inflow, worker)?,
            }
            return Ok(Some(Turn::Rest));
        }
        // What stands before the end is read like anything else behind a goodbye.
        let is_last = FRUGAL && inflow.is_last && inflow.reads > 0 && !inflow.may_have_more;
        let turn = match halt {
            Halt::Close => {
                self.left_in_kernel |= inflow.is_left();
                return self.say_goodbye(worker).map(Some);
            }
            Halt::Hungry if self.ended || is_last => {
                self.left_in_kernel |= inflow.is_left();
                return self.say_goodbye(worker).map(Some);
            }
            Halt::WaitLarge => Turn::WaitLarge,
            // What else the socket is sure to take is another turn's.
            Halt::Hungry if is_all => Turn::Again,
            Halt::Hungry if !inflow.may_have_more && inflow.reads < 2 => return Ok(None),
            Halt::Hungry if self.stores_on(inflow) => return Ok(None),
            Halt::Hungry | Halt::Tired | Halt::Blocked => Turn::Again,
        };
        self.put_aside_input(inflow, worker)?;
        Ok(Some(turn))
    }
}
