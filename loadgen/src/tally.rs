//! What one thread counts while it runs; the sum of them is the report.
//!
//! Nothing here allocates while requests are counted, except that the list of slots grows if a
//! run is longer than was expected.

use hdrhistogram::Histogram;

use crate::failure::shown;
use crate::timeline::Timeline;
use crate::value::{TypeCase, Wrong};
use crate::wire::{Asked, Reply};

/// How long a slot of the throughput plot is.
pub const SLOT_NS: u64 = 100_000_000;
/// The longest latency that is told from longer ones: 100 s.
const LATENCY_NS_MAX: u64 = 100_000_000_000;

/// Counts and latencies.
#[derive(Debug)]
pub struct Tally {
    /// Nanoseconds, three significant digits, by what was asked.
    pub latency: [Histogram<u64>; 3],
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none. No error: that is what caches do.
    pub misses: u64,
    /// Replies that say no.
    pub refused: u64,
    /// Values that are not what was asked for.
    pub wrong: u64,
    /// Requests that were due and had no reply when the run was given up.
    pub unanswered: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Replies in each slot of time since the start.
    pub slots: Vec<u64>,
    /// Latencies over time.
    pub timeline: Timeline,
    /// The first refusal and the first wrong value, in words.
    pub first_refusal: Option<String>,
    /// See [`first_refusal`](Self::first_refusal).
    pub first_wrong: Option<String>,
    /// How much was measured before this: its moments lie behind that.
    before_ns: u64,
    /// Latencies that were equal in a row, not yet in a histogram: the replies of a batch
    /// arrive together, and one entry for all of them is cheaper.
    row: Row,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    asked: Asked,
    latency_ns: u64,
    count: u64,
}

impl Tally {
    /// Nothing counted, with room for so many slots. Without any, it keeps no timeline.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
                .expect("constant bounds, which are in order")
        };
        Tally {
            latency: [histogram(), histogram(), histogram()],
            hits: 0,
            misses: 0,
            refused: 0,
            wrong: 0,
            unanswered: 0,
            sent_bytes: 0,
            received_bytes: 0,
            slots: Vec::with_capacity(slots),
            timeline: if slots > 0 {
                Timeline::new()
            } else {
                Timeline::none()
            },
            first_refusal: None,
            first_wrong: None,
            before_ns: 0,
            row: Row {
                asked: Asked::Read,
                latency_ns: 0,
                count: 0,
            },
        }
    }

    /// One whose time begins where `before_ns` of measuring have ended: a later round.
    #[must_use]
    pub fn behind(before_ns: u64, slots: usize) -> Self {
        Tally {
            before_ns,
            ..Tally::new(slots)
        }
    }

    /// Latencies that were counted, by [`time`](Self::time), and settled.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.latency.iter().map(Histogram::len).sum()
    }

    /// Counts one reply; a value is checked if there is a type case to check it with.
    #[inline]
    pub fn judge(&mut self, asked: Asked, key: u32, reply: Reply<'_>, case: Option<&TypeCase>) {
        match reply {
            Reply::Value(value) => {
                self.hits += 1;
                if let Some(case) = case
                    && let Err(wrong) = case.check(key, value)
                {
                    self.note_wrong(key, value, wrong);
                }
            }
            Reply::Missing => self.misses += u64::from(asked == Asked::Read),
            Reply::Done => {}
            Reply::Refused(words) => {
                self.refused += 1;
                self.first_refusal.get_or_insert_with(|| shown(words));
            }
        }
    }

    #[cold]
    fn note_wrong(&mut self, key: u32, value: &[u8], wrong: Wrong) {
        self.wrong += 1;
        self.first_wrong.get_or_insert_with(|| {
            let what = match wrong {
                Wrong::Foreign { found } => format!("is key {found:08x}'s"),
                Wrong::Head => "has no head that agrees with its length".to_owned(),
                Wrong::Body { at } => format!("is wrong from byte {at} on"),
            };
            format!(
                "the value of key {key:08x}, {} bytes, {what}: {}",
                value.len(),
                shown(value)
            )
        });
    }

    /// Counts a latency.
    #[inline]
    pub fn time(&mut self, asked: Asked, latency_ns: u64) {
        if self.row.asked == asked && self.row.latency_ns == latency_ns {
            self.row.count += 1;
            return;
        }
        self.settle();
        self.row = Row {
            asked,
            latency_ns,
            count: 1,
        };
    }

    /// Latencies that are counted from now on are of this moment.
    #[inline]
    pub fn now(&mut self, since_start_ns: u64) {
        let since_start_ns = self.before_ns + since_start_ns;
        if self.timeline.is_elsewhere(since_start_ns) {
            // A row of equal latencies ends with its interval.
            self.settle();
            self.timeline.go(since_start_ns);
        }
    }

    /// Puts what is held back into its histogram.
    pub fn settle(&mut self) {
        let Row {
            asked,
            latency_ns,
            count,
        } = self.row;
        if count > 0 {
            self.latency[asked as usize].saturating_record_n(latency_ns, count);
            self.timeline.record(latency_ns, count);
            self.row.count = 0;
        }
    }

    /// Counts `count` replies at a time since the start.
    #[inline]
    pub fn slot(&mut self, since_start_ns: u64, count: u64) {
        let at = ((self.before_ns + since_start_ns) / SLOT_NS) as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, 0);
        }
        self.slots[at] += count;
    }

    /// Adds another thread's counts.
    pub fn add(&mut self, mut other: Tally) {
        self.settle();
        other.settle();
        for (mine, its) in self.latency.iter_mut().zip(&other.latency) {
            mine.add(its).expect("the bounds are the same");
        }
        self.hits += other.hits;
        self.misses += other.misses;
        self.refused += other.refused;
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        if self.slots.len() < other.slots.len() {
            self.slots.resize(other.slots.len(), 0);
        }
        for (mine, its) in self.slots.iter_mut().zip(&other.slots) {
            *mine += its;
        }
        self.timeline.add(other.timeline);
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_equal_latencies_lose_none() {
        let mut tally = Tally::new(1);
        let mut expected = [0u64; 3];
        for i in 0..1000u64 {
            let asked = [Asked::Read, Asked::Write, Asked::Delete][(i / 7 % 3) as usize];
            tally.time(asked, 1000 + i / 10 * 100);
            expected[asked as usize] += 1;
        }
        tally.settle();
        tally.settle();
        for (histogram, expected) in tally.latency.iter().zip(expected) {
            assert_eq!(histogram.len(), expected);
        }
        assert_eq!(tally.latency.iter().map(|h| h.min()).min(), Some(1000));
        let max = tally.latency.iter().map(|h| h.max()).max().expect("three");
        assert!((10_900..10_920).contains(&max), "{max}");
    }

    #[test]
    fn a_latency_past_the_longest_is_the_longest() {
        let mut tally = Tally::new(1);
        tally.time(Asked::Read, 10 * LATENCY_NS_MAX);
        tally.settle();
        assert_eq!(tally.latency[0].len(), 1);
        assert!(tally.latency[0].max() >= LATENCY_NS_MAX);
    }

    #[test]
    fn replies_are_counted_by_what_they_are() {
        let case = TypeCase::new(100);
        let mut value = Vec::new();
        case.write(&mut value, 7, 1, 40);
        let mut tally = Tally::new(1);
        let check = |tally: &mut Tally, asked, reply, expected: [u64; 4]| {
            tally.judge(asked, 7, reply, Some(&case));
            let found = [tally.hits, tally.misses, tally.refused, tally.wrong];
            assert_eq!(found, expected, "{asked:?} {reply:?}");
        };
        check(&mut tally, Asked::Read, Reply::Value(&value), [1, 0, 0, 0]);
        check(&mut tally, Asked::Read, Reply::Missing, [1, 1, 0, 0]);
        check(&mut tally, Asked::Delete, Reply::Missing, [1, 1, 0, 0]);
        check(&mut tally, Asked::Write, Reply::Done, [1, 1, 0, 0]);
        let no = Reply::Refused(b"ERROR");
        check(&mut tally, Asked::Write, no, [1, 1, 1, 0]);
        check(&mut tally, Asked::Read, Reply::Value(b"x"), [2, 1, 1, 1]);
        assert_eq!(tally.first_refusal.as_deref(), Some("\"ERROR\""));
        assert!(tally.first_wrong.expect("one").contains("00000007"));
        // Without a type case, nothing is checked.
        let mut tally = Tally::new(1);
        tally.judge(Asked::Read, 7, Reply::Value(b"x"), None);
        assert_eq!((tally.hits, tally.wrong), (1, 0));
    }

    #[test]
    fn sums_keep_everything() {
        let mut sum = Tally::new(1);
        for thread in 0..3 {
            let mut tally = Tally::new(1);
            tally.time(Asked::Read, 500);
            tally.slot(SLOT_NS * thread, 2);
            tally.misses = thread;
            sum.add(tally);
        }
        assert_eq!(sum.latency[0].len(), 3);
        assert_eq!(sum.slots, [2, 2, 2]);
        assert_eq!(sum.misses, 3);
    }
}
