//! Why a server did not start.

use super::handed::Unfit;
use crate::settings::config::Invalid;
use crate::settings::endpoint::Place;
use flagstone_engine::{OpenError, Unusable};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server did not start, or did not end well.
#[derive(Debug)]
pub enum StartError {
    /// A setting cannot work.
    Invalid(Invalid),
    /// The cache's memory could not be had.
    Open(OpenError),
    /// Nothing of the arena's file can be restored, and that was wanted.
    Unusable(PathBuf, Unusable),
    /// An address could not be listened on.
    Listen(Place, io::Error),
    /// The admin pages' address could not be listened on.
    Admin(SocketAddr, io::Error),
    /// A socket that the service manager has handed over is of no use here.
    Handed(Unfit),
    /// A thread, a runtime or a signal handler could not be had.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Invalid(invalid) => invalid.fmt(f),
            StartError::Open(error @ OpenError::File(_, why)) => {
                write!(f, "--arena: {error}")?;
                match why.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => f.write_str(
                        ": its file is allocated whole at the start; make room there, name \
                         another place, or lower --memory",
                    ),
                    _ => f.write_str(": name a file that can be written, or use --arena mmap"),
                }
            }
            StartError::Open(error @ OpenError::FileInUse(_)) => {
                write!(f, "--arena: {error}: each server needs a file of its own")
            }
            StartError::Open(error @ OpenError::NotAnArena(_)) => {
                write!(f, "--arena: {error}: name a file that is not there yet")
            }
            StartError::Open(error @ OpenError::Memory(_)) => {
                write!(f, "--memory: {error}: lower it, or --memory-max")
            }
            StartError::Unusable(path, why) => write!(
                f,
                "--arena-required: nothing can be restored of {}: {why}; it stays as it is: remove it, or leave out \
                 --arena-required, to begin with an empty cache",
                path.display()
            ),
            StartError::Open(error) => write!(f, "--arena: {error}"),
            StartError::Listen(place, error) => {
                write!(f, "--listen {place}: cannot listen there: {error}")
            }
            StartError::Admin(address, error) => write!(
                f,
                "--admin {address}: cannot listen there: {error}: name another address, or none"
            ),
            StartError::Handed(unfit) => unfit.fmt(f),
            StartError::System(error) => write!(f, "cannot serve: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
