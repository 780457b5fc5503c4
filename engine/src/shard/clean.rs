//! Taking back what was flushed with its database: nobody finds it any more, and it only takes room.

use super::locked::Locked;
use super::storage::chunk_geometry;
use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::item::header::{Header, Kind};
use crate::item::view::View;
use crate::region::Region;
use crate::slab::page::CLASS_SPECIAL;

/// Items that are taken back under one lock.
const TOGETHER_MAX: usize = 64;
/// What a look at a page costs, in items.
const PAGE_COST: usize = 4;

/// A way through all pages.
#[derive(Default)]
pub(crate) struct Cleaning {
    /// The page at which it goes on; `None`: it is over.
    at: Option<usize>,
    /// Flushes of single databases that had been when it began.
    seen: u32,
}

impl Cleaning {
    /// Goes on, or begins if a database was flushed since; takes back about `items_max` items. True: there is more.
    pub fn go_on<'s>(
        &mut self,
        region: &Region,
        shard: impl Fn(usize) -> Locked<'s>,
        items_max: usize,
        mut is_late: impl FnMut() -> bool,
    ) -> bool {
        let flushes = region.spaces.flushes();
        if self.at.is_none() && self.seen == flushes {
            return false;
        }
        let mut page_no = self.at.unwrap_or_else(|| {
            self.seen = flushes;
            0
        });
        let mut left = items_max;
        while page_no < region.pool.fresh() {
            if left == 0 {
                self.at = Some(page_no);
                return true;
            }
            left = left.saturating_sub(PAGE_COST);
            let (class, shard_no) = region.pages().owner(page_no);
            if class < CLASS_SPECIAL {
                let items = shard(usize::from(shard_no)).clean_page(region, page_no);
                left = left.saturating_sub(items);
                if items > 0 && is_late() {
                    left = 0;
                }
                if items == TOGETHER_MAX {
                    // There may be more in it.
                    continue;
                }
            }
            page_no += 1;
        }
        self.at = None;
        // One may have been flushed meanwhile.
        self.seen != region.spaces.flushes()
    }
}

impl Locked<'_> {
    /// Takes back items of a page whose database was flushed, if the page is one of this shard's; returns how many.
    fn clean_page(&mut self, region: &Region, page_no: usize) -> usize {
        let meta = region.pages().get(page_no);
        if meta.class >= CLASS_SPECIAL
            || usize::from(meta.shard) != self.shard_no
            || self.slab.is_stale(region, page_no)
        {
            return 0;
        }
        let geometry = &region.geometry;
        let (chunk_bytes, _) = chunk_geometry(geometry, meta.class);
        let mut gone = [ChunkRef::NONE; TOGETHER_MAX];
        let mut count = 0;
        for chunk_no in 0..usize::from(meta.carved) {
            let word = geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
            if Header::unpack(region.arena.load(word + 1)).kind() != Kind::Linked {
                continue;
            }
            let chunk = geometry.chunk_at(word);
            if region.spaces.is_gone(View::known(region, chunk).space()) {
                gone[count] = chunk;
                count += 1;
                if count == TOGETHER_MAX {
                    break;
                }
            }
        }
        for &chunk in &gone[..count] {
            let place = self.place_of(chunk);
            self.unlink(place);
        }
        self.counters.flushed += count as u64;
        count
    }
}
