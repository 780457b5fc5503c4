//! Comparing keys with something before them: see [`space`](crate::space). Apart from the rest of the view, because those of
//! database 0 have nothing.

use crate::arena::bytes;
use crate::item::header::{Header, Kind};
use crate::region::Region;
use crate::space::{PREFIX_BYTES, Space};

/// `View::key_is` for a key that has something before it.
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
