//! The command line → [`Settings`].

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::login::Login;
use crate::settings::{
    Distribution, Length, Mix, Settings, Sizes, parse_count, parse_rate, parse_time, parse_ttl,
};
use crate::socket::Place;
use crate::tls::Tls;
use crate::wire::{PROTOCOLS, Protocol};

/// Rounds of several servers, where none are asked for.
const ROUNDS_OF_SEVERAL: usize = 5;

/// Puts load on a cache server, or several in turn, and measures how they bear it.
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
  flagstone-bench 127.0.0.1:11211 -P 32                memcached, 32 requests at a time
  flagstone-bench 127.0.0.1:6379 --mix 1:0             redis or valkey, reads only
  flagstone-bench unix:/run/cache.sock                 over a Unix socket
  flagstone-bench --rate 40k --html report.html        latency at a fixed rate, with plots
  flagstone-bench 127.0.0.1:7171 memcached=127.0.0.1:11211 redis=unix:/run/redis.sock --html report.html
                                                       three servers in one report
  flagstone-bench get=memcache://127.0.0.1:11211 mg=meta://127.0.0.1:11211
                                                       one server in two protocols

Several servers: all are connected to and preloaded first. Then, in each of --rounds, one after
another is warmed up and measured, never two at once; each round begins with the next of them. So
what else the machine does hits all, and no server has the others' load beside it. The report has a
column a server, and ratios to the first. --duration and --requests are for one server, all rounds
together; --json is then a list of reports. A server that dies is left out from then on, and its
column says so.

Latency: without --rate, a request's time counts from the moment its batch is sent, and a slow
server is asked less often. With --rate it counts from the moment the request was due, sent or
not, so a stall is charged to every request that had to wait for it. Compare latencies of
servers at the same --rate, and throughput without it."
)]
pub struct Flags {
    /// The server's address and port, or its Unix socket; several are compared. A name in front,
    /// NAME=, stands in the report; a protocol, as in resp://ADDR:PORT, goes before --protocol
    #[arg(
        value_name = "[NAME=][PROTOCOL://]ADDR:PORT|unix:PATH",
        default_value = "127.0.0.1:7171"
    )]
    servers: Vec<Target>,
    /// The protocol to speak: native is Flagstone's own, memcache is get and set, meta is mg and
    /// ms, resp is GET and SET of redis and valkey. Without it, the server's answer to a first
    /// question tells: native, memcache or resp
    #[arg(short, long, value_enum)]
    protocol: Option<ProtocolName>,
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
    /// Measure in so many parts, those of several servers in turn [default: 1, and 5 of several
    /// servers]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    rounds: Option<u64>,
    /// Send so many requests a second at fixed times, whatever the server does
    #[arg(short, long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// The same load for so long before anything is measured, in each round
    #[arg(short, long, value_name = "TIME", value_parser = parse_time, default_value = "1s")]
    warmup: Duration,
    /// Do not write every key once at the start
    #[arg(long)]
    no_preload: bool,
    /// Do not check the values that are read
    #[arg(long)]
    no_verify: bool,
    /// Give up when the server has been silent for so long, or owes replies so long after the end
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s")]
    timeout: Duration,
    /// The same seed plays the same requests
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Whose keys to use, eight hex digits: those of an earlier run, which told its number. Without it the run has keys of its own
    #[arg(long, value_name = "ID", value_parser = parse_run)]
    run: Option<u32>,
    /// The server's process, if it runs on this machine: its CPU time for one request is
    /// reported. With several servers, one for each, in their order
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
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

/// A server as it is named on the command line.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    /// What it was called.
    name: Option<String>,
    /// The rest, as it was written: a name for want of one.
    text: String,
    protocol: Option<Protocol>,
    /// Looked up when settings are made.
    address: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may hold an equals sign; a name has neither colon nor slash.
        let named = text.split_once('=');
        let named = named.filter(|(name, _)| !name.contains([':', '/']));
        let (name, rest) = match named {
            Some((name, rest)) => (Some(name.to_owned()), rest),
            None => (None, text),
        };
        if name.as_deref() == Some("") {
            return Err("there is no name before the =".to_owned());
        }
        let (protocol, address) = match rest.split_once("://") {
            None => (None, rest),
            Some((word, address)) => {
                let found = PROTOCOLS.iter().find(|(name, _)| *name == word);
                let Some(&(_, protocol)) = found else {
                    return Err(format!(
                        "{word:?} is no protocol: native, memcache, meta or resp work"
                    ));
                };
                (Some(protocol), address)
            }
        };
        Ok(Target {
            name,
            text: rest.to_owned(),
            protocol,
            address: address.to_owned(),
        })
    }
}

/// A number that no other run has, but by chance: the standard library's own randomness.
fn any_run() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}

impl Flags {
    fn tls(&self, address: &str) -> Result<Option<Tls>, String> {
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
        let host = match address.rsplit_once(':') {
            Some((host, _)) if host != "unix" => host,
            _ => "localhost",
        };
        Ok(Some(Tls {
            name: host.trim_matches(['[', ']']).to_owned(),
            ca: self.tls_ca.clone(),
        }))
    }

    /// The settings that these flags mean, for each server. `detect` says which protocol a server
    /// speaks of which none of the flags does.
    ///
    /// # Errors
    /// With the flag, its value and what works.
    pub fn settings(
        &self,
        detect: impl Fn(&Settings) -> Protocol,
    ) -> Result<Vec<Settings>, String> {
        let several = self.servers.len() > 1;
        if !self.pid.is_empty() && self.pid.len() != self.servers.len() {
            return Err(format!(
                "--pid is given for {} of {} servers: one for each works, in their order",
                self.pid.len(),
                self.servers.len()
            ));
        }
        let login = self.auth_file.as_deref().map(Login::read).transpose()?;
        let run = self.run.unwrap_or_else(any_run);
        let mut all: Vec<Settings> = Vec::with_capacity(self.servers.len());
        for (number, target) in self.servers.iter().enumerate() {
            let name = target.name.as_ref();
            let name = name.or(several.then_some(&target.text));
            let name = name.cloned().unwrap_or_default();
            if all.iter().any(|other| other.name == name) {
                return Err(format!(
                    "two servers are called {name}: names of their own tell them apart, as in a={0}",
                    target.text
                ));
            }
            let protocol = target.protocol.or(self.protocol.map(|name| name.0));
            let mut settings = Settings {
                name,
                address: target.address.parse::<Place>()?,
                // Until it is known: the one that refuses nothing.
                protocol: protocol.unwrap_or(Protocol::Memcache),
                tls: self.tls(&target.address)?,
                login: login.clone(),
                pid: self.pid.get(number).copied(),
                run,
                ..self.common(several)?
            };
            settings.validate()?;
            if protocol.is_none() {
                settings.protocol = detect(&settings);
                settings.validate()?;
            }
            all.push(settings);
        }
        Ok(all)
    }

    /// What all servers have in common.
    fn common(&self, several: bool) -> Result<Settings, String> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Settings {
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
            rounds: self
                .rounds
                .map_or(if several { ROUNDS_OF_SEVERAL } else { 1 }, size),
            rate: self.rate,
            verify: !self.no_verify,
            seed: self.seed,
            timeout: self.timeout,
            ..Settings::default()
        })
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

    fn settings(arguments: &[&str]) -> Result<Vec<Settings>, String> {
        let words = ["flagstone-bench"].iter().chain(arguments);
        let flags = Flags::try_parse_from(words).map_err(|error| error.to_string())?;
        // As if this one were redis.
        flags.settings(|settings| match settings.address.to_string().as_str() {
            "127.0.0.1:6379" => Protocol::Resp,
            _ => Protocol::Native,
        })
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let found = settings(&[]).expect("no flag is needed");
        let expected = Settings {
            // A number of its own.
            run: found[0].run,
            ..Settings::default()
        };
        assert_eq!(format!("{found:?}"), format!("{:?}", [expected]));
        assert_ne!(found[0].run, settings(&[]).expect("valid")[0].run);
    }

    #[test]
    fn servers_have_names_and_protocols() {
        let row = |s: &Settings| (s.name.clone(), s.protocol, s.address.to_string());
        let is =
            |name: &str, protocol, address: &str| (name.to_owned(), protocol, address.to_owned());
        let three = settings(&["127.0.0.1:7171", "r=127.0.0.1:6379", "m=meta://unix:/a=b"]);
        let three = three.expect("valid");
        assert_eq!(
            three.iter().map(row).collect::<Vec<_>>(),
            [
                is("127.0.0.1:7171", Protocol::Native, "127.0.0.1:7171"),
                is("r", Protocol::Resp, "127.0.0.1:6379"),
                is("m", Protocol::Meta, "unix:/a=b"),
            ]
        );
        assert!(three.iter().all(|s| s.rounds == 5 && s.run == three[0].run));
        let one = settings(&["resp://127.0.0.1:1", "-p", "meta"]).expect("valid");
        // Nobody has to tell it from another.
        assert_eq!(row(&one[0]), is("", Protocol::Resp, "127.0.0.1:1"));
        let given = [
            "a=127.0.0.1:1",
            "b=127.0.0.1:1",
            "-p",
            "meta",
            "--rounds",
            "2",
        ];
        let two = settings(&given).expect("valid");
        assert!(
            two.iter()
                .all(|s| s.protocol == Protocol::Meta && s.rounds == 2)
        );
        let pids = settings(&["127.0.0.1:1", "127.0.0.1:2", "--pid", "7", "--pid", "8"]);
        let pids: Vec<_> = pids.expect("valid").iter().map(|s| s.pid).collect();
        assert_eq!(pids, [Some(7), Some(8)]);
    }

    #[test]
    fn servers_that_cannot_be_meant_are_refused() {
        for (arguments, words) in [
            (
                &["127.0.0.1:1", "127.0.0.1:1"][..],
                "two servers are called 127.0.0.1:1",
            ),
            (
                &["x=127.0.0.1:1", "x=127.0.0.1:2"],
                "two servers are called x",
            ),
            (&["http://127.0.0.1:1"], "\"http\" is no protocol: native"),
            (&["=127.0.0.1:1"], "no name before the ="),
            (&["a=nowhere"], "\"nowhere\" is no address"),
            (
                &["127.0.0.1:1", "127.0.0.1:2", "--pid", "7"],
                "--pid is given for 1 of 2",
            ),
            (&["127.0.0.1:1", "127.0.0.1:2", "-n", "3"], "--rounds 5"),
            (
                &["127.0.0.1:1", "--multi-get", "2"],
                "--multi-get 2: native",
            ),
        ] {
            let refused = settings(arguments).expect_err(words);
            assert!(refused.contains(words), "{arguments:?}: {refused}");
        }
        assert!(settings(&["127.0.0.1:6379", "--multi-get", "2"]).is_ok());
    }
}
