//! What goes over the wire and what comes back, in each protocol.
//!
//! | protocol | read | write | delete |
//! |---|---|---|---|
//! | native | `GET k` | `PUT k v`, `PUTEX k t v` | `DEL k` |
//! | memcache | `get k` | `set k 0 t n`, v | `delete k` |
//! | meta | `mg k v` | `ms k n`, `ms k n Tt`, v | `md k` |
//! | resp | `*2 GET k` | `*3 SET k v`, `*5 SET k v EX t` | `*2 DEL k` |
//!
//! Pure: bytes in, bytes out, no socket. A reply is found by what was asked, as a client does
//! it: nothing in the native protocol says whether `OK` is a word or a value. (Values that
//! certify themselves begin with hex digits and are never that short.)

use memchr::memchr;

use crate::keys::KeyNames;
use crate::login::Login;
use crate::value::TypeCase;

/// The protocol that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Flagstone's lines.
    Native,
    /// memcached's classic text commands.
    Memcache,
    /// memcached's meta commands.
    Meta,
    /// The protocol of redis, version 2.
    Resp,
}

/// Each protocol and its name.
pub const PROTOCOLS: [(&str, Protocol); 4] = [
    ("native", Protocol::Native),
    ("memcache", Protocol::Memcache),
    ("meta", Protocol::Meta),
    ("resp", Protocol::Resp),
];

/// What was asked: decides how the reply is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A value.
    Read,
    /// To store a value.
    Write,
    /// To forget one.
    Delete,
}

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The value that a read asked for.
    Value(&'a [u8]),
    /// The key is not there.
    Missing,
    /// The write or delete was obeyed.
    Done,
    /// The server says no, in these words.
    Refused(&'a [u8]),
}

/// What the bytes received so far hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A reply of so many bytes.
    Whole(Reply<'a>, usize),
    /// The beginning of one.
    Part,
    /// No reply of this protocol: whatever follows cannot be told apart.
    Garbled,
}

/// No reply but a value has a longer line.
pub(crate) const LINE_BYTES_MAX: usize = 2048;

impl Protocol {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        PROTOCOLS
            .iter()
            .find(|(_, protocol)| *protocol == self)
            .map_or("", |(name, _)| name)
    }

    /// Appends a request to read `key`.
    #[inline]
    pub fn write_read(self, out: &mut Vec<u8>, names: KeyNames<'_>, key: u32) {
        let (head, tail): (&[u8], &[u8]) = match self {
            Protocol::Native => (b"GET ", b"\n"),
            Protocol::Memcache => (b"get ", b"\r\n"),
            Protocol::Meta => (b"mg ", b" v\r\n"),
            Protocol::Resp => (b"*2\r\n$3\r\nGET\r\n", b"\r\n"),
        };
        self.write_line(out, head, names, key, tail);
    }

    /// Appends a request to forget `key`.
    #[inline]
    pub fn write_delete(self, out: &mut Vec<u8>, names: KeyNames<'_>, key: u32) {
        let (head, tail): (&[u8], &[u8]) = match self {
            Protocol::Native => (b"DEL ", b"\n"),
            Protocol::Memcache => (b"delete ", b"\r\n"),
            Protocol::Meta => (b"md ", b"\r\n"),
            Protocol::Resp => (b"*2\r\n$3\r\nDEL\r\n", b"\r\n"),
        };
        self.write_line(out, head, names, key, tail);
    }

    #[inline]
    fn write_line(
        self,
        out: &mut Vec<u8>,
        head: &[u8],
        names: KeyNames<'_>,
        key: u32,
        tail: &[u8],
    ) {
        out.extend_from_slice(head);
        if self == Protocol::Resp {
            write_length(out, names.len(key));
        }
        names.write(out, key);
        out.extend_from_slice(tail);
    }

    /// Appends a request to store the value of `key` at `version`, to be gone after so
    /// many seconds; 0: to stay.
    #[inline]
    pub fn write_write(
        self,
        out: &mut Vec<u8>,
        names: KeyNames<'_>,
        case: &TypeCase,
        (key, version, len): (u32, u32, usize),
        ttl_seconds: u32,
    ) {
        match self {
            Protocol::Native => {
                let verb: &[u8] = if ttl_seconds == 0 { b"PUT " } else { b"PUTEX " };
                out.extend_from_slice(verb);
                names.write(out, key);
                out.push(b' ');
                if ttl_seconds > 0 {
                    write_number(out, ttl_seconds as usize);
                    out.push(b' ');
                }
            }
            Protocol::Memcache | Protocol::Meta => {
                let (head, middle): (&[u8], &[u8]) = match self {
                    Protocol::Memcache if ttl_seconds > 0 => (b"set ", b" 0 "),
                    Protocol::Memcache => (b"set ", b" 0 0 "),
                    _ => (b"ms ", b" "),
                };
                out.extend_from_slice(head);
                names.write(out, key);
                out.extend_from_slice(middle);
                if ttl_seconds > 0 && self == Protocol::Memcache {
                    write_number(out, ttl_seconds as usize);
                    out.push(b' ');
                }
                write_number(out, len);
                if ttl_seconds > 0 && self == Protocol::Meta {
                    out.extend_from_slice(b" T");
                    write_number(out, ttl_seconds as usize);
                }
                out.extend_from_slice(b"\r\n");
            }
            Protocol::Resp => {
                let words: &[u8] = if ttl_seconds == 0 { b"*3" } else { b"*5" };
                out.extend_from_slice(words);
                out.extend_from_slice(b"\r\n$3\r\nSET\r\n");
                write_length(out, names.len(key));
                names.write(out, key);
                out.extend_from_slice(b"\r\n");
                write_length(out, len);
            }
        }
        case.write(out, key, version, len);
        out.extend_from_slice(match self {
            Protocol::Native => b"\n",
            _ => b"\r\n",
        });
        if ttl_seconds > 0 && self == Protocol::Resp {
            let mut digits = DigitBuffer::default();
            let digits = digits.of(ttl_seconds as usize);
            out.extend_from_slice(b"$2\r\nEX\r\n");
            write_length(out, digits.len());
            out.extend_from_slice(digits);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends a login. memcached has no word for it: the first `set` of a connection is one,
    /// whatever its key. The answer is that of a write, in the protocol that is returned.
    pub fn write_login(self, out: &mut Vec<u8>, login: &Login) -> Protocol {
        let (user, secret) = (login.user(), login.secret());
        match self {
            Protocol::Native => {
                out.extend_from_slice(b"AUTH ");
                out.extend_from_slice(secret.as_bytes());
                out.push(b'\n');
                self
            }
            Protocol::Memcache | Protocol::Meta => {
                let user = user.unwrap_or("token");
                out.extend_from_slice(b"set auth 0 0 ");
                write_number(out, user.len() + 1 + secret.len());
                for part in ["\r\n", user, " ", secret, "\r\n"] {
                    out.extend_from_slice(part.as_bytes());
                }
                Protocol::Memcache
            }
            Protocol::Resp => {
                let words = [Some("AUTH"), user, Some(secret)];
                out.push(b'*');
                write_number(out, words.iter().flatten().count());
                out.extend_from_slice(b"\r\n");
                for word in words.into_iter().flatten() {
                    write_length(out, word.len());
                    out.extend_from_slice(word.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                self
            }
        }
    }

    /// The reply at the start of `bytes`. `scanned` remembers between calls what holds no line
    /// end, or a long value would be searched from its start at each packet.
    #[inline]
    pub fn read_reply<'a>(self, asked: Asked, bytes: &'a [u8], scanned: &mut usize) -> Found<'a> {
        let Some(at) = memchr(b'\n', &bytes[*scanned..]) else {
            // Only the native protocol has values in lines.
            if self != Protocol::Native && bytes.len() > LINE_BYTES_MAX {
                return Found::Garbled;
            }
            *scanned = bytes.len();
            return Found::Part;
        };
        let end = *scanned + at;
        let after = end + 1;
        let line = match self {
            Protocol::Native => &bytes[..end],
            // Everything else ends its lines with both bytes.
            _ => match bytes[..end].strip_suffix(b"\r") {
                Some(line) => line,
                None => return Found::Garbled,
            },
        };
        let found = match self {
            Protocol::Native => native(asked, line, after),
            Protocol::Memcache => memcache(asked, line, bytes, after),
            Protocol::Meta => meta(asked, line, bytes, after),
            Protocol::Resp => resp(asked, line, bytes, after),
        };
        // A line that announces a value is found again, at once, when more has come.
        *scanned = if found == Found::Part { end } else { 0 };
        found
    }
}

fn native(asked: Asked, line: &[u8], after: usize) -> Found<'_> {
    let reply = match (asked, line) {
        (_, b"ERROR") => Reply::Refused(line),
        (Asked::Read | Asked::Delete, b"NOTFOUND") => Reply::Missing,
        (Asked::Read, value) => Reply::Value(value),
        (Asked::Write | Asked::Delete, b"OK") => Reply::Done,
        _ => return Found::Garbled,
    };
    Found::Whole(reply, after)
}

fn memcache<'a>(asked: Asked, line: &'a [u8], bytes: &'a [u8], after: usize) -> Found<'a> {
    let reply = match (asked, line) {
        (Asked::Read, b"END") | (Asked::Delete, b"NOT_FOUND") => Reply::Missing,
        (Asked::Write, b"STORED") | (Asked::Delete, b"DELETED") => Reply::Done,
        (Asked::Read, _) if line.starts_with(b"VALUE ") => {
            // VALUE <key> <flags> <length>
            let mut words = line.split(|&byte| byte == b' ').skip(3);
            return match words.next().and_then(number) {
                Some(len) => value(bytes, after, len, b"\r\nEND\r\n"),
                None => Found::Garbled,
            };
        }
        (Asked::Write, b"NOT_STORED") => Reply::Refused(line),
        _ if is_memcache_refusal(line) => Reply::Refused(line),
        _ => return Found::Garbled,
    };
    Found::Whole(reply, after)
}

fn meta<'a>(asked: Asked, line: &'a [u8], bytes: &'a [u8], after: usize) -> Found<'a> {
    let (code, rest) = match line.iter().position(|&byte| byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &line[line.len()..]),
    };
    let reply = match (asked, code) {
        (Asked::Read, b"EN") | (Asked::Delete, b"NF") => Reply::Missing,
        (Asked::Write | Asked::Delete, b"HD") => Reply::Done,
        (Asked::Read, b"VA") => {
            let digits = rest.split(|&byte| byte == b' ').next();
            return match digits.and_then(number) {
                Some(len) => value(bytes, after, len, b"\r\n"),
                None => Found::Garbled,
            };
        }
        (Asked::Write, b"NS") => Reply::Refused(line),
        _ if is_memcache_refusal(line) => Reply::Refused(line),
        _ => return Found::Garbled,
    };
    Found::Whole(reply, after)
}

pub(crate) fn is_memcache_refusal(line: &[u8]) -> bool {
    line == b"ERROR" || line.starts_with(b"SERVER_ERROR") || line.starts_with(b"CLIENT_ERROR")
}

fn resp<'a>(asked: Asked, line: &'a [u8], bytes: &'a [u8], after: usize) -> Found<'a> {
    let reply = match (asked, line) {
        (Asked::Read, b"$-1") | (Asked::Delete, b":0") => Reply::Missing,
        (Asked::Write, b"+OK") | (Asked::Delete, b":1") => Reply::Done,
        (Asked::Read, [b'$', digits @ ..]) => {
            return match number(digits) {
                Some(len) => value(bytes, after, len, b"\r\n"),
                None => Found::Garbled,
            };
        }
        (_, [b'-', words @ ..]) => Reply::Refused(words),
        _ => return Found::Garbled,
    };
    Found::Whole(reply, after)
}

/// A value of `len` bytes from `start` on, and what must follow it.
#[inline]
pub(crate) fn value<'a>(bytes: &'a [u8], start: usize, len: usize, tail: &[u8]) -> Found<'a> {
    let Some(end) = start.checked_add(len) else {
        return Found::Garbled;
    };
    match bytes.get(end..end + tail.len()) {
        None => Found::Part,
        Some(found) if found == tail => {
            Found::Whole(Reply::Value(&bytes[start..end]), end + tail.len())
        }
        Some(_) => Found::Garbled,
    }
}

/// Digits as a length. Ten of them pass every server's limit and no computer's.
#[inline]
pub(crate) fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0usize, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + usize::from(digit - b'0'))
    })
}

/// Room for the digits of any number.
#[derive(Default)]
struct DigitBuffer([u8; 20]);

impl DigitBuffer {
    #[inline]
    fn of(&mut self, number: usize) -> &[u8] {
        let DigitBuffer(digits) = self;
        let (mut at, mut rest) = (digits.len(), number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return &digits[at..];
            }
        }
    }
}

#[inline]
pub(crate) fn write_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(DigitBuffer::default().of(number));
}

#[inline]
pub(crate) fn write_length(out: &mut Vec<u8>, len: usize) {
    out.push(b'$');
    write_number(out, len);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
