//! quick_cache: Clock-PRO, sharded. Values are counted pointers, as its users store bytes.

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::{Room, Subject};

/// quick_cache with its default shards and hasher.
pub struct Quick(Cache<Box<[u8]>, Arc<[u8]>>);

impl Quick {
    /// Room for `room.entries()`.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Quick(Cache::new(room.entries()))
    }
}

impl Subject for Quick {
    #[inline(always)]
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize> {
        let value = self.0.get(key)?;
        out.get_mut(..value.len())?.copy_from_slice(&value);
        Some(value.len())
    }

    #[inline(always)]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }
}
