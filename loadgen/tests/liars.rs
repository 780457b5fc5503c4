//! Servers that lie, close, stall or speak something else: each is found out, and named in
//! a sentence.

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{Lie, liar, serve, short, swallow_lines};
use flagstone_bench::settings::Length;
use flagstone_bench::wire::Protocol::{Memcache, Native, Resp};
use flagstone_bench::{Failure, Report, Settings, compare, run};

fn run_against(lie: Lie) -> Report {
    let settings = Settings {
        // The liar keeps a map for each connection, and only one connection is preloaded by.
        connections: 1,
        threads: 1,
        keys: 50,
        mix: "9:1".parse().expect("a mix"),
        length: Length::Requests(500),
        ..short(liar(lie), Native)
    };
    run(&settings, false).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn an_honest_map_is_believed() {
    let report = run_against(|key, values| values.get(key).cloned());
    assert!(report.is_faultless(), "{:?}", report.faults());
    assert_eq!(report.misses, 0);
}

#[test]
fn every_kind_of_lie_is_found() {
    let table: &[(&str, Lie, &str)] = &[
        (
            "another key's value",
            |key, values| {
                values.get(key)?;
                values
                    .iter()
                    .find(|(k, _)| *k != key)
                    .map(|(_, v)| v.clone())
            },
            "is key",
        ),
        (
            "a value cut short",
            |key, values| values.get(key).map(|v| v[..v.len() - 1].to_owned()),
            "no head",
        ),
        (
            "a value with something behind it",
            |key, values| values.get(key).map(|v| format!("{v}x")),
            "no head",
        ),
        (
            "a wrong byte at the end",
            |key, values| {
                let value = values.get(key)?;
                let last = if value.ends_with('a') { 'b' } else { 'a' };
                Some(format!("{}{last}", &value[..value.len() - 1]))
            },
            "wrong from byte 31 on",
        ),
        (
            "nothing in particular",
            |key, values| values.get(key).map(|_| "OK".to_owned()),
            "no head",
        ),
    ];
    for &(name, lie, expected) in table {
        let report = run_against(lie);
        assert!(!report.is_faultless(), "{name}");
        assert_eq!(report.wrong, report.hits, "{name}: each of them");
        let first = report.first_wrong.expect(name);
        assert!(first.contains(expected), "{name}: {first}");
    }
}

#[test]
fn misses_are_counted_and_refusals_fail() {
    let report = run_against(|_, _| None);
    assert!(report.is_faultless() && report.hits == 0 && report.misses > 0);
    let report = run_against(|key, values| values.get(key).map(|_| "ERROR".to_owned()));
    assert!(!report.is_faultless());
    assert!(report.refused > 0 && report.faults()[0].contains("ERROR"));
}

fn failure(settings: &Settings) -> String {
    match run(settings, false) {
        Err(failure) => failure.to_string(),
        Ok(report) => match report.ended_early {
            Some(words) => words,
            None => panic!("no failure: {}", report.table()),
        },
    }
}

fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}

#[test]
fn what_is_no_server_is_named() {
    let check = |address, protocol, expected: &str| {
        let settings = Settings {
            timeout: Duration::from_millis(300),
            ..short(address, protocol)
        };
        let sentence = failure(&settings);
        assert!(sentence.contains(expected), "{sentence}");
    };
    check(nobody(), Native, "cannot connect to 127.0.0.1:");
    check(serve(|stream, _| drop(stream)), Native, "turned away");
    let silent = serve(|_stream, _| std::thread::sleep(Duration::from_secs(30)));
    check(silent, Native, "no reply in 0.3 s");
    // Flagstone's refusal of a connection too many.
    let full = serve(|mut stream, number| {
        swallow_lines(&mut stream, 1);
        let reply: &[u8] = if number < 5 {
            b"NOTFOUND\n"
        } else {
            b"ERROR\n"
        };
        let _ = stream.write_all(reply);
        std::thread::sleep(Duration::from_secs(5));
    });
    check(full, Native, "turned away: the server says \"ERROR\"");
    let native = liar(|key, values| values.get(key).cloned());
    check(native, Memcache, "is not memcache: is --protocol right?");
    check(native, Resp, "is not resp: is --protocol right?");
    let memcached = serve(|mut stream, _| {
        swallow_lines(&mut stream, 1);
        let _ = stream.write_all(b"ERROR\r\n");
    });
    check(memcached, Native, "is not native: is --protocol right?");
}

/// Answers so many native reads, each with a miss.
fn answer_misses(stream: &mut TcpStream, requests: usize) {
    for _ in 0..requests {
        swallow_lines(stream, 1);
        let _ = stream.write_all(b"NOTFOUND\n");
    }
}

#[test]
fn a_server_that_hangs_up_or_falls_silent_ends_the_run() {
    // Each connection answers its first question and then a few.
    let closing = serve(|mut stream, _| answer_misses(&mut stream, 20));
    let mut settings = Settings {
        preload: false,
        pipeline: 1,
        mix: "1:0".parse().expect("a mix"),
        timeout: Duration::from_millis(400),
        ..short(closing, Native)
    };
    let sentence = failure(&settings);
    assert!(
        sentence.contains("the server closed a connection"),
        "{sentence}"
    );

    settings.address = serve(|mut stream, _| {
        answer_misses(&mut stream, 20);
        std::thread::sleep(Duration::from_secs(30));
    })
    .into();
    let start = Instant::now();
    let sentence = failure(&settings);
    assert!(sentence.contains("no reply for 0.4 s"), "{sentence}");
    assert!(start.elapsed() < Duration::from_secs(20));

    settings.address = serve(|mut stream, _| {
        swallow_lines(&mut stream, 1);
        let _ = stream.write_all(b"NOTFOUND\n");
        swallow_lines(&mut stream, 1);
        let _ = stream.write_all(b"NOTFOUND\nNOTFOUND\n");
        std::thread::sleep(Duration::from_secs(30));
    })
    .into();
    let sentence = failure(&settings);
    assert!(
        sentence.contains("answers nothing that was asked"),
        "{sentence}"
    );
}

/// It is never silent, so only the clock ends it.
#[test]
fn a_server_that_trickles_does_not_hold_up_the_end() {
    let trickling = serve(|mut stream, _| {
        for asked in 0.. {
            swallow_lines(&mut stream, 1);
            for byte in b"NOTFOUND\n" {
                if asked > 0 {
                    std::thread::sleep(Duration::from_millis(200));
                }
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        }
    });
    let settings = Settings {
        preload: false,
        pipeline: 1,
        mix: "1:0".parse().expect("a mix"),
        timeout: Duration::from_millis(400),
        length: Length::Time(Duration::from_millis(100)),
        ..short(trickling, Native)
    };
    let began = Instant::now();
    let sentence = failure(&settings);
    assert!(sentence.contains("were not whole 0.4 s"), "{sentence}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A stall of 300 ms at 1000 requests a second is charged to 300 requests, not to one.
#[test]
fn a_stall_is_charged_to_all_who_had_to_wait() {
    let stalling = serve(|mut stream, _| {
        for asked in 0.. {
            swallow_lines(&mut stream, 1);
            if asked == 200 {
                std::thread::sleep(Duration::from_millis(300));
            }
            if stream.write_all(b"NOTFOUND\n").is_err() {
                return;
            }
        }
    });
    let settings = Settings {
        connections: 1,
        threads: 1,
        pipeline: 1,
        preload: false,
        warmup: Duration::ZERO,
        mix: "1:0".parse().expect("a mix"),
        rate: Some(1000.0),
        length: Length::Requests(1000),
        ..short(stalling, Native)
    };
    let report = run(&settings, false).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((report.requests, report.unanswered), (1000, 0));
    assert!(report.all.max > 290_000.0, "{}", report.all.max);
    // About 150 of 1000 waited for more than 150 ms; on a busy machine more.
    let slow = report.all.curve.iter().filter(|(_, us)| *us > 150_000.0);
    let from = slow.map(|(percent, _)| *percent).fold(100.0, f64::min);
    assert!(from < 90.0, "only from the {from}th percentile on");
    // The same in a closed loop sees one slow request.
    let settings = Settings {
        rate: None,
        ..settings
    };
    let report = run(&settings, false).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.all.p99 < 150_000.0 && report.all.max > 290_000.0);
}

#[test]
fn a_rate_that_cannot_be_kept_is_a_fault_with_its_waiting_time() {
    // Each reply takes 2 ms: 500 a second on one connection, where 5000 are asked for.
    let slow = serve(|mut stream, _| {
        loop {
            swallow_lines(&mut stream, 1);
            std::thread::sleep(Duration::from_millis(2));
            if stream.write_all(b"NOTFOUND\n").is_err() {
                return;
            }
        }
    });
    let settings = Settings {
        connections: 1,
        threads: 1,
        preload: false,
        warmup: Duration::ZERO,
        mix: "1:0".parse().expect("a mix"),
        rate: Some(5000.0),
        length: Length::Time(Duration::from_millis(400)),
        timeout: Duration::from_millis(300),
        ..short(slow, Native)
    };
    // Of several rounds, none takes replies that the one before gave up for its own.
    for rounds in [1, 2] {
        let settings = Settings {
            rounds,
            ..settings.clone()
        };
        let report = run(&settings, false).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(
            report.unanswered > 1000 / rounds as u64,
            "{}",
            report.table()
        );
        assert_eq!((report.all.count, report.rounds.len()), (2000, rounds));
        assert!(!report.is_faultless() && report.ended_early.is_none());
        assert!(report.all.p50 > 100_000.0, "{}", report.all.p50);
    }
}

#[test]
fn more_connections_than_open_files_are_refused_at_once() {
    let settings = Settings {
        connections: 60_000,
        ..short(nobody(), Native)
    };
    match run(&settings, false) {
        Err(Failure::OpenFiles { wanted: 60_000, .. }) => {}
        // Where 60,000 files may be open, nobody answers.
        Err(Failure::Connect { .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Flags, exit code, a part of what is said.
type Row = (&'static [&'static str], i32, &'static str);

#[test]
fn the_binary_says_what_is_wrong_in_one_sentence() {
    let table: &[Row] = &[
        (
            &["--connections", "0"],
            2,
            "--connections 0 is out of range",
        ),
        (&["--value-size", "3"], 2, "or --no-verify"),
        (&["--mix", "x"], 2, "is no mix: 9:1 or 90:9:1 work"),
        (&["--rate", "0"], 2, "is no rate"),
        (&["--protocol", "http"], 2, "native, memcache, meta, resp"),
        (&["--tls"], 2, "--tls trusts nobody yet"),
        (&["--fast"], 2, "unexpected argument '--fast'"),
        (
            &["nowhere"],
            2,
            "\"nowhere\" is no address: 127.0.0.1:7171 works",
        ),
        (
            &["--requests", "5", "--duration", "5s"],
            2,
            "cannot be used with",
        ),
        (&["--help"], 0, "--pipeline"),
    ];
    let flagstone_bench = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagstone-bench"));
        command.args(arguments).output().expect("runs")
    };
    for &(arguments, code, words) in table {
        let output = flagstone_bench(arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let unreachable = flagstone_bench(&[&nobody().to_string()]);
    assert_eq!(unreachable.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unreachable.stderr);
    assert!(said.starts_with("flagstone-bench: cannot connect to 127.0.0.1:"));
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// The server dies after some hundred requests: what was measured is reported in all forms, with
/// the reason, and the exit code says that it was not all.
#[test]
fn a_server_that_dies_leaves_a_report() {
    let dying = serve(|mut stream, _| answer_misses(&mut stream, 300));
    let json = std::env::temp_dir().join(format!("flagstone-bench-{}-d.json", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_flagstone-bench"))
        .args([&dying.to_string(), "-n", "5000", "-c", "1", "-w", "0"])
        .args(["--mix", "1:0", "--no-preload", "--json"])
        .arg(&json)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let why = "the server closed a connection";
    let (table, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(table.contains("FAULT: the run ended early, 2"), "{table}");
    assert!(table.contains(why) && said.contains(why), "{table}{said}");
    let text = std::fs::read_to_string(&json).expect("written");
    let report: Report = serde_json::from_str(&text).expect("a report");
    // The first was the connection's own question.
    assert_eq!((report.requests, report.misses), (299, 299));
    assert!(
        report
            .ended_early
            .expect("it did")
            .contains("of 5,000 requests")
    );
    std::fs::remove_file(json).expect("ours");
}

/// One of two servers dies in a later round: the other goes on to the end, all forms have both,
/// and the one that died is marked.
#[test]
fn a_server_that_dies_beside_another_is_marked() {
    let dying = serve(|mut stream, _| answer_misses(&mut stream, 300));
    let honest = liar(|key, values| values.get(key).cloned());
    let file = |name: &str| {
        std::env::temp_dir().join(format!("flagstone-bench-{}-{name}", std::process::id()))
    };
    let (json, html) = (file("two.json"), file("two.html"));
    let output = Command::new(env!("CARGO_BIN_EXE_flagstone-bench"))
        .args([format!("dying={dying}"), format!("honest={honest}")])
        .args(["-n", "800", "-c", "1", "-w", "0", "--rounds", "4"])
        .args(["--mix", "1:0", "--no-preload", "--json"])
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let (table, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        said.contains("flagstone-bench: dying ended early, 2"),
        "{said}"
    );
    assert!(
        table.contains("FAULT: dying: the run ended early"),
        "{table}"
    );
    let text = std::fs::read_to_string(&json).expect("written");
    let reports: Vec<Report> = serde_json::from_str(&text).expect("a list of reports");
    let counts: Vec<_> = reports
        .iter()
        .map(|r| (r.name.as_str(), r.requests))
        .collect();
    assert_eq!(counts, [("dying", 299), ("honest", 800)]);
    assert_eq!((reports[0].rounds.len(), reports[1].rounds.len()), (2, 4));
    assert!(reports[0].ended_early.is_some() && reports[1].is_faultless());
    let page = std::fs::read_to_string(&html).expect("written");
    assert!(page.contains("<th class=\"fault\">dying</th>"), "{page}");
    for path in [json, html] {
        std::fs::remove_file(path).expect("ours");
    }
}

/// Two servers write down when they are asked: one at a time, and each round begins with the next.
#[test]
fn servers_take_turns() {
    static ASKED: Mutex<String> = Mutex::new(String::new());
    fn note(server: char) -> Option<String> {
        let mut asked = ASKED.lock().expect("no panic");
        if !asked.ends_with(server) {
            asked.push(server);
        }
        None
    }
    let servers = [liar(|_, _| note('a')), liar(|_, _| note('b'))].map(|address| Settings {
        name: address.to_string(),
        preload: false,
        warmup: Duration::ZERO,
        mix: "1:0".parse().expect("a mix"),
        length: Length::Requests(300),
        rounds: 3,
        ..short(address, Native)
    });
    let comparison = compare(&servers, false).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(comparison.reports.iter().all(|r| r.misses == 300));
    // Connections ask a question at first: ab. Then ab, ba, ab, of which equal neighbours are one.
    assert_eq!(*ASKED.lock().expect("no panic"), "ababab");
}

/// A comparison without one of its servers is refused, with its name.
#[test]
fn a_server_that_is_not_there_ends_a_comparison_at_once() {
    let honest = liar(|key, values| values.get(key).cloned());
    let output = Command::new(env!("CARGO_BIN_EXE_flagstone-bench"))
        .args([honest.to_string(), format!("gone={}", nobody())])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("flagstone-bench: gone: cannot connect to"),
        "{said}"
    );
}

#[test]
fn the_binary_fails_on_a_lie_and_writes_its_reports() {
    let address = liar(|key, values| values.get(key).map(|v| v.replace('0', "1"))).to_string();
    let file = |name: &str| {
        std::env::temp_dir().join(format!("flagstone-bench-{}-{name}", std::process::id()))
    };
    let (json, html) = (file("r.json"), file("r.html"));
    let output = Command::new(env!("CARGO_BIN_EXE_flagstone-bench"))
        .args([&address, "-n", "200", "-c", "1", "-k", "20", "-w", "0"])
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAULT: "));
    let text = std::fs::read_to_string(&json).expect("written");
    let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(record["requests"], 200);
    assert!(record["wrong"].as_u64() > Some(0));
    let page = std::fs::read_to_string(&html).expect("written");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("values were wrong"));
    for path in [json, html] {
        std::fs::remove_file(path).expect("ours");
    }
}
