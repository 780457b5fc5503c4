//! Making an item reachable, putting one in another's place, and making it unreachable; and what holds an unlinked
//! item's chunks for a while.

use super::lists::segment_of;
use super::locked::Locked;
use super::pins::{PinNo, Unlinked};
use super::storage::class_of;
use crate::chunk_ref::ChunkRef;
use crate::hash::{Key, KeyHash};
use crate::index::Place;
use crate::index::ghosts::GhostLine;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::lru::segments::{Eviction, Segment};
use crate::tick::Tick;

impl Locked<'_> {
    /// Makes `head` findable under a key that is not there.
    #[inline(never)]
    pub(super) fn link(&mut self, key: Key<'_>, head: ChunkRef, now: Tick) {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        let primary = self.index.primary(arena, geometry, key.hash());
        let line = self.index.ghost_line(arena, geometry, key.hash());
        let segment = self.enters(line, key.hash());
        self.enlist(head, segment);
        self.enter(key, primary, head, now);
    }

    /// Which list a new item enters, whose key's ghost would be in `line`.
    #[inline(always)]
    pub(super) fn enters(&self, line: GhostLine, hash: KeyHash) -> Segment {
        let region = self.region;
        self.note_use(hash);
        // One that was evicted from probation and comes back so soon has proved itself. Nothing else leaves a ghost.
        let returns =
            region.eviction != Eviction::Lru && self.index.take_ghost(&region.arena, line, hash);
        region.eviction.enters(returns)
    }

    /// `head` takes the place of the item at `place`, and its standing.
    pub(super) fn supersede(&mut self, place: Place, head: ChunkRef) {
        self.take_place(place, head);
        self.free_item(place.chunk);
    }

    /// The same, and the chunks of the one that was there are left to the caller.
    pub(super) fn take_place(&mut self, place: Place, head: ChunkRef) {
        let region = self.region;
        let old = View::known(region, place.chunk);
        let segment = segment_of(old.header);
        self.enlist(head, segment);
        let marks = region.eviction.marks_after_store(place.marks);
        self.index.redirect(&region.arena, place, head, marks);
        self.delist(place.chunk);
    }

    /// The reservation `head`, which is a copy of the item at `place`, is that item from now on.
    pub fn put_copy(&mut self, place: Place, head: ChunkRef) {
        let region = self.region;
        self.for_each_piece(head, |state, piece| state.slab.unhold(region, piece));
        self.take_place(place, head);
        self.guards.follow(place.chunk, head);
        self.free_item(place.chunk);
    }

    /// Nobody finds the item at `place` any more; its chunks are freed, or left to the
    /// last unpin.
    pub fn unlink(&mut self, place: Place) {
        self.detach(place);
        self.free_item(place.chunk);
    }

    /// The first half of [`Locked::unlink`].
    #[inline(never)]
    fn detach(&mut self, place: Place) {
        let region = self.region;
        let view = View::known(region, place.chunk);
        self.detach_of(place, view, class_of(region, place.chunk));
    }

    /// The same for an item of which view and class are at hand; returns about what it takes up.
    #[inline(always)]
    pub(super) fn detach_of(&mut self, place: Place, view: View<'_>, class: usize) -> u64 {
        let region = self.region;
        if let Some(spare) = self.index.remove(&region.arena, &region.geometry, place) {
            self.slab.give_overflow(region, spare);
        }
        self.counters.items -= 1;
        self.counts.remove(view.space());
        self.delist_of(place.chunk, view, class)
    }

    /// The second half: nobody finds the item any more.
    pub(super) fn free_item(&mut self, head: ChunkRef) {
        let region = self.region;
        self.guards.follow(head, ChunkRef::NONE);
        self.forget_tail(head);
        match self.pins.orphan(head) {
            Unlinked::Unpinned => {}
            Unlinked::Orphan => {
                let mut view = View::known(region, head);
                view.set_header(view.header.with_kind(Kind::Reserved));
                return;
            }
            Unlinked::Gone => {
                self.for_each_piece(head, |state, piece| state.slab.unhold(region, piece))
            }
        }
        self.for_each_piece(head, |state, piece| state.slab.give(region, piece));
    }

    /// Pins an item; `false` if there are too many.
    pub fn pin(&mut self, chunk: ChunkRef) -> bool {
        let region = self.region;
        match self.pins.pin(chunk) {
            None => false,
            Some(false) => true,
            Some(true) => {
                self.for_each_piece(chunk, |state, piece| state.slab.hold(region, piece));
                true
            }
        }
    }

    pub fn unpin(&mut self, chunk: ChunkRef) {
        let region = self.region;
        if let Some(orphan) = self.pins.unpin(chunk) {
            self.for_each_piece(chunk, |state, piece| {
                state.slab.unhold(region, piece);
                if orphan {
                    state.slab.give(region, piece);
                }
            });
        }
    }

    /// Loosens a pin of the item; `None` if it is unlinked already.
    pub fn loosen(&mut self, chunk: ChunkRef) -> Option<PinNo> {
        self.pins.loosen(chunk)
    }

    /// A loose pin is to end: whether its item is there, and it has to be unpinned.
    pub fn let_go(&mut self, no: PinNo) -> bool {
        self.pins.hold(no).is_some()
    }

    /// Makes a loose pin a whole one again, and notes that its item was read. `false`: the item is gone, and the pin with it.
    pub fn hold(&mut self, no: PinNo) -> bool {
        let Some(chunk) = self.pins.hold(no) else {
            return false;
        };
        let hash = View::known(self.region, chunk).hash();
        // A flush unlinks it, and leaves it pinned.
        if let Some(place) = self.find_chunk(hash, chunk) {
            self.mark_place(place, hash);
        }
        true
    }

    /// The first or the last piece of a value is gone, or another.
    #[inline(always)]
    pub(super) fn forget_tail(&mut self, chunk: ChunkRef) {
        if self.last_tail.head == chunk || self.last_tail.tail == chunk {
            self.last_tail = Default::default();
        }
    }
}
