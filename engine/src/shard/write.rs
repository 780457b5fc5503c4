//! Changing what is found: reserve, link, replace, unlink.

use super::storage::{PageBag, class_of};
use super::{Class, Queue, ShardState};
use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::hash::Key;
use crate::index::Place;
use crate::item::header::{
    HEADER_BYTES, Header, Kind, extra, extra::Marks, fields_bytes, flag, flags_for,
};
use crate::item::layout::{Layout, Small};
use crate::item::view::{View, continuation};
use crate::lru::segments::Segment;
use crate::region::Region;
use crate::slab::page::NO_DEADLINE;
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, CasWish, Condition, Outcome};

/// So many pages are missing that only other shards can give them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shortage(pub usize);

/// What a new item is to be.
#[derive(Clone, Copy)]
pub(crate) struct Blueprint<'a> {
    pub key: Key<'a>,
    pub attributes: Attributes,
    /// Fields that the item has, the chain not counted.
    pub flags: u8,
    /// What its CAS number is to be, if it has one; `None`: the next.
    pub cas: Option<u64>,
    /// Marks for the field `EXTRA`.
    pub marks: Marks,
}

impl<'a> Blueprint<'a> {
    pub fn new(key: Key<'a>, attributes: Attributes) -> Self {
        Blueprint {
            key,
            attributes,
            flags: flags_for(attributes.client_flags, attributes.deadline),
            cas: None,
            marks: Marks::NONE,
        }
    }

    /// The same, with marks.
    pub fn with_marks(mut self, marks: Marks) -> Self {
        if !marks.is_none() {
            self.flags |= flag::EXTRA;
            self.marks = self.marks.and(marks);
        }
        self
    }

    /// The same, with a CAS number as `wish` says.
    pub fn with_cas(mut self, wish: CasWish) -> Self {
        match wish {
            CasWish::IfKept => {}
            CasWish::Next => self.flags |= flag::CAS,
            CasWish::Be(cas) => {
                self.flags |= flag::CAS;
                self.cas = Some(cas);
            }
        }
        self
    }

    /// Bytes before the value in the first piece, the chain's field not counted.
    pub fn lead(&self) -> usize {
        HEADER_BYTES + fields_bytes(self.flags) + self.key.bytes().len()
    }
}

impl ShardState {
    /// Chunks for `layout`, chained, headers and key written, held, and known to nobody.
    pub fn reserve(
        &mut self,
        region: &Region,
        blueprint: Blueprint<'_>,
        layout: Layout,
        value_len: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        // Whole pages come from the pool and from all shards, or a large value would
        // empty one shard while the others are full.
        while bag.count() < layout.pages {
            match region.pool.pop(region.pages()) {
                Some(page_no) => bag.push(page_no),
                None => return Err(Shortage(layout.pages - bag.count())),
            }
        }
        if let Some(class) = layout.single() {
            let head = self.obtain(region, class, bag, now)?;
            self.slab.hold(region, head);
            set_value_here(&mut first_piece(region, head, blueprint, false), value_len);
            return Ok(head);
        }
        let whole_page = region.geometry.classes.whole_page();
        let mut head = ChunkRef::NONE;
        let mut last: Option<View<'_>> = None;
        let mut left = value_len;
        for class in layout.classes(whole_page) {
            let chunk = match self.obtain(region, class, bag, now) {
                Ok(chunk) => chunk,
                Err(Shortage(_)) => {
                    if head.is_some() {
                        self.abandon(region, head);
                    }
                    // A page for each piece: with those in hand the next attempt succeeds,
                    // whatever the classes have.
                    let pieces = layout.pages + layout.small.iter().flatten().count();
                    return Err(Shortage(pieces.saturating_sub(bag.count()).max(1)));
                }
            };
            self.slab.hold(region, chunk);
            let chunk_bytes = region.geometry.classes.chunk_bytes(class);
            let mut view = match last {
                None => {
                    head = chunk;
                    first_piece(region, chunk, blueprint, true)
                }
                Some(before) => {
                    let view = View::fresh(region, chunk, continuation(0));
                    view.set_prev_piece(region.geometry.chunk_at(before.word));
                    before.set_next_piece(chunk);
                    view
                }
            };
            let here = left.min(view.room(chunk_bytes));
            set_value_here(&mut view, here);
            left -= here;
            last = Some(view);
        }
        debug_assert_eq!(left, 0, "the layout holds the value");
        View::known(region, head).set_value_len(value_len);
        Ok(head)
    }

    /// A further whole page behind `last`, for a value whose end is not known.
    pub fn grow(
        &mut self,
        region: &Region,
        last: ChunkRef,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        if bag.count() == 0 {
            match region.pool.pop(region.pages()) {
                Some(page_no) => bag.push(page_no),
                None => return Err(Shortage(1)),
            }
        }
        let chunk = self.obtain(region, region.geometry.classes.whole_page(), bag, now)?;
        self.slab.hold(region, chunk);
        let view = View::fresh(region, chunk, continuation(0));
        view.set_prev_piece(last);
        View::known(region, last).set_next_piece(chunk);
        Ok(chunk)
    }

    /// Gives a reservation's chunks back.
    pub fn abandon(&mut self, region: &Region, head: ChunkRef) {
        self.for_each_piece(region, head, |state, chunk| {
            state.slab.unhold(region, chunk);
            state.slab.give(region, chunk);
        });
    }

    /// Calls `each` with every piece of an item; it may free the piece.
    pub fn for_each_piece(
        &mut self,
        region: &Region,
        head: ChunkRef,
        mut each: impl FnMut(&mut Self, ChunkRef),
    ) {
        let mut piece = head;
        while piece.is_some() {
            let next = View::known(region, piece).next_piece();
            each(self, piece);
            piece = next;
        }
    }

    /// What the reservation `head` takes over from the item that it is to replace, if it has the fields for it: that
    /// reads are noted, and, when it comes too late, the deadline. Returns the condition for its commit.
    pub fn inherit(
        &self,
        region: &Region,
        key: Key<'_>,
        head: ChunkRef,
        condition: Condition,
        now: Tick,
    ) -> Condition {
        let Some(place) = self.find(region, key) else {
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
        region: &Region,
        key: Key<'_>,
        head: ChunkRef,
        condition: Condition,
        now: Tick,
    ) -> Outcome {
        self.provision(region, now);
        let place = self.find(region, key);
        let outcome = self.check(region, place, condition, now);
        if outcome != Outcome::Stored {
            self.abandon(region, head);
            return outcome;
        }
        self.put_reserved(region, key, place, head, now);
        outcome
    }

    /// Makes a reservation the key's item, in place of the one at `place`.
    fn put_reserved(
        &mut self,
        region: &Region,
        key: Key<'_>,
        place: Option<Place>,
        head: ChunkRef,
        now: Tick,
    ) {
        self.for_each_piece(region, head, |state, piece| {
            state.slab.unhold(region, piece)
        });
        match place {
            Some(place) => {
                let was_over = View::known(region, place.chunk).is_expired(now);
                self.counters.expired.replaced += u64::from(was_over);
                self.supersede(region, place, head);
            }
            None => self.link(region, key, head, now),
        }
        self.counters.sets += 1;
    }

    /// Whether a store under `condition` may go ahead.
    pub fn check(
        &self,
        region: &Region,
        place: Option<Place>,
        condition: Condition,
        now: Tick,
    ) -> Outcome {
        if condition == Condition::Always {
            return Outcome::Stored;
        }
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
        region: &Region,
        place: Option<Place>,
        mut blueprint: Blueprint<'_>,
        value: &[u8],
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<u64, Shortage> {
        if let Some(place) = place {
            // Whose reads were asked for once are noted on, anew.
            let old = View::known(region, place.chunk);
            if old.marks().is_noted() {
                blueprint = blueprint.with_marks(Marks::anew(true, now));
            }
            let was_over = old.is_expired(now);
            if self.put_in_place(region, place, blueprint, value) {
                self.counters.expired.replaced += u64::from(was_over);
                return Ok(View::known(region, place.chunk).cas().unwrap_or(0));
            }
            // Whose number was asked for once is likely to be asked again.
            let kept = View::known(region, place.chunk).header.flags() & flag::CAS;
            blueprint.flags |= kept;
        }
        if place.is_none() {
            // Asked for when it is linked: after an eviction, if there is one.
            let primary = self
                .index
                .primary(&region.arena, &region.geometry, blueprint.key.hash());
            self.index.prefetch_ghosts(&region.arena, primary);
        }
        let layout = Layout::of(&region.geometry.classes, blueprint.lead(), value.len());
        let head = self.reserve(region, blueprint, layout, value.len(), bag, now)?;
        let mut cas = 0;
        if blueprint.flags & flag::CAS != 0 {
            cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
            View::known(region, head).set_cas(cas);
        }
        Filler::new(head).write(region, value);
        self.provision(region, now);
        // The condition held under this very lock, and evictions since then do not undo it. They may have
        // taken or moved the item that was there; where there was none, there is none now.
        let place = place.and_then(|_| self.find(region, blueprint.key));
        self.put_reserved(region, blueprint.key, place, head, now);
        Ok(cas)
    }

    /// Overwrites a value where it lies, if it has the same shape: one line of index and
    /// one of item are all that is touched.
    pub fn put_in_place(
        &mut self,
        region: &Region,
        place: Place,
        blueprint: Blueprint<'_>,
        value: &[u8],
    ) -> bool {
        let mut view = View::known(region, place.chunk);
        let fields = flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS;
        if view.header.has(flag::CHAINED)
            || view.header.flags() & fields != blueprint.flags & fields
            || blueprint.flags & flag::CAS > view.header.flags() & flag::CAS
            || self.pins.is_pinned(place.chunk)
        {
            return false;
        }
        // As large as before to the class: in a chunk of that class, or whichever it got.
        let total = view.header.value_at() + value.len();
        let before = view.header.value_at() + usize::from(view.header.value_len);
        let classes = &region.geometry.classes;
        if total != before
            && (total > region.geometry.page_bytes
                || classes.class_for(total) != classes.class_for(before))
        {
            return false;
        }
        let linked = Header::new(
            Kind::Linked,
            view.header.flags(),
            usize::from(view.header.key_len),
            value.len(),
        );
        let writing = place.primary.begin_writing(&region.arena);
        // Reserved while the bytes change: whoever finds the arena after a crash in here
        // sees that this is no item.
        let old_len = view.header.value_len;
        view.set_header(linked.with_kind(Kind::Reserved));
        view.write_fields(
            blueprint.attributes.client_flags,
            blueprint.attributes.deadline,
            blueprint.marks,
        );
        if view.header.has(flag::CAS) {
            let cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
            view.set_cas(cas);
        }
        view.write_piece(0, value);
        view.set_header(linked);
        writing.end();
        self.counters.item_bytes -= u64::from(old_len);
        self.counters.item_bytes += value.len() as u64;
        self.note_deadline(region, place.chunk, blueprint.attributes.deadline);
        self.mark_place(region, place);
        self.counters.sets += 1;
        true
    }

    /// Makes `head` findable under a key that is not there.
    fn link(&mut self, region: &Region, key: Key<'_>, head: ChunkRef, now: Tick) {
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

    /// Puts an item at the head of a list of its class and declares it linked.
    fn enlist(&mut self, region: &Region, head: ChunkRef, segment: Segment) {
        let mut view = View::known(region, head);
        let main = if segment == Segment::Main {
            flag::MAIN
        } else {
            0
        };
        let flags = view.header.flags() & !flag::MAIN | main;
        view.set_header(view.header.with_flags(flags).with_kind(Kind::Linked));
        let class = class_of(region, head);
        let bytes = footprint(region, view, class);
        self.inserted_bytes += bytes;
        self.push_head(region, head, class, segment, bytes);
        self.counters.item_bytes += u64::from(view.header.key_len) + view.value_len() as u64;
        self.note_deadline(region, head, view.deadline());
    }

    /// Takes an item off its list; returns about what it takes up.
    fn delist(&mut self, region: &Region, head: ChunkRef) -> u64 {
        let view = View::known(region, head);
        let class = class_of(region, head);
        let bytes = footprint(region, view, class);
        self.take_off(region, head, class, segment_of(view.header), bytes);
        self.counters.item_bytes -= u64::from(view.header.key_len) + view.value_len() as u64;
        bytes
    }

    /// Puts an item of `bytes` at the head of a list of its class.
    pub(super) fn push_head(
        &mut self,
        region: &Region,
        head: ChunkRef,
        class: usize,
        segment: Segment,
        bytes: u64,
    ) {
        let clock = self.clock();
        let queue = &mut self.classes[class].queues[segment as usize];
        queue.list.push_head(&region.arena, &region.geometry, head);
        queue.ages.enter(clock, queue.list.len());
        let held = &mut self.held[segment as usize];
        held.items += 1;
        held.bytes += bytes;
    }

    /// Takes an item of `bytes` off the list that it is on.
    pub(super) fn take_off(
        &mut self,
        region: &Region,
        head: ChunkRef,
        class: usize,
        segment: Segment,
        bytes: u64,
    ) {
        let list = self.classes[class].list(segment);
        list.remove(&region.arena, &region.geometry, head);
        let held = &mut self.held[segment as usize];
        held.items -= 1;
        held.bytes -= bytes;
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

    /// A copy of the item at `place` with other fields: a deadline it had no room for, or a
    /// CAS number. The value is copied under the lock, of a long one the beginning. `false`: there is no such item.
    pub fn rewrite(
        &mut self,
        region: &Region,
        key: Key<'_>,
        flags: u8,
        attributes: Attributes,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<bool, Shortage> {
        let Some(place) = self.find_live(region, key, now) else {
            return Ok(false);
        };
        let blueprint = Blueprint {
            key,
            attributes,
            flags,
            cas: None,
            marks: View::known(region, place.chunk).marks(),
        };
        if let Some(head) = self.refront(region, place, blueprint, None, bag, now)? {
            return Ok(head.is_some());
        }
        let value_len = View::known(region, place.chunk).value_len();
        let layout = Layout::of(&region.geometry.classes, blueprint.lead(), value_len);
        self.protected = place.chunk;
        let reserved = self.reserve(region, blueprint, layout, value_len, bag, now);
        self.protected = ChunkRef::NONE;
        let head = reserved?;
        // Found again: it may have moved while room was made, but not gone.
        let Some(place) = self.find(region, key) else {
            self.abandon(region, head);
            return Ok(false);
        };
        copy_value(region, place.chunk, head);
        if flags & flag::CAS != 0 {
            let cas = match View::known(region, place.chunk).cas() {
                Some(cas) => cas,
                None => self.next_cas(),
            };
            View::known(region, head).set_cas(cas);
        }
        self.for_each_piece(region, head, |state, piece| {
            state.slab.unhold(region, piece)
        });
        self.supersede(region, place, head);
        Ok(true)
    }

    /// The first or the last piece of a value is gone, or another.
    #[inline(always)]
    pub(super) fn forget_tail(&mut self, chunk: ChunkRef) {
        if self.last_tail.head == chunk || self.last_tail.tail == chunk {
            self.last_tail = Default::default();
        }
    }

    /// Changes the deadline where it lies, if the item has room for it.
    pub fn touch_in_place(&mut self, region: &Region, place: Place, deadline: Deadline) -> bool {
        let writing = place.primary.begin_writing(&region.arena);
        let done = View::known(region, place.chunk).set_deadline(deadline);
        writing.end();
        if done {
            self.note_deadline(region, place.chunk, deadline);
        }
        done
    }

    /// Moves what a growing reservation's last page holds to chunks of the classes `small`.
    /// Without memory for them everything stays as it is.
    pub fn trim_tail(
        &mut self,
        region: &Region,
        last: ChunkRef,
        small: Small,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) {
        let source = View::known(region, last);
        let before = View::known(region, source.prev_piece());
        let mut left = usize::from(source.header.value_len);
        let mut at = 0;
        let mut chain = before;
        for class in small.into_iter().flatten().map(usize::from) {
            let Ok(chunk) = self.obtain(region, class, bag, now) else {
                let begun = before.next_piece();
                if begun != last {
                    self.abandon(region, begun);
                }
                before.set_next_piece(last);
                return;
            };
            self.slab.hold(region, chunk);
            let mut view = View::fresh(region, chunk, continuation(0));
            view.set_prev_piece(region.geometry.chunk_at(chain.word));
            let here = left.min(view.room(region.geometry.classes.chunk_bytes(class)));
            set_value_here(&mut view, here);
            let mut window = [0u8; 32 * WORD_BYTES];
            for from in (0..here).step_by(window.len()) {
                let len = window.len().min(here - from);
                source.copy_piece(at + from, &mut window[..len]);
                view.write_piece(from, &window[..len]);
            }
            chain.set_next_piece(chunk);
            at += here;
            left -= here;
            chain = view;
        }
        debug_assert_eq!(left, 0, "the layout holds the rest");
        self.slab.unhold(region, last);
        self.slab.give(region, last);
    }

    /// The page and the shard remember the earliest deadline among their items.
    pub fn note_deadline(&mut self, region: &Region, chunk: ChunkRef, deadline: Deadline) {
        let Some(due) = due_second(deadline) else {
            return;
        };
        let page_no = region.geometry.page_of(chunk);
        let table = region.pages();
        if due < table.deadline(page_no) {
            table.set_deadline(page_no, due);
        }
        self.deadline_min = self.deadline_min.min(due);
        self.deadline_noted = self.deadline_noted.min(due);
    }

    pub(super) fn class(&self, class: usize) -> &Class {
        &self.classes[class]
    }

    pub(super) fn queue(&self, class: usize, segment: Segment) -> &Queue {
        &self.classes[class].queues[segment as usize]
    }
}

/// The first whole second at which the deadline has passed.
pub(super) fn due_second(deadline: Deadline) -> Option<u32> {
    if deadline.is_never() {
        return None;
    }
    let due = deadline
        .secs()
        .saturating_add(u32::from(deadline.millis() > 0));
    Some(due.min(NO_DEADLINE - 1))
}

/// About what a linked item takes up, by its first piece and that one's class. Whoever changes it for a linked item
/// tells the lists' account (`extend`).
pub(super) fn footprint(region: &Region, view: View<'_>, class: usize) -> u64 {
    let first = region.geometry.classes.chunk_bytes(class);
    if view.header.has(flag::CHAINED) {
        let here = usize::from(view.header.value_len);
        (first + view.value_len().saturating_sub(here)) as u64
    } else {
        first as u64
    }
}

/// Which list the item is on.
pub(super) fn segment_of(header: Header) -> Segment {
    if header.has(flag::MAIN) {
        Segment::Main
    } else {
        Segment::Probation
    }
}

/// Header, fields and key of an item's first piece.
fn first_piece<'r>(
    region: &'r Region,
    chunk: ChunkRef,
    blueprint: Blueprint<'_>,
    chained: bool,
) -> View<'r> {
    let chain = if chained { flag::CHAINED } else { 0 };
    let key = blueprint.key.bytes();
    let header = Header::new(Kind::Reserved, blueprint.flags | chain, key.len(), 0);
    let view = View::fresh(region, chunk, header);
    view.write_fields(
        blueprint.attributes.client_flags,
        blueprint.attributes.deadline,
        blueprint.marks,
    );
    view.write_key(key);
    view
}

/// Says how much of the value a piece holds.
pub(crate) fn set_value_here(view: &mut View<'_>, value_len: usize) {
    view.set_header(view.header.with_value_len(value_len));
}

/// Copies one item's value into another's pieces, which have room for exactly that.
pub(crate) fn copy_value(region: &Region, from: ChunkRef, to: ChunkRef) {
    Filler::new(to).copy(region, from);
}

/// Writes to the pieces that were reserved for a value, from its first byte on.
pub(crate) struct Filler {
    piece: ChunkRef,
    at: usize,
}

impl Filler {
    pub fn new(head: ChunkRef) -> Self {
        Filler { piece: head, at: 0 }
    }

    /// Appends bytes, for which there is room.
    pub fn write(&mut self, region: &Region, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let view = View::known(region, self.piece);
            let room = usize::from(view.header.value_len) - self.at;
            if room == 0 {
                (self.piece, self.at) = (view.next_piece(), 0);
                continue;
            }
            let (part, after) = rest.split_at(room.min(rest.len()));
            view.write_piece(self.at, part);
            self.at += part.len();
            rest = after;
        }
    }

    /// Appends what of a value is in one piece.
    pub fn copy_piece(&mut self, region: &Region, source: View<'_>) {
        let mut window = [0u8; 32 * WORD_BYTES];
        let here = usize::from(source.header.value_len);
        for at in (0..here).step_by(window.len()) {
            let len = window.len().min(here - at);
            source.copy_piece(at, &mut window[..len]);
            self.write(region, &window[..len]);
        }
    }

    /// Appends the whole value of another item.
    pub fn copy(&mut self, region: &Region, from: ChunkRef) {
        let value_len = View::known(region, from).value_len();
        copy_range(region, from, 0, value_len, |part| self.write(region, part));
    }
}

/// Calls `each` with the bytes of a value from `skipped` on, `left` of them, in parts.
pub(crate) fn copy_range(
    region: &Region,
    from: ChunkRef,
    mut skipped: usize,
    mut left: usize,
    mut each: impl FnMut(&[u8]),
) {
    let mut window = [0u8; 32 * WORD_BYTES];
    let mut source = View::known(region, from);
    let mut at = 0;
    while left > 0 {
        let here = usize::from(source.header.value_len);
        let step = skipped.min(here - at);
        at += step;
        skipped -= step;
        if at == here {
            (source, at) = (View::known(region, source.next_piece()), 0);
            continue;
        }
        let len = (here - at).min(window.len()).min(left);
        source.copy_piece(at, &mut window[..len]);
        each(&window[..len]);
        at += len;
        left -= len;
    }
}
