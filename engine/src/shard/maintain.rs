//! The night shift of a shard: what has expired is reclaimed, a flush empties it.

use super::ShardState;
use super::storage::chunk_geometry;
use super::write::due_second;
use crate::geometry::WORD_BYTES;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::region::Region;
use crate::slab::page::{CLASS_SPECIAL, NO_DEADLINE};
use crate::tick::Tick;

impl ShardState {
    /// Whether anything here may have expired.
    pub fn sweep_due(&self, now: Tick) -> bool {
        u64::from(self.deadline_min) * 1000 <= now.as_millis()
    }

    /// Reclaims expired items, page by page, until about `reclaim_max` are gone; returns how
    /// many. The cost follows the pages in which something expires.
    pub fn sweep(&mut self, region: &Region, now: Tick, reclaim_max: usize) -> usize {
        let table = region.pages();
        let now_secs = now.as_millis() / 1000;
        let mut reclaimed = 0;
        let mut earliest = NO_DEADLINE;
        for page_no in 0..region.geometry.page_count {
            let (class, shard_no) = table.owner(page_no);
            if class >= CLASS_SPECIAL || usize::from(shard_no) != self.shard_no {
                continue;
            }
            let mut due = table.deadline(page_no);
            if u64::from(due) <= now_secs {
                if reclaimed >= reclaim_max {
                    // Come back for the rest.
                    return reclaimed;
                }
                reclaimed += self.sweep_page(region, page_no, now);
                due = table.deadline(page_no);
            }
            earliest = earliest.min(due);
        }
        self.deadline_min = earliest;
        reclaimed
    }

    /// Reclaims the expired items of one page and notes the earliest deadline of the others.
    fn sweep_page(&mut self, region: &Region, page_no: usize, now: Tick) -> usize {
        let table = region.pages();
        let meta = table.get(page_no);
        let (chunk_bytes, _) = chunk_geometry(&region.geometry, meta.class);
        let mut reclaimed = 0;
        let mut earliest = NO_DEADLINE;
        for chunk_no in 0..usize::from(meta.carved) {
            let word = region.geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
            let chunk = region.geometry.chunk_at(word);
            let view = View::known(region, chunk);
            if view.header.kind() != Kind::Linked {
                continue;
            }
            if !view.is_expired(now) {
                let due = due_second(view.deadline()).unwrap_or(NO_DEADLINE);
                earliest = earliest.min(due);
                continue;
            }
            let hash = view.hash();
            let place = self
                .index
                .find(&region.arena, &region.geometry, hash, |other| {
                    other == chunk
                })
                .expect("a linked item is in the index");
            self.unlink(region, place);
            self.counters.expired.swept += 1;
            reclaimed += 1;
            if table.owner(page_no) != (meta.class, meta.shard) {
                // That was its last item, and the page has gone to the pool.
                return reclaimed;
            }
        }
        table.set_deadline(page_no, earliest);
        reclaimed
    }

    /// Unlinks every item. Pages go back to the pool as they empty.
    pub fn flush(&mut self, region: &Region) {
        for class in 0..self.classes.len() {
            loop {
                let tail = self.class(class).queues.iter().find_map(|q| q.list.tail());
                let Some(chunk) = tail else { break };
                let hash = View::known(region, chunk).hash();
                let place = self
                    .index
                    .find(&region.arena, &region.geometry, hash, |other| {
                        other == chunk
                    })
                    .expect("a linked item is in the index");
                self.unlink(region, place);
                self.counters.flushed += 1;
            }
        }
        let slab = std::cell::RefCell::new(&mut self.slab);
        self.index.reset(
            &region.arena,
            &region.geometry,
            |bucket| slab.borrow_mut().give_overflow(region, bucket),
            |page_no| region.pool.push(region.pages(), page_no),
        );
    }

    /// Merges index buckets that the items no longer need, at most `steps`.
    pub fn tidy(&mut self, region: &Region, now: Tick, steps: usize) {
        for _ in 0..steps {
            if !self.index.wants_shrink(&region.geometry) {
                return;
            }
            self.shrink_index(region, now);
        }
    }
}
