//! What the operator says: flags, variables, a file, and the places to listen at.

pub mod config;
pub mod endpoint;
pub(crate) mod file;
pub mod flags;
