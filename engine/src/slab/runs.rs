//! A page of runs: chunks of any length, in units, told apart by a bit for each unit.
//!
//! ```text
//! unit 0          4              …                                        512
//!      ┌──────────┬──────────┬───────┬────────────┬─────────────────────┐
//!      │ bits     │ run      │ free  │ run        │ free                │
//!      └──────────┴──────────┴───────┴────────────┴─────────────────────┘
//! ```
//!
//! A bit is 1 where a unit is in use; those of the bits themselves always are. How long a run is, its header says: whoever
//! goes from one run to the next reads that. Guarded by the shard's lock; readers never look at the bits. Knows neither items
//! nor lists.

use crate::arena::Arena;
use crate::geometry::Geometry;

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// The bits of one page.
#[derive(Clone, Copy)]
pub(crate) struct RunPage<'a> {
    arena: &'a Arena,
    /// Of the page.
    first_word: usize,
    units: usize,
    bitmap_units: usize,
}

/// Where a run may be, and what is left then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    pub start: usize,
    /// Units of the longest free run once this one is taken.
    pub longest: usize,
}

impl<'a> RunPage<'a> {
    pub fn new(arena: &'a Arena, geometry: &Geometry, page_no: usize) -> Self {
        RunPage {
            arena,
            first_word: geometry.page_word(page_no),
            units: geometry.classes.units_per_page(),
            bitmap_units: geometry.classes.bitmap_units(),
        }
    }

    /// No run is in it. Units that can be.
    pub fn clear(self) -> usize {
        self.arena.clear_words(self.first_word, self.units / BITS);
        self.set(0, self.bitmap_units, true);
        self.units - self.bitmap_units
    }

    /// Units in use, those of the bits included.
    pub fn used(self) -> usize {
        let words = self.first_word..self.first_word + self.units / BITS;
        words
            .map(|word| self.arena.load(word).count_ones() as usize)
            .sum()
    }

    /// The first unit from `at` on that is in use or not; the page's end if there is none.
    fn next(self, at: usize, in_use: bool) -> usize {
        let flip = if in_use { 0 } else { !0 };
        let mut word = at / BITS;
        let mut mask = !0 << (at % BITS);
        while word < self.units / BITS {
            let bits = (self.arena.load(self.first_word + word) ^ flip) & mask;
            if bits != 0 {
                return word * BITS + bits.trailing_zeros() as usize;
            }
            word += 1;
            mask = !0;
        }
        self.units
    }

    /// The first unit of the free ones right before `at`.
    fn free_from(self, at: usize) -> usize {
        // The bits' own units are in use, so that there is an end.
        let mut word = at / BITS;
        let mut mask = !(!0 << (at % BITS));
        loop {
            let bits = self.arena.load(self.first_word + word) & mask;
            if bits != 0 {
                return word * BITS + BITS - bits.leading_zeros() as usize;
            }
            let Some(before) = word.checked_sub(1) else {
                return 0;
            };
            word = before;
            mask = !0;
        }
    }

    /// Free runs: first unit and how many.
    fn free_runs(self) -> impl Iterator<Item = (usize, usize)> {
        let mut at = self.bitmap_units;
        std::iter::from_fn(move || {
            let start = self.next(at, false);
            let end = self.next(start, true);
            at = end;
            (start < self.units).then_some((start, end - start))
        })
    }

    /// Units of the longest free run.
    pub fn longest(self) -> usize {
        self.free_runs().map(|(_, units)| units).max().unwrap_or(0)
    }

    /// The shortest free run that holds `units`.
    pub fn fit(self, units: usize) -> Option<Fit> {
        let (mut best, mut others) = (None, 0);
        for (start, free) in self.free_runs() {
            match best {
                None if free >= units => best = Some((start, free)),
                Some((_, least)) if free >= units && free < least => {
                    others = others.max(least);
                    best = Some((start, free));
                }
                _ => others = others.max(free),
            }
        }
        best.map(|(start, free)| Fit {
            start,
            longest: others.max(free - units),
        })
    }

    /// Whether `units` from `start` on lie in the page, behind its bits, and none is in use.
    pub fn is_free(self, start: usize, units: usize) -> bool {
        start >= self.bitmap_units
            && start < self.units
            && units <= self.units - start
            && self.next(start, true) >= start + units
    }

    /// Whether all these units are in use, for the audit.
    pub fn is_in_use(self, start: usize, units: usize) -> bool {
        start >= self.bitmap_units && self.next(start, false) >= start + units
    }

    /// Takes units into use, or out of it.
    pub fn set(self, start: usize, units: usize, in_use: bool) {
        let (mut at, end) = (start, start + units);
        while at < end {
            let here = (end - at).min(BITS - at % BITS);
            let mask = (!0 >> (BITS - here)) << (at % BITS);
            let word = self.first_word + at / BITS;
            let bits = self.arena.load(word);
            debug_assert_eq!(
                bits & mask,
                if in_use { 0 } else { mask },
                "a unit is taken once, and freed once"
            );
            self.arena
                .store(word, if in_use { bits | mask } else { bits & !mask });
            at += here;
        }
    }

    /// Units of the free run around `start`, which is free.
    pub fn free_around(self, start: usize) -> usize {
        self.next(start, true) - self.free_from(start)
    }

    /// The first unit in use from `at` on, which is a run's first if `at` is one's end.
    pub fn next_run(self, at: usize) -> Option<usize> {
        let start = self.next(at.max(self.bitmap_units), true);
        (start < self.units).then_some(start)
    }
}

/// Lists that pages of runs are on, by their longest free run: four for each doubling.
pub(crate) const RUN_LISTS: usize = 48;

/// The list of pages whose longest free run is of so many units, which are at most 4,096.
#[inline]
pub(crate) fn list_of(units: usize) -> usize {
    match units.checked_ilog2() {
        Some(log @ 2..) => (log as usize - 1) * 4 + (units >> (log - 2) & 3),
        _ => units,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Backing;

    #[test]
    fn lists_rise_with_the_length_and_there_is_one_for_each() {
        let mut last = 0;
        for units in 1..=4096 {
            let list = list_of(units);
            assert!((last..=last + 1).contains(&list), "{units}: {list}");
            assert!(list < RUN_LISTS);
            last = list;
        }
    }

    /// Runs come and go at random beside a plain table of units.
    #[test]
    fn the_bits_agree_with_a_plain_table() {
        for page_bytes in [4096, 8192, 64 << 10] {
            let geometry = Geometry::of_pages(page_bytes, 3, 2);
            let arena = Arena::open(
                geometry.arena_words,
                &Backing::Heap,
                false,
                false,
                false,
                4096,
            )
            .unwrap();
            let page = RunPage::new(&arena, &geometry, 1);
            let units = geometry.classes.units_per_page();
            let first = geometry.classes.bitmap_units();
            assert_eq!(page.clear(), units - first);
            let mut table = vec![false; units];
            table[..first].fill(true);
            let mut runs: Vec<(usize, usize)> = Vec::new();
            let mut seed = 7u64;
            let mut below = |most: usize| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as usize % most
            };
            for _ in 0..4000 {
                let wanted = 1 + below(units / 8);
                let free: Vec<_> = plain_runs(&table);
                let best = free
                    .iter()
                    .filter(|run| run.1 >= wanted)
                    .min_by_key(|run| run.1);
                let found = page.fit(wanted);
                assert_eq!(found.map(|fit| fit.start), best.map(|run| run.0));
                if let Some(fit) = found {
                    assert!(page.is_free(fit.start, wanted));
                    page.set(fit.start, wanted, true);
                    table[fit.start..fit.start + wanted].fill(true);
                    runs.push((fit.start, wanted));
                    let longest = plain_runs(&table).iter().map(|run| run.1).max();
                    assert_eq!(fit.longest, longest.unwrap_or(0));
                    assert!(!page.is_free(fit.start, 1));
                }
                if found.is_none() || below(3) == 0 {
                    let (start, count) = runs.swap_remove(below(runs.len()));
                    page.set(start, count, false);
                    table[start..start + count].fill(false);
                    let around = plain_runs(&table);
                    let around = around
                        .iter()
                        .find(|run| (run.0..run.0 + run.1).contains(&start));
                    assert_eq!(page.free_around(start), around.unwrap().1);
                }
                assert_eq!(
                    page.longest(),
                    plain_runs(&table)
                        .iter()
                        .map(|run| run.1)
                        .max()
                        .unwrap_or(0)
                );
                assert_eq!(page.used(), table.iter().filter(|used| **used).count());
            }
            assert!(
                !page.is_free(first - 1, 1)
                    && !page.is_free(units, 1)
                    && !page.is_free(first, usize::MAX)
            );
        }
    }

    fn plain_runs(table: &[bool]) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < table.len() {
            let end = table[at..].iter().position(|&used| used != table[at]);
            let end = end.map_or(table.len(), |count| at + count);
            if !table[at] {
                runs.push((at, end - at));
            }
            at = end;
        }
        runs
    }
}
