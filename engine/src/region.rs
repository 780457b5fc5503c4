//! The arena and the numbers that give it meaning, together.

use std::sync::atomic::AtomicUsize;

use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, LINE_BYTES, WORD_BYTES};
use crate::lru::choice::Choice;
use crate::lru::segments::Eviction;
use crate::rebalance::Tails;
use crate::slab::free_list::PagePool;
use crate::slab::page::PageTable;
use crate::space::Spaces;

/// What every part of a shard works on. Immutable but for the arena's words, the
/// pool, the databases' spaces, and what the shards tell one another: of their ages, their stale pages, and
/// what is asked for.
pub(crate) struct Region {
    pub arena: Arena,
    pub geometry: Geometry,
    pub pool: PagePool,
    pub hash_seed: u64,
    /// The longest key.
    pub key_bytes_max: usize,
    pub eviction: Eviction,
    /// How long the lists are.
    pub choice: Choice,
    pub tails: Tails,
    /// Stale pages of all shards: a hint.
    pub stale: AtomicUsize,
    /// Which space each database has.
    pub spaces: Spaces,
}

/// Behind so many lines the processor has found out by itself that it goes on.
const LINES_BEHIND_MAX: usize = 5;

impl Region {
    #[inline(always)]
    pub fn pages(&self) -> PageTable<'_> {
        PageTable::new(&self.arena, &self.geometry)
    }

    /// Asks for what of a chunk of `class` is behind its first line: it is to be written.
    #[inline(always)]
    pub fn prefetch_chunk(&self, chunk: ChunkRef, class: usize) {
        let lines = self
            .geometry
            .classes
            .chunk_bytes(class)
            .div_ceil(LINE_BYTES);
        let word = self.geometry.word_of(chunk);
        for line in 1..lines.min(1 + LINES_BEHIND_MAX) {
            self.arena.prefetch(word + line * LINE_BYTES / WORD_BYTES);
        }
    }
}
