//! A value that arrives in parts, written straight to its place.

use std::io;

use super::{InsertError, SharedCache, attributes};
use crate::error::StoreError;
use crate::hash::Key;
use crate::owned::OwnedReservation;
use crate::types::{CasWish, Condition};

/// Memory for a value that is still to arrive. See [`SharedCache::reserve`].
///
/// It can be moved into a thread or a task, and no lock is held meanwhile. Until [`Writer::commit`] nobody finds the item;
/// if it is dropped before, nothing has happened. It is a [`std::io::Write`], too.
pub struct Writer {
    cache: SharedCache,
    reservation: OwnedReservation,
}

impl SharedCache {
    /// Sets aside the memory for a value of `value_len` bytes that is still to arrive, in this thread or another.
    ///
    /// # Errors
    /// As [`SharedCache::insert`].
    pub fn reserve(&self, key: impl AsRef<[u8]>, value_len: usize) -> Result<Writer, InsertError> {
        Writer::reserve(self, self.key(key.as_ref())?, value_len)
    }
}

impl Writer {
    fn reserve(cache: &SharedCache, key: Key<'_>, value_len: usize) -> Result<Writer, InsertError> {
        let now = cache.now();
        let attributes = attributes(cache.front.time_to_live, now);
        let reservation =
            cache
                .core
                .reserve_owned(key, value_len, attributes, CasWish::IfKept, now)?;
        Ok(Writer {
            cache: cache.clone(),
            reservation,
        })
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.reservation.written()
    }

    /// Appends to the value.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] when there are more bytes than were reserved for; then none was taken.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.reservation.write(bytes, self.cache.now())
    }

    /// The item is there from now on, in place of the one that the key had.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] when fewer bytes were written than were reserved for; then nothing has changed.
    pub fn commit(self) -> Result<(), StoreError> {
        let now = self.cache.now();
        self.reservation.commit(Condition::Always, now)?;
        Ok(())
    }
}

impl io::Write for Writer {
    /// All of `bytes`, or an error of the kind `InvalidInput`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Writer::write(self, bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
