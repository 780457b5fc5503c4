//! A change that depends on the value: look and store as one step, under the shard's lock.
//!
//! Counting, lengthening, get-and-set, and whatever else a protocol has of this kind are an
//! edit: a function that sees the item and says what is to become of it. What a number looks
//! like, where it stops and what a reply says are the caller's; the engine knows bytes.
//!
//! ```text
//! lock ─ find ─ edit(current, room) ─┬─ Err: nothing is done
//!                                    └─ Edit ─ carried out (shard/edit) ─ unlock
//!          ▲                                     │ memory is missing: gathered without the lock
//!          └─────────────────────────────────────┘ and all of it once more
//! ```
//!
//! The edit runs before anything is changed, so a panic in it costs nothing.

use super::Cache;
use crate::chunk_ref::ChunkRef;
use crate::error::StoreError;
use crate::hash::Key;
use crate::item::view::View;
use crate::pinned::Pinned;
use crate::region::Region;
use crate::shard::PageBag;
use crate::shard::fill::copy_range;
use crate::tick::Tick;
use crate::types::{Edit, ItemMeta, Updated};

/// The item that an edit of [`Cache::update`] is about to change.
pub struct Current<'c> {
    region: &'c Region,
    chunk: ChunkRef,
    view: View<'c>,
    meta: ItemMeta,
}

impl Current<'_> {
    /// What is known of the item beside its value.
    #[inline]
    #[must_use]
    pub fn meta(&self) -> &ItemMeta {
        &self.meta
    }

    /// Copies the value to the front of `out` and returns its length. `None`: it is longer than
    /// `out`, and nothing was copied.
    ///
    /// The shard is locked meanwhile, so a long value is better held by [`Cache::pin`] and
    /// recognized by [`Current::is_pinned_by`].
    #[inline]
    #[must_use]
    pub fn copy_to(&self, out: &mut [u8]) -> Option<usize> {
        let len = self.meta.value_len;
        let whole = self.view.copy_value(out.get_mut(..len)?);
        assert!(whole, "under the lock a linked item is whole");
        Some(len)
    }

    /// Copies the value's bytes from `at` on to the front of `out`, and returns how many: 0 at
    /// its end and beyond.
    #[must_use]
    pub fn read_at(&self, at: usize, out: &mut [u8]) -> usize {
        let len = self.meta.value_len.saturating_sub(at).min(out.len());
        let mut done = 0;
        copy_range(self.region, self.chunk, at, len, |part| {
            out[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        });
        len
    }

    /// Whether this is the item that `pinned` holds, with the value that it had then.
    ///
    /// Of an item that was copied meanwhile (for a deadline or a CAS number that it had no field
    /// for) this cannot be told, and the answer is no.
    #[must_use]
    pub fn is_pinned_by(&self, pinned: &Pinned<'_>) -> bool {
        // Chunks of another cache have the same names. A pinned item's bytes are not replaced
        // where they lie, and its chunk is not given to another; but it may have grown.
        pinned.is_of(self.region)
            && pinned.is_at(self.chunk)
            && pinned.meta().value_len == self.meta.value_len
    }
}

impl Cache {
    /// Changes the item as `edit` says, which sees it as it is: nobody changes it in between, and
    /// readers find the old value or the new one.
    ///
    /// `edit` is given the item, if there is one that has not expired, and `room`, to which it
    /// may write the new value: see [`NewValue::Room`](crate::NewValue::Room). It runs again, with the
    /// item as it is then, if memory for the new value has to be found elsewhere first; what it
    /// said last counts.
    ///
    /// The shard is locked while it runs, so it should be short and **must not call the cache**.
    /// A panic in it changes nothing.
    ///
    /// # Errors
    /// What `edit` refuses with; nothing is changed then. [`StoreError::TooLarge`], or
    /// [`StoreError::NoSpace`] while transfers hold the memory.
    ///
    /// # Panics
    /// When `edit` claims to have written more than the room holds.
    ///
    /// # Examples
    /// A counter of eight bytes, which stops at the top instead of wrapping:
    ///
    /// ```
    /// use flagstone_engine::{
    ///     Attributes, Cache, Current, Edit, NewValue, Options, Plan, StoreError, Tick,
    /// };
    ///
    /// #[derive(Debug, PartialEq)]
    /// enum Refused {
    ///     NoNumber,
    ///     AtTheTop,
    ///     Store(StoreError),
    /// }
    ///
    /// impl From<StoreError> for Refused {
    ///     fn from(error: StoreError) -> Self {
    ///         Refused::Store(error)
    ///     }
    /// }
    ///
    /// fn count(cache: &Cache, name: &[u8], now: Tick) -> Result<u64, Refused> {
    ///     let key = cache.key(name).expect("it is short");
    ///     let (mut room, mut number) = ([0; 8], 0u64);
    ///     cache.update(key, now, &mut room, |current: Option<&Current>, room: &mut [u8]| {
    ///         number = 0;
    ///         let mut attributes = Attributes::default();
    ///         if let Some(item) = current {
    ///             let mut old = [0; 8];
    ///             if item.copy_to(&mut old) != Some(8) {
    ///                 return Err(Refused::NoNumber);
    ///             }
    ///             number = u64::from_le_bytes(old);
    ///             attributes = item.meta().attributes();
    ///         }
    ///         number = number.checked_add(1).ok_or(Refused::AtTheTop)?;
    ///         room.copy_from_slice(&number.to_le_bytes());
    ///         Ok(Edit::store(NewValue::Room(8), attributes))
    ///     })?;
    ///     Ok(number)
    /// }
    ///
    /// let cache = Cache::open(Plan::new(&Options {
    ///     budget_bytes: 8 << 20,
    ///     ..Options::default()
    /// })?)?;
    /// let now = Tick::ZERO;
    /// assert_eq!(count(&cache, b"visits", now), Ok(1));
    /// assert_eq!(count(&cache, b"visits", now), Ok(2));
    /// cache.put(cache.key(b"visits")?, &[255; 8], Attributes::default(), now)?;
    /// assert_eq!(count(&cache, b"visits", now), Err(Refused::AtTheTop));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update<'v, E: From<StoreError>>(
        &self,
        key: Key<'_>,
        now: Tick,
        room: &mut [u8],
        mut edit: impl FnMut(Option<&Current<'_>>, &mut [u8]) -> Result<Edit<'v>, E>,
    ) -> Result<Updated, E> {
        let region = &self.region;
        let item_bytes_max = self.plan.item_bytes_max();
        let mut bag = PageBag::new(region);
        self.with_pages(key, &mut bag, now, |bag| {
            let mut state = self.shard(key.hash()).lock(region);
            let place = state.find(key);
            let current = place.and_then(|place| {
                let view = View::known(region, place.chunk);
                (!view.is_expired(now)).then(|| Current {
                    region,
                    chunk: place.chunk,
                    view,
                    meta: view.meta(),
                })
            });
            // Nothing is half done here. That the value lies in the room is the caller's promise,
            // so it is looked at in here, too.
            let decided = state.call(|_| {
                edit(current.as_ref(), &mut *room).map(|edit| {
                    let bytes = edit.bytes(room);
                    (edit, bytes)
                })
            });
            let (edit, bytes) = match decided {
                Ok(decided) => decided,
                Err(refused) => return Ok(Err(refused)),
            };
            let len = match edit {
                Edit::Extend { .. } => {
                    bytes.len() + current.as_ref().map_or(0, |item| item.meta.value_len)
                }
                _ => bytes.len(),
            };
            if len > item_bytes_max {
                return Ok(Err(StoreError::TooLarge.into()));
            }
            let live = current.as_ref().map(|item| item.view.header);
            state
                .carry_out(key, (place, live), (edit, bytes), bag, now)
                .map(Ok)
        })?
    }
}
