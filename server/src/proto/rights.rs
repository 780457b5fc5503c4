//! Who may ask what: a connection has a [`Role`], and each command needs one.
//!
//! ```text
//!   Nobody < Read < Write < Admin
//! ```
//!
//! A command says what it needs beside its definition (`needs`), each match without a wildcard: a new command does not compile before somebody
//! has decided. [`Decoded::limited_to`](super::Decoded::limited_to) puts a refusal in its place; a value that is streamed is refused before its
//! first byte, by the connection. An administrator's requests run through nothing of this.

/// What a connection may do, each role more than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// Log in.
    Nobody,
    /// Read values and figures, and listen to messages.
    Read,
    /// And store, change, remove and publish.
    Write,
    /// And what is about all items, all clients or the process: everything.
    #[default]
    Admin,
}

impl Role {
    /// From what a line of a file of logins begins with, in brackets.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"read" => Some(Role::Read),
            b"write" => Some(Role::Write),
            b"admin" => Some(Role::Admin),
            _ => None,
        }
    }
}
