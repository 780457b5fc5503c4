//! All items, one after the other: the caller's code runs under no lock.
//!
//! A walk copies out the keys of a portion of the items, under the lock of their shard; each key is then looked up again
//! and its value pinned. What was replaced or removed in between is met as it is now, or not at all.

use crate::cache::Cache;
use crate::cache::walk::Walk;
use crate::error::StoreError;
use crate::geometry::KEY_BYTES_MAX;
use crate::pinned::Pinned;
use crate::tick::Tick;

use super::SharedCache;
use crate::types::ItemMeta;

/// Keys of a portion, in bytes: one long one, or many short ones.
const PORTION_BYTES: usize = KEY_BYTES_MAX + KEY_LENGTH_BYTES;
/// Bytes that tell a key's length.
const KEY_LENGTH_BYTES: usize = 2;
/// Chunks that are looked at for a portion.
const PORTION_CHUNKS: usize = 512;
/// So often an item is looked at again that was replaced while the caller's code looked at it.
const TRIES: usize = 4;

static_assertions::const_assert!(KEY_BYTES_MAX <= u16::MAX as usize);

/// The keys of all items, a portion at a time.
struct Keys {
    walk: Walk,
    has_more: bool,
    /// For each key its length and its bytes, up to `len`; those before `at` were handed out.
    bytes: [u8; PORTION_BYTES],
    len: usize,
    at: usize,
}

impl Keys {
    fn new() -> Self {
        Keys {
            walk: Walk::default(),
            has_more: true,
            bytes: [0; PORTION_BYTES],
            len: 0,
            at: 0,
        }
    }

    fn next(&mut self, cache: &Cache, now: Tick) -> Option<&[u8]> {
        while self.at == self.len {
            if !self.has_more {
                return None;
            }
            self.refill(cache, now);
        }
        let from = self.at + KEY_LENGTH_BYTES;
        let len = u16::from_le_bytes([self.bytes[self.at], self.bytes[self.at + 1]]);
        self.at = from + usize::from(len);
        Some(&self.bytes[from..self.at])
    }

    fn refill(&mut self, cache: &Cache, now: Tick) {
        let (bytes, len) = (&mut self.bytes, &mut self.len);
        (*len, self.at) = (0, 0);
        self.has_more = cache.walk(&mut self.walk, PORTION_CHUNKS, now, |key, _| {
            let Some(room) = bytes[*len..].get_mut(..KEY_LENGTH_BYTES + key.len()) else {
                return false;
            };
            let (length, room_for_key) = room.split_at_mut(KEY_LENGTH_BYTES);
            length.copy_from_slice(&(key.len() as u16).to_le_bytes());
            room_for_key.copy_from_slice(key);
            *len += room.len();
            true
        });
    }
}

/// All items, as copies: see [`SharedCache::iter`].
pub struct Iter<'c> {
    cache: &'c SharedCache,
    keys: Keys,
}

/// An item that [`SharedCache::retain`] asks about. Its value is held still, and read only if it is asked for.
pub struct Item<'c> {
    key: &'c [u8],
    pinned: Pinned<'c>,
}

/// What [`SharedCache::retain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// Items that were removed.
    pub removed: usize,
    /// Items that could not be asked about, and stayed: so many of their shard's were pinned (32), or they were replaced
    /// again and again.
    pub skipped: usize,
}

impl SharedCache {
    /// All items, as copies of key and value, in no order. Allocates those, and nothing else.
    ///
    /// An item that nobody stores, moves or removes meanwhile is met exactly once; another may be missed, or met twice.
    /// No lock is held between two items, and none of them counts as read.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            cache: self,
            keys: Keys::new(),
        }
    }

    /// Removes the items for which `keep` says no; allocates nothing.
    ///
    /// Items are met as in [`SharedCache::iter`]. `keep` runs under no lock, and may use the cache. What is removed is the
    /// very value that it was asked about: one that was stored meanwhile stays, or is asked about in turn.
    pub fn retain(&self, mut keep: impl FnMut(&mut Item<'_>) -> bool) -> Retained {
        let mut done = Retained::default();
        let mut keys = Keys::new();
        while let Some(key) = keys.next(&self.core, self.now()) {
            match self.retain_one(key, &mut keep) {
                Some(is_removed) => done.removed += usize::from(is_removed),
                None => done.skipped += 1,
            }
        }
        done
    }

    /// Whether it was removed. `None`: nobody can tell whether it should be.
    fn retain_one(
        &self,
        bytes: &[u8],
        keep: &mut impl FnMut(&mut Item<'_>) -> bool,
    ) -> Option<bool> {
        let key = self.key(bytes).ok()?;
        for _ in 0..TRIES {
            let Some(pinned) = self.core.pin_unseen(key, self.now()).ok()? else {
                return Some(false);
            };
            let mut item = Item { key: bytes, pinned };
            if keep(&mut item) {
                return Some(false);
            }
            if self.core.delete_pinned(key, &item.pinned, self.now()) {
                return Some(true);
            }
        }
        None
    }
}

impl<'c> IntoIterator for &'c SharedCache {
    type Item = (Vec<u8>, Vec<u8>);
    type IntoIter = Iter<'c>;

    fn into_iter(self) -> Iter<'c> {
        self.iter()
    }
}

impl Iterator for Iter<'_> {
    /// Key and value.
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let cache = self.cache;
        loop {
            let bytes = self.keys.next(&cache.core, cache.now())?;
            let Ok(key) = cache.key(bytes) else {
                continue;
            };
            let value = match cache.core.pin_unseen(key, cache.now()) {
                Ok(pinned) => pinned.map(|mut pinned| rest_of(&mut pinned)),
                // Too many of its shard's are pinned: then it counts as read.
                Err(StoreError::NoSpace | StoreError::TooLarge | StoreError::LengthMismatch) => {
                    cache.get_key(key)
                }
            };
            if let Some(value) = value {
                return Some((bytes.to_vec(), value));
            }
        }
    }
}

impl std::iter::FusedIterator for Iter<'_> {}

/// The whole value, of a pin that was not read yet.
fn rest_of(pinned: &mut Pinned<'_>) -> Vec<u8> {
    let mut value = vec![0; pinned.meta().value_len];
    let len = pinned.read(&mut value);
    debug_assert_eq!(len, value.len());
    value
}

impl Item<'_> {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key
    }

    /// The value's length in bytes.
    #[must_use]
    pub fn value_len(&self) -> usize {
        self.pinned.meta().value_len
    }

    /// What is known of the item beside its value.
    #[must_use]
    pub fn meta(&self) -> ItemMeta {
        self.pinned.meta()
    }

    /// Copies the value's first bytes to the front of `out`; returns how many.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        self.pinned.seek(0);
        self.pinned.read(out)
    }

    /// A copy of the value.
    #[must_use]
    pub fn value(&mut self) -> Vec<u8> {
        self.pinned.seek(0);
        rest_of(&mut self.pinned)
    }
}
