//! Pages change hands: what is left in one moves to free chunks of its class.
//!
//! Nothing is evicted here. Eviction takes the oldest items, wherever they lie, until a class has as many free
//! chunks as a page has; then its emptiest page is emptied into the others. An earlier
//! form emptied a page by evicting the class's oldest item for each item in it: classes of
//! few items lost their best that way.

use super::ShardState;
use super::storage::{chunk_geometry, class_of};
use super::write::segment_of;
use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::lru::list::List;
use crate::region::Region;
use crate::slab::page::CLASS_SPECIAL;
use crate::stamp::{self, StdFences};

/// Pages looked at for the emptiest one, and items for one whose page may be emptied.
const VICTIMS_MAX: usize = 32;

impl ShardState {
    /// Gives the pool a page of a class that has a page's worth of free chunks, if there is one.
    pub(super) fn compact(&mut self, region: &Region) -> bool {
        self.slab.classes_with_a_page_free().any(|class| {
            self.victim_page(region, class)
                .is_some_and(|page_no| self.evacuate(region, page_no))
        })
    }

    /// The page of `class` that is emptied at the least cost: none of its chunks is held.
    fn victim_page(&self, region: &Region, class: usize) -> Option<usize> {
        let table = region.pages();
        let partial = std::iter::successors(self.slab.first_partial(class), |&page_no| {
            (table.get(page_no).next as usize).checked_sub(1)
        });
        let emptiest = partial
            .take(VICTIMS_MAX)
            .filter(|&page_no| table.get(page_no).held == 0)
            .min_by_key(|&page_no| table.get(page_no).live);
        if emptiest.is_some() {
            return emptiest;
        }
        // Transfers hold all those: a full page has to do.
        let (arena, geometry) = (&region.arena, &region.geometry);
        self.class(class).queues.iter().find_map(|queue| {
            std::iter::successors(queue.list.tail(), |&item| {
                List::newer(arena, geometry, item)
            })
            .take(VICTIMS_MAX)
            .map(|item| geometry.page_of(item))
            .find(|&page_no| table.get(page_no).held == 0)
        })
    }

    /// Empties a page, none of whose chunks is held, into its class's other pages.
    fn evacuate(&mut self, region: &Region, page_no: usize) -> bool {
        let meta = region.pages().get(page_no);
        debug_assert!(meta.class < CLASS_SPECIAL && meta.held == 0);
        let (chunk_bytes, _) = chunk_geometry(&region.geometry, meta.class);
        self.slab.begin_evacuation(region, page_no);
        for chunk_no in 0..usize::from(meta.carved) {
            let word = region.geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
            let from = region.geometry.chunk_at(word);
            let kind = View::known(region, from).header.kind();
            if !matches!(kind, Kind::Linked | Kind::Continuation) {
                continue;
            }
            let Some(to) = self.slab.take(region, meta.class) else {
                break;
            };
            if kind == Kind::Linked {
                self.move_head(region, from, to);
            } else {
                self.move_piece(region, from, to);
            }
            self.slab.give(region, from);
            self.counters.items_moved += 1;
        }
        self.counters.pages_moved += 1;
        self.slab.end_evacuation(region)
    }

    /// The first piece of the item that `chunk` is a piece of.
    fn head_of(&self, region: &Region, chunk: ChunkRef) -> ChunkRef {
        let mut view = View::known(region, chunk);
        let mut head = chunk;
        while view.header.kind() == Kind::Continuation {
            head = view.prev_piece();
            view = View::known(region, head);
        }
        head
    }

    fn copy_chunk(&self, region: &Region, from: ChunkRef, to: ChunkRef) {
        let words = region.geometry.classes.chunk_bytes(class_of(region, from)) / WORD_BYTES;
        let (from_word, to_word) = (region.geometry.word_of(from), region.geometry.word_of(to));
        region.arena.copy_words(from_word, to_word, words);
    }

    /// An item's first piece moves: copy, then point list, chain and index at the copy.
    fn move_head(&mut self, region: &Region, from: ChunkRef, to: ChunkRef) {
        let place = self.place_of(region, from);
        self.copy_chunk(region, from, to);
        let view = View::known(region, to);
        let class = class_of(region, from);
        let segment = segment_of(view.header);
        self.classes[class]
            .list(segment)
            .replace(&region.arena, &region.geometry, from, to);
        let next = view.next_piece();
        if next.is_some() {
            View::known(region, next).set_prev_piece(to);
        }
        self.note_deadline(region, to, view.deadline());
        self.index.redirect(&region.arena, place, to, place.marks);
        if self.protected == from {
            self.protected = to;
        }
    }

    /// A further piece moves: the item's stamp covers the change of its chain.
    fn move_piece(&mut self, region: &Region, from: ChunkRef, to: ChunkRef) {
        let head = self.head_of(region, from);
        let primary = self.place_of(region, head).primary;
        self.copy_chunk(region, from, to);
        let view = View::known(region, to);
        let next = view.next_piece();
        if next.is_some() {
            View::known(region, next).set_prev_piece(to);
        }
        let stamp_word = region.arena.word(primary.0);
        stamp::open::<_, StdFences>(stamp_word);
        View::known(region, view.prev_piece()).set_next_piece(to);
        stamp::close(stamp_word);
    }
}
