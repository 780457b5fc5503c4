//! What the connections of one worker share, one at a time.
//!
//! Only the connection whose turn it is sees it, and it leaves inbox and outbox
//! empty: everything that outlives its turn is in a lease or in the table of transfers.

use flagstone_engine::Tick;

use super::large::Larges;
use super::lease::Leases;
use super::outbox::Outbox;
use super::slow::{First, Late};
use crate::clients::{ClientNo, Place};
use crate::memory::plan::INBOX_BYTES;
use crate::memory::queues::{Kept, Queues};
use crate::observe::counters::Counters;
use crate::observe::curve::Uses;
use crate::observe::hot_keys::Sampler;
use crate::observe::slow_log::Cause;
use crate::proto::Codec;
use crate::proto::proxied::Fault;
use crate::server::shared::Shared;

/// What was wrong with a proxy's header, and where that came from.
#[derive(Clone, Copy, Debug)]
pub struct Strange {
    pub fault: Fault,
    pub peer: Place,
}

pub struct WorkerState<'w> {
    pub inbox: Box<[u8]>,
    /// What is in the queues: requests that are kept.
    pub kept: Kept,
    pub tools: Tools<'w>,
}

/// All but the bytes of requests, so that a request in those can be executed with these.
pub struct Tools<'w> {
    pub shared: &'w Shared<'w>,
    pub counters: &'w Counters,
    pub outbox: Outbox,
    pub leases: Leases,
    pub larges: Larges<'w>,
    /// What is known of requests that are kept.
    pub queues: Queues,
    /// What became of keys of the curve's sample.
    pub uses: Uses,
    pub worker_no: usize,
    /// Whose turn it is.
    pub client: ClientNo,
    /// Read from the clock once a pass over the connections that are ready.
    pub now: Tick,
    /// Who is to be named if the turn takes long.
    pub first: First,
    /// Looks at some of the requests.
    pub sampler: Sampler<'w>,
    /// What was wrong with the last header of a proxy that was, until the log tells of it.
    pub strange: Option<Strange>,
    /// The server is going: whoever has no request waiting is said goodbye.
    pub finishing: bool,
}

impl<'w> WorkerState<'w> {
    pub fn new(shared: &'w Shared<'w>, worker_no: usize) -> Self {
        let (queues, kept) = Queues::new(&shared.plan.worker.queues);
        WorkerState {
            kept,
            inbox: vec![0xa5; INBOX_BYTES].into_boxed_slice(),
            tools: Tools {
                shared,
                counters: shared.threads.counters(worker_no),
                outbox: Outbox::new(),
                leases: Leases::new(&shared.plan.worker),
                larges: Larges::new(shared.plan.transfers.places, &shared.permits),
                queues,
                uses: Uses::new(&shared.plan.curve),
                worker_no,
                client: ClientNo(0),
                now: shared.clock.now(),
                first: First::default(),
                sampler: Sampler::new(&shared.hot_keys, worker_no, shared.clock.now()),
                strange: None,
                finishing: false,
            },
        }
    }

    /// The turn that is just over was slow, or the wait before it. `kind` is what its requests are called if the first
    /// of them has no name.
    #[cold]
    pub fn note_slow(
        &mut self,
        (codec, protocol_no): (Codec, usize),
        (nanos, cause): (u64, Cause),
        (requests, kind): (u32, &'static str),
    ) {
        if std::mem::take(&mut self.tools.first.is_noted) {
            return;
        }
        let named = self.tools.first.name(codec, &self.inbox);
        let late = Late::named(named, codec.database(), self.tools.shared, self.tools.now);
        let late = Late {
            word: match named.word {
                b"" => kind.as_bytes(),
                word => word,
            },
            nanos,
            cause,
            requests,
            protocol_no,
            ..late
        };
        late.note(self.tools.client, self.tools.shared, self.tools.now);
    }
}
