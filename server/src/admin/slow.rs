//! `/slow`: the last requests that took long, in JSON, the newest first.
//!
//! Keys are data. Where the pages are open to whoever reaches them, of a key there is only its length and its hash.

use std::fmt::{self, Write};

use crate::observe::few::Escaped;
use crate::observe::slow_log::Entry;
use crate::observe::snapshot::SlowList;

/// What is told, and whether of keys, too.
pub struct Slow {
    pub list: SlowList,
    pub tells_keys: bool,
}

/// Writes one section; false if there is none of that number.
pub fn write(of: &Slow, section: usize, out: &mut String) -> Result<bool, fmt::Error> {
    let entries = &of.list.entries;
    if section == 0 {
        match of.list.threshold_micros {
            Some(micros) => write!(out, "{{\"threshold_us\":{micros},\"entries\":[")?,
            None => out.push_str("{\"threshold_us\":null,\"entries\":["),
        }
    } else if let Some(entry) = entries.get(section - 1) {
        out.push_str(if section > 1 { ",\n" } else { "\n" });
        one(entry, of.tells_keys, out)?;
    } else if section == entries.len() + 1 {
        out.push_str("]}\n");
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn one(entry: &Entry, tells_keys: bool, out: &mut String) -> fmt::Result {
    let (cause, protocol) = (entry.cause.name(), entry.protocol());
    write!(
        out,
        "{{\"number\":{},\"unix_ms\":{},\"took_us\":{},\"cause\":\"{cause}\",\"protocol\":\"{protocol}\",\"requests\":{}",
        entry.number, entry.unix_millis, entry.micros, entry.requests
    )?;
    let (word, client) = (Escaped(entry.word.as_bytes()), entry.client);
    write!(out, ",\"command\":\"{word}\",\"client\":\"{client}\"")?;
    if !entry.name.is_empty() {
        write!(out, ",\"name\":\"{}\"", Escaped(entry.name.as_bytes()))?;
    }
    if let Some(bytes) = entry.value_bytes {
        write!(out, ",\"value_bytes\":{bytes}")?;
    }
    if let Some(key) = entry.key {
        write!(
            out,
            ",\"key_bytes\":{},\"key_hash\":\"{:016x}\"",
            key.len, key.hash
        )?;
        if tells_keys && !key.shown.is_empty() {
            write!(out, ",\"key\":\"{}\"", Escaped(key.shown.as_bytes()))?;
        }
    }
    out.push('}');
    Ok(())
}
