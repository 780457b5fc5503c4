//! RESP, the protocol of Redis' clients, in its versions 2 and 3, as far as keys and strings go.
//!
//! A request is an array of bulk strings, `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`, or a line of words. A connection whose first
//! byte is `*` speaks RESP from then on; where an address is for RESP alone, lines are taken too.
//!
//! Requests up to [`WHOLE_BYTES_MAX`](super::WHOLE_BYTES_MAX) are held whole. Longer ones are of three kinds:
//!
//! - *Many keys* (`MGET`, `DEL`, `MSET` …) are read one key at a time, however many there are. The [`Session`] knows what
//!   is left of them, and the answer is written as it comes, or counted until the last.
//! - *A long value* is streamed into the cache. Options may follow it (`SET k <value> EX 9`): they are read behind it, and
//!   the store is settled then.
//! - *Anything else* is read and forgotten, one argument at a time, behind its refusal.

mod about;
mod all_keys;
mod ask;
pub mod bits;
pub mod clients;
pub mod command;
pub mod decode;
pub mod encode;
mod eval;
mod frame;
mod messages;
pub mod names;
pub mod pubsub;
mod queue;
pub mod script;
pub mod session;
pub mod set;
pub mod several;
pub mod subs;
pub mod words;

pub use command::Op;
pub use encode::{Format, Shape};
pub use session::Session;
pub use set::{Expiry, SetOptions};
