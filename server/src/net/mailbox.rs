//! How connections come to a worker, and what the acceptor and other workers see of it.

use super::events;
use super::ready::ReadySet;
use super::socket::Guest;
use crate::clients::ClientNo;
use crate::proto::{Accepts, Codec};
use parking_lot::Mutex;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

/// A connection that was accepted.
pub struct Newcomer {
    pub guest: Guest,
    /// Which protocols its port is for.
    pub accepts: Accepts,
    /// A proxy's header comes first.
    pub proxied: bool,
    /// How it speaks, and its place among the clients, if another worker had it.
    pub moved: Option<(Codec, ClientNo)>,
}

/// How the acceptor reaches a worker.
pub struct Mailbox {
    pub(super) ready: Arc<ReadySet>,
    /// The worker's: made before it runs, so that a start can fail for it.
    pub(super) epoll: Arc<OwnedFd>,
    pub(super) mail_no: usize,
    /// Accepted, not taken in yet. Has room for all the worker can hold, of which a queue would
    /// touch every place in turn and a stack only those it needs; whoever is in it at a time is
    /// taken in at once.
    pub(super) sockets: Mutex<Vec<Newcomer>>,
    /// Connections of this worker, those in `sockets` and on their way there included.
    pub(super) connections: AtomicUsize,
    /// Hundredths of the last second or so in which the worker did not wait for events. Not its CPU time, which is
    /// small on a machine that is busy with something else.
    pub(super) load_percent: AtomicUsize,
}

/// A worker that is busier than this …
pub(super) const BUSY_PERCENT: usize = 80;
/// … gives connections to one that is idler than this.
pub(super) const IDLE_PERCENT: usize = 40;

impl Mailbox {
    pub fn new(slot_count: usize) -> io::Result<Self> {
        let ready = ReadySet::new(slot_count + 1)?;
        Ok(Mailbox {
            epoll: events::epoll(ready.bell())?,
            ready,
            mail_no: slot_count,
            sockets: Mutex::new(Vec::with_capacity(slot_count)),
            connections: AtomicUsize::new(0),
            load_percent: AtomicUsize::new(0),
        })
    }

    pub(super) fn load_percent(&self) -> usize {
        self.load_percent.load(Relaxed)
    }

    pub fn is_busy(&self) -> bool {
        self.load_percent() >= BUSY_PERCENT
    }

    pub fn is_idle(&self) -> bool {
        self.load_percent() <= IDLE_PERCENT && self.has_room()
    }

    /// Whether one of its slots is free.
    pub fn has_room(&self) -> bool {
        self.connections() < self.mail_no
    }

    /// Takes a slot for a connection that will be [posted](Self::post), if one is free.
    pub fn reserve(&self) -> bool {
        self.connections
            .fetch_update(AcqRel, Acquire, |count| {
                (count < self.mail_no).then_some(count + 1)
            })
            .is_ok()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Acquire)
    }

    /// Hands a socket over, for which a slot is reserved.
    pub fn post(&self, newcomer: Newcomer) {
        self.sockets.lock().push(newcomer);
        self.wake();
    }

    /// Makes the worker look up: at its mail, and at whether the server drains.
    pub fn wake(&self) {
        self.ready.wake(self.mail_no);
    }
}
