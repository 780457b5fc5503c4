//! The keys that are asked for most, as `/hotkeys` tells them: a table of its own, and why there is none.
//!
//! Whether keys are told, or their hashes alone, is the server's to decide: it tells them where its pages want a token.

use std::net::SocketAddr;

use super::ask;
use super::numbers::{percent, short};
use super::screen::{Line, Look};

/// What is behind a key: three figures; and the last column stays free, because a terminal that clears what is behind it clears it, too.
const FIGURES: usize = 29;
/// Of a hash that stands for a key, so many digits.
const DIGITS: usize = 8;

/// What there is to say of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Hot {
    /// The hottest first.
    Keys(Vec<HotKey>),
    /// Why there are none.
    Not(&'static str),
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    name: String,
    requests: f64,
    error: f64,
    permille: f64,
}

impl Hot {
    /// Asks for them.
    pub fn look(address: SocketAddr, token: Option<&[u8]>) -> Self {
        match ask(address, token, "GET /hotkeys") {
            Ok((200, body)) => Hot::parse(&body),
            Ok((401 | 403, _)) | Err(super::Blind::WantsToken(_)) => {
                Hot::Not("not told to this token")
            }
            Ok((404, _)) => Hot::Not("the server is too old to tell them"),
            _ => Hot::Not("not reached"),
        }
    }

    /// A line a key, and no escapes: what would need one is `%` and two digits there.
    pub(super) fn parse(body: &str) -> Self {
        if body.starts_with("{\"on\":false") {
            return Hot::Not("off (--hot-keys)");
        }
        Hot::Keys(body.lines().filter_map(HotKey::parse).collect())
    }

    /// A heading and so many of them; or a line that says why there is none.
    pub fn lines(&self, columns: usize, count: usize) -> Vec<Line> {
        let keys = match self {
            _ if count == 0 => return Vec::new(),
            Hot::Not(why) => {
                let line = Line::of(Look::Head, "hot keys");
                return vec![line.and(Look::Plain, format!(": {why}"))];
            }
            Hot::Keys(keys) => keys,
        };
        let width = columns.saturating_sub(FIGURES).max(8);
        let heading = format!(
            "{:<width$}{:>8}{:>10}{:>10}",
            "hot key", "of all", "asked", "±"
        );
        let rows = keys.iter().take(count).map(|key| {
            let mut name: String = key.name.chars().take(width - 1).collect();
            if key.name.chars().count() > width - 1 {
                name.pop();
                name.push('…');
            }
            let row = format!(
                "{name:<width$}{:>8}{:>10}{:>10}",
                percent(key.permille / 1000.0),
                short(key.requests),
                short(key.error)
            );
            Line::of(Look::Plain, row)
        });
        std::iter::once(Line::of(Look::Head, heading))
            .chain(rows)
            .collect()
    }

    /// How many rows they want, at most.
    pub fn rows(&self, most: usize) -> usize {
        match self {
            Hot::Not(_) => 1,
            Hot::Keys(keys) => 1 + keys.len().min(most),
        }
    }
}

impl HotKey {
    fn parse(line: &str) -> Option<Self> {
        let field = |name: &str| {
            let behind = line.split_once(&format!("\"{name}\":"))?.1;
            let end = behind.find([',', '}']).unwrap_or(behind.len());
            Some(&behind[..end])
        };
        let number = |name: &str| field(name)?.parse().ok();
        // A key may have commas and braces, and no quotes.
        let word = |name: &str| {
            let behind = line.split_once(&format!("\"{name}\":\""))?.1;
            Some(behind.split_once('"')?.0)
        };
        let is_shown = |key: &&str| key.bytes().all(|byte| byte.is_ascii_graphic());
        let is_hash = |hash: &&str| hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = || {
            word("key_hash")
                .filter(is_hash)
                .map(|hash| format!("#{}", hash.get(..DIGITS).unwrap_or(hash)))
        };
        Some(HotKey {
            requests: number("requests")?,
            error: number("error")?,
            permille: number("permille")?,
            name: word("key")
                .filter(is_shown)
                .map(str::to_owned)
                .or_else(hash)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::screen::text;
    use super::*;

    const BODY: &str = "{\"on\":true,\"keys\":[\n\
        {\"requests\":52000,\"error\":3100,\"permille\":214,\"key_bytes\":6,\"key_hash\":\"9f31c07a5be22d10\",\"key\":\"user:1,}\"},\n\
        {\"requests\":7,\"error\":0,\"permille\":1,\"key_bytes\":6,\"key_hash\":\"00000000aaaaaaaa\"}]}\n";

    #[test]
    fn keys_are_told_or_their_hashes() {
        let hot = Hot::parse(BODY);
        for columns in [60, 80, 120] {
            let seen = text(&hot.lines(columns, 9), usize::MAX, false);
            let lines: Vec<_> = seen.lines().collect();
            assert_eq!(lines.len(), 3, "{seen}");
            assert!(
                lines.iter().all(|line| line.chars().count() == columns - 1),
                "{seen}"
            );
            assert!(lines[1].starts_with("user:1,} "), "{seen}");
            assert!(
                lines[1].contains("21.4 %") && lines[1].contains("52.0 k"),
                "{seen}"
            );
            assert!(lines[2].starts_with("#00000000 "), "{seen}");
        }
        assert_eq!(hot.lines(60, 1).len(), 2);
        assert_eq!((hot.rows(1), hot.rows(10)), (2, 3));
    }

    #[test]
    fn what_is_no_key_is_not_shown_as_one() {
        let name = |key: &str| {
            let line = format!(
                "{{\"requests\":7,\"error\":0,\"permille\":1,\"key_hash\":\"0123456789abcdef\",\"key\":\"{key}\"}}"
            );
            HotKey::parse(&line).expect("a key").name
        };
        assert_eq!(name("a%20b"), "a%20b");
        assert_eq!(name("\u{1b}[2J"), "#01234567");
        let line = "{\"requests\":7,\"error\":0,\"permille\":1,\"key_hash\":\"\u{1b}[2Jpwn\"}";
        assert!(HotKey::parse(line).is_none(), "not from a server of ours");
        let long = Hot::Keys(vec![HotKey {
            name: "k".repeat(64),
            requests: 1.0,
            error: 0.0,
            permille: 1000.0,
        }]);
        let seen = text(&long.lines(60, 5), usize::MAX, false);
        assert!(seen.contains("kkk… "), "{seen}");
        assert!(
            seen.lines().all(|line| line.chars().count() == 59),
            "{seen}"
        );
    }

    #[test]
    fn it_is_said_why_there_are_none() {
        let off = Hot::parse("{\"on\":false,\"keys\":[]}\n");
        assert_eq!(
            text(&off.lines(60, 9), 60, false),
            "hot keys: off (--hot-keys)\n"
        );
        assert_eq!(off.rows(9), 1);
        assert_eq!(
            Hot::parse("{\"on\":true,\"keys\":[]}\n"),
            Hot::Keys(Vec::new())
        );
    }
}
