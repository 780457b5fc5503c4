//! What the kernel tells a worker of its sockets: an epoll of its own.
//!
//! Tokio's would do, and did: but it asks for both directions of every socket, goes by way of a waker for each event, and rings the
//! worker's own bell when a turn asks for another.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// So many events are fetched at a time.
pub const EVENTS_MAX: usize = 1024;
/// In the place of a slot's number: somebody has rung.
const BELL: u64 = u64::MAX;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// A worker's epoll, and what it told last.
pub struct Events {
    epoll: Arc<OwnedFd>,
    told: Vec<Event>,
}

/// An epoll that knows the bell.
pub fn epoll(bell: BorrowedFd<'_>) -> io::Result<Arc<OwnedFd>> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    // At edges: each ring is one, whether anybody has looked at the last or not.
    let ring = EventFlags::IN | EventFlags::ET;
    epoll::add(&epoll, bell, EventData::new_u64(BELL), ring)?;
    Ok(Arc::new(epoll))
}

impl Events {
    pub fn new(epoll: &Arc<OwnedFd>) -> Self {
        Events {
            epoll: Arc::clone(epoll),
            told: Vec::with_capacity(EVENTS_MAX),
        }
    }

    /// Where sockets are registered, with the numbers of their slots.
    pub fn epoll(&self) -> &Arc<OwnedFd> {
        &self.epoll
    }

    /// Waits until there are events, or for so long, in whole milliseconds: at least until then.
    pub fn wait(&mut self, nanos: u64) {
        let millis = nanos.div_ceil(NANOS_PER_MILLI);
        let timeout = Timespec {
            tv_sec: (millis / 1000) as i64,
            tv_nsec: (millis % 1000 * NANOS_PER_MILLI) as i64,
        };
        self.told.clear();
        // A signal ends it early. Nothing else can go wrong with an epoll that is there.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut self.told), Some(&timeout));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.told.len()
    }

    /// One of them: the slot, and what it is. None: the bell.
    #[inline]
    pub fn told(&self, index: usize) -> Option<(usize, EventFlags)> {
        let Event { flags, data } = self.told[index];
        (data.u64() != BELL).then_some((data.u64() as usize, flags))
    }
}
