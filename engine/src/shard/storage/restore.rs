//! Pages that another process left, taken over: what is in use in them is known by now, and the rest is free.

use super::{Slab, chunk_geometry};
use crate::geometry::WORD_BYTES;
use crate::item::header::{Header, Kind};
use crate::region::Region;
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, CLASS_RUNS, NO_DEADLINE, PageMeta};

impl Slab {
    /// A page of the index's directory.
    pub fn take_over_index(&self, region: &Region, page_no: usize) {
        let meta = PageMeta {
            class: CLASS_INDEX,
            shard: self.shard_no as u8,
            ..PageMeta::EMPTY
        };
        region.pages().set(page_no, meta);
        region.pages().set_deadline(page_no, NO_DEADLINE);
        region.pages().set_generation(page_no, self.generation);
    }

    /// A page of chunks, of which those stay for whose word `keep` says so. `deadline` is the earliest in it, asked for behind that.
    /// A page without any goes to the pool.
    pub fn take_over(
        &mut self,
        region: &Region,
        page_no: usize,
        mut keep: impl FnMut(usize) -> bool,
    ) {
        let (table, geometry) = (region.pages(), &region.geometry);
        let before = table.get(page_no);
        if before.class == CLASS_RUNS {
            // Its bits are those of what is reached.
            self.take_over_runs(region, page_no, 0, |_| true);
            return;
        }
        let (chunk_bytes, chunks) = chunk_geometry(geometry, before.class);
        let first = geometry.page_word(page_no);
        let mut meta = PageMeta {
            class: before.class,
            shard: self.shard_no as u8,
            carved: before.carved.min(chunks as u16),
            ..PageMeta::EMPTY
        };
        for chunk_no in (0..meta.carved).rev() {
            let word = first + usize::from(chunk_no) * chunk_bytes / WORD_BYTES;
            if keep(word) {
                meta.live += 1;
                continue;
            }
            region.arena.store(word, u64::from(meta.free_head));
            if meta.class != CLASS_OVERFLOW {
                let free = Header::new(Kind::Free, 0, 0, 0).pack_into(0);
                region.arena.store(word + 1, free);
            }
            meta.free_head = chunk_no + 1;
        }
        if meta.live == 0 {
            region.pool.push(table, page_no);
            return;
        }
        table.set(page_no, meta);
        table.set_generation(page_no, self.generation);
        let free = chunks - usize::from(meta.live);
        if meta.class == CLASS_OVERFLOW {
            self.overflow_pages += 1;
            self.overflow_free += free;
        } else {
            let class = usize::from(meta.class);
            self.pages[class] += 1;
            self.item_pages += 1;
            self.note_free(geometry, meta.class, self.free[class] + free as u32);
        }
        if free > 0 {
            self.partial(meta.class).push(table, page_no);
        }
    }
}
