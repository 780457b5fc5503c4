//! Which list an item belongs on, and what becomes of the one at the tail. Pure policy.
//!
//! Two lists per shard and class, after S3-FIFO (Yang et al., SOSP 2023): new items enter
//! *probation*, a part of the shard; an item that was hit there moves to *main*, the
//! others leave early. A hit only marks; the tail decides, so that reads write nothing
//! once an item is active. How long probation is, and whether hits there count, is a [`Tuning`], and what is asked for decides
//! which ([`trials`](super::trials)).

use super::trials::Tuning;

/// What decides which item leaves when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// New items prove themselves first; what was hit often stays longer. Best for nearly everybody.
    #[default]
    S3Fifo,
    /// The same, but how long new items stay, and whether hits count while they are new, follows what is asked for. Small trials
    /// choose, in 28 KiB. Better for scans, batches and sessions; a value that is large beside the cache may leave
    /// sooner.
    Adaptive,
    /// Who was used longest ago leaves: plain LRU, as memcached has it without its segments. A hit marks, and a marked
    /// item that has come to the tail goes back to the head instead of leaving (lazy promotion),
    /// so hits cost no more than they do otherwise.
    Lru,
}

impl Eviction {
    /// The list that a new item enters. `returns`: it left not long ago.
    pub(crate) fn enters(self, returns: bool) -> Segment {
        match self {
            Eviction::S3Fifo | Eviction::Adaptive if !returns => Segment::Probation,
            _ => Segment::Main,
        }
    }

    /// The marks of an item that was stored again, and so went to the head of its list.
    pub(crate) fn marks_after_store(self, marks: u32) -> u32 {
        match self {
            Eviction::S3Fifo | Eviction::Adaptive => (marks + 1).min(MARKS_MAX),
            Eviction::Lru => 0,
        }
    }
}

/// One of a class's two lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Segment {
    Probation = 0,
    Main = 1,
}

/// Hits that a slot counts. One would do for most traces; three gain up to 0.7 points of hit
/// ratio on those with a stable hot set, and cost two more marks an item.
pub(crate) const MARKS_MAX: u32 = 3;

/// Probation is not made shorter than this at the cost of an unmarked item of main: in a very
/// small cache its share is less than one item, which would leave before
/// anybody could ask for it. An eviction that finds main's tail marked takes one mark off
/// and turns to probation after all: a class of five items must not forget its hot ones.
pub(crate) const PROBATION_LEN_MIN: usize = 1;
/// The same while what is new is large beside what is there: a share of a few parts in a hundred is less than one such item,
/// and it would leave for the next small one. And where nothing adapts: then it is better to have too many, for in a cache of a
/// dozen values of a mebibyte those that were just written are asked for.
const PROBATION_LEN_MIN_LARGE: usize = 3;
/// Large is so many times as many bytes an item.
const LARGE_FACTOR: u64 = 4;

impl Eviction {
    /// Items that probation keeps in any case.
    pub(crate) fn probation_len_min(
        self,
        (probation_len, probation_bytes): (usize, u64),
        (main_len, main_bytes): (usize, u64),
    ) -> usize {
        let mean = |bytes: u64, len: usize| bytes / (len as u64).max(1);
        let all = || mean(probation_bytes + main_bytes, probation_len + main_len);
        let is_alike = || mean(probation_bytes, probation_len) <= LARGE_FACTOR * all();
        match self == Eviction::Adaptive && is_alike() {
            true => PROBATION_LEN_MIN,
            false => PROBATION_LEN_MIN_LARGE,
        }
    }
}

/// Whose tail is examined next, if probation is to keep `probation_min`. `None`: there
/// are no items.
pub(crate) fn examine(
    (probation_len, probation_bytes): (usize, u64),
    (main_len, main_bytes): (usize, u64),
    probation_min: usize,
    tuning: Tuning,
) -> Option<Segment> {
    if probation_len + main_len == 0 {
        None
    } else if probation_len > 0
        && (main_len == 0
            || (probation_len > probation_min
                && probation_bytes * 100
                    >= (probation_bytes + main_bytes) * u64::from(tuning.probation_percent)))
    {
        Some(Segment::Probation)
    } else {
        Some(Segment::Main)
    }
}

/// What becomes of an item at a tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Evict,
    /// To the head of main, with this many marks.
    Keep {
        marks: u32,
    },
}

/// An item that was hit since it was last examined stays, once for each mark; at probation's end, if the tuning has it
/// so, and it has as many marks as that asks for.
pub(crate) fn judge(eviction: Eviction, segment: Segment, marks: u32, tuning: Tuning) -> Verdict {
    match (eviction, segment, marks) {
        (_, _, 0) => Verdict::Evict,
        (Eviction::Lru, ..) => Verdict::Keep { marks: 0 },
        (_, Segment::Probation, marks) if marks < u32::from(tuning.marks_to_main) => Verdict::Evict,
        (_, Segment::Probation, _) => Verdict::Keep { marks: 0 },
        (_, Segment::Main, marks) => Verdict::Keep { marks: marks - 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lru::trials::{NEVER, TUNINGS};

    #[test]
    fn probation_is_kept_at_its_share() {
        assert_eq!(TUNINGS[0].probation_percent, 10);
        for (probation, main, expected) in [
            (0, 0, None),
            (1, 0, Some(Segment::Probation)),
            (0, 1, Some(Segment::Main)),
            (10, 90, Some(Segment::Probation)),
            (9, 91, Some(Segment::Main)),
            (50, 50, Some(Segment::Probation)),
            (1, 2, Some(Segment::Main)),
            (2, 2, Some(Segment::Probation)),
        ] {
            assert_eq!(
                examine(
                    (probation, 7 * probation as u64),
                    (main, 7 * main as u64),
                    PROBATION_LEN_MIN,
                    TUNINGS[0]
                ),
                expected,
                "{probation} {main}"
            );
        }
    }

    #[test]
    fn a_large_newcomer_is_not_the_next_to_leave() {
        let of = |probation, main| Eviction::Adaptive.probation_len_min(probation, main);
        // Ten thousand items of 100 bytes, and a mebibyte.
        let (main, large) = ((10_000, 1_000_000), (1, 1 << 20));
        assert_eq!(of(large, main), 3);
        assert_eq!(of((3, (1 << 20) + 200), main), 3);
        for alike in [(0, 0), (1, 100), (500, 50_000), (1, 400)] {
            assert_eq!(of(alike, main), 1);
        }
        assert_eq!(of((0, 0), (0, 0)), 1);
        assert_eq!(Eviction::S3Fifo.probation_len_min((1, 100), main), 3);
        // Where all are large, none is.
        assert_eq!(of((1, 1 << 20), (4, 4 << 20)), 1);
    }

    #[test]
    fn only_hits_keep_an_item() {
        for (segment, marks, expected) in [
            (Segment::Probation, 0, Verdict::Evict),
            (Segment::Main, 0, Verdict::Evict),
            (Segment::Probation, 1, Verdict::Keep { marks: 0 }),
            (Segment::Main, 1, Verdict::Keep { marks: 0 }),
            (Segment::Main, 3, Verdict::Keep { marks: 2 }),
        ] {
            assert_eq!(
                judge(Eviction::S3Fifo, segment, marks, TUNINGS[0]),
                expected
            );
        }
    }

    #[test]
    fn hits_on_probation_count_if_the_tuning_has_it_so() {
        for (marks_to_main, marks, expected) in [
            (2, 1, Verdict::Evict),
            (2, 2, Verdict::Keep { marks: 0 }),
            (NEVER, MARKS_MAX, Verdict::Evict),
        ] {
            let tuning = Tuning {
                marks_to_main,
                ..TUNINGS[0]
            };
            let verdict = |segment| judge(Eviction::S3Fifo, segment, marks, tuning);
            assert_eq!(verdict(Segment::Probation), expected);
            assert_eq!(verdict(Segment::Main), Verdict::Keep { marks: marks - 1 });
        }
    }

    #[test]
    fn lru_has_one_list_and_forgets_how_often() {
        assert_eq!(Eviction::Lru.enters(false), Segment::Main);
        assert_eq!(Eviction::S3Fifo.enters(false), Segment::Probation);
        assert_eq!(Eviction::S3Fifo.enters(true), Segment::Main);
        for (marks, expected) in [(0, Verdict::Evict), (3, Verdict::Keep { marks: 0 })] {
            assert_eq!(
                judge(Eviction::Lru, Segment::Main, marks, TUNINGS[0]),
                expected
            );
        }
        assert_eq!(Eviction::Lru.marks_after_store(2), 0);
        assert_eq!(Eviction::S3Fifo.marks_after_store(3), 3);
    }
}
