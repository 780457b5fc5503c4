//! What else stands in the field `EXTRA`: the marks, and the deadline's milliseconds.
//!
//! ```text
//!            ┌ 31 ……………… 15 ┬ 14 ───┬ 13 ───┬ 12 ───┬ 11 ──┬ 10 ──┬ 9 ………… 0 ┐
//! unless     │ last access: │ 0     │ was   │ is    │ is   │ is   │ the same,│
//! precise    │ high bits    │       │ read  │ noted │ won  │ stale│ low bits │
//!            ├──────────────┼───────┼───────┼───────┼──────┼──────┼──────────┤
//! precise    │ last access, │ 1     │ was   │ is    │ is   │ is   │ milli-   │
//!            │ from the end │       │ read  │ noted │ won  │ stale│ seconds  │
//!            └──────────────┴───────┴───────┴───────┴──────┴──────┴──────────┘
//! ```
//!
//! Most items have none of it. Whether an item was read, and when, is noted only from the
//! first time that somebody asks: a store for every read would be everybody's cost.
//!
//! An access is a second since the epoch, in 27 bits: 4.2 years, and it stays at that later. A
//! deadline with milliseconds leaves 17 bits, in which the access is told by how many steps of
//! eight seconds it lies before the deadline. That reaches back 12 days. A deadline that is farther
//! away loses its milliseconds, rounded up, once reads are noted.

use crate::tick::{Deadline, Tick};

const MILLIS: u32 = 0x3FF;
/// The value is out of date, and may be served until a new one comes.
pub const STALE: u32 = 1 << 10;
/// Somebody was told to bring the new value.
pub const WON: u32 = 1 << 11;
/// Reads are noted.
const NOTED: u32 = 1 << 12;
/// It was read since it was stored.
const READ: u32 = 1 << 13;
/// The low bits are the deadline's milliseconds.
const PRECISE: u32 = 1 << 14;
const HIGH_SHIFT: u32 = 15;
const LOW_BITS: u32 = 10;
const ACCESS_MAX: u32 = (1 << (32 - HIGH_SHIFT + LOW_BITS)) - 1;
const STEPS_MAX: u32 = u32::MAX >> HIGH_SHIFT;
const STEP_SECONDS: u32 = 8;

/// The field without its packing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `STALE` and the others.
    bits: u32,
    /// The second of the last access, if it is noted.
    access: u32,
}

fn second(now: Tick) -> u32 {
    u32::try_from(now.as_millis() / 1000).map_or(ACCESS_MAX, |second| second.min(ACCESS_MAX))
}

impl Marks {
    /// None.
    pub const NONE: Marks = Marks { bits: 0, access: 0 };

    /// `STALE`, `WON` or both.
    pub const fn of(bits: u32) -> Marks {
        Marks { bits, access: 0 }
    }

    /// Those of an item that was just stored, whose reads are noted or not.
    #[inline(always)]
    pub fn anew(noted: bool, now: Tick) -> Marks {
        if noted {
            Marks::NONE.noted(false, now)
        } else {
            Marks::NONE
        }
    }

    /// From now on reads are noted; `read`: there was one.
    pub fn noted(self, read: bool, now: Tick) -> Marks {
        let read = if read { READ } else { 0 };
        Marks {
            bits: self.bits | NOTED | read,
            access: second(now),
        }
    }

    pub const fn with(self, bits: u32) -> Marks {
        Marks {
            bits: self.bits | bits,
            ..self
        }
    }

    /// Both.
    pub fn and(self, other: Marks) -> Marks {
        Marks {
            bits: self.bits | other.bits,
            access: self.access.max(other.access),
        }
    }

    pub const fn without(self, bits: u32) -> Marks {
        Marks {
            bits: self.bits & !bits,
            ..self
        }
    }

    /// Only these bits.
    pub const fn only(self, bits: u32) -> Marks {
        Marks::of(self.bits & bits)
    }

    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.bits == 0
    }

    pub const fn is_stale(self) -> bool {
        self.bits & STALE != 0
    }

    pub const fn is_won(self) -> bool {
        self.bits & WON != 0
    }

    #[inline(always)]
    pub const fn is_noted(self) -> bool {
        self.bits & NOTED != 0
    }

    pub const fn is_read(self) -> bool {
        self.bits & READ != 0
    }

    /// Seconds since the last access, if it is noted.
    pub fn idle_seconds(self, now: Tick) -> Option<u64> {
        let seconds = u64::from(second(now).saturating_sub(self.access));
        self.is_noted().then_some(seconds)
    }

    /// The field, and the deadline that goes with it.
    pub fn pack(self, deadline: Deadline) -> (u32, Deadline) {
        let millis = u32::from(deadline.millis());
        if !self.is_noted() {
            let precise = if millis > 0 { PRECISE } else { 0 };
            return (self.bits | precise | millis, deadline);
        }
        let steps = deadline.secs().saturating_sub(self.access) / STEP_SECONDS;
        if millis > 0 && steps <= STEPS_MAX {
            return (self.bits | PRECISE | steps << HIGH_SHIFT | millis, deadline);
        }
        let access = (self.access >> LOW_BITS) << HIGH_SHIFT | self.access & MILLIS;
        (self.bits | access, deadline.rounded_up())
    }

    /// The marks in a field beside this deadline's second.
    pub const fn unpack(field: u32, deadline_secs: u32) -> Marks {
        let high = field >> HIGH_SHIFT;
        let access = if field & NOTED == 0 {
            0
        } else if field & PRECISE != 0 {
            deadline_secs.saturating_sub(high * STEP_SECONDS)
        } else {
            high << LOW_BITS | field & MILLIS
        };
        Marks {
            bits: field & (STALE | WON | NOTED | READ),
            access,
        }
    }
}

/// The deadline's milliseconds in a field.
#[inline(always)]
pub const fn millis(field: u32) -> u16 {
    if field & PRECISE == 0 {
        0
    } else {
        (field & MILLIS) as u16
    }
}

/// Whether a read now has to be noted. Its division is not for every read: see who calls.
pub fn wants_note(field: u32, deadline_secs: u32, now: Tick) -> bool {
    let marks = Marks::unpack(field, deadline_secs);
    let step = if field & PRECISE == 0 {
        1
    } else {
        STEP_SECONDS
    };
    marks.is_noted() && (!marks.is_read() || second(now).saturating_sub(marks.access) >= step)
}
