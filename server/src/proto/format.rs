//! How one request wants its answer worded.
//!
//! A reply says what happened; its format says it to this client. It comes with the request,
//! because within one protocol, and even within one session, requests differ in that: who
//! asks for CAS numbers gets them, who says `noreply` gets nothing.

use super::facts::Facts;
use super::memcache::meta::{Kept, Meta};
use super::reply::words;
use super::value::ValueScan;
use super::writer;
use super::{Fate, Refusal, Reply, Rest, Words, binary, memcache, native, resp};

/// How an answer is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFormat<'a> {
    /// Lines of the native protocol.
    Native,
    /// The same, where a value follows a line with its length, so that it may hold line ends.
    Sized,
    /// memcached's `VALUE` blocks.
    Values {
        /// With CAS numbers.
        cas: bool,
        /// Behind this one the list ends.
        last: bool,
    },
    /// memcached's words.
    Words {
        /// Say nothing at all.
        quiet: bool,
    },
    /// What the flags of a meta command ask for.
    Meta(Meta<'a>),
    /// In memcached's binary protocol.
    Binary(binary::Format<'a>),
    /// As Redis does.
    Resp(resp::Format),
}

/// How the lines of a list of items are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// As memcached does.
    Memcached(memcache::dump::Form),
}

impl ListFormat {
    /// What stands before the first.
    #[must_use]
    pub fn head(self) -> &'static [u8] {
        let ListFormat::Memcached(form) = self;
        form.head()
    }

    /// What follows the last.
    #[must_use]
    pub fn tail(self) -> &'static [u8] {
        let ListFormat::Memcached(form) = self;
        form.tail()
    }

    /// Writes the line of one to the front of `room` and says how long it is; `None` if it does not fit.
    pub fn line(self, key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
        let ListFormat::Memcached(form) = self;
        form.line(key, facts, room)
    }
}

/// A [`ReplyFormat`] for one who is told nothing but refusals: it can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainFormat {
    /// As the native protocol does.
    Native,
    /// As memcached does.
    Words,
    /// Not at all.
    Quiet,
    /// As memcached does in its binary protocol.
    Binary(binary::Head),
    /// As Redis does.
    Resp(resp::Format),
}

/// An answer that is known before the rest of its request has come: few bytes, because a connection keeps it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These words; none where nothing is said.
    Words(Words),
    /// A status of memcached's binary protocol.
    Brief(binary::Brief),
}

impl From<Words> for Answer {
    fn from(words: Words) -> Self {
        Answer::Words(words)
    }
}

impl Answer {
    /// Writes it to the front of `room` and says how long it is; `None` if it does not fit.
    pub fn encode(self, room: &mut [u8]) -> Option<usize> {
        match self {
            Answer::Words(words) => writer::words(words, room),
            Answer::Brief(brief) => brief.encode(room),
        }
    }
}

impl PlainFormat {
    /// A refusal in it.
    #[must_use]
    pub fn refused(self, refusal: Refusal) -> Answer {
        match self {
            PlainFormat::Native => native::REFUSED.into(),
            PlainFormat::Words => memcache::encode::refused(refusal).into(),
            PlainFormat::Quiet => Answer::Words(words!(b"")),
            PlainFormat::Binary(head) => Answer::Brief(head.refused(refusal)),
            PlainFormat::Resp(_) => resp::encode::refused(refusal).into(),
        }
    }

    /// The format for it.
    #[must_use]
    pub fn full(self) -> ReplyFormat<'static> {
        match self {
            PlainFormat::Native => ReplyFormat::Native,
            PlainFormat::Words => ReplyFormat::Words { quiet: false },
            PlainFormat::Quiet => ReplyFormat::Words { quiet: true },
            PlainFormat::Binary(head) => ReplyFormat::Binary(binary::Format::plain(head)),
            PlainFormat::Resp(format) => ReplyFormat::Resp(format),
        }
    }
}

/// A [`ReplyFormat`] that outlives its request's bytes. Kept in few places, so its size matters less
/// than a box would.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug)]
pub enum KeptFormat {
    /// Without anything of the request.
    Plain(PlainFormat),
    /// With what a meta command's flags ask for.
    Meta(Kept),
}

impl KeptFormat {
    /// The format again.
    #[must_use]
    pub fn full(&self) -> ReplyFormat<'_> {
        match self {
            KeptFormat::Plain(format) => format.full(),
            KeptFormat::Meta(kept) => ReplyFormat::Meta(kept.meta()),
        }
    }
}

fn encode_meta(meta: Meta<'_>, reply: Reply<'_>, room: &mut [u8]) -> Option<usize> {
    use memcache::meta_encode;
    match reply {
        Reply::Store {
            fate,
            cas,
            value_len,
        } => {
            let facts = Facts {
                value_len,
                cas: Some(cas),
                ..Facts::default()
            };
            meta_encode::fate(meta, fate, &facts, room)
        }
        Reply::Fate(fate) => meta_encode::fate(meta, fate, &Facts::default(), room),
        Reply::Missing => meta_encode::fate(meta, Fate::Missing, &Facts::default(), room),
        Reply::Number(number, facts) => meta_encode::counted(meta, number, &facts, room),
        Reply::Told(facts) => meta_encode::told(meta, &facts, room),
        // Refusals are told even to the quiet.
        reply => memcache::encode::words(reply, false, room),
    }
}

impl ReplyFormat<'_> {
    /// What can be kept of it.
    #[must_use]
    pub fn keep(self) -> KeptFormat {
        match self {
            ReplyFormat::Meta(meta) => KeptFormat::Meta(Kept::of(meta)),
            format => KeptFormat::Plain(format.plain()),
        }
    }

    /// Whether the answer needs a value's CAS number.
    #[inline]
    #[must_use]
    pub fn wants_cas(self) -> bool {
        match self {
            ReplyFormat::Values { cas, .. } => cas,
            ReplyFormat::Binary(_) => true,
            ReplyFormat::Meta(meta) => memcache::meta_encode::asks(meta, b'c'),
            ReplyFormat::Native
            | ReplyFormat::Sized
            | ReplyFormat::Words { .. }
            | ReplyFormat::Resp(_) => false,
        }
    }

    /// Whether a line end in a value would be taken for the end of the answer.
    #[inline]
    #[must_use]
    pub fn ends_at_newline(self) -> bool {
        self == ReplyFormat::Native
    }

    /// A refusal in it.
    #[must_use]
    pub fn refused(self, refusal: Refusal) -> Answer {
        self.plain().refused(refusal)
    }

    /// How refusals are told in it.
    #[must_use]
    pub fn plain(self) -> PlainFormat {
        match self {
            ReplyFormat::Native | ReplyFormat::Sized => PlainFormat::Native,
            ReplyFormat::Words { quiet: true } => PlainFormat::Quiet,
            ReplyFormat::Binary(format) => PlainFormat::Binary(format.head),
            ReplyFormat::Resp(format) => PlainFormat::Resp(format),
            _ => PlainFormat::Words,
        }
    }

    /// What stands behind a list of clients.
    pub const LIST_END: &'static [u8] = b"\r\n";

    /// What is said to one who begins anew, which only Redis' clients can.
    pub const RESET: &'static [u8] = b"+RESET\r\n";

    /// What is said to one whose request is kept.
    pub const KEPT: &'static [u8] = b"+QUEUED\r\n";
    /// Why what was kept is not executed: one of it was no request, or found no room.
    pub const SPOILED: Refusal = Refusal::Words(resp::words::SPOILED);
    /// The same: the request to execute it was none.
    pub const BAD_EXEC: Refusal = Refusal::Words(resp::words::BAD_EXEC);
    /// The same: it had to make room.
    pub const REVOKED: Refusal = Refusal::Words(resp::words::REVOKED);
    /// Why a request is not kept.
    pub const QUEUE_FULL: Refusal = Refusal::Words(resp::words::QUEUE_FULL);
    /// A message of Redis' reaches nobody.
    pub const NOBODY: Words = resp::words::NOBODY;
    /// Its client may not send any.
    pub const MAY_NOT_PUBLISH: Words = resp::words::NOT_PERMITTED;
    /// A long message of Redis' has lost its room to others.
    pub const SLOW_MESSAGE: Words = resp::words::SLOW_MESSAGE;
    /// Why a key is not watched.
    pub const WATCH_FULL: Refusal = Refusal::Words(resp::words::WATCH_FULL);

    /// What stands before the answers to so many requests that were kept; `None`: they are not executed. Writes it to the
    /// front of `room`, which has space for any short answer.
    pub fn answers_head(self, count: Option<usize>, room: &mut [u8]) -> Option<usize> {
        match self {
            ReplyFormat::Resp(format) => format.answers_head(count, room),
            _ => Some(0),
        }
    }

    /// What is said to one who says goodbye.
    #[must_use]
    pub fn farewell(self) -> &'static [u8] {
        match self {
            ReplyFormat::Resp(_) => b"+OK\r\n",
            _ => b"",
        }
    }

    /// How the end of a value that comes in pieces is found.
    #[must_use]
    pub fn value_scan(self, value_len: Option<usize>) -> ValueScan {
        match (self, value_len) {
            (_, None) => ValueScan::LINE,
            (ReplyFormat::Resp(_), Some(len)) => ValueScan::framed(len),
            (ReplyFormat::Binary(_), Some(len)) => ValueScan::bare(len),
            (_, Some(len)) => ValueScan::counted(len),
        }
    }

    /// What is left of a store, of which everything before its value has come.
    #[must_use]
    pub fn value_rest(self, value_len: Option<usize>) -> Rest {
        match (self, value_len) {
            (_, None) => Rest::LINE,
            (ReplyFormat::Binary(_), Some(len)) => Rest::bytes(len),
            // What ends a counted block is two bytes longer.
            (_, Some(len)) => Rest::bytes(len + 2),
        }
    }

    /// Writes what stands before a value to the front of `room` and says how long it is;
    /// `None` if it does not fit, or if a fact is missing that it needs.
    #[inline]
    pub fn value_head(self, key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
        match self {
            ReplyFormat::Native => Some(0),
            ReplyFormat::Sized => native::value_head(facts.value_len, room),
            ReplyFormat::Values { cas, .. } => {
                let cas = if cas { Some(facts.cas?) } else { None };
                memcache::encode::value_head(key, facts.client_flags, facts.value_len, cas, room)
            }
            // An item gets its number when somebody asks for it: not yet.
            ReplyFormat::Meta(_) if facts.cas.is_none() && self.wants_cas() => None,
            ReplyFormat::Meta(meta) => memcache::meta_encode::value_head(meta, facts, room),
            ReplyFormat::Words { .. } => None,
            ReplyFormat::Binary(format) => format.value_head(key, facts, room),
            ReplyFormat::Resp(_) => resp::Format::value_head(facts.value_len, room),
        }
    }

    /// What follows a value.
    #[inline]
    #[must_use]
    pub fn value_tail(self) -> &'static [u8] {
        match self {
            ReplyFormat::Native | ReplyFormat::Sized => b"\n",
            ReplyFormat::Values { last: true, .. } => b"\r\nEND\r\n",
            ReplyFormat::Binary(_) => b"",
            _ => b"\r\n",
        }
    }

    /// Writes `reply` to the front of `room` and says how long it is; `None` if it does not
    /// fit, and then `room` may be scribbled on. For [`Reply::Value`], the value with its head
    /// already stands at the front of `room`.
    #[inline]
    pub fn encode(self, reply: Reply<'_>, room: &mut [u8]) -> Option<usize> {
        if let Reply::Whole { len } = reply {
            return Some(len);
        }
        if let Reply::Value { len } = reply {
            let tail = self.value_tail();
            room.get_mut(len..len + tail.len())?.copy_from_slice(tail);
            return Some(len + tail.len());
        }
        match self {
            ReplyFormat::Native | ReplyFormat::Sized => native::encode(reply, room),
            ReplyFormat::Values { last, .. } => memcache::encode::values(reply, last, room),
            ReplyFormat::Words { quiet } => memcache::encode::words(reply, quiet, room),
            ReplyFormat::Meta(meta) => encode_meta(meta, reply, room),
            ReplyFormat::Binary(format) => format.encode(reply, room),
            ReplyFormat::Resp(format) => format.encode(reply, room),
        }
    }
}
