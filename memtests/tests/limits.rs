//! Goal: the limit is followed while the server runs: lowered, the cache gives memory back;
//! raised, it takes it again.
//! Method: a storm with 1,000 clients that does not end by itself; meanwhile the limit goes
//! from 64 MiB down to 40, back to 64 and on to 96, the arena reserved at start
//! (`--memory-max`). At each stop the server must live, and soon hold what fits. At the end
//! every value must be right and what was written last must be there.

use flagstone_memtests::load::{Abuse, HitsExpected, run};
use flagstone_memtests::stats::number;
use flagstone_memtests::subject::{Place, Subject};
use flagstone_memtests::table::{Table, count, mib};
use flagstone_memtests::{quiet, skip};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// The stops, in MiB.
const STOPS: &[u64] = &[64, 40, 64, 96];
/// A limit must have arrived in this time, and the cache have followed it in as much again.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of a limit, at least so much is in use when the cache has followed it: the rest is headroom …
const USED_MIN: f64 = 0.70;
/// … unless it has filled the pages that it may have: then more is set aside for socket buffers, which
/// version 1 of control groups does not charge.
const FREE_MAX: f64 = 0.10;

#[test]
fn the_limit_moves_under_load() {
    let _quiet = quiet();
    let place = match Place::find() {
        Ok(place) => place,
        Err(why) => return skip("the_limit_moves_under_load", &why),
    };
    let mut subject = place
        .start(STOPS[0] * MIB, &["--memory-max", "96MiB"])
        .expect("the server starts");
    let stop = Arc::new(AtomicBool::new(false));
    let abuse = Abuse {
        stop: Some(Arc::clone(&stop)),
        deadline: Duration::from_secs(150),
        // The smallest limit decides what must be found at the end and how large the hot set
        // may be.
        ..Abuse::of(40 * MIB, 1_000)
    };
    let addr = subject.addr;
    let load = std::thread::spawn(move || run(addr, &abuse));

    let title = format!("The limit moves under load, {}", place.name());
    let mut table = Table::new(
        &title,
        &[
            "limit",
            "moved in",
            "followed in",
            "plan",
            "usage",
            "items held",
            "evictions",
        ],
    );
    let outcome = STOPS
        .iter()
        .try_for_each(|&mib| one_stop(&mut subject, mib * MIB, &mut table));
    stop.store(true, Ordering::Relaxed);
    let tally = load
        .join()
        .expect("the load does not panic")
        .expect("the load has sockets");
    table.print();

    let log = |error: String| panic!("{error}\n{}", subject.log());
    outcome.unwrap_or_else(log);
    tally
        .verdict(HitsExpected::of(40 * MIB))
        .unwrap_or_else(log);
    subject.survived().expect("the server lives at the end");
}

fn one_stop(subject: &mut Subject, limit_bytes: u64, table: &mut Table) -> Result<(), String> {
    let moved = subject.move_limit(limit_bytes, PATIENCE)?;
    let start = Instant::now();
    loop {
        subject.survived()?;
        let figures = subject.figures()?;
        let stats = subject.stats()?;
        let plan_bytes = number(&stats, "memory_bytes");
        let used = figures.usage_bytes as f64 / limit_bytes as f64;
        let free = number(&stats, "pages_free") as f64;
        let held = (number(&stats, "pages_items") + number(&stats, "pages_index")) as f64;
        // Followed: the plan is the new limit's, and the memory is really in use, or really
        // given back.
        let followed = plan_bytes <= limit_bytes
            && plan_bytes as f64 > 0.9 * limit_bytes as f64
            && (used >= USED_MIN || held > 0.0 && free <= FREE_MAX * (free + held));
        if followed {
            table.row([
                mib(limit_bytes),
                format!("{:.1} s", moved.as_secs_f64()),
                format!("{:.1} s", start.elapsed().as_secs_f64()),
                mib(plan_bytes),
                mib(figures.usage_bytes),
                count(number(&stats, "items")),
                count(number(&stats, "evictions")),
            ]);
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!(
                "at {} the plan is {} and the usage {} after {PATIENCE:?}",
                mib(limit_bytes),
                mib(plan_bytes),
                mib(figures.usage_bytes)
            ));
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}
