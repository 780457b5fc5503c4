//! A shard that another process left, taken over where it lies in the arena.
//!
//! ```text
//! no marks ──► index: items and their pieces get one ──► lists are joined ──► what has none is free, and marks go
//! ```
//!
//! The index decides what is there, by the rules by which a reader without a lock decides it (`index::restore`). All
//! else is made anew from that: free chunks, lists, accounts. The order of a list is what its items' links say; where
//! a writer was at work in it, a link leads nowhere, and the parts are put behind one another.

mod lists;
mod reached;

use super::lists::{due_second, footprint, segment_of};
use super::{CAS_MAX, ShardState};
use crate::geometry::SHARD_COUNT;
use crate::index::Index;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::region::Region;
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, NO_DEADLINE};
use lists::{Scattered, newer_of};
pub(crate) use reached::owned;
use reached::{MARK, PageSet, Reached};

/// What a shard was found to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub items: u64,
    /// Slots of the index that named no whole item, or were being written to.
    pub forgotten: u64,
    /// Lists whose order was given up.
    pub unordered: u64,
}

impl ShardState {
    /// The shard as the arena has it, and an empty one if that cannot be.
    pub(crate) fn restore(region: &Region, shard_no: usize, cas_first: u64) -> (ShardState, Found) {
        let mut reached = Reached { region, shard_no };
        reached.clear_marks();
        let (arena, geometry) = (&region.arena, &region.geometry);
        let mut pages = PageSet::new(geometry.page_count);
        let index = Index::found(arena, geometry, shard_no, |page_no| {
            reached.owns(page_no) == Some(CLASS_INDEX) && pages.insert(page_no)
        });
        let mut found = Found::default();
        // None is ever so high, nor another shard's: then it is damaged.
        let cas_last = Some(arena.load(geometry.cas_word(shard_no)))
            .filter(|cas| cas % SHARD_COUNT as u64 == shard_no as u64 && *cas < CAS_MAX)
            .map_or(cas_first, |cas| cas.max(cas_first));
        let Some(mut index) = index else {
            reached.drop_pages();
            return (ShardState::new(region, shard_no, cas_last), found);
        };
        found.forgotten = index.restore(arena, geometry, &mut reached) as u64;
        let mut state = ShardState::blank(region, shard_no, cas_last);
        state.index = index;
        let scattered = state.count_found(&reached);
        found.unordered = state.join_lists(&reached, &scattered);
        state.take_over_pages(&reached, &pages);
        found.items = state.counters.items;
        (state, found)
    }

    /// Accounts for all that has a mark; returns what lists there are.
    fn count_found(&mut self, reached: &Reached<'_>) -> Vec<[Scattered; 2]> {
        let region = reached.region;
        let mut lists = vec![<[Scattered; 2]>::default(); self.classes.len()];
        reached.for_each_item(|chunk, class, view| {
            let segment = segment_of(view.header);
            let bytes = footprint(region, view, class);
            let held = &mut self.held[segment as usize];
            held.items += 1;
            held.bytes += bytes;
            self.inserted_bytes += bytes;
            self.counters.items += 1;
            self.counters.item_bytes += view.payload_len() as u64;
            self.counts.add(view.space(), &region.spaces);
            let list = &mut lists[class][segment as usize];
            list.items += 1;
            if !newer_of(region.arena.load(view.word)).is_some() {
                list.heads.push(chunk);
            }
        });
        lists
    }

    /// Takes the marks away, and makes free what has none.
    fn take_over_pages(&mut self, reached: &Reached<'_>, index_pages: &PageSet) {
        let region = reached.region;
        let (arena, table) = (&region.arena, region.pages());
        for page_no in 0..region.geometry.page_count {
            let Some(class) = reached.owns(page_no) else {
                continue;
            };
            if class == CLASS_INDEX {
                if index_pages.has(page_no) {
                    self.slab.take_over_index(region, page_no);
                } else {
                    region.pool.push(table, page_no);
                }
                continue;
            }
            let mut deadline = NO_DEADLINE;
            self.slab.take_over(region, page_no, |word| {
                if class == CLASS_OVERFLOW {
                    return reached.clear_bucket_mark(word);
                }
                let links = arena.load(word);
                if links & MARK == 0 {
                    return false;
                }
                arena.store(word, links & !MARK);
                let view = View::known(region, region.geometry.chunk_at(word));
                if view.header.kind() == Kind::Linked
                    && let Some(due) = due_second(view.deadline())
                {
                    deadline = deadline.min(due);
                }
                true
            });
            if table.owner(page_no).0 == class {
                table.set_deadline(page_no, deadline);
                self.deadline_min = self.deadline_min.min(deadline);
                self.deadline_noted = self.deadline_min;
            }
        }
    }
}
