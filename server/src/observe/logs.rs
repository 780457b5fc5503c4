//! What the server tells people, on stderr: the sink behind the `log` crate's macros.
//!
//! ```text
//!   flagstone: warning: only 1024 open files are allowed, …                      plain
//!   {"time":"2026-11-22T19:24:46.120Z","level":"warn","message":"only 1024 …"}   json
//! ```
//!
//! A message is put together on the stack and goes to a thread that writes it
//! (`log_writer`): nothing is allocated, lines of two threads do not mix,
//! and a pipe that nobody reads stops neither requests nor newcomers nor signals.
//!
//! A JSON line has what a message is about as fields, too: the numbers and names that the
//! caller gave beside the sentence. The plan of the start is one record there, and a table
//! for people.
//!
//! A burst of `BURST` may be told, and `PER_SECOND` after that; what was left out is
//! counted and said.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::observe::log_writer::{self, Writer};
use crate::settings::config::Invalid;

/// Messages that may come at once: a start with its plan has about forty.
const BURST: u64 = 100;
/// Messages a second in the long run.
const PER_SECOND: u64 = 5;
/// The target of a table: people see its lines as they are, collectors its fields.
const TABLE: &str = "flagstone_table";
/// Longer messages are cut …
const MESSAGE_BYTES_MAX: usize = 1024;
/// … and fields that make the line longer are left out.
const LINE_BYTES_MAX: usize = 4096;
/// How long the end of the process waits for its last message to be read.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// Messages left out because there were too many.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Messages that were not written, by why.
#[must_use]
pub fn dropped() -> [(&'static str, u64); 2] {
    [
        ("too_many", LEFT_OUT.load(Relaxed)),
        ("unread", log_writer::lost()),
    ]
}

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

/// From here on messages are printed, those of panics too. The first call counts.
pub fn begin(settings: LogSettings) {
    let sink = Box::leak(Box::new(Sink {
        format: settings.format,
        rate: Mutex::new(Rate {
            left: BURST,
            filled_nanos: 0,
            left_out: 0,
        }),
        lost_told: AtomicU64::new(0),
        writer: Writer::start(),
    }));
    if log::set_logger(sink).is_ok() {
        log::set_max_level(settings.level);
        // The hook of the standard library writes to stderr itself, and may wait there.
        std::panic::set_hook(Box::new(|panic| {
            log::error!("a thread has panicked: {panic}");
            let is_main = std::thread::current().name() == Some("main");
            if is_main {
                log::logger().flush();
            }
        }));
    }
}

/// Prints a table: for people its lines, for collectors one record with `words` for its message
/// and each of its numbers below the field `name`.
pub fn table(words: &str, name: &str, table: &impl fmt::Display, numbers: &[(&str, u64)]) {
    if log::max_level() < Level::Info {
        return;
    }
    let fields: Vec<(&str, Value<'_>)> = numbers
        .iter()
        .map(|&(name, number)| (name, Value::from(number)))
        .collect();
    let text = table.to_string();
    let heads = [("words", Value::from(words)), ("name", Value::from(name))];
    let fields = (&heads[..], &fields[..]);
    let fields = Both(fields.0, fields.1);
    log::logger().log(
        &Record::builder()
            .target(TABLE)
            .level(Level::Info)
            .key_values(&fields)
            .args(format_args!("{text}"))
            .build(),
    );
}

/// A table's head, and its numbers.
struct Both<'f>(&'f [(&'f str, Value<'f>)], &'f [(&'f str, Value<'f>)]);

impl kv::Source for Both<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        kv::Source::visit(&self.0, visitor)?;
        kv::Source::visit(&self.1, visitor)
    }
}

struct Sink {
    format: LogFormat,
    rate: Mutex<Rate>,
    /// How many lost lines have been told of.
    lost_told: AtomicU64,
    /// `None`: there is no thread for it, and this one writes.
    writer: Option<&'static Writer>,
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
            LEFT_OUT.fetch_add(1, Relaxed);
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
        let monotonic = crate::clock::exact_nanos();
        let Some(left_out) = self.rate.lock().take(monotonic) else {
            return;
        };
        let now = clock_gettime(ClockId::Realtime);
        if left_out > 0 {
            let words = format_args!("{left_out} messages were left out: there were too many");
            self.line("", Level::Warn, &words, &NOTHING, now);
        }
        let lost = log_writer::lost();
        let untold = lost - self.lost_told.load(Relaxed).min(lost);
        if untold > 0 {
            let words = format_args!("{untold} messages were lost: nobody has read them");
            if self.line("", Level::Warn, &words, &NOTHING, now) {
                self.lost_told.store(lost, Relaxed);
            }
        }
        if record.target() == TABLE && self.format == LogFormat::Plain {
            for line in record.args().to_string().lines() {
                let line = format_args!("{line}");
                self.line(TABLE, record.level(), &line, &NOTHING, now);
            }
            return;
        }
        let (target, level) = (record.target(), record.level());
        self.line(target, level, record.args(), record.key_values(), now);
    }

    fn flush(&self) {
        if let Some(writer) = self.writer {
            writer.flush(FLUSH_PATIENCE);
        }
    }
}

/// No fields.
const NOTHING: [(&str, Value<'static>); 0] = [];

impl Sink {
    /// False: it was dropped.
    fn line(
        &self,
        target: &str,
        level: Level,
        message: &fmt::Arguments<'_>,
        fields: &dyn kv::Source,
        now: Timespec,
    ) -> bool {
        let mut line = Line::default();
        // A line that is cut is better than none.
        let _ = match self.format {
            LogFormat::Plain if target == TABLE => write!(line, "{message}"),
            LogFormat::Plain => plain(&mut line, level, message),
            LogFormat::Json => json(&mut line, target, level, message, fields, now),
        };
        let line = line.end();
        match self.writer {
            Some(writer) => writer.push(line),
            None => {
                log_writer::write_now(line);
                true
            }
        }
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

fn json(
    line: &mut Line,
    target: &str,
    level: Level,
    message: &fmt::Arguments<'_>,
    fields: &dyn kv::Source,
    now: Timespec,
) -> fmt::Result {
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
    let mut fields_of = Fields {
        line,
        is_table: target == TABLE,
        comma: ",",
    };
    if !fields_of.is_table {
        // A message that is cut still ends.
        fields_of.line.escapes = true;
        let _ = write!(fields_of.line, "{message}");
        fields_of.line.escapes = false;
        fields_of.line.limit = LINE_BYTES_MAX - END_BYTES;
        fields_of.line.put(b"\"")?;
    }
    fields_of.line.limit = LINE_BYTES_MAX - END_BYTES;
    let _ = fields.visit(&mut fields_of);
    // There is always room for the end.
    fields_of.line.limit = LINE_BYTES_MAX - 1;
    if fields_of.is_table {
        fields_of.line.put(b"}")?;
    }
    fields_of.line.put(b"}")
}

/// Writes fields as members of an object.
struct Fields<'l> {
    line: &'l mut Line,
    /// The first field is the message, the second the name of the object for the rest.
    is_table: bool,
    comma: &'static str,
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let before = self.line.len;
        if self.write(key.as_str(), &value).is_err() {
            // What has no room is left out.
            self.line.len = before;
            self.line.escapes = false;
        }
        Ok(())
    }
}

impl Fields<'_> {
    fn write(&mut self, key: &str, value: &Value<'_>) -> fmt::Result {
        if self.is_table && key == "words" {
            self.text(value)?;
            return self.line.put(b"\"");
        }
        if self.is_table && key == "name" {
            self.line.put(b",\"")?;
            self.text(value)?;
            self.comma = "";
            return self.line.put(b"\":{");
        }
        self.line.put(self.comma.as_bytes())?;
        self.line.put(b"\"")?;
        self.text(&Value::from(key))?;
        self.line.put(b"\":")?;
        match (value.to_u64(), value.to_i64(), value.to_bool()) {
            (Some(number), ..) => write!(self.line, "{number}")?,
            (_, Some(number), _) => write!(self.line, "{number}")?,
            (_, _, Some(yes)) => write!(self.line, "{yes}")?,
            _ => {
                self.line.put(b"\"")?;
                self.text(value)?;
                self.line.put(b"\"")?;
            }
        }
        self.comma = ",";
        Ok(())
    }

    /// What stands between quotes.
    fn text(&mut self, value: &Value<'_>) -> fmt::Result {
        self.line.escapes = true;
        write!(self.line, "{value}")?;
        self.line.escapes = false;
        Ok(())
    }
}

/// A line on the stack.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
    /// How long it may become.
    limit: usize,
    /// What is written is inside a JSON string.
    escapes: bool,
}

/// Room for the end of a line: `"}}` and a newline.
const END_BYTES: usize = 8;

impl Default for Line {
    fn default() -> Self {
        Line {
            bytes: [0; LINE_BYTES_MAX],
            len: 0,
            limit: MESSAGE_BYTES_MAX - END_BYTES,
            escapes: false,
        }
    }
}

impl Line {
    fn put(&mut self, bytes: &[u8]) -> fmt::Result {
        let end = self.len + bytes.len();
        if end > self.limit {
            return Err(fmt::Error);
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn end(&mut self) -> &[u8] {
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
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
mod tests;
