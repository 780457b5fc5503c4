//! W-TinyLFU (Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", 2015), with shares that
//! do not adapt: a window of 1 %, and of the rest four fifths protected. Frequencies are exact instead of sketched.

use super::Policy;
use super::lists::Lists;

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// Frequencies are counted up to this, and halved after ten requests for each key held.
const FREQUENCY_MAX: u8 = 15;
const SAMPLE: u64 = 10;

/// A window before a segmented LRU list that takes in what was asked for more often than what it would evict.
pub struct WTinyLfu {
    window_capacity: u64,
    main_capacity: u64,
    lists: Lists<3>,
    frequencies: Vec<u8>,
    held: u64,
    requests: u64,
}

impl WTinyLfu {
    /// Room for `capacity`, in the unit of the sizes; keys are below `key_count`.
    #[must_use]
    pub fn new(capacity: u64, key_count: usize) -> Self {
        let window_capacity = (capacity / 100).max(1);
        WTinyLfu {
            window_capacity,
            main_capacity: capacity.saturating_sub(window_capacity),
            lists: Lists::new(key_count),
            frequencies: vec![0; key_count],
            held: 0,
            requests: 0,
        }
    }

    fn count(&mut self, key: u32) {
        let frequency = &mut self.frequencies[key as usize];
        *frequency = (*frequency + 1).min(FREQUENCY_MAX);
        self.requests += 1;
        if self.requests >= SAMPLE * self.held.max(100) {
            self.requests = 0;
            self.frequencies.iter_mut().for_each(|count| *count /= 2);
        }
    }

    fn evict(&mut self, key: u32) {
        self.lists.remove(key);
        self.held -= 1;
    }

    /// The window's oldest goes on to probation, or out.
    fn admit(&mut self, candidate: u32) {
        let size = self.lists.size(candidate);
        if size > self.main_capacity {
            return self.evict(candidate);
        }
        let wins = self.frequencies[candidate as usize];
        while self.lists.used(PROBATION) + self.lists.used(PROTECTED) + size > self.main_capacity {
            let tail = self.lists.tail(PROBATION);
            let Some(victim) = tail.or_else(|| self.lists.tail(PROTECTED)) else {
                break;
            };
            if self.frequencies[victim as usize] >= wins {
                return self.evict(candidate);
            }
            self.evict(victim);
        }
        self.lists.move_to(PROBATION, candidate);
    }
}

impl Policy for WTinyLfu {
    fn request(&mut self, key: u32, size: u64) -> bool {
        self.count(key);
        match self.lists.of(key) {
            Some(WINDOW) => self.lists.move_to(WINDOW, key),
            Some(_) => {
                self.lists.move_to(PROTECTED, key);
                while self.lists.used(PROTECTED) > self.main_capacity / 5 * 4
                    && let Some(tail) = self.lists.tail(PROTECTED)
                    && tail != key
                {
                    self.lists.move_to(PROBATION, tail);
                }
            }
            None => {
                let size = size.max(1);
                if size > self.window_capacity + self.main_capacity {
                    return false;
                }
                self.lists.push_head(WINDOW, key, size);
                self.held += 1;
                while self.lists.used(WINDOW) > self.window_capacity
                    && let Some(tail) = self.lists.tail(WINDOW)
                {
                    self.admit(tail);
                }
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_often_is_not_displaced_by_what_is_not() {
        let mut cache = WTinyLfu::new(100, 10_000);
        for _ in 0..5 {
            (0..90).for_each(|key| {
                cache.request(key, 1);
            });
        }
        (1000..1500).for_each(|key| {
            cache.request(key, 1);
            let held = [WINDOW, PROBATION, PROTECTED].map(|list| cache.lists.used(list));
            assert!(held.iter().sum::<u64>() <= 100, "{held:?}");
        });
        let kept = (0..90).filter(|&key| cache.request(key, 1)).count();
        assert_eq!(kept, 90);
    }
}
