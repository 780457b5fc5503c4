//! The file under an arena: whose it is, and that all of it is there.
//!
//! ```text
//! open or create (0600) → lock → is it an arena? → say so → size → allocate
//! ```
//!
//! **One process at a time.** The file is locked (`flock`) before anything in it is looked at, and for as long
//! as it is mapped: two caches in one file would answer with each other's values.
//!
//! **Nothing of somebody else's is overwritten.** A file that has something in it and does not begin as an arena
//! does is refused. That is why a new file says what it is before it gets its size: a process that is killed in
//! between leaves a file that the next one may take.
//!
//! **A full disk is an error.** A store to a hole of a full file system is a SIGBUS, so there are no holes where a
//! cache may store: blocks are allocated when the file is opened, and again when memory that was given back is
//! taken in use.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use crate::error::OpenError;

/// "FLAGSTON" in ASCII: the first word of each file that may be taken over.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"FLAGSTON");

/// Nobody else reads what clients store.
const MODE: u32 = 0o600;
/// Looks at a path that another process keeps replacing.
const TRIES: usize = 8;
/// Zeroes written at once where the file system cannot allocate.
const ZEROES_BYTES: usize = 1 << 20;

/// An open and locked file with all its blocks.
pub(super) struct ArenaFile {
    file: File,
    /// Its length before; `None`: it was made for this.
    before: Option<u64>,
}

impl ArenaFile {
    /// The file at `path`, made if it is not there, with `len` bytes. To `keep` it: nothing of one that is there is
    /// allocated or cut off.
    pub fn open(path: &Path, len: u64, keep: bool) -> Result<Self, OpenError> {
        let failed = |error| OpenError::File(path.to_owned(), error);
        for _ in 0..TRIES {
            let (file, created) = open_or_create(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if !metadata.is_file() {
                let error = io::Error::new(ErrorKind::InvalidInput, "not a regular file");
                return Err(failed(error));
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                // Not removed, though it may have been made here: another process has it.
                Err(Errno::WOULDBLOCK) => return Err(OpenError::FileInUse(path.to_owned())),
                Err(error) => return Err(failed(error.into())),
            }
            // Another start may have failed, and removed it, between open and lock.
            let is_there = std::fs::symlink_metadata(path).is_ok_and(|there| {
                there.is_symlink() || (there.dev(), there.ino()) == (metadata.dev(), metadata.ino())
            });
            if !is_there {
                continue;
            }
            let before = file.metadata().map_err(failed)?.len();
            if before > 0 && !begins_as_arena(&file).map_err(failed)? {
                return Err(OpenError::NotAnArena(path.to_owned()));
            }
            let file = ArenaFile {
                file,
                before: (!created).then_some(before),
            };
            if keep && before >= len {
                return Ok(file);
            }
            if let Err(error) = file.prepare(len) {
                file.undo(path);
                return Err(failed(error));
            }
            return Ok(file);
        }
        let error = io::Error::other("another process keeps replacing it");
        Err(failed(error))
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    fn prepare(&self, len: u64) -> io::Result<()> {
        self.file.write_all_at(&MAGIC.to_le_bytes(), 0)?;
        self.file.set_len(len)?;
        self.allocate(0, len)
    }

    /// Makes sure of the blocks of `len` bytes from byte `at` on; what is in them stays.
    pub fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        loop {
            match fallocate(&self.file, FallocateFlags::empty(), at, len) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return self.fill(at, len),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The same on a file system that cannot allocate. Nothing of a cache lies there: it was just opened, or
    /// gave this memory back.
    fn fill(&self, at: u64, len: u64) -> io::Result<()> {
        let zeroes = vec![0u8; ZEROES_BYTES];
        let mut done = if at == 0 {
            size_of_val(&MAGIC) as u64
        } else {
            0
        };
        while done < len {
            let part = (len - done).min(ZEROES_BYTES as u64);
            self.file
                .write_all_at(&zeroes[..part as usize], at + done)?;
            done += part;
        }
        Ok(())
    }

    /// After a start that failed: a file that was made for it is removed, another gets its length back.
    pub fn undo(self, path: &Path) {
        // The error that led here is the one to tell.
        let _ = match self.before {
            None => std::fs::remove_file(path),
            Some(len) => self.file.set_len(len),
        };
    }
}

/// Whether it was made just now.
fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        // A link to a file that is not there is followed, as it always was.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = path.exists();
            let file = options.create(true).truncate(false).open(path)?;
            Ok((file, !there))
        }
        Err(error) => Err(error),
    }
}

fn begins_as_arena(file: &File) -> io::Result<bool> {
    let mut first = [0; size_of::<u64>()];
    match file.read_exact_at(&mut first, 0) {
        Ok(()) => Ok(u64::from_le_bytes(first) == MAGIC),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A path of the test's own, without a file.
    fn scratch(name: &str) -> std::path::PathBuf {
        let name = format!("flagstone-file-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn a_new_file_is_the_owners_alone_and_whole() {
        let path = scratch("new");
        let file = ArenaFile::open(&path, 3 << 20, false).unwrap();
        let metadata = file.file().metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.len(), 3 << 20);
        assert!(metadata.blocks() * 512 >= 3 << 20, "a hole");
        drop(file);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_arena_is_taken_over_once_it_is_let_go() {
        let path = scratch("again");
        let first = ArenaFile::open(&path, 1 << 20, false).unwrap();
        let again = ArenaFile::open(&path, 2 << 20, false);
        assert!(matches!(again, Err(OpenError::FileInUse(_))));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
        drop(first);
        drop(ArenaFile::open(&path, 2 << 20, false).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 2 << 20);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_not_an_arena_stays_as_it_is() {
        for content in [&b"short"[..], &[7; 5000], b"flagston"] {
            let path = scratch("foreign");
            std::fs::write(&path, content).unwrap();
            let opened = ArenaFile::open(&path, 1 << 20, false);
            assert!(matches!(opened, Err(OpenError::NotAnArena(_))));
            assert_eq!(std::fs::read(&path).unwrap(), content);
            std::fs::remove_file(&path).unwrap();
        }
        // Nothing is lost in an empty one.
        let path = scratch("empty");
        std::fs::write(&path, "").unwrap();
        drop(ArenaFile::open(&path, 1 << 20, false).unwrap());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_start_that_fails_leaves_nothing() {
        let path = scratch("failed");
        // No file system has so much.
        let much = 1 << 55;
        assert!(ArenaFile::open(&path, much, false).is_err());
        assert!(!path.exists());
        drop(ArenaFile::open(&path, 1 << 20, false).unwrap());
        assert!(ArenaFile::open(&path, much, false).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
        std::fs::remove_file(&path).unwrap();
    }
}
