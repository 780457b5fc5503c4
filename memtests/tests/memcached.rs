//! Goal: in a 64 MiB container, with keys of 20 bytes and values of 32, at least 1.7 times
//! the items of memcached.
//! Method: both servers in control groups of the suite's own, on this machine, today.
//! memcached gets the largest `-m` that survives what Flagstone survives with no flag at all
//! (everything at once, 1,000 clients), found by bisection. Then each, started afresh with
//! 1,000 idle clients, is overfilled with small items, and every key is asked for: only
//! values that come back right are counted.

use flagstone_memtests::dialect::Dialect;
use flagstone_memtests::load::{Abuse, HitsExpected, Lengths, hold, run};
use flagstone_memtests::socket::{free_port, raise_open_files};
use flagstone_memtests::subject::{Place, Subject};
use flagstone_memtests::table::{Table, count, mib};
use flagstone_memtests::{quiet, skip};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LIMIT_BYTES: u64 = 64 * MIB;
const CLIENTS: usize = 1_000;
const VALUE_LEN: usize = 32;
/// What the project promises.
const RATIO_MIN: f64 = 1.7;

struct Counted {
    name: String,
    peak_bytes: u64,
    rss_peak: u64,
    item_count: u64,
}

#[test]
fn more_items_than_memcached_in_64_mib() {
    let _quiet = quiet();
    let name = "more_items_than_memcached_in_64_mib";
    let place = match Place::group() {
        Ok(place) => place,
        Err(why) => return skip(name, &why),
    };
    if Command::new("memcached").arg("-V").output().is_err() {
        return skip(name, "memcached not installed: apt-get install memcached");
    }
    raise_open_files();

    let flagstone = count_flagstone(&place).expect("Flagstone");
    let megabytes = largest_that_survives(40, 56).expect("memcached survives at a small -m");
    let memcached = count_memcached(megabytes).expect("memcached");

    let ratio = flagstone.item_count as f64 / memcached.item_count as f64;
    let mut table = Table::new(
        "Items of 20 + 32 bytes in 64 MiB, 1,000 clients, each server as large as it survives",
        &[
            "server",
            "items held",
            "limit / items",
            "group peak",
            "RSS peak",
            "ratio",
        ],
    );
    for (row, ratio) in [(&memcached, 1.0), (&flagstone, ratio)] {
        table.row([
            row.name.clone(),
            count(row.item_count),
            format!("{:.1} B", LIMIT_BYTES as f64 / row.item_count as f64),
            mib(row.peak_bytes),
            mib(row.rss_peak),
            format!("{ratio:.2}"),
        ]);
    }
    table.print();
    assert!(
        ratio >= RATIO_MIN,
        "{ratio:.2} times memcached's items, promised are {RATIO_MIN}"
    );
}

/// The items that are counted afterwards, and everything else at once; nearly a third of the
/// clients never reads. memcached's hash table grows with small items: at mixed sizes it
/// would survive a larger `-m`, and then be killed by the items of the comparison.
fn abuse(dialect: Dialect) -> Abuse {
    Abuse {
        dialect,
        // Twice what memcached can hold. Ten times the limit would be 13 million items, and
        // five minutes.
        limit_bytes: 40 * MIB,
        fill_times: 1,
        lengths: Lengths::Fixed(VALUE_LEN),
        silent: 300,
        storm: Duration::from_secs(3),
        ..Abuse::of(LIMIT_BYTES, CLIENTS)
    }
}

fn count_flagstone(place: &Place) -> Result<Counted, String> {
    let mut subject = place.start(LIMIT_BYTES, &[])?;
    let tally = run(subject.addr, &abuse(Dialect::Native)).map_err(|error| error.to_string())?;
    subject.survived()?;
    tally.verdict(HitsExpected::of(LIMIT_BYTES))?;
    drop(subject);
    let subject = place.start(LIMIT_BYTES, &[])?;
    overfill(subject, Dialect::Native, "Flagstone, no flags".to_owned())
}

fn start_memcached(megabytes: u64) -> Result<Subject, String> {
    let port = free_port().map_err(|error| error.to_string())?;
    let mut command = Command::new("memcached");
    // Two threads, as many as the other server has here: each costs memory. The user counts
    // for root only.
    command.args([
        "-l",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-U",
        "0",
        "-t",
        "2",
        "-u",
        "root",
        "-c",
        "4096",
    ]);
    command.args(["-m", &megabytes.to_string()]);
    Subject::spawn(
        &mut command,
        LIMIT_BYTES,
        SocketAddr::from(([127, 0, 0, 1], port)),
    )
}

fn survives(megabytes: u64) -> Result<bool, String> {
    let mut subject = start_memcached(megabytes)?;
    // What it answers under pressure (it refuses large values) is not judged, only whether it
    // lives.
    run(subject.addr, &abuse(Dialect::Memcache)).map_err(|error| error.to_string())?;
    Ok(subject.survived().is_ok())
}

/// The largest surviving `-m`, to 2 MiB. `low` must survive, `high` is taken not to.
fn largest_that_survives(mut low: u64, mut high: u64) -> Result<u64, String> {
    while high - low > 2 {
        let middle = u64::midpoint(low, high);
        if survives(middle)? {
            low = middle
        } else {
            high = middle
        }
    }
    Ok(low)
}

fn count_memcached(megabytes: u64) -> Result<Counted, String> {
    overfill(
        start_memcached(megabytes)?,
        Dialect::Memcache,
        format!("memcached 1.6, -m {megabytes}"),
    )
}

fn overfill(mut subject: Subject, dialect: Dialect, name: String) -> Result<Counted, String> {
    let idle: Result<Vec<TcpStream>, _> = (0..CLIENTS)
        .map(|_| TcpStream::connect(subject.addr))
        .collect();
    let _idle = idle.map_err(|error| format!("idle clients: {error}"))?;
    // More than either can hold: memcached needs over 100 bytes for an item of 52, and nobody
    // less than 56.
    let item_bytes_min = if dialect == Dialect::Memcache { 96 } else { 56 };
    let written = (LIMIT_BYTES / item_bytes_min) as u32;
    let held =
        hold(subject.addr, dialect, written, VALUE_LEN).map_err(|error| error.to_string())?;
    subject.survived()?;
    if held.wrong_count > 0 || held.item_count * 11 > held.written_count * 10 {
        return Err(format!("{name}: not overfilled, or wrong: {held:?}"));
    }
    let (rss_peak, _) = subject.resident()?;
    Ok(Counted {
        name,
        peak_bytes: subject.figures()?.peak_bytes,
        rss_peak,
        item_count: held.item_count,
    })
}
