//! What callers speak: plain values that go into a call or come out of it.
//!
//! They know nothing of how items lie, so that every part of the engine may know them. What holds
//! memory (a pin, a reservation) is not here.

use crate::tick::Deadline;

/// What a client attaches to an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The client's number; 0 costs nothing.
    pub client_flags: u32,
    /// When the item expires; never costs nothing.
    pub deadline: Deadline,
}

impl From<Deadline> for Attributes {
    fn from(deadline: Deadline) -> Self {
        Attributes {
            client_flags: 0,
            deadline,
        }
    }
}

/// What is known of an item beside its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ItemMeta {
    /// The value's length in bytes.
    pub value_len: usize,
    /// The client's number.
    pub client_flags: u32,
    /// When it expires.
    pub deadline: Deadline,
    /// Its CAS number, if somebody has asked for it: see [`Cache::cas`](crate::Cache::cas).
    pub cas: Option<u64>,
    /// The value is out of date: see [`Edit::Outdate`].
    pub stale: bool,
    /// Somebody was told to bring a new one: see [`Cache::visit`](crate::Cache::visit).
    pub won: bool,
}

impl ItemMeta {
    /// What the client has attached to it.
    #[inline]
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes {
            client_flags: self.client_flags,
            deadline: self.deadline,
        }
    }
}

/// What [`Cache::get`](crate::Cache::get) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// No such item, or it has expired.
    Miss,
    /// The value is at the front of the buffer.
    Hit(ItemMeta),
    /// The value is longer than the buffer; nothing was copied.
    TooSmall(ItemMeta),
}

/// What [`Cache::get_at`](crate::Cache::get_at) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// Head and value are in the buffer's first bytes, so many together.
    Bytes(usize),
    /// No such item.
    Miss,
    /// They do not fit, or the head was not given.
    TooSmall,
}

/// When a store is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Always.
    Always,
    /// Only if there is no such item.
    Absent,
    /// Only if there is one.
    Present,
    /// Only if it has this CAS number.
    Cas(u64),
    /// If it has this CAS number; or a higher one, and then as a stale value, with the deadline
    /// of the one that it replaces.
    Since(u64),
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Stored,
    /// The condition `Absent` or `Present` did not hold.
    NotStored,
    /// The item has another CAS number.
    Exists,
    /// There is no item to compare with.
    NotFound,
}

/// What became of a store, and of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Whether it was carried out.
    pub outcome: Outcome,
    /// The item's CAS number; 0: it has none.
    pub cas: u64,
    /// The whole value's length.
    pub value_len: usize,
}

impl Stored {
    pub(crate) fn not(outcome: Outcome) -> Self {
        Stored {
            outcome,
            cas: 0,
            value_len: 0,
        }
    }
}

/// What becomes of an item's CAS number when it is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CasWish {
    /// It gets the next one if somebody has asked for it before; else it costs nothing.
    #[default]
    IfKept,
    /// It gets the next one, because somebody asks for it now.
    Next,
    /// It is to be this one.
    Be(u64),
}

/// Where the new part goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the value.
    Before,
    /// Behind it.
    Behind,
}

/// What a visitor takes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Want {
    /// Not the value.
    #[default]
    Nothing,
    /// The value, if it fits.
    Value,
    /// The value; if it does not fit, held still to be read in pieces.
    ValueOrPin,
}

/// What a visit is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit {
    /// What to take along.
    pub want: Want,
    /// But no value if the item has this CAS number.
    pub unless_cas: Option<u64>,
    /// A new deadline.
    pub touch: Option<Deadline>,
    /// If there is no item: an empty one with this deadline, whose value the visitor brings.
    pub create: Option<Deadline>,
    /// The visitor is to bring a new value if the item expires before this.
    pub win_before: Option<Deadline>,
    /// `Next`: its CAS number is asked for. `Be`: one that is made for this gets this number.
    pub cas: CasWish,
    /// The item's reads are asked for: from now on they are noted.
    pub note: bool,
    /// It does not count as a read.
    pub unseen: bool,
}

/// What a visit found, as it was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Visited {
    /// What is known of the item. Of `won`: somebody else was told before.
    pub meta: ItemMeta,
    /// The item was made for this.
    pub created: bool,
    /// It has the CAS number that makes the value unwanted.
    pub is_known: bool,
    /// The visitor is to bring a new value, and nobody else is told so.
    pub wins: bool,
    /// It was read before. If reads are not noted: it was used lately.
    pub read: bool,
    /// Seconds since the last access; `None`: nobody noted it.
    pub idle_seconds: Option<u64>,
    /// Its size class.
    pub class: usize,
    /// Bytes of its first piece's chunk, or of all its pieces' contents if there are more.
    pub item_bytes: usize,
}

/// What becomes of an item that [`Cache::update`](crate::Cache::update) has looked at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Edit<'v> {
    /// It stays as it is.
    Keep,
    /// It is removed.
    Remove,
    /// It is made, or its value is replaced.
    Store {
        /// The value.
        value: NewValue<'v>,
        /// Client flags and deadline: [`ItemMeta::attributes`] are those that it has.
        attributes: Attributes,
        /// Its CAS number.
        cas: CasWish,
        /// It is out of date from the beginning: see [`Edit::Outdate`].
        stale: bool,
    },
    /// Its value gets longer, and nothing else of it changes. Of no item nothing is made.
    Extend {
        /// What is added.
        part: NewValue<'v>,
        /// Where.
        side: Side,
        /// Its CAS number.
        cas: CasWish,
    },
    /// Its value stays and is out of date: readers who come by [`Cache::visit`](crate::Cache::visit)
    /// are told so, and one of them is told to bring a new one. It has a CAS number from now on.
    Outdate {
        /// When it expires.
        deadline: Deadline,
        /// Its CAS number; `None`: the next, which is higher than any of this value.
        cas: Option<u64>,
    },
    /// It has this deadline from now on, and nothing else of it changes.
    Touch(Deadline),
}

/// Bytes for an item, and where they are.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'v> {
    /// So many at the front of the room that the edit was given.
    Room(usize),
    /// These.
    Given(&'v [u8]),
}

/// What [`Cache::update`](crate::Cache::update) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Updated {
    /// Nothing, as the edit wanted, or because there is no item to remove, to lengthen or to
    /// outdate.
    Kept,
    /// The item was removed.
    Removed,
    /// The item is as the edit wanted.
    Stored {
        /// Its CAS number, if it has one.
        cas: Option<u64>,
        /// Its value's length.
        value_len: usize,
    },
}

impl<'v> Edit<'v> {
    /// Makes the item, or replaces its value; it gets the next CAS number if it has one.
    #[inline]
    #[must_use]
    pub fn store(value: NewValue<'v>, attributes: Attributes) -> Self {
        Edit::Store {
            value,
            attributes,
            cas: CasWish::IfKept,
            stale: false,
        }
    }

    /// The bytes that it brings.
    #[inline]
    pub(crate) fn bytes<'r>(&self, room: &'r [u8]) -> &'r [u8]
    where
        'v: 'r,
    {
        match *self {
            Edit::Store { value, .. } | Edit::Extend { part: value, .. } => match value {
                NewValue::Room(len) => &room[..len],
                NewValue::Given(bytes) => bytes,
            },
            Edit::Keep | Edit::Remove | Edit::Outdate { .. } | Edit::Touch(_) => b"",
        }
    }
}

/// What [`Cache::maintain`](crate::Cache::maintain) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// Expired items that were reclaimed.
    pub reclaimed: usize,
    /// Whether there is more to do right now.
    pub more: bool,
}

/// How an item stands among the others: what eviction goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It has proved itself, and is on the main list.
    pub is_main: bool,
    /// Hits that are noted of it, 3 at most.
    pub hits: u32,
}

/// An item that [`Cache::export`](crate::Cache::export) has come to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exported<'k> {
    /// The database that it is in.
    pub database: usize,
    /// Its key.
    pub key: &'k [u8],
    /// What is known of it.
    pub meta: ItemMeta,
    /// How it stands.
    pub standing: Standing,
}

/// Where exported items go.
pub trait Sink {
    /// Where this item's value is to be copied. Called under a shard's lock, so it should not take long, and must not call
    /// the cache.
    fn room(&mut self, item: &Exported<'_>) -> Room<'_>;
}

/// What a sink says of an item.
pub enum Room<'b> {
    /// It is to be copied there, which is as long as it is.
    Here(&'b mut [u8]),
    /// It is long: it is to be held still and read in pieces.
    Pin,
    /// There is no room now: the sink is told of the item again.
    Later,
}
