//! The index's room: one bucket more or fewer before an insert, overflow buckets in store.

use super::ShardState;
use crate::item::view::View;
use crate::region::Region;
use crate::slab::page::CLASS_OVERFLOW;
use crate::tick::Tick;

impl ShardState {
    /// Before an insert: one bucket more or fewer, and an overflow bucket in store.
    pub(super) fn provision(&mut self, region: &Region, now: Tick) {
        self.roll_epoch(region);
        if self.index.wants_growth() {
            self.grow_index(region, now);
        } else if self.index.wants_shrink(&region.geometry) {
            self.shrink_index(region, now);
        }
        self.store_overflow(region, 1, now);
    }

    fn grow_index(&mut self, region: &Region, now: Tick) {
        let (arena, geometry) = (&region.arena, &region.geometry);
        let Some(needs_page) = self.index.growth_needs_page(geometry) else {
            return;
        };
        let page = if needs_page {
            if region.pool.count() == 0 {
                self.release_any(region, now);
            }
            match self.slab.take_index_page(region) {
                Some(page_no) => Some(page_no),
                None => return,
            }
        } else {
            None
        };
        // Last, because making room may have emptied overflow pages.
        let spares = self.index.split_spares(arena, geometry);
        if !self.store_overflow(region, spares, now) {
            if let Some(page_no) = page {
                region.pool.push(region.pages(), page_no);
            }
            return;
        }
        let slab = std::cell::RefCell::new(&mut self.slab);
        self.index.split(
            arena,
            geometry,
            page,
            |chunk| View::known(region, chunk).hash(),
            || slab.borrow_mut().take_overflow(region),
            |bucket| slab.borrow_mut().give_overflow(region, bucket),
        );
    }

    pub(super) fn shrink_index(&mut self, region: &Region, now: Tick) {
        let (arena, geometry) = (&region.arena, &region.geometry);
        let spares = self.index.merge_spares(arena, geometry);
        if !self.store_overflow(region, spares, now) {
            return;
        }
        let slab = std::cell::RefCell::new(&mut self.slab);
        let page = self.index.merge(
            arena,
            geometry,
            || slab.borrow_mut().take_overflow(region),
            |bucket| slab.borrow_mut().give_overflow(region, bucket),
        );
        if let Some(page_no) = page {
            region.pool.push(region.pages(), page_no);
        }
    }

    /// Makes sure of `count` free overflow buckets.
    fn store_overflow(&mut self, region: &Region, count: usize, now: Tick) -> bool {
        while self.slab.overflow_free() < count {
            let page_no = match region.pool.pop(region.pages()) {
                Some(page_no) => page_no,
                None => {
                    if !self.release_any(region, now) {
                        return false;
                    }
                    match region.pool.pop(region.pages()) {
                        Some(page_no) => page_no,
                        None => return false,
                    }
                }
            };
            self.slab.adopt(region, CLASS_OVERFLOW, page_no);
        }
        true
    }
}
