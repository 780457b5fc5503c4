//! What workers and connections borrow: the cache, its clock, and the parts that more than one thread looks at.
//!
//! It outlives every worker and every connection, so a reservation or a pinned value can live in a connection's
//! state without a reference count. The parts know nothing of each other, and none of them knows this file.

use crate::observe::restoring::Restoring;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use flagstone_engine::{Cache, Stats, Tick};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::gates::Gates;
use super::scripts::Scripts;
use super::stage::Life;
use crate::auth::guesses::Guesses;
use crate::auth::tls::CertificateStore;
use crate::auth::users::Logins;
use crate::clients::Clients;
use crate::clock::{Clock, exact_nanos};
use crate::execute::flush::FlushTimer;
use crate::memory::admission::Admission;
use crate::memory::board::Board;
use crate::memory::costs::hot_keys_a_worker;
use crate::memory::lease_room::LeaseRoom;
use crate::memory::permits::Permits;
use crate::memory::plan::ServerPlan;
use crate::memory::room::SocketRoom;
use crate::memory::scratch::Scratch;
use crate::observe::counters::Totals;
use crate::observe::curve::CurveWatch;
use crate::observe::departures::Departures;
use crate::observe::hot_keys::HotKeys;
use crate::observe::pace::Pace;
use crate::observe::slow::Slow;
use crate::observe::slow_log::SlowLog;
use crate::observe::threads::Threads;
use crate::pubsub::PubSub;
use crate::settings::limits::Limits;
use crate::settings::listen::Listen;
use crate::snapfile::job::Snapshots;

/// Bytes that change hands in one go: about a millisecond of evicting.
pub const PORTION_BYTES: usize = 512 << 10;

/// See the module's head.
pub struct Shared<'h> {
    pub cache: &'h Cache,
    pub plan: &'h ServerPlan,
    pub clock: Clock,
    /// Which long values are on their way.
    pub permits: Permits,
    /// Which connections may have large socket buffers.
    pub sockets: SocketRoom,
    /// Whether there is room for all leased buffers.
    pub leases: LeaseRoom,
    /// Where workers wait while one of them executes a transaction.
    pub gates: Gates,
    /// Which scripts Redis' clients have sent.
    pub scripts: Scripts,
    /// How many connections there are, and may be.
    pub admission: Admission,
    /// Who they are.
    pub clients: Clients,
    /// What clients may do, and how long.
    pub limits: Limits,
    /// Where connections come in, in words.
    pub listen: &'h Listen,
    /// The clients that may log in. If there is any, every client has to.
    pub users: &'h Logins,
    /// Addresses from which too many logins have failed.
    pub guesses: Guesses,
    /// The TLS port's certificate and seats, if there is one.
    pub tls: Option<Arc<CertificateStore>>,
    /// What was restored at the start.
    pub restoring: Restoring,
    /// Told when a client that may has asked for the end.
    pub shutdown: Notify,
    /// Where the server is in its life.
    pub life: Life,
    /// Messages between clients.
    pub pubsub: PubSub,
    /// When everything is to be removed.
    pub flush: FlushTimer,
    /// Items in a file, if there is a place for one.
    pub snapshots: Snapshots,
    /// What the governor knows.
    pub memory: Board,
    /// What each thread has counted, and whether it gets on.
    pub threads: Threads,
    /// How fast the cache is written: noted by the maintainer.
    pub pace: Mutex<Pace>,
    /// How old what was evicted was: likewise.
    pub departures: Mutex<Departures>,
    /// The last requests that took long: noted by workers.
    pub slow_log: SlowLog,
    /// The keys that are asked for most: sampled by workers.
    pub hot_keys: HotKeys,
    /// What the hit ratio would be with less memory, and more: noted by workers and the maintainer.
    pub curve: CurveWatch,
    /// Requests that took too long: noted by workers, logged by the maintainer.
    pub slow: Mutex<Slow>,
    /// What was counted when the counters of memcached's clients were last set to 0.
    pub reset: Mutex<(Totals, Stats)>,
    /// Where reports are put together.
    pub scratch: Scratch,
    /// Whether any value was ever stored that may hold a line end.
    has_counted: AtomicBool,
}

impl<'h> Shared<'h> {
    pub fn new(
        cache: &'h Cache,
        plan: &'h ServerPlan,
        limits: Limits,
        listen: &'h Listen,
        users: &'h Logins,
    ) -> Self {
        let clock = Clock::start(cache.unix_zero());
        let begun = clock.started();
        Shared {
            cache,
            plan,
            clock,
            permits: Permits::new(&plan.transfers, plan.worker_count),
            sockets: SocketRoom::new(plan.socket_buffer_bytes),
            leases: LeaseRoom::default(),
            gates: Gates::new(plan.worker_count),
            scripts: Scripts::default(),
            admission: Admission::new(plan.connections_max),
            clients: Clients::new(
                plan.worker.slot_count * plan.worker_count,
                plan.worker_count,
            ),
            limits,
            listen,
            users,
            guesses: Guesses::default(),
            tls: None,
            restoring: Restoring {
                restored: cache.restored(),
                took: Duration::ZERO,
                unix: 0,
            },
            shutdown: Notify::new(),
            life: Life::default(),
            curve: CurveWatch::new(&plan.curve),
            pubsub: PubSub::new(&plan.pubsub, plan.connections_share_pages),
            flush: FlushTimer::default(),
            snapshots: Snapshots::default(),
            memory: Board::default(),
            threads: Threads::new(plan.worker_count, begun),
            pace: Mutex::default(),
            departures: Mutex::default(),
            slow_log: SlowLog::new(limits.slow_log, limits.tells_keys),
            hot_keys: HotKeys::new(
                (
                    if limits.hot_keys {
                        plan.worker_count
                    } else {
                        0
                    },
                    hot_keys_a_worker(plan.memory_bytes),
                ),
                limits.tells_keys,
                exact_nanos(),
            ),
            slow: Mutex::new(Slow::default()),
            reset: Mutex::default(),
            scratch: Scratch::default(),
            has_counted: AtomicBool::new(false),
        }
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
            let beyond = self.memory.pages_beyond(before, after);
            self.memory
                .add_excess(beyond * page_bytes, self.plan.memory_bytes_max);
            is_tight = after >= before;
        }
        self.memory.set_tight(is_tight);
        is_tight
    }

    /// What follows from what the arena's file brought back.
    pub fn go_on_with(&mut self, restoring: Restoring) {
        self.restoring = restoring;
        self.flush.go_on(self.cache);
        if restoring.items() > 0 {
            // Nobody knows by now how its values came.
            self.note_counted();
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
}
