//! How many connections there are, and how many there may be.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// The count of connections and its bounds.
pub struct Admission {
    /// Connections that the open files allowed to the process are enough for.
    files_allow: AtomicUsize,
    /// Connections being served: up in the acceptor, down in a worker.
    open: AtomicUsize,
    /// Connections that the memory of the moment allows: written by the governor.
    allowed: AtomicUsize,
    /// Newcomers told `ERROR`: written by the acceptor.
    turned_away: AtomicU64,
}

impl Admission {
    /// With so many allowed at first.
    pub fn new(connections_max: usize) -> Self {
        Admission {
            files_allow: AtomicUsize::new(usize::MAX),
            open: AtomicUsize::new(0),
            allowed: AtomicUsize::new(connections_max),
            turned_away: AtomicU64::new(0),
        }
    }

    /// Newcomers that were told there is no place for them.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    /// Sets how many connections the open files are enough for.
    pub fn set_files_allow(&self, connections: usize) {
        self.files_allow.store(connections, Relaxed);
    }

    /// Takes a place for one more connection, if there is one. Called by the acceptor alone.
    pub fn admit(&self) -> bool {
        let admitted = self.connections() < self.connections_allowed();
        if admitted {
            self.open.fetch_add(1, AcqRel);
        } else {
            self.turned_away.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Connections being served.
    pub fn connections(&self) -> usize {
        self.open.load(Acquire)
    }

    /// Connections that may be served at the moment.
    pub fn connections_allowed(&self) -> usize {
        self.allowed
            .load(Relaxed)
            .min(self.files_allow.load(Relaxed))
    }

    /// Sets that number. Called by the governor alone.
    pub fn allow(&self, connections: usize) {
        self.allowed.store(connections, Relaxed);
    }

    /// Gives the place back.
    pub fn leave(&self) {
        self.open.fetch_sub(1, AcqRel);
    }
}
