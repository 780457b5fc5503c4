//! Which list an item belongs on, and what becomes of the one at the tail. Pure policy.
//!
//! Two lists per shard and class, after S3-FIFO (Yang et al., SOSP 2023): new items enter
//! *probation*, a part of the shard; an item that was hit there moves to *main*, the
//! others leave early. A hit only marks; the tail decides, so that reads write nothing
//! once an item is active. How long probation is, and whether hits there count, is a [`Tuning`], and what is asked for decides
//! which ([`trials`](super::trials)).

use super::trials::{TUNINGS, Tuning};

/// What decides which item leaves when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// New items prove themselves first, in a tenth of the memory; what was hit often stays longer.
    S3Fifo,
    /// The same, but how long new items stay, and whether hits count while they are new, follows what is asked for. Small trials
    /// choose, in 28 KiB. Better for scans, batches and sessions, and as good for the others. Of sizes the trials know
    /// nothing: what is large beside the other items goes by rules of its own, and a shard of fewer than four by those of
    /// [`Eviction::S3Fifo`].
    #[default]
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
/// The same where nothing adapts: then it is better to have too many, for in a cache of a
/// dozen values of a mebibyte those that were just written are asked for.
const PROBATION_LEN_MIN_FIXED: usize = 3;
/// An item is large if it takes up so many times as many bytes as the mean of all.
const LARGE_ITEM: u64 = 16;
/// What is new is large if its mean is so many times that of all. It need not all be: a mebibyte among small items.
const LARGE_MEAN: u64 = 4;
/// What goes while what is new is large. A tenth of a shard may be less than one such item, which would leave for the next
/// few small ones. Of a third it stays for as long as others do, and still most of the memory is not for what is new.
const LARGE: Tuning = Tuning {
    probation_percent: 33,
    marks_to_main: 1,
};
/// A shard of fewer items does not adapt: of three a quarter is none.
const ADAPTS_FROM: usize = 4;

/// Items, and the bytes that they take up.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Held {
    pub items: usize,
    pub bytes: u64,
}

impl Held {
    pub fn and(self, other: Held) -> Held {
        Held {
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Whether the mean of these is more than `factor` times that of `all`.
    fn is_large_beside(self, all: Held, factor: u64) -> bool {
        self.bytes.saturating_mul(all.items as u64)
            > (factor * all.bytes).saturating_mul(self.items.max(1) as u64)
    }
}

/// What the two lists of a shard go by for the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    pub tuning: Tuning,
    /// Items that probation keeps in any case.
    pub probation_min: usize,
}

impl Eviction {
    /// What a cache's lists go by, if the trials chose `chosen`. Of sizes a trial knows nothing: what is large beside the other
    /// items goes its own way, and a shard of so few that a share means little is S3-FIFO's.
    pub(crate) fn terms(self, chosen: Tuning, probation: Held, main: Held) -> Terms {
        let all = probation.and(main);
        let is_large = probation.is_large_beside(all, LARGE_MEAN);
        let adapts = self == Eviction::Adaptive && all.items >= ADAPTS_FROM && !is_large;
        match adapts {
            true => Terms {
                tuning: chosen,
                probation_min: PROBATION_LEN_MIN,
            },
            false => Terms {
                tuning: if is_large { LARGE } else { TUNINGS[0] },
                probation_min: PROBATION_LEN_MIN_FIXED,
            },
        }
    }
}

impl Terms {
    /// What goes for an item of `bytes` among `all`.
    pub fn of_item(self, bytes: u64, all: Held) -> Tuning {
        let item = Held { items: 1, bytes };
        match item.is_large_beside(all, LARGE_ITEM) {
            true => TUNINGS[0],
            false => self.tuning,
        }
    }
}

/// Whose tail is examined next. `None`: there are no items.
pub(crate) fn examine(
    probation: Held,
    main: Held,
    Terms {
        tuning,
        probation_min,
    }: Terms,
) -> Option<Segment> {
    if probation.items + main.items == 0 {
        None
    } else if probation.items > 0
        && (main.items == 0
            || (probation.items > probation_min
                && probation.bytes * 100
                    >= (probation.bytes + main.bytes) * u64::from(tuning.probation_percent)))
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
                    held(probation, 7 * probation as u64),
                    held(main, 7 * main as u64),
                    Terms {
                        tuning: TUNINGS[0],
                        probation_min: PROBATION_LEN_MIN
                    },
                ),
                expected,
                "{probation} {main}"
            );
        }
    }

    fn held(items: usize, bytes: u64) -> Held {
        Held { items, bytes }
    }

    #[test]
    fn what_is_large_or_few_does_not_adapt() {
        let chosen = TUNINGS[1];
        assert_ne!(chosen, TUNINGS[0]);
        let fixed = Terms {
            tuning: TUNINGS[0],
            probation_min: 3,
        };
        let large_new = Terms {
            tuning: LARGE,
            ..fixed
        };
        let adapted = Terms {
            tuning: chosen,
            probation_min: 1,
        };
        let of = |probation, main| Eviction::Adaptive.terms(chosen, probation, main);
        // Ten thousand items of 100 bytes, and a mebibyte.
        let (main, large) = (held(10_000, 1_000_000), held(1, 1 << 20));
        assert_eq!(of(large, main), large_new);
        assert_eq!(of(held(3, (1 << 20) + 200), main), large_new);
        for alike in [held(0, 0), held(1, 100), held(500, 50_000), held(1, 400)] {
            assert_eq!(of(alike, main), adapted);
        }
        // Where all are large, none is.
        assert_eq!(of(held(1, 1 << 20), held(3, 3 << 20)), adapted);
        assert_eq!(of(held(1, 1 << 20), held(2, 2 << 20)), fixed);
        assert_eq!(of(held(0, 0), held(0, 0)), fixed);
        let unmoved = Eviction::S3Fifo.terms(chosen, held(1, 100), main);
        assert_eq!(unmoved, fixed);
        assert_eq!(Eviction::S3Fifo.terms(chosen, large, main), large_new);
    }

    #[test]
    fn hits_on_a_large_item_count_whatever_is_chosen() {
        let terms = Terms {
            tuning: TUNINGS[1],
            probation_min: PROBATION_LEN_MIN,
        };
        let all = held(10_000, 1_000_000);
        assert_eq!(terms.of_item(1_600, all), TUNINGS[1]);
        assert_eq!(terms.of_item(1_601, all), TUNINGS[0]);
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
