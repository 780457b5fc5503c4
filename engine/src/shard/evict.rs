//! Making room: which item leaves.
//!
//! A chunk is looked for in this order: a free one, a page of the pool, a page that a flush left, a free one of a
//! class that is a little larger, what has expired, a page of a class that has one's worth of free
//! chunks; and only then is an item evicted: the shard's oldest, or the class's own oldest if it
//! is nearly as old, because its chunk is the one that is needed.

use std::sync::atomic::Ordering;

use super::storage::{PageBag, class_of};
use super::write::{Shortage, footprint, segment_of};
use super::{Epoch, Oldest, ShardState};
use crate::chunk_ref::ChunkRef;
use crate::geometry::SHARD_COUNT;
use crate::hash::KeyHash;
use crate::index::Place;
use crate::index::bucket::Bucket;
use crate::index::ghosts::GHOST_LIFE;
use crate::item::header::flag;
use crate::item::view::View;
use crate::lru::list::List;
use crate::lru::segments::{self, Segment, Verdict};
use crate::rebalance;
use crate::region::Region;
use crate::tick::Tick;

/// Bytes inserted for a tick of a shard's clock.
const CLOCK_BYTES: u64 = 64;
/// An epoch of `rebalance` is this part of the shard's pages.
const EPOCH_SHARE: u64 = 16;
/// Evictions between two looks at the other shards' ages.
const EVICTIONS_A_LOOK: u32 = 8;
/// Expired items reclaimed at once on the way of a request.
const SWEEP_ON_REQUEST: usize = 128;
/// Evictions between two looks for the class with the oldest tail.
const OLDEST_USES: u32 = 32;
/// Evictions from a segment between two notes of how old its tail is.
const EVICTIONS_A_NOTE: u64 = 16;
/// Most items that are looked at, and spared because they were hit, until there is a chunk or a page. Each costs
/// about a quarter of a microsecond, and an insert waits for all of them; no trace comes near the number.
const EXAMINED_MAX: usize = 1 << 10;

/// Pages looked at for a stale one at once: a few microseconds.
const STALE_LOOKS: usize = 1 << 10;
/// Stale pages that go to the pool when another shard needs one: the next to need one finds it there.
const STALE_PAGES: usize = 16;

/// What an eviction left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Free chunks in their pages.
    InPages,
    /// The very chunk that was asked for, not given back first.
    Chunk(ChunkRef),
}

/// What became of the item at a tail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Examined {
    Gone(Room),
    /// It was on main, and stays there.
    Kept,
    /// It was on probation, and is on main now.
    Promoted,
    /// Nothing on the list can leave.
    Held,
}

impl ShardState {
    /// A chunk of `class`, from wherever this shard can get one.
    pub(super) fn obtain(
        &mut self,
        region: &Region,
        class: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        let mut patience = EXAMINED_MAX;
        loop {
            if let Some(chunk) = self.slab.take(region, class as u8) {
                return Ok(chunk);
            }
            if let Some(page_no) = bag.pop().or_else(|| region.pool.pop(region.pages())) {
                self.slab.adopt(region, class as u8, page_no);
                continue;
            }
            // What was flushed goes before anything that was not, here and in the other shards.
            if self.slab.stale() > 0 {
                self.slab.reclaim_stale(region, STALE_LOOKS, 1);
                continue;
            }
            if region.stale.load(Ordering::Relaxed) > 0 {
                return Err(Shortage(1));
            }
            // Rather than evict: a chunk somewhat too large that nobody uses. Without this, half
            // a page per shard and class would stand empty for good.
            let near = region.geometry.classes.near(class);
            if let Some(chunk) = near
                .into_iter()
                .find_map(|near| self.slab.take(region, near as u8))
            {
                return Ok(chunk);
            }
            if self.sweep_for_room(region, now, SWEEP_ON_REQUEST) > 0 {
                continue;
            }
            if self.compact(region) {
                continue;
            }
            if self.another_shard_is_older(region) {
                return Err(Shortage(1));
            }
            match self.make_room(region, Some(class), &mut patience, now) {
                Some(Room::Chunk(chunk)) => return Ok(chunk),
                Some(Room::InPages) => {}
                None => return Err(Shortage(1)),
            }
        }
    }

    /// Evicts one item: the oldest of the shard, or the oldest of `class`, whose chunk is needed,
    /// if it is nearly as old. `None` if nothing could be evicted. So many as `patience` says are spared
    /// before, which is less afterwards.
    fn make_room(
        &mut self,
        region: &Region,
        wanted: Option<usize>,
        patience: &mut usize,
        now: Tick,
    ) -> Option<Room> {
        let mut probation_min = segments::PROBATION_LEN_MIN;
        // Every item may be marked; then the next to be looked at goes.
        let examined_max = self.index.items().min(*patience);
        for examined in 0..=examined_max {
            let segment = self.leaving(probation_min)?;
            let (oldest, age) = self.oldest_class_lately(segment)?;
            let idle = self.queue(oldest, segment).ages.idle(self.clock());
            let class = wanted
                .filter(|&class| {
                    class == oldest
                        || self
                            .age(class, segment)
                            .is_some_and(|own| rebalance::evicts_own(own, age, idle))
                })
                .unwrap_or(oldest);
            let has_to_leave = examined == examined_max;
            match self.examine_tail(region, class, segment, wanted, has_to_leave, now) {
                Examined::Gone(room) => return Some(room),
                Examined::Kept => probation_min = 0,
                // What is held went to the head of its list: another is the oldest now.
                Examined::Promoted | Examined::Held => {}
            }
            *patience = patience.saturating_sub(1);
        }
        self.evict_any(region, now)
    }

    /// Evicts any item that nothing holds.
    fn evict_any(&mut self, region: &Region, now: Tick) -> Option<Room> {
        let segments = [Segment::Probation, Segment::Main];
        for class in 0..self.classes.len() {
            for segment in segments {
                if self.age(class, segment).is_some()
                    && let Examined::Gone(room) =
                        self.examine_tail(region, class, segment, None, true, now)
                {
                    return Some(room);
                }
            }
        }
        None
    }

    /// Gives the pool a page, at the cost of the oldest items.
    pub(crate) fn release_any(&mut self, region: &Region, now: Tick) -> bool {
        let mut patience = EXAMINED_MAX;
        loop {
            if self.slab.stale() > 0 {
                if self.slab.reclaim_stale(region, STALE_LOOKS, STALE_PAGES) > 0 {
                    return true;
                }
                continue;
            }
            let pages = self.slab.item_pages();
            if self.compact(region) {
                return true;
            }
            if self.make_room(region, None, &mut patience, now).is_none() {
                return false;
            }
            if self.slab.item_pages() < pages {
                return true;
            }
        }
    }

    /// The segment from which the next item should leave.
    fn leaving(&self, probation_min: usize) -> Option<Segment> {
        let [probation, main] = self.held;
        segments::examine(
            (probation.items, probation.bytes),
            (main.items, main.bytes),
            probation_min,
        )
    }

    /// The shard's clock: one tick for [`CLOCK_BYTES`] inserted.
    pub(super) fn clock(&self) -> u32 {
        (self.inserted_bytes / CLOCK_BYTES) as u32
    }

    /// The age of the tail of one of the class's lists; `None` without items.
    fn age(&self, class: usize, segment: Segment) -> Option<u64> {
        let queue = self.queue(class, segment);
        let len = queue.list.len();
        (len > 0).then(|| queue.ages.age(self.clock(), len))
    }

    /// The class with the oldest tail in `segment`, or one that was it not long ago and is still
    /// about as old as any.
    fn oldest_class_lately(&mut self, segment: Segment) -> Option<(usize, u64)> {
        let Oldest {
            class,
            next_age,
            noted_at,
            uses_left,
        } = self.oldest[segment as usize];
        if uses_left > 0
            && let Some(age) = self.age(class, segment)
            && age * 8 >= (next_age + u64::from(self.clock().wrapping_sub(noted_at))) * 7
        {
            self.oldest[segment as usize].uses_left -= 1;
            return Some((class, age));
        }
        let mut oldest = None;
        let mut next_age = 0;
        for class in 0..self.classes.len() {
            let Some(age) = self.age(class, segment) else {
                continue;
            };
            match oldest {
                Some((_, oldest_age)) if age <= oldest_age => next_age = next_age.max(age),
                _ => {
                    next_age = oldest.map_or(0, |(_, age)| age);
                    oldest = Some((class, age));
                }
            }
        }
        let (class, age) = oldest?;
        self.oldest[segment as usize] = Oldest {
            class,
            next_age,
            noted_at: self.clock(),
            uses_left: OLDEST_USES,
        };
        Some((class, age))
    }

    /// A new epoch, when enough was inserted.
    pub(super) fn roll_epoch(&mut self, region: &Region) {
        let page_bytes = region.geometry.page_bytes as u64;
        let span = self.inserted_bytes - self.epoch.begun;
        if span <= (self.slab.item_pages() as u64 * page_bytes / EPOCH_SHARE).max(page_bytes) {
            return;
        }
        let now_all = region.tails.advance(span);
        self.epoch = Epoch {
            begun: self.inserted_bytes,
            begun_all: now_all,
            span: self.epoch.span - self.epoch.span / 4 + span,
            span_all: self.epoch.span_all - self.epoch.span_all / 4
                + (now_all - self.epoch.begun_all),
        };
        self.publish_age(region);
    }

    /// Tells the other shards how old this one's oldest items are.
    pub(crate) fn publish_age(&self, region: &Region) {
        region.tails.publish(self.shard_no, self.age_for_all());
    }

    /// How long what is held here lasts at the rate at which it is replaced, in bytes inserted
    /// into the cache: Little's law. Not the age of a tail, because in a small
    /// cache a shard's tail is one item, and chance.
    fn age_for_all(&self) -> u64 {
        let [probation, main] = self.held;
        let held = u128::from(probation.bytes + main.bytes);
        let lasts = held * u128::from(self.epoch.span_all) / u128::from(self.epoch.span.max(1));
        lasts.min(u128::from(u64::MAX / 4)) as u64
    }

    /// Whether another shard's oldest items are so much older than what would be evicted here
    /// that it should give a page. Looked at only now and then.
    fn another_shard_is_older(&mut self, region: &Region) -> bool {
        self.evicted_lately += 1;
        if self.evicted_lately < EVICTIONS_A_LOOK {
            return false;
        }
        self.evicted_lately = 0;
        let own = self.age_for_all();
        region
            .tails
            .oldest(1 << self.shard_no)
            .is_some_and(|(_, age)| own > 0 && rebalance::is_older(own, age))
    }

    /// The age of the class's older tail, in bytes inserted into the cache. 0 without items.
    pub(super) fn tail_age_bytes(&self, class: usize) -> u64 {
        let ages = [Segment::Probation, Segment::Main].map(|segment| self.age(class, segment));
        let Some(age) = ages.into_iter().flatten().max() else {
            return 0;
        };
        self.in_cache_bytes(age)
    }

    /// Ticks of the shard's clock as bytes inserted into the whole cache.
    fn in_cache_bytes(&self, age: u64) -> u64 {
        // An item that has just come is not quite without age.
        let bytes = u128::from(age * CLOCK_BYTES).max(1);
        let all = match self.epoch.span {
            0 => bytes * SHARD_COUNT as u128,
            span => bytes * u128::from(self.epoch.span_all) / u128::from(span),
        };
        u64::try_from(all).unwrap_or(u64::MAX).max(1)
    }

    fn count_eviction(&mut self, class: usize, segment: Segment) {
        self.counters.evictions[segment as usize] += 1;
        self.classes[class].evictions += 1;
    }

    /// Looks how old the tail is that is about to leave, now and then.
    fn note_age(&mut self, class: usize, segment: Segment) {
        let evictions = self.counters.evictions[segment as usize];
        if evictions.is_multiple_of(EVICTIONS_A_NOTE)
            && let Some(age) = self.age(class, segment)
        {
            self.counters.evicted_age_bytes[segment as usize] = self.in_cache_bytes(age);
        }
    }

    /// The index slot of a linked item.
    pub fn place_of(&self, region: &Region, chunk: ChunkRef) -> Place {
        let hash = View::known(region, chunk).hash();
        self.find_chunk(region, hash, chunk)
            .expect("a linked item is in the index")
    }

    /// Looks at the tail of a list that is not empty: it leaves, or was hit and gets its second
    /// chance, unless it has to leave. A chunk of the class `wanted` is not given back.
    fn examine_tail(
        &mut self,
        region: &Region,
        class: usize,
        segment: Segment,
        wanted: Option<usize>,
        has_to_leave: bool,
        now: Tick,
    ) -> Examined {
        let mut spared = 0;
        let chunk = loop {
            let list = self.queue(class, segment).list;
            let chunk = list.tail().expect("the list has an age");
            if chunk != self.protected
                && !self.pins.is_pinned(chunk)
                && !self.guards.is_guarded(chunk)
            {
                break chunk;
            }
            spared += 1;
            if spared > list.len().min(self.pins.used() + self.guards.used() + 1) {
                return Examined::Held;
            }
            self.requeue(region, chunk, class, segment, segment);
        };
        let (hash, place) = self.tail_place(region, chunk, class, segment);
        let view = View::known(region, chunk);
        if view.is_expired(now) {
            self.unlink(region, place);
            self.counters.expired.evicted += 1;
            return Examined::Gone(Room::InPages);
        }
        self.prefetch_next(region, chunk, class, segment);
        match segments::judge(region.eviction, segment, place.marks) {
            Verdict::Keep { marks } if !has_to_leave => {
                self.index.set_marks(&region.arena, place, marks);
                self.requeue(region, chunk, class, segment, Segment::Main);
                if segment == Segment::Main {
                    Examined::Kept
                } else {
                    Examined::Promoted
                }
            }
            _ => {
                self.note_age(class, segment);
                let bytes = self.detach(region, place);
                if segment == Segment::Probation {
                    self.remember(region, place.primary, hash, bytes);
                }
                self.count_eviction(class, segment);
                if wanted == Some(class) && !view.header.has(flag::CHAINED) {
                    return Examined::Gone(Room::Chunk(self.slab.reuse(chunk)));
                }
                self.free_item(region, chunk);
                Examined::Gone(Room::InPages)
            }
        }
    }

    /// The hash and the index slot of an item at a tail.
    fn tail_place(
        &self,
        region: &Region,
        chunk: ChunkRef,
        class: usize,
        segment: Segment,
    ) -> (KeyHash, Place) {
        let queue = self.queue(class, segment);
        if queue.next == chunk {
            // The chunk may hold another item by now. Then it does not stand there, or only the
            // hash of a ghost is wrong.
            let place = self.find_chunk(region, queue.next_hash, chunk);
            if let Some(place) = place {
                return (queue.next_hash, place);
            }
        }
        (
            View::known(region, chunk).hash(),
            self.place_of(region, chunk),
        )
    }

    pub(super) fn find_chunk(
        &self,
        region: &Region,
        hash: KeyHash,
        chunk: ChunkRef,
    ) -> Option<Place> {
        self.index
            .find(&region.arena, &region.geometry, hash, |other| {
                other == chunk
            })
    }

    /// Leaves a ghost of an item of `bytes`. As many bytes of items are remembered as the
    /// shard holds: S3-FIFO's number and a tenth.
    fn remember(&mut self, region: &Region, primary: Bucket, hash: KeyHash, bytes: u64) {
        self.index
            .push_ghost(&region.arena, &region.geometry, primary, hash);
        let held: u64 = self.held.iter().map(|held| held.bytes).sum();
        let epoch = (held / u64::from(GHOST_LIFE)).max(1);
        self.ghost_bytes += bytes;
        // After one life all are outdated; more would make them seem new again.
        if self.ghost_bytes >= epoch {
            for _ in 0..(self.ghost_bytes / epoch).min(u64::from(GHOST_LIFE)) {
                self.index.next_ghost_epoch();
            }
            self.ghost_bytes %= epoch;
        }
    }

    /// The item before the tail is the next to be examined: its own line was asked for the
    /// last time, so its bucket can be asked for now, and the line of the one before it. An
    /// eviction then finds in the cache what would be three misses in a row.
    fn prefetch_next(&mut self, region: &Region, tail: ChunkRef, class: usize, segment: Segment) {
        let (arena, geometry) = (&region.arena, &region.geometry);
        if let Some(next) = List::newer(arena, geometry, tail) {
            let hash = View::known(region, next).hash();
            let primary = self.index.primary(arena, geometry, hash);
            self.index.prefetch_ghosts(arena, primary);
            let queue = &mut self.classes[class].queues[segment as usize];
            (queue.next, queue.next_hash) = (next, hash);
            if let Some(after) = List::newer(arena, geometry, next) {
                arena.prefetch(geometry.word_of(after));
            }
        }
    }

    /// Moves an item to the head of `to`.
    fn requeue(
        &mut self,
        region: &Region,
        chunk: ChunkRef,
        class: usize,
        from: Segment,
        to: Segment,
    ) {
        let mut view = View::known(region, chunk);
        let bytes = footprint(region, view, class);
        self.take_off(region, chunk, class, from, bytes);
        self.push_head(region, chunk, class, to, bytes);
        if from != to {
            let flags = view.header.flags() ^ flag::MAIN;
            view.set_header(view.header.with_flags(flags));
        }
    }

    /// Evicts an item of `hash`'s chain: the index could not get an overflow bucket.
    pub(super) fn evict_from_chain(&mut self, region: &Region, hash: KeyHash, now: Tick) {
        let (arena, geometry) = (&region.arena, &region.geometry);
        let primary = self.index.primary(arena, geometry, hash);
        let mut bucket = primary;
        let mut victim: Option<Place> = None;
        loop {
            for slot in 0..bucket.used(arena) {
                let (chunk, marks) = bucket.slot(arena, slot);
                if victim.is_none_or(|other| marks < other.marks)
                    && chunk != self.protected
                    && !self.guards.is_guarded(chunk)
                {
                    victim = Some(Place {
                        primary,
                        bucket,
                        slot,
                        chunk,
                        marks,
                    });
                }
            }
            match bucket.overflow(arena, geometry) {
                Some(next) => bucket = next,
                None => break,
            }
        }
        let victim = victim.expect("a full chain has items");
        let view = View::known(region, victim.chunk);
        let expired = view.is_expired(now);
        let segment = segment_of(view.header);
        let class = class_of(region, victim.chunk);
        self.unlink(region, victim);
        if expired {
            self.counters.expired.evicted += 1;
        } else {
            self.count_eviction(class, segment);
        }
    }
}
