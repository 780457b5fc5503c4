//! Goal: a server says what its hit ratio would be with less memory, and with more. Method: cache-aside traffic, whose keys are the
//! less popular the higher their numbers, on a cache that holds about a quarter of them; then all places that tell the curve are compared
//! with each other, with the counters, and with what such traffic has to be like.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::http::{get, sample};
use crate::common::resp::requests;
use crate::common::{connect, small_config, start_with, stat, talk, wait_until};
use flagstone_server::{Config, Running};

const KEYS: f64 = 100_000.0;
const VALUE_BYTES: usize = 1000;
/// Requests that are sent together.
const BATCH: usize = 64;

/// The same numbers each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn key(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64;
        KEYS.powf(part) as u64
    }
}

/// Asks for values, and stores those that are missing.
fn traffic(stream: &mut TcpStream, numbers: &mut Numbers, batches: usize) {
    let value = "v".repeat(VALUE_BYTES);
    let mut reader = BufReader::new(stream.try_clone().expect("clones"));
    let mut line = String::new();
    for _ in 0..batches {
        let keys: Vec<u64> = (0..BATCH).map(|_| numbers.key()).collect();
        let gets: String = keys.iter().map(|key| format!("GET key{key}\n")).collect();
        stream.write_all(gets.as_bytes()).expect("sends");
        let mut puts = String::new();
        for key in &keys {
            line.clear();
            reader.read_line(&mut line).expect("replies");
            if line == "NOTFOUND\n" {
                puts += &format!("PUT key{key} {value}\n");
            }
        }
        stream.write_all(puts.as_bytes()).expect("sends");
        for _ in puts.lines() {
            line.clear();
            reader.read_line(&mut line).expect("replies");
            assert_eq!(line, "OK\n");
        }
    }
}

/// A decimal figure of some statistics.
fn figure(stats: &str, name: &str) -> Option<f64> {
    let is_it = |line: &str| {
        let line = line.strip_prefix("STAT ").unwrap_or(line).trim_end();
        line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
    };
    stats.lines().find_map(is_it)
}

/// A worker may have handed something over meanwhile.
fn is_near(figure: Option<f64>, percent: f64) -> bool {
    figure.is_some_and(|figure| (figure - percent).abs() < 0.5)
}

fn told(server: &Running, asked: &[u8]) -> String {
    String::from_utf8(talk(server, asked)).expect("text")
}

#[test]
fn the_curve_is_told_everywhere() {
    let server = start_with(Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    });
    let admin = server.admin_addr().expect("there are pages");
    // Other keys each time: which are of the sample is another question at each start.
    let mut first = Numbers(9);
    wait_until("the model knows how large the cache is", || {
        traffic(&mut connect(&server), &mut first, 4);
        stat(&server, "curve_noted") > 0
    });
    let mut stream = connect(&server);
    let mut numbers = Numbers(1);
    traffic(&mut stream, &mut numbers, 4000);
    // What was noted last is handed over within a second.
    std::thread::sleep(Duration::from_millis(2500));

    let stats = told(&server, b"STATS\n");
    let curve: Vec<f64> = ["0.25", "0.5", "0.75", "1", "1.5", "2", "4"]
        .map(|memory| figure(&stats, &format!("curve_hit_percent_{memory}")).expect("told"))
        .to_vec();
    assert!(
        curve.is_sorted_by(|less, more| *less <= more + 1.0),
        "{curve:?}"
    );
    // Nearly all that today's memory misses was never there, so more of it brings little.
    assert!(
        curve[5] > curve[3] - 0.5 && curve[3] > curve[1] + 1.0,
        "{curve:?}"
    );
    let error = figure(&stats, "curve_error_points").expect("told");
    assert!(error.abs() < 6.0, "{error}");
    let advised = figure(&stats, "memory_bytes_advised").expect("told");
    assert!(
        advised > 20e6 && advised <= f64::from(48 << 20),
        "{advised}"
    );

    let info = told(&server, &requests("INFO memory"));
    let line = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|bytes| bytes.parse::<f64>().ok())
    };
    assert_eq!(line("flagstone_memory_bytes:"), Some(f64::from(48 << 20)));
    let in_info = line("flagstone_memory_advised_bytes:").expect("told");
    assert!((in_info - advised).abs() < 2e6, "{in_info} {advised}");

    // The same for clients of memcached, scrapers, and the page.
    let native = told(&server, b"STATS CURVE\n");
    let memcached = told(&server, b"stats curve\r\n");
    let metrics = get(admin, "/metrics").body;
    let page: serde_json::Value = serde_json::from_str(&get(admin, "/curve").body).expect("JSON");
    for (no, (memory, percent)) in ["0.25", "0.5", "0.75", "1", "1.5", "2", "4"]
        .iter()
        .zip(&curve)
        .enumerate()
    {
        let name = format!("curve_hit_percent_{memory}");
        assert!(is_near(figure(&native, &name), *percent), "{native}");
        assert!(is_near(figure(&memcached, &name), *percent), "{memcached}");
        let name = format!("flagstone_curve_hit_ratio{{memory=\"{memory}\"}}");
        let ratio = sample(&metrics, &name).expect("a sample");
        assert!(is_near(Some(100.0 * ratio), *percent), "{ratio} {percent}");
        let point = &page["points"][no];
        assert_eq!(point["memory"].to_string().trim_end_matches(".0"), *memory);
        let ratio = point["hit_ratio"].as_f64().expect("a number");
        assert!(is_near(Some(100.0 * ratio), *percent), "{ratio} {percent}");
    }
    assert_eq!(page["memory_bytes"].as_u64(), Some(48 << 20));
    let advice = page["advice"].as_str().expect("words");
    assert!(advice.contains("twice the cache would add"), "{advice}");
    let all: serde_json::Value = serde_json::from_str(&get(admin, "/stats").body).expect("JSON");
    assert_eq!(all["curve"]["points"].as_array().map(Vec::len), Some(7));
}

#[test]
fn a_server_without_a_curve_tells_none() {
    let server = start_with(Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        curve: false,
        ..small_config()
    });
    let admin = server.admin_addr().expect("there are pages");
    assert!(!told(&server, b"STATS\n").contains("curve"));
    assert_eq!(told(&server, b"stats curve\r\n"), "END\r\n");
    let info = told(&server, &requests("INFO memory"));
    assert!(info.contains("flagstone_memory_advised_bytes:0\r\n"));
    assert!(!get(admin, "/metrics").body.contains("curve_hit_ratio"));
    assert_eq!(get(admin, "/curve").body, "null\n");
}
