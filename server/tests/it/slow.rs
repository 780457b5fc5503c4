//! Goal: a request that took long is found afterwards, in each protocol and on the admin pages, with why it did; and of keys
//! nobody learns more than they may.
//! Method: where everything counts as slow, each way of asking is compared with what was sent; then each cause is made.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::common::http::{self, sample};
use crate::common::resp::{array, requests};
use crate::common::tls::{self, Pair};
use crate::common::tool::Scratch;
use crate::common::{
    self, PATIENCE, connect, exchange, expect, show, small_config, start_with, talk, wait_until,
};
use flagstone_server::{Config, Running};

/// Keeps everything that takes so long.
fn keeps(time: Duration) -> Config {
    Config {
        slow_log: Some(time),
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    }
}

fn all() -> Running {
    start_with(keeps(Duration::from_nanos(1)))
}

fn text(server: &Running, input: &[u8]) -> String {
    String::from_utf8(talk(server, input)).expect("text")
}

/// The lines of `SLOW`, the newest first.
fn slow(server: &Running) -> Vec<String> {
    let told = text(server, b"SLOW\n");
    let lines: Vec<_> = told.lines().map(str::to_owned).collect();
    let (end, lines) = lines.split_last().expect("an end");
    assert_eq!(end, "END", "{told}");
    lines.to_vec()
}

/// Waits for an entry with all of these words.
fn wait_for(server: &Running, words: &[&str]) -> String {
    let start = Instant::now();
    loop {
        let lines = slow(server);
        let is_meant = |line: &&String| words.iter().all(|word| line.contains(word));
        if let Some(line) = lines.iter().find(is_meant) {
            return line.clone();
        }
        assert!(start.elapsed() < PATIENCE, "no {words:?} in {lines:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn of_cause(server: &Running, cause: &str) -> f64 {
    let metrics = http::get(server.admin_addr().expect("has pages"), "/metrics").body;
    let name = format!("flagstone_slow_requests_total{{cause=\"{cause}\"}}");
    sample(&metrics, &name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn native_lines_are_told_with_key_client_and_length() {
    let server = all();
    let mut client = connect(&server);
    let port = client.local_addr().expect("has one").port();
    exchange(&mut client, b"PUT a:b value\n", b"OK\n");
    let line = wait_for(&server, &["command PUT"]);
    for words in [
        " cause work protocol native requests 1 command PUT ",
        &format!(" client 127.0.0.1:{port} value_bytes 5 key_bytes 3 key_hash "),
        " key a:b",
    ] {
        assert!(line.contains(words), "no {words:?} in {line}");
    }
    assert!(of_cause(&server, "work") >= 1.0);
    // Requests of one turn cannot be told apart, and are one entry.
    talk(&server, b"GET one\nGET two\nGET three\n");
    let line = wait_for(&server, &["command GET"]);
    for words in [" cause pipeline ", " requests 3 ", " key one"] {
        assert!(line.contains(words), "no {words:?} in {line}");
    }
}

#[test]
fn memcacheds_clients_are_told_each_under_a_name_of_its_own() {
    let server = all();
    talk(&server, b"set k 0 0 1\r\nx\r\n");
    wait_for(&server, &["command set"]);
    let told = text(&server, b"stats slow\r\n");
    let mut names: Vec<_> = told
        .lines()
        .filter_map(|line| line.strip_prefix("STAT ")?.split(' ').next())
        .collect();
    assert!(names.len() > 1 && told.ends_with("END\r\n"), "{told}");
    assert!(names.iter().all(|name| name.ends_with(":slow")), "{told}");
    names.dedup();
    assert_eq!(names.len(), told.lines().count() - 1, "{told}");
}

#[test]
fn slowlog_is_as_redis_has_it() {
    let server = all();
    let mut client = connect(&server);
    let port = client.local_addr().expect("has one").port();
    let name = requests("CLIENT SETNAME me");
    exchange(&mut client, &name, b"+OK\r\n");
    exchange(&mut client, &requests("SLOWLOG RESET"), b"+OK\r\n");
    let set = array(&[b"SET", b"a key", b"value"]);
    exchange(&mut client, &set, b"+OK\r\n");
    wait_for(&server, &["command SET"]);
    let told = text(&server, &requests("SLOWLOG GET -1"));
    // Number, second, microseconds; words; address; name.
    let behind = told
        .split("*5\r\n$3\r\nSET\r\n$5\r\na key\r\n$10\r\ncause=work\r\n$10\r\nrequests=1\r\n")
        .nth(1);
    let behind = behind.unwrap_or_else(|| panic!("{told}"));
    let address = format!("127.0.0.1:{port}");
    let expected = format!(
        "$13\r\nvalue_bytes=5\r\n${}\r\n{address}\r\n$2\r\nme\r\n",
        address.len()
    );
    assert!(behind.starts_with(&expected), "{behind}");
    let one = text(&server, &requests("SLOWLOG GET 1"));
    assert!(one.starts_with("*1\r\n*6\r\n:"), "{one}");
    assert_eq!(text(&server, &requests("SLOWLOG GET 0")), "*0\r\n");
    for (asked, told) in [
        (
            "SLOWLOG GET -2",
            "-ERR count should be greater than or equal to -1\r\n",
        ),
        (
            "SLOWLOG GET x",
            "-ERR value is not an integer or out of range\r\n",
        ),
        (
            "CONFIG GET slowlog-max-len",
            "*2\r\n$15\r\nslowlog-max-len\r\n$3\r\n128\r\n",
        ),
    ] {
        assert_eq!(text(&server, &requests(asked)), told, "{asked}");
    }
    let help = text(&server, &requests("SLOWLOG HELP"));
    assert!(
        help.starts_with("*5\r\n$43\r\nSLOWLOG <subcommand>"),
        "{help}"
    );
    let len = text(&server, &requests("SLOWLOG LEN"));
    assert!(len.starts_with(':') && len != ":0\r\n", "{len}");
}

#[test]
fn the_ring_is_full_of_the_newest_and_fits_into_one_answer() {
    let server = all();
    let mut client = connect(&server);
    let name = array(&[b"CLIENT", b"SETNAME", &[b'n'; 60]]);
    exchange(&mut client, &name, b"+OK\r\n");
    for no in 0..200 {
        let key = format!("{no:0>250}");
        exchange(
            &mut client,
            &array(&[b"SET", key.as_bytes(), b"1"]),
            b"+OK\r\n",
        );
    }
    wait_until("it is full", || slow(&server).len() == 128);
    let told = text(&server, &requests("SLOWLOG GET -1"));
    assert!(
        told.starts_with("*128\r\n*6\r\n"),
        "{}",
        show(told.as_bytes())
    );
    let key = format!("\r\n$32\r\n{}\r\n", "0".repeat(32));
    assert!(
        told.matches(&key).count() > 100,
        "{}",
        show(told.as_bytes())
    );
    let page = http::get(server.admin_addr().expect("has pages"), "/slow").body;
    assert_eq!(page.matches("\"number\":").count(), 128);
}

#[test]
fn the_page_tells_keys_to_who_has_its_token_alone() {
    let scratch = Scratch::new("slow-page");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "t0ken\n").expect("writes");
    for (token, is_told) in [(None, false), (Some(tokens), true)] {
        let server = start_with(Config {
            admin_token_file: token,
            ..keeps(Duration::from_nanos(1))
        });
        talk(&server, b"PUT secret \"1\"\n");
        wait_for(&server, &["command PUT"]);
        let address = server.admin_addr().expect("has pages");
        let asked = "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        if is_told {
            assert_eq!(http::get(address, "/slow").status, 401);
        }
        let asked = format!("{asked}Authorization: Bearer t0ken\r\n\r\n");
        let page = http::request(address, asked.as_bytes()).expect("an answer");
        assert_eq!(page.status, 200);
        assert!(page.head.contains("application/json"), "{}", page.head);
        let body = page.body;
        assert!(
            body.starts_with("{\"threshold_us\":0,\"entries\":[\n{"),
            "{body}"
        );
        assert!(body.ends_with("}]}\n"), "{body}");
        assert!(body.contains("\"key_bytes\":6,\"key_hash\":\""), "{body}");
        assert_eq!(body.contains("\"key\":\"secret\""), is_told, "{body}");
    }
}

#[test]
fn who_wants_no_keys_kept_has_none() {
    let server = start_with(Config {
        tells_keys: false,
        ..keeps(Duration::from_nanos(1))
    });
    talk(&server, b"PUT secret 1\n");
    talk(&server, &requests("SET secret 1"));
    let line = wait_for(&server, &["command SET"]);
    let hash = line.split(" key_hash ").nth(1).expect("has one").to_owned();
    assert!(hash.len() == 16 && !line.contains("secret"), "{line}");
    // Equal keys are seen to be equal.
    assert!(wait_for(&server, &["command PUT"]).ends_with(&hash));
    let told = text(&server, &requests("SLOWLOG GET -1"));
    assert!(told.contains(&format!("$17\r\n#{hash}\r\n")), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn where_it_is_off_nothing_is_kept() {
    let server = start_with(Config {
        slow_log: None,
        ..keeps(Duration::ZERO)
    });
    talk(&server, &requests("SET a 1|KEYS *"));
    assert_eq!(text(&server, &requests("SLOWLOG GET")), "*0\r\n");
    assert_eq!(slow(&server), [""; 0]);
    let page = http::get(server.admin_addr().expect("has pages"), "/slow").body;
    assert_eq!(page, "{\"threshold_us\":null,\"entries\":[]}\n");
    let setting = requests("CONFIG GET slowlog-log-slower-than");
    assert!(text(&server, &setting).ends_with("$2\r\n-1\r\n"));
}

/// As long as a slow client takes to take it, or to send it.
#[test]
fn a_long_value_is_a_cause() {
    let server = start_with(Config {
        memory_bytes: 96 << 20,
        item_bytes_max: 4 << 20,
        ..keeps(Duration::from_millis(50))
    });
    let value = vec![b'v'; 3 << 20];
    let mut client = connect(&server);
    let head = format!("set long 0 0 {}\r\n", value.len());
    client.write_all(head.as_bytes()).expect("sends");
    client.write_all(&value[..100_000]).expect("sends");
    std::thread::sleep(Duration::from_millis(100));
    client.write_all(&value[100_000..]).expect("sends");
    exchange(&mut client, b"\r\n", b"STORED\r\n");
    let length = format!(" value_bytes {} key_bytes 4 ", value.len());
    wait_for(
        &server,
        &["cause long_value", "command set", &length, "key long"],
    );
    client.write_all(b"get long\r\n").expect("sends");
    std::thread::sleep(Duration::from_millis(100));
    expect(
        &mut client,
        format!("VALUE long 0 {}\r\n", value.len()).as_bytes(),
    );
    client.read_exact(&mut vec![0; value.len()]).expect("reads");
    expect(&mut client, b"\r\nEND\r\n");
    wait_for(
        &server,
        &["cause long_value", "command get", &length, "key long"],
    );
    assert!(of_cause(&server, "long_value") >= 2.0);
}

/// As many long values as are sent at a time keep another waiting.
#[test]
fn a_wait_for_a_permit_is_a_cause() {
    let server = start_with(keeps(Duration::from_millis(50)));
    let value = vec![b'v'; 1 << 20];
    let mut client = connect(&server);
    exchange(&mut client, &array(&[b"SET", b"big", &value]), b"+OK\r\n");
    let mut rude: Vec<_> = (0..40).map(|_| connect(&server)).collect();
    for stream in &mut rude {
        stream
            .write_all(&requests("GET big|GET big"))
            .expect("sends");
    }
    std::thread::sleep(Duration::from_millis(200));
    let mut waiting = connect(&server);
    std::thread::scope(|scope| {
        let mut writer = waiting.try_clone().expect("clones");
        let asked = array(&[b"SET", b"mine", &value[..700_000]]);
        scope.spawn(move || writer.write_all(&asked).expect("sends"));
        std::thread::sleep(Duration::from_millis(300));
        drop(rude);
        expect(&mut waiting, b"+OK\r\n");
    });
    wait_for(&server, &["cause waited_for_permit"]);
    assert!(of_cause(&server, "waited_for_permit") >= 1.0);
}

/// All room for long messages is held by those that have sent half of theirs. After a second one of them has to go for another.
#[test]
fn a_wait_for_memory_is_a_cause() {
    let server = start_with(keeps(Duration::from_millis(50)));
    let mut subscriber = connect(&server);
    let subscribed = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    exchange(&mut subscriber, &requests("SUBSCRIBE news"), subscribed);
    assert_eq!(of_cause(&server, "waited_for_memory"), 0.0);
    let message = vec![b'm'; 40_000];
    let asked = array(&[b"PUBLISH", b"news", &message]);
    let mut rude: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    for stream in &mut rude {
        stream.write_all(&asked[..30_000]).expect("sends");
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut waiting = connect(&server);
    let begun = Instant::now();
    exchange(&mut waiting, &asked, b":1\r\n");
    assert!(begun.elapsed() > Duration::from_millis(100));
    let port = waiting.local_addr().expect("has one").port();
    let line = wait_for(
        &server,
        &[
            "cause waited_for_memory",
            &format!(" client 127.0.0.1:{port}"),
        ],
    );
    assert!(line.contains(" protocol resp "), "{line}");
    assert!(of_cause(&server, "waited_for_memory") >= 1.0);
}

/// Half requests with TLS hold all leased buffers, and the kernel cannot be looked into for them.
#[test]
fn a_wait_for_a_lease_is_a_cause() {
    let pair = Pair::new("slow-lease");
    let mut config = Config {
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: 60,
        workers: 1,
        ..keeps(Duration::from_millis(50))
    };
    config
        .listen
        .push("tls:127.0.0.1:0".parse().expect("a place"));
    let server = start_with(config);
    let address = server.local_addrs().last().expect("has one");
    let begun = [&b"set half 0 0 2000\r\n"[..], &[b'v'; 1300]].concat();
    let mut crowd: Vec<_> = (0..60)
        .map(|_| tls::connect(address, &pair.der).expect("a handshake"))
        .collect();
    for client in &mut crowd {
        client.write_all(&begun).expect("sends");
    }
    std::thread::sleep(Duration::from_millis(200));
    let rest = [&[b'v'; 700][..], b"\r\n"].concat();
    for client in &mut crowd {
        // Some had to go for the others.
        let _ = client.write_all(&rest);
    }
    let line = wait_for(&server, &["cause waited_for_lease"]);
    assert!(line.contains(" key half"), "{line}");
    assert!(of_cause(&server, "waited_for_lease") >= 1.0);
}

/// One worker, and neighbours whose turns take long.
#[test]
fn a_busy_worker_is_a_cause() {
    let server = start_with(Config {
        workers: 1,
        ..keeps(Duration::from_micros(200))
    });
    let batch = b"PUT k v\n".repeat(1000);
    let answers = b"OK\n".repeat(1000);
    let mut neighbours: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    let mut client = connect(&server);
    let start = Instant::now();
    while of_cause(&server, "worker_busy") < 1.0 {
        assert!(start.elapsed() < PATIENCE, "{:#?}", slow(&server));
        for stream in &mut neighbours {
            stream.write_all(&batch).expect("sends");
        }
        exchange(&mut client, b"GET mine\n", b"NOTFOUND\n");
        for stream in &mut neighbours {
            expect(stream, &answers);
        }
    }
    let line = wait_for(&server, &["cause worker_busy"]);
    assert!(line.contains(" command "), "{line}");
}

#[test]
fn only_administrators_are_told() {
    let scratch = Scratch::new("slow-roles");
    let users = scratch.0.join("users");
    std::fs::write(&users, "[write] write:pw\nadmin:pw\n").expect("writes");
    let server = start_with(Config {
        auth_file: Some(users),
        ..keeps(Duration::from_nanos(1))
    });
    let told = |user: &str, asked: &str| {
        let login = requests(&format!("AUTH {user} pw"));
        let said = talk(&server, &[login, requests(asked)].concat());
        common::show(&said[b"+OK\r\n".len()..]).to_string()
    };
    for asked in ["SLOWLOG GET", "SLOWLOG RESET"] {
        let said = told("write", asked);
        assert!(said.starts_with("-NOPERM"), "{asked}: {said}");
    }
    assert!(told("write", "SLOWLOG LEN").starts_with(':'));
    assert!(told("admin", "SLOWLOG GET").starts_with('*'));
    // Passwords are nobody's keys.
    assert!(!told("admin", "SLOWLOG GET -1").contains("pw"));
}
