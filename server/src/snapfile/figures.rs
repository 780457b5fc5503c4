//! What was written and restored, for those who look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::format::Counts;
use super::restore::Restored;

/// Written by whoever writes or restores, read by anyone.
#[derive(Debug, Default)]
pub struct Figures {
    writing: AtomicBool,
    written: AtomicU64,
    failed: AtomicU64,
    last_unix: AtomicU64,
    last_millis: AtomicU64,
    last_items: AtomicU64,
    last_skipped: AtomicU64,
    last_bytes: AtomicU64,
    restored_millis: AtomicU64,
    restored_items: AtomicU64,
    restored_expired: AtomicU64,
    restored_refused: AtomicU64,
    restored_damaged: AtomicU64,
    restored_begun_unix: AtomicU64,
}

/// [`Figures`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFigures {
    /// One is being written.
    pub is_writing: bool,
    /// Snapshots written.
    pub written: u64,
    /// Snapshots that were begun and not written.
    pub failed: u64,
    /// When the last one was done, in seconds since 1970; 0: there was none.
    pub last_unix: u64,
    /// How long it took.
    pub last_millis: u64,
    /// Its items.
    pub last_items: u64,
    /// Items that it has not, because too many long ones were being read.
    pub last_skipped: u64,
    /// The file's length.
    pub last_bytes: u64,
    /// How long the start took to restore one.
    pub restored_millis: u64,
    /// Items restored.
    pub restored_items: u64,
    /// Items that had expired.
    pub restored_expired: u64,
    /// Items that did not fit this server's settings or memory.
    pub restored_refused: u64,
    /// Blocks that were lost.
    pub restored_damaged: u64,
    /// When what was restored had been written, in seconds since 1970; 0: nothing was restored.
    pub restored_begun_unix: u64,
}

impl Figures {
    /// One is being written from now on, or no longer.
    pub fn set_writing(&self, is_writing: bool) {
        self.writing.store(is_writing, Relaxed);
    }

    /// One was written.
    pub fn note_written(&self, counts: Counts, file_bytes: u64, took: Duration, unix: u64) {
        self.last_items.store(counts.items, Relaxed);
        self.last_skipped.store(counts.skipped, Relaxed);
        self.last_bytes.store(file_bytes, Relaxed);
        self.last_millis.store(millis(took), Relaxed);
        self.last_unix.store(unix, Relaxed);
        self.written.fetch_add(1, Relaxed);
    }

    /// One was not.
    pub fn note_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// One was restored.
    pub fn note_restored(&self, restored: &Restored) {
        self.restored_millis.store(millis(restored.took), Relaxed);
        self.restored_items.store(restored.items, Relaxed);
        self.restored_expired.store(restored.expired, Relaxed);
        self.restored_refused.store(restored.refused, Relaxed);
        self.restored_damaged.store(restored.damaged, Relaxed);
        self.restored_begun_unix
            .store(restored.begun_unix_millis / 1000, Relaxed);
    }

    /// All of it.
    pub fn read(&self) -> SnapshotFigures {
        let read = |figure: &AtomicU64| figure.load(Relaxed);
        SnapshotFigures {
            is_writing: self.writing.load(Relaxed),
            written: read(&self.written),
            failed: read(&self.failed),
            last_unix: read(&self.last_unix),
            last_millis: read(&self.last_millis),
            last_items: read(&self.last_items),
            last_skipped: read(&self.last_skipped),
            last_bytes: read(&self.last_bytes),
            restored_millis: read(&self.restored_millis),
            restored_items: read(&self.restored_items),
            restored_expired: read(&self.restored_expired),
            restored_refused: read(&self.restored_refused),
            restored_damaged: read(&self.restored_damaged),
            restored_begun_unix: read(&self.restored_begun_unix),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
