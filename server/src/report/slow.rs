//! The last requests that took long, a line each: what native lines and memcached's clients are told.

use std::fmt::{self, Write};

use crate::observe::few::Escaped;
use crate::observe::slow_log::{Entry, SlowLog};
use crate::proto::{Lead, Reply, Stat};

/// Names, numbers, an address, and a client's name and a key with each byte escaped.
const LINE_BYTES_MAX: usize = 512;

/// Tells all of them, the newest first.
pub fn lines(log: &SlowLog, tell: &mut dyn FnMut(Reply<'_>) -> Option<()>) -> Option<()> {
    log.newest(usize::MAX, |_, entries| {
        for entry in entries {
            let mut line = Line::new();
            // It has room for the longest.
            let _ = write(entry, &mut line);
            // Clients of memcached put lines into a table by their names, so each has a name of its own.
            let stat = Stat::text("slow", line.as_str()).behind(Lead::Number(entry.number));
            tell(Reply::Stats(&[stat]))?;
        }
        Some(())
    })
}

fn write(entry: &Entry, line: &mut Line) -> fmt::Result {
    write!(
        line,
        "unix_ms {} took_us {}",
        entry.unix_millis, entry.micros
    )?;
    let (cause, protocol) = (entry.cause.name(), entry.protocol());
    write!(
        line,
        " cause {cause} protocol {protocol} requests {}",
        entry.requests
    )?;
    if !entry.word.is_empty() {
        write!(line, " command {}", Escaped(entry.word.as_bytes()))?;
    }
    write!(line, " client {}", entry.client)?;
    if !entry.name.is_empty() {
        write!(line, " name {}", Escaped(entry.name.as_bytes()))?;
    }
    if let Some(bytes) = entry.value_bytes {
        write!(line, " value_bytes {bytes}")?;
    }
    if let Some(key) = entry.key {
        write!(line, " key_bytes {} key_hash {:016x}", key.len, key.hash)?;
        if !key.shown.is_empty() {
            write!(line, " key {}", Escaped(key.shown.as_bytes()))?;
        }
    }
    Ok(())
}

/// A line that is put together on the stack.
pub struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
}

impl Line {
    /// An empty one.
    pub fn new() -> Self {
        Line {
            bytes: [0; LINE_BYTES_MAX],
            len: 0,
        }
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        // Only text was.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
