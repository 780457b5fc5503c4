//! foyer's memory cache with S3-FIFO.

use std::sync::Arc;

use foyer_memory::{Cache, CacheBuilder, S3FifoConfig};

use super::{Room, Subject};

/// foyer-memory in 16 shards, with its default hasher.
pub struct Foyer(Cache<Box<[u8]>, Arc<[u8]>>);

impl Foyer {
    /// Room for `room.entries()`.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let builder = CacheBuilder::new(room.entries())
            .with_shards(16)
            .with_eviction_config(S3FifoConfig::default());
        Foyer(builder.build())
    }
}

impl Subject for Foyer {
    #[inline(always)]
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize> {
        let entry = self.0.get(key)?;
        let value = entry.value();
        out.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }

    #[inline(always)]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }
}
