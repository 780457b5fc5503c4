//! How a connection speaks, and where in that it is.
//!
//! The matches on a protocol are here, in [`ReplyFormat`](super::ReplyFormat) and in the plain lane: a new protocol is a
//! line in each, and a directory of its own.

use super::{Decoded, HEAD_BYTES_MAX, LongHead, memcache, native, sniff};

/// Which protocols a port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepts {
    /// Any: the client's first bytes, and then each line, say which.
    #[default]
    Auto,
    /// The native one.
    Native,
    /// memcached's.
    Memcached,
}

/// Where in a request the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// At its beginning.
    Line,
    /// At its beginning, behind one of memcached's: what is no word is taken for more of that.
    MemcachedLine,
    /// Among the keys of a list.
    Keys(memcache::Keys),
}

/// How a connection speaks, and where it is in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    pub(super) accepts: Accepts,
    pub(super) inside: Inside,
    /// Nobody has logged in, and somebody has to.
    pub(super) locked: bool,
}

impl Codec {
    /// What the protocols are called where they are counted apart.
    pub const NAMES: [&str; 2] = ["native", "memcached"];

    /// Which of [`NAMES`](Self::NAMES) was spoken last.
    #[inline]
    #[must_use]
    pub fn name_no(self) -> usize {
        let is_native = self.inside == Inside::Line && self.accepts != Accepts::Memcached;
        usize::from(!is_native)
    }

    /// At the beginning of a connection.
    #[must_use]
    pub const fn new(accepts: Accepts) -> Self {
        Codec {
            accepts,
            inside: Inside::Line,
            locked: false,
        }
    }

    /// The same, for a client who has to log in first.
    #[must_use]
    pub const fn locked(self, locked: bool) -> Self {
        Codec { locked, ..self }
    }

    /// Whether the client has to log in first.
    #[inline]
    #[must_use]
    pub fn is_locked(self) -> bool {
        self.locked
    }

    /// The client has logged in.
    pub fn unlock(&mut self) {
        self.locked = false;
    }

    /// Which protocols it may be.
    #[must_use]
    pub fn accepts(self) -> Accepts {
        self.accepts
    }

    /// Goes on where `inside` says.
    #[inline]
    pub fn go_on(&mut self, inside: Inside) {
        self.inside = inside;
    }

    /// Reads one request from the front of `bytes`. What [`Request::inside`] says must be told
    /// to [`go_on`](Self::go_on) before the next.
    #[inline]
    pub fn decode(self, bytes: &[u8]) -> Decoded<'_> {
        if let Inside::Keys(keys) = self.inside {
            return memcache::decode::next_key(bytes, 0, keys);
        }
        let Some(first) = bytes.first() else {
            return Decoded::More;
        };
        if self.locked {
            return memcache::login::decode(bytes, self.accepts);
        }
        match (self.accepts, first) {
            (Accepts::Auto, b'a'..=b'z' | b' ') | (Accepts::Memcached, _) => {
                memcache::decode::line(bytes)
            }
            (Accepts::Native, _) | (Accepts::Auto, b'A'..=b'Z') => native::decode(bytes),
            (Accepts::Auto, _) if self.inside == Inside::MemcachedLine => {
                memcache::decode::line(bytes)
            }
            (Accepts::Auto, b'*') => Decoded::HangUp(sniff::NOT_RESP),
            (Accepts::Auto, _) => native::decode(bytes),
        }
    }

    /// Says how a store begins of which `bytes` is the beginning, if as much as its head can be held, and no more: `bytes` is
    /// longer than [`HEAD_BYTES_MAX`], and to [`decode`](Self::decode) not a whole request. `None`: it is no store.
    pub fn decode_begun(self, bytes: &[u8]) -> Option<LongHead<'_>> {
        let is_native = match (self.accepts, bytes.first()?) {
            _ if self.locked || matches!(self.inside, Inside::Keys(_)) => return None,
            (Accepts::Auto, b'a'..=b'z' | b' ') | (Accepts::Memcached, _) => false,
            (Accepts::Native, _) | (Accepts::Auto, b'A'..=b'Z') => true,
            _ => self.inside == Inside::Line,
        };
        if is_native {
            // A shorter line may be whole before long, and how long its value is it does not say.
            return match bytes.len() > HEAD_BYTES_MAX {
                true => native::decode_long(bytes),
                false => None,
            };
        }
        match memcache::decode::line_within::<0>(bytes) {
            Decoded::Long(head) => Some(head),
            _ => None,
        }
    }

    /// Says what to do with a request of which `bytes` is the beginning, and which is too
    /// long to be held until it is whole. `None`: hang up.
    pub fn decode_long(self, bytes: &[u8]) -> Option<LongHead<'_>> {
        // memcached's decoder never asks for more than that.
        native::decode_long(bytes)
    }
}
