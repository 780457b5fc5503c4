//! A thin front over [`Cache`]: keys and values as slices, a clock of its own, one handle that is cloned.
//!
//! ```text
//! SharedCache ─┬─ Arc<Cache>   the engine as it is; every call ends there
//!              └─ Arc<Front>   clock, time to live, who computes what (flights)
//! ```
//!
//! | file      | what                                                        |
//! |-----------|-------------------------------------------------------------|
//! | `builder` | from a number of bytes to a `SharedCache`                    |
//! | `flights` | one caller computes a missing value, the others wait         |
//! | `visit`   | all items: `iter`, `retain`; the caller's code under no lock |
//! | `writer`  | a value that arrives in parts                                |
//!
//! The promises are the engine's: after `build` a call allocates the `Vec` that it returns and nothing else. The
//! front's own memory is counted in the budget.

pub(crate) mod builder;
mod flights;
pub(crate) mod visit;
pub(crate) mod writer;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::error::{KeyError, StoreError};
use crate::hash::Key;
use crate::owned::OwnedPinned;
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, Lookup, Maintained};
use flights::{Flights, Turn};

static_assertions::assert_impl_all!(SharedCache: Send, Sync, Unpin);

/// Values up to this length are looked up once, through the stack; longer ones twice: to learn the length, and to
/// copy. 1 KiB costs about 20 ns to clear.
const WINDOW_BYTES: usize = 1 << 10;

/// Items that one call of [`SharedCache::maintain`] reclaims at most, or about.
const MAINTAIN_ITEMS_MAX: usize = 10_000;

/// Bytes of the front: what is reserved beside the engine, and counted in the budget. A clock of the caller's own is a
/// pointer or two more, and not counted.
const fn front_bytes() -> usize {
    /// Two counts before what an `Arc` holds, and up to a line of alignment.
    const ARC_BYTES: usize = 2 * size_of::<usize>();
    size_of::<Front>() + align_of::<Front>() + 2 * ARC_BYTES
}

/// A cache to share: a handle that is cloned for each thread or task, with a clock of its own.
///
/// Made by [`Cache::builder`]. Keys and values are anything that is bytes. What this does not offer, the cache
/// beneath does: see [`SharedCache::core`].
///
/// ```
/// # use std::time::Duration;
/// use flagstone_engine::Cache;
///
/// let cache = Cache::builder().memory(16 << 20).build()?;
/// cache.insert("user:1", "Ada")?;
/// assert_eq!(cache.get("user:1").as_deref(), Some(&b"Ada"[..]));
/// cache.insert_ttl("session:9", [1, 2, 3], Duration::from_secs(60))?;
/// assert!(cache.remove("session:9"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedCache {
    core: Arc<Cache>,
    front: Arc<Front>,
}

/// What the handles share beside the cache. Immutable but for the flights, which have locks of their own.
struct Front {
    clock: Box<dyn Fn() -> Tick + Send + Sync>,
    /// How long an item lives that was stored without saying so.
    time_to_live: Option<Duration>,
    flights: Flights,
}

/// Why [`SharedCache::insert`] changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertError {
    /// The key is none.
    Key(KeyError),
    /// The value could not be stored.
    Store(StoreError),
}

impl SharedCache {
    /// The cache beneath, with every call that the engine has. Those take the time as an argument: [`SharedCache::now`].
    #[must_use]
    pub fn core(&self) -> &Arc<Cache> {
        &self.core
    }

    /// What the cache's clock says.
    #[must_use]
    pub fn now(&self) -> Tick {
        (self.front.clock)()
    }

    /// A copy of the value. Allocates that, once (twice if the value grows while it is copied). A key that cannot be
    /// one is not there.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.get_key(self.key(key.as_ref()).ok()?)
    }

    /// Copies the value to the front of `out`; allocates nothing. [`Lookup::Hit`] says how long it is, and
    /// [`Lookup::TooSmall`] how long `out` would have to be.
    pub fn get_into(&self, key: impl AsRef<[u8]>, out: &mut [u8]) -> Lookup {
        match self.key(key.as_ref()) {
            Ok(key) => self.core.get(key, self.now(), out),
            Err(_) => Lookup::Miss,
        }
    }

    /// Whether there is such an item. Does not count as a read.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.key(key.as_ref())
            .is_ok_and(|key| self.core.meta(key, self.now()).is_some())
    }

    /// Stores a value, in place of the one that the key had; evicts others if there is no room. It lives as long as
    /// [`Builder::time_to_live`](crate::Builder::time_to_live) said, or until it is removed or evicted.
    ///
    /// # Errors
    /// When the key is longer than [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX); [`StoreError::TooLarge`], or
    /// [`StoreError::NoSpace`] while transfers hold the memory. Then nothing has changed.
    pub fn insert(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), InsertError> {
        self.insert_until(key.as_ref(), value.as_ref(), self.front.time_to_live)
    }

    /// As [`SharedCache::insert`]; the item is gone after `time_to_live`.
    ///
    /// Whole seconds are kept as such and rounded up, never down, at 4 bytes an item. A time with a fraction is kept to
    /// the millisecond, rounded up, at 8 bytes. 136 years is as far as it reaches.
    ///
    /// # Errors
    /// As [`SharedCache::insert`].
    pub fn insert_ttl(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        time_to_live: Duration,
    ) -> Result<(), InsertError> {
        self.insert_until(key.as_ref(), value.as_ref(), Some(time_to_live))
    }

    /// Removes the item. Whether there was one.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> bool {
        self.key(key.as_ref())
            .is_ok_and(|key| self.core.delete(key, self.now()))
    }

    /// The value; if there is none, what `compute` returns, which is stored.
    ///
    /// Of several callers who miss the same key at once, in any thread, one computes, and the others wait and get
    /// a copy. If `compute` panics, one of those who waited computes. A value that cannot be stored (too
    /// large, no space, a key that cannot be one) is returned all the same; who waited for it computes, too.
    ///
    /// No lock is held while `compute` runs: it may use the cache. If it asks for its own key it does not wait for
    /// itself. Two that ask for each other's keys would wait for ever. Sixteen groups of eight keys can be
    /// computed at a time; for one more in a group the caller computes without being waited for. A thread that waits
    /// is blocked: in a task of an asynchronous runtime, do this where blocking is allowed.
    ///
    /// Allocates nothing but the value that it copies.
    pub fn get_or_insert_with(
        &self,
        key: impl AsRef<[u8]>,
        compute: impl FnOnce() -> Vec<u8>,
    ) -> Vec<u8> {
        let Ok(value) = self.try_get_or_insert_with(key, || Ok::<_, Infallible>(compute()));
        value
    }

    /// As [`SharedCache::get_or_insert_with`], for a computation that can fail: then nothing is stored, and one of those
    /// who waited computes.
    ///
    /// # Errors
    /// What `compute` returned.
    pub fn try_get_or_insert_with<E>(
        &self,
        key: impl AsRef<[u8]>,
        compute: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let Ok(key) = self.key(key.as_ref()) else {
            return compute();
        };
        let flight = loop {
            if let Some(value) = self.get_key(key) {
                return Ok(value);
            }
            match self.front.flights.board(key.hash()) {
                // Another one may have finished between the look-up and this turn.
                Turn::Computes(flight) => match self.get_key(key) {
                    Some(value) => return Ok(value),
                    None => break Some(flight),
                },
                Turn::Waited => {}
                Turn::Alone => break None,
            }
        };
        // If this panics or fails, dropping the flight lets those who wait go on.
        let value = compute()?;
        let is_stored = self
            .insert_key(key, &value, self.front.time_to_live)
            .is_ok();
        if let Some(flight) = flight {
            flight.land(is_stored);
        }
        Ok(value)
    }

    /// Holds the item's value still, so that it can be read in parts, in this thread or another. The item itself may be
    /// replaced, removed or evicted meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] when too many items are pinned already.
    pub fn pin(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedPinned>, StoreError> {
        match self.key(key.as_ref()) {
            Ok(key) => self.core.pin_owned(key, self.now()),
            Err(_) => Ok(None),
        }
    }

    /// How many items there are, those included that have expired and were not reclaimed yet. Takes each shard's
    /// lock in turn.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.stats().items as usize
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the cache may use: what [`Builder::memory`](crate::Builder::memory) said.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.core.plan().budget_bytes() + front_bytes()
    }

    /// Bytes of [`SharedCache::memory`] that are in use: pages of items and of the index, whole, and what is there from
    /// the start. Takes each shard's lock in turn.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        let stats = self.core.stats();
        let plan = self.core.plan();
        let fixed = self.memory() - plan.page_count() * plan.page_bytes();
        fixed + (stats.pages_items + stats.pages_index) as usize * plan.page_bytes()
    }

    /// Removes all items, in a time that does not depend on how many there are.
    pub fn clear(&self) {
        self.core.flush();
    }

    /// Gives back the memory of items that have expired: up to ten thousand or so of them, and says whether there are
    /// more. Not needed: a store that finds no room does it before it evicts anything. Called every second or
    /// so it keeps [`SharedCache::len`] and [`SharedCache::memory_used`] close to what can still be found.
    pub fn maintain(&self) -> Maintained {
        self.core.maintain(self.now(), MAINTAIN_ITEMS_MAX)
    }

    fn key<'k>(&self, bytes: &'k [u8]) -> Result<Key<'k>, KeyError> {
        self.core.key(bytes)
    }

    fn get_key(&self, key: Key<'_>) -> Option<Vec<u8>> {
        let now = self.now();
        let mut window = [0; WINDOW_BYTES];
        let mut value_len = match self.core.get(key, now, &mut window) {
            Lookup::Miss => return None,
            Lookup::Hit(meta) => return Some(window[..meta.value_len].to_vec()),
            Lookup::TooSmall(meta) => meta.value_len,
        };
        // It ends: a value cannot become longer for ever.
        loop {
            let mut value = vec![0; value_len];
            match self.core.get(key, now, &mut value) {
                Lookup::Miss => return None,
                Lookup::Hit(meta) => {
                    value.truncate(meta.value_len);
                    return Some(value);
                }
                Lookup::TooSmall(meta) => value_len = meta.value_len,
            }
        }
    }

    fn insert_until(
        &self,
        key: &[u8],
        value: &[u8],
        time_to_live: Option<Duration>,
    ) -> Result<(), InsertError> {
        Ok(self.insert_key(self.key(key)?, value, time_to_live)?)
    }

    fn insert_key(
        &self,
        key: Key<'_>,
        value: &[u8],
        time_to_live: Option<Duration>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.core
            .put(key, value, attributes(time_to_live, now), now)
    }
}

fn attributes(time_to_live: Option<Duration>, now: Tick) -> Attributes {
    time_to_live
        .map_or(Deadline::NEVER, |time| deadline(now, time))
        .into()
}

/// See [`SharedCache::insert_ttl`].
fn deadline(now: Tick, time_to_live: Duration) -> Deadline {
    if time_to_live.subsec_nanos() == 0 && !time_to_live.is_zero() {
        return Deadline::after_secs(now, time_to_live.as_secs());
    }
    let millis = time_to_live.as_nanos().div_ceil(1_000_000);
    Deadline::exact(now.plus_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

impl fmt::Debug for SharedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCache")
            .field("memory", &self.memory())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl From<KeyError> for InsertError {
    fn from(error: KeyError) -> Self {
        InsertError::Key(error)
    }
}

impl From<StoreError> for InsertError {
    fn from(error: StoreError) -> Self {
        InsertError::Store(error)
    }
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InsertError::Key(error) => error.fmt(f),
            InsertError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InsertError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_never_shortened() {
        let now = Tick::from_millis(10_250);
        let millis = |millis| Some(Tick::from_millis(millis));
        for (time, expected) in [
            (Duration::ZERO, millis(10_250)),
            (Duration::from_nanos(1), millis(10_251)),
            (Duration::from_millis(5), millis(10_255)),
            (Duration::from_micros(5_001), millis(10_256)),
            (Duration::from_secs(5), millis(16_000)),
            (Duration::from_millis(5_500), millis(15_750)),
        ] {
            assert_eq!(deadline(now, time).tick(), expected, "{time:?}");
        }
        // As far as a deadline reaches.
        let longest = deadline(now, Duration::MAX).tick();
        assert!(longest > Some(Tick::from_secs(u64::from(u32::MAX) - 1)));
    }
}
