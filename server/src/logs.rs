//! What the server tells people, on stderr: the sink behind the `log` crate's macros.
//!
//! ```text
//!   flagstone: warning: only 1024 open files are allowed, …                      plain
//!   {"time":"2026-11-22T19:24:46.120Z","level":"warn","message":"only 1024 …"}   json
//! ```
//!
//! A message is put together on the stack and leaves in one write: nothing is allocated, and
//! lines of two threads do not mix. Messages come from the acceptor's thread, never from a
//! worker: a pipe that nobody reads must not stop a request.
//!
//! A burst of `BURST` may be told, and `PER_SECOND` after that; what was left out is
//! counted and said.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::config::Invalid;

/// Messages that may come at once: a start with its plan has about forty.
const BURST: u64 = 100;
/// Messages a second in the long run.
const PER_SECOND: u64 = 5;
/// The target of lines of a table: people see them as they are.
pub const TABLE: &str = "flagstone_table";
/// Longer lines are cut.
const LINE_BYTES_MAX: usize = 1024;

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// What a line looks like.
    pub format: LogFormat,
    /// The least important messages.
    pub level: LevelFilter,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A sentence.
    Plain,
    /// An object.
    Json,
}

/// `plain` or `json`.
pub fn parse_log_format(setting: &str, text: &str) -> Result<LogFormat, Invalid> {
    match text {
        "plain" => Ok(LogFormat::Plain),
        "json" => Ok(LogFormat::Json),
        _ => Err(Invalid::new(
            setting,
            text,
            "is no format: plain or json work",
        )),
    }
}

/// `error`, `warn`, `info` or `debug`.
pub fn parse_log_level(setting: &str, text: &str) -> Result<LevelFilter, Invalid> {
    match text {
        "error" => Ok(LevelFilter::Error),
        "warn" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        _ => Err(Invalid::new(
            setting,
            text,
            "is no level: error, warn, info or debug work",
        )),
    }
}

/// From here on messages are printed. The first call counts.
pub fn begin(settings: LogSettings) {
    let sink = Box::leak(Box::new(Sink {
        format: settings.format,
        rate: Mutex::new(Rate {
            left: BURST,
            filled_nanos: 0,
            left_out: 0,
        }),
    }));
    if log::set_logger(sink).is_ok() {
        log::set_max_level(settings.level);
    }
}

struct Sink {
    format: LogFormat,
    rate: Mutex<Rate>,
}

/// How much more may be told.
struct Rate {
    left: u64,
    filled_nanos: u64,
    left_out: u64,
}

impl Rate {
    /// Whether one more may be told; if so, how many were left out since the last.
    fn take(&mut self, now_nanos: u64) -> Option<u64> {
        let each = 1_000_000_000 / PER_SECOND;
        let more = now_nanos.saturating_sub(self.filled_nanos) / each;
        self.filled_nanos += more * each;
        self.left = self.left.saturating_add(more).min(BURST);
        if self.left == 0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // Dependencies may log too; the server's words are what was asked for.
        if !self.enabled(record.metadata()) || !record.target().starts_with("flagstone") {
            return;
        }
        let monotonic = crate::house::exact_nanos();
        let Some(left_out) = self.rate.lock().take(monotonic) else {
            return;
        };
        let now = clock_gettime(ClockId::Realtime);
        if left_out > 0 {
            let words = format_args!("{left_out} messages were left out: there were too many");
            self.line("", Level::Warn, &words, now);
        }
        self.line(record.target(), record.level(), record.args(), now);
    }

    fn flush(&self) {}
}

impl Sink {
    fn line(&self, target: &str, level: Level, message: &fmt::Arguments<'_>, now: Timespec) {
        let mut line = Line::default();
        // A line that is cut is better than none.
        let _ = match self.format {
            LogFormat::Plain if target == TABLE => write!(line, "{message}"),
            LogFormat::Plain => plain(&mut line, level, message),
            LogFormat::Json => json(&mut line, level, message, now),
        };
        // Who reads no messages gets none.
        let _ = std::io::stderr().write_all(line.end(self.format));
    }
}

fn plain(line: &mut Line, level: Level, message: &fmt::Arguments<'_>) -> fmt::Result {
    // Errors need no word: the process ends with them.
    line.write_str("flagstone: ")?;
    if level == Level::Warn {
        line.write_str("warning: ")?;
    }
    write!(line, "{message}")
}

fn json(line: &mut Line, level: Level, message: &fmt::Arguments<'_>, now: Timespec) -> fmt::Result {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    write!(
        line,
        "{{\"time\":\"{}\",\"level\":\"{level}\",\"message\":\"",
        Calendar(now)
    )?;
    line.escapes = true;
    write!(line, "{message}")
}

/// A line on the stack.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
    /// What is written is inside a JSON string.
    escapes: bool,
}

/// Room for the end of a line: a sign that it was cut, `"}` and a newline.
const END_BYTES: usize = 8;

impl Default for Line {
    fn default() -> Self {
        Line {
            bytes: [0; LINE_BYTES_MAX],
            len: 0,
            escapes: false,
        }
    }
}

impl Line {
    fn put(&mut self, bytes: &[u8]) -> fmt::Result {
        let end = self.len + bytes.len();
        if end > LINE_BYTES_MAX - END_BYTES {
            return Err(fmt::Error);
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn end(&mut self, format: LogFormat) -> &[u8] {
        let end: &[u8] = match format {
            LogFormat::Plain => b"\n",
            LogFormat::Json => b"\"}\n",
        };
        self.bytes[self.len..self.len + end.len()].copy_from_slice(end);
        self.len += end.len();
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut utf8 = [0; 4];
        for char in text.chars() {
            match char {
                '"' | '\\' if self.escapes => self.put(&[b'\\', char as u8])?,
                '\n' if self.escapes => self.put(b"\\n")?,
                // A message is a line, whatever a client has put into it.
                char if char.is_control() => self.put(b" ")?,
                char => self.put(char.encode_utf8(&mut utf8).as_bytes())?,
            }
        }
        Ok(())
    }
}

/// A time as RFC 3339 writes it, in UTC.
struct Calendar(Timespec);

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.tv_sec;
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years that begin in March, so that leap days come last; eras of 400 of them.
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        write!(
            f,
            "{:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:03}Z",
            era * 400 + year + later,
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.0.tv_nsec / 1_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.120Z"),
            (951_782_399, "2000-02-28T23:59:59.120Z"),
            (951_782_400, "2000-02-29T00:00:00.120Z"),
            (1_709_251_200, "2024-03-01T00:00:00.120Z"),
            (1_795_375_486, "2026-11-22T19:24:46.120Z"),
            (4_107_542_399, "2100-02-28T23:59:59.120Z"),
            (4_107_542_400, "2100-03-01T00:00:00.120Z"),
        ] {
            let time = Timespec {
                tv_sec: seconds,
                tv_nsec: 120_999_999,
            };
            assert_eq!(Calendar(time).to_string(), text);
        }
    }

    fn told(format: LogFormat, level: Level, message: &str) -> String {
        let mut line = Line::default();
        let epoch = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let _ = match format {
            LogFormat::Plain => plain(&mut line, level, &format_args!("{message}")),
            LogFormat::Json => json(&mut line, level, &format_args!("{message}"), epoch),
        };
        String::from_utf8(line.end(format).to_vec()).expect("text")
    }

    #[test]
    fn lines() {
        use LogFormat::{Json, Plain};
        assert_eq!(told(Plain, Level::Info, "hello"), "flagstone: hello\n");
        assert_eq!(
            told(Plain, Level::Warn, "two\nlines"),
            "flagstone: warning: two lines\n"
        );
        assert_eq!(
            told(Json, Level::Warn, "\"a\"\\\n\u{1b}ß"),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\
             \"message\":\"\\\"a\\\"\\\\\\n ß\"}\n"
        );
        for format in [Plain, Json] {
            let long = told(format, Level::Info, &"ß\"".repeat(2000));
            assert!((1000..=LINE_BYTES_MAX).contains(&long.len()));
            assert!(long.ends_with(if format == Json { "\"}\n" } else { "\n" }));
        }
    }

    #[test]
    fn too_many_are_left_out_and_counted() {
        let mut rate = Rate {
            left: BURST,
            filled_nanos: 0,
            left_out: 0,
        };
        let told = (0..BURST + 50).filter(|_| rate.take(1).is_some()).count();
        assert_eq!(told as u64, BURST);
        assert_eq!(rate.take(1_000_000_000), Some(50));
        let more = (0..50).filter(|_| rate.take(1_000_000_001).is_some());
        assert_eq!(more.count() as u64, PER_SECOND - 1);
    }
}
