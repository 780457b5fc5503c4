//! Reading and writing an item's parts, by the word at which its chunk begins.
//!
//! What a reader without a lock calls never trusts a length: whatever a header says, the
//! bytes lie inside the pages or the answer is "no". Whether the answer meant anything
//! is for the stamp to say. Functions that write are for the holder of the shard's lock,
//! or for the owner of a reservation.

mod apart;
mod chain;
mod key;
mod long_key;
mod write;

use std::sync::atomic::AtomicU64;

use super::extra::{self, Marks};
use super::header::{HEADER_BYTES, Header, Kind, LONG_KEY_HERE_BYTES, field_at, flag};
use crate::arena::bytes;
use crate::chunk_ref::ChunkRef;
use crate::geometry::{SHORT_KEY_BYTES_MAX, WORD_BYTES};
use crate::hash::KeyHash;
use crate::region::Region;
use crate::space::Space;
use crate::tick::{Deadline, Tick};
use crate::types::ItemMeta;

/// Most keys have no more.
const FEW_KEY_BYTES: usize = 48;

/// A chunk's words, with its header read once.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    region: &'a Region,
    pub word: usize,
    pub header: Header,
    /// From the header to the value's end, as the header says.
    words: &'a [AtomicU64],
}

impl<'a> View<'a> {
    /// `None` if `chunk` or what its header says reaches outside the pages.
    #[inline(always)]
    pub fn new(region: &'a Region, chunk: ChunkRef) -> Option<Self> {
        let word = region.geometry.word_of(chunk);
        if word < region.geometry.first_page_word {
            return None;
        }
        let header = Header::unpack(region.arena.try_load(word + 1)?);
        Some(View {
            region,
            word,
            header,
            words: region.arena.get(word, header.words())?,
        })
    }

    /// A chunk that the caller knows to be good: under the lock, or of its own reservation.
    #[inline]
    pub fn known(region: &'a Region, chunk: ChunkRef) -> Self {
        View::new(region, chunk).expect("a chunk named under the lock lies in the pages")
    }

    #[inline(always)]
    fn at(&self) -> usize {
        self.word * WORD_BYTES
    }

    #[inline(always)]
    pub fn key_is(&self, key: &[u8], space: Space) -> bool {
        if key.len() > SHORT_KEY_BYTES_MAX {
            return long_key::is(self.region, self.word, self.header, key, space);
        }
        if !space.is_plain() {
            return apart::key_is(self.region, self.word, self.header, key, space);
        }
        usize::from(self.header.key_len) == key.len()
            && self.header.kind() == Kind::Linked
            && bytes::equals(self.words, self.header.key_at(), key)
    }

    /// The hash of the item's own key.
    pub fn hash(&self) -> KeyHash {
        if self.header.has_long_key() {
            return self.long_key_hash();
        }
        // Clearing the place for a longer one takes as long as hashing one of these.
        if usize::from(self.header.key_len) <= FEW_KEY_BYTES {
            self.hash_by::<FEW_KEY_BYTES>()
        } else {
            self.hash_by::<{ u8::MAX as usize }>()
        }
    }

    #[inline(always)]
    fn hash_by<const MOST: usize>(&self) -> KeyHash {
        let mut key = [0u8; MOST];
        let key = &mut key[..usize::from(self.header.key_len)];
        bytes::copy_out(self.words, self.header.key_at(), key);
        KeyHash::of_stored(key, self.region.hash_seed)
    }

    /// The key's length.
    #[inline(always)]
    pub fn key_len(&self) -> usize {
        if self.header.has_long_key() {
            self.long_key_len()
        } else {
            usize::from(self.header.key_len)
        }
    }

    /// Bytes of the key at the front of the body. Read without a lock this may be any number.
    #[inline(always)]
    pub fn key_body_len(&self) -> usize {
        if self.header.has_long_key() {
            self.long_key_len().saturating_sub(LONG_KEY_HERE_BYTES)
        } else {
            0
        }
    }

    #[inline(always)]
    fn short(&self, field: u8) -> u32 {
        let at = self.at() + field_at(self.header.flags(), field);
        (self.region.arena.load(at / WORD_BYTES) >> (8 * (at % WORD_BYTES))) as u32
    }

    fn set_short(&self, field: u8, value: u32) {
        let at = self.at() + field_at(self.header.flags(), field);
        self.region.arena.copy_in(at, &value.to_le_bytes());
    }

    /// The field `field`'s 8 bytes, as two halves: they may straddle words.
    #[inline(always)]
    fn long(&self, field: u8) -> (u32, u32) {
        let both = bytes::peek(self.words, field_at(self.header.flags(), field));
        (both as u32, (both >> 32) as u32)
    }

    fn set_long(&self, field: u8, low: u32, high: u32) {
        let at = self.at() + field_at(self.header.flags(), field);
        let both = u64::from(low) | u64::from(high) << 32;
        self.region.arena.copy_in(at, &both.to_le_bytes());
    }

    #[inline(always)]
    pub fn deadline(&self) -> Deadline {
        if !self.header.has(flag::DEADLINE) {
            return Deadline::NEVER;
        }
        let millis = if self.header.has(flag::EXTRA) {
            extra::millis(self.short(flag::EXTRA))
        } else {
            0
        };
        Deadline::from_parts(self.short(flag::DEADLINE), millis)
    }

    #[inline(always)]
    pub fn is_expired(&self, now: Tick) -> bool {
        self.header.has(flag::DEADLINE) && self.deadline().has_passed(now)
    }

    /// Sets the deadline in place, if the item has the fields for it.
    pub fn set_deadline(&self, deadline: Deadline) -> bool {
        let needs_extra = deadline.millis() != 0;
        if !self.header.has(flag::DEADLINE) {
            return deadline.is_never();
        }
        if needs_extra && !self.header.has(flag::EXTRA) {
            return false;
        }
        self.set_both(deadline, self.marks());
        true
    }

    /// The marks beside the deadline's milliseconds.
    #[inline(always)]
    pub fn marks(&self) -> Marks {
        if self.header.has(flag::EXTRA) {
            self.unpacked()
        } else {
            Marks::NONE
        }
    }

    #[inline(never)]
    fn unpacked(&self) -> Marks {
        Marks::unpack(self.short(flag::EXTRA), self.deadline_secs())
    }

    /// Sets them, if the item has the field for it. Of an item whose reads were not noted and now are, the deadline may
    /// change: readers have to be kept away.
    pub fn set_marks(&self, marks: Marks) {
        if self.header.has(flag::EXTRA) {
            self.set_both(self.deadline(), marks);
        }
    }

    fn deadline_secs(&self) -> u32 {
        if self.header.has(flag::DEADLINE) {
            self.short(flag::DEADLINE)
        } else {
            0
        }
    }

    /// Writes deadline and marks into the fields that there are.
    #[inline(always)]
    fn set_both(&self, deadline: Deadline, marks: Marks) {
        if self.header.has(flag::EXTRA) {
            self.set_packed(deadline, marks);
        } else if self.header.has(flag::DEADLINE) {
            self.set_short(flag::DEADLINE, deadline.secs());
        }
    }

    /// Apart: few items have it.
    #[inline(never)]
    fn set_packed(&self, deadline: Deadline, marks: Marks) {
        let (field, deadline) = marks.pack(deadline);
        self.set_short(flag::EXTRA, field);
        if self.header.has(flag::DEADLINE) {
            self.set_short(flag::DEADLINE, deadline.secs());
        }
    }

    /// Whether a read now has to be noted.
    #[inline(always)]
    pub fn wants_note(&self, now: Tick) -> bool {
        self.header.has(flag::EXTRA) && self.has_news(now)
    }

    #[inline(never)]
    fn has_news(&self, now: Tick) -> bool {
        extra::wants_note(self.short(flag::EXTRA), self.deadline_secs(), now)
    }

    pub fn client_flags(&self) -> u32 {
        if self.header.has(flag::CLIENT_FLAGS) {
            self.short(flag::CLIENT_FLAGS)
        } else {
            0
        }
    }

    pub fn set_client_flags(&self, client_flags: u32) {
        if self.header.has(flag::CLIENT_FLAGS) {
            self.set_short(flag::CLIENT_FLAGS, client_flags);
        }
    }

    pub fn cas(&self) -> Option<u64> {
        self.header.has(flag::CAS).then(|| {
            let (low, high) = self.long(flag::CAS);
            u64::from(low) | u64::from(high) << 32
        })
    }

    pub fn set_cas(&self, cas: u64) {
        assert!(self.header.has(flag::CAS), "a field that is not there");
        self.set_long(flag::CAS, cas as u32, (cas >> 32) as u32);
    }

    /// The second piece, if there is one.
    pub fn next_piece(&self) -> ChunkRef {
        let granule = match self.header.kind() {
            Kind::Continuation => self.region.arena.load(self.word) as u32,
            _ if self.header.has(flag::CHAINED) => self.long(flag::CHAINED).1,
            _ => 0,
        };
        // Read without a lock this may be any number; the mask keeps it a name.
        ChunkRef::from_granule(granule & ((1 << crate::chunk_ref::CHUNK_REF_BITS) - 1))
    }

    /// Points this piece at the one after it.
    pub fn set_next_piece(&self, next: ChunkRef) {
        if self.header.kind() == Kind::Continuation {
            let prev = self.region.arena.load(self.word) & !0xFFFF_FFFF;
            self.region
                .arena
                .store(self.word, prev | u64::from(next.granule()));
        } else {
            assert!(self.header.has(flag::CHAINED), "a field that is not there");
            let (value_len, _) = self.long(flag::CHAINED);
            self.set_long(flag::CHAINED, value_len, next.granule());
        }
    }

    /// The piece before this continuation.
    pub fn prev_piece(&self) -> ChunkRef {
        let granule = (self.region.arena.load(self.word) >> 32) as u32;
        ChunkRef::from_granule(granule & ((1 << crate::chunk_ref::CHUNK_REF_BITS) - 1))
    }

    pub fn set_prev_piece(&self, prev: ChunkRef) {
        let next = self.region.arena.load(self.word) & 0xFFFF_FFFF;
        self.region
            .arena
            .store(self.word, next | u64::from(prev.granule()) << 32);
    }

    /// The value's length, over all pieces.
    #[inline(always)]
    pub fn value_len(&self) -> usize {
        if self.header.has(flag::CHAINED) {
            self.body_len().saturating_sub(self.key_body_len())
        } else {
            usize::from(self.header.value_len)
        }
    }

    /// The length of the value and of what of the key is before it, over all pieces.
    #[inline(always)]
    pub fn body_len(&self) -> usize {
        if self.header.has(flag::CHAINED) {
            self.long(flag::CHAINED).0 as usize
        } else {
            usize::from(self.header.value_len)
        }
    }

    pub fn set_body_len(&self, body_len: usize) {
        // Elsewhere the key would be overwritten: one comparison, where chains are written only.
        assert!(self.header.has(flag::CHAINED), "a field that is not there");
        let (_, next) = self.long(flag::CHAINED);
        self.set_long(flag::CHAINED, body_len as u32, next);
    }

    /// Key and value, as the client counts them.
    #[inline(always)]
    pub fn payload_len(&self) -> usize {
        self.key_len() + self.value_len()
    }

    #[inline(always)]
    pub fn meta(&self) -> ItemMeta {
        if self.header.has_fields() {
            // Told no reference: one to this view would keep it in memory for all items.
            meta_of_fields(self.region, self.word, self.header)
        } else {
            ItemMeta {
                value_len: usize::from(self.header.value_len),
                ..ItemMeta::default()
            }
        }
    }

    /// Copies the whole value to `out`, which is as long. `false` if a piece was not what
    /// it should be: then a writer was faster, or the stamp would not validate.
    #[inline(always)]
    pub fn copy_value(&self, out: &mut [u8]) -> bool {
        let here = usize::from(self.header.value_len);
        if !self.header.has(flag::CHAINED) {
            if here != out.len() {
                return false;
            }
            bytes::copy_out(self.words, self.header.value_at(), out);
            return true;
        }
        chain::copy(self.region, self.word, self.header, out)
    }

    /// Copies from byte `from` of this piece's part of the body.
    pub fn copy_piece(&self, from: usize, out: &mut [u8]) {
        debug_assert!(from + out.len() <= usize::from(self.header.value_len));
        bytes::copy_out(self.words, self.header.value_at() + from, out);
    }

    /// Where in the arena byte `from` of this piece's part of the body is.
    pub fn piece_byte(&self, from: usize) -> usize {
        self.at() + self.header.value_at() + from
    }

    /// Writes to byte `from` of this piece's part of the body.
    pub fn write_piece(&self, from: usize, bytes: &[u8]) {
        self.region.arena.copy_in(self.piece_byte(from), bytes);
    }

    /// Replaces the header; fields, key and value stay where they are.
    pub fn set_header(&mut self, header: Header) {
        let word = self.region.arena.load(self.word + 1);
        self.region
            .arena
            .store(self.word + 1, header.pack_into(word));
        self.header = header;
        self.words = words_of(self.region, self.word, header);
    }

    /// A view of a chunk that has nothing in it yet, with `header` written.
    pub fn fresh(region: &'a Region, chunk: ChunkRef, header: Header) -> Self {
        region.arena.store(region.geometry.word_of(chunk), 0);
        View::unlinked(region, chunk, header)
    }

    /// The same, and its links are the caller's to write.
    #[inline(always)]
    pub fn unlinked(region: &'a Region, chunk: ChunkRef, header: Header) -> Self {
        let word = region.geometry.word_of(chunk);
        region.arena.store(word + 1, header.pack_into(0));
        View {
            region,
            word,
            header,
            words: words_of(region, word, header),
        }
    }

    /// Fills in the deadline, client flags and marks that the header has fields for.
    pub fn write_fields(&self, client_flags: u32, deadline: Deadline, marks: Marks) {
        self.renew_fields(client_flags, deadline, marks);
        if self.header.has(flag::CHAINED) {
            self.set_long(flag::CHAINED, 0, 0);
        }
    }

    /// The same of an item that keeps its further pieces.
    #[inline(always)]
    pub fn renew_fields(&self, client_flags: u32, deadline: Deadline, marks: Marks) {
        self.set_both(deadline, marks);
        self.set_client_flags(client_flags);
    }

    /// Bytes of the body that fit a piece of `chunk_bytes` with this header.
    pub fn room(&self, chunk_bytes: usize) -> usize {
        chunk_bytes - self.header.value_at()
    }
}

/// [`View::meta`] of an item with fields.
#[inline(never)]
fn meta_of_fields(region: &Region, word: usize, header: Header) -> ItemMeta {
    let view = View::of(region, word, header);
    let marks = view.marks();
    ItemMeta {
        stale: marks.is_stale(),
        won: marks.is_won(),
        value_len: view.value_len(),
        client_flags: view.client_flags(),
        deadline: view.deadline(),
        cas: view.cas(),
    }
}

impl<'a> View<'a> {
    /// An item whose header was read before.
    #[inline(always)]
    fn of(region: &'a Region, word: usize, header: Header) -> Self {
        View {
            region,
            word,
            header,
            words: words_of(region, word, header),
        }
    }
}

/// What a header that was just written reaches over.
#[inline(always)]
fn words_of(region: &Region, word: usize, header: Header) -> &[AtomicU64] {
    region
        .arena
        .get(word, header.words())
        .expect("an item lies in its chunk")
}

/// The header of a continuation, which is held until its item is linked.
pub(crate) fn continuation(value_len: usize) -> Header {
    debug_assert_eq!(
        Header::new(Kind::Continuation, flag::HELD, 0, 0).value_at(),
        HEADER_BYTES
    );
    Header::new(Kind::Continuation, flag::HELD, 0, value_len)
}
