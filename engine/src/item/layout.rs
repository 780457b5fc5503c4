//! How an item of a given length is cut into chunks. Pure arithmetic.
//!
//! ```text
//! up to a page   one chunk, or several pieces where one would waste much:  [ head ][end]
//! above          whole pages, then what is left:                           [page][page] … [small][end]
//! ```
//!
//! Two pieces are what makes large items dense: between 1,360 and 2,048 bytes a 4 KiB
//! page has no divisor, and 340 bytes would be lost on average. The end is a run: as long as it has to be, to 16 bytes
//! (`slab::runs`). The price is a second cache line to fetch, so one chunk is kept where it wastes little. Where an end would
//! be long, chunks of size classes stand before it.

use super::header::HEADER_BYTES;
use crate::slab::size_class::SizeClasses;

/// Bytes of the field that a first piece with a second one carries.
pub(crate) const CHAIN_BYTES: usize = 8;
/// A second piece has to save at least this much, and this share of the item.
const SPLIT_SAVES_MIN: usize = 24;
const SPLIT_SAVES_SHARE: usize = 64;

/// Most pieces of size classes smaller than a page.
const SMALL_MAX: usize = 3;

/// Classes of those pieces, first to last.
pub(crate) type Small = [Option<u8>; SMALL_MAX];

/// The pieces, in order: `pages` whole pages, then `small`, then a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub pages: usize,
    pub small: Small,
    /// Bytes of the body in a run, 0 for none. The run may be cut again where there is no free one of this length.
    pub end: usize,
}

impl Layout {
    /// The class of an item that is one chunk, smaller than a page.
    pub fn single(&self) -> Option<usize> {
        match (self.pages, self.small, self.end) {
            (0, [Some(class), None, ..], 0) => Some(usize::from(class)),
            _ => None,
        }
    }

    /// Pieces, if the run is one.
    pub fn pieces(&self) -> usize {
        self.pages + self.small.iter().flatten().count() + usize::from(self.end > 0)
    }

    /// The class of each piece of a class, in order.
    pub fn classes(self, whole_page: usize) -> impl Iterator<Item = usize> {
        std::iter::repeat_n(whole_page, self.pages)
            .chain(self.small.into_iter().flatten().map(usize::from))
    }

    /// The same for an item that has the chain's field whatever its length, as one with a long key.
    pub fn chained(classes: &SizeClasses, lead: usize, body_len: usize) -> Self {
        let total = lead + CHAIN_BYTES + body_len;
        if total > classes.chunk_bytes(classes.whole_page()) {
            return Layout::long(classes, lead + body_len);
        }
        Cut::of(classes, total, lead + CHAIN_BYTES, 0).behind(0)
    }

    /// Of whole pages, as many as hold `body_len` bytes, and at least one.
    pub fn pages(classes: &SizeClasses, lead: usize, body_len: usize) -> Self {
        let page = classes.chunk_bytes(classes.whole_page());
        let behind = (lead + CHAIN_BYTES + body_len).saturating_sub(page);
        Layout {
            pages: 1 + behind.div_ceil(page - HEADER_BYTES),
            small: [None; SMALL_MAX],
            end: 0,
        }
    }

    /// For an item whose first piece needs `lead` bytes (header, fields without the chain,
    /// key) before its `value_len` bytes.
    pub fn of(classes: &SizeClasses, lead: usize, value_len: usize) -> Self {
        match Layout::single_for(classes, lead + value_len) {
            Some(class) => Layout {
                pages: 0,
                small: [Some(class as u8), None, None],
                end: 0,
            },
            None => Layout::of_several(classes, lead, value_len),
        }
    }

    /// The class of an item of `total` bytes that is one chunk whichever of them are its value's: next to nothing of it is
    /// wasted.
    #[inline(always)]
    pub fn single_for(classes: &SizeClasses, total: usize) -> Option<usize> {
        if total > classes.chunk_bytes(classes.whole_page()) {
            return None;
        }
        let class = classes.class_for(total);
        (classes.chunk_bytes(class) - total < SPLIT_SAVES_MIN).then_some(class)
    }

    /// The same as [`Layout::of`] for those that may be cut.
    #[inline(never)]
    fn of_several(classes: &SizeClasses, lead: usize, value_len: usize) -> Self {
        let page = classes.chunk_bytes(classes.whole_page());
        let total = lead + value_len;
        if total <= page {
            let class = classes.class_for(total);
            let waste = classes.chunk_bytes(class) - total;
            if waste >= saves_min(total) {
                // Chained, if it pays: the field is lost like waste.
                let cut = Cut::of(classes, total + CHAIN_BYTES, lead + CHAIN_BYTES, 0);
                if cut.waste + CHAIN_BYTES + saves_min(total) <= waste {
                    return cut.behind(0);
                }
            }
            return Layout {
                pages: 0,
                small: [Some(class as u8), None, None],
                end: 0,
            };
        }
        Layout::long(classes, total)
    }

    /// Of an item that a page is too small for, of `total` bytes without the chain's field.
    fn long(classes: &SizeClasses, total: usize) -> Self {
        let page = classes.chunk_bytes(classes.whole_page());
        let payload = page - HEADER_BYTES;
        let rest = total + CHAIN_BYTES - page;
        let (pages, left) = (rest / payload, rest % payload);
        let cut = if left == 0 {
            Cut::default()
        } else if left + HEADER_BYTES <= classes.run_bytes_max() {
            Cut::run(classes, left + HEADER_BYTES)
        } else {
            Cut::of(classes, left + HEADER_BYTES, HEADER_BYTES + 1, 0)
        };
        cut.behind(1 + pages)
    }
}

/// What a cut has to save for `bytes`.
fn saves_min(bytes: usize) -> usize {
    SPLIT_SAVES_MIN.max(bytes / SPLIT_SAVES_SHARE)
}

/// A way to cut what is at most a page.
#[derive(Clone, Copy, Default)]
struct Cut {
    /// Bytes that are lost, further headers included.
    waste: usize,
    small: Small,
    end: usize,
}

impl Cut {
    fn behind(self, pages: usize) -> Layout {
        Layout {
            pages,
            small: self.small,
            end: self.end,
        }
    }

    /// All `bytes`, header included, in a run.
    fn run(classes: &SizeClasses, bytes: usize) -> Self {
        Cut {
            waste: classes.run_units(bytes) * classes.unit_bytes() - bytes,
            small: [None; SMALL_MAX],
            end: bytes - HEADER_BYTES,
        }
    }

    /// Cuts `bytes` (headers included) from piece `at` on, the first of at least `first_min` bytes. The first of all
    /// is no run.
    fn of(classes: &SizeClasses, bytes: usize, first_min: usize, at: usize) -> Self {
        if at == SMALL_MAX || (at > 0 && bytes <= classes.run_bytes_max()) {
            return Cut::run(classes, bytes);
        }
        let page = classes.chunk_bytes(classes.whole_page());
        let mut best = Cut {
            waste: usize::MAX,
            ..Cut::default()
        };
        if bytes <= page {
            let class = if at == 0 {
                classes.class_for(bytes)
            } else {
                classes.tail_for(bytes)
            };
            best.waste = classes.chunk_bytes(class) - bytes;
            best.small[at] = Some(class as u8);
            if best.waste < saves_min(bytes) {
                return best;
            }
        }
        let below = if at == 0 {
            classes.class_below(bytes.min(page))
        } else {
            classes.tail_below(bytes.min(page))
        };
        if let Some(first) = below
            && classes.chunk_bytes(first) >= first_min
        {
            let rest = bytes - classes.chunk_bytes(first) + HEADER_BYTES;
            let mut cut = Cut::of(classes, rest, HEADER_BYTES + 1, at + 1);
            cut.small[at] = Some(first as u8);
            cut.waste = cut.waste.saturating_add(HEADER_BYTES);
            if cut.waste.saturating_add(saves_min(bytes)) <= best.waste {
                best = cut;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(classes: &SizeClasses, layout: Layout) -> usize {
        let pieces: Vec<usize> = layout
            .classes(classes.whole_page())
            .map(|class| classes.chunk_bytes(class))
            .collect();
        let run = classes.run_units(HEADER_BYTES + layout.end) * classes.unit_bytes();
        let run = if layout.end > 0 { run } else { 0 };
        let overhead = if layout.pieces() == 1 {
            0
        } else {
            CHAIN_BYTES + (layout.pieces() - 1) * HEADER_BYTES
        };
        pieces.iter().sum::<usize>() + run - overhead
    }

    #[test]
    fn every_length_fits_and_little_is_lost() {
        for page in [4096, 16 << 10, 64 << 10] {
            let classes = SizeClasses::new(page, 8);
            let mut worst = 0.0f64;
            for lead in [13, 32, 262, 298] {
                for value_len in (0..3 * page).step_by(7) {
                    let total = lead + value_len;
                    let layout = Layout::of(&classes, lead, value_len);
                    let capacity = capacity(&classes, layout);
                    assert!(capacity >= total, "{lead} + {value_len}: {layout:?}");
                    let first = layout.classes(classes.whole_page()).next().unwrap();
                    assert!(classes.chunk_bytes(first) >= lead);
                    assert!(layout.end + HEADER_BYTES <= classes.run_bytes_max());
                    // A long key keeps an item from being split, so it may waste more.
                    if total > 200 && lead < 64 {
                        worst = worst.max((capacity - total) as f64 / total as f64);
                    }
                }
            }
            assert!(worst < 0.18, "page {page}: worst waste {worst}");
        }
    }
}
