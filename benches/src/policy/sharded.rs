//! The same policy in several caches that share the capacity, chosen by the key's hash:
//! what dividing alone costs, apart from everything else that an engine does.

use super::Policy;
use crate::rng::mix;

/// `S` caches beside one another.
pub struct Sharded<P> {
    shards: Vec<P>,
    /// Shard and number within the shard of each key.
    places: Vec<(u32, u32)>,
}

impl<P: Policy> Sharded<P> {
    /// `shard_count` caches made by `make(capacity, key_count)`; capacities sum to `capacity`.
    pub fn new(
        shard_count: u64,
        capacity: u64,
        key_count: usize,
        make: impl Fn(u64, usize) -> P,
    ) -> Self {
        let mut counts = vec![0u32; shard_count as usize];
        let places = (0..key_count as u64)
            .map(|key| {
                let shard = (mix(key) % shard_count) as usize;
                counts[shard] += 1;
                (shard as u32, counts[shard] - 1)
            })
            .collect();
        let shards = (0..shard_count)
            .map(|shard| {
                let share = capacity / shard_count + u64::from(shard < capacity % shard_count);
                make(share, counts[shard as usize] as usize)
            })
            .collect();
        Sharded { shards, places }
    }
}

impl<P: Policy> Policy for Sharded<P> {
    fn request(&mut self, key: u32, size: u64) -> bool {
        let (shard, number) = self.places[key as usize];
        self.shards[shard as usize].request(number, size)
    }
}
