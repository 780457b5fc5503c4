//! Key and value, written where nobody finds them yet, or under the bucket's stamp.

use super::View;
use crate::hash::Key;

impl View<'_> {
    /// Writes another value of as many bytes as this piece's part of the body has, which is all of the value.
    #[inline(always)]
    pub fn write_over(&self, value: &[u8]) {
        debug_assert!(value.len() == usize::from(self.header.value_len));
        let at = self.header.value_at();
        self.region.arena.copy_into(self.words, at, value);
    }

    /// Writes the key, of a long one what is not in the body.
    pub fn write_key(&self, key: Key<'_>) {
        if key.is_long() {
            return self.write_long_key(key);
        }
        let at = self.at() + self.header.key_at();
        let space = key.space();
        if !space.is_plain() {
            self.region.arena.copy_in(at, &space.prefix());
        }
        self.region
            .arena
            .copy_in(at + space.prefix_len(), key.bytes());
    }

    /// Writes a short key and a value that is one piece.
    #[inline(always)]
    pub fn write_whole(&self, key: Key<'_>, value: &[u8]) {
        if key.space().is_plain() {
            let arena = &self.region.arena;
            arena.copy_into(self.words, self.header.key_at(), key.bytes());
            arena.copy_into(self.words, self.header.value_at(), value);
        } else {
            self.write_key(key);
            self.write_piece(0, value);
        }
    }
}
