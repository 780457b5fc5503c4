//! What the hit ratio would be with less memory, or more: how the engine's model is told of what workers do.
//!
//! ```text
//!   worker: is the key of the sample? ──► uses, its own ──► model, under a lock, between turns ──► points
//!                  ▲                                              ▲
//!                  └───────────── limit ◄───────────────── maintainer: what the cache holds, once a second
//! ```
//!
//! A request compares a part of its key's hash with the limit. Of the few keys of the sample the worker notes what became of
//! them, in memory that nobody else sees, and hands that over when the turn is over. A worker that finds the lock taken goes on
//! and tries again later.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use flagstone_engine::{Cache, Curve, CurvePoints, Deadline, Key, Reference, Tick, Use};
use parking_lot::Mutex;

use crate::memory::plan::curve::CurvePlan;
use crate::observe::counters::Totals;

/// The model is told of no more references a second than about this: half a percent of a processor.
const NOTED_A_SECOND_MAX: u64 = 1 << 15;
/// It is told of more again when there were so many times fewer.
const RELENT: u64 = 8;
/// What the hit ratio may lose when less memory is advised.
const LOSS: f64 = 0.01;

/// What one worker has noted and not handed over.
pub struct Uses {
    noted: Vec<Reference>,
    limit: u32,
    lost: u64,
}

impl Uses {
    /// Room for as many as are planned.
    pub fn new(plan: &CurvePlan) -> Self {
        Uses {
            noted: Vec::with_capacity(plan.uses()),
            limit: 0,
            lost: 0,
        }
    }

    /// The keys that are to be noted: see [`Curve::samples`].
    #[inline(always)]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether it is time to hand over what was noted.
    #[inline(always)]
    pub fn is_half_full(&self) -> bool {
        self.noted.len() * 2 > self.noted.capacity()
    }

    /// Notes what became of a key of the sample.
    pub fn note(&mut self, reference: Reference) {
        match self.noted.len() < self.noted.capacity() {
            true => self.noted.push(reference),
            false => self.lost += 1,
        }
    }

    /// Its value was asked for.
    #[cold]
    #[inline(never)]
    pub fn note_read(&mut self, cache: &Cache, key: Key<'_>, is_hit: bool, now: Tick) {
        match is_hit {
            true => self.note_there(cache, key, Use::Hit, now),
            false => {
                let (hash, never) = (key.hash(), Deadline::NEVER);
                self.note(Reference::new(hash, Use::Miss, 0, never));
            }
        }
    }

    /// A value of this length was stored, for good.
    #[cold]
    #[inline(never)]
    pub fn note_stored(&mut self, cache: &Cache, key: Key<'_>, value_len: usize) {
        let never = Deadline::NEVER;
        let bytes = cache.footprint(key.bytes().len(), value_len, never);
        self.note(Reference::new(key.hash(), Use::Store, bytes, never));
    }

    /// It was deleted.
    pub fn note_deleted(&mut self, key: Key<'_>) {
        let never = Deadline::NEVER;
        self.note(Reference::new(key.hash(), Use::Delete, 0, never));
    }

    /// Its item was asked for or stored, and is looked at now: if it is there still.
    pub fn note_there(&mut self, cache: &Cache, key: Key<'_>, to: Use, now: Tick) {
        if let Some(meta) = cache.meta(key, now) {
            let bytes = cache.footprint(key.bytes().len(), meta.value_len, meta.deadline);
            self.note(Reference::new(key.hash(), to, bytes, meta.deadline));
        }
    }
}

/// A curve, and what follows from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CurveFigures {
    /// The curve itself.
    pub points: CurvePoints,
    /// References that were not noted, because the model could not keep up.
    pub lost: u64,
    /// The limit of the moment.
    pub memory_bytes: u64,
    /// What the memory could be lowered to for less than a point of hit ratio; `None`: too little is known.
    pub advised_bytes: Option<u64>,
}

impl CurveFigures {
    /// How far the model is off at today's size, in hit ratio: positive if it says too much.
    pub fn error(&self) -> f64 {
        self.points.modelled - self.points.today().hit_ratio
    }

    /// What there is to be advised, in words.
    pub fn advice(&self) -> impl Display + use<'_> {
        fmt::from_fn(|f| {
            let gain = 100.0 * self.gain();
            match self.advised_bytes {
                None => return f.write_str("too little is known yet"),
                Some(bytes) if bytes < self.memory_bytes => write!(
                    f,
                    "the limit could be lowered to {} MiB for less than one point of hit ratio",
                    bytes.div_ceil(1 << 20)
                )?,
                Some(_) => {
                    f.write_str("less memory would cost more than one point of hit ratio")?
                }
            }
            write!(f, "; twice the cache would add {gain:.1} points")
        })
    }

    /// What twice the memory would add.
    pub fn gain(&self) -> f64 {
        (self.points.at_twice() - self.points.today().hit_ratio).max(0.0)
    }
}

/// The model, for all threads.
pub struct CurveWatch {
    model: Option<Box<Mutex<Curve>>>,
    entries: u64,
    /// A hint: it orders nothing.
    limit: AtomicU32,
    lost: AtomicU64,
    /// What was noted a second ago, and the most that may be a sample, as a power of two.
    pace: Mutex<(u64, u32)>,
}

impl CurveWatch {
    /// Of a cache about which nothing is known.
    pub fn new(plan: &CurvePlan) -> Self {
        CurveWatch {
            model: (plan.entries > 0)
                .then(|| Box::new(Mutex::new(Curve::new(plan.entries, plan.eviction)))),
            entries: plan.entries as u64,
            limit: AtomicU32::new(0),
            lost: AtomicU64::new(0),
            pace: Mutex::new((0, 0)),
        }
    }

    /// Takes in what a worker has noted, and tells it what to note from now on.
    #[inline(never)]
    pub fn take_in(&self, uses: &mut Uses, now: Tick) {
        let Some(model) = &self.model else { return };
        if !uses.noted.is_empty()
            && let Some(mut model) = model.try_lock()
        {
            uses.noted
                .drain(..)
                .for_each(|reference| model.note(reference, now));
        }
        if uses.lost > 0 {
            self.lost.fetch_add(std::mem::take(&mut uses.lost), Relaxed);
        }
        uses.limit = self.limit.load(Relaxed);
    }

    /// Tells the model how the cache stands. Once a second.
    pub fn look(&self, cache: &Cache, totals: &Totals) {
        let Some(model) = &self.model else { return };
        let holding = cache.holding();
        let mut model = model.lock();
        let noted = model.points().noted;
        let mut pace = self.pace.lock();
        let (before, rarity) = &mut *pace;
        let noted_now = noted - std::mem::replace(before, noted);
        if noted_now > NOTED_A_SECOND_MAX {
            *rarity = (*rarity + 1).min(u32::BITS - 1);
        } else if noted_now < NOTED_A_SECOND_MAX / RELENT {
            *rarity = rarity.saturating_sub(1);
        }
        model.restrain(u32::MAX >> *rarity);
        model.adjust(&holding, totals.hits, totals.misses);
        self.limit.store(model.limit(), Relaxed);
    }

    /// The curve; `None`: there is no model. `memory_bytes` is the limit of the moment.
    pub fn figures(&self, memory_bytes: u64) -> Option<CurveFigures> {
        let points = self.model.as_ref()?.lock().points();
        let is_known = points.noted >= self.entries && points.requests > 0.0;
        let least = points.least_within(LOSS);
        let spare = ((1.0 - least) * points.page_bytes as f64) as u64;
        Some(CurveFigures {
            points,
            lost: self.lost.load(Relaxed),
            memory_bytes,
            advised_bytes: is_known.then(|| memory_bytes.saturating_sub(spare)),
        })
    }
}
