//! How old what is evicted was: a histogram for each list.
//!
//! The engine tells how many it evicted, and how old the last ones were in bytes inserted since
//! they came. Once a second that age becomes seconds ([`Pace`]), and all that were evicted in that second
//! count as so old. So it costs the data path nothing, and what was noted stays true when
//! nothing is evicted any more.

use flagstone_engine::{Stats, Tick};

use crate::observe::pace::Pace;

/// Ends of the buckets, in seconds; the last bucket has none.
pub const ENDS: [u64; 12] = [
    1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 259_200, 604_800,
];
/// The lists that items leave, as they are called in metrics.
pub const LISTS: [&str; 2] = ["probation", "main"];

/// See the module's head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Departures {
    /// By list.
    pub ages: [Ages; 2],
    /// The age of those of the last second in which anything was evicted.
    pub last_millis: Option<u64>,
    /// Evictions until the last note.
    noted: [u64; 2],
}

/// How many left a list at which age.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ages {
    /// By bucket.
    pub counts: [u64; ENDS.len() + 1],
    /// Their ages together.
    pub sum_millis: u128,
}

impl Departures {
    /// Notes what was evicted since the last note.
    pub fn note(&mut self, now: Tick, stats: &Stats, pace: &Pace) {
        let all = [stats.evictions - stats.evictions_main, stats.evictions_main];
        let age_bytes = [
            stats.evicted_age_probation_bytes,
            stats.evicted_age_main_bytes,
        ];
        let (mut count, mut sum_millis) = (0, 0);
        for list in 0..LISTS.len() {
            let fresh = all[list] - self.noted[list];
            if fresh == 0 {
                continue;
            }
            let millis = pace.age_millis(now, stats.inserted_bytes, age_bytes[list]);
            let bucket = ENDS.iter().position(|end| millis <= end * 1000);
            let ages = &mut self.ages[list];
            ages.counts[bucket.unwrap_or(ENDS.len())] += fresh;
            ages.sum_millis += u128::from(fresh) * u128::from(millis);
            count += fresh;
            sum_millis += u128::from(fresh) * u128::from(millis);
        }
        self.noted = all;
        if count > 0 {
            self.last_millis = u64::try_from(sum_millis / u128::from(count)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 bytes a second were inserted for an hour.
    fn an_hour() -> (Pace, Tick) {
        let mut pace = Pace::default();
        for second in 1..=3600 {
            pace.note(Tick::from_secs(second), second * 1000);
        }
        (pace, Tick::from_secs(3600))
    }

    #[test]
    fn each_eviction_counts_once_at_its_age() {
        let (pace, now) = an_hour();
        let mut departures = Departures::default();
        let mut stats = Stats::default();
        stats.inserted_bytes = 3_600_000;
        stats.evictions = 10;
        stats.evicted_age_probation_bytes = 30_000;
        departures.note(now, &stats, &pace);
        // Noted again without anything new, then with more: from both lists, of other ages.
        departures.note(now, &stats, &pace);
        stats.evictions += 30;
        stats.evictions_main = 10;
        stats.evicted_age_probation_bytes = 3_000;
        stats.evicted_age_main_bytes = 2_000_000;
        departures.note(now, &stats, &pace);
        let told = departures.ages.map(|ages| {
            let counts = ages.counts.iter().enumerate();
            let counts = counts.filter(|(_, count)| **count > 0);
            counts
                .map(|(at, count)| (ENDS[at], *count))
                .collect::<Vec<_>>()
        });
        assert_eq!(told, [vec![(5, 20), (60, 10)], vec![(3600, 10)]]);
        assert_eq!(departures.ages[0].sum_millis, 10 * 30_000 + 20 * 3_000);
        let mean = (20 * 3_000 + 10 * 2_000_000) / 30;
        assert!(
            departures
                .last_millis
                .is_some_and(|last| last.abs_diff(mean) < 1000)
        );
        // A week without writes later it is still so.
        let before = departures.last_millis;
        departures.note(now.plus_millis(604_800_000), &stats, &pace);
        assert_eq!(departures.last_millis, before);
    }

    #[test]
    fn what_is_older_than_all_ends_has_a_bucket_too() {
        let mut departures = Departures::default();
        let mut stats = Stats::default();
        stats.inserted_bytes = 10;
        stats.evictions = 7;
        stats.evicted_age_probation_bytes = 10;
        let late = Tick::from_secs(700_000);
        departures.note(late, &stats, &Pace::default());
        assert_eq!(departures.ages[0].counts[ENDS.len()], 7);
    }
}
