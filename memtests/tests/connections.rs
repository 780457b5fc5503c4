//! Goal: an idle connection costs 600 bytes of the process's memory or less, and nothing once
//! it has gone.
//! Method: ten thousand connections, each used once and then left alone, divided into what
//! the process grew by; then waves of connections that come, work and go in all manners, and
//! the process is no larger than after the first waves.

use flagstone_memtests::load::{Abuse, run};
use flagstone_memtests::socket::raise_open_files;
use flagstone_memtests::stats::number;
use flagstone_memtests::subject::{Place, Subject};
use flagstone_memtests::table::{count, say};
use flagstone_memtests::{quiet, skip};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT_BYTES: u64 = 64 << 20;
/// memcached needs 587.
const IDLE_BYTES_MAX: u64 = 600;
/// What the process may grow by while tens of thousands of connections come and go: the parts
/// of the shared buffers that the first wave happened not to touch (150,000 connections were
/// seen to touch 540 KB more). 64 bytes for each connection would be four times this. (The
/// minute's test counts blocks, and finds a single one.)
const REST_BYTES_MAX: u64 = 1 << 20;

fn start(name: &str) -> Option<Subject> {
    match Place::find() {
        Ok(place) => Some(place.start(LIMIT_BYTES, &[]).expect("the server starts")),
        Err(why) => {
            skip(name, &why);
            None
        }
    }
}

/// One question and its answer, on a connection that stays.
fn ask(stream: &mut TcpStream) {
    let mut reply = [0; 9];
    stream
        .write_all(b"GET nothing\n")
        .expect("the server reads");
    stream.read_exact(&mut reply).expect("the server answers");
    assert_eq!(&reply, b"NOTFOUND\n");
}

#[test]
fn an_idle_connection_costs_little() {
    let _quiet = quiet();
    let Some(subject) = start("an_idle_connection_costs_little") else {
        return;
    };
    let count_max =
        number(&subject.stats().expect("STATS"), "connections_max").min(raise_open_files() - 200);
    let connect = || {
        let mut stream = TcpStream::connect(subject.addr).expect("the server accepts");
        ask(&mut stream);
        stream
    };
    // The first hundred touch what all share.
    let mut streams: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let (_, before) = subject.resident().expect("it runs");
    let more = count_max.min(10_000) - 100 - 10; // ten for health checks and STATS
    streams.extend((0..more).map(|_| connect()));
    let (_, after) = subject.resident().expect("it runs");
    let each = after.saturating_sub(before) / more;
    say(&format!(
        "user memory of an idle connection: {each} bytes ({} connections)",
        count(more)
    ));
    assert!(
        more >= 5_000,
        "only {more} connections are allowed in 64 MiB"
    );
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes each");
}

#[test]
fn connections_that_went_leave_nothing() {
    let _quiet = quiet();
    let Some(mut subject) = start("connections_that_went_leave_nothing") else {
        return;
    };
    let wave = |seed| {
        let abuse = Abuse {
            fill_times: 2,
            storm: Duration::from_secs(4),
            visitors_per_ms: 40,
            silent: 8,
            seed,
            ..Abuse::of(LIMIT_BYTES, 500)
        };
        run(subject.addr, &abuse)
            .expect("the load has sockets")
            .connects
    };
    // Pages of items and of the index come and go with the connections' room, so what they
    // make resident is taken off. A fill touches them all first.
    let resident_beside_pages = |seed| {
        let fill = Abuse {
            storm: Duration::ZERO,
            visitors_per_ms: 0,
            silent: 0,
            slow: 0,
            stalled: 0,
            large: 0,
            seed,
            ..Abuse::of(LIMIT_BYTES, 250)
        };
        run(subject.addr, &fill).expect("the load has sockets");
        let (_, resident) = subject.resident().expect("it runs");
        let stats = subject.stats().expect("STATS");
        let pages = number(&stats, "pages_items") + number(&stats, "pages_index");
        resident.saturating_sub(pages * number(&stats, "page_bytes"))
    };
    // Leased buffers beyond the first few are touched when they are needed, and stay.
    for seed in 1..4 {
        wave(seed);
    }
    let before = resident_beside_pages(11);
    let connects: u64 = (4..7).map(wave).sum();
    let after = resident_beside_pages(12);
    let rest = after.saturating_sub(before);
    say(&format!(
        "{} connections came and went and left {} bytes",
        count(connects),
        count(rest)
    ));
    assert!(connects > 20_000, "only {connects} connections were made");
    assert!(rest <= REST_BYTES_MAX, "{rest} bytes stayed");
    subject.survived().expect("the server lives");
}
