//! Whether there is room for what holds items until it is needed (all leased buffers, messages between clients): asked for by
//! workers, made by the governor.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Whether workers may use all of it, or only what is there from the beginning.
#[derive(Debug, Default)]
pub struct LeaseRoom(AtomicU8);

impl LeaseRoom {
    const WANTED: u8 = 1;
    const GRANTED: u8 = 2;

    /// A worker needs it, or will soon.
    pub fn want(&self) {
        // Relaxed: nothing is published by it. A grant is never taken back.
        let _ = self.0.compare_exchange(0, Self::WANTED, Relaxed, Relaxed);
    }

    /// Whether room is to be made, or was.
    pub fn is_wanted(&self) -> bool {
        self.0.load(Relaxed) >= Self::WANTED
    }

    /// Whether there is room.
    pub fn is_granted(&self) -> bool {
        self.0.load(Relaxed) == Self::GRANTED
    }

    /// The cache has made room.
    pub fn grant(&self) {
        self.0.store(Self::GRANTED, Relaxed);
    }
}
