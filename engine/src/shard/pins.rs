//! Items that somebody is streaming from: their bytes stay until the last one lets go.
//!
//! A pinned item may be replaced, deleted or expire like any other; it is then unlinked,
//! and its chunks are freed by the last unpin. A fixed table, because pins are few: each
//! holds a whole item, and a full table makes the next reader wait, not the writers.
//!
//! A pin may be loose: the item stays where it is and as it is, but if it is evicted, replaced or deleted while all of its
//! pins are loose, its memory is free at once, and whoever had loosened a pin is told so.

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
    /// None once the item is gone, which it may be while all pins are loose.
    chunk: ChunkRef,
    count: u32,
    /// Of these, the loose ones.
    loose: u32,
    /// Unlinked meanwhile: to be freed by the last unpin.
    orphan: bool,
}

impl Pin {
    fn is_loose(&self) -> bool {
        self.loose == self.count
    }
}

/// Where a loose pin stands in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PinNo(u8);

/// What an item's pins mean for its memory when it is unlinked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlinked {
    /// It has none.
    Unpinned,
    /// The last unpin frees it.
    Orphan,
    /// All were loose: it is to be freed now.
    Gone,
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

    /// Whether it is pinned and may not be evicted.
    #[inline(always)]
    pub fn is_held(&mut self, chunk: ChunkRef) -> bool {
        self.used > 0 && self.find(chunk).is_some_and(|pin| !pin.is_loose())
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
            loose: 0,
            orphan: false,
        };
        self.used += 1;
        Some(true)
    }

    /// Loosens a pin of the item. `None`: it is unlinked already, and a loose pin would hold it no less.
    pub fn loosen(&mut self, chunk: ChunkRef) -> Option<PinNo> {
        let held = |pin: &Pin| pin.count > 0 && pin.chunk == chunk;
        let no = self.pins.iter().position(held).expect("it is pinned");
        let pin = &mut self.pins[no];
        if pin.orphan {
            return None;
        }
        pin.loose += 1;
        Some(PinNo(u8::try_from(no).expect("pins are few")))
    }

    /// The loose pin is one as it was before, of this item. `None`: the item is gone, and so is the pin.
    pub fn hold(&mut self, no: PinNo) -> Option<ChunkRef> {
        let pin = &mut self.pins[usize::from(no.0)];
        pin.loose -= 1;
        if pin.chunk.is_some() {
            return Some(pin.chunk);
        }
        pin.count -= 1;
        if pin.count == 0 {
            self.used -= 1;
        }
        None
    }

    /// The item is unlinked.
    pub fn orphan(&mut self, chunk: ChunkRef) -> Unlinked {
        match self.find(chunk) {
            None => Unlinked::Unpinned,
            Some(pin) if pin.is_loose() => {
                pin.chunk = ChunkRef::NONE;
                Unlinked::Gone
            }
            Some(pin) => {
                pin.orphan = true;
                Unlinked::Orphan
            }
        }
    }

    /// Marks all pinned items as unlinked; calls `each` with those that were not before.
    pub fn orphan_all(&mut self, mut each: impl FnMut(ChunkRef)) {
        for pin in &mut self.pins {
            let is_there = pin.count > 0 && pin.chunk.is_some();
            if is_there && !std::mem::replace(&mut pin.orphan, true) {
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
