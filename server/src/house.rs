//! What the whole server shares: the cache, the clock, every worker's counters, the permits
//! for long values.
//!
//! The house outlives every worker and every connection: they borrow it, so a reservation or
//! a pinned value can live in a connection's state without a reference count.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flagstone_engine::{Cache, Tick};
use parking_lot::Mutex;
use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::sync::Notify;

use crate::cgroup::{Figures, Gauge};
use crate::conn::lease::LeaseRoom;
use crate::departures::Departures;
use crate::endpoint::Place;
use crate::execute::deadline;
use crate::guesses::Guesses;
use crate::latency::Latencies;
use crate::liveness::{Liveness, Look, judge};
use crate::metrics::{Counters, Totals};
use crate::pace::Pace;
use crate::permits::Permits;
use crate::plan::ServerPlan;
use crate::proto::Lifetime;
use crate::room::SocketRoom;
use crate::slow::Slow;
use crate::tls::Keeper;
use crate::users::Logins;

/// Bytes that change hands in one go: about a millisecond of evicting.
pub const PORTION_BYTES: usize = 512 << 10;

/// What workers and connections borrow.
pub struct House<'h> {
    pub cache: &'h Cache,
    pub plan: &'h ServerPlan,
    pub clock: Clock,
    pub permits: Permits,
    /// Which connections may have large socket buffers.
    pub sockets: SocketRoom,
    /// Whether there is room for all leased buffers.
    pub leases: LeaseRoom,
    /// What clients may do, and how long.
    pub manners: Manners,
    /// Where connections come in, in words.
    pub listen: &'h Listen,
    /// Who may log in. If there is anybody, everybody has to.
    pub users: &'h Logins,
    /// Who has failed to, too often.
    pub guesses: Guesses,
    /// A client has asked for it, who may.
    pub shutdown: Notify,
    /// What the governor knows.
    pub memory: Board,
    /// How fast the cache is written: noted by the maintainer.
    pub pace: Mutex<Pace>,
    /// How old what was evicted was: likewise.
    pub departures: Mutex<Departures>,
    /// Requests that took too long: noted by workers, told by the maintainer.
    pub slow: Mutex<Slow>,
    /// Who may sit at a TLS port, if there is one.
    pub tls: Option<Arc<Keeper>>,
    /// One a worker, each written by that worker alone.
    counters: Vec<Counters>,
    /// Likewise.
    latencies: Vec<Latencies>,
    /// When the acceptor's thread last made its round, in milliseconds of the clock.
    seen_alive: AtomicU64,
    /// What it had used of the CPU then, and its number in the kernel.
    acceptor_cpu_micros: AtomicU64,
    acceptor_id: AtomicU64,
    /// Connections that the open files allowed to the process are enough for.
    files_allow: AtomicUsize,
    stage: AtomicU8,
    /// Connections being served: up in the acceptor, down in a worker.
    open: AtomicUsize,
    /// Connections that the memory of the moment allows: written by the governor.
    allowed: AtomicUsize,
    /// Newcomers told `ERROR`: written by the acceptor.
    turned_away: AtomicU64,
    draining: AtomicBool,
    /// What was counted when the counters of memcached's clients were last set to 0.
    pub reset: Mutex<(Totals, flagstone_engine::Stats)>,
    /// The millisecond at which everything is to be removed; `u64::MAX`: never.
    flush_due: AtomicU64,
    /// Whether any value was ever stored that may hold a line end.
    has_counted: AtomicBool,
}

/// Where connections come in, in the words in which it is told.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// The first TCP port; 0: none.
    pub tcp_port: u16,
    /// Its address.
    pub tcp: String,
    /// The first Unix socket.
    pub unix: String,
    /// Its file's permissions.
    pub unix_mode: String,
    /// All places.
    pub places: Vec<String>,
    /// The file with those who may log in.
    pub auth_file: String,
}

impl Listen {
    /// The words for `places`.
    pub fn new(places: &[Place], unix_mode: u32) -> Self {
        let nothing = || "NULL".to_owned();
        let mut listen = Listen {
            tcp_port: 0,
            tcp: nothing(),
            unix: nothing(),
            unix_mode: format!("{unix_mode:o}"),
            places: Vec::new(),
            auth_file: "no".to_owned(),
        };
        for place in places {
            match place {
                Place::Tcp(address) => {
                    if listen.tcp_port == 0 {
                        listen.tcp_port = address.port();
                        listen.tcp = address.ip().to_string();
                    }
                    listen.places.push(format!("tcp:{address}"));
                }
                Place::Unix(path) => {
                    listen.unix = path.display().to_string();
                    listen.places.push(place.to_string());
                }
            }
        }
        listen
    }
}

/// What clients may do, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Hold a buffer without getting on.
    pub stall_timeout: Duration,
    /// Go on while the server shuts down.
    pub drain_timeout: Duration,
    /// Remove everything.
    pub flush: bool,
    /// Move the clock.
    pub test_hooks: bool,
    /// Shut the server down.
    pub shutdown: bool,
    /// Hold a place without having logged in, where everybody has to; zero: for ever.
    pub login_timeout: Duration,
    /// Ask nothing; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// Take without being told of.
    pub slow_request: Option<Duration>,
}

impl<'h> House<'h> {
    pub fn new(
        cache: &'h Cache,
        plan: &'h ServerPlan,
        manners: Manners,
        listen: &'h Listen,
        users: &'h Logins,
    ) -> Self {
        House {
            cache,
            plan,
            clock: Clock::start(),
            permits: Permits::new(&plan.transfers, plan.worker_count),
            sockets: SocketRoom::new(plan.socket_buffer_bytes),
            leases: LeaseRoom::default(),
            manners,
            listen,
            users,
            guesses: Guesses::default(),
            shutdown: Notify::new(),
            reset: Mutex::default(),
            flush_due: AtomicU64::new(u64::MAX),
            memory: Board::default(),
            pace: Mutex::new(Pace::default()),
            departures: Mutex::default(),
            slow: Mutex::new(Slow::default()),
            tls: None,
            counters: (0..plan.worker_count)
                .map(|_| Counters::default())
                .collect(),
            latencies: (0..plan.worker_count)
                .map(|_| Latencies::default())
                .collect(),
            seen_alive: AtomicU64::new(Clock::EPOCH.as_millis()),
            acceptor_cpu_micros: AtomicU64::new(0),
            acceptor_id: AtomicU64::new(thread_id()),
            files_allow: AtomicUsize::new(usize::MAX),
            stage: AtomicU8::new(Stage::Starting as u8),
            open: AtomicUsize::new(0),
            allowed: AtomicUsize::new(plan.connections_max),
            turned_away: AtomicU64::new(0),
            has_counted: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    /// The counters of one worker.
    pub fn counters(&self, worker_no: usize) -> &Counters {
        &self.counters[worker_no]
    }

    /// The counters of each worker.
    pub fn all_counters(&self) -> impl Iterator<Item = &Counters> + Clone {
        self.counters.iter()
    }

    /// The durations of one worker.
    pub fn latencies(&self, worker_no: usize) -> &Latencies {
        &self.latencies[worker_no]
    }

    /// The durations of all workers.
    pub fn all_latencies(&self) -> impl Iterator<Item = &Latencies> + Clone {
        self.latencies.iter()
    }

    /// The counters of all workers, summed.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.counters {
            totals.add(counters);
        }
        totals
    }

    /// Newcomers that were told there is no place for them.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    /// The acceptor's thread has made its round.
    pub fn note_round(&self, now: Tick) {
        self.seen_alive.store(now.as_millis(), Relaxed);
        self.acceptor_cpu_micros.store(thread_cpu_micros(), Relaxed);
        self.acceptor_id.store(thread_id(), Relaxed);
    }

    /// How the thread fares that fares worst.
    pub fn liveness(&self, now: Tick) -> Liveness {
        let silent_for = |seen: u64| {
            // Not warm yet is not silent.
            let seen = seen.max(Clock::EPOCH.as_millis());
            Duration::from_millis(now.as_millis().saturating_sub(seen))
        };
        let worker = |counters: &Counters| {
            let thread_id = counters.thread_id.get();
            let cpu_micros = counters.cpu_micros.get();
            judge(silent_for(counters.seen_alive.get()), cpu_micros, || {
                Look::at(thread_id)
            })
        };
        let acceptor = judge(
            silent_for(self.seen_alive.load(Relaxed)),
            self.acceptor_cpu_micros.load(Relaxed),
            || Look::at(self.acceptor_id.load(Relaxed)),
        );
        self.counters
            .iter()
            .map(worker)
            .fold(acceptor, |worst, one| worst.max(one))
    }

    /// Sets how many connections the open files are enough for.
    pub fn set_files_allow(&self, connections: usize) {
        self.files_allow.store(connections, Relaxed);
    }

    /// For how long the thread has shown no sign of life that has shown none for longest.
    pub fn silent_for(&self, now: Tick) -> Duration {
        let workers = self.counters.iter().map(|counters| {
            // Not warm yet is not silent.
            counters.seen_alive.get().max(Clock::EPOCH.as_millis())
        });
        let acceptor = self.seen_alive.load(Relaxed);
        let oldest = workers.chain([acceptor]).min().unwrap_or(acceptor);
        Duration::from_millis(now.as_millis().saturating_sub(oldest))
    }

    /// Where the server is in its life.
    pub fn stage(&self) -> Stage {
        // Acquire: pairs with `set_stage`.
        match self.stage.load(Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Leaving,
        }
    }

    /// It goes on to `stage`.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Release);
    }

    /// Looks at what is charged to the container, and has the cache give way if that is too much: a portion at
    /// once, by whoever looks. Workers look each millisecond and before many turns, because socket buffers fill
    /// within milliseconds, and at the limit the kernel kills. True: it is too much, and nothing is left to give.
    pub fn look_at_memory(&self, now: Tick) -> bool {
        let over = self.memory.over_bytes();
        let mut is_tight = false;
        if over > 0 {
            let page_bytes = self.plan.engine.page_bytes();
            let pages = over.min(PORTION_BYTES).div_ceil(page_bytes);
            let before = self.cache.pages_usable();
            let after = self
                .cache
                .resize(before.saturating_sub(pages), pages, now)
                .unwrap_or(before);
            // Down to what it is to have anyway, nothing is given up beyond the plan.
            let wanted = self.memory.pages_wanted.load(Relaxed);
            let beyond = before.min(wanted).saturating_sub(after);
            self.memory.pages_wanted.fetch_sub(beyond, Relaxed);
            self.memory
                .add_excess(beyond * page_bytes, self.plan.memory_bytes_max);
            is_tight = after >= before;
        }
        if is_tight != self.memory.is_tight() {
            self.memory.is_tight.store(is_tight, Relaxed);
        }
        is_tight
    }

    /// Takes a place for one more connection, if there is one. Called by the acceptor alone.
    pub fn admit(&self) -> bool {
        let admitted = self.connections() < self.connections_allowed();
        if admitted {
            self.open.fetch_add(1, AcqRel);
        } else {
            self.turned_away.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Connections being served.
    pub fn connections(&self) -> usize {
        self.open.load(Acquire)
    }

    /// Connections that may be served at the moment.
    pub fn connections_allowed(&self) -> usize {
        self.allowed
            .load(Relaxed)
            .min(self.files_allow.load(Relaxed))
    }

    /// Sets that number. Called by the governor alone.
    pub fn allow(&self, connections: usize) {
        self.allowed.store(connections, Relaxed);
    }

    /// Gives the place back.
    pub fn leave(&self) {
        self.open.fetch_sub(1, AcqRel);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Acquire)
    }

    pub fn drain(&self) {
        self.draining.store(true, Release);
    }

    /// Removes everything, now or at a later moment. A new wish takes the place of an old one.
    pub fn flush(&self, when: Lifetime, now: Tick) {
        let due = deadline(when, now, &self.clock).tick().unwrap_or(now);
        if due <= now {
            self.flush_due.store(u64::MAX, Relaxed);
            self.cache.flush();
        } else {
            self.flush_due.store(due.as_millis(), Relaxed);
        }
    }

    /// A value is about to be stored whose length was counted, so that it may hold a line end.
    #[inline]
    pub fn note_counted(&self) {
        // Relaxed: who reads the value has seen its stamp, and so what was stored before.
        if !self.has_counted.load(Relaxed) {
            self.has_counted.store(true, Relaxed);
        }
    }

    /// Whether a value may hold a line end. Asked after the value was read, by those whose answers end with one.
    #[inline]
    pub fn has_counted(&self) -> bool {
        self.has_counted.load(Relaxed)
    }

    /// Removes everything if its moment has come. One load if not: asked once a pass.
    #[inline]
    pub fn flush_if_due(&self, now: Tick) {
        let due = self.flush_due.load(Relaxed);
        if due <= now.as_millis()
            // Who clears it does it.
            && self
                .flush_due
                .compare_exchange(due, u64::MAX, Relaxed, Relaxed)
                .is_ok()
        {
            self.cache.flush();
        }
    }
}

/// Where a server is in its life, for those who send it requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Serving still, but not for long.
    Leaving,
}

/// Of the looks at what is charged, one in so many is at the limit as well: every few milliseconds while there is
/// traffic. One that is lowered leaves what is free at that moment, which lasts no longer.
const LOOKS_PER_LIMIT: u32 = 4;

/// What the governor knows, for those who ask: it alone writes. 0 stands for "not known" and
/// "no limit".
#[derive(Debug, Default)]
pub struct Board {
    pub limit_bytes: AtomicU64,
    pub memory_bytes: AtomicU64,
    pub connection_bytes: AtomicU64,
    pub usage_bytes: AtomicU64,
    pub socket_bytes: AtomicU64,
    pub at_limit_count: AtomicU64,
    pub kill_count: AtomicU64,
    pub pressure_hundredths: AtomicU64,
    sockets_over: AtomicBool,
    /// What is charged to the container, and may be, in files that are made anew for each read.
    gauge: OnceLock<Gauge>,
    /// With more than this charged, the cache gives way …
    allowed_bytes: AtomicU64,
    /// … and with so much less, because the limit was lowered since the governor looked.
    lowered_bytes: AtomicU64,
    /// How often somebody has looked.
    looks: AtomicU32,
    /// Pages that the cache is to have: what is given up beyond that is excess.
    pages_wanted: AtomicUsize,
    /// What the cache has given up because more was charged than is planned.
    excess_bytes: AtomicUsize,
    /// More is charged than may be, and the cache has nothing left to give.
    is_tight: AtomicBool,
    /// What a client has asked the whole process to be content with; 0: nobody has.
    wish_bytes: AtomicUsize,
}

impl Board {
    /// From now on what is charged can be looked at.
    pub fn watch(&self, gauge: Option<Gauge>) {
        if let Some(gauge) = gauge {
            let _ = self.gauge.set(gauge);
        }
    }

    /// Whether anything can be looked at.
    pub fn is_watched(&self) -> bool {
        self.gauge.get().is_some()
    }

    /// How much more is charged than may be. One read of a small file, and now and then of those with limits.
    fn over_bytes(&self) -> usize {
        let Some(gauge) = self.gauge.get() else {
            return 0;
        };
        let is_due = self
            .looks
            .fetch_add(1, Relaxed)
            .is_multiple_of(LOOKS_PER_LIMIT);
        if is_due && let Some(Some(limit_bytes)) = gauge.limit_bytes() {
            let lowered = self.limit_bytes.load(Relaxed).saturating_sub(limit_bytes);
            self.lowered_bytes.store(lowered, Relaxed);
        }
        let allowed = self.allowed_bytes.load(Relaxed);
        let allowed = allowed.saturating_sub(self.lowered_bytes.load(Relaxed));
        let over = gauge.usage_bytes().unwrap_or(0).saturating_sub(allowed);
        usize::try_from(over).unwrap_or(usize::MAX)
    }

    /// The governor plans with this limit from now on. If it was lowered, what the cache has given up for that already is no
    /// longer beyond the plan.
    pub fn follow_limit(&self, limit: Option<u64>) {
        let limit = limit.unwrap_or(0);
        let known = self.limit_bytes.swap(limit, Relaxed);
        self.lowered_bytes.store(0, Relaxed);
        if limit > 0 {
            let lowered = known.saturating_sub(limit);
            self.lessen_excess(usize::try_from(lowered).unwrap_or(usize::MAX));
        }
    }

    /// Sets the pages that the cache is to have.
    pub fn want_pages(&self, pages: usize) {
        self.pages_wanted.store(pages, Relaxed);
    }

    /// Sets from where on the cache gives way; 0: never.
    pub fn allow_bytes(&self, bytes: u64) {
        self.allowed_bytes.store(bytes, Relaxed);
    }

    /// Sets what the whole process is to be content with, as long as the limit allows more.
    pub fn wish(&self, bytes: usize) {
        self.wish_bytes.store(bytes, Relaxed);
    }

    /// That wish, if there is one.
    pub fn wish_bytes(&self) -> Option<usize> {
        Some(self.wish_bytes.load(Relaxed)).filter(|&bytes| bytes > 0)
    }

    /// What the cache has given up beyond the plan.
    pub fn excess_bytes(&self) -> usize {
        self.excess_bytes.load(Relaxed)
    }

    /// It gives up more, up to `most` in all.
    pub fn add_excess(&self, bytes: usize, most: usize) {
        let sum = |excess: usize| Some(excess.saturating_add(bytes).min(most));
        let _ = self.excess_bytes.fetch_update(Relaxed, Relaxed, sum);
    }

    /// It takes some of that back.
    pub fn lessen_excess(&self, bytes: usize) {
        let rest = |excess: usize| Some(excess.saturating_sub(bytes));
        let _ = self.excess_bytes.fetch_update(Relaxed, Relaxed, rest);
    }

    /// Whether more is charged than may be although the cache has given all it can.
    pub fn is_tight(&self) -> bool {
        self.is_tight.load(Relaxed)
    }

    /// The limit and what is made of it.
    pub fn publish(&self, memory_bytes: usize, connection_bytes: usize) {
        self.memory_bytes.store(memory_bytes as u64, Relaxed);
        self.connection_bytes
            .store(connection_bytes as u64, Relaxed);
    }

    /// What the kernel says.
    pub fn note(&self, figures: &Figures) {
        let usage_bytes = figures.usage_bytes.unwrap_or(0);
        self.usage_bytes.store(usage_bytes, Relaxed);
        let socket_bytes = figures.socket_bytes.unwrap_or(0);
        self.socket_bytes.store(socket_bytes, Relaxed);
        self.at_limit_count.store(figures.at_limit_count, Relaxed);
        self.kill_count.store(figures.kill_count, Relaxed);
        self.pressure_hundredths
            .store(figures.pressure_hundredths, Relaxed);
    }

    /// All of it, for a snapshot.
    pub fn figures(&self) -> BoardFigures {
        BoardFigures {
            limit_bytes: self.limit_bytes.load(Relaxed),
            memory_bytes: self.memory_bytes.load(Relaxed),
            connection_bytes: self.connection_bytes.load(Relaxed),
            usage_bytes: self.usage_bytes.load(Relaxed),
            socket_bytes: self.socket_bytes.load(Relaxed),
            at_limit_count: self.at_limit_count.load(Relaxed),
            kill_count: self.kill_count.load(Relaxed),
            pressure_hundredths: self.pressure_hundredths.load(Relaxed),
        }
    }

    /// Whether the kernel holds more for sockets than the plan has for them.
    pub fn set_sockets_over(&self, over: bool) {
        self.sockets_over.store(over, Relaxed);
    }

    /// What was set last.
    pub fn are_sockets_over(&self) -> bool {
        self.sockets_over.load(Relaxed)
    }
}

/// What stood on the [`Board`] a moment ago.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // The fields of `Board`.
pub struct BoardFigures {
    pub limit_bytes: u64,
    pub memory_bytes: u64,
    pub connection_bytes: u64,
    pub usage_bytes: u64,
    pub socket_bytes: u64,
    pub at_limit_count: u64,
    pub kill_count: u64,
    pub pressure_hundredths: u64,
}

/// Coarse monotonic time since the server's start: a read of memory that the kernel maps
/// into the process, a few milliseconds behind at most.
///
/// Its whole seconds are those of the calendar, so that a lifetime that ends at a second of
/// the calendar ends exactly then.
#[derive(Debug)]
pub struct Clock {
    start: Timespec,
    /// What it said at the start: [`Clock::EPOCH`] and the begun second.
    start_millis: u64,
    /// The calendar's second (since 1970) at tick 0.
    unix_zero: u64,
    /// How far it was moved, in milliseconds: only for tests.
    moved_millis: AtomicI64,
}

impl Clock {
    /// What the clock says at the start, less than a second before. Not 0, so that something
    /// can lie before it.
    pub const EPOCH: Tick = Tick::from_secs(1);

    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        let start = clock_gettime(ClockId::MonotonicCoarse);
        let unix = clock_gettime(ClockId::RealtimeCoarse);
        let begun_millis = u64::try_from(unix.tv_nsec / 1_000_000).unwrap_or(0);
        Clock {
            start,
            start_millis: Self::EPOCH.as_millis() + begun_millis,
            unix_zero: u64::try_from(unix.tv_sec).unwrap_or(0).saturating_sub(1),
            moved_millis: AtomicI64::new(0),
        }
    }

    /// What time it is.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Tick {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let millis = (now.tv_sec - self.start.tv_sec) * 1000
            + (now.tv_nsec - self.start.tv_nsec) / 1_000_000
            + self.moved_millis.load(Relaxed);
        Tick::from_millis(self.start_millis).plus_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// The second of the calendar at a moment.
    #[must_use]
    pub fn unix_of(&self, tick: Tick) -> u64 {
        self.unix_zero + tick.as_millis() / 1000
    }

    /// The moment of a second of the calendar; [`Tick::ZERO`] if it was before the start.
    #[must_use]
    pub fn tick_of_unix(&self, unix: u32) -> Tick {
        Tick::from_secs(u64::from(unix).saturating_sub(self.unix_zero))
    }

    /// Moves the clock: only for tests.
    pub fn advance(&self, seconds: i64) {
        self.moved_millis
            .fetch_add(seconds.saturating_mul(1000), Relaxed);
    }
}

/// The number of this thread in the kernel.
pub fn thread_id() -> u64 {
    u64::from(
        rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs(),
    )
}

/// The CPU time that this thread has used, in microseconds.
pub fn thread_cpu_micros() -> u64 {
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    cpu.tv_sec as u64 * 1_000_000 + cpu.tv_nsec as u64 / 1000
}

/// Exact time, for measuring durations: read from memory as the coarse one is, at about three
/// times its price.
#[inline]
pub fn exact_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative, and 64 bits of nanoseconds are 584 years.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_begins_at_its_epoch_and_goes_on() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first >= Clock::EPOCH && first < Clock::EPOCH.plus_secs(5));
        std::thread::sleep(Duration::from_millis(30));
        assert!(clock.now() > first);
    }

    /// Until the governor has heard of it, which may be a tenth of a second later, and afterwards.
    #[test]
    fn a_lowered_limit_is_seen_by_whoever_looks_and_counts_once() {
        let dir = std::env::temp_dir().join(format!("flagstone-board-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("made");
        let file = |name: &str, text: &str| {
            std::fs::write(dir.join(name), text).expect("writes");
            std::fs::File::open(dir.join(name)).expect("there")
        };
        let board = Board::default();
        let limits = vec![file("own", "1000\n"), file("above", "max\n")];
        board.watch(Some(Gauge::of(file("usage", "900\n"), limits)));
        board.follow_limit(Some(1000));
        board.allow_bytes(950);
        let looks = || (0..LOOKS_PER_LIMIT).map(|_| board.over_bytes()).max();
        assert_eq!(looks(), Some(0));
        std::fs::write(dir.join("above"), "800\n").expect("writes");
        assert_eq!(looks(), Some(150), "the limit of all is the least");
        // The cache gives that up, and the governor learns of the limit: what it plans with is less, and nothing is
        // given up beyond it.
        board.add_excess(150, 1000);
        board.follow_limit(Some(800));
        board.allow_bytes(750);
        assert_eq!((looks(), board.excess_bytes()), (Some(150), 0));
        // A limit that is raised changes nothing before the governor follows it.
        std::fs::write(dir.join("above"), "max\n").expect("writes");
        assert_eq!(looks(), Some(150));
        let _ = std::fs::remove_dir_all(dir);
    }
}
