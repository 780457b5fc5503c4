//! Measures of the engine, and what they are measured against.
//!
//! | target | question |
//! |---|---|
//! | `density` | how many bytes of the budget does an item cost, fresh and after churn |
//! | `hitratio` | which share of a trace's requests is served, beside reference policies |
//! | `engine_table` | nanoseconds and allocations an operation, as a ratio to a floor, beside peers |
//! | `slowest` | the insert that must look at the most items before one leaves |
//! | `long_values` | what one value of 100 MiB costs, and how long the others of its shard wait |
//! | `many_cores` | reckoned, not measured: what 1 to 64 workers get done with sixteen locks |
//! | `bystander` | how long a client that behaves waits while others do not |
//! | `cargo bench --bench engine` | the same rows under criterion, floor and engine |
//!
//! The binaries in `src/bin` print tables. What they share is here: [`subjects`] are the
//! caches, [`rows`] what is asked of them, and neither knows the other's particulars.

pub mod args;
pub mod curve;
pub mod echo;
pub mod keys;
pub mod policy;
pub mod queueing;
pub mod race;
pub mod rng;
pub mod rows;
pub mod subjects;
pub mod synthetic;
pub mod trace;
