//! [`Reply`] → lines of memcached's protocol.

use crate::proto::reply::words;
use crate::proto::writer::{self, Writer};
use crate::proto::{Act, Facts, Fate, Refusal, Reply, Word, Words};

/// The version that clients are told, which they compare with memcached's: the one whose
/// protocol this is, and who really speaks it.
pub const VERSION: &str = "1.6.45";

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
    writer.put(key)?;
    writer.put(b" ")?;
    writer.number(u64::from(client_flags))?;
    writer.put(b" ")?;
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
        Reply::Item(key, facts) => return item(key, &facts, room),
        Reply::Listed(key, facts) => return listed(key, &facts, room),
        Reply::Readable(key) => return read_of(key, room),
        Reply::DumpBegins => b"OK\r\n",
        Reply::KeysEnd => b"EN\r\n",
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

/// One line of a dump. Keys may hold anything: what is not harmless in a URI is escaped.
fn item(key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(b"key=")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    escaped(key, is_plain, &mut writer)?;
    writer.put(b" exp=")?;
    match facts.seconds_left {
        None => writer.put(b"-1")?,
        Some(unix) => writer.number(unix)?,
    }
    writer.put(b" la=")?;
    writer.number(facts.idle_seconds)?;
    writer.put(b" cas=")?;
    writer.number(facts.cas.unwrap_or(0))?;
    writer.put(if facts.read {
        b" fetch=yes cls="
    } else {
        b" fetch=no cls="
    })?;
    writer.number(facts.class)?;
    writer.put(b" size=")?;
    writer.number(facts.item_bytes)?;
    writer.put(b" flags=")?;
    writer.number(u64::from(facts.client_flags))?;
    writer.put(b" \n")?;
    Some(writer.len())
}

/// One line of a dump of keys: the command that reads the item.
fn read_of(key: &[u8], room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(b"mg ")?;
    if key
        .iter()
        .any(|byte| byte.is_ascii_control() || *byte == b' ')
    {
        writer.base64(key)?;
        writer.put(b" b\r\n")?;
    } else {
        writer.put(key)?;
        writer.put(b"\r\n")?;
    }
    Some(writer.len())
}

/// One line of a size class. What would end the line or a word is escaped; memcached copies it.
fn listed(key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(b"ITEM ")?;
    escaped(
        key,
        |byte| !byte.is_ascii_control() && byte != b' ',
        &mut writer,
    )?;
    writer.put(b" [")?;
    writer.number(facts.value_len as u64)?;
    writer.put(b" b; ")?;
    writer.number(facts.seconds_left.unwrap_or(0))?;
    writer.put(b" s]\r\n")?;
    Some(writer.len())
}

fn escaped(key: &[u8], is_plain: impl Fn(u8) -> bool, writer: &mut Writer<'_>) -> Option<()> {
    for &byte in key {
        if is_plain(byte) {
            writer.put(&[byte])?;
        } else {
            let hex = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            writer.put(&[b'%', hex(byte >> 4), hex(byte & 15)])?;
        }
    }
    Some(())
}

/// The words of a refusal.
#[must_use]
pub fn refused(refusal: Refusal) -> Words {
    match refusal {
        Refusal::Words(words) => words,
        Refusal::Malformed => words!(b"ERROR\r\n"),
        Refusal::BrokenValue => words!(b"CLIENT_ERROR bad data chunk\r\n"),
        Refusal::NotNumeric => {
            words!(b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
        }
        Refusal::TooLarge => words!(b"SERVER_ERROR object too large for cache\r\n"),
        Refusal::NoSpace => words!(b"SERVER_ERROR out of memory storing object\r\n"),
        Refusal::LoginFailed => words!(b"CLIENT_ERROR authentication failure\r\n"),
        Refusal::NotAllowed(Act::Flush) => words!(b"CLIENT_ERROR flush_all not allowed\r\n"),
        Refusal::NotAllowed(Act::Shutdown) => words!(b"SERVER_ERROR: shutdown not enabled\r\n"),
        Refusal::NotAllowed(Act::LimitMemory) => {
            words!(b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n")
        }
    }
}
