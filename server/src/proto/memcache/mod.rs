//! memcached's text protocol, as version 1.6.45 speaks it.
//!
//! A command is a line that ends in `\n` (one `\r` before it is dropped), with words between
//! spaces; stores have a block of data behind it, as long as the line says, and then `\r\n`.
//! Replies end in `\r\n`.
//!
//! | file | what |
//! |---|---|
//! | `decode` | lines → commands; lists of keys, one key at a time |
//! | `store` | lines with a block of data |
//! | `encode` | replies → lines |
//! | `login` | the one request of those who have not logged in |
//! | `meta`, `meta_encode` | the same for the meta commands, which are made of flags |
//! | `base64` | their keys that are not text |
//!
//! A list of keys is no command of its own: each key is, and [`Keys`] is what has to be
//! remembered between two. So a list of any length is read, prefetched, executed and answered
//! like a pipeline, in a buffer of fixed size.

pub mod decode;
pub mod dump;
pub mod encode;
pub mod login;
pub mod meta;
pub mod meta_encode;
pub mod mistake;
mod store;
mod words;

use super::Lifetime;

/// What the line said before its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// CAS numbers are wanted.
    cas: bool,
    /// Lifetimes are to be changed.
    touch: Option<Exptime>,
}

/// A relative lifetime is at most 30 days; what is longer counts from 1970.
const RELATIVE_SECONDS_MAX: i64 = 60 * 60 * 24 * 30;

/// What memcached's clients mean by a number for a lifetime. A date that is too far away is the last that there is: in
/// memcached some commands take such a number for one of the past, and others refuse it.
#[inline]
fn lifetime(exptime: i64) -> Lifetime {
    Exptime::of(exptime).lifetime()
}

/// Such a number, in few bytes: a connection keeps one among the keys of a list. `u32::MAX` is the last date, and stands for
/// what is far away as well; 0 for ever; what is below 0 is one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exptime(Option<u32>);

impl Exptime {
    #[inline]
    fn of(exptime: i64) -> Self {
        Exptime(match exptime {
            ..0 => None,
            _ => Some(u32::try_from(exptime).unwrap_or(u32::MAX)),
        })
    }

    #[inline]
    fn lifetime(self) -> Lifetime {
        match self.0 {
            None => Lifetime::Past,
            Some(0) => Lifetime::Forever,
            Some(seconds) if i64::from(seconds) <= RELATIVE_SECONDS_MAX => {
                Lifetime::Counted(seconds)
            }
            Some(seconds) => Lifetime::Until(seconds),
        }
    }
}
