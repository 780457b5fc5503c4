//! Making an item reachable, putting one in another's place, and making it unreachable; and what holds an unlinked
//! item's chunks for a while.

use super::ShardState;
use super::lists::segment_of;
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::region::Region;
use crate::tick::Tick;

impl ShardState {
    /// Makes `head` findable under a key that is not there.
    pub(super) fn link(&mut self, region: &Region, key: Key<'_>, head: ChunkRef, now: Tick) {
        let (arena, geometry) = (&region.arena, &region.geometry);
        let primary = self.index.primary(arena, geometry, key.hash());
        // One that was evicted from probation and comes back so soon has proved itself.
        let returns = self.index.take_ghost(arena, geometry, primary, key.hash());
        let segment = region.eviction.enters(returns);
        self.enlist(region, head, segment);
        while self
            .index
            .insert(arena, geometry, primary, key.hash(), head)
            .is_err()
        {
            match self.slab.take_overflow(region) {
                Some(spare) => self.index.extend(arena, geometry, primary, spare),
                None => self.evict_from_chain(region, key.hash(), now),
            }
        }
        self.counters.items += 1;
    }

    /// `head` takes the place of the item at `place`, and its standing.
    pub(super) fn supersede(&mut self, region: &Region, place: Place, head: ChunkRef) {
        self.take_place(region, place, head);
        self.free_item(region, place.chunk);
    }

    /// The same, and the chunks of the one that was there are left to the caller.
    pub(super) fn take_place(&mut self, region: &Region, place: Place, head: ChunkRef) {
        let old = View::known(region, place.chunk);
        let segment = segment_of(old.header);
        self.enlist(region, head, segment);
        let marks = region.eviction.marks_after_store(place.marks);
        self.index.redirect(&region.arena, place, head, marks);
        self.delist(region, place.chunk);
    }

    /// Nobody finds the item at `place` any more; its chunks are freed, or left to the
    /// last unpin.
    pub fn unlink(&mut self, region: &Region, place: Place) {
        self.detach(region, place);
        self.free_item(region, place.chunk);
    }

    /// The first half of [`ShardState::unlink`]; returns about what the item takes up.
    pub(super) fn detach(&mut self, region: &Region, place: Place) -> u64 {
        if let Some(spare) = self.index.remove(&region.arena, &region.geometry, place) {
            self.slab.give_overflow(region, spare);
        }
        self.counters.items -= 1;
        self.delist(region, place.chunk)
    }

    /// The second half: nobody finds the item any more.
    pub(super) fn free_item(&mut self, region: &Region, head: ChunkRef) {
        self.guards.follow(head, ChunkRef::NONE);
        self.forget_tail(head);
        if self.pins.orphan(head) {
            let mut view = View::known(region, head);
            view.set_header(view.header.with_kind(Kind::Reserved));
            return;
        }
        self.for_each_piece(region, head, |state, piece| state.slab.give(region, piece));
    }

    /// Pins an item; `false` if there are too many.
    pub fn pin(&mut self, region: &Region, chunk: ChunkRef) -> bool {
        match self.pins.pin(chunk) {
            None => false,
            Some(false) => true,
            Some(true) => {
                self.for_each_piece(region, chunk, |state, piece| state.slab.hold(region, piece));
                true
            }
        }
    }

    pub fn unpin(&mut self, region: &Region, chunk: ChunkRef) {
        if let Some(orphan) = self.pins.unpin(chunk) {
            self.for_each_piece(region, chunk, |state, piece| {
                state.slab.unhold(region, piece);
                if orphan {
                    state.slab.give(region, piece);
                }
            });
        }
    }

    /// The first or the last piece of a value is gone, or another.
    #[inline(always)]
    pub(super) fn forget_tail(&mut self, chunk: ChunkRef) {
        if self.last_tail.head == chunk || self.last_tail.tail == chunk {
            self.last_tail = Default::default();
        }
    }
}
