//! What messages between clients are spoken of with.

use std::num::NonZeroU32;

pub use crate::proto::resp::pubsub::Kind;

/// No place in a table.
pub const NONE: u32 = u32::MAX;

/// How many subscriptions a connection has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// By [`Kind`].
    pub counts: [u32; 3],
}

impl Held {
    /// What is told behind a change of this kind.
    #[must_use]
    pub fn told(self, kind: Kind) -> u32 {
        match kind {
            Kind::Shard => self.counts[2],
            _ => self.counts[0] + self.counts[1],
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.counts != [0; 3]
    }
}

/// A subscriber's place in the tables. In four bytes, if there is none too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriberNo(NonZeroU32);

impl SubscriberNo {
    pub(super) fn new(no: u32) -> Self {
        SubscriberNo(NonZeroU32::MIN.saturating_add(no))
    }

    pub(super) fn no(self) -> u32 {
        self.0.get() - 1
    }
}

/// Why nothing was subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The cache has not made room yet.
    NotNow,
    /// All places for subscribers, subscriptions or names are taken.
    All,
    /// The connection has as many as it may have.
    Own,
    /// The patterns that are there take as long to compare as may be.
    Patterns,
}

/// A name as a record has it: a place in the table, and whose place it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    pub topic: u32,
    pub tag: u32,
}

impl Match {
    /// No name at all.
    pub const NONE: Match = Match {
        topic: NONE,
        tag: 0,
    };
}

/// Where what is pending begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The record.
    pub place: u64,
    /// Which of the names that it may be for.
    pub name: u32,
    /// So many bytes of the answer for it are brought.
    pub offset: u32,
}

impl Cursor {
    /// At the beginning of a record.
    pub fn at(place: u64) -> Self {
        Cursor {
            place,
            name: 0,
            offset: 0,
        }
    }
}
