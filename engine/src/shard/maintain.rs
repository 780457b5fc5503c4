//! The night shift of a shard: what has expired or was flushed is reclaimed.

use super::ShardState;
use super::storage::chunk_geometry;
use super::write::due_second;
use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::region::Region;
use crate::slab::page::{CLASS_SPECIAL, NO_DEADLINE};
use crate::tick::Tick;

/// Pages looked at in one portion of the clearing up after a flush, of each shard: about 20 µs.
const STALE_LOOKS: usize = 2048;

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
            if class >= CLASS_SPECIAL
                || usize::from(shard_no) != self.shard_no
                || self.slab.is_stale(region, page_no)
            {
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

    /// Removes every item, at once however many there are: the index and the lists begin anew, and the pages are
    /// stale from now on. They are taken back bit by bit, before anything is evicted.
    ///
    /// What is being filled goes on, and is stored after the flush. What is being streamed out goes on as well.
    pub fn flush(&mut self, region: &Region) {
        if self.index.items() > 0 {
            self.counters.flushed += self.counters.items;
            self.set_aside(region);
        }
    }

    /// Makes a shard whole again in which a panic may have come between any two steps: it is empty.
    #[cold]
    pub fn heal(&mut self, region: &Region) {
        self.set_aside(region);
        self.slab.recount_stale(region);
    }

    fn set_aside(&mut self, region: &Region) {
        self.pins.orphan_all(|chunk| {
            if let Some(mut view) = View::new(region, chunk) {
                view.set_header(view.header.with_kind(Kind::Reserved));
            }
        });
        for class in &mut self.classes {
            class.queues = Default::default();
        }
        self.held = Default::default();
        self.oldest = Default::default();
        self.protected = ChunkRef::NONE;
        self.guards.forget();
        self.last_tail = Default::default();
        self.deadline_min = NO_DEADLINE;
        self.ghost_bytes = 0;
        self.counters.items = 0;
        self.counters.item_bytes = 0;
        let (kept, others) = self.index.set_aside(&region.arena, &region.geometry);
        self.slab.set_aside(region, kept, others);
        self.publish_age(region);
    }

    /// Takes back pages that a flush left, at most a bounded number. Whether there are more.
    pub fn reclaim_flushed(&mut self, region: &Region) -> bool {
        self.slab.reclaim_stale(region, STALE_LOOKS, usize::MAX);
        self.slab.stale() > 0
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
