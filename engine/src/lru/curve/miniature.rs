//! One small cache without values, of a sample of the keys, under the policy of the real lists. Pure policy.
//!
//! ```text
//!   chains ──► entries: hash, bytes, deadline │ left, standing, marks, links
//!                 on one of    probation ─► main        items
//!                              ghosts                   what left probation
//!                              free                     nobody
//! ```
//!
//! Three lists are linked through the entries, so that an item can leave from the middle: when it is deleted, or when it
//! stops being of the sample. The number of entries is fixed. If they do not suffice, the oldest ghost goes first, and
//! then the sample becomes rarer.
//!
//! Sizes are the caller's. Knows no shards and no size classes: there is one list of each kind.

use static_assertions::const_assert_eq;

use crate::lru::segments::{self, Eviction, Held, MARKS_MAX, Segment, Verdict};
use crate::lru::trials::Tuning;

/// Nothing: links and chains have an entry's number and one, or this.
const NONE: u16 = 0;

/// Ghosts count bytes in units of so many, so that a number of four bytes lasts.
const LEFT_SHIFT: u32 = 4;

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Standing {
    #[default]
    Free,
    Held(Segment),
    Ghost,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    hash: u64,
    bytes: u32,
    /// Of an item, the second at which it expires, or 0. Of a ghost, the clock when it left.
    when: u32,
    /// The next of its chain, or of those that are free.
    chain: u16,
    newer: u16,
    older: u16,
    standing: Standing,
    /// Its marks, and [`AHEAD`].
    marks: u8,
}

const_assert_eq!(size_of::<Entry>(), 24);

/// The real cache missed the item and this one did not: the store that follows is none here.
const AHEAD: u8 = 1 << 7;

impl Entry {
    fn marks(&self) -> u32 {
        u32::from(self.marks & !AHEAD)
    }
}

#[derive(Clone, Copy, Default)]
struct List {
    newest: u16,
    oldest: u16,
    len: usize,
    bytes: u64,
}

/// What all miniatures go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub eviction: Eviction,
    pub tuning: Tuning,
    /// The real cache's shards, each of which keeps a few items on probation in any case.
    pub shard_count: usize,
}

/// An item as it is asked for or stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub hash: u64,
    pub bytes: u32,
    /// The second at which it expires, or 0.
    pub deadline: u32,
}

/// The small cache.
pub(super) struct Miniature {
    entries: Box<[Entry]>,
    chains: Box<[u16]>,
    free: u16,
    lists: [List; 3],
    /// Bytes that left probation: the clock of the ghosts.
    left: u64,
    /// Bytes that had to leave since the sample was made larger.
    evicted: u64,
    /// Bytes of the cache that this one stands for.
    whole_bytes: u64,
    /// Keys whose bits are no more than this are of the sample.
    limit: u32,
    /// Of those, keys whose bits are no more than this have been so for long enough to count.
    counted: u32,
}

const GHOSTS: usize = 2;

/// The bits that decide whether a key is of a sample: the upper ones of those that buckets go by.
#[inline(always)]
pub(super) fn sampled_by(hash: u64) -> u32 {
    hash as u32
}

impl Miniature {
    /// Bytes on the heap.
    pub const fn heap_bytes(entries: usize) -> usize {
        entries * (size_of::<Entry>() + size_of::<u16>())
    }

    pub fn new(entries: usize) -> Self {
        let entries = entries.clamp(1, usize::from(u16::MAX) - 1);
        let mut miniature = Miniature {
            entries: vec![Entry::default(); entries].into_boxed_slice(),
            chains: vec![NONE; entries].into_boxed_slice(),
            free: NONE,
            lists: [List::default(); 3],
            left: 0,
            evicted: 0,
            whole_bytes: 0,
            limit: 0,
            counted: 0,
        };
        miniature.clear();
        miniature
    }

    /// Forgets all items and ghosts.
    pub fn clear(&mut self) {
        let count = self.entries.len() as u16;
        for (at, entry) in self.entries.iter_mut().enumerate() {
            let next = at as u16 + 2;
            *entry = Entry {
                chain: if next <= count { next } else { NONE },
                ..Entry::default()
            };
        }
        self.chains.fill(NONE);
        self.free = 1;
        self.lists = [List::default(); 3];
        self.evicted = 0;
    }

    /// The keys whose bits are no more than this are of the sample.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The keys whose bits are no more than this count.
    pub fn counted(&self) -> u32 {
        self.counted
    }

    /// Whether something had to leave since the sample is what it is.
    pub fn is_full(&self) -> bool {
        self.evicted > 0
    }

    /// Bytes of the cache that it stands for.
    pub fn whole_bytes(&self) -> u64 {
        self.whole_bytes
    }

    fn held(&self) -> usize {
        self.lists[0].len + self.lists[1].len
    }

    fn held_bytes(&self) -> u64 {
        self.lists[0].bytes + self.lists[1].bytes
    }

    /// Its share of the whole cache's bytes.
    fn capacity(&self) -> u64 {
        ((u128::from(self.whole_bytes) * (u128::from(self.limit) + 1)) >> u32::BITS) as u64
    }

    /// The cache that it stands for holds so many bytes, and the sample is to be this one.
    pub fn resize(&mut self, whole_bytes: u64, limit: u32, rules: &Rules) {
        self.whole_bytes = whole_bytes;
        if limit < self.limit {
            self.thin(limit);
        } else if limit > self.limit {
            self.limit = limit;
            // Keys that are new to the sample are missed once although the cache has them. They count after all that
            // is here has been replaced.
            if self.evicted == 0 {
                self.counted = limit;
            }
            self.evicted = 0;
        }
        self.fit(0, rules);
    }

    /// A key of the sample was asked for: whether it is held. `is_there`: the real cache has it, and this one gets it
    /// if it has not.
    pub fn ask(&mut self, item: Item, is_there: bool, now_secs: u32, rules: &Rules) -> bool {
        if let Some(at) = self.find(item.hash)
            && let Standing::Held(_) = self.entries[at].standing
        {
            let entry = &mut self.entries[at];
            if is_there {
                entry.when = item.deadline;
            } else if entry.when != 0 && entry.when <= now_secs {
                self.release(at);
                return false;
            }
            let entry = &mut self.entries[at];
            let marks = (entry.marks() + 1).min(MARKS_MAX) as u8;
            entry.marks = if is_there { marks } else { marks | AHEAD };
            return true;
        }
        if is_there {
            self.enter(item, rules);
        }
        false
    }

    /// An item was stored.
    pub fn store(&mut self, item: Item, rules: &Rules) {
        let Some(at) = self.find(item.hash) else {
            self.enter(item, rules);
            return;
        };
        let Standing::Held(segment) = self.entries[at].standing else {
            self.enter(item, rules);
            return;
        };
        let entry = self.entries[at];
        self.take_off(at);
        let changed = &mut self.entries[at];
        (changed.bytes, changed.when) = (item.bytes, item.deadline);
        if entry.marks & AHEAD != 0 {
            changed.marks &= !AHEAD;
            // To the place where it was.
            self.put_back(at, segment as usize, entry.newer, entry.older);
        } else {
            changed.marks = rules.eviction.marks_after_store(entry.marks()) as u8;
            self.push(at, segment as usize);
        }
        self.fit(0, rules);
    }

    /// An item was deleted.
    pub fn delete(&mut self, hash: u64) {
        if let Some(at) = self.find(hash)
            && let Standing::Held(_) = self.entries[at].standing
        {
            self.release(at);
        }
    }

    /// A new item.
    fn enter(&mut self, item: Item, rules: &Rules) {
        let mut returns = false;
        if let Some(ghost) = self.find(item.hash) {
            returns = rules.eviction != Eviction::Lru && self.is_remembered(ghost);
            self.release(ghost);
        }
        self.fit(u64::from(item.bytes), rules);
        while self.free == NONE {
            let oldest_ghost = self.lists[GHOSTS].oldest;
            if let Some(at) = usize::from(oldest_ghost).checked_sub(1) {
                self.release(at);
                continue;
            }
            self.thin(self.limit - self.limit / 8 - 1);
            if sampled_by(item.hash) > self.limit {
                return;
            }
        }
        let at = usize::from(self.free) - 1;
        let chain = self.chain_of(item.hash);
        self.free = self.entries[at].chain;
        self.entries[at] = Entry {
            hash: item.hash,
            bytes: item.bytes,
            when: item.deadline,
            chain: std::mem::replace(&mut self.chains[chain], at as u16 + 1),
            ..Entry::default()
        };
        let segment = rules.eviction.enters(returns);
        self.entries[at].standing = Standing::Held(segment);
        self.push(at, segment as usize);
    }

    /// Evicts until `more` fit.
    fn fit(&mut self, more: u64, rules: &Rules) {
        let capacity = self.capacity();
        while self.held() > 0 && self.held_bytes() + more > capacity {
            self.evict(rules);
        }
        if self.evicted >= capacity {
            self.counted = self.limit;
        }
        self.counted = self.counted.min(self.limit);
        // Ghosts that nobody would take for one are in the way.
        while let Some(at) = usize::from(self.lists[GHOSTS].oldest).checked_sub(1)
            && !self.is_remembered(at)
        {
            self.release(at);
        }
    }

    /// Takes one item out, as the real lists would.
    fn evict(&mut self, rules: &Rules) {
        let of = |list: &List| Held {
            items: list.len,
            bytes: list.bytes,
        };
        // What stands for one shard's part of the cache.
        let sampled = (u64::from(self.limit) + 1) * rules.shard_count as u64;
        let in_shard = |held: Held| Held {
            items: (((held.items as u64) << u32::BITS) / sampled) as usize,
            bytes: ((u128::from(held.bytes) << u32::BITS) / u128::from(sampled)) as u64,
        };
        let [probation, main] = [&self.lists[0], &self.lists[1]].map(|list| in_shard(of(list)));
        let mut terms = rules.eviction.terms(rules.tuning, probation, main);
        let least = (terms.probation_min as u64 * sampled) >> u32::BITS;
        terms.probation_min = (least as usize).max(1);
        // An item that stays has a mark less.
        let examined_max = self.held() * (MARKS_MAX as usize + 1);
        for examined in 0..=examined_max {
            let (probation, main) = (of(&self.lists[0]), of(&self.lists[1]));
            let Some(segment) = segments::examine(probation, main, terms) else {
                return;
            };
            let Some(at) = usize::from(self.lists[segment as usize].oldest).checked_sub(1) else {
                return;
            };
            let marks = self.entries[at].marks();
            let bytes = u64::from(self.entries[at].bytes);
            let tuning = terms.of_item(bytes, probation.and(main));
            match segments::judge(rules.eviction, segment, marks, tuning) {
                Verdict::Keep { marks } if examined < examined_max => {
                    self.take_off(at);
                    self.entries[at].standing = Standing::Held(Segment::Main);
                    let ahead = self.entries[at].marks & AHEAD;
                    self.entries[at].marks = marks as u8 | ahead;
                    self.push(at, Segment::Main as usize);
                    if segment == Segment::Main {
                        terms.probation_min = 0;
                    }
                }
                _ => {
                    self.leave(at, segment);
                    return;
                }
            }
        }
    }

    fn leave(&mut self, at: usize, segment: Segment) {
        let bytes = u64::from(self.entries[at].bytes);
        self.evicted += bytes;
        if segment == Segment::Main {
            self.release(at);
            return;
        }
        self.left += bytes;
        self.take_off(at);
        let entry = &mut self.entries[at];
        entry.standing = Standing::Ghost;
        entry.when = (self.left >> LEFT_SHIFT) as u32;
        entry.marks = 0;
        self.push(at, GHOSTS);
    }

    /// As many bytes as are held left since: then it is forgotten.
    fn is_remembered(&self, ghost: usize) -> bool {
        let left = (self.left >> LEFT_SHIFT) as u32;
        let since = u64::from(left.wrapping_sub(self.entries[ghost].when));
        since << LEFT_SHIFT <= self.held_bytes()
    }

    /// Keys above a limit are not of the sample any more.
    fn thin(&mut self, limit: u32) {
        self.limit = limit;
        self.counted = self.counted.min(limit);
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            if entry.standing != Standing::Free && sampled_by(entry.hash) > limit {
                self.release(at);
            }
        }
    }

    fn chain_of(&self, hash: u64) -> usize {
        // By bits that do not decide on the sample.
        ((hash >> u32::BITS) as usize * self.chains.len()) >> u32::BITS
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let mut next = self.chains[self.chain_of(hash)];
        while let Some(at) = usize::from(next).checked_sub(1) {
            let entry = &self.entries[at];
            if entry.hash == hash {
                return Some(at);
            }
            next = entry.chain;
        }
        None
    }

    /// Takes an entry off its list and its chain.
    fn release(&mut self, at: usize) {
        self.take_off(at);
        let number = at as u16 + 1;
        let Entry { hash, chain, .. } = self.entries[at];
        let first = self.chain_of(hash);
        if self.chains[first] == number {
            self.chains[first] = chain;
        } else {
            let mut before = usize::from(self.chains[first]) - 1;
            while self.entries[before].chain != number {
                before = usize::from(self.entries[before].chain) - 1;
            }
            self.entries[before].chain = chain;
        }
        self.entries[at] = Entry {
            chain: std::mem::replace(&mut self.free, number),
            ..Entry::default()
        };
    }

    fn list_of(&self, at: usize) -> usize {
        match self.entries[at].standing {
            Standing::Held(segment) => segment as usize,
            _ => GHOSTS,
        }
    }

    /// To the newest end of a list.
    fn push(&mut self, at: usize, list: usize) {
        self.put_back(at, list, NONE, self.lists[list].newest);
    }

    fn put_back(&mut self, at: usize, list: usize, newer: u16, older: u16) {
        let number = at as u16 + 1;
        (self.entries[at].newer, self.entries[at].older) = (newer, older);
        match usize::from(older).checked_sub(1) {
            Some(older) => self.entries[older].newer = number,
            None => self.lists[list].oldest = number,
        }
        match usize::from(newer).checked_sub(1) {
            Some(newer) => self.entries[newer].older = number,
            None => self.lists[list].newest = number,
        }
        self.lists[list].len += 1;
        self.lists[list].bytes += u64::from(self.entries[at].bytes);
    }

    fn take_off(&mut self, at: usize) {
        let list = self.list_of(at);
        let Entry {
            newer,
            older,
            bytes,
            ..
        } = self.entries[at];
        match usize::from(older).checked_sub(1) {
            Some(older) => self.entries[older].newer = newer,
            None => self.lists[list].oldest = newer,
        }
        match usize::from(newer).checked_sub(1) {
            Some(newer) => self.entries[newer].older = older,
            None => self.lists[list].newest = older,
        }
        self.lists[list].len -= 1;
        self.lists[list].bytes -= u64::from(bytes);
    }
}
