//! Goal: `/metrics` can be scraped at any moment. Method: both protocols, with and without TLS, do everything
//! that is counted, in a cache that is too small for it, while it is scraped again and again; each
//! page goes to `promtool`, and no counter may be less than it was on the page before.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http::{get, sample};
use crate::common::tls::{self, Pair};
use crate::common::{small_config, start_with};
use flagstone_server::{Config, Running};

const NO_PROMTOOL: &str = "promtool is not installed (apt-get install prometheus)";

fn has_promtool() -> bool {
    Command::new("promtool").arg("--version").output().is_ok()
}

/// What `promtool` has against a page; nothing if it is as it should be.
fn complaints(metrics: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(metrics.as_bytes()).expect("takes it");
    drop(stdin);
    let output = promtool.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    match (output.status.success(), said.is_empty()) {
        (true, true) => String::new(),
        _ => format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&said).trim_end()
        ),
    }
}

/// The samples of a page that only grow: counters, and the parts of histograms.
fn counters(metrics: &str) -> BTreeMap<&str, f64> {
    let mut growing = Vec::new();
    let mut samples = BTreeMap::new();
    for line in metrics.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').expect("a type");
            if kind == "counter" || kind == "histogram" {
                growing.push(name);
            }
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let family = name.split('{').next().expect("a name");
            if growing.iter().any(|of| family.starts_with(of)) {
                samples.insert(name, value.parse().expect("a number"));
            }
        }
    }
    samples
}

/// Each bucket has what the one before has, and the last has all.
fn check_histograms(metrics: &str) {
    let mut before: Option<(&str, f64)> = None;
    let mut checked = 0;
    for line in metrics.lines() {
        let Some((name, labels)) = line.split_once("_bucket{") else {
            continue;
        };
        let (labels, below) = labels.rsplit_once(' ').expect("a value");
        let (labels, end) = labels.split_once(",le=\"").expect("an end");
        let below: f64 = below.parse().expect("a number");
        if let Some((of, less)) = before
            && of == labels
        {
            assert!(less <= below, "{line}");
        }
        before = Some((labels, below));
        if end == "+Inf\"}" {
            let count = sample(metrics, &format!("{name}_count{{{labels}}}"));
            assert_eq!(count, Some(below), "{line}");
            checked += 1;
            before = None;
        }
    }
    assert!(checked > 0, "no histogram in {metrics}");
}

/// Sends `lines` and reads as many lines of reply.
fn talk(stream: &mut (impl Read + Write), lines: &str, replies: usize) {
    stream.write_all(lines.as_bytes()).expect("sends");
    let mut reader = BufReader::new(stream);
    for _ in 0..replies {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).expect("replies");
        assert_eq!(line.last(), Some(&b'\n'), "it hung up");
    }
    assert!(reader.buffer().is_empty(), "more than was asked for");
}

fn native(stream: &mut (impl Read + Write), round: usize) {
    let value = "v".repeat(round * 37 % 6000);
    let mut lines = String::new();
    for no in 0..16 {
        let key = round * 16 + no;
        lines += &format!("PUT key{key} {value}\nPUTEX brief{key} 1 {value}\n");
        lines += &format!("GET key{key}\nGET nothing{key}\nDEL brief{}\n", key / 2);
        lines += "WHAT\nTTL nothing\n";
    }
    talk(stream, &lines, 16 * 7);
}

fn memcached(stream: &mut (impl Read + Write), round: usize) {
    let value = "v".repeat(round * 41 % 6000);
    let len = value.len();
    let mut lines = String::new();
    for no in 0..16 {
        let key = round * 16 + no;
        lines += &format!("set mc{key} 0 0 {len}\r\n{value}\r\nget nothing{key}\r\n");
        lines += &format!("ms meta{key} {len} T1\r\n{value}\r\ntouch mc{key} 1\r\n");
        lines += &format!("set count 0 0 1\r\n1\r\nincr count 2\r\ndelete meta{key}\r\n");
    }
    talk(stream, &lines, 16 * 7);
}

/// Too small for what is stored, and with a TLS port.
fn start(pair: &Pair) -> Running {
    start_with(Config {
        listen: ["127.0.0.1:0", "tls:127.0.0.1:0"]
            .map(|place| place.parse().expect("a place"))
            .into(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: 8,
        memory_bytes: 24 << 20,
        ..small_config()
    })
}

#[test]
fn promtool_accepts_what_is_scraped_in_the_middle_of_a_load() {
    let test = "promtool_accepts_what_is_scraped_in_the_middle_of_a_load";
    if !has_promtool() {
        return common::tool::skip(test, NO_PROMTOOL);
    }
    let pair = Pair::new("metrics");
    let server = start(&pair);
    let admin = server.admin_addr().expect("has one");
    let fresh = get(admin, "/metrics").body;
    assert_eq!(complaints(&fresh), "");
    let places: Vec<_> = server.local_addrs().collect();
    let over = AtomicBool::new(false);
    let mut pages = vec![fresh];
    std::thread::scope(|scope| {
        for speak in [native, memcached] {
            let (over, place) = (&over, places[0]);
            scope.spawn(move || {
                let mut stream = common::connect_to(place);
                for round in 0.. {
                    if over.load(Relaxed) {
                        break;
                    }
                    speak(&mut stream, round);
                }
            });
        }
        // And handshakes, over and over: half of them are given up.
        let (over_too, secret, pair) = (&over, places[1], &pair);
        let other = Pair::new("metrics-other");
        scope.spawn(move || {
            for round in 0.. {
                if over_too.load(Relaxed) {
                    break;
                }
                let mut client = tls::connect(secret, &pair.der).expect("a handshake");
                talk(
                    &mut client,
                    &format!("PUT tls{round} 1\nGET tls{round}\n"),
                    2,
                );
                assert!(tls::connect(secret, &other.der).is_err());
            }
        });
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let began = Instant::now();
            let has_evicted = |page: &str| sample(page, "flagstone_evictions_total") > Some(1000.0);
            while pages.len() < 8 || !has_evicted(pages.last().expect("one")) {
                assert!(began.elapsed() < common::PATIENCE, "nothing was evicted");
                let page = get(admin, "/metrics").body;
                assert_eq!(complaints(&page), "");
                check_histograms(&page);
                pages.push(page);
                std::thread::sleep(Duration::from_millis(250));
            }
        }));
        over.store(true, Relaxed);
        if let Err(panic) = judged {
            std::panic::resume_unwind(panic);
        }
    });
    for pair in pages.windows(2) {
        let (before, after) = (counters(&pair[0]), counters(&pair[1]));
        for (name, value) in before {
            let now = after.get(name).unwrap_or_else(|| panic!("{name} is gone"));
            assert!(*now >= value, "{name} was {value} and is {now}");
        }
    }
    // Between the first page and the last, everything that a load can do was done.
    let (first, last) = (counters(&pages[0]), counters(&pages[pages.len() - 1]));
    for name in [
        "flagstone_gets_total{result=\"hit\"}",
        "flagstone_gets_total{result=\"miss\"}",
        "flagstone_sets_total",
        "flagstone_deletes_total{result=\"hit\"}",
        "flagstone_deletes_total{result=\"miss\"}",
        "flagstone_touches_total{result=\"hit\"}",
        "flagstone_increments_total{result=\"hit\"}",
        "flagstone_refused_total",
        "flagstone_evictions_total",
        "flagstone_eviction_age_seconds_count{list=\"probation\"}",
        "flagstone_expirations_total{reason=\"swept\"}",
        "flagstone_tls_handshakes_total{result=\"done\"}",
        "flagstone_tls_handshakes_total{result=\"failed\"}",
    ] {
        let before = first.get(name).copied().unwrap_or(0.0);
        assert!(last.get(name) > Some(&before), "{name} stands still");
    }
}

/// The check itself: what it must not let pass.
#[test]
fn promtool_would_not_accept_anything() {
    let test = "promtool_would_not_accept_anything";
    if !has_promtool() {
        return common::tool::skip(test, NO_PROMTOOL);
    }
    for page in [
        "# HELP a_total b\n# TYPE a_total counter\na_total{ 1\n",
        "# HELP a b\n# TYPE a counter\na 1\n",
        "a_total 1\n",
    ] {
        assert_ne!(complaints(page), "", "{page}");
    }
}

/// What is lent, and to whose connections, stands in the metrics about a second later.
#[test]
fn each_worker_and_what_it_has_lent_is_told() {
    let server = start_with(Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    });
    let admin = server.admin_addr().expect("has one");
    let read = |name: &str| {
        let page = get(admin, "/metrics").body;
        sample(&page, name).unwrap_or_else(|| panic!("no {name} in {page}"))
    };
    let output = "flagstone_leases_in_use{kind=\"output\"}";
    assert_eq!(read(output), 0.0);
    let mut clients: Vec<_> = (0..4).map(|_| common::connect(&server)).collect();
    // Many replies, of which it takes none.
    let put = format!("PUT a {}\n", "v".repeat(1000));
    common::exchange(&mut clients[0], put.as_bytes(), b"OK\n");
    clients[0]
        .write_all(&b"GET a\n".repeat(20_000))
        .expect("sends");
    common::wait_until("the unread replies are in a lease", || read(output) == 1.0);
    common::wait_until("each worker tells its connections", || {
        let of = |no| read(&format!("flagstone_worker_connections{{worker=\"{no}\"}}"));
        of(0) + of(1) == 4.0
    });
    for no in 0..2 {
        assert!(
            read(&format!(
                "flagstone_worker_cpu_seconds_total{{worker=\"{no}\"}}"
            )) >= 0.0
        );
        assert_eq!(
            read(&format!("flagstone_worker_waiting{{worker=\"{no}\"}}")),
            0.0
        );
    }
    drop(clients);
    common::wait_until("it is given back", || read(output) == 0.0);
}
