//! The first twelve bytes of a chunk, and the fields that only some items have.
//!
//! ```text
//! byte 0        4        8                              12
//!      ┌────────┬────────┬────────┬──────┬──────────────┬ ─ ─ ─ ─ ┬─────┬───────
//!      │ next   │ prev   │ kind 2 │ key  │ value length │ fields  │ key │ value
//!      │        │        │ flag 6 │ len 8│ here      16 │         │     │
//!      └────────┴────────┴────────┴──────┴──────────────┴ ─ ─ ─ ─ ┴─────┴───────
//!        word 0            word 1, low half               4 bytes each, in this order:
//!                                          deadline │ extra │ client flags │ CAS (8) │ chain (8)
//! ```
//!
//! Word 0 links the item into its LRU list (in a continuation: to the next and the
//! previous piece of its chain). It belongs to the shard's lock and readers do not look
//! at it. A field that an item does not need is not there: an item without deadline,
//! client flags and CAS costs 12 bytes.
//!
//! A key of more than 250 bytes has the key length [`LONG_KEY`], and as many bytes before the value: how long it
//! is (2), its hash (8), its database (4, [`space`](crate::space)), and its beginning. The rest of it is the front of what follows, its *body*; the value is what is
//! behind it. Such an item always has the chain's field, even if it is one piece, so that nothing that is said of an item
//! without that field has to know of long keys.

use static_assertions::const_assert;

use crate::geometry::{KEY_BYTES_MAX, SHORT_KEY_BYTES_MAX, WORD_BYTES};
use crate::space::PREFIX_BYTES;
use crate::tick::Deadline;

/// Bytes before the fields.
pub(crate) const HEADER_BYTES: usize = 12;

/// The key length of an item whose key is longer than [`SHORT_KEY_BYTES_MAX`].
pub(crate) const LONG_KEY: u8 = u8::MAX;
/// Where a long key's space is, behind its length and its hash.
pub(crate) const LONG_KEY_SPACE_AT: usize = 2 + 8;
/// Bytes before a long key's beginning.
pub(crate) const LONG_KEY_HEAD_BYTES: usize = LONG_KEY_SPACE_AT + PREFIX_BYTES;
/// So much of a long key lies before its body.
pub(crate) const LONG_KEY_HERE_BYTES: usize = LONG_KEY as usize - LONG_KEY_HEAD_BYTES;
const_assert!(SHORT_KEY_BYTES_MAX < LONG_KEY as usize);
const_assert!(LONG_KEY_HERE_BYTES <= SHORT_KEY_BYTES_MAX);
const_assert!(KEY_BYTES_MAX <= u16::MAX as usize);

/// Bytes that a key takes up before the body, if so many stand before it.
#[inline(always)]
pub(crate) const fn key_field_bytes(key_len: usize, prefix_len: usize) -> usize {
    if key_len > SHORT_KEY_BYTES_MAX {
        LONG_KEY as usize
    } else {
        key_len + prefix_len
    }
}

/// Bytes of a key at the front of the body.
#[inline(always)]
pub(crate) const fn key_body_bytes(key_len: usize) -> usize {
    if key_len > SHORT_KEY_BYTES_MAX {
        key_len - LONG_KEY_HERE_BYTES
    } else {
        0
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing: it is in its page's free list.
    Free = 0,
    /// An item (or its first piece) that nobody can find yet, or any more.
    Reserved = 1,
    /// An item that the index names.
    Linked = 2,
    /// A further piece of an item.
    Continuation = 3,
}

/// Bits 2 to 7 of the header's first byte.
pub(crate) mod flag {
    /// 4 bytes: the deadline's second.
    pub const DEADLINE: u8 = 1 << 2;
    /// 4 bytes: the deadline's milliseconds and [`extra`](crate::item::extra)'s marks.
    pub const EXTRA: u8 = 1 << 3;
    /// 4 bytes: the client's number.
    pub const CLIENT_FLAGS: u8 = 1 << 4;
    /// 8 bytes: a CAS number that somebody has asked for.
    pub const CAS: u8 = 1 << 5;
    /// 8 bytes: the whole value's length and the second piece.
    pub const CHAINED: u8 = 1 << 6;
    /// In the main list rather than in probation. Not a field.
    pub const MAIN: u8 = 1 << 7;
    /// The same bit of a continuation: its item is being filled or streamed out.
    pub const HELD: u8 = MAIN;
}

const KIND_MASK: u8 = 0b11;

/// Word 1's low half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// Kind and flags.
    bits: u8,
    /// Key bytes, or [`LONG_KEY`]; 0 in a continuation.
    pub key_len: u8,
    /// Bytes of the body in this chunk: of the value, unless the key is long.
    pub value_len: u16,
}

impl Header {
    /// Of a key that takes up `key_len` bytes before the body.
    pub fn new(kind: Kind, flags: u8, key_len: usize, value_len: usize) -> Self {
        debug_assert!(flags & KIND_MASK == 0);
        debug_assert!(key_len <= u8::MAX as usize && value_len <= u16::MAX as usize);
        Header {
            bits: kind as u8 | flags,
            key_len: key_len as u8,
            value_len: value_len as u16,
        }
    }

    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Header {
            bits: word as u8,
            key_len: (word >> 8) as u8,
            value_len: (word >> 16) as u16,
        }
    }

    /// `word` with its low half replaced.
    #[inline(always)]
    pub fn pack_into(self, word: u64) -> u64 {
        word & !0xFFFF_FFFF
            | u64::from(self.bits)
            | u64::from(self.key_len) << 8
            | u64::from(self.value_len) << 16
    }

    #[inline(always)]
    pub fn kind(self) -> Kind {
        match self.bits & KIND_MASK {
            0 => Kind::Free,
            1 => Kind::Reserved,
            2 => Kind::Linked,
            _ => Kind::Continuation,
        }
    }

    #[inline(always)]
    pub fn has(self, flag: u8) -> bool {
        self.bits & flag != 0
    }

    /// Whether a flush leaves the chunk to who is at work on it. An item that is pinned is a reserved one by then.
    pub fn is_held(self) -> bool {
        match self.kind() {
            Kind::Reserved => true,
            Kind::Continuation => self.has(flag::HELD),
            Kind::Free | Kind::Linked => false,
        }
    }

    /// Whether there is any field between header and key.
    #[inline(always)]
    pub fn has_fields(self) -> bool {
        self.bits & !(KIND_MASK | flag::MAIN) != 0
    }

    #[inline(always)]
    pub fn flags(self) -> u8 {
        self.bits & !KIND_MASK
    }

    #[inline(always)]
    pub fn with_kind(self, kind: Kind) -> Self {
        Header {
            bits: self.flags() | kind as u8,
            ..self
        }
    }

    #[inline(always)]
    pub fn with_flags(self, flags: u8) -> Self {
        Header {
            bits: self.bits & KIND_MASK | flags,
            ..self
        }
    }

    #[inline(always)]
    pub fn with_value_len(self, value_len: usize) -> Self {
        debug_assert!(u16::try_from(value_len).is_ok());
        Header {
            value_len: value_len as u16,
            ..self
        }
    }

    /// Where the key begins, from the chunk's start.
    #[inline(always)]
    pub fn key_at(self) -> usize {
        HEADER_BYTES + fields_bytes(self.bits)
    }

    /// Words from the chunk's first to the last that the value here reaches.
    #[inline(always)]
    pub fn words(self) -> usize {
        (self.value_at() + usize::from(self.value_len)).div_ceil(WORD_BYTES)
    }

    /// Whether the key goes on in the body.
    #[inline(always)]
    pub fn has_long_key(self) -> bool {
        self.key_len == LONG_KEY
    }

    /// Where the body begins.
    #[inline(always)]
    pub fn value_at(self) -> usize {
        self.key_at() + usize::from(self.key_len)
    }
}

/// Bytes of the fields that `flags` name.
#[inline(always)]
pub(crate) const fn fields_bytes(flags: u8) -> usize {
    FIELDS_BYTES[(flags >> 2) as usize % FIELDS_BYTES.len()] as usize
}

/// [`fields_bytes`], by the five bits that are fields: counting bits takes a dozen instructions where the
/// processor is not known to have one for it, and every look at an item asks.
const FIELDS_BYTES: [u8; 32] = {
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < bytes.len() {
        let flags = (at as u8) << 2;
        let short = (flags & (flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS)).count_ones();
        let long = (flags & (flag::CAS | flag::CHAINED)).count_ones();
        bytes[at] = (short * 4 + long * 8) as u8;
        at += 1;
    }
    bytes
};

/// Where `field` begins in an item with `flags`, from the chunk's start.
#[inline(always)]
pub(crate) const fn field_at(flags: u8, field: u8) -> usize {
    // The order of the fields is the order of their bits.
    HEADER_BYTES + fields_bytes(flags & (field - 1))
}

/// The flags that an item with these attributes needs.
pub(crate) fn flags_for(client_flags: u32, deadline: Deadline) -> u8 {
    let mut flags = 0;
    if !deadline.is_never() {
        flags |= flag::DEADLINE;
        if deadline.millis() != 0 {
            flags |= flag::EXTRA;
        }
    }
    if client_flags != 0 {
        flags |= flag::CLIENT_FLAGS;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_one_another_in_the_order_of_their_bits() {
        let all = flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS | flag::CAS | flag::CHAINED;
        for (flags, field, at) in [
            (flag::DEADLINE, flag::DEADLINE, 12),
            (flag::CAS, flag::CAS, 12),
            (flag::DEADLINE | flag::CAS, flag::CAS, 16),
            (all, flag::DEADLINE, 12),
            (all, flag::EXTRA, 16),
            (all, flag::CLIENT_FLAGS, 20),
            (all, flag::CAS, 24),
            (all, flag::CHAINED, 32),
            (all | flag::MAIN, flag::CHAINED, 32),
        ] {
            assert_eq!(
                field_at(flags, field),
                at,
                "flags {flags:#b} field {field:#b}"
            );
        }
        assert_eq!(fields_bytes(all), 28);
        assert_eq!(fields_bytes(flag::MAIN), 0);
    }

    /// Whatever the deadline, and however long ago: the access is told right, or less than a step too late.
    #[test]
    fn a_last_access_does_not_come_round() {
        use crate::item::extra::{self, Marks};
        use crate::tick::Tick;
        const DAY: u64 = 24 * 3600;
        let accesses = [0, 1, 7, 1000, 24 * DAY, 25 * DAY, 400 * DAY, 1500 * DAY];
        let waits = [
            0,
            1,
            9,
            DAY,
            13 * DAY,
            24 * DAY,
            25 * DAY,
            48 * DAY,
            1000 * DAY,
        ];
        for (access, wait) in accesses
            .into_iter()
            .flat_map(|access| waits.map(|wait| (access, wait)))
        {
            let (then, now) = (Tick::from_secs(access), Tick::from_secs(access + wait));
            for deadline in [
                Deadline::NEVER,
                Deadline::at(now.plus_secs(5)),
                Deadline::exact(now.plus_millis(5)),
                Deadline::exact(now.plus_millis(DAY * 1000 + 1)),
            ] {
                let marks = Marks::of(extra::WON).noted(true, then);
                let (field, kept) = marks.pack(deadline);
                let back = Marks::unpack(field, kept.secs());
                let idle = back.idle_seconds(now).expect("noted");
                let most = (1 << 27) - 1 - access.min((1 << 27) - 1);
                let wanted = wait.min(most);
                let context = (access, wait, deadline, idle);
                assert!(idle <= wanted && idle + 8 > wanted, "{context:?}");
                assert!(back.is_won() && back.is_read() && !back.is_stale());
                assert_eq!(extra::millis(field), kept.millis());
                assert!(kept == deadline || kept == deadline.rounded_up());
                let is_far = deadline.secs().saturating_sub(access as u32) >= 8 << 17;
                assert!(kept == deadline || is_far, "{context:?}: rounded");
                assert!(!extra::wants_note(field, kept.secs(), then));
                assert_eq!(
                    extra::wants_note(field, kept.secs(), now),
                    idle >= 8 || idle > 0 && deadline.millis() == 0
                );
            }
        }
        // Without notes the milliseconds stay, and marks too.
        let deadline = Deadline::exact(Tick::from_millis(90 * DAY * 1000 + 77));
        let (field, kept) = Marks::of(extra::STALE).pack(deadline);
        assert_eq!((extra::millis(field), kept), (77, deadline));
        assert_eq!(Marks::unpack(field, kept.secs()), Marks::of(extra::STALE));
        assert_eq!(Marks::of(extra::STALE).idle_seconds(Tick::ZERO), None);
    }

    #[test]
    fn a_header_survives_its_word() {
        let header = Header::new(Kind::Linked, flag::CAS | flag::MAIN, 250, 65_000);
        let word = header.pack_into(0xDEAD_BEEF_0000_0000);
        assert_eq!(word >> 32, 0xDEAD_BEEF);
        assert_eq!(Header::unpack(word), header);
        assert_eq!(header.with_kind(Kind::Free).kind(), Kind::Free);
        assert_eq!(header.value_at(), 12 + 8 + 250);
    }
}
