//! What the cache says of itself: counters, size classes, and whether every invariant holds.

use super::Cache;
use crate::geometry::SHARD_COUNT;
use crate::lru::trials::NEVER;
use crate::shard::locked::Shard;
use crate::slab::page::{CLASS_RUNS, CLASS_SPECIAL};
use crate::space::DATABASES;
use crate::stats::{Audit, ClassStats, Stats};

impl Cache {
    /// A snapshot of the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let chosen = self.region.choice.chosen();
        let mut stats = Stats {
            probation_percent: u64::from(chosen.tuning.probation_percent),
            probation_hits: match chosen.tuning.marks_to_main {
                NEVER => 0,
                marks => u64::from(marks),
            },
            probation_changes: chosen.changes,
            page_bytes: self.region.geometry.page_bytes as u64,
            pages_free: self.region.pool.count() as u64,
            pages_retired: self.region.pool.retired() as u64,
            ..Stats::default()
        };
        // Shards that know how old what they evict is, by segment.
        let mut aged = [0; 2];
        for shard in &self.shards {
            let state = shard.lock(&self.region);
            stats.add(&state.counters);
            for (aged, age_bytes) in aged.iter_mut().zip(state.counters.evicted_age_bytes) {
                *aged += u64::from(age_bytes > 0);
            }
            let [probation_bytes, main_bytes] = state.held_by_segment();
            stats.probation_bytes += probation_bytes;
            stats.main_bytes += main_bytes;
            stats.pages_items += state.slab.item_pages() as u64;
            stats.pages_free += state.slab.stale() as u64;
            stats.pages_index += state.index_pages(&self.region.geometry) as u64;
            stats.index_buckets += state.index.buckets() as u64;
            stats.pinned += state.pins.used() as u64;
            stats.inserted_bytes += state.inserted_bytes();
            let items = state.counters.items;
            for (database, sum) in stats.databases.iter_mut().enumerate() {
                *sum += state.counts.of(database, items, &self.region.spaces);
            }
        }
        stats.evicted_age_probation_bytes /= aged[0].max(1);
        stats.evicted_age_main_bytes /= aged[1].max(1);
        stats
    }

    /// Items of one database that are linked now; some may have expired and not been reclaimed yet.
    pub fn items_in(&self, database: usize) -> u64 {
        let items = |shard: &Shard| {
            let state = shard.lock(&self.region);
            let items = state.counters.items;
            state
                .counts
                .of(database % DATABASES, items, &self.region.spaces)
        };
        self.shards.iter().map(items).sum()
    }

    /// Hands out what each size class holds, smallest chunks first, and at the end what the pages of runs do: the ends of
    /// items that are cut, whose units are counted there as chunks. Takes one lock after the
    /// other and looks at each page once; allocates nothing.
    pub fn classes(&self, mut each: impl FnMut(ClassStats)) {
        let classes = &self.region.geometry.classes;
        let mut used = [0_u32; CLASS_SPECIAL as usize];
        let mut units_used = 0;
        let mut generations = [0; SHARD_COUNT];
        for (generation, shard) in generations.iter_mut().zip(&self.shards) {
            *generation = shard.lock(&self.region).slab.generation();
        }
        for page_no in 0..self.region.geometry.page_count {
            let meta = self.region.pages().get(page_no);
            let generation = self.region.pages().generation(page_no);
            if generations.get(usize::from(meta.shard)) != Some(&generation) {
                continue;
            }
            if let Some(used) = used.get_mut(usize::from(meta.class)) {
                *used += u32::from(meta.live);
            } else if meta.class == CLASS_RUNS {
                units_used += u64::from(meta.carved) - classes.bitmap_units() as u64;
            }
        }
        for (class, used) in (0..classes.count()).zip(used) {
            let mut stats = ClassStats {
                class,
                chunk_bytes: classes.chunk_bytes(class) as u64,
                chunks_per_page: classes.chunks_per_page(class) as u64,
                chunks_used: u64::from(used),
                ..ClassStats::default()
            };
            for shard in &self.shards {
                shard.lock(&self.region).add_class_stats(class, &mut stats);
            }
            stats.chunks = stats.pages * stats.chunks_per_page;
            each(stats);
        }
        let pages = |shard: &Shard| shard.lock(&self.region).slab.run_pages() as u64;
        let mut runs = ClassStats {
            class: classes.count(),
            chunk_bytes: classes.unit_bytes() as u64,
            chunks_per_page: (classes.units_per_page() - classes.bitmap_units()) as u64,
            chunks_used: units_used,
            pages: self.shards.iter().map(pages).sum(),
            runs: true,
            ..ClassStats::default()
        };
        runs.chunks = runs.pages * runs.chunks_per_page;
        each(runs);
    }

    /// Checks every invariant, the slow way; for tests and soaks. Allocates.
    ///
    /// Between two calls that change the cache, every chunk is exactly one of free,
    /// reserved, linked, or a piece; index and lists agree; and the pages sum to the plan.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn audit(&self) -> Result<Audit, String> {
        let mut audit = Audit::default();
        // All locks at once, in the order of the shards: nobody else takes two.
        let mut states: Vec<_> = self
            .shards
            .iter()
            .map(|shard| shard.lock(&self.region))
            .collect();
        for state in &mut states {
            state.audit(&mut audit)?;
            state.audit_databases()?;
        }
        audit.free_pages = self.region.pool.count();
        audit.retired_pages = self.region.pool.retired();
        let pages = audit.item_pages
            + audit.index_pages
            + audit.free_pages
            + audit.retired_pages
            + audit.flushed_pages;
        if pages != self.region.geometry.usable_pages() {
            return Err(format!(
                "{audit:?}: {pages} pages, the plan has {}",
                self.region.geometry.usable_pages()
            ));
        }
        let lines: usize = self.plan.lines().map(|line| line.bytes).sum();
        if lines != self.plan.budget_bytes() {
            return Err(format!(
                "the plan's lines sum to {lines}, not to its budget"
            ));
        }
        Ok(audit)
    }
}
