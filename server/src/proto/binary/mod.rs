//! memcached's binary protocol, as version 1.6.45 speaks it.
//!
//! ```text
//!     0       1        2       4        5      6         8         12       16        24
//!   ┌───────┬────────┬───────┬────────┬──────┬─────────┬─────────┬────────┬─────────┐
//!   │ magic │ opcode │ key   │ extras │ type │ vbucket │ body    │ opaque │ CAS     │ body: extras, key, value
//!   │       │        │ bytes │ bytes  │      │ status  │ bytes   │        │ number  │
//!   └───────┴────────┴───────┴────────┴──────┴─────────┴─────────┴────────┴─────────┘
//! ```
//!
//! Requests and answers have the same header; an answer repeats its request's opcode and opaque word, and has a status where
//! the request has a partition that nobody uses. All numbers have their highest byte first.
//!
//! A connection whose first byte is [`MAGIC`] speaks this and nothing else. Every length is in the header, so a request is
//! checked before anything of its body is looked at, and nothing is searched for.
//!
//! | file | what |
//! |---|---|
//! | `opcode` | the commands, their quiet forms, and those that repeat the key |
//! | `decode` | requests → commands |
//! | `command` | what this protocol asks that the others do not |
//! | `login` | SASL's PLAIN |
//! | `encode` | replies → answers |

pub mod command;
pub mod decode;
pub mod encode;
mod login;
pub mod opcode;

pub use command::{Op, Store};
pub use encode::Status;
pub use login::Session;

use self::opcode::Opcode;
use super::Refusal;

/// The first byte of a request.
pub const MAGIC: u8 = 0x80;
/// The first byte of an answer.
pub const ANSWER_MAGIC: u8 = 0x81;
/// What stands before a body.
pub const HEADER_BYTES: usize = 24;

/// The request that asks for nothing.
pub const NOOP: &[u8; HEADER_BYTES] = b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What every answer repeats of its request: few bytes, so that a connection can keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    opcode: u8,
    opaque: [u8; 4],
}

impl Head {
    /// What was asked; `None`: nothing that is known.
    #[inline]
    fn opcode(self) -> Option<Opcode> {
        Opcode::of(self.opcode)
    }

    /// The answer that tells of a refusal.
    #[must_use]
    pub fn refused(self, refusal: Refusal) -> Brief {
        Brief {
            head: self,
            status: Status::of(refusal),
        }
    }
}

/// An answer that is a status and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    head: Head,
    status: Status,
}

impl Brief {
    /// Writes it to the front of `room` and says how long it is; `None` if it does not fit.
    pub fn encode(self, room: &mut [u8]) -> Option<usize> {
        encode::error(self.head, self.status, room)
    }
}

/// How the answer to one request is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format<'a> {
    /// What it repeats in any case.
    pub head: Head,
    /// The key, if it is repeated where there is no item.
    pub key: &'a [u8],
}

impl Format<'static> {
    /// With nothing of the request but its header.
    #[must_use]
    pub fn plain(head: Head) -> Self {
        Format { head, key: b"" }
    }
}
