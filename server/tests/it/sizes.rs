//! Goal: how long stored values are and how long they are to be kept is counted, exactly, for each protocol, whichever way a value goes in.
//! Method: values are stored in every protocol, one at a time, in runs, and in pieces, and all places that tell of them are compared
//! with what was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::common::binary::{self, packet};
use crate::common::http::{get, sample};
use crate::common::resp::{array, check, requests};
use crate::common::{connect, exchange, small_config, start_with, stat, talk};
use flagstone_server::{Config, Running};

fn start() -> (Running, SocketAddr) {
    let server = start_with(Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    });
    let admin = server.admin_addr().expect("there are pages");
    (server, admin)
}

/// The lines of a listing: names without `before`, and their counts.
fn listed(server: &Running, asked: &[u8], before: &str) -> BTreeMap<String, u64> {
    let told = String::from_utf8(talk(server, asked)).expect("text");
    let figure = |line: &str| {
        let (name, count) = line.strip_prefix(before)?.split_once(' ')?;
        Some((name.to_owned(), count.trim_end().parse().ok()?))
    };
    told.lines().filter_map(figure).collect()
}

/// Compares what is told of one protocol with what it has to be.
#[track_caller]
fn expect_told(server: &Running, protocol: &str, expected: &[(&str, u64)]) {
    let before = format!("stored_{protocol}_");
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|&(name, count)| (name.to_owned(), count))
        .collect();
    assert_eq!(listed(server, b"STATS STORED\n", &before), expected);
    let before = format!("STAT {before}");
    assert_eq!(listed(server, b"stats stored\r\n", &before), expected);
}

#[test]
fn native_lines_are_counted() {
    let (server, _) = start();
    let long = "v".repeat(100_000);
    // Alone, with a lifetime, in a run that goes the short way, in pieces; and what stores nothing.
    let mut client = connect(&server);
    exchange(&mut client, b"PUT a v\n", b"OK\n");
    exchange(&mut client, b"PUTEX a 10 value\n", b"OK\n");
    exchange(&mut client, &b"PUT b 123\n".repeat(40), &b"OK\n".repeat(40));
    exchange(&mut client, format!("PUT c {long}\n").as_bytes(), b"OK\n");
    let lasts = format!("PUTEX d 100000 {long}\n");
    exchange(&mut client, lasts.as_bytes(), b"OK\n");
    exchange(
        &mut client,
        b"GET none\nDEL none\n",
        b"NOTFOUND\nNOTFOUND\n",
    );
    expect_told(
        &server,
        "native",
        &[
            ("bytes_1", 1),
            ("bytes_4", 40),
            ("bytes_8", 1),
            ("bytes_131072", 2),
            ("seconds_10", 1),
            ("seconds_604800", 1),
            ("forever", 42),
        ],
    );
    for (name, figure) in [
        ("stored_values", 44),
        ("stored_value_bytes", 1 + 5 + 120 + 200_000),
        ("stored_value_bytes_p50", 4),
        ("stored_value_bytes_p99", 131_072),
        ("stored_forever", 42),
    ] {
        assert_eq!(stat(&server, name), figure, "{name}");
    }
}

#[test]
fn memcacheds_three_protocols_are_told_apart() {
    let (server, _) = start();
    let long = "v".repeat(20_000);
    let mut client = connect(&server);
    let run = b"set a 0 0 4\r\nbody\r\n".repeat(40);
    exchange(&mut client, &run, &b"STORED\r\n".repeat(40));
    for (sent, said) in [
        ("set a 0 3600 9\r\nninebytes\r\n", "STORED\r\n"),
        ("add a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
        ("add b 0 0 1\r\nx\r\n", "STORED\r\n"),
        ("replace b 0 -1 0\r\n\r\n", "STORED\r\n"),
        ("append a 0 0 1\r\nx\r\n", "STORED\r\n"),
        ("touch a 60\r\n", "TOUCHED\r\n"),
        ("set n 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("incr n 1\r\n", "2\r\n"),
        (&format!("set c 0 60 20000\r\n{long}\r\n"), "STORED\r\n"),
    ] {
        exchange(&mut client, sent.as_bytes(), said.as_bytes());
    }
    expect_told(
        &server,
        "memcached",
        &[
            ("bytes_1", 3),
            ("bytes_4", 40),
            ("bytes_16", 1),
            ("bytes_32768", 1),
            ("seconds_1", 1),
            ("seconds_60", 1),
            ("seconds_3600", 1),
            ("forever", 42),
        ],
    );
    let run = b"ms a 4\r\nbody\r\n".repeat(40);
    exchange(&mut client, &run, &b"HD\r\n".repeat(40));
    for (sent, said) in [
        ("ms a 2 T40000000\r\nxx\r\n", "HD\r\n"),
        ("ms a 1 MA\r\nx\r\n", "NS\r\n"),
        ("ms z 1 MR\r\nx\r\n", "NS\r\n"),
        (&format!("ms c 20000 T600\r\n{long}\r\n"), "HD\r\n"),
    ] {
        exchange(&mut client, sent.as_bytes(), said.as_bytes());
    }
    expect_told(
        &server,
        "meta",
        &[
            ("bytes_2", 1),
            ("bytes_4", 40),
            ("bytes_32768", 1),
            ("seconds_1", 1),
            ("seconds_600", 1),
            ("forever", 40),
        ],
    );
    let mut client = connect(&server);
    for (value, lifetime) in [("", 0), (&*long, 86_400), ("xyz", 0)] {
        let asked = binary::store(binary::SET, "b", (0, lifetime), value);
        assert_eq!(binary::ask(&mut client, &asked).status, 0);
    }
    assert_eq!(
        binary::ask(&mut client, &packet(binary::GET, "b")).status,
        0
    );
    expect_told(
        &server,
        "binary",
        &[
            ("bytes_1", 1),
            ("bytes_4", 1),
            ("bytes_32768", 1),
            ("seconds_86400", 1),
            ("forever", 2),
        ],
    );
    let asked = packet(binary::STAT, "stored");
    let told = binary::texts(&talk(&server, &asked.bytes()));
    let line = "10 00 k=stored_binary_seconds_86400 v=1";
    assert!(told.iter().any(|told| told == line), "{told:?}");
}

#[test]
fn whatever_stores_a_whole_value_for_redis_counts_once() {
    let (server, _) = start();
    let run = requests("SET a body").repeat(40);
    assert_eq!(talk(&server, &run), b"+OK\r\n".repeat(40));
    for (asked, said) in [
        ("SET a v EX 60", "+OK|"),
        ("SET a v KEEPTTL", "+OK|"),
        ("SET a vv PX 1500 GET", "$1|v|"),
        ("SET a v NX", "$-1|"),
        ("SETEX b 3600 vvv", "+OK|"),
        ("SETNX c 12345678", ":1|"),
        ("SETNX c 12345678", ":0|"),
        ("GETSET c 123456789", "$8|12345678|"),
        ("MSET d 1 e 1", "+OK|"),
        ("MSETNX d 1 f 1", ":0|"),
        ("MSETNX g 1 h 1", ":1|"),
        ("MULTI|SET i 1|EXEC", "+OK|+QUEUED|*1|+OK|"),
        // None of these brings a whole value.
        ("APPEND i 2", ":2|"),
        ("INCR i", ":13|"),
        ("SETRANGE i 0 9", ":2|"),
        ("EXPIRE i 10", ":1|"),
        ("RENAME i j", "+OK|"),
        ("COPY j k", ":1|"),
    ] {
        check(&server, asked, said);
    }
    let long = vec![b'v'; 100_000];
    assert_eq!(talk(&server, &array(&[b"SET", b"long", &long])), b"+OK\r\n");
    let lasts = array(&[b"SET", b"long", &long, b"EX", b"604800"]);
    assert_eq!(talk(&server, &lasts), b"+OK\r\n");
    expect_told(
        &server,
        "resp",
        &[
            // Two of `SET a v`, MSET's two, MSETNX's two, the transaction's.
            ("bytes_1", 7),
            ("bytes_2", 1),
            ("bytes_4", 41),
            ("bytes_8", 1),
            ("bytes_16", 1),
            ("bytes_131072", 2),
            ("seconds_1", 1),
            ("seconds_60", 2),
            ("seconds_3600", 1),
            ("seconds_604800", 1),
            ("forever", 48),
        ],
    );
}

#[test]
fn the_admin_pages_tell_what_statistics_do() {
    let (server, admin) = start();
    assert!(
        !get(admin, "/metrics")
            .body
            .contains("stored_value_bytes_bucket")
    );
    assert_eq!(get(admin, "/sizes").body.matches("protocol\"").count(), 0);
    talk(&server, b"PUT a v\nPUTEX b 60 12345\n");
    talk(&server, &requests("SET c 12 EX 1|SET d 123 EX 90000000"));
    let metrics = get(admin, "/metrics").body;
    for (name, value) in [
        ("value_bytes_bucket{protocol=\"native\",le=\"1\"}", 1.0),
        ("value_bytes_bucket{protocol=\"native\",le=\"4\"}", 1.0),
        ("value_bytes_bucket{protocol=\"native\",le=\"8\"}", 2.0),
        (
            "value_bytes_bucket{protocol=\"native\",le=\"134217728\"}",
            2.0,
        ),
        ("value_bytes_bucket{protocol=\"native\",le=\"+Inf\"}", 2.0),
        ("value_bytes_sum{protocol=\"native\"}", 6.0),
        ("value_bytes_count{protocol=\"native\"}", 2.0),
        (
            "lifetime_seconds_bucket{protocol=\"native\",le=\"10\"}",
            0.0,
        ),
        (
            "lifetime_seconds_bucket{protocol=\"native\",le=\"60\"}",
            1.0,
        ),
        (
            "lifetime_seconds_bucket{protocol=\"native\",le=\"31536000\"}",
            1.0,
        ),
        (
            "lifetime_seconds_bucket{protocol=\"native\",le=\"+Inf\"}",
            2.0,
        ),
        ("lifetime_seconds_sum{protocol=\"native\"}", 60.0),
        ("lifetime_seconds_count{protocol=\"native\"}", 2.0),
        ("value_bytes_sum{protocol=\"resp\"}", 5.0),
        ("lifetime_seconds_bucket{protocol=\"resp\",le=\"1\"}", 1.0),
        (
            "lifetime_seconds_bucket{protocol=\"resp\",le=\"31536000\"}",
            1.0,
        ),
        ("lifetime_seconds_count{protocol=\"resp\"}", 2.0),
    ] {
        let name = format!("flagstone_stored_{name}");
        assert_eq!(sample(&metrics, &name), Some(value), "{name}");
    }
    assert!(!metrics.contains("stored_value_bytes_sum{protocol=\"meta\"}"));
    let page: serde_json::Value = serde_json::from_str(&get(admin, "/sizes").body).expect("JSON");
    assert_eq!(page["size_ends"][10], 1024);
    assert_eq!(page["lifetime_ends_s"][2], 60);
    let native = &page["protocols"][0];
    assert_eq!(native["protocol"], "native");
    assert_eq!(native["sizes"], serde_json::json!([1, 0, 0, 1]));
    let lifetimes = serde_json::json!([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(native["lifetimes"], lifetimes);
    assert_eq!(
        (&native["values"], &native["forever"]),
        (&2.into(), &1.into())
    );
    let resp = &page["protocols"][1];
    assert_eq!(
        (&resp["value_bytes"], &resp["lifetimes"][10]),
        (&5.into(), &1.into())
    );
    let all: serde_json::Value = serde_json::from_str(&get(admin, "/stats").body).expect("JSON");
    assert_eq!(all["stored"], page);
}
