//! [`Reply`] → answers of the binary protocol.

use super::login::MECHANISM;
use super::opcode::Verb;
use super::{ANSWER_MAGIC, Format, HEADER_BYTES, Head};
use crate::proto::exptime::VERSION;
use crate::proto::writer::Writer;
use crate::proto::{Act, Facts, Fate, Refusal, Reply, Stat, Word};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It is done.
    Done = 0x00,
    /// There is no such item.
    NotFound = 0x01,
    /// There is an item already, or it has another CAS number.
    Exists = 0x02,
    /// The value is over the limit.
    TooLarge = 0x03,
    /// Its parts are not as long as they have to be.
    Invalid = 0x04,
    /// There is nothing to lengthen.
    NotStored = 0x05,
    /// The value is no number.
    NotNumeric = 0x06,
    /// Nobody has logged in, or this is no login; or a setting forbids it.
    AuthFailure = 0x20,
    /// The login is to be gone on with.
    AuthContinue = 0x21,
    /// There is no such command.
    Unknown = 0x81,
    /// Memory that could be freed is held by transfers under way.
    NoMemory = 0x82,
}

impl Status {
    /// What stands in the body.
    #[must_use]
    pub const fn words(self) -> &'static [u8] {
        match self {
            Status::Done | Status::AuthContinue => b"",
            Status::NotFound => b"Not found",
            Status::Exists => b"Data exists for key.",
            Status::TooLarge => b"Too large.",
            Status::Invalid => b"Invalid arguments",
            Status::NotStored => b"Not stored.",
            Status::NotNumeric => b"Non-numeric server-side value for incr or decr",
            Status::AuthFailure => b"Auth failure.",
            Status::Unknown => b"Unknown command",
            Status::NoMemory => b"Out of memory",
        }
    }

    /// The status that tells of a refusal.
    #[must_use]
    pub const fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadLengths | Refusal::LongKey | Refusal::BrokenValue => Status::Invalid,
            Refusal::NotNumeric => Status::NotNumeric,
            Refusal::TooLarge => Status::TooLarge,
            Refusal::NoSpace => Status::NoMemory,
            Refusal::LoginFailed | Refusal::NotPermitted | Refusal::NotAllowed(Act::Flush) => {
                Status::AuthFailure
            }
            Refusal::Malformed | Refusal::Words(_) | Refusal::NotAllowed(_) => Status::Unknown,
        }
    }
}

/// What a client is told on an address for this protocol alone for whom there is no place: the answer to whatever it is
/// about to ask, with the status that says that the server is busy.
pub const NO_PLACE: &[u8] =
    b"\x81\0\0\0\0\0\0\x85\0\0\0\x19\0\0\0\0\0\0\0\0\0\0\0\0Too many open connections";

/// A header in the making: what differs between answers.
#[derive(Clone, Copy)]
struct Header {
    head: Head,
    status: Status,
    key_len: usize,
    extras_len: u8,
    body_len: usize,
    cas: u64,
}

impl Header {
    fn new(head: Head, body_len: usize) -> Self {
        Header {
            head,
            status: Status::Done,
            key_len: 0,
            extras_len: 0,
            body_len,
            cas: 0,
        }
    }

    /// Lengths fit: a key has at most [`KEY_BYTES_MAX`](crate::proto::KEY_BYTES_MAX) bytes, a body less than a gigabyte.
    #[inline]
    fn bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = ANSWER_MAGIC;
        bytes[1] = self.head.opcode;
        bytes[2..4].copy_from_slice(&(self.key_len as u16).to_be_bytes());
        bytes[4] = self.extras_len;
        bytes[7] = self.status as u8;
        bytes[8..12].copy_from_slice(&(self.body_len as u32).to_be_bytes());
        bytes[12..16].copy_from_slice(&self.head.opaque);
        bytes[16..].copy_from_slice(&self.cas.to_be_bytes());
        bytes
    }
}

/// An answer that is a status and its words.
pub fn error(head: Head, status: Status, room: &mut [u8]) -> Option<usize> {
    let words = status.words();
    let header = Header {
        status,
        ..Header::new(head, words.len())
    };
    both(header, words, room)
}

fn both(header: Header, body: &[u8], room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(&header.bytes())?;
    writer.put(body)?;
    Some(writer.len())
}

impl Format<'_> {
    /// Writes what stands before a value to the front of `room`; `None` if it does not fit, or if the item has no CAS number
    /// yet, which every answer tells.
    #[inline]
    pub fn value_head(self, key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
        let cas = facts.cas?;
        let has_key = self.head.opcode().is_some_and(|opcode| opcode.has_key);
        let key = if has_key { key } else { b"" };
        let extras = facts.client_flags.to_be_bytes();
        let value_len = if facts.bare { 0 } else { facts.value_len };
        let header = Header {
            key_len: key.len(),
            extras_len: extras.len() as u8,
            cas,
            ..Header::new(self.head, extras.len() + key.len() + value_len)
        };
        let mut writer = Writer::new(room);
        writer.put(&header.bytes())?;
        writer.put(&extras)?;
        writer.put(key)?;
        Some(writer.len())
    }

    /// Writes the answer that `reply` is to the front of `room`; `None` if it does not fit.
    pub fn encode(self, reply: Reply<'_>, room: &mut [u8]) -> Option<usize> {
        let head = self.head;
        let (verb, is_quiet) = match head.opcode() {
            Some(opcode) => (Some(opcode.verb), opcode.is_quiet),
            None => (None, false),
        };
        // What went as expected.
        let done = |cas, body: &[u8], room: &mut [u8]| {
            let header = Header {
                cas,
                ..Header::new(head, body.len())
            };
            match is_quiet {
                true => Some(0),
                false => both(header, body, room),
            }
        };
        match reply {
            Reply::Store { fate, cas, .. } => match (fate, verb) {
                (Fate::Done, Some(Verb::Auth | Verb::Step)) => done(0, b"Authenticated", room),
                (Fate::Done, _) => done(cas, b"", room),
                (fate, verb) => error(head, not_stored(fate, verb), room),
            },
            Reply::Fate(Fate::Done) => done(0, b"", room),
            Reply::Fate(fate) => error(head, not_stored(fate, verb), room),
            Reply::Missing => self.missing(verb, is_quiet, room),
            Reply::Number(number, facts) => {
                done(facts.cas.unwrap_or(0), &number.to_be_bytes(), room)
            }
            Reply::Counted(number) => done(0, &number.to_be_bytes(), room),
            Reply::Said(Word::Version) => done(0, VERSION.as_bytes(), room),
            Reply::Said(_) => match verb {
                Some(Verb::Mechanisms) => done(0, MECHANISM, room),
                Some(Verb::Auth) => error(head, Status::AuthContinue, room),
                _ => done(0, b"", room),
            },
            Reply::Deleted
            | Reply::Touched
            | Reply::Flushed
            | Reply::StatsEnd
            | Reply::StatsReset => done(0, b"", room),
            Reply::Stats(stats) => {
                let mut len = 0;
                for stat in stats {
                    len += self::stat(head, stat, &mut room[len..])?;
                }
                Some(len)
            }
            Reply::Refused(refusal) => error(head, Status::of(refusal), room),
            // No command of this protocol is answered so.
            Reply::Value { .. } | Reply::Whole { .. } | Reply::SecondsLeft(_) | Reply::Told(_) => {
                error(head, Status::Unknown, room)
            }
        }
    }

    /// There is no such item. A client that asks for many quietly is not told which are missing.
    fn missing(self, verb: Option<Verb>, is_quiet: bool, room: &mut [u8]) -> Option<usize> {
        let reads = matches!(verb, Some(Verb::Get | Verb::GetAndTouch));
        if reads && is_quiet {
            return Some(0);
        }
        if self.key.is_empty() {
            return error(self.head, Status::NotFound, room);
        }
        let header = Header {
            status: Status::NotFound,
            key_len: self.key.len(),
            ..Header::new(self.head, self.key.len())
        };
        both(header, self.key, room)
    }
}

/// Why nothing was stored or changed.
fn not_stored(fate: Fate, verb: Option<Verb>) -> Status {
    match (fate, verb) {
        (Fate::NotStored, Some(Verb::Add)) | (Fate::Exists, _) => Status::Exists,
        (Fate::NotStored, Some(Verb::Replace)) | (Fate::Missing, _) => Status::NotFound,
        (Fate::NotStored | Fate::Done, _) => Status::NotStored,
    }
}

/// A counter: its name is the key.
fn stat(head: Head, stat: &Stat<'_>, room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(&[0; HEADER_BYTES])?;
    writer.stat_name(stat)?;
    let key_len = writer.len() - HEADER_BYTES;
    writer.stat_value(stat)?;
    let len = writer.len();
    let header = Header {
        key_len,
        ..Header::new(head, len - HEADER_BYTES)
    };
    room[..HEADER_BYTES].copy_from_slice(&header.bytes());
    Some(len)
}
