//! What a client asks, whichever protocol it came in.
//!
//! A [`Command`] borrows the inbox. It is executed before the inbox is touched again, so
//! keys and values are never copied on their way to the engine.

use super::binary;
use super::format::{Answer, ListFormat, ReplyFormat};
use super::inside::Inside;
use super::memcache::meta::Meta;
use super::reply::{Refusal, Word, Words};
use super::resp;
use super::rights::Role;
use super::terms::{Lifetime, Terms};

/// One request of the data plane. A key has as many bytes as its protocol and `--max-key` allow.
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
        /// Where nobody has to log in, everybody may.
        lenient: bool,
        /// What this connection is to be called from then on.
        own_name: Option<&'a [u8]>,
    },
    /// Tell of every item, or of some.
    Dump(Listing),
    /// Shut the server down.
    Shutdown {
        /// What is wrong with the request, for a client that may shut the server down.
        mistake: Option<Words>,
    },
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
    /// Allocate memory, which no request does: for tests, and only where they are allowed to.
    Allocate,
    /// Close the connection.
    Quit,
    /// The long value that has just arrived is stored on these terms.
    Settle(Terms),
    /// What only clients of memcached's binary protocol ask.
    Binary(binary::Op<'a>),
    /// What only Redis' clients ask.
    Resp(resp::Op<'a>),
    /// Not to be carried out: say why.
    Refuse(Refusal),
}

impl<'a> Command<'a> {
    /// The key that it is about, as it stands in the request.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Command::Get { key }
            | Command::GetAndTouch { key, .. }
            | Command::Store { key, .. }
            | Command::Delete { key }
            | Command::Touch { key, .. }
            | Command::Count { key, .. }
            | Command::Ttl { key } => Some(key),
            Command::Meta(meta) | Command::MetaStore { meta, .. } => Some(meta.key),
            Command::Binary(op) => op.key(),
            Command::Resp(op) => op.key(),
            _ => None,
        }
    }

    /// Whether the decoder has refused what the client sent, which may be anything.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Command::Refuse(_) => true,
            Command::Resp(op) => op.is_refused(),
            _ => false,
        }
    }

    /// The least role that may ask it.
    #[must_use]
    pub fn needs(&self) -> Role {
        match *self {
            Command::Get { .. } | Command::Ttl { .. } | Command::Say(_) => Role::Read,
            Command::GetAndTouch { .. }
            | Command::Store { .. }
            | Command::Delete { .. }
            | Command::MetaStore { .. }
            | Command::Touch { .. }
            | Command::Count { .. }
            // Only of a store that has been let in.
            | Command::Settle(_) => Role::Write,
            Command::Meta(meta) => meta.needs(),
            // Requests of others are told, with their clients and perhaps their keys.
            Command::Stats(Topic::Reset | Topic::Slow | Topic::HotKeys(_)) => Role::Admin,
            Command::Stats(_) => Role::Read,
            Command::Flush { .. }
            | Command::LimitMemory { .. }
            | Command::Dump(_)
            | Command::Shutdown { .. }
            | Command::MoveClock { .. }
            | Command::Stall { .. }
            | Command::Allocate => Role::Admin,
            Command::Login { .. } | Command::Quit | Command::Refuse(_) => Role::Nobody,
            Command::Binary(op) => op.needs(),
            Command::Resp(op) => op.needs(),
        }
    }
}

/// Which items a list is to tell of, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Those of one size class, counted from 1; `None`: all.
    pub class: Option<u8>,
    /// So many at most; `u32::MAX`: all.
    pub limit: u32,
    /// How each is told.
    pub format: ListFormat,
}

/// Which counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Those of the native protocol.
    Native,
    /// What the size classes hold, natively.
    Classes,
    /// What the hit ratio would be with less memory, and more.
    Curve,
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
    /// How many values of which size and lifetime were stored.
    Stored,
    /// Where connections come in.
    Conns,
    /// Begin all counting at 0 again.
    Reset,
    /// The last requests that took long.
    Slow,
    /// The keys that are asked for most: so many.
    HotKeys(u8),
}

/// So many hot keys are told where nobody says how many …
const HOT_KEYS_TOLD: u8 = 10;
/// … and at most so many.
const HOT_KEYS_TOLD_MAX: u8 = 100;

impl Topic {
    /// So many of the keys that are asked for most; or as many as are told where nobody says how many.
    #[must_use]
    pub fn hot_keys(count: Option<u64>) -> Topic {
        let most = u64::from(HOT_KEYS_TOLD_MAX);
        Topic::HotKeys(count.map_or(HOT_KEYS_TOLD, |count| count.min(most) as u8))
    }
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

impl Decoded<'_> {
    /// The same, or its refusal where it needs more than this role.
    #[inline(never)]
    #[must_use]
    pub fn limited_to(self, role: Role) -> Self {
        match self {
            Decoded::Request(request) if request.command.needs() > role => {
                Decoded::Request(Request {
                    command: Command::Refuse(Refusal::NotPermitted),
                    ..request
                })
            }
            decoded => decoded,
        }
    }
}

/// A request and its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What it asks.
    pub command: Command<'a>,
    /// How the answer is to be worded.
    pub format: ReplyFormat<'a>,
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
        format: ReplyFormat<'a>,
        /// How many bytes stand before the value.
        taken: usize,
        /// Where the next request is behind it.
        inside: Inside,
    },
    /// A message that goes on: it is published when all of it is there.
    Publish {
        /// Where to, and how long it is.
        message: LongMessage<'a>,
        /// How many bytes stand before it.
        taken: usize,
        /// Where the next request is behind it.
        inside: Inside,
    },
    /// No valid request: skip to its end, then refuse it once.
    Skip {
        /// What is answered then; nothing if it was refused already.
        answer: Option<Answer>,
        /// What is to be skipped.
        rest: Rest,
        /// How many bytes stand before that.
        taken: usize,
        /// Where the next request is behind it.
        inside: Inside,
    },
}

/// A message of Redis' without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongMessage<'a> {
    /// As what it is published.
    pub kind: resp::pubsub::Kind,
    /// Where to.
    pub channel: &'a [u8],
    /// The text's length.
    pub len: usize,
}

/// A store without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing<'a> {
    /// Under a key, on terms.
    Plain {
        /// As long as its protocol allows.
        key: &'a [u8],
        /// How to store it.
        terms: Terms,
    },
    /// As memcached's flags say.
    Meta(Meta<'a>),
    /// As memcached's binary protocol says.
    Binary(binary::Store<'a>),
}

impl<'a> Storing<'a> {
    /// The same, with its value.
    #[inline]
    #[must_use]
    pub fn with(self, value: &'a [u8]) -> Command<'a> {
        match self {
            Storing::Plain { key, terms } => Command::Store { key, value, terms },
            Storing::Meta(meta) => Command::MetaStore { meta, value },
            Storing::Binary(store) => Command::Binary(binary::Op::Store { store, value }),
        }
    }
}

/// What is left of an unwanted request: so many bytes, or a line. In few bytes, because each connection has it in it, and
/// there may be ten thousand of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest(u32);

impl Rest {
    /// Everything up to a newline.
    pub const LINE: Rest = Rest(u32::MAX);

    /// So many bytes. No protocol's lengths are longer than 31 bits.
    #[must_use]
    pub fn bytes(len: usize) -> Self {
        Rest(u32::try_from(len).unwrap_or(u32::MAX).min(u32::MAX - 1))
    }

    /// How far it reaches into `bytes`: so many of them, and what is left then (`None`: nothing).
    #[must_use]
    pub fn within(self, bytes: &[u8]) -> (usize, Option<Rest>) {
        if self == Rest::LINE {
            return match super::scan::newline(bytes) {
                Some(at) => (at + 1, None),
                None => (bytes.len(), Some(Rest::LINE)),
            };
        }
        let left = self.0 as usize;
        match left.checked_sub(bytes.len()) {
            None | Some(0) => (left, None),
            Some(rest) => (bytes.len(), Some(Rest::bytes(rest))),
        }
    }
}
