//! What happened: counters, durations, logs, and a snapshot of all of it.

pub mod allocations;
pub mod counters;
pub mod curve;
pub(crate) mod departures;
pub(crate) mod few;
pub(crate) mod hot_keys;
pub(crate) mod latency;
pub(crate) mod liveness;
pub(crate) mod log_writer;
pub mod logs;
pub(crate) mod pace;
pub(crate) mod restoring;
pub(crate) mod slow;
pub(crate) mod slow_log;
pub(crate) mod snapshot;
pub(crate) mod stores;
pub(crate) mod threads;
