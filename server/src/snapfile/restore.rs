//! A file into a cache: block by block, in one block's memory, trusting no byte.
//!
//! A block that is not what it should be loses its items and no others; an item that has expired meanwhile is passed over.
//! Blocks have the least valuable items first, so that a smaller cache evicts those again; of a file that is far larger than the
//! cache the first blocks are not even read.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use flagstone_engine::{
    Cache, CasWish, Condition, Deadline, ItemMeta, Reservation, StoreError, Tick,
};
use rustix::fs::{Advice, OFlags, fadvise};

use super::format::{
    self, BLOCK_BYTES, BLOCK_HEAD_BYTES, Counts, Entries, Entry, HEAD_BYTES, Head, Kind, Misfit,
    Part, Record,
};
use super::write::sync_directory;
use super::{restored, unfinished};
use crate::clock::Clock;

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Items stored. Some may have been evicted again, if the cache is smaller.
    pub items: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Items that have expired meanwhile.
    pub expired: u64,
    /// Items that this cache does not take: too long, or no memory.
    pub refused: u64,
    /// Blocks that were not what they should be.
    pub damaged: u64,
    /// Blocks that were not read, because what follows fills the cache.
    pub passed: u64,
    /// The end was not there.
    pub is_short: bool,
    /// When the file was begun.
    pub begun_unix_millis: u64,
    /// When everything is to be removed; 0: never.
    pub flush_unix_millis: u64,
    /// How long it took.
    pub took: Duration,
}

/// Why nothing was restored.
#[derive(Debug)]
pub enum NotRestored {
    /// There is no such file.
    Absent,
    /// It cannot be read.
    File(PathBuf, io::Error),
    /// It is no snapshot of this format.
    Misfit(PathBuf, Misfit),
    /// The server was told to end meanwhile.
    Stopped,
}

impl fmt::Display for NotRestored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRestored::Absent => f.write_str("there is no snapshot"),
            NotRestored::File(path, error) => write!(f, "{}: {error}", path.display()),
            NotRestored::Misfit(path, Misfit::Damaged) => write!(
                f,
                "{} is no snapshot, or its head and its end are damaged",
                path.display()
            ),
            NotRestored::Misfit(path, Misfit::Format(format)) => write!(
                f,
                "{} has the format {format}, and this release reads {}",
                path.display(),
                format::FORMAT
            ),
            NotRestored::Stopped => f.write_str("stopped before the snapshot was restored"),
        }
    }
}

/// Whether another server is about to put a file there. What one left that was ended in the middle is removed.
#[must_use]
pub fn is_being_written(path: &Path) -> bool {
    let path = unfinished(path);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file());
    let Some(file) = is_file.then(|| File::open(&path).ok()).flatten() else {
        return false;
    };
    match file.try_lock() {
        Ok(()) => {
            // While it is locked nobody else takes it for its own.
            let _ = fs::remove_file(&path);
            false
        }
        Err(_) => true,
    }
}

/// Stores the items of the file at `path`, until `stop`. The file is then called `PATH.restored`: what is in it gets old from
/// now on, and a server that is killed must not bring it back.
///
/// # Errors
/// Why there is nothing to restore.
pub fn restore(
    (cache, clock): (&Cache, &Clock),
    path: &Path,
    stop: &AtomicBool,
) -> Result<Restored, NotRestored> {
    let failed = |error| NotRestored::File(path.to_owned(), error);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NotRestored::Absent),
        opened => opened.map_err(failed)?,
    };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let begun = Instant::now();
    let read = read((cache, clock), &mut file, about.len(), stop);
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    match read {
        Ok(read) => Ok(Restored {
            took: begun.elapsed(),
            ..read
        }),
        Err(Unread::Misfit(misfit)) => Err(NotRestored::Misfit(path.to_owned(), misfit)),
        Err(Unread::Stopped) => Err(NotRestored::Stopped),
    }
}

/// The file at `path` is not to be restored again.
///
/// # Errors
/// When it cannot be renamed: then the next start restores it again.
pub fn put_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, restored(path))?;
    sync_directory(path)
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is no snapshot of this format.
    Misfit(Misfit),
    /// It was told to stop.
    Stopped,
}

/// Stores the items of a snapshot of so many bytes.
///
/// # Errors
/// Why there are none.
pub fn read(
    (cache, clock): (&Cache, &Clock),
    input: &mut (impl Read + Seek),
    len: u64,
    stop: &AtomicBool,
) -> Result<Restored, Unread> {
    let mut block = vec![0; BLOCK_BYTES].into_boxed_slice();
    let head = head(input, len, &mut block).map_err(Unread::Misfit)?;
    cache.raise_cas(head.cas_last);
    let mut restoring = Restoring {
        cache,
        clock,
        done: Restored {
            begun_unix_millis: head.begun_unix_millis,
            flush_unix_millis: head.flush_unix_millis,
            is_short: true,
            ..Restored::default()
        },
        long: None,
        long_key: Vec::new(),
    };
    let flush = head.flush_unix_millis;
    if flush != 0 && flush <= clock.unix_millis_of(clock.now()) {
        // Everything in it was to be removed by now.
        restoring.done.is_short = false;
        return Ok(restoring.done);
    }
    let blocks = len
        .saturating_sub(HEAD_BYTES as u64)
        .div_ceil(BLOCK_BYTES as u64);
    let first = blocks.saturating_sub(blocks_that_fill(cache));
    restoring.done.passed = first;
    for number in first..blocks {
        if stop.load(Relaxed) {
            return Err(Unread::Stopped);
        }
        let at = HEAD_BYTES as u64 + number * BLOCK_BYTES as u64;
        let is_read = read_at(input, at, &mut block);
        match is_read
            .then(|| format::open(&block, head.id, number))
            .flatten()
        {
            None => restoring.lose(),
            Some((Kind::Items, _, records)) => restoring.take(records),
            Some((Kind::End, _, records)) => {
                restoring.done.is_short = Counts::decode(records).is_none();
            }
        }
    }
    Ok(restoring.done)
}

/// The head, or its copy in the last block.
fn head(input: &mut (impl Read + Seek), len: u64, block: &mut [u8]) -> Result<Head, Misfit> {
    let mut first = [0; HEAD_BYTES];
    let read = match read_at(input, 0, &mut first) {
        true => Head::decode(&first),
        false => Err(Misfit::Damaged),
    };
    let blocks = len.saturating_sub(HEAD_BYTES as u64) / BLOCK_BYTES as u64;
    if read != Err(Misfit::Damaged) || blocks == 0 {
        return read;
    }
    let at = HEAD_BYTES as u64 + (blocks - 1) * BLOCK_BYTES as u64;
    if !read_at(input, at, block) {
        return read;
    }
    match format::open(block, format::id_of(block), blocks - 1) {
        Some((Kind::End, _, records)) => Head::decode(records),
        _ => read,
    }
}

/// So many blocks at the end fill the cache, whatever is in them: an item takes no less memory than it takes there, but for
/// what has expired, and blocks that are lost.
fn blocks_that_fill(cache: &Cache) -> u64 {
    let bytes = cache.plan().page_count() as u64 * cache.plan().page_bytes() as u64;
    bytes / 2 * 3 / BLOCK_BYTES as u64 + 2
}

/// Fills `out` from there on. False: it ends before, or cannot be read.
fn read_at(input: &mut (impl Read + Seek), at: u64, out: &mut [u8]) -> bool {
    input.seek(SeekFrom::Start(at)).is_ok() && input.read_exact(out).is_ok()
}

/// A value whose parts are arriving.
struct Long<'c> {
    reservation: Reservation<'c>,
    record: Record,
}

struct Restoring<'c> {
    cache: &'c Cache,
    clock: &'c Clock,
    done: Restored,
    long: Option<Long<'c>>,
    long_key: Vec<u8>,
}

impl<'c> Restoring<'c> {
    /// A block is lost, and with it the value that went on there.
    fn lose(&mut self) {
        self.done.damaged += 1;
        self.long = None;
    }

    fn take(&mut self, records: &[u8]) {
        let now = self.clock.now();
        let mut entries = Entries::of(records);
        let mut is_first = true;
        for entry in &mut entries {
            // A value goes on at the beginning of the next block, or not at all.
            if !(is_first && matches!(entry, Entry::Further(..))) {
                self.long = None;
            }
            is_first = false;
            match entry {
                Entry::Whole(record, key, value) => self.whole(&record, key, value, now),
                Entry::First(record, key, part) => self.first(record, key, part, now),
                Entry::Further(part, bytes) => self.further(part, bytes, now),
            }
        }
        if entries.is_broken {
            self.lose();
        }
    }

    /// What is known of an item; `None`: it has expired.
    fn meta(&mut self, record: &Record, now: Tick) -> Option<ItemMeta> {
        let mut meta = ItemMeta::default();
        if let Some(unix_millis) = record.deadline_unix_millis {
            let at = self.clock.tick_of_unix_millis(unix_millis);
            if at <= now {
                self.done.expired += 1;
                return None;
            }
            meta.deadline = Deadline::exact(at);
        }
        meta.client_flags = record.client_flags;
        meta.cas = record.cas;
        meta.stale = record.stale;
        meta.won = record.won;
        Some(meta)
    }

    fn whole(&mut self, record: &Record, key: &[u8], value: &[u8], now: Tick) {
        let Some(meta) = self.meta(record, now) else {
            return;
        };
        let Ok(known) = self.cache.key_in(record.database, key) else {
            self.done.refused += 1;
            return;
        };
        let stored = self.cache.import(known, value, &meta, record.standing, now);
        self.count(stored, key.len() + value.len());
    }

    fn first(&mut self, record: Record, key: &[u8], part: &[u8], now: Tick) {
        let Some(meta) = self.meta(&record, now) else {
            return;
        };
        let Ok(known) = self.cache.key_in(record.database, key) else {
            self.done.refused += 1;
            return;
        };
        let wish = meta.cas.map_or(CasWish::IfKept, CasWish::Be);
        let len = record.value_len as usize;
        let reserved = self
            .cache
            .reserve_as(known, len, meta.attributes(), wish, now);
        let Ok(reservation) = reserved else {
            self.done.refused += 1;
            return;
        };
        self.long_key.clear();
        self.long_key.extend_from_slice(key);
        self.go_on(
            Long {
                reservation,
                record,
            },
            part,
            now,
        );
    }

    fn further(&mut self, part: Part, bytes: &[u8], now: Tick) {
        let Some(long) = self.long.take() else {
            return;
        };
        if long.reservation.written() == part.offset as usize {
            self.go_on(long, bytes, now);
        }
    }

    /// Writes a part; behind the last one the item is complete.
    fn go_on(&mut self, mut long: Long<'c>, bytes: &[u8], now: Tick) {
        if long.reservation.write(bytes, now).is_err() {
            self.done.refused += 1;
            return;
        }
        let len = long.record.value_len as usize;
        if long.reservation.written() < len {
            self.long = Some(long);
            return;
        }
        let stored = self.commit(long, now);
        self.count(stored, self.long_key.len() + len);
    }

    fn commit(&mut self, long: Long<'c>, now: Tick) -> Result<(), StoreError> {
        let record = long.record;
        long.reservation.commit(Condition::Always, now)?;
        let Some(meta) = self.meta(&record, now) else {
            return Ok(());
        };
        match self.cache.key_in(record.database, &self.long_key) {
            Ok(key) => self.cache.settle(key, &meta, record.standing, now),
            Err(_) => Ok(()),
        }
    }

    fn count(&mut self, stored: Result<(), StoreError>, bytes: usize) {
        match stored {
            Ok(()) => {
                self.done.items += 1;
                self.done.bytes += bytes as u64;
            }
            Err(_) => self.done.refused += 1,
        }
    }
}

const _: () = assert!(BLOCK_HEAD_BYTES + HEAD_BYTES < BLOCK_BYTES);
