//! How old a list's tail is, and whose items are old enough to give way. Pure policy: numbers in,
//! numbers out; it moves nothing.
//!
//! Items carry no time. A list is a queue, though: if a few of its entries' times are
//! known by their distance from the head, the tail's age follows from the length. [`Ages`]
//! keeps eight such times, an eighth of the list apart. The clock is bytes inserted
//! into the shard, not a time, so that a replayed sequence takes the same decisions, and a list
//! that nothing enters any more ages by itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::geometry::SHARD_COUNT;

/// Another's items give way when they are this much older than one's own.
const OLDER_NUMERATOR: u64 = 3;
const OLDER_DENOMINATOR: u64 = 2;

/// Times that are kept of a list.
const SAMPLES: usize = 8;

/// When the items of a list entered it, to an eighth of its length.
///
/// The newest sample is the item `since` places behind the head, each further one a step
/// behind the one before. The step is a power of two and follows the list's length. An item
/// taken out of the middle lets the tail seem younger than it is, by its share of the list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ages {
    /// The clock at each sample, newest first.
    clocks: [u32; SAMPLES],
    count: u8,
    step_shift: u8,
    /// Items that entered since the newest sample.
    since: u32,
    /// The clock when the newest item entered.
    entered_at: u32,
}

impl Ages {
    /// An item enters the list, whose length is then `len`.
    #[inline(always)]
    pub fn enter(&mut self, clock: u32, len: usize) {
        self.since += 1;
        self.entered_at = clock;
        if self.since >= 1 << self.step_shift || self.is_coarse(len) {
            self.sample(clock, len);
        }
    }

    /// Whether a list of `len` items has become short for its step.
    #[inline(always)]
    fn is_coarse(&self, len: usize) -> bool {
        self.step_shift > 0 && len < (SAMPLES / 4) << self.step_shift
    }

    #[inline(never)]
    fn sample(&mut self, clock: u32, len: usize) {
        while len > SAMPLES << self.step_shift {
            // Every second one is enough.
            for at in 0..SAMPLES / 2 {
                self.clocks[at] = self.clocks[2 * at];
            }
            self.count = self.count.div_ceil(2);
            self.step_shift += 1;
            if self.since < 1 << self.step_shift {
                return;
            }
        }
        while self.is_coarse(len) {
            let known = self.clocks;
            for at in (0..SAMPLES / 2).rev() {
                let newer = if at == 0 { clock } else { known[at - 1] };
                self.clocks[2 * at] = midpoint(newer, known[at]);
                self.clocks[2 * at + 1] = known[at];
            }
            self.count = (2 * self.count).min(SAMPLES as u8);
            self.step_shift -= 1;
        }
        self.since = 0;
        self.clocks.copy_within(..SAMPLES - 1, 1);
        self.clocks[0] = clock;
        self.count = (self.count + 1).min(SAMPLES as u8);
    }

    /// How long nothing has entered.
    pub fn idle(&self, clock: u32) -> u64 {
        u64::from(clock.wrapping_sub(self.entered_at))
    }

    /// The age of the last of `len` items, on the clock that entered them.
    pub fn age(&self, clock: u32, len: usize) -> u64 {
        let (Some(behind), 1..) = (len.checked_sub(1), self.count) else {
            return 0;
        };
        let (behind, since) = (behind as u64, u64::from(self.since));
        let age_of = |at: usize| u64::from(clock.wrapping_sub(self.clocks[at]));
        let last = usize::from(self.count) - 1;
        let known = since + ((last as u64) << self.step_shift);
        if behind <= since {
            let idle = self.idle(clock);
            return idle + age_of(0).saturating_sub(idle) * behind / since.max(1);
        }
        if behind >= known {
            return age_of(last) * (behind + 1) / (known + 1);
        }
        let steps = behind - since;
        let at = (steps >> self.step_shift) as usize;
        let rest = steps & ((1 << self.step_shift) - 1);
        age_of(at) + ((age_of(at + 1).saturating_sub(age_of(at)) * rest) >> self.step_shift)
    }
}

/// Half way between two clocks, which may have wrapped.
fn midpoint(newer: u32, older: u32) -> u32 {
    older.wrapping_add(newer.wrapping_sub(older) / 2)
}

/// Whether `older` is old enough beside `own` for something to change hands. Clearly so, because
/// between two that are both in use it would go to and fro.
pub(crate) fn is_older(own: u64, older: u64) -> bool {
    own.saturating_mul(OLDER_NUMERATOR) < older.saturating_mul(OLDER_DENOMINATOR)
}

/// Whether what another shard holds lasts so much longer than what this one does (`own`) that it should give a page: by a
/// quarter. Less than between classes, because keys come to the shards evenly and what is compared is a mean over a long
/// time: in small caches what is left uneven is hits that one cache of that size would have.
pub(crate) fn lasts_longer(own: u64, other: u64) -> bool {
    own.saturating_mul(5) < other.saturating_mul(4)
}

/// Whether a class that needs a chunk evicts its own tail, of age `own`, though the tail of another
/// is `oldest`. Not if everything there is older (nothing has entered for `idle`): a size
/// that is not written any more gives way at once.
pub(crate) fn evicts_own(own: u64, oldest: u64, idle: u64) -> bool {
    !is_older(own, oldest) && idle <= own
}

/// How old each shard's oldest tail is, for the others to see: on one clock for all, the
/// bytes inserted into the cache. A shard publishes at the end of each of its epochs; one
/// that nobody writes to grows older as the clock goes on.
#[derive(Default)]
pub(crate) struct Tails {
    /// Bytes inserted into the cache, added up by epochs.
    clock: AtomicU64,
    /// Per shard: the age that was published, and when.
    published: [(AtomicU64, AtomicU64); SHARD_COUNT],
}

impl Tails {
    /// Ends an epoch of `bytes`; returns what the clock says.
    pub fn advance(&self, bytes: u64) -> u64 {
        // Relaxed, here and below: hints, that order nothing.
        self.clock.fetch_add(bytes, Relaxed) + bytes
    }

    pub fn publish(&self, shard_no: usize, age: u64) {
        let (published, at) = &self.published[shard_no];
        published.store(age, Relaxed);
        at.store(self.clock.load(Relaxed), Relaxed);
    }

    /// The shards' oldest tail and its shard, those in `but_not` (a bit each) left out.
    pub fn oldest(&self, but_not: u32) -> Option<(usize, u64)> {
        let clock = self.clock.load(Relaxed);
        let age = |(published, at): &(AtomicU64, AtomicU64)| {
            let since = clock.saturating_sub(at.load(Relaxed));
            published.load(Relaxed).saturating_add(since)
        };
        let ages = self.published.iter().map(age).enumerate();
        ages.filter(|(shard_no, _)| but_not & 1 << shard_no == 0)
            .max_by_key(|&(_, age)| age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Plays entries and exits of a queue; returns what `Ages` says of its tail and the truth.
    fn play(steps: &[(usize, usize, u32)]) -> (u64, u64) {
        let (mut ages, mut queue, mut clock) = (Ages::default(), VecDeque::new(), 7u32);
        for &(enter, leave, ticks) in steps {
            for _ in 0..enter {
                clock += ticks;
                queue.push_front(clock);
                ages.enter(clock, queue.len());
            }
            for _ in 0..leave {
                queue.pop_back();
            }
        }
        let truth = u64::from(clock - queue.back().unwrap());
        (ages.age(clock, queue.len()), truth)
    }

    #[test]
    fn the_tails_age_is_known_to_a_fifth() {
        let steady: Vec<_> = std::iter::once((100, 0, 3))
            .chain(std::iter::repeat_n((1, 1, 5), 730))
            .collect();
        let bursts: Vec<_> = (0..50).map(|at| (40, 30, 1 + at % 7)).collect();
        for steps in [
            vec![(1, 0, 9), (3, 0, 9)],
            vec![(1000, 0, 1)],
            vec![(1000, 0, 1), (3000, 3000, 2)],
            vec![(5000, 4990, 1), (20, 20, 1), (5, 5, 100)],
            steady,
            bursts,
        ] {
            let (age, truth) = play(&steps);
            assert!(age.abs_diff(truth) * 5 <= truth + 5, "{age}, not {truth}");
        }
    }

    #[test]
    fn what_is_left_of_an_idle_list_is_not_young() {
        let mut ages = Ages::default();
        (1..=5000).for_each(|len| ages.enter(len as u32, len));
        for len in [1, 10, 100, 1000] {
            let age = ages.age(105_000, len);
            assert!((100_000..=101_200).contains(&age), "{len}: {age}");
        }
    }

    #[test]
    fn a_list_that_nothing_enters_grows_older() {
        let mut ages = Ages::default();
        (1..=100).for_each(|len| ages.enter(len as u32, len));
        let (age, truth) = (ages.age(u32::MAX / 2, 100), u64::from(u32::MAX / 2));
        assert!(age.abs_diff(truth) * 5 <= truth, "{age}");
        assert_eq!(Ages::default().age(50, 0), 0);
    }

    #[test]
    fn the_clearly_older_and_the_idle_give_way() {
        for (own, oldest, idle, expected) in [
            (100, 100, 0, true),
            (100, 150, 0, true),
            (100, 151, 0, false),
            (100, 110, 100, true),
            (100, 110, 101, false),
            (0, 0, 0, true),
        ] {
            assert_eq!(
                evicts_own(own, oldest, idle),
                expected,
                "{own} {oldest} {idle}"
            );
        }
    }
}
