//! Pages that a flush left.
//!
//! Each page carries the generation in which the shard took it. A flush begins a new one, and
//! with that every page of the shard is stale: what is linked in it is gone, whatever its header says. Stale pages
//! go back to the pool one by one, whole, without a look at what is in them ([`Slab::reclaim_stale`]). Only where a
//! transfer still holds a chunk is the page gone through, and kept for that chunk ([`Slab::freshen`]).

use std::sync::atomic::Ordering;

use super::{Slab, chunk_geometry};
use crate::geometry::WORD_BYTES;
use crate::item::header::{Header, Kind};
use crate::region::Region;
use crate::slab::free_list::PageList;
use crate::slab::page::{CLASS_INDEX, CLASS_RUNS, CLASS_SPECIAL, NO_DEADLINE};
use crate::stamp::{self, StdFences};

impl Slab {
    /// Pages of this shard that hold nothing but what was flushed, and chunks that transfers hold.
    pub fn stale(&self) -> usize {
        self.stale
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether what is linked in a page of this shard was flushed.
    pub fn is_stale(&self, region: &Region, page_no: usize) -> bool {
        region.pages().generation(page_no) != self.generation
    }

    /// Every page but `kept`, which holds the index's first buckets, becomes stale; `index_pages` of them are
    /// others of the index.
    pub fn set_aside(&mut self, region: &Region, kept: usize, index_pages: usize) {
        let stale = self.item_pages + self.overflow_pages as usize + index_pages;
        self.generation = self.generation.wrapping_add(1);
        region.pages().set_generation(kept, self.generation);
        self.partial.fill(PageList::default());
        self.pages.fill(0);
        self.item_pages = 0;
        self.free.fill(0);
        self.page_free = 0;
        self.forget_runs();
        self.overflow_partial = PageList::default();
        self.overflow_pages = 0;
        self.overflow_free = 0;
        self.evacuating = None;
        self.note_stale(region, self.stale + stale);
    }

    fn note_stale(&mut self, region: &Region, stale: usize) {
        // A hint for the other shards. Sums that wrap come out right.
        region
            .stale
            .fetch_add(stale.wrapping_sub(self.stale), Ordering::Relaxed);
        self.stale = stale;
    }

    /// After a panic no count of pages is certain: the page table has them all.
    pub fn recount_stale(&mut self, region: &Region) {
        let stale = (0..region.geometry.page_count)
            .filter(|&page_no| self.owns(region, page_no) && self.is_stale(region, page_no))
            .count();
        self.note_stale(region, stale);
    }

    fn owns(&self, region: &Region, page_no: usize) -> bool {
        let (class, shard_no) = region.pages().owner(page_no);
        class <= CLASS_INDEX && usize::from(shard_no) == self.shard_no
    }

    /// Looks at up to `looks` pages of the arena, for up to `pages_max` stale ones, and gives those to the pool;
    /// returns how many.
    pub fn reclaim_stale(&mut self, region: &Region, looks: usize, pages_max: usize) -> usize {
        let mut reclaimed = 0;
        for _ in 0..looks {
            if self.stale == 0 || reclaimed == pages_max {
                break;
            }
            let page_no = self.stale_at;
            self.stale_at = (page_no + 1) % region.geometry.page_count;
            if !self.owns(region, page_no) || !self.is_stale(region, page_no) {
                continue;
            }
            if region.pages().get(page_no).held > 0 {
                self.freshen(region, page_no);
            } else {
                self.note_stale(region, self.stale - 1);
                region.pool.push(region.pages(), page_no);
                reclaimed += 1;
            }
        }
        reclaimed
    }

    /// Makes a stale page a page of its class again: the chunks that transfers hold stay, all others are free.
    pub(super) fn freshen(&mut self, region: &Region, page_no: usize) {
        let (table, geometry) = (region.pages(), &region.geometry);
        let mut meta = table.get(page_no);
        if meta.class == CLASS_RUNS {
            self.note_stale(region, self.stale - 1);
            let live = self.take_over_runs(region, page_no, meta.held, |word| {
                Header::unpack(region.arena.load(word + 1)).is_held()
            });
            debug_assert_eq!(live, meta.held, "what is held is marked so");
            return;
        }
        debug_assert!(meta.class < CLASS_SPECIAL, "nobody holds a bucket");
        let (chunk_bytes, chunks) = chunk_geometry(geometry, meta.class);
        (meta.live, meta.free_head, meta.next, meta.prev) = (0, 0, 0, 0);
        stamp::before_reuse::<StdFences>();
        for chunk_no in (0..meta.carved).rev() {
            let word =
                geometry.page_word(page_no) + usize::from(chunk_no) * chunk_bytes / WORD_BYTES;
            if Header::unpack(region.arena.load(word + 1)).is_held() {
                meta.live += 1;
                continue;
            }
            region.arena.store(word, u64::from(meta.free_head));
            let free = Header::new(Kind::Free, 0, 0, 0).pack_into(0);
            region.arena.store(word + 1, free);
            meta.free_head = chunk_no + 1;
        }
        debug_assert_eq!(meta.live, meta.held, "what is held is marked so");
        table.set(page_no, meta);
        table.set_deadline(page_no, NO_DEADLINE);
        table.set_generation(page_no, self.generation);
        self.note_stale(region, self.stale - 1);
        let class = usize::from(meta.class);
        self.pages[class] += 1;
        self.item_pages += 1;
        let free = chunks - usize::from(meta.live);
        self.note_free(geometry, meta.class, self.free[class] + free as u32);
        if free > 0 {
            self.partial(meta.class).push(table, page_no);
        }
    }
}
