//! What the binary does beside serving: health check, statistics, a live view.

pub mod healthcheck;
pub mod stats;
pub(crate) mod tls_client;
pub mod top;
