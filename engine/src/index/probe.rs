//! A reader's way through a chain, without the lock.
//!
//! Everything here may be torn: a chunk, a link, a tag of a page that has become
//! something else. Nothing is trusted before the stamp and the extent are validated;
//! links are followed a bounded number of times and only into the pages.

use std::sync::atomic::Ordering::Relaxed;

use super::bucket::{Bucket, Matches, SLOTS, Slot, link_of, slot_position};
use super::{Extent, Place, bucket_at};
use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_BYTES, BUCKET_WORDS, Geometry, WORD_BYTES};
use crate::hash::KeyHash;
use crate::stamp::{self, Noted, StdFences};

/// Overflow buckets that a reader follows: a cycle of torn links ends here. So does a very long chain, which is then
/// looked at under the lock.
const HOPS_MAX: usize = 64;

/// A link that cannot be, or more of them than a reader follows: what the chain holds is not known.
#[derive(Debug)]
pub(crate) struct Lost;

/// Where in the index a key has to be looked for, as it was a moment ago. One that is stale is
/// safe to use: what is read there does not validate.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    extent: Extent,
    primary: Bucket,
    /// What the bucket said, if it was looked at and there was a candidate.
    seen: Option<Seen>,
}

/// What a bucket said of a hash: its stamp, the slot with its tag, and which slot that is.
#[derive(Clone, Copy, Debug)]
struct Seen {
    noted: Noted,
    slot: Slot,
    slot_no: u32,
}

/// A slot that a [`Spot`] saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'s> {
    seen: &'s Seen,
    spot: &'s Spot,
}

impl Candidate<'_> {
    #[inline(always)]
    pub fn chunk(&self) -> ChunkRef {
        self.seen.slot.chunk()
    }

    /// Its place, if nothing has happened to its chain since. What was read of the item meanwhile holds then, too. For the
    /// holder of the shard's lock.
    #[inline(always)]
    pub fn place(&self, arena: &Arena, header_word: usize) -> Option<Place> {
        let (bucket, &Seen { noted, slot_no, .. }) = (self.spot.primary, self.seen);
        // The lock's acquire orders these looks behind what was read.
        let is_same = stamp::is_same(arena.word(bucket.0), noted)
            && self.spot.extent.is_current(arena, header_word);
        is_same.then(|| Place {
            primary: bucket,
            bucket,
            slot: slot_no as usize,
            chunk: self.chunk(),
            // Other than by the stamp, under the lock.
            marks: bucket.slot(arena, slot_no as usize).1,
        })
    }
}

impl Spot {
    #[inline(always)]
    pub(crate) fn of(arena: &Arena, geometry: &Geometry, hash: KeyHash) -> Self {
        let shard_no = hash.shard_no();
        let extent = Extent::load(arena, geometry.header_word(shard_no));
        let primary = bucket_at(arena, geometry, shard_no, extent.bucket_no(hash));
        Spot {
            extent,
            primary,
            seen: None,
        }
    }

    /// Pulls in the bucket's line.
    #[inline(always)]
    pub(crate) fn prefetch(self, arena: &Arena) {
        arena.prefetch(self.primary.0);
    }

    /// Looks at the bucket, remembers the first candidate and pulls in the first line of its chunk. What was
    /// remembered holds if the bucket's stamp is still the same when the item has been read.
    #[inline(always)]
    pub(crate) fn look(&mut self, arena: &Arena, geometry: &Geometry, hash: KeyHash) {
        let Some(noted) = stamp::note(arena.word(self.primary.0)) else {
            return;
        };
        if let First::Candidate(slot, slot_no) = first(arena, self.primary, noted, hash) {
            arena.prefetch(geometry.word_of(slot.chunk()));
            self.seen = Some(Seen {
                noted,
                slot,
                slot_no,
            });
        }
    }

    /// The slot that was seen, if one was.
    #[inline(always)]
    pub(crate) fn candidate(&self) -> Option<Candidate<'_>> {
        let seen = self.seen.as_ref()?;
        Some(Candidate { seen, spot: self })
    }
}

/// What was noted before reading.
pub(crate) struct Probe {
    extent: Extent,
    primary: Bucket,
    header_word: usize,
    noted: Noted,
}

/// What the chain's first bucket says of a hash.
pub(crate) enum First {
    /// The first slot with its tag: nearly always the one, if there is one. And which slot that is.
    Candidate(Slot, u32),
    /// There is none here, but an overflow bucket.
    Further,
    /// There is none in the chain.
    None,
}

/// A chain of buckets, from the first one on.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    primary: Bucket,
    word_0: u64,
}

impl Chain {
    /// The slot of the first candidate that `is_it`.
    pub fn find(
        self,
        arena: &Arena,
        geometry: &Geometry,
        hash: KeyHash,
        mut is_it: impl FnMut(ChunkRef) -> bool,
    ) -> Result<Option<Slot>, Lost> {
        let (mut bucket, mut word_0) = (self.primary, self.word_0);
        for _ in 0..HOPS_MAX {
            let word_1 = arena.load(bucket.0 + 1);
            let half = |slot| {
                let (word, shift) = slot_position(slot);
                (arena.load(bucket.0 + word) >> shift) as u32
            };
            for slot in Matches::of(word_0, word_1, hash.tag()) {
                if let Some(slot) = Slot::of(half(slot))
                    && is_it(slot.chunk())
                {
                    return Ok(Some(slot));
                }
            }
            if !has_link(word_1) {
                return Ok(None);
            }
            let Some(link) = link_of(half(SLOTS - 1)) else {
                return Ok(None);
            };
            let next = geometry.word_of(link);
            if !geometry.in_pages(next * WORD_BYTES, BUCKET_BYTES) {
                return Err(Lost);
            }
            bucket = Bucket(next);
            word_0 = arena.load(next);
        }
        Err(Lost)
    }
}

/// What the bucket `primary`, noted, says of `hash`.
#[inline(always)]
fn first(arena: &Arena, primary: Bucket, noted: Noted, hash: KeyHash) -> First {
    let words = arena.run::<BUCKET_WORDS>(primary.0);
    let (word_0, word_1) = (noted.word(), words[1].load(Relaxed));
    let half = |slot| {
        let (word, shift) = slot_position(slot);
        (words[word].load(Relaxed) >> shift) as u32
    };
    if let Some(slot_no) = Matches::of(word_0, word_1, hash.tag()).next() {
        let candidate = |slot| First::Candidate(slot, slot_no as u32);
        return Slot::of(half(slot_no)).map_or(First::None, candidate);
    }
    if has_link(word_1) && link_of(half(SLOTS - 1)).is_some() {
        First::Further
    } else {
        First::None
    }
}

/// Whether a bucket's last slot may be a link, by its second word: its tag is 0.
#[inline(always)]
fn has_link(word_1: u64) -> bool {
    word_1 >> 56 == 0
}

impl Probe {
    /// Notes extent and stamp, and what the chain's first bucket says, unless the spot has that
    /// from before. `None`: a writer is at work on the chain.
    #[inline(always)]
    pub fn begin(
        arena: &Arena,
        geometry: &Geometry,
        hash: KeyHash,
        spot: &Spot,
    ) -> Option<(Self, First)> {
        let (noted, first) = match &spot.seen {
            Some(seen) => (seen.noted, First::Candidate(seen.slot, seen.slot_no)),
            None => {
                let noted = stamp::note(arena.word(spot.primary.0))?;
                (noted, first(arena, spot.primary, noted, hash))
            }
        };
        let header_word = geometry.header_word(hash.shard_no());
        let probe = Probe {
            extent: spot.extent,
            primary: spot.primary,
            header_word,
            noted,
        };
        Some((probe, first))
    }

    /// The whole chain, as it was noted.
    #[inline(always)]
    pub fn chain(&self) -> Chain {
        Chain {
            primary: self.primary,
            word_0: self.noted.word(),
        }
    }

    /// Whether all that was read since [`Probe::begin`] was one state of the chain.
    #[inline(always)]
    pub fn validate(&self, arena: &Arena) -> bool {
        // The stamp's fence orders the extent's second look too.
        stamp::validate::<_, StdFences>(arena.word(self.primary.0), self.noted)
            && self.extent.is_current(arena, self.header_word)
    }
}
