//! What the connections of one worker share, one at a time.
//!
//! Only the connection whose turn it is sees the workshop, and it leaves inbox and outbox
//! empty: everything that outlives its turn is in a lease or in the table of transfers.

use flagstone_engine::Tick;

use super::large::Larges;
use super::lease::Leases;
use super::outbox::Outbox;
use crate::memory::plan::INBOX_BYTES;
use crate::observe::counters::Counters;
use crate::server::shared::House;

pub struct Workshop<'w> {
    pub house: &'w House<'w>,
    pub counters: &'w Counters,
    pub inbox: Box<[u8]>,
    pub outbox: Outbox,
    pub leases: Leases,
    pub larges: Larges<'w>,
    /// Read from the clock once a pass over the connections that are ready.
    pub now: Tick,
    /// The server is going: whoever has no request waiting is said goodbye.
    pub finishing: bool,
}

impl<'w> Workshop<'w> {
    pub fn new(house: &'w House<'w>, worker_no: usize) -> Self {
        Workshop {
            house,
            counters: house.counters(worker_no),
            inbox: vec![0xa5; INBOX_BYTES].into_boxed_slice(),
            outbox: Outbox::new(),
            leases: Leases::new(&house.plan.worker),
            larges: Larges::new(house.plan.transfers.places, &house.permits),
            now: house.clock.now(),
            finishing: false,
        }
    }
}
