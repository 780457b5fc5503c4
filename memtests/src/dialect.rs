//! What goes over the wire, and what comes back: the native protocol, and memcached's for the
//! comparison.
//!
//! Pure: bytes in, bytes out. A reply is found only by what was asked, as a client does it:
//! nothing in the native protocol says whether `OK` is a reply or a value. The values of this
//! suite are never that short.

use crate::value::{write_key, write_value};

/// The protocol that a server under test speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Flagstone's lines.
    Native,
    /// memcached's text protocol.
    Memcache,
}

/// What was asked: decides how the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A value to be stored.
    Put,
    /// A value to be read.
    Get,
}

/// One reply, found at the start of the bytes received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The PUT was obeyed.
    Stored,
    /// The value that a GET asked for.
    Value(&'a [u8]),
    /// The key is not there.
    Missing,
    /// Anything else.
    Refused(&'a [u8]),
}

impl Dialect {
    /// Appends a PUT of the self-certifying value of `key` at `version`.
    pub fn write_put(self, out: &mut Vec<u8>, key: u32, version: u32, len: usize) {
        match self {
            Dialect::Native => {
                out.extend_from_slice(b"PUT ");
                write_key(out, key);
                out.push(b' ');
                write_value(out, key, version, len);
                out.push(b'\n');
            }
            Dialect::Memcache => {
                out.extend_from_slice(b"set ");
                write_key(out, key);
                out.extend_from_slice(format!(" 0 0 {len}\r\n").as_bytes());
                write_value(out, key, version, len);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Appends a PUT that stops in the middle of its value: its sender has all the time in
    /// the world.
    pub fn write_half_put(self, out: &mut Vec<u8>, key: u32, len: usize, sent: usize) {
        let start = out.len();
        self.write_put(out, key, 1, len);
        out.truncate(start + sent);
    }

    /// Appends a GET of `key`.
    pub fn write_get(self, out: &mut Vec<u8>, key: u32) {
        out.extend_from_slice(if self == Dialect::Native {
            b"GET "
        } else {
            b"get "
        });
        write_key(out, key);
        out.extend_from_slice(if self == Dialect::Native {
            b"\n"
        } else {
            b"\r\n"
        });
    }

    /// The longest value to send. memcached counts key and header into its 1 MiB.
    #[must_use]
    pub fn value_len_max(self) -> usize {
        match self {
            Dialect::Native => crate::value::VALUE_LEN_MAX,
            Dialect::Memcache => 1_000_000,
        }
    }

    /// The reply at the start of `bytes` and how many bytes it took; `None` while it is
    /// incomplete. `scanned` remembers between calls what holds no line end, or a value of 1
    /// MiB would be searched from its start at each packet.
    pub fn read_reply<'a>(
        self,
        asked: Asked,
        bytes: &'a [u8],
        scanned: &mut usize,
    ) -> Option<(Reply<'a>, usize)> {
        let Some(at) = bytes[*scanned..].iter().position(|&byte| byte == b'\n') else {
            *scanned = bytes.len();
            return None;
        };
        let end = *scanned + at;
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let mut used = end + 1;
        let reply = match (self, asked, line) {
            (Dialect::Native, Asked::Put, b"OK") | (Dialect::Memcache, Asked::Put, b"STORED") => {
                Reply::Stored
            }
            (Dialect::Native, Asked::Get, b"NOTFOUND")
            | (Dialect::Memcache, Asked::Get, b"END") => Reply::Missing,
            (Dialect::Native, Asked::Get, line) if line != b"ERROR" => Reply::Value(line),
            (Dialect::Memcache, Asked::Get, line) if line.starts_with(b"VALUE ") => {
                let digits = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
                let len = str::from_utf8(digits)
                    .ok()
                    .and_then(|digits| digits.parse::<usize>().ok());
                let Some(len) = len else {
                    return Some((Reply::Refused(line), used));
                };
                let (start, tail): (usize, &[u8]) = (used, b"\r\nEND\r\n");
                used += len + tail.len();
                if bytes.len() < used {
                    *scanned = end;
                    return None;
                }
                if &bytes[start + len..used] == tail {
                    Reply::Value(&bytes[start..start + len])
                } else {
                    Reply::Refused(line)
                }
            }
            _ => Reply::Refused(line),
        };
        *scanned = 0;
        Some((reply, used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Asked::{Get, Put};
    use Dialect::{Memcache, Native};

    #[test]
    fn replies_are_found_at_any_split() {
        let table: &[(Dialect, Asked, &[u8], Reply<'_>)] = &[
            (Native, Put, b"OK\n", Reply::Stored),
            (Native, Put, b"ERROR\n", Reply::Refused(b"ERROR")),
            (Native, Get, b"NOTFOUND\n", Reply::Missing),
            (Native, Get, b"a value\n", Reply::Value(b"a value")),
            (Native, Get, b"ERROR\n", Reply::Refused(b"ERROR")),
            (Memcache, Put, b"STORED\r\n", Reply::Stored),
            (
                Memcache,
                Put,
                b"SERVER_ERROR out of memory\r\n",
                Reply::Refused(b"SERVER_ERROR out of memory"),
            ),
            (Memcache, Get, b"END\r\n", Reply::Missing),
            (
                Memcache,
                Get,
                b"VALUE k 0 3\r\na\nb\r\nEND\r\n",
                Reply::Value(b"a\nb"),
            ),
        ];
        for &(dialect, asked, bytes, expected) in table {
            let mut scanned = 0;
            for end in 0..bytes.len() {
                assert_eq!(
                    dialect.read_reply(asked, &bytes[..end], &mut scanned),
                    None,
                    "{dialect:?} {bytes:?} {end}"
                );
            }
            assert_eq!(
                dialect.read_reply(asked, bytes, &mut scanned),
                Some((expected, bytes.len()))
            );
            assert_eq!(scanned, 0);
        }
    }
}
