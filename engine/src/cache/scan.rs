//! Going through all keys in the order of their hashes, a bucket at a time, with nothing kept in between.
//!
//! An item's hash never changes, wherever the item moves and however often its bucket is split or merged. The buckets of
//! linear hashing go by a hash's low bits, so each of them holds one interval of the hashes *read backwards*, and splitting it
//! cuts that interval in two. A scan goes through the shards, and in each through that order: what is there from its
//! beginning to its end is met at least once. It may be met twice where buckets were merged meanwhile.
//!
//! Within a bucket the order goes on with the other bits of the hash, so that a scan can stop between any two items.

use super::Cache;
use crate::chunk_ref::ChunkRef;
use crate::geometry::SHARD_COUNT;
use crate::hash::SCAN_PLACE_BITS;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::tick::Tick;
use crate::types::ItemMeta;

/// Where a scan is. As a number it can go over a wire and come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan(u64);

/// What [`Cache::scan_in`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// That was not the last bucket.
    pub more: bool,
    /// Items that were passed over, because they are of other databases or were flushed.
    pub passed: usize,
}

/// Bits of a place within a shard. With the shard's number that is what a client's signed number holds.
const PLACE_BITS: u32 = SCAN_PLACE_BITS;

impl Scan {
    /// At the beginning for 0, and else where a scan was that had this [`number`](Self::number). A number that none had is
    /// taken to be the nearest place.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Scan(number)
    }

    /// 0 at the end.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    const fn shard_no(self) -> usize {
        (self.0 >> PLACE_BITS) as usize
    }

    const fn place(self) -> u64 {
        self.0 & ((1 << PLACE_BITS) - 1)
    }

    /// So far on in the shard; at the next one if that is behind its end.
    const fn at(shard_no: usize, place: u64) -> Self {
        let number = ((shard_no as u64) << PLACE_BITS) + place;
        match (number >> PLACE_BITS) as usize >= SHARD_COUNT {
            true => Scan(0),
            false => Scan(number),
        }
    }
}

impl Cache {
    /// Calls `each` with the items of the next bucket of a scan that are in database 0, and moves it on. False: that was the
    /// last one.
    ///
    /// If `each` says no, because it has enough, the scan stays before that item: items of the same bucket that it was called
    /// with before are not met again, and a call in which it says yes at least once gets on.
    pub fn scan(
        &self,
        scan: &mut Scan,
        now: Tick,
        each: impl FnMut(&[u8], ItemMeta) -> bool,
    ) -> bool {
        self.scan_in(0, scan, now, each).more
    }

    /// The same for one of the [databases](crate::DATABASES). All of them lie in the same buckets, and are gone through.
    pub fn scan_in(
        &self,
        database: usize,
        scan: &mut Scan,
        now: Tick,
        mut each: impl FnMut(&[u8], ItemMeta) -> bool,
    ) -> Scanned {
        let mut scanned = Scanned::default();
        if scan.shard_no() >= SHARD_COUNT {
            *scan = Scan(0);
            return scanned;
        }
        let region = self.region();
        let (arena, geometry) = (&region.arena, &region.geometry);
        let mut state = self.shard_of(scan.shard_no()).lock(region);
        let (bucket, end) = state.index.bucket_in_order(arena, geometry, scan.place());
        // Nearly always all that a bucket holds fits into one batch.
        let mut from = scan.place();
        loop {
            let mut batch = Batch::default();
            let mut rest = Some(bucket);
            while let Some(bucket) = rest {
                for slot in 0..bucket.used(arena) {
                    let (chunk, _) = bucket.slot(arena, slot);
                    let view = View::known(region, chunk);
                    if view.header.kind() != Kind::Linked || view.is_expired(now) {
                        continue;
                    }
                    let place = view.hash().scan_place();
                    if place < from {
                        continue;
                    }
                    match region.spaces.holds(database, view.space()) {
                        true => batch.add(place, chunk),
                        false => scanned.passed += 1,
                    }
                }
                rest = bucket.overflow(arena, geometry);
            }
            for &(place, chunk) in batch.items() {
                let view = View::known(region, chunk);
                let meta = view.meta();
                if !view.with_key(|_, key| state.call(|_| each(key, meta))) {
                    *scan = Scan::at(scan.shard_no(), place);
                    scanned.more = true;
                    return scanned;
                }
            }
            match batch.full_until() {
                Some(place) => from = place + 1,
                None => break,
            }
        }
        *scan = Scan::at(scan.shard_no(), end);
        scanned.more = scan.number() != 0;
        scanned
    }
}

/// The first of a bucket's items that are still to be met, in order.
struct Batch {
    items: [(u64, ChunkRef); BATCH],
    len: usize,
}

const BATCH: usize = 64;

impl Default for Batch {
    fn default() -> Self {
        Batch {
            items: [(0, ChunkRef::NONE); BATCH],
            len: 0,
        }
    }
}

impl Batch {
    /// Puts an item where it belongs; the last of too many makes room.
    fn add(&mut self, place: u64, chunk: ChunkRef) {
        let at = self.items().partition_point(|&(before, _)| before <= place);
        if at == BATCH {
            return;
        }
        self.len = (self.len + 1).min(BATCH);
        self.items[at..self.len].rotate_right(1);
        self.items[at] = (place, chunk);
    }

    fn items(&self) -> &[(u64, ChunkRef)] {
        &self.items[..self.len]
    }

    /// The last place, if there may be more items behind it.
    fn full_until(&self) -> Option<u64> {
        (self.len == BATCH).then(|| self.items[BATCH - 1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Key, KeyHash};
    use crate::space::Space;
    use crate::{Attributes, Options, Plan};

    /// Among millions of items some share all bits that buckets go by: a scan of one at a time gets past them.
    #[test]
    fn items_of_one_bucket_for_ever_are_met_one_at_a_time() {
        let options = Options {
            budget_bytes: 8 << 20,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        // Only a long key's hash is stored, so that it can be made up.
        let names: Vec<Vec<u8>> = (0..100).map(|no| vec![no; 300]).collect();
        for (no, name) in (0..).zip(&names) {
            let hash = KeyHash::from_number(7 << 60 | no << 33 | 0x1234_5678);
            let stored = cache.put(
                Key::known(name, Space::PLAIN, hash),
                b"v",
                Attributes::default(),
                Tick::ZERO,
            );
            stored.unwrap();
        }
        let (mut scan, mut met) = (Scan::default(), Vec::new());
        loop {
            let mut taken = 0;
            let more = cache.scan(&mut scan, Tick::ZERO, |key, _| {
                taken += 1;
                if taken == 1 {
                    met.push(key.to_vec());
                }
                taken == 1
            });
            assert!(met.len() <= names.len(), "it goes round");
            if !more {
                break;
            }
        }
        met.sort();
        assert_eq!(met, names);
    }
}
