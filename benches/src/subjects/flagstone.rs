//! The engine.

use flagstone_engine::{Attributes, Cache, Copied, Key, Lookup, Options, Plan, Spot, Tick};

use super::{BATCH_MAX, Room, Subject};
use crate::keys::KeyBytes;

const NOW: Tick = Tick::from_secs(1);
/// Keys have 16 to 24 bytes.
const KEY_BYTES_MEAN: usize = 20;

/// The engine, with a budget that follows from the items asked for.
pub struct Flagstone {
    cache: Cache,
}

impl Flagstone {
    /// # Panics
    /// When the memory cannot be had.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let options = |budget_bytes| Options {
            budget_bytes,
            huge_pages: room.huge_pages,
            ..Options::default()
        };
        let sample = 128 << 20;
        let expected = Plan::new(&options(sample))
            .expect("a budget that works")
            .items_expected(KEY_BYTES_MEAN + room.value_len);
        let bytes = (sample as f64 / expected as f64 * room.items as f64) as usize;
        let budget_bytes = if room.roomy {
            bytes * 3 / 2 + (16 << 20)
        } else {
            bytes
        };
        let plan = Plan::new(&options(budget_bytes)).expect("a budget that works");
        Flagstone {
            cache: Cache::open(plan).expect("memory for the cache"),
        }
    }

    /// The cache itself.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    #[inline(always)]
    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.cache.key(bytes).expect("16 to 24 bytes are a key")
    }
}

impl Subject for Flagstone {
    const LOOKS_AHEAD: bool = true;

    #[inline(always)]
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize> {
        match self.cache.get(self.key(key), NOW, out) {
            Lookup::Hit(meta) => Some(meta.value_len),
            Lookup::Miss | Lookup::TooSmall(_) => None,
        }
    }

    #[inline(always)]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.cache
            .put(self.key(key), value, Attributes::default(), NOW)
            .expect("a value that fits");
    }

    #[inline(always)]
    fn get_batch(&self, keys: &[KeyBytes], out: &mut [u8], ahead: bool) -> usize {
        let mut hashed: [Option<Key<'_>>; BATCH_MAX] = [None; BATCH_MAX];
        for (slot, key) in hashed.iter_mut().zip(keys) {
            *slot = Some(self.key(key.as_slice()));
        }
        let hashed = || hashed[..keys.len()].iter().flatten();
        let part = out.len() / keys.len();
        let outs = out.chunks_exact_mut(part);
        if !ahead {
            let found = hashed()
                .zip(outs)
                .map(|(&key, out)| self.cache.get(key, NOW, out));
            return found
                .map(|found| usize::from(matches!(found, Lookup::Hit(_))))
                .sum();
        }
        let mut spots: [Option<Spot>; BATCH_MAX] = [None; BATCH_MAX];
        for (spot, &key) in spots.iter_mut().zip(hashed()) {
            *spot = Some(self.cache.prefetch(key));
        }
        for (&key, spot) in hashed().zip(spots.iter_mut().flatten()) {
            self.cache.prefetch_item(key, spot);
        }
        let looks = hashed().copied().zip(spots.iter().copied().flatten());
        looks
            .zip(outs)
            .map(|((key, spot), out)| self.cache.get_at(key, &spot, NOW, out, |_, _| Some(0)))
            .map(|found| usize::from(matches!(found, Copied::Bytes(_))))
            .sum()
    }
}
