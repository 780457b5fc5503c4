//! [`Reply`] → lines of memcached's protocol.

use crate::proto::exptime::VERSION;
use crate::proto::reply::words;
use crate::proto::writer::{self, Writer};
use crate::proto::{Act, Fate, Refusal, Reply, Word, Words};

/// `VALUE <key> <flags> <bytes>[ <cas>]\r\n`
#[inline]
pub fn value_head(
    key: &[u8],
    client_flags: u32,
    value_len: usize,
    cas: Option<u64>,
    room: &mut [u8],
) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(b"VALUE ")?;
    writer.put_few(key)?;
    if client_flags == 0 {
        writer.put(b" 0 ")?;
    } else {
        writer.put(b" ")?;
        writer.number(u64::from(client_flags))?;
        writer.put(b" ")?;
    }
    writer.number(value_len as u64)?;
    if let Some(cas) = cas {
        writer.put(b" ")?;
        writer.number(cas)?;
    }
    writer.put(b"\r\n")?;
    Some(writer.len())
}

/// The answer to one key of a list.
#[inline]
pub fn values(reply: Reply<'_>, last: bool, room: &mut [u8]) -> Option<usize> {
    match reply {
        Reply::Missing if last => writer::words(b"END\r\n", room),
        Reply::Missing => Some(0),
        reply => words(reply, false, room),
    }
}

/// The answer to anything else.
#[inline]
pub fn words(reply: Reply<'_>, quiet: bool, room: &mut [u8]) -> Option<usize> {
    if quiet {
        return Some(0);
    }
    let words: &[u8] = match reply {
        Reply::Store { fate, .. } | Reply::Fate(fate) => match fate {
            Fate::Done => b"STORED\r\n",
            Fate::NotStored => b"NOT_STORED\r\n",
            Fate::Exists => b"EXISTS\r\n",
            Fate::Missing => b"NOT_FOUND\r\n",
        },
        Reply::Missing => b"NOT_FOUND\r\n",
        Reply::Deleted => b"DELETED\r\n",
        Reply::Touched => b"TOUCHED\r\n",
        Reply::Flushed | Reply::Said(Word::Ok) => b"OK\r\n",
        Reply::Said(Word::End) => b"END\r\n",
        Reply::Said(Word::Noop) => b"MN\r\n",
        Reply::Refused(refusal) => refused(refusal),
        Reply::Said(Word::Version) => {
            let mut writer = Writer::new(room);
            writer.put(b"VERSION ")?;
            writer.put(VERSION.as_bytes())?;
            writer.put(b"\r\n")?;
            return Some(writer.len());
        }
        Reply::Counted(number) => {
            let mut writer = Writer::new(room);
            writer.number(number)?;
            writer.put(b"\r\n")?;
            return Some(writer.len());
        }
        Reply::Stats(stats) => {
            let mut writer = Writer::new(room);
            for stat in stats {
                writer.put(b"STAT ")?;
                writer.stat(stat)?;
                writer.put(b"\r\n")?;
            }
            return Some(writer.len());
        }
        Reply::StatsEnd => b"END\r\n",
        Reply::StatsReset => b"RESET\r\n",
        // No command of this protocol is answered so.
        Reply::Value { .. }
        | Reply::Whole { .. }
        | Reply::SecondsLeft(_)
        | Reply::Number(..)
        | Reply::Told(_) => b"ERROR\r\n",
    };
    writer::words(words, room)
}

/// The words of a refusal.
#[must_use]
pub fn refused(refusal: Refusal) -> Words {
    match refusal {
        Refusal::Words(words) => words,
        Refusal::Malformed | Refusal::BadLengths => words!(b"ERROR\r\n"),
        // None that this protocol lets through is over a limit that can be set.
        Refusal::LongKey => words!(b"CLIENT_ERROR bad command line format\r\n"),
        Refusal::BrokenValue => words!(b"CLIENT_ERROR bad data chunk\r\n"),
        Refusal::NotNumeric => {
            words!(b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
        }
        Refusal::TooLarge => words!(b"SERVER_ERROR object too large for cache\r\n"),
        Refusal::NoSpace => words!(b"SERVER_ERROR out of memory storing object\r\n"),
        Refusal::LoginFailed => words!(b"CLIENT_ERROR authentication failure\r\n"),
        Refusal::NotPermitted => words!(b"CLIENT_ERROR not permitted\r\n"),
        Refusal::NotAllowed(Act::Flush) => words!(b"CLIENT_ERROR flush_all not allowed\r\n"),
        Refusal::NotAllowed(Act::Shutdown) => words!(b"SERVER_ERROR: shutdown not enabled\r\n"),
        Refusal::NotAllowed(Act::LimitMemory) => {
            words!(b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n")
        }
    }
}
