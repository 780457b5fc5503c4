//! How fast the cache is written, remembered: from bytes inserted to time passed.
//!
//! The engine has no clock. It tells the age of what it would evict next in bytes inserted
//! since ([`flagstone_engine::ClassStats`]); an operator wants seconds. So the total is noted once a second, and the
//! notes thin out with their age: eight of them a second apart, eight four seconds apart, and so on, which reaches back
//! eight days in a kilobyte.
//!
//! ```text
//!   level 0   · · · · · · · ·                           1 s apart
//!   level 1          ·   ·   ·   ·   …                  4 s apart
//!   level 9                                     …     3 days apart
//! ```

use flagstone_engine::Tick;

/// Notes a level.
const NOTES: usize = 8;
const LEVELS: usize = 10;
/// How much further apart the notes of the next level are.
const RATIO: u64 = 4;

/// The total at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    at_millis: u64,
    bytes: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Pace {
    levels: [[Note; NOTES]; LEVELS],
    /// Notes ever taken, at level 0.
    taken: u64,
}

impl Pace {
    /// Notes that `bytes` were inserted until `now`. Call it once a second.
    pub fn note(&mut self, now: Tick, bytes: u64) {
        let note = Note {
            at_millis: now.as_millis(),
            bytes,
        };
        let mut step = 1;
        for level in &mut self.levels {
            if !self.taken.is_multiple_of(step) {
                break;
            }
            let slot = self.taken / step % NOTES as u64;
            level[slot as usize] = note;
            step *= RATIO;
        }
        self.taken += 1;
    }

    /// Milliseconds since the last `age_bytes` of `bytes` began to be inserted. Between two notes, a
    /// steady pace is assumed; before the first, that everything began at the start.
    #[must_use]
    pub fn age_millis(&self, now: Tick, bytes: u64, age_bytes: u64) -> u64 {
        if age_bytes == 0 {
            return 0;
        }
        let then = bytes.saturating_sub(age_bytes);
        let now_millis = now.as_millis();
        // The nearest notes around `then`: the start and this moment are two more.
        let mut older = Note::default();
        let mut newer = Note {
            at_millis: now_millis,
            bytes,
        };
        for note in self
            .levels
            .iter()
            .flatten()
            .filter(|note| note.at_millis > 0)
        {
            if note.bytes <= then && note.at_millis >= older.at_millis {
                older = *note;
            } else if note.bytes > then && note.at_millis <= newer.at_millis {
                newer = *note;
            }
        }
        let span_bytes = newer.bytes.saturating_sub(older.bytes).max(1);
        let span_millis = newer.at_millis.saturating_sub(older.at_millis);
        let part = u128::from(span_millis) * u128::from(then - older.bytes.min(then))
            / u128::from(span_bytes);
        now_millis.saturating_sub(older.at_millis + (part as u64).min(span_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes a total a second, `rate(second)` bytes more each.
    fn noted(seconds: u64, rate: impl Fn(u64) -> u64) -> (Pace, Tick, u64) {
        let mut pace = Pace::default();
        let mut bytes = 0;
        for second in 1..=seconds {
            bytes += rate(second);
            pace.note(Tick::from_secs(second), bytes);
        }
        (pace, Tick::from_secs(seconds), bytes)
    }

    #[test]
    fn a_steady_pace_is_told_exactly() {
        let (pace, now, bytes) = noted(100_000, |_| 1000);
        for seconds in [0, 1, 3, 10, 100, 3000, 40_000, 99_999] {
            let age = pace.age_millis(now, bytes, seconds * 1000);
            assert!(
                age.abs_diff(seconds * 1000) <= 1000,
                "{seconds} s: {age} ms"
            );
        }
    }

    #[test]
    fn a_change_of_pace_is_remembered() {
        // An hour of much, then an hour of next to nothing.
        let (pace, now, bytes) = noted(7200, |second| if second <= 3600 { 10_000 } else { 1 });
        let slow = pace.age_millis(now, bytes, 1800);
        assert!((1_700_000..=1_900_000).contains(&slow), "{slow}");
        let fast = pace.age_millis(now, bytes, 3600 + 600 * 10_000);
        assert!((4_000_000..=4_500_000).contains(&fast), "{fast}");
        let all = pace.age_millis(now, bytes, bytes);
        assert!(all >= 7_100_000, "{all}");
    }

    #[test]
    fn before_the_first_note_there_is_an_answer() {
        let pace = Pace::default();
        assert_eq!(pace.age_millis(Tick::from_secs(1), 0, 0), 0);
        assert_eq!(pace.age_millis(Tick::from_secs(9), 100, 100), 9000);
        assert_eq!(pace.age_millis(Tick::from_secs(9), 100, 500), 9000);
    }
}
