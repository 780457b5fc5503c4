//! The night shift: lets the governor look at the memory, gives the engine time to sweep out
//! what has expired, a little at a time, notes how fast the cache is being written and how old
//! what is evicted was, and tells of slow requests.
//!
//! It runs beside the acceptor, on a thread that has little else to do, and yields between
//! portions, so that newcomers and signals do not wait.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use crate::governor::{Governor, Portion};
use crate::house::House;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_millis(100);
/// Items looked at in one portion: well under a millisecond of work.
const WORK_MAX: usize = 1024;
/// Portions in one round, so that a round ends.
const PORTIONS_MAX: usize = 64;

/// The governor looks closely once in so many rounds.
const ROUNDS_PER_LOOK: u32 = 10;

/// Maintains until dropped.
pub async fn run(house: &House<'_>, governor: &Governor<'_>) -> io::Result<Infallible> {
    // The runtime allocates a little list when something yields for the first time.
    tokio::task::yield_now().await;
    let mut round = 0u32;
    loop {
        tokio::time::sleep(INTERVAL).await;
        round = round.wrapping_add(1);
        let now = house.clock.now();
        house.note_round(now);
        if round.is_multiple_of(ROUNDS_PER_LOOK) {
            governor.look();
            let stats = house.cache.stats();
            let mut pace = house.pace.lock();
            pace.note(now, stats.inserted_bytes);
            house.departures.lock().note(now, &stats, &pace);
            drop(pace);
            let slow = house.slow.lock().take();
            if let Some(slow) = slow {
                log::warn!("{slow}");
            }
        } else {
            governor.glance();
        }
        // A limit that was lowered does not wait: on until it is done.
        while governor.portion() == Portion::More {
            tokio::task::yield_now().await;
        }
        house.flush_if_due(house.clock.now());
        for _ in 0..PORTIONS_MAX {
            if !house.cache.maintain(house.clock.now(), WORK_MAX).more {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
