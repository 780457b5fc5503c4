//! What changes often of a client. Its worker writes it, at most once a turn; anybody reads it, without a lock.

use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use flagstone_engine::Tick;

use crate::observe::counters::Commands;

/// A client is idle in steps of so many milliseconds (a power of two): its cell is written when a step has passed, not with
/// each turn, so that neighbours in a cache line that other workers serve seldom write to it.
const STEP_MILLIS: u64 = 256;

/// What a client did last, and how it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What it asked last: 1 more than the number of a name in [`Commands::NAMES`], [`Self::CLIENT`], or 0: nothing yet.
    pub kind: u8,
    /// The database that it has selected.
    pub database: u8,
    /// The version of RESP that it speaks; 0: it speaks another protocol, or has said nothing yet.
    pub version: u8,
    /// It has subscribed to something: 1, else 0.
    pub subscribed: u8,
}

impl Standing {
    /// It asks about clients at this moment.
    pub const CLIENT: u8 = u8::MAX;

    /// It asks something that has no figure of its own, such as to subscribe.
    pub const OTHER: u8 = 6;

    fn pack(self) -> u32 {
        u32::from_ne_bytes([self.kind, self.database, self.version, self.subscribed])
    }

    fn unpack(packed: u32) -> Self {
        let [kind, database, version, subscribed] = packed.to_ne_bytes();
        Standing {
            kind,
            database,
            version,
            subscribed,
        }
    }

    /// The name of what it asked last. Who has subscribed to something seldom does anything else.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        let name = match self.kind {
            0 => None,
            Self::CLIENT => Some("client"),
            kind => Commands::NAMES.get(usize::from(kind) - 1).copied(),
        };
        match name {
            Some("other") if self.subscribed > 0 => "subscribe",
            name => name.unwrap_or("NULL"),
        }
    }
}

static_assertions::const_assert!(matches!(
    Commands::NAMES[Standing::OTHER as usize - 1].as_bytes(),
    b"other"
));

/// See the module's head.
#[derive(Default, bytemuck::Zeroable)]
#[repr(C)]
pub struct Cell {
    /// When it last asked anything, in steps.
    seen: AtomicU32,
    standing: AtomicU32,
    /// 1: the connection is to be closed. Written under the table's lock.
    doomed: AtomicU32,
    /// Bytes of buffers and of a value on its way that it held when its worker last looked, about once a second.
    held: AtomicU32,
}

// Relaxed where nothing else is said: these are figures, and publish nothing.
impl Cell {
    /// For a newcomer.
    pub(super) fn begin(&self, now: Tick) {
        self.standing.store(0, Relaxed);
        self.seen.store(step(now), Relaxed);
        self.held.store(0, Relaxed);
    }

    /// It holds so many bytes that others may be waiting for.
    pub fn hold(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.held.load(Relaxed) != bytes {
            self.held.store(bytes, Relaxed);
        }
    }

    pub(super) fn held_bytes(&self) -> u32 {
        self.held.load(Relaxed)
    }

    /// It has carried out something in this turn.
    #[cold]
    pub fn note(&self, standing: Standing, now: Tick) {
        let (standing, seen) = (standing.pack(), step(now));
        if self.standing.load(Relaxed) != standing {
            self.standing.store(standing, Relaxed);
        }
        if self.seen.load(Relaxed) != seen {
            self.seen.store(seen, Relaxed);
        }
    }

    /// Whether a turn at this time that carried out so many of each kind need not be noted: the kind is the one that is there,
    /// and the step of time, too. Requests of other kinds change how a client speaks. So does a first array behind lines, which
    /// is then told of within a step.
    #[inline(always)]
    #[must_use]
    pub fn stands(&self, done: &Commands, now: Tick) -> bool {
        let kind = self.standing.load(Relaxed).to_ne_bytes()[0];
        let is_same = match kind {
            1..Standing::OTHER => done.0[usize::from(kind) - 1] > 0,
            _ => false,
        };
        is_same && self.seen.load(Relaxed) == step(now)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing::unpack(self.standing.load(Relaxed))
    }

    /// For how many seconds it has asked nothing.
    pub(super) fn idle_seconds(&self, now: Tick) -> u64 {
        // The cell may have been written a moment after this clock was read.
        let steps = step(now).saturating_sub(self.seen.load(Relaxed));
        u64::from(steps) * STEP_MILLIS / 1000
    }

    /// Release: pairs with the acquire in [`is_doomed`](Self::is_doomed).
    pub(super) fn set_doomed(&self, doomed: bool) {
        self.doomed.store(u32::from(doomed), Release);
    }

    /// Whether it is to be closed.
    #[must_use]
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Acquire) != 0
    }
}

/// 34 years of steps fit.
fn step(now: Tick) -> u32 {
    (now.as_millis() / STEP_MILLIS) as u32
}
