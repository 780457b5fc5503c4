//! Flushing, and tidying up behind it.

use super::locked::Locked;
use crate::chunk_ref::ChunkRef;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::slab::page::NO_DEADLINE;
use crate::tick::Tick;

/// Pages looked at in one portion of the clearing up after a flush, of each shard: about 20 µs.
const STALE_LOOKS: usize = 2048;

impl Locked<'_> {
    /// Removes every item, at once however many there are: the index and the lists begin anew, and the pages are
    /// stale from now on. They are taken back bit by bit, before anything is evicted.
    ///
    /// What is being filled goes on, and is stored after the flush. What is being streamed out goes on as well.
    pub fn flush(&mut self) {
        if self.index.items() > 0 {
            self.counters.flushed += self.counters.items;
            self.set_aside();
        }
    }

    /// Makes a shard whole again in which a panic may have come between any two steps: it is empty.
    #[cold]
    pub fn heal(&mut self) {
        let region = self.region;
        self.set_aside();
        self.slab.recount_stale(region);
    }

    fn set_aside(&mut self) {
        let region = self.region;
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
        self.deadline_noted = NO_DEADLINE;
        self.ghost_bytes = 0;
        self.is_filling = true;
        self.counters.items = 0;
        self.counts = Default::default();
        self.counters.item_bytes = 0;
        let (kept, others) = self.index.set_aside(&region.arena, &region.geometry);
        self.slab.set_aside(region, kept, others);
        self.publish_age();
    }

    /// Takes back pages that a flush left, at most a bounded number. Whether there are more.
    pub fn reclaim_flushed(&mut self) -> bool {
        let region = self.region;
        self.slab.reclaim_stale(region, STALE_LOOKS, usize::MAX);
        self.slab.stale() > 0
    }

    /// Merges index buckets that the items no longer need, at most `steps`.
    pub fn tidy(&mut self, now: Tick, steps: usize) {
        let region = self.region;
        for _ in 0..steps {
            if !self.index.wants_shrink(&region.geometry) {
                return;
            }
            self.shrink_index(now);
        }
    }
}
