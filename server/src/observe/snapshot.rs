//! The server at one moment, as numbers: what the admin pages are made of.
//!
//! Taking one costs the data path next to nothing: the counters are read where they lie, the
//! engine is asked for its sums (a short lock a shard), and how the classes stand, which
//! takes a look at every page, is asked at most once a second, however many ask.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use flagstone_engine::{ClassStats, Stats, Tick};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::auth::tls::{CertificateStore, Handshake};
use crate::clients::{Client, ClientNo};
use crate::memory::board::BoardFigures;
use crate::observe::allocations::{self, During};
use crate::observe::counters::{Totals, WorkerFigures};
use crate::observe::curve::CurveFigures;
use crate::observe::departures::Departures;
use crate::observe::hot_keys::HotKey;
use crate::observe::latency::{Distribution, distributions};
use crate::observe::liveness::Liveness;
use crate::observe::logs;
use crate::observe::restoring::Restoring;
use crate::observe::slow_log::{Cause, Entry};
use crate::observe::stores::AllStored;
use crate::server::shared::Shared;
use crate::server::stage::Stage;
use crate::snapfile::figures::SnapshotFigures;
pub use crate::snapfile::job::Asked;

/// What the classes hold is asked of the engine no more often than this.
const CLASSES_FRESH_MILLIS: u64 = 1000;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub stage: Stage,
    pub uptime_millis: u64,
    /// When the server started, in seconds since the beginning of 1970.
    pub started_unix: u64,
    /// For how long some thread has shown no sign of life.
    pub silent_for: Duration,
    /// What was restored when it started.
    pub restoring: Restoring,
    pub totals: Totals,
    pub engine: Stats,
    pub classes: Rc<[Class]>,
    /// How old what was evicted was.
    pub departures: Departures,
    /// What the hit ratio would be with less memory, and more.
    pub curve: Option<CurveFigures>,
    pub memory: BoardFigures,
    pub memory_bytes_max: u64,
    pub socket_bytes_max: u64,
    /// The plan's lines.
    pub plan: Rc<[(String, u64)]>,
    pub workers: u64,
    /// How each of them stands.
    pub worker_figures: Vec<WorkerFigures>,
    pub connections: u64,
    pub connections_max: u64,
    pub connections_allowed: u64,
    pub turned_away: u64,
    /// Newcomers not let in, after failed logins.
    pub logins_slowed: u64,
    /// Messages that were not written.
    pub log_lines_dropped: [(&'static str, u64); 2],
    /// About TLS, if there is a port for it.
    pub tls: Option<TlsFigures>,
    pub allocations: [(&'static str, u64); During::ALL.len()],
    pub latencies: Vec<Distribution>,
    /// The values that were stored, by protocol.
    pub stored: AllStored,
    /// How many requests took long, by cause.
    pub slow: [(&'static str, u64); Cause::ALL.len()],
    /// About items in a file.
    pub file: SnapshotFigures,
    pub process: ProcessFigures,
}

/// One size class.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub stats: ClassStats,
    /// How long ago its oldest items came, about.
    pub tail_age_millis: u64,
}

/// Who came with TLS, and for how long they still can.
#[derive(Clone, Copy, Debug)]
pub struct TlsFigures {
    pub connections: u64,
    pub handshakes: [(&'static str, u64); Handshake::ALL.len()],
    pub expires_unix: Option<i64>,
}

impl TlsFigures {
    fn of(certificates: &CertificateStore) -> Self {
        TlsFigures {
            connections: certificates.taken() as u64,
            handshakes: certificates.handshakes(),
            expires_unix: certificates.expires_unix(),
        }
    }
}

/// What the kernel says about the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFigures {
    pub cpu_millis: u64,
    pub resident_bytes: u64,
    pub open_files: u64,
    pub open_files_max: u64,
}

/// The last requests that took long, the newest first.
#[derive(Clone, Debug)]
pub struct SlowList {
    /// What is long; `None`: nothing is.
    pub threshold_micros: Option<u64>,
    pub entries: Vec<Entry>,
}

/// The keys that are asked for most, the hottest first.
#[derive(Clone, Debug)]
pub struct HotList {
    pub is_on: bool,
    pub keys: Vec<HotKey>,
}

/// Clients that are connected, those first that hold most.
#[derive(Clone)]
pub struct ClientList {
    /// All there are.
    pub count: usize,
    /// When they were looked at.
    now: Tick,
    /// Some of them.
    pub clients: Vec<Client>,
}

impl ClientList {
    /// For how many seconds one has been there.
    pub fn age_seconds(&self, client: &Client) -> u64 {
        client.age_seconds(self.now)
    }
}

/// So many clients are told of.
const CLIENTS_TOLD: usize = 100;

/// Takes snapshots.
pub struct SnapshotTaker<'h> {
    shared: &'h Shared<'h>,
    plan: Rc<[(String, u64)]>,
    started_unix: u64,
    classes: RefCell<Option<(Tick, Rc<[Class]>)>>,
}

impl<'h> SnapshotTaker<'h> {
    pub fn new(shared: &'h Shared<'h>) -> Self {
        let lines = shared.plan.lines().iter();
        let now = clock_gettime(ClockId::Realtime).tv_sec;
        let uptime = shared.clock.now().millis_since(shared.clock.started()) / 1000;
        SnapshotTaker {
            shared,
            plan: lines
                .map(|line| (line.name.clone(), line.bytes as u64))
                .collect(),
            started_unix: u64::try_from(now).unwrap_or(0).saturating_sub(uptime),
            classes: RefCell::new(None),
        }
    }

    /// Where the server is in its life, and for how long a thread has been silent.
    fn health(&self) -> (Stage, Duration) {
        let now = self.shared.clock.now();
        (
            self.shared.life.stage(),
            self.shared.threads.silent_for(now),
        )
    }

    /// Where the server is in its life, and how the thread fares that fares worst.
    pub fn liveness(&self) -> (Stage, Liveness) {
        let now = self.shared.clock.now();
        (self.shared.life.stage(), self.shared.threads.liveness(now))
    }

    /// Asks for all items in a file.
    pub fn ask_for_file(&self) -> Asked {
        self.shared.snapshots.ask()
    }

    /// The last requests that took long.
    pub fn slow(&self) -> SlowList {
        let log = &self.shared.slow_log;
        SlowList {
            threshold_micros: match log.threshold_nanos() {
                u64::MAX => None,
                nanos => Some(nanos / 1000),
            },
            entries: log.newest(usize::MAX, |_, entries| entries.copied().collect()),
        }
    }

    /// The clients that hold most; of those that hold the same, the oldest.
    pub fn clients(&self) -> ClientList {
        let (table, now) = (&self.shared.clients, self.shared.clock.now());
        let rank = |client: &Client| (u32::MAX - client.held_bytes, client.id());
        let mut list = ClientList {
            count: 0,
            now,
            clients: Vec::with_capacity(CLIENTS_TOLD),
        };
        // One at a time: newcomers wait for none of this.
        for no in 0..table.places() {
            let Some(client) = table.get(ClientNo(no), now) else {
                continue;
            };
            list.count += 1;
            if list.clients.len() == CLIENTS_TOLD {
                // The last of them goes, if it holds less.
                match list.clients.last() {
                    Some(last) if rank(last) <= rank(&client) => continue,
                    _ => list.clients.pop(),
                };
            }
            let place = list
                .clients
                .partition_point(|other| rank(other) < rank(&client));
            list.clients.insert(place, client);
        }
        list
    }

    /// Has the connection of the client closed that is called by this id. False: nobody is.
    pub fn kill(&self, id: u64) -> bool {
        self.shared.clients.doom_id(id)
    }

    /// The keys that are asked for most.
    pub fn hot_keys(&self) -> HotList {
        let (hot_keys, now) = (&self.shared.hot_keys, self.shared.clock.now());
        HotList {
            is_on: hot_keys.is_on(),
            keys: hot_keys.hottest(usize::MAX, now, |_, keys| keys.collect()),
        }
    }

    /// The server now.
    pub fn take(&self) -> Rc<Snapshot> {
        let now = self.shared.clock.now();
        let shared = self.shared;
        let engine = shared.cache.stats();
        let (stage, silent_for) = self.health();
        Rc::new(Snapshot {
            stage,
            uptime_millis: now.millis_since(shared.clock.started()),
            started_unix: self.started_unix,
            silent_for,
            restoring: shared.restoring,
            totals: shared.threads.totals(),
            engine,
            classes: self.classes(now, engine.inserted_bytes),
            departures: *shared.departures.lock(),
            curve: self.curve(),
            memory: of_container(shared.memory.figures()),
            memory_bytes_max: shared.plan.memory_bytes_max as u64,
            socket_bytes_max: shared.plan.socket_bytes as u64,
            plan: Rc::clone(&self.plan),
            workers: shared.plan.worker_count as u64,
            worker_figures: shared
                .threads
                .all_counters()
                .map(WorkerFigures::of)
                .collect(),
            connections: shared.admission.connections() as u64,
            connections_max: shared.plan.connections_max as u64,
            connections_allowed: shared.admission.connections_allowed() as u64,
            turned_away: shared.admission.turned_away(),
            logins_slowed: shared.guesses.slowed(),
            log_lines_dropped: logs::dropped(),
            tls: shared.tls.as_deref().map(TlsFigures::of),
            allocations: During::ALL.map(|(during, name)| (name, allocations::count(during))),
            latencies: distributions(shared.threads.all_latencies()),
            stored: shared.threads.stored(),
            slow: shared.slow_log.counts(),
            file: shared.snapshots.figures.read(),
            process: ProcessFigures::read(),
        })
    }

    /// The values that were stored, by protocol.
    pub fn stored(&self) -> AllStored {
        self.shared.threads.stored()
    }

    /// What the hit ratio would be with less memory, and more.
    pub fn curve(&self) -> Option<CurveFigures> {
        let memory_bytes = self.shared.memory.figures().memory_bytes;
        self.shared.curve.figures(memory_bytes)
    }

    fn classes(&self, now: Tick, inserted_bytes: u64) -> Rc<[Class]> {
        let mut last = self.classes.borrow_mut();
        if let Some((at, classes)) = &*last
            && now.millis_since(*at) < CLASSES_FRESH_MILLIS
        {
            return Rc::clone(classes);
        }
        let mut fresh = Vec::new();
        self.shared.cache.classes(|stats| {
            // What was told once is told for ever: a counter does not vanish.
            let was_told = |class: &Class| class.stats.class == stats.class;
            let was_told = last
                .as_ref()
                .is_some_and(|(_, told)| told.iter().any(was_told));
            if stats.pages > 0 || stats.evictions > 0 || was_told {
                fresh.push(Class {
                    stats,
                    tail_age_millis: 0,
                });
            }
        });
        // The engine's locks and this one are never held together.
        let pace = self.shared.pace.lock();
        for class in &mut fresh {
            class.tail_age_millis =
                pace.age_millis(now, inserted_bytes, class.stats.tail_age_bytes);
        }
        drop(pace);
        let fresh: Rc<[Class]> = fresh.into();
        *last = Some((now, Rc::clone(&fresh)));
        fresh
    }
}

impl Snapshot {
    /// What is left under the container's limit; `None` without one.
    pub fn headroom_bytes(&self) -> Option<u64> {
        let memory = &self.memory;
        (memory.limit_bytes > 0).then(|| memory.limit_bytes.saturating_sub(memory.usage_bytes))
    }
}

/// Without a limit the group may be the machine's own, whose figures are not the server's.
fn of_container(figures: BoardFigures) -> BoardFigures {
    match figures.limit_bytes {
        0 => BoardFigures {
            memory_bytes: figures.memory_bytes,
            connection_bytes: figures.connection_bytes,
            ..BoardFigures::default()
        },
        _ => figures,
    }
}

impl ProcessFigures {
    fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        // `VmRSS:      1234 kB`
        let resident_kib = status.lines().find_map(|line| {
            let size = line.strip_prefix("VmRSS:")?.strip_suffix("kB")?;
            size.trim().parse::<u64>().ok()
        });
        ProcessFigures {
            cpu_millis: cpu.tv_sec as u64 * 1000 + cpu.tv_nsec as u64 / 1_000_000,
            resident_bytes: resident_kib.unwrap_or(0) * 1024,
            // The kernel has this number without counting; older ones say 0, and then it is
            // not told.
            open_files: std::fs::metadata("/proc/self/fd").map_or(0, |dir| dir.len()),
            open_files_max: getrlimit(Resource::Nofile).current.unwrap_or(0),
        }
    }
}
