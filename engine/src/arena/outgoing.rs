//! Bytes that go to the kernel straight from the words.
//!
//! ```text
//!   the caller's bytes ──┐
//!   runs of words ───────┼──► one list of places ──► one writev ──► copied once, by the kernel
//!   the caller's bytes ──┘
//! ```
//!
//! No reference to plain bytes of the arena is made for that, here or anywhere: the list has addresses, and leaves this file
//! for the length of one system call only. What the kernel does with them is what the moves of [`bytes`](super::bytes) do: it
//! loads each byte, in no order. So the same holds: a byte is never torn, and what is read beside a writer may be half of
//! each. The callers name bytes of pinned items, which nobody changes.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::io::{retry_on_intr, writev};

use super::Arena;

/// Places that one call can name.
pub(crate) const PLACES_MAX: usize = 32;

/// The same bits, of which the standard library promises that they are the kernel's: an address and a length.
#[repr(C)]
struct Address {
    start: *const u8,
    len: usize,
}

/// A list of places, in the order in which they go out.
pub(crate) struct Outgoing<'a> {
    arena: &'a Arena,
    places: [IoSlice<'a>; PLACES_MAX],
    count: usize,
}

impl<'a> Outgoing<'a> {
    pub fn new(arena: &'a Arena) -> Self {
        Outgoing {
            arena,
            places: [IoSlice::new(&[]); PLACES_MAX],
            count: 0,
        }
    }

    /// How many places more there is room for.
    pub fn room(&self) -> usize {
        PLACES_MAX - self.count
    }

    /// Bytes of the caller's are next.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push(&mut self, bytes: &'a [u8]) {
        if !bytes.is_empty() {
            self.places[self.count] = IoSlice::new(bytes);
            self.count += 1;
        }
    }

    /// `len` bytes from byte `at` of the arena on are next.
    ///
    /// # Panics
    /// If there is no room, or they do not lie in the arena.
    pub fn push_words(&mut self, at: usize, len: usize) {
        let bytes = self.arena.len_bytes();
        assert!(
            at <= bytes && len <= bytes - at,
            "the bytes lie in the words"
        );
        if len == 0 {
            return;
        }
        let start = self.arena.words().as_ptr().cast::<u8>().wrapping_add(at);
        // SAFETY:
        // - an `IoSlice` has the layout of the kernel's `iovec`, by its documentation, which is that of `Address`;
        // - the bytes lie in the arena, as was checked, which is borrowed for `'a`;
        // - others may store to words in which they lie, so they must never be read as a plain `[u8]`: the list is private
        //   to this file, which hands it to one system call and reads nothing by it.
        let place = unsafe { std::mem::transmute::<Address, IoSlice<'a>>(Address { start, len }) };
        self.places[self.count] = place;
        self.count += 1;
    }

    /// Writes as much of it as is taken; says how much that is.
    pub fn write(self, out: BorrowedFd<'_>) -> io::Result<usize> {
        Ok(retry_on_intr(|| writev(out, &self.places[..self.count]))?)
    }
}
