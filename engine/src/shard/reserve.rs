//! Chunks for an item that is still to be filled: taken, chained, held, and known to nobody.

use super::fill::{Filler, set_value_here};
use super::locked::Locked;
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::hash::Key;
use crate::item::extra::Marks;
use crate::item::header::{
    HEADER_BYTES, Header, Kind, LONG_KEY_HERE_BYTES, fields_bytes, flag, flags_for, key_body_bytes,
    key_field_bytes,
};
use crate::item::layout::Layout;
use crate::item::view::{View, continuation};
use crate::region::Region;
use crate::slab::size_class::SizeClasses;
use crate::tick::Tick;
use crate::types::{Attributes, CasWish};

/// What has to be done without the shard's lock before an attempt under it can go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shortage {
    /// So many pages are missing that only other shards can give them.
    Pages(usize),
    /// The item is long, and somebody is reading it, so that all of it would have to be copied, which is not done under
    /// the lock (`cache::apart`).
    Copy,
}

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

    /// Bytes before the body in the first piece, the chain's field not counted.
    #[inline(always)]
    pub fn lead(&self) -> usize {
        HEADER_BYTES
            + fields_bytes(self.flags & !flag::CHAINED)
            + key_field_bytes(self.key.bytes().len(), self.key.space().prefix_len())
    }

    /// Bytes of the key that are in the body.
    #[inline(always)]
    fn key_body_len(&self) -> usize {
        key_body_bytes(self.key.bytes().len())
    }

    /// Where an item with a value of `value_len` bytes lies.
    #[inline(always)]
    pub fn layout(&self, classes: &SizeClasses, value_len: usize) -> Layout {
        if self.key.is_long() {
            return Layout::chained(classes, self.lead(), self.key_body_len() + value_len);
        }
        Layout::of(classes, self.lead(), value_len)
    }

    /// Where one begins whose value's length is not known: in whole pages, of which the last is the value's.
    pub fn growing_layout(&self, classes: &SizeClasses) -> Layout {
        Layout::pages(classes, self.lead(), self.key_body_len())
    }
}

impl Locked<'_> {
    /// Chunks for `layout`, chained, headers and key written, held, and known to nobody.
    pub fn reserve(
        &mut self,
        blueprint: Blueprint<'_>,
        layout: Layout,
        value_len: usize,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        let region = self.region;
        // Whole pages come from the pool and from all shards, or a large value would
        // empty one shard while the others are full.
        while bag.count() < layout.pages {
            match region.pool.pop(region.pages()) {
                Some(page_no) => bag.push(page_no),
                None => return Err(Shortage::Pages(layout.pages - bag.count())),
            }
        }
        if let Some(class) = layout.single()
            && !blueprint.key.is_long()
        {
            let head = self.obtain(class, bag, now)?;
            self.slab.hold(region, head);
            set_value_here(&mut first_piece(region, head, blueprint, false), value_len);
            return Ok(head);
        }
        let whole_page = region.geometry.classes.whole_page();
        let mut head = ChunkRef::NONE;
        let mut last: Option<View<'_>> = None;
        let body_len = blueprint.key_body_len() + value_len;
        let mut left = body_len;
        for class in layout.classes(whole_page) {
            let chunk = match self.obtain(class, bag, now) {
                Ok(chunk) => chunk,
                Err(_) => {
                    if head.is_some() {
                        self.abandon(head);
                    }
                    return Err(shortage_of(layout, bag));
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
        debug_assert_eq!(left, layout.end, "the layout holds the value");
        if let Some(before) = last.filter(|_| left > 0)
            && self.chain_runs(before, left, bag, now, |_| {}).is_err()
        {
            self.abandon(head);
            return Err(shortage_of(layout, bag));
        }
        View::known(region, head).set_body_len(body_len);
        if blueprint.key.is_long() {
            Filler::of_body(head).write(region, &blueprint.key.bytes()[LONG_KEY_HERE_BYTES..]);
        }
        Ok(head)
    }

    /// A further whole page behind `last`, for a value whose end is not known.
    pub fn grow(
        &mut self,
        last: ChunkRef,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<ChunkRef, Shortage> {
        let region = self.region;
        if bag.count() == 0 {
            match region.pool.pop(region.pages()) {
                Some(page_no) => bag.push(page_no),
                None => return Err(Shortage::Pages(1)),
            }
        }
        let chunk = self.obtain(region.geometry.classes.whole_page(), bag, now)?;
        self.slab.hold(region, chunk);
        let view = View::fresh(region, chunk, continuation(0));
        view.set_prev_piece(last);
        View::known(region, last).set_next_piece(chunk);
        Ok(chunk)
    }

    /// Gives back the last page of a growing value, and says which is the last now.
    pub fn ungrow(&mut self, last: ChunkRef) -> ChunkRef {
        let region = self.region;
        let before = View::known(region, last).prev_piece();
        View::known(region, before).set_next_piece(ChunkRef::NONE);
        self.slab.unhold(region, last);
        self.slab.give(region, last);
        before
    }

    /// Gives a reservation's chunks back.
    pub fn abandon(&mut self, head: ChunkRef) {
        let region = self.region;
        self.for_each_piece(head, |state, chunk| {
            state.slab.unhold(region, chunk);
            state.slab.give(region, chunk);
        });
    }

    /// Calls `each` with every piece of an item; it may free the piece.
    pub fn for_each_piece(&mut self, head: ChunkRef, mut each: impl FnMut(&mut Self, ChunkRef)) {
        let region = self.region;
        let mut piece = head;
        while piece.is_some() {
            let next = View::known(region, piece).next_piece();
            if next.is_some() {
                region.prefetch_pieces(next);
            }
            each(self, piece);
            piece = next;
        }
    }

    /// Moves what a growing reservation's last page holds to smaller pieces, as `layout` has them.
    /// Without memory for them everything stays as it is.
    pub fn trim_tail(&mut self, last: ChunkRef, layout: Layout, bag: &mut PageBag<'_>, now: Tick) {
        let region = self.region;
        let source = View::known(region, last);
        let before = View::known(region, source.prev_piece());
        let mut left = usize::from(source.header.value_len);
        let mut at = 0;
        let mut chain = before;
        let give_up = |state: &mut Self| {
            let begun = before.next_piece();
            if begun != last {
                state.abandon(begun);
            }
            before.set_next_piece(last);
        };
        let fill = |view: View<'_>, at: usize| {
            let here = usize::from(view.header.value_len);
            let mut window = [0u8; 32 * WORD_BYTES];
            for from in (0..here).step_by(window.len()) {
                let len = window.len().min(here - from);
                source.copy_piece(at + from, &mut window[..len]);
                view.write_piece(from, &window[..len]);
            }
        };
        for class in layout.small.into_iter().flatten().map(usize::from) {
            let Ok(chunk) = self.obtain(class, bag, now) else {
                return give_up(self);
            };
            self.slab.hold(region, chunk);
            let mut view = View::fresh(region, chunk, continuation(0));
            view.set_prev_piece(region.geometry.chunk_at(chain.word));
            let here = left.min(view.room(region.geometry.classes.chunk_bytes(class)));
            set_value_here(&mut view, here);
            fill(view, at);
            chain.set_next_piece(chunk);
            at += here;
            left -= here;
            chain = view;
        }
        debug_assert_eq!(left, layout.end, "the layout holds the rest");
        let filled = self.chain_runs(chain, left, bag, now, |view| {
            fill(view, at);
            at += usize::from(view.header.value_len);
        });
        if filled.is_err() {
            return give_up(self);
        }
        self.slab.unhold(region, last);
        self.slab.give(region, last);
    }
}

/// A page for each piece: with those in hand the next attempt succeeds, whatever the classes have.
fn shortage_of(layout: Layout, bag: &PageBag<'_>) -> Shortage {
    Shortage::Pages(layout.pieces().saturating_sub(bag.count()).max(1))
}

/// Header, fields and key of an item's first piece.
pub(super) fn first_piece<'r>(
    region: &'r Region,
    chunk: ChunkRef,
    blueprint: Blueprint<'_>,
    chained: bool,
) -> View<'r> {
    let chain = if chained { flag::CHAINED } else { 0 };
    let key = blueprint.key;
    let key_bytes = key_field_bytes(key.bytes().len(), key.space().prefix_len());
    let header = Header::new(Kind::Reserved, blueprint.flags | chain, key_bytes, 0);
    let view = View::fresh(region, chunk, header);
    view.write_fields(
        blueprint.attributes.client_flags,
        blueprint.attributes.deadline,
        blueprint.marks,
    );
    view.write_key(blueprint.key);
    view
}
