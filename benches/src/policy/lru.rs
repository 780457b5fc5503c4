//! Least recently used, exactly: every hit moves the key to the head.

use super::Policy;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    newer: u32,
    older: u32,
    /// 0: not cached.
    size: u64,
}

/// A list threaded through an array with a place for every key of the trace.
pub struct Lru {
    capacity: u64,
    used: u64,
    head: u32,
    tail: u32,
    nodes: Vec<Node>,
}

impl Lru {
    /// Room for `capacity`, in the unit of the sizes; keys are below `key_count`.
    #[must_use]
    pub fn new(capacity: u64, key_count: usize) -> Self {
        let absent = Node {
            newer: NONE,
            older: NONE,
            size: 0,
        };
        Lru {
            capacity,
            used: 0,
            head: NONE,
            tail: NONE,
            nodes: vec![absent; key_count],
        }
    }

    fn remove(&mut self, key: u32) {
        let Node { newer, older, size } = self.nodes[key as usize];
        match newer {
            NONE => self.head = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.tail = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        self.used -= size;
        self.nodes[key as usize].size = 0;
    }

    fn push_head(&mut self, key: u32, size: u64) {
        self.nodes[key as usize] = Node {
            newer: NONE,
            older: self.head,
            size,
        };
        match self.head {
            NONE => self.tail = key,
            head => self.nodes[head as usize].newer = key,
        }
        self.head = key;
        self.used += size;
    }
}

impl Policy for Lru {
    fn request(&mut self, key: u32, size: u64) -> bool {
        // A size of 0 stands for "absent", and no object is free of cost.
        let size = size.max(1);
        let held = self.nodes[key as usize].size;
        if held > 0 {
            self.remove(key);
        }
        if size <= self.capacity {
            while self.used + size > self.capacity {
                self.remove(self.tail);
            }
            self.push_head(key, size);
        }
        held > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_leaves() {
        let mut lru = Lru::new(2, 4);
        for (key, hit) in [
            (0, false),
            (1, false),
            (0, true),
            (2, false),
            (1, false),
            (2, true),
            (0, false),
        ] {
            assert_eq!(lru.request(key, 1), hit, "{key}");
        }
    }
}
