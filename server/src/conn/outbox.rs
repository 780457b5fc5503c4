//! Replies on their way out.
//!
//! One buffer a worker, shared by its connections, empty between their turns: what the peer
//! does not take at once is put aside in a lease.

use std::io;
use std::task::Poll;

use super::stream::Stream;
use crate::memory::plan::OUTBOX_BYTES;
use crate::observe::counters::Counters;
use crate::proto::{REPLY_BYTES_MAX, Reply, ReplyFormat};

pub struct Outbox {
    bytes: Box<[u8]>,
    /// Sent up to here …
    start: usize,
    /// … and filled up to here …
    end: usize,
    /// … of so much, never less.
    most: usize,
    is_limited: bool,
}

/// So much is sure to be taken by a socket that says it is writable. Kept below a third of the smallest buffer that
/// the kernel gives a socket.
const SURE_BYTES: usize = 2 * REPLY_BYTES_MAX;

/// Whether the peer took everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    All,
    /// The connection is registered and will be woken when more can be sent.
    Blocked,
}

impl Outbox {
    pub fn new() -> Self {
        Outbox {
            bytes: vec![0xa5; OUTBOX_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            most: OUTBOX_BYTES,
            is_limited: false,
        }
    }

    /// For a turn in which there is no place for what the peer does not take: only as much is filled as is sure to be
    /// taken.
    pub fn limit(&mut self) {
        debug_assert!(self.is_empty());
        self.most = SURE_BYTES;
        self.is_limited = true;
    }

    /// Whether that is so. Then what is filled once is all for this turn.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// All the room there is, for what can be read again if the peer does not take it: the last that is filled in this turn, if
    /// it is limited.
    pub fn whole_room(&mut self) -> &mut [u8] {
        self.most = OUTBOX_BYTES;
        &mut self.bytes[self.end..]
    }

    /// The last `n` bytes were never filled.
    pub fn unfill(&mut self, n: usize) {
        self.end -= n;
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where the next reply goes.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..self.most]
    }

    /// How much room there is.
    #[inline]
    pub fn room_bytes(&self) -> usize {
        self.most - self.end
    }

    /// The first `n` bytes of [`room`](Self::room) are a reply.
    #[inline]
    pub fn filled(&mut self, n: usize) {
        self.end += n;
        debug_assert!(self.end <= self.bytes.len());
    }

    /// Appends a reply; false if there is no room for it.
    #[inline]
    pub fn push(&mut self, format: ReplyFormat<'_>, reply: Reply<'_>) -> bool {
        match format.encode(reply, self.room()) {
            Some(len) => {
                self.filled(len);
                true
            }
            None => false,
        }
    }

    /// What is not sent yet.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// So many bytes of [`unsent`](Self::unsent) are sent.
    pub fn sent(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Empties it.
    #[inline]
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// As a turn finds it.
    pub fn reset(&mut self) {
        self.clear();
        self.most = OUTBOX_BYTES;
        self.is_limited = false;
    }

    /// Sends as much as the peer takes.
    pub fn send(&mut self, stream: &mut Stream, counters: &Counters) -> io::Result<Sent> {
        while !self.is_empty() {
            match send_some(stream, self.unsent(), counters)? {
                Poll::Ready(n) => self.start += n,
                Poll::Pending => return Ok(Sent::Blocked),
            }
        }
        self.clear();
        Ok(Sent::All)
    }
}

/// One write.
#[inline]
pub fn send_some(
    stream: &mut Stream,
    bytes: &[u8],
    counters: &Counters,
) -> io::Result<Poll<usize>> {
    match stream.poll_write(bytes) {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
        Poll::Ready(Ok(n)) => {
            counters.written_bytes.add(n as u64);
            Ok(Poll::Ready(n))
        }
        Poll::Ready(Err(error)) => Err(error),
    }
}
