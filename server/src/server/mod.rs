//! The server as a whole: from settings to a running server, and out again.
//!
//! One thread is the server's own: it accepts, hears signals and maintains the cache. The
//! workers are scoped threads of it, so they may borrow all that it owns, and it cannot end
//! before they have.
//!
//! ```text
//!   settings ─► plan ─► signals heard ─► cache open ─► workers warm ─► listening
//!                                                                         │
//!   exit ◄── workers joined ◄── each connection answered, FIN ◄── stop ◄──┘
//! ```

mod checks;
mod error;
pub(crate) mod gates;
mod listening;
pub(crate) mod maintainer;
pub(crate) mod manager;
pub(crate) mod scripts;
pub(crate) mod shared;
pub(crate) mod stage;
mod stop;

use self::checks::{
    connections_of_files, raise_open_files_limit, random_seed, warn_of_huge_pages,
    warn_of_open_files, warn_of_openness, watch_limit,
};
pub use self::error::StartError;
use self::listening::{listen_for_admin, listen_on};
use self::stop::{Stop, Why, tell_of_end};
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use flagstone_engine::Cache;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admin;
use crate::auth::tls::CertificateStore;
use crate::auth::users::Logins;
use crate::memory::governor::Governor;
use crate::memory::plan::ServerPlan;
use crate::memory::program;
use crate::net::gate::{self, first_of};
use crate::net::mailbox::Mailbox;
use crate::net::worker::{self, park_once};
use crate::observe::logs;
use crate::observe::snapshot::SnapshotTaker;
use crate::server::shared::Shared;
use crate::server::stage::Stage;
use crate::settings::config::Config;
use crate::settings::endpoint::Place;
use crate::settings::listen::Listen;
use crate::settings::size::size_text;

/// A whole server.
pub struct Server;

/// A server in threads of this process. Dropping it shuts it down.
pub struct Running {
    places: Vec<Place>,
    admin: Option<SocketAddr>,
    stop: Arc<Notify>,
    thread: Option<thread::JoinHandle<Result<(), StartError>>>,
}

impl Server {
    /// Starts a server in threads of this process, and returns when it is listening.
    pub fn start(config: Config) -> Result<Running, StartError> {
        let stop = Arc::new(Notify::new());
        let heard = Arc::clone(&stop);
        let (started, starts) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("flagstone".to_owned())
            .spawn(move || {
                serve(
                    &config,
                    || Ok(Stop::Told(heard)),
                    |places, admin, _| {
                        let _ = started.send((places.to_vec(), admin));
                    },
                )
            })
            .map_err(StartError::System)?;
        match starts.recv() {
            Ok((places, admin)) => Ok(Running {
                places,
                admin,
                stop,
                thread: Some(thread),
            }),
            // The thread ended before it could say anything.
            Err(mpsc::RecvError) => match thread.join() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => Err(StartError::System(io::ErrorKind::Interrupted.into())),
                Err(panic) => std::panic::resume_unwind(panic),
            },
        }
    }

    /// Runs a server on this thread until SIGTERM or SIGINT, then drains it. A second signal
    /// ends the process at once, with 128 and the signal's number.
    pub fn run_until_signal(config: &Config) -> Result<(), StartError> {
        serve(config, Stop::signals, |places, admin, plan| {
            let places: Vec<String> = places.iter().map(Place::to_string).collect();
            let places = places.join(", ");
            log::info!(
                version = env!("CARGO_PKG_VERSION"),
                places = places.as_str(),
                memory_bytes = plan.memory_bytes,
                workers = plan.worker_count,
                connections_max = plan.connections_max;
                "version {} listening on {}, memory {}, workers {}, connections {}",
                env!("CARGO_PKG_VERSION"),
                places,
                size_text(plan.memory_bytes),
                plan.worker_count,
                plan.connections_max,
            );
            if let Some(admin) = admin {
                let address = admin.to_string();
                log::info!(address = address.as_str(); "admin pages at http://{admin}/");
            }
            let mut lines: Vec<(&str, u64)> = plan
                .lines()
                .iter()
                .map(|line| (line.name.as_str(), line.bytes as u64))
                .collect();
            lines.push(("total (--memory)", plan.memory_bytes as u64));
            logs::table("the memory plan, in bytes", "plan", plan, &lines);
            if let Err(error) = program::keep_in_memory() {
                log::info!(
                    "the program's code cannot be locked in memory ({error}): over its memory limit it may wait for \
                     it to be read again; --ulimit memlock=8388608 or LimitMEMLOCK=8M allows it"
                );
            }
        })
    }
}

impl Running {
    /// The (first) address it listens on, with the port that the system chose.
    ///
    /// # Panics
    /// If it listens on Unix sockets only.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs().next().expect("a TCP port")
    }

    /// All addresses it listens on.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.places.iter().filter_map(|place| match place {
            Place::Tcp(address) => Some(*address),
            Place::Unix(_) => None,
        })
    }

    /// The address of the admin pages, if there are any.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Stops accepting, answers what has arrived, closes every connection, and returns when
    /// all threads have ended.
    pub fn shutdown(mut self) -> Result<(), StartError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), StartError> {
        self.stop.notify_one();
        match self.thread.take().map(thread::JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = self.join();
        } else {
            self.stop.notify_one();
        }
    }
}

/// How many workers run, told also when one panics.
struct Alive {
    count: AtomicUsize,
    changed: Notify,
}

struct LeaveOnDrop<'a>(&'a Alive);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, AcqRel);
        self.0.changed.notify_one();
    }
}

impl Alive {
    /// Waits until at most `count` workers run.
    async fn at_most(&self, count: usize) {
        while self.count.load(Acquire) > count {
            self.changed.notified().await;
        }
    }
}

/// Runs a whole server on this thread until told to stop. `started` is told where it listens.
fn serve(
    config: &Config,
    stop: impl FnOnce() -> io::Result<Stop>,
    started: impl FnOnce(&[Place], Option<SocketAddr>, &ServerPlan),
) -> Result<(), StartError> {
    let plan = ServerPlan::new(config, random_seed()).map_err(StartError::Invalid)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(StartError::System)?;
    let _entered = runtime.enter();
    // Signals are heard before the arena is touched: prefaulting a large one takes seconds,
    // and a signal meanwhile must end in a drain too.
    let mut stop = stop().map_err(StartError::System)?;
    raise_open_files_limit();
    // An address in use is found out before anything expensive, too.
    let tls = CertificateStore::of(config).map_err(StartError::Invalid)?;
    let users = Arc::new(Logins::of(config).map_err(StartError::Invalid)?);
    stop.reloads(tls.as_ref(), &users);
    let (listeners, places) = listen_on(config, tls.as_ref())?;
    let (admin, admin_address) = match config.admin {
        Some(address) => match listen_for_admin(address) {
            Ok((listener, address)) => (Some(listener), Some(address)),
            // A second server on one machine: nobody has asked for this address.
            Err(StartError::Admin(_, error))
                if config.admin_is_default && error.kind() == io::ErrorKind::AddrInUse =>
            {
                log::warn!(
                    "no admin pages: {address} is taken, by another server perhaps; --admin \
                     ADDR:PORT names a place for those of this one, --admin none does without"
                );
                (None, None)
            }
            Err(error) => return Err(error),
        },
        None => (None, None),
    };
    let mut listen = Listen::new(&places, config.unix_mode);
    if let Some(path) = config
        .auth_file
        .as_ref()
        .or(config.auth_token_file.as_ref())
    {
        listen.auth_file = path.display().to_string();
    }
    // Prefaulting a large arena takes seconds: whoever asks meanwhile is told.
    let rules = admin::Rules {
        hosts: &config.admin_hosts,
        logins: &users,
    };
    let cache = while_starting(admin.as_ref(), rules, || Cache::open(plan.engine.clone()))
        .map_err(StartError::Open)?;
    let mut shared = Shared::new(&cache, &plan, config.limits(), &listen, &users);
    shared.tls = tls;
    shared.life.manager = stop.manager();
    let shared = shared;
    let (watch, limit_bytes) = match &config.cgroup_root {
        Some(root) => watch_limit(root),
        None => (None, None),
    };
    let governor = Governor::new(&shared, watch, limit_bytes);
    let mailboxes: Vec<Mailbox> = (0..plan.worker_count)
        .map(|_| Mailbox::new(plan.worker.slot_count))
        .collect();
    let alive = Alive {
        count: AtomicUsize::new(0),
        changed: Notify::new(),
    };
    park_once();
    let admin_over = Notify::new();
    let leaving = Cell::new(None);
    let served = thread::scope(|scope| {
        let _admin_ends = NotifyOnDrop(&admin_over);
        if let Some(listener) = &admin {
            let (shared, over) = (&shared, &admin_over);
            thread::Builder::new()
                .name("admin".to_owned())
                .spawn_scoped(scope, move || {
                    let snapshots = SnapshotTaker::new(shared);
                    warn_of_admin(admin::run(listener, Some(&snapshots), rules, over));
                })
                .map_err(StartError::System)?;
        }
        let (warm, warmed) = mpsc::channel::<()>();
        let spawned = (0..mailboxes.len()).try_for_each(|no| {
            let (shared, mailboxes) = (&shared, &mailboxes[..]);
            let (alive, warm) = (&alive, warm.clone());
            alive.count.fetch_add(1, AcqRel);
            let leaves = LeaveOnDrop(alive);
            thread::Builder::new()
                .name(format!("worker-{no}"))
                .spawn_scoped(scope, move || {
                    let _leaves = leaves;
                    worker::run(shared, mailboxes, no, || drop(warm));
                })
                .map(drop)
                .map_err(StartError::System)
        });
        drop(warm);
        // Nobody sends: it ends when the last worker is warm and drops its end.
        let _ = warmed.recv();
        let served = spawned.and_then(|()| {
            shared.admission.set_files_allow(connections_of_files());
            shared.life.set_stage(Stage::Ready);
            started(&places, admin_address, &plan);
            warn_of_open_files(&plan);
            warn_of_openness(&places, &users);
            if config.huge_pages {
                warn_of_huge_pages();
            }
            let open = gate::run(listeners, &shared, &governor, &mailboxes);
            let stopped = async {
                let all = plan.worker_count;
                let asked = async {
                    shared.shutdown.notified().await;
                    Why::Command
                };
                let told = async {
                    let why = first_of(stop.told(), asked).await;
                    leaving.set(Some((why, Instant::now())));
                    shared.life.set_stage(Stage::Leaving);
                    if !why.is_hurried() {
                        first_of(sleep(config.drain_delay), end_at_once(&mut stop)).await;
                    }
                    Ok(())
                };
                let failed = async {
                    alive.at_most(all - 1).await;
                    Err(io::Error::other("a worker ended before its time"))
                };
                first_of(told, failed).await
            };
            runtime
                .block_on(first_of(open, stopped))
                .map_err(StartError::System)
        });
        let clients = shared.admission.connections();
        shared.life.drain();
        mailboxes.iter().for_each(Mailbox::wake);
        shared.life.set_stage(Stage::Leaving);
        runtime.block_on(first_of(alive.at_most(0), end_at_once(&mut stop)));
        if let Some((why, since)) = leaving.get() {
            tell_of_end(
                why,
                since.elapsed(),
                clients,
                shared.threads.totals().drain_cuts,
            );
        }
        served
    });
    // Every test that shuts a server down asks its cache whether each chunk is where it belongs.
    debug_assert_eq!(cache.audit().map(|_| ()), Ok(()));
    served
}

/// Ends the process at a second signal.
async fn end_at_once(stop: &mut Stop) {
    let number = stop.told_again().await;
    log::info!("a second signal, ending at once");
    log::logger().flush();
    std::process::exit(128 + number);
}

/// Does `work` while the admin pages say that the server is starting.
fn while_starting<R>(
    admin: Option<&TcpListener>,
    rules: admin::Rules<'_>,
    work: impl FnOnce() -> R,
) -> R {
    let Some(listener) = admin else {
        return work();
    };
    let over = Notify::new();
    thread::scope(|scope| {
        // Without this thread nobody is told, which is no reason not to start.
        let _ = thread::Builder::new()
            .name("admin".to_owned())
            .spawn_scoped(scope, || {
                warn_of_admin(admin::run(listener, None, rules, &over))
            });
        let _over = NotifyOnDrop(&over);
        work()
    })
}

fn warn_of_admin(ended: io::Result<()>) {
    if let Err(error) = ended {
        log::warn!("no admin pages: {error}");
    }
}

/// Also when a panic passes by.
struct NotifyOnDrop<'n>(&'n Notify);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
