//! Requests that took long are named when it is known that they did.
//!
//! A turn notes how many bytes stand at the front of the inbox, once for each read. If the turn turns out to have been slow, the
//! request there is decoded once more for its name and its key, as the connection speaks then: to keep how it spoke before
//! would be a copy for each turn. Where that makes no request of it (the middle of a list of keys), or half a request has
//! been moved to the front meanwhile, the kind of most of the turn's requests stands for the name.

use crate::clients::{ClientNo, Place, Text};
use crate::observe::few::Few;
use crate::observe::slow_log::{Cause, Entry, KeyPrint};
use crate::proto::{Codec, Named};
use crate::server::shared::Shared;
use flagstone_engine::Tick;

/// What a turn's last read has brought.
#[derive(Default)]
pub struct First {
    /// So many bytes at the front of the inbox begin with a request; 0: what stands there is not known.
    len: usize,
    /// One of the turn's requests is in the list already.
    pub is_noted: bool,
}

impl First {
    /// A turn begins.
    #[inline(always)]
    pub fn begin_turn(&mut self) {
        self.len = 0;
        self.is_noted = false;
    }

    /// The front of the inbox is something else now.
    #[inline(always)]
    pub fn forget(&mut self) {
        self.len = 0;
    }

    /// So many bytes.
    #[inline(always)]
    pub fn note(&mut self, len: usize) {
        self.len = len;
    }

    /// What the request at the front is called.
    pub fn name<'i>(&self, codec: Codec, inbox: &'i [u8]) -> Named<'i> {
        match self.len {
            0 => Named::default(),
            len => codec.name_request(&inbox[..len]),
        }
    }
}

/// What took how long, and why.
#[derive(Clone, Copy)]
pub struct Late<'a> {
    pub word: &'a [u8],
    pub key: Option<KeyPrint>,
    pub value_bytes: Option<u64>,
    pub nanos: u64,
    pub cause: Cause,
    pub requests: u32,
    pub protocol_no: usize,
}

impl<'a> Late<'a> {
    /// A request with this name, in this database. How long it took, and why, is for the caller to say.
    pub fn named(named: Named<'a>, database: usize, shared: &Shared<'_>, now: Tick) -> Self {
        let key = named
            .key
            .and_then(|key| shared.cache.key_in(database, key).ok());
        let value = key.and_then(|key| shared.cache.meta(key, now));
        Late {
            word: named.word,
            key: key.map(|key| shared.slow_log.print(key)),
            value_bytes: value.map(|meta| meta.value_len as u64),
            nanos: 0,
            cause: Cause::Work,
            requests: 1,
            protocol_no: 0,
        }
    }

    /// Puts it into the list, as a request of this client's.
    pub fn note(self, client: ClientNo, shared: &Shared<'_>, now: Tick) {
        let client = shared.clients.get(client, now);
        shared.slow_log.note(Entry {
            number: 0,
            unix_millis: shared.clock.unix_millis_of(shared.clock.now()),
            micros: self.nanos / 1000,
            cause: self.cause,
            protocol_no: self.protocol_no as u8,
            requests: self.requests,
            word: Few::of(self.word),
            key: self.key,
            value_bytes: self.value_bytes,
            client: client.map_or(Place::Unix, |client| client.peer()),
            name: client.map_or(Few::NONE, |client| Few::of(client.text(Text::Name))),
        });
    }
}
