//! Requests that took long: who they were, found out when it is known that they did.
//!
//! A turn notes what stands at the front of the inbox and how it is to be read, once for each read. If the turn turns out
//! to have been slow, the request there is decoded once more for its name and its key. Where the front of the inbox has
//! been written over meanwhile, by half a request that was left, nobody can say.

use super::stream::Stream;
use super::{Conn, WorkerState};
use crate::observe::few::Few;
use crate::observe::slow_log::{Cause, Entry, KeyPrint};
use crate::proto::{Codec, Named};
use crate::server::shared::Shared;
use flagstone_engine::Tick;

/// What a turn's last read has brought.
pub struct First {
    codec: Codec,
    /// So many bytes of the inbox begin with a request; 0: nobody knows what is there.
    len: usize,
    /// One of the turn's requests is in the list already.
    pub is_noted: bool,
}

impl First {
    pub fn new(codec: Codec) -> Self {
        First {
            codec,
            len: 0,
            is_noted: false,
        }
    }

    /// A turn begins, or the front of the inbox is something else now.
    #[inline(always)]
    pub fn forget(&mut self) {
        self.len = 0;
    }

    /// So many bytes, to be read so.
    #[inline(always)]
    pub fn note(&mut self, codec: &Codec, len: usize) {
        self.codec = *codec;
        self.len = len;
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
    /// A request with this name, in this database.
    pub fn named(named: Named<'a>, database: usize, shared: &Shared<'_>, now: Tick) -> Self {
        let key = named.key.and_then(|key| shared.cache.key_in(database, key).ok());
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

    /// Into the list with it.
    pub fn note(self, stream: &Stream, shared: &Shared<'_>) {
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
            client: stream.peer(),
        });
    }
}

impl Conn {
    /// The turn that is just over was slow, or one before it that it waited for. `kind` is what its requests are called
    /// if they cannot be told by name.
    #[cold]
    pub fn note_slow(
        &self,
        worker: &mut WorkerState<'_>,
        (nanos, cause): (u64, Cause),
        (requests, kind): (u32, &'static str),
    ) {
        if std::mem::take(&mut worker.first.is_noted) {
            return;
        }
        let first = &worker.first;
        let named = first.codec.name_request(&worker.inbox[..first.len]);
        let late = Late::named(named, first.codec.database(), worker.shared, worker.now);
        let late = Late {
            word: match named.word {
                b"" => kind.as_bytes(),
                word => word,
            },
            nanos,
            cause,
            requests,
            protocol_no: self.protocol_no(),
            ..late
        };
        late.note(&self.stream, worker.shared);
        worker.counters.slow_requests.add(1);
    }
}
