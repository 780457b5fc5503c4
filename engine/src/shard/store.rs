//! Storing under the lock: whether it may be, where it lies, and what an item keeps that is overwritten.
//!
//! A value of the same shape overwrites the old one where it lies: one line of index and one of item are all that
//! is touched. Any other is a new item (`reserve`, `fill`) in the old one's place (`link`).

use super::fill::Filler;
use super::locked::{Locked, Shard};
use super::reserve::{Blueprint, Shortage};
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::index::probe::Spot;
use crate::item::extra::{self, Marks};
use crate::item::header::{Header, Kind, flag, flags_for};
use crate::item::layout::Layout;
use crate::item::view::View;
use crate::region::Region;
use crate::tick::{Deadline, Tick};
use crate::types::{Condition, Outcome};

impl Shard {
    /// Stores a value without a deadline over one of the same length that lies where a spot saw it, if nothing else about the item
    /// changes: most of what is stored again is such a one. False: nothing was done.
    ///
    /// What has to be known of the item is read before the lock is taken, like a reader reads it, and holds if the stamp is
    /// still the same under the lock: which is held for little more than the copying.
    #[inline]
    pub fn put_over_like(
        &self,
        region: &Region,
        (key, spot): (Key<'_>, &Spot),
        value: &[u8],
        client_flags: u32,
    ) -> bool {
        let arena = &region.arena;
        let Some(candidate) = spot.candidate() else {
            return false;
        };
        let Some(view) = View::new(region, candidate.chunk()) else {
            return false;
        };
        let flags = flags_for(client_flags, Deadline::NEVER);
        if view.header.flags() & !flag::MAIN != flags
            || usize::from(view.header.value_len) != value.len()
            || !view.key_is(key.bytes(), key.space())
        {
            return false;
        }
        let mut state = self.lock(region);
        let header_word = region.geometry.header_word(key.hash().shard_no());
        let Some(place) = candidate.place(arena, header_word) else {
            return false;
        };
        if state.pins.is_pinned(place.chunk) {
            return false;
        }
        let writing = place.primary.begin_writing(arena);
        view.set_client_flags(client_flags);
        view.write_over(value);
        writing.end();
        state.mark_place(place, key.hash());
        state.counters.sets += 1;
        true
    }
}

impl Locked<'_> {
    /// What the reservation `head` takes over from the item that it is to replace, if it has the fields for it: that
    /// reads are noted, and, when it comes too late, the deadline. Returns the condition for its commit.
    pub fn inherit(
        &self,
        key: Key<'_>,
        head: ChunkRef,
        condition: Condition,
        now: Tick,
    ) -> Condition {
        let region = self.region;
        let Some(place) = self.find(key) else {
            return condition;
        };
        let (old, view) = (View::known(region, place.chunk), View::known(region, head));
        let mut marks = Marks::anew(old.marks().is_noted(), now);
        let mut condition = condition;
        if let Condition::Since(cas) = condition
            && old.cas() != Some(cas)
        {
            if view.header.has(flag::EXTRA) && view.set_deadline(old.deadline()) {
                let won = old.marks().is_won();
                marks = marks.with(extra::STALE | if won { extra::WON } else { 0 });
            } else {
                condition = Condition::Cas(cas);
            }
        }
        view.set_marks(marks);
        condition
    }

    /// Links a filled reservation, if `condition` holds; else gives it back.
    pub fn commit(
        &mut self,
        key: Key<'_>,
        head: ChunkRef,
        condition: Condition,
        now: Tick,
    ) -> Outcome {
        self.provision(key.hash(), now);
        let place = self.find(key);
        let outcome = self.check(place, condition, now);
        if outcome != Outcome::Stored {
            self.abandon(head);
            return outcome;
        }
        self.put_reserved(key, place, head, now);
        outcome
    }

    /// Makes a reservation the key's item, in place of the one at `place`.
    fn put_reserved(&mut self, key: Key<'_>, place: Option<Place>, head: ChunkRef, now: Tick) {
        let region = self.region;
        self.for_each_piece(head, |state, piece| state.slab.unhold(region, piece));
        match place {
            Some(place) => {
                let was_over = View::known(region, place.chunk).is_expired(now);
                self.counters.expired.replaced += u64::from(was_over);
                self.supersede(place, head);
            }
            None => self.link(key, head, now),
        }
        self.counters.sets += 1;
    }

    /// Whether a store under `condition` may go ahead.
    #[inline(always)]
    pub fn check(&self, place: Option<Place>, condition: Condition, now: Tick) -> Outcome {
        match condition {
            Condition::Always => Outcome::Stored,
            _ => self.check_live(place, condition, now),
        }
    }

    #[inline(never)]
    fn check_live(&self, place: Option<Place>, condition: Condition, now: Tick) -> Outcome {
        let region = self.region;
        let live = place
            .map(|place| View::known(region, place.chunk))
            .filter(|view| !view.is_expired(now));
        match (condition, live) {
            (Condition::Always, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => {
                Outcome::Stored
            }
            (Condition::Absent, Some(_)) | (Condition::Present, None) => Outcome::NotStored,
            (Condition::Cas(_) | Condition::Since(_), None) => Outcome::NotFound,
            // An item without a number was stored after any number was given out.
            (Condition::Since(expected), Some(view)) => {
                let newer = view
                    .cas()
                    .map_or(expected <= self.cas_last, |cas| expected <= cas);
                if expected != 0 && newer {
                    Outcome::Stored
                } else {
                    Outcome::Exists
                }
            }
            // Nobody has asked for this item's number, so it cannot be the expected one.
            (Condition::Cas(expected), Some(view)) => {
                if view.cas() == Some(expected) {
                    Outcome::Stored
                } else {
                    Outcome::Exists
                }
            }
        }
    }

    /// Stores a value under the lock, over the item at `place` if there is one, and keeps what
    /// an item keeps when it is overwritten. Returns its CAS number, 0 if it has none.
    pub fn put_value(
        &mut self,
        place: Option<Place>,
        mut blueprint: Blueprint<'_>,
        value: &[u8],
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<u64, Shortage> {
        let region = self.region;
        if let Some(place) = place
            && let Some(cas) = self.put_over(place, &mut blueprint, value, now)
        {
            return Ok(cas);
        }
        let classes = &region.geometry.classes;
        if place.is_none()
            && !blueprint.key.is_long()
            && let Some(class) = Layout::single_for(classes, blueprint.lead() + value.len())
        {
            return self.insert_single(blueprint, class, value, bag, now);
        }
        self.put_anew(place, blueprint, value, bag, now)
    }

    /// The longer way: in several pieces, or in place of an item.
    #[inline(never)]
    fn put_anew(
        &mut self,
        place: Option<Place>,
        blueprint: Blueprint<'_>,
        value: &[u8],
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<u64, Shortage> {
        let region = self.region;
        let layout = blueprint.layout(&region.geometry.classes, value.len());
        if place.is_none() {
            if let Some(class) = layout.single()
                && !blueprint.key.is_long()
            {
                return self.insert_single(blueprint, class, value, bag, now);
            }
            // Asked for when it is linked: after an eviction, if there is one.
            self.index
                .ghost_line(&region.arena, &region.geometry, blueprint.key.hash())
                .prefetch(&region.arena);
        }
        let head = self.reserve(blueprint, layout, value.len(), bag, now)?;
        let mut cas = 0;
        if blueprint.flags & flag::CAS != 0 {
            cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
            View::known(region, head).set_cas(cas);
        }
        Filler::of_value(region, head).write(region, value);
        self.provision(blueprint.key.hash(), now);
        // The condition held under this very lock, and evictions since then do not undo it. They may have
        // taken or moved the item that was there; where there was none, there is none now.
        let place = place.and_then(|_| self.find(blueprint.key));
        self.put_reserved(blueprint.key, place, head, now);
        Ok(cas)
    }

    /// Overwrites the item at `place` where it lies, if that is possible, and returns its CAS number, 0 if it has
    /// none. If not, `blueprint` knows what the new item is to keep of it.
    #[inline(always)]
    pub fn put_over(
        &mut self,
        place: Place,
        blueprint: &mut Blueprint<'_>,
        value: &[u8],
        now: Tick,
    ) -> Option<u64> {
        // Whose reads were asked for once are noted on, anew.
        let old = View::known(self.region, place.chunk);
        if old.marks().is_noted() {
            *blueprint = blueprint.with_marks(Marks::anew(true, now));
        }
        let was_over = old.is_expired(now);
        if let Some(cas) = self.put_in_place(place, old, *blueprint, value) {
            self.counters.expired.replaced += u64::from(was_over);
            return Some(cas);
        }
        // Whose number was asked for once is likely to be asked again.
        blueprint.flags |= old.header.flags() & flag::CAS;
        None
    }

    /// Overwrites a value where it lies, in the item at `place` that `view` is of, if it has the same shape: one line of
    /// index and one of item are all that is touched. Returns its CAS number, 0 if it has none. `None`: another shape.
    #[inline(always)]
    fn put_in_place(
        &mut self,
        place: Place,
        mut view: View<'_>,
        blueprint: Blueprint<'_>,
        value: &[u8],
    ) -> Option<u64> {
        let region = self.region;
        let fields = flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS;
        if view.header.flags() & fields != blueprint.flags & fields
            || blueprint.flags & flag::CAS > view.header.flags() & flag::CAS
            || self.pins.is_pinned(place.chunk)
        {
            return None;
        }
        if view.header.has(flag::CHAINED) {
            return self.put_over_chain(place, view, blueprint, value);
        }
        // As large as before to the class: in a chunk of that class, or whichever it got.
        let total = view.header.value_at() + value.len();
        let before = view.header.value_at() + usize::from(view.header.value_len);
        let classes = &region.geometry.classes;
        if total != before
            && (total > region.geometry.page_bytes
                || classes.class_for(total) != classes.class_for(before))
        {
            return None;
        }
        let linked = Header::new(
            Kind::Linked,
            view.header.flags(),
            usize::from(view.header.key_len),
            value.len(),
        );
        let writing = place.primary.begin_writing(&region.arena);
        let old_len = view.header.value_len;
        view.set_header(linked);
        view.write_fields(
            blueprint.attributes.client_flags,
            blueprint.attributes.deadline,
            blueprint.marks,
        );
        let mut cas = 0;
        if view.header.has(flag::CAS) {
            cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
            view.set_cas(cas);
        }
        view.write_piece(0, value);
        writing.end();
        self.counters.item_bytes -= u64::from(old_len);
        self.counters.item_bytes += value.len() as u64;
        self.note_deadline(place.chunk, blueprint.attributes.deadline);
        self.mark_place(place, blueprint.key.hash());
        self.counters.sets += 1;
        Some(cas)
    }

    /// The same for a value of several pieces, if the new one has as many bytes: each piece takes what it held before.
    #[inline(never)]
    fn put_over_chain(
        &mut self,
        place: Place,
        view: View<'_>,
        blueprint: Blueprint<'_>,
        value: &[u8],
    ) -> Option<u64> {
        let region = self.region;
        if view.value_len() != value.len() {
            return None;
        }
        let attributes = blueprint.attributes;
        let writing = place.primary.begin_writing(&region.arena);
        view.renew_fields(
            attributes.client_flags,
            attributes.deadline,
            blueprint.marks,
        );
        let mut cas = 0;
        if view.header.has(flag::CAS) {
            cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
            view.set_cas(cas);
        }
        Filler::of_value(region, place.chunk).write(region, value);
        writing.end();
        self.note_deadline(place.chunk, attributes.deadline);
        self.mark_place(place, blueprint.key.hash());
        self.counters.sets += 1;
        Some(cas)
    }
}
