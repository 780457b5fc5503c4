//! An arena that outlives its process: what is written at its beginning, and what is read there.
//!
//! A shared map keeps each store that a process made before it was killed, in the order of each thread. So nothing has to be
//! logged or synced for it, as long as the machine goes on.

#[cfg(test)]
mod explorer;
pub(crate) mod superblock;

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use superblock::{HEAD_BYTES, Superblock, Unusable};

/// Why there is nothing to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// Nobody asked for it.
    NotAsked,
    /// There is no file, or an empty one.
    New,
    Unusable(Unusable),
}

/// What the file at `path` says that it is, without a lock: whoever opens it looks again.
pub(crate) fn look(path: &Path) -> Result<Superblock, Nothing> {
    // Opening a pipe would wait for its other end.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|_| Nothing::New)?;
    let metadata = file.metadata().map_err(|_| Nothing::New)?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(Nothing::New);
    }
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0)
        .map_err(|_| Nothing::Unusable(Unusable::Unfinished))?;
    Superblock::read(&head, metadata.len()).map_err(Nothing::Unusable)
}
