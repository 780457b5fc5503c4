//! What a run is made of, and the words it is written in on the command line.
//!
//! [`Settings::validate`] refuses what cannot work before any connection is made, in a
//! sentence that names the flag, its value and what works.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::keys::{KEY_BYTES_MAX, KEY_BYTES_MIN};
use crate::login::Login;
use crate::socket::Place;
use crate::tls::Tls;
use crate::value::{VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use crate::wire::Protocol;

/// One run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called beside other servers; empty: there are none.
    pub name: String,
    /// The server.
    pub address: Place,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// With TLS, if anything.
    pub tls: Option<Tls>,
    /// Who logs in, on every connection, before anything else.
    pub login: Option<Login>,
    /// Connections, shared out evenly among the threads.
    pub connections: usize,
    /// Threads, each with an epoll of its own.
    pub threads: usize,
    /// Requests that a connection sends before it waits for replies.
    pub pipeline: usize,
    /// How many keys there are.
    pub keys: u32,
    /// How long their names are.
    pub key_bytes: Sizes,
    /// What their names begin with; empty: `bench:`, as far as it fits.
    pub key_prefix: String,
    /// How long values are.
    pub value_bytes: Sizes,
    /// After how long written values are gone; 0: they stay.
    pub ttl_seconds: u32,
    /// Keys that a read asks for at once.
    pub multi_get: usize,
    /// Which keys are asked for more often.
    pub distribution: Distribution,
    /// Shares of reads, writes and deletes.
    pub mix: Mix,
    /// Write every key once before anything is measured.
    pub preload: bool,
    /// The same load as the measured one, for so long before it.
    pub warmup: Duration,
    /// When it ends: all rounds together.
    pub length: Length,
    /// Parts in which it is measured, one of each server in turn.
    pub rounds: usize,
    /// Requests a second, at fixed times; without it, as fast as replies come.
    pub rate: Option<f64>,
    /// Check every value that is read.
    pub verify: bool,
    /// The same seed plays the same requests.
    pub seed: u64,
    /// Whose keys they are: runs of different numbers have different keys.
    pub run: u32,
    /// A server that is silent for so long is given up.
    pub timeout: Duration,
    /// The server's process, if it runs here and its CPU time is wanted.
    pub pid: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: String::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 7171)).into(),
            protocol: Protocol::Native,
            tls: None,
            login: None,
            connections: 50,
            threads: 1,
            pipeline: 1,
            keys: 100_000,
            key_bytes: Sizes { min: 20, max: 20 },
            key_prefix: String::new(),
            ttl_seconds: 0,
            value_bytes: Sizes { min: 32, max: 32 },
            multi_get: 1,
            distribution: Distribution::Uniform,
            mix: Mix {
                reads: 9,
                writes: 1,
                deletes: 0,
            },
            preload: true,
            warmup: Duration::from_secs(1),
            length: Length::Time(Duration::from_secs(10)),
            rounds: 1,
            rate: None,
            verify: true,
            seed: 1,
            run: 0,
            timeout: Duration::from_secs(10),
            pid: None,
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// After so many requests.
    Requests(u64),
    /// After so long.
    Time(Duration),
}

/// A size in bytes, or a range of them, each size alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The smallest.
    pub min: usize,
    /// The largest.
    pub max: usize,
}

/// Which keys are asked for more often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// None.
    Uniform,
    /// Rank `r` in proportion to `r^-exponent`.
    Zipf {
        /// 0.99 is the usual figure for caches.
        exponent: f64,
    },
}

/// Shares of the three kinds of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Reads.
    pub reads: u32,
    /// Writes.
    pub writes: u32,
    /// Deletes.
    pub deletes: u32,
}

impl Mix {
    /// The sum of the shares.
    #[must_use]
    pub fn total(self) -> u32 {
        self.reads + self.writes + self.deletes
    }
}

/// The largest number of connections: as many as one address has ports to.
pub const CONNECTIONS_MAX: usize = 60_000;
/// The longest time that memcached counts from now on: 30 days. More is a date to it.
pub const TTL_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;
/// The most keys of one read.
pub const MULTI_GET_MAX: usize = 1000;
/// The most rounds.
pub const ROUNDS_MAX: usize = 1000;
/// The deepest pipeline.
pub const PIPELINE_MAX: usize = 10_000;

impl Settings {
    /// Its name, or the address where it has none.
    #[must_use]
    pub fn shown_name(&self) -> String {
        match self.name.as_str() {
            "" => self.address.to_string(),
            name => name.to_owned(),
        }
    }

    /// Whether this can work at all.
    ///
    /// # Errors
    /// With the setting, its value and what works.
    pub fn validate(&self) -> Result<(), String> {
        let range = |name: &str, value: usize, min: usize, max: usize| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(format!(
                "{name} {value} is out of range: {min} to {max} work"
            ))
        };
        range("--connections", self.connections, 1, CONNECTIONS_MAX)?;
        range("--threads", self.threads, 1, self.connections.min(1024))?;
        range("--pipeline", self.pipeline, 1, PIPELINE_MAX)?;
        range("--keys", self.keys as usize, 1, u32::MAX as usize)?;
        for size in [self.key_bytes.min, self.key_bytes.max] {
            range("--key-size", size, KEY_BYTES_MIN, KEY_BYTES_MAX)?;
        }
        let prefix = self.key_prefix.as_bytes();
        if !prefix.iter().all(u8::is_ascii_graphic) {
            return Err(format!(
                "--key-prefix {:?} is not of printable ASCII without spaces: shop:cart: works",
                self.key_prefix
            ));
        }
        let least = prefix.len() + KEY_BYTES_MIN;
        if self.key_bytes.min < least {
            return Err(format!(
                "--key-prefix {:?} leaves --key-size {} no eight bytes for a number: {least} or more works, up to {KEY_BYTES_MAX}",
                self.key_prefix, self.key_bytes
            ));
        }
        range(
            "--ttl",
            self.ttl_seconds as usize,
            0,
            TTL_SECONDS_MAX as usize,
        )?;
        for size in [self.value_bytes.min, self.value_bytes.max] {
            range("--value-size", size, 1, VALUE_BYTES_MAX)?;
        }
        if self.verify && self.value_bytes.min < VALUE_BYTES_MIN {
            return Err(format!(
                "--value-size {} is too short for values that certify themselves: {VALUE_BYTES_MIN} or more \
                 works, or --no-verify",
                self.value_bytes
            ));
        }
        range("--multi-get", self.multi_get, 1, MULTI_GET_MAX)?;
        if self.multi_get > 1 && matches!(self.protocol, Protocol::Native | Protocol::Meta) {
            return Err(format!(
                "--multi-get {}: {} reads one key a request; --protocol memcache or resp works, or --pipeline {0}",
                self.multi_get,
                self.protocol.name()
            ));
        }
        let user = self.login.as_ref().and_then(Login::user);
        if self.protocol == Protocol::Native && user.is_some() {
            return Err(
                "--auth-file has a user and a password, and the native protocol logs in with a token \
                 alone: --protocol resp or memcache works"
                    .to_owned(),
            );
        }
        if self.mix.total() == 0 {
            return Err("--mix 0 asks for nothing: 9:1 or 1:0 work".to_owned());
        }
        if self.timeout.is_zero() {
            return Err("--timeout 0 gives up at once: 10s works".to_owned());
        }
        range("--rounds", self.rounds, 1, ROUNDS_MAX)?;
        match self.length {
            Length::Requests(requests @ 1..) if requests < self.rounds as u64 => Err(format!(
                "--requests {requests} is less than one for each of --rounds {}",
                self.rounds
            )),
            Length::Requests(0) => Err("--requests 0 measures nothing".to_owned()),
            Length::Time(Duration::ZERO) => Err("--duration 0 measures nothing".to_owned()),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf { exponent } => write!(f, "zipf {exponent}"),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.reads, self.writes, self.deletes)
    }
}

/// A whole number, with `k`, `m`, `g` for powers of 1000.
///
/// # Errors
/// In words for the user, as for all that follow.
pub fn parse_count(text: &str) -> Result<u64, String> {
    scaled(text, 1000).ok_or_else(|| format!("{text:?} is no count: 5000, 100k or 2m work"))
}

fn scaled(text: &str, base: u64) -> Option<u64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let power = match text[at..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(base.pow(power))
}

/// Seconds, or a number with `ms`, `s`, `m`.
///
/// # Errors
/// When it is none.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: 10s, 500ms or 2m work");
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let seconds = match &text[at..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let number: f64 = text[..at].parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// A time of whole seconds, one or more: what every protocol can say.
///
/// # Errors
/// When it is none.
pub fn parse_ttl(text: &str) -> Result<u32, String> {
    let time = parse_time(text)?;
    match time.as_secs() {
        seconds @ 1.. if time.subsec_nanos() == 0 && seconds <= u64::from(TTL_SECONDS_MAX) => {
            Ok(seconds as u32)
        }
        _ => Err(format!(
            "{text:?} is no time to live: whole seconds from 1s to 43200m (30 days) work"
        )),
    }
}

/// Requests a second: a count above 0.
///
/// # Errors
/// When it is none.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match parse_count(text) {
        Ok(rate) if rate > 0 => Ok(rate as f64),
        _ => Err(format!(
            "{text:?} is no rate: 40000 or 40k requests a second work"
        )),
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let size = |text| scaled(text, 1024).and_then(|size| usize::try_from(size).ok());
        match (size(min), size(max)) {
            (Some(min), Some(max)) if min <= max => Ok(Sizes { min, max }),
            _ => Err(format!("{text:?} is no size: 32, 1k or 32-4096 work")),
        }
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no distribution: uniform, zipf or zipf:1.2 work");
        match text.split_once(':') {
            None if text == "uniform" => Ok(Distribution::Uniform),
            None if text == "zipf" => Ok(Distribution::Zipf { exponent: 0.99 }),
            Some(("zipf", exponent)) => match exponent.parse::<f64>() {
                Ok(exponent) if exponent > 0.0 && exponent < 20.0 => {
                    Ok(Distribution::Zipf { exponent })
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = [0u32; 3];
        let mut words = text.split(':');
        for share in &mut shares {
            let Some(word) = words.next() else { break };
            *share = match word.parse() {
                Ok(number) if number <= 1_000_000 => number,
                _ => return Err(format!("{text:?} is no mix: 9:1 or 90:9:1 work")),
            };
        }
        if words.next().is_some() {
            return Err(format!("{text:?} has more than reads:writes:deletes"));
        }
        let [reads, writes, deletes] = shares;
        Ok(Mix {
            reads,
            writes,
            deletes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_numbers() {
        assert_eq!(parse_count("100k"), Ok(100_000));
        assert!(parse_count("1q").is_err() && parse_count("").is_err());
        assert!(parse_count("99999999999g").is_err());
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_ttl("5m"), Ok(300));
        assert!(
            ["0", "1500ms", "43201m"]
                .iter()
                .all(|text| parse_ttl(text).is_err())
        );
        assert!(parse_time("5h").is_err() && parse_time(".").is_err());
        assert_eq!("32".parse(), Ok(Sizes { min: 32, max: 32 }));
        assert_eq!("32-1k".parse(), Ok(Sizes { min: 32, max: 1024 }));
        assert!("9-3".parse::<Sizes>().is_err() && "-".parse::<Sizes>().is_err());
        assert_eq!("zipf:1.2".parse(), Ok(Distribution::Zipf { exponent: 1.2 }));
        assert!("zipf:-1".parse::<Distribution>().is_err());
        assert!("normal".parse::<Distribution>().is_err());
        let mix = |reads, writes, deletes| Mix {
            reads,
            writes,
            deletes,
        };
        assert_eq!("9:1".parse(), Ok(mix(9, 1, 0)));
        assert_eq!("1".parse(), Ok(mix(1, 0, 0)));
        assert_eq!("0:0:3".parse(), Ok(mix(0, 0, 3)));
        assert!("1:2:3:4".parse::<Mix>().is_err() && "a".parse::<Mix>().is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let check = |change: fn(&mut Settings), word: &str| {
            let mut settings = Settings::default();
            change(&mut settings);
            let refused = settings.validate().expect_err(word);
            assert!(refused.contains(word), "{refused}");
        };
        assert_eq!(Settings::default().validate(), Ok(()));
        check(|s| s.connections = 0, "--connections 0");
        check(|s| s.threads = 51, "--threads 51");
        check(|s| s.pipeline = 0, "--pipeline 0");
        check(|s| s.keys = 0, "--keys 0");
        check(|s| s.key_bytes.min = 4, "--key-size 4");
        check(|s| s.value_bytes.min = 8, "--no-verify");
        check(
            |s| {
                s.mix = Mix {
                    reads: 0,
                    writes: 0,
                    deletes: 0,
                }
            },
            "--mix 0",
        );
        check(|s| s.length = Length::Requests(0), "--requests 0");
        check(|s| s.key_prefix = "a b".to_owned(), "--key-prefix");
        check(|s| s.key_prefix = "x".repeat(13), "21 or more works");
        check(|s| s.ttl_seconds = TTL_SECONDS_MAX + 1, "--ttl");
        check(|s| s.multi_get = 2, "--multi-get 2: native");
        check(|s| s.login = Login::of("ann secret"), "--auth-file");
        check(|s| s.rounds = 0, "--rounds 0");
        check(
            |s| (s.rounds, s.length) = (3, Length::Requests(2)),
            "--rounds 3",
        );
        check(|s| s.timeout = Duration::ZERO, "--timeout 0");
    }
}
