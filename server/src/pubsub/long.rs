//! Messages that are longer than an inbox, while they arrive.
//!
//! There is room for a few at a time. One that takes longer than a second to arrive gives way when another needs its room.

use parking_lot::Mutex;

use super::terms::Kind;
use crate::memory::plan::pubsub::LONG_MESSAGES;
use crate::proto::LongMessage;
use crate::proto::resp::pubsub::{CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX};

/// So long a message may take to arrive while others wait.
const PATIENCE_MILLIS: u32 = 1000;

/// A message that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongNo {
    place: u8,
    /// Another one for each message.
    ticket: u32,
}

/// What became of the wish to send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongBegun {
    Yes(LongNo),
    /// All places are taken.
    NotNow,
    /// Nobody has subscribed to anything.
    Nobody,
}

/// All places.
pub struct Longs(Mutex<[Place; LONG_MESSAGES]>);

struct Place {
    bytes: Box<[u8]>,
    ticket: u32,
    is_taken: bool,
    since: u32,
    kind: Kind,
    channel_len: usize,
    message_len: usize,
    have: usize,
}

impl Longs {
    pub fn new() -> Self {
        Longs(Mutex::new(std::array::from_fn(|_| Place {
            // Zeroes, so that the OS gives no page before it is written.
            bytes: vec![0; CHANNEL_BYTES_MAX + MESSAGE_BYTES_MAX].into_boxed_slice(),
            ticket: 0,
            is_taken: false,
            since: 0,
            kind: Kind::Channel,
            channel_len: 0,
            message_len: 0,
            have: 0,
        })))
    }

    /// Takes a place for a message of so many bytes. `None`: none is free.
    pub fn begin(&self, message: LongMessage<'_>, now: u32) -> Option<LongNo> {
        let LongMessage { kind, channel, len } = message;
        let mut places = self.0.lock();
        let free = places.iter().position(|place| !place.is_taken);
        let slow = |place: &Place| now.wrapping_sub(place.since) >= PATIENCE_MILLIS;
        let no = free.or_else(|| places.iter().position(slow))?;
        let place = &mut places[no];
        let room = place.bytes.get_mut(..channel.len())?;
        room.copy_from_slice(channel);
        place.ticket = place.ticket.wrapping_add(1);
        (place.is_taken, place.since, place.have) = (true, now, 0);
        (place.kind, place.channel_len) = (kind, channel.len());
        place.message_len = len.min(MESSAGE_BYTES_MAX);
        Some(LongNo {
            place: no as u8,
            ticket: place.ticket,
        })
    }

    /// Calls `then` with the message's kind, channel and whole message, if it still has its place; whether it is done with it.
    pub fn with<T>(
        &self,
        no: LongNo,
        then: impl FnOnce(Kind, &[u8], &[u8]) -> (T, bool),
    ) -> Option<T> {
        let mut places = self.0.lock();
        let place = places
            .get_mut(usize::from(no.place))
            .filter(|place| place.is(no))?;
        let (channel, message) = place.bytes.split_at(place.channel_len);
        let (done, is_over) = then(place.kind, channel, &message[..place.have]);
        place.is_taken = !is_over;
        Some(done)
    }

    /// Appends a piece; what is behind the message is left out. False: it has lost its place.
    pub fn write(&self, no: LongNo, piece: &[u8]) -> bool {
        let mut places = self.0.lock();
        let place = places
            .get_mut(usize::from(no.place))
            .filter(|place| place.is(no));
        place.is_some_and(|place| {
            let len = piece.len().min(place.message_len - place.have);
            let at = place.channel_len + place.have;
            place.bytes[at..at + len].copy_from_slice(&piece[..len]);
            place.have += len;
            true
        })
    }
}

impl Place {
    fn is(&self, no: LongNo) -> bool {
        self.is_taken && self.ticket == no.ticket
    }
}
