//! Every invariant of a shard, checked the slow way, for tests and soaks.

use super::lists::{footprint, segment_of};
use super::locked::Locked;
use super::storage::chunk_geometry;
use super::sweep::LATE_MAX;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_BYTES, WORD_BYTES};
use crate::item::header::Kind;
use crate::item::view::View;
use crate::lru::segments::Segment;
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, CLASS_SPECIAL};
use crate::stats::Audit;
use std::collections::{BTreeMap, BTreeSet};

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

impl Locked<'_> {
    /// Whether the databases' counts are those of what the index names.
    pub fn audit_databases(&self) -> Result<(), String> {
        let region = self.region;
        let mut spaces = Vec::new();
        self.index
            .for_each(&region.arena, &region.geometry, |_, _, chunk| {
                spaces.push(View::known(region, chunk).space());
            });
        ensure!(
            self.counts.are_of(spaces.iter().copied()),
            "shard {}: the databases' counts are wrong",
            self.shard_no
        );
        Ok(())
    }

    /// Adds this shard's account to `audit`.
    pub fn audit(&mut self, audit: &mut Audit) -> Result<(), String> {
        let region = self.region;
        let (arena, geometry) = (&region.arena, &region.geometry);
        let shard = self.shard_no;

        // The index: every item once, in its own bucket, under its own tag.
        let mut indexed = BTreeSet::new();
        let mut wrong = None;
        self.index
            .for_each(arena, geometry, |bucket_no, tag, chunk| {
                let hash = View::known(region, chunk).hash();
                if !indexed.insert(chunk.granule())
                    || hash.tag() != tag
                    || hash.shard_no() != shard
                    || self.index.bucket_no(hash) != bucket_no
                {
                    wrong = Some((bucket_no, tag, chunk));
                }
            });
        ensure!(
            wrong.is_none(),
            "shard {shard}: misplaced in the index: {wrong:?}"
        );
        ensure!(
            indexed.len() == self.index.items() && indexed.len() as u64 == self.counters.items,
            "shard {shard}: {} indexed, index says {}, counters {}",
            indexed.len(),
            self.index.items(),
            self.counters.items
        );

        // The lists: the same items, each on the list that it says.
        let mut listed = BTreeMap::new();
        for segment in [Segment::Probation, Segment::Main] {
            let (mut items, mut bytes) = (0, 0);
            for (class_no, class) in self.classes.iter().enumerate() {
                let list = class.queues[segment as usize].list;
                list.walk(arena, geometry, |chunk| {
                    listed.insert(chunk.granule(), (class_no, segment));
                    items += 1;
                    bytes += footprint(region, View::known(region, chunk), class_no);
                })
                .ok_or_else(|| format!("shard {shard}: class {class_no} {segment:?} is broken"))?;
            }
            let held = self.held[segment as usize];
            ensure!(
                (items, bytes) == (held.items, held.bytes),
                "shard {shard}: {segment:?} has {items} items of {bytes} bytes, not {held:?}"
            );
        }
        ensure!(
            listed.keys().eq(indexed.iter()),
            "shard {shard}: {} on lists, {} in the index",
            listed.len(),
            indexed.len()
        );

        // The pages: each chunk is free, reserved, linked, or a piece of an item.
        let table = region.pages();
        let mut stale = 0;
        let mut pages = BTreeMap::<u8, usize>::new();
        let mut free_chunks = BTreeMap::<u8, usize>::new();
        let mut linked = 0;
        let mut item_bytes = 0;
        let mut pieces = BTreeSet::new();
        let mut reached = BTreeSet::new();
        for page_no in 0..geometry.page_count {
            let (class, owner) = table.owner(page_no);
            if usize::from(owner) != shard || class > CLASS_INDEX {
                continue;
            }
            if self.slab.is_stale(region, page_no) {
                stale += 1;
                self.audit_stale(page_no, audit, &mut pieces, &mut reached)?;
                continue;
            }
            *pages.entry(class).or_default() += 1;
            if class == CLASS_INDEX {
                continue;
            }
            let meta = table.get(page_no);
            let (chunk_bytes, chunks) = chunk_geometry(geometry, class);
            ensure!(
                usize::from(meta.carved) <= chunks,
                "page {page_no}: carved {meta:?}"
            );
            let mut free = BTreeSet::new();
            let mut next = meta.free_head;
            while next != 0 {
                ensure!(
                    next <= meta.carved && free.insert(next - 1),
                    "page {page_no}: free list {meta:?}"
                );
                let word =
                    geometry.page_word(page_no) + usize::from(next - 1) * chunk_bytes / WORD_BYTES;
                next = arena.load(word) as u16;
            }
            ensure!(
                free.len() + usize::from(meta.live) == usize::from(meta.carved),
                "page {page_no}: {} free, {meta:?}",
                free.len()
            );
            if class == CLASS_OVERFLOW {
                audit.free_chunks += free.len();
                continue;
            }
            *free_chunks.entry(class).or_default() += chunks - usize::from(meta.live);
            audit.free_bytes += (chunks - usize::from(meta.live)) * chunk_bytes;
            ensure!(
                meta.live > 0,
                "page {page_no} is empty and not in the pool: {meta:?}"
            );
            let mut held = 0;
            for chunk_no in 0..meta.carved {
                let word =
                    geometry.page_word(page_no) + usize::from(chunk_no) * chunk_bytes / WORD_BYTES;
                let chunk = geometry.chunk_at(word);
                let view = View::known(region, chunk);
                let kind = view.header.kind();
                ensure!(
                    (kind == Kind::Free) == free.contains(&chunk_no),
                    "page {page_no} chunk {chunk_no}: {kind:?}, {meta:?}"
                );
                if kind != Kind::Free {
                    audit.used_bytes += view.header.value_at() + usize::from(view.header.value_len);
                }
                held += u16::from(view.header.is_held() || self.pins.is_pinned(chunk));
                if kind == Kind::Reserved && self.pins.is_pinned(chunk) {
                    ensure!(
                        self.pins.orphans().any(|orphan| orphan == chunk),
                        "page {page_no} chunk {chunk_no}: reserved, and pinned"
                    );
                }
                match kind {
                    Kind::Free => audit.free_chunks += 1,
                    Kind::Reserved => {
                        audit.reserved_chunks += 1;
                        self.reach(chunk, &mut reached)?;
                    }
                    Kind::Linked => {
                        linked += 1;
                        item_bytes += view.payload_len() as u64;
                        let place = (usize::from(class), segment_of(view.header));
                        ensure!(
                            listed.get(&chunk.granule()) == Some(&place),
                            "page {page_no} chunk {chunk_no}: linked, but listed {:?}",
                            listed.get(&chunk.granule())
                        );
                        self.reach(chunk, &mut reached)?;
                    }
                    Kind::Continuation => {
                        pieces.insert(chunk.granule());
                    }
                }
                if let Some(due) = super::lists::due_second(view.deadline())
                    && kind == Kind::Linked
                {
                    let late = due.saturating_add(LATE_MAX);
                    ensure!(
                        table.deadline(page_no) <= late && self.deadline_min <= late,
                        "page {page_no}: an item is due at {due}, the page at {}, the shard at {}",
                        table.deadline(page_no),
                        self.deadline_min
                    );
                }
            }
            ensure!(
                held == meta.held,
                "page {page_no}: {held} chunks are held, {meta:?}"
            );
        }
        ensure!(
            stale == self.slab.stale(),
            "shard {shard}: {stale} stale pages, not {}",
            self.slab.stale()
        );
        audit.flushed_pages += stale;
        ensure!(
            linked == listed.len(),
            "shard {shard}: {linked} linked, {} listed",
            listed.len()
        );
        ensure!(
            pieces == reached,
            "shard {shard}: {} pieces, {} reached",
            pieces.len(),
            reached.len()
        );
        ensure!(
            item_bytes == self.counters.item_bytes,
            "shard {shard}: {item_bytes} item bytes, counters say {}",
            self.counters.item_bytes
        );

        // The slab's own account.
        let shift = geometry.buckets_per_page_shift();
        for (&class, &count) in &pages {
            let expected = match class {
                CLASS_INDEX => self.index.buckets().div_ceil(1 << shift),
                CLASS_OVERFLOW => self.slab.overflow_pages(),
                class => self.slab.page_count(usize::from(class)),
            };
            ensure!(
                count == expected,
                "shard {shard}: class {class} has {count} pages, not {expected}"
            );
            if class < CLASS_SPECIAL {
                let free = free_chunks.get(&class).copied().unwrap_or(0);
                ensure!(
                    self.slab.free_count(usize::from(class)) == free,
                    "shard {shard}: class {class} has {free} free chunks, not {}",
                    self.slab.free_count(usize::from(class))
                );
                audit.item_pages += count;
            } else {
                audit.index_pages += count;
            }
        }
        let overflow = self.index.overflow_count(arena, geometry);
        let capacity = self.slab.overflow_pages() * (geometry.page_bytes / BUCKET_BYTES);
        ensure!(
            overflow + self.slab.overflow_free() == capacity,
            "shard {shard}: {overflow} overflow buckets in use, {} free, of {capacity}",
            self.slab.overflow_free()
        );
        audit.items += linked;
        audit.pieces += pieces.len();
        audit.orphans += self.pins.orphans().count();
        Ok(())
    }

    /// A page that a flush left: only what is held counts.
    fn audit_stale(
        &mut self,
        page_no: usize,
        audit: &mut Audit,
        pieces: &mut BTreeSet<u32>,
        reached: &mut BTreeSet<u32>,
    ) -> Result<(), String> {
        let region = self.region;
        let meta = region.pages().get(page_no);
        if meta.class >= CLASS_SPECIAL {
            ensure!(meta.held == 0, "page {page_no}: {meta:?}");
            return Ok(());
        }
        let (chunk_bytes, _) = chunk_geometry(&region.geometry, meta.class);
        let mut held = 0;
        for chunk_no in 0..usize::from(meta.carved) {
            let word = region.geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
            let chunk = region.geometry.chunk_at(word);
            let view = View::known(region, chunk);
            if !view.header.is_held() {
                continue;
            }
            held += 1;
            if view.header.kind() == Kind::Reserved {
                audit.reserved_chunks += 1;
                self.reach(chunk, reached)?;
            } else {
                pieces.insert(chunk.granule());
            }
        }
        ensure!(
            held == meta.held,
            "stale page {page_no}: {held} chunks are held, {meta:?}"
        );
        Ok(())
    }

    /// Follows an item's chain, whose links back must agree.
    fn reach(&self, head: ChunkRef, reached: &mut BTreeSet<u32>) -> Result<(), String> {
        let region = self.region;
        let mut before = head;
        let mut piece = View::known(region, head).next_piece();
        while piece.is_some() {
            let view = View::known(region, piece);
            ensure!(
                view.header.kind() == Kind::Continuation && view.prev_piece() == before,
                "chain of {head:?}: {piece:?} is {:?} behind {:?}",
                view.header.kind(),
                view.prev_piece()
            );
            ensure!(
                reached.insert(piece.granule()),
                "{piece:?} is a piece of two items"
            );
            before = piece;
            piece = view.next_piece();
        }
        Ok(())
    }
}
