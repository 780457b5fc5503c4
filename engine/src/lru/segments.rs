//! Which list an item belongs on, and what becomes of the one at the tail. Pure policy.
//!
//! Two lists per shard and class, after S3-FIFO (Yang et al., SOSP 2023): new items enter
//! *probation*, a tenth of the class; an item that was hit there moves to *main*, the
//! others leave early. A hit only marks; the tail decides, so that reads write nothing
//! once an item is active.

/// What decides which item leaves when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// New items prove themselves first; what was hit often stays longer. Best for nearly everybody.
    #[default]
    S3Fifo,
    /// Who was used longest ago leaves: plain LRU, as memcached has it without its segments. A hit marks, and a marked
    /// item that has come to the tail goes back to the head instead of leaving (lazy promotion),
    /// so hits cost no more than they do otherwise.
    Lru,
}

impl Eviction {
    /// The list that a new item enters. `returns`: it left not long ago.
    pub(crate) fn enters(self, returns: bool) -> Segment {
        match self {
            Eviction::S3Fifo if !returns => Segment::Probation,
            _ => Segment::Main,
        }
    }

    /// The marks of an item that was stored again, and so went to the head of its list.
    pub(crate) fn marks_after_store(self, marks: u32) -> u32 {
        match self {
            Eviction::S3Fifo => (marks + 1).min(MARKS_MAX),
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

/// Probation's share of a class's items, as a divisor.
const PROBATION_DIVISOR: u64 = 10;

/// Probation is not made shorter than this at the cost of an unmarked item of main: in a
/// small cache a tenth of a shard's class is less than one item, which would leave before
/// anybody could ask for it. An eviction that finds main's tail marked takes one mark off
/// and turns to probation after all: a class of five items must not forget its hot ones.
pub(crate) const PROBATION_LEN_MIN: usize = 3;

/// Whose tail is examined next, if probation is to keep `probation_min`. `None`: the class
/// has no items.
pub(crate) fn examine(
    (probation_len, probation_bytes): (usize, u64),
    (main_len, main_bytes): (usize, u64),
    probation_min: usize,
) -> Option<Segment> {
    if probation_len + main_len == 0 {
        None
    } else if probation_len > 0
        && (main_len == 0
            || (probation_len > probation_min
                && probation_bytes * PROBATION_DIVISOR >= probation_bytes + main_bytes))
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

/// An item that was hit since it was last examined stays, once for each mark.
pub(crate) fn judge(eviction: Eviction, segment: Segment, marks: u32) -> Verdict {
    match (eviction, segment, marks) {
        (_, _, 0) => Verdict::Evict,
        (Eviction::Lru, ..) | (_, Segment::Probation, _) => Verdict::Keep { marks: 0 },
        (_, Segment::Main, marks) => Verdict::Keep { marks: marks - 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probation_is_kept_at_a_tenth() {
        for (probation, main, expected) in [
            (0, 0, None),
            (1, 0, Some(Segment::Probation)),
            (0, 1, Some(Segment::Main)),
            (10, 90, Some(Segment::Probation)),
            (9, 91, Some(Segment::Main)),
            (50, 50, Some(Segment::Probation)),
            (3, 2, Some(Segment::Main)),
            (4, 2, Some(Segment::Probation)),
        ] {
            assert_eq!(
                examine(
                    (probation, 7 * probation as u64),
                    (main, 7 * main as u64),
                    PROBATION_LEN_MIN
                ),
                expected,
                "{probation} {main}"
            );
        }
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
            assert_eq!(judge(Eviction::S3Fifo, segment, marks), expected);
        }
    }

    #[test]
    fn lru_has_one_list_and_forgets_how_often() {
        assert_eq!(Eviction::Lru.enters(false), Segment::Main);
        assert_eq!(Eviction::S3Fifo.enters(false), Segment::Probation);
        assert_eq!(Eviction::S3Fifo.enters(true), Segment::Main);
        for (marks, expected) in [(0, Verdict::Evict), (3, Verdict::Keep { marks: 0 })] {
            assert_eq!(judge(Eviction::Lru, Segment::Main, marks), expected);
        }
        assert_eq!(Eviction::Lru.marks_after_store(2), 0);
        assert_eq!(Eviction::S3Fifo.marks_after_store(3), 3);
    }
}
