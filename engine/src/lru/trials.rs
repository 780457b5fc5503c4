//! Which tuning of the two lists suits what is asked for: a few are tried on a sample of the keys. Pure policy.
//!
//! ```text
//!   keys, one in 2^n ──► known keys: hash, and for each trial where it would be
//!                          ├─ trial 0: probation ─► main, ghosts   misses
//!                          ├─ trial 1: …                           misses
//!                          └─ …
//! ```
//!
//! A cache of a 2^n-th of the items, asked for a 2^n-th of the keys, misses about as often as the whole one does under the
//! same policy (Waldspurger et al., "Cache modeling and optimization using miniature simulations", ATC 2017). So
//! there is a small cache of no values for each of [`TUNINGS`], all are asked for the same keys, and the one that
//! missed least of late says what the real lists do. No gradient is followed and nothing has to be guessed from ghosts:
//! a loop, a scan, bursts that end, a working set that moves, each has a tuning that is good at it, and it wins.
//!
//! **What is noted.** The keys of items that are stored and were not there, and of hits that mark their item. A hit on an
//! item with all its marks is not: it writes nothing anywhere, and must not begin to. All trials are asked for the same
//! keys, so none has an advantage by it, and who is asked for often is noted again whenever its item was examined.
//!
//! **Sizes count for nothing.** A trial holds items, not bytes: so many as the cache has for each in the sample.
//!
//! Knows no lock, no clock and no randomness: the same keys lead to the same choice.

use static_assertions::const_assert;

use super::segments::{
    self, Eviction, Held, MARKS_MAX, PROBATION_LEN_MIN, Segment, Terms, Verdict,
};
use crate::geometry::SHARD_COUNT;
use crate::hash::KeyHash;

/// What can be chosen of the two lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tuning {
    /// Probation's share of all, in percent.
    pub probation_percent: u8,
    /// Marks with which an item at probation's end moves to main. [`NEVER`]: it leaves, and only who comes back while
    /// its ghost is there enters main, as in 2Q.
    pub marks_to_main: u8,
}

/// More marks than there are.
pub(crate) const NEVER: u8 = MARKS_MAX as u8 + 1;

const fn tuning(probation_percent: u8, marks_to_main: u8) -> Tuning {
    Tuning {
        probation_percent,
        marks_to_main,
    }
}

/// What is tried, what a cache begins with first. A tenth is S3-FIFO's share. Less is better where new items
/// are worth nothing, as beside loops; a quarter or a half where what was asked for lately is what is asked for next.
/// Hits on probation say nothing where they come in bursts that end.
pub(crate) const TUNINGS: [Tuning; 6] = [
    tuning(10, 1),
    tuning(10, NEVER),
    tuning(3, 1),
    tuning(25, NEVER),
    tuning(50, 1),
    tuning(50, NEVER),
];

/// Most items that a trial holds: between so many and half of it are sampled of a cache that is larger.
const HELD_MAX: usize = 128;
/// Known keys. All that the trials hold, and a third as many ghosts, if no two held the same.
const KNOWN: usize = 1024;
const_assert!(KNOWN > TUNINGS.len() * HELD_MAX);
const CHAINS: usize = 512;

/// Keys noted between two looks at who is best.
const NOTED_A_LOOK: u32 = 16;
/// At each look a miss counts for this part less: half after a thousand keys, which is eight times what a trial holds. Less
/// than four, and a trace of scans whose loops are longer is decided by its last loop.
const FORGETTING: u32 = 92;
/// What a miss counts for at first.
const MISS: u32 = 1 << 10;
/// A trial is better if it missed at least two in a hundred less, and at least four keys: it costs something to change,
/// and two that are as good as one another would go to and fro.
const CLEARLY: u32 = 50;
const CLEARLY_MISSES: u32 = 4 * MISS;

/// Where a key would be in a trial: two bits say on which list, the others its marks, or, of a ghost, when it left.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct State(u16);

const KIND_SHIFT: u32 = 14;
const LEFT_MASK: u16 = (1 << KIND_SHIFT) - 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unknown,
    Held { segment: Segment, marks: u32 },
    Ghost { left: u16 },
}

impl State {
    fn held(segment: Segment, marks: u32) -> State {
        State((1 + segment as u16) << KIND_SHIFT | marks as u16)
    }

    fn ghost(left: u16) -> State {
        State(3 << KIND_SHIFT | left & LEFT_MASK)
    }

    fn standing(self) -> Standing {
        let rest = self.0 & LEFT_MASK;
        let segment = match self.0 >> KIND_SHIFT {
            0 => return Standing::Unknown,
            3 => return Standing::Ghost { left: rest },
            1 => Segment::Probation,
            _ => Segment::Main,
        };
        let marks = u32::from(rest);
        Standing::Held { segment, marks }
    }
}

/// A key of the sample.
#[derive(Clone, Copy, Default)]
struct Known {
    id: u32,
    /// What decides whether it is still of the sample.
    sampled_by: u32,
    /// The next of its chain, or of those that are free: its number and one, or 0.
    next: u16,
    is_used: bool,
    states: [State; TUNINGS.len()],
}

/// Numbers of known keys, the oldest first.
#[derive(Clone, Copy)]
struct Queue {
    keys: [u16; HELD_MAX],
    first: usize,
    len: usize,
}

impl Queue {
    const EMPTY: Queue = Queue {
        keys: [0; HELD_MAX],
        first: 0,
        len: 0,
    };

    fn push(&mut self, key: u16) {
        self.keys[(self.first + self.len) % HELD_MAX] = key;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<u16> {
        self.len = self.len.checked_sub(1)?;
        let key = self.keys[self.first];
        self.first = (self.first + 1) % HELD_MAX;
        Some(key)
    }
}

/// The small cache of one tuning.
#[derive(Clone, Copy)]
struct Trial {
    queues: [Queue; 2],
    /// Keys that left probation: the clock of the ghosts.
    left: u16,
    /// The latest count for most.
    misses: u32,
}

impl Trial {
    const EMPTY: Trial = Trial {
        queues: [Queue::EMPTY; 2],
        left: 0,
        misses: 0,
    };

    fn held(&self) -> usize {
        self.queues[0].len + self.queues[1].len
    }

    fn is_remembered(&self, left: u16, capacity: usize) -> bool {
        usize::from(self.left.wrapping_sub(left) & LEFT_MASK) <= capacity
    }

    /// A key is asked for.
    fn ask(&mut self, tuning_no: usize, key: u16, known: &mut [Known; KNOWN], capacity: usize) {
        let state = known[usize::from(key)].states[tuning_no];
        let returns = match state.standing() {
            Standing::Held { segment, marks } => {
                let marked = State::held(segment, (marks + 1).min(MARKS_MAX));
                known[usize::from(key)].states[tuning_no] = marked;
                return;
            }
            Standing::Ghost { left } => self.is_remembered(left, capacity),
            Standing::Unknown => false,
        };
        self.misses += MISS;
        while self.held() >= capacity {
            self.evict(tuning_no, known);
        }
        let segment = Eviction::S3Fifo.enters(returns);
        self.queues[segment as usize].push(key);
        known[usize::from(key)].states[tuning_no] = State::held(segment, 0);
    }

    /// Takes one key out, as the real lists would.
    fn evict(&mut self, tuning_no: usize, known: &mut [Known; KNOWN]) {
        let tuning = TUNINGS[tuning_no];
        let terms = Terms {
            tuning,
            probation_min: PROBATION_LEN_MIN,
        };
        // Whoever stays has a mark less.
        let examined_max = self.held() * (MARKS_MAX as usize + 1);
        for examined in 0..=examined_max {
            let [probation, main] = self.queues.map(|queue| Held {
                items: queue.len,
                bytes: queue.len as u64,
            });
            let Some(segment) = segments::examine(probation, main, terms) else {
                return;
            };
            let Some(key) = self.queues[segment as usize].pop() else {
                return;
            };
            let state = &mut known[usize::from(key)].states[tuning_no];
            let Standing::Held { marks, .. } = state.standing() else {
                continue;
            };
            match segments::judge(Eviction::S3Fifo, segment, marks, tuning) {
                Verdict::Keep { marks } if examined < examined_max => {
                    *state = State::held(Segment::Main, marks);
                    self.queues[Segment::Main as usize].push(key);
                }
                _ if segment == Segment::Probation => {
                    self.left = self.left.wrapping_add(1);
                    *state = State::ghost(self.left);
                    return;
                }
                _ => {
                    *state = State::default();
                    return;
                }
            }
        }
    }

    /// Lets go of the keys that `stays` says no to.
    fn retain(&mut self, stays: impl Fn(u16) -> bool) {
        for queue in &mut self.queues {
            for _ in 0..queue.len {
                if let Some(key) = queue.pop()
                    && stays(key)
                {
                    queue.push(key);
                }
            }
        }
    }
}

/// The trials, and which tuning they recommend.
pub(crate) struct Trials {
    known: [Known; KNOWN],
    chains: [u16; CHAINS],
    free: u16,
    /// Where the next look for keys that nobody needs begins.
    hand: usize,
    trials: [Trial; TUNINGS.len()],
    /// One key in 2^this is sampled.
    rarity: u32,
    /// Items of the shards, as far as they have told, and their sum.
    items: [u32; SHARD_COUNT],
    items_all: u64,
    noted: u32,
    chosen: usize,
    changes: u64,
}

/// The bits by which the keys of a sample are told apart: not only by those of which all of a sample have the same.
fn id_of(hash: KeyHash) -> u32 {
    let number = hash.number();
    number as u32 ^ (number >> 41) as u32
}

/// The bits that decide whether a key is of the sample. No bucket, tag or shard goes by the highest of them.
#[inline(always)]
pub(crate) fn sampled_by(hash: KeyHash) -> u32 {
    (hash.number() >> 9) as u32
}

impl Trials {
    pub fn new() -> Self {
        let mut trials = Trials {
            known: [Known::default(); KNOWN],
            chains: [0; CHAINS],
            free: 1,
            hand: 0,
            trials: [Trial::EMPTY; TUNINGS.len()],
            rarity: 0,
            items: [0; SHARD_COUNT],
            items_all: 0,
            noted: 0,
            chosen: 0,
            changes: 0,
        };
        for (at, known) in trials.known.iter_mut().enumerate() {
            known.next = (at as u16 + 2) % (KNOWN as u16 + 1);
        }
        trials
    }

    /// The keys whose [`sampled_by`] is no more than this are to be noted.
    pub fn limit(&self) -> u32 {
        u32::MAX >> self.rarity
    }

    /// The number of the tuning that is best.
    pub fn chosen(&self) -> usize {
        self.chosen
    }

    /// How often that has been another.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// A key of the sample was asked for, in a shard that holds so many items, and has had to evict some already.
    pub fn note(&mut self, hash: KeyHash, items: usize, is_full: bool) {
        let mirror = &mut self.items[hash.shard_no()];
        self.items_all += items as u64;
        self.items_all -= u64::from(std::mem::replace(mirror, items as u32));
        while self.items_all >> self.rarity > HELD_MAX as u64 && self.rarity < u32::BITS - 1 {
            self.rarity += 1;
            self.thin();
        }
        if sampled_by(hash) > self.limit() {
            return;
        }
        // Before anything had to leave, nothing has to here.
        let capacity = match is_full {
            true => ((self.items_all >> self.rarity) as usize).clamp(1, HELD_MAX),
            false => HELD_MAX,
        };
        // One look for each key that comes finds all outdated ghosts long before they would seem new again.
        self.forget_next(capacity, false);
        let key = self.know(hash, capacity);
        for (tuning_no, trial) in self.trials.iter_mut().enumerate() {
            trial.ask(tuning_no, key, &mut self.known, capacity);
        }
        self.noted += 1;
        if self.noted.is_multiple_of(NOTED_A_LOOK) {
            self.choose();
        }
    }

    /// The best tuning, if it is clearly better than the chosen one.
    fn choose(&mut self) {
        let own = self.trials[self.chosen].misses;
        let least = (0..TUNINGS.len()).min_by_key(|&at| self.trials[at].misses);
        if let Some(best) = least {
            let less = own - self.trials[best].misses;
            if less > own / CLEARLY && less > CLEARLY_MISSES {
                self.chosen = best;
                self.changes += 1;
            }
        }
        for trial in &mut self.trials {
            trial.misses -= trial.misses / FORGETTING;
        }
        // What a smaller cache would sample less of.
        if self.rarity > 0 && (self.items_all >> self.rarity) < HELD_MAX as u64 / 4 {
            self.rarity -= 1;
        }
    }

    /// The number of a key, which is known from now on.
    fn know(&mut self, hash: KeyHash, capacity: usize) -> u16 {
        let id = id_of(hash);
        let chain = id as usize % CHAINS;
        let mut at = self.chains[chain];
        while let Some(key) = at.checked_sub(1) {
            let known = &self.known[usize::from(key)];
            if known.id == id {
                return key;
            }
            at = known.next;
        }
        while self.free == 0 {
            self.forget_next(capacity, true);
        }
        let key = self.free - 1;
        let known = &mut self.known[usize::from(key)];
        self.free = known.next;
        *known = Known {
            id,
            sampled_by: sampled_by(hash),
            next: std::mem::replace(&mut self.chains[chain], key + 1),
            is_used: true,
            ..Known::default()
        };
        key
    }

    /// Forgets the key under the hand if no trial holds it or, unless `in_need`, has a ghost of it.
    fn forget_next(&mut self, capacity: usize, in_need: bool) {
        let key = self.hand;
        self.hand = (self.hand + 1) % KNOWN;
        let known = &mut self.known[key];
        if !known.is_used {
            return;
        }
        let mut is_needed = false;
        for (state, trial) in known.states.iter_mut().zip(&self.trials) {
            match state.standing() {
                Standing::Unknown => {}
                Standing::Held { .. } => is_needed = true,
                Standing::Ghost { left } if trial.is_remembered(left, capacity) => {
                    is_needed |= !in_need;
                }
                Standing::Ghost { .. } => *state = State::default(),
            }
        }
        if !is_needed {
            self.forget(key as u16);
        }
    }

    /// Takes a key that no trial holds off its chain.
    fn forget(&mut self, key: u16) {
        let Known { id, next, .. } = self.known[usize::from(key)];
        let chain = id as usize % CHAINS;
        if self.chains[chain] == key + 1 {
            self.chains[chain] = next;
        } else {
            let mut before = self.chains[chain] - 1;
            while self.known[usize::from(before)].next != key + 1 {
                before = self.known[usize::from(before)].next - 1;
            }
            self.known[usize::from(before)].next = next;
        }
        self.known[usize::from(key)] = Known {
            next: std::mem::replace(&mut self.free, key + 1),
            ..Known::default()
        };
    }

    /// Every second key is not of the sample any more.
    fn thin(&mut self) {
        let limit = self.limit();
        let known = &self.known;
        for trial in &mut self.trials {
            trial.retain(|key| known[usize::from(key)].sampled_by <= limit);
        }
        for key in 0..KNOWN {
            if self.known[key].is_used && self.known[key].sampled_by > limit {
                self.forget(key as u16);
            }
        }
    }
}

#[cfg(test)]
mod tests;
