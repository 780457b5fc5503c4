//! Lists of keys threaded through one array with a place for every key of the trace: a key is on one of `N` lists, or
//! on none.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    newer: u32,
    older: u32,
    size: u64,
    /// Which list it is on; `N`: on none.
    list: u8,
}

#[derive(Clone, Copy)]
struct Ends {
    head: u32,
    tail: u32,
    used: u64,
}

/// Newest at the head, oldest at the tail.
pub(super) struct Lists<const N: usize> {
    nodes: Vec<Node>,
    ends: [Ends; N],
}

impl<const N: usize> Lists<N> {
    pub fn new(key_count: usize) -> Self {
        let node = Node {
            newer: NONE,
            older: NONE,
            size: 0,
            list: N as u8,
        };
        let ends = Ends {
            head: NONE,
            tail: NONE,
            used: 0,
        };
        Lists {
            nodes: vec![node; key_count],
            ends: [ends; N],
        }
    }

    /// The list that a key is on.
    pub fn of(&self, key: u32) -> Option<usize> {
        let list = usize::from(self.nodes[key as usize].list);
        (list < N).then_some(list)
    }

    /// The sum of the sizes of a list's keys.
    pub fn used(&self, list: usize) -> u64 {
        self.ends[list].used
    }

    pub fn tail(&self, list: usize) -> Option<u32> {
        let tail = self.ends[list].tail;
        (tail != NONE).then_some(tail)
    }

    pub fn size(&self, key: u32) -> u64 {
        self.nodes[key as usize].size
    }

    /// Takes a key off its list.
    pub fn remove(&mut self, key: u32) {
        let node = self.nodes[key as usize];
        let ends = &mut self.ends[usize::from(node.list)];
        ends.used -= node.size;
        match node.newer {
            NONE => ends.head = node.older,
            newer => self.nodes[newer as usize].older = node.older,
        }
        match node.older {
            NONE => ends.tail = node.newer,
            older => self.nodes[older as usize].newer = node.newer,
        }
        self.nodes[key as usize].list = N as u8;
    }

    /// Puts a key that is on no list at the head of one.
    pub fn push_head(&mut self, list: usize, key: u32, size: u64) {
        let ends = &mut self.ends[list];
        self.nodes[key as usize] = Node {
            newer: NONE,
            older: ends.head,
            size,
            list: list as u8,
        };
        ends.used += size;
        match ends.head {
            NONE => ends.tail = key,
            head => self.nodes[head as usize].newer = key,
        }
        ends.head = key;
    }

    /// Moves a key from its list to the head of another, or of the same.
    pub fn move_to(&mut self, list: usize, key: u32) {
        let size = self.size(key);
        self.remove(key);
        self.push_head(list, key, size);
    }

    /// Takes keys off a list's tail until no more than `used_max` is on it.
    pub fn trim(&mut self, list: usize, used_max: u64) {
        while self.used(list) > used_max
            && let Some(tail) = self.tail(list)
        {
            self.remove(tail);
        }
    }
}
