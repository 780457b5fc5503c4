//! The cache is opened: a file's items are restored, by as many threads as there will be workers, while the admin pages
//! say how far that is and clients wait where they have connected.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use flagstone_engine::{Backing, Cache, Opening, Restored};
use tokio::sync::Notify;

use super::error::StartError;
use super::threads::{NotifyOnDrop, warn_of_admin};
use crate::admin;
use crate::memory::plan::ServerPlan;
use crate::observe::restoring::Restoring;
use crate::settings::config::Config;

/// Opens the cache that the plan says.
pub(super) fn open(
    config: &Config,
    server: &ServerPlan,
    admin: Option<&TcpListener>,
    rules: admin::Rules<'_>,
) -> Result<(Cache, Restoring), StartError> {
    let plan = &server.engine;
    if let (Backing::File(path), Some(why)) = (&config.backing, plan.unusable())
        && config.arena_required
    {
        return Err(StartError::Unusable(path.clone(), why));
    }
    let begun = Instant::now();
    // Prefaulting a large arena takes seconds, and restoring one does: whoever asks meanwhile is told.
    let cache = while_starting(admin, rules, |progress| {
        let opening = Opening::new(plan.clone())?;
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let work = || {
                while let Some(part) =
                    Some(next.fetch_add(1, Relaxed)).filter(|&part| part < opening.parts())
                {
                    opening.restore(part);
                    progress.store(opening.parts_done(), Relaxed);
                }
            };
            for _ in 1..config.workers {
                // Without it the others have more to do.
                let _ = thread::Builder::new()
                    .name("restore".to_owned())
                    .spawn_scoped(scope, work);
            }
            work();
        });
        opening.finish_within(server.pages_for(server.memory_bytes))
    })
    .map_err(StartError::Open)?;
    let restoring = Restoring {
        restored: cache.restored(),
        took: begun.elapsed(),
        unix: crate::clock::unix_seconds(),
    };
    tell(config, restoring);
    Ok((cache, restoring))
}

/// Says what became of what the file held.
fn tell(config: &Config, restoring: Restoring) {
    let Backing::File(path) = &config.backing else {
        return;
    };
    let file = path.display();
    let millis = restoring.took_millis();
    match restoring.restored {
        Restored::Items {
            items,
            forgotten,
            unordered,
        } => log::info!(
            items, forgotten, unordered, millis;
            "restored {items} items of {file} in {millis} ms; {forgotten} were being written to when it was left, and are \
             not there"
        ),
        Restored::Nothing(why) => {
            log::warn!("nothing is restored of {file}: {why}; the cache is empty");
        }
        _ => log::info!("{file} is new: the cache is empty"),
    }
}

/// Runs `work` while the admin pages, if there are any, say that the server is starting and how far it is.
pub(super) fn while_starting<R>(
    admin: Option<&TcpListener>,
    rules: admin::Rules<'_>,
    work: impl FnOnce(&AtomicUsize) -> R,
) -> R {
    let progress = AtomicUsize::new(0);
    let Some(listener) = admin else {
        return work(&progress);
    };
    let over = Notify::new();
    thread::scope(|scope| {
        // Without this thread nobody is told, which is no reason not to start.
        let _ = thread::Builder::new()
            .name("admin".to_owned())
            .spawn_scoped(scope, || {
                let told = admin::Told::Starting(&progress);
                warn_of_admin(admin::run(listener, told, rules, &over));
            });
        let _over = NotifyOnDrop(&over);
        work(&progress)
    })
}
