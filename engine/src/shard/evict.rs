//! Making room: which item leaves.
//!
//! A chunk is looked for in this order: a free one, a page of the pool, a page that a flush left, a free one of a
//! class that is a little larger, what has expired, a page of a class that has one's worth of free
//! chunks; and only then is an item evicted: the shard's oldest, or the class's own oldest if it
//! is nearly as old, because its chunk is the one that is needed.

use std::sync::atomic::Ordering;

use super::lists::{footprint, segment_of};
use super::locked::Locked;
use super::reserve::Shortage;
use super::storage::{PageBag, class_of};
use crate::chunk_ref::ChunkRef;
use crate::hash::KeyHash;
use crate::index::Place;
use crate::index::ghosts::GHOST_LIFE;
use crate::item::header::flag;
use crate::item::view::View;
use crate::lru::list::List;
use crate::lru::segments::{self, Segment, Terms, Verdict};
use crate::tick::Tick;

/// Expired items reclaimed at once on the way of a request.
pub(super) const SWEEP_ON_REQUEST: usize = 128;

/// Most items that are looked at, and spared because they were hit, until there is a chunk or a page. Each costs
/// about a quarter of a microsecond, and an insert waits for all of them; no trace comes near the number.
pub(super) const EXAMINED_MAX: usize = 1 << 10;

/// Pages looked at for a stale one at once: a few microseconds.
pub(super) const STALE_LOOKS: usize = 1 << 10;

/// Stale pages that go to the pool when another shard needs one: the next to need one finds it there.
const STALE_PAGES: usize = 16;

/// What an eviction left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
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

impl Locked<'_> {
    /// A chunk of `class`, from wherever this shard can get one.
    pub(super) fn obtain(
        &mut self,
        class: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        let (chunk, _) = self.obtain_of(class, bag, now)?;
        Ok(chunk)
    }

    /// The same, and which class's it is: it may be of one that is a little larger.
    #[inline(always)]
    pub(super) fn obtain_of(
        &mut self,
        class: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<(ChunkRef, usize), Shortage> {
        let mut patience = EXAMINED_MAX;
        loop {
            if self.may_have_room(class, bag, now)
                && let Some(found) = self.obtain_free(class, bag, now)?
            {
                return Ok(found);
            }
            if self.another_shard_is_older() {
                return Err(Shortage::Pages(1));
            }
            match self.make_room(Some(class), &mut patience, now) {
                Some(Room::Chunk(chunk)) => return Ok((chunk, class)),
                Some(Room::InPages) => {}
                None => return Err(Shortage::Pages(1)),
            }
        }
    }

    /// Whether [`Locked::obtain_free`] is worth while: in a full cache it would look in vain for nearly each store.
    #[inline(always)]
    fn may_have_room(&self, class: usize, bag: &PageBag<'_>, now: Tick) -> bool {
        let region = self.region;
        let mut near = region.geometry.classes.near(class);
        self.slab.first_partial(class).is_some()
            || bag.count() > 0
            || region.pool.count() > 0
            || self.slab.stale() > 0
            || region.stale.load(Ordering::Relaxed) > 0
            || self.sweep_due(now)
            || self.slab.has_a_page_free()
            || self.slab.runs_are_sparse(region)
            || near.any(|near| self.slab.first_partial(near).is_some())
    }

    /// A chunk that nothing has to be evicted for. `None`: there is none.
    #[inline(never)]
    fn obtain_free(
        &mut self,
        class: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Option<(ChunkRef, usize)>, Shortage> {
        let region = self.region;
        loop {
            if let Some(chunk) = self.slab.take(region, class as u8) {
                return Ok(Some((chunk, class)));
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
                return Err(Shortage::Pages(1));
            }
            // Rather than evict: a chunk somewhat too large that nobody uses. Without this, half
            // a page per shard and class would stand empty for good.
            let near = region.geometry.classes.near(class);
            for near in near {
                if let Some(chunk) = self.slab.take(region, near as u8) {
                    return Ok(Some((chunk, near)));
                }
            }
            if self.sweep_for_room(region, now, SWEEP_ON_REQUEST) > 0 {
                continue;
            }
            if self.compact() {
                continue;
            }
            return Ok(None);
        }
    }

    /// Evicts one item: the oldest of the shard, or the oldest of `class`, whose chunk is needed,
    /// if it is nearly as old. `None` if nothing could be evicted. So many as `patience` says are spared
    /// before, which is less afterwards.
    pub(super) fn make_room(
        &mut self,
        wanted: Option<usize>,
        patience: &mut usize,
        now: Tick,
    ) -> Option<Room> {
        let mut terms = self.terms();
        // Every item may be marked; then the next to be looked at goes.
        let examined_max = self.index.items().min(*patience);
        let mut examined = 0;
        while examined <= examined_max {
            let segment = self.leaving(terms)?;
            let class = self.giving_class(wanted, segment)?;
            let has_to_leave = examined == examined_max;
            match self.examine_tail(class, segment, wanted, (has_to_leave, terms), now) {
                Examined::Gone(room) => return Some(room),
                Examined::Kept => terms.probation_min = 0,
                // What is held went to the head of its list: another is the oldest now.
                Examined::Promoted | Examined::Held => {}
            }
            examined += 1;
            *patience = patience.saturating_sub(1);
        }
        self.evict_any(now)
    }

    /// Evicts any item that nothing holds.
    #[cold]
    fn evict_any(&mut self, now: Tick) -> Option<Room> {
        let segments = [Segment::Probation, Segment::Main];
        let terms = self.terms();
        for class in 0..self.classes.len() {
            for segment in segments {
                if self.age(class, segment).is_some()
                    && let Examined::Gone(room) = self.examine_any(class, segment, terms, now)
                {
                    return Some(room);
                }
            }
        }
        None
    }

    #[inline(never)]
    fn examine_any(&mut self, class: usize, segment: Segment, terms: Terms, now: Tick) -> Examined {
        self.examine_tail(class, segment, None, (true, terms), now)
    }

    /// Gives the pool a page, at the cost of the oldest items.
    pub(crate) fn release_any(&mut self, now: Tick) -> bool {
        let region = self.region;
        let mut patience = EXAMINED_MAX;
        loop {
            if self.slab.stale() > 0 {
                if self.slab.reclaim_stale(region, STALE_LOOKS, STALE_PAGES) > 0 {
                    return true;
                }
                continue;
            }
            let pages = self.slab.item_pages();
            if self.compact() {
                return true;
            }
            if self.make_room(None, &mut patience, now).is_none() {
                return false;
            }
            if self.slab.item_pages() < pages {
                return true;
            }
        }
    }

    /// The index slot of a linked item.
    pub fn place_of(&self, chunk: ChunkRef) -> Place {
        let region = self.region;
        let hash = View::known(region, chunk).hash();
        self.find_chunk(hash, chunk)
            .expect("a linked item is in the index")
    }

    /// Looks at the tail of a list that is not empty: it leaves, or was hit and gets its second
    /// chance, unless it has to leave. A chunk of the class `wanted` is not given back.
    #[inline(always)]
    fn examine_tail(
        &mut self,
        class: usize,
        segment: Segment,
        wanted: Option<usize>,
        (has_to_leave, terms): (bool, Terms),
        now: Tick,
    ) -> Examined {
        let region = self.region;
        let Some(chunk) = self.tail_to_examine(class, segment) else {
            return Examined::Held;
        };
        let (hash, place) = self.tail_place(chunk, class, segment);
        let view = View::known(region, chunk);
        if view.is_expired(now) {
            self.unlink(place);
            self.counters.expired.evicted += 1;
            return Examined::Gone(Room::InPages);
        }
        self.prefetch_next(chunk, class, segment);
        let tuning = match segment == Segment::Probation && place.marks > 0 {
            true => {
                let [probation, main] = self.held;
                terms.of_item(footprint(region, view, class), probation.and(main))
            }
            false => terms.tuning,
        };
        match segments::judge(region.eviction, segment, place.marks, tuning) {
            Verdict::Keep { marks } if !has_to_leave => {
                self.index.set_marks(&region.arena, place, marks);
                self.requeue(chunk, class, segment, Segment::Main);
                if segment == Segment::Main {
                    Examined::Kept
                } else {
                    Examined::Promoted
                }
            }
            _ => {
                self.note_age(class, segment);
                let bytes = self.detach_of(place, view, class);
                if segment == Segment::Probation {
                    self.remember(hash, bytes);
                }
                self.count_eviction(class, segment);
                let is_whole = !view.header.has(flag::CHAINED) && !self.pins.is_pinned(chunk);
                if wanted == Some(class) && is_whole {
                    return Examined::Gone(Room::Chunk(self.slab.reuse(chunk)));
                }
                self.free_item(chunk);
                Examined::Gone(Room::InPages)
            }
        }
    }

    /// The tail of a list that is not empty; items that are held go to its head first. `None`: all are.
    #[inline(always)]
    fn tail_to_examine(&mut self, class: usize, segment: Segment) -> Option<ChunkRef> {
        let mut spared = 0;
        loop {
            let list = &self.queue(class, segment).list;
            let chunk = list.tail().expect("the list has an age");
            let len = list.len();
            if chunk != self.protected
                && !self.pins.is_held(chunk)
                && !self.guards.is_guarded(chunk)
            {
                return Some(chunk);
            }
            spared += 1;
            if spared > len.min(self.pins.used() + self.guards.used() + 1) {
                return None;
            }
            self.requeue(chunk, class, segment, segment);
        }
    }

    /// The hash and the index slot of an item at a tail.
    #[inline(always)]
    fn tail_place(&self, chunk: ChunkRef, class: usize, segment: Segment) -> (KeyHash, Place) {
        let queue = self.queue(class, segment);
        if queue.next == chunk {
            // The chunk may hold another item by now. Then it does not stand there, or only the
            // hash of a ghost is wrong.
            let place = self.find_chunk(queue.next_hash, chunk);
            if let Some(place) = place {
                return (queue.next_hash, place);
            }
        }
        self.tail_place_anew(chunk)
    }

    #[inline(never)]
    fn tail_place_anew(&self, chunk: ChunkRef) -> (KeyHash, Place) {
        (View::known(self.region, chunk).hash(), self.place_of(chunk))
    }

    #[inline(always)]
    pub(super) fn find_chunk(&self, hash: KeyHash, chunk: ChunkRef) -> Option<Place> {
        let region = self.region;
        self.index
            .find(&region.arena, &region.geometry, hash, |other| {
                other == chunk
            })
    }

    /// Leaves a ghost of an item of `bytes`. As many bytes of items are remembered as the
    /// shard holds: S3-FIFO's number and a tenth.
    #[inline(always)]
    fn remember(&mut self, hash: KeyHash, bytes: u64) {
        let region = self.region;
        let line = self.index.ghost_line(&region.arena, &region.geometry, hash);
        self.index.push_ghost(&region.arena, line, hash);
        let epoch = (self.held_bytes() / u64::from(GHOST_LIFE)).max(1);
        self.ghost_bytes += bytes;
        if self.ghost_bytes >= epoch {
            self.end_ghost_epoch(epoch);
        }
    }

    #[cold]
    fn end_ghost_epoch(&mut self, epoch: u64) {
        let region = self.region;
        // After one life all are outdated; more would make them seem new again.
        for _ in 0..(self.ghost_bytes / epoch).min(u64::from(GHOST_LIFE)) {
            self.index.next_ghost_epoch(&region.arena, &region.geometry);
        }
        self.ghost_bytes %= epoch;
    }

    /// The item before the tail is the next to be examined: its own line was asked for the
    /// last time, so its bucket can be asked for now, and the line of the one before it. An
    /// eviction then finds in the cache what would be three misses in a row.
    fn prefetch_next(&mut self, tail: ChunkRef, class: usize, segment: Segment) {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        if let Some(next) = List::newer(arena, geometry, tail) {
            let hash = View::known(region, next).hash();
            let primary = self.index.primary(arena, geometry, hash);
            arena.prefetch(primary.0);
            self.index.ghost_line(arena, geometry, hash).prefetch(arena);
            let queue = &mut self.classes[class].queues[segment as usize];
            (queue.next, queue.next_hash) = (next, hash);
            // If it leaves, the next item is written there.
            region.prefetch_chunk(next, class);
            if let Some(after) = List::newer(arena, geometry, next) {
                arena.prefetch(geometry.word_of(after));
            }
        }
    }

    /// Moves an item to the head of `to`.
    #[inline(never)]
    pub(super) fn requeue(&mut self, chunk: ChunkRef, class: usize, from: Segment, to: Segment) {
        let region = self.region;
        let mut view = View::known(region, chunk);
        let bytes = footprint(region, view, class);
        self.take_off(chunk, class, from, bytes);
        self.push_head(chunk, class, to, bytes);
        if from != to {
            let flags = view.header.flags() ^ flag::MAIN;
            view.set_header(view.header.with_flags(flags));
        }
    }

    /// Evicts an item of `hash`'s chain: the index could not get an overflow bucket.
    pub(super) fn evict_from_chain(&mut self, hash: KeyHash, now: Tick) {
        let region = self.region;
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
        self.unlink(victim);
        if expired {
            self.counters.expired.evicted += 1;
        } else {
            self.count_eviction(class, segment);
        }
    }
}
