//! Goal: what has expired is reclaimed within minutes at the latest, for little, and no call takes long.
//!
//! Method: items with deadlines spread over an hour are swept second by second of a clock of the test's own. Times are
//! printed; what is asserted of them holds on a machine that is very busy.

use std::time::Duration;

use flagstone_engine::{Cache, Deadline, Options, Plan, Tick};

const START: Tick = Tick::from_secs(10_000);
/// A page waits so long for more of its items to be due.
const LATE_SECONDS: u64 = 256;
/// A server ends a call with the page in which it has taken so long.
const PORTION_TIME_MAX: Duration = Duration::from_micros(400);

fn open(budget_bytes: usize) -> Cache {
    let options = Options {
        budget_bytes,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

/// What this thread has worked: other programs are not counted.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Maintains as a server does, until there is nothing more to do; the slowest call, and all of them.
fn maintain(cache: &Cache, now: Tick) -> (Duration, Duration) {
    let (mut slowest, mut all) = (Duration::ZERO, Duration::ZERO);
    loop {
        let begun = worked();
        let is_late = || worked() - begun >= PORTION_TIME_MAX;
        let more = cache.maintain_until(now, 1024, is_late).more;
        let took = worked() - begun;
        slowest = slowest.max(took);
        all += took;
        if !more {
            return (slowest, all);
        }
    }
}

fn sweep_an_hour(budget_bytes: usize, items: u64) {
    let cache = open(budget_bytes);
    for number in 0..items {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).expect("a key");
        // Spread, and in no order.
        let secs = 1 + number.wrapping_mul(0x9E37_79B9) % 3600;
        let deadline = Deadline::after_secs(START, secs);
        cache
            .put(key, &[7; 40], deadline.into(), START)
            .expect("stores");
    }
    assert_eq!(cache.stats().items, items);
    let mut calls = Vec::new();
    let mut all = Duration::ZERO;
    for secs in 1..=3600 + LATE_SECONDS {
        let (slowest, together) = maintain(&cache, START.plus_secs(secs));
        calls.push(slowest);
        all += together;
        if secs.is_multiple_of(100) {
            // Evenly spread, so that it can be told how many are left.
            let due_for_long = secs.saturating_sub(LATE_SECONDS).min(3600);
            let left = cache.stats().items;
            let most = items - items * due_for_long / 3600;
            let least = items - items * secs.min(3600) / 3600;
            let slack = items / 200;
            assert!(
                left <= most + slack && left + slack >= least,
                "{secs}: {left} are left, not {least} to {most}"
            );
        }
    }
    let stats = cache.stats();
    assert_eq!((stats.items, stats.expired.swept), (0, items));
    cache.audit().expect("whole");
    calls.sort();
    let each = all / u32::try_from(items).expect("not so many");
    println!(
        "{items} items in pages of {} bytes: {} ns an item, the slowest call {:?}, one in a hundred {:?}",
        cache.plan().page_bytes(),
        each.as_nanos(),
        calls[calls.len() - 1],
        calls[calls.len() * 99 / 100],
    );
    assert!(each < Duration::from_micros(20), "{each:?} an item");
}

#[test]
fn an_hour_of_deadlines_in_small_pages() {
    sweep_an_hour(128 << 20, 400_000);
}

#[test]
fn an_hour_of_deadlines_in_large_pages() {
    sweep_an_hour(4 << 30, 1_000_000);
}

/// The scene of the issue that was measured: run by hand, it takes 2 GB.
#[test]
#[ignore = "takes 2 GB and a minute"]
fn an_hour_of_25_million_deadlines() {
    sweep_an_hour(4 << 30, 25_000_000);
}

/// Items whose time comes at once are reclaimed at once, and new ones stay.
#[test]
fn all_at_once_and_others_between() {
    let cache = open(64 << 20);
    let put = |number: u64, deadline: Deadline| {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).expect("a key");
        cache
            .put(key, &[7; 40], deadline.into(), START)
            .expect("stores");
    };
    for number in 0..100_000 {
        let deadline = match number % 3 {
            0 => Deadline::NEVER,
            1 => Deadline::exact(START.plus_millis(10_500)),
            _ => Deadline::after_secs(START, 1000),
        };
        put(number, deadline);
    }
    maintain(&cache, START.plus_secs(10));
    assert_eq!(cache.stats().items, 100_000);
    maintain(&cache, START.plus_secs(11));
    assert_eq!(cache.stats().expired.swept, 33_333);
    // Stored while a round is under way, and due before anything else.
    maintain(&cache, START.plus_secs(999));
    assert!(cache.maintain(START.plus_secs(1000), 1).more);
    for number in 200_000..200_100 {
        put(number, Deadline::after_secs(START, 1001));
    }
    maintain(&cache, START.plus_secs(1000));
    maintain(&cache, START.plus_secs(1001 + LATE_SECONDS));
    assert_eq!(cache.stats().items, 33_334);
    cache.audit().expect("whole");
}
