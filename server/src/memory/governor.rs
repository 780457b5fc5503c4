//! Who gets the memory of the moment: items, or connections.
//!
//! ```text
//!            all pages of the arena (reserved for --memory-max)
//!   ┌──────────────────────────────────────────┬─────────────┬──────────┬─────────┐
//!   │ usable: items and index                  │ connections │ excess   │ not our │
//!   │                                          │ granted     │          │ memory  │
//!   └──────────────────────────────────────────┴─────────────┴──────────┴─────────┘
//!                                              └──────────── retired ─────────────┘
//! ```
//!
//! - *Granted*: room for connections is made before they are accepted, in steps of
//!   [`CONNECTIONS_STEP`], and given back some time after they have gone, so that a wave of
//!   connections does not evict at every crest.
//! - *Leased buffers*: room for all of them is made when half of the first few are in use, and
//!   stays: their memory has been touched then.
//! - *Messages between clients*: room for them is made at the first subscription, and stays likewise.
//! - *Excess*: when the kernel has charged more to the container than the plan says, the
//!   cache gives way until it fits again.
//! - *Not our memory*: the container's limit of the moment allows less than the arena was
//!   reserved for.
//!
//! It runs on the acceptor's thread, beside accepting and maintaining, and changes only so
//! much at a time that newcomers do not notice. Nothing here allocates.

use std::cell::{Cell, RefCell};

use crate::memory::cgroup::Watch;
use crate::memory::lease_room::LeaseRoom;
use crate::memory::plan::{CONNECTIONS_STEP, ServerPlan};
use crate::server::shared::{PORTION_BYTES, Shared};
use crate::settings::size::size_text;

/// So many steps of room may lie idle before some is given back.
const IDLE_STEPS_MAX: usize = 3;
/// Of what the cache gave up because of an excess, it takes back this part a second.
const EXCESS_RETURN_SHARE: usize = 4;
/// Of the headroom this part is kept free; with more charged the cache gives way.
const MARGIN_PARTS: [usize; 2] = [3, 4];
/// So many places for large socket buffers lie ready.
const LARGE_SOCKETS_SPARE: usize = 4;
/// When that was too few, so many more are made at once.
const LARGE_SOCKETS_STEP: usize = 16;

/// What the memory was measured by at the start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The memory.
    pub memory_bytes: usize,
    /// What it may become.
    pub memory_bytes_max: usize,
    /// The limit, if there was one.
    pub limit_bytes: Option<u64>,
}

impl Start {
    /// The memory under another limit. What was left beside the memory at the start is left
    /// beside it when the limit rises; when it falls, that is given up first.
    #[must_use]
    pub fn memory_under(&self, limit_bytes: Option<u64>) -> usize {
        let wanted = match (self.limit_bytes, limit_bytes) {
            (None, _) => self.memory_bytes,
            (Some(_), None) => self.memory_bytes_max,
            (Some(start), Some(now)) => {
                let beside = bytes(start).saturating_sub(self.memory_bytes);
                bytes(now).saturating_sub(beside).max(self.memory_bytes)
            }
        };
        wanted
            .min(self.memory_bytes_max)
            .min(limit_bytes.map_or(usize::MAX, bytes))
    }
}

fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The state of the budget, kept by one thread and published on the board.
pub struct Governor<'h> {
    shared: &'h Shared<'h>,
    start: Start,
    watch: RefCell<Option<Watch>>,
    limit_bytes: Cell<Option<u64>>,
    memory_bytes: Cell<usize>,
    /// What a client has asked for.
    wish_bytes: Cell<Option<usize>>,
    /// Room for so many connections is made.
    granted: Cell<usize>,
    /// The most there ever was: their user memory stays with the process.
    granted_most: Cell<usize>,
    /// The most connections since the last look.
    open_peak: Cell<usize>,
    /// Room for so many connections with large socket buffers is made, or being made.
    large_sockets: Cell<usize>,
    idle_file_bytes: Cell<u64>,
    /// Said once, until it is otherwise again.
    told_too_small: Cell<bool>,
    told_stuck: Cell<bool>,
}

/// What became of one portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// The cache has the pages it should have.
    Settled,
    /// There is more to do.
    More,
    /// Nothing can be evicted at the moment: transfers hold the pages.
    Stuck,
}

impl<'h> Governor<'h> {
    /// Retires what the memory of the start does not allow, and makes room for the first
    /// connections. Nothing is in the cache yet, so this is quick.
    pub fn new(shared: &'h Shared<'h>, watch: Option<Watch>, limit_bytes: Option<u64>) -> Self {
        let plan = shared.plan;
        let governor = Governor {
            shared,
            start: Start {
                memory_bytes: plan.memory_bytes,
                memory_bytes_max: plan.memory_bytes_max,
                limit_bytes,
            },
            watch: RefCell::new(watch.filter(Watch::has_limits)),
            limit_bytes: Cell::new(limit_bytes),
            memory_bytes: Cell::new(plan.memory_bytes),
            wish_bytes: Cell::new(None),
            granted: Cell::new(0),
            granted_most: Cell::new(0),
            open_peak: Cell::new(0),
            large_sockets: Cell::new(LARGE_SOCKETS_SPARE.min(plan.large_sockets_max)),
            idle_file_bytes: Cell::new(0),
            told_too_small: Cell::new(false),
            told_stuck: Cell::new(false),
        };
        if let Some(watch) = governor.watch.borrow().as_ref() {
            shared.memory.watch(watch.gauge());
        }
        shared.memory.follow_limit(limit_bytes);
        governor.set_granted(CONNECTIONS_STEP.min(plan.connections_max));
        while governor.portion() == Portion::More {}
        governor.look();
        governor
    }

    /// Whether one more connection may be accepted now. If room has to be made for it, a
    /// portion of that is done; false: ask again soon.
    pub fn may_accept(&self) -> bool {
        let open = self.shared.admission.connections();
        self.open_peak.set(self.open_peak.get().max(open + 1));
        // One over the limit is accepted, to be told so.
        if open < self.granted.get() || open >= self.shared.admission.connections_allowed() {
            return true;
        }
        // What is charged too much, newcomers would only make more.
        if self.shared.memory.is_watched() && self.shared.look_at_memory(self.shared.clock.now()) {
            return false;
        }
        let granted = (open + 1).next_multiple_of(CONNECTIONS_STEP);
        let wanted = self.pages_wanted(granted);
        if self.shared.cache.pages_usable() > wanted && self.resize(wanted) == Portion::Stuck {
            return false;
        }
        if self.shared.cache.pages_usable() > wanted {
            return false;
        }
        self.set_granted(granted);
        true
    }

    fn set_granted(&self, granted: usize) {
        self.granted.set(granted);
        self.granted_most.set(self.granted_most.get().max(granted));
        self.publish();
    }

    /// Pages that the cache should have with room for `granted` connections.
    fn pages_wanted(&self, granted: usize) -> usize {
        let plan = self.shared.plan;
        let most = self.granted_most.get().max(granted);
        let less = plan.connection_bytes(granted, most)
            + plan.large_sockets_bytes(self.large_sockets.get())
            + self.leases_bytes()
            + self.pubsub_bytes()
            + self.shared.memory.excess_bytes();
        plan.pages_for(self.memory_bytes.get())
            .saturating_sub(less.div_ceil(plan.engine.page_bytes()))
            .max(plan.pages_min())
    }

    /// What the workers' further leased buffers take, if they are needed.
    fn leases_bytes(&self) -> usize {
        match self.shared.leases.is_wanted() {
            true => self.shared.plan.leases_lent_bytes(),
            false => 0,
        }
    }

    /// What messages between clients take, if anybody has subscribed.
    fn pubsub_bytes(&self) -> usize {
        match self.shared.pubsub.room.is_wanted() {
            true => self.shared.plan.pubsub_lent_bytes(),
            false => 0,
        }
    }

    /// Moves the cache a portion towards the pages it should have.
    pub fn portion(&self) -> Portion {
        let rooms = [&self.shared.leases, &self.shared.pubsub.room];
        let wanted = rooms.map(LeaseRoom::is_wanted);
        let portion = self.resize(self.pages_wanted(self.granted.get()));
        if portion == Portion::Settled {
            for (room, _) in rooms.into_iter().zip(wanted).filter(|&(_, wanted)| wanted) {
                room.grant();
            }
            self.allow_sockets(self.large_sockets.get());
        }
        portion
    }

    /// Makes as many places for large socket buffers as are wanted, and a few more. They can be taken once the
    /// cache has made room.
    fn share_sockets(&self) {
        let (sockets, now) = (&self.shared.sockets, self.large_sockets.get());
        let taken = sockets.taken();
        let mut wanted = taken + LARGE_SOCKETS_SPARE;
        if sockets.take_wanted() {
            wanted = wanted.max(now) + LARGE_SOCKETS_STEP;
        }
        let most = self.large_sockets_most();
        let wanted = wanted.min(most);
        if wanted > now {
            self.large_sockets.set(wanted);
        } else if wanted + LARGE_SOCKETS_STEP <= now || most < now {
            self.allow_sockets(wanted);
            self.large_sockets.set(wanted);
        }
    }

    /// Places for large socket buffers that there can be beside the connections of the moment.
    fn large_sockets_most(&self) -> usize {
        self.shared.plan.large_sockets_beside(
            self.memory_bytes.get(),
            self.granted.get(),
            self.granted_most.get(),
        )
    }

    fn allow_sockets(&self, places: usize) {
        self.shared.sockets.allow(places, self.large_sockets_most());
    }

    fn resize(&self, wanted: usize) -> Portion {
        let shared = self.shared;
        shared.memory.want_pages(wanted);
        let before = shared.cache.pages_usable();
        if before == wanted {
            return Portion::Settled;
        }
        let portion = (PORTION_BYTES / shared.plan.engine.page_bytes()).max(8);
        match shared.cache.resize(wanted, portion, shared.clock.now()) {
            Ok(after) if after == wanted => Portion::Settled,
            Ok(after) if after == before => Portion::Stuck,
            Ok(_) => Portion::More,
            Err(error) => {
                if !self.told_stuck.replace(true) {
                    log::warn!(
                        "the system does not take memory back ({error}): connections \
                         and a lowered limit will have to wait"
                    );
                }
                Portion::Stuck
            }
        }
    }

    /// Once in a while: what does the kernel say is charged? If it is more than planned, the
    /// cache gives way.
    pub fn glance(&self) {
        self.share_sockets();
        let mut watch = self.watch.borrow_mut();
        let Some(watch) = watch.as_mut() else {
            self.follow(self.limit_bytes.get());
            return;
        };
        // A limit that is lowered in steps is followed before the next one comes.
        if let Some(limit_bytes) = watch.limit_bytes() {
            self.follow(limit_bytes);
        }
        if let Some(usage_bytes) = watch.usage_bytes() {
            self.weigh(usage_bytes);
        }
    }

    /// Once a second: everything that changes slowly.
    pub fn look(&self) {
        if let Some(watch) = self.watch.borrow_mut().as_mut() {
            if let Some(limit_bytes) = watch.limit_bytes() {
                self.follow(limit_bytes);
            }
            let figures = watch.figures();
            self.idle_file_bytes.set(figures.idle_file_bytes);
            let memory = &self.shared.memory;
            memory.lessen_excess(memory.excess_bytes().div_ceil(EXCESS_RETURN_SHARE));
            if let Some(usage_bytes) = figures.usage_bytes {
                self.weigh(usage_bytes);
            }
            let over = figures
                .socket_bytes
                .is_some_and(|sockets| bytes(sockets) > self.shared.plan.socket_bytes);
            self.shared.memory.set_sockets_over(over);
            self.shared.memory.note(&figures);
        }
        self.share_sockets();
        self.give_back();
        self.publish();
    }

    /// A part of the headroom may be used by what nobody counts; beyond that the cache pays.
    fn weigh(&self, usage_bytes: u64) {
        let memory = &self.shared.memory;
        let Some(limit_bytes) = self.limit_bytes.get() else {
            memory.allow_bytes(u64::MAX);
            return;
        };
        let margin = self.shared.plan.headroom_bytes * MARGIN_PARTS[0] / MARGIN_PARTS[1];
        let allowed = bytes(limit_bytes).saturating_sub(margin);
        memory.allow_bytes((allowed as u64).saturating_add(self.idle_file_bytes.get()));
        let usage = bytes(usage_bytes.saturating_sub(self.idle_file_bytes.get()));
        // What it is asked to give up and has not yet is still in the usage.
        let owed = self
            .shared
            .cache
            .pages_usable()
            .saturating_sub(self.pages_wanted(self.granted.get()));
        let owed = owed * self.shared.plan.engine.page_bytes();
        let over = usage.saturating_sub(allowed).saturating_sub(owed);
        if over > 0 {
            memory.add_excess(over, self.shared.plan.memory_bytes_max);
        }
    }

    /// The limit may have been changed.
    fn follow(&self, limit_bytes: Option<u64>) {
        let wish_bytes = self.shared.memory.wish_bytes();
        let has_new_limit = self.limit_bytes.replace(limit_bytes) != limit_bytes;
        if !has_new_limit && self.wish_bytes.replace(wish_bytes) == wish_bytes {
            return;
        }
        self.wish_bytes.set(wish_bytes);
        self.shared.memory.follow_limit(limit_bytes);
        let plan = self.shared.plan;
        let allowed_bytes = self.start.memory_under(limit_bytes);
        let memory_bytes = wish_bytes.map_or(allowed_bytes, |wish| wish.min(allowed_bytes));
        self.memory_bytes.set(memory_bytes);
        let why = match has_new_limit {
            true => limit_bytes.map_or("the memory limit is gone".to_owned(), |limit| {
                format!("the memory limit is now {}", size_text(bytes(limit)))
            }),
            false => "a client has asked for another memory limit".to_owned(),
        };
        log::info!("{why}: planning with {}", size_text(memory_bytes));
        if limit_bytes.map(bytes) > Some(plan.memory_bytes_max) && wish_bytes.is_none() {
            log::info!(
                "more than {} cannot be used without a restart: set --memory-max to what the limit may become",
                size_text(plan.memory_bytes_max)
            );
        }
        let least = plan.memory_bytes_least();
        if memory_bytes >= least {
            self.told_too_small.set(false);
        } else if !self.told_too_small.replace(true) {
            log::warn!(
                "that is less than the {} that this server needs: it keeps the least \
                 it can work with, and few connections; raise the limit",
                size_text(least)
            );
        }
        if !plan.connections_share_pages {
            log::warn!(
                "an arena on the heap or of huge pages gives little memory back: use \
                 --arena mmap and small pages where limits change"
            );
        }
    }

    /// Takes back room that nobody has used for a second.
    fn give_back(&self) {
        let open = self.shared.admission.connections();
        let peak = self.open_peak.replace(open).max(open);
        let enough = (peak + 1).next_multiple_of(CONNECTIONS_STEP);
        if self.granted.get() > enough + IDLE_STEPS_MAX * CONNECTIONS_STEP {
            self.granted.set(enough + CONNECTIONS_STEP);
        }
    }

    /// Publishes it for the workers and for `STATS`.
    fn publish(&self) {
        let plan = self.shared.plan;
        let memory_bytes = self.memory_bytes.get();
        let connection_bytes = plan.connection_bytes(self.granted.get(), self.granted_most.get());
        self.shared
            .admission
            .allow(connections_allowed(plan, memory_bytes));
        self.shared.memory.publish(memory_bytes, connection_bytes);
    }
}

/// Connections that may be there with this memory. The first step always: who wants to know
/// what is wrong needs one.
fn connections_allowed(plan: &ServerPlan, memory_bytes: usize) -> usize {
    plan.connections_that_fit(memory_bytes)
        .max(CONNECTIONS_STEP)
        .min(plan.connections_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_memory_follows_the_limit() {
        // Memory, largest memory and limit at the start; limit now, memory now. In MiB.
        type Row = ([u64; 2], Option<u64>, Option<u64>, u64);
        let table: &[Row] = &[
            // Auto: all of the limit.
            ([64, 64], Some(64), Some(64), 64),
            ([64, 64], Some(64), Some(40), 40),
            ([64, 64], Some(64), Some(96), 64),
            ([64, 96], Some(64), Some(80), 80),
            ([64, 96], Some(64), Some(128), 96),
            ([64, 96], Some(64), None, 96),
            // A size: what is left beside it is given up first, and kept when there is more.
            ([48, 48], Some(64), Some(56), 48),
            ([48, 48], Some(64), Some(40), 40),
            ([48, 96], Some(64), Some(80), 64),
            // Without a limit at the start.
            ([256, 256], None, None, 256),
            ([256, 256], None, Some(64), 64),
            ([256, 512], None, Some(400), 256),
        ];
        for &([memory, most], start, now, expected) in table {
            let start = Start {
                memory_bytes: (memory * MIB) as usize,
                memory_bytes_max: (most * MIB) as usize,
                limit_bytes: start.map(|limit| limit * MIB),
            };
            let memory = start.memory_under(now.map(|limit| limit * MIB));
            assert_eq!(memory as u64, expected * MIB, "{start:?} {now:?}");
        }
    }
}
