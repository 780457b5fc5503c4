//! Items on their way into a file, list by list from the tail on; and how they stand once they are back.
//!
//! A list knows where a walk through it is, so that items may leave, move and come while the lock is given back. An item that
//! moves from probation to main is met there, since main comes later; one that goes to another size class because it was
//! stored anew, or got fields, may be met or not.

use super::locked::Locked;
use super::reserve::Shortage;
use super::storage::{PageBag, class_of};
use crate::chunk_ref::ChunkRef;
use crate::geometry::SHARD_COUNT;
use crate::hash::Key;
use crate::item::extra;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::lru::list::List;
use crate::lru::segments::{MARKS_MAX, Segment};
use crate::shard::lists::segment_of;
use crate::tick::Tick;
use crate::types::{Exported, ItemMeta, Room, Sink, Standing};

/// Items looked at under one lock …
const ITEMS_PER_LOCK: usize = 32;
/// … unless their values come to so many bytes before: about ten microseconds, whichever it is.
const BYTES_PER_LOCK: usize = 32 << 10;

/// What became of some steps of a walk.
pub(crate) enum Portion {
    /// The list's turn is over.
    Over,
    /// It is not.
    More,
    /// The sink wants no more now.
    Full,
    /// The walk's last item is pinned.
    Pinned(ChunkRef),
    /// The next item should be pinned, and too many are.
    Busy,
}

impl Locked<'_> {
    /// Begins a walk through each list of a segment.
    pub fn begin_export(&mut self, segment: Segment) {
        for class in &mut self.classes {
            class.list(segment).begin_walk();
        }
    }

    /// Ends all walks.
    pub fn end_export(&mut self) {
        for class in &mut self.classes {
            for segment in [Segment::Probation, Segment::Main] {
                class.list(segment).end_walk();
            }
        }
    }

    /// Items of a list in one of so many turns; in the last one, all.
    pub fn export_turn(&self, class: usize, segment: Segment, turns: u32, is_last: bool) -> u32 {
        let len = self.queue(class, segment).list.len() as u32;
        if is_last { len } else { len.div_ceil(turns) }
    }

    /// Goes on with a list's walk, `left` more items at most, and hands them to the sink.
    pub fn export(
        &mut self,
        class: usize,
        segment: Segment,
        left: &mut u32,
        now: Tick,
        sink: &mut dyn Sink,
    ) -> Portion {
        let region = self.region;
        let mut bytes = 0;
        for _ in 0..ITEMS_PER_LOCK {
            let walker = self.queue(class, segment).list.walker();
            let Some(chunk) = walker.filter(|_| *left > 0) else {
                return Portion::Over;
            };
            if bytes >= BYTES_PER_LOCK {
                return Portion::More;
            }
            // The next item's line arrives while this one is copied.
            if let Some(newer) = List::newer(&region.arena, &region.geometry, chunk) {
                region.arena.prefetch(region.geometry.word_of(newer));
            }
            let view = View::known(region, chunk);
            let is_there = view.header.kind() == Kind::Linked
                && !view.is_expired(now)
                && !region.spaces.is_gone(view.space());
            if is_there {
                match self.hand_over(chunk, view, segment, sink) {
                    Handed::Over => bytes += view.payload_len(),
                    Handed::Not => return Portion::Full,
                    Handed::WantsPin if self.pin(chunk) => {
                        self.skip_exported(class, segment);
                        *left -= 1;
                        return Portion::Pinned(chunk);
                    }
                    Handed::WantsPin => return Portion::Busy,
                }
            }
            self.skip_exported(class, segment);
            *left -= 1;
        }
        Portion::More
    }

    /// A walk goes past its next item.
    pub fn skip_exported(&mut self, class: usize, segment: Segment) {
        let region = self.region;
        let list = self.classes[class].list(segment);
        list.step(&region.arena, &region.geometry);
    }

    fn hand_over(
        &mut self,
        chunk: ChunkRef,
        view: View<'_>,
        segment: Segment,
        sink: &mut dyn Sink,
    ) -> Handed {
        let standing = Standing {
            is_main: segment == Segment::Main,
            hits: self.place_of(chunk).marks,
        };
        let meta = view.meta();
        view.with_key(|space, key| {
            let item = Exported {
                database: space.database_of_key(),
                key,
                meta,
                standing,
            };
            match self.call(|_| sink.room(&item)) {
                Room::Here(out) => {
                    assert_eq!(out.len(), meta.value_len, "a sink's room is the value's");
                    let is_whole = view.copy_value(out);
                    assert!(is_whole, "under the lock a linked item is whole");
                    Handed::Over
                }
                Room::Pin => Handed::WantsPin,
                Room::Later => Handed::Not,
            }
        })
    }

    /// Gives an item that has come back its standing, and its marks if `meta` has any.
    pub fn settle(
        &mut self,
        key: Key<'_>,
        meta: &ItemMeta,
        standing: Standing,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<(), Shortage> {
        let region = self.region;
        let Some(mut place) = self.find_live(key, now) else {
            return Ok(());
        };
        if meta.stale || meta.won {
            let attributes = View::known(region, place.chunk).meta().attributes();
            place = self.with_fields(key, place, attributes, true, false, bag, now)?;
            let view = View::known(region, place.chunk);
            let stale = if meta.stale { extra::STALE } else { 0 };
            let won = if meta.won { extra::WON } else { 0 };
            view.set_marks(view.marks().with(stale | won));
        }
        self.index
            .set_marks(&region.arena, place, standing.hits.min(MARKS_MAX));
        let view = View::known(region, place.chunk);
        if standing.is_main && segment_of(view.header) == Segment::Probation {
            let class = class_of(region, place.chunk);
            self.requeue(place.chunk, class, Segment::Probation, Segment::Main);
        }
        Ok(())
    }

    /// The last CAS number given out.
    pub fn cas_last(&self) -> u64 {
        self.cas_last
    }

    /// From now on CAS numbers are above this one.
    pub fn raise_cas(&mut self, above: u64) {
        let first = (above & !(SHARD_COUNT as u64 - 1)) | self.shard_no as u64;
        self.cas_last = self.cas_last.max(first + SHARD_COUNT as u64);
        self.keep_cas();
    }
}

/// What a sink did with an item.
enum Handed {
    Over,
    Not,
    WantsPin,
}
