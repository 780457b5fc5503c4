//! segcache, Pelikan's engine: segments of items that leave together.
//!
//! Its table has a fixed number of slots and refuses an insert when a key's two buckets are
//! full, from about 40 % load on; it gets four slots an item, so that it hardly ever does.

use std::time::Duration;

use segcache::{Policy, Segcache, Value};

use super::{Room, Subject};

const SEGMENT_BYTES: usize = 1 << 20;
const SLOTS_PER_ITEM: usize = 4;
/// Mean key, header and padding.
const ITEM_OVERHEAD_BYTES: usize = 36;

/// segcache with merging eviction, as its paper has it.
pub struct SegcacheCrate(Segcache);

impl SegcacheCrate {
    /// Room for `room.entries()`, in bytes.
    ///
    /// # Panics
    /// When the memory cannot be had.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let bytes = room.entries() * (room.value_len + ITEM_OVERHEAD_BYTES);
        let slots = (room.items * SLOTS_PER_ITEM).next_power_of_two();
        let cache = Segcache::builder()
            .heap_size(bytes.next_multiple_of(SEGMENT_BYTES) + 16 * SEGMENT_BYTES)
            .segment_size(SEGMENT_BYTES as i32)
            .hash_power(slots.trailing_zeros() as u8)
            .eviction(Policy::Merge {
                max: 8,
                merge: 4,
                compact: 2,
            })
            .build()
            .expect("memory for the cache");
        SegcacheCrate(cache)
    }
}

impl Subject for SegcacheCrate {
    #[inline(always)]
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize> {
        let item = self.0.get(key)?;
        let Value::Bytes(value) = item.value() else {
            return None;
        };
        out.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }

    #[inline(always)]
    fn put(&self, key: &[u8], value: &[u8]) {
        // What it refuses is found missing, and its row marked.
        let _ = self.0.insert(key, value, None, Duration::ZERO);
    }
}
