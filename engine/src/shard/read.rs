//! Reading without the lock.
//!
//! Note extent and stamp, probe, compare the key, copy, validate; after
//! [`RETRIES_MAX`] failures under the lock, so that a reader always ends. A hit on an
//! active item stores nothing anywhere. The first three hits on one that is not mark it, under
//! `try_lock`: a mark is only a hint, so a busy lock means no mark. (A compare-exchange on
//! the slot would be cheaper, but a late one could land in a page that has become
//! something else.)

use super::locked::{Locked, Shard};
use crate::hash::{Key, KeyHash};
use crate::index::Place;
use crate::index::bucket::Slot;
use crate::index::probe::{Chain, First, Lost, Probe, Spot};
use crate::item::view::View;
use crate::lru::segments::MARKS_MAX;
use crate::region::Region;
use crate::space::Space;
use crate::tick::Tick;
use crate::types::{Copied, ItemMeta, Lookup};

/// Torn reads in a row before the lock is taken.
const RETRIES_MAX: usize = 8;

/// What writes the head of a value, where speed does not matter: one piece of code for all of
/// them.
type Head<'h> = &'h mut dyn FnMut(&ItemMeta, &mut [u8]) -> Option<usize>;

impl Shard {
    /// Copies the value to `out`, behind what `head` writes there.
    #[inline]
    pub fn get(
        &self,
        region: &Region,
        key: Key<'_>,
        now: Tick,
        out: &mut [u8],
        mut head: impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize>,
    ) -> Lookup {
        let spot = Spot::of(&region.arena, &region.geometry, key.hash());
        let mut meta = ItemMeta::default();
        // The first look is apart from the others, which are rare: code for one alone is short.
        match self.get_once(region, key, &spot, now, out, &mut meta, &mut head) {
            Some(Copied::Bytes(_)) => Lookup::Hit(meta),
            Some(Copied::Miss) => Lookup::Miss,
            Some(Copied::TooSmall) => Lookup::TooSmall(meta),
            None => self.get_again(region, key, now, out, &mut head),
        }
    }

    /// The same, where it is known where to look, and nothing but a length is wanted.
    #[inline(always)]
    pub fn get_at(
        &self,
        region: &Region,
        key: Key<'_>,
        spot: &Spot,
        now: Tick,
        out: &mut [u8],
        mut head: impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize>,
    ) -> Copied {
        let mut meta = ItemMeta::default();
        if let Some(found) = self.get_once(region, key, spot, now, out, &mut meta, &mut head) {
            return found;
        }
        let mut head_len = 0;
        let mut noting = |meta: &ItemMeta, room: &mut [u8]| {
            head_len = head(meta, room)?;
            Some(head_len)
        };
        match self.get_again(region, key, now, out, &mut noting) {
            Lookup::Hit(meta) => Copied::Bytes(head_len + meta.value_len),
            Lookup::Miss => Copied::Miss,
            Lookup::TooSmall(_) => Copied::TooSmall,
        }
    }

    /// One look. `None`: a writer interfered. `meta` is told of an item that is there.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn get_once(
        &self,
        region: &Region,
        key: Key<'_>,
        spot: &Spot,
        now: Tick,
        out: &mut [u8],
        meta: &mut ItemMeta,
        head: &mut (impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize> + ?Sized),
    ) -> Option<Copied> {
        // Without a closure: one of this size would be a function of its own.
        let (probe, found) = seek(region, key, spot)?;
        let Some((view, slot)) = found.filter(|(view, _)| !view.is_expired(now)) else {
            return probe.validate(&region.arena).then_some(Copied::Miss);
        };
        *meta = view.meta();
        let copied = match value_room(meta, out, head) {
            Some((head_len, room)) => {
                if !view.copy_value(room) {
                    return None;
                }
                Copied::Bytes(head_len + meta.value_len)
            }
            None => Copied::TooSmall,
        };
        let is_active = slot.marks() >= MARKS_MAX && !view.wants_note(now);
        if !probe.validate(&region.arena) {
            return None;
        }
        if !is_active {
            self.mark(region, key.bytes(), key.space(), key.hash(), now);
        }
        Some(copied)
    }

    /// The other looks, and the last under the lock.
    #[cold]
    #[inline(never)]
    fn get_again(
        &self,
        region: &Region,
        key: Key<'_>,
        now: Tick,
        out: &mut [u8],
        head: Head<'_>,
    ) -> Lookup {
        for _ in 1..RETRIES_MAX {
            std::hint::spin_loop();
            let spot = Spot::of(&region.arena, &region.geometry, key.hash());
            let mut meta = ItemMeta::default();
            match self.get_once(region, key, &spot, now, out, &mut meta, head) {
                Some(Copied::Bytes(_)) => return Lookup::Hit(meta),
                Some(Copied::Miss) => return Lookup::Miss,
                Some(Copied::TooSmall) => return Lookup::TooSmall(meta),
                None => {}
            }
        }
        self.get_locked(region, key, now, out, head)
    }

    #[cold]
    fn get_locked(
        &self,
        region: &Region,
        key: Key<'_>,
        now: Tick,
        out: &mut [u8],
        head: Head<'_>,
    ) -> Lookup {
        let mut state = self.lock(region);
        let Some(place) = state.find_live(key, now) else {
            return Lookup::Miss;
        };
        let view = View::known(region, place.chunk);
        let meta = view.meta();
        match state.call(|_| value_room(&meta, out, head)) {
            Some((_, room)) => {
                assert!(
                    view.copy_value(room),
                    "under the lock a linked item is whole"
                );
                state.mark_place(place, key.hash());
                state.note_read(place, now);
                Lookup::Hit(meta)
            }
            None => Lookup::TooSmall(meta),
        }
    }

    /// What is known of the item, without its value and without marking it.
    pub fn meta(&self, region: &Region, key: Key<'_>, now: Tick) -> Option<ItemMeta> {
        for _ in 0..RETRIES_MAX {
            let spot = Spot::of(&region.arena, &region.geometry, key.hash());
            if let Some((probe, found)) = seek(region, key, &spot) {
                let found = found.filter(|(view, _)| !view.is_expired(now));
                let meta = found.map(|(view, _)| view.meta());
                if probe.validate(&region.arena) {
                    return meta;
                }
            }
            std::hint::spin_loop();
        }
        let state = self.lock(region);
        let place = state.find_live(key, now)?;
        Some(View::known(region, place.chunk).meta())
    }

    #[cold]
    fn mark(&self, region: &Region, key: &[u8], space: Space, hash: KeyHash, now: Tick) {
        if let Some(state) = self.try_lock(region)
            && let Some(place) = state.find(Key::known(key, space, hash))
        {
            state.mark_place(place, hash);
            state.note_read(place, now);
        }
    }
}

/// The length of its head, and where the value goes behind that, if both fit.
#[inline(always)]
fn value_room<'o>(
    meta: &ItemMeta,
    out: &'o mut [u8],
    head: &mut (impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize> + ?Sized),
) -> Option<(usize, &'o mut [u8])> {
    let head_len = head(meta, out)?;
    let room = out.get_mut(head_len..)?.get_mut(..meta.value_len)?;
    Some((head_len, room))
}

/// Where the key's item is, as one look finds it, before that is validated. `None`: a writer interfered.
#[inline(always)]
fn seek<'r>(
    region: &'r Region,
    key: Key<'_>,
    spot: &Spot,
) -> Option<(Probe, Option<(View<'r>, Slot)>)> {
    let (arena, geometry, hash) = (&region.arena, &region.geometry, key.hash());
    let (probe, first) = Probe::begin(arena, geometry, hash, spot)?;
    let found = match first {
        First::Candidate(slot, _) => match View::new(region, slot.chunk()) {
            Some(view) if view.key_is(key.bytes(), key.space()) => Some((view, slot)),
            _ => further(region, key, &probe).ok()?,
        },
        First::Further => further(region, key, &probe).ok()?,
        First::None => None,
    };
    Some((probe, found))
}

/// The key's item in the whole chain: another item has its tag, or its bucket overflowed.
#[inline(always)]
fn further<'r>(
    region: &'r Region,
    key: Key<'_>,
    probe: &Probe,
) -> Result<Option<(View<'r>, Slot)>, Lost> {
    let slot = find_further(region, key.bytes(), key.space(), key.hash(), probe.chain())?;
    Ok(slot.and_then(|slot| Some((View::new(region, slot.chunk())?, slot))))
}

/// The rare part of it. Apart, and without references to what the short way keeps in registers.
#[inline(never)]
fn find_further(
    region: &Region,
    key: &[u8],
    space: Space,
    hash: KeyHash,
    chain: Chain,
) -> Result<Option<Slot>, Lost> {
    chain.find(&region.arena, &region.geometry, hash, |chunk| {
        View::new(region, chunk).is_some_and(|view| view.key_is(key, space))
    })
}

impl Locked<'_> {
    /// The key's item, expired or not.
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Option<Place> {
        let region = self.region;
        self.index
            .find(&region.arena, &region.geometry, key.hash(), |chunk| {
                View::new(region, chunk).is_some_and(|view| view.key_is(key.bytes(), key.space()))
            })
    }

    /// The key's item, if it has not expired.
    #[inline]
    pub fn find_live(&self, key: Key<'_>, now: Tick) -> Option<Place> {
        let region = self.region;
        self.find(key)
            .filter(|place| !View::known(region, place.chunk).is_expired(now))
    }

    /// A hit, noted.
    #[inline]
    pub fn mark_place(&self, place: Place, hash: KeyHash) {
        let region = self.region;
        if place.marks < MARKS_MAX {
            self.note_use(hash);
            self.index.set_marks(&region.arena, place, place.marks + 1);
        }
    }
}

impl Locked<'_> {
    /// A read, noted if reads of this item are. No stamp: readers copy these bits and nothing
    /// depends on them.
    pub fn note_read(&self, place: Place, now: Tick) {
        let region = self.region;
        let view = View::known(region, place.chunk);
        if view.wants_note(now) {
            view.set_marks(view.marks().noted(true, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MARKS_MAX;
    use crate::{Attributes, Cache, Lookup, Options, Plan, Tick};

    /// Every lock is held by this very thread: a reader that wanted one would never return.
    #[test]
    fn hot_hits_and_misses_want_no_lock() {
        let options = Options {
            budget_bytes: 8 << 20,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        let mut out = [0u8; 64];
        let keys: Vec<[u8; 8]> = (0..1000u64).map(u64::to_le_bytes).collect();
        for bytes in &keys {
            let key = cache.key(bytes).unwrap();
            cache
                .put(key, bytes, Attributes::default(), Tick::ZERO)
                .unwrap();
            for _ in 0..MARKS_MAX {
                cache.get(key, Tick::ZERO, &mut out);
            }
        }
        let locks: Vec<_> = (0..16)
            .map(|shard_no| cache.shard_of(shard_no).lock(cache.region()))
            .collect();
        for bytes in &keys {
            let key = cache.key(bytes).unwrap();
            assert!(matches!(
                cache.get(key, Tick::ZERO, &mut out),
                Lookup::Hit(_)
            ));
            assert_eq!(&out[..8], bytes);
            assert!(cache.meta(key, Tick::ZERO).is_some());
            let absent = [bytes.as_slice(), b"?"].concat();
            let absent = cache.key(&absent).unwrap();
            assert_eq!(cache.get(absent, Tick::ZERO, &mut out), Lookup::Miss);
        }
        drop(locks);
    }
}
