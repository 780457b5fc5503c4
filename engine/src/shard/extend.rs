//! Changing one end of a long value, and leaving the rest of its chain where it lies.
//!
//! ```text
//! append   [head][page] … [page][tail]          the tail takes more bytes, if it has room; else a larger one takes its
//!                                └───→ [tail'][…] place, and whole pages follow
//! refront  [head][small][page] … [page][tail]   a new first piece, with more fields or more bytes in front; what it
//!             └──→ [head'][small'][page] …      cannot hold goes to small pieces behind it
//! ```
//!
//! So one byte more behind 100 MiB, or the first CAS number of such a value, costs about a page and not the value. Readers
//! without a lock are told by the stamp. Those who stream a pinned item read its length as it was: behind that an
//! append may write, but no piece of a pinned item is replaced: for a new first piece it has to be a copy of itself first (`cache::apart`).
//!
//! Ends grow by half from one size to the next, so that many small additions copy each byte a few times only.

use super::LastTail;
use super::fill::{Filler, set_value_here};
use super::join::Part;
use super::lists::{footprint, segment_of};
use super::locked::Locked;
use super::reserve::{Blueprint, Shortage, first_piece};
use super::storage::{PageBag, chunk_bytes_of, class_of};
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::item::extra::Marks;
use crate::item::header::{HEADER_BYTES, flag};
use crate::item::layout::CHAIN_BYTES;
use crate::item::view::{View, continuation};
use crate::region::Region;
use crate::tick::Tick;
use crate::types::{Attributes, CasWish, Outcome, Stored};

/// A value that is being read is copied under the lock, if it is no longer than this: a few microseconds.
const COPIED_HERE_BYTES_MAX: usize = 64 << 10;

/// Held pieces that belong to no item yet, linked with each other.
#[derive(Clone, Copy, Default)]
struct Pieces {
    first: ChunkRef,
    last: ChunkRef,
}

/// Where bytes that are put behind a value go.
#[derive(Clone, Copy)]
struct Split {
    /// Whether the tail stays; otherwise the pieces take its place, and begin with its bytes.
    stays: bool,
    into_tail: usize,
    into_pieces: usize,
}

impl Locked<'_> {
    /// Whether the item at `place` is long enough that its ends are worth changing alone.
    fn is_long(region: &Region, view: View<'_>) -> bool {
        view.header.has(flag::CHAINED) && view.body_len() >= region.geometry.page_bytes
    }

    fn tail_of(&self, head: ChunkRef) -> ChunkRef {
        let region = self.region;
        let mut tail = if self.last_tail.head == head {
            self.last_tail.tail
        } else {
            head
        };
        loop {
            let next = View::known(region, tail).next_piece();
            if !next.is_some() {
                return tail;
            }
            region.prefetch_pieces(next);
            tail = next;
        }
    }

    /// Pieces for `bytes` of value.
    fn reserve_pieces(
        &mut self,
        bytes: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Pieces, Shortage> {
        let region = self.region;
        let classes = &region.geometry.classes;
        let payload = region.geometry.page_bytes - HEADER_BYTES;
        let pages = bytes / payload;
        let mut pieces = Pieces::default();
        let mut left = bytes;
        while left > 0 {
            let class = if left >= payload {
                classes.whole_page()
            } else {
                classes.tail_for(left + HEADER_BYTES)
            };
            let Ok(chunk) = self.obtain(class, bag, now) else {
                self.abandon(pieces.first);
                return Err(Shortage::Pages(
                    (pages + 1).saturating_sub(bag.count()).max(1),
                ));
            };
            self.slab.hold(region, chunk);
            let mut view = View::fresh(region, chunk, continuation(0));
            let here = left.min(view.room(classes.chunk_bytes(class)));
            set_value_here(&mut view, here);
            left -= here;
            if pieces.last.is_some() {
                view.set_prev_piece(pieces.last);
                View::known(region, pieces.last).set_next_piece(chunk);
            } else {
                pieces.first = chunk;
            }
            pieces.last = chunk;
        }
        Ok(pieces)
    }

    /// Whole pages come from the pool and from all shards.
    fn fill_bag(region: &Region, pages: usize, bag: &mut PageBag<'_>) -> Result<(), Shortage> {
        while bag.count() < pages {
            match region.pool.pop(region.pages()) {
                Some(page_no) => bag.push(page_no),
                None => return Err(Shortage::Pages(pages - bag.count())),
            }
        }
        Ok(())
    }

    /// Puts `part` behind the long value at `place`. `None`: it is not one for which that is cheaper than a copy.
    pub(super) fn append(
        &mut self,
        key: Key<'_>,
        place: Place,
        (part, wish): (Part<'_>, CasWish),
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Option<Stored>, Shortage> {
        let region = self.region;
        if !Self::is_long(region, View::known(region, place.chunk)) {
            return Ok(None);
        }
        let gone = Ok(Some(Stored::not(Outcome::NotStored)));
        let Some(mut place) = self.numbered(key, place, wish, bag, now)? else {
            return gone;
        };
        let is_pinned = self.pins.is_pinned(place.chunk);
        let split = self.split_behind(place.chunk, part.len(region), is_pinned);
        let mut pieces = Pieces::default();
        if split.into_pieces > 0 {
            pieces = self.reserve_behind(place.chunk, split.into_pieces, bag, now)?;
            // Found again: it may have moved while room was made, but not gone.
            match self.find(key) {
                Some(found) => place = found,
                None => {
                    self.abandon(pieces.first);
                    return gone;
                }
            }
        }
        let tail = self.tail_of(place.chunk);
        let mut filler = Filler::of_body(pieces.first);
        if !split.stays {
            filler.copy_piece(region, View::known(region, tail));
        }
        part.add_from(region, split.into_tail, &mut filler);

        let footprint_of =
            |head| footprint(region, View::known(region, head), class_of(region, head));
        let before = footprint_of(place.chunk);
        let writing = place.primary.begin_writing(&region.arena);
        Self::link_behind(region, tail, part, split, pieces);
        let stored = self.grow_head(place.chunk, part.len(region), wish, now);
        writing.end();

        if !split.stays {
            self.slab.give(region, tail);
        }
        if !is_pinned && pieces.first.is_some() {
            self.for_each_piece(pieces.first, |state, piece| {
                state.slab.unhold(region, piece);
            });
        }
        self.last_tail = LastTail {
            head: place.chunk,
            tail: if pieces.last.is_some() {
                pieces.last
            } else {
                tail
            },
        };
        let grown = footprint_of(place.chunk) - before;
        let head = View::known(region, place.chunk);
        self.held[segment_of(head.header) as usize].bytes += grown;
        self.inserted_bytes += grown;
        self.counters.item_bytes += part.len(region) as u64;
        self.mark_place(place, key.hash());
        self.counters.sets += 1;
        Ok(Some(stored))
    }

    /// Gives the item at `place` a field for its CAS number, if `wish` needs one and it has none. Says where it is
    /// afterwards. `None`: it is gone.
    fn numbered(
        &mut self,
        key: Key<'_>,
        place: Place,
        wish: CasWish,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Option<Place>, Shortage> {
        let view = View::known(self.region, place.chunk);
        if wish == CasWish::IfKept || view.header.has(flag::CAS) {
            return Ok(Some(place));
        }
        let attributes = Attributes {
            client_flags: view.client_flags(),
            deadline: view.deadline(),
        };
        let flags = view.header.flags() & !(flag::CHAINED | flag::MAIN) | flag::CAS;
        self.rewrite(key, flags, attributes, bag, now)?;
        Ok(self.find(key))
    }

    /// Where `more` bytes behind an item's value go.
    fn split_behind(&self, head: ChunkRef, more: usize, is_pinned: bool) -> Split {
        let region = self.region;
        let tail = self.tail_of(head);
        let view = View::known(region, tail);
        let here = usize::from(view.header.value_len);
        let tail_bytes = chunk_bytes_of(region, tail);
        let room = view.room(tail_bytes) - here;
        // The tail stays if it has room for all, or cannot be larger, or is somebody's.
        let stays =
            more <= room || tail_bytes == region.geometry.page_bytes || is_pinned || tail == head;
        let into_tail = if stays { more.min(room) } else { 0 };
        Split {
            stays,
            into_tail,
            into_pieces: if stays { more - into_tail } else { here + more },
        }
    }

    /// Pieces for `bytes` behind the item of `head`, which is not evicted for them.
    fn reserve_behind(
        &mut self,
        head: ChunkRef,
        bytes: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Pieces, Shortage> {
        let region = self.region;
        let payload = region.geometry.page_bytes - HEADER_BYTES;
        Self::fill_bag(region, bytes / payload, bag)?;
        self.protected = head;
        let reserved = self.reserve_pieces(bytes, bag, now);
        self.protected = ChunkRef::NONE;
        reserved
    }

    /// Writes what the tail takes, and puts the pieces behind it or in its place. The caller has the stamp.
    fn link_behind(region: &Region, tail: ChunkRef, part: Part<'_>, split: Split, pieces: Pieces) {
        let mut view = View::known(region, tail);
        if split.into_tail > 0 {
            let here = usize::from(view.header.value_len);
            part.write_to(region, split.into_tail, view, here);
            set_value_here(&mut view, here + split.into_tail);
        }
        if pieces.first.is_some() {
            let last = if split.stays { tail } else { view.prev_piece() };
            View::known(region, last).set_next_piece(pieces.first);
            View::known(region, pieces.first).set_prev_piece(last);
        }
    }

    /// Says in the head that the value has `more` bytes, and has changed. The caller has the stamp.
    fn grow_head(&mut self, head: ChunkRef, more: usize, wish: CasWish, now: Tick) -> Stored {
        let head = View::known(self.region, head);
        let value_len = head.value_len() + more;
        head.set_body_len(head.body_len() + more);
        head.set_marks(Marks::anew(head.marks().is_noted(), now));
        let mut cas = 0;
        if head.header.has(flag::CAS) {
            cas = match wish {
                CasWish::Be(cas) => cas,
                _ => self.next_cas(),
            };
            head.set_cas(cas);
        }
        Stored {
            outcome: Outcome::Stored,
            cas,
            value_len,
        }
    }

    /// Gives the long item at `place` a new first piece, as `blueprint` says, with `part` before the value if there is
    /// one. The rest of the chain stays. `None`: it is not one for which that is cheaper than a copy.
    pub(super) fn refront(
        &mut self,
        place: Place,
        blueprint: Blueprint<'_>,
        part: Option<Part<'_>>,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Option<ChunkRef>, Shortage> {
        let region = self.region;
        let view = View::known(region, place.chunk);
        // What is put before the value of a long key would have to go into the middle of the body.
        let is_middle = view.header.has_long_key() && part.is_some();
        if !Self::is_long(region, view) || is_middle {
            return Ok(None);
        }
        if self.pins.is_pinned(place.chunk) {
            let is_copied_here = std::mem::take(&mut self.copied_here) == place.chunk
                || view.body_len() <= COPIED_HERE_BYTES_MAX;
            return if is_copied_here {
                Ok(None)
            } else {
                Err(Shortage::Copy)
            };
        }
        let second_len = Self::small_second(region, view).map_or(0, |second| {
            usize::from(View::known(region, second).header.value_len)
        });
        let more = part.map_or(0, |part| part.len(region));
        let front = more + usize::from(view.header.value_len) + second_len;
        self.protected = place.chunk;
        let reserved = self.reserve_front(blueprint, front, bag, now);
        self.protected = ChunkRef::NONE;
        let (head, pieces) = reserved?;
        let view = View::known(region, head);
        // Found again: it may have moved while room was made, but not gone.
        let Some(place) = self.find(blueprint.key) else {
            self.abandon(head);
            return Ok(Some(ChunkRef::NONE));
        };
        let old = View::known(region, place.chunk);
        let mut filler = Filler::of_body(head);
        if let Some(part) = part {
            part.add_from(region, 0, &mut filler);
        }
        filler.copy_piece(region, old);
        let mut rest = old.next_piece();
        let absorbed = Self::small_second(region, old);
        if let Some(second) = absorbed {
            filler.copy_piece(region, View::known(region, second));
            rest = View::known(region, second).next_piece();
        }
        view.set_body_len(old.body_len() + more);
        if blueprint.flags & flag::CAS != 0 {
            let cas = blueprint.cas.or(old.cas());
            view.set_cas(cas.unwrap_or_else(|| self.next_cas()));
        }
        self.for_each_piece(head, |state, piece| {
            state.slab.unhold(region, piece);
        });
        // From here on the rest of the chain has two ways to it, until the index names the new one.
        let last = if pieces.last.is_some() {
            pieces.last
        } else {
            head
        };
        View::known(region, last).set_next_piece(rest);
        if rest.is_some() {
            View::known(region, rest).set_prev_piece(last);
        }
        self.take_place(place, head);
        self.guards.follow(place.chunk, head);
        self.last_tail = LastTail::default();
        self.slab.give(region, place.chunk);
        if let Some(second) = absorbed {
            self.slab.give(region, second);
        }
        Ok(Some(head))
    }
    /// A small second piece, which an earlier new front left: it is made anew with the first, or they would be many.
    fn small_second(region: &Region, head: View<'_>) -> Option<ChunkRef> {
        let second = head.next_piece();
        let is_small =
            second.is_some() && class_of(region, second) != region.geometry.classes.whole_page();
        is_small.then_some(second)
    }

    /// A first piece as `blueprint` says, and small pieces behind it, with room for `front` bytes of body.
    fn reserve_front(
        &mut self,
        blueprint: Blueprint<'_>,
        front: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<(ChunkRef, Pieces), Shortage> {
        let region = self.region;
        let classes = &region.geometry.classes;
        let lead = blueprint.lead() + CHAIN_BYTES;
        let class = classes.class_for((lead + front).min(region.geometry.page_bytes));
        let into_head = front.min(classes.chunk_bytes(class) - lead);
        let payload = region.geometry.page_bytes - HEADER_BYTES;
        let head_pages = usize::from(class == classes.whole_page());
        Self::fill_bag(region, head_pages + (front - into_head) / payload, bag)?;

        let head = self.obtain(class, bag, now)?;
        self.slab.hold(region, head);
        let mut view = first_piece(region, head, blueprint, true);
        set_value_here(&mut view, into_head);
        let pieces = match self.reserve_pieces(front - into_head, bag, now) {
            Ok(pieces) => pieces,
            Err(shortage) => {
                self.abandon(head);
                return Err(match shortage {
                    Shortage::Pages(pages) => Shortage::Pages(pages + 1),
                    Shortage::Copy => Shortage::Copy,
                });
            }
        };
        view.set_next_piece(pieces.first);
        if pieces.first.is_some() {
            View::known(region, pieces.first).set_prev_piece(head);
        }
        Ok((head, pieces))
    }
}
