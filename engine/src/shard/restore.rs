//! A shard that another process left, taken over where it lies in the arena.
//!
//! ```text
//! no marks ──► index: items and their pieces get one ──► lists are joined ──► what has none is free, and marks go
//! ```
//!
//! The index decides what is there, by the rules by which a reader without a lock decides it (`index::restore`). All
//! else is made anew from that: free chunks, lists, accounts. The order of a list is what its items' links say; where
//! a writer was at work in it, a link leads nowhere, and the parts are put behind one another.
//!
//! The mark is a bit of an item's or a piece's first word that no link uses.

use super::ShardState;
use super::lists::{due_second, footprint, segment_of};
use crate::chunk_ref::{CHUNK_REF_BITS, ChunkRef};
use crate::geometry::{BUCKET_BYTES, KEY_BYTES_MAX, SHARD_COUNT, SHORT_KEY_BYTES_MAX, WORD_BYTES};
use crate::index::Index;
use crate::index::bucket::Bucket;
use crate::index::restore::Chunks;
use crate::item::header::{Header, Kind, flag};
use crate::item::view::View;
use crate::lru::list::List;
use crate::lru::segments::Segment;
use crate::region::Region;
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, CLASS_SPECIAL, NO_DEADLINE};

/// In the first word of an item or a piece: it was reached.
const MARK: u64 = 1 << 31;
/// In the place of an overflow bucket's stamp, which nobody uses.
const BUCKET_MARK: u32 = u32::MAX - 1;

/// Links that are followed through what was forgotten, to find out where a part of a list belongs.
const FORGOTTEN_MAX: usize = 64;
/// Parts of a list that are put in order. More are a sign of damage, and the order is given up.
const PARTS_MAX: usize = 4096;

/// Above any CAS number: half of those that there are.
const CAS_MAX: u64 = 1 << 63;

/// What a shard was found to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub items: u64,
    /// Slots of the index that named no whole item, or were being written to.
    pub forgotten: u64,
    /// Lists whose order was given up.
    pub unordered: u64,
}

/// The chunks of one shard.
struct Reached<'r> {
    region: &'r Region,
    shard_no: usize,
}

/// A part of a list: its links agree.
#[derive(Clone, Copy)]
struct Part {
    head: ChunkRef,
    tail: ChunkRef,
    /// The item behind which it belongs; none if that is unknown.
    behind: ChunkRef,
}

/// What is known of a list before it is joined.
#[derive(Clone, Default)]
struct Scattered {
    items: usize,
    /// Those that say that they are first.
    heads: Vec<ChunkRef>,
}

fn older_of(word: u64) -> ChunkRef {
    ChunkRef::from_granule(word as u32 & ((1 << CHUNK_REF_BITS) - 1))
}

fn newer_of(word: u64) -> ChunkRef {
    ChunkRef::from_granule((word >> 32) as u32 & ((1 << CHUNK_REF_BITS) - 1))
}

impl ShardState {
    /// The shard as the arena has it, and an empty one if that cannot be.
    pub(crate) fn restore(region: &Region, shard_no: usize, cas_first: u64) -> (ShardState, Found) {
        let mut reached = Reached { region, shard_no };
        reached.clear_marks();
        let (arena, geometry) = (&region.arena, &region.geometry);
        let mut pages = PageSet::new(geometry.page_count);
        let index = Index::found(arena, geometry, shard_no, |page_no| {
            reached.owns(page_no) == Some(CLASS_INDEX) && pages.insert(page_no)
        });
        let mut found = Found::default();
        // None is ever so high, nor another shard's: then it is damaged.
        let cas_last = Some(arena.load(geometry.cas_word(shard_no)))
            .filter(|cas| cas % SHARD_COUNT as u64 == shard_no as u64 && *cas < CAS_MAX)
            .map_or(cas_first, |cas| cas.max(cas_first));
        let Some(mut index) = index else {
            reached.drop_pages();
            return (ShardState::new(region, shard_no, cas_last), found);
        };
        found.forgotten = index.restore(arena, geometry, &mut reached) as u64;
        let mut state = ShardState::blank(region, shard_no, cas_last);
        state.index = index;
        let scattered = state.count_found(&reached);
        found.unordered = state.join_lists(&reached, &scattered);
        state.take_over_pages(&reached, &pages);
        found.items = state.counters.items;
        (state, found)
    }

    /// Accounts for all that has a mark; returns what lists there are.
    fn count_found(&mut self, reached: &Reached<'_>) -> Vec<[Scattered; 2]> {
        let region = reached.region;
        let mut lists = vec![<[Scattered; 2]>::default(); self.classes.len()];
        reached.for_each_item(|chunk, class, view| {
            let segment = segment_of(view.header);
            let bytes = footprint(region, view, class);
            let held = &mut self.held[segment as usize];
            held.items += 1;
            held.bytes += bytes;
            self.inserted_bytes += bytes;
            self.counters.items += 1;
            self.counters.item_bytes += view.payload_len() as u64;
            self.counts.add(view.space(), &region.spaces);
            let list = &mut lists[class][segment as usize];
            list.items += 1;
            if !newer_of(region.arena.load(view.word)).is_some() {
                list.heads.push(chunk);
            }
        });
        lists
    }

    /// Makes lists of what is scattered; returns how many lost their order.
    fn join_lists(&mut self, reached: &Reached<'_>, scattered: &[[Scattered; 2]]) -> u64 {
        let mut unordered = 0;
        for (class, lists) in scattered.iter().enumerate() {
            for (segment, list) in [Segment::Probation, Segment::Main].into_iter().zip(lists) {
                if list.items == 0 {
                    continue;
                }
                let joined = reached.whole_list(class, segment, list).or_else(|| {
                    let mut parts = reached.parts(class, segment);
                    reached.put_in_order(&mut parts, list.items).then(|| {
                        reached.link_parts(&parts);
                        let first = parts[0].head;
                        (first, parts[parts.len() - 1].tail)
                    })
                });
                let (head, tail) = joined.unwrap_or_else(|| {
                    unordered += 1;
                    reached.link_as_they_lie(class, segment)
                });
                let clock = self.clock();
                let queue = &mut self.classes[class].queues[segment as usize];
                queue.list = List::restored(head, tail, list.items);
                // Nobody knows when they came: as if one after the other.
                for no in 1..=list.items {
                    let then = u64::from(clock) * no as u64 / list.items as u64;
                    queue.ages.enter(then as u32, no);
                }
            }
        }
        unordered
    }

    /// Takes the marks away, and makes free what has none.
    fn take_over_pages(&mut self, reached: &Reached<'_>, index_pages: &PageSet) {
        let region = reached.region;
        let (arena, table) = (&region.arena, region.pages());
        for page_no in 0..region.geometry.page_count {
            let Some(class) = reached.owns(page_no) else {
                continue;
            };
            if class == CLASS_INDEX {
                if index_pages.has(page_no) {
                    self.slab.take_over_index(region, page_no);
                } else {
                    region.pool.push(table, page_no);
                }
                continue;
            }
            let mut deadline = NO_DEADLINE;
            self.slab.take_over(region, page_no, |word| {
                if class == CLASS_OVERFLOW {
                    return reached.clear_bucket_mark(word);
                }
                let links = arena.load(word);
                if links & MARK == 0 {
                    return false;
                }
                arena.store(word, links & !MARK);
                let view = View::known(region, region.geometry.chunk_at(word));
                if view.header.kind() == Kind::Linked
                    && let Some(due) = due_second(view.deadline())
                {
                    deadline = deadline.min(due);
                }
                true
            });
            if table.owner(page_no).0 == class {
                table.set_deadline(page_no, deadline);
                self.deadline_min = self.deadline_min.min(deadline);
                self.deadline_noted = self.deadline_min;
            }
        }
    }
}

impl<'r> Reached<'r> {
    /// The class of a page of this shard.
    fn owns(&self, page_no: usize) -> Option<u8> {
        if page_no >= self.region.geometry.page_count {
            return None;
        }
        owned(self.region, page_no)
            .filter(|&(_, shard_no)| shard_no == self.shard_no)
            .map(|(class, _)| class)
    }

    /// The class of a chunk of this shard, if the name is one's.
    fn class_of(&self, chunk: ChunkRef) -> Option<usize> {
        let geometry = &self.region.geometry;
        let word = geometry.word_of(chunk);
        if word < geometry.first_page_word || word >= geometry.arena_words {
            return None;
        }
        let page_no = geometry.page_of_word(word);
        let class = self.owns(page_no).filter(|&class| class < CLASS_SPECIAL)?;
        let class = usize::from(class);
        let at = (word - geometry.page_word(page_no)) * WORD_BYTES;
        let chunk_bytes = geometry.classes.chunk_bytes(class);
        let carved = usize::from(self.region.pages().get(page_no).carved);
        (at.is_multiple_of(chunk_bytes) && at / chunk_bytes < carved).then_some(class)
    }

    /// A chunk of this kind that lies in its bounds.
    fn view(&self, chunk: ChunkRef, kind: Kind) -> Option<View<'r>> {
        let class = self.class_of(chunk)?;
        let view = View::new(self.region, chunk).filter(|view| view.header.kind() == kind)?;
        let bytes = view.header.value_at() + usize::from(view.header.value_len);
        (bytes <= self.region.geometry.classes.chunk_bytes(class)).then_some(view)
    }

    fn is_marked(&self, word: usize) -> bool {
        self.region.arena.load(word) & MARK != 0
    }

    fn set_mark(&self, word: usize, is_set: bool) {
        let before = self.region.arena.load(word);
        let links = before & !MARK | if is_set { MARK } else { 0 };
        // What has not changed need not be written to a disk.
        if links != before {
            self.region.arena.store(word, links);
        }
    }

    /// Marks the pieces behind an item's first one, and makes them as they are when nobody is at work on them. False: it
    /// is not a whole chain, and nothing is marked.
    fn take_chain(&self, head: View<'r>) -> bool {
        if !head.header.has(flag::CHAINED) {
            return true;
        }
        let geometry = &self.region.geometry;
        let Some(mut left) = head
            .body_len()
            .checked_sub(usize::from(head.header.value_len))
        else {
            return false;
        };
        let mut before = geometry.chunk_at(head.word);
        let mut next = head.next_piece();
        let mut taken = 0;
        while left > 0 {
            let piece = self
                .view(next, Kind::Continuation)
                .filter(|piece| !self.is_marked(piece.word) && piece.header.value_len > 0)
                .filter(|piece| usize::from(piece.header.value_len) <= left);
            let Some(mut piece) = piece else {
                self.give_back_pieces(head, taken);
                return false;
            };
            self.set_mark(piece.word, true);
            taken += 1;
            if piece.prev_piece() != before {
                piece.set_prev_piece(before);
            }
            if piece.header.has(flag::HELD) {
                piece.set_header(piece.header.with_flags(0));
            }
            left -= usize::from(piece.header.value_len);
            (before, next) = (next, piece.next_piece());
        }
        if next.is_some() {
            self.give_back_pieces(head, taken);
            return false;
        }
        true
    }

    fn give_back_pieces(&self, head: View<'r>, count: usize) {
        let mut next = head.next_piece();
        for _ in 0..count {
            let piece = View::known(self.region, next);
            self.set_mark(piece.word, false);
            next = piece.next_piece();
        }
    }

    /// Calls `each` with all items that have a mark, as they lie.
    fn for_each_item(&self, mut each: impl FnMut(ChunkRef, usize, View<'r>)) {
        let region = self.region;
        for page_no in 0..region.geometry.page_count {
            let Some(class) = self.owns(page_no).filter(|&class| class < CLASS_SPECIAL) else {
                continue;
            };
            let class = usize::from(class);
            self.for_each_chunk(
                page_no,
                region.geometry.classes.chunk_bytes(class),
                |word| {
                    let header = Header::unpack(region.arena.load(word + 1));
                    if self.is_marked(word) && header.kind() == Kind::Linked {
                        let chunk = region.geometry.chunk_at(word);
                        each(chunk, class, View::known(region, chunk));
                    }
                },
            );
        }
    }

    fn for_each_chunk(&self, page_no: usize, chunk_bytes: usize, mut each: impl FnMut(usize)) {
        let geometry = &self.region.geometry;
        let carved = usize::from(self.region.pages().get(page_no).carved);
        for chunk_no in 0..carved.min(geometry.page_bytes / chunk_bytes) {
            each(geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES);
        }
    }

    /// The links of a marked item of this list.
    fn member(&self, chunk: ChunkRef, class: usize, segment: Segment) -> Option<u64> {
        if !chunk.is_some() || self.class_of(chunk) != Some(class) {
            return None;
        }
        let word = self.region.geometry.word_of(chunk);
        let links = self.region.arena.load(word);
        let header = Header::unpack(self.region.arena.load(word + 1));
        let is_one = links & MARK != 0
            && header.kind() == Kind::Linked
            && segment_of(header) as usize == segment as usize;
        is_one.then_some(links)
    }

    /// The item behind one of the list, if both say so.
    fn behind(
        &self,
        links: u64,
        chunk: ChunkRef,
        list: (usize, Segment),
    ) -> Option<(ChunkRef, u64)> {
        let older = older_of(links);
        let older_links = self.member(older, list.0, list.1)?;
        (newer_of(older_links) == chunk).then_some((older, older_links))
    }

    /// From an item to the last of its part, at most so many; returns that, and how many they are.
    fn walk(&self, head: ChunkRef, list: (usize, Segment), most: usize) -> (ChunkRef, usize) {
        let Some(mut links) = self.member(head, list.0, list.1) else {
            return (head, 0);
        };
        let (mut tail, mut items) = (head, 1);
        while items <= most
            && let Some((older, older_links)) = self.behind(links, tail, list)
        {
            (tail, links) = (older, older_links);
            items += 1;
        }
        (tail, items)
    }

    /// Head and tail of a list that is as it should be.
    fn whole_list(
        &self,
        class: usize,
        segment: Segment,
        list: &Scattered,
    ) -> Option<(ChunkRef, ChunkRef)> {
        let &[head] = &list.heads[..] else {
            return None;
        };
        let (tail, items) = self.walk(head, (class, segment), list.items);
        let links = self.region.arena.load(self.region.geometry.word_of(tail));
        (items == list.items && !older_of(links).is_some()).then_some((head, tail))
    }

    /// The parts of a list, as they lie.
    fn parts(&self, class: usize, segment: Segment) -> Vec<Part> {
        let mut parts = Vec::new();
        self.for_each_item(|chunk, its_class, view| {
            if its_class != class || segment_of(view.header) as usize != segment as usize {
                return;
            }
            let newer = newer_of(self.region.arena.load(view.word));
            let continues = self
                .member(newer, class, segment)
                .is_some_and(|links| older_of(links) == chunk);
            if !continues && parts.len() <= PARTS_MAX {
                parts.push(Part {
                    head: chunk,
                    tail: chunk,
                    behind: self.known_before(newer, class, segment),
                });
            }
        });
        parts
    }

    /// The nearest item of the list on the way from `chunk` to newer ones.
    fn known_before(&self, mut chunk: ChunkRef, class: usize, segment: Segment) -> ChunkRef {
        let geometry = &self.region.geometry;
        for _ in 0..FORGOTTEN_MAX {
            if !chunk.is_some() || self.member(chunk, class, segment).is_some() {
                return chunk;
            }
            let Some(links) = self.region.arena.try_load(geometry.word_of(chunk)) else {
                break;
            };
            chunk = newer_of(links);
        }
        ChunkRef::NONE
    }

    /// Puts the parts behind one another, newest first. False: they are not all of the list's items, or too many.
    fn put_in_order(&self, parts: &mut Vec<Part>, items: usize) -> bool {
        if parts.is_empty() || parts.len() > PARTS_MAX {
            return false;
        }
        let mut counted = 0;
        for part in parts.iter_mut() {
            let word = self.region.geometry.word_of(part.head);
            let header = Header::unpack(self.region.arena.load(word + 1));
            let Some(class) = self.class_of(part.head) else {
                return false;
            };
            let (tail, len) = self.walk(part.head, (class, segment_of(header)), items);
            part.tail = tail;
            counted += len;
        }
        if counted != items {
            return false;
        }
        // Those of which nobody knows where they belong come first, and behind each the ones that belong there.
        let mut rest = std::mem::take(parts);
        let tails: Vec<ChunkRef> = rest.iter().map(|part| part.tail).collect();
        while !rest.is_empty() {
            let wanted = parts.last().map(|part| part.tail);
            let next = rest
                .iter()
                .position(|part| Some(part.behind) == wanted)
                .or_else(|| rest.iter().position(|part| !tails.contains(&part.behind)))
                .unwrap_or(0);
            parts.push(rest.remove(next));
        }
        true
    }

    fn set_links(&self, chunk: ChunkRef, older: Option<ChunkRef>, newer: Option<ChunkRef>) {
        let word = self.region.geometry.word_of(chunk);
        let links = self.region.arena.load(word);
        let older = older.unwrap_or(older_of(links));
        let newer = newer.unwrap_or(newer_of(links));
        let links = u64::from(older.granule()) | u64::from(newer.granule()) << 32 | links & MARK;
        self.region.arena.store(word, links);
    }

    fn link_parts(&self, parts: &[Part]) {
        let mut before = ChunkRef::NONE;
        for part in parts {
            self.set_links(part.head, None, Some(before));
            if before.is_some() {
                self.set_links(before, Some(part.head), None);
            }
            before = part.tail;
        }
        self.set_links(before, Some(ChunkRef::NONE), None);
    }

    fn link_as_they_lie(&self, class: usize, segment: Segment) -> (ChunkRef, ChunkRef) {
        let (mut head, mut tail) = (ChunkRef::NONE, ChunkRef::NONE);
        self.for_each_item(|chunk, its_class, view| {
            if its_class != class || segment_of(view.header) as usize != segment as usize {
                return;
            }
            self.set_links(chunk, Some(ChunkRef::NONE), Some(tail));
            if tail.is_some() {
                self.set_links(tail, Some(chunk), None);
            } else {
                head = chunk;
            }
            tail = chunk;
        });
        (head, tail)
    }

    /// Where nobody has written yet that was given a chunk, there may be anything; and where a process was killed that
    /// restored the shard there are marks.
    fn clear_marks(&self) {
        let region = self.region;
        for page_no in 0..region.geometry.page_count {
            match self.owns(page_no) {
                Some(CLASS_OVERFLOW) => self.for_each_chunk(page_no, BUCKET_BYTES, |word| {
                    self.clear_bucket_mark(word);
                }),
                Some(class) if class < CLASS_SPECIAL => {
                    let chunk_bytes = region.geometry.classes.chunk_bytes(usize::from(class));
                    self.for_each_chunk(page_no, chunk_bytes, |word| self.set_mark(word, false));
                }
                _ => {}
            }
        }
    }

    /// Whether there was one.
    fn clear_bucket_mark(&self, word: usize) -> bool {
        let first = self.region.arena.load(word);
        let is_marked = first as u32 == BUCKET_MARK;
        if is_marked {
            self.region.arena.store(word, first & !u64::from(u32::MAX));
        }
        is_marked
    }

    /// Gives all pages of the shard to the pool.
    fn drop_pages(&self) {
        for page_no in 0..self.region.geometry.page_count {
            if self.owns(page_no).is_some() {
                self.region.pool.push(self.region.pages(), page_no);
            }
        }
    }
}

impl Chunks for Reached<'_> {
    fn take(&mut self, index: &Index, bucket_no: u32, tag: u8, chunk: ChunkRef) -> bool {
        let Some(view) = self
            .view(chunk, Kind::Linked)
            .filter(|view| !self.is_marked(view.word))
        else {
            return false;
        };
        if view.header.has_long_key() {
            let is_long = SHORT_KEY_BYTES_MAX + 1..=KEY_BYTES_MAX;
            if !view.header.has(flag::CHAINED)
                || !is_long.contains(&view.key_len())
                || view.body_len() < view.key_body_len()
            {
                return false;
            }
        }
        let hash = view.hash();
        let belongs = hash.tag() == tag
            && hash.shard_no() == self.shard_no
            && index.bucket_no(hash) == bucket_no;
        if !belongs || !self.take_chain(view) {
            return false;
        }
        self.set_mark(view.word, true);
        true
    }

    fn give_back(&mut self, chunk: ChunkRef) {
        let view = View::known(self.region, chunk);
        self.set_mark(view.word, false);
        let mut next = view.next_piece();
        while next.is_some() {
            let piece = View::known(self.region, next);
            self.set_mark(piece.word, false);
            next = piece.next_piece();
        }
    }

    fn take_overflow(&mut self, link: ChunkRef) -> Option<Bucket> {
        let geometry = &self.region.geometry;
        let word = geometry.word_of(link);
        if word < geometry.first_page_word || word >= geometry.arena_words {
            return None;
        }
        let page_no = geometry.page_of_word(word);
        let at = (word - geometry.page_word(page_no)) * WORD_BYTES;
        let carved = usize::from(self.region.pages().get(page_no).carved);
        let first = self.region.arena.load(word);
        let is_one = self.owns(page_no) == Some(CLASS_OVERFLOW)
            && at.is_multiple_of(BUCKET_BYTES)
            && at / BUCKET_BYTES < carved
            && first as u32 != BUCKET_MARK;
        if !is_one {
            return None;
        }
        let marked = first & !u64::from(u32::MAX) | u64::from(BUCKET_MARK);
        self.region.arena.store(word, marked);
        Some(Bucket(word))
    }

    fn give_back_overflow(&mut self, bucket: Bucket) {
        self.clear_bucket_mark(bucket.0);
    }
}

/// Class and shard of a page that is a shard's.
pub(crate) fn owned(region: &Region, page_no: usize) -> Option<(u8, usize)> {
    let (class, shard_no) = region.pages().owner(page_no);
    let is_class = usize::from(class) < region.geometry.classes.count()
        || (CLASS_SPECIAL..=CLASS_INDEX).contains(&class);
    let is_owned = is_class && usize::from(shard_no) < SHARD_COUNT;
    is_owned.then_some((class, usize::from(shard_no)))
}

/// Pages, a bit each.
struct PageSet(Vec<u64>);

impl PageSet {
    fn new(page_count: usize) -> Self {
        PageSet(vec![0; page_count.div_ceil(64)])
    }

    /// Whether it was not there.
    fn insert(&mut self, page_no: usize) -> bool {
        let is_new = !self.has(page_no);
        self.0[page_no / 64] |= 1 << (page_no % 64);
        is_new
    }

    fn has(&self, page_no: usize) -> bool {
        self.0[page_no / 64] >> (page_no % 64) & 1 == 1
    }
}
