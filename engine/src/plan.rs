//! Where each byte of the budget goes.
//!
//! `Options → Plan` turns one number into counts, one addend a line, and the addends sum
//! to the budget exactly. `Cache::open` then reserves what the plan says, and nothing
//! after that asks the global allocator for anything.

use crate::arena::Backing;
use crate::error::PlanError;
use crate::geometry::{
    BUDGET_BYTES_MAX, DIRECTORY_ENTRY_BYTES, Geometry, PAGE_META_WORDS, SHARD_COUNT,
    SHARD_HEADER_BYTES, SUPERBLOCK_BYTES, WORD_BYTES, directory_entries_for, page_bytes_for,
};
use crate::item::header::HEADER_BYTES;
use crate::item::layout::Layout;
use crate::lru::choice::Choice;
use crate::options::{ITEM_BYTES_LEAST, ITEM_BYTES_MOST, Options};
use crate::persist::superblock::{Superblock, Unusable};
use crate::persist::{self, Nothing};
use crate::shard::locked::Shard;

/// What [`Cache`](crate::Cache) itself is counted as: about 1,500 bytes, which is asserted where it is defined. The plan
/// cannot ask for its size, because the cache knows the plan.
pub(crate) const CACHE_BYTES_MAX: usize = 1664;

/// Bytes of index an item: ten to a bucket of 64 bytes, which thirteen of sixteen lines are, make 7.9; the others are overflow
/// buckets, and pages that are not full.
const INDEX_BYTES: f64 = 10.0;

/// One addend of the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanLine {
    /// What the bytes are for.
    pub name: &'static str,
    /// How many.
    pub bytes: usize,
    /// How the number comes about.
    pub note: String,
}

/// A budget turned into counts.
#[derive(Clone, Debug)]
pub struct Plan {
    options: Options,
    geometry: Geometry,
    /// What is in the arena's file, if the cache is to go on with it.
    found: Result<Superblock, Nothing>,
    /// Bytes that the arena has beyond the budget's: those of pages that are retired when it is opened.
    excess_bytes: usize,
}

impl Plan {
    /// Plans the most pages that the budget holds.
    ///
    /// # Errors
    /// When the budget or the largest item is out of range; the error names the range.
    pub fn new(options: &Options) -> Result<Plan, PlanError> {
        let item_bytes_max = options.item_bytes_max;
        if !(ITEM_BYTES_LEAST..=ITEM_BYTES_MOST).contains(&item_bytes_max) {
            return Err(PlanError::ItemBytesMax {
                item_bytes_max,
                least: ITEM_BYTES_LEAST,
                most: ITEM_BYTES_MOST,
            });
        }
        if options.budget_bytes > BUDGET_BYTES_MAX {
            return Err(PlanError::BudgetTooLarge {
                budget_bytes: options.budget_bytes,
                budget_bytes_max: BUDGET_BYTES_MAX,
            });
        }
        let Some(geometry) = fit(options.budget_bytes, item_bytes_max, options.os_page_bytes)
        else {
            return Err(PlanError::BudgetTooSmall {
                budget_bytes: options.budget_bytes,
                budget_bytes_min: budget_bytes_min(item_bytes_max, options.os_page_bytes),
            });
        };
        let mut plan = Plan {
            options: options.clone(),
            geometry,
            found: Err(Nothing::NotAsked),
            excess_bytes: 0,
        };
        if options.restore
            && let Backing::File(path) = &options.backing
        {
            plan.found = persist::look(path).and_then(|found| plan.go_on_with(found));
        }
        Ok(plan)
    }

    /// Plans around an arena that is there.
    fn go_on_with(&mut self, found: Superblock) -> Result<Superblock, Nothing> {
        let options = &self.options;
        let unusable = |why| Err(Nothing::Unusable(why));
        if found.boot != options.boot {
            return unusable(Unusable::Boot);
        }
        if found.unix_zero > options.unix_zero {
            return unusable(Unusable::Future);
        }
        if found.places.page_bytes < options.os_page_bytes {
            return unusable(Unusable::Pages);
        }
        let geometry = Geometry::of(found.places);
        let needed = geometry.arena_words * WORD_BYTES + control_bytes(&geometry);
        let excess_bytes = needed.saturating_sub(options.budget_bytes);
        let pages = geometry
            .usable_pages()
            .saturating_sub(excess_bytes.div_ceil(geometry.page_bytes));
        if pages < page_count_min(geometry.page_bytes, options.item_bytes_max) {
            return unusable(Unusable::Budget);
        }
        let spare = options.budget_bytes.saturating_sub(needed);
        let grown = (spare >= needed / GROWTH_SHARE_MIN)
            .then(|| geometry.grown(spare))
            .flatten();
        (self.geometry, self.excess_bytes) = (grown.unwrap_or(geometry), excess_bytes);
        Ok(found)
    }

    /// The same, to go on with an arena that is not a file.
    #[cfg(test)]
    pub(crate) fn of_found(options: &Options, found: Superblock) -> Result<Plan, Nothing> {
        let mut plan = Plan::new(options).expect("a plan");
        plan.found = plan.go_on_with(found);
        plan.found.map(|_| plan)
    }

    /// Pages that the budget holds: all, unless the arena was made for a larger one.
    #[must_use]
    pub fn pages_in_budget(&self) -> usize {
        let page_bytes = self.geometry.page_bytes;
        self.page_count() - self.excess_bytes.div_ceil(page_bytes)
    }

    /// Why nothing of the arena's file can be restored, if that is asked for and there is one.
    #[must_use]
    pub fn unusable(&self) -> Option<Unusable> {
        match self.found {
            Err(Nothing::Unusable(why)) => Some(why),
            _ => None,
        }
    }

    /// What is in the arena's file, if the cache is to go on with it.
    pub(crate) fn found(&self) -> Result<Superblock, Nothing> {
        self.found
    }

    /// The addends, in the order of the arena; they sum to [`Plan::budget_bytes`].
    pub fn lines(&self) -> impl Iterator<Item = PlanLine> + use<> {
        let geometry = &self.geometry;
        let pages = geometry.usable_pages();
        let entries = geometry.page_count;
        let headers = SHARD_COUNT * SHARD_HEADER_BYTES;
        let table = entries * PAGE_META_WORDS * WORD_BYTES;
        let directory = SHARD_COUNT * geometry.directory_entries * DIRECTORY_ENTRY_BYTES;
        let page_bytes = pages * geometry.page_bytes;
        let arena = geometry.arena_words * WORD_BYTES;
        let alignment = arena - SUPERBLOCK_BYTES - headers - table - directory - page_bytes;
        let control = control_bytes(geometry) - Choice::HEAP_BYTES;
        let trials = Choice::HEAP_BYTES;
        let rest = self.budget_bytes() - arena - control - trials;
        [
            (
                "superblock",
                SUPERBLOCK_BYTES,
                "format and layout".to_owned(),
            ),
            (
                "shard headers",
                headers,
                format!("{SHARD_COUNT} x {SHARD_HEADER_BYTES}"),
            ),
            (
                "page table",
                table,
                format!("{entries} x {}", PAGE_META_WORDS * WORD_BYTES),
            ),
            (
                "index directory",
                directory,
                format!(
                    "{SHARD_COUNT} x {} x {DIRECTORY_ENTRY_BYTES}",
                    geometry.directory_entries
                ),
            ),
            ("alignment", alignment, "to the first page".to_owned()),
            (
                "pages",
                page_bytes,
                format!("{pages} x {}: items and index", geometry.page_bytes),
            ),
            ("control", control, "locks, lists, size classes".to_owned()),
            (
                "trials",
                trials,
                "what decides how long new items stay".to_owned(),
            ),
            ("unused", rest, "less than a page".to_owned()),
        ]
        .into_iter()
        .map(|(name, bytes, note)| PlanLine { name, bytes, note })
    }

    /// The sum of the lines: what was asked, or what an arena needs that is there and was made for more.
    #[must_use]
    pub fn budget_bytes(&self) -> usize {
        self.options.budget_bytes + self.excess_bytes
    }

    /// The longest value, in bytes.
    #[must_use]
    pub fn item_bytes_max(&self) -> usize {
        self.options.item_bytes_max
    }

    /// Bytes of a page.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.geometry.page_bytes
    }

    /// Pages for items and index.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.geometry.usable_pages()
    }

    /// About how many items of `item_bytes` (key and value) the pages hold: chunks, the end's run, and the index.
    #[must_use]
    pub fn items_expected(&self, item_bytes: usize) -> usize {
        let key_len = item_bytes.min(20);
        let classes = &self.geometry.classes;
        let layout = Layout::of(classes, HEADER_BYTES + key_len, item_bytes - key_len);
        let chunks: f64 = layout
            .classes(classes.whole_page())
            .map(|class| self.geometry.page_bytes as f64 / classes.chunks_per_page(class) as f64)
            .sum();
        let run = classes.run_units(HEADER_BYTES + layout.end) * classes.unit_bytes();
        let chunks = chunks + if layout.end > 0 { run as f64 } else { 0.0 };
        let bytes = self.page_count() * self.geometry.page_bytes;
        (bytes as f64 / (chunks + INDEX_BYTES)) as usize
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The fewest pages with which the cache works: [`Cache::resize`](crate::Cache::resize) leaves so many.
    #[must_use]
    pub fn page_count_min(&self) -> usize {
        page_count_min(self.page_bytes(), self.item_bytes_max())
    }
}

/// An arena that is there grows if the budget has a 64th of it to spare: each time its tables are made anew, and the
/// place of the old ones is lost.
const GROWTH_SHARE_MIN: usize = 64;

/// The pages that must be there: each shard's first index page and two more, and the
/// largest item twice, so that one can be replaced while another arrives.
fn page_count_min(page_bytes: usize, item_bytes_max: usize) -> usize {
    let item_pages = item_bytes_max.div_ceil(page_bytes - HEADER_BYTES) + 2;
    3 * SHARD_COUNT + 2 * item_pages
}

/// Heap bytes of everything that is not in the arena.
fn control_bytes(geometry: &Geometry) -> usize {
    // The geometry's tables stand in the plan and in the region.
    CACHE_BYTES_MAX
        + Choice::HEAP_BYTES
        + 2 * geometry.classes.heap_bytes()
        + SHARD_COUNT * Shard::heap_bytes(geometry.classes.count())
}

/// The most pages for which everything fits the budget.
fn fit(budget_bytes: usize, item_bytes_max: usize, os_page_bytes: usize) -> Option<Geometry> {
    let page_bytes = page_bytes_for(budget_bytes, os_page_bytes);
    let fixed = SUPERBLOCK_BYTES + SHARD_COUNT * SHARD_HEADER_BYTES;
    let per_page = page_bytes + PAGE_META_WORDS * WORD_BYTES + DIRECTORY_ENTRY_BYTES;
    let mut page_count = budget_bytes.checked_sub(fixed)? / per_page;
    let least = page_count_min(page_bytes, item_bytes_max);
    loop {
        if page_count < least {
            return None;
        }
        debug_assert!(directory_entries_for(page_count).is_multiple_of(2));
        let geometry = Geometry::new(budget_bytes, page_count, os_page_bytes);
        let needed = geometry.arena_words * WORD_BYTES + control_bytes(&geometry);
        if needed <= budget_bytes {
            return Some(geometry);
        }
        page_count -= (needed - budget_bytes).div_ceil(per_page).max(1);
    }
}

/// The smallest budget that holds `item_bytes_max`, to the KiB.
fn budget_bytes_min(item_bytes_max: usize, os_page_bytes: usize) -> usize {
    let (mut low, mut high) = (0, BUDGET_BYTES_MAX >> 10);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fit(middle << 10, item_bytes_max, os_page_bytes).is_some() {
            high = middle;
        } else {
            low = middle;
        }
    }
    high << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_sum_to_the_budget() {
        for budget_bytes in [
            4 << 20,
            (16 << 20) + 12_345,
            64 << 20,
            (64 << 20) + 1,
            1 << 30,
            3 << 30,
        ] {
            let plan = Plan::new(&Options {
                budget_bytes,
                ..Options::default()
            })
            .unwrap();
            let sum: usize = plan.lines().map(|line| line.bytes).sum();
            assert_eq!(sum, budget_bytes);
            let rest = plan.lines().last().unwrap().bytes;
            assert!(
                rest < 2 * plan.page_bytes(),
                "{budget_bytes}: {rest} unused"
            );
        }
    }

    #[test]
    fn a_refused_budget_names_the_least_that_works() {
        for item_bytes_max in [1 << 10, 1 << 20, 8 << 20] {
            let ask = |budget_bytes| {
                Plan::new(&Options {
                    budget_bytes,
                    item_bytes_max,
                    ..Options::default()
                })
            };
            let Err(PlanError::BudgetTooSmall {
                budget_bytes_min, ..
            }) = ask(10)
            else {
                panic!("ten bytes are not a cache");
            };
            assert!(ask(budget_bytes_min).is_ok());
            assert!(ask(budget_bytes_min - 1024).is_err());
        }
        let too_long = Options {
            item_bytes_max: 1 << 30,
            ..Options::default()
        };
        assert!(matches!(
            Plan::new(&too_long),
            Err(PlanError::ItemBytesMax { .. })
        ));
    }
}
