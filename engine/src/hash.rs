//! One xxh3 a key, and which of its bits decide what.
//!
//! ```text
//! ┌ 63..60 ┬ 59..52 ┬ 51..32 ┬ 31 ……… 0 ┐
//! │ shard  │ tag    │        │ bucket   │   a ghost's line: bits 51 to 20; its print: 11 to 0
//! └────────┴────────┴────────┴──────────┘
//! ```

use static_assertions::{const_assert, const_assert_eq};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::KeyError;
use crate::geometry::{SHARD_COUNT, SHORT_KEY_BYTES_MAX};
use crate::space::{PREFIX_BYTES, Space};

const SHARD_SHIFT: u32 = 60;
const TAG_SHIFT: u32 = 52;
/// Bits by which a line tells its ghosts apart.
pub(crate) const GHOST_BITS: u32 = 12;
const_assert_eq!(SHARD_COUNT, 1 << (64 - SHARD_SHIFT));
const_assert_eq!(TAG_SHIFT + 8, SHARD_SHIFT);
const_assert!(SHORT_KEY_BYTES_MAX + PREFIX_BYTES < u8::MAX as usize);

/// Bits of a place in the order of a scan: those that buckets go by, and these.
const SCAN_OTHER_BITS: u32 = 27;
pub(crate) const SCAN_PLACE_BITS: u32 = 32 + SCAN_OTHER_BITS;
// With the shard's number a place is a number that is not negative where numbers have a sign.
const_assert_eq!(SCAN_PLACE_BITS + (64 - SHARD_SHIFT), 63);

/// A key's hash under the cache's seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyHash(u64);

impl KeyHash {
    /// One that an item says is its key's.
    pub(crate) fn from_number(number: u64) -> Self {
        KeyHash(number)
    }

    /// The same for a key as long as the cache's seed is, and of no use to who does not know that.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// xxh3-64 of `bytes` (Yann Collet, xxHash 0.8).
    #[inline]
    pub(crate) fn of(bytes: &[u8], seed: u64) -> Self {
        KeyHash(xxh3_64_with_seed(bytes, seed))
    }

    /// Of a key as it is stored.
    pub(crate) fn of_stored(stored: &[u8], seed: u64) -> Self {
        let (space, bytes) = Space::split(stored);
        KeyHash::of(bytes, seed ^ space.seed())
    }

    #[inline(always)]
    pub(crate) fn shard_no(self) -> usize {
        (self.0 >> SHARD_SHIFT) as usize
    }

    /// 1 to 255: zero marks an empty slot.
    #[inline(always)]
    pub(crate) fn tag(self) -> u8 {
        let tag = (self.0 >> TAG_SHIFT) as u8;
        if tag == 0 { 1 } else { tag }
    }

    /// What the index remembers of an item that was evicted: never 0.
    #[inline(always)]
    pub(crate) fn ghost(self) -> u32 {
        let ghost = self.0 as u32 & ((1 << GHOST_BITS) - 1);
        ghost.max(1)
    }

    /// Where it remembers it: evenly spread, and the highest bits tell.
    #[inline(always)]
    pub(crate) fn ghost_place(self) -> u32 {
        (self.0 >> (TAG_SHIFT - 32)) as u32
    }

    #[inline(always)]
    pub(crate) fn bucket_bits(self) -> u32 {
        self.0 as u32
    }

    /// Where it stands in the order of a scan: first by the bits that buckets go by, read backwards, so that a bucket is
    /// one interval, and then by others.
    pub(crate) fn scan_place(self) -> u64 {
        let others = (self.0 >> 32) & ((1 << SCAN_OTHER_BITS) - 1);
        Self::scan_place_of(self.bucket_bits()) | others
    }

    /// The first place of the hashes with these bits.
    pub(crate) fn scan_place_of(bucket_bits: u32) -> u64 {
        u64::from(bucket_bits.reverse_bits()) << SCAN_OTHER_BITS
    }

    /// The bits that buckets go by of the hashes at a place.
    pub(crate) fn bucket_bits_at(place: u64) -> u32 {
        ((place >> SCAN_OTHER_BITS) as u32).reverse_bits()
    }
}

/// A key that has been checked and hashed, once for whatever is done with it.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    bytes: &'k [u8],
    hash: KeyHash,
    space: Space,
}

impl<'k> Key<'k> {
    /// Of a database whose space is this.
    #[inline(always)]
    pub(crate) fn new(
        bytes: &'k [u8],
        space: Space,
        most: usize,
        seed: u64,
    ) -> Result<Self, KeyError> {
        if bytes.len() > most {
            return Err(KeyError::TooLong);
        }
        if !space.is_plain() || Space::is_like_one(bytes) {
            return Ok(Key::apart(bytes, space, seed));
        }
        Ok(Key {
            bytes,
            hash: KeyHash::of(bytes, seed),
            space: Space::PLAIN,
        })
    }

    /// One that may have something before it.
    #[inline(never)]
    pub(crate) fn apart(bytes: &'k [u8], space: Space, seed: u64) -> Self {
        let space = space.of_key(bytes);
        Key {
            bytes,
            hash: KeyHash::of(bytes, seed ^ space.seed()),
            space,
        }
    }

    /// A key whose hash is known.
    pub(crate) fn known(bytes: &'k [u8], space: Space, hash: KeyHash) -> Self {
        Key { bytes, hash, space }
    }

    /// What stands before it where it is stored.
    #[inline(always)]
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// Whether it goes on behind the place that an item has for keys.
    #[inline(always)]
    pub(crate) fn is_long(&self) -> bool {
        self.bytes.len() > SHORT_KEY_BYTES_MAX
    }

    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &'k [u8] {
        self.bytes
    }

    /// Its hash under the cache's seed.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        self.hash
    }
}
