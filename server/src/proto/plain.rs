//! The plainest request, `GET key` or `get key`, without the general decoder and encoder.
//!
//! The same bytes mean the same to both: what is not surely a read of one key is none here, and is
//! left to [`Codec::decode`].

use flagstone_engine::ItemMeta;

use super::scan::word_len;
use super::{Codec, Inside, KEY_BYTES_MAX, Tongue, memcache};

/// A read of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainGet<'a> {
    /// Of 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// How it was asked for.
    pub dialect: Dialect,
    /// How long the line is.
    pub taken: usize,
}

/// How a plain read is asked for and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `GET key`
    Native,
    /// `get key`
    Classic,
}

const VERB_BYTES: usize = 4;

impl Codec {
    /// Whether [`plain_get`](Self::plain_get) may be asked: a request begins here, and nobody has
    /// to log in first.
    #[inline]
    #[must_use]
    pub fn may_be_plain(&self) -> bool {
        !self.locked && !matches!(self.inside, Inside::Keys(_))
    }

    /// The plain read at the front of `bytes`, if one surely stands there whole.
    #[inline(always)]
    #[must_use]
    pub fn plain_get<'a>(&self, bytes: &'a [u8]) -> Option<PlainGet<'a>> {
        let (verb, rest) = bytes.split_first_chunk::<VERB_BYTES>()?;
        let dialect = match verb {
            b"GET " if self.tongue != Tongue::Memcached => Dialect::Native,
            b"get " if self.tongue != Tongue::Native => Dialect::Classic,
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
        Some(PlainGet {
            key: &rest[..key_len],
            dialect,
            taken: VERB_BYTES + key_len + ending,
        })
    }
}

impl Dialect {
    /// Where in a request the bytes behind one of these are.
    #[inline(always)]
    #[must_use]
    pub const fn inside(self) -> Inside {
        match self {
            Dialect::Native => Inside::Line,
            Dialect::Classic => Inside::MemcachedLine,
        }
    }

    /// Writes what stands before a value to the front of `room` and says how long it is; `None` if
    /// it does not fit.
    #[inline(always)]
    pub fn value_head(self, key: &[u8], meta: &ItemMeta, room: &mut [u8]) -> Option<usize> {
        match self {
            Dialect::Native => Some(0),
            Dialect::Classic => {
                memcache::encode::value_head(key, meta.client_flags, meta.value_len, None, room)
            }
        }
    }

    /// What follows a value.
    #[inline(always)]
    #[must_use]
    pub const fn value_tail(self) -> &'static [u8] {
        match self {
            Dialect::Native => b"\n",
            Dialect::Classic => b"\r\nEND\r\n",
        }
    }

    /// The answer if there is none.
    #[inline(always)]
    #[must_use]
    pub const fn missing(self) -> &'static [u8] {
        match self {
            Dialect::Native => b"NOTFOUND\n",
            Dialect::Classic => b"END\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Command, Decoded, Reply, Voice};

    const TONGUES: [Tongue; 3] = [Tongue::Auto, Tongue::Native, Tongue::Memcached];

    /// Whatever is plain is what the general decoder reads there, and is answered alike.
    #[track_caller]
    fn agrees(codec: Codec, bytes: &[u8]) -> bool {
        let Some(plain) = codec.plain_get(bytes) else {
            return false;
        };
        let Decoded::Request(request) = codec.decode(bytes) else {
            panic!("{:?} is no request", bytes.escape_ascii());
        };
        assert_eq!(request.command, Command::Get { key: plain.key });
        assert_eq!(
            (request.taken, request.inside),
            (plain.taken, plain.dialect.inside())
        );
        assert_eq!(request.voice.value_tail(), plain.dialect.value_tail());
        let mut room = [0; 64];
        let len = request.voice.encode(Reply::Missing, &mut room);
        assert_eq!(
            &room[..len.expect("it fits")],
            plain.dialect.missing(),
            "{:?}",
            bytes.escape_ascii()
        );
        let is_native = request.voice == Voice::Native;
        assert_eq!(is_native, plain.dialect == Dialect::Native);
        true
    }

    #[test]
    fn what_is_plain_means_the_same_to_the_general_decoder() {
        let key = [b'k'; KEY_BYTES_MAX + 1];
        let longest = [b"GET ", &key[1..], b"\r\n"].concat();
        let too_long = [b"GET ", &key[..], b"\n"].concat();
        let lines: [(&[u8], [bool; 3]); 17] = [
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
        ];
        for (line, expected) in lines {
            for (tongue, expected) in TONGUES.into_iter().zip(expected) {
                let codec = Codec::new(tongue);
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

    /// A byte of any value in any place of keys around the width of the scan.
    #[test]
    fn every_byte_in_every_place() {
        for len in 1..=20 {
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    let mut line = [b"GET ".as_slice(), &vec![b'k'; len], b"\nGET "].concat();
                    line[VERB_BYTES + place] = byte;
                    let plain = agrees(Codec::new(Tongue::Auto), &line);
                    let ends_early = byte == b'\n' && place > 0;
                    let is_cr = byte == b'\r' && place == len - 1 && len > 1;
                    assert_eq!(
                        plain,
                        byte > b' ' || ends_early || is_cr,
                        "{byte} at {place}"
                    );
                }
            }
        }
    }
}
