//! Keys with something before them: see [`space`](crate::space). Apart from the rest of the view, because those of database 0 have
//! nothing.

use super::{View, long_key};
use crate::arena::bytes;
use crate::geometry::{SHORT_KEY_BYTES_MAX, WORD_BYTES};
use crate::item::header::{Header, Kind};
use crate::region::Region;
use crate::space::{DATABASES, PREFIX_BYTES, Space};

impl View<'_> {
    /// What stands before the item's key.
    #[inline(always)]
    pub fn space(&self) -> Space {
        let at = self.header.key_at();
        let first = self.region.arena.load(self.word + at / WORD_BYTES) >> (8 * (at % WORD_BYTES));
        if usize::from(first as u8) < DATABASES
            && self.header.key_len > 0
            && !self.header.has_long_key()
        {
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
            return long_key::with(self.region, self.word, self.header, |key| {
                with(Space::PLAIN, key)
            });
        }
        let mut key = [0u8; SHORT_KEY_BYTES_MAX + 6];
        let key = &mut key[..usize::from(self.header.key_len)];
        bytes::copy_out(self.words, self.header.key_at(), key);
        let (space, key) = Space::split(key);
        with(space, key)
    }
}

/// [`View::key_is`] for a key that has something before it.
#[inline(never)]
pub(super) fn key_is(
    region: &Region,
    word: usize,
    header: Header,
    key: &[u8],
    space: Space,
) -> bool {
    // The header may be torn, and reach outside the arena.
    let Some(words) = region.arena.get(word, header.words()) else {
        return false;
    };
    usize::from(header.key_len) == PREFIX_BYTES + key.len()
        && header.kind() == Kind::Linked
        && bytes::equals(words, header.key_at(), &space.prefix())
        && bytes::equals(words, header.key_at() + PREFIX_BYTES, key)
}
