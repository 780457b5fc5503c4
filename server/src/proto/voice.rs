//! How one request wants its answer worded.
//!
//! A reply says what happened; its voice says it to this client. It comes with the request,
//! because within one protocol, and even within one session, requests differ in that: who
//! asks for CAS numbers gets them, who says `noreply` gets nothing.

use super::memcache::meta::{Kept, Meta};
use super::{Fate, Reply, memcache, text};

/// How an answer is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice<'a> {
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
}

/// What is known of an item when its value is sent, or told instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The value's length.
    pub value_len: usize,
    /// The client's number.
    pub client_flags: u32,
    /// Its CAS number, if it has one yet.
    pub cas: Option<u64>,
    /// No value follows.
    pub bare: bool,
    /// Seconds until its deadline; `None`: it has none.
    pub seconds_left: Option<u64>,
    /// The same, after the request has changed it.
    pub seconds_then: Option<u64>,
    /// Seconds since it was accessed, as far as anybody knows.
    pub idle_seconds: u64,
    /// It was read before.
    pub read: bool,
    /// It was made for this request.
    pub created: bool,
    /// The value is out of date.
    pub stale: bool,
    /// Somebody else was told to bring a new one.
    pub won: bool,
    /// This client is told so now.
    pub wins: bool,
    /// Its size class.
    pub class: u64,
    /// The memory that it takes.
    pub item_bytes: u64,
}

/// A [`Voice`] for one who is told nothing but refusals: it can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As the native protocol does.
    Native,
    /// As memcached does.
    Words,
    /// Not at all.
    Quiet,
}

impl Tone {
    /// The voice for it.
    #[must_use]
    pub fn voice(self) -> Voice<'static> {
        match self {
            Tone::Native => Voice::Native,
            Tone::Words => Voice::Words { quiet: false },
            Tone::Quiet => Voice::Words { quiet: true },
        }
    }
}

/// A [`Voice`] that outlives its request's bytes. Kept in few places, so its size matters less
/// than a box would.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug)]
pub enum KeptVoice {
    /// Without anything of the request.
    Plain(Tone),
    /// With what a meta command's flags ask for.
    Meta(Kept),
}

impl KeptVoice {
    /// The voice again.
    #[must_use]
    pub fn voice(&self) -> Voice<'_> {
        match self {
            KeptVoice::Plain(tone) => tone.voice(),
            KeptVoice::Meta(kept) => Voice::Meta(kept.meta()),
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

impl Voice<'_> {
    /// What can be kept of it.
    #[must_use]
    pub fn keep(self) -> KeptVoice {
        match self {
            Voice::Meta(meta) => KeptVoice::Meta(Kept::of(meta)),
            voice => KeptVoice::Plain(voice.tone()),
        }
    }

    /// Whether the answer needs a value's CAS number.
    #[inline]
    #[must_use]
    pub fn wants_cas(self) -> bool {
        match self {
            Voice::Values { cas, .. } => cas,
            Voice::Meta(meta) => memcache::meta_encode::asks(meta, b'c'),
            Voice::Native | Voice::Sized | Voice::Words { .. } => false,
        }
    }

    /// Whether a line end in a value would be taken for the end of the answer.
    #[inline]
    #[must_use]
    pub fn ends_at_newline(self) -> bool {
        self == Voice::Native
    }

    /// How refusals are told in it.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Voice::Native | Voice::Sized => Tone::Native,
            Voice::Words { quiet: true } => Tone::Quiet,
            _ => Tone::Words,
        }
    }

    /// Writes what stands before a value to the front of `room` and says how long it is;
    /// `None` if it does not fit, or if a fact is missing that it needs.
    #[inline]
    pub fn value_head(self, key: &[u8], facts: &Facts, room: &mut [u8]) -> Option<usize> {
        match self {
            Voice::Native => Some(0),
            Voice::Sized => text::value_head(facts.value_len, room),
            Voice::Values { cas, .. } => {
                let cas = if cas { Some(facts.cas?) } else { None };
                memcache::encode::value_head(key, facts.client_flags, facts.value_len, cas, room)
            }
            // An item gets its number when somebody asks for it: not yet.
            Voice::Meta(_) if facts.cas.is_none() && self.wants_cas() => None,
            Voice::Meta(meta) => memcache::meta_encode::value_head(meta, facts, room),
            Voice::Words { .. } => None,
        }
    }

    /// What follows a value.
    #[inline]
    #[must_use]
    pub fn value_tail(self) -> &'static [u8] {
        match self {
            Voice::Native | Voice::Sized => b"\n",
            Voice::Values { last: true, .. } => b"\r\nEND\r\n",
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
            Voice::Native | Voice::Sized => text::encode(reply, room),
            Voice::Values { last, .. } => memcache::encode::values(reply, last, room),
            Voice::Words { quiet } => memcache::encode::words(reply, quiet, room),
            Voice::Meta(meta) => encode_meta(meta, reply, room),
        }
    }
}
