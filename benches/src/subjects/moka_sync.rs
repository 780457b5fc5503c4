//! moka: W-TinyLFU behind queues of reads and writes.

use std::sync::Arc;

use moka::sync::Cache;

use super::{Room, Subject};

/// moka's synchronous cache.
pub struct Moka(Cache<Box<[u8]>, Arc<[u8]>>);

impl Moka {
    /// Room for `room.entries()`.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Moka(Cache::new(room.entries() as u64))
    }
}

impl Subject for Moka {
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
