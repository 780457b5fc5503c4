//! Traces that are made: each family is one thing that traffic does, on its own or over a steady background. Seeded, so
//! that each run plays the same requests.
//!
//! They have about a tenth of their keys' capacity in mind: loops are a little shorter and longer than that, hot sets a
//! little larger.

use std::collections::HashMap;

use crate::keys::zipf;
use crate::rng::Rng;
use crate::trace::{Request, Trace};

/// Requests of each.
const REQUESTS: usize = 400_000;

/// A name, and what makes its requests.
type Family = (&'static str, fn(&mut Maker));

const FAMILIES: [Family; 8] = [
    ("zipf", steady),
    ("churn", churn),
    ("shift", shift),
    ("weekly", weekly),
    ("loops", loops),
    ("scans", scans),
    ("batch", batch),
    ("sessions", sessions),
];

/// The names of the families.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.into_iter().map(|(name, _)| name)
}

/// The trace of a family.
#[must_use]
pub fn trace(name: &str) -> Option<Trace> {
    let (_, family) = FAMILIES.iter().find(|(known, _)| *known == name)?;
    let mut maker = Maker {
        rng: Rng::new(11),
        keys: Vec::with_capacity(REQUESTS),
    };
    family(&mut maker);
    Some(maker.finish())
}

/// Requests in the making; a key is any number.
struct Maker {
    rng: Rng,
    keys: Vec<u64>,
}

/// Keys of different kinds never meet.
fn key_of(kind: u64, number: u64) -> u64 {
    kind << 40 | number
}

impl Maker {
    fn ask(&mut self, kind: u64, number: u64) {
        self.keys.push(key_of(kind, number));
    }

    /// Whether something happens that happens in `percent` of a hundred cases.
    fn happens(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    /// Popular numbers below `bound`, as many as there are requests.
    fn popular(&mut self, bound: u32, exponent: f64) -> Box<[u32]> {
        zipf(bound, exponent, REQUESTS, self.rng.bits())
    }

    fn finish(self) -> Trace {
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        let requests = self.keys.iter().map(|&key| {
            let next = numbers.len() as u32;
            let key = *numbers.entry(key).or_insert(next);
            Request { key, size: 0 }
        });
        let requests = requests.collect();
        Trace {
            requests,
            key_count: numbers.len(),
        }
    }
}

/// Nothing changes.
fn steady(maker: &mut Maker) {
    for rank in maker.popular(40_000, 0.9) {
        maker.ask(0, rank.into());
    }
}

/// Every eighth request a place in the order of popularity goes to a new key.
fn churn(maker: &mut Maker) {
    const RANKS: u32 = 30_000;
    let mut keys: Vec<u64> = (0..u64::from(RANKS)).collect();
    for (at, rank) in maker.popular(RANKS, 0.9).into_iter().enumerate() {
        if at % 8 == 0 {
            let changed = maker.rng.below(RANKS.into()) as usize;
            keys[changed] = u64::from(RANKS) + at as u64;
        }
        maker.ask(0, keys[rank as usize]);
    }
}

/// Four times, all of a sudden, other keys are popular.
fn shift(maker: &mut Maker) {
    let mut keys: Vec<u64> = (0..30_000).collect();
    for (at, rank) in maker.popular(30_000, 0.9).into_iter().enumerate() {
        if at % (REQUESTS / 5) == 0 {
            maker.rng.shuffle(&mut keys);
        }
        maker.ask(0, keys[rank as usize]);
    }
}

/// Five days one set of keys, two days another, and a third that is always asked for.
fn weekly(maker: &mut Maker) {
    const DAY: usize = REQUESTS / 35;
    for (at, rank) in maker.popular(15_000, 0.9).into_iter().enumerate() {
        let weekend = at / DAY % 7 >= 5;
        let kind = match maker.happens(20) {
            true => 0,
            false => 1 + u64::from(weekend),
        };
        maker.ask(kind, rank.into());
    }
}

/// A loop over half of the requests, first shorter than the cache, then a little longer, then much, then short again.
fn loops(maker: &mut Maker) {
    let mut at = 0;
    for (request_no, rank) in maker.popular(15_000, 0.9).into_iter().enumerate() {
        let phase = request_no / (REQUESTS / 4);
        if maker.happens(50) {
            at += 1;
            maker.ask(1, at % [1500, 3500, 7000, 1500][phase]);
        } else {
            maker.ask(0, rank.into());
        }
    }
}

/// Stretches of a table are read in its order, over a hot set.
fn scans(maker: &mut Maker) {
    let (mut at, mut left) = (0, 0);
    for rank in maker.popular(20_000, 0.9) {
        if maker.happens(30) {
            if left == 0 {
                (at, left) = (maker.rng.below(40_000), 3000);
            }
            (at, left) = (at + 1, left - 1);
            maker.ask(1, at % 40_000);
        } else {
            maker.ask(0, rank.into());
        }
    }
}

/// A job that works through all objects one after the other, each asked for four times within a few hundred requests
/// and not again before the next night; and what it looks up while doing so.
fn batch(maker: &mut Maker) {
    const AT_ONCE: usize = 60;
    let mut under_way: Vec<(u64, u32)> = Vec::new();
    let mut next = 0;
    for rank in maker.popular(10_000, 0.8) {
        if maker.happens(40) {
            maker.ask(0, rank.into());
            continue;
        }
        while under_way.len() < AT_ONCE {
            under_way.push((next % 25_000, 4));
            next += 1;
        }
        let picked = maker.rng.below(AT_ONCE as u64) as usize;
        let (object, left) = &mut under_way[picked];
        *left -= 1;
        let (object, left) = (*object, *left);
        if left == 0 {
            under_way.swap_remove(picked);
        }
        maker.ask(1, object);
    }
}

/// Visitors come, ask for their own keys about eight times, and are not seen again; some things are asked for by all.
fn sessions(maker: &mut Maker) {
    const AT_ONCE: u64 = 3000;
    let mut visitors: Vec<u64> = (0..AT_ONCE).collect();
    let mut next = AT_ONCE;
    for rank in maker.popular(5000, 0.9) {
        if maker.happens(30) {
            maker.ask(0, rank.into());
            continue;
        }
        let visitor = maker.rng.below(AT_ONCE) as usize;
        maker.ask(1, visitors[visitor]);
        if maker.rng.below(8) == 0 {
            visitors[visitor] = next;
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_makes_its_requests_and_the_same_each_time() {
        for (name, _) in FAMILIES {
            let made = trace(name).unwrap();
            assert_eq!(made.requests.len(), REQUESTS, "{name}");
            assert!(made.key_count >= 15_000, "{name}: {}", made.key_count);
            let again = trace(name).unwrap();
            let keys = |trace: &Trace| trace.requests.iter().map(|r| r.key).collect::<Vec<_>>();
            assert_eq!(keys(&made), keys(&again), "{name}");
        }
        assert!(trace("unknown").is_none());
    }
}
