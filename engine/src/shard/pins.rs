//! Items that somebody is streaming from: their bytes stay until the last one lets go.
//!
//! A pinned item may be replaced, deleted or expire like any other; it is then unlinked,
//! and its chunks are freed by the last unpin. A fixed table, because pins are few: each
//! holds a whole item, and a full table makes the next reader wait, not the writers.

use crate::chunk_ref::ChunkRef;

/// Pinned items a shard can have at once.
pub(crate) const PINS_MAX: usize = 32;

#[derive(Clone, Copy, Default)]
struct Pin {
    chunk: ChunkRef,
    count: u32,
    /// Unlinked meanwhile: to be freed by the last unpin.
    orphan: bool,
}

/// The table.
#[derive(Default)]
pub(crate) struct Pins {
    pins: [Pin; PINS_MAX],
    used: usize,
}

impl Pins {
    pub fn used(&self) -> usize {
        self.used
    }

    fn find(&mut self, chunk: ChunkRef) -> Option<&mut Pin> {
        if self.used == 0 {
            return None;
        }
        self.pins
            .iter_mut()
            .find(|pin| pin.count > 0 && pin.chunk == chunk)
    }

    pub fn is_pinned(&mut self, chunk: ChunkRef) -> bool {
        self.find(chunk).is_some()
    }

    /// `Some(first)`: pinned, and whether it was not before. `None`: the table is full.
    pub fn pin(&mut self, chunk: ChunkRef) -> Option<bool> {
        if let Some(pin) = self.find(chunk) {
            pin.count += 1;
            return Some(false);
        }
        let free = self.pins.iter_mut().find(|pin| pin.count == 0)?;
        *free = Pin {
            chunk,
            count: 1,
            orphan: false,
        };
        self.used += 1;
        Some(true)
    }

    /// Marks a pinned item as unlinked; `false` if it is not pinned.
    pub fn orphan(&mut self, chunk: ChunkRef) -> bool {
        match self.find(chunk) {
            Some(pin) => {
                pin.orphan = true;
                true
            }
            None => false,
        }
    }

    /// Marks all pinned items as unlinked; calls `each` with those that were not before.
    pub fn orphan_all(&mut self, mut each: impl FnMut(ChunkRef)) {
        for pin in &mut self.pins {
            if pin.count > 0 && !std::mem::replace(&mut pin.orphan, true) {
                each(pin.chunk);
            }
        }
    }

    /// `Some(orphan)` when the last one has let go.
    pub fn unpin(&mut self, chunk: ChunkRef) -> Option<bool> {
        let pin = self.find(chunk).expect("unpinned once for each pin");
        pin.count -= 1;
        if pin.count > 0 {
            return None;
        }
        let orphan = pin.orphan;
        self.used -= 1;
        Some(orphan)
    }

    /// Orphans, for the audit.
    pub fn orphans(&self) -> impl Iterator<Item = ChunkRef> + '_ {
        self.pins
            .iter()
            .filter(|pin| pin.count > 0 && pin.orphan)
            .map(|pin| pin.chunk)
    }
}
