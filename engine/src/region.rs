//! The arena and the numbers that give it meaning, together.

use std::sync::atomic::AtomicUsize;

use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{Geometry, WORD_BYTES};
use crate::lru::segments::Eviction;
use crate::rebalance::Tails;
use crate::slab::free_list::PagePool;
use crate::slab::page::PageTable;
use crate::space::Spaces;

/// What every part of a shard works on. Immutable but for the arena's words, the
/// pool, the databases' spaces, and what the shards tell one another of their ages and their stale pages.
pub(crate) struct Region {
    pub arena: Arena,
    pub geometry: Geometry,
    pub pool: PagePool,
    pub hash_seed: u64,
    /// The longest key.
    pub key_bytes_max: usize,
    pub eviction: Eviction,
    pub tails: Tails,
    /// Stale pages of all shards: a hint.
    pub stale: AtomicUsize,
    /// Which space each database has.
    pub spaces: Spaces,
}

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Behind so many lines the processor has found out by itself that it goes on.
const LINES_BEHIND_MAX: usize = 5;

/// Lines that are asked for behind the first one of so many bytes.
#[inline(always)]
fn lines_behind(bytes: usize) -> usize {
    (bytes.saturating_sub(1) / LINE_BYTES).min(LINES_BEHIND_MAX)
}

impl Region {
    #[inline(always)]
    pub fn pages(&self) -> PageTable<'_> {
        PageTable::new(&self.arena, &self.geometry)
    }

    /// Asks for what of a chunk of `class` is behind its first line: it is to be written.
    #[inline(always)]
    pub fn prefetch_chunk(&self, chunk: ChunkRef, class: usize) {
        let bytes = self.geometry.classes.chunk_bytes(class);
        let word = self.geometry.word_of(chunk);
        for line in 1..=lines_behind(bytes) {
            self.arena.prefetch(word + line * LINE_BYTES / WORD_BYTES);
        }
    }
}
