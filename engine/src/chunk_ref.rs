//! The name of a chunk: 30 bits, in granules from the arena's start.
//!
//! ```text
//! slot ┌ 31..30 ┬ 29 ……………… 0 ┐
//!      │ marks  │ granule     │   marks belong to the index slot, not to the name
//!      └────────┴─────────────┘
//! ```
//!
//! A granule is 8 bytes up to an 8 GiB arena (see `geometry`). A byte position rather
//! than page number + chunk number: a reader then goes from the bucket straight to the
//! item, without a look at the page table, which at 1 M items no longer fits the L1
//! cache. Zero is none: the superblock lies there.

/// Bits of a slot that name a chunk; the two above them are the slot's marks.
pub(crate) const CHUNK_REF_BITS: u32 = 30;

/// Which chunk; stale ones are safe to read and merely wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ChunkRef(u32);

impl ChunkRef {
    pub const NONE: ChunkRef = ChunkRef(0);

    #[inline(always)]
    pub const fn from_granule(granule: u32) -> Self {
        debug_assert!(granule < 1 << CHUNK_REF_BITS);
        ChunkRef(granule)
    }

    #[inline(always)]
    pub const fn granule(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}
