//! The index: which chunk may hold a key.
//!
//! Linear hashing (Litwin, 1980) over cache-line buckets: when there are more than
//! [`ITEMS_PER_BUCKET`] items a bucket, *one* bucket is split in two, so that the table
//! grows and shrinks with the items, a page at a time inside the budget, and no client
//! ever waits for a rebuild. A full bucket continues in an overflow bucket.
//!
//! Knows hashes, tags and `ChunkRef`s. Whether a candidate is the key that is looked for,
//! and what a candidate's hash is, it asks through closures.

pub(crate) mod bucket;
pub(crate) mod ghosts;
pub(crate) mod probe;

use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_WORDS, Geometry, WORD_BYTES};
use crate::hash::KeyHash;
use crate::stamp::{self, StdFences, Writing};
use bucket::{Bucket, SLOTS};
use ghosts::Ghost;
use std::sync::atomic::Ordering;

/// Split above this load. Of the 12 slots, so that few hits need a second line, and so that ghosts
/// find free slots. With 10 an item would cost 0.7 bytes of index less, and the hit ratio of a
/// trace of scans (ARC's P3 at a tenth of its keys) would be 0.7 points lower.
const ITEMS_PER_BUCKET: usize = 8;
/// Merge below this load: far enough from the other that a page does not come and go.
const ITEMS_PER_BUCKET_MIN: usize = 4;

/// What readers load first: how many buckets there are, and a count of all changes of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent(u64);

impl Extent {
    #[inline(always)]
    pub fn load(arena: &Arena, header_word: usize) -> Self {
        Extent(arena.word(header_word).load(Ordering::Acquire))
    }

    #[inline(always)]
    pub fn is_current(self, arena: &Arena, header_word: usize) -> bool {
        arena.load(header_word) == self.0
    }

    #[inline(always)]
    fn buckets(self) -> u32 {
        self.0 as u32
    }

    /// The bucket of `hash`: the low bits, one fewer where that bucket is not there yet.
    #[inline(always)]
    pub fn bucket_no(self, hash: KeyHash) -> u32 {
        let buckets = self.buckets();
        let mask = u32::MAX >> (buckets.wrapping_sub(1) | 1).leading_zeros();
        let bucket_no = hash.bucket_bits() & mask;
        if bucket_no >= buckets {
            bucket_no & (mask >> 1)
        } else {
            bucket_no
        }
    }
}

/// A found slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The chain's first bucket, whose stamp guards it.
    pub primary: Bucket,
    /// The bucket of the slot.
    pub bucket: Bucket,
    pub slot: usize,
    pub chunk: ChunkRef,
    pub marks: u32,
}

/// The chain of a hash has no free slot, and an overflow bucket is needed for one.
#[derive(Debug)]
pub(crate) struct ChainFull;

/// One shard's index. Guarded by the shard's lock.
pub(crate) struct Index {
    header_word: usize,
    directory_word: usize,
    directory_entries: usize,
    /// Mirror of the extent word.
    extent: Extent,
    items: usize,
    /// The time of ghosts.
    ghost_epoch: u32,
}

/// A bucket's word, through the shard's part of the directory.
#[inline(always)]
pub(crate) fn bucket_at(
    arena: &Arena,
    geometry: &Geometry,
    shard_no: usize,
    bucket_no: u32,
) -> Bucket {
    let shift = geometry.buckets_per_page_shift();
    let entry = (bucket_no >> shift) as usize;
    let first = geometry.directory_word + shard_no * geometry.directory_stride;
    let pair = arena.load(first + entry / 2);
    let page_no = (pair >> (32 * (entry % 2))) as u32 as usize;
    // A reader with a stale extent may find any number here; the extent is checked again.
    let page_no = page_no.min(geometry.page_count - 1);
    let within = (bucket_no & ((1 << shift) - 1)) as usize;
    Bucket(geometry.page_word(page_no) + within * BUCKET_WORDS)
}

impl Index {
    /// An index without buckets; `grow` gives it the first page of them.
    pub fn new(geometry: &Geometry, shard_no: usize) -> Self {
        Index {
            header_word: geometry.header_word(shard_no),
            directory_word: geometry.directory_word + shard_no * geometry.directory_stride,
            directory_entries: geometry.directory_entries,
            extent: Extent(0),
            items: 0,
            ghost_epoch: 0,
        }
    }

    pub fn items(&self) -> usize {
        self.items
    }

    pub fn buckets(&self) -> usize {
        self.extent.buckets() as usize
    }

    fn directory_get(&self, arena: &Arena, entry: usize) -> usize {
        let pair = arena.load(self.directory_word + entry / 2);
        (pair >> (32 * (entry % 2))) as u32 as usize
    }

    fn directory_set(&self, arena: &Arena, entry: usize, page_no: usize) {
        let at = self.directory_word + entry / 2;
        let shift = 32 * (entry % 2);
        let pair = arena.load(at) & !(0xFFFF_FFFF << shift);
        arena.store(at, pair | (page_no as u64) << shift);
    }

    pub fn bucket(&self, arena: &Arena, geometry: &Geometry, bucket_no: u32) -> Bucket {
        let shift = geometry.buckets_per_page_shift();
        let page_no = self.directory_get(arena, (bucket_no >> shift) as usize);
        let within = (bucket_no & ((1 << shift) - 1)) as usize;
        Bucket(geometry.page_word(page_no) + within * BUCKET_WORDS)
    }

    /// The bucket that a chain for `hash` begins with.
    #[inline]
    pub fn primary(&self, arena: &Arena, geometry: &Geometry, hash: KeyHash) -> Bucket {
        self.bucket(arena, geometry, self.extent.bucket_no(hash))
    }

    /// Pulls in the lines on which the ghosts of a chain are.
    #[inline(always)]
    pub fn prefetch_ghosts(&self, arena: &Arena, primary: Bucket) {
        arena.prefetch(primary.0);
        arena.prefetch(primary.neighbour().0);
    }

    /// The slot of `hash`'s chain whose tag fits and whose chunk `is_it`.
    #[inline]
    pub fn find(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        hash: KeyHash,
        mut is_it: impl FnMut(ChunkRef) -> bool,
    ) -> Option<Place> {
        let primary = self.primary(arena, geometry, hash);
        let mut bucket = primary;
        loop {
            for slot in bucket.matches(arena, hash.tag()) {
                let (chunk, marks) = bucket.slot(arena, slot);
                if is_it(chunk) {
                    return Some(Place {
                        primary,
                        bucket,
                        slot,
                        chunk,
                        marks,
                    });
                }
            }
            bucket = bucket.overflow(arena, geometry)?;
        }
    }

    /// Puts `chunk` at the end of the chain `primary`, which is that of `hash`.
    pub fn insert(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        primary: Bucket,
        hash: KeyHash,
        chunk: ChunkRef,
    ) -> Result<(), ChainFull> {
        let (last, used) = chain_end(arena, geometry, primary);
        if used == SLOTS {
            return Err(ChainFull);
        }
        let writing = primary.begin_writing(arena);
        let displaced = last.displaced_ghosts(arena, used);
        last.set_slot(arena, used, hash.tag(), chunk, 0);
        for ghost in displaced {
            self.keep_ghost(arena, geometry, primary, ghost);
        }
        writing.end();
        self.items += 1;
        Ok(())
    }

    /// Appends the zeroed bucket `spare` to the full chain `primary`.
    pub fn extend(&mut self, arena: &Arena, geometry: &Geometry, primary: Bucket, spare: Bucket) {
        let writing = primary.begin_writing(arena);
        let (last, used) = chain_end(arena, geometry, primary);
        debug_assert_eq!(used, SLOTS);
        push_overflow(arena, geometry, last, spare);
        writing.end();
    }

    /// Points a slot at another chunk: the item was replaced, or has moved.
    pub fn redirect(&mut self, arena: &Arena, place: Place, chunk: ChunkRef, marks: u32) {
        let writing = place.primary.begin_writing(arena);
        let tag = place.bucket.tag(arena, place.slot);
        place.bucket.set_slot(arena, place.slot, tag, chunk, marks);
        writing.end();
    }

    /// Sets a slot's marks. Under the lock, but without the stamp: no reader depends on them.
    pub fn set_marks(&self, arena: &Arena, place: Place, marks: u32) {
        place.bucket.set_marks(arena, place.slot, marks);
    }

    /// Takes a slot out; returns an overflow bucket that is no longer needed.
    pub fn remove(&mut self, arena: &Arena, geometry: &Geometry, place: Place) -> Option<Bucket> {
        let writing = place.primary.begin_writing(arena);
        let spare = take_out(arena, geometry, place.primary, place.bucket, place.slot);
        writing.end();
        self.items -= 1;
        spare
    }

    /// Remembers that an item of the chain `primary` was evicted.
    pub fn push_ghost(&self, arena: &Arena, geometry: &Geometry, primary: Bucket, hash: KeyHash) {
        self.keep_ghost(arena, geometry, primary, self.ghost(hash));
    }

    /// Whether an item that would belong to the chain `primary` was evicted not long ago; it is
    /// forgotten now.
    pub fn take_ghost(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        primary: Bucket,
        hash: KeyHash,
    ) -> bool {
        let ghost = self.ghost(hash);
        ghost_homes(arena, geometry, primary)
            .any(|(home, used)| home.take_ghost(arena, used, ghost))
    }

    /// Finds a place for a ghost: a free one, or that of an older ghost.
    fn keep_ghost(&self, arena: &Arena, geometry: &Geometry, primary: Bucket, ghost: Ghost) {
        let epoch = self.ghost_epoch;
        let place = ghost_homes(arena, geometry, primary)
            .find_map(|(home, used)| home.vacant_place(arena, used, epoch))
            .or_else(|| {
                ghost_homes(arena, geometry, primary)
                    .filter_map(|(home, used)| home.oldest_place(arena, used, epoch))
                    .max_by_key(|place| place.age)
            });
        if let Some(place) = place
            && place.age > ghost.age(epoch)
        {
            place.put(arena, ghost);
        }
    }

    /// Time passes for the ghosts.
    pub fn next_ghost_epoch(&mut self) {
        self.ghost_epoch = self.ghost_epoch.wrapping_add(1);
    }

    fn ghost(&self, hash: KeyHash) -> Ghost {
        Ghost {
            print: hash.ghost(),
            epoch: self.ghost_epoch,
        }
    }

    /// Whether an insert would be better off with one more bucket.
    pub fn wants_growth(&self) -> bool {
        self.items >= self.buckets() * ITEMS_PER_BUCKET
    }

    /// Whether one bucket fewer would do.
    pub fn wants_shrink(&self, geometry: &Geometry) -> bool {
        self.buckets() > 1 << geometry.buckets_per_page_shift()
            && self.items < self.buckets() * ITEMS_PER_BUCKET_MIN
    }

    /// Whether the next bucket needs a page, and the directory has room for it.
    pub fn growth_needs_page(&self, geometry: &Geometry) -> Option<bool> {
        let shift = geometry.buckets_per_page_shift();
        let next = self.buckets();
        if next & ((1 << shift) - 1) != 0 {
            return Some(false);
        }
        (next >> shift < self.directory_entries).then_some(true)
    }

    /// The first page: all its buckets at once, empty.
    pub fn open(&mut self, arena: &Arena, geometry: &Geometry, page_no: usize) {
        debug_assert_eq!(self.buckets(), 0);
        self.add_page(arena, geometry, page_no, 0);
        self.set_extent(arena, 1 << geometry.buckets_per_page_shift());
    }

    /// Makes `page_no` the home of buckets from `entry` on.
    fn add_page(&mut self, arena: &Arena, geometry: &Geometry, page_no: usize, entry: usize) {
        stamp::before_reuse::<StdFences>();
        arena.clear_words(
            geometry.page_word(page_no),
            geometry.page_bytes / WORD_BYTES,
        );
        self.directory_set(arena, entry, page_no);
    }

    fn set_extent(&mut self, arena: &Arena, buckets: usize) {
        let changes = (self.extent.0 >> 32).wrapping_add(1);
        self.extent = Extent(changes << 32 | buckets as u64);
        // Release: pairs with `Extent::load`; publishes the directory and the new bucket.
        arena
            .word(self.header_word)
            .store(self.extent.0, Ordering::Release);
    }

    /// Splits one bucket. `page` is there if [`Index::growth_needs_page`] said so.
    ///
    /// `hash_of` rehashes an item's key; `spare` gives an overflow bucket, at least
    /// [`Index::split_spares`] times, and `unneeded` takes one back.
    pub fn split(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        page: Option<usize>,
        hash_of: impl Fn(ChunkRef) -> KeyHash,
        mut spare: impl FnMut() -> Option<Bucket>,
        mut unneeded: impl FnMut(Bucket),
    ) {
        let new_no = self.extent.buckets();
        let shift = geometry.buckets_per_page_shift();
        if let Some(page_no) = page {
            self.add_page(arena, geometry, page_no, (new_no >> shift) as usize);
        }
        let level = 1u32 << (31 - new_no.leading_zeros());
        let old = self.bucket(arena, geometry, new_no - level);
        let new = self.bucket(arena, geometry, new_no);
        let writing = old.begin_writing(arena);
        // The new bucket is private until the extent is stored, but not zero: a merge may
        // have left it behind. Its stamp only ever grows.
        new.clear_slots(arena);
        let (mut bucket, mut slot) = (old, 0);
        while let Some((at, index)) = settle(arena, geometry, bucket, slot) {
            (bucket, slot) = (at, index);
            let (chunk, marks) = bucket.slot(arena, slot);
            let hash = hash_of(chunk);
            if hash.bucket_bits() & level == 0 {
                slot += 1;
                continue;
            }
            let (mut last, mut used) = chain_end(arena, geometry, new);
            if used == SLOTS {
                let more = spare().expect("the caller made sure of the spares");
                push_overflow(arena, geometry, last, more);
                (last, used) = chain_end(arena, geometry, new);
            }
            last.set_slot(arena, used, hash.tag(), chunk, marks);
            if let Some(freed) = take_out(arena, geometry, old, bucket, slot) {
                if freed == bucket {
                    // The bucket under the cursor is gone; its last entry moved to the slot before.
                    (bucket, slot) = (old, 0);
                }
                unneeded(freed);
            }
        }
        self.set_extent(arena, new_no as usize + 1);
        writing.end();
    }

    /// How many overflow buckets the split of the next bucket could need at most.
    pub fn split_spares(&self, arena: &Arena, geometry: &Geometry) -> usize {
        let new_no = self.extent.buckets();
        let level = 1u32 << (31 - new_no.leading_zeros());
        chain_overflows(
            arena,
            geometry,
            self.bucket(arena, geometry, new_no - level),
        )
    }

    /// How many overflow buckets [`Index::merge`] will need: both chains' entries are one chain's then, and those
    /// of the chain that goes are given back only afterwards.
    pub fn merge_spares(&self, arena: &Arena, geometry: &Geometry) -> usize {
        let last_no = self.extent.buckets() - 1;
        let level = 1u32 << (31 - last_no.leading_zeros());
        let target = self.bucket(arena, geometry, last_no - level);
        let source = self.bucket(arena, geometry, last_no);
        let entries =
            chain_entries(arena, geometry, target) + chain_entries(arena, geometry, source);
        overflows_for(entries) - chain_overflows(arena, geometry, target)
    }

    /// Merges the last bucket into the one it was split from; returns its page if that is
    /// empty now.
    pub fn merge(
        &mut self,
        arena: &Arena,
        geometry: &Geometry,
        mut spare: impl FnMut() -> Option<Bucket>,
        mut unneeded: impl FnMut(Bucket),
    ) -> Option<usize> {
        let last_no = self.extent.buckets() - 1;
        let level = 1u32 << (31 - last_no.leading_zeros());
        let target = self.bucket(arena, geometry, last_no - level);
        let source = self.bucket(arena, geometry, last_no);
        let writing_source = source.begin_writing(arena);
        let writing_target = target.begin_writing(arena);
        let mut walk = Some(source);
        while let Some(bucket) = walk {
            for slot in 0..bucket.used(arena) {
                let (chunk, marks) = bucket.slot(arena, slot);
                let (mut end, mut used) = chain_end(arena, geometry, target);
                if used == SLOTS {
                    let more = spare().expect("the caller made sure of the spares");
                    push_overflow(arena, geometry, end, more);
                    (end, used) = chain_end(arena, geometry, target);
                }
                end.set_slot(arena, used, bucket.tag(arena, slot), chunk, marks);
            }
            walk = bucket.overflow(arena, geometry);
            if bucket != source {
                unneeded(bucket);
            }
        }
        self.set_extent(arena, last_no as usize);
        source.clear_slots(arena);
        writing_target.end();
        writing_source.end();
        let shift = geometry.buckets_per_page_shift();
        (last_no & ((1 << shift) - 1) == 0)
            .then(|| self.directory_get(arena, (last_no >> shift) as usize))
    }

    /// Begins anew with the buckets of the first page, emptied; returns that page, and how many others are not
    /// the index's any more. Overflow buckets are forgotten.
    ///
    /// A reader in another page notices by the extent, and one in the first by the stamps. A panic may have left
    /// some of these odd; they are even afterwards.
    pub fn set_aside(&mut self, arena: &Arena, geometry: &Geometry) -> (usize, usize) {
        let shift = geometry.buckets_per_page_shift();
        let pages = self.buckets().div_ceil(1 << shift);
        for bucket_no in 0..1 << shift {
            let primary = self.bucket(arena, geometry, bucket_no);
            let writing = Writing::<_, StdFences>::resume(arena.word(primary.0));
            primary.clear_slots(arena);
            writing.end();
        }
        self.items = 0;
        self.set_extent(arena, 1 << shift);
        (self.directory_get(arena, 0), pages - 1)
    }

    /// Calls `each` with every slot.
    pub fn for_each(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        mut each: impl FnMut(u32, u8, ChunkRef),
    ) {
        for bucket_no in 0..self.extent.buckets() {
            let mut walk = Some(self.bucket(arena, geometry, bucket_no));
            while let Some(bucket) = walk {
                for slot in 0..bucket.used(arena) {
                    each(
                        bucket_no,
                        bucket.tag(arena, slot),
                        bucket.slot(arena, slot).0,
                    );
                }
                walk = bucket.overflow(arena, geometry);
            }
        }
    }

    /// The bucket number that `hash` belongs to now.
    pub fn bucket_no(&self, hash: KeyHash) -> u32 {
        self.extent.bucket_no(hash)
    }

    /// Overflow buckets in use.
    pub fn overflow_count(&self, arena: &Arena, geometry: &Geometry) -> usize {
        (0..self.extent.buckets())
            .map(|bucket_no| {
                chain_overflows(arena, geometry, self.bucket(arena, geometry, bucket_no))
            })
            .sum()
    }
}

/// Where the ghosts of a chain are kept: at its end, and, because the free slots of one bucket are
/// now many and now none, at that of the chain whose bucket is on the neighbouring line.
///
/// The very last bucket may have a neighbour that is not there yet. Its line is the index's already,
/// and whoever makes a bucket of it clears it.
#[inline(always)]
fn ghost_homes(
    arena: &Arena,
    geometry: &Geometry,
    primary: Bucket,
) -> impl Iterator<Item = (Bucket, usize)> {
    [primary, primary.neighbour()]
        .into_iter()
        .map(|bucket| chain_end(arena, geometry, bucket))
}

/// The last bucket of a chain and how many of its slots are used.
#[inline]
fn chain_end(arena: &Arena, geometry: &Geometry, primary: Bucket) -> (Bucket, usize) {
    let mut bucket = primary;
    while let Some(next) = bucket.overflow(arena, geometry) {
        bucket = next;
    }
    (bucket, bucket.used(arena))
}

fn chain_overflows(arena: &Arena, geometry: &Geometry, primary: Bucket) -> usize {
    std::iter::successors(primary.overflow(arena, geometry), |bucket| {
        bucket.overflow(arena, geometry)
    })
    .count()
}

fn chain_entries(arena: &Arena, geometry: &Geometry, primary: Bucket) -> usize {
    let (_, used) = chain_end(arena, geometry, primary);
    chain_overflows(arena, geometry, primary) * (SLOTS - 1) + used
}

/// Overflow buckets of a chain of so many entries: all of its buckets but the last give a slot to the link.
const fn overflows_for(entries: usize) -> usize {
    entries.saturating_sub(2) / (SLOTS - 1)
}

/// Makes room behind the full bucket `last`: its last slot becomes the link, and that
/// slot's entry the first one of `spare`.
fn push_overflow(arena: &Arena, geometry: &Geometry, last: Bucket, spare: Bucket) {
    spare.clear_slots(arena);
    let tag = last.tag(arena, SLOTS - 1);
    let (chunk, marks) = last.slot(arena, SLOTS - 1);
    spare.set_slot(arena, 0, tag, chunk, marks);
    last.set_overflow(arena, geometry, spare);
}

/// Fills the hole at `bucket`/`slot` with the chain's last entry, so that chains have no
/// holes. An overflow bucket left with one entry is folded into its predecessor's link
/// slot and returned.
fn take_out(
    arena: &Arena,
    geometry: &Geometry,
    primary: Bucket,
    bucket: Bucket,
    slot: usize,
) -> Option<Bucket> {
    let mut before = None;
    let mut last = primary;
    while let Some(next) = last.overflow(arena, geometry) {
        before = Some(last);
        last = next;
    }
    let end = last.used(arena) - 1;
    if (last, end) != (bucket, slot) {
        let (chunk, marks) = last.slot(arena, end);
        bucket.set_slot(arena, slot, last.tag(arena, end), chunk, marks);
    }
    last.clear_slot(arena, end);
    let before = before?;
    if end > 1 {
        return None;
    }
    debug_assert_eq!(end, 1, "an overflow bucket has two entries or more");
    let (chunk, marks) = last.slot(arena, 0);
    before.set_slot(arena, SLOTS - 1, last.tag(arena, 0), chunk, marks);
    Some(last)
}

/// The cursor `bucket`/`slot` moved past buckets' ends; `None` at the chain's end.
fn settle(
    arena: &Arena,
    geometry: &Geometry,
    bucket: Bucket,
    slot: usize,
) -> Option<(Bucket, usize)> {
    if slot < bucket.used(arena) {
        return Some((bucket, slot));
    }
    let next = bucket.overflow(arena, geometry)?;
    (next.used(arena) > 0).then_some((next, 0))
}
