//! Answers to meta commands: two letters, then what each flag asked for, in the order of the
//! flags.

use super::meta::{Meta, Verb};
use super::words::Words;
use crate::proto::number::Digits;
use crate::proto::writer::Writer;
use crate::proto::{Facts, Fate};

/// Whether a flag is there.
#[inline]
pub fn asks(meta: Meta<'_>, letter: u8) -> bool {
    Words::of(meta.flags).any(|word| word[0] == letter)
}

/// `VA <bytes> <flags>\r\n`, or `HD <flags>\r\n` where no value follows.
#[inline]
pub fn value_head(meta: Meta<'_>, facts: &Facts, room: &mut [u8]) -> Option<usize> {
    if facts.stale && !facts.won && !facts.wins {
        // Somebody has to be told to bring a new value, which is no plain read.
        return None;
    }
    let mut writer = Writer::new(room);
    if !facts.bare {
        writer.put(b"VA ")?;
        writer.number(facts.value_len as u64)?;
    } else {
        writer.put(b"HD")?;
    }
    flags(meta, facts, true, &mut writer)?;
    writer.put(b"\r\n")?;
    Some(writer.len())
}

/// The answer to one that brings no value.
pub fn fate(meta: Meta<'_>, fate: Fate, facts: &Facts, room: &mut [u8]) -> Option<usize> {
    // Silence means that all went as usual: for `mg` that nothing was there.
    let usual = match meta.verb {
        Verb::Get => Fate::Missing,
        _ => Fate::Done,
    };
    if fate == usual && asks(meta, b'q') {
        return Some(0);
    }
    let mut writer = Writer::new(room);
    writer.put(match (fate, meta.verb) {
        (Fate::Done, _) => b"HD",
        (Fate::NotStored, _) => b"NS",
        (Fate::Exists, _) => b"EX",
        (Fate::Missing, Verb::Get | Verb::Tell) => b"EN",
        (Fate::Missing, _) => b"NF",
    })?;
    if meta.verb != Verb::Tell {
        // Of an item that is not there nothing can be said but what the request said.
        let known = fate == Fate::Done || meta.verb == Verb::Set;
        flags(meta, facts, known, &mut writer)?;
    }
    writer.put(b"\r\n")?;
    Some(writer.len())
}

/// `VA <digits> <flags>\r\n<number>\r\n`
pub fn counted(meta: Meta<'_>, number: u64, facts: &Facts, room: &mut [u8]) -> Option<usize> {
    if asks(meta, b'q') {
        return Some(0);
    }
    if !asks(meta, b'v') {
        return fate(meta, Fate::Done, facts, room);
    }
    let digits = Digits::of(number);
    let digits = digits.as_bytes();
    let mut writer = Writer::new(room);
    writer.put(b"VA ")?;
    writer.number(digits.len() as u64)?;
    flags(meta, facts, true, &mut writer)?;
    writer.put(b"\r\n")?;
    writer.put(digits)?;
    writer.put(b"\r\n")?;
    Some(writer.len())
}

/// `ME <key> exp=… la=… cas=… fetch=… cls=… size=…\r\n`
pub fn told(meta: Meta<'_>, facts: &Facts, room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.put(b"ME ")?;
    writer.put(meta.key)?;
    writer.put(b" exp=")?;
    ttl(facts.seconds_left, &mut writer)?;
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
    writer.put(b"\r\n")?;
    Some(writer.len())
}

fn flags(meta: Meta<'_>, facts: &Facts, known: bool, writer: &mut Writer<'_>) -> Option<()> {
    // A lifetime is told as it is where the flag stands: changed by a flag before, or not.
    let mut seconds_left = facts.seconds_left;
    for word in Words::of(meta.flags) {
        match word[0] {
            b'T' => seconds_left = facts.seconds_then,
            b'N' if facts.created => seconds_left = facts.seconds_then,
            b'O' => {
                writer.put(b" ")?;
                writer.put(word)?;
            }
            b'k' => {
                writer.put(b" k")?;
                writer.put(meta.key)?;
                if asks(meta, b'b') {
                    writer.put(b" b")?;
                }
            }
            _ if !known => {}
            b'c' if meta.verb != Verb::Delete => {
                writer.put(b" c")?;
                writer.number(facts.cas.unwrap_or(0))?;
            }
            b's' if matches!(meta.verb, Verb::Get | Verb::Set) => {
                writer.put(b" s")?;
                writer.number(facts.value_len as u64)?;
            }
            b't' if matches!(meta.verb, Verb::Get | Verb::Count) => {
                writer.put(b" t")?;
                ttl(seconds_left, writer)?;
            }
            b'f' if meta.verb == Verb::Get => {
                writer.put(b" f")?;
                writer.number(u64::from(facts.client_flags))?;
            }
            b'h' if meta.verb == Verb::Get => {
                writer.put(if facts.read { b" h1" } else { b" h0" })?;
            }
            b'l' if meta.verb == Verb::Get => {
                writer.put(b" l")?;
                writer.number(facts.idle_seconds)?;
            }
            _ => {}
        }
    }
    if facts.won {
        writer.put(b" Z")?;
    }
    if facts.stale {
        writer.put(b" X")?;
    }
    if facts.wins {
        writer.put(b" W")?;
    }
    Some(())
}

fn ttl(seconds_left: Option<u64>, writer: &mut Writer<'_>) -> Option<()> {
    match seconds_left {
        None => writer.put(b"-1"),
        Some(seconds) => writer.number(seconds),
    }
}
