//! From a client's words about time to the engine's deadlines, and back to seconds.

use flagstone_engine::{Deadline, Tick};

use crate::clock::Clock;
use crate::proto::Lifetime;

/// The moment at which a lifetime ends.
#[inline]
#[must_use]
pub fn deadline(lifetime: Lifetime, now: Tick, clock: &Clock) -> Deadline {
    match lifetime {
        Lifetime::Forever => Deadline::NEVER,
        Lifetime::Seconds(seconds) => Deadline::after_secs(now, u64::from(seconds)),
        Lifetime::Counted(seconds) => {
            let begun = Tick::from_secs(now.as_millis() / 1000);
            Deadline::at(begun.plus_secs(u64::from(seconds)))
        }
        Lifetime::Until(unix) => Deadline::at(clock.tick_of_unix(unix)),
        Lifetime::Millis(millis) => {
            Deadline::exact(Tick::from_millis(now.as_millis().saturating_add(millis)))
        }
        Lifetime::UntilMillis(unix) => Deadline::exact(clock.tick_of_unix_millis(unix)),
        Lifetime::Past => Deadline::at(Tick::ZERO),
    }
}

/// Whole seconds from the one that has begun: an item that was given 100 of them, counted from
/// there, says 100 until it is over.
pub fn seconds_begun(deadline: Deadline, now: Tick) -> Option<u64> {
    Some(deadline.tick()?.millis_since(now).div_ceil(1000))
}

/// Whole seconds from `now`, rounded down: the deadline was rounded up when it was stored, so
/// an item that is to live 100 seconds says 100 at first.
pub fn seconds_left(deadline: Deadline, now: Tick) -> Option<u64> {
    Some(deadline.tick()?.millis_since(now) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_item_says_the_seconds_it_was_given() {
        let clock = Clock::start(Clock::new_zero());
        for now in [0, 1, 499, 500, 999, 1000, 12_345] {
            let now = Tick::from_millis(now);
            for seconds in [1, 10, 86_400] {
                let kept = deadline(Lifetime::Seconds(seconds), now, &clock);
                assert_eq!(seconds_left(kept, now), Some(u64::from(seconds)));
            }
        }
        let kept = deadline(Lifetime::Forever, Tick::ZERO, &clock);
        assert_eq!(seconds_left(kept, Tick::ZERO), None);
    }
}
