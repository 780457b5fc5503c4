//! The `lru` crate in 16 shards, each behind a mutex: what one writes in an afternoon.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::{Room, Subject};

const SHARDS: usize = 16;

type Shard = Mutex<LruCache<Box<[u8]>, Box<[u8]>>>;

/// Sixteen exact LRU caches.
pub struct LruMutex(Box<[Shard]>);

impl LruMutex {
    /// Room for `room.entries()`.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let capacity =
            NonZeroUsize::new(room.entries().div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        LruMutex(
            (0..SHARDS)
                .map(|_| Mutex::new(LruCache::new(capacity)))
                .collect(),
        )
    }

    #[inline(always)]
    fn shard(&self, key: &[u8]) -> &Shard {
        // The crate hashes once more, with a hasher of its own.
        &self.0[(xxh3_64(key) >> 60) as usize]
    }
}

impl Subject for LruMutex {
    #[inline(always)]
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut shard = self.shard(key).lock();
        let value = shard.get(key)?;
        out.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }

    #[inline(always)]
    fn put(&self, key: &[u8], value: &[u8]) {
        let shard = self.shard(key);
        // Allocated before the lock is taken.
        let (key, value): (Box<[u8]>, Box<[u8]>) = (key.into(), value.into());
        shard.lock().put(key, value);
    }
}
