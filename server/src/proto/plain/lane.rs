//! How the requests of the lane are read and answered in each protocol.

use super::{Asked, Given, VERB_BYTES, bulk, bulk_key, counted, key_and_rest, line_get, number};
use crate::proto::resp::Format;
use crate::proto::scan::near_newline;
use crate::proto::writer::Writer;
use crate::proto::{Speech, memcache};

/// What is known of a value that was found.
pub struct Found {
    /// Its length in bytes.
    pub value_len: usize,
    /// The client's number.
    pub client_flags: u32,
    /// Its CAS number, if it has one.
    pub cas: Option<u64>,
    /// It is out of date, or somebody was told to bring a new one.
    pub is_outdated: bool,
}

/// How one protocol answers, known when the program is compiled: the lane is built once for each.
pub trait Lane: Copy {
    /// What follows a value.
    const TAIL: &'static [u8];
    /// What follows the answer to the last key of a list.
    const END: &'static [u8] = b"";
    /// Whether a line end in a value would be taken for the end of the answer; and this is said instead.
    const CUT: Option<&'static [u8]>;

    /// The answer if there is no value.
    fn missing(self) -> &'static [u8];

    /// Writes what stands before a value to the front of `room` and says how long it is; `None` if
    /// it does not fit, or the general way has more to say.
    fn value_head(self, key: &[u8], found: &Found, room: &mut [u8]) -> Option<usize>;
}

/// [`Lane`] of requests about one key each.
pub trait OneKey: Lane {
    /// The answer to a store.
    const STORED: &'static [u8];
    /// How its values are counted.
    const SPEECH: Speech;

    /// The request for a value at the front of `bytes`, if one surely stands there whole.
    fn get(bytes: &[u8]) -> Option<Asked<'_>>;

    /// The same for one to store a value for ever, over whatever is there.
    fn put(bytes: &[u8]) -> Option<Given<'_>>;
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
    const CUT: Option<&'static [u8]> = Some(b"ERROR\n");

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"NOTFOUND\n"
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], _: &Found, _: &mut [u8]) -> Option<usize> {
        Some(0)
    }
}

impl OneKey for Native {
    const STORED: &'static [u8] = b"OK\n";
    const SPEECH: Speech = Speech::Native;

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        line_get(b"GET ", bytes)
    }

    /// A line with a carriage return may be HTTP: not plain.
    #[inline(always)]
    fn put(bytes: &[u8]) -> Option<Given<'_>> {
        let rest = bytes.strip_prefix(b"PUT ")?;
        let (key, rest) = key_and_rest(rest)?;
        let value = &rest[..near_newline(rest)?];
        if value.last() == Some(&b'\r') {
            return None;
        }
        Some(Given {
            key,
            client_flags: 0,
            value,
            taken: VERB_BYTES + key.len() + 1 + value.len() + 1,
        })
    }
}

impl Lane for Memcached {
    const TAIL: &'static [u8] = b"\r\nEND\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"END\r\n"
    }

    #[inline(always)]
    fn value_head(self, key: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        memcache::encode::value_head(key, found.client_flags, found.value_len, None, room)
    }
}

impl OneKey for Memcached {
    const STORED: &'static [u8] = b"STORED\r\n";
    const SPEECH: Speech = Speech::Memcached;

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        line_get(b"get ", bytes)
    }

    /// `set key flags 0 length`
    #[inline(always)]
    fn put(bytes: &[u8]) -> Option<Given<'_>> {
        let (key, rest) = key_and_rest(bytes.strip_prefix(b"set ")?)?;
        let (client_flags, rest) = number(rest)?;
        let (value, behind) = counted(rest.strip_prefix(b" 0 ")?)?;
        Some(Given {
            key,
            client_flags,
            value,
            taken: bytes.len() - behind.len(),
        })
    }
}

impl Lane for Meta {
    const TAIL: &'static [u8] = b"\r\n";
    const CUT: Option<&'static [u8]> = None;

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

impl OneKey for Meta {
    const STORED: &'static [u8] = b"HD\r\n";
    const SPEECH: Speech = Speech::Meta;

    #[inline(always)]
    fn get(bytes: &[u8]) -> Option<Asked<'_>> {
        let (key, rest) = key_and_rest(bytes.strip_prefix(b"mg ")?)?;
        let behind = rest.strip_prefix(b"v\r\n")?;
        Some(Asked {
            key,
            taken: bytes.len() - behind.len(),
        })
    }

    /// `ms key length`
    #[inline(always)]
    fn put(bytes: &[u8]) -> Option<Given<'_>> {
        let (key, rest) = key_and_rest(bytes.strip_prefix(b"ms ")?)?;
        let (value, behind) = counted(rest)?;
        Some(Given {
            key,
            client_flags: 0,
            value,
            taken: bytes.len() - behind.len(),
        })
    }
}

impl Lane for Resp {
    const TAIL: &'static [u8] = b"\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        Format::nothing_in(self.0)
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        Format::value_head(found.value_len, room)
    }
}

impl OneKey for Resp {
    const STORED: &'static [u8] = b"+OK\r\n";
    const SPEECH: Speech = Speech::Resp;

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
    fn put(bytes: &[u8]) -> Option<Given<'_>> {
        let rest = bytes.strip_prefix(b"*3\r\n$3\r\nSET\r\n")?;
        let (key, behind) = bulk_key(rest)?;
        let (value, behind) = bulk(behind)?;
        Some(Given {
            key,
            client_flags: 0,
            value,
            taken: bytes.len() - behind.len(),
        })
    }
}
