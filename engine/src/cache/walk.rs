//! Going through all items of database 0, a few at a time.
//!
//! Page by page, chunk by chunk, under the lock of the page's shard for each few chunks. So a
//! walk is bounded in memory and in time per step, however many items there are. What is not
//! stored, moved or removed meanwhile is met exactly once; what is, may be met or not, and an
//! item that moves to another page may be met twice.

use super::Cache;
use crate::geometry::WORD_BYTES;
use crate::item::header::Kind;
use crate::item::view::View;
use crate::slab::page::CLASS_SPECIAL;
use crate::tick::Tick;
use crate::types::Visited;

/// Where a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    page_no: u32,
    /// So many more items, unless it is without end.
    left: u32,
    chunk_no: u16,
    /// Only this size class.
    class: Option<u8>,
}

/// More items than an arena holds.
const WITHOUT_END: u32 = u32::MAX;

impl Default for Walk {
    /// Through all items.
    fn default() -> Self {
        Walk {
            page_no: 0,
            left: WITHOUT_END,
            chunk_no: 0,
            class: None,
        }
    }
}

impl Walk {
    /// Through the items of one size class, those whose [`Visited::class`] it is, until `limit`
    /// of them were met.
    #[must_use]
    pub fn of_class(class: u8, limit: u32) -> Self {
        Walk {
            class: Some(class),
            left: limit,
            ..Walk::default()
        }
    }

    /// Whether it is through one size class only.
    #[must_use]
    pub const fn is_of_class(&self) -> bool {
        self.class.is_some()
    }
}

/// Chunks looked at under one lock.
const CHUNKS_PER_LOCK: usize = 64;

impl Cache {
    /// Goes on with a walk and calls `each` with the items' keys, for about `chunks_max` chunks or
    /// until `each` says no: then it is called with the same item again next time. True: there
    /// is more.
    pub fn walk(
        &self,
        walk: &mut Walk,
        chunks_max: usize,
        now: Tick,
        mut each: impl FnMut(&[u8], &Visited) -> bool,
    ) -> bool {
        let region = self.region();
        let geometry = &region.geometry;
        let table = region.pages();
        let mut left = chunks_max;
        while (walk.page_no as usize) < geometry.page_count {
            if left == 0 {
                return true;
            }
            let page_no = walk.page_no as usize;
            let (class, shard_no) = table.owner(page_no);
            if class < CLASS_SPECIAL && walk.class.is_none_or(|wanted| wanted == class) {
                let mut state = self.shard_of(usize::from(shard_no)).lock(region);
                let meta = table.get(page_no);
                // It may have become another's in between; then it is looked at again.
                if (meta.class, meta.shard) != (class, shard_no) {
                    continue;
                }
                if state.slab.is_stale(region, page_no) {
                    walk.page_no += 1;
                    walk.chunk_no = 0;
                    left = left.saturating_sub(1);
                    continue;
                }
                let chunk_bytes = geometry.classes.chunk_bytes(usize::from(class));
                let until = usize::from(walk.chunk_no) + CHUNKS_PER_LOCK.min(left);
                let until = until.min(usize::from(meta.carved));
                for chunk_no in usize::from(walk.chunk_no)..until {
                    let word = geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
                    let view = View::known(region, geometry.chunk_at(word));
                    if view.header.kind() == Kind::Linked && !view.is_expired(now) {
                        if !region.spaces.holds(0, view.space()) {
                            walk.chunk_no = chunk_no as u16 + 1;
                            left -= 1;
                            continue;
                        }
                        let place = state.place_of(geometry.chunk_at(word));
                        if walk.left == 0 {
                            return false;
                        }
                        let seen = state.examine(place, now);
                        if !view.with_key(|_, key| state.call(|_| each(key, &seen))) {
                            return true;
                        }
                        if walk.left != WITHOUT_END {
                            walk.left -= 1;
                        }
                    }
                    walk.chunk_no = chunk_no as u16 + 1;
                    left -= 1;
                }
                if usize::from(walk.chunk_no) < usize::from(meta.carved) {
                    continue;
                }
            }
            walk.page_no += 1;
            walk.chunk_no = 0;
            // Looking at a page that holds no items is work, too.
            left = left.saturating_sub(1);
        }
        false
    }
}
