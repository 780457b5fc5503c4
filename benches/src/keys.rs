//! Keys of 16 to 24 bytes, made on the spot, and the order in which they are asked for.
//!
//! Making a key costs a few nanoseconds, reading it from a table would cost a cache miss;
//! the cost is in every figure alike.

use flagstone_engine::{Attributes, Cache, Tick};

use crate::rng::{Rng, mix};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 24;

/// A key with its length.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyBytes {
    bytes: [u8; KEY_BYTES_MAX],
    len: u8,
}

impl KeyBytes {
    /// The key with the number `id`.
    #[inline(always)]
    #[must_use]
    pub fn of(id: u64) -> Self {
        let mixed = mix(id);
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes[..8].copy_from_slice(&mixed.to_le_bytes());
        bytes[8..16].copy_from_slice(&id.to_le_bytes());
        bytes[16..].copy_from_slice(&mixed.rotate_left(32).to_le_bytes());
        KeyBytes {
            bytes,
            len: 16 + (mixed % 9) as u8,
        }
    }

    /// The key.
    #[inline(always)]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// When [`put`] stores.
pub const NOW: Tick = Tick::from_secs(1);

/// Stores a value for ever under the key with the number `id`.
///
/// # Errors
/// What the engine says.
pub fn put(cache: &Cache, id: u64, value: &[u8]) -> Result<(), String> {
    let bytes = KeyBytes::of(id);
    let key = cache.key(bytes.as_slice()).expect("a valid key");
    cache
        .put(key, value, Attributes::default(), NOW)
        .map_err(|error| error.to_string())
}

/// `count` numbers below `bound`, evenly.
#[must_use]
pub fn uniform(bound: u32, count: usize, seed: u64) -> Box<[u32]> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|_| rng.below(u64::from(bound)) as u32)
        .collect()
}

/// `count` numbers below `bound`: rank `r` (from 1) comes in proportion to `r^-exponent`.
/// By the inverse of the distribution, which is exact for any exponent.
#[must_use]
pub fn zipf(bound: u32, exponent: f64, count: usize, seed: u64) -> Box<[u32]> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=bound)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect();
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|_| {
            let at = rng.unit() * sum;
            (sums.partition_point(|&below| below <= at) as u32).min(bound - 1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_have_16_to_24_bytes() {
        let keys: std::collections::HashSet<Vec<u8>> = (0..10_000)
            .map(|id| KeyBytes::of(id).as_slice().to_vec())
            .collect();
        assert_eq!(keys.len(), 10_000);
        assert!(keys.iter().all(|key| (16..=24).contains(&key.len())));
    }

    #[test]
    fn zipf_prefers_low_ranks_in_proportion() {
        let draws = zipf(1000, 1.0, 200_000, 1);
        let count = |rank| draws.iter().filter(|&&draw| draw == rank).count() as f64;
        // Ranks 1 and 10: ten to one.
        let ratio = count(0) / count(9);
        assert!((9.0..11.0).contains(&ratio), "{ratio}");
    }
}
