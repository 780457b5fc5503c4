//! What a hit costs at least: one bucket line, one item line, the copy.
//!
//! ```text
//!   bucket  │ tag, item │ × 8            64 bytes, 4 items on average
//!   item    │ lengths │ key … │ value … │  next to one another, no gaps but to the word
//! ```
//!
//! The hash, the tag and the whole key are compared as in any cache. There is no lock, no
//! stamp, no list, no deadline; a full table overwrites whatever is in the bucket. Two
//! threads that write one item tear it, and nobody is told: this is a floor, not a cache.
//! Words are relaxed atomics, as safe code shares memory; they compile to plain moves,
//! which the compiler does not merge into wider ones. For values of many lines a `memcpy`
//! is therefore faster than this floor.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64;

use super::{BATCH_MAX, Room, Subject};
use crate::keys::{KEY_BYTES_MAX, KeyBytes};

const SLOTS: usize = 8;
/// Slots for each item: buckets half full keep nearly every item in its own bucket.
const SLOTS_PER_ITEM: usize = 2;

/// An open-addressed table over a flat arena.
pub struct Floor {
    /// `SLOTS` words a bucket: tag above, item number + 1 below; 0 is free.
    slots: Box<[Line]>,
    items: Box<[AtomicU64]>,
    item_words: usize,
    items_max: u32,
    items_used: AtomicU32,
}

/// One cache line.
#[repr(align(64))]
#[derive(Default)]
struct Line([AtomicU64; SLOTS]);

/// The word that tells whether an item may be the one: both lengths.
fn lengths(key_len: usize, value_len: usize) -> u64 {
    (key_len as u64) << 32 | value_len as u64
}

/// Up to eight bytes as a word, zeros above.
#[inline(always)]
fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn write(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, part) in words.iter().zip(whole) {
        word.store(u64::from_le_bytes(*part), Relaxed);
    }
    if !rest.is_empty() {
        words[whole.len()].store(word_of(rest), Relaxed);
    }
}

#[inline(always)]
fn read(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    for (word, part) in words.iter().zip(whole.iter_mut()) {
        *part = word.load(Relaxed).to_le_bytes();
    }
    if !rest.is_empty() {
        let last = words[whole.len()].load(Relaxed).to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[inline(always)]
fn equal(words: &[AtomicU64], bytes: &[u8]) -> bool {
    let (whole, rest) = bytes.as_chunks::<8>();
    words
        .iter()
        .zip(whole)
        .all(|(word, part)| word.load(Relaxed) == u64::from_le_bytes(*part))
        && (rest.is_empty() || words[whole.len()].load(Relaxed) == word_of(rest))
}

impl Floor {
    /// Room for exactly `room.items`.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let buckets = (room.items * SLOTS_PER_ITEM / SLOTS).next_power_of_two();
        let item_words = 1 + KEY_BYTES_MAX.div_ceil(8) + room.value_len.div_ceil(8);
        Floor {
            slots: (0..buckets).map(|_| Line::default()).collect(),
            items: (0..room.items * item_words)
                .map(|_| AtomicU64::new(0))
                .collect(),
            item_words,
            items_max: room.items as u32,
            items_used: AtomicU32::new(0),
        }
    }

    #[inline(always)]
    fn bucket(&self, hash: u64, step: usize) -> &[AtomicU64; SLOTS] {
        &self.slots[(hash as usize + step) & (self.slots.len() - 1)].0
    }

    #[inline(always)]
    fn item(&self, slot: u64) -> &[AtomicU64] {
        let at = (slot as u32 - 1) as usize * self.item_words;
        &self.items[at..at + self.item_words]
    }

    /// The item of `key`, and its value's length.
    #[inline(always)]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(&[AtomicU64], usize)> {
        for step in 0..self.slots.len() {
            for slot in self.bucket(hash, step) {
                let slot = slot.load(Relaxed);
                if slot == 0 {
                    return None;
                }
                if slot >> 32 == hash >> 32 {
                    let item = self.item(slot);
                    let lengths = item[0].load(Relaxed);
                    if lengths >> 32 == key.len() as u64 && equal(&item[1..], key) {
                        return Some((item, lengths as u32 as usize));
                    }
                }
            }
        }
        None
    }

    /// A slot with an item for a key that is not there.
    #[inline(always)]
    fn place(&self, hash: u64) -> &[AtomicU64] {
        let tag = hash >> 32 << 32;
        if self.items_used.load(Relaxed) < self.items_max {
            let number = u64::from(self.items_used.fetch_add(1, Relaxed));
            if number < u64::from(self.items_max) {
                let free = (0..)
                    .flat_map(|step| self.bucket(hash, step))
                    .find(|slot| slot.load(Relaxed) == 0)
                    .expect("half of the slots are free");
                free.store(tag | (number + 1), Relaxed);
                return self.item(number + 1);
            }
        }
        // Full: an item of the bucket goes; if it has none, one of a later bucket, whose last
        // slot becomes free, so that a search still ends at the first free one.
        for step in 0.. {
            let bucket = self.bucket(hash, step);
            let used = bucket.iter().filter(|slot| slot.load(Relaxed) != 0).count();
            if used == 0 {
                continue;
            }
            let preferred = if step == 0 {
                (hash >> 29) as usize % used
            } else {
                used - 1
            };
            let number = bucket[preferred].load(Relaxed) & u64::from(u32::MAX);
            if step > 0 {
                bucket[preferred].store(0, Relaxed);
            }
            let slot = if step == 0 {
                &bucket[preferred]
            } else {
                &self.bucket(hash, 0)[0]
            };
            slot.store(tag | number, Relaxed);
            return self.item(number);
        }
        unreachable!("a full table has items")
    }
}

impl Subject for Floor {
    const LOOKS_AHEAD: bool = true;

    #[inline(always)]
    fn get(&self, key: &[u8], out: &mut [u8]) -> Option<usize> {
        let (item, value_len) = self.find(xxh3_64(key), key)?;
        let value = &item[1 + key.len().div_ceil(8)..];
        read(value, out.get_mut(..value_len)?);
        Some(value_len)
    }

    #[inline(always)]
    fn put(&self, key: &[u8], value: &[u8]) {
        let hash = xxh3_64(key);
        let item = match self.find(hash, key) {
            Some((item, _)) => item,
            None => {
                let item = self.place(hash);
                write(&item[1..], key);
                item
            }
        };
        item[0].store(lengths(key.len(), value.len()), Relaxed);
        write(&item[1 + key.len().div_ceil(8)..], value);
    }

    /// Safe code has no prefetch; it loads the first word of every line instead, which the
    /// processor overlaps as well.
    #[inline(always)]
    fn get_batch(&self, keys: &[KeyBytes], out: &mut [u8], ahead: bool) -> usize {
        if ahead {
            let mut hashes = [0; BATCH_MAX];
            let mut seen = 0;
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = xxh3_64(key.as_slice());
                seen ^= self.bucket(*hash, 0)[0].load(Relaxed);
            }
            for &hash in &hashes[..keys.len()] {
                let slot = self
                    .bucket(hash, 0)
                    .iter()
                    .map(|slot| slot.load(Relaxed))
                    .find(|slot| slot >> 32 == hash >> 32);
                if let Some(slot) = slot {
                    seen ^= self.item(slot)[0].load(Relaxed);
                }
            }
            black_box(seen);
        }
        let part = out.len() / keys.len();
        keys.iter()
            .zip(out.chunks_exact_mut(part))
            .map(|(key, out)| usize::from(self.get(key.as_slice(), out).is_some()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stores_and_finds() {
        let floor = Floor::new(Room {
            items: 1000,
            value_len: 70,
            roomy: true,
            huge_pages: false,
        });
        let value = |id: u64| [id as u8; 70];
        let mut out = [0; 70];
        for id in 0..1000 {
            floor.put(KeyBytes::of(id).as_slice(), &value(id));
        }
        for id in 0..1000 {
            let len = floor.get(KeyBytes::of(id).as_slice(), &mut out);
            assert_eq!((len, out), (Some(70), value(id)));
        }
        for id in 1000..2000 {
            let key = KeyBytes::of(id);
            assert_eq!(floor.get(key.as_slice(), &mut out), None);
            floor.put(key.as_slice(), &value(id));
            assert_eq!(floor.get(key.as_slice(), &mut out), Some(70));
        }
    }
}
