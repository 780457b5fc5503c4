//! What a curve (`lru/curve`) needs to know of the cache.

use super::Cache;
use crate::item::header::{HEADER_BYTES, key_field_bytes};
use crate::item::layout::{CHAIN_BYTES, Layout};
use crate::lru::curve::Holding;
use crate::tick::Deadline;

impl Cache {
    /// How much is held, and in how many pages. Takes one shard's lock after the other.
    #[must_use]
    pub fn holding(&self) -> Holding {
        let geometry = &self.region.geometry;
        let (mut items, mut bytes, mut stale) = (0, 0, 0);
        let (mut item_pages, mut index_pages) = (0, 0);
        for shard in &self.shards {
            let state = shard.lock(&self.region);
            items += state.counters.items;
            bytes += state.held_by_segment().iter().sum::<u64>();
            item_pages += state.slab.item_pages();
            index_pages += state.index_pages(geometry);
            stale += state.slab.stale();
        }
        let page_bytes = geometry.page_bytes as u64;
        Holding {
            items,
            bytes,
            item_page_bytes: item_pages as u64 * page_bytes,
            index_bytes: index_pages as u64 * page_bytes,
            index_bytes_least: self.shards.len() as u64 * page_bytes,
            free_bytes: (self.region.pool.count() + stale) as u64 * page_bytes,
            tuning: self.region.choice.tuning(),
        }
    }

    /// About what an item takes up, without its place in the index and what says which database it is of.
    #[must_use]
    pub fn footprint(&self, key_len: usize, value_len: usize, deadline: Deadline) -> u32 {
        let classes = &self.region.geometry.classes;
        let lead =
            HEADER_BYTES + key_field_bytes(key_len, 0) + if deadline.is_never() { 0 } else { 4 };
        let bytes = match Layout::of(classes, lead, value_len).single() {
            Some(class) => classes.chunk_bytes(class),
            None => lead + CHAIN_BYTES + value_len,
        };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
