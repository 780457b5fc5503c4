//! Runs: chunks that are as long as what is in them, for the ends of items that are cut.
//!
//! All lengths share pages (`slab::runs`), so that a shard has one kind of page partly free where it had one for each class.
//! A page is on a list by its longest free run. Of a run nothing is known beside it: its header says how much of a
//! body it holds, and that never changes by more than fits.

use super::Slab;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, WORD_BYTES};
use crate::item::header::{HEADER_BYTES, Header, Kind};
use crate::region::Region;
use crate::slab::free_list::PageList;
use crate::slab::page::{CLASS_RUNS, NO_DEADLINE, PageMeta, PageTable};
use crate::slab::runs::{RUN_LISTS, RunPage, list_of};
use crate::stamp::{self, StdFences};

/// Pages looked at on a list some of whose pages have a run that is long enough. On the lists above it all have.
const LOOKS_MAX: usize = 8;

/// A run that is worth a piece of its own holds so many bytes of a body.
const PART_BYTES_MIN: usize = 48;

/// The pages of runs of one shard.
pub(super) struct Runs {
    /// By the longest free run; pages without any are on none.
    lists: [PageList; RUN_LISTS],
    /// The lists that have pages, a bit each.
    filled: u64,
    pages: usize,
    /// Free units in them.
    free: usize,
    /// It was tried in vain to empty a page, and so many units have to be given back before it is tried again.
    rest: usize,
}

impl Runs {
    pub(super) const EMPTY: Runs = Runs {
        lists: [PageList::EMPTY; RUN_LISTS],
        filled: 0,
        pages: 0,
        free: 0,
        rest: 0,
    };

    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    pub(super) fn free(&self) -> usize {
        self.free
    }

    fn push(&mut self, table: PageTable<'_>, page_no: usize, longest: usize) {
        if longest > 0 {
            let list = list_of(longest);
            self.lists[list].push(table, page_no);
            self.filled |= 1 << list;
        }
    }

    fn remove(&mut self, table: PageTable<'_>, page_no: usize, longest: usize) {
        if longest > 0 {
            let list = list_of(longest);
            self.lists[list].remove(table, page_no);
            if self.lists[list].first().is_none() {
                self.filled &= !(1 << list);
            }
        }
    }

    /// A page that has a free run of `units`, the shorter its longest is the better.
    fn page_for(&self, table: PageTable<'_>, units: usize) -> Option<usize> {
        let list = list_of(units);
        let near = pages_of(table, self.lists[list])
            .take(LOOKS_MAX)
            .find(|&page_no| usize::from(table.get(page_no).free_head) >= units);
        if near.is_some() {
            return near;
        }
        let above = self.filled & !0 << (list + 1);
        if above == 0 {
            return None;
        }
        self.lists[above.trailing_zeros() as usize].first()
    }

    /// Pages, those with the longest free runs first.
    fn emptiest(&self, table: PageTable<'_>) -> impl Iterator<Item = usize> {
        (0..RUN_LISTS)
            .rev()
            .filter(|list| self.filled >> list & 1 == 1)
            .flat_map(move |list| pages_of(table, self.lists[list]))
    }
}

fn pages_of(table: PageTable<'_>, list: PageList) -> impl Iterator<Item = usize> {
    std::iter::successors(list.first(), move |&page_no| {
        (table.get(page_no).next as usize).checked_sub(1)
    })
}

/// Units of the run that holds `len` bytes of a body.
pub(super) fn units_for(geometry: &Geometry, len: usize) -> usize {
    geometry.classes.run_units(HEADER_BYTES + len)
}

/// Units of a run, by its header.
pub(crate) fn run_units(region: &Region, word: usize) -> usize {
    let header = Header::unpack(region.arena.load(word + 1));
    units_for(&region.geometry, usize::from(header.value_len))
}

/// Where in a page of runs a word is, in units.
pub(crate) fn unit_of(geometry: &Geometry, page_no: usize, word: usize) -> usize {
    (word - geometry.page_word(page_no)) * WORD_BYTES / geometry.classes.unit_bytes()
}

/// The first run of a page at or behind unit `at`, which is where a run begins or ends: its word, and the unit at its end.
pub(crate) fn next_run(region: &Region, page_no: usize, at: usize) -> Option<(usize, usize)> {
    let geometry = &region.geometry;
    let start = RunPage::new(&region.arena, geometry, page_no).next_run(at)?;
    let word = geometry.page_word(page_no) + start * geometry.classes.unit_bytes() / WORD_BYTES;
    Some((word, start + run_units(region, word)))
}

impl Slab {
    pub fn run_pages(&self) -> usize {
        self.runs.pages()
    }

    /// Free units in pages of runs.
    pub fn run_units_free(&self) -> usize {
        self.runs.free()
    }

    /// Makes a free page of the pool a page of runs.
    pub fn adopt_runs(&mut self, region: &Region, page_no: usize) {
        let (table, geometry) = (region.pages(), &region.geometry);
        // Whoever still reads what was here must see that its bucket has moved on.
        stamp::before_reuse::<StdFences>();
        let free = RunPage::new(&region.arena, geometry, page_no).clear();
        let meta = PageMeta {
            class: CLASS_RUNS,
            shard: self.shard_no as u8,
            carved: (geometry.classes.units_per_page() - free) as u16,
            free_head: free as u16,
            ..PageMeta::EMPTY
        };
        table.set(page_no, meta);
        table.set_generation(page_no, self.generation);
        self.runs.push(table, page_no, free);
        self.runs.pages += 1;
        self.runs.free += free;
        self.item_pages += 1;
    }

    /// A run for `len` bytes of a body, from a page that has one. Its header is written, and belongs to no item yet.
    pub fn take_run(&mut self, region: &Region, len: usize) -> Option<ChunkRef> {
        let (table, geometry) = (region.pages(), &region.geometry);
        let units = units_for(geometry, len);
        let page_no = self.runs.page_for(table, units)?;
        let bits = RunPage::new(&region.arena, geometry, page_no);
        let fit = bits
            .fit(units)
            .expect("the page is on a list by its longest run");
        let word =
            geometry.page_word(page_no) + fit.start * geometry.classes.unit_bytes() / WORD_BYTES;
        stamp::before_reuse::<StdFences>();
        // First the header, then the bits: whoever goes through the page knows how long each run is.
        let header = Header::new(Kind::Continuation, 0, 0, len);
        region.arena.store(word, 0);
        region.arena.store(word + 1, header.pack_into(0));
        bits.set(fit.start, units, true);
        let before = usize::from(table.get(page_no).free_head);
        self.relist(table, page_no, before, fit.longest, |meta| {
            meta.live += 1;
            meta.carved += units as u16;
        });
        self.runs.free -= units;
        Some(geometry.chunk_at(word))
    }

    /// So many bytes of a body the longest free run holds; 0 if that is not worth a piece.
    pub fn longest_part(&self, region: &Region) -> usize {
        let longest = self.runs.emptiest(region.pages()).next();
        longest.map_or(0, |page_no| {
            let units = usize::from(region.pages().get(page_no).free_head);
            let bytes = units * region.geometry.classes.unit_bytes();
            match bytes.saturating_sub(HEADER_BYTES) {
                ..PART_BYTES_MIN => 0,
                bytes => bytes,
            }
        })
    }

    /// Changes a page's entry; it is on the list for `before` units, and then on that for `longest`.
    fn relist(
        &mut self,
        table: PageTable<'_>,
        page_no: usize,
        before: usize,
        longest: usize,
        change: impl FnOnce(&mut PageMeta),
    ) {
        let moves = self.evacuating != Some(page_no)
            && (before == 0 || longest == 0 || list_of(before) != list_of(longest));
        if moves {
            self.runs.remove(table, page_no, before);
        }
        let mut meta = table.get(page_no);
        meta.free_head = longest as u16;
        change(&mut meta);
        table.set(page_no, meta);
        if moves {
            self.runs.push(table, page_no, longest);
        }
    }

    /// Takes a run back; its page goes to the pool if that was the last one. Apart: most chunks are no runs.
    #[inline(never)]
    pub(super) fn give_run(&mut self, region: &Region, word: usize, page_no: usize) {
        let (table, geometry) = (region.pages(), &region.geometry);
        let units = run_units(region, word);
        let start = unit_of(geometry, page_no, word);
        let bits = RunPage::new(&region.arena, geometry, page_no);
        bits.set(start, units, false);
        let free = Header::new(Kind::Free, 0, 0, 0).pack_into(0);
        stamp::before_reuse::<StdFences>();
        region.arena.store(word + 1, free);
        self.runs.free += units;
        self.runs.rest = self.runs.rest.saturating_sub(units);
        let meta = table.get(page_no);
        let before = usize::from(meta.free_head);
        let longest = before.max(bits.free_around(start));
        self.relist(table, page_no, before, longest, |meta| {
            meta.live -= 1;
            meta.carved -= units as u16;
        });
        if meta.live == 1 && self.evacuating != Some(page_no) {
            self.runs.remove(table, page_no, longest);
            self.release(region, page_no, CLASS_RUNS);
        }
    }

    /// A page of runs is nobody's any more.
    pub(super) fn forget_run_page(&mut self, geometry: &Geometry) {
        self.runs.pages -= 1;
        self.runs.free -= geometry.classes.units_per_page() - geometry.classes.bitmap_units();
        self.item_pages -= 1;
    }

    /// Takes a page of runs off its list, or puts it back.
    pub(super) fn list_run_page(&mut self, region: &Region, page_no: usize, is_listed: bool) {
        let table = region.pages();
        let longest = usize::from(table.get(page_no).free_head);
        if is_listed {
            self.runs.push(table, page_no, longest);
        } else {
            self.runs.remove(table, page_no, longest);
        }
    }

    /// Whether a page of runs is on the list that it should be on, for the audit.
    pub fn lists_run_page(&self, region: &Region, page_no: usize) -> bool {
        let table = region.pages();
        match usize::from(table.get(page_no).free_head) {
            0 => true,
            longest => pages_of(table, self.runs.lists[list_of(longest)]).any(|on| on == page_no),
        }
    }

    /// Whether a page of runs might be emptied into the others: a page's worth is free, and an eighth, because not every
    /// run finds a place elsewhere.
    #[inline(always)]
    pub fn runs_are_sparse(&self, region: &Region) -> bool {
        let units = region.geometry.classes.units_per_page();
        self.runs.free >= units + units / 8 && self.runs.rest == 0
    }

    /// A page of runs was emptied, or could not be: then an eighth of a page has to come free before it is tried again.
    pub fn note_emptied(&mut self, region: &Region, is_empty: bool) {
        self.runs.rest = match is_empty {
            true => 0,
            false => region.geometry.classes.units_per_page() / 8,
        };
    }

    /// Whether there is a free run for `len` bytes of a body.
    pub fn has_run(&self, region: &Region, len: usize) -> bool {
        let units = units_for(&region.geometry, len);
        self.runs.page_for(region.pages(), units).is_some()
    }

    /// Of `looks` pages of runs with long free ones, the one that has most free, if nothing in it is held.
    pub fn emptiest_runs(&self, region: &Region, looks: usize) -> Option<usize> {
        let table = region.pages();
        self.runs
            .emptiest(table)
            .take(looks)
            .filter(|&page_no| table.get(page_no).held == 0)
            .min_by_key(|&page_no| table.get(page_no).carved)
    }

    pub(super) fn forget_runs(&mut self) {
        self.runs = Runs::EMPTY;
    }

    /// Makes a page of runs, which is on no list, one of today's: its runs are those of which `keep` says so by their
    /// word, as its bits have them. Returns how many they are; without any the page goes to the pool.
    pub(super) fn take_over_runs(
        &mut self,
        region: &Region,
        page_no: usize,
        held: u16,
        mut keep: impl FnMut(usize) -> bool,
    ) -> u16 {
        let (table, geometry) = (region.pages(), &region.geometry);
        let bits = RunPage::new(&region.arena, geometry, page_no);
        let mut live = 0;
        let mut at = 0;
        stamp::before_reuse::<StdFences>();
        while let Some((word, end)) = next_run(region, page_no, at) {
            if keep(word) {
                live += 1;
            } else {
                let start = unit_of(geometry, page_no, word);
                bits.set(start, end - start, false);
                let free = Header::new(Kind::Free, 0, 0, 0).pack_into(0);
                region.arena.store(word + 1, free);
            }
            at = end;
        }
        if live == 0 {
            region.pool.push(table, page_no);
            return 0;
        }
        let used = bits.used();
        let meta = PageMeta {
            class: CLASS_RUNS,
            shard: self.shard_no as u8,
            live,
            held,
            carved: used as u16,
            free_head: bits.longest() as u16,
            ..PageMeta::EMPTY
        };
        table.set(page_no, meta);
        table.set_deadline(page_no, NO_DEADLINE);
        table.set_generation(page_no, self.generation);
        self.runs.push(table, page_no, usize::from(meta.free_head));
        self.runs.pages += 1;
        self.runs.free += geometry.classes.units_per_page() - used;
        self.item_pages += 1;
        live
    }
}
