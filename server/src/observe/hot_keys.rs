//! Which keys are asked for most at the moment.
//!
//! ```text
//!   worker 0 ── one request in n ──► sketch 0 ─┐
//!   worker 1 ── one request in n ──► sketch 1 ─┼─ merged when somebody asks ──► HOTKEYS, stats hotkeys, /hotkeys
//!   …                                          ┘      at most once a second
//! ```
//!
//! Two errors add up. A sketch knows how far each of its counts may be too high ([`sketch`]). And a key that was sampled `s`
//! times, each time for `n` requests, was asked for `s n` times, give or take `2 n √s` in 95 of 100 cases. What is told is the middle
//! of what the sketches allow, and how far off it may be with both.
//!
//! Keys are data: what is kept and who is told of them is as in [`slow_log`](super::slow_log), and with `--hot-keys=false`
//! nothing is.

pub mod sampler;
pub mod sketch;

use std::cmp::Reverse;

use flagstone_engine::Tick;
use parking_lot::Mutex;

pub use self::sampler::Sampler;
use self::sketch::{Hot, Sketch};
use crate::observe::few::Few;

/// What was merged is told for so long.
const FRESH_MILLIS: u64 = 1000;
/// So many are told at most.
pub const TOLD_MAX: usize = 100;

/// See the module's head.
pub struct HotKeys {
    sketches: Box<[Mutex<Sketch>]>,
    merged: Mutex<Merged>,
    tells_keys: bool,
    seed: u64,
}

/// A key that is asked for much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotKey {
    /// Its hash, which is another in each process.
    pub hash: u64,
    /// Its length.
    pub len: u16,
    /// Its beginning, where keys are told.
    pub shown: Few<{ sketch::KEY_BYTES }>,
    /// How many requests were for it, about, since a moment ago.
    pub requests: u64,
    /// By how many that may be too few or too many.
    pub error: u64,
    /// Of a thousand requests so many were for it.
    pub permille: u64,
}

struct Merged {
    at: Option<Tick>,
    /// Sorted, those with the most requests first.
    keys: Vec<Hot>,
    total: u64,
    /// The most requests that a sample stands for.
    every: u64,
}

impl HotKeys {
    /// Sketches of so many places for so many workers; for none where it is off.
    #[must_use]
    pub fn new((workers, places): (usize, usize), tells_keys: bool, seed: u64) -> Self {
        HotKeys {
            sketches: (0..workers)
                .map(|_| Mutex::new(Sketch::new(places)))
                .collect(),
            merged: Mutex::new(Merged {
                at: None,
                keys: Vec::with_capacity(workers * places),
                total: 0,
                every: 1,
            }),
            tells_keys,
            seed,
        }
    }

    /// Whether anything is looked at.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.sketches.is_empty()
    }

    /// Calls `with` with the hottest, at most `most` of them, and how many these are.
    pub fn hottest<R>(
        &self,
        most: usize,
        now: Tick,
        with: impl FnOnce(usize, &mut dyn Iterator<Item = HotKey>) -> R,
    ) -> R {
        let mut merged = self.merged.lock();
        let is_fresh = |at: Tick| now.millis_since(at) < FRESH_MILLIS;
        if !merged.at.is_some_and(is_fresh) {
            self.merge(&mut merged);
            merged.at = Some(now);
        }
        let count = merged.keys.len().min(most).min(TOLD_MAX);
        let (total, every) = (merged.total, merged.every);
        let keys = merged.keys[..count].iter();
        with(count, &mut keys.map(|hot| HotKey::of(hot, total, every)))
    }

    /// What each sketch allows for a key is added up. In a sketch where it has no place, it was asked for between never and as
    /// often as the least of those that have one.
    fn merge(&self, merged: &mut Merged) {
        merged.keys.clear();
        (merged.total, merged.every) = (0, 1);
        let mut all_least = 0;
        for sketch in &self.sketches {
            let sketch = sketch.lock();
            let least = sketch.least();
            all_least += least;
            merged.total += sketch.total();
            merged.every = merged.every.max(sketch.every());
            // For the moment `error` is the least that it can have been, and every sketch's least is added below.
            merged.keys.extend(sketch.places().iter().map(|place| Hot {
                count: place.count - least,
                error: place.count - place.error,
                ..*place
            }));
        }
        merged.keys.sort_unstable_by_key(|hot| hot.hash);
        merged.keys.dedup_by(|other, hot| {
            let is_same = other.hash == hot.hash;
            if is_same {
                hot.count += other.count;
                hot.error += other.error;
            }
            is_same
        });
        for hot in &mut merged.keys {
            hot.count += all_least;
            hot.error = hot.count.saturating_sub(hot.error);
        }
        let rank = |hot: &Hot| Reverse(hot.count - hot.error / 2);
        merged.keys.sort_unstable_by_key(rank);
    }
}

impl HotKey {
    fn of(hot: &Hot, total: u64, every: u64) -> Self {
        let requests = hot.count - hot.error / 2;
        // Each sample stands for `every` requests, so the variance is `every (every - 1)` for each.
        let sampling = 2.0 * ((every - 1) as f64 * requests as f64).sqrt();
        HotKey {
            hash: hot.hash,
            len: hot.len,
            shown: hot.shown,
            requests,
            error: hot.error.div_ceil(2) + sampling.ceil() as u64,
            permille: (requests * 1000 / total.max(1)).min(1000),
        }
    }
}

#[cfg(test)]
mod tests;
