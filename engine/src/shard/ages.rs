//! How old the tails are, and which of them is the oldest: of the classes here, and of the shards.
//!
//! Items store no time. A shard's clock counts bytes inserted ([`Locked::clock`]); the lists keep samples of it
//! (`rebalance::Ages`). What follows from the ages is decided in `rebalance` and `lru`, and done in `evict`.

use super::locked::Locked;
use super::{Epoch, Giving, Oldest, ShardState};
use crate::geometry::SHARD_COUNT;
use crate::hash::KeyHash;
use crate::lru::segments::{self, Eviction, Segment, Terms};
use crate::rebalance;
use crate::stats::ClassStats;

/// Bytes inserted for a tick of a shard's clock.
const CLOCK_BYTES: u64 = 64;
/// An epoch of `rebalance` is this part of the shard's pages.
const EPOCH_SHARE: u64 = 16;
/// The latest so many of which count most …
const EPOCHS_KEPT: u64 = 4;
/// … and where the eviction adapts: what a shard holds is replaced twice meanwhile. With four, in a small cache
/// the shards' ages are chance, and pages go to and fro by it.
const EPOCHS_KEPT_ADAPTIVE: u64 = 32;
/// Evictions between two looks at the other shards' ages.
const EVICTIONS_A_LOOK: u32 = 8;
/// Evictions between two looks for the class with the oldest tail.
const OLDEST_USES: u32 = 32;
/// Evictions for a class between two choices of who gives way for it, and how long the choice is good: for one that is
/// seldom stored it would be out of date.
const GIVING_USES: u8 = 7;
const GIVING_TICKS: u16 = 1 << 10;
/// Evictions from a segment between two notes of how old its tail is.
const EVICTIONS_A_NOTE: u64 = 16;

impl ShardState {
    /// The shard's clock: one tick for [`CLOCK_BYTES`] inserted.
    pub(super) fn clock(&self) -> u32 {
        (self.inserted_bytes / CLOCK_BYTES) as u32
    }
}

impl Locked<'_> {
    /// The segment from which the next item should leave.
    pub(super) fn leaving(&self, terms: Terms) -> Option<Segment> {
        let [probation, main] = self.held;
        segments::examine(probation, main, terms)
    }

    /// What the two lists go by for the moment.
    pub(super) fn terms(&self) -> Terms {
        let [probation, main] = self.held;
        let chosen = self.region.choice.tuning();
        self.region.eviction.terms(chosen, probation, main)
    }

    /// A key was asked for: the trials may want to know of it.
    #[inline(always)]
    pub(super) fn note_use(&self, hash: KeyHash) {
        if self.region.choice.wants(hash) {
            let items = self.index.items();
            self.region.choice.note(hash, items, !self.is_filling);
        }
    }

    /// The age of the tail of one of the class's lists; `None` without items.
    pub(super) fn age(&self, class: usize, segment: Segment) -> Option<u64> {
        let queue = self.queue(class, segment);
        let len = queue.list.len();
        (len > 0).then(|| queue.ages.age(self.clock(), len))
    }

    /// The class with the oldest tail in `segment`, or one that was it not long ago and is still
    /// about as old as any.
    pub(super) fn oldest_class_lately(&mut self, segment: Segment) -> Option<(usize, u64)> {
        let Oldest {
            class,
            next_age,
            noted_at,
            uses_left,
        } = self.oldest[segment as usize];
        if uses_left > 0
            && let Some(age) = self.age(class, segment)
            && age * 8 >= (next_age + u64::from(self.clock().wrapping_sub(noted_at))) * 7
        {
            self.oldest[segment as usize].uses_left -= 1;
            return Some((class, age));
        }
        let mut oldest = None;
        let mut next_age = 0;
        for class in 0..self.classes.len() {
            let Some(age) = self.age(class, segment) else {
                continue;
            };
            match oldest {
                Some((_, oldest_age)) if age <= oldest_age => next_age = next_age.max(age),
                _ => {
                    next_age = oldest.map_or(0, |(_, age)| age);
                    oldest = Some((class, age));
                }
            }
        }
        let (class, age) = oldest?;
        self.oldest[segment as usize] = Oldest {
            class,
            next_age,
            noted_at: self.clock(),
            uses_left: OLDEST_USES,
        };
        Some((class, age))
    }

    /// The class that gives way, of those with items in `segment`: the one with the oldest tail, or the class
    /// `wanted`, whose chunk is needed, if its own is nearly as old. Chosen once for several evictions in a row.
    #[inline(always)]
    pub(super) fn giving_class(
        &mut self,
        wanted: Option<usize>,
        segment: Segment,
    ) -> Option<usize> {
        let clock = self.clock();
        if let Some(wanted) = wanted {
            let giving = &mut self.classes[wanted].giving[segment as usize];
            let since = (clock as u16).wrapping_sub(giving.chosen_at);
            if giving.uses_left > 0 && since <= GIVING_TICKS {
                giving.uses_left -= 1;
                let class = usize::from(giving.class);
                if self.queue(class, segment).list.tail().is_some() {
                    return Some(class);
                }
            }
        }
        self.giving_class_anew(wanted, segment)
    }

    #[inline(never)]
    fn giving_class_anew(&mut self, wanted: Option<usize>, segment: Segment) -> Option<usize> {
        let clock = self.clock();
        let (oldest, age) = self.oldest_class_lately(segment)?;
        let idle = self.queue(oldest, segment).ages.idle(clock);
        let Some(wanted) = wanted else {
            return Some(oldest);
        };
        let gives_own = wanted == oldest
            || self
                .age(wanted, segment)
                .is_some_and(|own| rebalance::evicts_own(own, age, idle));
        let class = if gives_own { wanted } else { oldest };
        self.classes[wanted].giving[segment as usize] = Giving {
            chosen_at: clock as u16,
            class: class as u8,
            uses_left: GIVING_USES,
        };
        Some(class)
    }

    /// Nobody knows how old what was restored is: all shards' is taken to be as old, of which all together hold so many bytes.
    pub(crate) fn begin_epochs(&mut self, bytes_of_all: u64) {
        let held = self.held_bytes();
        self.epoch = Epoch {
            begun: self.inserted_bytes,
            begun_all: 0,
            due: 0,
            span: held.max(1),
            span_all: bytes_of_all,
        };
        self.publish_age();
    }

    /// Bytes on its lists.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_by_segment().iter().sum()
    }

    /// The same of each segment's.
    pub(crate) fn held_by_segment(&self) -> [u64; 2] {
        self.held.map(|held| held.bytes)
    }

    /// A new epoch, when enough was inserted; and when to ask again.
    pub(super) fn roll_epoch(&mut self) {
        let region = self.region;
        let page_bytes = region.geometry.page_bytes as u64;
        let span = self.inserted_bytes - self.epoch.begun;
        let due = (self.slab.item_pages() as u64 * page_bytes / EPOCH_SHARE).max(page_bytes);
        self.epoch.due = self.epoch.begun + due;
        if span <= due {
            return;
        }
        let now_all = region.tails.advance(span);
        let kept = match region.eviction {
            Eviction::Adaptive => EPOCHS_KEPT_ADAPTIVE,
            _ => EPOCHS_KEPT,
        };
        self.epoch = Epoch {
            begun: self.inserted_bytes,
            begun_all: now_all,
            due: self.inserted_bytes + due,
            span: self.epoch.span - self.epoch.span / kept + span,
            span_all: self.epoch.span_all - self.epoch.span_all / kept
                + (now_all - self.epoch.begun_all),
        };
        self.publish_age();
    }

    /// Tells the other shards how old this one's oldest items are.
    pub(crate) fn publish_age(&self) {
        let region = self.region;
        region.tails.publish(self.shard_no, self.age_for_all());
    }

    /// How long what is held here lasts at the rate at which it is replaced, in bytes inserted
    /// into the cache: Little's law. Not the age of a tail, because in a small
    /// cache a shard's tail is one item, and chance.
    fn age_for_all(&self) -> u64 {
        let [probation, main] = self.held;
        let held = u128::from(probation.bytes + main.bytes);
        let lasts = held * u128::from(self.epoch.span_all) / u128::from(self.epoch.span.max(1));
        lasts.min(u128::from(u64::MAX / 4)) as u64
    }

    /// Whether another shard's oldest items are so much older than what would be evicted here
    /// that it should give a page. Looked at only now and then.
    #[inline(always)]
    pub(super) fn another_shard_is_older(&mut self) -> bool {
        self.evicted_lately += 1;
        self.evicted_lately >= EVICTIONS_A_LOOK && self.is_another_shard_older()
    }

    #[inline(never)]
    fn is_another_shard_older(&mut self) -> bool {
        let region = self.region;
        self.evicted_lately = 0;
        let own = self.age_for_all();
        let is_older = match region.eviction {
            Eviction::Adaptive => rebalance::lasts_longer,
            _ => rebalance::is_older,
        };
        region
            .tails
            .oldest(1 << self.shard_no)
            .is_some_and(|(_, age)| own > 0 && is_older(own, age))
    }

    /// The age of the class's older tail, in bytes inserted into the cache. 0 without items.
    pub(super) fn tail_age_bytes(&self, class: usize) -> u64 {
        let ages = [Segment::Probation, Segment::Main].map(|segment| self.age(class, segment));
        let Some(age) = ages.into_iter().flatten().max() else {
            return 0;
        };
        self.in_cache_bytes(age)
    }

    /// Ticks of the shard's clock as bytes inserted into the whole cache.
    fn in_cache_bytes(&self, age: u64) -> u64 {
        // An item that has just come is not quite without age.
        let bytes = u128::from(age * CLOCK_BYTES).max(1);
        let all = match self.epoch.span {
            0 => bytes * SHARD_COUNT as u128,
            span => bytes * u128::from(self.epoch.span_all) / u128::from(span),
        };
        u64::try_from(all).unwrap_or(u64::MAX).max(1)
    }

    #[inline(always)]
    pub(super) fn count_eviction(&mut self, class: usize, segment: Segment) {
        self.counters.evictions[segment as usize] += 1;
        self.is_filling = false;
        self.classes[class].evictions += 1;
    }

    /// Looks how old the tail is that is about to leave, now and then.
    #[inline(always)]
    pub(super) fn note_age(&mut self, class: usize, segment: Segment) {
        let evictions = self.counters.evictions[segment as usize];
        if evictions.is_multiple_of(EVICTIONS_A_NOTE)
            && let Some(age) = self.age(class, segment)
        {
            self.counters.evicted_age_bytes[segment as usize] = self.in_cache_bytes(age);
        }
    }

    /// Adds what this shard has of `class`, except for the chunks in use: only their pages
    /// know how many.
    pub fn add_class_stats(&self, class: usize, stats: &mut ClassStats) {
        let state = &self.classes[class];
        stats.pages += self.slab.page_count(class) as u64;
        stats.items_probation += state.queues[Segment::Probation as usize].list.len() as u64;
        stats.items_main += state.queues[Segment::Main as usize].list.len() as u64;
        stats.evictions += state.evictions;
        stats.tail_age_bytes = stats.tail_age_bytes.max(self.tail_age_bytes(class));
    }
}
