//! The lane's lists: the keys of memcached's `get` and `gets`, and of Redis' `MGET`.
//!
//! What stands before the keys is the general decoder's, and so is the first key of memcached's, with which that decoder has
//! looked through the whole line. From there on a key is a word or a short array's element, and this reads it, unless it is
//! anything out of the ordinary.

use super::{KEY_BYTES_MAX, Lane, Memcached, Resp, bulk_key};
use crate::proto::memcache::encode::value_head;
use crate::proto::memcache::keys::Keys;
use crate::proto::plain::Found;
use crate::proto::resp::Session;
use crate::proto::scan::word_len;
use crate::proto::{Codec, Inside, Role};

/// A list of keys whose values are asked for, between two of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `get key …`, `gets key …`
    Memcached(MemcachedKeys),
    /// `MGET key …`
    Resp(RespKeys),
}

impl List {
    /// How many keys are left, where it says so.
    #[inline]
    #[must_use]
    pub fn left(&self) -> Option<usize> {
        match self {
            List::Memcached(_) => None,
            List::Resp(keys) => Some(keys.left as usize),
        }
    }
}

impl Codec {
    /// The list whose next key stands at the front of the bytes that come, if they are in one.
    #[inline]
    #[must_use]
    pub fn list(&self) -> Option<List> {
        let list = match self.inside {
            Inside::Keys(keys) => List::Memcached(MemcachedKeys {
                cas: keys.only_read()?,
                keys,
            }),
            Inside::Resp(session) => List::Resp(RespKeys {
                v3: session.is_v3(),
                left: session.values_left()?,
            }),
            _ => return None,
        };
        self.permits(Role::Read).then_some(list)
    }
}

/// A key of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Of 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// How many bytes it is with what is around it.
    pub taken: usize,
    /// There is none behind it.
    pub is_last: bool,
}

/// [`Lane`] of a list's keys.
pub trait ListLane: Lane {
    /// The key at the front of `bytes`, with so many between it and where the list was, if one surely stands there whole.
    fn key(self, bytes: &[u8], nth: usize) -> Option<Listed<'_>>;

    /// Where in a request the bytes behind so many keys are; or behind all of them.
    fn inside(self, nth: usize, is_over: bool) -> Inside;
}

/// [`Lane`] of the keys of memcached's `get`, or of `gets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemcachedKeys {
    cas: bool,
    keys: Keys,
}

impl Lane for MemcachedKeys {
    const TAIL: &'static [u8] = b"\r\n";
    const END: &'static [u8] = b"END\r\n";
    const CUT: Option<&'static [u8]> = Memcached::CUT;

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        b""
    }

    #[inline(always)]
    fn value_head(self, key: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        // An item without a number gets one because it is asked for, which is the general way's.
        let cas = if self.cas { Some(found.cas?) } else { None };
        value_head(key, found.client_flags, found.value_len, cas, room)
    }
}

impl ListLane for MemcachedKeys {
    #[inline(always)]
    fn key(self, bytes: &[u8], _: usize) -> Option<Listed<'_>> {
        let len = word_len(&bytes[..bytes.len().min(KEY_BYTES_MAX + 1)])?;
        if len == 0 {
            return None;
        }
        let (taken, is_last) = match bytes[len..] {
            // More spaces may be all that follows.
            [b' ', b'!'..=u8::MAX, ..] => (len + 1, false),
            [b'\r', b'\n', ..] => (len + 2, true),
            [b'\n', ..] => (len + 1, true),
            _ => return None,
        };
        Some(Listed {
            key: &bytes[..len],
            taken,
            is_last,
        })
    }

    #[inline(always)]
    fn inside(self, _: usize, is_over: bool) -> Inside {
        match is_over {
            true => Inside::MemcachedLine,
            false => Inside::Keys(self.keys),
        }
    }
}

/// [`Lane`] of the keys of `MGET`, in version 3 or else 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RespKeys {
    v3: bool,
    /// So many keys are left.
    left: u32,
}

impl Lane for RespKeys {
    const TAIL: &'static [u8] = Resp::TAIL;
    const CUT: Option<&'static [u8]> = Resp::CUT;

    #[inline(always)]
    fn missing(self) -> &'static [u8] {
        Resp(self.v3).missing()
    }

    #[inline(always)]
    fn value_head(self, key: &[u8], found: &Found, room: &mut [u8]) -> Option<usize> {
        Resp(self.v3).value_head(key, found, room)
    }
}

impl ListLane for RespKeys {
    #[inline(always)]
    fn key(self, bytes: &[u8], nth: usize) -> Option<Listed<'_>> {
        let (key, behind) = bulk_key(bytes)?;
        Some(Listed {
            key,
            taken: bytes.len() - behind.len(),
            is_last: nth + 1 == self.left as usize,
        })
    }

    #[inline(always)]
    fn inside(self, nth: usize, _: bool) -> Inside {
        Inside::Resp(Session::before_values(self.v3, self.left - nth as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Accepts, Command, Decoded, Reply};

    /// Whatever the lane reads is what the general decoder reads there, is answered alike, and leaves the codec alike.
    #[track_caller]
    fn agrees<L: ListLane>(codec: Codec, lane: L, bytes: &[u8]) -> Option<(usize, Codec)> {
        let listed = lane.key(bytes, 0)?;
        let Decoded::Request(request) = codec.decode(bytes) else {
            panic!("{} is no key", bytes.escape_ascii());
        };
        let said = bytes.escape_ascii();
        assert_eq!(request.command, Command::Get { key: listed.key }, "{said}");
        assert_eq!(request.taken, listed.taken, "{said}");
        assert_eq!(request.inside, lane.inside(1, listed.is_last), "{said}");
        let end = if listed.is_last { L::END } else { b"" };
        let tail = [L::TAIL, end].concat();
        assert_eq!(request.format.value_tail(), tail, "{said}");
        let mut room = [0; 64];
        let len = request.format.encode(Reply::Missing, &mut room);
        let missing = [lane.missing(), end].concat();
        assert_eq!(&room[..len.expect("it fits")], missing, "{said}");
        let mut after = codec;
        after.go_on(request.inside);
        Some((listed.taken, after))
    }

    /// Goes through a list as a connection does; says how many keys the lane has read.
    #[track_caller]
    fn go_through(codec: Codec, bytes: &[u8]) -> usize {
        let (mut codec, mut at, mut read) = (codec, 0, 0);
        loop {
            let agreed = match codec.list() {
                Some(List::Memcached(lane)) => agrees(codec, lane, &bytes[at..]),
                Some(List::Resp(lane)) => agrees(codec, lane, &bytes[at..]),
                None => None,
            };
            if let Some((taken, after)) = agreed {
                (codec, at, read) = (after, at + taken, read + 1);
                continue;
            }
            match codec.decode(&bytes[at..]) {
                Decoded::Request(request) if request.taken > 0 => {
                    codec.go_on(request.inside);
                    at += request.taken;
                }
                _ => return read,
            }
        }
    }

    #[test]
    fn memcached_keys_mean_the_same() {
        let long = [b"get a ".as_slice(), &[b'k'; KEY_BYTES_MAX], b" b\r\n"].concat();
        let too_long = [b"get a ".as_slice(), &[b'k'; KEY_BYTES_MAX + 1], b" b\r\n"].concat();
        for (line, expected) in [
            (&b"get a b\r\n"[..], 1),
            (b"get a b\n", 1),
            (b"get a b c d\r\n", 3),
            (b"gets a b c d\r\n", 3),
            (b"get a b \r\n", 0),
            (b"get a b  c d\r\n", 1),
            (b"get a b\tc d e\r\n", 2),
            (b"get a  b c\r\n", 1),
            (b"get a b\rc d\r\n", 1),
            (b"get a b\r\r\n", 0),
            (b"get a b c", 0),
            (b"get a b c ", 0),
            (b"get a b c\r", 0),
            (b"get a\r\n", 0),
            (b"gat 0 a b c\r\n", 0),
            (b"get a \x80\xff\x7f b\r\n", 2),
            (&long, 2),
            (&too_long, 0),
        ] {
            let read = go_through(Codec::new(Accepts::Auto), line);
            assert_eq!(read, expected, "{}", line.escape_ascii());
            // What follows a line is read as ever.
            if line.ends_with(b"\n") {
                let bytes = [line, b"get z y\r\nget x w v\r\n"].concat();
                let read = go_through(Codec::new(Accepts::Auto), &bytes);
                assert_eq!(read, expected + 3, "{}", line.escape_ascii());
            }
        }
    }

    /// A byte of any value in any place of a list.
    #[test]
    fn every_byte_in_every_place() {
        let lists = [
            &b"get aa bbbbbbbbb c dddddddd\r\nget e f\r\n"[..],
            b"*4\r\n$4\r\nMGET\r\n$2\r\naa\r\n$10\r\nbbbbbbbbbb\r\n$1\r\nc\r\n*2\r\n$4\r\nMGET\r\n$1\r\na\r\n",
        ];
        for list in lists {
            let whole = go_through(Codec::new(Accepts::Auto), list);
            assert!(whole >= 4, "{whole}");
            for place in 0..list.len() {
                for byte in 0..=u8::MAX {
                    let mut bytes = list.to_vec();
                    bytes[place] = byte;
                    go_through(Codec::new(Accepts::Auto), &bytes);
                }
                assert!(go_through(Codec::new(Accepts::Auto), &list[..place]) <= whole);
            }
        }
    }

    #[test]
    fn redis_keys_mean_the_same() {
        let array = |keys: &[&[u8]]| {
            let mut bytes = format!("*{}\r\n$4\r\nMGET\r\n", keys.len() + 1).into_bytes();
            for key in keys {
                bytes.extend_from_slice(format!("${}\r\n", key.len()).as_bytes());
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes
        };
        let longest = [b'k'; KEY_BYTES_MAX];
        let longer = [b'k'; KEY_BYTES_MAX + 1];
        let huge = [b'k'; 20_000];
        for (keys, expected) in [
            (&[&b"a"[..]][..], 1),
            (&[b"a", b"b", b"a b\r\n", &longest], 4),
            (&[b"a", &longer, b"c"], 2),
            (&[b"a", b"", b"c"], 2),
            (&[b"a", &huge, b"c"], 1),
        ] {
            let bytes = array(keys);
            let read = go_through(Codec::new(Accepts::Resp), &bytes);
            assert_eq!(read, expected, "{} keys", keys.len());
        }
        // Elsewhere than in database 0, or where requests are kept, it is the general way's.
        let select = b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n";
        let multi = b"*1\r\n$5\r\nMULTI\r\n";
        for before in [&select[..], multi] {
            let bytes = [before, &array(&[b"a", b"b"])].concat();
            assert_eq!(go_through(Codec::new(Accepts::Resp), &bytes), 0);
        }
        // As is a client's that may do nothing.
        let mut bytes = array(&[b"a", b"b"]);
        assert_eq!(
            go_through(Codec::new(Accepts::Resp).locked(true), &bytes),
            0
        );
        // Leading zeros are zeros to both; what ends a key is not looked at.
        bytes = b"*3\r\n$4\r\nMGET\r\n$01\r\na??$0002\r\nbb\r\n".to_vec();
        assert_eq!(go_through(Codec::new(Accepts::Resp), &bytes), 2);
    }
}
