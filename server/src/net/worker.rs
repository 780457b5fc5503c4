//! A worker: one thread, one runtime, its share of the connections.
//!
//! ```text
//!   slots     [conn] [    ] [conn] …  [mail] [clock]     two slots are not connections
//!   ready        1      0      0   …     0      0
//!                └──► turn ──► Rest │ Again │ WaitLease │ WaitLarge │ Close
//! ```
//!
//! The runtime runs a single future, the worker, which gives a turn to each slot that is
//! ready. There is no task per connection, for three reasons: a connection may borrow the
//! cache, so that a reservation can be part of its state; a slot costs a fraction of a task;
//! and all slots are made at the start, so that a connection brings only its registration
//! with the runtime.
//!
//! A turn that panics costs its connection, not its neighbours.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flagstone_engine::Tick;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::{Instant, Sleep, sleep};

use super::ready::ReadySet;
use super::socket::Guest;
use crate::auth::tls;
use crate::clock::{exact_nanos, thread_cpu_micros, thread_id};
use crate::conn::{Conn, LINGER_MILLIS, Turn, WorkerState};
use crate::memory::permits::{Charge, Kind, Wish};
use crate::observe::allocations::{self, During};
use crate::observe::counters::Commands;
use crate::observe::latency::Latencies;
use crate::observe::slow;
use crate::proto::{Accepts, Codec};
use crate::server::shared::Shared;

/// How often stalled connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often connections that wait for memory try again, and who keeps others waiting is looked for.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// Who has not moved for so long counts as stuck when the kernel's memory runs short.
const STUCK_MILLIS: u32 = 1000;
/// Passes further apart than this are none of the clients' fault: the clock rings every second.
const PAUSE_NANOS: u64 = 1_500_000_000;
/// So many who have waited for a permit are served a pass.
const SERVED_PER_PASS: usize = 16;
/// So many who keep others waiting are closed at a time.
const SHED_PER_TICK: usize = 16;
/// The same when the kernel is about to kill and the cache has nothing left to give.
const STUCK_MILLIS_TIGHT: u32 = 20;
/// And then what is charged is looked at so often.
const LOOK_NANOS_TIGHT: u64 = 100_000;
/// Of those who wait for buffers, so many are asked a pass whether they can go on.
const ASKED_PER_PASS: usize = 64;
/// What is charged to the container is looked at so often …
const LOOK_NANOS: u64 = 1_000_000;
/// … and after so many turns, because each may have charged a little more.
const TURNS_PER_LOOK: u32 = 64;
/// Who has had large socket buffers and moved nothing for so long gives them back …
const LARGE_QUIET_MILLIS: u32 = 2000;
/// … and sooner when others want them.
const LARGE_QUIET_MILLIS_WANTED: u32 = 100;
/// While others wait for what it holds, a connection may hold it without getting on for only
/// this part of the stall timeout (at the default of 30 s: a second for a buffer) …
const PRESSURE_ON_BUFFER: u32 = 30;
/// … and a long value of which nothing at all moves for this one (two seconds). What the socket's buffers swallow at the
/// beginning is no movement afterwards: clients that never read would each hold theirs for as long as a slow one.
const PRESSURE_ON_TRANSFER: u32 = 15;
/// If some does, it has so many times as long (six seconds) to get on by 64 KiB.
const SLOW_FACTOR: u32 = 3;

/// A connection that was accepted.
pub struct Newcomer {
    pub guest: Guest,
    /// Which protocols its port is for.
    pub accepts: Accepts,
    /// How it speaks, if another worker had it.
    pub moved: Option<Codec>,
}

/// How the acceptor reaches a worker.
pub struct Mailbox {
    ready: Arc<ReadySet>,
    mail_no: usize,
    /// Accepted, not taken in yet. Has room for all the worker can hold, of which a queue would
    /// touch every place in turn and a stack only those it needs; whoever is in it at a time is
    /// taken in at once.
    sockets: Mutex<Vec<Newcomer>>,
    /// Connections of this worker, those in `sockets` and on their way there included.
    connections: AtomicUsize,
    /// Hundredths of the last second or so in which the worker did not wait for events. Not its CPU time, which is
    /// small on a machine that is busy with something else.
    load_percent: AtomicUsize,
}

/// A worker that is busier than this …
const BUSY_PERCENT: usize = 80;
/// … gives connections to one that is idler than this.
const IDLE_PERCENT: usize = 40;

impl Mailbox {
    pub fn new(slot_count: usize) -> Self {
        Mailbox {
            ready: ReadySet::new(slot_count + 2),
            mail_no: slot_count,
            sockets: Mutex::new(Vec::with_capacity(slot_count)),
            connections: AtomicUsize::new(0),
            load_percent: AtomicUsize::new(0),
        }
    }

    fn load_percent(&self) -> usize {
        self.load_percent.load(Relaxed)
    }

    pub fn is_busy(&self) -> bool {
        self.load_percent() >= BUSY_PERCENT
    }

    pub fn is_idle(&self) -> bool {
        self.load_percent() <= IDLE_PERCENT && self.has_room()
    }

    /// Whether one of its slots is free.
    pub fn has_room(&self) -> bool {
        self.connections() < self.mail_no
    }

    /// Takes a slot for a connection that will be [posted](Self::post), if one is free.
    pub fn reserve(&self) -> bool {
        self.connections
            .fetch_update(AcqRel, Acquire, |count| {
                (count < self.mail_no).then_some(count + 1)
            })
            .is_ok()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Acquire)
    }

    /// Hands a socket over, for which a slot is reserved.
    pub fn post(&self, newcomer: Newcomer) {
        self.sockets.lock().push(newcomer);
        self.wake();
    }

    /// Makes the worker look up: at its mail, and at whether the server drains.
    pub fn wake(&self) {
        self.ready.wake(self.mail_no);
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug)]
enum Queue {
    Lease,
    Memory,
    Permit(Charge),
}

/// The few that have held something for longest. There may be thousands, and nothing is allocated for them.
struct Slowest(SmallVec<[(u32, usize); SHED_PER_TICK]>);

impl Slowest {
    fn new() -> Self {
        Slowest(SmallVec::new())
    }

    fn note(&mut self, millis: u32, slot_no: usize) {
        if self.0.len() < SHED_PER_TICK {
            self.0.push((millis, slot_no));
        } else if let Some(least) = self.0.iter_mut().min()
            && *least < (millis, slot_no)
        {
            *least = (millis, slot_no);
        }
    }

    /// The one that has held it for longest comes first.
    fn sorted(mut self) -> impl Iterator<Item = (u32, usize)> {
        self.0.sort_unstable_by(|one, other| other.cmp(one));
        self.0.into_iter()
    }
}

struct Slot {
    conn: Option<Conn>,
    /// When the connection came here: milliseconds, wrapping.
    came: u32,
    waker: Waker,
}

struct Worker<'w> {
    state: WorkerState<'w>,
    mailbox: &'w Mailbox,
    /// Of all workers.
    mailboxes: &'w [Mailbox],
    /// Knows for how long this worker did not wait for events.
    runtime: RuntimeMetrics,
    /// That, and when it was, in nanoseconds.
    measured: (u64, u64),
    /// Of the connections that had to go for others, so many were told of.
    shed_told: u64,
    /// So many connections go to that worker when they have had their turn.
    gives: (usize, usize),
    /// Those that were ever used; there is room for all that are planned, so it never moves.
    /// An OS page of it costs memory when the first of its slots is used.
    slots: Vec<Slot>,
    /// Empty slots; the last to become empty is the next to be used.
    free: Vec<u32>,
    /// Who waits for buffers, in order.
    lease_queue: VecDeque<u32>,
    /// How many of it got a buffer so far; and how many had when this was last looked at, since
    /// when it has not changed while somebody waited.
    lease_grants: u64,
    lease_stands: (u64, Tick),
    /// Who waits for memory, in order.
    memory_queue: VecDeque<u32>,
    /// Who waits for a permit of each kind, in order.
    wishes: [VecDeque<(u32, Wish)>; 2],
    /// Whether others know who is at the head of each.
    heads_told: [bool; 2],
    /// The runtime's timer, polled with the waker of the clock's slot.
    clock: Pin<Box<Sleep>>,
    clock_waker: Waker,
    clock_is_hurried: bool,
    swept: Tick,
    latencies: &'w Latencies,
    /// Turns that take so long are told of.
    slow_nanos: u64,
    worker_no: usize,
    /// When the pass began.
    pass_nanos: u64,
    /// When what is charged is looked at next, and after how many turns at most. Never, where nothing can be
    /// looked at.
    look_nanos: u64,
    turns_left: u32,
    /// The commands carried out before the turn.
    commands: Commands,
    /// Set when draining begins.
    drain: Option<Drain>,
}

struct Drain {
    /// Everyone still there is closed.
    deadline: Tick,
    /// Passes until every event that the kernel has is surely known, and connections without
    /// a request may be closed.
    passes_left: usize,
}

/// Runs a worker until the server is drained. `started` is called when it is ready to serve.
pub fn run(shared: &Shared<'_>, mailboxes: &[Mailbox], worker_no: usize, started: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .expect("the runtime of a worker could be made a moment ago for the acceptor");
    park_once();
    runtime.block_on(async {
        let mut worker = Worker::new(shared, mailboxes, worker_no);
        shared
            .threads
            .counters(worker_no)
            .thread_id
            .set(thread_id());
        started();
        // Unconstrained: tokio's budget is meant for one task of many, and would cut a pass
        // short at an arbitrary connection. Passes and turns are bounded on their own.
        tokio::task::coop::unconstrained(std::future::poll_fn(|cx| worker.pass(cx))).await;
    });
}

/// `parking_lot` allocates when a thread parks for the first time. Now is the time.
pub fn park_once() {
    let mutex = parking_lot::Mutex::new(());
    let mut guard = mutex.lock();
    parking_lot::Condvar::new().wait_for(&mut guard, Duration::from_micros(1));
}

impl<'w> Worker<'w> {
    fn new(shared: &'w Shared<'w>, mailboxes: &'w [Mailbox], worker_no: usize) -> Self {
        let mailbox = &mailboxes[worker_no];
        let slot_count = shared.plan.worker.slot_count;
        let ready = &mailbox.ready;
        let state = WorkerState::new(shared, worker_no);
        let swept = state.now;
        let clock_no = slot_count + 1;
        // The clock's first turn sets the timer going.
        ready.wake(clock_no);
        let permits = &shared.permits;
        permits.set_worker(worker_no, ready.waker(mailbox.mail_no));
        Worker {
            state,
            mailbox,
            mailboxes,
            runtime: Handle::current().metrics(),
            measured: (0, exact_nanos()),
            shed_told: 0,
            gives: (0, 0),
            slots: Vec::with_capacity(slot_count),
            free: Vec::with_capacity(slot_count),
            lease_queue: VecDeque::with_capacity(slot_count),
            lease_grants: 0,
            lease_stands: (0, swept),
            memory_queue: VecDeque::with_capacity(slot_count),
            wishes: Kind::ALL.map(|_| VecDeque::with_capacity(slot_count)),
            heads_told: [false; 2],
            clock: Box::pin(sleep(SWEEP_INTERVAL)),
            clock_waker: ready.waker(clock_no),
            clock_is_hurried: false,
            swept,
            latencies: shared.threads.latencies(worker_no),
            slow_nanos: shared.limits.slow_request.map_or(u64::MAX, |slow| {
                u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX)
            }),
            worker_no,
            pass_nanos: exact_nanos(),
            look_nanos: 0,
            turns_left: TURNS_PER_LOOK,
            commands: Commands::default(),
            drain: None,
        }
    }

    /// One turn for each slot that is ready. Ends when the server is drained.
    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = Arc::clone(&self.mailbox.ready);
        ready.set_worker(cx.waker());
        self.state.now = self.state.shared.clock.now();
        let shared = self.state.shared;
        shared.flush.flush_if_due(shared.cache, self.state.now);
        self.state
            .counters
            .seen_alive
            .set(self.state.now.as_millis());
        let last_nanos = std::mem::replace(&mut self.pass_nanos, exact_nanos());
        if self.pass_nanos - last_nanos > PAUSE_NANOS {
            self.forgive(self.pass_nanos - last_nanos);
        }
        if self.pass_nanos >= self.look_nanos {
            self.look_at_memory();
        }
        tls::begin_pass();
        let mail_no = self.mailbox.mail_no;
        ready.take(|slot_no| {
            if slot_no < mail_no {
                self.turn(slot_no);
            } else if slot_no == mail_no {
                self.take_mail();
            } else {
                self.tick();
            }
        });
        self.state.leases.follow(&self.state.shared.leases);
        if !self.lease_queue.is_empty() {
            self.wake_for_leases();
        }
        if self.has_wishes() {
            self.serve_wishes();
        }
        if self.drained() {
            return Poll::Ready(());
        }
        if ready.any() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The whole process was stopped, or the machine was: what clients have sent meanwhile is not read yet, and nobody
    /// is to blame for that.
    #[cold]
    fn forgive(&mut self, nanos: u64) {
        // The coarse clock may be behind, and nobody may have held something since a moment to come.
        let millis = (nanos / 1_000_000).saturating_sub(50);
        let millis = u32::try_from(millis).unwrap_or(u32::MAX / 2);
        for conn in self.slots.iter_mut().filter_map(|slot| slot.conn.as_mut()) {
            conn.forgive(millis);
        }
    }

    /// Has the cache give way if too much is charged. If it cannot, those who make the kernel hold what
    /// they do not read go.
    #[cold]
    fn look_at_memory(&mut self) {
        self.turns_left = TURNS_PER_LOOK;
        let shared = self.state.shared;
        if !shared.memory.is_watched() {
            self.look_nanos = u64::MAX;
            self.turns_left = u32::MAX;
            return;
        }
        self.look_nanos = exact_nanos() + LOOK_NANOS;
        if shared.look_at_memory(self.state.now) {
            self.close_stuck(STUCK_MILLIS_TIGHT);
            self.look_nanos = exact_nanos() + LOOK_NANOS_TIGHT;
        }
    }

    #[inline(always)]
    fn turn(&mut self, slot_no: usize) {
        self.turns_left -= 1;
        if self.turns_left == 0 {
            self.look_at_memory();
        }
        // A waker outlives its connection, never its slot.
        let slot = &mut self.slots[slot_no];
        let Some(conn) = &mut slot.conn else {
            return;
        };
        let mut cx = Context::from_waker(&slot.waker);
        let state = &mut self.state;
        // Unwind safe: a connection that panicked is closed, and a turn begins by assuming
        // nothing about the state's inbox and outbox.
        let during = match conn.is_tls() {
            false => During::Requests,
            true => During::Tls,
        };
        let turn = allocations::note(during, || {
            catch_unwind(AssertUnwindSafe(|| conn.turn(state, &mut cx)))
        });
        let turn = turn.unwrap_or_else(|_| {
            state.counters.panics.add(1);
            state.outbox.reset();
            Turn::Close
        });
        let commands = state.counters.commands();
        let done = commands.since(&self.commands);
        if done.any() {
            self.commands = commands;
            let nanos = exact_nanos().saturating_sub(self.pass_nanos);
            let protocol_no = conn.protocol_no();
            self.latencies.record(protocol_no, &done, nanos);
            if nanos >= self.slow_nanos {
                state.shared.slow.lock().note(slow::Turn {
                    nanos,
                    worker_no: self.worker_no,
                    protocol_no,
                    done,
                });
            }
        }
        match turn {
            Turn::Rest if self.gives.0 > 0 => self.hand_over(slot_no),
            Turn::Rest => {}
            Turn::Again => self.mailbox.ready.wake(slot_no),
            Turn::WaitLease => self.queue(slot_no, Queue::Lease),
            Turn::WaitLarge => {
                let wanted = self.state.larges.take_wanted();
                self.queue(slot_no, wanted.map_or(Queue::Memory, Queue::Permit));
            }
            Turn::Close => self.close(slot_no),
        }
    }

    /// Gives a connection that has just had its turn, and owns nothing, to another worker.
    #[cold]
    fn hand_over(&mut self, slot_no: usize) {
        let to = &self.mailboxes[self.gives.1];
        let slot = &mut self.slots[slot_no];
        if !slot.conn.as_ref().is_some_and(Conn::is_movable) {
            return;
        }
        if !to.reserve() {
            self.gives.0 = 0;
            return;
        }
        // Who drains waits for what is reserved, and takes nothing in that is reserved later.
        if self.state.shared.life.is_draining() {
            to.connections.fetch_sub(1, AcqRel);
            self.gives.0 = 0;
            return;
        }
        if let Some(mut conn) = slot.conn.take() {
            // Whoever has it next finds out by itself that it moves much.
            conn.shrink(&self.state);
            let (stream, codec) = conn.leave();
            match Guest::unregister(stream) {
                Ok(guest) => to.post(Newcomer {
                    guest,
                    accepts: codec.accepts(),
                    moved: Some(codec),
                }),
                // The socket is closed.
                Err(_) => {
                    to.connections.fetch_sub(1, AcqRel);
                    self.state.shared.admission.leave();
                }
            }
            self.gives.0 -= 1;
            self.free.push(slot_no as u32);
            self.mailbox.connections.fetch_sub(1, AcqRel);
        }
    }

    /// If this worker is busy and another is not, some of its lively connections go there.
    fn balance(&mut self) {
        let (busy_before, nanos_before) = self.measured;
        let busy = self.runtime.worker_total_busy_duration(0).as_nanos() as u64;
        let nanos = self.pass_nanos.saturating_sub(nanos_before).max(1);
        self.measured = (busy, self.pass_nanos);
        let percent = busy.saturating_sub(busy_before) * 100 / nanos;
        let load = usize::try_from(percent).unwrap_or(100).min(100);
        self.mailbox.load_percent.store(load, Relaxed);
        // Right after some have gone, nobody's figure says how it is now.
        let has_given = self.gives.1 != self.worker_no;
        self.gives = (0, self.worker_no);
        if load < BUSY_PERCENT || has_given || self.drain.is_some() {
            return;
        }
        let others = self.mailboxes.iter().enumerate();
        let idle = others.filter(|&(no, other)| no != self.worker_no && other.is_idle());
        if let Some((to, other)) = idle.min_by_key(|(_, other)| other.load_percent()) {
            let now = self.state.now;
            let is_lively = |conn: &Conn| conn.is_movable() && conn.quiet_millis(now) < 500;
            let conns = self.slots.iter().filter_map(|slot| slot.conn.as_ref());
            let lively = conns.filter(|conn| is_lively(conn)).count();
            // As many as make both alike, if all of them cost the same.
            self.gives = (lively * (load - other.load_percent()) / (2 * load), to);
        }
    }

    fn queue(&mut self, slot_no: usize, queue: Queue) {
        if let Some(conn) = &mut self.slots[slot_no].conn
            && !conn.queued
        {
            conn.queued = true;
            self.state.counters.waits.add(1);
            let slot_no = slot_no as u32;
            match queue {
                Queue::Lease => self.lease_queue.push_back(slot_no),
                Queue::Memory => self.memory_queue.push_back(slot_no),
                Queue::Permit(charge) => {
                    let wish = self.state.shared.permits.queue(charge, self.state.now);
                    self.wishes[charge.kind as usize].push_back((slot_no, wish));
                }
            }
        }
        self.hurry_clock();
    }

    fn close(&mut self, slot_no: usize) {
        let slot = &mut self.slots[slot_no];
        if let Some(mut conn) = slot.conn.take() {
            conn.give_back(&mut self.state);
            let was_queued = conn.queued;
            drop(conn);
            if was_queued {
                self.lease_queue
                    .retain(|&queued| queued as usize != slot_no);
                self.memory_queue
                    .retain(|&queued| queued as usize != slot_no);
                for (kind, wishes) in Kind::ALL.into_iter().zip(&mut self.wishes) {
                    let before = wishes.len();
                    wishes.retain(|&(queued, _)| queued as usize != slot_no);
                    self.state
                        .shared
                        .permits
                        .give_up(kind, before - wishes.len());
                }
            }
            self.free.push(slot_no as u32);
            self.left();
        }
    }

    /// A connection of this worker is gone.
    fn left(&self) {
        self.mailbox.connections.fetch_sub(1, AcqRel);
        self.state.shared.admission.leave();
    }

    fn take_mail(&mut self) {
        loop {
            // The lock is not held while a socket is registered: the acceptor needs it.
            let Some(newcomer) = self.mailbox.sockets.lock().pop() else {
                break;
            };
            let stream = newcomer.guest.register();
            match (stream, self.empty_slot()) {
                (Ok(stream), Some(slot_no)) => {
                    let has_to_log_in = !self.state.shared.users.is_empty();
                    let conn = if let Some(codec) = newcomer.moved {
                        Conn::moved(stream, codec, self.state.now)
                    } else {
                        let codec = Codec::new(newcomer.accepts).locked(has_to_log_in);
                        self.state.counters.connections.add(1);
                        Conn::new(stream, codec, self.state.now)
                    };
                    self.slots[slot_no].conn = Some(conn);
                    self.slots[slot_no].came = self.state.now.as_millis() as u32;
                    self.mailbox.ready.wake(slot_no);
                }
                // No memory for the registration; the socket is closed.
                (Err(_), empty) => {
                    self.free.extend(empty.map(|slot_no| slot_no as u32));
                    self.left();
                }
                (Ok(_), None) => {
                    debug_assert!(false, "the acceptor counts, so there is a slot");
                    self.left();
                }
            }
        }
        if self.drain.is_none() && self.state.shared.life.is_draining() {
            self.begin_drain();
        }
    }

    /// A slot that was used before, or else the first that never was.
    fn empty_slot(&mut self) -> Option<usize> {
        if let Some(slot_no) = self.free.pop() {
            return Some(slot_no as usize);
        }
        let slot_no = self.slots.len();
        if slot_no == self.state.shared.plan.worker.slot_count {
            return None;
        }
        self.slots.push(Slot {
            conn: None,
            came: 0,
            waker: self.mailbox.ready.waker(slot_no),
        });
        Some(slot_no)
    }

    /// Wakes who may begin a turn now, in the order in which they came. Each is asked, because
    /// one may need only what another cannot use; those who cannot go to the back.
    fn wake_for_leases(&mut self) {
        for _ in 0..self.lease_queue.len().min(ASKED_PER_PASS) {
            let Some(slot_no) = self.lease_queue.pop_front() else {
                break;
            };
            // Who has gone stands in no queue.
            let Some(conn) = &mut self.slots[slot_no as usize].conn else {
                continue;
            };
            if conn.may_go_on(&self.state.leases).is_some() {
                conn.queued = false;
                self.lease_grants += 1;
                self.mailbox.ready.wake(slot_no as usize);
            } else {
                self.lease_queue.push_back(slot_no);
            }
        }
    }

    /// Whether anybody here waits for a permit, or others think so.
    #[inline]
    fn has_wishes(&self) -> bool {
        self.heads_told != [false; 2] || self.wishes.iter().any(|wishes| !wishes.is_empty())
    }

    /// Gives a turn to those who have waited for a permit and may have it now.
    #[cold]
    fn serve_wishes(&mut self) {
        for kind in Kind::ALL {
            let mut served = 0;
            loop {
                let first = self.wishes[kind as usize].front().copied();
                let wish = first
                    .map(|(_, wish)| wish)
                    .filter(|_| self.state.larges.has_place());
                if wish.is_none() && !self.heads_told[kind as usize] {
                    break;
                }
                self.heads_told[kind as usize] = wish.is_some();
                let permits = &self.state.shared.permits;
                if !permits.serve(kind, self.worker_no, wish) {
                    break;
                }
                self.heads_told[kind as usize] = false;
                self.wishes[kind as usize].pop_front();
                if let Some((slot_no, wish)) = first
                    && let Some(conn) = &mut self.slots[slot_no as usize].conn
                {
                    conn.queued = false;
                    self.state.larges.grant(wish.charge);
                    self.turn(slot_no as usize);
                    self.state.larges.end_grant();
                }
                served += 1;
                if served == SERVED_PER_PASS {
                    self.mailbox.wake();
                    break;
                }
            }
        }
    }

    fn tick(&mut self) {
        if self.clock_has_rung() {
            // First, while those who wait still stand in their queues.
            self.shed();
            while let Some(slot_no) = self.memory_queue.pop_front() {
                if let Some(conn) = &mut self.slots[slot_no as usize].conn {
                    conn.queued = false;
                    self.mailbox.ready.wake(slot_no as usize);
                }
            }
            if self.state.now.millis_since(self.swept) >= SWEEP_INTERVAL.as_millis() as u64 {
                self.swept = self.state.now;
                self.sweep();
            }
            let waits = !self.lease_queue.is_empty()
                || !self.memory_queue.is_empty()
                || self.wishes.iter().any(|wishes| !wishes.is_empty());
            self.set_clock(waits || self.drain.is_some());
        }
    }

    /// The stall timeout, divided.
    fn stall_millis(&self, pressure: u32) -> u32 {
        let stall = self.state.shared.limits.stall_timeout.as_millis();
        u32::try_from(stall).unwrap_or(u32::MAX) / pressure
    }

    /// While others wait, those go who keep them waiting: of the connections that have not got on for long enough, as
    /// many as wait, beginning with those that have not for longest.
    fn shed(&mut self) {
        let (leases, larges) = (&self.state.leases, &self.state.larges);
        let for_lease = self.lease_queue.len();
        let (no_input, no_output) = (!leases.has_input(true), !leases.has_output());
        let permits = &self.state.shared.permits;
        let waiting = Kind::ALL.map(|kind| permits.waiting(kind));
        // Or for a buffer for a long reply: who waits for memory waits for whoever holds it.
        let for_memory = self.memory_queue.len();
        let mut left = for_lease + for_memory + waiting[0] + waiting[1];
        if left == 0 {
            return;
        }
        let (for_buffer, for_transfer) = (
            self.stall_millis(PRESSURE_ON_BUFFER),
            self.stall_millis(PRESSURE_ON_TRANSFER),
        );
        let now = self.state.now;
        let mut longest = Slowest::new();
        for (slot_no, slot) in self.slots.iter().enumerate() {
            let Some(conn) = &slot.conn else { continue };
            let Some(held) = conn.held_millis(now) else {
                continue;
            };
            let output = for_memory > 0 && no_output && conn.keeps_output();
            let input = for_lease > 0 && no_input && conn.keeps_input();
            let buffer = (output || input) && held >= for_buffer;
            let is_slow =
                conn.still_millis(now) >= for_transfer || held >= SLOW_FACTOR * for_transfer;
            let transfer = is_slow
                && !conn.queued
                && conn
                    .transfer(larges)
                    .is_some_and(|kind| for_memory > 0 || waiting[kind as usize] > 0);
            if buffer || transfer {
                longest.note(held, slot_no);
            }
        }
        for (_, slot_no) in longest.sorted() {
            if left == 0 {
                break;
            }
            let is_ours = |conn: &Conn| conn.is_for_us_to_go_on();
            if self.slots[slot_no].conn.as_ref().is_some_and(is_ours) {
                continue;
            }
            left -= 1;
            self.state.counters.stalls_shed.add(1);
            self.close(slot_no);
        }
    }

    /// Writes down how this worker stands, for the metrics.
    fn note_figures(&mut self) {
        if self.lease_queue.is_empty() || self.lease_stands.0 != self.lease_grants {
            self.lease_stands = (self.lease_grants, self.state.now);
        }
        let counters = self.state.counters;
        counters.cpu_micros.set(thread_cpu_micros());
        counters
            .connections_now
            .set(self.mailbox.connections() as u64);
        for (counter, in_use) in counters
            .leases_in_use
            .iter()
            .zip(self.state.leases.in_use())
        {
            counter.set(in_use);
        }
        let wishes: usize = self.wishes.iter().map(VecDeque::len).sum();
        let waiting = self.lease_queue.len() + self.memory_queue.len() + wishes;
        counters.waiting.set(waiting as u64);
        let firsts = self.wishes.iter().filter_map(VecDeque::front);
        let waits = firsts.map(|&(_, wish)| wish.since);
        let waits = waits.chain([self.lease_stands.1]);
        let longest = waits.map(|since| self.state.now.millis_since(since)).max();
        counters.longest_wait_millis.set(longest.unwrap_or(0));
    }

    /// Says in the log, once a second at most, that somebody had to go for others.
    fn tell_of_shed(&mut self) {
        let shed = self.state.counters.stalls_shed.get();
        let closed = shed - std::mem::replace(&mut self.shed_told, shed);
        if closed > 0 {
            log::warn!(
                "worker {}: closed {closed} connections that hardly moved and held a buffer or a long value that others \
                 waited for",
                self.worker_no
            );
        }
    }

    /// Closes who has held something for too long.
    fn sweep(&mut self) {
        let now = self.state.now;
        self.note_figures();
        self.balance();
        self.tell_of_shed();
        // Who waits for a buffer of ours is not the one who stalls.
        for &slot_no in &self.lease_queue {
            if let Some(conn) = &mut self.slots[slot_no as usize].conn {
                conn.got_on(now);
            }
        }
        let stall_millis = self.stall_millis(1);
        let idle_timeout = self.state.shared.limits.idle_timeout;
        let idle_millis = idle_timeout.map(|time| time.as_millis() as u64);
        let shared = self.state.shared;
        if shared.memory.are_sockets_over() {
            self.relieve_kernel();
        }
        let large_quiet_millis = match shared.sockets.is_full() {
            true => LARGE_QUIET_MILLIS_WANTED,
            false => LARGE_QUIET_MILLIS,
        };
        for slot in &mut self.slots {
            if let Some(conn) = &mut slot.conn
                && conn.is_large()
                && conn.quiet_millis(now) >= large_quiet_millis
            {
                conn.shrink(&self.state);
            }
        }
        let login_timeout = self.state.shared.limits.login_timeout.as_millis();
        let login_millis = match u32::try_from(login_timeout) {
            Ok(0) | Err(_) => u32::MAX,
            Ok(millis) => millis,
        };
        for slot_no in 0..self.slots.len() {
            let slot = &self.slots[slot_no];
            let Some(conn) = &slot.conn else {
                continue;
            };
            let here_millis = (now.as_millis() as u32).wrapping_sub(slot.came);
            if here_millis >= login_millis && conn.is_locked() {
                self.state.counters.login_timeouts.add(1);
                self.close(slot_no);
                continue;
            }
            if conn.is_late() {
                self.state.counters.stalls.add(1);
                self.close(slot_no);
                continue;
            }
            let Some(held_millis) = conn.held_millis(now) else {
                if idle_millis.is_some_and(|millis| u64::from(conn.quiet_millis(now)) >= millis) {
                    self.state.counters.idle_kicks.add(1);
                    self.close(slot_no);
                }
                continue;
            };
            if conn.is_lingering() {
                if held_millis >= LINGER_MILLIS {
                    self.close(slot_no);
                }
            } else if held_millis >= stall_millis {
                self.state.counters.stalls.add(1);
                self.close(slot_no);
            }
        }
    }

    /// The kernel holds too much for peers that do not read or are not read from: those that
    /// have been stuck for longest are closed, about half of them; the next sweep looks again.
    fn relieve_kernel(&mut self) {
        let stuck =
            (0..self.slots.len()).filter_map(|slot_no| self.stuck_millis(slot_no, STUCK_MILLIS));
        if let Some(longest) = stuck.max() {
            self.close_stuck(STUCK_MILLIS.max(longest / 2));
        }
    }

    /// Closes all that have been stuck for so long.
    fn close_stuck(&mut self, at_least: u32) {
        for slot_no in 0..self.slots.len() {
            if self.stuck_millis(slot_no, at_least).is_some() {
                self.state.counters.stalls_kernel.add(1);
                self.close(slot_no);
            }
        }
    }

    /// For how long a connection has not moved although the kernel holds something of it, if that is long enough. A few
    /// system calls for those alone.
    fn stuck_millis(&self, slot_no: usize, at_least: u32) -> Option<u32> {
        let conn = self.slots[slot_no].conn.as_ref()?;
        let millis = conn.quiet_millis(self.state.now);
        (millis >= at_least && conn.keeps_kernel_memory()).then_some(millis)
    }

    fn clock_has_rung(&mut self) -> bool {
        let mut cx = Context::from_waker(&self.clock_waker);
        self.clock.as_mut().poll(&mut cx).is_ready()
    }

    fn set_clock(&mut self, hurried: bool) {
        self.clock_is_hurried = hurried;
        let interval = if hurried {
            RETRY_INTERVAL
        } else {
            SWEEP_INTERVAL
        };
        self.clock.as_mut().reset(Instant::now() + interval);
        // Polling registers the waker; it has not rung yet.
        let _ = self.clock_has_rung();
    }

    fn hurry_clock(&mut self) {
        if !self.clock_is_hurried {
            self.set_clock(true);
        }
    }

    fn begin_drain(&mut self) {
        let shared = self.state.shared;
        let millis = u64::try_from(shared.limits.drain_timeout.as_millis()).unwrap_or(u64::MAX);
        self.drain = Some(Drain {
            deadline: self.state.now.plus_millis(millis),
            // The runtime fetches up to 1,024 events before each pass.
            passes_left: 2 + self.slots.len() / 1024,
        });
        self.hurry_clock();
    }

    /// While draining: says goodbye to whoever has no request waiting. True: nobody is left.
    fn drained(&mut self) -> bool {
        let Some(drain) = &mut self.drain else {
            return false;
        };
        if drain.passes_left > 0 {
            drain.passes_left -= 1;
            // Another pass, after the runtime has looked for events.
            self.mailbox.wake();
            if drain.passes_left == 0 {
                self.state.finishing = true;
                for slot_no in 0..self.slots.len() {
                    if self.slots[slot_no].conn.is_some() {
                        self.mailbox.ready.wake(slot_no);
                    }
                }
            }
            return false;
        }
        if self.state.now >= drain.deadline {
            for slot_no in 0..self.slots.len() {
                if self.slots[slot_no].conn.is_some() {
                    self.state.counters.drain_cuts.add(1);
                }
                self.close(slot_no);
            }
        }
        // One may be on its way from another worker.
        self.free.len() == self.slots.len() && self.mailbox.connections() == 0
    }
}
