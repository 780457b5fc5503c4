//! Databases: keyspaces of their own, told apart by what stands before the key.
//!
//! ```text
//! database 0     ┌ key ┐            other    ┌ database 1 │ number 3 │ key ┐
//! ```
//!
//! The *number* says how often the database had been flushed when the item was stored, so that a flush is a step of a
//! number, and nobody finds what was stored under an older one. A key of database 0 has nothing before it. Two have: one whose
//! first byte might be taken for a database, and all of them after database 0 was flushed while others were in use. So
//! what is stored tells by its first byte which kind it is, and no key can be made to look like another database's. A key of more
//! than 250 bytes has a place of its own for these 4 bytes, in each database.

use crate::geometry::SHORT_KEY_BYTES_MAX;
use parking_lot::Mutex;
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// Databases that there are.
pub const DATABASES: usize = 16;
/// Bytes before a key that has any.
pub(crate) const PREFIX_BYTES: usize = 4;
const NUMBER_SHIFT: u32 = 8;
const NUMBER_MAX: u32 = u32::MAX >> NUMBER_SHIFT;

/// What stands before a key: the database in the low byte, the number above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Space(u32);

impl Space {
    /// Nothing does. No database's number.
    pub const PLAIN: Space = Space(u32::MAX);

    const fn new(database: usize, number: u32) -> Self {
        Space(database as u32 | number << NUMBER_SHIFT)
    }

    #[inline(always)]
    pub fn is_plain(self) -> bool {
        self == Space::PLAIN
    }

    /// Whether a key's first byte looks like a database.
    #[inline(always)]
    pub fn is_like_one(bytes: &[u8]) -> bool {
        bytes
            .first()
            .is_some_and(|&first| usize::from(first) < DATABASES)
    }

    /// The space of a key whose database's is `self`: what looks like a database needs one before it, unless its place
    /// is another.
    pub fn of_key(self, bytes: &[u8]) -> Self {
        if self.is_plain() && Space::is_like_one(bytes) && bytes.len() <= SHORT_KEY_BYTES_MAX {
            Space::new(0, 0)
        } else {
            self
        }
    }

    pub fn database(self) -> usize {
        (self.0 as usize & 0xFF) % DATABASES
    }

    /// The database of a key that has this space.
    pub fn database_of_key(self) -> usize {
        if self.is_plain() { 0 } else { self.database() }
    }

    fn number(self) -> u32 {
        self.0 >> NUMBER_SHIFT
    }

    pub fn prefix(self) -> [u8; PREFIX_BYTES] {
        self.0.to_le_bytes()
    }

    #[inline(always)]
    pub fn prefix_len(self) -> usize {
        if self.is_plain() { 0 } else { PREFIX_BYTES }
    }

    /// What a key is hashed with, beside the cache's seed.
    #[inline(always)]
    pub fn seed(self) -> u64 {
        if self.is_plain() {
            0
        } else {
            (u64::from(self.0) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        }
    }

    /// One that is stored by itself.
    pub fn stored(number: u32) -> Self {
        Space(number)
    }

    /// Cuts what is stored into the space and the client's key.
    pub fn split(stored: &[u8]) -> (Space, &[u8]) {
        match stored.split_first_chunk::<PREFIX_BYTES>() {
            Some((prefix, key)) if usize::from(prefix[0]) < DATABASES => {
                (Space(u32::from_le_bytes(*prefix)), key)
            }
            _ => (Space::PLAIN, stored),
        }
    }
}

/// Which space each database has now.
pub(crate) struct Spaces {
    current: [AtomicU32; DATABASES],
    /// Whether any but database 0 was ever asked for.
    others: AtomicBool,
    /// The last number that database 0 had: it may have none now.
    first_number: AtomicU32,
    /// How often one database was flushed.
    flushes: AtomicU32,
    /// Held by who flushes, and by the first who asks for another database than 0.
    flushing: Mutex<()>,
}

/// Words in which the spaces are kept: two databases a word, and one for what else there is to know.
pub(crate) const SPACE_WORDS: usize = DATABASES / 2 + 1;

impl Default for Spaces {
    fn default() -> Self {
        let spaces = Spaces {
            current: std::array::from_fn(|database| AtomicU32::new(Space::new(database, 0).0)),
            others: AtomicBool::new(false),
            first_number: AtomicU32::new(0),
            flushes: AtomicU32::new(0),
            flushing: Mutex::new(()),
        };
        spaces.set(0, Space::PLAIN);
        spaces
    }
}

impl Spaces {
    /// The space of database 0.
    #[inline(always)]
    pub fn first(&self) -> Space {
        Space(self.current[0].load(Relaxed))
    }

    /// As [`Spaces::of_words`] reads them.
    pub fn words(&self) -> [u64; SPACE_WORDS] {
        let current = |database: usize| u64::from(self.current[database].load(Relaxed));
        std::array::from_fn(|at| match at {
            _ if at < DATABASES / 2 => current(2 * at) | current(2 * at + 1) << 32,
            _ => {
                let others = u64::from(self.others.load(Relaxed));
                u64::from(self.first_number.load(Relaxed)) | others << 32
            }
        })
    }

    /// Those that these [`words`](Spaces::words) say; `None` if they are nobody's.
    pub fn of_words(words: [u64; SPACE_WORDS]) -> Option<Spaces> {
        let spaces = Spaces::default();
        for database in 0..DATABASES {
            let space = Space((words[database / 2] >> (32 * (database % 2))) as u32);
            let is_one = if space.is_plain() {
                database == 0
            } else {
                usize::from(space.0 as u8) == database
            };
            if !is_one {
                return None;
            }
            spaces.set(database, space);
        }
        let rest = words[SPACE_WORDS - 1];
        spaces.first_number.store(rest as u32 & NUMBER_MAX, Relaxed);
        spaces.others.store(rest >> 32 != 0, Relaxed);
        Some(spaces)
    }

    /// The space of `database`; `keep` keeps them in the arena where one is asked for that never was.
    pub fn of(&self, database: usize, keep: impl FnOnce(&Spaces)) -> Space {
        // Before it holds anything, whoever flushes database 0 knows that there is more than that.
        if database > 0 && !self.others.load(Acquire) {
            let _flushing = self.flushing.lock();
            self.others.store(true, Release);
            keep(self);
        }
        Space(self.current[database % DATABASES].load(Relaxed))
    }

    fn set(&self, database: usize, space: Space) {
        self.current[database].store(space.0, Relaxed);
    }

    /// Whether an item with this space was flushed.
    pub fn is_gone(&self, space: Space) -> bool {
        let current = Space(self.current[space.database()].load(Relaxed));
        if space.is_plain() {
            return !self.first().is_plain();
        }
        space != current && !(current.is_plain() && space == Space::new(0, 0))
    }

    /// Whether an item with this space is in `database` now.
    #[inline]
    pub fn holds(&self, database: usize, space: Space) -> bool {
        space.database_of_key() == database && !self.is_gone(space)
    }

    /// How often one database was flushed.
    pub fn flushes(&self) -> u32 {
        self.flushes.load(Acquire)
    }

    /// Flushes a database by its number; `everything` empties the cache, which is called if that is the same, or the
    /// numbers have come to an end. `keep` keeps them in the arena.
    pub fn flush(&self, database: usize, everything: impl FnOnce(), keep: impl FnOnce(&Spaces)) {
        let _flushing = self.flushing.lock();
        let number = match database {
            0 => self.first_number.load(Relaxed),
            _ => Space(self.current[database].load(Relaxed)).number(),
        };
        if number == NUMBER_MAX || database == 0 && !self.others.load(Acquire) {
            everything();
            if number == NUMBER_MAX {
                self.first_number.store(0, Relaxed);
                (1..DATABASES).for_each(|database| self.set(database, Space::new(database, 0)));
            }
            self.set(0, Space::PLAIN);
            keep(self);
            return;
        }
        if database == 0 {
            self.first_number.store(number + 1, Relaxed);
        }
        self.set(database, Space::new(database, number + 1));
        keep(self);
        self.flushes.fetch_add(1, Release);
    }

    /// Flushes all: `everything` empties the cache, and `keep` keeps them in the arena.
    pub fn flush_all(&self, everything: impl FnOnce(), keep: impl FnOnce(&Spaces)) {
        let _flushing = self.flushing.lock();
        everything();
        if !self.first().is_plain() {
            self.set(0, Space::PLAIN);
            keep(self);
            // What was stored between these two is to be taken back.
            self.flushes.fetch_add(1, Release);
        }
    }
}

/// How many items of each database a shard holds. Guarded by its lock.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    /// Those that have a prefix, flushed or not.
    apart: u64,
    /// The newest space seen of each database, and how many items have it.
    newest: [(Space, u64); DATABASES],
}

impl Default for Counts {
    fn default() -> Self {
        Counts {
            apart: 0,
            newest: std::array::from_fn(|database| (Space::new(database, 0), 0)),
        }
    }
}

impl Counts {
    /// An item is there.
    #[inline(always)]
    pub fn add(&mut self, space: Space, spaces: &Spaces) {
        if !space.is_plain() {
            self.add_apart(space, spaces);
        }
    }

    #[inline(never)]
    fn add_apart(&mut self, space: Space, spaces: &Spaces) {
        self.apart += 1;
        let newest = &mut self.newest[space.database()];
        if newest.0 != space && !spaces.is_gone(space) {
            *newest = (space, 0);
        }
        if newest.0 == space {
            newest.1 += 1;
        }
    }

    /// An item is gone.
    #[inline(always)]
    pub fn remove(&mut self, space: Space) {
        if !space.is_plain() {
            self.apart -= 1;
            let newest = &mut self.newest[space.database()];
            if newest.0 == space {
                newest.1 -= 1;
            }
        }
    }

    /// Items of `database`, of `items` in all.
    pub fn of(&self, database: usize, items: u64, spaces: &Spaces) -> u64 {
        let (space, count) = self.newest[database];
        let apart = if spaces.is_gone(space) { 0 } else { count };
        if database == 0 && spaces.first().is_plain() {
            items - self.apart + apart
        } else {
            apart
        }
    }

    /// Whether they are right for items with these spaces.
    pub fn are_of(&self, spaces: impl Iterator<Item = Space> + Clone) -> bool {
        let apart = |space: &Space| !space.is_plain();
        let count = |wanted: Space| spaces.clone().filter(|&space| space == wanted).count() as u64;
        self.apart == spaces.clone().filter(apart).count() as u64
            && self
                .newest
                .iter()
                .all(|&(space, items)| count(space) == items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_looks_like_another_databases() {
        let spaces = Spaces::default();
        spaces.of(1, |_| ());
        let mut seen = std::collections::HashSet::new();
        for round in 0..3 {
            for database in 0..DATABASES {
                for key in [
                    &b"\x01\x00\x00\x00key"[..],
                    b"key",
                    b"\x00\x00\x00\x00key",
                    b"\x0f",
                ] {
                    let space = spaces.of(database, |_| ()).of_key(key);
                    let mut stored = space.prefix()[..space.prefix_len()].to_vec();
                    stored.extend_from_slice(key);
                    assert_eq!(Space::split(&stored), (space, key));
                    assert!(
                        seen.insert(stored),
                        "round {round} database {database} {key:?}"
                    );
                }
                spaces.flush(database, || unreachable!("others are in use"), |_| ());
            }
        }
    }

    #[test]
    fn numbers_end_in_a_flush_of_all() {
        let spaces = Spaces::default();
        spaces.flush(0, || (), |_| ());
        assert!(spaces.first().is_plain());
        spaces.of(1, |_| ());
        spaces.flush(0, || unreachable!(), |_| ());
        assert!(!spaces.first().is_plain() && spaces.is_gone(Space::PLAIN));
        spaces.set(3, Space::new(3, NUMBER_MAX));
        let mut all = 0;
        spaces.flush(3, || all += 1, |_| ());
        assert_eq!((all, spaces.of(3, |_| ())), (1, Space::new(3, 0)));
        assert!(spaces.first().is_plain());
    }
}
