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

pub mod command;
pub mod decode;
pub mod encode;
mod frame;
pub mod names;
pub mod set;
pub mod words;

pub use command::Op;
pub use encode::{Format, Shape};
pub use set::{Expiry, SetOptions};

/// How a connection speaks RESP, and where in a request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Version 3: else 2.
    pub(super) v3: bool,
    pub(super) at: At,
}

/// Where in a request the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At its beginning.
    Request,
    /// Among the keys of a list, of which so many arguments are left.
    Keys(Many, u32),
    /// Among the arguments of a refused request: so many are left.
    Skipping(u32),
    /// Behind a value whose store has begun: so many arguments say how it ends.
    Options(u32),
}

/// What is done with each key of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// `MGET`
    Get,
    /// `DEL`, `UNLINK`
    Delete,
    /// `EXISTS`
    Exists,
    /// `TOUCH`
    Touch,
    /// `MSET`: a value follows each key.
    Set,
}

impl Session {
    /// At the beginning, in version 2.
    pub const NEW: Session = Session {
        v3: false,
        at: At::Request,
    };

    /// Between two requests.
    #[inline(always)]
    #[must_use]
    pub const fn between(v3: bool) -> Session {
        Session {
            v3,
            at: At::Request,
        }
    }

    /// Whether it is of version 3.
    #[inline(always)]
    #[must_use]
    pub const fn is_v3(self) -> bool {
        self.v3
    }

    /// The same session elsewhere in a request.
    pub(super) const fn at(self, at: At) -> Session {
        Session { at, ..self }
    }

    /// Whether options of a store are to be read here.
    #[must_use]
    pub fn is_unsettled(self) -> bool {
        matches!(self.at, At::Options(_))
    }

    /// Those options are of no use.
    pub(super) fn skip_options(&mut self) {
        if let At::Options(left) = self.at {
            self.at = At::Skipping(left);
        }
    }

    /// Whether a request begins here.
    #[must_use]
    pub fn is_between(self) -> bool {
        self.at == At::Request
    }
}
