//! What of a server outlives it: items in a file, restored before the first client comes in and written after the last has left.
//!
//! The doors are built by then but not opened: whoever connects meanwhile waits in the kernel's backlog, and `/readyz` says that
//! the server is starting. A signal ends the restoring, and leaves the file as it is.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Scope};

use rustix::fs::statfs;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::error::StartError;
use super::shared::Shared;
use super::stop::Stop;
use super::threads::NotifyOnDrop;
use crate::memory::costs::snapshot_window_bytes;
use crate::net::gate::first_of;
use crate::net::worker::park_once;
use crate::settings::config::Config;
use crate::snapfile::job::Place;
use crate::snapfile::restore::{self, NotRestored, Restored, Target};

/// What the kernel calls a tmpfs.
const TMPFS_MAGIC: i128 = 0x0102_1994;

/// Where snapshots go, if anywhere.
pub(super) fn place(config: &Config) -> Option<Place> {
    let path = config.snapshot.clone()?;
    Some(Place {
        path,
        timeout: config.snapshot_timeout,
        window_bytes: snapshot_window_bytes(config.memory_bytes),
        workers: config.workers,
    })
}

/// Restores what the file has, if there is one. False: the server was told to end meanwhile.
pub(super) fn restore(shared: &Shared<'_>, runtime: &Runtime, stop: &mut Stop) -> bool {
    let Some(place) = shared.snapshots.place() else {
        return true;
    };
    let path = place.path.as_path();
    warn_of_memory(path);
    if shared.restoring.items() > 0 {
        return leave(path);
    }
    let is_being_written = restore::is_being_written(path);
    let (stops, over) = (AtomicBool::new(false), Notify::new());
    let target = Target {
        cache: shared.cache,
        clock: &shared.clock,
        look: &|now| {
            shared.look_at_memory(now);
        },
    };
    let work = || {
        let _over = NotifyOnDrop(&over);
        restore::restore(&target, path, place.workers, &stops)
    };
    let restored = thread::scope(|scope| {
        let spawned = thread::Builder::new()
            .name("restore".to_owned())
            .spawn_scoped(scope, work);
        let Ok(thread) = spawned else {
            return Err(NotRestored::Stopped);
        };
        let told = async {
            stop.told().await;
            stops.store(true, Relaxed);
            over.notified().await;
        };
        runtime.block_on(first_of(over.notified(), told));
        match thread.join() {
            Ok(restored) => restored,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    match restored {
        Ok(restored) => {
            take_over(shared, path, &restored);
            true
        }
        Err(NotRestored::Absent) => {
            let path = path.display();
            if is_being_written {
                log::warn!(
                    "another server is about to write the snapshot {path}: this one begins \
                     empty, and would replace it when it leaves"
                );
            } else {
                log::info!("there is no snapshot {path}: the cache begins empty");
            }
            true
        }
        Err(NotRestored::Stopped) => {
            log::info!("told to end while the snapshot was restored: it stays as it is");
            false
        }
        Err(error) => {
            log::warn!("no snapshot is restored, the cache begins empty: {error}");
            true
        }
    }
}

/// The arena's file has brought back what is newer. What is older must not be restored by a later start.
fn leave(path: &Path) -> bool {
    if path.exists() {
        let name = path.display();
        log::info!("the snapshot {name} is not restored: the arena's file has what is newer");
        if let Err(error) = restore::put_aside(path) {
            log::warn!("the snapshot {name} cannot be renamed ({error}): remove it");
        }
    }
    true
}

/// What follows from what was restored.
fn take_over(shared: &Shared<'_>, path: &Path, restored: &Restored) {
    shared.snapshots.figures.note_restored(restored);
    if restored.items > 0 {
        // Nobody knows by now how its values came.
        shared.note_counted();
    }
    let now = shared.clock.now();
    let flush = restored.flush_unix_millis;
    let is_over = flush != 0 && flush <= shared.clock.unix_millis_of(now);
    if flush != 0 && !is_over {
        let due = shared.clock.tick_of_unix_millis(flush);
        shared.flush.set_due(shared.cache, due);
    }
    let name = path.display();
    let age = (shared.clock.unix_millis_of(now)).saturating_sub(restored.begun_unix_millis) / 1000;
    let took_ms = restored.took.as_millis() as u64;
    log::info!(
        items = restored.items, expired = restored.expired, refused = restored.refused,
        age_seconds = age, took_ms = took_ms;
        "snapshot {name} restored: {} items, {} MiB, in {:.3} s; it was {age} s old, {} items had \
         expired, {} did not fit the settings",
        restored.items,
        restored.bytes >> 20,
        restored.took.as_secs_f64(),
        restored.expired,
        restored.refused,
    );
    if is_over {
        log::info!("all of it was to be flushed by now (flush_all with a delay)");
    }
    if restored.damaged > 0 || restored.is_short {
        log::warn!(
            damaged = restored.damaged;
            "the snapshot {name} is not whole: {} blocks of 256 KiB are damaged{}; their items are \
             missing, and no others",
            restored.damaged,
            if restored.is_short { ", and its end is missing" } else { "" },
        );
    }
    if restored.passed > 0 {
        log::info!(
            "the first {} MiB of the snapshot were passed over: what follows fills the cache",
            restored.passed / 4
        );
    }
    if let Err(error) = restore::put_aside(path) {
        log::warn!(
            "the snapshot {name} cannot be renamed ({error}): after a crash the next start would \
             restore it again, with values of then"
        );
    }
}

/// Who keeps the file in memory should know that it is charged like any other.
fn warn_of_memory(path: &Path) {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if statfs(directory).is_ok_and(|about| i128::from(about.f_type) == TMPFS_MAGIC) {
        log::warn!(
            "--snapshot {}: this is a tmpfs, whose files take memory that no line of the plan has: \
             a volume on a disk works",
            path.display()
        );
    }
}

/// Starts the thread that writes snapshots, if there is a place for them.
pub(super) fn spawn_writer<'s>(
    scope: &'s Scope<'s, '_>,
    shared: &'s Shared<'_>,
) -> Result<(), StartError> {
    if shared.snapshots.place().is_none() {
        return Ok(());
    }
    thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn_scoped(scope, move || {
            park_once();
            let shared = &shared;
            shared
                .snapshots
                .run(shared.cache, &shared.clock, &shared.flush);
        })
        .map(drop)
        .map_err(StartError::System)
}
