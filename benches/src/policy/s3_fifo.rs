//! S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//!
//! ```text
//!   new ─► small (10 %) ─ hit often enough ─► main (90 %) ─┐ hit: again
//!             │                                ▲   ▲       │
//!             └─ otherwise ─► ghost ─ returns ─┘   └───────┤
//!                             (keys only)                  └─ not hit: out
//! ```

use std::collections::VecDeque;

use super::Policy;

/// What can be chosen in S3-FIFO.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Small's share of the capacity, as a divisor.
    pub small_divisor: u64,
    /// Hits that move a key from small to main.
    pub threshold: u8,
    /// Hits are counted up to this.
    pub frequency_max: u8,
    /// Ghosts (their sizes), in percent of main's capacity.
    pub ghost_percent: u64,
}

impl Tuning {
    /// The paper's, as in libCacheSim.
    pub const PAPER: Tuning = Tuning {
        small_divisor: 10,
        threshold: 2,
        frequency_max: 3,
        ghost_percent: 100,
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    None,
    Small,
    Main,
    Ghost,
}

#[derive(Clone, Copy)]
struct Node {
    queue: Queue,
    frequency: u8,
    /// Tells a ghost from an older entry of the same key further down the queue.
    turn: u32,
    size: u64,
}

/// Three queues of keys.
pub struct S3Fifo {
    capacity: u64,
    tuning: Tuning,
    has_evicted: bool,
    nodes: Vec<Node>,
    small: VecDeque<u32>,
    small_used: u64,
    main: VecDeque<u32>,
    main_used: u64,
    ghost: VecDeque<(u32, u32)>,
    ghost_used: u64,
    turn: u32,
}

impl S3Fifo {
    /// Room for `capacity`, in the unit of the sizes; keys are below `key_count`.
    #[must_use]
    pub fn new(capacity: u64, key_count: usize, tuning: Tuning) -> Self {
        let absent = Node {
            queue: Queue::None,
            frequency: 0,
            turn: 0,
            size: 0,
        };
        S3Fifo {
            capacity,
            tuning,
            has_evicted: false,
            nodes: vec![absent; key_count],
            small: VecDeque::new(),
            small_used: 0,
            main: VecDeque::new(),
            main_used: 0,
            ghost: VecDeque::new(),
            ghost_used: 0,
            turn: 0,
        }
    }

    fn small_capacity(&self) -> u64 {
        (self.capacity / self.tuning.small_divisor).max(1)
    }

    fn main_capacity(&self) -> u64 {
        self.capacity - self.small_capacity().min(self.capacity)
    }

    fn node(&mut self, key: u32) -> &mut Node {
        &mut self.nodes[key as usize]
    }

    fn push_main(&mut self, key: u32) {
        self.node(key).queue = Queue::Main;
        self.main_used += self.node(key).size;
        self.main.push_back(key);
    }

    fn push_ghost(&mut self, key: u32) {
        self.turn += 1;
        let turn = self.turn;
        let node = self.node(key);
        node.queue = Queue::Ghost;
        node.turn = turn;
        self.ghost_used += node.size;
        self.ghost.push_back((key, turn));
        while self.ghost_used * 100 > self.main_capacity() * self.tuning.ghost_percent {
            let Some((key, turn)) = self.ghost.pop_front() else {
                return;
            };
            let node = self.node(key);
            if node.queue == Queue::Ghost && node.turn == turn {
                node.queue = Queue::None;
                let size = node.size;
                self.ghost_used -= size;
            }
        }
    }

    /// Takes one key out, or moves keys until one goes.
    fn evict(&mut self) {
        self.has_evicted = true;
        if self.main_used > self.main_capacity() || self.small.is_empty() {
            self.evict_main();
        } else {
            self.evict_small();
        }
    }

    fn evict_small(&mut self) {
        while let Some(key) = self.small.pop_front() {
            let Node {
                frequency, size, ..
            } = *self.node(key);
            self.small_used -= size;
            if frequency >= self.tuning.threshold {
                self.node(key).frequency = 0;
                self.push_main(key);
            } else {
                self.push_ghost(key);
                return;
            }
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            let node = self.node(key);
            let size = node.size;
            if node.frequency > 0 {
                node.frequency -= 1;
                self.main.push_back(key);
            } else {
                node.queue = Queue::None;
                self.main_used -= size;
                return;
            }
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, key: u32, size: u64) -> bool {
        let frequency_max = self.tuning.frequency_max;
        let node = self.node(key);
        let returns = match node.queue {
            Queue::Small | Queue::Main => {
                node.frequency = frequency_max.min(node.frequency + 1);
                return true;
            }
            Queue::Ghost => true,
            Queue::None => false,
        };
        if returns {
            node.queue = Queue::None;
            let size = node.size;
            self.ghost_used -= size;
        }
        if size > self.capacity {
            return false;
        }
        let fits_small = size <= self.small_capacity();
        while self.small_used + self.main_used + size > self.capacity {
            self.evict();
        }
        let node = self.node(key);
        node.frequency = 0;
        node.size = size;
        // Until something had to leave, main takes what small has no room for.
        let early = !self.has_evicted && self.small_used + size > self.small_capacity();
        if returns || early || !fits_small {
            self.push_main(key);
        } else {
            self.node(key).queue = Queue::Small;
            self.small_used += size;
            self.small.push_back(key);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_passes_through_small_and_leaves_main_alone() {
        let mut cache = S3Fifo::new(100, 10_000, Tuning::PAPER);
        for round in 0..3 {
            for key in 0..80 {
                assert_eq!(cache.request(key, 1), round > 0, "{key}");
            }
        }
        (1000..1020).for_each(|key| {
            cache.request(key, 1);
        });
        (2000..9000).for_each(|key| {
            cache.request(key, 1);
        });
        let kept = (0..80).filter(|&key| cache.request(key, 1)).count();
        assert!(kept >= 70, "{kept}");
    }

    #[test]
    fn never_more_than_its_capacity() {
        let mut cache = S3Fifo::new(1000, 500, Tuning::PAPER);
        let mut rng = crate::rng::Rng::new(1);
        for _ in 0..20_000 {
            let key = rng.below(500) as u32;
            cache.request(key, u64::from(key % 50) + 1);
            assert!(cache.small_used + cache.main_used <= 1000);
        }
    }
}
