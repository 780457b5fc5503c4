//! The plainest requests, `GET key`, `get key` and `PUT key value`, without the general decoder and
//! encoder.
//!
//! The same bytes mean the same to both: what is not surely one of these is none here, and is left
//! to [`Codec::decode`].

use super::resp::{Format, Session};
use super::scan::{newline, word_len};
use super::{Accepts, Codec, Inside, KEY_BYTES_MAX, memcache};

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
    /// Store this value for ever, over whatever is there.
    Put(Protocol, &'a [u8]),
}

/// How a plain request is asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `GET key`, `PUT key value`
    Native,
    /// `get key`
    Memcached,
    /// `*2 $3 GET $3 key`, `*3 $3 SET $3 key $5 value`
    Resp {
        /// In version 3.
        v3: bool,
    },
}

const VERB_BYTES: usize = 4;

impl Codec {
    /// Whether [`plain`](Self::plain) may be asked: a request begins here, and nobody has
    /// to log in first.
    #[inline]
    #[must_use]
    pub fn may_be_plain(&self) -> bool {
        !self.locked
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
            What::Get(Protocol::Native) | What::Put(Protocol::Native, _) => {
                self.inside == Inside::Line
            }
            What::Get(Protocol::Memcached) | What::Put(Protocol::Memcached, _) => {
                self.inside == Inside::MemcachedLine
            }
            // The lane is for sessions that are between two requests.
            What::Get(Protocol::Resp { .. }) | What::Put(Protocol::Resp { .. }, _) => true,
        }
    }

    /// The plain request at the front of `bytes`, if one surely stands there whole.
    #[inline(always)]
    #[must_use]
    pub fn plain<'a>(&self, bytes: &'a [u8]) -> Option<Plain<'a>> {
        if let Inside::Resp(session) = self.inside {
            return plain_resp(bytes, session.is_v3());
        }
        let (verb, rest) = bytes.split_first_chunk::<VERB_BYTES>()?;
        let protocol = match verb {
            b"GET " if self.accepts != Accepts::Memcached => Protocol::Native,
            b"get " if self.accepts != Accepts::Native => Protocol::Memcached,
            b"PUT " if self.accepts != Accepts::Memcached => return plain_put(rest),
            _ => return None,
        };
        let key_len = word_len(&rest[..rest.len().min(KEY_BYTES_MAX + 1)])?;
        if key_len == 0 {
            return None;
        }
        let ending = match rest[key_len..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return None,
        };
        Some(Plain {
            key: &rest[..key_len],
            what: What::Get(protocol),
            taken: VERB_BYTES + key_len + ending,
        })
    }
}

/// An array of `GET` and a key, or of `SET`, a key and a value, all there.
#[inline(always)]
fn plain_resp(bytes: &[u8], v3: bool) -> Option<Plain<'_>> {
    const HEAD_BYTES: usize = 13;
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let is_set = match head {
        b"*2\r\n$3\r\nGET\r\n" => false,
        b"*3\r\n$3\r\nSET\r\n" => true,
        _ => return None,
    };
    let (key, behind) = bulk(rest)?;
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return None;
    }
    let (what, behind) = if is_set {
        let (value, behind) = bulk(behind)?;
        (What::Put(Protocol::Resp { v3 }, value), behind)
    } else {
        (What::Get(Protocol::Resp { v3 }), behind)
    };
    Some(Plain {
        key,
        what,
        taken: bytes.len() - behind.len(),
    })
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
        what: What::Put(Protocol::Native, value),
        taken: VERB_BYTES + key_len + 1 + value.len() + 1,
    })
}

impl What<'_> {
    /// Where in a request the bytes behind one of these are.
    #[inline(always)]
    #[must_use]
    pub const fn inside(self) -> Inside {
        match self {
            What::Get(Protocol::Resp { v3 }) | What::Put(Protocol::Resp { v3 }, _) => {
                Inside::Resp(Session::between(v3))
            }
            What::Get(Protocol::Memcached) | What::Put(Protocol::Memcached, _) => {
                Inside::MemcachedLine
            }
            What::Get(Protocol::Native) | What::Put(Protocol::Native, _) => Inside::Line,
        }
    }
}

/// How one protocol answers, known when the program is compiled: the lane is built once for each.
pub trait Lane: Copy {
    /// What follows a value.
    const TAIL: &'static [u8];
    /// The answer to a store.
    const STORED: &'static [u8];
    /// Whether a line end in a value would be taken for the end of the answer; and this is said instead.
    const CUT: Option<&'static [u8]>;

    /// The answer if there is no value.
    fn missing(self) -> &'static [u8];

    /// Writes what stands before a value to the front of `room` and says how long it is; `None` if
    /// it does not fit.
    fn value_head(
        self,
        key: &[u8],
        client_flags: u32,
        value_len: usize,
        room: &mut [u8],
    ) -> Option<usize>;
}

/// [`Lane`] of native lines.
#[derive(Clone, Copy)]
pub struct Native;

/// [`Lane`] of memcached's `get`.
#[derive(Clone, Copy)]
pub struct Memcached;

/// [`Lane`] of RESP, in version 3 or else 2.
#[derive(Clone, Copy)]
pub struct Resp(pub bool);

impl Lane for Native {
    const TAIL: &'static [u8] = b"\n";
    const STORED: &'static [u8] = b"OK\n";
    const CUT: Option<&'static [u8]> = Some(b"ERROR\n");

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"NOTFOUND\n"
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], _: u32, _: usize, _: &mut [u8]) -> Option<usize> {
        Some(0)
    }
}

impl Lane for Memcached {
    const TAIL: &'static [u8] = b"\r\nEND\r\n";
    const STORED: &'static [u8] = b"STORED\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b"END\r\n"
    }

    #[inline(always)]
    fn value_head(
        self,
        key: &[u8],
        client_flags: u32,
        value_len: usize,
        room: &mut [u8],
    ) -> Option<usize> {
        memcache::encode::value_head(key, client_flags, value_len, None, room)
    }
}

impl Lane for Resp {
    const TAIL: &'static [u8] = b"\r\n";
    const STORED: &'static [u8] = b"+OK\r\n";
    const CUT: Option<&'static [u8]> = None;

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        Format::nothing_in(self.0)
    }

    #[inline(always)]
    fn value_head(self, _: &[u8], _: u32, value_len: usize, room: &mut [u8]) -> Option<usize> {
        Format::value_head(value_len, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Command, Decoded, Lifetime, Reply, ReplyFormat, Terms};

    const ACCEPTS: [Accepts; 3] = [Accepts::Auto, Accepts::Native, Accepts::Memcached];

    fn told(protocol: Protocol) -> (&'static [u8], &'static [u8]) {
        match protocol {
            Protocol::Native => (Native::TAIL, Native.missing()),
            Protocol::Memcached => (Memcached::TAIL, Memcached.missing()),
            Protocol::Resp { v3 } => (Resp::TAIL, Resp(v3).missing()),
        }
    }

    /// Whatever is plain is what the general decoder reads there, and is answered alike.
    #[track_caller]
    fn agrees(codec: Codec, bytes: &[u8]) -> bool {
        let Some(plain) = codec.plain(bytes) else {
            return false;
        };
        let Decoded::Request(request) = codec.decode(bytes) else {
            panic!("{:?} is no request", bytes.escape_ascii());
        };
        assert_eq!(
            (request.taken, request.inside),
            (plain.taken, plain.what.inside())
        );
        let protocol = match plain.what {
            What::Get(protocol) => protocol,
            What::Put(protocol, value) => {
                assert_eq!(protocol, Protocol::Native);
                let terms = Terms::plain(Lifetime::Forever);
                let key = plain.key;
                assert_eq!(request.command, Command::Store { key, value, terms });
                assert_eq!(request.format, ReplyFormat::Native);
                return true;
            }
        };
        assert_eq!(request.command, Command::Get { key: plain.key });
        let (tail, missing) = told(protocol);
        assert_eq!(request.format.value_tail(), tail);
        let mut room = [0; 64];
        let len = request.format.encode(Reply::Missing, &mut room);
        assert_eq!(
            &room[..len.expect("it fits")],
            missing,
            "{:?}",
            bytes.escape_ascii()
        );
        let is_native = request.format == ReplyFormat::Native;
        assert_eq!(is_native, protocol == Protocol::Native);
        true
    }

    #[test]
    fn what_is_plain_means_the_same_to_the_general_decoder() {
        let key = [b'k'; KEY_BYTES_MAX + 1];
        let longest = [b"GET ", &key[1..], b"\r\n"].concat();
        let too_long = [b"GET ", &key[..], b"\n"].concat();
        let lines: [(&[u8], [bool; 3]); 29] = [
            (b"GET k\n", [true, true, false]),
            (b"GET k\r\n", [true, true, false]),
            (b"get k\r\n", [true, false, true]),
            (b"get k\n", [true, false, true]),
            (b"GET \x80\xff\x7f\n", [true, true, false]),
            (&longest, [true, true, false]),
            (&too_long, [false; 3]),
            (b"GET  k\n", [false; 3]),
            (b"GET k \n", [false; 3]),
            (b"get k l\r\n", [false; 3]),
            (b"GET \n", [false; 3]),
            (b"GET k\rl\n", [false; 3]),
            (b"GET k\x01\n", [false; 3]),
            (b"GET k", [false; 3]),
            (b"GET k\r", [false; 3]),
            (b"Get k\n", [false; 3]),
            (b"gets k\r\n", [false; 3]),
            (b"PUT k v\n", [true, true, false]),
            (b"PUT k \n", [true, true, false]),
            (b"PUT k  a \0b \n", [true, true, false]),
            (b"PUT k HTTP/1.1\n", [true, true, false]),
            (b"PUT k v\r\n", [false; 3]),
            (b"PUT k HTTP/1.1\r\n", [false; 3]),
            (b"PUT k\n", [false; 3]),
            (b"PUT  k v\n", [false; 3]),
            (b"PUT k\tv\n", [false; 3]),
            (b"PUTEX k 1 v\n", [false; 3]),
            (b"put k v\n", [false; 3]),
            (b"PUT k v", [false; 3]),
        ];
        for (line, expected) in lines {
            for (accepts, expected) in ACCEPTS.into_iter().zip(expected) {
                let codec = Codec::new(accepts);
                assert_eq!(agrees(codec, line), expected, "{:?}", line.escape_ascii());
                // Whatever follows changes nothing; a beginning is nothing yet.
                let followed = [line, b"GET next\nGE"].concat();
                assert!(agrees(codec, &followed) || !expected);
                for cut in 0..line.len() {
                    assert!(!agrees(codec, &line[..cut]));
                }
            }
        }
    }

    /// A byte of any value in any place of keys around the width of the scan, and of values.
    #[test]
    fn every_byte_in_every_place() {
        for len in 1..=20 {
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    let mut line = [b"GET ".as_slice(), &vec![b'k'; len], b"\nGET "].concat();
                    line[VERB_BYTES + place] = byte;
                    let plain = agrees(Codec::new(Accepts::Auto), &line);
                    let ends_early = byte == b'\n' && place > 0;
                    let is_cr = byte == b'\r' && place == len - 1 && len > 1;
                    assert_eq!(
                        plain,
                        byte > b' ' || ends_early || is_cr,
                        "{byte} at {place}"
                    );
                    line[..VERB_BYTES].copy_from_slice(b"PUT ");
                    line[VERB_BYTES + len] = b' ';
                    let plain = agrees(Codec::new(Accepts::Auto), &[&line[..], b"\n"].concat());
                    let is_split = byte == b' ' && place > 0;
                    assert_eq!(plain, byte > b' ' || is_split, "{byte} at {place}");
                    line[VERB_BYTES] = b'k';
                    line[VERB_BYTES + len + 1 + place % 4] = byte;
                    agrees(Codec::new(Accepts::Auto), &[&line[..], b"\n"].concat());
                }
            }
        }
    }

    /// Arrays of `GET` and `SET` mean to the lane what they mean to the general decoder, and are answered alike, however
    /// they are cut and whatever stands in them.
    #[test]
    fn what_is_plain_in_resp_means_the_same() {
        let long = vec![b'v'; 5000];
        let requests: [(&[&[u8]], bool); 9] = [
            (&[b"GET", b"k"], true),
            (&[b"SET", b"k", b"v"], true),
            (&[b"SET", b"k", b""], true),
            (&[b"SET", b"k", b"a\r\nb"], true),
            (&[b"SET", b"k", &long], true),
            (&[b"GET", b""], false),
            (&[b"GET", &[b'k'; KEY_BYTES_MAX + 1]], false),
            (&[b"get", b"k"], false),
            (&[b"SET", b"k", b"v", b"NX"], false),
        ];
        for (words, is_plain) in requests {
            let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
            let codec = Codec::new(Accepts::Resp);
            for cut in 0..bytes.len() {
                assert_eq!(codec.plain(&bytes[..cut]), None, "cut at {cut}");
            }
            let plain = codec.plain(&bytes);
            assert_eq!(plain.is_some(), is_plain, "{:?}", words[0].escape_ascii());
            let (Some(plain), Decoded::Request(request)) = (plain, codec.decode(&bytes)) else {
                continue;
            };
            assert_eq!(
                (request.taken, request.inside),
                (plain.taken, plain.what.inside())
            );
            let (protocol, reply) = match plain.what {
                What::Get(protocol) => {
                    assert_eq!(request.command, Command::Get { key: plain.key });
                    (protocol, Reply::Missing)
                }
                What::Put(protocol, value) => {
                    let (key, terms) = (plain.key, Terms::plain(Lifetime::Forever));
                    assert_eq!(request.command, Command::Store { key, value, terms });
                    let fate = crate::proto::Fate::Done;
                    (
                        protocol,
                        Reply::Store {
                            fate,
                            cas: 0,
                            value_len: 0,
                        },
                    )
                }
            };
            let mut room = [0; 64];
            let len = request.format.encode(reply, &mut room).expect("it fits");
            let (tail, missing) = told(protocol);
            let expected = match plain.what {
                What::Get(_) => missing,
                What::Put(..) => Resp::STORED,
            };
            assert_eq!(&room[..len], expected);
            assert_eq!(request.format.value_tail(), tail);
        }
    }
}
