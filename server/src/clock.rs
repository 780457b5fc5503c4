//! Time: the server's own coarse clock, exact durations, and what a thread has used of the CPU.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use flagstone_engine::Tick;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Coarse monotonic time since the server's start: a read of memory that the kernel maps
/// into the process, a few milliseconds behind at most.
///
/// Its whole seconds are those of the calendar, so that a lifetime that ends at a second of
/// the calendar ends exactly then.
#[derive(Debug)]
pub struct Clock {
    start: Timespec,
    /// What it said at the start.
    start_millis: u64,
    /// The calendar's second (since 1970) at tick 0.
    unix_zero: u64,
    /// How far it was moved, in milliseconds: only for tests.
    moved_millis: AtomicI64,
}

impl Clock {
    /// What the clock of a new cache says at the start, less than a second before. Not 0, so that something
    /// can lie before it.
    pub const EPOCH: Tick = Tick::from_secs(1);

    /// A clock whose tick 0 was at this second of the calendar, which is [`Clock::new_zero`] for a new cache.
    #[must_use]
    pub fn start(unix_zero: u64) -> Self {
        let start = clock_gettime(ClockId::MonotonicCoarse);
        let unix = clock_gettime(ClockId::RealtimeCoarse);
        let begun_millis = u64::try_from(unix.tv_nsec / 1_000_000).unwrap_or(0);
        let seconds = u64::try_from(unix.tv_sec)
            .unwrap_or(0)
            .saturating_sub(unix_zero);
        Clock {
            start,
            start_millis: (seconds * 1000 + begun_millis).max(Self::EPOCH.as_millis()),
            unix_zero,
            moved_millis: AtomicI64::new(0),
        }
    }

    /// The second of the calendar at which tick 0 is for a cache that is new: one before this.
    #[must_use]
    pub fn new_zero() -> u64 {
        unix_seconds().saturating_sub(Self::EPOCH.as_millis() / 1000)
    }

    /// The second in which it started.
    #[must_use]
    pub fn started(&self) -> Tick {
        Tick::from_secs(self.start_millis / 1000)
    }

    /// What time it is.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Tick {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let millis = (now.tv_sec - self.start.tv_sec) * 1000
            + (now.tv_nsec - self.start.tv_nsec) / 1_000_000
            + self.moved_millis.load(Relaxed);
        Tick::from_millis(self.start_millis).plus_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// The second of the calendar at a moment.
    #[must_use]
    pub fn unix_of(&self, tick: Tick) -> u64 {
        self.unix_zero + tick.as_millis() / 1000
    }

    /// The moment of a second of the calendar; [`Tick::ZERO`] if it was before the start.
    #[must_use]
    pub fn tick_of_unix(&self, unix: u32) -> Tick {
        Tick::from_secs(u64::from(unix).saturating_sub(self.unix_zero))
    }

    /// The millisecond of the calendar at a moment.
    #[must_use]
    pub fn unix_millis_of(&self, tick: Tick) -> u64 {
        self.unix_zero * 1000 + tick.as_millis()
    }

    /// The moment of a millisecond of the calendar; [`Tick::ZERO`] if it was before the start.
    #[must_use]
    pub fn tick_of_unix_millis(&self, unix_millis: u64) -> Tick {
        Tick::from_millis(unix_millis.saturating_sub(self.unix_zero * 1000))
    }

    /// Moves the clock: only for tests.
    pub fn advance(&self, seconds: i64) {
        self.moved_millis
            .fetch_add(seconds.saturating_mul(1000), Relaxed);
    }
}

/// The calendar's second, since 1970.
pub fn unix_seconds() -> u64 {
    let unix = clock_gettime(ClockId::RealtimeCoarse);
    u64::try_from(unix.tv_sec).unwrap_or(0)
}

/// The number of this thread in the kernel.
pub fn thread_id() -> u64 {
    u64::from(
        rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs(),
    )
}

/// The CPU time that this thread has used, in microseconds.
pub fn thread_cpu_micros() -> u64 {
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    cpu.tv_sec as u64 * 1_000_000 + cpu.tv_nsec as u64 / 1000
}

/// Exact time, for measuring durations: read from memory as the coarse one is, at about three
/// times its price.
#[inline]
pub fn exact_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative, and 64 bits of nanoseconds are 584 years.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_goes_on_from_where_another_began() {
        let clock = Clock::start(Clock::new_zero() - 3600);
        let hour = Clock::EPOCH.plus_secs(3600);
        assert!(clock.now() >= hour && clock.now() < hour.plus_secs(5));
        let unix = clock.unix_of(clock.now());
        assert!(unix.abs_diff(unix_seconds()) <= 1);
        // A calendar that was set back is no reason for a clock that does not go.
        assert!(Clock::start(unix_seconds() + 1000).now() >= Clock::EPOCH);
    }

    #[test]
    fn the_clock_begins_at_its_epoch_and_goes_on() {
        let clock = Clock::start(Clock::new_zero());
        let first = clock.now();
        assert!(first >= Clock::EPOCH && first < Clock::EPOCH.plus_secs(5));
        std::thread::sleep(Duration::from_millis(30));
        assert!(clock.now() > first);
    }
}
