//! Memory for values that are still to arrive.

use super::Cache;
use crate::error::StoreError;
use crate::hash::Key;
use crate::item::header::flag;
use crate::item::layout::Layout;
use crate::item::view::View;
use crate::reservation::Reservation;
use crate::shard::PageBag;
use crate::shard::reserve::Blueprint;
use crate::tick::Tick;
use crate::types::{Attributes, CasWish, Condition};

impl Cache {
    /// Sets aside the memory for a value of `value_len` bytes that is still to arrive.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        self.reserve_as(key, value_len, attributes, CasWish::IfKept, now)
    }

    /// As [`Cache::reserve`], with a CAS number.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_as<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        cas: CasWish,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        self.reserve_for(key, value_len, attributes, Condition::Always, cas, now)
    }

    /// As [`Cache::reserve_as`], when it is known what the commit will depend on: a stale value of
    /// [`Condition::Since`] needs fields, and a commit without them treats the condition as [`Condition::Cas`].
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_for<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        condition: Condition,
        cas: CasWish,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        if value_len > self.plan.item_bytes_max() {
            return Err(StoreError::TooLarge);
        }
        self.with_room(false, || {
            self.try_reserve(key, value_len, attributes, condition, cas, now)
        })
    }

    pub(super) fn try_reserve<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        condition: Condition,
        cas: CasWish,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        let mut blueprint = Blueprint::new(key, attributes).with_cas(cas);
        if matches!(condition, Condition::Since(_)) {
            blueprint.flags |= flag::DEADLINE | flag::EXTRA;
        }
        blueprint.flags |= self.fields_kept(key);
        let layout = blueprint.layout(&self.region.geometry.classes, value_len);
        let head = self.reserve_layout(blueprint, layout, value_len, now)?;
        Ok(Reservation::new(self, key, head, Some(value_len), cas))
    }

    /// The fields that an item keeps when it is overwritten: what was asked for once is likely to be asked again.
    fn fields_kept(&self, key: Key<'_>) -> u8 {
        let state = self.shard(key.hash()).lock(&self.region);
        let Some(place) = state.find(key) else {
            return 0;
        };
        let view = View::known(&self.region, place.chunk);
        let noted = view.marks().is_noted();
        view.header.flags() & flag::CAS | if noted { flag::EXTRA } else { 0 }
    }

    /// Sets memory aside for a value whose length is not known yet: it grows by a page as
    /// bytes are written, up to the plan's `item_bytes_max`, and is trimmed at the commit.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_growing<'c>(
        &'c self,
        key: Key<'_>,
        attributes: Attributes,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        let mut blueprint = Blueprint::new(key, attributes);
        blueprint.flags |= flag::CHAINED | self.fields_kept(key);
        let layout = blueprint.growing_layout(&self.region.geometry.classes);
        let head = self.reserve_layout(blueprint, layout, 0, now)?;
        Ok(Reservation::new(self, key, head, None, CasWish::IfKept))
    }

    pub(crate) fn reserve_layout(
        &self,
        blueprint: Blueprint<'_>,
        layout: Layout,
        value_len: usize,
        now: Tick,
    ) -> Result<crate::chunk_ref::ChunkRef, StoreError> {
        let reserve = || {
            let mut bag = PageBag::new(&self.region);
            self.take_ahead(&mut bag, layout.pages);
            self.with_pages(blueprint.key, &mut bag, now, |bag| {
                self.shard(blueprint.key.hash())
                    .lock(&self.region)
                    .reserve(blueprint, layout, value_len, bag, now)
            })
        };
        // What it is to replace stays meanwhile: others may depend on it, and so may the store itself.
        let guard = self.guard(blueprint.key, now);
        let reserved = reserve();
        self.unguard(blueprint.key, guard);
        match reserved {
            // Better without it than not at all.
            Err(StoreError::NoSpace) if guard.is_some() => reserve(),
            reserved => reserved,
        }
    }
}
