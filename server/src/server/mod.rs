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
mod handed;
mod listening;
pub(crate) mod maintainer;
pub(crate) mod manager;
mod opening;
mod restart;
pub(crate) mod scripts;
pub(crate) mod shared;
pub(crate) mod stage;
mod stop;
mod threads;

use self::checks::{
    connections_of_files, raise_open_files_limit, random_seed, warn_of_huge_pages,
    warn_of_open_files, warn_of_openness, watch_limit,
};
pub use self::error::StartError;
use self::handed::Handed;
use self::listening::Doors;
use self::stop::{Stop, Why, tell_of_end};
use self::threads::{NotifyOnDrop, Workers, spawn_admin};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::memory::governor::Governor;
use crate::memory::plan::ServerPlan;
use crate::memory::program;
use crate::net::gate::{self, first_of};
use crate::net::worker::park_once;
use crate::observe::allocations;
use crate::observe::logs;
use crate::server::shared::Shared;
use crate::server::stage::Stage;
use crate::settings::config::Config;
use crate::settings::endpoint::Place;
use crate::settings::size::size_text;
use crate::snapfile::job::Snapshots;

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
                    Vec::new(),
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
        // Before anything is opened, whose number could be one of theirs.
        let handed = handed::take()?;
        serve(config, handed, Stop::signals, |places, admin, plan| {
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

/// Runs a whole server on this thread until told to stop, with sockets that the service manager has opened for it.
/// `started` is told where it listens.
fn serve(
    config: &Config,
    handed: Vec<Handed>,
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
    let (doors, listeners) = Doors::open(config, handed, &mut stop)?;
    let rules = doors.rules(config);
    let (cache, restoring) = opening::open(config, &plan, doors.admin.as_ref(), rules)?;
    let mut shared = Shared::new(&cache, &plan, config.limits(), &doors.listen, &doors.users);
    shared.go_on_with(restoring);
    shared.tls = doors.tls.clone();
    shared.snapshots = Snapshots::new(restart::place(config));
    shared.life.manager = stop.manager();
    let shared = shared;
    let (watch, limit_bytes) = match &config.cgroup_root {
        Some(root) => watch_limit(root),
        None => (None, None),
    };
    let governor = Governor::new(&shared, watch, limit_bytes);
    // Behind the governor, which has retired what the memory of the moment does not allow.
    let restore = |_: &AtomicUsize| restart::restore(&shared, &runtime, &mut stop);
    if !opening::while_starting(doors.admin.as_ref(), rules, restore) {
        return Ok(());
    }
    let workers = Workers::new(&shared).map_err(StartError::System)?;
    park_once();
    allocations::seal(config.seal);
    let admin_over = Notify::new();
    let leaving = Cell::new(None);
    let served = thread::scope(|scope| {
        let _admin_ends = NotifyOnDrop(&admin_over);
        if let Some(listener) = &doors.admin {
            spawn_admin(scope, listener, &shared, rules, &admin_over)?;
        }
        restart::spawn_writer(scope, &shared)?;
        let served = workers.spawn(scope).and_then(|()| {
            shared.admission.set_files_allow(connections_of_files());
            shared.life.set_stage(Stage::Ready);
            started(&doors.places, doors.admin_address, &plan);
            warn_of_open_files(&plan);
            warn_of_openness(&doors.places, &doors.users);
            if config.huge_pages {
                warn_of_huge_pages();
            }
            let open = gate::run(listeners, &shared, &governor, &workers.mailboxes);
            let told = told_to_leave(config, &shared, &mut stop, &leaving);
            let failed = async { Err(workers.first_end().await) };
            runtime
                .block_on(first_of(open, first_of(told, failed)))
                .map_err(StartError::System)
        });
        let drained = drain(&shared, &workers, served.is_ok());
        let clients = runtime.block_on(first_of(drained, end_at_once(&mut stop)));
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

/// Waits until somebody wants the server to end, writes to `leaving` who and since when, and gives load balancers time
/// to notice, unless whoever asked does not want to wait.
async fn told_to_leave(
    config: &Config,
    shared: &Shared<'_>,
    stop: &mut Stop,
    leaving: &Cell<Option<(Why, Instant)>>,
) -> io::Result<()> {
    let asked = async {
        shared.shutdown.notified().await;
        Why::Command
    };
    let why = first_of(stop.told(), asked).await;
    leaving.set(Some((why, Instant::now())));
    shared.life.set_stage(Stage::Leaving);
    if !why.is_hurried() {
        first_of(sleep(config.drain_delay), end_at_once(stop)).await;
    }
    Ok(())
}

/// Answers what has arrived, closes every connection, and writes the last snapshot. Says how many clients there were.
async fn drain(shared: &Shared<'_>, workers: &Workers<'_>, is_well: bool) -> usize {
    let clients = shared.admission.connections();
    shared.life.drain();
    workers.wake();
    shared.life.set_stage(Stage::Leaving);
    workers.last_end().await;
    shared.snapshots.end(is_well).await;
    clients
}

/// Ends the process at a second signal.
async fn end_at_once<T>(stop: &mut Stop) -> T {
    let number = stop.told_again().await;
    log::info!("a second signal, ending at once");
    log::logger().flush();
    std::process::exit(128 + number);
}
