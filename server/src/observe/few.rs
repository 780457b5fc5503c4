//! The beginning of some bytes, kept where they are: no allocation, and no reference to where they came from.

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

    /// They.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        for (bytes, kept) in [(&b""[..], &b""[..]), (b"abc", b"abc"), (b"abcde", b"abcd")] {
            assert_eq!(Few::<4>::of(bytes).as_bytes(), kept);
            assert_eq!(Few::<4>::of(bytes).is_empty(), bytes.is_empty());
        }
    }
}
