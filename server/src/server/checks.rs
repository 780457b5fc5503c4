//! What is looked at before the start: limits of the container and of open files, and what is worth a warning.

use crate::admin;
use crate::auth::users::Logins;
use crate::memory::cgroup::{Groups, Watch};
use crate::memory::plan::ServerPlan;
use crate::net::gate::{self};
use crate::settings::endpoint::Place;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

/// The limit, and how it is followed. What cannot be read is not followed: whoever made the
/// settings has decided whether that matters.
pub(super) fn watch_limit(root: &Path) -> (Option<Watch>, Option<u64>) {
    let read = Groups::find(root).and_then(|groups| Ok((groups.limit_bytes()?, groups.watch())));
    match read {
        Ok((limit_bytes, watch)) => (Some(watch), limit_bytes),
        Err(error) => {
            log::warn!("{error}: the container's limit is not followed");
            (None, None)
        }
    }
}

/// Files that are not connections: listeners, runtimes, what the governor reads, those being
/// shown out.
pub(super) const FILES_BESIDE: u64 = 128;

/// Files that are opened for a moment: figures of the kernel, a certificate, a newcomer that is
/// refused at once.
pub(super) const FILES_SPARE: usize = 8;

/// Connections that the open files allowed to the process are enough for, so that there is
/// always one for a probe and for what the server itself reads. Called when all that stays open
/// is open.
pub(super) fn connections_of_files() -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return usize::MAX;
    };
    let open = std::fs::read_dir("/proc/self/fd").map_or(FILES_BESIDE as usize, Iterator::count);
    let kept = open + FILES_SPARE + admin::FILES + gate::files_for_refused();
    usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(kept)
        .max(1)
}

/// Who can be reached from elsewhere and asks for no login should know.
pub(super) fn warn_of_openness(places: &[Place], logins: &Logins) {
    let is_beyond = |place: &&Place| match place {
        Place::Tcp(address) => !address.ip().is_loopback(),
        Place::Unix(_) => false,
    };
    if let Some(place) = places.iter().find(is_beyond)
        && logins.is_empty()
    {
        let address = place.to_string();
        log::warn!(
            place = address.as_str();
            "{place} can be reached from other machines and nobody has to log in: whoever gets \
             there may read, change and remove everything; --auth-token-file PATH asks for a login"
        );
    }
}

/// Who allows fewer open files than connections should know.
pub(super) fn warn_of_open_files(plan: &ServerPlan) {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return;
    };
    let connections = plan.connections_max as u64;
    let needed = connections + FILES_BESIDE + 8 * plan.worker_count as u64;
    if files < needed {
        log::warn!(
            "only {files} open files are allowed, which is not enough for \
             {connections} connections: raise the limit to {needed} (ulimit -n, or docker run \
             --ulimit nofile={needed}:{needed}), or lower --max-connections"
        );
    }
}

/// Huge pages are advice that the kernel may not take: the cache works without, so this is no
/// refusal.
pub(super) fn warn_of_huge_pages() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let why = match std::fs::read_to_string(path) {
        Ok(enabled) if enabled.contains("[never]") => "it says never".to_owned(),
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    log::warn!(
        "--huge-pages cannot be had here ({path}: {why}): small pages are used; set \
         that file to madvise, or leave --huge-pages out"
    );
}

/// Every connection is an open file. Some runtimes start processes with a soft limit of
/// 1,024 and a far higher hard one, which a process may raise itself to.
pub(super) fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If that fails, accepting backs off when the files run out.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Keys must not be choosable so that they collide. The standard library already asks the
/// system for randomness for its own maps, for the same reason.
pub(super) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
