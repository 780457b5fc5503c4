//! A reader's way through a chain, without the lock.
//!
//! Everything here may be torn: a chunk, a link, a tag of a page that has become
//! something else. Nothing is trusted before the stamp and the extent are validated;
//! links are followed a bounded number of times and only into the pages.

use super::bucket::{Bucket, Matches, SLOTS, link_of, slot_position, unpack_slot};
use super::{Extent, bucket_at};
use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_BYTES, Geometry, WORD_BYTES};
use crate::hash::KeyHash;
use crate::stamp::{self, Noted, StdFences};

/// More overflow buckets than a chain of any sane length; a cycle of torn links ends here.
const HOPS_MAX: usize = 64;

/// Where in the index a key has to be looked for, as it was a moment ago. One that is stale is
/// safe to use: what is read there does not validate.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    extent: Extent,
    primary: Bucket,
}

impl Spot {
    #[inline(always)]
    pub(crate) fn of(arena: &Arena, geometry: &Geometry, hash: KeyHash) -> Self {
        let shard_no = hash.shard_no();
        let extent = Extent::load(arena, geometry.header_word(shard_no));
        let primary = bucket_at(arena, geometry, shard_no, extent.bucket_no(hash));
        Spot { extent, primary }
    }

    /// Pulls in the bucket's line.
    #[inline(always)]
    pub(crate) fn prefetch(self, arena: &Arena) {
        arena.prefetch(self.primary.0);
    }
}

/// What was noted before reading.
pub(crate) struct Probe {
    spot: Spot,
    header_word: usize,
    noted: Noted,
}

impl Probe {
    /// Notes extent and stamp. `None`: a writer is at work on the chain.
    #[inline(always)]
    pub fn begin(arena: &Arena, geometry: &Geometry, hash: KeyHash, spot: Spot) -> Option<Self> {
        let noted = stamp::note(arena.word(spot.primary.0))?;
        Some(Probe {
            spot,
            header_word: geometry.header_word(hash.shard_no()),
            noted,
        })
    }

    /// The marks of the first candidate for which `is_it` holds.
    #[inline(always)]
    pub fn find(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        hash: KeyHash,
        mut is_it: impl FnMut(ChunkRef) -> bool,
    ) -> Option<u32> {
        let mut bucket = self.spot.primary;
        let mut word_0 = self.noted.word();
        for _ in 0..HOPS_MAX {
            let word_1 = arena.load(bucket.0 + 1);
            for slot in Matches::of(word_0, word_1, hash.tag()) {
                let (word, shift) = slot_position(slot);
                let (chunk, marks) = unpack_slot((arena.load(bucket.0 + word) >> shift) as u32);
                if is_it(chunk) {
                    return Some(marks);
                }
            }
            if word_1 >> 56 != 0 {
                return None;
            }
            let (word, shift) = slot_position(SLOTS - 1);
            let link = link_of((arena.load(bucket.0 + word) >> shift) as u32)?;
            let next = geometry.word_of(link);
            if !geometry.in_pages(next * WORD_BYTES, BUCKET_BYTES) {
                return None;
            }
            bucket = Bucket(next);
            word_0 = arena.load(next);
        }
        None
    }

    /// Whether all that was read since [`Probe::begin`] was one state of the chain.
    #[inline(always)]
    pub fn validate(&self, arena: &Arena) -> bool {
        // The stamp's fence orders the extent's second look too.
        stamp::validate::<_, StdFences>(arena.word(self.spot.primary.0), self.noted)
            && self.spot.extent.is_current(arena, self.header_word)
    }

    /// Pulls in the lines of the first candidate's chunk, or none.
    #[inline(always)]
    pub fn prefetch(&self, arena: &Arena, geometry: &Geometry, hash: KeyHash) {
        self.find(arena, geometry, hash, |chunk| {
            arena.prefetch(geometry.word_of(chunk));
            true
        });
    }
}
