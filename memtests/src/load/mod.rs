//! The load: everything that clients do to a cache server, lawful and not, from one thread.
//!
//! | role    | what it does                                                                          |
//! |---------|---------------------------------------------------------------------------------------|
//! | Writer  | pipelines PUTs of ever new keys, overwrites some, reads some back                     |
//! | Hot     | reads a small set all the time, writes again what it misses: its hit ratio is asserted |
//! | Large   | writes 1 MiB and reads it back                                                        |
//! | Crowd   | stands there, mostly idle; now and then a connection reads something                  |
//! | Slow    | pipelines GETs and reads the replies a few bytes at a time                            |
//! | Silent  | pipelines without ever reading a reply                                                |
//! | Stalled | sends half a 1 MiB PUT and nothing more                                               |
//! | Visitor | connects, does a little or nothing, and goes: with FIN, with RST, in mid-request      |
//!
//! Phases: **fill** (writers and hot readers alone, three times the limit: the cache owns all
//! memory that connections do not use), **ramp** (the crowd comes, so the cache must give
//! memory back, while the rest of ten times the limit is written), **storm** (all at once,
//! for a set time), **calm** (the abusers go, every lawful request must be answered),
//! **proof** (what was written last is read back, and every connection of the crowd must
//! still answer).
//!
//! One thread and one epoll, because the machines that run this have two cores, and one
//! belongs to the server. Choices come from a seed; the interleaving is the network's, so a
//! run is alike but not the same.

mod conn;
mod held;
mod ledger;
mod roles;
mod storm;
mod tally;

pub use held::{Held, hold};
pub use ledger::Lengths;
pub use storm::run;
pub use tally::{Fault, HitsExpected, Ratio, Tally};

use crate::dialect::Dialect;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it better")]
pub enum Role {
    Writer,
    Hot,
    Large,
    Crowd,
    Slow,
    Silent,
    Stalled,
    Visitor,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the module's head says it better")]
pub enum Phase {
    Fill,
    Ramp,
    Storm,
    Calm,
    Proof,
    Over,
}

/// How much of everything. `Abuse::of` gives what a limit should bear.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// The protocol to speak.
    pub dialect: Dialect,
    /// The container's limit: fill and proof are multiples of it.
    pub limit_bytes: u64,
    /// How many times the limit is written before the storm.
    pub fill_times: u64,
    /// Connections at once, of all roles.
    pub connections: usize,
    /// The lengths of the writers' values.
    pub lengths: Lengths,
    /// Connections that write.
    pub writers: usize,
    /// Keys of the hot set.
    pub hot_keys: usize,
    /// Connections that write 1 MiB values.
    pub large: usize,
    /// Connections that never read.
    pub silent: usize,
    /// Connections that read slowly.
    pub slow: usize,
    /// Connections that stop in mid-request.
    pub stalled: usize,
    /// Connections that come and go, per millisecond of the storm.
    pub visitors_per_ms: usize,
    /// The storm lasts so long.
    pub storm: Duration,
    /// Ends the storm early, when set: for tests that steer from outside.
    pub stop: Option<Arc<AtomicBool>>,
    /// Fill, ramp and storm together must end in this time.
    pub deadline: Duration,
    /// After the storm every lawful request must be answered in this time.
    pub patience: Duration,
    /// Where all choices begin.
    pub seed: u64,
}

impl Abuse {
    /// Everything at once, in the measure that a container of `limit_bytes` should bear with
    /// so many connections.
    #[must_use]
    pub fn of(limit_bytes: u64, connections: usize) -> Self {
        let limit_mib = (limit_bytes >> 20) as usize;
        Self {
            dialect: Dialect::Native,
            limit_bytes,
            fill_times: 10,
            connections,
            lengths: Lengths::Mixed,
            writers: 8,
            // Few enough that each is read several times while the cache's content is
            // replaced once: at 16 MiB that takes 30 ms, at 256 MiB more than a second.
            hot_keys: limit_mib * 8,
            // A 1 MiB value is a sixteenth of the smallest container.
            large: (limit_mib / 32).clamp(1, 4),
            silent: limit_mib.min(256),
            slow: 8,
            stalled: (limit_mib / 16).clamp(2, 8),
            visitors_per_ms: 1,
            storm: Duration::from_secs(4),
            stop: None,
            deadline: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            seed: 1,
        }
    }

    /// The connections of the crowd: those that no other role takes. Visitors get room for
    /// 64, and 136 more for those that have gone without the server having noticed yet.
    pub(super) fn crowd(&self) -> usize {
        let others = self.writers
            + roles::HOT_CONNECTIONS
            + self.large
            + self.silent
            + self.slow
            + self.stalled
            + 200;
        self.connections.saturating_sub(others)
    }
}
