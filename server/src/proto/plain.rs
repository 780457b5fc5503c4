//! The plainest requests (`GET key`, `get key`, `mg key v`; `PUT key value`, `set key flags 0 length`, `ms key length`; Redis' `GET`
//! and `SET`), without the general decoder and encoder.
//!
//! The same bytes mean the same to both: what is not surely one of these is none here, and is left
//! to [`Codec::decode`].

mod lane;
pub mod list;

pub use self::lane::{Found, Lane, Memcached, Meta, Native, OneKey, Resp};

use super::resp::Session;
use super::scan::word_len;
use super::{Accepts, Codec, Inside, KEY_BYTES_MAX, Role};

/// A request of one line about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Of 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// What is to be done.
    pub what: What<'a>,
    /// How long the line is.
    pub taken: usize,
}

/// What a [`Plain`] request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// Send the value.
    Get(Protocol),
    /// Store this value with these client's flags for ever, over whatever is there.
    Put(Protocol, u32, &'a [u8]),
}

/// How a plain request is asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `GET key`, `PUT key value`
    Native,
    /// `get key`, `set key flags 0 length`
    Memcached,
    /// `mg key v`, `ms key length`
    Meta,
    /// `*2 $3 GET $3 key`, `*3 $3 SET $3 key $5 value`
    Resp {
        /// In version 3.
        v3: bool,
    },
}

const VERB_BYTES: usize = 4;
/// Longer numbers may be more than 32 bits have.
const DIGITS_MAX: usize = 9;

impl Codec {
    /// Whether [`plain`](Self::plain) may be asked: a request begins here, and the client may read and store.
    #[inline]
    #[must_use]
    pub fn may_be_plain(&self) -> bool {
        self.permits(Role::Write)
            && match self.inside {
                Inside::Line | Inside::MemcachedLine => true,
                Inside::Keys(_) | Inside::Binary | Inside::BinaryLogin => false,
                Inside::Resp(session) => session.is_between(),
            }
    }

    /// Whether the next request begins where one of these leaves it: no other place has to be noted then.
    #[inline(always)]
    #[must_use]
    pub fn is_inside_of(&self, what: What<'_>) -> bool {
        match what {
            What::Get(Protocol::Native) | What::Put(Protocol::Native, ..) => {
                self.inside == Inside::Line
            }
            What::Get(Protocol::Memcached | Protocol::Meta)
            | What::Put(Protocol::Memcached | Protocol::Meta, ..) => {
                self.inside == Inside::MemcachedLine
            }
            // The lane is for sessions that are between two requests.
            What::Get(Protocol::Resp { .. }) | What::Put(Protocol::Resp { .. }, ..) => true,
        }
    }

    /// The plain request at the front of `bytes`, if one surely stands there whole.
    #[inline(always)]
    #[must_use]
    pub fn plain<'a>(&self, bytes: &'a [u8]) -> Option<Plain<'a>> {
        if let Inside::Resp(session) = self.inside {
            return plain_resp(bytes, session.is_v3());
        }
        let verb = bytes.first_chunk::<VERB_BYTES>()?;
        let memcached = self.accepts != Accepts::Native;
        let (protocol, asked) = match verb {
            b"GET " if self.accepts != Accepts::Memcached => (Protocol::Native, Native::get(bytes)),
            b"get " if memcached => (Protocol::Memcached, Memcached::get(bytes)),
            [b'm', b'g', b' ', _] if memcached => (Protocol::Meta, Meta::get(bytes)),
            b"PUT " if self.accepts != Accepts::Memcached => {
                return Native::put(bytes).map(|given| given.by(Protocol::Native));
            }
            b"set " if memcached => {
                return Memcached::put(bytes).map(|given| given.by(Protocol::Memcached));
            }
            [b'm', b's', b' ', _] if memcached => {
                return Meta::put(bytes).map(|given| given.by(Protocol::Meta));
            }
            _ => return None,
        };
        asked.map(|asked| asked.by(protocol))
    }
}

/// A key that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Of 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// How long the request is.
    pub taken: usize,
}

impl<'a> Asked<'a> {
    #[inline(always)]
    fn by(self, protocol: Protocol) -> Plain<'a> {
        Plain {
            key: self.key,
            what: What::Get(protocol),
            taken: self.taken,
        }
    }
}

/// A value that is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Of 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// The client's number.
    pub client_flags: u32,
    /// The value, whole.
    pub value: &'a [u8],
    /// How long the request is.
    pub taken: usize,
}

impl<'a> Given<'a> {
    #[inline(always)]
    fn by(self, protocol: Protocol) -> Plain<'a> {
        Plain {
            key: self.key,
            what: What::Put(protocol, self.client_flags, self.value),
            taken: self.taken,
        }
    }
}

/// A line of a verb and a key.
#[inline(always)]
fn line_get<'a>(verb: &[u8; VERB_BYTES], bytes: &'a [u8]) -> Option<Asked<'a>> {
    let (found, rest) = bytes.split_first_chunk::<VERB_BYTES>()?;
    if found != verb {
        return None;
    }
    let key_len = word_len(&rest[..rest.len().min(KEY_BYTES_MAX + 1)])?;
    if key_len == 0 {
        return None;
    }
    let ending = match rest[key_len..] {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => return None,
    };
    Some(Asked {
        key: &rest[..key_len],
        taken: VERB_BYTES + key_len + ending,
    })
}

/// What begins an array of RESP that may be plain.
const ARRAY_BYTES: usize = 13;

/// An array of `GET` and a key, or of `SET`, a key and a value, all there.
#[inline(always)]
fn plain_resp(bytes: &[u8], v3: bool) -> Option<Plain<'_>> {
    let head = bytes.first_chunk::<ARRAY_BYTES>()?;
    match head {
        b"*2\r\n$3\r\nGET\r\n" => Resp::get(bytes).map(|asked| asked.by(Protocol::Resp { v3 })),
        b"*3\r\n$3\r\nSET\r\n" => Resp::put(bytes).map(|given| given.by(Protocol::Resp { v3 })),
        _ => None,
    }
}

/// A key of 1 to 250 bytes, and what is behind it.
#[inline(always)]
fn bulk_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bulk(bytes).filter(|(key, _)| !key.is_empty() && key.len() <= KEY_BYTES_MAX)
}

/// A bulk string of up to 99,999 bytes, and what is behind it; the two bytes at its end are not looked at, as Redis does not.
#[inline(always)]
fn bulk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [b'$', digits @ ..] = bytes else {
        return None;
    };
    let mut len = 0;
    for (at, &digit) in digits.iter().take(6).enumerate() {
        match digit {
            b'0'..=b'9' => len = 10 * len + usize::from(digit - b'0'),
            b'\r' if at > 0 && digits.get(at + 1) == Some(&b'\n') => {
                let rest = &digits[at + 2..];
                let behind = rest.get(len + 2..)?;
                return Some((&rest[..len], behind));
            }
            _ => return None,
        }
    }
    None
}

/// A key of 1 to 250 bytes with a space behind it, and what is behind that.
#[inline(always)]
fn key_and_rest(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let key_len = word_len(&bytes[..bytes.len().min(KEY_BYTES_MAX + 1)])?;
    if key_len == 0 || bytes[key_len] != b' ' {
        return None;
    }
    Some((&bytes[..key_len], &bytes[key_len + 1..]))
}

/// A number of up to nine digits as everybody writes it, and what is behind it: a byte at least.
#[inline(always)]
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0;
    for (at, &digit) in bytes.iter().take(DIGITS_MAX + 1).enumerate() {
        match digit {
            b'0'..=b'9' if at < DIGITS_MAX && (value > 0 || at == 0) => {
                value = 10 * value + u32::from(digit - b'0');
            }
            _ if at > 0 => return (!digit.is_ascii_digit()).then_some((value, &bytes[at..])),
            _ => return None,
        }
    }
    None
}

/// What stands behind the head of a store: `length`, the line's end, so many bytes, a line's end.
#[inline(always)]
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = number(bytes)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let (value, rest) = rest.split_at_checked(len as usize)?;
    Some((value, rest.strip_prefix(b"\r\n")?))
}

impl What<'_> {
    /// Where in a request the bytes behind one of these are.
    #[inline(always)]
    #[must_use]
    pub const fn inside(self) -> Inside {
        match self {
            What::Get(Protocol::Resp { v3 }) | What::Put(Protocol::Resp { v3 }, ..) => {
                Inside::Resp(Session::between(v3))
            }
            What::Get(Protocol::Memcached | Protocol::Meta)
            | What::Put(Protocol::Memcached | Protocol::Meta, ..) => Inside::MemcachedLine,
            What::Get(Protocol::Native) | What::Put(Protocol::Native, ..) => Inside::Line,
        }
    }
}

#[cfg(test)]
mod tests;
