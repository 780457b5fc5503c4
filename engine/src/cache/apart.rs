//! A long item that is being read, replaced by a copy of itself, so that it can be changed.
//!
//! A change that needs another first piece leaves the rest of the chain where it lies (`shard::extend`), but the pieces of an item that
//! somebody reads belong to the reader. All of it would have to be copied: 15 ms and more for 100 MiB, while everybody else who wants
//! the shard's lock waits. So it is copied without:
//!
//! ```text
//! lock: note the item, pin it │ reserve, and copy, while others go on │ lock: is it still the same? The copy takes its place
//! ```
//!
//! The copy has the item's fields and its CAS number, so that nobody can tell, and nobody reads it yet: the change goes on as if there
//! had been no reader. If the item was changed meanwhile, or the copy has got a reader of its own before the change came,
//! all of it is done again; the last try copies under the lock, so that a change ends however many read.

use super::Cache;
use crate::chunk_ref::ChunkRef;
use crate::error::StoreError;
use crate::hash::Key;
use crate::item::header::flag;
use crate::item::view::View;
use crate::pinned::Pinned;
use crate::shard::fill::{Filler, copy_range};
use crate::shard::reserve::Blueprint;
use crate::tick::Tick;
use crate::types::Attributes;

/// Copies without the lock that one change makes at most.
const COPIES_MAX: usize = 4;

/// A copy that is not there yet.
struct Copying<'c> {
    /// The item that is copied.
    original: Pinned<'c>,
    /// Its first piece, and the copy's.
    from: ChunkRef,
    to: ChunkRef,
}

impl Cache {
    /// Replaces the key's item by a copy of itself that nobody reads, if it is a long one that is being read. Behind
    /// `copies` of them the item is to be copied under the lock.
    ///
    /// # Errors
    /// As for a store of the value.
    pub(super) fn set_apart(
        &self,
        key: Key<'_>,
        copies: usize,
        now: Tick,
    ) -> Result<(), StoreError> {
        if copies >= COPIES_MAX {
            let mut state = self.shard(key.hash()).lock(&self.region);
            if let Some(place) = state.find_live(key, now) {
                state.copied_here = place.chunk;
            }
            return Ok(());
        }
        if let Some(copying) = self.copy_apart(key, now)? {
            self.put_apart(key, copying);
        }
        Ok(())
    }

    /// Makes the copy. `None`: nobody reads the item any more, or it is gone.
    fn copy_apart(&self, key: Key<'_>, now: Tick) -> Result<Option<Copying<'_>>, StoreError> {
        let region = &self.region;
        let shard = self.shard(key.hash());
        let mut state = shard.lock(region);
        let Some(place) = state.find_live(key, now) else {
            return Ok(None);
        };
        let from = place.chunk;
        // It has its place in the table already.
        if !state.pins.is_pinned(from) || !state.pin(from) {
            return Ok(None);
        }
        let original = Pinned::new(region, shard, from);
        let view = View::known(region, from);
        let blueprint = Blueprint {
            key,
            attributes: Attributes {
                client_flags: view.client_flags(),
                deadline: view.deadline(),
            },
            flags: view.header.flags() & !(flag::CHAINED | flag::MAIN),
            cas: None,
            marks: view.marks(),
        };
        drop(state);
        let value_len = original.meta().value_len;
        let layout = blueprint.layout(&region.geometry.classes, value_len);
        let to = self.reserve_layout(blueprint, layout, value_len, now)?;
        let mut filler = Filler::of_value(region, to);
        copy_range(region, from, 0, value_len, |part| {
            filler.write(region, part);
        });
        Ok(Some(Copying { original, from, to }))
    }

    /// The copy takes the item's place, if that is still the same. Whether it did.
    fn put_apart(&self, key: Key<'_>, copying: Copying<'_>) -> bool {
        let region = &self.region;
        let Copying { original, from, to } = copying;
        let value_len = original.meta().value_len;
        let mut state = self.shard(key.hash()).lock(region);
        // From here on the pin ends under this lock.
        original.into_reading();
        let (old, new) = (View::known(region, from), View::known(region, to));
        // Its bytes are as they were: nothing is written over an item that is pinned. It may have grown.
        let place = state
            .find(key)
            .filter(|place| place.chunk == from && old.value_len() == value_len);
        state.unpin(from);
        let Some(place) = place else {
            state.abandon(to);
            return false;
        };
        // What is changed where it lies may have been.
        new.renew_fields(old.client_flags(), old.deadline(), old.marks());
        if let Some(cas) = old.cas() {
            new.set_cas(cas);
        }
        state.put_copy(place, to);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CasWish, Outcome, Side};
    use crate::{Deadline, Lookup, Options, Plan};

    const NOW: Tick = Tick::from_secs(1000);
    const LONG: usize = 300_000;

    fn open() -> Cache {
        let options = Options {
            budget_bytes: 16 << 20,
            ..Options::default()
        };
        Cache::open(Plan::new(&options).unwrap()).unwrap()
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[track_caller]
    fn check(cache: &Cache, name: &[u8], expected: Option<&[u8]>) {
        let mut out = vec![0; LONG + 100];
        let seen = match cache.get(cache.key(name).unwrap(), NOW, &mut out) {
            Lookup::Hit(meta) => Some(&out[..meta.value_len]),
            _ => None,
        };
        assert!(seen == expected);
    }

    /// What may happen to the item while it is copied, and whether the copy takes its place.
    #[test]
    fn a_copy_of_what_has_changed_is_thrown_away() {
        type Harm = fn(&Cache, Key<'_>);
        let deadline = Deadline::exact(NOW.plus_millis(70_000));
        let grow: Harm = |cache, key| {
            let extended = cache.extend(key, b"x", Side::Behind, None, CasWish::IfKept, NOW);
            assert_eq!(extended.unwrap().outcome, Outcome::Stored);
        };
        let harms: [(&str, Harm, bool); 6] = [
            ("nothing", |_, _| {}, true),
            (
                "touched",
                |cache, key| {
                    let later = Deadline::exact(NOW.plus_millis(90_000));
                    assert_eq!(cache.touch(key, later, NOW), Ok(true));
                },
                true,
            ),
            ("grown", grow, false),
            (
                "deleted",
                |cache, key| assert!(cache.delete(key, NOW)),
                false,
            ),
            (
                "stored",
                |cache, key| {
                    cache
                        .put(key, b"other", Attributes::default(), NOW)
                        .unwrap();
                },
                false,
            ),
            ("flushed", |cache, _| cache.flush(), false),
        ];
        for name in [&b"short"[..], &[b'k'; 2000]] {
            for (what, harm, is_kept) in harms {
                let cache = open();
                let key = cache.key(name).unwrap();
                let attributes = Attributes {
                    client_flags: 77,
                    deadline,
                };
                cache.put(key, &bytes(LONG), attributes, NOW).unwrap();
                let number = cache.cas(key, NOW).unwrap().unwrap();
                let mut reader = cache.pin(key, NOW).unwrap().unwrap();
                let copying = cache.copy_apart(key, NOW).unwrap().expect("it is read");
                harm(&cache, key);
                let before = cache.meta(key, NOW);
                let mut whole = vec![0; LONG + 100];
                let seen = cache.get(key, NOW, &mut whole);
                assert_eq!(cache.put_apart(key, copying), is_kept, "{what}");
                assert_eq!(cache.meta(key, NOW), before, "{what}");
                if what == "nothing" {
                    assert_eq!(before.unwrap().cas, Some(number));
                    assert_eq!(before.unwrap().client_flags, 77);
                }
                let left = match seen {
                    Lookup::Hit(meta) => Some(&whole[..meta.value_len]),
                    _ => None,
                };
                check(&cache, name, left);
                // The reader sees what was there, to the end.
                let mut out = vec![0; LONG];
                assert_eq!(reader.read(&mut out), LONG);
                assert!(out == bytes(LONG), "{what}");
                drop(reader);
                let audit = cache
                    .audit()
                    .unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
                assert_eq!((audit.reserved_chunks, audit.orphans), (0, 0), "{what}");
                cache.delete(key, NOW);
                while cache.maintain(NOW, 1000).more {}
                assert_eq!(cache.audit().unwrap().item_pages, 0, "{what}");
            }
        }
    }

    /// A change ends, although somebody begins to read each copy before the change comes.
    #[test]
    fn the_last_try_is_under_the_lock() {
        let cache = open();
        let key = cache.key(b"long").unwrap();
        cache
            .put(key, &bytes(LONG), Attributes::default(), NOW)
            .unwrap();
        let mut readers = vec![cache.pin(key, NOW).unwrap().unwrap()];
        for copies in 0..COPIES_MAX {
            let before = cache.head_of(key);
            cache.set_apart(key, copies, NOW).unwrap();
            assert_ne!(cache.head_of(key), before, "a copy has taken its place");
            readers.push(cache.pin(key, NOW).unwrap().unwrap());
        }
        let before = cache.head_of(key);
        cache.set_apart(key, COPIES_MAX, NOW).unwrap();
        assert_eq!(cache.head_of(key), before);
        let deadline = Deadline::exact(NOW.plus_millis(5000));
        assert_eq!(cache.touch(key, deadline, NOW), Ok(true));
        assert_ne!(cache.head_of(key), before);
        assert_eq!(cache.meta(key, NOW).unwrap().deadline, deadline);
        check(&cache, b"long", Some(&bytes(LONG)));
        for mut reader in readers {
            let mut out = vec![0; LONG];
            assert_eq!(reader.read(&mut out), LONG);
            assert!(out == bytes(LONG));
        }
        assert_eq!(cache.audit().unwrap().orphans, 0);
    }

    #[test]
    fn without_room_for_a_copy_nothing_changes() {
        let options = Options {
            budget_bytes: 14 << 20,
            item_bytes_max: 6 << 20,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        let key = cache.key(b"long").unwrap();
        let value = bytes(5 << 20);
        cache.put(key, &value, Attributes::default(), NOW).unwrap();
        let reader = cache.pin(key, NOW).unwrap().unwrap();
        let other = cache.key(b"another").unwrap();
        cache
            .put(other, &value, Attributes::default(), NOW)
            .unwrap();
        let others = cache.pin(other, NOW).unwrap().unwrap();
        let deadline = Deadline::exact(NOW.plus_millis(5000));
        assert_eq!(cache.touch(key, deadline, NOW), Err(StoreError::NoSpace));
        assert_eq!(cache.audit().unwrap().reserved_chunks, 0);
        drop((reader, others));
        assert_eq!(cache.touch(key, deadline, NOW), Ok(true));
        let mut out = vec![0; value.len()];
        assert!(matches!(cache.get(key, NOW, &mut out), Lookup::Hit(_)));
        assert!(out == value);
    }

    impl Cache {
        /// The first piece of the key's item.
        fn head_of(&self, key: Key<'_>) -> ChunkRef {
            let state = self.shard(key.hash()).lock(&self.region);
            state.find(key).expect("it is there").chunk
        }
    }
}
