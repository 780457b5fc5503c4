//! Upkeep once in a tenth of a second: lets the governor look at the memory, gives the engine time to sweep out
//! what has expired, a little at a time, notes how fast the cache is being written and how old
//! what is evicted was, tells of slow requests, and gives the service manager a sign of life.
//!
//! It runs beside the acceptor, on a thread that has little else to do, and yields between
//! portions, so that newcomers and signals do not wait.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use crate::clock::exact_nanos;
use crate::memory::governor::{Governor, Portion};
use crate::observe::counters::WorkerFigures;
use crate::server::manager::Watchdog;
use crate::server::shared::Shared;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_millis(100);
/// A portion ends with the page in which it has taken so long …
const PORTION_NANOS: u64 = 400_000;
/// … or with so many items looked at: well under a millisecond of work.
const WORK_MAX: usize = 1024;
/// Portions in one round, so that a round ends.
const PORTIONS_MAX: usize = 64;

/// The governor looks closely once in so many rounds.
const ROUNDS_PER_LOOK: u32 = 10;

/// Who waits for a buffer or a permit for so long has a reason to be told of …
const WAIT_TOLD_MILLIS: u64 = 2000;
/// … once in so many looks.
const WAIT_TOLD_LOOKS: u32 = 10;

/// Tells of queues that stand still.
#[derive(Default)]
struct Queues {
    looks_left: u32,
}

impl Queues {
    fn tell(&mut self, shared: &Shared<'_>) {
        self.looks_left = self.looks_left.saturating_sub(1);
        if self.looks_left > 0 {
            return;
        }
        let workers = shared
            .threads
            .all_counters()
            .map(WorkerFigures::of)
            .enumerate();
        let longest = workers.max_by_key(|(_, worker)| worker.longest_wait_millis);
        let Some((no, worker)) = longest else {
            return;
        };
        if worker.longest_wait_millis >= WAIT_TOLD_MILLIS {
            self.looks_left = WAIT_TOLD_LOOKS;
            let (millis, waiting) = (worker.longest_wait_millis, worker.waiting);
            log::warn!(
                worker = no, waiting = waiting, longest_wait_ms = millis;
                "{waiting} connections of worker {no} wait for a buffer or a long value's turn, the \
                 first for {}.{:03} s",
                millis / 1000,
                millis % 1000,
            );
        }
    }
}

/// Maintains until dropped.
pub async fn run(shared: &Shared<'_>, governor: &Governor<'_>) -> io::Result<Infallible> {
    // The runtime allocates a little list when something yields for the first time.
    tokio::task::yield_now().await;
    let mut round = 0u32;
    let mut queues = Queues::default();
    let mut watchdog = Watchdog::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        round = round.wrapping_add(1);
        let now = shared.clock.now();
        shared.threads.note_round(now);
        watchdog.round(&shared.life.manager, &shared.threads, now);
        if round.is_multiple_of(ROUNDS_PER_LOOK) {
            governor.look();
            shared.curve.look(shared.cache, &shared.threads.totals());
            let stats = shared.cache.stats();
            let mut pace = shared.pace.lock();
            pace.note(now, stats.inserted_bytes);
            shared.departures.lock().note(now, &stats, &pace);
            drop(pace);
            let slow = shared.slow.lock().take();
            if let Some(slow) = slow {
                log::warn!("{slow}");
            }
            queues.tell(shared);
            if let Some(news) = shared.guesses.news(now) {
                let (origin, failures) = (news.origin.to_string(), news.failures);
                log::warn!(
                    origin = origin.as_str(), failures = failures;
                    "{failures} logins from {origin} have failed: new connections from there are \
                     slowed to five a second"
                );
            }
        } else {
            governor.glance();
        }
        // A limit that was lowered does not wait: on until it is done.
        while governor.portion() == Portion::More {
            tokio::task::yield_now().await;
        }
        shared.flush.flush_if_due(shared.cache, shared.clock.now());
        for _ in 0..PORTIONS_MAX {
            let until = exact_nanos() + PORTION_NANOS;
            let is_late = || exact_nanos() >= until;
            let now = shared.clock.now();
            if !shared.cache.maintain_until(now, WORK_MAX, is_late).more {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
