//! What has been written: the memory against which every value read is judged.
//!
//! Each key has one writer at a time, one connection, so its versions are ordered: a reader
//! may see any version between the last one acknowledged before it asked and the last one
//! issued when the answer came. Older is a lost update, newer an invention. Absent is an
//! eviction, and only the ratios tell whether there were too many.

use crate::value::mix;

/// Keys from here on are never written: whoever finds one has found somebody else's value.
pub(super) const NEVER_WRITTEN: u32 = 0xf000_0000;
/// So many of them are in use: half-sent PUTs name them, and afterwards each is asked for.
pub(super) const NEVER_WRITTEN_COUNT: u32 = 1000;
/// Keys from here on are written without remembering: by those who never read a reply.
pub(super) const UNTRACKED: u32 = 0xe000_0000;

/// How long values are. A key's length never changes, so that the ledger need not remember it.
#[derive(Clone, Copy, Debug)]
pub enum Lengths {
    /// All the same.
    Fixed(usize),
    /// Half of them under 64 bytes, a few of 128 KiB, 2.4 KiB in the mean: what breaks slab
    /// allocators and plans that count with one size.
    Mixed,
}

impl Lengths {
    /// The length of `key`'s values.
    #[must_use]
    pub fn of(self, key: u32) -> usize {
        let dice = mix(u64::from(key), 1);
        let (low, high) = match (self, dice % 1000) {
            (Lengths::Fixed(len), _) => return len,
            (_, 0..500) => (32, 64),
            (_, 500..750) => (64, 512),
            (_, 750..900) => (512, 2 << 10),
            (_, 900..970) => (2 << 10, 16 << 10),
            (_, 970..995) => (16 << 10, 64 << 10),
            _ => (64 << 10, 128 << 10),
        };
        low + (dice >> 32) as usize % (high - low)
    }
}

/// Versions of every key, and the order in which the writers wrote.
#[derive(Default)]
pub(super) struct Ledger {
    issued: Vec<u32>,
    acked: Vec<u32>,
    log: Vec<u32>,
}

impl Ledger {
    /// A key that nobody has used.
    pub(super) fn new_key(&mut self) -> u32 {
        self.issued.push(0);
        self.acked.push(0);
        let key = (self.issued.len() - 1) as u32;
        assert!(key < UNTRACKED, "out of keys");
        key
    }

    /// The version to write next.
    pub(super) fn issue(&mut self, key: u32) -> u32 {
        let version = &mut self.issued[key as usize];
        *version += 1;
        *version
    }

    /// Remembers that a writer wrote `key` just now: it belongs to the recent ones.
    pub(super) fn log(&mut self, key: u32) {
        self.log.push(key);
    }

    /// The server has said that it stored this version.
    pub(super) fn ack(&mut self, key: u32, version: u32) {
        self.acked[key as usize] = version;
    }

    /// The newest version that the server must not have forgotten, save by evicting.
    pub(super) fn acked(&self, key: u32) -> u32 {
        self.acked.get(key as usize).copied().unwrap_or(0)
    }

    /// The newest version that can exist anywhere.
    pub(super) fn issued(&self, key: u32) -> u32 {
        self.issued.get(key as usize).copied().unwrap_or(0)
    }

    /// One of the last thousand keys written; `None` before the first.
    pub(super) fn recent(&self, dice: u64) -> Option<u32> {
        let window = self.log.len().min(1000);
        (window > 0).then(|| self.log[self.log.len() - 1 - dice as usize % window])
    }

    /// The keys written last that take `bytes` together, newest first, each once.
    pub(super) fn newest(&self, bytes: u64, lengths: Lengths) -> Vec<u32> {
        let mut seen = vec![false; self.issued.len()];
        let mut left = bytes;
        let mut keys = Vec::new();
        for &key in self.log.iter().rev() {
            if std::mem::replace(&mut seen[key as usize], true) {
                continue;
            }
            let len = (lengths.of(key) + crate::value::KEY_LEN) as u64;
            if len > left {
                break;
            }
            left -= len;
            keys.push(key);
        }
        keys
    }
}
