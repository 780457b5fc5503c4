//! Every invariant of a shard, checked the slow way, for tests and soaks.

use super::lists::{due_second, footprint, segment_of};
use super::locked::Locked;
use super::storage::chunk_geometry;
use super::sweep::LATE_MAX;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_BYTES, WORD_BYTES};
use crate::item::header::Kind;
use crate::item::view::View;
use crate::lru::segments::Segment;
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, CLASS_RUNS, CLASS_SPECIAL};
use crate::stats::Audit;
use std::collections::{BTreeMap, BTreeSet};

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

mod runs;

/// What one walk through a shard has found. Chunks are named by their granules.
#[derive(Default)]
struct Walk {
    /// Which list each item is on.
    listed: BTreeMap<u32, (usize, Segment)>,
    /// Items in the pages, and bytes of them.
    linked: usize,
    item_bytes: u64,
    /// Pieces in the pages, and those that chains lead to.
    pieces: BTreeSet<u32>,
    reached: BTreeSet<u32>,
    /// By class.
    pages: BTreeMap<u8, usize>,
    free_chunks: BTreeMap<u8, usize>,
    /// Free units in pages of runs.
    free_units: usize,
    /// Pages that a flush left.
    stale: usize,
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
        let indexed = self.audit_index()?;
        let mut walk = Walk {
            listed: self.audit_lists(&indexed)?,
            ..Walk::default()
        };
        self.audit_pages(&mut walk, audit)?;
        self.audit_totals(&walk)?;
        self.audit_slab(&walk, audit)?;
        self.audit_overflow()?;
        audit.flushed_pages += walk.stale;
        audit.items += walk.linked;
        audit.pieces += walk.pieces.len();
        audit.orphans += self.pins.orphans().count();
        Ok(())
    }

    /// The index: every item once, in its own bucket, under its own tag. Returns the granules of all items.
    fn audit_index(&self) -> Result<BTreeSet<u32>, String> {
        let region = self.region;
        let shard = self.shard_no;
        let mut indexed = BTreeSet::new();
        let mut wrong = None;
        self.index
            .for_each(&region.arena, &region.geometry, |bucket_no, tag, chunk| {
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
        Ok(indexed)
    }

    /// The lists: the same items as in the index, and as many bytes as was counted. Returns each item's list.
    fn audit_lists(
        &self,
        indexed: &BTreeSet<u32>,
    ) -> Result<BTreeMap<u32, (usize, Segment)>, String> {
        let region = self.region;
        let shard = self.shard_no;
        let mut listed = BTreeMap::new();
        for segment in [Segment::Probation, Segment::Main] {
            let (mut items, mut bytes) = (0, 0);
            for (class_no, class) in self.classes.iter().enumerate() {
                let list = class.queues[segment as usize].list;
                list.walk(&region.arena, &region.geometry, |chunk| {
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
        Ok(listed)
    }

    /// The pages: each chunk is free, reserved, linked, or a piece of an item.
    fn audit_pages(&mut self, walk: &mut Walk, audit: &mut Audit) -> Result<(), String> {
        let region = self.region;
        let table = region.pages();
        for page_no in 0..region.geometry.page_count {
            let (class, owner) = table.owner(page_no);
            if usize::from(owner) != self.shard_no || class > CLASS_INDEX {
                continue;
            }
            if self.slab.is_stale(region, page_no) {
                walk.stale += 1;
                self.audit_stale(page_no, walk, audit)?;
                continue;
            }
            *walk.pages.entry(class).or_default() += 1;
            if class == CLASS_INDEX {
                continue;
            }
            if class == CLASS_RUNS {
                self.audit_runs(page_no, walk, audit)?;
                continue;
            }
            let free = self.audit_free_list(page_no, class)?;
            if class == CLASS_OVERFLOW {
                audit.free_chunks += free.len();
                continue;
            }
            self.audit_chunks(page_no, class, &free, walk, audit)?;
        }
        Ok(())
    }

    /// The free chunks of a page: each once, and none that was not carved. Returns their numbers.
    fn audit_free_list(&self, page_no: usize, class: u8) -> Result<BTreeSet<u16>, String> {
        let region = self.region;
        let geometry = &region.geometry;
        let meta = region.pages().get(page_no);
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
            next = region.arena.load(word) as u16;
        }
        ensure!(
            free.len() + usize::from(meta.live) == usize::from(meta.carved),
            "page {page_no}: {} free, {meta:?}",
            free.len()
        );
        Ok(free)
    }

    /// All carved chunks of a page of items, of which those in `free` are free.
    fn audit_chunks(
        &mut self,
        page_no: usize,
        class: u8,
        free: &BTreeSet<u16>,
        walk: &mut Walk,
        audit: &mut Audit,
    ) -> Result<(), String> {
        let region = self.region;
        let geometry = &region.geometry;
        let meta = region.pages().get(page_no);
        let (chunk_bytes, chunks) = chunk_geometry(geometry, class);
        let free_chunks = chunks - usize::from(meta.live);
        *walk.free_chunks.entry(class).or_default() += free_chunks;
        audit.free_bytes += free_chunks * chunk_bytes;
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
            held += u16::from(view.header.is_held() || self.pins.is_pinned(chunk));
            self.audit_chunk(chunk, class, walk, audit)
                .map_err(|wrong| format!("page {page_no} chunk {chunk_no}: {wrong}"))?;
            if kind == Kind::Linked {
                self.audit_deadline(page_no, view)?;
            }
        }
        ensure!(
            held == meta.held,
            "page {page_no}: {held} chunks are held, {meta:?}"
        );
        Ok(())
    }

    /// One chunk of a page of items: what it says it is, the lists, the pins and its chain say, too.
    fn audit_chunk(
        &mut self,
        chunk: ChunkRef,
        class: u8,
        walk: &mut Walk,
        audit: &mut Audit,
    ) -> Result<(), String> {
        let view = View::known(self.region, chunk);
        let kind = view.header.kind();
        if kind != Kind::Free {
            audit.used_bytes += view.header.value_at() + usize::from(view.header.value_len);
        }
        match kind {
            Kind::Free => audit.free_chunks += 1,
            Kind::Reserved => {
                ensure!(
                    !self.pins.is_pinned(chunk)
                        || self.pins.orphans().any(|orphan| orphan == chunk),
                    "reserved, and pinned"
                );
                audit.reserved_chunks += 1;
                self.reach(chunk, &mut walk.reached)?;
            }
            Kind::Linked => {
                walk.linked += 1;
                walk.item_bytes += view.payload_len() as u64;
                let place = (usize::from(class), segment_of(view.header));
                let listed = walk.listed.get(&chunk.granule());
                ensure!(listed == Some(&place), "linked, but listed {listed:?}");
                self.reach(chunk, &mut walk.reached)?;
            }
            Kind::Continuation => {
                walk.pieces.insert(chunk.granule());
            }
        }
        Ok(())
    }

    /// What sweeps read to find expired items may be late, by so much.
    fn audit_deadline(&self, page_no: usize, view: View<'_>) -> Result<(), String> {
        let Some(due) = due_second(view.deadline()) else {
            return Ok(());
        };
        let late = due.saturating_add(LATE_MAX);
        let page = self.region.pages().deadline(page_no);
        ensure!(
            page <= late && self.deadline_min <= late,
            "page {page_no}: an item is due at {due}, the page at {page}, the shard at {}",
            self.deadline_min
        );
        Ok(())
    }

    /// What was found in the pages is what the lists, the chains and the counters say.
    fn audit_totals(&self, walk: &Walk) -> Result<(), String> {
        let shard = self.shard_no;
        ensure!(
            walk.stale == self.slab.stale(),
            "shard {shard}: {} stale pages, not {}",
            walk.stale,
            self.slab.stale()
        );
        ensure!(
            walk.linked == walk.listed.len(),
            "shard {shard}: {} linked, {} listed",
            walk.linked,
            walk.listed.len()
        );
        ensure!(
            walk.pieces == walk.reached,
            "shard {shard}: {} pieces, {} reached",
            walk.pieces.len(),
            walk.reached.len()
        );
        ensure!(
            walk.item_bytes == self.counters.item_bytes,
            "shard {shard}: {} item bytes, counters say {}",
            walk.item_bytes,
            self.counters.item_bytes
        );
        Ok(())
    }

    /// The slab's own account: pages and free chunks, by class.
    fn audit_slab(&self, walk: &Walk, audit: &mut Audit) -> Result<(), String> {
        let shard = self.shard_no;
        for (&class, &count) in &walk.pages {
            let expected = match class {
                CLASS_INDEX => self.index.pages(&self.region.geometry),
                CLASS_OVERFLOW => self.slab.overflow_pages(),
                CLASS_RUNS => self.slab.run_pages(),
                class => self.slab.page_count(usize::from(class)),
            };
            ensure!(
                count == expected,
                "shard {shard}: class {class} has {count} pages, not {expected}"
            );
            if class < CLASS_SPECIAL {
                let free = walk.free_chunks.get(&class).copied().unwrap_or(0);
                ensure!(
                    self.slab.free_count(usize::from(class)) == free,
                    "shard {shard}: class {class} has {free} free chunks, not {}",
                    self.slab.free_count(usize::from(class))
                );
                audit.item_pages += count;
            } else if class == CLASS_RUNS {
                let free = self.slab.run_units_free();
                ensure!(
                    free == walk.free_units,
                    "shard {shard}: {} free units, not {free}",
                    walk.free_units
                );
                audit.item_pages += count;
            } else {
                audit.index_pages += count;
            }
        }
        Ok(())
    }

    /// The index's overflow buckets: each is in use or free.
    fn audit_overflow(&self) -> Result<(), String> {
        let region = self.region;
        let overflow = self.index.overflow_count(&region.arena, &region.geometry);
        let capacity = self.slab.overflow_pages() * (region.geometry.page_bytes / BUCKET_BYTES);
        ensure!(
            overflow + self.slab.overflow_free() == capacity,
            "shard {}: {overflow} overflow buckets in use, {} free, of {capacity}",
            self.shard_no,
            self.slab.overflow_free()
        );
        Ok(())
    }

    /// A page that a flush left: only what is held counts.
    fn audit_stale(
        &self,
        page_no: usize,
        walk: &mut Walk,
        audit: &mut Audit,
    ) -> Result<(), String> {
        let region = self.region;
        let meta = region.pages().get(page_no);
        if meta.class == CLASS_RUNS {
            return self.audit_stale_runs(page_no, walk);
        }
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
                self.reach(chunk, &mut walk.reached)?;
            } else {
                walk.pieces.insert(chunk.granule());
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
