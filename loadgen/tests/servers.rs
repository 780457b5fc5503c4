//! Whole runs against real servers, with every value checked: Flagstone in this process, and
//! memcached and redis where they are installed.

mod common;

use std::time::Duration;

use common::{Process, short, skip};
use flagstone_bench::login::Login;
use flagstone_bench::settings::{Length, Sizes};
use flagstone_bench::socket::Place;
use flagstone_bench::tls::Tls;
use flagstone_bench::wire::Protocol::{Memcache, Meta, Native, Resp};
use flagstone_bench::{Report, Settings, compare, detect, run};
use flagstone_server::{Config, Running, Server};

fn flagstone() -> Running {
    let config = Config {
        listen: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()],
        memory_bytes: 48 << 20,
        workers: 1,
        connections_max: 200,
        ..Config::default()
    };
    Server::start(config).expect("the server starts")
}

fn check(settings: &Settings) -> Report {
    let report = run(settings, false).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.is_faultless(), "{:?}", report.faults());
    assert!(report.requests > 100, "{}", report.table());
    let kinds = [&report.reads, &report.writes, &report.deletes];
    let sum: u64 = kinds.into_iter().flatten().map(|kind| kind.count).sum();
    assert_eq!(sum, report.requests, "every request is of one kind");
    assert_eq!(report.all.count, report.requests);
    let reads = report.reads.as_ref().map_or(0, |reads| reads.count);
    let keys = reads * settings.multi_get as u64;
    assert_eq!(report.hits + report.misses, keys);
    assert_eq!(
        report.throughput.replies.iter().sum::<u64>(),
        report.requests
    );
    report
}

#[test]
fn flagstone_is_found_faultless() {
    let server = flagstone();
    let report = check(&short(server.local_addr(), Native));
    // One in ten requests deletes a key, and as many write one.
    assert!(report.hits > report.misses / 2 && report.misses > 0);
    server.shutdown().expect("drains");
}

#[test]
fn a_unix_socket_is_a_place_too() {
    let path = std::env::temp_dir().join(format!("flagstone-bench-{}.sock", std::process::id()));
    let place = format!("unix:{}", path.display());
    let server = Server::start(Config {
        listen: vec![place.parse().expect("a place")],
        memory_bytes: 48 << 20,
        workers: 1,
        connections_max: 200,
        ..Config::default()
    })
    .expect("the server starts");
    for protocol in [Native, Memcache, Meta, Resp] {
        let address: Place = place.parse().expect("a place");
        let report = check(&short(address, protocol));
        assert_eq!(report.settings.address, place);
    }
    server.shutdown().expect("drains");
    let gone = run(
        &short(place.parse::<Place>().expect("a place"), Native),
        false,
    );
    let failure = gone.expect_err("nobody listens").to_string();
    // Two threads connect: one of them may be told after the other's attempts.
    let named = format!("cannot connect to {place}");
    assert!(failure.starts_with(&named), "{failure}");
}

#[test]
fn a_login_is_made_in_every_protocol() {
    let file = |name: &str| {
        std::env::temp_dir().join(format!("flagstone-bench-{}-{name}", std::process::id()))
    };
    let (users, tokens) = (file("users"), file("tokens"));
    std::fs::write(&users, "ann:pass word\n").expect("writes");
    std::fs::write(&tokens, "t0ken\n").expect("writes");
    let server = Server::start(Config {
        listen: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()],
        memory_bytes: 48 << 20,
        workers: 1,
        connections_max: 200,
        auth_file: Some(users.clone()),
        auth_token_file: Some(tokens.clone()),
        ..Config::default()
    })
    .expect("the server starts");
    let of = |protocol, login| Settings {
        login,
        ..short(server.local_addr(), protocol)
    };
    for protocol in [Native, Memcache, Meta, Resp] {
        check(&of(protocol, Login::of("t0ken")));
        if protocol != Native {
            check(&of(protocol, Login::of("ann pass word")));
        }
        let few = |login| Settings {
            connections: 1,
            threads: 1,
            ..of(protocol, login)
        };
        for login in [None, Login::of("wr0ng")] {
            let failure = run(&few(login), false).expect_err("not let in").to_string();
            assert!(failure.contains("the server says"), "{failure}");
            assert!(!failure.contains("wr0ng"), "{failure}");
        }
    }
    server.shutdown().expect("drains");
    for path in [users, tokens] {
        std::fs::remove_file(path).expect("ours");
    }
}

/// All are written with a second to live, and three seconds later nobody finds one; beside them
/// keys of another prefix stay.
#[test]
fn values_are_gone_after_their_time_and_prefixes_keep_apart() {
    let server = flagstone();
    let protocols = [Native, Memcache, Meta, Resp];
    let of = |number: usize, prefix: &str, ttl_seconds| Settings {
        key_prefix: format!("{prefix}{number}:"),
        ttl_seconds,
        mix: "1:0".parse().expect("a mix"),
        warmup: Duration::ZERO,
        length: Length::Requests(2000),
        ..short(server.local_addr(), protocols[number])
    };
    for number in 0..protocols.len() {
        let stays = check(&of(number, "stay", 3600));
        assert_eq!((stays.hits, stays.misses), (2000, 0));
        let goes = check(&of(number, "go", 1));
        assert!(goes.hits > 0, "{}", goes.table());
        let sentence = goes.settings.sentence();
        assert!(sentence.contains("that are gone after 1 s"), "{sentence}");
    }
    std::thread::sleep(Duration::from_secs(3));
    for number in 0..protocols.len() {
        let again = |prefix| Settings {
            preload: false,
            ..of(number, prefix, 0)
        };
        assert_eq!(check(&again("stay")).misses, 0);
        assert_eq!(check(&again("go")).hits, 0);
    }
    server.shutdown().expect("drains");
}

#[test]
fn a_read_asks_for_several_keys() {
    let server = flagstone();
    for protocol in [Memcache, Resp] {
        for (multi_get, rate) in [(2, None), (100, None), (10, Some(1000.0))] {
            let report = check(&Settings {
                multi_get,
                rate,
                value_bytes: Sizes { min: 24, max: 3000 },
                ..short(server.local_addr(), protocol)
            });
            assert!(report.hits > report.misses / 2 && report.misses > 0);
        }
    }
    server.shutdown().expect("drains");
}

#[test]
fn tls_is_spoken_with_whom_it_is_meant_for() {
    let file = |name: &str| {
        std::env::temp_dir().join(format!("flagstone-bench-{}-{name}", std::process::id()))
    };
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(&cert, made.cert.pem()).expect("writes");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let server = Server::start(Config {
        listen: vec!["tls:127.0.0.1:0".parse().expect("a place")],
        tls_cert: Some(cert.clone()),
        tls_key: Some(key.clone()),
        tls_connections_max: 100,
        memory_bytes: 64 << 20,
        workers: 1,
        connections_max: 200,
        ..Config::default()
    })
    .expect("the server starts");
    let of = |protocol, name: &str, ca| Settings {
        tls: Some(Tls {
            name: name.to_owned(),
            ca,
        }),
        ..short(server.local_addr(), protocol)
    };
    for protocol in [Native, Memcache, Meta, Resp] {
        let report = check(&of(protocol, "127.0.0.1", Some(cert.clone())));
        assert!(report.settings.sentence().contains("over TLS"));
    }
    // Replies of many records, which arrive in any pieces, and requests that fill the socket.
    check(&Settings {
        keys: 20,
        connections: 6,
        pipeline: 16,
        value_bytes: Sizes {
            min: 24,
            max: 300 << 10,
        },
        mix: "3:1".parse().expect("a mix"),
        length: Length::Requests(600),
        ..of(Resp, "anything", None)
    });
    let failure = |settings| run(&settings, false).expect_err("no trust").to_string();
    let other = failure(of(Native, "other.example", Some(cert.clone())));
    assert!(
        other.contains("no TLS with the server: invalid peer certificate"),
        "{other}"
    );
    let missing = failure(of(Native, "localhost", Some(file("none"))));
    assert!(missing.contains("--tls-ca "), "{missing}");
    server.shutdown().expect("drains");
    for path in [cert, key] {
        std::fs::remove_file(path).expect("ours");
    }
}

#[test]
fn a_number_of_requests_is_kept_exactly() {
    let server = flagstone();
    let settings = Settings {
        length: Length::Requests(10_007),
        mix: "1:0".parse().expect("a mix"),
        pid: Some(std::process::id()),
        ..short(server.local_addr(), Native)
    };
    let report = check(&settings);
    assert_eq!((report.requests, report.hits), (10_007, 10_007));
    assert!(report.server_cpu_us_per_request.expect("asked for") > 0.0);
    server.shutdown().expect("drains");
}

#[test]
fn long_values_arrive_whole() {
    let server = flagstone();
    let settings = Settings {
        keys: 20,
        value_bytes: Sizes {
            min: 24,
            max: 1 << 20,
        },
        connections: 6,
        mix: "3:1".parse().expect("a mix"),
        length: Length::Requests(600),
        ..short(server.local_addr(), Native)
    };
    let report = check(&settings);
    assert!(report.received_bytes > 100 << 20, "{}", report.table());
    server.shutdown().expect("drains");
}

#[test]
fn a_rate_is_kept() {
    let server = flagstone();
    let settings = Settings {
        rate: Some(2000.0),
        length: Length::Time(Duration::from_secs(1)),
        ..short(server.local_addr(), Native)
    };
    let report = check(&settings);
    assert_eq!(report.requests, 2000);
    // A second of a steady rate: replies in every interval.
    let over = &report.over_time;
    assert!((9..=12).contains(&over.p50.len()), "{over:?}");
    let pairs = over.p50.iter().zip(&over.p99);
    assert!(
        pairs
            .flat_map(|(p50, p99)| p50.zip(*p99))
            .all(|(p50, p99)| p50 <= p99)
    );
    assert!(report.seconds > 0.95, "{} s", report.seconds);
    server.shutdown().expect("drains");
}

fn memcached() -> Option<Process> {
    Process::start("memcached", |port: u16| {
        let words = "-l 127.0.0.1 -U 0 -t 1 -u nobody -p".split(' ');
        words.map(str::to_owned).chain([port.to_string()]).collect()
    })
}

fn redis() -> Option<Process> {
    Process::start("redis-server", |port: u16| {
        let words = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
        ];
        words
            .map(str::to_owned)
            .into_iter()
            .chain([port.to_string()])
            .collect()
    })
}

#[test]
fn a_run_in_rounds_is_one_run() {
    let server = flagstone();
    let of = |length, rate| Settings {
        rounds: 3,
        length,
        rate,
        ..short(server.local_addr(), Native)
    };
    let report = check(&of(Length::Requests(10_007), None));
    assert_eq!((report.requests, report.rounds.len()), (10_007, 3));
    let report = check(&of(Length::Time(Duration::from_millis(600)), None));
    assert!(
        (0.59..2.0).contains(&report.seconds),
        "{} s",
        report.seconds
    );
    let report = check(&of(Length::Time(Duration::from_secs(1)), Some(3000.0)));
    // Each thread rounds up in each round.
    assert!(
        (3000..3006).contains(&report.requests),
        "{}",
        report.requests
    );
    server.shutdown().expect("drains");
}

#[test]
fn servers_are_compared_in_turns() {
    let (Some(memcached), Some(redis)) = (memcached(), redis()) else {
        return skip("memcached or redis-server");
    };
    let server = flagstone();
    let addresses = [server.local_addr(), memcached.address, redis.address];
    let of = |(name, address): (&str, std::net::SocketAddr)| {
        let settings = short(address, Memcache);
        Settings {
            name: name.to_owned(),
            protocol: detect::protocol(&settings),
            rounds: 4,
            length: Length::Requests(4001),
            ..settings
        }
    };
    let names = ["flagstone", "memcached", "redis"];
    let servers: Vec<_> = names.into_iter().zip(addresses).map(of).collect();
    let protocols: Vec<_> = servers.iter().map(|s| s.protocol).collect();
    assert_eq!(protocols, [Native, Memcache, Resp]);
    let comparison = compare(&servers, false).unwrap_or_else(|failure| panic!("{failure}"));
    for (report, name) in comparison.reports.iter().zip(names) {
        assert!(report.is_faultless(), "{:?}", report.faults());
        assert_eq!((report.name.as_str(), report.requests), (name, 4001));
        assert_eq!(report.rounds.len(), 4);
        assert!(report.hits > report.misses / 2 && report.misses > 0);
    }
    server.shutdown().expect("drains");
}

#[test]
fn memcached_is_found_faultless_in_both_protocols() {
    let Some(server) = memcached() else {
        return skip("memcached");
    };
    for protocol in [Memcache, Meta] {
        for pipeline in [1, 32] {
            check(&Settings {
                pipeline,
                distribution: "zipf".parse().expect("a distribution"),
                value_bytes: Sizes { min: 24, max: 5000 },
                ..short(server.address, protocol)
            });
        }
    }
    check(&Settings {
        multi_get: 20,
        ttl_seconds: 60,
        ..short(server.address, Memcache)
    });
}

#[test]
fn redis_is_found_faultless() {
    let Some(server) = redis() else {
        return skip("redis-server");
    };
    for multi_get in [1, 20] {
        check(&Settings {
            multi_get,
            ttl_seconds: 60,
            value_bytes: Sizes { min: 24, max: 5000 },
            ..short(server.address, Resp)
        });
    }
}

/// Runs beside each other, or behind each other, with values of other lengths: a correct server is not accused.
#[test]
fn runs_keep_out_of_each_others_keys() {
    let server = flagstone();
    let address = server.local_addr();
    let of_run = |run: u32, most: usize| Settings {
        run,
        value_bytes: Sizes { min: 24, max: most },
        ..short(address, Native)
    };
    check(&of_run(0x1234_5678, 5000));
    std::thread::scope(|scope| {
        scope.spawn(|| check(&of_run(0x8765_4321, 100)));
        check(&of_run(0x0f0f_0f0f, 2000));
    });
    let report = check(&of_run(0x1234_5678, 5000));
    assert!(
        report.table().contains("--run 12345678"),
        "{}",
        report.table()
    );
    server.shutdown().expect("drains");
}
