//! The race: servers of several projects under the same load, and the floors beneath them.
//!
//! ```text
//!   subject ─► server (one process, one core) ◄─ measure ─ flagstone-bench (another core)
//!   group  ──────────────────────────────────────┘  └─► board ─► report: RESULTS.md, a plot
//! ```
//!
//! On a machine that others use, too, a figure can differ by half from one quarter of an hour
//! to the next. So every round runs all subjects one after another, in another order each
//! time; ratios are formed within a round, and the median of the rounds counts. While one
//! server runs, the others are stopped (SIGSTOP) and cost nothing.

pub mod board;
pub mod machine;
pub mod measure;
pub mod memtier;
pub mod report;
pub mod run;
pub mod server;
pub mod shape;
pub mod subject;
pub mod table;
pub mod workers;
