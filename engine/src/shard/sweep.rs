//! Reclaiming what has expired.
//!
//! Each page says when it is to be looked through: when its first item is due, or somewhat later, when so many are that
//! it is worth it. To look through a page costs several microseconds and as many cache misses as it has items, and
//! with deadlines spread over an hour an item is due in each page every few seconds: a page was looked through for
//! each of them. So a page waits until one item is due for 32 of its chunks (for 16, while there are free pages), for
//! at most about four minutes. Nobody reads what has expired meanwhile; it only takes room.
//!
//! Which pages are due, [`Round`] finds out for all shards together: the page table once through, in portions, and
//! no more than once a second. A store that finds no free chunk looks for itself, before anything is evicted.

use super::lists::due_second;
use super::locked::Locked;
use super::storage::chunk_geometry;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{SHARD_COUNT, WORD_BYTES};
use crate::hash::KeyHash;
use crate::item::header::{Header, Kind, flag};
use crate::item::view::View;
use crate::lru::list::List;
use crate::region::Region;
use crate::slab::page::{CLASS_SPECIAL, NO_DEADLINE};
use crate::tick::Tick;

/// A page is looked through when so many items are due that there is one for so many of its chunks. A look costs several
/// nanoseconds a chunk, so that a share of 32 adds 250 to each item.
const BATCH_SHARE: u16 = 32;
/// While the pool has pages, what waits takes room from nobody, and a look is worth twice as many items. In a full
/// cache it would be a 64th of the memory more, on average.
const BATCH_SHARE_ROOMY: u16 = 16;
/// But so many seconds after the first of them at the latest.
pub(crate) const LATE_MAX: u32 = 256;
/// Seconds from now that have a bucket of their own; behind them there is one for every eight.
const FINE: u32 = 32;
const COARSE_SHIFT: u32 = 3;
const BUCKETS: usize = (FINE + ((LATE_MAX - FINE) >> COARSE_SHIFT) + 1) as usize;

/// Items of a page that are reclaimed together: what they need is asked for of all, before it is waited for.
const TOGETHER_MAX: usize = 64;
/// And so many of one page before others have the shard's lock again.
const PAGE_ITEMS_MAX: usize = 4 * TOGETHER_MAX;
/// Chunks of a page that are asked for ahead of the one that is looked at.
const CHUNKS_AHEAD: usize = 16;

/// About what things cost, in nanoseconds, so that a portion of work is bounded whatever it consists of.
mod cost {
    pub const PAGE_ENTRY: usize = 2;
    pub const CHUNK: usize = 8;
    pub const ITEM: usize = 300;
}

/// How many of a page's items are due when, in the next minutes.
struct Dues {
    counts: [u16; BUCKETS],
    first: u32,
}

impl Dues {
    fn note(&mut self, now: u32, due: u32) {
        self.first = self.first.min(due);
        let ahead = due.saturating_sub(now);
        if ahead <= LATE_MAX {
            let bucket = match ahead.checked_sub(FINE) {
                None => ahead,
                Some(further) => FINE + (further >> COARSE_SHIFT),
            };
            self.counts[bucket as usize] += 1;
        }
    }

    /// When to come back: when `wanted` items are due, and not much later than the first.
    fn next_visit(&self, now: u32, wanted: u16) -> u32 {
        if wanted <= 1 || self.first > now.saturating_add(LATE_MAX) {
            return self.first;
        }
        let mut due = 0;
        for (bucket, count) in (0..).zip(self.counts) {
            due += count;
            if due >= wanted {
                let last = match u32::checked_sub(bucket, FINE) {
                    None => bucket,
                    Some(further) => FINE + ((further + 1) << COARSE_SHIFT) - 1,
                };
                return now.saturating_add(last.min(LATE_MAX));
            }
        }
        now.saturating_add(LATE_MAX)
    }
}

fn seconds(now: Tick) -> u32 {
    u32::try_from(now.as_millis() / 1000).unwrap_or(NO_DEADLINE - 1)
}

impl Locked<'_> {
    /// Whether a page here may be due.
    #[inline(always)]
    pub fn sweep_due(&self, now: Tick) -> bool {
        u64::from(self.deadline_min) * 1000 <= now.as_millis()
    }

    /// For a store that found no chunk: reclaims about `reclaim_max` expired items of this shard, from where it left
    /// off the last time; returns how many. What finds nothing in the whole page table rests until the next second.
    pub(super) fn sweep_for_room(
        &mut self,
        region: &Region,
        now: Tick,
        reclaim_max: usize,
    ) -> usize {
        let now_secs = seconds(now);
        if !self.sweep_due(now) || self.sweep_rests_in == now_secs {
            return 0;
        }
        let page_count = region.pool.fresh();
        for _ in 0..page_count {
            let page_no = self.sweep_at;
            let (reclaimed, _) = self.sweep_if_due(region, page_no, now, reclaim_max);
            if reclaimed < reclaim_max.min(TOGETHER_MAX) {
                self.sweep_at = (page_no + 1) % page_count;
            }
            if reclaimed > 0 {
                return reclaimed;
            }
        }
        self.sweep_rests_in = now_secs;
        0
    }

    /// Reclaims the expired items of a page, if it is one of this shard's and due, but not many more than
    /// `reclaim_max`: then it stays due. Returns how many, and chunks that were looked at.
    fn sweep_if_due(
        &mut self,
        region: &Region,
        page_no: usize,
        now: Tick,
        reclaim_max: usize,
    ) -> (usize, usize) {
        let table = region.pages();
        let (class, shard_no) = table.owner(page_no);
        let is_due = class < CLASS_SPECIAL
            && usize::from(shard_no) == self.shard_no
            && table.deadline(page_no) <= seconds(now)
            && !self.slab.is_stale(region, page_no);
        if is_due {
            self.sweep_page(region, page_no, now, reclaim_max)
        } else {
            (0, 0)
        }
    }

    fn sweep_page(
        &mut self,
        region: &Region,
        page_no: usize,
        now: Tick,
        reclaim_max: usize,
    ) -> (usize, usize) {
        let table = region.pages();
        let meta = table.get(page_no);
        let now_secs = seconds(now);
        let geometry = &region.geometry;
        let (chunk_bytes, _) = chunk_geometry(geometry, meta.class);
        let chunk_words = chunk_bytes / WORD_BYTES;
        let first_word = geometry.page_word(page_no);
        let carved = usize::from(meta.carved);
        let mut together = Together::new();
        let mut reclaimed = 0;
        let mut dues = Dues {
            counts: [0; BUCKETS],
            first: NO_DEADLINE,
        };
        for chunk_no in 0..carved {
            let word = first_word + chunk_no * chunk_words;
            let ahead = (chunk_no + CHUNKS_AHEAD).min(carved - 1);
            region.arena.prefetch(first_word + ahead * chunk_words);
            let header = Header::unpack(region.arena.load(word + 1));
            if header.kind() != Kind::Linked || !header.has(flag::DEADLINE) {
                continue;
            }
            let chunk = geometry.chunk_at(word);
            let view = View::known(region, chunk);
            let deadline = view.deadline();
            if !deadline.has_passed(now) {
                if let Some(due) = due_second(deadline) {
                    dues.note(now_secs, due);
                }
                continue;
            }
            if together.count == TOGETHER_MAX {
                reclaimed += self.reclaim(&mut together);
            }
            if reclaimed + together.count >= reclaim_max {
                // The page stays due.
                reclaimed += self.reclaim(&mut together);
                return (reclaimed, chunk_no);
            }
            // What unlinking it will touch lies anywhere, and has been touched by nobody for long.
            let hash = view.hash();
            let primary = self.index.primary(&region.arena, geometry, hash);
            region.arena.prefetch(primary.0);
            List::prefetch_neighbours(&region.arena, geometry, chunk);
            together.expired[together.count] = (chunk, hash);
            together.count += 1;
        }
        reclaimed += self.reclaim(&mut together);
        if table.owner(page_no) != (meta.class, meta.shard) {
            // Those were its last items, and the page has gone to the pool.
            return (reclaimed, carved);
        }
        let share = if region.pool.count() > 0 {
            BATCH_SHARE_ROOMY
        } else {
            BATCH_SHARE
        };
        let wanted = meta.carved / share;
        table.set_deadline(page_no, dues.next_visit(now_secs, wanted));
        (reclaimed, carved)
    }

    /// Reclaims what was collected; returns how many.
    fn reclaim(&mut self, together: &mut Together) -> usize {
        let count = std::mem::take(&mut together.count);
        for &(chunk, hash) in &together.expired[..count] {
            let place = self
                .find_chunk(hash, chunk)
                .expect("a linked item is in the index");
            self.unlink(place);
        }
        self.counters.expired.swept += count as u64;
        count
    }
}

/// Items of a page that are reclaimed together, with the hashes of their keys.
struct Together {
    expired: [(ChunkRef, KeyHash); TOGETHER_MAX],
    count: usize,
}

impl Together {
    fn new() -> Self {
        Together {
            expired: [(ChunkRef::NONE, KeyHash::default()); TOGETHER_MAX],
            count: 0,
        }
    }
}

/// A round through the page table, for all shards.
#[derive(Default)]
pub(crate) struct Round {
    /// The page at which it goes on; `None`: it is over.
    at: Option<usize>,
    /// When the pages that it has seen are due, by shard.
    earliest: [u32; SHARD_COUNT],
}

impl Round {
    /// Goes on with the round, or begins one if a shard has something due; reclaims about `reclaim_max` items, or looks
    /// at as much as that would cost, or until `is_late` says so behind a page: what an item costs depends on how much of
    /// the index is in the processor's caches, by a factor of five, and only the caller has a clock. Returns how many, and
    /// whether the round goes on.
    pub fn go_on<'s>(
        &mut self,
        region: &Region,
        shard: impl Fn(usize) -> Locked<'s>,
        now: Tick,
        reclaim_max: usize,
        mut is_late: impl FnMut() -> bool,
    ) -> (usize, bool) {
        if self.at.is_none() {
            if !(0..SHARD_COUNT).any(|shard_no| shard(shard_no).sweep_due(now)) {
                return (0, false);
            }
            for shard_no in 0..SHARD_COUNT {
                shard(shard_no).deadline_noted = NO_DEADLINE;
            }
            self.earliest = [NO_DEADLINE; SHARD_COUNT];
            self.at = Some(0);
        }
        let table = region.pages();
        let now_secs = seconds(now);
        let mut left = reclaim_max * cost::ITEM;
        let mut reclaimed = 0;
        let mut page_no = self.at.unwrap_or(0);
        let page_end = region.pool.fresh();
        while page_no < page_end {
            if left == 0 {
                self.at = Some(page_no);
                return (reclaimed, true);
            }
            left = left.saturating_sub(cost::PAGE_ENTRY);
            let (class, shard_no) = table.owner(page_no);
            if class < CLASS_SPECIAL {
                if table.deadline(page_no) <= now_secs {
                    // A page that was begun is finished if it can be: half a look has to be repeated.
                    let most = (left / cost::ITEM).clamp(TOGETHER_MAX, PAGE_ITEMS_MAX);
                    let (items, chunks) =
                        shard(usize::from(shard_no)).sweep_if_due(region, page_no, now, most);
                    reclaimed += items;
                    left = left.saturating_sub(items * cost::ITEM + chunks * cost::CHUNK);
                    if is_late() {
                        left = 0;
                    }
                    if items == most {
                        // There may be more in it.
                        continue;
                    }
                }
                let earliest = &mut self.earliest[usize::from(shard_no)];
                *earliest = table.deadline(page_no).min(*earliest);
            }
            page_no += 1;
        }
        for (shard_no, &earliest) in self.earliest.iter().enumerate() {
            let mut state = shard(shard_no);
            // What was stored since the round began may lie in a page that it had passed.
            state.deadline_min = earliest.min(state.deadline_noted);
        }
        self.at = None;
        (reclaimed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(now: u32, all: &[u32]) -> Dues {
        let mut dues = Dues {
            counts: [0; BUCKETS],
            first: NO_DEADLINE,
        };
        all.iter().for_each(|&due| dues.note(now, due));
        dues
    }

    #[test]
    fn a_page_waits_for_a_batch_but_not_for_ever() {
        let hour: Vec<u32> = (1..=800).map(|at| 1000 + at * 9 / 2).collect();
        for (all, wanted, expected) in [
            (&[][..], 25, NO_DEADLINE),
            (&[1001, 1002, 1003], 1, 1001),
            (&[1001, 1002, 1003], 2, 1002),
            (&[1001, 1002, 1040], 3, 1000 + 47),
            (&[1001, 1300], 2, 1000 + LATE_MAX),
            (&[1000 + LATE_MAX, 2000], 2, 1000 + LATE_MAX),
            (&[1500, 1501], 2, 1500),
            (&[NO_DEADLINE - 1], 9, NO_DEADLINE - 1),
            (&hour, 25, 1000 + 119),
            (&hour, 100, 1000 + LATE_MAX),
        ] {
            assert_eq!(
                dues(1000, all).next_visit(1000, wanted),
                expected,
                "{all:?}"
            );
        }
    }
}
