//! What of an item's key its database is, and what the client's.

use super::{View, long_key};
use crate::arena::bytes;
use crate::geometry::{SHORT_KEY_BYTES_MAX, WORD_BYTES};
use crate::space::{DATABASES, PREFIX_BYTES, Space};

impl View<'_> {
    /// What stands before the item's key.
    #[inline(always)]
    pub fn space(&self) -> Space {
        if self.header.has_long_key() {
            return self.long_key_space();
        }
        let at = self.header.key_at();
        let first = self.region.arena.load(self.word + at / WORD_BYTES) >> (8 * (at % WORD_BYTES));
        if usize::from(first as u8) < DATABASES && self.header.key_len > 0 {
            self.space_apart()
        } else {
            Space::PLAIN
        }
    }

    #[inline(never)]
    fn space_apart(&self) -> Space {
        let mut prefix = [0; PREFIX_BYTES];
        bytes::copy_out(self.words, self.header.key_at(), &mut prefix);
        Space::split(&prefix).0
    }

    /// Calls `with` with the item's key, and what stands before it.
    #[inline(always)]
    pub fn with_key<T>(&self, with: impl FnOnce(Space, &[u8]) -> T) -> T {
        if self.header.has_long_key() {
            return long_key::with(self.region, self.word, self.header, with);
        }
        let mut key = [0u8; SHORT_KEY_BYTES_MAX + 6];
        let key = &mut key[..usize::from(self.header.key_len)];
        bytes::copy_out(self.words, self.header.key_at(), key);
        let (space, key) = Space::split(key);
        with(space, key)
    }
}
