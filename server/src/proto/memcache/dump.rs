//! Lists of items: `lru_crawler metadump` and `mgdump`, `stats cachedump`.

use crate::proto::Facts;
use crate::proto::writer::Writer;

/// How the items are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With all that is known.
    Items,
    /// As commands that read them.
    Reads,
    /// Briefly.
    Listed,
}

impl Form {
    /// What stands before the first.
    #[must_use]
    pub fn head(self) -> &'static [u8] {
        match self {
            Form::Items | Form::Reads => b"OK\r\n",
            Form::Listed => b"",
        }
    }

    /// What follows the last.
    #[must_use]
    pub fn tail(self) -> &'static [u8] {
        match self {
            Form::Reads => b"EN\r\n",
            Form::Items | Form::Listed => b"END\r\n",
        }
    }

    /// Writes the line of one to the front of `room` and says how long it is; `None` if it does not fit.
    pub fn line(self, key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
        match self {
            Form::Items => item(key, facts, room),
            Form::Reads => read_of(key, room),
            Form::Listed => listed(key, facts, room),
        }
    }
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
