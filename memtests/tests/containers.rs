//! Goal: a container with `--memory` and nothing else configured survives everything at once,
//! with its data right.
//! Method: 16, 32, 64 and 256 MiB; ten times the limit written at mixed sizes, 400 to
//! 10,000 connections, 1 MiB values, pipelines that nobody reads, half requests, connections
//! that come and go, a health check every second; then the container's state, its control
//! group's figures and the process's peak.

use flagstone_memtests::cgroup::resident;
use flagstone_memtests::load::{Abuse, HitsExpected, run};
use flagstone_memtests::socket::raise_open_files;
use flagstone_memtests::stats::number;
use flagstone_memtests::subject::Place;
use flagstone_memtests::table::{Table, count, mib, say};
use flagstone_memtests::{quiet, skip};
use std::time::Instant;

const MIB: u64 = 1 << 20;

/// Limit in MiB, connections.
const SIZES: &[(u64, usize)] = &[(16, 400), (32, 1_000), (64, 10_000), (256, 10_000)];

/// Room for what is not a connection: the load's and the server's other files.
const OTHER_FILES: u64 = 200;

#[test]
fn everything_at_once_in_containers() {
    let _quiet = quiet();
    let name = "everything_at_once_in_containers";
    match Place::docker() {
        Ok(place) => storm(&place, SIZES),
        Err(why) => skip(name, &why),
    }
}

/// Where an engine runs, one size shows that the suite's own groups work; where none does,
/// they stand in for all.
#[test]
fn everything_at_once_in_own_cgroups() {
    let _quiet = quiet();
    let name = "everything_at_once_in_own_cgroups";
    let sizes = if Place::docker().is_ok() {
        &SIZES[..1]
    } else {
        SIZES
    };
    match Place::group() {
        Ok(place) => storm(&place, sizes),
        Err(why) => skip(name, &why),
    }
}

fn storm(place: &Place, sizes: &[(u64, usize)]) {
    let title = format!("Everything at once, {}", place.name());
    let mut table = Table::new(
        &title,
        &[
            "limit",
            "plan",
            "group peak",
            "RSS peak",
            "conns",
            "items held",
            "evictions",
            "written",
            "hot hits",
            "newest hits",
            "1 MiB hits",
            "missed late",
            "at limit",
            "kills",
            "time",
        ],
    );
    let mut failures = String::new();
    for &(limit_mib, connections) in sizes {
        match one_size(place, limit_mib * MIB, connections, &mut table) {
            Ok(()) => {}
            Err(error) => failures += &format!("{limit_mib} MiB: {error}\n"),
        }
    }
    table.print();
    assert!(failures.is_empty(), "{failures}");
}

fn one_size(
    place: &Place,
    limit_bytes: u64,
    connections: usize,
    table: &mut Table,
) -> Result<(), String> {
    let files = raise_open_files();
    let possible = connections.min((files - OTHER_FILES) as usize);
    if possible < connections {
        say(&format!(
            "only {possible} instead of {connections} connections: {files} open files are allowed"
        ));
    }
    let start = Instant::now();
    let mut subject = place.start(limit_bytes, &[])?;
    let tally = run(subject.addr, &Abuse::of(limit_bytes, possible))
        .map_err(|error| format!("the load: {error}"))?;

    let survived = subject.survived();
    let figures = subject.figures().unwrap_or_default();
    let (rss_peak, _) = subject.resident().unwrap_or_default();
    let stats = subject.stats().unwrap_or_default();
    let plan_bytes = number(&stats, "memory_bytes");
    table.row([
        format!("{} MiB", limit_bytes / MIB),
        mib(plan_bytes),
        mib(figures.peak_bytes),
        mib(rss_peak),
        count(tally.connections_peak as u64),
        count(number(&stats, "items")),
        count(number(&stats, "evictions")),
        mib(tally.written_bytes),
        tally.hot.to_string(),
        tally.newest.to_string(),
        format!("{} of {}", tally.large.hits, tally.large.gets),
        count(tally.large_late.gets),
        count(figures.at_limit_count),
        count(subject.kill_count()),
        format!("{:.1} s", start.elapsed().as_secs_f64()),
    ]);

    let log = |error: String| format!("{error}\n{}", subject.log());
    survived.map_err(log)?;
    tally.verdict(HitsExpected::of(limit_bytes)).map_err(log)?;
    if plan_bytes == 0 || plan_bytes > limit_bytes {
        return Err(format!(
            "the plan says {plan_bytes} bytes in a limit of {limit_bytes}"
        ));
    }
    // The plan is the whole process and what the kernel keeps for it; the process alone must
    // be inside in any case.
    if rss_peak > plan_bytes {
        return Err(format!(
            "{rss_peak} bytes were resident, the plan says {plan_bytes}"
        ));
    }
    if figures.peak_bytes > limit_bytes {
        return Err(format!(
            "the group's peak of {} is above its limit of {limit_bytes}",
            figures.peak_bytes
        ));
    }
    if tally.connections_peak < possible - 200 {
        return Err(format!(
            "only {} of {possible} connections stood at once",
            tally.connections_peak
        ));
    }
    Ok(())
}

/// What this suite believes about processes must hold for one that is known: itself.
#[test]
fn a_process_has_a_peak() {
    let (peak, now) = resident(std::process::id()).expect("/proc is there");
    assert!(peak >= now && now > MIB, "{peak} {now}");
}
