//! A shard's chunks: out of its pages and back into them.
//!
//! A class allocates from its page list's first page; a page that becomes empty goes
//! back to the pool at once, so that any class of any shard can have it.
//!
//! Ends of items are runs of any length, in pages of their own: see `runs`.
//!
//! A flush leaves whole pages behind: see `stale`.

mod bag;
mod restore;
pub(crate) mod runs;
mod stale;

pub(crate) use bag::PageBag;

use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_BYTES, Geometry, WORD_BYTES};
use crate::index::bucket::Bucket;
use crate::item::header::{Header, Kind, flag};
use crate::region::Region;
use crate::slab::free_list::PageList;
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, CLASS_RUNS, CLASS_SPECIAL, PageMeta};
use crate::stamp::{self, StdFences};

/// The pages of one shard, by class.
pub(crate) struct Slab {
    shard_no: usize,
    /// Pages with a free chunk, per class.
    partial: Box<[PageList]>,
    /// Pages owned, per class.
    pages: Box<[u32]>,
    /// All of them.
    item_pages: usize,
    /// Free chunks in them, per class.
    free: Box<[u32]>,
    /// The classes, a bit each, that have as many free chunks as a page has.
    page_free: u128,
    runs: runs::Runs,
    overflow_partial: PageList,
    overflow_pages: u32,
    overflow_free: usize,
    /// The page that is being emptied: its free chunks are not handed out.
    evacuating: Option<usize>,
    /// Pages of another generation are stale.
    generation: u32,
    /// How many there are; none of them is counted above, or on a list.
    stale: usize,
    /// Where the search for them goes on.
    stale_at: usize,
}

impl Slab {
    pub const HEAP_BYTES_PER_CLASS: usize = size_of::<PageList>() + 2 * size_of::<u32>();

    pub fn new(geometry: &Geometry, shard_no: usize) -> Self {
        let classes = geometry.classes.count();
        Slab {
            shard_no,
            partial: vec![PageList::default(); classes].into(),
            pages: vec![0; classes].into(),
            item_pages: 0,
            free: vec![0; classes].into(),
            page_free: 0,
            runs: runs::Runs::EMPTY,
            overflow_partial: PageList::default(),
            overflow_pages: 0,
            overflow_free: 0,
            evacuating: None,
            generation: 0,
            stale: 0,
            stale_at: 0,
        }
    }

    pub fn page_count(&self, class: usize) -> usize {
        self.pages[class] as usize
    }

    /// Free chunks in the class's pages.
    pub fn free_count(&self, class: usize) -> usize {
        self.free[class] as usize
    }

    /// The classes one of whose pages could be emptied into the others.
    pub fn classes_with_a_page_free(&self) -> impl Iterator<Item = usize> + use<> {
        let mut classes = self.page_free;
        std::iter::from_fn(move || {
            let class = classes.checked_ilog2()? as usize;
            classes &= !(1 << class);
            Some(class)
        })
    }

    /// Whether there is any.
    #[inline(always)]
    pub fn has_a_page_free(&self) -> bool {
        self.page_free != 0
    }

    fn note_free(&mut self, geometry: &Geometry, class: u8, free: u32) {
        self.free[usize::from(class)] = free;
        let is_page = free as usize >= geometry.classes.chunks_per_page(usize::from(class));
        let bit = 1 << class;
        self.page_free = if is_page {
            self.page_free | bit
        } else {
            self.page_free & !bit
        };
    }

    pub fn item_pages(&self) -> usize {
        self.item_pages
    }

    pub fn overflow_pages(&self) -> usize {
        self.overflow_pages as usize
    }

    pub fn overflow_free(&self) -> usize {
        self.overflow_free
    }

    fn partial(&mut self, class: u8) -> &mut PageList {
        if class == CLASS_OVERFLOW {
            &mut self.overflow_partial
        } else {
            &mut self.partial[usize::from(class)]
        }
    }

    /// The class's first page with a free chunk.
    #[inline(always)]
    pub fn first_partial(&self, class: usize) -> Option<usize> {
        self.partial[class].first()
    }

    /// Makes a free page of the pool a page of `class`.
    pub fn adopt(&mut self, region: &Region, class: u8, page_no: usize) {
        let meta = PageMeta {
            class,
            shard: self.shard_no as u8,
            ..PageMeta::EMPTY
        };
        region.pages().set(page_no, meta);
        region.pages().set_generation(page_no, self.generation);
        self.partial(class).push(region.pages(), page_no);
        if class == CLASS_OVERFLOW {
            self.overflow_pages += 1;
            self.overflow_free += region.geometry.page_bytes / BUCKET_BYTES;
        } else {
            self.pages[usize::from(class)] += 1;
            self.item_pages += 1;
            // Not a page too many: it was taken because a chunk is needed at once.
            self.free[usize::from(class)] +=
                region.geometry.classes.chunks_per_page(usize::from(class)) as u32;
        }
    }

    /// A page for the index's directory, which keeps account of it itself.
    pub fn take_index_page(&mut self, region: &Region) -> Option<usize> {
        let page_no = region.pool.pop(region.pages())?;
        let meta = PageMeta {
            class: CLASS_INDEX,
            shard: self.shard_no as u8,
            ..PageMeta::EMPTY
        };
        region.pages().set(page_no, meta);
        region.pages().set_generation(page_no, self.generation);
        Some(page_no)
    }

    /// A chunk of `class` from a page that has one. Its header is not written yet.
    pub fn take(&mut self, region: &Region, class: u8) -> Option<ChunkRef> {
        let page_no = self.partial(class).first()?;
        let table = region.pages();
        let mut meta = table.get(page_no);
        let (chunk_bytes, chunks) = chunk_geometry(&region.geometry, class);
        let chunk_no = if meta.free_head != 0 {
            let chunk_no = usize::from(meta.free_head) - 1;
            let word = region.geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
            meta.free_head = region.arena.load(word) as u16;
            chunk_no
        } else {
            let chunk_no = usize::from(meta.carved);
            meta.carved += 1;
            chunk_no
        };
        meta.live += 1;
        table.set(page_no, meta);
        if meta.free_head == 0 && usize::from(meta.carved) == chunks {
            self.partial(class).remove(table, page_no);
        }
        if class == CLASS_OVERFLOW {
            self.overflow_free -= 1;
        } else {
            let free = self.free[usize::from(class)] - 1;
            self.note_free(&region.geometry, class, free);
        }
        let word = region.geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
        // Whoever still reads what this chunk held before must see that its bucket has moved on.
        stamp::before_reuse::<StdFences>();
        Some(region.geometry.chunk_at(word))
    }

    /// Hands a chunk on from an item that was unlinked, instead of taking it back first.
    #[inline(always)]
    pub fn reuse(&mut self, chunk: ChunkRef) -> ChunkRef {
        stamp::before_reuse::<StdFences>();
        chunk
    }

    /// Takes a chunk back; its page goes to the pool if that was the last one.
    pub fn give(&mut self, region: &Region, chunk: ChunkRef) {
        let geometry = &region.geometry;
        let table = region.pages();
        let word = geometry.word_of(chunk);
        let page_no = geometry.page_of_word(word);
        let mut meta = table.get(page_no);
        debug_assert_eq!(usize::from(meta.shard), self.shard_no);
        debug_assert!(meta.live > 0);
        if meta.class == CLASS_RUNS {
            return self.give_run(region, word, page_no);
        }
        let (chunk_bytes, chunks) = chunk_geometry(geometry, meta.class);
        let was_full = meta.free_head == 0 && usize::from(meta.carved) == chunks;
        let chunk_no = (word - geometry.page_word(page_no)) * WORD_BYTES / chunk_bytes;
        stamp::before_reuse::<StdFences>();
        region.arena.store(word, u64::from(meta.free_head));
        if meta.class < CLASS_SPECIAL {
            let header = Header::unpack(region.arena.load(word + 1));
            debug_assert_ne!(header.kind(), Kind::Free, "a chunk is freed once");
            region
                .arena
                .store(word + 1, Header::new(Kind::Free, 0, 0, 0).pack_into(0));
            let free = self.free[usize::from(meta.class)] + 1;
            self.note_free(geometry, meta.class, free);
        } else {
            self.overflow_free += 1;
        }
        meta.free_head = chunk_no as u16 + 1;
        meta.live -= 1;
        table.set(page_no, meta);
        if self.evacuating == Some(page_no) {
            return;
        }
        // One page of overflow buckets is kept in store: taking it back could cost an eviction.
        let keep = meta.class == CLASS_OVERFLOW && self.overflow_free < chunks + chunks / 2;
        if meta.live == 0 && !keep {
            if !was_full {
                self.partial(meta.class).remove(table, page_no);
            }
            self.release(region, page_no, meta.class);
        } else if was_full {
            self.partial(meta.class).push(table, page_no);
        }
    }

    /// Gives an empty page, which is in no list, to the pool.
    pub fn release(&mut self, region: &Region, page_no: usize, class: u8) {
        if class == CLASS_RUNS {
            self.forget_run_page(&region.geometry);
        } else if class == CLASS_OVERFLOW {
            self.overflow_pages -= 1;
            self.overflow_free -= region.geometry.page_bytes / BUCKET_BYTES;
        } else if class < CLASS_SPECIAL {
            self.pages[usize::from(class)] -= 1;
            self.item_pages -= 1;
            let chunks = region.geometry.classes.chunks_per_page(usize::from(class)) as u32;
            let free = self.free[usize::from(class)] - chunks;
            self.note_free(&region.geometry, class, free);
        }
        region.pool.push(region.pages(), page_no);
    }

    /// An overflow bucket, zeroed.
    pub fn take_overflow(&mut self, region: &Region) -> Option<Bucket> {
        let chunk = self.take(region, CLASS_OVERFLOW)?;
        let word = region.geometry.word_of(chunk);
        region.arena.clear_words(word, BUCKET_BYTES / WORD_BYTES);
        Some(Bucket(word))
    }

    /// Whether there is just one page of overflow buckets, and none of them is in use.
    #[inline]
    pub fn has_idle_overflow_page(&self, region: &Region) -> bool {
        self.overflow_pages == 1 && self.overflow_free == region.geometry.page_bytes / BUCKET_BYTES
    }

    /// Gives that page to the pool.
    pub fn drop_overflow_page(&mut self, region: &Region) {
        if let Some(page_no) = self.overflow_partial.first() {
            self.overflow_partial.remove(region.pages(), page_no);
            self.release(region, page_no, CLASS_OVERFLOW);
        }
    }

    pub fn give_overflow(&mut self, region: &Region, bucket: Bucket) {
        self.give(region, region.geometry.chunk_at(bucket.0));
    }

    /// From now on no chunk of `page_no` is handed out.
    pub fn begin_evacuation(&mut self, region: &Region, page_no: usize) {
        debug_assert!(self.evacuating.is_none());
        let table = region.pages();
        let meta = table.get(page_no);
        if meta.class == CLASS_RUNS {
            self.list_run_page(region, page_no, false);
        } else if has_room(region, meta) {
            self.partial(meta.class).remove(table, page_no);
        }
        self.evacuating = Some(page_no);
    }

    /// The page goes to the pool if it is empty (`true`), or back to its class.
    pub fn end_evacuation(&mut self, region: &Region) -> bool {
        let page_no = self.evacuating.take().expect("an evacuation was begun");
        let table = region.pages();
        let meta = table.get(page_no);
        if meta.live == 0 {
            self.release(region, page_no, meta.class);
            return true;
        }
        if meta.class == CLASS_RUNS {
            self.list_run_page(region, page_no, true);
        } else if has_room(region, meta) {
            self.partial(meta.class).push(table, page_no);
        }
        false
    }

    /// The chunk's page must not be emptied while the chunk is held.
    pub fn hold(&self, region: &Region, chunk: ChunkRef) {
        let table = region.pages();
        let page_no = region.geometry.page_of(chunk);
        let mut meta = table.get(page_no);
        meta.held += 1;
        table.set(page_no, meta);
        mark_held(region, chunk, true);
    }

    pub fn unhold(&mut self, region: &Region, chunk: ChunkRef) {
        let table = region.pages();
        let page_no = region.geometry.page_of(chunk);
        // From now on it is an item's like any other, or free: its page has to be one of today's.
        if self.is_stale(region, page_no) {
            self.freshen(region, page_no);
        }
        let mut meta = table.get(page_no);
        debug_assert!(meta.held > 0, "a chunk is held before it is let go");
        meta.held -= 1;
        table.set(page_no, meta);
        mark_held(region, chunk, false);
    }
}

/// A further piece says itself whether it is held; of a first one its kind does, when it matters.
fn mark_held(region: &Region, chunk: ChunkRef, held: bool) {
    let at = region.geometry.word_of(chunk) + 1;
    let word = region.arena.load(at);
    let header = Header::unpack(word);
    if header.kind() == Kind::Continuation {
        let flags = if held { flag::HELD } else { 0 };
        region
            .arena
            .store(at, header.with_flags(flags).pack_into(word));
    }
}

/// Whether a page of chunks has a free one.
fn has_room(region: &Region, meta: PageMeta) -> bool {
    let (_, chunks) = chunk_geometry(&region.geometry, meta.class);
    meta.free_head != 0 || usize::from(meta.carved) < chunks
}

/// Chunk bytes and chunks a page, of a size class or of overflow buckets.
pub(crate) fn chunk_geometry(geometry: &Geometry, class: u8) -> (usize, usize) {
    if class == CLASS_OVERFLOW {
        (BUCKET_BYTES, geometry.page_bytes / BUCKET_BYTES)
    } else {
        let class = usize::from(class);
        (
            geometry.classes.chunk_bytes(class),
            geometry.classes.chunks_per_page(class),
        )
    }
}

/// Bytes of a chunk that is in use, also of a run.
pub(crate) fn chunk_bytes_of(region: &Region, chunk: ChunkRef) -> usize {
    let word = region.geometry.word_of(chunk);
    let (class, _) = region.pages().owner(region.geometry.page_of_word(word));
    let classes = &region.geometry.classes;
    if class == CLASS_RUNS {
        runs::run_units(region, word) * classes.unit_bytes()
    } else {
        classes.chunk_bytes(usize::from(class))
    }
}

/// The size class of a chunk's page.
pub(crate) fn class_of(region: &Region, chunk: ChunkRef) -> usize {
    let (class, _) = region.pages().owner(region.geometry.page_of(chunk));
    usize::from(class)
}
