//! The flags, which are the settings too: each has a variable and a key in the file, and becomes a part of [`Config`].
//!
//! Every setting is taken as text and read by `parse`, whichever way it came: so a wrong
//! value has the same sentence from a flag as from the file, and the sentence names the one
//! that was really used.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser};

use crate::memory::plan::connections_default;
use crate::observe::logs::{LogSettings, parse_log_format, parse_log_level};
use crate::settings::config::{self, CONNECTIONS_MAX, Config, Invalid, WORKERS_MAX};
use crate::settings::endpoint::{Endpoint, parse_listen};
use crate::settings::limits::SPIN_MICROS_MAX;
use crate::settings::memory;
use crate::settings::parse::{
    parse_admin, parse_backing, parse_count, parse_delay, parse_eviction, parse_mode, parse_seal,
    parse_size, parse_slow_request, parse_switch, parse_timeout, parse_tls_version,
};
use crate::settings::subcommands::Sub;

/// A cache server whose whole memory is one budget, planned at the start.
#[derive(Parser)]
#[command(name = "flagstone", version, args_conflicts_with_subcommands = false)]
pub(super) struct Flags {
    #[command(subcommand)]
    pub(super) command: Option<Sub>,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Settings {
    /// A file of settings in TOML: a key for each flag, named as it is, without the dashes
    #[arg(long, global = true, value_name = "PATH", env = "FLAGSTONE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Check the settings, and exit: code 0 if they work, else 2
    #[arg(long)]
    pub(super) check_config: bool,
    /// Print the settings and where each comes from, as a file of settings, and exit
    #[arg(long)]
    pub(super) print_config: bool,
    /// Messages on stderr: plain for people, json for collectors, one a line
    #[arg(
        long,
        global = true,
        value_name = "plain|json",
        env = "FLAGSTONE_LOG_FORMAT",
        default_value = "plain"
    )]
    log_format: String,
    /// The least important messages to print: error, warn, info or debug
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "FLAGSTONE_LOG_LEVEL",
        default_value = "info"
    )]
    log_level: String,
    /// Tell of requests that took so long or longer, once a second at most; none for never
    #[arg(
        long,
        global = true,
        value_name = "TIME|none",
        env = "FLAGSTONE_SLOW_REQUEST",
        default_value = "100ms"
    )]
    slow_request: String,
    /// Keep the last 128 requests that took so long or longer, for SLOW, SLOWLOG GET and /slow; none for never
    #[arg(
        long,
        global = true,
        value_name = "TIME|none",
        env = "FLAGSTONE_SLOW_LOG",
        default_value = "10ms"
    )]
    slow_log: String,
    /// Find out which keys are asked for most, for HOTKEYS, stats hotkeys and /hotkeys
    #[arg(
        long,
        global = true,
        value_name = "BOOL",
        env = "FLAGSTONE_HOT_KEYS",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true"
    )]
    hot_keys: String,
    /// Keep the beginnings of hot keys and of those of slow requests, for administrators; else length and hash
    #[arg(
        long,
        global = true,
        value_name = "BOOL",
        env = "FLAGSTONE_TELL_KEYS",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true"
    )]
    tell_keys: String,
    /// What an allocation means that is made while a request is served: count is a figure in /metrics, abort ends the server with a
    /// backtrace, for tests
    #[arg(
        long,
        global = true,
        value_name = "count|abort",
        env = "FLAGSTONE_SEAL",
        default_value = "count"
    )]
    seal: String,
    /// Where to accept connections: ADDR:PORT, tls:ADDR:PORT or unix:PATH, for every protocol, or
    /// with native:, memcached:, binary: or resp: before it for one alone; proxy: before the place, behind
    /// a protocol, for one that a proxy's PROXY header (version 2) comes before; may be repeated, or separated by commas
    #[arg(
        long,
        global = true,
        value_name = "[PROTOCOL:]PLACE",
        env = "FLAGSTONE_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:7171"
    )]
    listen: Vec<String>,
    /// The permissions of Unix sockets' files, in octal
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        env = "FLAGSTONE_UNIX_MODE",
        default_value = "700"
    )]
    unix_mode: String,
    /// The certificate for places with tls: before them, and those above it, in PEM; read again
    /// on SIGHUP
    #[arg(long, global = true, value_name = "PATH", env = "FLAGSTONE_TLS_CERT")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM; read again on SIGHUP
    #[arg(long, global = true, value_name = "PATH", env = "FLAGSTONE_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The authorities, in PEM, one of which has to have signed the certificate that each client presents at places
    /// with tls:; read again on SIGHUP
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "FLAGSTONE_TLS_CLIENT_CA"
    )]
    tls_client_ca: Option<PathBuf>,
    /// The oldest version of TLS that is spoken: 1.2 or 1.3
    #[arg(
        long,
        global = true,
        value_name = "VERSION",
        env = "FLAGSTONE_TLS_MIN",
        default_value = "1.2"
    )]
    tls_min: String,
    /// Connections with TLS at a time; each is planned with 48 KiB, or 64 with --tls-client-ca [default: 1000, or as many as
    /// take an eighth of the memory]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "FLAGSTONE_TLS_MAX_CONNECTIONS"
    )]
    tls_max_connections: Option<String>,
    /// Address and port for health checks, metrics and a page to look at (/livez, /readyz,
    /// /metrics, /); none for nowhere
    #[arg(
        long,
        global = true,
        value_name = "ADDR:PORT|none",
        env = "FLAGSTONE_ADMIN",
        default_value = "127.0.0.1:7172"
    )]
    pub(super) admin: String,
    /// Names, separated by commas, under which browsers may ask for the admin pages; addresses,
    /// localhost and names without a dot always work
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "FLAGSTONE_ADMIN_HOST",
        value_delimiter = ','
    )]
    admin_host: Vec<String>,
    /// A file of tokens, a line each: the admin pages want to see one of them, as a bearer token or as
    /// a password that goes with any name; /livez and /readyz are for everybody; read again on SIGHUP
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "FLAGSTONE_ADMIN_TOKEN_FILE"
    )]
    pub(super) admin_token_file: Option<PathBuf>,
    /// The whole process's memory: bytes, or with k, m, g (powers of 1024; 64Mi works, too); auto takes the
    /// container's limit, or 256MiB where there is none
    #[arg(
        long,
        global = true,
        value_name = "auto|SIZE",
        env = "FLAGSTONE_MEMORY",
        default_value = "auto"
    )]
    memory: String,
    /// What the memory may grow to when the container's limit is raised while it runs
    /// [default: the memory]
    #[arg(long, global = true, value_name = "SIZE", env = "FLAGSTONE_MEMORY_MAX")]
    memory_max: Option<String>,
    /// The longest value
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "FLAGSTONE_MAX_ITEM",
        default_value = "1MiB"
    )]
    max_item: String,
    /// The longest key: 250 to 16000 bytes. A line of the native protocol holds one of about 2000, and memcached's have at
    /// most 250
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "FLAGSTONE_MAX_KEY",
        default_value = "16000"
    )]
    max_key: String,
    /// Threads that serve connections [default: the CPUs that the process may use]
    #[arg(long, global = true, value_name = "N", env = "FLAGSTONE_WORKERS")]
    workers: Option<String>,
    /// Microseconds for which a worker that is asked again and again looks for the next request before it sleeps: answers a
    /// client that waits for each sooner, for processor time
    #[arg(
        long,
        global = true,
        value_name = "MICROSECONDS",
        env = "FLAGSTONE_SPIN",
        default_value = "0"
    )]
    spin: String,
    /// Connections served at a time; the next one gets ERROR and is closed [default: 10000, or
    /// as many as leave the cache an eighth of the memory]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "FLAGSTONE_MAX_CONNECTIONS"
    )]
    max_connections: Option<String>,
    /// Each of a connection's two socket buffers: larger carries long values faster over long
    /// ways, smaller bounds what peers that do not read can cost
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "FLAGSTONE_SOCKET_BUFFER",
        default_value = "32KiB"
    )]
    socket_buffer: String,
    /// What the cache's memory is made of: heap, mmap (anonymous), or the path of a file, which the next process goes on with
    #[arg(
        long,
        global = true,
        value_name = "heap|mmap|PATH",
        env = "FLAGSTONE_ARENA",
        default_value = "mmap"
    )]
    arena: String,
    /// Do not start if there is a file at --arena of which nothing can be restored
    #[arg(long, global = true, value_name = "BOOL", env = "FLAGSTONE_ARENA_REQUIRED", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    arena_required: String,
    /// Which items leave when room is needed: adaptive (new ones prove themselves first, and for how long follows
    /// what is asked for), s3fifo (for a tenth of the memory) or lru (who was used longest ago)
    #[arg(
        long,
        global = true,
        value_name = "POLICY",
        env = "FLAGSTONE_EVICTION",
        default_value = "adaptive"
    )]
    eviction: String,
    /// Work out from a sample of the keys what the hit ratio would be with less memory, and with more
    #[arg(long, global = true, value_name = "BOOL", env = "FLAGSTONE_CURVE", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    curve: String,
    /// Touch all of the cache's memory before the first connection
    #[arg(long, global = true, value_name = "BOOL", env = "FLAGSTONE_PREFAULT", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    prefault: String,
    /// Ask the kernel for huge pages
    #[arg(long, global = true, value_name = "BOOL", env = "FLAGSTONE_HUGE_PAGES", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    huge_pages: String,
    /// A file that all items are written to at the end, after the last request, and whenever `flagstone
    /// snapshot` asks for it; the next start restores them, on whatever machine and with whatever memory
    #[arg(long, global = true, value_name = "PATH", env = "FLAGSTONE_SNAPSHOT")]
    snapshot: Option<PathBuf>,
    /// How long writing that file at the end may take; after that an older one stays as it is
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "FLAGSTONE_SNAPSHOT_TIMEOUT",
        default_value = "20s"
    )]
    snapshot_timeout: String,
    /// After a first SIGTERM, how long to go on serving while /readyz says no, so that whoever
    /// sends requests here finds out before the door closes
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "FLAGSTONE_DRAIN_DELAY",
        default_value = "0"
    )]
    drain_delay: String,
    /// How long a shutdown may take: seconds, or with ms, s, m, h
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "FLAGSTONE_DRAIN_TIMEOUT",
        default_value = "10s"
    )]
    drain_timeout: String,
    /// How long a connection may hold a buffer (half a request, an unread reply) without getting on
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "FLAGSTONE_STALL_TIMEOUT",
        default_value = "30s"
    )]
    stall_timeout: String,
    /// Let clients remove everything at once (FLUSH, flush_all)
    #[arg(long, global = true, value_name = "BOOL", env = "FLAGSTONE_FLUSH", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    flush: String,
    /// Let clients shut the server down (memcached's shutdown)
    #[arg(long, global = true, value_name = "BOOL", env = "FLAGSTONE_ENABLE_SHUTDOWN", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    enable_shutdown: String,
    /// Close connections that have not logged in so long after they came, where everybody has to; 0
    /// is never
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "FLAGSTONE_LOGIN_TIMEOUT",
        default_value = "5s"
    )]
    login_timeout: String,
    /// Close connections on which nothing was asked for so long: seconds, or with ms, s, m, h; 0
    /// is never
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "FLAGSTONE_IDLE_TIMEOUT",
        default_value = "0"
    )]
    idle_timeout: String,
    /// A file with a line user:password for each who may log in, as memcached's clients do with a
    /// set; if it is given, everybody has to; [read], [write] or [admin] and a space may stand before it, and
    /// say what that user may do [everything]; read again on SIGHUP
    #[arg(long, global = true, value_name = "PATH", env = "FLAGSTONE_AUTH_FILE")]
    pub(super) auth_file: Option<PathBuf>,
    /// A file of tokens, a line each: clients must begin with AUTH and one of them, or in
    /// memcached's protocol with a set whose value is any name, a space, and the token; with [read], [write] or
    /// [admin] before it as in --auth-file; read again on SIGHUP
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "FLAGSTONE_AUTH_TOKEN_FILE"
    )]
    pub(super) auth_token_file: Option<PathBuf>,
    /// Let clients move the clock, for tests
    #[arg(long, global = true, hide = true, value_name = "BOOL", env = "FLAGSTONE_TEST_HOOKS", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    test_hooks: String,
    /// Where proc and sys are, for tests
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "DIR",
        env = "FLAGSTONE_CGROUP_ROOT",
        default_value = "/"
    )]
    cgroup_root: PathBuf,
}

/// The definition of the command line, for manuals and shell completions too.
#[must_use]
pub fn command() -> clap::Command {
    Flags::command()
}

/// The settings: all flags that have a variable, which the file may have too.
pub(super) fn settings(command: &clap::Command) -> impl Iterator<Item = (&clap::Arg, &str, &str)> {
    command.get_arguments().filter_map(|argument| {
        let variable = argument.get_env()?.to_str()?;
        Some((argument, argument.get_long()?, variable))
    })
}

impl Settings {
    pub(super) fn listen(&self) -> Result<Vec<Endpoint>, Invalid> {
        parse_listen("--listen", &self.listen.join(","))
    }

    pub(super) fn log(&self) -> Result<LogSettings, Invalid> {
        Ok(LogSettings {
            format: parse_log_format("--log-format", &self.log_format)?,
            level: parse_log_level("--log-level", &self.log_level)?,
        })
    }

    pub(super) fn config(&self, admin_is_default: bool) -> Result<Config, Invalid> {
        let memory_bytes_max = match &self.memory_max {
            Some(most) => Some(parse_size("--memory-max", most)?),
            None => None,
        };
        let (memory_bytes, memory_is_limit) =
            memory::bytes(&self.memory, memory_bytes_max, &self.cgroup_root)?;
        let mut config = Config {
            listen: self.listen()?,
            unix_mode: parse_mode("--unix-mode", &self.unix_mode)?,
            flush: parse_switch("--flush", &self.flush)?,
            test_hooks: parse_switch("--test-hooks", &self.test_hooks)?,
            slow_request: parse_slow_request("--slow-request", &self.slow_request)?,
            slow_log: parse_slow_request("--slow-log", &self.slow_log)?,
            hot_keys: parse_switch("--hot-keys", &self.hot_keys)?,
            tells_keys: parse_switch("--tell-keys", &self.tell_keys)?,
            seal: parse_seal("--seal", &self.seal)?,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            tls_client_ca: self.tls_client_ca.clone(),
            tls_min: parse_tls_version("--tls-min", &self.tls_min)?,
            tls_connections_max: match &self.tls_max_connections {
                Some(most) => parse_count("--tls-max-connections", most, 1, CONNECTIONS_MAX)?,
                None => crate::memory::costs::tls_connections_default(
                    memory_bytes,
                    self.tls_client_ca.is_some(),
                ),
            },
            admin: parse_admin("--admin", &self.admin)?,
            admin_is_default,
            admin_hosts: self.admin_host.clone(),
            admin_token_file: self.admin_token_file.clone(),
            snapshot: self.snapshot.clone(),
            snapshot_timeout: parse_timeout("--snapshot-timeout", &self.snapshot_timeout)?,
            drain_delay: parse_delay("--drain-delay", &self.drain_delay)?,
            auth_file: self.auth_file.clone(),
            auth_token_file: self.auth_token_file.clone(),
            shutdown: parse_switch("--enable-shutdown", &self.enable_shutdown)?,
            login_timeout: parse_delay("--login-timeout", &self.login_timeout)?,
            idle_timeout: match self.idle_timeout.as_str() {
                "0" => None,
                text => Some(parse_timeout("--idle-timeout", text)?),
            },
            memory_bytes,
            memory_bytes_max,
            memory_is_limit,
            cgroup_root: Some(self.cgroup_root.clone()),
            socket_buffer_bytes: parse_size("--socket-buffer", &self.socket_buffer)?,
            item_bytes_max: parse_size("--max-item", &self.max_item)?,
            key_bytes_max: parse_size("--max-key", &self.max_key)?,
            workers: match &self.workers {
                Some(workers) => parse_count("--workers", workers, 1, WORKERS_MAX)?,
                None => config::workers_default(),
            },
            spin: Duration::from_micros(
                parse_count("--spin", &self.spin, 0, SPIN_MICROS_MAX)? as u64
            ),
            connections_max: match &self.max_connections {
                Some(connections) => {
                    parse_count("--max-connections", connections, 1, CONNECTIONS_MAX)?
                }
                None => 1,
            },
            backing: parse_backing("--arena", &self.arena)?,
            arena_required: parse_switch("--arena-required", &self.arena_required)?,
            eviction: parse_eviction("--eviction", &self.eviction)?,
            curve: parse_switch("--curve", &self.curve)?,
            prefault: parse_switch("--prefault", &self.prefault)?,
            huge_pages: parse_switch("--huge-pages", &self.huge_pages)?,
            drain_timeout: parse_timeout("--drain-timeout", &self.drain_timeout)?,
            stall_timeout: parse_timeout("--stall-timeout", &self.stall_timeout)?,
        };
        config.validate()?;
        if self.max_connections.is_none() {
            config.connections_max = connections_default(&config);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
