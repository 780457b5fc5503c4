//! The arena and the numbers that give it meaning, together.

use std::ops::Deref;
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
///
/// What every request loads comes first, on lines that nobody writes to. What stores change now and then, of whichever shard,
/// has lines of its own, or each such store would take the first ones away from all other processors.
#[repr(C)]
pub(crate) struct Region {
    pub arena: Arena,
    pub geometry: Geometry,
    pub hash_seed: u64,
    /// The longest key.
    pub key_bytes_max: usize,
    pub eviction: Eviction,
    /// Which space each database has: another only behind a flush.
    pub spaces: Spaces,
    pub pool: OwnLines<PagePool>,
    /// How long the lists are.
    pub choice: Choice,
    pub tails: Tails,
    /// Stale pages of all shards: a hint.
    pub stale: AtomicUsize,
}

/// What is in it shares no line with anything before it, nor a pair of lines, which some processors fetch together.
#[repr(align(128))]
pub(crate) struct OwnLines<T>(pub T);

impl<T> Deref for OwnLines<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Pieces that are asked for ahead on the way along a value's chain.
const PIECES_AHEAD: usize = 8;
/// Behind so many lines the processor has found out by itself that it goes on.
const LINES_BEHIND_MAX: usize = 5;

impl Region {
    #[inline(always)]
    pub fn pages(&self) -> PageTable<'_> {
        PageTable::new(&self.arena, &self.geometry)
    }

    /// Asks for the headers of the pieces that are likely to follow behind `piece`: pieces ascend, page by page, where they can, and
    /// each would be waited for.
    #[inline(always)]
    pub fn prefetch_pieces(&self, piece: ChunkRef) {
        let ahead = PIECES_AHEAD * self.geometry.page_bytes / WORD_BYTES;
        self.arena.prefetch(self.geometry.word_of(piece) + ahead);
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

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// A reader's lines stay in its processor's cache, whatever others store.
    #[test]
    fn what_stores_change_lies_behind_what_requests_load() {
        let loaded = [
            offset_of!(Region, arena) + size_of::<Arena>(),
            offset_of!(Region, geometry) + size_of::<Geometry>(),
            offset_of!(Region, hash_seed) + size_of::<u64>(),
            offset_of!(Region, key_bytes_max) + size_of::<usize>(),
            offset_of!(Region, eviction) + size_of::<Eviction>(),
            offset_of!(Region, spaces) + size_of::<Spaces>(),
        ];
        let changed = [
            offset_of!(Region, pool),
            offset_of!(Region, choice),
            offset_of!(Region, tails),
            offset_of!(Region, stale),
        ];
        let first = changed.into_iter().min().unwrap();
        assert!(loaded.into_iter().all(|end| end <= first));
        assert_eq!(first % 128, 0);
        // What follows in whatever it is part of begins on lines of its own, too.
        assert_eq!((align_of::<Region>(), size_of::<Region>() % 128), (128, 0));
    }
}
