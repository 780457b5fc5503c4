//! Going through the items, and what is told of each.

use flagstone_engine::{Tick, Visited, Walk};

use super::read::class_no;
use crate::clock::Clock;
use crate::proto::{Facts, Listing};

/// Where a list of items begins, and what it goes through.
#[must_use]
pub fn walk_of(listing: Listing) -> Walk {
    match listing.class {
        None => Walk::default(),
        // Clients count classes from 1: there is none before the first.
        Some(class) => Walk::of_class(class.wrapping_sub(1), listing.limit),
    }
}

/// What a dump tells of an item: moments of the calendar, where other answers count seconds.
#[must_use]
pub fn dump_facts(visited: &Visited, now: Tick, clock: &Clock) -> Facts {
    let accessed = visited.idle_seconds.map_or(clock.started(), |seconds| {
        Tick::from_millis(now.as_millis().saturating_sub(seconds * 1000))
    });
    Facts {
        seconds_left: visited.meta.deadline.tick().map(|at| clock.unix_of(at)),
        idle_seconds: clock.unix_of(accessed),
        cas: visited.meta.cas,
        read: visited.read,
        value_len: visited.meta.value_len,
        class: class_no(visited),
        item_bytes: visited.item_bytes as u64,
        client_flags: visited.meta.client_flags,
        ..Facts::default()
    }
}
