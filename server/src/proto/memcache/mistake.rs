//! What is wrong with a line of memcached's protocol, and its words for that.

use crate::proto::reply::words;
use crate::proto::{Refusal, Words};

/// A mistake that the decoder finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A known request in a form that it does not have.
    BadFormat,
    /// The lifetime is no number.
    BadLifetime,
    /// What to count by is no number.
    BadDelta,
    /// The same flag twice, or no letter.
    DuplicateFlag,
    /// A flag that is none.
    InvalidFlag,
    /// One or the other.
    BadFlag,
    /// A flag with a wrong argument.
    BadToken,
    /// The number to begin with is none.
    BadInitial,
    /// The number to count by is none.
    BadDeltaToken,
    /// Too many flags.
    TooManyFlags,
    /// The word that is to be repeated is too long.
    OpaqueTooLong,
    /// The key is not the base64 that it is said to be.
    BadKey,
    /// A way to store that is none.
    BadStoreMode,
    /// A way to count that is none.
    BadCountMode,
    /// Nobody has logged in.
    Unauthenticated,
    /// What should log in is too long.
    TokenTooLong,
    /// It does not end where it was said to.
    BadTermination,
    /// It is no user and password.
    BadLogin,
    /// There is no such size class.
    BadClass,
    /// There is no such size class whose items could be listed.
    BadSlab,
    /// Words are missing.
    TooFewWords,
    /// There is no such way to shut down.
    BadShutdown,
    /// A kind of counters that is not kept.
    NotKept,
}

impl Mistake {
    /// What the client reads.
    #[must_use]
    pub const fn words(self) -> Words {
        match self {
            Mistake::BadFormat => words!(b"CLIENT_ERROR bad command line format\r\n"),
            Mistake::BadLifetime => words!(b"CLIENT_ERROR invalid exptime argument\r\n"),
            Mistake::BadDelta => words!(b"CLIENT_ERROR invalid numeric delta argument\r\n"),
            Mistake::DuplicateFlag => words!(b"CLIENT_ERROR duplicate flag\r\n"),
            Mistake::InvalidFlag => words!(b"CLIENT_ERROR invalid flag\r\n"),
            Mistake::BadFlag => words!(b"CLIENT_ERROR invalid or duplicate flag\r\n"),
            Mistake::BadToken => words!(b"CLIENT_ERROR bad token in command line format\r\n"),
            Mistake::BadInitial => words!(b"CLIENT_ERROR invalid numeric initial value\r\n"),
            Mistake::BadDeltaToken => words!(b"CLIENT_ERROR invalid numeric delta value\r\n"),
            Mistake::TooManyFlags => words!(b"CLIENT_ERROR options flags are too long\r\n"),
            Mistake::OpaqueTooLong => words!(b"CLIENT_ERROR opaque token too long\r\n"),
            Mistake::BadKey => words!(b"CLIENT_ERROR error decoding key\r\n"),
            Mistake::BadStoreMode => words!(b"CLIENT_ERROR invalid mode for ms M token\r\n"),
            Mistake::BadCountMode => words!(b"CLIENT_ERROR invalid mode for ma M token\r\n"),
            Mistake::Unauthenticated => words!(b"CLIENT_ERROR unauthenticated\r\n"),
            Mistake::TokenTooLong => words!(b"CLIENT_ERROR auth token too long\r\n"),
            Mistake::BadTermination => words!(b"CLIENT_ERROR bad command line termination\r\n"),
            Mistake::BadLogin => words!(b"CLIENT_ERROR bad authentication token format\r\n"),
            Mistake::BadClass => words!(b"BADCLASS invalid class id\r\n"),
            Mistake::BadSlab => words!(b"CLIENT_ERROR Illegal slab id\r\n"),
            Mistake::TooFewWords => words!(b"CLIENT_ERROR bad command line\r\n"),
            Mistake::BadShutdown => words!(b"CLIENT_ERROR invalid shutdown mode\r\n"),
            Mistake::NotKept => words!(b"CLIENT_ERROR stats detail not allowed\r\n"),
        }
    }
}

impl From<Mistake> for Refusal {
    fn from(mistake: Mistake) -> Self {
        Refusal::Words(mistake.words())
    }
}
