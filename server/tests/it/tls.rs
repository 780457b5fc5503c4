//! TLS on a port of its own: the same requests, a limit of its own, certificates that are read
//! again while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http::{get, sample};
use crate::common::process::{Process, flagstone};
use crate::common::tls::{self, Client, Pair};
use crate::common::{connect_to, small_config, start_with, wait_until};
use flagstone_server::{Config, Running, Server};

fn config(pair: &Pair, seats: usize) -> Config {
    Config {
        listen: ["127.0.0.1:0", "tls:127.0.0.1:0"]
            .map(|place| place.parse().expect("a place"))
            .into(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: seats,
        ..small_config()
    }
}

/// The plain address and the one with TLS.
fn addresses(server: &Running) -> [SocketAddr; 2] {
    let all: Vec<_> = server.local_addrs().collect();
    all.try_into().expect("two")
}

fn exchange(client: &mut Client, input: &[u8], expected: &[u8]) {
    client.write_all(input).expect("sends");
    let mut reply = vec![0; expected.len()];
    client.read_exact(&mut reply).expect("replies");
    assert!(reply == expected, "{}", common::show(&reply));
}

#[test]
fn every_protocol_is_served_over_tls() {
    let pair = Pair::new("serve");
    let server = start_with(config(&pair, 10));
    let [plain, secret] = addresses(&server);
    let mut client = tls::connect(secret, &pair.der).expect("a handshake");
    exchange(
        &mut client,
        b"PUT a 1\nGET a\nGET b\n",
        b"OK\n1\nNOTFOUND\n",
    );
    exchange(
        &mut client,
        b"set c 7 0 2\r\nhi\r\nget c\r\n",
        b"STORED\r\nVALUE c 7 2\r\nhi\r\nEND\r\n",
    );
    // A pipeline, and values longer than any buffer, both ways, by a client who reads late.
    exchange(&mut client, &b"GET a\n".repeat(5000), &b"1\n".repeat(5000));
    let value = "v".repeat(1 << 20);
    exchange(
        &mut client,
        format!("PUT long {value}\n").as_bytes(),
        b"OK\n",
    );
    client.write_all(&b"GET long\n".repeat(8)).expect("sends");
    std::thread::sleep(Duration::from_millis(300));
    let mut reply = vec![0; 8 * (value.len() + 1)];
    client.read_exact(&mut reply).expect("replies");
    assert!(
        reply
            .chunks(value.len() + 1)
            .all(|one| one == format!("{value}\n").as_bytes())
    );
    // The same items without TLS.
    let mut other = connect_to(plain);
    common::exchange(&mut other, b"GET a\n", b"1\n");
    // A goodbye in order: TLS' own, and then a FIN.
    client.write_all(b"QUIT\n").expect("sends");
    assert_eq!(client.read(&mut [0; 9]).expect("a goodbye, no cut"), 0);
    // It is counted apart, and only there.
    drop(client);
    wait_until("its seat is free", || {
        let metrics = get(server.admin_addr().expect("has one"), "/metrics").body;
        sample(&metrics, "flagstone_tls_connections") == Some(0.0)
    });
    server.shutdown().expect("ends");
}

#[test]
fn a_drain_says_goodbye_over_tls_too() {
    let pair = Pair::new("drain");
    let server = start_with(config(&pair, 10));
    let [_, secret] = addresses(&server);
    let mut client = tls::connect(secret, &pair.der).expect("a handshake");
    exchange(&mut client, b"PUT a 1\n", b"OK\n");
    let ends = std::thread::spawn(move || server.shutdown());
    assert_eq!(client.read(&mut [0; 9]).expect("a goodbye, no cut"), 0);
    drop(client);
    ends.join().expect("ends").expect("well");
}

/// The last record may still wait in the session when the client's end is read.
#[test]
fn whoever_half_closes_and_reads_late_gets_every_reply() {
    const AT_A_TIME: usize = 4;
    let pair = Pair::new("half-closed");
    let server = start_with(config(&pair, AT_A_TIME + 1));
    let [_, secret] = addresses(&server);
    let line = format!("{}\n", "v".repeat(1023));
    let mut first = tls::connect(secret, &pair.der).expect("a handshake");
    exchange(&mut first, format!("PUT a {line}").as_bytes(), b"OK\n");
    // More than the kernel holds, by a different part of a record each time.
    for few in 0..20 {
        let clients: [_; AT_A_TIME] = std::array::from_fn(|more| {
            let count = 200 + 48 * few + 12 * more;
            let mut client = tls::connect(secret, &pair.der).expect("a handshake");
            let gets = b"GET a\n".repeat(count);
            client.write_all(&gets).expect("sends");
            client.conn.send_close_notify();
            client.flush().expect("sends");
            let shut = client.sock.shutdown(Shutdown::Write);
            shut.expect("half of it closes");
            (client, count)
        });
        std::thread::sleep(Duration::from_millis(50));
        for (mut client, count) in clients {
            let mut replies = Vec::new();
            let end = client.read_to_end(&mut replies);
            assert_eq!(replies.len(), count * line.len(), "{count}");
            end.expect("a goodbye, no cut");
        }
        wait_until("their seats are free", || {
            let metrics = get(server.admin_addr().expect("has one"), "/metrics").body;
            sample(&metrics, "flagstone_tls_connections") == Some(1.0)
        });
    }
}

#[test]
fn seats_are_limited_and_silent_handshakes_give_theirs_back() {
    let pair = Pair::new("seats");
    let server = start_with(config(&pair, 4));
    let [plain, secret] = addresses(&server);
    let mut seated: Vec<Client> = (0..4)
        .map(|_| tls::connect(secret, &pair.der).expect("a handshake"))
        .collect();
    assert!(tls::connect(secret, &pair.der).is_err(), "a fifth of four");
    // Without TLS there is room.
    common::exchange(&mut connect_to(plain), b"GET a\n", b"NOTFOUND\n");
    for client in &mut seated {
        exchange(client, b"GET a\n", b"NOTFOUND\n");
    }
    drop(seated);
    wait_until("a seat is free", || tls::connect(secret, &pair.der).is_ok());
    // Four who say nothing, or not enough.
    wait_until("all seats are free", || {
        let metrics = get(server.admin_addr().expect("has one"), "/metrics").body;
        sample(&metrics, "flagstone_tls_connections") == Some(0.0)
    });
    let mut silent: Vec<TcpStream> = (0..4).map(|_| connect_to(secret)).collect();
    silent[0].write_all(&[22, 3, 1]).expect("sends");
    std::thread::sleep(Duration::from_millis(200));
    assert!(tls::connect(secret, &pair.der).is_err());
    let began = Instant::now();
    wait_until("they were shown out", || {
        tls::connect(secret, &pair.der).is_ok()
    });
    assert!(began.elapsed() < Duration::from_secs(20));
    // Each worker looks for its own, in its own second.
    let admin = server.admin_addr().expect("has one");
    wait_until("all four were late", || {
        handshakes(&get(admin, "/metrics").body, "late") == 4.0
    });
    let metrics = get(admin, "/metrics").body;
    assert!(handshakes(&metrics, "full") >= 2.0, "{metrics}");
}

fn handshakes(metrics: &str, result: &str) -> f64 {
    let name = format!("flagstone_tls_handshakes_total{{result=\"{result}\"}}");
    sample(metrics, &name).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[test]
fn handshakes_are_counted_by_how_they_end() {
    let (pair, other) = (Pair::new("counted"), Pair::new("counted-other"));
    let server = start_with(config(&pair, 10));
    let [_, secret] = addresses(&server);
    let admin = server.admin_addr().expect("has one");
    let counted = || {
        let metrics = get(admin, "/metrics").body;
        ["done", "failed", "abandoned", "late", "full"].map(|how| handshakes(&metrics, how))
    };
    assert_eq!(counted(), [0.0; 5]);
    for _ in 0..3 {
        let mut client = tls::connect(secret, &pair.der).expect("a handshake");
        exchange(&mut client, b"GET a\n", b"NOTFOUND\n");
    }
    // One who does not trust us, one who speaks another protocol, and two who change their mind.
    assert!(tls::connect(secret, &other.der).is_err());
    let mut stray = connect_to(secret);
    stray.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sends");
    drop((connect_to(secret), connect_to(secret)));
    wait_until("each is counted", || counted() == [3.0, 2.0, 2.0, 0.0, 0.0]);
    let metrics = get(admin, "/metrics").body;
    let expires = sample(
        &metrics,
        "flagstone_tls_certificate_expiry_timestamp_seconds",
    );
    // The first of January 4096.
    assert_eq!(expires, Some(67_090_118_400.0));
}

#[test]
fn an_expired_certificate_is_told_of_until_it_is_renewed() {
    let mut pair = Pair::new("expired");
    pair.renew_until(2001);
    let mut child = Command::new(env!("CARGO_BIN_EXE_flagstone"))
        .args(["--listen", "127.0.0.1:0,tls:127.0.0.1:0", "--memory", "48m"])
        .args(["--admin", "127.0.0.1:0", "--tls-max-connections", "10"])
        .arg("--tls-cert")
        .arg(&pair.cert)
        .arg("--tls-key")
        .arg(&pair.key)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut told = |words: &str| {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(words)));
        line.unwrap_or_else(|| panic!("never told: {words}"))
            .expect("text")
    };
    let warning = told("--tls-cert ");
    assert!(
        warning.starts_with("flagstone: warning: --tls-cert \"")
            && warning.ends_with(" hours ago: clients will not trust it"),
        "{warning}"
    );
    let admin = told("admin pages at http://");
    let admin = admin.split("http://").nth(1).expect("an address");
    let admin: SocketAddr = admin.trim_end_matches('/').parse().expect("an address");
    let expires = || {
        let metrics = get(admin, "/metrics").body;
        sample(
            &metrics,
            "flagstone_tls_certificate_expiry_timestamp_seconds",
        )
    };
    assert_eq!(expires(), Some(978_307_200.0));
    pair.renew_until(2040);
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-s", "HUP", &id]).status();
    assert!(status.expect("kill runs").success());
    told("SIGHUP: the certificate and its key were read again");
    assert_eq!(expires(), Some(2_208_988_800.0));
    child.kill().expect("ends");
    child.wait().expect("ends");
}

/// What makes a crowd of newcomers bearable: each pass over the connections answers one of them.
#[test]
fn a_crowd_of_handshakes_does_not_go_before_a_plain_request() {
    const CROWD: usize = 300;
    let pair = Pair::new("crowd");
    // Each is answered with more than an alert as soon as that has been signed.
    let hello = tls::client_hello();
    let went_first = || {
        let mut command = flagstone();
        command
            .args(["--listen", "127.0.0.1:0,tls:127.0.0.1:0", "--workers", "1"])
            .args(["--admin", "127.0.0.1:0", "--memory", "128m"])
            .args(["--max-connections", "1000", "--tls-max-connections", "400"])
            .arg("--tls-cert")
            .arg(&pair.cert)
            .arg("--tls-key")
            .arg(&pair.key);
        let process = Process::spawn(command);
        let secret = process.places[1].parse().expect("an address");
        let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect_to(secret)).collect();
        wait_until("they are in", || {
            process.metric("flagstone_connections") == CROWD as f64
        });
        // The last to come to a new server has the last turn.
        let mut plain = process.connect();
        common::exchange(&mut plain, b"GET a\n", b"NOTFOUND\n");
        process.signal("STOP");
        for stream in &mut crowd {
            stream.write_all(&hello).expect("sends");
        }
        plain.write_all(b"GET a\n").expect("sends");
        process.signal("CONT");
        common::expect(&mut plain, b"NOTFOUND\n");
        let answered = crowd.iter().filter(|stream| {
            stream.set_nonblocking(true).expect("settable");
            stream.peek(&mut [0]).is_ok()
        });
        let answered = answered.count();
        // All of them are, in the end.
        for stream in &mut crowd {
            stream.set_nonblocking(false).expect("settable");
            assert!(stream.read(&mut [0; 4096]).expect("an answer") > 10);
        }
        answered
    };
    // By chance this test is not woken in time; not three times.
    let least = (0..3)
        .map(|_| went_first())
        .find(|&least| least < CROWD / 2);
    assert!(least.is_some(), "half of {CROWD} went first");
}

#[test]
fn strangers_at_the_wrong_port_are_hung_up_on() {
    let pair = Pair::new("strangers");
    let server = start_with(config(&pair, 10));
    let [plain, secret] = addresses(&server);
    for words in [
        &b"GET a\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x80; 300],
        &[22, 3, 1, 255, 255, 0],
    ] {
        let mut stream = connect_to(secret);
        stream.write_all(words).expect("sends");
        let mut reply = Vec::new();
        if words.len() != 6 {
            let _ = stream.read_to_end(&mut reply);
        }
        // At most an alert.
        assert!(reply.len() < 10, "{}", reply.escape_ascii());
    }
    assert!(tls::connect(plain, &pair.der).is_err());
    // One who does not trust us leaves, and others are served.
    let other = Pair::new("strangers-other");
    assert!(tls::connect(secret, &other.der).is_err());
    exchange(
        &mut tls::connect(secret, &pair.der).expect("ok"),
        b"GET a\n",
        b"NOTFOUND\n",
    );
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_a_sentence() {
    let pair = Pair::new("refused");
    let other = Pair::new("refused-other");
    let empty = std::env::temp_dir().join(format!("flagstone-{}-empty.pem", std::process::id()));
    std::fs::write(&empty, "nothing\n").expect("writable");
    let with = |change: fn(&mut Config, &Pair, &std::path::Path)| {
        let mut config = config(&pair, 4);
        change(&mut config, &other, &empty);
        Server::start(config)
            .map(drop)
            .expect_err("cannot work")
            .to_string()
    };
    let refused = with(|config, _, _| config.tls_cert = None);
    assert_eq!(
        refused,
        "--listen \"tls:127.0.0.1:0\" needs a certificate and its key: --tls-cert PATH and --tls-key PATH"
    );
    let refused = with(|config, _, _| config.listen.truncate(1));
    assert!(
        refused.contains("is of no use without a place for TLS"),
        "{refused}"
    );
    let refused = with(|config, _, empty| config.tls_cert = Some(empty.to_owned()));
    assert!(
        refused.ends_with(
            "there is no certificate in it, which begins with -----BEGIN CERTIFICATE-----"
        ),
        "{refused}"
    );
    let refused = with(|config, _, empty| config.tls_key = Some(empty.to_owned()));
    assert!(refused.starts_with("--tls-key "), "{refused}");
    let refused = with(|config, _, _| config.tls_key = Some("/flagstone-no-such-key".into()));
    assert!(
        refused.starts_with("--tls-key \"/flagstone-no-such-key\" cannot be used: "),
        "{refused}"
    );
    let refused = with(|config, other, _| config.tls_key = Some(other.key.clone()));
    assert!(
        refused.starts_with("--tls-key "),
        "a key of another certificate: {refused}"
    );
    let _ = std::fs::remove_file(empty);
}

#[test]
fn certificates_are_swapped_under_load() {
    let mut pair = Pair::new("swap");
    let mut child = Command::new(env!("CARGO_BIN_EXE_flagstone"))
        .args([
            "--listen",
            "tls:127.0.0.1:0",
            "--admin",
            "none",
            "--memory",
            "48m",
        ])
        .args(["--max-connections", "100", "--tls-max-connections", "50"])
        .arg("--tls-cert")
        .arg(&pair.cert)
        .arg("--tls-key")
        .arg(&pair.key)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line");
    let address = line.split("listening on ").nth(1).expect("an address");
    let address: SocketAddr = address
        .split(',')
        .next()
        .expect("one")
        .parse()
        .expect("one");
    let mut hang_up = |expected: &str| {
        let id = child.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &id]).status();
        assert!(status.expect("kill runs").success());
        let mut line = String::new();
        while !line.contains("SIGHUP: ") {
            line.clear();
            assert!(stderr.read_line(&mut line).expect("a line") > 0, "it ended");
        }
        assert!(line.contains(expected), "{line}");
    };
    let first = pair.der.clone();
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // One who came before stays to the end.
        let stays = scope.spawn(|| {
            let mut client = tls::connect(address, &first).expect("a handshake");
            while !over.load(Relaxed) {
                exchange(&mut client, b"PUT a 1\nGET a\n", b"OK\n1\n");
                served.fetch_add(1, Relaxed);
            }
        });
        // With the first certificate, so before the second one comes.
        while served.load(Relaxed) == 0 && !stays.is_finished() {
            std::thread::yield_now();
        }
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..5 {
                let old = pair.der.clone();
                pair.renew();
                tls::connect(address, &old).expect("files alone change nothing");
                hang_up("the certificate and its key were read again");
                let mut client = tls::connect(address, &pair.der).expect("the new certificate");
                exchange(&mut client, b"PUT b 2\nGET b\n", b"OK\n2\n");
                assert!(tls::connect(address, &old).is_err(), "the old one is gone");
            }
            std::fs::write(&pair.key, "no key\n").expect("writable");
            hang_up("; the old certificate stays");
            tls::connect(address, &pair.der).expect("the old certificate stays");
        }));
        over.store(true, Relaxed);
        stays.join().expect("was served all the time");
        if let Err(panic) = judged {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(served.load(Relaxed) > 100);
    child.kill().expect("ends");
    child.wait().expect("ends");
}

/// A server that listens for TLS alone is asked at its admin pages, or else over TLS; whatever goes
/// wrong, the exit code is 1.
#[test]
fn a_server_with_tls_alone_can_be_asked() {
    let pair = Pair::new("asked");
    let other = Pair::new("asked-other");
    let start = |more: &[&str]| {
        let mut command = flagstone();
        command
            .args(["--listen", "tls:127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--memory", "48m", "--max-connections", "10"])
            .arg("--tls-cert")
            .arg(&pair.cert)
            .arg("--tls-key")
            .arg(&pair.key)
            .args(more);
        Process::spawn(command)
    };
    let process = start(&[]);
    let place = format!("tls:{}", process.address);
    let (cert, stranger) = (pair.cert.display(), other.cert.display());
    let (cert, stranger) = (cert.to_string(), stranger.to_string());
    let tokens = std::env::temp_dir().join(format!("flagstone-{}-asked-token", std::process::id()));
    std::fs::write(&tokens, "s3cret\n").expect("writable");
    let token = tokens.to_str().expect("text").to_owned();
    let locked = start(&["--auth-token-file", &token]);
    let locked_place = format!("tls:{}", locked.address);
    let gone = "127.0.0.1:1";
    let table: &[(&[&str], Option<i32>, &str)] = &[
        (
            &["healthcheck", "--listen", &place, "--admin", &process.admin],
            Some(0),
            "/livez answers",
        ),
        // Nobody has named admin pages.
        (
            &["healthcheck", "--listen", &place],
            Some(0),
            "tls:127.0.0.1:",
        ),
        (
            &["healthcheck", "--listen", &place, "--admin", "none"],
            Some(0),
            "tls:127.0.0.1:",
        ),
        (
            &["healthcheck", "--address", &place],
            Some(0),
            "tls:127.0.0.1:",
        ),
        (
            &["healthcheck", "--listen", &place, "--admin", gone],
            Some(1),
            "no server can be reached",
        ),
        (
            &["healthcheck", "--listen", "nonsense"],
            Some(1),
            "--listen",
        ),
        (&["healthcheck", "--colour"], Some(1), "--colour"),
        (&["healthcheck", "--help"], Some(0), "Usage"),
        (&["stats", &place], Some(0), "version "),
        (&["stats", &place, "--tls-cert", &cert], Some(0), "version "),
        (
            &["stats", &place, "--tls-cert", &stranger],
            Some(1),
            "does not answer",
        ),
        (
            &["stats", &locked_place, "--auth-token-file", &token],
            Some(1),
            "--tls-cert",
        ),
        (
            &[
                "stats",
                &locked_place,
                "--auth-token-file",
                &token,
                "--tls-cert",
                &cert,
            ],
            Some(0),
            "version ",
        ),
    ];
    for &(arguments, code, words) in table {
        let output = common::process::run(arguments, &[]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let _ = std::fs::remove_file(&tokens);
}

/// DER: a tag, a length, the content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut bytes = vec![tag, 0x82, (len >> 8) as u8, len as u8];
    bytes.extend_from_slice(content);
    bytes
}

/// The elements that `bytes` consist of, whole.
fn elements(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while bytes.len() > 1 {
        let (head, len) = match bytes[1] {
            len @ ..=0x7f => (2, usize::from(len)),
            0x81 => (3, usize::from(bytes[2])),
            _ => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
        };
        let (one, rest) = bytes.split_at(head + len);
        found.push(one);
        bytes = rest;
    }
    found
}

fn inside(whole: &[u8]) -> &[u8] {
    let head = match whole[1] {
        ..=0x7f => 2,
        0x81 => 3,
        _ => 4,
    };
    &whole[head..]
}

/// Old tools make certificates of X.509 version 1, and label keys with names that do not fit.
#[test]
fn old_certificates_and_oddly_labelled_keys_are_served() {
    let pair = Pair::new("old");
    let key_pem = std::fs::read_to_string(&pair.key).expect("readable");
    let cert_pem = std::fs::read_to_string(&pair.cert).expect("readable");
    let key = rcgen::KeyPair::from_pem(&key_pem).expect("a key");
    // The same certificate without version and extensions, signed anew.
    let parts = elements(inside(&pair.der));
    let signed: Vec<u8> = elements(inside(parts[0]))
        .into_iter()
        .filter(|part| part[0] != 0xa0 && part[0] != 0xa3)
        .flatten()
        .copied()
        .collect();
    let signed = element(0x30, &signed);
    let mut signature = vec![0];
    signature.extend(rcgen::SigningKey::sign(&key, &signed).expect("signs"));
    let version_1 = element(
        0x30,
        &[&signed[..], parts[1], &element(3, &signature)].concat(),
    );
    let base64 = |der: &[u8]| {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in der.chunks(3) {
            let bits = chunk
                .iter()
                .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
            let bits = bits << (8 * (3 - chunk.len()));
            for no in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * no)) as usize & 63];
                text.push(if no > chunk.len() {
                    '='
                } else {
                    char::from(digit)
                });
            }
        }
        text
    };
    let version_1 = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64(&version_1)
    );
    let rsa = key_pem.replace(" PRIVATE KEY", " RSA PRIVATE KEY");
    let ec = key_pem.replace(" PRIVATE KEY", " EC PRIVATE KEY");
    assert!(rsa != key_pem && ec != key_pem);
    for (cert, key) in [
        (&version_1, &key_pem),
        (&cert_pem, &rsa),
        (&cert_pem, &ec),
        (&version_1, &rsa),
    ] {
        std::fs::write(&pair.cert, cert).expect("writable");
        std::fs::write(&pair.key, key).expect("writable");
        let server = start_with(config(&pair, 4));
        let [_, secret] = addresses(&server);
        let place = format!("tls:{secret}").parse().expect("a place");
        let asked = flagstone_server::commands::healthcheck::Target::of(place);
        flagstone_server::commands::healthcheck::ask(&asked).expect("answers");
    }
    // A key of somebody else's is told of as such, of both versions.
    let other = Pair::new("old-other");
    for cert in [&cert_pem, &version_1] {
        std::fs::write(&pair.cert, cert).expect("writable");
        let refused = Server::start(Config {
            tls_key: Some(other.key.clone()),
            ..config(&pair, 4)
        });
        let refused = refused.map(drop).expect_err("cannot work").to_string();
        let is_version_1 = cert == &version_1;
        let blamed = if is_version_1 {
            "--tls-cert \""
        } else {
            "--tls-key \""
        };
        assert!(refused.starts_with(blamed), "{refused}");
    }
}
