//! What the server answers, before a protocol has put it into words.

use super::facts::Facts;

/// An answer. Wording belongs to each protocol's `encode`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply<'s> {
    /// What became of a store.
    Store {
        /// In a word.
        fate: Fate,
        /// The item's CAS number; 0: it has none.
        cas: u64,
        /// The whole value's length.
        value_len: usize,
    },
    /// What became of something else.
    Fate(Fate),
    /// A value, which stands at the front of the room being encoded into, behind its head.
    Value {
        /// The length of both.
        len: usize,
    },
    /// All that is to be said, which stands at the front of the room.
    Whole {
        /// Its length.
        len: usize,
    },
    /// No such item.
    Missing,
    /// The number is this now, and this is known of the item.
    Number(u64, Facts),
    /// This is known of the item.
    Told(Facts),
    /// The item is gone.
    Deleted,
    /// Its deadline is another now.
    Touched,
    /// The number is this now.
    Counted(u64),
    /// Whole seconds until the deadline; `None` for an item without one.
    SecondsLeft(Option<u64>),
    /// Everything is gone, or will be.
    Flushed,
    /// A word.
    Said(Word),
    /// Counters, not the last ones.
    Stats(&'s [Stat<'s>]),
    /// There are no more of them.
    StatsEnd,
    /// They begin at 0 again.
    StatsReset,
    /// Nothing was done.
    Refused(Refusal),
}

/// An answer that needs nothing but a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is so.
    Ok,
    /// The server's version.
    Version,
    /// The list of keys is at its end.
    End,
    /// All that came before is answered.
    Noop,
}

/// What became of a change, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It is not, because there is an item already, or none.
    NotStored,
    /// It is not, because somebody else has changed the item since.
    Exists,
    /// There is no such item.
    Missing,
}

/// Words of a protocol that are always the same. A thin reference, because a connection keeps one while it skips what it is
/// not going to execute.
pub type Words = &'static &'static [u8];

/// [`Words`] from a byte string.
macro_rules! words {
    ($bytes:literal) => {
        const { &($bytes as &'static [u8]) }
    };
}
pub(crate) use words;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The protocol's decoder did not understand it, and says so in these words.
    Words(Words),
    /// Not a request of this protocol.
    Malformed,
    /// The value does not end where it was said to.
    BrokenValue,
    /// Its parts are not as long as they have to be.
    BadLengths,
    /// The value is no number.
    NotNumeric,
    /// The value is over the limit.
    TooLarge,
    /// The key is over the limit.
    LongKey,
    /// Memory that could be freed is held by transfers under way.
    NoSpace,
    /// The login is the wrong one.
    LoginFailed,
    /// The client's login may not do that.
    NotPermitted,
    /// Switched off by a setting, or out of the range that a setting allows.
    NotAllowed(Act),
}

/// What a setting may forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Removing everything.
    Flush,
    /// Shutting the server down.
    Shutdown,
    /// Changing how much memory the process is content with.
    LimitMemory,
}

/// One line of counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stat<'s> {
    /// What stands before the name.
    pub lead: Lead,
    /// Lower case, with underscores.
    pub name: &'s str,
    /// Its value.
    pub value: StatValue<'s>,
}

/// What stands before the name of a [`Stat`], and a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Nothing.
    None,
    /// A number.
    Number(u64),
    /// `items` and a number.
    Items(u64),
}

/// The value of a [`Stat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatValue<'s> {
    /// A count, or a size in bytes.
    Number(u64),
    /// A word.
    Text(&'s str),
    /// Seconds, from microseconds.
    Micros(u64),
}

impl<'s> Stat<'s> {
    /// A count.
    #[must_use]
    pub const fn number(name: &'s str, value: u64) -> Self {
        Stat {
            lead: Lead::None,
            name,
            value: StatValue::Number(value),
        }
    }

    /// A word.
    #[must_use]
    pub const fn text(name: &'s str, value: &'s str) -> Self {
        Stat {
            lead: Lead::None,
            name,
            value: StatValue::Text(value),
        }
    }

    /// Yes or no.
    #[must_use]
    pub const fn yes_no(name: &'s str, yes: bool) -> Self {
        Stat::text(name, if yes { "yes" } else { "no" })
    }

    /// A time.
    #[must_use]
    pub const fn micros(name: &'s str, micros: u64) -> Self {
        Stat {
            lead: Lead::None,
            name,
            value: StatValue::Micros(micros),
        }
    }

    /// The same, behind a lead.
    #[must_use]
    pub const fn behind(self, lead: Lead) -> Self {
        Stat { lead, ..self }
    }
}
