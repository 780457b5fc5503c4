//! Replies → RESP.

use super::words;
use crate::proto::number::Digits;
use crate::proto::writer::{self, Writer};
use crate::proto::{Fate, Refusal, Reply, Word, Words};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// In version 3 of the protocol.
    pub v3: bool,
    /// What the client expects.
    pub shape: Shape,
}

/// What a client expects as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The value, or nothing.
    Value,
    /// `+OK`; or nothing where a condition did not hold.
    Status,
    /// 1 where something was done, else 0.
    Flag,
    /// The same, added up over the keys of a list; told with the last.
    Sum {
        /// This is the last.
        last: bool,
    },
    /// `+OK` behind the last of a list, unless one of them was refused.
    All {
        /// This is the last.
        last: bool,
    },
    /// How long the value is then.
    Length,
    /// Who the server is, to one who has just logged in.
    Hello,
}

impl Format {
    /// What stands before a value.
    #[inline]
    pub fn value_head(value_len: usize, room: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(room);
        writer.put(b"$")?;
        writer.number(value_len as u64)?;
        writer.put(b"\r\n")?;
        Some(writer.len())
    }

    /// What stands before the answers of a transaction; `None`: there are none.
    pub fn answers_head(self, count: Option<usize>, room: &mut [u8]) -> Option<usize> {
        let mut out = Out::new(room, self.v3);
        match count {
            Some(count) => out.array(count)?,
            None if self.v3 => out.nil()?,
            None => out.raw(b"*-1\r\n")?,
        }
        Some(out.len())
    }

    /// Nothing, where a value could be.
    #[must_use]
    pub const fn nothing(self) -> &'static [u8] {
        Self::nothing_in(self.v3)
    }

    /// The same in either version.
    #[inline(always)]
    #[must_use]
    pub const fn nothing_in(v3: bool) -> &'static [u8] {
        if v3 { b"_\r\n" } else { b"$-1\r\n" }
    }

    /// Writes `reply` to the front of `room` and says how long it is; `None` if it does not fit.
    #[inline]
    pub fn encode(self, reply: Reply<'_>, room: &mut [u8]) -> Option<usize> {
        let done = match reply {
            Reply::Store {
                fate, value_len, ..
            } if self.shape == Shape::Length => {
                return match fate {
                    Fate::Done => integer(value_len as i64, room),
                    _ => writer::words(words::STRING_TOO_LONG, room),
                };
            }
            Reply::Refused(refusal) => return writer::words(refused(refusal), room),
            Reply::Said(Word::Ok) | Reply::Flushed => return writer::words(b"+OK\r\n", room),
            Reply::Counted(number) => return integer(number as i64, room),
            Reply::Missing
            | Reply::Store { .. }
            | Reply::Fate(_)
            | Reply::Deleted
            | Reply::Touched => is_done(reply),
            _ => return writer::words(b"-ERR\r\n", room),
        };
        match (self.shape, done) {
            (Shape::Status | Shape::All { .. }, true) => writer::words(b"+OK\r\n", room),
            (Shape::Value | Shape::Status | Shape::All { .. }, _) => {
                writer::words(self.nothing(), room)
            }
            (Shape::Flag | Shape::Sum { .. } | Shape::Length, done) => {
                integer(i64::from(done), room)
            }
            (Shape::Hello, _) => hello(self.v3, 0, room),
        }
    }
}

/// Whether a reply says that something was done.
#[must_use]
pub fn is_done(reply: Reply<'_>) -> bool {
    matches!(
        reply,
        Reply::Store {
            fate: Fate::Done,
            ..
        } | Reply::Fate(Fate::Done)
            | Reply::Deleted
            | Reply::Touched
    )
}

/// The words of a refusal.
#[must_use]
pub fn refused(refusal: Refusal) -> Words {
    match refusal {
        Refusal::Words(words) => words,
        Refusal::Malformed | Refusal::BrokenValue | Refusal::BadLengths => words::MALFORMED,
        Refusal::NotNumeric => words::NOT_INTEGER,
        Refusal::TooLarge => words::TOO_LARGE,
        Refusal::LongKey => words::LONG_KEY,
        Refusal::NoSpace => words::NO_SPACE,
        Refusal::LoginFailed => words::WRONG_PASS,
        Refusal::NotPermitted => words::NOT_PERMITTED,
        Refusal::NotAllowed(_) => words::NOT_ALLOWED,
    }
}

/// `:<number>\r\n`
pub fn integer(number: i64, room: &mut [u8]) -> Option<usize> {
    let mut out = Out::new(room, false);
    out.integer(number)?;
    Some(out.len())
}

/// The answer to `HELLO` by the client with this id.
pub fn hello(v3: bool, id: u64, room: &mut [u8]) -> Option<usize> {
    let mut out = Out::new(room, v3);
    out.map(7)?;
    out.pair("server", "redis")?;
    out.pair("version", VERSION)?;
    out.text("proto")?;
    out.integer(if v3 { 3 } else { 2 })?;
    out.text("id")?;
    out.integer(id as i64)?;
    out.pair("mode", "standalone")?;
    out.pair("role", "master")?;
    out.text("modules")?;
    out.array(0)?;
    Some(out.len())
}

/// The version of Redis whose commands for keys and strings these are: clients look at it before they use one.
pub const VERSION: &str = "7.2.4";

/// Writes values of RESP one behind the other.
pub struct Out<'r> {
    writer: Writer<'r>,
    v3: bool,
}

impl<'r> Out<'r> {
    /// At the front of `room`.
    pub fn new(room: &'r mut [u8], v3: bool) -> Self {
        Out {
            writer: Writer::new(room),
            v3,
        }
    }

    /// Bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writer.len()
    }

    /// Bytes that there is room for in all.
    #[must_use]
    pub fn room(&self) -> usize {
        self.writer.room()
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Option<()> {
        self.writer.put(bytes)
    }

    fn head(&mut self, kind: &[u8], number: usize) -> Option<()> {
        self.writer.put(kind)?;
        self.writer.number(number as u64)?;
        self.writer.put(b"\r\n")
    }

    /// So many values follow.
    pub fn array(&mut self, len: usize) -> Option<()> {
        self.head(b"*", len)
    }

    /// So many pairs follow: an array of twice as many in version 2.
    pub fn map(&mut self, pairs: usize) -> Option<()> {
        match self.v3 {
            true => self.head(b"%", pairs),
            false => self.array(2 * pairs),
        }
    }

    /// So many values follow which answer nothing.
    pub fn push(&mut self, len: usize) -> Option<()> {
        self.head(if self.v3 { b">" } else { b"*" }, len)
    }

    /// What stands before a bulk string of so many bytes.
    pub fn bulk_head(&mut self, len: usize) -> Option<()> {
        self.head(b"$", len)
    }

    /// So many different values follow.
    pub fn set(&mut self, len: usize) -> Option<()> {
        self.head(if self.v3 { b"~" } else { b"*" }, len)
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) -> Option<()> {
        self.bulk_head(bytes.len())?;
        self.writer.put(bytes)?;
        self.writer.put(b"\r\n")
    }

    /// The same of text.
    pub fn text(&mut self, text: &str) -> Option<()> {
        self.bulk(text.as_bytes())
    }

    /// Two of them.
    pub fn pair(&mut self, name: &str, value: &str) -> Option<()> {
        self.text(name)?;
        self.text(value)
    }

    /// A status.
    pub fn status(&mut self, word: &str) -> Option<()> {
        self.writer.put(b"+")?;
        self.writer.put(word.as_bytes())?;
        self.writer.put(b"\r\n")
    }

    /// A whole number.
    pub fn integer(&mut self, number: i64) -> Option<()> {
        self.writer.put(if number < 0 { b":-" } else { b":" })?;
        self.writer
            .put(Digits::of(number.unsigned_abs()).as_bytes())?;
        self.writer.put(b"\r\n")
    }

    /// Nothing.
    pub fn nil(&mut self) -> Option<()> {
        self.writer.put(if self.v3 { b"_\r\n" } else { b"$-1\r\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_its_answers() {
        let said = |shape, v3, reply| {
            let mut room = [0; 256];
            let len = Format { v3, shape }.encode(reply, &mut room).expect("fits");
            String::from_utf8(room[..len].to_vec()).expect("text")
        };
        let stored = |fate| Reply::Store {
            fate,
            cas: 0,
            value_len: 0,
        };
        assert_eq!(said(Shape::Value, false, Reply::Missing), "$-1\r\n");
        assert_eq!(said(Shape::Value, true, Reply::Missing), "_\r\n");
        assert_eq!(said(Shape::Status, false, stored(Fate::Done)), "+OK\r\n");
        assert_eq!(
            said(Shape::Status, false, stored(Fate::NotStored)),
            "$-1\r\n"
        );
        assert_eq!(said(Shape::Flag, false, stored(Fate::NotStored)), ":0\r\n");
        assert_eq!(said(Shape::Flag, true, Reply::Touched), ":1\r\n");
        assert_eq!(said(Shape::Flag, false, Reply::Missing), ":0\r\n");
        let refused = said(Shape::Flag, false, Reply::Refused(Refusal::NotNumeric));
        assert_eq!(refused, "-ERR value is not an integer or out of range\r\n");
        assert!(said(Shape::Hello, true, stored(Fate::Done)).starts_with("%7\r\n$6\r\nserver\r\n"));
        assert!(said(Shape::Hello, false, stored(Fate::Done)).starts_with("*14\r\n"));
    }

    #[test]
    fn integers_have_their_sign() {
        for (number, text) in [
            (0, ":0\r\n"),
            (-1, ":-1\r\n"),
            (i64::MIN, ":-9223372036854775808\r\n"),
            (i64::MAX, ":9223372036854775807\r\n"),
        ] {
            let mut room = [0; 64];
            let len = integer(number, &mut room).expect("fits");
            assert_eq!(&room[..len], text.as_bytes());
        }
    }
}
