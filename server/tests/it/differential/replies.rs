//! A stream of memcached replies as units that can be compared.
//!
//! Some things in a reply are a server's own: CAS numbers (renamed to the order in which
//! they appeared), its version, seconds that pass while the test runs (rounded to the lifetimes
//! that the tests use), how long ago an item was read (Flagstone notes that in steps of
//! eight seconds, from the first time that somebody asks), and in random sequences whether an item was asked for before: memcached
//! forgets that when it counts in an item which an earlier reply still holds. Against a
//! memcached older than [`CURRENT`], which refuses in other words, it counts that something is
//! refused, and not how.

use std::collections::HashMap;

/// Reply kinds that random sequences must have produced.
pub const KINDS: &[&str] = &[
    "STORED",
    "NOT_STORED",
    "EXISTS",
    "NOT_FOUND",
    "DELETED",
    "TOUCHED",
    "VALUE",
    "END",
    "OK",
    "VERSION",
    "ERROR",
    "CLIENT_ERROR",
    "SERVER_ERROR",
    "HD",
    "VA",
    "EN",
    "NS",
    "EX",
    "NF",
    "MN",
    "ME",
    "number",
];

/// The version that Flagstone follows.
pub const CURRENT: (u32, u32, u32) = (1, 6, 45);

/// Lifetimes that requests use, in seconds: far from each other.
const LIFETIMES: &[u64] = &[60, 100, 1_000, 5_000, 100_000, 2_592_000];
/// Nothing in a test takes this long.
const SLACK_SECONDS: u64 = 40;

/// What one server said, over all connections of one run.
#[derive(Default)]
pub struct Replies {
    pub units: Vec<String>,
    /// The last CAS number seen for a key.
    pub cas_of: HashMap<Vec<u8>, u64>,
    pub names: HashMap<u64, usize>,
    /// Whether "was asked for before" is compared.
    pub compares_hit: bool,
    /// Whether only the place of a refusal counts, not its words.
    pub refusals_are_one: bool,
}

impl Replies {
    pub fn text(&self) -> String {
        self.units.join("|")
    }

    /// Adds what a connection answered.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
                self.units.push(format!("{}(no end)", bytes.escape_ascii()));
                return;
            };
            let line = &bytes[..=end];
            bytes = &bytes[end + 1..];
            let value_len = self.line(line);
            if let Some(len) = value_len {
                let len = (len + 2).min(bytes.len());
                self.units.push(abridged(&bytes[..len]));
                bytes = &bytes[len..];
            }
        }
        self.units.push("(closed)".to_owned());
    }

    /// Adds a line, and says how long a value follows it.
    fn line(&mut self, line: &[u8]) -> Option<usize> {
        let Ok(text) = std::str::from_utf8(line) else {
            self.units.push(line.escape_ascii().to_string());
            return None;
        };
        // The ending stays visible: "\n" alone would be a difference.
        let body = text.trim_end_matches(['\r', '\n']);
        let ending = text[body.len()..].escape_default().to_string();
        let words: Vec<&str> = body.split(' ').collect();
        match words.as_slice() {
            ["VALUE", key, flags, len, rest @ ..] => {
                let cas = match rest {
                    [] => String::new(),
                    [cas, ..] => self.cas(Some(key.as_bytes()), cas),
                };
                self.units
                    .push(format!("VALUE {key} {flags} {len} {cas}{ending}"));
                len.parse().ok()
            }
            ["VERSION", ..] => {
                self.units.push(format!("VERSION{ending}"));
                None
            }
            ["ME", key, fields @ ..] => {
                let fields: Vec<String> = fields.iter().map(|field| self.debug(field)).collect();
                self.units
                    .push(format!("ME {key} {}{ending}", fields.join(" ")));
                None
            }
            ["VA", len, flags @ ..] => {
                let flags = self.flags(flags);
                self.units.push(format!("VA {len} {flags}{ending}"));
                len.parse().ok()
            }
            [code @ ("HD" | "EN" | "NS" | "EX" | "NF"), flags @ ..] => {
                let flags = self.flags(flags);
                self.units.push(format!("{code} {flags}{ending}"));
                None
            }
            ["ERROR" | "CLIENT_ERROR", ..] if self.refusals_are_one => {
                self.units.push(format!("(refused){ending}"));
                None
            }
            _ => {
                self.units.push(format!("{body}{ending}"));
                None
            }
        }
    }

    fn cas(&mut self, key: Option<&[u8]>, digits: &str) -> String {
        let Ok(number) = digits.parse::<u64>() else {
            return digits.to_owned();
        };
        if let Some(key) = key {
            self.cas_of.insert(key.to_vec(), number);
        }
        if number == 0 {
            return "cas-zero".to_owned();
        }
        let next = self.names.len();
        format!("cas-{}", self.names.entry(number).or_insert(next))
    }

    fn flags(&mut self, flags: &[&str]) -> String {
        let key = flags.iter().find_map(|flag| flag.strip_prefix('k'));
        let key = key.map(|key| key.as_bytes().to_vec());
        let each = flags.iter().map(|flag| match flag.split_at_checked(1) {
            Some(("c", digits)) => format!("c={}", self.cas(key.as_deref(), digits)),
            Some(("t", digits)) => format!("t{}", rounded(digits)),
            Some(("l", _)) => "l…".to_owned(),
            Some(("h", _)) if !self.compares_hit => "h…".to_owned(),
            _ => (*flag).to_owned(),
        });
        let each: Vec<String> = each.collect();
        each.join(" ")
    }

    /// A field of `me`. Class and size are memory's own matter.
    fn debug(&mut self, field: &str) -> String {
        match field.split_once('=') {
            Some(("cas", digits)) => {
                // Numbers that `me` alone shows need not exist here.
                let _ = digits;
                "cas=…".to_owned()
            }
            Some(("exp", "-1")) => field.to_owned(),
            // memcached counts them down to zero from below.
            Some(("exp", digits)) => format!("exp={}", rounded(digits.trim_start_matches('-'))),
            Some(("fetch", _)) if !self.compares_hit => "fetch=…".to_owned(),
            Some(("la", _)) => "la=…".to_owned(),
            Some((name @ ("cls" | "size"), _)) => format!("{name}=…"),
            _ => field.to_owned(),
        }
    }
}

fn rounded(digits: &str) -> String {
    let Ok(seconds) = digits.parse::<u64>() else {
        return digits.to_owned();
    };
    let near = LIFETIMES
        .iter()
        .find(|&&lifetime| seconds <= lifetime && lifetime - seconds < SLACK_SECONDS);
    near.map_or_else(|| absolute(seconds), |lifetime| format!("~{lifetime}"))
}

/// Seconds until a moment given absolutely: the clock moves on between two servers.
fn absolute(seconds: u64) -> String {
    if seconds > 100_000_000 {
        "~years".to_owned()
    } else {
        seconds.to_string()
    }
}

/// A value: whole if it is short, else its ends, its length and a sum.
fn abridged(value: &[u8]) -> String {
    if value.len() <= 64 {
        return value.escape_ascii().to_string();
    }
    let sum = value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let (head, tail) = (&value[..16], &value[value.len() - 16..]);
    format!(
        "{}…{} ({} bytes, {sum:x})",
        head.escape_ascii(),
        tail.escape_ascii(),
        value.len()
    )
}

/// Which of [`KINDS`] a unit is, if it is a line.
pub fn kind(unit: &str) -> &str {
    if unit.starts_with("(refused)") {
        return "CLIENT_ERROR";
    }
    let word = unit.split([' ', '\\', '|']).next().unwrap_or_default();
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return "number";
    }
    word
}
