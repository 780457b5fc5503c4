//! What clients may do, and how long.

use std::time::Duration;

/// A connection's turn ends after so many requests.
pub const REQUESTS_PER_TURN: u32 = 1024;

/// The longest time for which a worker may look for events before it sleeps: longer ones never pay.
pub const SPIN_MICROS_MAX: usize = 1000;

/// What clients may do, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Hold a buffer without getting on.
    pub stall_timeout: Duration,
    /// Go on while the server shuts down.
    pub drain_timeout: Duration,
    /// Remove everything.
    pub flush: bool,
    /// Move the clock.
    pub test_hooks: bool,
    /// Shut the server down.
    pub shutdown: bool,
    /// Hold a place without having logged in, where everybody has to; zero: for ever.
    pub login_timeout: Duration,
    /// Ask nothing; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// Take without being told of.
    pub slow_request: Option<Duration>,
    /// Take without being kept in the list of those that took long.
    pub slow_log: Option<Duration>,
    /// Are looked at for the keys that are asked for most.
    pub hot_keys: bool,
    /// Have beginnings of their keys in lists for administrators.
    pub tells_keys: bool,
    /// Are looked for before a worker sleeps.
    pub spin: Duration,
}

impl Limits {
    /// From so many nanoseconds on a turn is told of in the log.
    pub fn slow_request_nanos(&self) -> u64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.slow_request.map_or(u64::MAX, nanos)
    }
}
