//! A load generator for cache servers.
//!
//! ```text
//!   cli ─► settings ─► run ─► worker (one a thread) ─► conn ─► wire
//!     └─ detect         │        └─ keys, value, tally, timeline
//!                       └─► report: table, JSON, HTML; of several servers, one beside another
//! ```
//!
//! It speaks Flagstone's native protocol, memcached's two text protocols and RESP, and checks
//! every value it reads: values certify themselves ([`value`]). Each thread has an epoll of
//! its own and shares nothing with the others while it runs; requests are built and replies
//! judged without allocating, several million a second on one core.
//!
//! What it deliberately does not do: resolve hot names again, reconnect, retry. A server that
//! hangs up ends the run, with a sentence, and the report of what was measured until then.

pub mod chart;
pub mod cli;
mod conn;
pub mod detect;
pub mod failure;
mod hex;
pub mod keys;
pub mod login;
mod many;
pub mod process;
pub mod random;
pub mod report;
mod requests;
mod run;
pub mod settings;
pub mod socket;
pub mod tally;
pub mod timeline;
pub mod tls;
mod together;
pub mod value;
pub mod wire;
mod worker;

pub use failure::Failure;
pub use report::{Comparison, Report};
pub use run::{compare, run};
pub use settings::Settings;
