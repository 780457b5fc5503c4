//! What the binary does beside serving: health check, statistics, a live view, asking for a snapshot.

pub mod healthcheck;
pub mod snapshot;
pub mod stats;
pub(crate) mod tls_client;
pub mod top;
