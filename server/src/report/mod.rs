//! Counters and settings, told to those who ask.
//!
//! Each protocol has names of its own for them. Whoever tells is given them a few at a time, and
//! may say that there is no room for more.

mod curve;
mod hot_keys;
mod memcached;
mod native;
pub mod resp;
mod slow;
mod stores;

use std::slice;

use flagstone_engine::Tick;

use crate::observe::counters::Totals;
use crate::proto::{Reply, Stat, Topic};
use crate::server::shared::Shared;

/// The counters of memcached's and Redis' clients begin at 0 again.
pub fn reset(shared: &Shared<'_>) {
    *shared.reset.lock() = (shared.threads.totals(), shared.cache.stats());
}

/// Tells what is asked, one reply after the other; `None` as soon as `tell` has no room.
pub fn tell(
    shared: &Shared<'_>,
    topic: Topic,
    now: Tick,
    tell: &mut dyn FnMut(Reply<'_>) -> Option<()>,
) -> Option<()> {
    match topic {
        Topic::Native => {
            tell(Reply::Stats(&native::stats(shared, now)))?;
            let totals = shared.threads.totals();
            for told in Totals::TOLD {
                let stat = Stat::number(told.native, (told.of)(&totals));
                tell(Reply::Stats(slice::from_ref(&stat)))?;
            }
            curve::tell(shared, tell)?;
            stores::tell(shared, tell)?;
        }
        Topic::Curve => curve::tell(shared, tell)?,
        Topic::Classes => native::classes(shared, now, tell)?,
        Topic::General => {
            memcached::general(shared, now, tell)?;
            let (before, _) = *shared.reset.lock();
            let totals = shared.threads.totals().since(&before);
            for told in Totals::TOLD {
                let stat = Stat::number(told.memcached, (told.of)(&totals));
                tell(Reply::Stats(slice::from_ref(&stat)))?;
            }
        }
        Topic::Settings => tell(Reply::Stats(&memcached::settings(shared)))?,
        Topic::Items => memcached::items(shared, now, tell)?,
        Topic::Slabs => memcached::slabs(shared, tell)?,
        Topic::Sizes => tell(Reply::Stats(&memcached::SIZES))?,
        Topic::Stored => stores::lines(shared, tell)?,
        Topic::Conns => memcached::conns(shared, tell)?,
        Topic::Slow => slow::lines(&shared.slow_log, tell)?,
        Topic::HotKeys(most) => hot_keys::lines(&shared.hot_keys, most, now, tell)?,
        Topic::Reset => {
            // Nothing is told before: it is done once.
            tell(Reply::StatsReset)?;
            reset(shared);
            return Some(());
        }
    }
    tell(Reply::StatsEnd)
}
