//! Reads of several keys in one request: memcached's `get k1 k2 …` and redis' `MGET`.
//!
//! | protocol | reply |
//! |---|---|
//! | memcache | `VALUE k f n`, v for each key that is there, in the order asked for; then `END` |
//! | resp | `*N`, then `$n`, v or `$-1` for each key |
//!
//! A reply is consumed value by value: none is kept until the last has come. The other two
//! protocols have no such request.

use std::collections::VecDeque;

use memchr::memchr;

use crate::keys::KeyNames;
use crate::wire::{
    Found, LINE_BYTES_MAX, Protocol, Reply, is_memcache_refusal, number, value, write_length,
    write_number,
};

/// The keys that a connection has asked for in such requests, and how far the first reply is.
#[derive(Debug, Default)]
pub(crate) struct Many {
    /// Of all requests under way, in their order.
    keys: VecDeque<u32>,
    /// One more than the keys of the first request that are not answered; 0: its reply has not
    /// begun.
    left: usize,
}

/// What the next piece of a reply is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// So many bytes, and more pieces follow.
    Inner(usize),
    /// So many bytes, with which the reply ends.
    Last(usize),
    /// The beginning of a piece.
    Part,
    /// No piece of such a reply.
    Garbled,
}

impl Many {
    /// Appends a request for `count` keys that `next` names.
    pub fn write(
        &mut self,
        protocol: Protocol,
        out: &mut Vec<u8>,
        names: KeyNames<'_>,
        count: usize,
        mut next: impl FnMut() -> u32,
    ) {
        let is_resp = protocol == Protocol::Resp;
        if is_resp {
            out.push(b'*');
            write_number(out, count + 1);
            out.extend_from_slice(b"\r\n$4\r\nMGET\r\n");
        } else {
            out.extend_from_slice(b"get");
        }
        for _ in 0..count {
            let key = next();
            self.keys.push_back(key);
            if is_resp {
                write_length(out, names.len(key));
                names.write(out, key);
                out.extend_from_slice(b"\r\n");
            } else {
                out.push(b' ');
                names.write(out, key);
            }
        }
        if !is_resp {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The piece at the start of `bytes` of a reply for `count` keys. `judge` gets each key
    /// and what is said of it; `scanned` is that of [`Protocol::read_reply`].
    pub fn read(
        &mut self,
        protocol: Protocol,
        names: KeyNames<'_>,
        count: usize,
        bytes: &[u8],
        scanned: &mut usize,
        judge: impl FnMut(u32, Reply<'_>),
    ) -> Piece {
        let Some(at) = memchr(b'\n', &bytes[*scanned..]) else {
            if bytes.len() > LINE_BYTES_MAX {
                return Piece::Garbled;
            }
            *scanned = bytes.len();
            return Piece::Part;
        };
        let end = *scanned + at;
        let Some(line) = bytes[..end].strip_suffix(b"\r") else {
            return Piece::Garbled;
        };
        let piece = match protocol {
            Protocol::Resp => self.resp(count, line, (bytes, end + 1), judge),
            _ => self.memcache(names, count, line, (bytes, end + 1), judge),
        };
        *scanned = if piece == Piece::Part { end } else { 0 };
        piece
    }

    fn memcache(
        &mut self,
        names: KeyNames<'_>,
        count: usize,
        line: &[u8],
        (bytes, after): (&[u8], usize),
        mut judge: impl FnMut(u32, Reply<'_>),
    ) -> Piece {
        if self.left == 0 {
            self.left = count + 1; // the line at the end counts, too
        }
        let Some(words) = line.strip_prefix(b"VALUE ") else {
            return match line {
                b"END" => {
                    self.end(|key| judge(key, Reply::Missing));
                    Piece::Last(after)
                }
                _ if is_memcache_refusal(line) => self.refused(line, after, judge),
                _ => Piece::Garbled,
            };
        };
        let mut words = words.split(|&byte| byte == b' ');
        let (name, len) = (words.next().unwrap_or_default(), words.nth(1));
        let (found, used) = match len.and_then(number) {
            None => return Piece::Garbled,
            Some(len) => match value(bytes, after, len, b"\r\n") {
                Found::Whole(reply, used) => (reply, used),
                Found::Part => return Piece::Part,
                Found::Garbled => return Piece::Garbled,
            },
        };
        // Keys before it that were not named are not there.
        while self.left > 1 {
            let key = self.next();
            if names.is(key, name) {
                judge(key, found);
                return Piece::Inner(used);
            }
            judge(key, Reply::Missing);
        }
        // Nobody asked for it.
        Piece::Garbled
    }

    fn resp(
        &mut self,
        count: usize,
        line: &[u8],
        (bytes, after): (&[u8], usize),
        mut judge: impl FnMut(u32, Reply<'_>),
    ) -> Piece {
        if self.left == 0 {
            return match line {
                [b'*', digits @ ..] if number(digits) == Some(count) => {
                    self.left = count + 1;
                    Piece::Inner(after)
                }
                [b'-', words @ ..] => {
                    self.left = count + 1;
                    self.refused(words, after, judge)
                }
                _ => Piece::Garbled,
            };
        }
        let (reply, used) = match line {
            b"$-1" => (Reply::Missing, after),
            [b'$', digits @ ..] => match number(digits) {
                None => return Piece::Garbled,
                Some(len) => match value(bytes, after, len, b"\r\n") {
                    Found::Whole(reply, used) => (reply, used),
                    Found::Part => return Piece::Part,
                    Found::Garbled => return Piece::Garbled,
                },
            },
            _ => return Piece::Garbled,
        };
        judge(self.next(), reply);
        if self.left > 1 {
            return Piece::Inner(used);
        }
        self.left = 0;
        Piece::Last(used)
    }

    /// The next key of the first request.
    fn next(&mut self) -> u32 {
        self.left -= 1;
        self.keys.pop_front().unwrap_or_default()
    }

    /// The request is over; `each` gets the keys that nothing was said of.
    fn end(&mut self, mut each: impl FnMut(u32)) {
        while self.left > 1 {
            each(self.next());
        }
        self.left = 0;
    }

    fn refused(
        &mut self,
        words: &[u8],
        used: usize,
        mut judge: impl FnMut(u32, Reply<'_>),
    ) -> Piece {
        let first = self.keys.front().copied().unwrap_or_default();
        judge(first, Reply::Refused(words));
        self.end(|_| ());
        Piece::Last(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sizes;

    /// What is said of the keys 1, 2, 2, 3, with the reply cut at every byte.
    fn check(protocol: Protocol, reply: &str, expected: &[&str]) {
        let names = KeyNames::new(Sizes { min: 8, max: 8 });
        let bytes = [reply.as_bytes(), b"more"].concat();
        for split in 0..bytes.len() {
            let mut many = Many::default();
            let (mut out, mut keys) = (Vec::new(), [1, 2, 2, 3].into_iter());
            many.write(protocol, &mut out, names, 4, || keys.next().expect("four"));
            let (mut used, mut scanned) = (0, 0);
            let mut said = Vec::new();
            'all: for end in [split, bytes.len()] {
                while used < end {
                    let judge = |key: u32, reply: Reply<'_>| {
                        said.push(match reply {
                            Reply::Value(value) => format!("{key} {}", value.escape_ascii()),
                            Reply::Refused(words) => format!("no {}", words.escape_ascii()),
                            _ => format!("{key} missing"),
                        });
                    };
                    let rest = &bytes[used..end];
                    match many.read(protocol, names, 4, rest, &mut scanned, judge) {
                        Piece::Inner(len) => used += len,
                        Piece::Last(len) => {
                            used += len;
                            break 'all;
                        }
                        Piece::Part => break,
                        Piece::Garbled => {
                            said.push("garbled".to_owned());
                            break 'all;
                        }
                    }
                }
            }
            assert_eq!(said, expected, "{protocol:?} {reply:?} at {split}");
            if said.last().is_none_or(|last| last != "garbled") {
                assert_eq!((used, many.left, many.keys.len()), (reply.len(), 0, 0));
            }
        }
    }

    #[test]
    fn every_key_has_its_answer() {
        let two = "VALUE 00000002 0 1\r\nb\r\n";
        let three = "VALUE 00000003 0 2\r\n\r\n\r\n";
        check(
            Protocol::Memcache,
            &format!("{two}{two}{three}END\r\n"),
            &["1 missing", "2 b", "2 b", "3 \\r\\n"],
        );
        check(
            Protocol::Memcache,
            "END\r\n",
            &["1 missing", "2 missing", "2 missing", "3 missing"],
        );
        check(
            Protocol::Memcache,
            "SERVER_ERROR x\r\n",
            &["no SERVER_ERROR x"],
        );
        check(
            Protocol::Memcache,
            &format!("{three}{two}"),
            &["1 missing", "2 missing", "2 missing", "3 \\r\\n", "garbled"],
        );
        check(
            Protocol::Resp,
            "*4\r\n$1\r\na\r\n$-1\r\n$2\r\n\r\n\r\n$0\r\n\r\n",
            &["1 a", "2 missing", "2 \\r\\n", "3 "],
        );
        check(Protocol::Resp, "-ERR x\r\n", &["no ERR x"]);
        check(Protocol::Resp, "*3\r\n", &["garbled"]);
    }

    #[test]
    fn requests_are_what_the_protocols_say() {
        let names = KeyNames::new(Sizes { min: 8, max: 8 });
        let table = [
            (Protocol::Memcache, "get 00000001 00000002\r\n"),
            (
                Protocol::Resp,
                "*3\r\n$4\r\nMGET\r\n$8\r\n00000001\r\n$8\r\n00000002\r\n",
            ),
        ];
        for (protocol, expected) in table {
            let (mut out, mut key) = (Vec::new(), 0);
            Many::default().write(protocol, &mut out, names, 2, || {
                key += 1;
                key
            });
            assert_eq!(str::from_utf8(&out), Ok(expected));
        }
    }
}
