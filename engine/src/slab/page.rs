//! What is known of a page: three words in the page table.
//!
//! ```text
//! word 0 ┌ class 8 ┬ shard 8 ┬ live 16 ┬ held 16 ┬ carved 16 ┐
//! word 1 ├ free head 16 ─────┬ next 24 ┴─────────┬ prev 24 ──┤
//! word 2 └ earliest deadline, seconds 32 ── generation 32 ───┘
//! ```
//!
//! A page of runs (`slab::runs`) has units in use where others have `carved`, and its longest free run where they have
//! the first free chunk.
//!
//! `live` counts chunks that are not free, `held` those among them that must not move
//! (reserved or pinned), `carved` those that have ever been handed out since the class
//! took the page. Numbers of pages and chunks are stored plus one; 0 is none. The class
//! is stored inverted, so that zeroed memory is a free page.
//!
//! The *generation* is that of the shard when it took the page: after a flush it is another (`shard::storage`).
//!
//! Guarded by the owner's shard lock (by the pool's lock while the page is free). The
//! sweep reads word 0 and word 2 without a lock, as a hint, and looks again under it.

use crate::arena::Arena;
use crate::geometry::{Geometry, PAGE_META_WORDS};

/// No class: the page is in the pool.
pub(crate) const CLASS_FREE: u8 = 255;
/// Buckets that the directory names.
pub(crate) const CLASS_INDEX: u8 = 254;
/// Buckets that hang behind a full one, one a chunk.
pub(crate) const CLASS_OVERFLOW: u8 = 253;
/// Runs: ends of items, each as long as it has to be.
pub(crate) const CLASS_RUNS: u8 = 252;
/// The first class number that is not a size class.
pub(crate) const CLASS_SPECIAL: u8 = 252;

/// "No item here expires."
pub(crate) const NO_DEADLINE: u32 = u32::MAX;

/// Words 0 and 1 of a page's entry, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageMeta {
    pub class: u8,
    pub shard: u8,
    pub live: u16,
    pub held: u16,
    pub carved: u16,
    /// First free chunk, plus one.
    pub free_head: u16,
    /// Neighbours in a list of pages, plus one.
    pub next: u32,
    pub prev: u32,
}

impl PageMeta {
    /// A page that belongs to nobody.
    pub const EMPTY: PageMeta = PageMeta {
        class: CLASS_FREE,
        shard: 0,
        live: 0,
        held: 0,
        carved: 0,
        free_head: 0,
        next: 0,
        prev: 0,
    };
}

/// The page table of an arena.
#[derive(Clone, Copy)]
pub(crate) struct PageTable<'a> {
    arena: &'a Arena,
    first_word: usize,
}

impl<'a> PageTable<'a> {
    #[inline(always)]
    pub fn new(arena: &'a Arena, geometry: &Geometry) -> Self {
        PageTable {
            arena,
            first_word: geometry.page_table_word,
        }
    }

    #[inline(always)]
    fn word(self, page_no: usize) -> usize {
        self.first_word + page_no * PAGE_META_WORDS
    }

    #[inline(always)]
    pub fn get(self, page_no: usize) -> PageMeta {
        let at = self.word(page_no);
        let (first, second) = (self.arena.load(at), self.arena.load(at + 1));
        PageMeta {
            class: !(first as u8),
            shard: (first >> 8) as u8,
            live: (first >> 16) as u16,
            held: (first >> 32) as u16,
            carved: (first >> 48) as u16,
            free_head: second as u16,
            next: (second >> 16) as u32 & 0xFF_FFFF,
            prev: (second >> 40) as u32,
        }
    }

    #[inline(always)]
    pub fn set(self, page_no: usize, meta: PageMeta) {
        debug_assert!(meta.live <= meta.carved && meta.held <= meta.live);
        let at = self.word(page_no);
        let first = u64::from(!meta.class)
            | u64::from(meta.shard) << 8
            | u64::from(meta.live) << 16
            | u64::from(meta.held) << 32
            | u64::from(meta.carved) << 48;
        let second =
            u64::from(meta.free_head) | u64::from(meta.next) << 16 | u64::from(meta.prev) << 40;
        self.arena.store(at, first);
        self.arena.store(at + 1, second);
    }

    /// Class and shard alone, as a hint when no lock is held.
    #[inline(always)]
    pub fn owner(self, page_no: usize) -> (u8, u8) {
        let first = self.arena.load(self.word(page_no));
        (!(first as u8), (first >> 8) as u8)
    }

    /// The earliest second at which an item of this page may expire, or [`NO_DEADLINE`].
    #[inline(always)]
    pub fn deadline(self, page_no: usize) -> u32 {
        self.arena.load(self.word(page_no) + 2) as u32
    }

    #[inline(always)]
    pub fn set_deadline(self, page_no: usize, secs: u32) {
        let at = self.word(page_no) + 2;
        let kept = self.arena.load(at) & !0xFFFF_FFFF;
        self.arena.store(at, kept | u64::from(secs));
    }

    /// The owner's generation when it took the page.
    #[inline(always)]
    pub fn generation(self, page_no: usize) -> u32 {
        (self.arena.load(self.word(page_no) + 2) >> 32) as u32
    }

    pub fn set_generation(self, page_no: usize, generation: u32) {
        let at = self.word(page_no) + 2;
        let kept = self.arena.load(at) & 0xFFFF_FFFF;
        self.arena.store(at, kept | u64::from(generation) << 32);
    }
}
