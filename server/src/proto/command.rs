//! What a client asks, whichever protocol it came in.
//!
//! A [`Command`] borrows the inbox. It is executed before the inbox is touched again, so
//! keys and values are never copied on their way to the engine.

use super::memcache::meta::Meta;
use super::voice::{Tone, Voice};
use super::{Inside, Refusal};

/// One request of the data plane. Keys have 1 to 250 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Send the value.
    Get {
        /// Whose.
        key: &'a [u8],
    },
    /// Send the value, and change how long it is kept.
    GetAndTouch {
        /// Whose.
        key: &'a [u8],
        /// How long to keep it from now on.
        lifetime: Lifetime,
    },
    /// Store.
    Store {
        /// Whose.
        key: &'a [u8],
        /// Any bytes that the protocol can carry, or none.
        value: &'a [u8],
        /// What else is to be known.
        terms: Terms,
    },
    /// Remove.
    Delete {
        /// Whose.
        key: &'a [u8],
    },
    /// What memcached's flags say.
    Meta(Meta<'a>),
    /// Store as memcached's flags say.
    MetaStore {
        /// Whose, and how.
        meta: Meta<'a>,
        /// Any bytes, or none.
        value: &'a [u8],
    },
    /// Change how long it is kept.
    Touch {
        /// Whose.
        key: &'a [u8],
        /// How long to keep it from now on.
        lifetime: Lifetime,
    },
    /// Add to the number that the value is, or take away from it.
    Count {
        /// Whose.
        key: &'a [u8],
        /// Add.
        up: bool,
        /// How much.
        by: u64,
    },
    /// Say how many seconds are left.
    Ttl {
        /// Whose.
        key: &'a [u8],
    },
    /// Send the counters.
    Stats(Topic),
    /// Remove everything.
    Flush {
        /// When: [`Lifetime::Past`] is now.
        when: Lifetime,
    },
    /// Be content with so much memory from now on.
    LimitMemory {
        /// The whole process.
        bytes: usize,
    },
    /// Answer with a word, and do nothing.
    Say(Word),
    /// Let this client in.
    Login {
        /// Who it is.
        user: &'a [u8],
        /// What only they know.
        password: &'a [u8],
    },
    /// Tell of every item, or of some.
    Dump(Listing),
    /// Shut the server down.
    Shutdown,
    /// Move the clock by so many seconds: for tests, and only where they are allowed to.
    MoveClock {
        /// Forward.
        seconds: i64,
    },
    /// Stop the worker that reads this for so many seconds: for tests, and only where they are allowed to.
    Stall {
        /// At most ten minutes.
        seconds: u64,
        /// Whether it works meanwhile, instead of sleeping.
        busy: bool,
    },
    /// Close the connection.
    Quit,
    /// Not to be carried out: say why.
    Refuse(Refusal),
}

/// Which items a dump is to tell of, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All of them, with all that is known.
    All,
    /// All of them, as commands that read them.
    Keys,
    /// Those of one size class, briefly.
    Class {
        /// Its number, from 1.
        class: u8,
        /// So many at most; 0: all.
        limit: u32,
    },
}

/// How an item is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Over what.
    pub how: How,
    /// The client's number.
    pub client_flags: u32,
    /// How long to keep it.
    pub lifetime: Lifetime,
    /// A value that is too long takes with it the one that it was to replace: whoever sends it
    /// believes that the old one is gone.
    pub too_long_drops: bool,
}

impl Terms {
    /// Over anything, without a client's number.
    #[must_use]
    pub const fn plain(lifetime: Lifetime) -> Self {
        Terms {
            how: How::Always,
            client_flags: 0,
            lifetime,
            too_long_drops: false,
        }
    }
}

/// Over what a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Over anything or nothing.
    Always,
    /// Only where nothing is.
    Absent,
    /// Only over something.
    Present,
    /// Only over the item with this CAS number.
    Same(u64),
    /// Behind what is there, keeping its flags and lifetime.
    Behind,
    /// Before what is there, likewise.
    Before,
}

/// How long an item is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted or evicted.
    Forever,
    /// For so many seconds, at least 1, and not a moment less.
    Seconds(u32),
    /// For so many seconds, of which the one that has begun is the first.
    Counted(u32),
    /// Until so many seconds after the beginning of 1970.
    Until(u32),
    /// Not at all: its time has passed.
    Past,
}

/// Which counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Those of the native protocol.
    Native,
    /// What the size classes hold, natively.
    Classes,
    /// Those that memcached's clients know.
    General,
    /// Settings, under memcached's names.
    Settings,
    /// Items by size class.
    Items,
    /// Pages and chunks by size class.
    Slabs,
    /// How many items of which size: not kept.
    Sizes,
    /// Where connections come in.
    Conns,
    /// Begin all counting at 0 again.
    Reset,
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

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// The beginning of a request, or nothing.
    More,
    /// A request.
    Request(Request<'a>),
    /// The beginning of a request that is not held whole.
    Long(LongHead<'a>),
    /// Another protocol strayed here: say this, close, and interpret nothing that follows.
    HangUp(&'static [u8]),
}

/// A request and its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What it asks.
    pub command: Command<'a>,
    /// How the answer is to be worded.
    pub voice: Voice<'a>,
    /// How many bytes it took.
    pub taken: usize,
    /// Where the next one is then.
    pub inside: Inside,
}

/// What the beginning of a request that is not held whole turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongHead<'a> {
    /// A store whose value goes on: stream it into the cache.
    Store {
        /// Whose, and how.
        storing: Storing<'a>,
        /// The value's length, if the protocol says it first.
        value_len: Option<usize>,
        /// How the answer is to be worded.
        voice: Voice<'a>,
        /// How many bytes stand before the value.
        taken: usize,
    },
    /// No valid request: skip to its end, then refuse it once.
    Skip {
        /// Why.
        refusal: Refusal,
        /// How it is told.
        tone: Tone,
        /// What is to be skipped.
        rest: Rest,
        /// How many bytes stand before that.
        taken: usize,
    },
}

/// A store without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing<'a> {
    /// Under a key, on terms.
    Plain {
        /// 1 to 250 bytes.
        key: &'a [u8],
        /// How to store it.
        terms: Terms,
    },
    /// As memcached's flags say.
    Meta(Meta<'a>),
}

impl<'a> Storing<'a> {
    /// The same, with its value.
    #[inline]
    #[must_use]
    pub fn with(self, value: &'a [u8]) -> Command<'a> {
        match self {
            Storing::Plain { key, terms } => Command::Store { key, value, terms },
            Storing::Meta(meta) => Command::MetaStore { meta, value },
        }
    }
}

/// What is left of an unwanted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Everything up to a newline.
    Line,
    /// So many bytes: see [`Rest::bytes`].
    Bytes(u32),
}

impl Rest {
    /// So many bytes. No protocol's lengths are longer than 31 bits; a connection has this in it,
    /// and ten thousand of them have it ten thousand times.
    #[must_use]
    pub fn bytes(len: usize) -> Self {
        Rest::Bytes(u32::try_from(len).unwrap_or(u32::MAX))
    }

    /// How far it reaches into `bytes`: so many of them, and what is left then (`None`: nothing).
    #[must_use]
    pub fn within(self, bytes: &[u8]) -> (usize, Option<Rest>) {
        match self {
            Rest::Line => match super::scan::newline(bytes) {
                Some(at) => (at + 1, None),
                None => (bytes.len(), Some(Rest::Line)),
            },
            Rest::Bytes(left) => match (left as usize).checked_sub(bytes.len()) {
                None | Some(0) => (left as usize, None),
                Some(rest) => (bytes.len(), Some(Rest::bytes(rest))),
            },
        }
    }
}
