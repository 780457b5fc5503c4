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

pub(crate) mod maintainer;
pub(crate) mod shared;
pub(crate) mod stage;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use flagstone_engine::{Cache, OpenError};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admin;
use crate::auth::tls::CertificateStore;
use crate::auth::users::Logins;
use crate::memory::cgroup::{Groups, Watch};
use crate::memory::governor::Governor;
use crate::memory::plan::ServerPlan;
use crate::net::gate::{self, first_of};
use crate::net::socket::Listening;
use crate::net::worker::{self, Mailbox, park_once};
use crate::observe::logs;
use crate::observe::snapshot::SnapshotTaker;
use crate::server::shared::Shared;
use crate::server::stage::Stage;
use crate::settings::config::{Config, Invalid};
use crate::settings::endpoint::{Endpoint, Place};
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

/// Why a server did not start, or did not end well.
#[derive(Debug)]
pub enum StartError {
    /// A setting cannot work.
    Invalid(Invalid),
    /// The cache's memory could not be had.
    Open(OpenError),
    /// An address could not be listened on.
    Listen(Place, io::Error),
    /// The admin pages' address could not be listened on.
    Admin(SocketAddr, io::Error),
    /// A thread, a runtime or a signal handler could not be had.
    System(io::Error),
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

/// What makes a server stop.
enum Stop {
    /// [`Running::shutdown`].
    Told(Arc<Notify>),
    /// SIGTERM or SIGINT. SIGHUP is heard beside them: certificates are read again.
    Signals {
        terminate: Signal,
        interrupt: Signal,
        hangup: Signal,
        tls: Option<Arc<CertificateStore>>,
        logins: Option<Arc<Logins>>,
    },
}

/// What made it stop, for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// [`Running::shutdown`].
    Told,
    /// A client's command.
    Command,
    /// A signal, by its number.
    Signal(i32),
}

impl Why {
    /// Who presses Ctrl-C or asks for a shutdown does not want to wait.
    fn is_hurried(self) -> bool {
        matches!(self, Why::Command) || self == Why::Signal(SignalKind::interrupt().as_raw_value())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Told => "a call",
            Why::Command => "a client's shutdown command",
            Why::Signal(number) if *number == SignalKind::interrupt().as_raw_value() => "SIGINT",
            Why::Signal(_) => "SIGTERM",
        })
    }
}

impl Stop {
    fn signals() -> io::Result<Self> {
        Ok(Stop::Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            tls: None,
            logins: None,
        })
    }

    /// From now on SIGHUP reads these again.
    fn reloads(&mut self, certificates: Option<&Arc<CertificateStore>>, users: &Arc<Logins>) {
        if let Stop::Signals { tls, logins, .. } = self {
            *tls = certificates.cloned();
            *logins = users.has_files().then(|| Arc::clone(users));
        }
    }

    /// Waits for a second signal. Who only tells may do so when a client has already asked.
    async fn told_again(&mut self) -> i32 {
        match self {
            Stop::Told(_) => std::future::pending().await,
            Stop::Signals { .. } => match self.told().await {
                Why::Signal(number) => number,
                Why::Told | Why::Command => 0,
            },
        }
    }

    /// Waits for it, and says what it was.
    async fn told(&mut self) -> Why {
        match self {
            Stop::Told(notify) => {
                notify.notified().await;
                Why::Told
            }
            Stop::Signals {
                terminate,
                interrupt,
                hangup,
                tls,
                logins,
            } => {
                let terminated = async {
                    terminate.recv().await;
                    Why::Signal(SignalKind::terminate().as_raw_value())
                };
                let interrupted = async {
                    interrupt.recv().await;
                    Why::Signal(SignalKind::interrupt().as_raw_value())
                };
                let hung_up = async {
                    loop {
                        hangup.recv().await;
                        read_again(tls.as_deref(), logins.as_deref());
                    }
                };
                first_of(first_of(terminated, interrupted), hung_up).await
            }
        }
    }
}

/// What SIGHUP does. New connections see the new certificate and the new users and tokens, those
/// there keep what they have.
fn read_again(tls: Option<&CertificateStore>, logins: Option<&Logins>) {
    if tls.is_none() && logins.is_none() {
        log::info!("SIGHUP: there is nothing to read again");
    }
    match tls.map(CertificateStore::reload) {
        None => {}
        Some(Ok(())) => {
            log::info!("SIGHUP: the certificate and its key were read again");
            warn_of_certificate(tls);
        }
        Some(Err(invalid)) => log::warn!("SIGHUP: {invalid}; the old certificate stays"),
    }
    match logins.map(Logins::reload) {
        None => {}
        Some(Ok((users, tokens))) => log::info!(
            users = users, tokens = tokens;
            "SIGHUP: users ({users}) and tokens ({tokens}) were read again; whoever has logged in \
             stays so"
        ),
        Some(Err(invalid)) => {
            log::warn!("SIGHUP: {invalid}; the old users and tokens stay");
        }
    }
}

/// Who is about to present a certificate that nobody will trust should know.
fn warn_of_certificate(tls: Option<&CertificateStore>) {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    if let Some(complaint) = tls.and_then(|tls| tls.complaint(now)) {
        log::warn!("{complaint}");
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
    warn_of_certificate(tls.as_deref());
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

/// The last message of a server.
fn tell_of_end(why: Why, took: Duration, clients: usize, cut: u64) {
    let (reason, took_ms) = (why.to_string(), took.as_millis() as u64);
    log::info!(
        reason = reason.as_str(), clients = clients, cut = cut, took_ms = took_ms;
        "stopped by {why} after {:.3} s: {clients} clients were drained, of which {cut} had not \
         finished in time",
        took.as_secs_f64(),
    );
}

/// Ends the process at a second signal.
async fn end_at_once(stop: &mut Stop) {
    let number = stop.told_again().await;
    log::info!("a second signal, ending at once");
    log::logger().flush();
    std::process::exit(128 + number);
}

fn listen_for_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listened = match admin::listen(address) {
        // All addresses, of the one family that there is.
        Err(error)
            if address.ip().is_unspecified() && is_without_ipv6(&Place::Tcp(address), &error) =>
        {
            admin::listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        listened => listened,
    };
    listened
        .and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        })
        .map_err(|error| StartError::Admin(address, error))
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

fn listen_on(
    config: &Config,
    tls: Option<&Arc<CertificateStore>>,
) -> Result<(Vec<Listening>, Vec<Place>), StartError> {
    let listen_on = |endpoint: &Endpoint| {
        let listening = Listening::open(endpoint, config.unix_mode, tls)?;
        let place = listening.place()?;
        Ok((listening, place))
    };
    let mut opened = (Vec::new(), Vec::new());
    let mut without_ipv6 = None;
    for endpoint in &config.listen {
        match listen_on(endpoint) {
            Ok((listening, place)) => {
                opened.0.push(listening);
                opened.1.push(place);
            }
            Err(error) if is_without_ipv6(&endpoint.place, &error) => {
                log::warn!("--listen {endpoint}: there is no IPv6 here ({error})");
                without_ipv6 = Some(StartError::Listen(endpoint.place.clone(), error));
            }
            Err(error) => return Err(StartError::Listen(endpoint.place.clone(), error)),
        }
    }
    match without_ipv6 {
        Some(error) if opened.0.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

/// Where a system has no IPv6, its half of `localhost`, or of all addresses, is not missed as
/// long as there is another place.
fn is_without_ipv6(place: &Place, error: &io::Error) -> bool {
    let Place::Tcp(SocketAddr::V6(address)) = place else {
        return false;
    };
    let is_general = address.ip().is_unspecified() || address.ip().is_loopback();
    is_general
        && matches!(
            Errno::from_io_error(error),
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
        )
}

/// The limit, and how it is followed. What cannot be read is not followed: whoever made the
/// settings has decided whether that matters.
fn watch_limit(root: &Path) -> (Option<Watch>, Option<u64>) {
    let read = Groups::find(root).and_then(|groups| Ok((groups.limit_bytes()?, groups.watch())));
    match read {
        Ok((limit_bytes, watch)) => (Some(watch), limit_bytes),
        Err(error) => {
            log::warn!("{error}: the container's limit is not followed");
            (None, None)
        }
    }
}

/// Files that are not connections: listeners, runtimes, what the governor reads, those being
/// shown out.
const FILES_BESIDE: u64 = 128;
/// Files that are opened for a moment: figures of the kernel, a certificate, a newcomer that is
/// refused at once.
const FILES_SPARE: usize = 8;

/// Connections that the open files allowed to the process are enough for, so that there is
/// always one for a probe and for what the server itself reads. Called when all that stays open
/// is open.
fn connections_of_files() -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return usize::MAX;
    };
    let open = std::fs::read_dir("/proc/self/fd").map_or(FILES_BESIDE as usize, Iterator::count);
    let kept = open + FILES_SPARE + admin::FILES + gate::files_for_refused();
    usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(kept)
        .max(1)
}

/// Who can be reached from elsewhere and asks for no login should know.
fn warn_of_openness(places: &[Place], logins: &Logins) {
    let is_beyond = |place: &&Place| match place {
        Place::Tcp(address) => !address.ip().is_loopback(),
        Place::Unix(_) => false,
    };
    if let Some(place) = places.iter().find(is_beyond)
        && logins.is_empty()
    {
        let address = place.to_string();
        log::warn!(
            place = address.as_str();
            "{place} can be reached from other machines and nobody has to log in: whoever gets \
             there may read, change and remove everything; --auth-token-file PATH asks for a login"
        );
    }
}

/// Who allows fewer open files than connections should know.
fn warn_of_open_files(plan: &ServerPlan) {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return;
    };
    let connections = plan.connections_max as u64;
    let needed = connections + FILES_BESIDE + 8 * plan.worker_count as u64;
    if files < needed {
        log::warn!(
            "only {files} open files are allowed, which is not enough for \
             {connections} connections: raise the limit to {needed} (ulimit -n, or docker run \
             --ulimit nofile={needed}:{needed}), or lower --max-connections"
        );
    }
}

/// Huge pages are advice that the kernel may not take: the cache works without, so this is no
/// refusal.
fn warn_of_huge_pages() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let why = match std::fs::read_to_string(path) {
        Ok(enabled) if enabled.contains("[never]") => "it says never".to_owned(),
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    log::warn!(
        "--huge-pages cannot be had here ({path}: {why}): small pages are used; set \
         that file to madvise, or leave --huge-pages out"
    );
}

/// Every connection is an open file. Some runtimes start processes with a soft limit of
/// 1,024 and a far higher hard one, which a process may raise itself to.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If that fails, accepting backs off when the files run out.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Keys must not be choosable so that they collide. The standard library already asks the
/// system for randomness for its own maps, for the same reason.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Invalid(invalid) => invalid.fmt(f),
            StartError::Open(error @ OpenError::File(_, why)) => {
                write!(f, "--arena: {error}")?;
                match why.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => f.write_str(
                        ": its file is allocated whole at the start; make room there, name \
                         another place, or lower --memory",
                    ),
                    _ => f.write_str(": name a file that can be written, or use --arena mmap"),
                }
            }
            StartError::Open(error @ OpenError::FileInUse(_)) => {
                write!(f, "--arena: {error}: each server needs a file of its own")
            }
            StartError::Open(error @ OpenError::NotAnArena(_)) => {
                write!(f, "--arena: {error}: name a file that is not there yet")
            }
            StartError::Open(error @ OpenError::Memory(_)) => {
                write!(f, "--memory: {error}: lower it, or --memory-max")
            }
            StartError::Open(error) => write!(f, "--arena: {error}"),
            StartError::Listen(place, error) => {
                write!(f, "--listen {place}: cannot listen there: {error}")
            }
            StartError::Admin(address, error) => write!(
                f,
                "--admin {address}: cannot listen there: {error}: name another address, or none"
            ),
            StartError::System(error) => write!(f, "cannot serve: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
