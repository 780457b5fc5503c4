//! A worker: one thread, one epoll, its share of the connections.
//!
//! ```text
//!   events ── a socket, by its slot ─┐
//!   slots     [conn] [    ] [conn] …  [mail]     the last slot is no connection
//!   ready        1      0      0   …     0
//!                └──► turn ──► Rest │ Again │ WaitLease │ WaitLarge │ Close
//! ```
//!
//! A pass gives a turn to each slot that an event or somebody's wake has made ready; then the worker sleeps until there is more. There
//! is no task per connection, for three reasons: a connection may borrow the cache, so that a reservation can be part of its
//! state; a slot costs a fraction of a task; and all slots are made at the start, so that a connection brings nothing but its
//! socket.
//!
//! A turn that panics costs its connection, not its neighbours.

mod drain;
mod processor;
mod slots;
mod slow;
mod spin;
mod upkeep;
mod wishes;

use self::drain::Drain;
use self::processor::Processor;
use self::slow::Waits;
use self::spin::Spin;
use super::mailbox::{BUSY_PERCENT, Mailbox, Newcomer};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use flagstone_engine::Tick;
use smallvec::SmallVec;

use super::events::{EVENTS_MAX, Events};
use super::socket::Guest;
use crate::auth::tls;
use crate::clients::ClientNo;
use crate::clock::{exact_nanos, thread_id};
use crate::conn::{Conn, Turn, WorkerState};
use crate::memory::permits::{Charge, Kind, Wish};
use crate::observe::allocations::{self, During};
use crate::observe::counters::Commands;
use crate::observe::latency::Latencies;
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
/// So many of those that clients have asked to be closed are, a pass: to close a socket is several microseconds' work.
const DOOMED_PER_PASS: usize = 64;
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
/// On a machine that has too few processors for what is to be done these are so many times as long, for a buffer and for a
/// long value, of which each keeps much from others: clients there are slow because they are not run.
const SHORT_FACTORS: [u32; 2] = [10, 3];

/// While others wait, a value is let go of which its peer has taken nothing for so long: who reads is back in less …
const LET_GO_MILLIS: u64 = 50;
/// … unless it is not run: so many times as long where there are too few processors.
const LET_GO_FACTOR: u64 = 10;

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
    /// Its place among the clients.
    client: ClientNo,
    /// Since when it waits for something, and for what.
    waits: Waits,
    waker: Waker,
}

struct Worker<'w> {
    state: WorkerState<'w>,
    mailbox: &'w Mailbox,
    /// Of all workers.
    mailboxes: &'w [Mailbox],
    events: Events,
    /// For how long this worker did not wait for events, in nanoseconds.
    busy_nanos: u64,
    /// The same some time ago, and when that was.
    measured: (u64, u64),
    processor: Processor,
    spin: Spin,
    /// Of the connections that had to go for others, so many were told of.
    shed_told: u64,
    /// … and of subscribers that did not read.
    lapped_told: u64,
    /// … and of those that did not begin with a proxy's header.
    strange_told: u64,
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
    /// When it looks after those who wait, and once a second after everybody.
    clock_nanos: u64,
    clock_is_hurried: bool,
    swept: Tick,
    latencies: &'w Latencies,
    /// Turns that take so long are told of, or kept in the list of slow requests.
    slow_nanos: u64,
    /// When the last turn that answered something was over.
    turn_end_nanos: u64,
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

/// Runs a worker until the server is drained. `started` is called when it is ready to serve.
pub fn run(shared: &Shared<'_>, mailboxes: &[Mailbox], worker_no: usize, started: impl FnOnce()) {
    park_once();
    let mut worker = Worker::new(shared, mailboxes, worker_no);
    let counters = shared.threads.counters(worker_no);
    counters.thread_id.set(thread_id());
    started();
    while !worker.pass() {
        worker.wait();
    }
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
        let swept = state.tools.now;
        let permits = &shared.permits;
        permits.set_worker(worker_no, ready.waker(mailbox.mail_no));
        shared
            .clients
            .set_worker(worker_no, ready.waker(mailbox.mail_no));
        Worker {
            state,
            mailbox,
            mailboxes,
            events: Events::new(&mailbox.epoll),
            busy_nanos: 0,
            measured: (0, exact_nanos()),
            spin: Spin::new(shared.limits.spin),
            shed_told: 0,
            lapped_told: 0,
            strange_told: 0,
            gives: (0, 0),
            slots: Vec::with_capacity(slot_count),
            free: Vec::with_capacity(slot_count),
            lease_queue: VecDeque::with_capacity(slot_count),
            lease_grants: 0,
            lease_stands: (0, swept),
            memory_queue: VecDeque::with_capacity(slot_count),
            wishes: Kind::ALL.map(|_| VecDeque::with_capacity(slot_count)),
            heads_told: [false; 2],
            clock_nanos: exact_nanos(),
            clock_is_hurried: false,
            swept,
            latencies: shared.threads.latencies(worker_no),
            slow_nanos: shared
                .limits
                .slow_request_nanos()
                .min(shared.slow_log.threshold_nanos()),
            turn_end_nanos: 0,
            worker_no,
            processor: Processor::new(exact_nanos()),
            pass_nanos: exact_nanos(),
            look_nanos: 0,
            turns_left: TURNS_PER_LOOK,
            commands: Commands::default(),
            drain: None,
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        let now = exact_nanos();
        self.busy_nanos += now.saturating_sub(self.pass_nanos);
        let (ready, until) = (&self.mailbox.ready, self.clock_nanos);
        let found = self.spin.is_worth_it() && self.spin.finds(&mut self.events, ready, now, until);
        if !found {
            let sleeps = ready.may_sleep();
            self.events.wait(match sleeps {
                true => until.saturating_sub(now),
                false => 0,
            });
            ready.awake();
        }
        if self.spin.is_allowed() {
            self.spin.waited(exact_nanos().saturating_sub(now));
        }
    }

    /// One turn for each slot that is ready. True: the server is drained.
    fn pass(&mut self) -> bool {
        self.state.tools.now = self.state.tools.shared.clock.now();
        let shared = self.state.tools.shared;
        shared
            .flush
            .flush_if_due(shared.cache, self.state.tools.now);
        self.state
            .tools
            .counters
            .seen_alive
            .set(self.state.tools.now.as_millis());
        let last_nanos = std::mem::replace(&mut self.pass_nanos, exact_nanos());
        if self.pass_nanos - last_nanos > PAUSE_NANOS {
            self.forgive(self.pass_nanos - last_nanos);
        }
        if self.pass_nanos >= self.look_nanos {
            self.look_at_memory();
        }
        tls::begin_pass();
        for index in 0..self.events.count() {
            if let Some((slot_no, event)) = self.events.told(index) {
                // Whoever it was for may have gone, and then it is for nobody, or for another who tries in vain.
                let conn = self.slots[slot_no].conn.as_mut();
                if conn.is_some_and(|conn| conn.note(event)) {
                    self.turn(slot_no);
                }
            }
        }
        let mail_no = self.mailbox.mail_no;
        let ready = Arc::clone(&self.mailbox.ready);
        ready.take(|slot_no| match slot_no == mail_no {
            false => self.turn(slot_no),
            true => self.take_mail(),
        });
        if self.pass_nanos >= self.clock_nanos {
            self.tick();
        }
        self.state
            .tools
            .leases
            .follow(&self.state.tools.shared.leases);
        if !self.lease_queue.is_empty() {
            self.wake_for_leases();
        }
        if self.state.tools.larges.keeps_others_waiting() {
            self.hurry_clock();
        }
        if self.has_wishes() {
            self.serve_wishes();
        }
        self.drained()
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
        let shared = self.state.tools.shared;
        if !shared.memory.is_watched() {
            self.look_nanos = u64::MAX;
            self.turns_left = u32::MAX;
            return;
        }
        self.look_nanos = exact_nanos() + LOOK_NANOS;
        if shared.look_at_memory(self.state.tools.now) {
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
        let waker = &slot.waker;
        let state = &mut self.state;
        state.tools.client = slot.client;
        state.tools.first.begin_turn();
        // Unwind safe: a connection that panicked is closed, and a turn begins by assuming
        // nothing about the state's inbox and outbox.
        let during = match conn.is_tls() {
            false => During::Requests,
            true => During::Tls,
        };
        let turn = allocations::note(during, || {
            catch_unwind(AssertUnwindSafe(|| conn.turn(state, waker)))
        });
        let turn = turn.unwrap_or_else(|_| {
            state.tools.counters.panics.add(1);
            state.tools.outbox.reset();
            Turn::Close
        });
        if state.tools.uses.is_half_full() {
            state
                .tools
                .shared
                .curve
                .take_in(&mut state.tools.uses, state.tools.now);
        }
        let commands = state.tools.counters.commands();
        let done = commands.since(&self.commands);
        if done.any() {
            self.commands = commands;
            let end_nanos = exact_nanos();
            let nanos = end_nanos.saturating_sub(self.pass_nanos);
            let begun_nanos = std::mem::replace(&mut self.turn_end_nanos, end_nanos);
            let protocol_no = conn.protocol_no();
            let cell = state.tools.shared.clients.cell(slot.client);
            if !cell.stands(&done, state.tools.now) {
                cell.note(conn.standing(done.first()), state.tools.now);
            }
            self.latencies.record(protocol_no, &done, nanos);
            if nanos >= self.slow_nanos {
                self.note_slow(slot_no, nanos, begun_nanos, &done);
            }
        }
        if self.slots[slot_no].waits.is_set() {
            self.end_wait(slot_no, turn);
        }
        match turn {
            Turn::Rest if self.gives.0 > 0 => self.hand_over(slot_no),
            Turn::Rest => {}
            Turn::Again => self.mailbox.ready.wake(slot_no),
            Turn::WaitLease => self.queue(slot_no, Queue::Lease),
            Turn::WaitLarge => {
                let wanted = self.state.tools.larges.take_wanted();
                self.queue(slot_no, wanted.map_or(Queue::Memory, Queue::Permit));
            }
            Turn::Close => self.close(slot_no),
        }
    }

    fn queue(&mut self, slot_no: usize, queue: Queue) {
        if let Some(conn) = &mut self.slots[slot_no].conn
            && !conn.queued
        {
            conn.queued = true;
            self.state.tools.counters.waits.add(1);
            self.slots[slot_no].waits.begin(queue, self.state.tools.now);
            let slot_no = slot_no as u32;
            match queue {
                Queue::Lease => self.lease_queue.push_back(slot_no),
                Queue::Memory => self.memory_queue.push_back(slot_no),
                Queue::Permit(charge) => {
                    let permits = &self.state.tools.shared.permits;
                    let is_first = permits.waiting(charge.kind) == 0;
                    let wish = permits.queue(charge, self.state.tools.now);
                    self.wishes[charge.kind as usize].push_back((slot_no, wish));
                    if is_first {
                        // What slow peers hold is soon let go, here and by the other workers.
                        self.mailboxes.iter().for_each(Mailbox::wake);
                    }
                }
            }
        }
        self.hurry_clock();
    }

    fn set_clock(&mut self, hurried: bool) {
        self.clock_is_hurried = hurried;
        let interval = if hurried {
            RETRY_INTERVAL
        } else {
            SWEEP_INTERVAL
        };
        self.clock_nanos = self.pass_nanos + interval.as_nanos() as u64;
    }

    fn hurry_clock(&mut self) {
        if !self.clock_is_hurried {
            self.set_clock(true);
        }
    }
}
