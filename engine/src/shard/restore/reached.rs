//! What of a shard's chunks the index reaches: it gets a mark, which is a bit of an item's or a piece's first word that no
//! link uses. A run has no mark: the bits of its page, which are made anew, say that it was reached.

use crate::chunk_ref::ChunkRef;
use crate::geometry::{BUCKET_BYTES, KEY_BYTES_MAX, SHARD_COUNT, SHORT_KEY_BYTES_MAX, WORD_BYTES};
use crate::index::Index;
use crate::index::bucket::Bucket;
use crate::index::restore::Chunks;
use crate::item::header::{HEADER_BYTES, Header, Kind, flag};
use crate::item::view::View;
use crate::region::Region;
use crate::shard::storage::runs::{run_units, unit_of};
use crate::slab::page::{CLASS_INDEX, CLASS_OVERFLOW, CLASS_RUNS, CLASS_SPECIAL};
use crate::slab::runs::RunPage;

/// In the first word of an item or a piece: it was reached.
pub(super) const MARK: u64 = 1 << 31;
/// In the place of an overflow bucket's stamp, which nobody uses.
const BUCKET_MARK: u32 = u32::MAX - 1;

/// The chunks of one shard.
pub(super) struct Reached<'r> {
    pub region: &'r Region,
    pub shard_no: usize,
}

impl<'r> Reached<'r> {
    /// The class of a page of this shard.
    pub(super) fn owns(&self, page_no: usize) -> Option<u8> {
        if page_no >= self.region.geometry.page_count {
            return None;
        }
        owned(self.region, page_no)
            .filter(|&(_, shard_no)| shard_no == self.shard_no)
            .map(|(class, _)| class)
    }

    /// The class of a chunk of this shard, if the name is one's.
    pub(super) fn class_of(&self, chunk: ChunkRef) -> Option<usize> {
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

    pub(super) fn is_marked(&self, word: usize) -> bool {
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
                .piece(next)
                .filter(|piece| piece.header.value_len > 0)
                .filter(|piece| usize::from(piece.header.value_len) <= left);
            let Some(mut piece) = piece else {
                self.give_back_pieces(head, taken);
                return false;
            };
            self.mark_piece(piece.word, true);
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
            self.mark_piece(piece.word, false);
            next = piece.next_piece();
        }
    }

    /// The page of a chunk, if that is one of runs, and the unit at which it begins.
    fn place_in_runs(&self, word: usize) -> Option<(RunPage<'r>, usize)> {
        let geometry = &self.region.geometry;
        if word < geometry.first_page_word || word >= geometry.arena_words {
            return None;
        }
        let page_no = geometry.page_of_word(word);
        let page = RunPage::new(&self.region.arena, geometry, page_no);
        (self.owns(page_no) == Some(CLASS_RUNS)).then(|| (page, unit_of(geometry, page_no, word)))
    }

    /// A further piece that was not reached yet.
    fn piece(&self, chunk: ChunkRef) -> Option<View<'r>> {
        let geometry = &self.region.geometry;
        let word = geometry.word_of(chunk);
        let Some((page, start)) = self.place_in_runs(word) else {
            return self
                .view(chunk, Kind::Continuation)
                .filter(|piece| !self.is_marked(piece.word));
        };
        let unit_words = geometry.classes.unit_bytes() / WORD_BYTES;
        View::new(self.region, chunk)
            .filter(|view| view.header.kind() == Kind::Continuation)
            .filter(|view| view.header.value_at() == HEADER_BYTES)
            .filter(|_| (word - geometry.first_page_word).is_multiple_of(unit_words))
            .filter(|_| page.is_free(start, run_units(self.region, word)))
    }

    /// Says that a further piece was reached, or was not.
    fn mark_piece(&self, word: usize, is_set: bool) {
        match self.place_in_runs(word) {
            Some((page, start)) => page.set(start, run_units(self.region, word), is_set),
            None => self.set_mark(word, is_set),
        }
    }

    /// Calls `each` with all items that have a mark, as they lie.
    pub(super) fn for_each_item(&self, mut each: impl FnMut(ChunkRef, usize, View<'r>)) {
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

    /// Where nobody has written yet that was given a chunk, there may be anything; and where a process was killed that
    /// restored the shard there are marks.
    pub(super) fn clear_marks(&self) {
        let region = self.region;
        for page_no in 0..region.geometry.page_count {
            match self.owns(page_no) {
                Some(CLASS_OVERFLOW) => self.for_each_chunk(page_no, BUCKET_BYTES, |word| {
                    self.clear_bucket_mark(word);
                }),
                Some(CLASS_RUNS) => {
                    RunPage::new(&region.arena, &region.geometry, page_no).clear();
                }
                Some(class) if class < CLASS_SPECIAL => {
                    let chunk_bytes = region.geometry.classes.chunk_bytes(usize::from(class));
                    self.for_each_chunk(page_no, chunk_bytes, |word| self.set_mark(word, false));
                }
                _ => {}
            }
        }
    }

    /// Whether there was one.
    pub(super) fn clear_bucket_mark(&self, word: usize) -> bool {
        let first = self.region.arena.load(word);
        let is_marked = first as u32 == BUCKET_MARK;
        if is_marked {
            self.region.arena.store(word, first & !u64::from(u32::MAX));
        }
        is_marked
    }

    /// Gives all pages of the shard to the pool.
    pub(super) fn drop_pages(&self) {
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
            self.mark_piece(piece.word, false);
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
pub(super) struct PageSet(Vec<u64>);

impl PageSet {
    pub(super) fn new(page_count: usize) -> Self {
        PageSet(vec![0; page_count.div_ceil(64)])
    }

    /// Whether it was not there.
    pub(super) fn insert(&mut self, page_no: usize) -> bool {
        let is_new = !self.has(page_no);
        self.0[page_no / 64] |= 1 << (page_no % 64);
        is_new
    }

    pub(super) fn has(&self, page_no: usize) -> bool {
        self.0[page_no / 64] >> (page_no % 64) & 1 == 1
    }
}
