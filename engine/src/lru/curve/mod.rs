//! What the hit ratio would be with less memory, or more: the curve of the real policy, from a sample of the keys. Pure policy.
//!
//! ```text
//!   references, one key in some ──► ¼  ½  ¾  1  1½  2  4     miniatures: each a cache without values
//!                                   │                        misses, each standing for many
//!                                   └──► difference to the miniature of today's size, on the keys that both have
//!   hits and misses of the whole ──────► today's ratio + that difference = a point
//! ```
//!
//! Miniature simulation (Waldspurger et al., "Cache modeling and optimization using miniature simulations", ATC 2017): a cache of
//! a hundredth of the bytes, asked for a hundredth of the keys, misses about as often as the whole one under the same
//! policy. Each miniature has a sample of its own, as rare as its entries demand, so a large cache is
//! told of as exactly as a small one. Samples are nested: a key of a rarer one is also of the others.
//!
//! **Misses are counted, not ratios.** A sample that lacks the hottest key has the wrong ratio, but about the right misses:
//! the hottest key is a hit in all of them (the adjustment of SHARDS, FAST 2015).
//!
//! **Today's point is the real one.** What the miniatures say is only the difference between two of them on the same keys, which
//! errs less than either: the chance of the sample and what the model lacks (shards, size classes) are in both.
//!
//! **What is noted.** Every reference to a key of the sample, also hits on items that have all their marks: unlike a trial
//! (`trials`), a curve would be wrong without them. A miss that the client answers with a store is one
//! reference: a miniature that has the item takes no notice of that store. An item's deadline goes with it.
//!
//! Knows no lock, no clock and no randomness: the same references lead to the same curve.

mod miniature;

use static_assertions::const_assert_eq;

use self::miniature::{Item, Miniature, Rules, sampled_by};
use super::segments::Eviction;
use super::trials::{TUNINGS, Tuning};
use crate::geometry::SHARD_COUNT;
use crate::hash::KeyHash;
use crate::tick::{Deadline, Tick};

/// How many times today's memory, in quarters.
const QUARTERS: [u64; CURVE_POINTS] = [1, 2, 3, 4, 6, 8, 16];
/// Points of a curve.
pub const CURVE_POINTS: usize = 7;
/// Today's.
const TODAY: usize = 3;
const TWICE: usize = 5;
const_assert_eq!(QUARTERS[TODAY], 4);
const_assert_eq!(QUARTERS[TWICE], 8);

/// Bytes of an item before any is known: small, so that at first too few keys are noted rather than too many.
const ITEM_BYTES_FIRST: u64 = 64;
/// Items after which their mean length is believed.
const ITEMS_KNOWN: u64 = 256;
/// What is held of the pages before there is enough to tell, in parts of 1024.
const DENSITY_FIRST: u64 = 900;

/// Between two times of forgetting, today's miniature is asked so many times, in parts of its entries.
const FORGET_SHARE: u32 = 4;
/// What is left of each count then: half after sixteen times the entries.
const KEPT: f64 = 0.989_228;

/// What became of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// It was asked for, and was there.
    Hit,
    /// It was asked for, and was not there.
    Miss,
    /// It was stored.
    Store,
    /// It was deleted.
    Delete,
}

/// One reference to a key of the sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    hash: KeyHash,
    /// What the item takes up.
    bytes: u32,
    /// The second at which it expires, or 0.
    deadline: u32,
    /// What became of it.
    to: Use,
}

impl Reference {
    /// Of an item of so many bytes, [`Cache::footprint`](crate::Cache::footprint). Of a miss and a delete neither they nor the
    /// deadline matter.
    #[must_use]
    pub fn new(hash: KeyHash, to: Use, bytes: u32, deadline: Deadline) -> Self {
        let secs = |tick: Tick| u32::try_from(tick.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        Reference {
            hash,
            bytes,
            deadline: deadline.tick().map_or(0, secs),
            to,
        }
    }
}

/// The cache that a curve is about, as it is now: [`Cache::holding`](crate::Cache::holding).
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    pub(crate) items: u64,
    /// Of all items, about.
    pub(crate) bytes: u64,
    /// Of the pages that hold them.
    pub(crate) item_page_bytes: u64,
    /// Of the pages that hold the index, and how many of them there are at the least.
    pub(crate) index_bytes: u64,
    pub(crate) index_bytes_least: u64,
    /// Of the pages that hold nothing.
    pub(crate) free_bytes: u64,
    pub(crate) tuning: Tuning,
}

/// One point of a curve.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct CurvePoint {
    /// How many times today's bytes.
    pub multiple: f64,
    /// Bytes of items.
    pub bytes: u64,
    /// Of the requests for values of late, the part that would be hits; today's point is the real one.
    pub hit_ratio: f64,
    /// Whether the miniature has had to evict: before, it says what a cache would do that is not full yet.
    pub is_full: bool,
}

/// A curve.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct CurvePoints {
    /// From the least memory to the most.
    pub points: [CurvePoint; CURVE_POINTS],
    /// What the model says of today's size: how far it is off is one measure of how good the others are.
    pub modelled: f64,
    /// The requests that this is of, about: the latest count for most.
    pub requests: f64,
    /// References that were noted since the start.
    pub noted: u64,
    /// Bytes of the pages that the cache has today. What the process has beside them does not follow their number.
    pub page_bytes: u64,
}

impl CurvePoints {
    /// Today's point: what was counted, not a model's.
    #[must_use]
    pub fn today(&self) -> &CurvePoint {
        &self.points[TODAY]
    }

    /// The least memory, as a multiple of today's, with which the hit ratio would be less by no more than so much. Between points the
    /// curve is taken for straight. 1 if it cannot be less.
    #[must_use]
    pub fn least_within(&self, less: f64) -> f64 {
        let floor = self.today().hit_ratio - less;
        let mut least = self.today().multiple;
        for pair in self.points[..=TODAY].windows(2).rev() {
            let [below, above] = pair else { break };
            if below.hit_ratio >= floor {
                least = below.multiple;
                continue;
            }
            let rise = above.hit_ratio - below.hit_ratio;
            if rise > 0.0 {
                let part = ((floor - below.hit_ratio) / rise).clamp(0.0, 1.0);
                least = least.min(below.multiple + part * (above.multiple - below.multiple));
            }
            break;
        }
        least
    }

    /// What the hit ratio would be with twice as much memory.
    #[must_use]
    pub fn at_twice(&self) -> f64 {
        self.points[TWICE].hit_ratio
    }
}

/// The latest counts.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Of the whole cache.
    hits: f64,
    misses: f64,
    /// Of each miniature by its own sample, each for as many keys as one of the sample stands for.
    own: [f64; CURVE_POINTS],
    /// On the keys that a miniature has in common with today's: its misses, and today's.
    common: [[f64; 2]; CURVE_POINTS],
}

impl Sums {
    fn forget(&mut self) {
        self.hits *= KEPT;
        self.misses *= KEPT;
        let common = self.common.iter_mut().flatten();
        common.chain(&mut self.own).for_each(|sum| *sum *= KEPT);
    }
}

/// The model.
pub struct Curve {
    miniatures: [Miniature; CURVE_POINTS],
    entries: usize,
    rules: Rules,
    sums: Sums,
    /// What the whole cache had counted when it last told.
    told: [u64; 2],
    /// Of the pages that are in use, so much are items, in parts of 1024: the most of late.
    density: u64,
    /// Of all pages.
    page_bytes: u64,
    /// Keys whose bits are more than this are too many to note.
    limit_most: u32,
    noted: u64,
    to_forget: u32,
    forgotten: u64,
}

impl Curve {
    /// Bytes that a model with so many entries a point takes.
    #[must_use]
    pub const fn bytes(entries: usize) -> usize {
        size_of::<Curve>() + CURVE_POINTS * Miniature::heap_bytes(entries)
    }

    /// The most entries a point with which a model takes no more than so many bytes.
    #[must_use]
    pub const fn entries_in(bytes: usize) -> usize {
        bytes.saturating_sub(size_of::<Curve>()) / (CURVE_POINTS * Miniature::heap_bytes(1))
    }

    /// A model of a cache that evicts in this way, with so many entries a point.
    #[must_use]
    pub fn new(entries: usize, eviction: Eviction) -> Self {
        Curve {
            miniatures: std::array::from_fn(|_| Miniature::new(entries)),
            entries,
            rules: Rules {
                eviction,
                tuning: TUNINGS[0],
                shard_count: SHARD_COUNT,
            },
            sums: Sums::default(),
            told: [0; 2],
            density: DENSITY_FIRST,
            page_bytes: 0,
            limit_most: u32::MAX,
            noted: 0,
            to_forget: entries as u32 / FORGET_SHARE,
            forgotten: 0,
        }
    }

    /// Keys of which [`Curve::samples`] says so are to be noted.
    #[must_use]
    pub fn limit(&self) -> u32 {
        let limits = self.miniatures.iter().map(Miniature::limit);
        limits.max().unwrap_or(0)
    }

    /// Whether a key is of the sample that a limit makes.
    #[inline(always)]
    #[must_use]
    pub fn samples(hash: KeyHash, limit: u32) -> bool {
        sampled_by(hash.number()) <= limit
    }

    /// No more keys than those with this limit are to be noted, whatever the entries suffice for.
    pub fn restrain(&mut self, limit: u32) {
        self.limit_most = limit;
    }

    /// How often counts were made less, and to what part: who wants to compare has to do the same.
    #[must_use]
    pub fn forgotten(&self) -> (u64, f64) {
        (self.forgotten, KEPT)
    }

    /// A key was asked for, stored or deleted.
    pub fn note(&mut self, reference: Reference, now: Tick) {
        let hash = reference.hash.number();
        let item = Item {
            hash,
            bytes: reference.bytes.max(1),
            deadline: reference.deadline,
        };
        let print = sampled_by(hash);
        let now_secs = u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX);
        // Whether it was a miss, where it counts.
        let mut misses = [None; CURVE_POINTS];
        for (miniature, miss) in self.miniatures.iter_mut().zip(&mut misses) {
            if print > miniature.limit() {
                continue;
            }
            match reference.to {
                Use::Hit | Use::Miss => {
                    let is_there = reference.to == Use::Hit;
                    let hit = miniature.ask(item, is_there, now_secs, &self.rules);
                    *miss = (print <= miniature.counted()).then_some(!hit);
                }
                Use::Store => miniature.store(item, &self.rules),
                Use::Delete => miniature.delete(hash),
            }
        }
        self.noted += 1;
        self.count(misses);
    }

    fn count(&mut self, misses: [Option<bool>; CURVE_POINTS]) {
        let weight = |counted: u32| 2.0_f64.powi(32) / (f64::from(counted) + 1.0);
        let today_counted = self.miniatures[TODAY].counted();
        for (at, miss) in misses.into_iter().enumerate() {
            let Some(miss) = miss else { continue };
            let counted = self.miniatures[at].counted();
            if miss {
                self.sums.own[at] += weight(counted);
            }
            if let Some(today) = misses[TODAY] {
                let weight = weight(counted.min(today_counted));
                let [own, todays] = &mut self.sums.common[at];
                *own += if miss { weight } else { 0.0 };
                *todays += if today { weight } else { 0.0 };
            }
        }
        if misses[TODAY].is_some() {
            self.to_forget = self.to_forget.saturating_sub(1);
            if self.to_forget == 0 {
                self.to_forget = self.entries as u32 / FORGET_SHARE;
                self.forgotten += 1;
                self.sums.forget();
            }
        }
    }

    /// The cache is like this now, and had so many hits and misses since it was opened.
    pub fn adjust(&mut self, holding: &Holding, hits: u64, misses: u64) {
        let [told_hits, told_misses] = std::mem::replace(&mut self.told, [hits, misses]);
        self.sums.hits += hits.saturating_sub(told_hits) as f64;
        self.sums.misses += misses.saturating_sub(told_misses) as f64;
        self.rules.tuning = holding.tuning;
        let used_bytes = holding.item_page_bytes + holding.index_bytes;
        let all_bytes = used_bytes + holding.free_bytes;
        // Pages with holes will be filled again.
        if holding.item_page_bytes * 16 > all_bytes {
            let density = (holding.bytes * 1024 / holding.item_page_bytes).min(1024);
            self.density = density.max(self.density.saturating_sub(1));
        }
        // The index grows with the items, beside a page that each shard has in any case.
        let least = holding.index_bytes_least;
        let more = u128::from(holding.index_bytes.saturating_sub(least));
        let more = (more * u128::from(all_bytes) / u128::from(used_bytes.max(1))) as u64;
        let item_bytes_at = |quarters: u64| {
            let index_bytes = least + more * quarters / 4;
            let page_bytes = (all_bytes * quarters / 4).saturating_sub(index_bytes);
            page_bytes / 1024 * self.density
        };
        self.page_bytes = all_bytes;
        let item_bytes = match holding.items >= ITEMS_KNOWN {
            true => (holding.bytes / holding.items).max(1),
            false => ITEM_BYTES_FIRST,
        };
        for (miniature, quarters) in self.miniatures.iter_mut().zip(QUARTERS) {
            let bytes = item_bytes_at(quarters);
            // Half of the entries for items, half for ghosts.
            let items = bytes / item_bytes + 1;
            let fits = (self.entries as u64 / 2) << u32::BITS;
            let fits = u32::try_from(fits / items)
                .unwrap_or(u32::MAX)
                .min(self.limit_most);
            let limit = miniature.limit();
            let limit = match limit {
                // What was found to be too many is not tried again.
                _ if fits > limit.saturating_mul(2) || limit == 0 => fits,
                _ if fits < limit - limit / 8 => fits,
                _ => limit,
            };
            miniature.resize(bytes, limit, &self.rules);
        }
    }

    /// The curve.
    #[must_use]
    pub fn points(&self) -> CurvePoints {
        let sums = &self.sums;
        let requests = sums.hits + sums.misses;
        let ratio = |misses: f64| match requests > 0.0 {
            true => (1.0 - misses / requests).clamp(0.0, 1.0),
            false => 0.0,
        };
        let point = |at: usize| {
            let [own, todays] = sums.common[at];
            CurvePoint {
                multiple: QUARTERS[at] as f64 / 4.0,
                bytes: self.miniatures[at].whole_bytes(),
                hit_ratio: ratio(sums.misses + own - todays),
                is_full: self.miniatures[at].is_full(),
            }
        };
        CurvePoints {
            points: std::array::from_fn(point),
            modelled: ratio(sums.own[TODAY]),
            requests,
            noted: self.noted,
            page_bytes: self.page_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
