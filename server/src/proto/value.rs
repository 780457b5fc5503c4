//! Where a long value ends, when it is not held whole.
//!
//! A value that is streamed is looked at a part at a time. Its protocol says how it ends:
//!
//! - *At a newline.* All but one byte of what it may hold is plain: a `\r` at the end of a part
//!   belongs to the value unless the next part begins with `\n`. So that one byte waits here,
//!   as a flag.
//! - *After so many bytes,* which two more, `\r\n`, have to follow. If they are others, the
//!   value was not what it was said to be. Or nothing follows.

use super::scan::newline;

/// The state between two parts of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueScan {
    /// It ends at a newline.
    Line {
        /// A `\r` waits.
        holds_cr: bool,
    },
    /// It ends by count.
    Counted {
        /// Bytes of the value that have not come.
        left: usize,
        /// Bytes behind it that have come.
        behind: usize,
        /// They are the right ones so far.
        good: bool,
        /// It matters which they are: Redis does not look.
        checked: bool,
    },
}

/// What is known of a value's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueEnd {
    /// It has not come.
    NotYet,
    /// The value is whole.
    Whole,
    /// Something else stood where the end should have been.
    Broken,
}

/// What waits at the end of a part.
pub const HELD: &[u8] = b"\r";

const COUNTED_END: &[u8; 2] = b"\r\n";

/// What some bytes bring to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValuePart<'a> {
    /// A `\r` held back from the part before belongs to the value, before `bytes`.
    pub cr_first: bool,
    /// What to append.
    pub bytes: &'a [u8],
    /// How many of the given bytes stand behind `bytes` and are used up with it: a `\r` that
    /// is held back, the line's end.
    pub tail: usize,
    /// Whether the value is whole with it.
    pub end: ValueEnd,
}

impl ValueScan {
    /// Of a value that ends at a newline.
    pub const LINE: Self = ValueScan::Line { holds_cr: false };

    /// Of a value of so many bytes.
    #[must_use]
    pub const fn counted(value_len: usize) -> Self {
        ValueScan::Counted {
            left: value_len,
            behind: 0,
            good: true,
            checked: true,
        }
    }

    /// The same, where nobody looks which two bytes follow it.
    #[must_use]
    pub const fn framed(value_len: usize) -> Self {
        ValueScan::Counted {
            left: value_len,
            behind: 0,
            good: true,
            checked: false,
        }
    }

    /// The same, where nothing follows it.
    #[must_use]
    pub const fn bare(value_len: usize) -> Self {
        ValueScan::Counted {
            left: value_len,
            behind: COUNTED_END.len(),
            good: true,
            checked: false,
        }
    }

    /// Looks at what has arrived (at least one byte) and changes nothing; tell
    /// [`taken`](Self::taken) when it has been stored.
    #[must_use]
    pub fn part<'a>(&self, bytes: &'a [u8]) -> ValuePart<'a> {
        match *self {
            ValueScan::Line { holds_cr } => line_part(bytes, holds_cr),
            ValueScan::Counted {
                left,
                behind,
                good,
                checked,
            } => {
                let (value, after) = bytes.split_at(left.min(bytes.len()));
                let expected = &COUNTED_END[behind..];
                let tail = if value.len() < left {
                    0
                } else {
                    after.len().min(expected.len())
                };
                let good = good && (!checked || after[..tail] == expected[..tail]);
                ValuePart {
                    cr_first: false,
                    bytes: value,
                    tail,
                    end: match (value.len() == left && tail == expected.len(), good) {
                        (false, _) => ValueEnd::NotYet,
                        (true, true) => ValueEnd::Whole,
                        (true, false) => ValueEnd::Broken,
                    },
                }
            }
        }
    }

    /// How many bytes can be put to the value before anybody has looked at them: all that are left, or any number if the
    /// value ends at a newline.
    #[must_use]
    pub fn unseen(&self) -> usize {
        match *self {
            ValueScan::Line { holds_cr: true } => 0,
            ValueScan::Line { holds_cr: false } => usize::MAX,
            ValueScan::Counted { left, .. } => left,
        }
    }

    /// Whether all has come that there is, also of what follows the value.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(*self, ValueScan::Counted { left: 0, behind, .. } if behind == COUNTED_END.len())
    }

    /// Whether the value's length is known.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        matches!(self, ValueScan::Counted { .. })
    }

    /// Of bytes that were put to a value that ends at a newline, and of which nobody had looked at any: so many belong to it.
    /// The others are to be looked at as a part.
    #[must_use]
    pub fn surely(&self, bytes: &[u8]) -> usize {
        let end = newline(bytes).unwrap_or(bytes.len());
        end - usize::from(bytes[..end].ends_with(HELD))
    }

    /// The held `\r` has been stored.
    pub fn cr_taken(&mut self) {
        *self = ValueScan::LINE;
    }

    /// The first `n` bytes of the last part's value were stored, and nothing behind them.
    pub fn taken_some(&mut self, n: usize) {
        if let ValueScan::Counted { left, .. } = self {
            *left -= n;
        }
    }

    /// A whole part has been stored; its tail is used up. `bytes` is what [`part`](Self::part)
    /// was given.
    pub fn taken(&mut self, part: ValuePart<'_>, bytes: &[u8]) {
        match self {
            ValueScan::Line { holds_cr } => {
                *holds_cr = part.end == ValueEnd::NotYet && part.tail == 1;
            }
            ValueScan::Counted {
                left,
                behind,
                good,
                checked,
            } => {
                let tail = &bytes[part.bytes.len()..][..part.tail];
                *good &= !*checked || *tail == COUNTED_END[*behind..][..part.tail];
                *left -= part.bytes.len();
                *behind += part.tail;
            }
        }
    }
}

fn line_part(bytes: &[u8], holds_cr: bool) -> ValuePart<'_> {
    let (body, ends) = match newline(bytes) {
        Some(at) => (&bytes[..at], true),
        None => (bytes, false),
    };
    // The held `\r` goes with the newline if nothing stands between them.
    let cr_first = holds_cr && !(ends && body.is_empty());
    let (value, cr) = match body {
        [rest @ .., b'\r'] => (rest, 1),
        _ => (body, 0),
    };
    ValuePart {
        cr_first,
        bytes: value,
        tail: cr + usize::from(ends),
        end: if ends {
            ValueEnd::Whole
        } else {
            ValueEnd::NotYet
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value in `input`, fed in parts that end at `cuts`, and what stands behind it.
    fn stream(input: &[u8], cuts: &[usize]) -> (Vec<u8>, usize) {
        let (value, at, end) = stream_as(ValueScan::LINE, input, cuts);
        assert_eq!(end, ValueEnd::Whole);
        (value, at)
    }

    fn stream_as(mut scan: ValueScan, input: &[u8], cuts: &[usize]) -> (Vec<u8>, usize, ValueEnd) {
        let mut value = Vec::new();
        let mut at = 0;
        for &cut in cuts.iter().chain(&[input.len()]) {
            while at < cut {
                let part = scan.part(&input[at..cut]);
                if part.cr_first {
                    value.push(b'\r');
                }
                value.extend_from_slice(part.bytes);
                at += part.bytes.len() + part.tail;
                scan.taken(part, &input[at - part.bytes.len() - part.tail..]);
                if part.end != ValueEnd::NotYet {
                    return (value, at, part.end);
                }
            }
        }
        panic!("no end in {:?}", input.escape_ascii());
    }

    #[test]
    fn any_split_gives_the_value_that_the_whole_line_gives() {
        let table: &[(&[u8], &[u8])] = &[
            (b"\n", b""),
            (b"\r\n", b""),
            (b"\r\r\n", b"\r"),
            (b"abc\n", b"abc"),
            (b"abc\r\n", b"abc"),
            (b"a\rb\r\r\n", b"a\rb\r"),
            (b"\r\r\rx\r\n", b"\r\r\rx"),
            (b"a\r\nGET b\r\n", b"a"),
        ];
        for &(input, expected) in table {
            let end = input.iter().position(|&b| b == b'\n').expect("a newline") + 1;
            let every: Vec<usize> = (1..input.len()).collect();
            assert_eq!(stream(input, &[]), (expected.to_vec(), end));
            assert_eq!(stream(input, &every), (expected.to_vec(), end));
            for cut in 1..input.len() {
                assert_eq!(stream(input, &[cut]), (expected.to_vec(), end));
                for second in cut..input.len() {
                    assert_eq!(stream(input, &[cut, second]), (expected.to_vec(), end));
                }
            }
        }
    }

    #[test]
    fn what_nobody_has_looked_at_ends_where_a_part_would() {
        let table: &[(&[u8], usize)] = &[
            (b"", 0),
            (b"abc", 3),
            (b"ab\r", 2),
            (b"\r", 0),
            (b"ab\n", 2),
            (b"ab\r\nGET x\r\n", 2),
            (b"a\rb\r\r\n", 4),
            (b"\n", 0),
        ];
        for &(bytes, expected) in table {
            assert_eq!(
                ValueScan::LINE.surely(bytes),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
        let scans = [
            (ValueScan::LINE, usize::MAX, false),
            (ValueScan::Line { holds_cr: true }, 0, false),
            (ValueScan::counted(7), 7, false),
            (ValueScan::counted(0), 0, false),
            (ValueScan::bare(7), 7, false),
            (ValueScan::bare(0), 0, true),
        ];
        for (scan, unseen, is_whole) in scans {
            assert_eq!(
                (scan.unseen(), scan.is_whole()),
                (unseen, is_whole),
                "{scan:?}"
            );
        }
        let whole = ValueScan::bare(0).part(b"");
        assert_eq!(
            (whole.bytes, whole.tail, whole.end),
            (&b""[..], 0, ValueEnd::Whole)
        );
    }

    #[test]
    fn a_counted_value_ends_by_count_however_it_is_split() {
        let table: &[(&[u8], usize, &[u8], ValueEnd)] = &[
            (b"abc\r\nget", 3, b"abc", ValueEnd::Whole),
            (b"\r\nx", 0, b"", ValueEnd::Whole),
            (b"a\nb\r\n", 3, b"a\nb", ValueEnd::Whole),
            (b"abcd\r\n", 3, b"abc", ValueEnd::Broken),
            (b"abc\rx", 3, b"abc", ValueEnd::Broken),
            (b"abc\n\r", 3, b"abc", ValueEnd::Broken),
        ];
        for &(input, len, value, end) in table {
            let expected = (value.to_vec(), len + 2, end);
            let scan = ValueScan::counted(len);
            let every: Vec<usize> = (1..input.len()).collect();
            assert_eq!(stream_as(scan, input, &[]), expected);
            assert_eq!(stream_as(scan, input, &every), expected);
            for cut in 1..input.len() {
                assert_eq!(stream_as(scan, input, &[cut]), expected);
            }
        }
    }
}
