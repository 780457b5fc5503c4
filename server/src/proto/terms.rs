//! How and for how long an item is to be stored.

/// How an item is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Over what.
    pub how: How,
    /// The client's number.
    pub client_flags: u32,
    /// How long to keep it.
    pub lifetime: Lifetime,
    /// A value that is too long takes with it the one that it was to replace: whoever sends it
    /// believes that the old one is gone.
    pub too_long_drops: bool,
}

impl Terms {
    /// Over anything, without a client's number.
    #[must_use]
    pub const fn plain(lifetime: Lifetime) -> Self {
        Terms {
            how: How::Always,
            client_flags: 0,
            lifetime,
            too_long_drops: false,
        }
    }
}

/// Over what a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Over anything or nothing.
    Always,
    /// Only where nothing is.
    Absent,
    /// Only over something.
    Present,
    /// Only over the item with this CAS number.
    Same(u64),
    /// Behind what is there, keeping its flags and lifetime.
    Behind,
    /// The same; where nothing is, it is a value of its own.
    BehindAny,
    /// Before what is there, likewise.
    Before,
}

impl How {
    /// Whether it becomes a part of what is there.
    #[must_use]
    pub fn joins(self) -> bool {
        matches!(self, How::Behind | How::BehindAny | How::Before)
    }
}

/// How long an item is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted or evicted.
    Forever,
    /// For so many seconds, at least 1, and not a moment less.
    Seconds(u32),
    /// For so many seconds, of which the one that has begun is the first.
    Counted(u32),
    /// Until so many seconds after the beginning of 1970.
    Until(u32),
    /// For so many milliseconds.
    Millis(u64),
    /// Until so many milliseconds after the beginning of 1970.
    UntilMillis(u64),
    /// Not at all: its time has passed.
    Past,
}
