//! Every protocol, as pure functions: bytes → [`Command`] and [`Reply`] → bytes.
//!
//! ```text
//!   first bytes ── sniff ──► Codec ── decode ──► Request ─┬─ Command
//!                                                         └─ ReplyFormat ◄── encode ── Reply
//! ```
//!
//! A connection holds a [`Codec`] and never asks which protocol it is: the matches on a
//! protocol are in this directory, and a new protocol is a new way to begin in [`Codec`], a
//! new [`ReplyFormat`], and a directory beside `native`, `memcache`, `binary` and `resp`.
//!
//! A connection that begins in memcached's binary protocol or in RESP stays there. On a port for all, native lines and memcached's are told apart line by line: memcached's
//! verbs are lower case. So a human may mix them in one session.
//!
//! Nothing here names the engine, a socket or a clock, and nothing here allocates.

pub mod binary;
pub mod clients;
pub mod codec;
pub mod command;
pub mod exptime;
pub mod facts;
pub mod format;
pub mod glob;
pub mod inside;
pub mod memcache;
pub mod named;
pub mod native;
pub mod number;
pub mod plain;
pub mod proxied;
pub mod reply;
pub mod resp;
pub mod rights;
pub mod scan;
pub mod sniff;
pub mod speech;
pub mod terms;
pub mod value;
pub mod writer;

pub use binary::Brief;
pub use codec::Codec;
pub use command::{
    Command, Decoded, Listing, LongHead, LongMessage, Request, Rest, Storing, Topic,
};
pub use facts::Facts;
pub use format::{Answer, KeptFormat, ListFormat, PlainFormat, ReplyFormat};
pub use inside::{Accepts, Inside};
pub use memcache::meta::{Meta, Mode, Options, Verb};
pub use named::Named;
pub use plain::{Plain, Protocol, What};
pub use reply::{Act, Fate, Lead, Refusal, Reply, Stat, StatValue, Word, Words};
pub use rights::Role;
pub use sniff::{Sniffed, sniff};
pub use speech::Speech;
pub use terms::{How, Lifetime, Terms};
pub use value::{HELD, ValueEnd, ValuePart, ValueScan};

/// A memcached client's key has 1 to this many bytes; what is so short is short everywhere.
pub const KEY_BYTES_MAX: usize = 250;
/// Databases that Redis' clients can select.
pub const DATABASES: usize = 16;

/// The other protocols' keys have at most this many. Such a key and all that has to stand beside it (a command's name, a number,
/// the lengths) are held whole: that is what bounds it. A setting may have it lower, which `execute` sees to.
pub const LONG_KEY_BYTES_MAX: usize = 16_000;
static_assertions::const_assert!(LONG_KEY_BYTES_MAX + 256 < WHOLE_BYTES_MAX);

/// The longest head of a request: a whole line without a value, or everything before the
/// value. A valid head needs far less; the rest is patience with repeated spaces. Being a
/// fixed number, it makes a reply independent of how the network cut the request.
pub const HEAD_BYTES_MAX: usize = 2048;

/// A request up to this long, its value included, is held whole. A fixed number too, and a
/// connection's inbox is exactly as large.
pub const WHOLE_BYTES_MAX: usize = 16 << 10;

/// Every reply except a value and `STATS` fits in this many bytes, and so does what a protocol
/// may put before a value and behind it.
pub const REPLY_BYTES_MAX: usize = 512;
