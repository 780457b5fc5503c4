//! The beginning of some bytes, kept without an allocation and without a reference to where they came from; and how bytes
//! are shown that may be anything.

use std::fmt::{self, Write};

/// At most `N` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Few<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Few<N> {
    /// None at all.
    pub const NONE: Self = Few {
        bytes: [0; N],
        len: 0,
    };

    /// The first of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        let len = bytes.len().min(N);
        let mut few = Self::NONE;
        few.bytes[..len].copy_from_slice(&bytes[..len]);
        few.len = len as u8;
        few
    }

    /// What was kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Printable ASCII stands for itself; `%`, `"`, `\`, blanks and all other bytes are `%` and two hexadecimal digits. So it is one word
/// of a line, needs no escapes in JSON, and `urldecode` makes the bytes of it again.
pub struct Escaped<'k>(pub &'k [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'%' | b'"' | b'\\' => write!(f, "%{byte:02X}"),
            byte if byte.is_ascii_graphic() => f.write_char(char::from(byte)),
            byte => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_one_word() {
        for (bytes, shown) in [
            (&b"user:1"[..], "user:1"),
            (b"a b\tc\r\n", "a%20b%09c%0D%0A"),
            (b"\"\\%\xff", "%22%5C%25%FF"),
            (b"", ""),
        ] {
            assert_eq!(Escaped(bytes).to_string(), shown);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        for (bytes, kept) in [(&b""[..], &b""[..]), (b"abc", b"abc"), (b"abcde", b"abcd")] {
            assert_eq!(Few::<4>::of(bytes).as_bytes(), kept);
            assert_eq!(Few::<4>::of(bytes).is_empty(), bytes.is_empty());
        }
    }
}
