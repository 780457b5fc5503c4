//! Ghosts: what the index remembers of items that were evicted, in lines of their own.
//!
//! ```text
//! a page of the index   ┌ bucket ┬ bucket ┬ … ┬ bucket ┬ ghosts ┬ … ┬ ghosts ┐
//! a line of ghosts      ┌ lane 0 ┬ lane 1 ┬ … ┬ lane 30 ┬ cursor ┐    lane 16: print 12, epoch 4
//! ```
//!
//! A *print* is 12 bits of the item's hash, or 0 for nobody; the *epoch* says when it left. A line is a ring: a new ghost takes
//! the place at the cursor, which is the oldest one's. So a key has one line where its ghost can be, and all lanes of it are
//! compared at once (`arena::bytes::lanes`).
//!
//! What forgets is the epoch, which follows the bytes evicted: a window that is not sharp costs hits. The ring has three lanes for
//! four items of the buckets beside it, because not all that leaves does so from probation.
//!
//! Which line is another hash's than which bucket: buckets are split one by one, and those that are not yet split have twice as
//! many items. Lines are spread evenly over the pages that were there when their number last had four leading bits of its own;
//! when it grows past the next such number, the ghosts are forgotten.
//!
//! Guarded by the shard's lock; no reader looks at them.

use std::sync::atomic::Ordering::Relaxed;

use static_assertions::const_assert_eq;

use super::Index;
use crate::arena::Arena;
use crate::arena::bytes::lanes::{self, LANE_BITS, WORD_LANES, WORDS};
use crate::geometry::{BUCKET_WORDS, Geometry};
use crate::hash::{GHOST_BITS, KeyHash};

const_assert_eq!(WORDS, BUCKET_WORDS);

/// Bits of a lane that say when.
const EPOCH_BITS: u32 = 4;
const EPOCH_MASK: u32 = (1 << EPOCH_BITS) - 1;
const_assert_eq!(GHOST_BITS + EPOCH_BITS, LANE_BITS);
/// Epochs after which a ghost is outdated: half of those that there are numbers for.
pub(crate) const GHOST_LIFE: u32 = 1 << (EPOCH_BITS - 1);

/// Ghosts in a line; the lane behind them is the cursor.
const LANES: usize = WORDS * WORD_LANES - 1;
const LANE_MASK: u64 = (1 << LANE_BITS) - 1;
const PRINT_MASK: u16 = (EPOCH_MASK as u16) ^ u16::MAX;

/// Lines that are looked through at an epoch: a few microseconds.
const TIDIED_MAX: usize = 64;

/// The line of ghosts that begins at this word of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GhostLine(pub usize);

/// Where in its line a lane lies: its word, and the shift in it.
#[inline(always)]
fn position(lane: usize) -> (usize, u32) {
    (lane / WORD_LANES, LANE_BITS * (lane % WORD_LANES) as u32)
}

impl GhostLine {
    /// Pulls it in.
    #[inline(always)]
    pub fn prefetch(self, arena: &Arena) {
        arena.prefetch(self.0);
    }

    #[inline(always)]
    fn set(self, arena: &Arena, lane: usize, value: u64) {
        let (word, shift) = position(lane);
        let at = self.0 + word;
        arena.store(at, arena.load(at) & !(LANE_MASK << shift) | value << shift);
    }

    /// Remembers a print, in place of the oldest.
    #[inline(always)]
    fn push(self, arena: &Arena, print: u32, epoch: u32) {
        let (word, shift) = position(LANES);
        let at = self.0 + word;
        let last = arena.load(at);
        // What a file says may be anything.
        let cursor = ((last >> shift) as usize).min(LANES - 1);
        let next = if cursor + 1 < LANES { cursor + 1 } else { 0 };
        arena.store(at, last & !(LANE_MASK << shift) | (next as u64) << shift);
        self.set(
            arena,
            cursor,
            u64::from(print << EPOCH_BITS | epoch & EPOCH_MASK),
        );
    }

    #[inline(always)]
    fn words(self, arena: &Arena) -> [u64; WORDS] {
        let words = arena.run::<WORDS>(self.0);
        std::array::from_fn(|at| words[at].load(Relaxed))
    }

    /// Forgets a print; whether it was remembered, and not outdated.
    #[inline(always)]
    fn take(self, arena: &Arena, print: u32, epoch: u32) -> bool {
        let wanted = (print << EPOCH_BITS) as u16;
        let found = lanes::equal(self.words(arena), wanted, PRINT_MASK) & ((1 << LANES) - 1);
        found != 0 && self.take_found(arena, found, epoch)
    }

    /// The same, of the lanes that have the print: one key in a hundred of those that were never there has one.
    #[inline(never)]
    fn take_found(self, arena: &Arena, mut found: u32, epoch: u32) -> bool {
        let mut is_known = false;
        while found != 0 {
            let lane = found.trailing_zeros() as usize;
            is_known |= self.age(arena, lane, epoch) < GHOST_LIFE;
            self.set(arena, lane, 0);
            found &= found - 1;
        }
        is_known
    }

    /// Epochs since the ghost in `lane` left.
    fn age(self, arena: &Arena, lane: usize, epoch: u32) -> u32 {
        let (word, shift) = position(lane);
        let left = (arena.load(self.0 + word) >> shift) as u32;
        epoch.wrapping_sub(left) & EPOCH_MASK
    }

    /// Drops the ghosts that are outdated, before they seem new again.
    fn tidy(self, arena: &Arena, epoch: u32) {
        for lane in 0..LANES {
            if self.age(arena, lane, epoch) >= GHOST_LIFE {
                self.set(arena, lane, 0);
            }
        }
    }
}

/// So many of an index's pages have lines that are in use.
pub(super) fn pages_in_use(pages: usize) -> usize {
    // Four leading bits: at each step the lines of all keys are others, so that steps are an eighth to a sixteenth.
    let spare = (usize::BITS - pages.leading_zeros()).saturating_sub(4);
    pages >> spare << spare
}

impl Index {
    /// The line in which a key's ghost is, if it has one.
    #[inline(always)]
    pub fn ghost_line(&self, arena: &Arena, geometry: &Geometry, hash: KeyHash) -> GhostLine {
        let place = u64::from(hash.ghost_place()) * u64::from(self.ghost_pages);
        let lines = geometry.ghost_lines_per_page() as u64;
        let line = (u64::from(place as u32) * lines) >> 32;
        self.ghost_line_at(arena, geometry, (place >> 32) as usize, line as usize)
    }

    #[inline(always)]
    fn ghost_line_at(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        page: usize,
        line: usize,
    ) -> GhostLine {
        let page_no = self.directory_get(arena, page);
        let line = geometry.buckets_per_page() + line;
        GhostLine(geometry.page_word(page_no) + line * BUCKET_WORDS)
    }

    /// Remembers that the item of a hash was evicted, in that hash's line.
    #[inline(always)]
    pub fn push_ghost(&mut self, arena: &Arena, line: GhostLine, hash: KeyHash) {
        self.ghosts_lately += 1;
        line.push(arena, hash.ghost(), self.ghost_epoch);
    }

    /// Whether an item of a hash whose line this is was evicted not long ago; it is forgotten now.
    #[inline(always)]
    pub fn take_ghost(&self, arena: &Arena, line: GhostLine, hash: KeyHash) -> bool {
        line.take(arena, hash.ghost(), self.ghost_epoch)
    }

    /// Time passes for the ghosts.
    ///
    /// The ring takes the places of those that are outdated, if about as many come as its lanes are. Where fewer do, because
    /// the items are large or few, the lines are gone through, an eighth each time.
    pub fn next_ghost_epoch(&mut self, arena: &Arena, geometry: &Geometry) {
        self.ghost_epoch = self.ghost_epoch.wrapping_add(1);
        arena.store(self.ghost_word, u64::from(self.ghost_epoch));
        let lines_per_page = geometry.ghost_lines_per_page();
        let lines = self.ghost_pages as usize * lines_per_page;
        let eighth = lines.div_ceil(GHOST_LIFE as usize);
        if std::mem::take(&mut self.ghosts_lately) as usize >= eighth * LANES * 3 / 4 {
            return;
        }
        for _ in 0..eighth.min(TIDIED_MAX) {
            self.ghost_hand = (self.ghost_hand + 1) % lines;
            let (page, line) = (
                self.ghost_hand / lines_per_page,
                self.ghost_hand % lines_per_page,
            );
            self.ghost_line_at(arena, geometry, page, line)
                .tidy(arena, self.ghost_epoch);
        }
    }

    /// Forgets the ghosts of the index's first page, which is all that is left of it.
    pub(super) fn forget_ghosts(&self, arena: &Arena, geometry: &Geometry) {
        let GhostLine(first) = self.ghost_line_at(arena, geometry, 0, 0);
        arena.clear_words(first, geometry.ghost_lines_per_page() * BUCKET_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Backing;
    use crate::{Attributes, Cache, Options, Plan, Tick};

    const LINE: GhostLine = GhostLine(8);

    fn arena() -> Arena {
        Arena::open(24, &Backing::Heap, false, false, false, 4096).unwrap()
    }

    #[test]
    fn a_line_remembers_the_newest() {
        let arena = arena();
        for print in 1..=100 {
            LINE.push(&arena, print, 3);
        }
        for print in 1..=100 {
            let is_one_of_the_last = print > 100 - LANES as u32;
            assert_eq!(LINE.take(&arena, print, 3), is_one_of_the_last, "{print}");
            assert!(!LINE.take(&arena, print, 3), "{print} is forgotten");
        }
        let beside = (0..8).chain(16..24);
        assert!(beside.map(|word| arena.load(word)).all(|word| word == 0));
    }

    #[test]
    fn a_ghost_is_forgotten_after_its_life() {
        let arena = arena();
        for left in [0, 13, 14, 15] {
            for since in 0..16 {
                LINE.push(&arena, 5, left);
                let known = LINE.take(&arena, 5, left + since);
                assert_eq!(known, since < GHOST_LIFE, "{left} and {since}");
            }
        }
    }

    #[test]
    fn what_is_outdated_is_dropped_before_it_seems_new_again() {
        let arena = arena();
        LINE.push(&arena, 5, 0);
        LINE.push(&arena, 6, 1);
        LINE.tidy(&arena, GHOST_LIFE);
        for (print, known) in [(5, false), (6, true)] {
            // Sixteen epochs later the numbers are the same.
            assert_eq!(LINE.take(&arena, print, 17), known, "{print}");
        }
    }

    /// A damaged file.
    #[test]
    fn any_cursor_is_one() {
        let arena = arena();
        for cursor in [LANES as u64, 40, 0xFFFF] {
            LINE.set(&arena, LANES, cursor);
            (1..=40).for_each(|print| LINE.push(&arena, print, 0));
            assert!(LINE.take(&arena, 40, 0));
        }
        assert_eq!(arena.load(16), 0);
    }

    /// A cache whose shards have several pages of index.
    fn filled() -> Cache {
        let options = Options {
            budget_bytes: 8 << 20,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        for number in 0..60_000u64 {
            let bytes = number.to_le_bytes();
            let key = cache.key(&bytes).unwrap();
            let now = Tick::from_secs(1);
            cache.put(key, b"", Attributes::default(), now).unwrap();
        }
        cache
    }

    #[test]
    fn each_key_has_a_line_and_they_are_spread_evenly() {
        let cache = filled();
        let region = cache.region();
        let (arena, geometry) = (&region.arena, &region.geometry);
        let state = cache.shard_of(0).lock(region);
        let pages = state.index.pages(geometry);
        assert!(pages > 3, "{pages}");
        let lines = pages_in_use(pages) * geometry.ghost_lines_per_page();
        let mut keys_of = std::collections::HashMap::<usize, usize>::new();
        let keys = 16 * 100 * lines as u64;
        for number in 0..keys {
            let hash = cache.key(&number.to_le_bytes()).unwrap().hash();
            let GhostLine(word) = state.index.ghost_line(arena, geometry, hash);
            *keys_of.entry(word).or_default() += 1;
        }
        assert_eq!(keys_of.len(), lines);
        let mean = keys as usize / lines;
        for (word, keys) in keys_of {
            assert!(
                keys * 4 > mean * 3 && keys * 3 < mean * 4,
                "{keys} of {mean}"
            );
            let page_no = geometry.page_of_word(word);
            let first = geometry.page_word(page_no) + geometry.buckets_per_page() * BUCKET_WORDS;
            assert!(word >= first && (word - first).is_multiple_of(BUCKET_WORDS));
        }
    }

    /// What left was so large that few ghosts are of an epoch: the ring does not turn.
    #[test]
    fn lines_that_nothing_comes_to_are_gone_through() {
        let cache = filled();
        let region = cache.region();
        let (arena, geometry) = (&region.arena, &region.geometry);
        let mut state = cache.shard_of(0).lock(region);
        let hashes = (0..5000u64).map(|number| {
            let bytes = (1 << 40 | number).to_le_bytes();
            cache.key(&bytes).unwrap().hash()
        });
        let known = |index: &Index, hash| {
            let line = index.ghost_line(arena, geometry, hash);
            let wanted = (hash.ghost() << EPOCH_BITS) as u16;
            lanes::equal(line.words(arena), wanted, PRINT_MASK) & ((1 << LANES) - 1) != 0
        };
        for hash in hashes.clone() {
            let line = state.index.ghost_line(arena, geometry, hash);
            state.index.push_ghost(arena, line, hash);
        }
        // The first of these ends an epoch in which many came.
        (0..=GHOST_LIFE).for_each(|_| state.index.next_ghost_epoch(arena, geometry));
        let before = hashes.clone().filter(|&hash| known(&state.index, hash));
        let before = before.count();
        (0..GHOST_LIFE).for_each(|_| state.index.next_ghost_epoch(arena, geometry));
        let after = hashes.filter(|&hash| known(&state.index, hash)).count();
        assert!(before > 100, "{before}");
        assert_eq!(after, 0);
    }

    #[test]
    fn lines_in_use_come_in_steps() {
        for (pages, used) in [(1, 1), (15, 15), (16, 16), (17, 16), (31, 30), (100, 96)] {
            assert_eq!(pages_in_use(pages), used, "{pages}");
        }
    }
}
