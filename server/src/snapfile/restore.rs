//! A file into a cache: block by block, in the memory of a few, trusting no byte. One thread reads and checks blocks while
//! others store what was in those before.
//!
//! A block that is not what it should be loses its items and no others; an item that has expired meanwhile is passed over.
//! Blocks have the least valuable items first, so that a smaller cache evicts those again; of a file that is far larger than the
//! cache the first blocks are not even read.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use flagstone_engine::{Cache, Tick};
use rustix::fs::{Advice, OFlags, fadvise};

use super::format::{self, BLOCK_BYTES, BLOCK_HEAD_BYTES, Counts, HEAD_BYTES, Head, Kind, Misfit};
use super::names::{restored, sync_directory, unfinished};
use super::store::{Arrived, Restoring};
use crate::clock::Clock;

/// Between two looks whether all is well.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Threads that store, at most: each has a block in memory, and there is one more.
pub const THREADS_MAX: usize = 2;

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

impl Restored {
    /// Adds what another thread has done.
    fn add(&mut self, part: &Restored) {
        self.items += part.items;
        self.bytes += part.bytes;
        self.expired += part.expired;
        self.refused += part.refused;
        self.damaged += part.damaged;
    }
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

/// Where items go.
#[derive(Clone, Copy)]
pub struct Target<'c> {
    pub cache: &'c Cache,
    pub clock: &'c Clock,
    /// Looks at the container's memory before each block, and has the cache give way if need be.
    pub look: &'c (dyn Fn(Tick) + Sync),
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
    target: &Target<'_>,
    path: &Path,
    threads: usize,
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
    let threads = threads.clamp(1, THREADS_MAX);
    let read = read(target, (&mut file, about.len()), threads, stop);
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    match read {
        Ok(read) => Ok(Restored {
            took: begun.elapsed(),
            ..read
        }),
        Err(Unread::Misfit(misfit)) => Err(NotRestored::Misfit(path.to_owned(), misfit)),
        Err(Unread::Stopped) => Err(NotRestored::Stopped),
        Err(Unread::NoThread) => Err(failed(io::Error::other("no thread can be had to read it"))),
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
    /// No thread can be had.
    NoThread,
}

/// Stores the items of a snapshot of so many bytes, on so many threads beside this one, which reads.
///
/// # Errors
/// Why there are none.
pub fn read(
    target: &Target<'_>,
    (input, len): (&mut (impl Read + Seek), u64),
    threads: usize,
    stop: &AtomicBool,
) -> Result<Restored, Unread> {
    let Target { cache, clock, .. } = *target;
    let head = head(input, len).map_err(Unread::Misfit)?;
    cache.raise_cas(head.cas_last);
    let mut done = Restored {
        begun_unix_millis: head.begun_unix_millis,
        flush_unix_millis: head.flush_unix_millis,
        ..Restored::default()
    };
    let flush = head.flush_unix_millis;
    if flush != 0 && flush <= clock.unix_millis_of(clock.now()) {
        // Everything in it was to be removed by now.
        return Ok(done);
    }
    let blocks = len
        .saturating_sub(HEAD_BYTES as u64)
        .div_ceil(BLOCK_BYTES as u64);
    let first = blocks.saturating_sub(blocks_that_fill(cache));
    done.passed = first;
    thread::scope(|scope| {
        let (emptied, empty) = mpsc::sync_channel(threads + 1);
        let mut storing = Vec::with_capacity(threads);
        let mut filled = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (send, arrives) = mpsc::sync_channel(threads + 1);
            let emptied = emptied.clone();
            let store = move || Restoring::new(target).run(&arrives, &emptied, stop);
            let thread = thread::Builder::new().name("restore".to_owned());
            let spawned = thread.spawn_scoped(scope, store);
            storing.push(spawned.map_err(|_| Unread::NoThread)?);
            filled.push(send);
        }
        for _ in 0..=threads {
            // There is room for all blocks that there are.
            let _ = emptied.send(vec![0; BLOCK_BYTES].into_boxed_slice());
        }
        let has_ended = || storing.iter().any(thread::ScopedJoinHandle::is_finished);
        let is_whole = ahead(input, (head.id, first..blocks), &empty, &filled, || {
            stop.load(Relaxed) || has_ended()
        });
        drop(filled);
        for thread in storing {
            match thread.join() {
                Ok(part) => done.add(&part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done.is_short = !is_whole;
        match stop.load(Relaxed) {
            true => Err(Unread::Stopped),
            false => Ok(done),
        }
    })
}

/// Reads and checks blocks, and hands them out in turn while those before are stored; one that begins with a part of a value to
/// whoever has the part before. True: the last one is an end block.
fn ahead(
    input: &mut (impl Read + Seek),
    (id, numbers): (u64, Range<u64>),
    empty: &Receiver<Box<[u8]>>,
    filled: &[SyncSender<Arrived>],
    is_over: impl Fn() -> bool,
) -> bool {
    let mut turn = 0;
    let mut is_whole = false;
    for number in numbers {
        let mut block = loop {
            if is_over() {
                return false;
            }
            // Nobody waits for a thread that has panicked.
            if let Ok(block) = empty.recv_timeout(LOOK_INTERVAL) {
                break block;
            }
        };
        let at = HEAD_BYTES as u64 + number * BLOCK_BYTES as u64;
        let is_read = read_at(input, at, &mut block);
        let opened = is_read.then(|| format::open(&block, id, number)).flatten();
        let records_len = match opened {
            Some((Kind::End, _, records)) => {
                is_whole = Counts::decode(records).is_some();
                Some(0)
            }
            Some((Kind::Items, _, records)) => {
                is_whole = false;
                if !format::begins_with_further(records) {
                    turn = (turn + 1) % filled.len();
                }
                Some(records.len())
            }
            None => None,
        };
        if filled[turn].send(Arrived { block, records_len }).is_err() {
            return false;
        }
    }
    is_whole
}

/// The head, or its copy in the last block.
fn head(input: &mut (impl Read + Seek), len: u64) -> Result<Head, Misfit> {
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
    let mut block = vec![0; BLOCK_BYTES];
    if !read_at(input, at, &mut block) {
        return read;
    }
    match format::open(&block, format::id_of(&block), blocks - 1) {
        Some((Kind::End, _, records)) => Head::decode(records),
        _ => read,
    }
}

/// So many blocks at the end fill the cache, whatever is in them: an item takes no less memory than it takes there, but for
/// what has expired, and blocks that are lost.
fn blocks_that_fill(cache: &Cache) -> u64 {
    let bytes = cache.pages_usable() as u64 * cache.plan().page_bytes() as u64;
    bytes / 2 * 3 / BLOCK_BYTES as u64 + 2
}

/// Fills `out` from there on. False: it ends before, or cannot be read.
fn read_at(input: &mut (impl Read + Seek), at: u64, out: &mut [u8]) -> bool {
    input.seek(SeekFrom::Start(at)).is_ok() && input.read_exact(out).is_ok()
}

const _: () = assert!(BLOCK_HEAD_BYTES + HEAD_BYTES < BLOCK_BYTES);
