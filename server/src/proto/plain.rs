//! The plainest requests (`GET key`, `get key`, `mg key v`; `PUT key value`, `set key flags 0 length`, `ms key length`; Redis' `GET`
//! and `SET`), without the general decoder and encoder.
//!
//! The same bytes mean the same to both: what is not surely one of these is none here, and is left
//! to [`Codec::decode`].

use super::resp::{Format, Session};
use super::scan::{newline, word_len};
use super::writer::Writer;
use super::{Accepts, Codec, Inside, KEY_BYTES_MAX, Role, Speech, memcache};

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

impl Protocol {
    /// How its values are counted.
    #[inline(always)]
    #[must_use]
    pub fn speech(self) -> Speech {
        match self {
            Protocol::Native => Speech::Native,
            Protocol::Memcached => Speech::Memcached,
            Protocol::Meta => Speech::Meta,
            Protocol::Resp { .. } => Speech::Resp,
        }
    }
}

const VERB_BYTES: usize = 4;
const META_VERB_BYTES: usize = 3;
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
            b"PUT " if self.accepts != Accepts::Memcached => {
                return plain_put(&bytes[VERB_BYTES..]);
            }
            b"set " if memcached => return plain_set(bytes),
            [b'm', b'g', b' ', _] if memcached => (Protocol::Meta, Meta::get(bytes)),
            [b'm', b's', b' ', _] if memcached => return plain_ms(bytes),
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
    let (head, rest) = bytes.split_first_chunk::<ARRAY_BYTES>()?;
    match head {
        b"*2\r\n$3\r\nGET\r\n" => Resp::get(bytes).map(|asked| asked.by(Protocol::Resp { v3 })),
        b"*3\r\n$3\r\nSET\r\n" => {
            let (key, behind) = bulk_key(rest)?;
            let (value, behind) = bulk(behind)?;
            Some(Plain {
                key,
                what: What::Put(Protocol::Resp { v3 }, 0, value),
                taken: bytes.len() - behind.len(),
            })
        }
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

/// What stands behind `PUT `. A line with a carriage return may be HTTP: not plain.
#[inline(always)]
fn plain_put(rest: &[u8]) -> Option<Plain<'_>> {
    let key_len = word_len(&rest[..rest.len().min(KEY_BYTES_MAX + 1)])?;
    if key_len == 0 || rest[key_len] != b' ' {
        return None;
    }
    let (key, rest) = (&rest[..key_len], &rest[key_len + 1..]);
    let value = &rest[..newline(rest)?];
    if value.last() == Some(&b'\r') {
        return None;
    }
    Some(Plain {
        key,
        what: What::Put(Protocol::Native, 0, value),
        taken: VERB_BYTES + key_len + 1 + value.len() + 1,
    })
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

/// `set key flags 0 length`
#[inline(always)]
fn plain_set(bytes: &[u8]) -> Option<Plain<'_>> {
    let (key, rest) = key_and_rest(&bytes[VERB_BYTES..])?;
    let (flags, rest) = number(rest)?;
    let (value, behind) = counted(rest.strip_prefix(b" 0 ")?)?;
    Some(Plain {
        key,
        what: What::Put(Protocol::Memcached, flags, value),
        taken: bytes.len() - behind.len(),
    })
}

/// `ms key length`
#[inline(always)]
fn plain_ms(bytes: &[u8]) -> Option<Plain<'_>> {
    let (key, rest) = key_and_rest(&bytes[META_VERB_BYTES..])?;
    let (value, behind) = counted(rest)?;
    Some(Plain {
        key,
        what: What::Put(Protocol::Meta, 0, value),
        taken: bytes.len() - behind.len(),
    })
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

/// What is known of a value that was found.
pub struct Found {
    /// Its length in bytes.
    pub value_len: usize,
    /// The client's number.
    pub client_flags: u32,
    /// It is out of date, or somebody was told to bring a new one.
    pub is_outdated: bool,
}

/// How one protocol answers, known when the program is compiled: the lane is built once for each.
pub trait Lane: Copy {
    /// What follows a value.
    const TAIL: &'static [u8];
    /// The answer to a store.
    const STORED: &'static [u8];
    /// Whether a line end in a value would be taken for the end of the answer; and this is said instead.
    const CUT: Option<&'static [u8]>;

    /// The request for a value at the front of `bytes`, if one surely stands there whole.
    fn get(bytes: &[u8]) -> Option<Asked<'_>>;

    /// The answer if there is no value.
    fn missing(self) -> &'static [u8];

    /// Writes what stands before a value to the front of `room` and says how long it is; `None` if
    /// it does not fit, or the general way has more to say.
    fn value_head(self, key: &[u8], found: &Found, room: &mut [u8]) -> Option<usize>;
}

/// [`Lane`] of native lines.
#[derive(Clone, Copy)]
pub struct Native;

/// [`Lane`] of memcached's `get` and `set`.
#[derive(Clone, Copy)]
pub struct Memcached;

/// [`Lane`] of memcached's `mg` and `ms`.
#[derive(Clone, Copy)]
pub struct Meta;

/// [`Lane`] of RESP, in version 3 or else 2.
#[derive(Clone, Copy)]
pub struct Resp(pub bool);

impl Lane for Native {
    const TAIL: &'static [u8] = b"\n";
    const STORED: &'static [u8] = b"OK\n";
    const CUT: Option<&'static [u8]> = Some(b"ERROR\n");

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        line_get(b"GET ", bytes)
    }

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"NOTFOUND\n"
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], _: &Found, _: &mut [u8]) -> Option<usize> {
        Some(0)
    }
}

impl Lane for Memcached {
    const TAIL: &'static [u8] = b"\r\nEND\r\n";
    const STORED: &'static [u8] = b"STORED\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        line_get(b"get ", bytes)
    }

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"END\r\n"
    }

    #[inline(always)]
    fn value_head(self, key: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        memcache::encode::value_head(key, found.client_flags, found.value_len, None, room)
    }
}

impl Lane for Meta {
    const TAIL: &'static [u8] = b"\r\n";
    const STORED: &'static [u8] = b"HD\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        let (key, rest) = key_and_rest(bytes.strip_prefix(b"mg ")?)?;
        let behind = rest.strip_prefix(b"v\r\n")?;
        Some(Asked {
            key,
            taken: bytes.len() - behind.len(),
        })
    }

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"EN\r\n"
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        // Of a value that is out of date whoever asks first is told to bring a new one.
        if found.is_outdated {
            return None;
        }
        let mut writer = Writer::new(room);
        writer.put(b"VA ")?;
        writer.number(found.value_len as u64)?;
        writer.put(b"\r\n")?;
        Some(writer.len())
    }
}

impl Lane for Resp {
    const TAIL: &'static [u8] = b"\r\n";
    const STORED: &'static [u8] = b"+OK\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        let rest = bytes.strip_prefix(b"*2\r\n$3\r\nGET\r\n")?;
        let (key, behind) = bulk_key(rest)?;
        Some(Asked {
            key,
            taken: bytes.len() - behind.len(),
        })
    }

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        Format::nothing_in(self.0)
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        Format::value_head(found.value_len, room)
    }
}

#[cfg(test)]
mod tests;
