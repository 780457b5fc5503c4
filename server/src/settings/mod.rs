//! What the operator says: flags, variables, a file, and the places to listen at.

pub mod asked;
pub mod config;
pub mod endpoint;
pub(crate) mod file;
pub mod flags;
pub(crate) mod given;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod memory;
pub(crate) mod parse;
pub(crate) mod size;
pub(crate) mod subcommands;
