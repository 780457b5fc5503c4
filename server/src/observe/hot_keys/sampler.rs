//! A worker's side: which requests are looked at.
//!
//! One in [`every`](Sampler::every) is, at random: after each that is, it is drawn how many are let go until the next. So
//! a request that is let go costs its share of one subtraction for each batch, and patterns in the traffic (each client asks for
//! two keys in turn) hide nothing. What is looked at stands for as many as were one in.
//!
//! How many that is follows the traffic, so that there are enough for a figure, and never so many that they cost anything:
//! after [`MANY`] in one period it is doubled, after fewer than [`FEW`] in a whole one it is halved.

use flagstone_engine::{Key, Tick};
use parking_lot::Mutex;

use super::HotKeys;
use super::sketch::Sketch;

/// All counts are halved so often.
pub const HALVE_MILLIS: u64 = 10_000;
/// One request in so many is looked at in the beginning.
const EVERY_FIRST: u32 = 256;
/// And never fewer than one in so many.
const EVERY_MAX: u32 = 1 << 16;
/// Samples in a period.
const MANY: u32 = 4096;
const FEW: u32 = 1024;

/// See the module's head.
pub struct Sampler<'h> {
    /// So many requests are let go until the next is looked at.
    left: u32,
    every: u32,
    /// `1 / ln(1 - 1 / every)`
    scale: f64,
    random: u64,
    samples: u32,
    halved: Tick,
    sketch: Option<&'h Mutex<Sketch>>,
    tells_keys: bool,
}

impl<'h> Sampler<'h> {
    /// A worker's.
    #[must_use]
    pub fn new(hot_keys: &'h HotKeys, worker_no: usize, now: Tick) -> Self {
        let mut sampler = Sampler {
            left: u32::MAX,
            every: EVERY_FIRST,
            scale: 0.0,
            random: hot_keys.seed ^ (worker_no as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            samples: 0,
            halved: now,
            sketch: hot_keys.sketches.get(worker_no),
            tells_keys: hot_keys.tells_keys,
        };
        sampler.set_every(EVERY_FIRST);
        sampler.left = sampler.skip();
        sampler
    }

    fn set_every(&mut self, every: u32) {
        self.every = every;
        self.scale = 1.0 / (-1.0 / f64::from(every)).ln_1p();
    }

    /// So many requests were executed, of which `key` tells the key of each, if it has one.
    #[inline(always)]
    pub fn pass<'k>(&mut self, count: usize, key: impl Fn(usize) -> Option<Key<'k>>) {
        let count = count as u32;
        if self.left >= count {
            self.left -= count;
        } else {
            self.look(count, key);
        }
    }

    /// One request in so many is looked at at the moment.
    #[cfg(test)]
    pub fn every(&self) -> u32 {
        self.every
    }

    #[cold]
    #[inline(never)]
    fn look<'k>(&mut self, count: u32, key: impl Fn(usize) -> Option<Key<'k>>) {
        let mut no = self.left;
        while no < count {
            if let Some(key) = key(no as usize) {
                self.note(key);
            }
            no = no.saturating_add(1).saturating_add(self.skip());
        }
        self.left = no - count;
    }

    fn note(&mut self, key: Key<'_>) {
        // While somebody reads it nothing is noted: a worker does not wait for that.
        if let Some(sketch) = self.sketch
            && let Some(mut sketch) = sketch.try_lock()
        {
            sketch.note(key, u64::from(self.every), self.tells_keys);
            self.samples += 1;
            if self.samples >= MANY && self.every < EVERY_MAX {
                self.set_every(self.every * 2);
                self.samples = MANY / 2;
            }
        }
    }

    /// How many are let go: each of those that follow is looked at with the same chance.
    fn skip(&mut self) -> u32 {
        if self.sketch.is_none() {
            return u32::MAX;
        }
        if self.every == 1 {
            return 0;
        }
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // Of (0, 1].
        let uniform = ((self.random >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (uniform.ln() * self.scale) as u32
    }

    /// Called about once a second.
    pub fn age(&mut self, now: Tick) {
        if now.millis_since(self.halved) < HALVE_MILLIS {
            return;
        }
        self.halved = now;
        if let Some(sketch) = self.sketch {
            sketch.lock().halve();
        }
        if self.samples < FEW && self.every > 1 {
            self.set_every(self.every / 2);
        }
        self.samples = 0;
    }
}
