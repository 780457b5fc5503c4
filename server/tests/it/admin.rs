//! The admin pages: what they say, that it is true, and that they stay small whoever calls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http::{self, get, request, sample};
use crate::common::{PATIENCE, connect, exchange, small_config, start_with, tool, wait_until};
use flagstone_server::{Config, Running};

fn config() -> Config {
    Config {
        admin: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..small_config()
    }
}

fn admin(server: &Running) -> SocketAddr {
    server.admin_addr().expect("has admin pages")
}

fn metric(server: &Running, name: &str) -> f64 {
    let metrics = get(admin(server), "/metrics").body;
    sample(&metrics, name).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Everything that has a metric happens.
fn stir(server: &Running) {
    let mut client = connect(server);
    exchange(
        &mut client,
        b"PUT a 1\nGET a\nGET b\n",
        b"OK\n1\nNOTFOUND\n",
    );
    exchange(
        &mut client,
        b"PUTEX c 100 x\nTTL c\nDEL c\n",
        b"OK\n100\nOK\n",
    );
    exchange(&mut client, b"WHAT\n", b"ERROR\n");
    let value = "v".repeat(5000);
    for key in 0..12_000 {
        let put = format!("PUT key{key} {value}\n");
        exchange(&mut client, put.as_bytes(), b"OK\n");
    }
}

#[test]
fn every_page_is_there_and_nothing_else() {
    let server = start_with(config());
    let address = admin(&server);
    for (path, status, content_type, body) in [
        ("/livez", 200, "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", 200, "text/plain; charset=utf-8", "ready\n"),
        (
            "/readyz?verbose",
            200,
            "text/plain; charset=utf-8",
            "ready\n",
        ),
        ("/", 200, "text/html; charset=utf-8", "<!doctype html>"),
        ("/stats", 200, "application/json", "{\"version\":"),
        (
            "/metrics",
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP flagstone_build_info",
        ),
        (
            "/favicon.ico",
            404,
            "text/plain; charset=utf-8",
            "there are /",
        ),
        ("/metrics/", 404, "text/plain; charset=utf-8", "there are /"),
    ] {
        let answer = get(address, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(
            answer
                .head
                .contains(&format!("content-type: {content_type}\r\n")),
            "{path}: {}",
            answer.head
        );
        assert!(answer.body.starts_with(body), "{path}: {}", answer.body);
        assert!(
            answer
                .head
                .contains("content-security-policy: default-src 'none'")
        );
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let head = format!("{method} /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = request(address, head.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    }
    let head = b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = request(address, head).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    // Prometheus and browsers keep their connection.
    let mut stream = TcpStream::connect(address).expect("connects");
    for _ in 0..3 {
        let head = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(head).expect("sends");
        let mut answer = [0; 4096];
        let len = stream.read(&mut answer).expect("answers");
        let answer = http::parse(&answer[..len]).expect("HTTP");
        assert_eq!(answer.body, "ok\n");
    }
}

#[test]
fn without_an_address_there_are_none() {
    let server = start_with(small_config());
    assert_eq!(server.admin_addr(), None);
}

#[test]
fn metrics_tell_what_happened() {
    let server = start_with(config());
    stir(&server);
    let metrics = get(admin(&server), "/metrics").body;
    for (name, expected) in [
        ("flagstone_gets_total{result=\"hit\"}", 1.0),
        ("flagstone_gets_total{result=\"miss\"}", 1.0),
        ("flagstone_sets_total", 12_002.0),
        ("flagstone_deletes_total{result=\"hit\"}", 1.0),
        ("flagstone_refused_total", 1.0),
        ("flagstone_stage{stage=\"ready\"}", 1.0),
        ("flagstone_stage{stage=\"draining\"}", 0.0),
        ("flagstone_connections_max", 200.0),
        ("flagstone_items_deleted_total", 1.0),
        (
            "flagstone_request_duration_seconds_count{protocol=\"native\",command=\"get\"}",
            2.0,
        ),
        (
            "flagstone_request_duration_seconds_count{protocol=\"native\",command=\"set\"}",
            12_002.0,
        ),
        (
            "flagstone_request_duration_seconds_bucket{protocol=\"native\",command=\"set\",le=\"+Inf\"}",
            12_002.0,
        ),
    ] {
        assert_eq!(
            sample(&metrics, name),
            Some(expected),
            "{name} in {metrics}"
        );
    }
    let value = |name: &str| sample(&metrics, name).unwrap_or_else(|| panic!("no {name}"));
    // 60 MB went into less than 48 MiB.
    let evictions = value("flagstone_evictions_total");
    assert!(evictions > 1000.0, "{evictions}");
    let aged = || {
        let metrics = get(admin(&server), "/metrics").body;
        let of = |of: &str| {
            let name = |list| format!("flagstone_eviction_age_seconds_{of}{{list=\"{list}\"}}");
            ["probation", "main"].map(|list| sample(&metrics, &name(list)).expect("is there"))
        };
        (
            of("count").iter().sum::<f64>(),
            of("sum").iter().sum::<f64>(),
        )
    };
    // Noted once a second. Nobody was asked for, and all of it came within this test.
    wait_until("all evictions have their age", || aged().0 == evictions);
    let mean = aged().1 / evictions;
    assert!(mean > 0.0 && mean < 120.0, "{mean} s");
    let sum_of = |prefix: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(prefix));
        lines
            .map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()))
            .map(|number| number.unwrap_or_else(|| panic!("a number after {prefix}")))
            .sum()
    };
    assert_eq!(sum_of("flagstone_memory_plan_bytes{"), f64::from(48 << 20));
    assert_eq!(
        sum_of("flagstone_class_pages{"),
        value("flagstone_pages{state=\"items\"}")
    );
    assert_eq!(sum_of("flagstone_class_items{"), value("flagstone_items"));
    assert_eq!(sum_of("flagstone_class_evictions_total{"), evictions);
    // 5 KB each, sent and received.
    assert!(value("flagstone_received_bytes_total") > 60e6);
    assert!(value("process_resident_memory_bytes") > 1e6);
    let took = value("flagstone_request_duration_seconds_sum{protocol=\"native\",command=\"set\"}");
    assert!(took > 12_002.0 * 100e-9 && took < 60.0, "{took} s");
    assert!(value("flagstone_longest_silence_seconds") < 5.0);
}

#[test]
fn a_drain_is_announced_and_served_through() {
    let server = start_with(Config {
        drain_delay: Duration::from_millis(1500),
        ..config()
    });
    let (address, data) = (admin(&server), server.local_addr());
    let mut client = connect(&server);
    exchange(&mut client, b"PUT a 1\n", b"OK\n");
    let leaves = std::thread::spawn(move || server.shutdown());
    let told = Instant::now();
    wait_until("readyz says no", || get(address, "/readyz").status == 503);
    assert_eq!(get(address, "/readyz").body, "draining\n");
    assert_eq!(get(address, "/livez").status, 200);
    // Old and new connections are served as ever.
    while told.elapsed() < Duration::from_millis(1000) {
        exchange(&mut client, b"GET a\n", b"1\n");
        let mut newcomer = common::connect_to(data);
        exchange(&mut newcomer, b"GET a\n", b"1\n");
    }
    // And then a FIN, no reset.
    common::expect_end(&mut client);
    assert!(told.elapsed() >= Duration::from_millis(1500));
    drop(client);
    leaves.join().expect("ends").expect("well");
    assert!(TcpStream::connect(address).is_err(), "the pages are gone");
}

/// Silent, slow and long-winded: none of them keeps a prober out, or costs more than planned.
#[test]
fn hostile_clients_keep_nobody_out() {
    let server = start_with(config());
    let address = admin(&server);
    get(address, "/metrics");
    let mut held = Vec::new();
    for n in 0..1000 {
        let Ok(mut stream) = TcpStream::connect(address) else {
            break;
        };
        // A third says nothing, a third begins, a third asks for much and does not read.
        let words: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nX: ",
            _ => &b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20),
        };
        let _ = stream.write_all(words);
        held.push(stream);
        if n % 50 == 0 {
            assert_eq!(get(address, "/livez").status, 200);
        }
    }
    assert_eq!(held.len(), 1000);
    assert_eq!(get(address, "/readyz").status, 200);
    // All but the last few were shown out.
    let is_open = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).expect("settable");
        loop {
            match stream.read(&mut [0; 65536]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    };
    let open = held.iter_mut().map(is_open).filter(|is_open| *is_open);
    let open = open.count();
    assert!(open <= 8, "{open}");
    drop(held);

    // A head without an end, a line without an end, and nonsense.
    for (words, status) in [
        (
            ["GET / HTTP/1.1\r\n", &"A: b\r\n".repeat(5000)].concat(),
            431,
        ),
        (["GET /", &"a".repeat(100_000)].concat(), 414),
        (
            ["GET / HTTP/1.1\r\nA: ", &"b".repeat(100_000)].concat(),
            431,
        ),
        ("\r\n\r\nhello\r\n\r\n".to_owned(), 400),
    ] {
        // It may be reset while it still sends.
        if let Ok(answer) = request(address, words.as_bytes()) {
            assert!(
                (400..500).contains(&answer.status),
                "{status}: {}",
                answer.status
            );
        }
    }
    assert_eq!(get(address, "/livez").status, 200);
}

#[test]
fn a_slow_head_is_not_waited_for() {
    let server = start_with(config());
    let address = admin(&server);
    let mut slow = TcpStream::connect(address).expect("connects");
    let began = Instant::now();
    let ended = loop {
        // A byte now and then, without end.
        if slow.write_all(b"G").is_err() {
            break true;
        }
        slow.set_read_timeout(Some(Duration::from_millis(500)))
            .expect("settable");
        match slow.read(&mut [0; 512]) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break true,
        }
        if began.elapsed() > Duration::from_secs(20) {
            break false;
        }
    };
    assert!(ended, "it was waited for");
    // So long may a head take.
    assert!(began.elapsed() >= Duration::from_secs(4));
}

#[test]
fn requests_are_served_while_the_pages_are_besieged() {
    let server = start_with(config());
    let address = admin(&server);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let siege = || {
            while !over.load(Relaxed) {
                for path in ["/metrics", "/stats", "/"] {
                    let _ = request(
                        address,
                        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                            .as_bytes(),
                    );
                }
            }
        };
        let besiegers = [scope.spawn(siege), scope.spawn(siege)];
        let mut client = connect(&server);
        for n in 0..5000 {
            let put = format!("PUT key{n} value{n}\nGET key{n}\n");
            let expected = format!("OK\nvalue{n}\n");
            exchange(&mut client, put.as_bytes(), expected.as_bytes());
        }
        over.store(true, Relaxed);
        for besieger in besiegers {
            besieger.join().expect("ends");
        }
    });
    let refused = metric(&server, "flagstone_refused_total");
    assert_eq!(refused, 0.0);
    let served = metric(&server, "flagstone_gets_total{result=\"hit\"}");
    assert_eq!(served, 5000.0);
}

#[test]
fn a_strangers_host_is_not_served() {
    let server = start_with(Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        admin_hosts: vec!["cache.example.org".to_owned()],
        ..small_config()
    });
    let admin = server.admin_addr().expect("has one");
    for (path, host, status) in [
        ("/metrics", "127.0.0.1:7172", 200),
        ("/metrics", "localhost", 200),
        ("/stats", "cache.example.org:7172", 200),
        ("/", "attacker.example", 403),
        ("/stats", "attacker.example:7172", 403),
        ("/metrics", "attacker.example", 403),
        ("http://attacker.example/metrics", "localhost", 403),
        // Probes tell nothing.
        ("/livez", "attacker.example", 200),
        ("/readyz", "attacker.example", 200),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = request(admin, head.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{path} {host}");
        if status == 403 {
            assert!(answer.body.contains("--admin-host"), "{}", answer.body);
        }
    }
    let without = request(admin, b"GET /metrics HTTP/1.0\r\n\r\n").expect("an answer");
    assert_eq!(without.status, 200);
}

#[test]
fn the_pages_may_want_a_token_and_probes_do_not() {
    let scratch = tool::Scratch::new("admin-token");
    let file = scratch.0.join("tokens");
    std::fs::write(&file, "s3cret\nolder\n").expect("writes");
    let server = start_with(Config {
        admin_token_file: Some(file),
        ..config()
    });
    let ask = |path: &str, header: &str| {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n");
        request(admin(&server), head.as_bytes()).expect("an answer")
    };
    for (header, status) in [
        ("", 401),
        ("Authorization: Bearer guess\r\n", 401),
        ("Authorization: Bearer s3cre\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("Authorization: s3cret\r\n", 401),
        ("Authorization: Bearer s3cret\r\n", 200),
        ("authorization: bearer older\r\n", 200),
        // operator:s3cret, operator:guess
        ("Authorization: Basic b3BlcmF0b3I6czNjcmV0\r\n", 200),
        ("Authorization: Basic b3BlcmF0b3I6Z3Vlc3M=\r\n", 401),
    ] {
        for path in ["/", "/metrics", "/stats"] {
            let answer = ask(path, header);
            assert_eq!(answer.status, status, "{path} {header}");
            if status == 401 {
                let challenge = "www-authenticate: basic realm=\"flagstone\"";
                assert!(answer.head.contains(challenge), "{}", answer.head);
                assert!(
                    answer.body.contains("--admin-token-file"),
                    "{}",
                    answer.body
                );
            }
        }
        for path in ["/livez", "/readyz"] {
            assert_eq!(ask(path, header).status, 200, "{path} {header}");
        }
    }
    // A stranger's host is none the better for it.
    let head =
        b"GET /metrics HTTP/1.1\r\nHost: attacker.example\r\nAuthorization: Bearer s3cret\r\n\
                 Connection: close\r\n\r\n";
    assert_eq!(
        request(admin(&server), head).expect("an answer").status,
        403
    );
    // It is no login, and requests need none.
    let mut client = connect(&server);
    exchange(&mut client, b"PUT a 1\nAUTH s3cret\n", b"OK\n-WRONGPASS ");
}

/// Those who connect as fast as they can, silent or not, displace each other and no probe.
#[test]
fn a_crowd_at_full_speed_fails_no_probe() {
    let server = start_with(Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    });
    let admin = server.admin_addr().expect("has one");
    let (over, connected) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let crowd = |keeps: usize| {
            let (over, connected) = (&over, &connected);
            move || {
                let mut kept = std::collections::VecDeque::new();
                while !over.load(Relaxed) {
                    if let Ok(stream) = TcpStream::connect(admin) {
                        kept.push_back(stream);
                        connected.fetch_add(1, Relaxed);
                    }
                    if kept.len() > keeps {
                        kept.pop_front();
                    }
                }
            }
        };
        scope.spawn(crowd(0));
        scope.spawn(crowd(100));
        let (mut no, mut failed_in_a_row) = (0, 0);
        while no < 100 || (no < 5000 && connected.load(Relaxed) < 1000) {
            no += 1;
            let path = ["/livez", "/readyz", "/metrics"][no % 3];
            // The request comes after the connection, as a prober's does.
            let asked = TcpStream::connect(admin).and_then(|mut stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes())?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).map(|_| answer)
            });
            let failed = !asked
                .as_ref()
                .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
            failed_in_a_row = if failed { failed_in_a_row + 1 } else { 0 };
            // On a busy machine a probe may wait in the kernel behind the whole crowd. A prober asks again.
            if failed_in_a_row == 2 {
                over.store(true, Relaxed);
            }
            assert!(failed_in_a_row < 2, "probe {no} of {path}: {asked:?}");
        }
        over.store(true, Relaxed);
    });
}
