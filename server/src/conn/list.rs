//! How a connection looks to others, and how far a long list of them has come: see `serve/clients`.

use crate::clients::{Client, Standing};
use crate::execute::clients;
use crate::proto::Codec;
use crate::proto::clients::Kind;

/// How a connection speaks, as other clients see it.
#[inline]
pub fn standing(codec: Codec, subscribed: bool) -> Standing {
    Standing {
        kind: 0,
        database: codec.database() as u8,
        version: codec.resp_version(),
        subscribed: u8::from(subscribed),
    }
}

/// What stands at the end of a long list, around the dots.
const FILL: &[u8] = b" fill=";
pub const FILL_BYTES_LEAST: u32 = FILL.len() as u32 + 1;

/// How far a long list has come.
#[derive(Clone, Copy, Debug)]
pub struct List {
    pub kind: Option<Kind>,
    /// The next place.
    pub next: u32,
    /// What the rows before it take; or what is left for those from it on.
    pub bytes: u32,
    /// A row has gone out.
    pub has_row: bool,
}

/// For the next place: all rows have gone out, and what is left over has begun.
const FILLS: u32 = u32::MAX;

impl List {
    /// Of all clients, or those of a kind.
    pub fn new(kind: Option<Kind>) -> Self {
        List {
            kind,
            next: 0,
            bytes: FILL_BYTES_LEAST,
            has_row: false,
        }
    }

    /// The same from the first place on.
    pub fn rewound(self) -> Self {
        List { next: 0, ..self }
    }

    pub fn wants(&self, client: &Client) -> bool {
        self.kind
            .is_none_or(|kind| clients::is_of_kind(client, kind))
    }

    /// A part of what is left over, of which the last byte ends the line.
    pub fn fill(&mut self, room: &mut [u8]) -> usize {
        let len = match (self.next, self.bytes) {
            (FILLS, 1) => {
                room[0] = b'\n';
                1
            }
            (FILLS, bytes) => {
                let len = room.len().min(bytes as usize - 1);
                room[..len].fill(b'.');
                len
            }
            _ => {
                room[..FILL.len()].copy_from_slice(FILL);
                self.next = FILLS;
                FILL.len()
            }
        };
        self.bytes -= len as u32;
        len
    }
}
