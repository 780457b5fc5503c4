//! Blocks into a file that takes the old one's place when it is whole.
//!
//! ```text
//!   PATH.tmp  made, locked, emptied ─► head, blocks, end ─► synced ─► renamed to PATH ─► directory synced
//! ```
//!
//! Whatever ends it before, a full disk, a signal or a loss of power, the old file is what it was. Each few MiB are synced and let
//! go of, so that the file takes no more of the container's memory than was planned.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagstone_engine::{Cache, Exporting};
use rustix::fs::{Advice, OFlags, fadvise};

use super::blocks::{Blocks, Output};
use super::format::{Counts, HEAD_BYTES, Head};
use super::names::{restored, sync_directory, unfinished};
use crate::clock::{Clock, thread_cpu_micros};

/// The writer rests after so much work.
const SLICE_MICROS: u64 = 150;
/// A long value that cannot be held still is asked for again after so long …
const PIN_PAUSE: Duration = Duration::from_millis(5);
/// … and so often, before it is left out.
const PIN_ATTEMPTS: u32 = 200;

/// Why no file was written.
#[derive(Debug)]
pub enum Unwritten {
    /// The disk or its file.
    File(PathBuf, io::Error),
    /// Another server is at it.
    InUse(PathBuf),
    /// Something else stands in its place.
    NoFile(PathBuf),
    /// The server leaves.
    Stopped,
    /// It took too long.
    Late(Duration),
    /// Everything was removed meanwhile.
    Flushed,
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritten::File(path, error) => write!(f, "{}: {error}", path.display()),
            Unwritten::InUse(path) => {
                write!(f, "{}: another server is writing it", path.display())
            }
            Unwritten::NoFile(path) => write!(f, "{} is not a file", path.display()),
            Unwritten::Stopped => f.write_str("the server leaves"),
            Unwritten::Late(timeout) => write!(
                f,
                "it is not done after {} s (--snapshot-timeout)",
                timeout.as_secs_f64()
            ),
            Unwritten::Flushed => f.write_str("items were flushed meanwhile"),
        }
    }
}

/// How fast it may go, and whether it may go on.
pub struct Pace<'p> {
    /// Rests so many times as long as it works; 0: never.
    pub rests: u32,
    /// Whether it may go on. Asked after each step.
    pub may_go_on: &'p dyn Fn() -> Result<(), Unwritten>,
}

impl Pace<'_> {
    /// Rests if it is time to. `since`: CPU time at the last rest.
    fn rest(&self, since: &mut u64) -> Result<(), Unwritten> {
        if self.rests > 0 {
            let worked = thread_cpu_micros().saturating_sub(*since);
            if worked >= SLICE_MICROS {
                std::thread::sleep(Duration::from_micros(worked) * self.rests);
                *since = thread_cpu_micros();
            }
        }
        (self.may_go_on)()
    }
}

/// Writes all items of the cache to `path`; so many bytes stay unsynced at most.
pub fn write(
    (cache, clock): (&Cache, &Clock),
    blocks: &mut Blocks<'_>,
    (path, window_bytes): (&Path, usize),
    head: Head,
    pace: &Pace<'_>,
) -> Result<(Counts, u64), Unwritten> {
    let temporary = unfinished(path);
    let mut file = Synced {
        file: create(&temporary)?,
        at: 0,
        unsynced: 0,
        window_bytes: window_bytes as u64,
    };
    let done = fill((cache, clock), blocks, &mut file, head, pace)
        .and_then(|()| finish(&mut file, &temporary, path));
    match done {
        Ok(()) => Ok((blocks.counts(), file.at)),
        Err(unwritten) => {
            // What stays of it is emptied by the next.
            let _ = fs::remove_file(&temporary);
            Err(unwritten)
        }
    }
}

fn fill(
    (cache, clock): (&Cache, &Clock),
    blocks: &mut Blocks<'_>,
    file: &mut Synced,
    head: Head,
    pace: &Pace<'_>,
) -> Result<(), Unwritten> {
    let failed = |error| Unwritten::File(PathBuf::from("its file"), error);
    let mut first = [0; HEAD_BYTES];
    head.encode(&mut first);
    file.put(&first).map_err(failed)?;
    blocks.begin(head);
    // Only the server's one writer exports.
    let mut export = cache.export().ok_or(Unwritten::Stopped)?;
    let mut since = thread_cpu_micros();
    let mut attempts = 0;
    loop {
        match export.go_on(clock.now(), blocks) {
            Exporting::More => {}
            Exporting::Full => blocks.pass_on(file).map_err(failed)?,
            Exporting::Pinned(mut pinned) => {
                attempts = 0;
                blocks.long(&mut pinned, file).map_err(failed)?;
            }
            Exporting::Busy if attempts < PIN_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(PIN_PAUSE);
            }
            Exporting::Busy => {
                attempts = 0;
                blocks.skip();
                export.skip();
            }
            Exporting::Done => break,
        }
        pace.rest(&mut since)?;
    }
    blocks.end(file).map_err(failed)
}

/// Opens the file that is to be filled, and makes it this server's own.
fn create(path: &Path) -> Result<File, Unwritten> {
    let failed = |error| Unwritten::File(path.to_owned(), error);
    loop {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(path);
        let file = opened.map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(Unwritten::NoFile(path.to_owned()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Unwritten::InUse(path.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Its last owner may have renamed or removed it just before it was locked.
        let is_there = fs::symlink_metadata(path).is_ok_and(|there| there.ino() == about.ino());
        if is_there {
            file.set_len(0).map_err(failed)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))
                .map_err(failed)?;
            return Ok(file);
        }
    }
}

fn finish(file: &mut Synced, temporary: &Path, path: &Path) -> Result<(), Unwritten> {
    let failed = |error| Unwritten::File(path.to_owned(), error);
    file.sync().map_err(failed)?;
    file.file.sync_all().map_err(failed)?;
    fs::rename(temporary, path).map_err(failed)?;
    sync_directory(path).map_err(failed)?;
    // The one that was restored has a successor.
    let _ = fs::remove_file(restored(path));
    Ok(())
}

/// A file that is synced, and let go of, each few MiB.
struct Synced {
    file: File,
    at: u64,
    unsynced: u64,
    window_bytes: u64,
}

impl Synced {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        // Advice: where it is not taken, as on a tmpfs, nothing is lost.
        let from = self.at - self.unsynced;
        let _ = fadvise(
            &self.file,
            from,
            NonZeroU64::new(self.unsynced),
            Advice::DontNeed,
        );
        self.unsynced = 0;
        Ok(())
    }
}

impl Output for Synced {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= self.window_bytes {
            self.sync()?;
        }
        Ok(())
    }
}
