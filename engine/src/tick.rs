//! Coarse time, as an argument.
//!
//! The engine reads no clock. Whoever calls it says what time it is, so that a
//! model test replays exactly and a server may read its clock once per batch.
//!
//! A [`Tick`] counts milliseconds since the cache's epoch (which instant that is
//! belongs to the caller). A stored deadline has second granularity: 4 bytes, and
//! none for an item without one. Milliseconds are kept only where they are asked
//! for ([`Deadline::exact`]), in a field that other items do not carry.

/// A moment: milliseconds since the cache's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The epoch itself.
    pub const ZERO: Tick = Tick(0);

    /// `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Tick(millis)
    }

    /// `seconds` seconds after the epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Tick(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment, `millis` milliseconds later.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Tick(self.0.saturating_add(millis))
    }

    /// This moment, `seconds` seconds later.
    #[must_use]
    pub const fn plus_secs(self, seconds: u64) -> Self {
        self.plus_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it lies ahead.
    #[must_use]
    pub const fn millis_since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// When an item stops being found.
///
/// ```
/// use flagstone_engine::{Deadline, Tick};
/// let now = Tick::from_millis(10_250);
/// // Whole seconds are rounded up, never down: an item lives at least as long as asked.
/// assert_eq!(Deadline::after_secs(now, 5).tick(), Some(Tick::from_secs(16)));
/// assert_eq!(Deadline::exact(now.plus_millis(5)).tick(), Some(Tick::from_millis(10_255)));
/// assert_eq!(Deadline::NEVER.tick(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deadline {
    /// Seconds since the epoch; 0 together with `millis == 0` is "never".
    secs: u32,
    /// 0 to 999.
    millis: u16,
}

impl Deadline {
    /// The item stays until it is deleted or evicted.
    pub const NEVER: Deadline = Deadline { secs: 0, millis: 0 };

    /// At a whole second, `at` rounded up. Costs the item 4 bytes.
    #[must_use]
    pub const fn at(at: Tick) -> Self {
        let secs = at.0.div_ceil(1000);
        Deadline {
            secs: Self::clamp(if secs == 0 { 1 } else { secs }),
            millis: 0,
        }
    }

    /// `seconds` after `now`, at a whole second, rounded up.
    #[must_use]
    pub const fn after_secs(now: Tick, seconds: u64) -> Self {
        Self::at(now.plus_secs(seconds))
    }

    /// At `at`, to the millisecond. Costs the item 8 bytes, or 4 at a whole second.
    #[must_use]
    pub const fn exact(at: Tick) -> Self {
        if at.0 == 0 {
            return Deadline { secs: 0, millis: 1 };
        }
        Deadline {
            secs: Self::clamp(at.0 / 1000),
            millis: (at.0 % 1000) as u16,
        }
    }

    /// 136 years after the epoch is as far as a deadline reaches.
    const fn clamp(secs: u64) -> u32 {
        if secs > u32::MAX as u64 {
            u32::MAX
        } else {
            secs as u32
        }
    }

    /// The moment, or `None` for [`Deadline::NEVER`].
    #[must_use]
    pub const fn tick(self) -> Option<Tick> {
        if self.is_never() {
            None
        } else {
            Some(Tick(self.secs as u64 * 1000 + self.millis as u64))
        }
    }

    /// Whether this is [`Deadline::NEVER`].
    #[must_use]
    pub const fn is_never(self) -> bool {
        self.secs == 0 && self.millis == 0
    }

    /// Whether the deadline has come at `now`.
    #[must_use]
    pub const fn has_passed(self, now: Tick) -> bool {
        match self.tick() {
            None => false,
            Some(at) => at.0 <= now.0,
        }
    }

    pub(crate) const fn secs(self) -> u32 {
        self.secs
    }

    pub(crate) const fn millis(self) -> u16 {
        self.millis
    }

    /// At the whole second at or after it.
    pub(crate) const fn rounded_up(self) -> Self {
        let more = if self.millis > 0 { 1 } else { 0 };
        Deadline {
            secs: self.secs.saturating_add(more),
            millis: 0,
        }
    }

    pub(crate) const fn from_parts(secs: u32, millis: u16) -> Self {
        Deadline { secs, millis }
    }
}
