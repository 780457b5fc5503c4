//! ARC (Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003), by size.
//!
//! Who was asked for once is on `RECENT`, more often on `FREQUENT`; who left either is remembered, and coming back says
//! which of them is too short.

use super::Policy;
use super::lists::Lists;

const RECENT: usize = 0;
const FREQUENT: usize = 1;
const RECENT_GHOSTS: usize = 2;
const FREQUENT_GHOSTS: usize = 3;

/// Two lists and their ghosts.
pub struct Arc {
    capacity: u64,
    /// What `RECENT` should hold.
    recent_target: u64,
    lists: Lists<4>,
}

impl Arc {
    /// Room for `capacity`, in the unit of the sizes; keys are below `key_count`.
    #[must_use]
    pub fn new(capacity: u64, key_count: usize) -> Self {
        Arc {
            capacity,
            recent_target: 0,
            lists: Lists::new(key_count),
        }
    }

    fn make_room(&mut self, size: u64, was_frequent: bool) {
        let lists = &mut self.lists;
        while lists.used(RECENT) + lists.used(FREQUENT) + size > self.capacity {
            let recent = lists.used(RECENT);
            let from_recent = recent > self.recent_target
                || (was_frequent && recent == self.recent_target)
                || lists.tail(FREQUENT).is_none();
            let (from, ghosts) = if from_recent && lists.tail(RECENT).is_some() {
                (RECENT, RECENT_GHOSTS)
            } else {
                (FREQUENT, FREQUENT_GHOSTS)
            };
            let Some(tail) = lists.tail(from) else {
                return;
            };
            lists.move_to(ghosts, tail);
        }
    }
}

impl Policy for Arc {
    fn request(&mut self, key: u32, size: u64) -> bool {
        let size = size.max(1);
        if size > self.capacity {
            return false;
        }
        let was_on = self.lists.of(key);
        match was_on {
            Some(RECENT | FREQUENT) => {
                self.lists.move_to(FREQUENT, key);
                return true;
            }
            Some(ghosts) => {
                let recent = self.lists.used(RECENT_GHOSTS);
                let frequent = self.lists.used(FREQUENT_GHOSTS);
                if ghosts == RECENT_GHOSTS {
                    let step = size.max(size * frequent / recent);
                    self.recent_target = (self.recent_target + step).min(self.capacity);
                } else {
                    let step = size.max(size * recent / frequent);
                    self.recent_target = self.recent_target.saturating_sub(step);
                }
                self.lists.remove(key);
                self.make_room(size, ghosts == FREQUENT_GHOSTS);
                self.lists.push_head(FREQUENT, key, size);
            }
            None => {
                self.make_room(size, false);
                self.lists.push_head(RECENT, key, size);
            }
        }
        let lists = &mut self.lists;
        let held = lists.used(RECENT) + lists.used(FREQUENT);
        lists.trim(RECENT_GHOSTS, self.capacity - lists.used(RECENT));
        let all = 2 * self.capacity - held - lists.used(RECENT_GHOSTS);
        lists.trim(FREQUENT_GHOSTS, all);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_leaves_what_was_asked_for_twice() {
        let mut cache = Arc::new(100, 10_000);
        for round in 0..3 {
            for key in 0..80 {
                assert_eq!(cache.request(key, 1), round > 0, "{key}");
            }
        }
        (1000..9000).for_each(|key| {
            cache.request(key, 1);
        });
        let kept = (0..80).filter(|&key| cache.request(key, 1)).count();
        assert_eq!(kept, 80);
    }

    #[test]
    fn what_comes_back_to_the_recent_makes_room_there() {
        let mut cache = Arc::new(100, 10_000);
        // Ninety that are asked for often leave room for ten; then forty at a time that come once more, soon.
        for _ in 0..3 {
            (0..90).for_each(|key| {
                cache.request(key, 1);
            });
        }
        assert_eq!(cache.recent_target, 0);
        for round in 10..60 {
            (0..40).chain(0..40).for_each(|key| {
                cache.request(100 * round + key, 1);
            });
        }
        assert!(cache.recent_target > 10, "{}", cache.recent_target);
        let held = cache.lists.used(RECENT) + cache.lists.used(FREQUENT);
        assert!(held <= 100, "{held}");
    }
}
