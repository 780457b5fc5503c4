//! One xxh3 a key, and which of its bits decide what.
//!
//! ```text
//! ┌ 63..60 ┬ 59..52 ┬ 51..32 ┬ 31 ……… 0 ┐
//! │ shard  │ tag    │        │ bucket   │   ghost: bits 51 to 41
//! └────────┴────────┴────────┴──────────┘
//! ```

use static_assertions::const_assert_eq;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::KeyError;
use crate::geometry::{KEY_BYTES_MAX, SHARD_COUNT};

const SHARD_SHIFT: u32 = 60;
const TAG_SHIFT: u32 = 52;
/// Bits by which a bucket tells its ghosts apart.
pub(crate) const GHOST_BITS: u32 = 11;
const_assert_eq!(SHARD_COUNT, 1 << (64 - SHARD_SHIFT));
const_assert_eq!(TAG_SHIFT + 8, SHARD_SHIFT);

/// A key's hash under the cache's seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyHash(u64);

impl KeyHash {
    /// xxh3-64 of `bytes` (Yann Collet, xxHash 0.8).
    #[inline]
    pub(crate) fn of(bytes: &[u8], seed: u64) -> Self {
        KeyHash(xxh3_64_with_seed(bytes, seed))
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

    /// What its bucket remembers of an item that was evicted: never 0.
    #[inline(always)]
    pub(crate) fn ghost(self) -> u32 {
        let ghost = (self.0 >> (TAG_SHIFT - GHOST_BITS)) as u32 & ((1 << GHOST_BITS) - 1);
        ghost.max(1)
    }

    #[inline(always)]
    pub(crate) fn bucket_bits(self) -> u32 {
        self.0 as u32
    }
}

/// A key that has been checked and hashed, once for whatever is done with it.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    bytes: &'k [u8],
    hash: KeyHash,
}

impl<'k> Key<'k> {
    #[inline]
    pub(crate) fn new(bytes: &'k [u8], seed: u64) -> Result<Self, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if bytes.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        Ok(Key {
            bytes,
            hash: KeyHash::of(bytes, seed),
        })
    }

    /// A key whose hash is known.
    pub(crate) fn known(bytes: &'k [u8], hash: KeyHash) -> Self {
        Key { bytes, hash }
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
