//! Items that somebody is streaming from: their bytes stay until the last one lets go.
//!
//! A pinned item may be replaced, deleted or expire like any other; it is then unlinked,
//! and its chunks are freed by the last unpin. A fixed table, because pins are few: each
//! holds a whole item, and a full table makes the next reader wait, not the writers.

use crate::chunk_ref::ChunkRef;

/// Pinned items a shard can have at once.
pub(crate) const PINS_MAX: usize = 32;

/// Items of a shard that are to be replaced by large ones for which room is being made.
const GUARDS_MAX: usize = 4;

/// An item that is not evicted while room is made for what replaces it: a store that depends on it would fail of its
/// own doing. It may be moved, replaced and deleted like any other.
#[derive(Clone, Copy, Default)]
struct Guard {
    chunk: ChunkRef,
    is_used: bool,
}

/// The guards, and how many of them name an item.
#[derive(Default)]
pub(crate) struct Guards {
    guards: [Guard; GUARDS_MAX],
    named: u32,
}

impl Guards {
    /// Guards the item; the number is for [`Guards::end`]. `None`: there are too many, and it is not guarded.
    pub fn begin(&mut self, chunk: ChunkRef) -> Option<usize> {
        let no = self.guards.iter().position(|guard| !guard.is_used)?;
        self.guards[no] = Guard {
            chunk,
            is_used: true,
        };
        self.named += 1;
        Some(no)
    }

    pub fn end(&mut self, no: usize) {
        self.named -= u32::from(self.guards[no].chunk.is_some());
        self.guards[no] = Guard::default();
    }

    pub fn used(&self) -> usize {
        self.named as usize
    }

    #[inline(always)]
    pub fn is_guarded(&self, chunk: ChunkRef) -> bool {
        self.named > 0 && self.guards.iter().any(|guard| guard.chunk == chunk)
    }

    /// The item is at `to` now; it is gone if that is none.
    #[inline(always)]
    pub fn follow(&mut self, from: ChunkRef, to: ChunkRef) {
        if self.named > 0 {
            self.follow_some(from, to);
        }
    }

    #[cold]
    fn follow_some(&mut self, from: ChunkRef, to: ChunkRef) {
        for guard in self.guards.iter_mut().filter(|guard| guard.chunk == from) {
            guard.chunk = to;
        }
        self.count();
    }

    /// No item is there any more.
    pub fn forget(&mut self) {
        for guard in &mut self.guards {
            guard.chunk = ChunkRef::NONE;
        }
        self.count();
    }

    fn count(&mut self) {
        let named = self.guards.iter().filter(|guard| guard.chunk.is_some());
        self.named = named.count() as u32;
    }
}

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

    /// Whether one more item can be pinned.
    pub fn has_room(&self) -> bool {
        self.used < PINS_MAX
    }

    fn find(&mut self, chunk: ChunkRef) -> Option<&mut Pin> {
        if self.used == 0 {
            return None;
        }
        self.pins
            .iter_mut()
            .find(|pin| pin.count > 0 && pin.chunk == chunk)
    }

    #[inline(always)]
    pub fn is_pinned(&mut self, chunk: ChunkRef) -> bool {
        self.used > 0 && self.find(chunk).is_some()
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
