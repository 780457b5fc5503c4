//! One thread: its connections, its epoll, its share of the requests.
//!
//! ```text
//!   wait ─► for each readable connection: read once ─► judge every whole reply
//!                                                   └► build the next batch ─► write once
//! ```
//!
//! Closed loop: a connection sends a batch of as many requests as the pipeline is deep, and
//! the next one when it has all replies, as clients with pipelines do. So every server is
//! asked in the same way, whether it answers a batch in one piece or in many.
//!
//! Fixed rate: request `k` of the thread is due at `k / rate`, whatever the server does, and
//! its latency counts from then on. A server that stalls for a second is charged with a second
//! for the first request that it missed, a little less for the next, and so on; a load
//! generator that waits politely would count one slow request ("coordinated omission").
//!
//! Once the connections stand, a request costs no allocation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::conn::{Conn, Pending};
use crate::failure::{Failure, shown};
use crate::keys::Prefix;
use crate::many::Piece;
use crate::requests::Requests;
use crate::settings::Settings;
use crate::tally::Tally;
use crate::tls::Client;
use crate::value::TypeCase;
use crate::wire::{Asked, Found, Reply};

/// One read takes at most so much: several socket buffers.
const READ_BYTES: usize = 256 << 10;
/// A batch of long values ends early: beyond this, a deeper pipeline only costs memory.
const BATCH_BYTES_MAX: usize = 4 << 20;
const EVENTS_MAX: usize = 1024;
/// Timers of the kernel are this coarse. Requests that are due sooner are waited for by
/// looking again and again: who sleeps past a due time charges the server with it.
const COARSE_NS: u64 = 2_000_000;
/// Connections and pipeline of the preload: enough to keep a server busy.
const PRELOAD_CONNECTIONS: usize = 16;
pub(crate) const PRELOAD_PIPELINE: usize = 32;

/// What all threads see.
pub(crate) struct Shared<'s> {
    pub settings: &'s Settings,
    pub case: TypeCase,
    pub prefix: Prefix,
    pub tls: Option<Client>,
    pub epoch: Instant,
    /// Somebody failed: the others need not go on.
    pub stop: AtomicBool,
    /// Replies of this phase, for the progress bar.
    pub done: AtomicU64,
}

impl Shared<'_> {
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// What a thread does until the next common moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Write each of these keys once.
    Preload { next: u32, end: u32 },
    /// So many requests of the mix.
    Requests(u64),
    /// Requests of the mix until the run's clock says so.
    Until(u64),
    /// So many requests of the mix at fixed times: this many a second.
    Timetable { requests: u64, rate: f64 },
}

/// See the head of the file.
pub(crate) struct Worker<'s> {
    shared: &'s Shared<'s>,
    epoll: OwnedFd,
    conns: Vec<Conn>,
    input: Box<[u8]>,
    output: Vec<u8>,
    requests: Requests<'s>,
    pub tally: Tally,
    work: Work,
    start_ns: u64,
    /// The latest reading of the clock.
    now_ns: u64,
    /// When the last reply came.
    pub last_ns: u64,
    owed: u64,
    done: u64,
    /// Requests that are due by the timetable.
    due: u64,
    issued: u64,
}

impl<'s> Worker<'s> {
    /// Thread `number`, without connections.
    pub fn new(shared: &'s Shared<'s>, number: usize) -> Result<Self, Failure> {
        let settings = shared.settings;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| Failure::System("an epoll", error.into()))?;
        Ok(Worker {
            shared,
            epoll,
            conns: Vec::new(),
            input: vec![0; READ_BYTES].into(),
            output: Vec::with_capacity(READ_BYTES),
            requests: Requests::new(settings, (&shared.case, &shared.prefix), number),
            tally: Tally::new(0),
            work: Work::Requests(0),
            start_ns: 0,
            now_ns: 0,
            last_ns: 0,
            owed: 0,
            done: 0,
            due: 0,
            issued: 0,
        })
    }

    /// Opens connections `from..to`.
    pub fn connect(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        let settings = self.shared.settings;
        self.conns.reserve_exact(to - from);
        for number in from..to {
            if self.shared.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let conn = Conn::open(
                settings,
                self.shared.tls.as_ref(),
                self.requests.names(),
                (number + 1, settings.connections),
                settings.pipeline.max(PRELOAD_PIPELINE),
            )?;
            let data = epoll::EventData::new_u64(self.conns.len() as u64);
            epoll::add(&self.epoll, &conn.stream, data, epoll::EventFlags::IN)
                .map_err(|error| Failure::System("watching a connection", error.into()))?;
            self.conns.push(conn);
            self.shared.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Does `work`, which begins at `start_ns`, and counts it into `tally`.
    pub fn run(&mut self, work: Work, start_ns: u64, tally: Tally) -> Result<(), Failure> {
        self.tally = tally;
        self.work = work;
        self.start_ns = start_ns;
        self.now_ns = self.shared.now_ns();
        self.last_ns = self.now_ns;
        (self.owed, self.done, self.due, self.issued) = (0, 0, 0, 0);
        for conn in &mut self.conns {
            conn.issued = 0;
        }
        let busy = match work {
            Work::Preload { .. } => self.conns.len().min(PRELOAD_CONNECTIONS),
            Work::Timetable { .. } => 0,
            _ => self.conns.len(),
        };
        for at in 0..busy {
            self.send_batch(at)?;
        }
        // Not a field: a record of the kernel's may hold a pointer, and workers change threads.
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !self.is_finished() {
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            self.turn(&mut events)?;
        }
        self.tally.settle();
        Ok(())
    }

    fn is_finished(&self) -> bool {
        match self.work {
            Work::Timetable { requests, .. } => self.owed == 0 && self.issued == requests,
            _ => self.owed == 0,
        }
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> Result<(), Failure> {
        let timeout = Duration::from_nanos(self.wait_ns());
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::System("waiting for replies", error.into())),
        }
        let idle = events.is_empty();
        for event in events.drain(..) {
            // Copied out: the kernel's record is packed.
            let (at, flags) = (event.data.u64() as usize, event.flags);
            if flags.contains(epoll::EventFlags::OUT) {
                let unsent = self.conns[at].send_rest();
                self.watch(at, unsent, true)?;
            }
            // Errors and hang-ups are found by reading.
            if flags != epoll::EventFlags::OUT {
                self.receive(at)?;
                while self.conns[at].stream.has_more() {
                    self.receive(at)?;
                }
            }
        }
        if idle {
            self.now_ns = self.shared.now_ns();
        }
        if let Work::Timetable { requests, rate } = self.work {
            self.send_due(requests, rate)?;
        }
        self.shared
            .done
            .fetch_add(std::mem::take(&mut self.done), Ordering::Relaxed);
        if self.now_ns.saturating_sub(self.last_ns) > self.timeout_ns() && self.owed > 0 {
            return Err(Failure::Silent {
                timeout: self.shared.settings.timeout,
                owed: self.owed as usize,
            });
        }
        // A server that trickles is never silent, and would hold up whoever is measured next.
        if let Work::Until(run_ns) = self.work
            && self.now_ns > self.start_ns + run_ns + self.timeout_ns()
            && self.owed > 0
        {
            return Err(Failure::Late {
                timeout: self.shared.settings.timeout,
                owed: self.owed as usize,
            });
        }
        Ok(())
    }

    fn timeout_ns(&self) -> u64 {
        self.shared.settings.timeout.as_nanos() as u64
    }

    /// How long to sleep at most.
    fn wait_ns(&self) -> u64 {
        const LOOK_UP_NS: u64 = 100_000_000;
        let Work::Timetable { requests, rate } = self.work else {
            return LOOK_UP_NS;
        };
        if self.due >= requests {
            return LOOK_UP_NS;
        }
        let due_ns = self.start_ns + timetable_ns(self.due, rate);
        match due_ns.saturating_sub(self.now_ns) {
            soon if soon < COARSE_NS => 0,
            later => (later - COARSE_NS).min(LOOK_UP_NS),
        }
    }

    /// Reads what has come for a connection, and sends its next batch if it is its turn.
    fn receive(&mut self, at: usize) -> Result<(), Failure> {
        let Worker {
            shared,
            conns,
            input,
            tally,
            owed,
            done,
            now_ns,
            start_ns,
            last_ns,
            requests,
            ..
        } = self;
        let settings = shared.settings;
        let case = settings.verify.then_some(&shared.case);
        let (is_multi, names) = (settings.multi_get > 1, requests.names());
        let received = conns[at].receive(input, |conn, bytes| {
            *now_ns = shared.now_ns();
            tally.now(now_ns.saturating_sub(*start_ns));
            let (mut used, mut replies) = (0, 0);
            while used < bytes.len() {
                let rest = &bytes[used..];
                let Some(&Pending {
                    since_ns,
                    key,
                    asked,
                }) = conn.pending.front()
                else {
                    return Err(Failure::Garbled { bytes: shown(rest) });
                };
                if is_multi && asked == Asked::Read {
                    let judge = |key, reply: Reply<'_>| tally.judge(asked, key, reply, case);
                    let (scanned, count) = (&mut conn.scanned, settings.multi_get);
                    let many = &mut conn.many;
                    match many.read(settings.protocol, names, count, rest, scanned, judge) {
                        Piece::Inner(len) => used += len,
                        Piece::Last(len) => {
                            tally.time(asked, now_ns.saturating_sub(since_ns));
                            conn.pending.pop_front();
                            used += len;
                            replies += 1;
                        }
                        Piece::Part => break,
                        Piece::Garbled => {
                            return Err(Failure::Garbled { bytes: shown(rest) });
                        }
                    }
                    continue;
                }
                match settings.protocol.read_reply(asked, rest, &mut conn.scanned) {
                    Found::Whole(reply, len) => {
                        tally.judge(asked, key, reply, case);
                        tally.time(asked, now_ns.saturating_sub(since_ns));
                        conn.pending.pop_front();
                        used += len;
                        replies += 1;
                    }
                    Found::Part => break,
                    Found::Garbled => {
                        return Err(Failure::Garbled { bytes: shown(rest) });
                    }
                }
            }
            *owed -= replies;
            *done += replies;
            *last_ns = *now_ns;
            tally.slot(now_ns.saturating_sub(*start_ns), replies);
            Ok(used)
        })?;
        match received {
            None => return Ok(()),
            Some(0) => return Err(self.conns[at].closed(None)),
            Some(count) => self.tally.received_bytes += count as u64,
        }
        match self.work {
            Work::Timetable { requests, rate } => self.send_timetable(at, requests, rate),
            _ if self.conns[at].pending.is_empty() => self.send_batch(at),
            _ => Ok(()),
        }
    }

    /// Closed loop: a batch, if there is anything left to do.
    fn send_batch(&mut self, at: usize) -> Result<(), Failure> {
        let depth = match self.work {
            Work::Preload { .. } => PRELOAD_PIPELINE,
            _ => self.shared.settings.pipeline,
        };
        self.output.clear();
        let since_ns = self.shared.now_ns();
        for _ in 0..depth {
            let (asked, key) = match &mut self.work {
                Work::Preload { next, end } if *next < *end => {
                    let key = *next;
                    *next += 1;
                    self.requests.write_value(&mut self.output, key);
                    (Asked::Write, key)
                }
                Work::Requests(left) if *left > 0 => {
                    *left -= 1;
                    self.requests
                        .write_any(&mut self.output, &mut self.conns[at].many)
                }
                Work::Until(end_ns) if since_ns < *end_ns => self
                    .requests
                    .write_any(&mut self.output, &mut self.conns[at].many),
                _ => break,
            };
            self.conns[at].pending.push_back(Pending {
                since_ns,
                key,
                asked,
            });
            self.owed += 1;
            if self.output.len() > BATCH_BYTES_MAX {
                break;
            }
        }
        self.send(at)
    }

    /// Fixed rate: whatever has become due since the last look.
    fn send_due(&mut self, requests: u64, rate: f64) -> Result<(), Failure> {
        let since_ns = self.now_ns.saturating_sub(self.start_ns);
        let due = ((since_ns as f64 * rate / 1e9) as u64 + 1).min(requests);
        let conns = self.conns.len() as u64;
        let first = self.due;
        self.due = due;
        for number in first..due.min(first + conns) {
            self.send_timetable((number % conns) as usize, requests, rate)?;
        }
        // What is due by the end and still cannot be sent, or is not answered, is given up
        // some time later. How long it has waited counts.
        let end_ns = self.start_ns + timetable_ns(requests, rate) + self.timeout_ns();
        if self.now_ns > end_ns && !self.is_finished() {
            self.give_up(rate);
            self.issued = requests;
            self.owed = 0;
        }
        Ok(())
    }

    /// Sends what is due on one connection, as far as its pipeline has room.
    fn send_timetable(&mut self, at: usize, requests: u64, rate: f64) -> Result<(), Failure> {
        // Request k of the thread is on connection k mod conns.
        let conns = self.conns.len() as u64;
        let mine = (self.due.min(requests) + conns - 1 - at as u64) / conns;
        self.output.clear();
        while self.conns[at].issued < mine
            && self.conns[at].pending.len() < self.shared.settings.pipeline
            && self.output.len() <= BATCH_BYTES_MAX
        {
            let number = self.conns[at].issued * conns + at as u64;
            let (asked, key) = self
                .requests
                .write_any(&mut self.output, &mut self.conns[at].many);
            self.conns[at].issued += 1;
            self.conns[at].pending.push_back(Pending {
                since_ns: self.start_ns + timetable_ns(number, rate),
                key,
                asked,
            });
            self.issued += 1;
            self.owed += 1;
        }
        self.send(at)
    }

    fn give_up(&mut self, rate: f64) {
        let conns = self.conns.len() as u64;
        for (at, conn) in self.conns.iter().enumerate() {
            for pending in &conn.pending {
                let waited_ns = self.now_ns.saturating_sub(pending.since_ns);
                self.tally.time(pending.asked, waited_ns);
                self.tally.unanswered += 1;
            }
            let mine = (self.due + conns - 1 - at as u64) / conns;
            for number in conn.issued..mine {
                let due_ns = self.start_ns + timetable_ns(number * conns + at as u64, rate);
                self.tally
                    .time(Asked::Read, self.now_ns.saturating_sub(due_ns));
                self.tally.unanswered += 1;
            }
        }
    }

    /// Sends what has been built.
    fn send(&mut self, at: usize) -> Result<(), Failure> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.tally.sent_bytes += self.output.len() as u64;
        let unsent = self.conns[at].send(&self.output);
        self.watch(at, unsent, false)
    }

    /// Watches for room to write as long as something is unsent.
    fn watch(
        &mut self,
        at: usize,
        unsent: std::io::Result<bool>,
        was_watched: bool,
    ) -> Result<(), Failure> {
        let conn = &self.conns[at];
        let unsent = unsent.map_err(|error| conn.closed(Some(error)))?;
        if unsent == was_watched {
            return Ok(());
        }
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, unsent);
        let data = epoll::EventData::new_u64(at as u64);
        epoll::modify(&self.epoll, &conn.stream, data, flags)
            .map_err(|error| Failure::System("watching a connection", error.into()))
    }
}

/// When request `number` of a timetable is due, after its start.
fn timetable_ns(number: u64, rate: f64) -> u64 {
    (number as f64 * 1e9 / rate) as u64
}
