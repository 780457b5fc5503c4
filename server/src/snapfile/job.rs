//! The thread that writes snapshots, and who asks it to.
//!
//! One at a time: at the wish of an operator, slowly, beside requests; and at the end, as fast as it goes, when nobody is served
//! any more. A wish of the first kind gives way to the end.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flagstone_engine::Cache;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::blocks::Blocks;
use super::figures::Figures;
use super::format::Head;
use super::write::{Pace, Unwritten, write};
use crate::clock::Clock;
use crate::execute::flush::FlushTimer;

/// Of one processor's time, a snapshot beside requests takes this part for each worker: 3 % of the throughput …
const SHARE_PER_WORKER: u32 = 32;
/// … and rests at least so many times as long as it works.
const RESTS_MIN: u32 = 1;

/// Where snapshots go.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    /// So long the last one may take.
    pub timeout: Duration,
    /// Bytes of the file that are not synced yet, at most.
    pub window_bytes: usize,
    pub workers: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wish {
    #[default]
    None,
    /// Beside requests.
    Beside,
    /// The last one.
    Last,
    /// No more.
    End,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is begun.
    Begun,
    /// There is one already.
    Busy,
    /// There is no place for one, or the server leaves.
    Nowhere,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Snapshots {
    place: Option<Place>,
    wish: Mutex<Wish>,
    woken: Condvar,
    over: Notify,
    pub figures: Figures,
}

impl Snapshots {
    pub fn new(place: Option<Place>) -> Self {
        Snapshots {
            place,
            ..Snapshots::default()
        }
    }

    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Asks for a snapshot beside requests.
    pub fn ask(&self) -> Asked {
        if self.place.is_none() {
            return Asked::Nowhere;
        }
        let mut wish = self.wish.lock();
        match *wish {
            Wish::None => {
                *wish = Wish::Beside;
                self.figures.set_writing(true);
                self.woken.notify_one();
                Asked::Begun
            }
            Wish::Beside => Asked::Busy,
            Wish::Last | Wish::End => Asked::Nowhere,
        }
    }

    /// Has the thread end, after a last snapshot if there is to be one; returns when it has.
    pub async fn end(&self, with_last: bool) {
        if self.place.is_none() {
            return;
        }
        *self.wish.lock() = if with_last { Wish::Last } else { Wish::End };
        self.woken.notify_one();
        self.over.notified().await;
    }

    /// The thread's work, until it is told to end. There has to be a place.
    pub fn run(&self, cache: &Cache, clock: &Clock, flush: &FlushTimer) {
        let _over = NotifyOnDrop(&self.over);
        let Some(place) = &self.place else {
            return;
        };
        let mut blocks = Blocks::new(clock);
        loop {
            let wish = self.next_wish();
            match wish {
                Wish::None => {}
                Wish::Beside => {
                    self.write((cache, clock, flush), place, &mut blocks, false);
                    self.figures.set_writing(false);
                    let mut wish = self.wish.lock();
                    if *wish == Wish::Beside {
                        *wish = Wish::None;
                    }
                }
                Wish::Last => {
                    self.figures.set_writing(true);
                    self.write((cache, clock, flush), place, &mut blocks, true);
                    self.figures.set_writing(false);
                    return;
                }
                Wish::End => return,
            }
        }
    }

    fn next_wish(&self) -> Wish {
        let mut wish = self.wish.lock();
        while *wish == Wish::None {
            self.woken.wait(&mut wish);
        }
        *wish
    }

    fn write(
        &self,
        (cache, clock, flush): (&Cache, &Clock, &FlushTimer),
        place: &Place,
        blocks: &mut Blocks<'_>,
        is_last: bool,
    ) {
        let begun = Instant::now();
        let flushes = flush.flushes();
        let may_go_on = || {
            if is_last && begun.elapsed() > place.timeout {
                return Err(Unwritten::Late(place.timeout));
            }
            if !is_last && *self.wish.lock() != Wish::Beside {
                return Err(Unwritten::Stopped);
            }
            if flush.flushes() != flushes {
                return Err(Unwritten::Flushed);
            }
            Ok(())
        };
        let pace = Pace {
            rests: match is_last {
                true => 0,
                false => (SHARE_PER_WORKER / place.workers as u32).max(RESTS_MIN),
            },
            may_go_on: &may_go_on,
        };
        let head = Head {
            id: RandomState::new().build_hasher().finish(),
            begun_unix_millis: clock.unix_millis_of(clock.now()),
            cas_last: cache.cas_last(),
            flush_unix_millis: flush.due().map_or(0, |due| clock.unix_millis_of(due)),
            is_final: is_last,
        };
        let file = (place.path.as_path(), place.window_bytes);
        let path = place.path.display();
        match write((cache, clock), blocks, file, head, &pace) {
            Ok((counts, file_bytes)) => {
                let took = begun.elapsed();
                let unix = clock.unix_of(clock.now());
                self.figures.note_written(counts, file_bytes, took, unix);
                let took_ms = took.as_millis() as u64;
                log::info!(
                    items = counts.items, bytes = file_bytes, skipped = counts.skipped,
                    took_ms = took_ms;
                    "snapshot {path} written: {} items, {} MiB, in {:.3} s",
                    counts.items,
                    file_bytes >> 20,
                    took.as_secs_f64(),
                );
                if counts.skipped > 0 {
                    log::warn!(
                        "{} long values are not in the snapshot, because too many others were \
                         being read",
                        counts.skipped
                    );
                }
            }
            Err(unwritten) => {
                self.figures.note_failed();
                log::warn!("no snapshot was written: {unwritten}; an older one stays as it is");
            }
        }
    }
}

/// Also when a panic passes by.
struct NotifyOnDrop<'n>(&'n Notify);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
