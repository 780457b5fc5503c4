//! Keys that go on behind the place that an item has for keys: see [`header`](crate::item::header).
//!
//! Apart from the rest of the view, because next to no item has one.

use super::View;
use crate::arena::bytes;
use crate::chunk_ref::ChunkRef;
use crate::geometry::KEY_BYTES_MAX;
use crate::hash::{Key, KeyHash};
use crate::item::header::{
    Header, Kind, LONG_KEY_HEAD_BYTES, LONG_KEY_HERE_BYTES, LONG_KEY_SPACE_AT, flag,
};
use crate::region::Region;
use crate::space::Space;

impl View<'_> {
    pub(super) fn long_key_len(&self) -> usize {
        usize::from(bytes::peek(self.words, self.header.key_at()) as u16)
    }

    /// What the key's hash is said to be.
    pub(super) fn long_key_hash(&self) -> KeyHash {
        KeyHash::from_number(bytes::peek(self.words, self.header.key_at() + 2))
    }

    /// What stands before the key, so to speak: it has a place of its own.
    #[inline(never)]
    pub(super) fn long_key_space(&self) -> Space {
        let at = self.header.key_at() + LONG_KEY_SPACE_AT;
        Space::stored(bytes::peek(self.words, at) as u32)
    }

    /// Writes what is not in the body.
    pub(super) fn write_long_key(&self, key: Key<'_>) {
        let (arena, at) = (&self.region.arena, self.at() + self.header.key_at());
        arena.copy_in(at, &(key.bytes().len() as u16).to_le_bytes());
        arena.copy_in(at + 2, &key.hash().number().to_le_bytes());
        arena.copy_in(at + LONG_KEY_SPACE_AT, &key.space().prefix());
        let here = &key.bytes()[..LONG_KEY_HERE_BYTES];
        arena.copy_in(at + LONG_KEY_HEAD_BYTES, here);
    }

    /// The piece of the body in which the value begins, and where in that.
    pub fn value_begin(&self) -> (ChunkRef, usize) {
        let geometry = &self.region.geometry;
        let (mut piece, mut at) = (*self, self.key_body_len());
        while at > usize::from(piece.header.value_len) {
            at -= usize::from(piece.header.value_len);
            piece = View::known(self.region, piece.next_piece());
        }
        (geometry.chunk_at(piece.word), at)
    }
}

/// [`View::key_is`] of a long key: all of it is compared, wherever it lies. Without a lock what it finds may be
/// anything; that it ends is certain.
#[cold]
#[inline(never)]
pub(super) fn is(region: &Region, word: usize, header: Header, key: &[u8], space: Space) -> bool {
    let mut piece = View::of(region, word, header);
    let is_one =
        header.has_long_key() && header.kind() == Kind::Linked && header.has(flag::CHAINED);
    if !is_one || piece.long_key_len() != key.len() || piece.long_key_space() != space {
        return false;
    }
    let (here, mut rest) = key.split_at(LONG_KEY_HERE_BYTES);
    if !bytes::equals(piece.words, header.key_at() + LONG_KEY_HEAD_BYTES, here) {
        return false;
    }
    loop {
        let (part, after) = rest.split_at(rest.len().min(usize::from(piece.header.value_len)));
        if !bytes::equals(piece.words, piece.header.value_at(), part) {
            return false;
        }
        rest = after;
        if rest.is_empty() {
            return true;
        }
        match piece.after() {
            Some(next) => piece = next,
            None => return false,
        }
    }
}

/// [`View::with_key`] of a long key, under the lock or of one's own item.
#[cold]
#[inline(never)]
pub(super) fn with<T>(
    region: &Region,
    word: usize,
    header: Header,
    with: impl FnOnce(Space, &[u8]) -> T,
) -> T {
    let mut piece = View::of(region, word, header);
    let space = piece.long_key_space();
    let mut key = [0u8; KEY_BYTES_MAX];
    let key = &mut key[..piece.long_key_len()];
    let (here, mut rest) = key.split_at_mut(LONG_KEY_HERE_BYTES);
    bytes::copy_out(piece.words, header.key_at() + LONG_KEY_HEAD_BYTES, here);
    loop {
        let len = rest.len().min(usize::from(piece.header.value_len));
        let (part, after) = rest.split_at_mut(len);
        piece.copy_piece(0, part);
        rest = after;
        if rest.is_empty() {
            break;
        }
        piece = View::known(region, piece.next_piece());
    }
    with(space, key)
}

#[cfg(test)]
mod tests {
    use super::LONG_KEY_HERE_BYTES;
    use crate::hash::{Key, KeyHash};
    use crate::{Attributes, Cache, Lookup, Options, Plan, Tick};

    /// Keys of one and the same hash: nothing but the bytes tells them apart.
    #[test]
    fn a_hash_that_is_shared_finds_nobody_elses_value() {
        let options = Options {
            budget_bytes: 8 << 20,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        let hash = KeyHash::from_number(0x1234_5678_9ABC_DEF0);
        let base = [b'/'; 9000];
        let mut names: Vec<Vec<u8>> = Vec::new();
        for len in [0, 1, 250, 251, 255, 256, 5000, 9000] {
            names.push(base[..len].to_vec());
            for at in [
                0,
                LONG_KEY_HERE_BYTES - 1,
                LONG_KEY_HERE_BYTES,
                len.max(1) - 1,
            ] {
                let mut name = base[..len].to_vec();
                if let Some(byte) = name.get_mut(at) {
                    *byte = b'?';
                    names.push(name);
                }
            }
        }
        // As a long key lies before its body.
        let mut as_it_lies = 9000u16.to_le_bytes().to_vec();
        as_it_lies.extend_from_slice(&hash.number().to_le_bytes());
        as_it_lies.extend_from_slice(&base[..LONG_KEY_HERE_BYTES]);
        names.push(as_it_lies);
        names.sort_unstable();
        names.dedup();
        let mut out = [0; 8];
        for (number, name) in names.iter().enumerate() {
            let key = Key::known(name, crate::space::Space::PLAIN, hash);
            assert_eq!(cache.get(key, Tick::ZERO, &mut out), Lookup::Miss);
            cache
                .put(
                    key,
                    &number.to_le_bytes(),
                    Attributes::default(),
                    Tick::ZERO,
                )
                .unwrap();
        }
        for (number, name) in names.iter().enumerate() {
            let found = cache.get(
                Key::known(name, crate::space::Space::PLAIN, hash),
                Tick::ZERO,
                &mut out,
            );
            assert!(matches!(found, Lookup::Hit(_)), "{number}: {found:?}");
            assert_eq!(out, number.to_le_bytes());
        }
        for (number, name) in names.iter().enumerate() {
            assert!(
                cache.delete(
                    Key::known(name, crate::space::Space::PLAIN, hash),
                    Tick::ZERO
                ),
                "{number}"
            );
        }
        assert_eq!(cache.stats().items, 0);
    }
}
