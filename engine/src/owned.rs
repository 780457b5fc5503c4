//! Reservations and pins that borrow nothing: each holds a share of its cache.
//!
//! What borrows a cache cannot be moved into a thread, a task or a struct that lives longer than the
//! function. These can: they are `Send` and `'static`, and keep the cache alive for as long as they
//! hold memory of it. The rest is as [`Reservation`](crate::Reservation) and [`Pinned`](crate::Pinned).

use std::io;
use std::sync::Arc;

use crate::cache::Cache;
use crate::error::StoreError;
use crate::hash::Key;
use crate::pinned::Reading;
use crate::reservation::Filling;
use crate::tick::Tick;
use crate::types::{Attributes, CasWish, Condition, ItemMeta, Outcome, Side, Stored};

static_assertions::assert_impl_all!(OwnedReservation: Send, Sync, Unpin);
static_assertions::assert_impl_all!(OwnedPinned: Send, Sync, Unpin);

/// A [`Reservation`](crate::Reservation) with a share of its cache. See [`Cache::reserve_owned`].
pub struct OwnedReservation {
    cache: Arc<Cache>,
    filling: Filling,
}

/// A [`Pinned`](crate::Pinned) with a share of its cache. See [`Cache::pin_owned`].
///
/// It is a [`std::io::Read`], too, which never fails.
pub struct OwnedPinned {
    cache: Arc<Cache>,
    shard_no: usize,
    reading: Reading,
}

impl Cache {
    /// As [`Cache::reserve_as`], for a value that arrives in a thread or task of its own.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_owned(
        self: &Arc<Self>,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        cas: CasWish,
        now: Tick,
    ) -> Result<OwnedReservation, StoreError> {
        let reservation = self.reserve_as(key, value_len, attributes, cas, now)?;
        Ok(OwnedReservation {
            cache: Arc::clone(self),
            filling: reservation.into_filling(),
        })
    }

    /// As [`Cache::reserve_growing`], for a value that arrives in a thread or task of its own.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_growing_owned(
        self: &Arc<Self>,
        key: Key<'_>,
        attributes: Attributes,
        now: Tick,
    ) -> Result<OwnedReservation, StoreError> {
        let reservation = self.reserve_growing(key, attributes, now)?;
        Ok(OwnedReservation {
            cache: Arc::clone(self),
            filling: reservation.into_filling(),
        })
    }

    /// As [`Cache::pin`], for a value that is read in a thread or task of its own.
    ///
    /// # Errors
    /// As [`Cache::pin`].
    pub fn pin_owned(
        self: &Arc<Self>,
        key: Key<'_>,
        now: Tick,
    ) -> Result<Option<OwnedPinned>, StoreError> {
        let Some(pinned) = self.pin(key, now)? else {
            return Ok(None);
        };
        Ok(Some(OwnedPinned {
            cache: Arc::clone(self),
            shard_no: key.hash().shard_no(),
            reading: pinned.into_reading(),
        }))
    }
}

impl OwnedReservation {
    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.filling.written()
    }

    /// Appends to the value.
    ///
    /// # Errors
    /// As [`Reservation::write`](crate::Reservation::write).
    pub fn write(&mut self, bytes: &[u8], now: Tick) -> Result<(), StoreError> {
        self.filling.write(&self.cache, bytes, now)
    }

    /// Links the item, if `condition` holds, in place of what the key had before.
    ///
    /// # Errors
    /// As [`Reservation::commit`](crate::Reservation::commit).
    pub fn commit(self, condition: Condition, now: Tick) -> Result<Outcome, StoreError> {
        self.commit_as(condition, now).map(|stored| stored.outcome)
    }

    /// As [`OwnedReservation::commit`]; says the CAS number too.
    ///
    /// # Errors
    /// As [`Reservation::commit`](crate::Reservation::commit).
    pub fn commit_as(mut self, condition: Condition, now: Tick) -> Result<Stored, StoreError> {
        self.filling.commit_as(&self.cache, condition, now)
    }

    /// As [`Reservation::commit_extending`](crate::Reservation::commit_extending).
    ///
    /// # Errors
    /// The same.
    pub fn commit_extending(
        mut self,
        side: Side,
        compare: Option<u64>,
        or_create: bool,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        self.filling
            .commit_extending(&self.cache, side, compare, or_create, now)
    }
}

impl Drop for OwnedReservation {
    fn drop(&mut self) {
        self.filling.give_up(&self.cache);
    }
}

impl OwnedPinned {
    /// What was known of the item when it was pinned.
    #[must_use]
    pub fn meta(&self) -> ItemMeta {
        self.reading.meta()
    }

    /// Copies the value's next bytes to the front of `out`; returns how many, 0 at its end.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        self.reading.read(self.cache.region(), out)
    }

    /// The next [`read`](Self::read) begins at the value's byte `at`.
    pub fn seek(&mut self, at: usize) {
        self.reading.seek(self.cache.region(), at);
    }
}

impl io::Read for OwnedPinned {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        Ok(OwnedPinned::read(self, out))
    }
}

impl Drop for OwnedPinned {
    fn drop(&mut self) {
        let shard = self.cache.shard_of(self.shard_no);
        self.reading.unpin(self.cache.region(), shard);
    }
}
