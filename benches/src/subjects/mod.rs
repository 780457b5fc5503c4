//! The caches that are measured, each behind the same small trait.
//!
//! All copy a value out into the caller's buffer: a cache that hands out a reference or a
//! counted pointer has not paid for the bytes yet. To add one: implement [`Subject`] in a
//! file of its own and name it in [`field`].

mod flagstone;
mod floor;
mod foyer_s3;
mod lru_mutex;
mod moka_sync;
mod quick;
mod segcache_crate;

pub use flagstone::Flagstone;
pub use floor::Floor;
pub use foyer_s3::Foyer;
pub use lru_mutex::LruMutex;
pub use moka_sync::Moka;
pub use quick::Quick;
pub use segcache_crate::SegcacheCrate;

use crate::keys::KeyBytes;
use crate::rows::{Contestant, Entry};

/// Most keys in a batch.
pub const BATCH_MAX: usize = 32;

/// A cache of bytes under bytes.
pub trait Subject: Send + Sync {
    /// Copies the value to the front of `out`; its length if there is one.
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize>;

    /// Stores a value, evicting if there is no room.
    fn put(&self, key: &[u8], value: &[u8]);

    /// Looks up to [`BATCH_MAX`] keys up, each value to a part of `out` of its own; how
    /// many were there. `ahead`: bring all their memory before the first is read, where
    /// the cache has a way to.
    #[inline(always)]
    fn get_batch(&self, keys: &[KeyBytes], out: &mut [u8], ahead: bool) -> usize {
        let _ = ahead;
        let part = out.len() / keys.len();
        keys.iter()
            .zip(out.chunks_exact_mut(part))
            .map(|(key, out)| usize::from(self.get(key.as_slice(), out).is_some()))
            .sum()
    }

    /// Whether [`Subject::get_batch`] does something else when asked to look ahead.
    const LOOKS_AHEAD: bool = false;
}

/// What a subject is made for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Items of [`Room::value_len`] bytes.
    pub items: usize,
    /// Bytes of each value.
    pub value_len: usize,
    /// All `items` have to fit, in whichever shard they fall; otherwise about so many.
    pub roomy: bool,
    /// Ask for huge pages, where the cache can.
    pub huge_pages: bool,
}

impl Room {
    /// The number of entries to ask a cache for that counts them, in shards or not.
    #[must_use]
    pub fn entries(&self) -> usize {
        if self.roomy {
            self.items * 5 / 4
        } else {
            self.items
        }
    }
}

/// Everybody, the floor first; `peers` includes those that are not ours.
#[must_use]
pub fn field(room: Room, peers: bool) -> Vec<Box<dyn Contestant>> {
    let mut field: Vec<Box<dyn Contestant>> = vec![
        Box::new(Entry::new("floor", Floor::new(room))),
        Box::new(Entry::new("flagstone", Flagstone::new(room))),
    ];
    if peers {
        field.push(Box::new(Entry::new("quick_cache", Quick::new(room))));
        field.push(Box::new(Entry::new("lru x16 mutex", LruMutex::new(room))));
        field.push(Box::new(Entry::new("foyer S3-FIFO", Foyer::new(room))));
        field.push(Box::new(Entry::new("segcache", SegcacheCrate::new(room))));
        field.push(Box::new(Entry::new("moka", Moka::new(room))));
    }
    field
}
