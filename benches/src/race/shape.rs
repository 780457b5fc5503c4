//! What a kind of load is: words for the [table](super::table).
//!
//! ```text
//!   group = ground (how servers are started and filled) + shapes (what they are then asked)
//! ```
//!
//! Servers live as long as their group: another place, budget or value size is another ground.

use std::time::Duration;

use flagstone_bench::report::grouped;
use flagstone_bench::settings::Sizes;
use flagstone_bench::wire::Protocol;

use super::subject::{Kind, Subject};

/// Shapes whose servers are started and filled alike.
#[derive(Clone, Debug)]
pub struct Group {
    /// How they are started and filled.
    pub ground: Ground,
    /// What they are asked then.
    pub shapes: Vec<Shape>,
    /// By which part of the race's time its rounds are over, from 0 to 1.
    pub until: f64,
}

/// Where servers listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A port of 127.0.0.1.
    Tcp,
    /// The file of a Unix socket.
    Unix,
}

/// How servers are started and filled.
#[derive(Clone, Debug)]
pub struct Ground {
    /// For remarks.
    pub name: &'static str,
    /// Where they listen.
    pub way: Way,
    /// Their budget, each in its own words.
    pub memory_mib: usize,
    /// Connections that they are prepared for.
    pub connections_max: usize,
    /// Bytes of a value.
    pub values: Sizes,
    /// Keys that are drawn, 20 bytes each.
    pub keys: u32,
    /// Keys that are written at the start: all, unless the budget holds fewer.
    pub filled: u32,
    /// Requests of the first shape before anything is measured: a cache that evicts needs them
    /// until its hit ratio is its own.
    pub warmup: u64,
    /// Who is left out, to save time: what it would show, another row does.
    pub without: &'static [(Kind, Option<Protocol>)],
}

impl Ground {
    /// Whether a subject races here.
    #[must_use]
    pub fn takes(&self, subject: &Subject) -> bool {
        !self.without.iter().any(|&(kind, protocol)| {
            kind == subject.kind && protocol.is_none_or(|protocol| protocol == subject.protocol)
        })
    }

    /// Whether keys go missing because the budget is full, which is what is measured.
    #[must_use]
    pub fn is_evicting(&self) -> bool {
        self.warmup > 0
    }
}

/// One kind of load.
#[derive(Clone, Debug)]
pub struct Shape {
    /// For tables.
    pub name: String,
    /// As the generator's `--mix`.
    pub mix: &'static str,
    /// Pipeline depth.
    pub pipeline: usize,
    /// Keys of one read. A protocol that has no such request gets as deep a pipeline instead.
    pub multi_get: usize,
    /// As the generator's `--distribution`.
    pub distribution: &'static str,
    /// Connections.
    pub connections: usize,
    /// Requests in one round.
    pub requests: u64,
    /// At fixed times, for so long, instead of as fast as replies come.
    pub timed: Option<(Rate, Duration)>,
    /// What Flagstone must not exceed.
    pub targets: &'static [Target],
}

/// How many requests are due in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many.
    Fixed(u64),
    /// A part of what the fastest of others' caches answers when it is asked without a pause,
    /// in percent.
    OfPeak(u64),
}

impl Shape {
    /// The same at a known rate: the name tells it.
    #[must_use]
    pub fn at_rate(&self, per_second: u64) -> Shape {
        let Some((rate, time)) = self.timed else {
            return self.clone();
        };
        let told = match rate {
            Rate::Fixed(_) => String::new(),
            Rate::OfPeak(_) => format!(" ({}/s)", grouped(per_second)),
        };
        Shape {
            name: format!("{}{told}", self.name),
            requests: (per_second as f64 * time.as_secs_f64()) as u64,
            timed: Some((Rate::Fixed(per_second), time)),
            ..self.clone()
        }
    }
}

/// A bound on a ratio of CPU times.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// In which protocols; each has a line of its own.
    pub ours: &'static [Protocol],
    /// Against whom.
    pub against: Against,
    /// At most this.
    pub ratio: f64,
}

/// Whom a target is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The echo server on bare tokio.
    Floor,
    /// The best of these, in each round.
    Best(&'static [Kind]),
    /// Flagstone in its native protocol.
    Native,
}
