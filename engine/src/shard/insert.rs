//! The short way of a new item that is one chunk: taken, filled and linked in one go.
//!
//! Most stores go this way. A reservation (`reserve`, `fill`) is for what takes longer: several pieces, or bytes
//! that are still to arrive. Its chunks are held meanwhile, its header says that nobody can find it yet, and room for the
//! index is made when it is linked. Here nothing is evicted or moved once the chunk is there, so its header is
//! written once, as that of a linked item, and its page need not know.

use super::locked::Locked;
use super::reserve::{Blueprint, Shortage};
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::hash::{Key, KeyHash};
use crate::index::bucket::Bucket;
use crate::item::header::{Header, Kind, flag, key_field_bytes};
use crate::item::view::View;
use crate::lru::segments::Segment;
use crate::tick::Tick;

impl Locked<'_> {
    /// Stores an item under a short key that is not there, in a chunk of `class`. Returns its CAS number, 0 if it has
    /// none.
    pub(super) fn insert_single(
        &mut self,
        blueprint: Blueprint<'_>,
        class: usize,
        value: &[u8],
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<u64, Shortage> {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        let key = blueprint.key;
        // First, because making room for the index may evict.
        let primary = self.provision(key.hash(), now);
        let line = self.index.ghost_line(arena, geometry, key.hash());
        line.prefetch(arena);
        let (head, class) = self.obtain_of(class, bag, now)?;

        let segment = self.enters(line, key.hash());
        let main = match segment {
            Segment::Main => flag::MAIN,
            Segment::Probation => 0,
        };
        let key_bytes = key_field_bytes(key.bytes().len(), key.space().prefix_len());
        let flags = blueprint.flags | main;
        let header = Header::new(Kind::Linked, flags, key_bytes, value.len());
        let view = View::unlinked(region, head, header);
        let mut cas = 0;
        if header.has_fields() {
            let attributes = blueprint.attributes;
            view.write_fields(
                attributes.client_flags,
                attributes.deadline,
                blueprint.marks,
            );
            if header.has(flag::CAS) {
                cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
                view.set_cas(cas);
            }
            self.note_deadline(head, attributes.deadline);
        }
        view.write_whole(key, value);

        let bytes = geometry.classes.chunk_bytes(class) as u64;
        self.inserted_bytes += bytes;
        self.push_head(head, class, segment, bytes);
        self.counters.item_bytes += (key_bytes + value.len()) as u64;
        self.enter(key, primary, head, now);
        self.counters.sets += 1;
        Ok(cas)
    }

    /// Puts a listed item into the index, at the end of the chain `primary`, which is its key's.
    #[inline(always)]
    pub(super) fn enter(&mut self, key: Key<'_>, primary: Bucket, head: ChunkRef, now: Tick) {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        let hash = key.hash();
        if self
            .index
            .insert(arena, geometry, primary, hash, head)
            .is_err()
        {
            self.enter_full(primary, hash, head, now);
        }
        self.counters.items += 1;
        self.counts.add(key.space(), &region.spaces);
    }

    /// The same, of a chain that has no free slot.
    #[inline(never)]
    fn enter_full(&mut self, primary: Bucket, hash: KeyHash, head: ChunkRef, now: Tick) {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        loop {
            match self.slab.take_overflow(region) {
                Some(spare) => self.index.extend(arena, geometry, primary, spare),
                None => self.evict_from_chain(hash, now),
            }
            let entered = self.index.insert(arena, geometry, primary, hash, head);
            if entered.is_ok() {
                return;
            }
        }
    }
}
