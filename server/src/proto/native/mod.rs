//! Lines of text: the native protocol.
//!
//! Lines end in `\n`, and one `\r` before it is dropped. Replies end in `\n`.
//!
//! | line | reply |
//! |---|---|
//! | `PUT k v` | `OK` |
//! | `GET k` | the value, or `NOTFOUND` |
//! | `GETL k` | the value's length in a line, then that many bytes and a line end; or `NOTFOUND` |
//! | `DEL k` | `OK` or `NOTFOUND` |
//! | `PUTEX k seconds v` | `OK` |
//! | `TTL k` | seconds left, `-1` without a deadline, or `NOTFOUND` |
//! | `STATS` | `name value` lines, then `END` |
//! | `FLUSH` | `OK` |
//! | `QUIT` | the connection closes |
//! | anything else | `ERROR` |
//!
//! A value is everything behind the space that follows the key (or the seconds), up to the
//! line's end: it may hold spaces, and may be empty. Several spaces after the verb are
//! skipped; nowhere else.
//!
//! Other protocols store values with line ends in them. `GET` answers `ERROR` to those: what stands behind such an
//! end would be taken for the next answer. `GETL` reads them.

use super::reply::{Words, words};

/// The one word of the native protocol for whatever is wrong.
pub const REFUSED: Words = words!(b"ERROR\n");

mod decode;
mod encode;

pub use decode::{decode, decode_long};
pub use encode::{encode, value_head};
