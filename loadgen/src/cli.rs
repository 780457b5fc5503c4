//! The command line → [`Settings`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::login::Login;
use crate::settings::{
    Distribution, Length, Mix, Settings, Sizes, parse_count, parse_rate, parse_time, parse_ttl,
};
use crate::socket::Place;
use crate::tls::Tls;
use crate::wire::{PROTOCOLS, Protocol};

/// Puts load on a cache server and measures how it bears it.
///
/// Values are made so that whoever reads one can tell whose it is and whether a byte is wrong;
/// every value that is read is checked. A wrong value, or a request that the server refuses,
/// makes the exit code 1. Misses are counted and are no error: that is what caches do.
#[derive(Debug, Parser)]
#[command(
    name = "flagstone-bench",
    version,
    after_help = "Examples:
  flagstone-bench                                      Flagstone on its default port, 9 reads to 1 write
  flagstone-bench 127.0.0.1:11211 -p memcache -P 32    memcached, 32 requests at a time
  flagstone-bench 127.0.0.1:6379 -p resp --mix 1:0     redis or valkey, reads only
  flagstone-bench unix:/run/cache.sock                 over a Unix socket
  flagstone-bench --rate 40k --html report.html        latency at a fixed rate, with plots

Latency: without --rate, a request's time counts from the moment its batch is sent, and a slow
server is asked less often. With --rate it counts from the moment the request was due, sent or
not, so a stall is charged to every request that had to wait for it. Compare latencies of
servers at the same --rate, and throughput without it."
)]
pub struct Flags {
    /// The server's address and port, or its Unix socket
    #[arg(value_name = "ADDR:PORT|unix:PATH", default_value = "127.0.0.1:7171")]
    address: String,
    /// The protocol to speak: native is Flagstone's own, memcache is get and set, meta is mg and
    /// ms, resp is GET and SET of redis and valkey
    #[arg(short, long, value_enum, default_value = "native")]
    protocol: ProtocolName,
    /// Speak TLS; whom to trust is told by --tls-ca or --tls-insecure
    #[arg(long)]
    tls: bool,
    /// The authorities, PEM, one of which has signed the server's certificate, or that
    /// certificate itself; it has to be for the name or the address that is connected to
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls",
        conflicts_with = "tls_insecure"
    )]
    tls_ca: Option<PathBuf>,
    /// Take any certificate: whoever sits between sees all
    #[arg(long, requires = "tls")]
    tls_insecure: bool,
    /// A file of one line to log in with: a token, or a user, a space and a password
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Connections, all open from the start to the end
    #[arg(short, long, value_name = "N", value_parser = parse_count, default_value = "50")]
    connections: u64,
    /// Threads of the generator; the connections are shared out among them
    #[arg(short, long, value_name = "N", value_parser = parse_count, default_value = "1")]
    threads: u64,
    /// Requests that a connection sends at once; the next ones follow when all are answered.
    /// With --rate: requests that a connection may have under way
    #[arg(short = 'P', long, value_name = "N", value_parser = parse_count, default_value = "1")]
    pipeline: u64,
    /// How many different keys there are; k and m are thousands and millions
    #[arg(short, long, value_name = "N", value_parser = parse_count, default_value = "100k")]
    keys: u64,
    /// Bytes in a key, or a range of them
    #[arg(long, value_name = "SIZE[-SIZE]", default_value = "20")]
    key_size: Sizes,
    /// What each key begins with; it is part of --key-size, eight bytes less than which it has
    /// at most
    #[arg(long, value_name = "TEXT", default_value = "")]
    key_prefix: String,
    /// Bytes in a value, or a range of them, all sizes alike; k and m are powers of 1024
    #[arg(short = 's', long, value_name = "SIZE[-SIZE]", default_value = "32")]
    value_size: Sizes,
    /// Which keys are asked for more often: uniform, zipf, or zipf:EXPONENT (zipf is zipf:0.99)
    #[arg(short, long, value_name = "NAME", default_value = "uniform")]
    distribution: Distribution,
    /// Shares of reads and writes, or reads, writes and deletes
    #[arg(short, long, value_name = "R:W[:D]", default_value = "9:1")]
    mix: Mix,
    /// Written values are gone after so long, whole seconds
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    ttl: Option<u32>,
    /// Keys that a read asks for at once: memcached's get of several keys, redis' MGET. Hits
    /// and misses are then counted by keys, all else by requests
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "1")]
    multi_get: u64,
    /// Measure for so long
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s", conflicts_with = "requests")]
    duration: Duration,
    /// Measure so many requests, however long it takes
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count)]
    requests: Option<u64>,
    /// Send so many requests a second at fixed times, whatever the server does
    #[arg(short, long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// The same load for so long before anything is measured
    #[arg(short, long, value_name = "TIME", value_parser = parse_time, default_value = "1s")]
    warmup: Duration,
    /// Do not write every key once at the start
    #[arg(long)]
    no_preload: bool,
    /// Do not check the values that are read
    #[arg(long)]
    no_verify: bool,
    /// Give up when the server has been silent for so long
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s")]
    timeout: Duration,
    /// The same seed plays the same requests
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Whose keys to use, eight hex digits: those of an earlier run, which told its number. Without it the run has keys of its own
    #[arg(long, value_name = "ID", value_parser = parse_run)]
    run: Option<u32>,
    /// The server's process, if it runs on this machine: its CPU time for one request is
    /// reported
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Write the report as JSON, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as a page with plots, too; it needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// [`Protocol`], by name.
#[derive(Clone, Copy, Debug)]
struct ProtocolName(Protocol);

impl ValueEnum for ProtocolName {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                ProtocolName(PROTOCOLS[0].1),
                ProtocolName(PROTOCOLS[1].1),
                ProtocolName(PROTOCOLS[2].1),
                ProtocolName(PROTOCOLS[3].1),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

fn parse_run(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 16).map_err(|_| "up to eight hex digits work".to_owned())
}

/// A number that no other run has, but by chance: the standard library's own randomness.
fn any_run() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}

impl Flags {
    fn tls(&self) -> Result<Option<Tls>, String> {
        if !self.tls {
            return Ok(None);
        }
        if self.tls_ca.is_none() && !self.tls_insecure {
            return Err(
                "--tls trusts nobody yet: --tls-ca FILE names whom, --tls-insecure trusts anyone"
                    .to_owned(),
            );
        }
        // A Unix socket has no name of its own.
        let host = match self.address.rsplit_once(':') {
            Some((host, _)) if host != "unix" => host,
            _ => "localhost",
        };
        Ok(Some(Tls {
            name: host.trim_matches(['[', ']']).to_owned(),
            ca: self.tls_ca.clone(),
        }))
    }

    /// The settings that these flags mean.
    ///
    /// # Errors
    /// With the flag, its value and what works.
    pub fn settings(&self) -> Result<Settings, String> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let settings = Settings {
            address: self.address.parse::<Place>()?,
            protocol: self.protocol.0,
            tls: self.tls()?,
            login: self.auth_file.as_deref().map(Login::read).transpose()?,
            connections: size(self.connections),
            threads: size(self.threads),
            pipeline: size(self.pipeline),
            keys: u32::try_from(self.keys)
                .map_err(|_| format!("--keys {} is more than {}", self.keys, u32::MAX))?,
            key_bytes: self.key_size,
            key_prefix: self.key_prefix.clone(),
            ttl_seconds: self.ttl.unwrap_or(0),
            value_bytes: self.value_size,
            multi_get: size(self.multi_get),
            distribution: self.distribution,
            mix: self.mix,
            preload: !self.no_preload,
            warmup: self.warmup,
            length: match self.requests {
                Some(requests) => Length::Requests(requests),
                None => Length::Time(self.duration),
            },
            rate: self.rate,
            verify: !self.no_verify,
            seed: self.seed,
            run: self.run.unwrap_or_else(any_run),
            timeout: self.timeout,
            pid: self.pid,
        };
        settings.validate()?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let flags = Flags::try_parse_from(["flagstone-bench"]).expect("no flag is needed");
        let settings = flags.settings().expect("valid");
        let expected = Settings {
            // A number of its own.
            run: settings.run,
            ..Settings::default()
        };
        assert_eq!(format!("{settings:?}"), format!("{expected:?}"));
        assert_ne!(settings.run, flags.settings().expect("valid").run);
    }
}
