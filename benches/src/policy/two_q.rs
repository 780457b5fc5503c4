//! 2Q (Johnson and Shasha, VLDB 1994), the full version with the paper's shares: a quarter for new keys, ghosts of half
//! the capacity.
//!
//! A hit on a new key says nothing, however many there are: only who comes back after it left enters the main list.

use super::Policy;
use super::lists::Lists;

const NEW: usize = 0;
const MAIN: usize = 1;
const GHOSTS: usize = 2;

/// A queue of new keys, ghosts, and an LRU list.
pub struct TwoQ {
    capacity: u64,
    lists: Lists<3>,
}

impl TwoQ {
    /// Room for `capacity`, in the unit of the sizes; keys are below `key_count`.
    #[must_use]
    pub fn new(capacity: u64, key_count: usize) -> Self {
        TwoQ {
            capacity,
            lists: Lists::new(key_count),
        }
    }

    fn make_room(&mut self, size: u64) {
        let lists = &mut self.lists;
        while lists.used(NEW) + lists.used(MAIN) + size > self.capacity {
            let new_is_long = lists.used(NEW) > self.capacity / 4;
            if let Some(tail) = lists.tail(NEW)
                && (new_is_long || lists.tail(MAIN).is_none())
            {
                lists.move_to(GHOSTS, tail);
                lists.trim(GHOSTS, self.capacity / 2);
            } else if let Some(tail) = lists.tail(MAIN) {
                lists.remove(tail);
            }
        }
    }
}

impl Policy for TwoQ {
    fn request(&mut self, key: u32, size: u64) -> bool {
        let size = size.max(1);
        if size > self.capacity {
            return false;
        }
        match self.lists.of(key) {
            Some(NEW) => return true,
            Some(MAIN) => {
                self.lists.move_to(MAIN, key);
                return true;
            }
            Some(_) => {
                self.lists.remove(key);
                self.make_room(size);
                self.lists.push_head(MAIN, key, size);
            }
            None => {
                self.make_room(size);
                self.lists.push_head(NEW, key, size);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_stays() {
        let mut cache = TwoQ::new(40, 1000);
        // Twenty keys leave the queue of ten, come back while they are remembered, and outlast a scan.
        (0..20).chain(100..140).chain(0..20).for_each(|key| {
            cache.request(key, 1);
        });
        (500..900).for_each(|key| {
            cache.request(key, 1);
        });
        let kept = (0..20).filter(|&key| cache.request(key, 1)).count();
        assert!(kept >= 18, "{kept}");
    }

    #[test]
    fn hits_on_a_new_key_say_nothing() {
        let mut cache = TwoQ::new(40, 1000);
        (0..9).for_each(|_| {
            cache.request(0, 1);
        });
        (100..200).for_each(|key| {
            cache.request(key, 1);
        });
        assert!(!cache.request(0, 1));
    }
}
