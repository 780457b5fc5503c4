//! Arrays and bulk strings, and lines of words.

use super::words;
use crate::proto::number::parse_i64;
use crate::proto::scan::newline;

/// The longest bulk string that can be announced: Redis' own limit.
const BULK_BYTES_MAX: i64 = 512 << 20;
/// The most arguments.
const COUNT_MAX: i64 = 1 << 20;
/// A sign, 19 digits, and some zeros.
const NUMBER_BYTES_MAX: usize = 32;

/// Something with a length, read from the front of some bytes.
pub enum Framed<T> {
    /// Its beginning.
    More,
    /// All of it.
    Whole(T),
    /// It is none: say this and close.
    Broken(&'static [u8]),
}

/// Where an argument lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Its first byte.
    pub start: usize,
    /// Its length.
    pub len: usize,
}

impl Bulk {
    /// Where the next one begins.
    pub fn end(self) -> usize {
        self.start + self.len + 2
    }
}

/// A number of a frame: `+` and `-` may stand before it, a `\r` before the line's end.
fn number(bytes: &[u8], long: &'static [u8]) -> Framed<(Option<i64>, usize)> {
    let Some(end) = newline(&bytes[..bytes.len().min(NUMBER_BYTES_MAX)]) else {
        return match bytes.len() < NUMBER_BYTES_MAX {
            true => Framed::More,
            false => Framed::Broken(long),
        };
    };
    let digits = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let digits = match digits {
        [b'+', digits @ ..] if digits.first() != Some(&b'-') => digits,
        digits => digits,
    };
    Framed::Whole((parse_i64(digits), end + 1))
}

/// `*<count>\r\n` at the front of `bytes`: the count (none if it is below 1), and where the first argument is.
pub fn array(bytes: &[u8]) -> Framed<(u32, usize)> {
    match number(&bytes[1..], words::LONG_COUNT) {
        Framed::More => Framed::More,
        Framed::Broken(words) => Framed::Broken(words),
        Framed::Whole((Some(count @ ..=COUNT_MAX), taken)) => {
            Framed::Whole((u32::try_from(count).unwrap_or(0), 1 + taken))
        }
        Framed::Whole(_) => Framed::Broken(words::BAD_COUNT),
    }
}

/// `$<length>\r\n` at `bytes[at..]`: where the argument lies, whether or not it has arrived.
#[inline]
pub fn bulk(bytes: &[u8], at: usize) -> Framed<Bulk> {
    let Some((&first, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) else {
        return Framed::More;
    };
    if first != b'$' {
        return Framed::Broken(words::expected_but(first));
    }
    match number(rest, words::LONG_LENGTH) {
        Framed::More => Framed::More,
        Framed::Broken(words) => Framed::Broken(words),
        Framed::Whole((Some(len @ 0..=BULK_BYTES_MAX), taken)) => Framed::Whole(Bulk {
            start: at + 1 + taken,
            len: len as usize,
        }),
        Framed::Whole(_) => Framed::Broken(words::BAD_LENGTH),
    }
}

/// The words of a line, some of them in quotes. `None`: a quote does not end. In double quotes a backslash stands for
/// itself: what needs one is sent as an array.
pub fn split<'a>(mut line: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Option<()> {
    loop {
        line = line.trim_ascii_start();
        let Some(&first) = line.first() else {
            return Some(());
        };
        if let b'"' | b'\'' = first {
            let len = memchr::memchr(first, &line[1..])?;
            let behind = &line[len + 2..];
            if behind
                .first()
                .is_some_and(|byte| !byte.is_ascii_whitespace())
            {
                return None;
            }
            each(&line[1..=len]);
            line = behind;
        } else {
            let ends = |byte: &u8| byte.is_ascii_whitespace();
            let len = line.iter().position(ends).unwrap_or(line.len());
            each(&line[..len]);
            line = &line[len..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_lengths() {
        assert!(matches!(array(b"*3\r\n"), Framed::Whole((3, 4))));
        assert!(matches!(array(b"*-10\r\n"), Framed::Whole((0, 6))));
        assert!(matches!(array(b"*"), Framed::More));
        assert!(matches!(array(b"*3\r"), Framed::More));
        assert!(matches!(array(b"*x\r\n"), Framed::Broken(words::BAD_COUNT)));
        assert!(matches!(
            array(b"*1048577\r\n"),
            Framed::Broken(words::BAD_COUNT)
        ));
        assert!(matches!(
            array(&[b'*'; 40]),
            Framed::Broken(words::LONG_COUNT)
        ));
        assert!(matches!(
            bulk(b"$5\r\nhello\r\n", 0),
            Framed::Whole(Bulk { start: 4, len: 5 })
        ));
        assert!(matches!(
            bulk(b"$-1\r\n", 0),
            Framed::Broken(words::BAD_LENGTH)
        ));
        assert!(matches!(
            bulk(b"$536870913\r\n", 0),
            Framed::Broken(words::BAD_LENGTH)
        ));
        assert!(matches!(bulk(b"x", 0), Framed::Broken(_)));
        assert!(matches!(bulk(b"", 0), Framed::More));
    }

    #[test]
    fn lines_are_words_and_quotes() {
        let words = |line: &'static [u8]| {
            let mut found = Vec::new();
            split(line, |word| found.push(word)).map(|()| found)
        };
        assert_eq!(words(b" GET  k "), Some(vec![&b"GET"[..], b"k"]));
        assert_eq!(
            words(b"SET k \"a b\""),
            Some(vec![&b"SET"[..], b"k", b"a b"])
        );
        assert_eq!(words(b"SET k ''"), Some(vec![&b"SET"[..], b"k", b""]));
        assert_eq!(words(b"SET k \"a"), None);
        assert_eq!(words(b"SET k \"a\"b"), None);
        assert_eq!(words(b""), Some(vec![]));
    }
}
