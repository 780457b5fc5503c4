//! How long the values were that clients stored, and how long they asked for them to be kept: two histograms a protocol.
//!
//! A whole value that was stored counts once in each, whichever command brought it. What changes a part of a value (`APPEND`,
//! `INCR`, `SETRANGE`, bits), its deadline alone (`EXPIRE`, `touch`), or its key (`RENAME`, `COPY`) brings no such value.
//!
//! Each worker counts for itself, in plain counters. The short way has no lifetimes: so those that ask for none are not counted, but are all
//! stores less those that ask for one. A store costs a logarithm and two additions to memory of its worker's own.
//!
//! ```text
//!   value   0 or 1   2   3 … 4   5 … 8   …   64 MiB + 1 … 128 MiB   beyond
//! ```

use flagstone_engine::{Deadline, Tick};

use super::counters::Counter;
use crate::proto::Speech;

/// Buckets of sizes: the upper end of one is a power of two, which belongs to it; the last has none.
pub const SIZES: usize = 29;
/// As many places as a logarithm of 32 bits can name, so that none needs to be checked.
const PLACES: usize = u32::BITS as usize;
/// Ends of the buckets of lifetimes, in seconds.
pub const LIFETIME_ENDS: [u64; 10] = [
    1, 10, 60, 600, 3600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000,
];

static_assertions::const_assert!(SIZES <= PLACES);

/// The upper end of a bucket of sizes in bytes; `None` for the last.
#[must_use]
pub const fn size_end(bucket: usize) -> Option<u64> {
    match bucket + 1 < SIZES {
        true => Some(1 << bucket),
        false => None,
    }
}

/// The logarithm, rounded up. No value is as long as 2 GiB.
#[inline(always)]
fn place_of(value_len: usize) -> usize {
    let len = (value_len as u32).max(1);
    (len.wrapping_mul(2).wrapping_sub(1) | 1).ilog2() as usize
}

/// One worker's, of one protocol.
#[derive(Debug)]
struct Series {
    sizes: [Counter; PLACES],
    bytes: Counter,
    /// The last is for those beyond all ends.
    lifetimes: [Counter; LIFETIME_ENDS.len() + 1],
    seconds: Counter,
}

impl Default for Series {
    fn default() -> Self {
        Series {
            sizes: std::array::from_fn(|_| Counter::default()),
            bytes: Counter::default(),
            lifetimes: std::array::from_fn(|_| Counter::default()),
            seconds: Counter::default(),
        }
    }
}

/// One worker's. Only that worker writes.
#[derive(Debug, Default)]
pub struct Stores([Series; Speech::NAMES.len()]);

impl Stores {
    /// A value of so many bytes was stored, to be kept for ever.
    #[inline(always)]
    pub fn note(&self, speech: Speech, value_len: usize) {
        let series = &self.0[speech as usize];
        series.sizes[place_of(value_len)].add(1);
        series.bytes.add(value_len as u64);
    }

    /// The same of one that may be kept only so long.
    #[inline]
    pub fn note_until(&self, speech: Speech, value_len: usize, deadline: Deadline, now: Tick) {
        self.note(speech, value_len);
        if let Some(end) = deadline.tick() {
            // A deadline was rounded up to a second when it was set.
            let seconds = end.millis_since(now) / 1000;
            let place = LIFETIME_ENDS.iter().position(|&end| seconds <= end);
            let series = &self.0[speech as usize];
            series.lifetimes[place.unwrap_or(LIFETIME_ENDS.len())].add(1);
            series.seconds.add(seconds);
        }
    }
}

/// The sum of all workers' of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// One of [`Speech::NAMES`].
    pub protocol: &'static str,
    /// By bucket.
    pub sizes: [u64; SIZES],
    /// All values together.
    pub bytes: u64,
    /// By bucket, of those that were to be kept only so long; the last for those beyond all ends.
    pub lifetimes: [u64; LIFETIME_ENDS.len() + 1],
    /// Those lifetimes together.
    pub seconds: u64,
}

impl Stored {
    fn none(protocol: &'static str) -> Self {
        Stored {
            protocol,
            sizes: [0; SIZES],
            bytes: 0,
            lifetimes: [0; LIFETIME_ENDS.len() + 1],
            seconds: 0,
        }
    }

    fn add_worker(&mut self, series: &Series) {
        // Lifetimes first: a store counts its size first, so that there are never more lifetimes than sizes.
        for (sum, count) in self.lifetimes.iter_mut().zip(&series.lifetimes) {
            *sum += count.get();
        }
        self.seconds += series.seconds.get();
        for (place, count) in series.sizes.iter().enumerate() {
            self.sizes[place.min(SIZES - 1)] += count.get();
        }
        self.bytes += series.bytes.get();
    }

    /// Adds another protocol's.
    pub fn add(&mut self, other: &Stored) {
        let sizes = self.sizes.iter_mut().zip(&other.sizes);
        let lifetimes = self.lifetimes.iter_mut().zip(&other.lifetimes);
        sizes.chain(lifetimes).for_each(|(sum, one)| *sum += one);
        self.bytes += other.bytes;
        self.seconds += other.seconds;
    }

    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Those to be kept for ever.
    #[must_use]
    pub fn forever(&self) -> u64 {
        self.count()
            .saturating_sub(self.lifetimes.iter().sum::<u64>())
    }

    /// So long are at most this part (of a thousand) of all values: the end of their bucket in bytes. 0 without any.
    #[must_use]
    pub fn size_at(&self, permille: u64) -> u64 {
        let wanted = (self.count() * permille).div_ceil(1000);
        let mut below = 0;
        let reached = self.sizes.iter().position(|count| {
            below += count;
            below >= wanted
        });
        match reached {
            Some(bucket) if wanted > 0 => size_end(bucket).unwrap_or(1 << (SIZES - 1)),
            _ => 0,
        }
    }
}

/// A protocol after the other.
pub type AllStored = [Stored; Speech::NAMES.len()];

/// What all workers counted.
pub fn stored<'s>(workers: impl Iterator<Item = &'s Stores>) -> AllStored {
    let mut all = Speech::NAMES.map(Stored::none);
    for worker in workers {
        for (sum, series) in all.iter_mut().zip(&worker.0) {
            sum.add_worker(series);
        }
    }
    all
}

/// Of all protocols.
#[must_use]
pub fn sum_of(all: &[Stored]) -> Stored {
    let mut sum = Stored::none("");
    all.iter().for_each(|one| sum.add(one));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_bucket_that_ends_at_or_behind_it() {
        for (len, end) in [
            (0, Some(1)),
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(4)),
            (4, Some(4)),
            (5, Some(8)),
            (1023, Some(1024)),
            (1024, Some(1024)),
            (1025, Some(2048)),
            (1 << 27, Some(1 << 27)),
            ((1 << 27) + 1, None),
            (1 << 30, None),
        ] {
            let stores = Stores::default();
            stores.note(Speech::Meta, len);
            let all = stored([&stores].into_iter());
            let bucket = all[Speech::Meta as usize]
                .sizes
                .iter()
                .position(|&count| count == 1);
            assert_eq!(size_end(bucket.expect("counted")), end, "{len}");
            assert_eq!(sum_of(&all).bytes, len as u64);
        }
    }

    #[test]
    fn lifetimes_are_whole_seconds() {
        let now = Tick::from_millis(12_345);
        let stores = [Stores::default(), Stores::default()];
        for (no, seconds) in [0, 1, 2, 10, 11, 60, 86_400, 86_401, 40_000_000]
            .into_iter()
            .enumerate()
        {
            let deadline = Deadline::after_secs(now, seconds);
            stores[no % 2].note_until(Speech::Resp, 7, deadline, now);
        }
        stores[0].note_until(Speech::Resp, 7, Deadline::NEVER, now);
        stores[1].note(Speech::Resp, 7);
        let exact = Deadline::exact(now.plus_millis(10_500));
        stores[1].note_until(Speech::Native, 3, exact, now);
        let all = stored(stores.iter());
        let resp = &all[Speech::Resp as usize];
        assert_eq!(resp.lifetimes, [2, 2, 2, 0, 0, 0, 1, 1, 0, 0, 1]);
        assert_eq!((resp.count(), resp.forever()), (11, 2));
        assert_eq!(
            resp.seconds,
            1 + 2 + 10 + 11 + 60 + 86_400 + 86_401 + 40_000_000
        );
        assert_eq!(all[Speech::Native as usize].lifetimes[1], 1);
        assert_eq!(sum_of(&all).count(), 12);
    }

    #[test]
    fn percentiles_are_ends_of_buckets() {
        let stores = Stores::default();
        assert_eq!(sum_of(&stored([&stores].into_iter())).size_at(500), 0);
        for len in [10, 100, 100, 5000] {
            stores.note(Speech::Binary, len);
        }
        let all = sum_of(&stored([&stores].into_iter()));
        for (permille, end) in [(250, 16), (251, 128), (750, 128), (751, 8192), (990, 8192)] {
            assert_eq!(all.size_at(permille), end, "{permille}");
        }
    }
}
