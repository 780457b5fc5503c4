//! Latency over time: a coarse histogram for each interval of the run.
//!
//! ```text
//!   interval   0        1        2     …   127         after the 128th, neighbours are added
//!            ┌────────┬────────┬────────┬─┬────────┐   up and an interval is twice as long:
//!   buckets  │ 897    │ 897    │ 897    │…│ 897    │   0+1, 2+3, …
//!            └────────┴────────┴────────┴─┴────────┘
//! ```
//!
//! A bucket is a 32nd of an octave, 3 % wide: a plot shows no more. So a run of any length has
//! one fixed room, 450 KiB a thread, and a run of 12.8 s or less has intervals of 100 ms.
//! A latency belongs to the interval in which its reply came.

use std::ops::Range;

use crate::tally::SLOT_NS;

/// Intervals that there is room for.
const INTERVALS: usize = 128;
/// Buckets of an octave, as a power of two.
const PARTS_LOG: u32 = 5;
const PARTS: usize = 1 << PARTS_LOG;
/// The first bucket holds everything below this octave (1 µs), the last all above the end of
/// the last octave (137 s).
const OCTAVES: Range<u32> = 10..38;
const BUCKETS: usize = 1 + (OCTAVES.end - OCTAVES.start) as usize * PARTS;

/// See the head of the file.
#[derive(Clone, Debug)]
pub struct Timeline {
    interval_ns: u64,
    /// Histograms, one behind another; empty: nothing is kept.
    counts: Vec<u32>,
    /// The interval of the moment.
    at: usize,
}

impl Timeline {
    /// One that keeps nothing, and whatever is added to it.
    #[must_use]
    pub fn none() -> Self {
        Timeline {
            interval_ns: SLOT_NS,
            counts: Vec::new(),
            at: 0,
        }
    }

    /// One of a run.
    #[must_use]
    pub fn new() -> Self {
        Timeline {
            counts: vec![0; INTERVALS * BUCKETS],
            ..Timeline::none()
        }
    }

    /// Whether the clock has come to another interval.
    #[inline]
    #[must_use]
    pub fn is_elsewhere(&self, since_start_ns: u64) -> bool {
        let begin_ns = self.at as u64 * self.interval_ns;
        since_start_ns.wrapping_sub(begin_ns) >= self.interval_ns
    }

    /// Latencies belong from now on to the interval of this moment.
    #[cold]
    pub fn go(&mut self, since_start_ns: u64) {
        while since_start_ns / self.interval_ns >= INTERVALS as u64 {
            self.coarsen();
        }
        self.at = (since_start_ns / self.interval_ns) as usize;
    }

    /// Counts a latency so many times.
    #[inline]
    pub fn record(&mut self, latency_ns: u64, count: u64) {
        if let Some(found) = self.counts.get_mut(self.at * BUCKETS + bucket(latency_ns)) {
            *found = found.saturating_add(count as u32);
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, mut other: Timeline) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            *self = other;
            return;
        }
        while self.interval_ns < other.interval_ns {
            self.coarsen();
        }
        while other.interval_ns < self.interval_ns {
            other.coarsen();
        }
        for (mine, its) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*its);
        }
        self.at = self.at.max(other.at);
    }

    /// How long an interval is.
    #[must_use]
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Of each interval up to the last with a reply, the latencies in nanoseconds that these
    /// percentages of its requests do not exceed; `None` for one without replies.
    #[must_use]
    pub fn percentiles<const N: usize>(&self, percents: [f64; N]) -> Vec<Option<[f64; N]>> {
        let mut found: Vec<_> = self
            .counts
            .chunks_exact(BUCKETS)
            .map(|counts| {
                let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
                (total > 0).then(|| percents.map(|percent| percentile(counts, total, percent)))
            })
            .collect();
        let used = found.iter().rposition(Option::is_some);
        found.truncate(used.map_or(0, |at| at + 1));
        found
    }

    fn coarsen(&mut self) {
        self.interval_ns *= 2;
        self.at /= 2;
        let half = self.counts.len() / 2;
        for to in (0..half).step_by(BUCKETS) {
            for bucket in 0..BUCKETS {
                let pair = [2 * to, 2 * to + BUCKETS].map(|from| self.counts[from + bucket]);
                self.counts[to + bucket] = pair[0].saturating_add(pair[1]);
            }
        }
        self.counts[half..].fill(0);
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline::new()
    }
}

#[inline]
fn bucket(latency_ns: u64) -> usize {
    let octave = latency_ns.max(1).ilog2();
    if octave < OCTAVES.start {
        return 0;
    }
    let part = (latency_ns >> (octave - PARTS_LOG)) as usize - PARTS;
    (1 + (octave - OCTAVES.start) as usize * PARTS + part).min(BUCKETS - 1)
}

/// The middle of a bucket.
fn middle(bucket: usize) -> f64 {
    let Some(above) = bucket.checked_sub(1) else {
        return f64::from(1u32 << (OCTAVES.start - 1));
    };
    let octave = f64::from(OCTAVES.start) + (above / PARTS) as f64;
    octave.exp2() * (1.0 + ((above % PARTS) as f64 + 0.5) / PARTS as f64)
}

fn percentile(counts: &[u32], total: u64, percent: f64) -> f64 {
    let wanted = ((total as f64 * percent / 100.0).ceil() as u64).max(1);
    let mut passed = 0;
    let at = counts.iter().position(|&count| {
        passed += u64::from(count);
        passed >= wanted
    });
    middle(at.unwrap_or(BUCKETS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found / expected - 1.0).abs() < 0.02
    }

    #[test]
    fn a_bucket_holds_its_middle_and_buckets_ascend() {
        assert_eq!((bucket(0), bucket(1023), bucket(1024)), (0, 0, 1));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for at in 0..BUCKETS {
            assert_eq!(bucket(middle(at) as u64), at);
            assert!(at == 0 || middle(at) > middle(at - 1));
        }
        for latency in [1500, 77_000, 3_000_000, 90_000_000_000u64] {
            assert!(near(middle(bucket(latency)), latency as f64), "{latency}");
        }
    }

    #[test]
    fn intervals_grow_and_keep_what_they_had() {
        let mut line = Timeline::new();
        // 1 ms in the first second, 2 ms in the second, nothing in the third, and so on.
        for tenth in 0..600u64 {
            let since_ns = tenth * SLOT_NS;
            if line.is_elsewhere(since_ns) {
                line.go(since_ns);
            }
            match tenth / 10 % 3 {
                2 => {}
                kind => line.record((kind + 1) * 1_000_000, 10),
            }
        }
        // 60 s fit 128 intervals of 800 ms.
        assert_eq!(line.interval_ns(), 8 * SLOT_NS);
        let found = line.percentiles([50.0, 99.0]);
        assert_eq!(found.len(), 74, "the last second with a reply ends at 59 s");
        let [p50, p99] = found[0].expect("replies");
        assert!(near(p50, 1e6) && near(p99, 1e6), "{p50} {p99}");
        // From 0.8 s to 1.6 s: two tenths of one, six of the other.
        let [p50, p99] = found[1].expect("replies");
        assert!(near(p50, 2e6) && near(p99, 2e6), "{p50} {p99}");
    }

    #[test]
    fn threads_with_other_intervals_are_added_up() {
        let mut sum = Timeline::none();
        for seconds in [1u64, 30] {
            let mut line = Timeline::new();
            line.record(1_000_000, 3);
            line.go(seconds * 1_000_000_000);
            line.record(8_000_000, 1);
            sum.add(line);
        }
        sum.add(Timeline::none());
        let found = sum.percentiles([50.0]);
        assert_eq!((sum.interval_ns(), found.len()), (4 * SLOT_NS, 76));
        let at = |at: usize| found[at].map(|[p50]| p50);
        assert!(near(at(0).expect("six"), 1e6));
        assert!(near(at(2).expect("one"), 8e6) && near(at(75).expect("one"), 8e6));
        assert_eq!(at(3), None);
    }

    #[test]
    fn what_keeps_nothing_costs_nothing() {
        let mut line = Timeline::none();
        line.record(1000, 1);
        assert!(line.percentiles([50.0]).is_empty());
    }
}
