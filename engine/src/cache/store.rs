//! Storing and removing: a value that is at hand, under the lock of its key's shard.
//!
//! A value of a page or more is copied without the lock, as a reservation (`transfer`), unless one of the same length is
//! there, and it is not much longer.

use super::Cache;
use crate::error::StoreError;
use crate::hash::Key;
use crate::index::Place;
use crate::index::probe::Spot;
use crate::item::extra::{self, Marks};
use crate::item::header::{flag, flags_for};
use crate::item::view::View;
use crate::pinned::Pinned;
use crate::shard::PageBag;
use crate::shard::join::Part;
use crate::shard::reserve::{Blueprint, Shortage};
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, CasWish, Condition, ItemMeta, Outcome, Side, Stored};

/// A value of a page or more is written over one of the same length, under the lock, if it is no longer than this: a few
/// microseconds.
const IN_PLACE_BYTES_MAX: usize = 64 << 10;

impl Cache {
    /// Stores a value, evicting what is oldest if there is no room.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::NoSpace`] while transfers hold the memory.
    /// Then nothing has changed.
    pub fn put(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        now: Tick,
    ) -> Result<(), StoreError> {
        self.store(key, value, attributes, Condition::Always, now)?;
        Ok(())
    }

    /// As [`Cache::put`], for a key that was prefetched: what that found out is not worked out again where the value takes the place of
    /// one of the same length.
    ///
    /// `spot` has to be of this key and this cache.
    ///
    /// # Errors
    /// As [`Cache::put`].
    ///
    /// # Panics
    /// Possibly, with a spot of another cache.
    #[inline]
    pub fn put_at(
        &self,
        key: Key<'_>,
        spot: &Spot,
        value: &[u8],
        client_flags: u32,
        now: Tick,
    ) -> Result<(), StoreError> {
        let shard = self.shard(key.hash());
        if shard.put_over_like(&self.region, (key, spot), value, client_flags) {
            return Ok(());
        }
        let attributes = Attributes {
            client_flags,
            deadline: Deadline::NEVER,
        };
        self.put(key, value, attributes, now)
    }

    /// Stores a value if the key has none.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn add(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store(key, value, attributes, Condition::Absent, now)
    }

    /// Stores a value if the key has one.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn replace(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store(key, value, attributes, Condition::Present, now)
    }

    /// Stores a value if the item still has the CAS number that [`Cache::cas`] gave.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn compare_and_swap(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        expected: u64,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store(key, value, attributes, Condition::Cas(expected), now)
    }

    /// Stores a value if `condition` holds.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn store(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store_as(key, value, attributes, condition, CasWish::IfKept, now)
            .map(|stored| stored.outcome)
    }

    /// As [`Cache::store`], with a CAS number.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn store_as(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        wish: CasWish,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        if value.len() > self.plan.item_bytes_max() {
            return Err(StoreError::TooLarge);
        }
        let region = &self.region;
        if value.len() >= region.geometry.page_bytes {
            // Long enough that the lock should not be held while it is copied.
            return self.with_room(true, || {
                // Nothing is evicted for a store that will not be carried out.
                let mut state = self.shard(key.hash()).lock(region);
                let place = state.find(key);
                let outcome = state.check(place, condition, now);
                if outcome != Outcome::Stored {
                    return Ok(Stored::not(outcome));
                }
                if let Some(place) = place
                    && value.len() <= IN_PLACE_BYTES_MAX
                    && !matches!(condition, Condition::Since(_))
                {
                    let mut blueprint = Blueprint::new(key, attributes).with_cas(wish);
                    if let Some(cas) = state.put_over(place, &mut blueprint, value, now) {
                        return Ok(Stored {
                            outcome,
                            cas,
                            value_len: value.len(),
                        });
                    }
                }
                drop(state);
                let mut reservation =
                    self.try_reserve(key, value.len(), attributes, condition, wish, now)?;
                reservation.write(value, now)?;
                reservation.commit_as(condition, now)
            });
        }
        let mut bag = PageBag::new(region);
        match self.store_once(key, value, attributes, condition, wish, &mut bag, now) {
            Ok(stored) => Ok(stored),
            Err(shortage) => {
                self.store_further(key, value, attributes, condition, wish, bag, now, shortage)
            }
        }
    }

    /// A store whose value is copied under the lock. Two callers, of which the usual one has it for itself.
    #[expect(clippy::too_many_arguments, reason = "those of a store, and its pages")]
    #[inline(always)]
    fn store_once(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        wish: CasWish,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Stored, Shortage> {
        let region = &self.region;
        let mut state = self.shard(key.hash()).lock(region);
        let place = state.find(key);
        let outcome = state.check(place, condition, now);
        if outcome != Outcome::Stored {
            return Ok(Stored::not(outcome));
        }
        let (mut attributes, mut marks) = (attributes, Marks::NONE);
        if let (Condition::Since(cas), Some(place)) = (condition, place) {
            let old = View::known(region, place.chunk);
            if old.cas() != Some(cas) {
                attributes.deadline = old.deadline();
                marks = old.marks().only(extra::WON).with(extra::STALE);
            }
        }
        let blueprint = Blueprint::new(key, attributes)
            .with_cas(wish)
            .with_marks(marks);
        Ok(Stored {
            outcome,
            cas: state.put_value(place, blueprint, value, bag, now)?,
            value_len: value.len(),
        })
    }

    /// The rare part of it: pages are gathered from all shards, and if there are none, others are asked to give back
    /// what they hold.
    #[expect(clippy::too_many_arguments, reason = "those of a store, and its pages")]
    #[cold]
    #[inline(never)]
    fn store_further<'r>(
        &'r self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        wish: CasWish,
        mut bag: PageBag<'r>,
        now: Tick,
        shortage: Shortage,
    ) -> Result<Stored, StoreError> {
        let attempt = |bag: &mut PageBag<'r>| {
            self.store_once(key, value, attributes, condition, wish, bag, now)
        };
        let stored = self.with_more_pages(key, &mut bag, now, attempt, shortage);
        // What it gathered in vain is everybody's again.
        drop(bag);
        match stored {
            Err(StoreError::NoSpace) => self.with_room(false, || {
                self.with_pages(key, &mut PageBag::new(&self.region), now, attempt)
            }),
            stored => stored,
        }
    }

    /// Lengthens the item's value, and changes nothing else about it.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::NoSpace`] while transfers hold the memory.
    pub fn extend(
        &self,
        key: Key<'_>,
        part: &[u8],
        side: Side,
        compare: Option<u64>,
        wish: CasWish,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        self.extend_with(key, (Part::Bytes(part), side, wish), compare, now)
    }

    pub(crate) fn extend_with(
        &self,
        key: Key<'_>,
        (part, side, wish): (Part<'_>, Side, CasWish),
        compare: Option<u64>,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        let region = &self.region;
        let item_bytes_max = self.plan.item_bytes_max();
        let mut bag = PageBag::new(&self.region);
        let extended = self.with_pages(key, &mut bag, now, |bag| {
            let mut state = self.shard(key.hash()).lock(&self.region);
            let Some(place) = state.find_live(key, now) else {
                return Ok(Ok(Stored::not(Outcome::NotStored)));
            };
            let condition = compare.map_or(Condition::Always, Condition::Cas);
            let outcome = state.check(Some(place), condition, now);
            let long = View::known(region, place.chunk).value_len() + part.len(region);
            if outcome != Outcome::Stored {
                Ok(Ok(Stored::not(outcome)))
            } else if long > item_bytes_max {
                Ok(Err(StoreError::TooLarge))
            } else {
                state
                    .extend(key, place, (part, side, wish), bag, now)
                    .map(Ok)
            }
        });
        extended?
    }

    /// The item's CAS number: it changes with every store, and only rises. An item gets one
    /// (8 bytes) when it is first asked for, so that those nobody asks about cost nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] while transfers hold the memory.
    pub fn cas(&self, key: Key<'_>, now: Tick) -> Result<Option<u64>, StoreError> {
        loop {
            match self.meta(key, now) {
                None => return Ok(None),
                Some(ItemMeta { cas: Some(cas), .. }) => return Ok(Some(cas)),
                Some(meta) => {
                    let attributes = Attributes {
                        client_flags: meta.client_flags,
                        deadline: meta.deadline,
                    };
                    self.rewrite(key, flag::CAS, attributes, now)?;
                }
            }
        }
    }

    /// Gives the item new fields by copying it.
    fn rewrite(
        &self,
        key: Key<'_>,
        more_flags: u8,
        attributes: Attributes,
        now: Tick,
    ) -> Result<bool, StoreError> {
        let mut bag = PageBag::new(&self.region);

        self.with_pages(key, &mut bag, now, |bag| {
            let mut state = self.shard(key.hash()).lock(&self.region);
            let Some(place) = state.find_live(key, now) else {
                return Ok(false);
            };
            let view = View::known(&self.region, place.chunk);
            let kept = view.header.flags() & (flag::CAS | flag::EXTRA);
            let attributes = Attributes {
                client_flags: view.client_flags(),
                deadline: if more_flags & flag::CAS != 0 {
                    view.deadline()
                } else {
                    attributes.deadline
                },
            };
            let flags = flags_for(attributes.client_flags, attributes.deadline) | kept | more_flags;
            state.rewrite(key, flags, attributes, bag, now)
        })
    }

    /// Changes the item's deadline and nothing else. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] if the item had no deadline before, so that it has to be
    /// copied, while transfers hold the memory.
    pub fn touch(&self, key: Key<'_>, deadline: Deadline, now: Tick) -> Result<bool, StoreError> {
        {
            let mut state = self.shard(key.hash()).lock(&self.region);
            let Some(place) = state.find_live(key, now) else {
                return Ok(false);
            };
            state.counters.touches += 1;
            state.mark_place(place, key.hash());
            if state.touch_in_place(place, deadline) {
                return Ok(true);
            }
        }
        self.rewrite(key, 0, deadline.into(), now)
    }

    /// Removes the item. Whether there was one.
    pub fn delete(&self, key: Key<'_>, now: Tick) -> bool {
        self.delete_where(key, now, |_| true)
    }

    /// Removes the item, if it is still the one that `pinned` holds, with the value that it had then. Whether it
    /// was: a value that was stored since stays. Of an item that was copied meanwhile (for a deadline or a CAS number
    /// that it had no field for) this cannot be told, and it stays, too.
    pub fn delete_pinned(&self, key: Key<'_>, pinned: &Pinned<'_>, now: Tick) -> bool {
        // Chunks of another cache have the same names.
        pinned.is_of(&self.region)
            && self.delete_where(key, now, |place| {
                // A pinned item's bytes are not replaced where they lie, and its chunk is not given to another; but
                // it may have grown.
                let value_len = View::known(&self.region, place.chunk).value_len();
                pinned.is_at(place.chunk) && pinned.meta().value_len == value_len
            })
    }

    #[inline(always)]
    fn delete_where(&self, key: Key<'_>, now: Tick, condition: impl FnOnce(Place) -> bool) -> bool {
        let mut state = self.shard(key.hash()).lock(&self.region);
        let Some(place) = state.find(key) else {
            return false;
        };
        if !condition(place) {
            return false;
        }
        let live = !View::known(&self.region, place.chunk).is_expired(now);
        state.unlink(place);
        if live {
            state.counters.deletes += 1;
        } else {
            state.counters.expired.deleted += 1;
        }
        live
    }
}
