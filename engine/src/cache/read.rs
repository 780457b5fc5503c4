//! Reading: the value copied, held still, or visited with consequences.
//!
//! Nothing here is more than hash → shard; how a reader does without the lock is told in `shard::read`.

use super::Cache;
use crate::error::StoreError;
use crate::hash::Key;
use crate::index::probe::Spot;
use crate::item::view::View;
use crate::pinned::Pinned;
use crate::shard::PageBag;
use crate::tick::Tick;
use crate::types::{Copied, ItemMeta, Lookup, Visit, Visited, Want};

/// What [`Cache::visit`] found.
pub enum Seen<'c> {
    /// No such item, or it has expired.
    Missing,
    /// So many bytes are at the front of the buffer: the head, and the value if it was wanted.
    Copied(usize),
    /// The value, to be read in pieces; so many bytes of head are at the front of the buffer.
    Pinned(Pinned<'c>, usize),
    /// The buffer is too small, and nothing was done: come again with a larger one or with
    /// [`Want::ValueOrPin`].
    TooSmall,
}

impl Cache {
    /// Copies the value to the front of `out`. Takes no lock; stores nothing to shared
    /// memory once the item is hot: hit three times since eviction last looked at it.
    #[inline]
    pub fn get(&self, key: Key<'_>, now: Tick, out: &mut [u8]) -> Lookup {
        self.shard(key.hash())
            .get(&self.region, key, now, out, |_, _| Some(0))
    }

    /// As [`Cache::get`], with something in front of the value that depends on the item:
    /// `head` writes it to the front of `out` and says how long it is, and the value follows
    /// it. One lookup and one validated read, so head and value belong together. `head` may
    /// run more than once, and on nonsense if a writer interferes; what it wrote last counts.
    /// If it gives `None`, that is [`Lookup::TooSmall`].
    #[inline]
    pub fn get_headed(
        &self,
        key: Key<'_>,
        now: Tick,
        out: &mut [u8],
        head: impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize>,
    ) -> Lookup {
        self.shard(key.hash())
            .get(&self.region, key, now, out, head)
    }

    /// As [`Cache::get_headed`], for a key that was prefetched: what that found out is not
    /// worked out again, and of the item only the length of head and value is told.
    ///
    /// `spot` has to be of this key and this cache. With another key's, a value that is there may be missed.
    ///
    /// # Panics
    /// Possibly, with a spot of another cache.
    #[inline(always)]
    pub fn get_at(
        &self,
        key: Key<'_>,
        spot: &Spot,
        now: Tick,
        out: &mut [u8],
        head: impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize>,
    ) -> Copied {
        self.shard(key.hash())
            .get_at(&self.region, key, spot, now, out, head)
    }

    /// What is known of the item, without its value, and without counting as a hit.
    #[must_use]
    pub fn meta(&self, key: Key<'_>, now: Tick) -> Option<ItemMeta> {
        self.shard(key.hash()).meta(&self.region, key, now)
    }

    /// Runs `part` over the value's bytes, in order, in one or more parts.
    ///
    /// A value of up to 1 KiB is copied to the stack first and comes in one part. A longer
    /// one is pinned, so that all parts are of the same value.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] when too many large values are being read at once.
    pub fn get_with(
        &self,
        key: Key<'_>,
        now: Tick,
        mut part: impl FnMut(&[u8]),
    ) -> Result<Option<ItemMeta>, StoreError> {
        let mut window = [0u8; 1024];
        match self.get(key, now, &mut window) {
            Lookup::Miss => return Ok(None),
            Lookup::Hit(meta) => {
                part(&window[..meta.value_len]);
                return Ok(Some(meta));
            }
            Lookup::TooSmall(_) => {}
        }
        let Some(mut pinned) = self.pin(key, now)? else {
            return Ok(None);
        };
        loop {
            let len = pinned.read(&mut window);
            if len == 0 {
                return Ok(Some(pinned.meta()));
            }
            part(&window[..len]);
        }
    }

    /// Holds the item's bytes still, so that a large value can be streamed out of the arena.
    /// The item itself may be replaced, deleted or evicted meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] when too many items are pinned already.
    pub fn pin(&self, key: Key<'_>, now: Tick) -> Result<Option<Pinned<'_>>, StoreError> {
        self.pin_counting(key, true, now)
    }

    /// As [`Cache::pin`], without counting as a read: for going through many items.
    ///
    /// # Errors
    /// As [`Cache::pin`].
    pub fn pin_unseen(&self, key: Key<'_>, now: Tick) -> Result<Option<Pinned<'_>>, StoreError> {
        self.pin_counting(key, false, now)
    }

    #[inline(always)]
    fn pin_counting(
        &self,
        key: Key<'_>,
        is_read: bool,
        now: Tick,
    ) -> Result<Option<Pinned<'_>>, StoreError> {
        let shard = self.shard(key.hash());
        let mut state = shard.lock(&self.region);
        let Some(place) = state.find_live(key, now) else {
            return Ok(None);
        };
        if !state.pin(place.chunk) {
            return Err(StoreError::NoSpace);
        }
        if is_read {
            state.mark_place(place, key.hash());
        }
        Ok(Some(Pinned::new(&self.region, shard, place.chunk)))
    }

    /// Reads the item with consequences: see [`Visit`]. `head` writes what stands before the
    /// value to the front of `out`, from what was found; it needs at most `head_bytes_max`.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] while transfers hold the memory, or too many items are pinned.
    /// Then the visit has not taken place.
    pub fn visit(
        &self,
        key: Key<'_>,
        visit: &Visit,
        now: Tick,
        out: &mut [u8],
        head_bytes_max: usize,
        mut head: impl FnMut(&Visited, &mut [u8]) -> Option<usize>,
    ) -> Result<Seen<'_>, StoreError> {
        let region = &self.region;
        let shard = self.shard(key.hash());
        let mut bag = PageBag::new(&self.region);
        let seen = self.with_pages(key, &mut bag, now, |bag| {
            let mut state = shard.lock(&self.region);
            // Whether there is room for it is known before anything is done.
            let mut pins = false;
            let mut pinned = None;
            if let Some(place) = state.find_live(key, now) {
                let view = View::known(region, place.chunk);
                let value_len = match visit.want {
                    Want::Nothing => 0,
                    _ => view.value_len(),
                };
                if out.len() < head_bytes_max + value_len {
                    if visit.want != Want::ValueOrPin {
                        return Ok(Ok(Seen::TooSmall));
                    }
                    pins = true;
                    if !state.pins.has_room() {
                        // Another of those who stream this very item is no further one; the visit may make a copy of
                        // it, but the value is the same.
                        if !state.pins.is_pinned(place.chunk) {
                            return Ok(Err(StoreError::NoSpace));
                        }
                        state.pin(place.chunk);
                        pinned = Some(place.chunk);
                    }
                }
            }
            let visited = state.visit(key, visit, bag, now);
            let wants_pin = matches!(&visited, Ok(Some((_, visited))) if !visited.is_known);
            if let Some(chunk) = pinned
                && !wants_pin
            {
                state.unpin(chunk);
            }
            let Some((place, visited)) = visited? else {
                return Ok(Ok(Seen::Missing));
            };
            let head_len =
                state.call(|_| head(&visited, out).expect("a head is as short as was said"));
            if visit.want == Want::Nothing || visited.is_known {
                return Ok(Ok(Seen::Copied(head_len)));
            }
            if pins {
                let chunk = pinned.unwrap_or(place.chunk);
                let has_room = pinned.is_some() || state.pin(chunk);
                assert!(has_room, "there was room before the visit");
                let pinned = Pinned::new(region, shard, chunk);
                return Ok(Ok(Seen::Pinned(pinned, head_len)));
            }
            let len = head_len + visited.meta.value_len;
            let whole = View::known(region, place.chunk).copy_value(&mut out[head_len..len]);
            assert!(whole, "under the lock a linked item is whole");
            Ok(Ok(Seen::Copied(len)))
        });
        seen?
    }

    /// What is known of the item, with what is noted of its reads, and without being one.
    #[must_use]
    pub fn examine(&self, key: Key<'_>, now: Tick) -> Option<Visited> {
        let state = self.shard(key.hash()).lock(&self.region);
        let place = state.find_live(key, now)?;
        Some(state.examine(place, now))
    }
}
