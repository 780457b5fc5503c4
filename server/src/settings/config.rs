//! Settings, validated.
//!
//! A setting arrives as text from a flag or the environment, and leaves as a value that the
//! rest of the server trusts. What cannot work is refused here, in one sentence that names
//! the setting, the value and what would work.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flagstone_engine::{Backing, Eviction};

use crate::observe::allocations::Seal;
use crate::proto::{KEY_BYTES_MAX, LONG_KEY_BYTES_MAX};
use crate::settings::endpoint::{Endpoint, Place};
use crate::settings::limits::Limits;
use crate::settings::parse::check_range;
use crate::settings::size::size_text;

/// A version of TLS that a server can be told to insist on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 or later.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Everything that a server can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to accept connections, at least one place.
    pub listen: Vec<Endpoint>,
    /// The permissions of Unix sockets' files.
    pub unix_mode: u32,
    /// The file with the certificate for places with TLS, and those above it.
    pub tls_cert: Option<PathBuf>,
    /// The file with its key.
    pub tls_key: Option<PathBuf>,
    /// The file with the authorities one of which has to have signed a client's certificate; `None`: clients need none.
    pub tls_client_ca: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    pub tls_min: TlsVersion,
    /// TLS connections served at a time, of all connections.
    pub tls_connections_max: usize,
    /// Where the admin pages are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Nobody has asked for that address: if it is taken, the server goes on without.
    pub admin_is_default: bool,
    /// Names by which browsers may ask for the admin pages, beside addresses, `localhost` and
    /// names without a dot.
    pub admin_hosts: Vec<String>,
    /// The file with the tokens that the admin pages want to see; `None`: they want none.
    pub admin_token_file: Option<PathBuf>,
    /// The whole process's memory: all that the server plans with.
    pub memory_bytes: usize,
    /// What the memory may grow to while it runs, when the limit is raised; `None`: no more
    /// than `memory_bytes`.
    pub memory_bytes_max: Option<usize>,
    /// Whether `memory_bytes` is the limit of the control group, not somebody's choice: then
    /// a refusal says so.
    pub memory_is_limit: bool,
    /// Where the limit of the control group is read from while the server runs: the directory
    /// with `proc` and `sys` in it, so `/`. `None`: no limit is followed.
    pub cgroup_root: Option<PathBuf>,
    /// The longest value.
    pub item_bytes_max: usize,
    /// The longest key.
    pub key_bytes_max: usize,
    /// Threads that serve connections.
    pub workers: usize,
    /// For so long a worker looks for events before it sleeps.
    pub spin: Duration,
    /// Connections served at a time; the next is told `ERROR`.
    pub connections_max: usize,
    /// What each of a connection's two socket buffers takes.
    pub socket_buffer_bytes: usize,
    /// What the arena is made of.
    pub backing: Backing,
    /// An arena file of which nothing can be restored is a reason not to start.
    pub arena_required: bool,
    /// Which items leave when room is needed.
    pub eviction: Eviction,
    /// Work out the hit ratio with less memory, and more.
    pub curve: bool,
    /// Touch the whole arena before the first connection.
    pub prefault: bool,
    /// Ask the kernel for huge pages.
    pub huge_pages: bool,
    /// Requests that take so long or longer are told of.
    pub slow_request: Option<Duration>,
    /// Requests that take so long or longer are kept in a list of the last of them.
    pub slow_log: Option<Duration>,
    /// Whether it is found out which keys are asked for most.
    pub hot_keys: bool,
    /// What an allocation means that is made while a request is served.
    pub seal: Seal,
    /// Whether beginnings of keys are kept for administrators: in that list, and of those that are asked for most.
    pub tells_keys: bool,
    /// The file that items are written to at the end and restored from at the start; `None`: they are not kept.
    pub snapshot: Option<PathBuf>,
    /// How long writing it at the end may take.
    pub snapshot_timeout: Duration,
    /// How long it goes on serving, and says that it is leaving, before a shutdown begins.
    pub drain_delay: Duration,
    /// How long a shutdown may take.
    pub drain_timeout: Duration,
    /// How long a connection may hold a buffer without getting on.
    pub stall_timeout: Duration,
    /// Whether clients may remove everything.
    pub flush: bool,
    /// Whether clients may move the clock: for tests.
    pub test_hooks: bool,
    /// Whether clients may shut the server down.
    pub shutdown: bool,
    /// How long a connection may take to log in, where everybody has to; zero: for ever.
    pub login_timeout: Duration,
    /// How long a connection may ask nothing; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// The file with those who may log in; `None`: nobody has to.
    pub auth_file: Option<PathBuf>,
    /// A file with tokens, of which clients must send one: `AUTH token`.
    pub auth_token_file: Option<PathBuf>,
}

/// Workers that can be asked for.
pub const WORKERS_MAX: usize = 256;
/// Connections that can be asked for.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Connections that are allowed when nobody has said how many, if the memory suffices.
pub const CONNECTIONS_MAX_DEFAULT: usize = 10_000;
/// The memory when nobody has said how much and no limit says it either.
pub const MEMORY_BYTES_DEFAULT: usize = 256 << 20;
/// A connection's socket buffers, each, when nobody has said how large.
pub const SOCKET_BUFFER_BYTES_DEFAULT: usize = 32 << 10;
/// The smallest that can be asked for; the kernel's own least is about as much.
pub const SOCKET_BUFFER_BYTES_LEAST: usize = 4 << 10;
/// The largest that can be asked for.
pub const SOCKET_BUFFER_BYTES_MOST: usize = 16 << 20;
/// The longest timeout, a day: long enough, and far from overflowing anything.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 7171)).into()],
            unix_mode: 0o700,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_min: TlsVersion::Tls12,
            tls_connections_max: crate::memory::costs::tls_connections_default(
                MEMORY_BYTES_DEFAULT,
                false,
            ),
            admin: None,
            admin_is_default: false,
            admin_hosts: Vec::new(),
            admin_token_file: None,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            memory_bytes_max: None,
            memory_is_limit: false,
            cgroup_root: None,
            item_bytes_max: 1 << 20,
            key_bytes_max: LONG_KEY_BYTES_MAX,
            workers: workers_default(),
            spin: Duration::ZERO,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            socket_buffer_bytes: SOCKET_BUFFER_BYTES_DEFAULT,
            backing: Backing::Mmap,
            curve: true,
            prefault: false,
            arena_required: false,
            huge_pages: false,
            eviction: Eviction::default(),
            slow_request: Some(Duration::from_millis(100)),
            slow_log: Some(Duration::from_millis(10)),
            hot_keys: true,
            seal: Seal::default(),
            tells_keys: true,
            snapshot: None,
            snapshot_timeout: Duration::from_secs(20),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            flush: true,
            test_hooks: false,
            shutdown: false,
            login_timeout: Duration::from_secs(5),
            idle_timeout: None,
            auth_file: None,
            auth_token_file: None,
        }
    }
}

/// The CPUs that the process may use, as the affinity mask and the cgroup's quota say.
#[must_use]
pub fn workers_default() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(WORKERS_MAX))
}

/// A setting that cannot work: what, and what would. Its text is one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub(super) setting: String,
    pub(super) value: String,
    pub(super) why: String,
}

impl Invalid {
    /// `setting` is a flag's name, `why` goes on behind "`setting value` ".
    pub fn new(
        setting: impl Into<String>,
        value: impl fmt::Display,
        why: impl Into<String>,
    ) -> Self {
        Invalid {
            setting: setting.into(),
            value: value.to_string(),
            why: why.into(),
        }
    }

    /// The same, blaming the environment variable or the file that the value came from.
    #[must_use]
    pub fn given_by(self, giver: &str) -> Self {
        Invalid {
            setting: format!("{giver} ({})", self.setting),
            ..self
        }
    }

    /// The flag or variable.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.setting, self.value, self.why)
    }
}

impl std::error::Error for Invalid {}

impl Config {
    /// What clients may do, and how long.
    #[must_use]
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            stall_timeout: self.stall_timeout,
            drain_timeout: self.drain_timeout,
            flush: self.flush,
            test_hooks: self.test_hooks,
            shutdown: self.shutdown,
            login_timeout: self.login_timeout,
            idle_timeout: self.idle_timeout,
            slow_request: self.slow_request,
            slow_log: self.slow_log,
            hot_keys: self.hot_keys,
            tells_keys: self.tells_keys,
            spin: self.spin,
        }
    }

    /// Checks what can be checked without planning the memory.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.listen.is_empty() {
            return Err(Invalid::new("--listen", "", "needs at least one address"));
        }
        check_range("--workers", self.workers, 1, WORKERS_MAX)?;
        check_range(
            "--max-connections",
            self.connections_max,
            1,
            CONNECTIONS_MAX,
        )?;
        check_range("--max-item", self.item_bytes_max, 1, usize::MAX >> 1)?;
        check_range(
            "--max-key",
            self.key_bytes_max,
            KEY_BYTES_MAX,
            LONG_KEY_BYTES_MAX,
        )?;
        check_range(
            "--socket-buffer",
            self.socket_buffer_bytes,
            SOCKET_BUFFER_BYTES_LEAST,
            SOCKET_BUFFER_BYTES_MOST,
        )?;
        if let Some(path) = &self.snapshot
            && path.file_name().is_none()
        {
            let why = "is no file's path: such as /var/lib/flagstone/snapshot works";
            return Err(Invalid::new("--snapshot", path.display(), why));
        }
        self.validate_places()?;
        self.validate_growth()?;
        for (setting, timeout) in [
            ("--drain-timeout", self.drain_timeout),
            ("--stall-timeout", self.stall_timeout),
            ("--snapshot-timeout", self.snapshot_timeout),
        ] {
            if timeout.is_zero() || timeout > TIMEOUT_MAX {
                return Err(Invalid::new(
                    setting,
                    format!("{timeout:?}"),
                    "is out of range: 1 millisecond to 24 hours work",
                ));
            }
        }
        Ok(())
    }
}

impl Config {
    /// No two places may be one. An address of one family does not get in the way of the other.
    fn validate_places(&self) -> Result<(), Invalid> {
        let tcp = |place: &Place| match place {
            Place::Tcp(address) if address.port() != 0 => Some(*address),
            _ => None,
        };
        let is_one = |one: &SocketAddr, other: &SocketAddr| {
            let (a, b) = (one.ip(), other.ip());
            one.port() == other.port()
                && a.is_ipv4() == b.is_ipv4()
                && (a == b || a.is_unspecified() || b.is_unspecified())
        };
        for (no, endpoint) in self.listen.iter().enumerate() {
            let before = self.listen[..no].iter().find(|before| {
                let tcp = tcp(&endpoint.place).zip(tcp(&before.place));
                let is_file = matches!(endpoint.place, Place::Unix(_));
                tcp.is_some_and(|(one, other)| is_one(&one, &other))
                    || (is_file && before.place == endpoint.place)
            });
            if let Some(before) = before {
                let why = format!("is a place that {before} has already: one of them works");
                return Err(Invalid::new("--listen", endpoint, why));
            }
        }
        let admin = self.admin.filter(|_| !self.admin_is_default);
        let listens = |admin: &SocketAddr| {
            let mut all = self.listen.iter().filter_map(|place| tcp(&place.place));
            all.any(|place| admin.port() != 0 && is_one(admin, &place))
        };
        if let Some(admin) = admin.filter(listens) {
            let why = "is a place of --listen: another port works";
            return Err(Invalid::new("--admin", admin, why));
        }
        Ok(())
    }

    /// Memory that is to be had later must be memory that can be left alone until then.
    fn validate_growth(&self) -> Result<(), Invalid> {
        let Some(most) = self.memory_bytes_max else {
            return Ok(());
        };
        let refuse = |why: &str| Err(Invalid::new("--memory-max", size_text(most), why));
        if most < self.memory_bytes {
            return refuse(&format!(
                "is less than the memory: {} or more works",
                size_text(self.memory_bytes)
            ));
        }
        if most == self.memory_bytes {
            return Ok(());
        }
        if self.backing != Backing::Mmap {
            return refuse(
                "cannot be more than the memory with this arena, which is allocated whole: \
                 --arena mmap works",
            );
        }
        if self.huge_pages {
            return refuse(
                "cannot be more than the memory with --huge-pages, of which none can be left \
                 alone: --huge-pages=false works",
            );
        }
        if self.prefault {
            return refuse(
                "cannot be more than the memory with --prefault, which touches all of it: \
                 --prefault=false works",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
