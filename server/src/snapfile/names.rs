//! What a file is called while it is written, and once it was restored.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// `path` with `suffix` behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file that is being written.
pub fn unfinished(path: &Path) -> PathBuf {
    beside(path, ".tmp")
}

/// A file that was restored: the next start must not find it.
pub fn restored(path: &Path) -> PathBuf {
    beside(path, ".restored")
}

/// What was renamed there stays so after a loss of power.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
