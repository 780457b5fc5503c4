//! The words of a line.

use crate::proto::number;
use crate::proto::scan::skip_spaces;

/// What is left of a line.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    #[inline]
    pub fn of(line: &'a [u8]) -> Self {
        Words { rest: line }
    }

    /// Everything behind the last word taken.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A whole number with perhaps a minus.
    #[inline]
    pub fn number(&mut self) -> Option<i64> {
        number::parse_i64(self.next()?)
    }

    /// Whether the last word asks for silence.
    #[inline]
    pub fn end_quietly(self) -> bool {
        let line = self.rest.trim_ascii_end();
        line.ends_with(b"noreply") && (line.len() == 7 || line[line.len() - 8] == b' ')
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = skip_spaces(self.rest);
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        Some(word)
    }
}
