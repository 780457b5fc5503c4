//! What a client of the binary protocol asks that the others do not.
//!
//! Its reads, plain deletions, flushes and words are the commands of all protocols ([`Command`](crate::proto::Command)).

use crate::proto::{Lifetime, Refusal, Role, Terms};

/// One of the binary protocol's own commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Store.
    Store {
        /// Whose, and how.
        store: Store<'a>,
        /// Any bytes, or none.
        value: &'a [u8],
    },
    /// Remove the item if it has this CAS number.
    Delete {
        /// Whose.
        key: &'a [u8],
        /// The number.
        compare: u64,
    },
    /// Count.
    Count(Count<'a>),
    /// Change the lifetime, and tell the client's number.
    Touch {
        /// Whose.
        key: &'a [u8],
        /// How long to keep it from now on.
        lifetime: Lifetime,
    },
    /// Tell counters of a kind that is not kept.
    NoTopic,
    /// Say how one logs in, or that more is awaited of a login.
    AskLogin,
    /// Let this client in.
    Login {
        /// Who it is.
        user: &'a [u8],
        /// What only they know.
        password: &'a [u8],
    },
    /// Close the connection behind an answer.
    Close(Option<Refusal>),
}

/// How a value is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store<'a> {
    /// Whose.
    pub key: &'a [u8],
    /// Over what, with which flags, for how long.
    pub terms: Terms,
    /// Only if the item has this CAS number; 0: in any case.
    pub compare: u64,
    /// The answer has the CAS number in it.
    pub asks_cas: bool,
}

/// How a number is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<'a> {
    /// Whose.
    pub key: &'a [u8],
    /// Up rather than down.
    pub up: bool,
    /// By how much.
    pub by: u64,
    /// If there is no item: one with this number and lifetime.
    pub create: Option<(u64, Lifetime)>,
    /// Only if the item has this CAS number; 0: in any case.
    pub compare: u64,
    /// The answer has the CAS number in it.
    pub asks_cas: bool,
}

impl<'a> Op<'a> {
    /// The key that it is about.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Op::Store { store, .. } => Some(store.key),
            Op::Delete { key, .. } | Op::Touch { key, .. } => Some(key),
            Op::Count(count) => Some(count.key),
            Op::NoTopic | Op::AskLogin | Op::Login { .. } | Op::Close(_) => None,
        }
    }

    /// The least role that may ask it.
    #[must_use]
    pub fn needs(&self) -> Role {
        match self {
            Op::Store { .. } | Op::Delete { .. } | Op::Count(_) | Op::Touch { .. } => Role::Write,
            Op::NoTopic => Role::Read,
            Op::AskLogin | Op::Login { .. } | Op::Close(_) => Role::Nobody,
        }
    }

    /// Whether it may take long: through a long value, or through all passwords.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        match self {
            Op::Store { store, .. } => store.terms.how.joins(),
            Op::Login { .. } => true,
            _ => false,
        }
    }
}
