//! `SLOWLOG`, as Redis' clients read it.
//!
//! An entry has six members there: number, second, microseconds, the request's words, the client's address and its name.
//! What Redis has no place for (the cause, how long the value is, how many requests there were) stands behind the words.

use std::fmt::Write;

use crate::observe::slow_log::{Entry, SlowLog};
use crate::proto::resp::command::SlowLog as Asked;
use crate::proto::resp::encode::Out;
use crate::report::slow::Line;

/// Writes the answer; `None` if the room is too small.
pub fn slow_log(asked: Asked, log: &SlowLog, out: &mut Out<'_>) -> Option<()> {
    match asked {
        Asked::Len => out.integer(log.len() as i64),
        Asked::Reset => {
            log.forget();
            out.status("OK")
        }
        Asked::Get(most) => log.newest(most, |count, entries| {
            out.array(count)?;
            for entry in entries {
                one(entry, out)?;
            }
            Some(())
        }),
    }
}

fn one(entry: &Entry, out: &mut Out<'_>) -> Option<()> {
    out.array(6)?;
    for number in [entry.number, entry.unix_millis / 1000, entry.micros] {
        out.integer(i64::try_from(number).unwrap_or(i64::MAX))?;
    }
    out.array(3 + usize::from(entry.key.is_some()) + usize::from(entry.value_bytes.is_some()))?;
    out.bulk(entry.word.as_bytes())?;
    if let Some(key) = entry.key {
        let shown = key.shown.as_bytes();
        match shown.is_empty() {
            true => text(format_args!("#{:016x}", key.hash), out)?,
            false => out.bulk(shown)?,
        }
    }
    text(format_args!("cause={}", entry.cause.name()), out)?;
    text(format_args!("requests={}", entry.requests), out)?;
    if let Some(bytes) = entry.value_bytes {
        text(format_args!("value_bytes={bytes}"), out)?;
    }
    text(format_args!("{}", entry.client), out)?;
    out.bulk(entry.name.as_bytes())
}

/// Writes what is formatted.
pub fn text(what: std::fmt::Arguments<'_>, out: &mut Out<'_>) -> Option<()> {
    let mut line = Line::new();
    line.write_fmt(what).ok()?;
    out.text(line.as_str())
}
