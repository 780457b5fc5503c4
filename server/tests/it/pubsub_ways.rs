//! Messages between clients over each kind of connection, and beside whatever else a connection does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common::resp::{array, requests};
use crate::common::tls::{self, Pair};
use crate::common::{
    self, connect, connect_to, exchange, expect, expect_end, small_config, start_with,
};
use flagstone_server::Config;

fn check(stream: &mut TcpStream, lines: &str, expected: &str) {
    exchange(stream, &requests(lines), told(expected).as_bytes());
}

fn told(text: &str) -> String {
    text.replace('|', "\r\n")
}

/// Sends, and reads just as much as is expected.
fn speak(stream: &mut (impl Read + Write), lines: &str, expected: &str) {
    stream.write_all(&requests(lines)).expect("sent");
    let expected = told(expected);
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("answered");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

#[test]
fn subscribers_come_over_tls_and_unix_sockets_too() {
    let pair = Pair::new("pubsub");
    let path = std::env::temp_dir().join(format!("flagstone-pubsub-{}.sock", std::process::id()));
    let unix = format!("unix:{}", path.display());
    let server = start_with(Config {
        listen: ["127.0.0.1:0", "tls:127.0.0.1:0", &unix]
            .map(|place| place.parse().expect("a place"))
            .into(),
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: 4,
        workers: 2,
        ..small_config()
    });
    let addresses: Vec<SocketAddr> = server.local_addrs().collect();
    let mut plain = connect_to(addresses[0]);
    let mut secret = tls::connect(addresses[1], &pair.der).expect("a handshake");
    let mut local = UnixStream::connect(&path).expect("connects");
    let subscribed = "*3|$9|subscribe|$1|c|:1|";
    speak(&mut plain, "SUBSCRIBE c", subscribed);
    speak(&mut secret, "SUBSCRIBE c", subscribed);
    speak(&mut local, "SUBSCRIBE c", subscribed);
    let mut publisher = connect_to(addresses[0]);
    for len in [1, 1000, 20_000, 65_536] {
        let message = "m".repeat(len);
        for _ in 0..4 {
            let publish = array(&[b"PUBLISH", b"c", message.as_bytes()]);
            exchange(&mut publisher, &publish, b":3\r\n");
            let message = format!("*3|$7|message|$1|c|${len}|{message}|");
            speak(&mut plain, "", &message);
            speak(&mut secret, "", &message);
            speak(&mut local, "", &message);
        }
    }
    // From a connection with TLS, too; a message that is published to oneself follows its answer.
    let mut other = tls::connect(addresses[1], &pair.der).expect("a handshake");
    speak(&mut other, "PUBLISH c x", ":3|");
    for stream in [&mut plain as &mut dyn ReadWrite, &mut secret, &mut local] {
        let mut message = [0; 31];
        stream.read_exact(&mut message).expect("a message");
        assert_eq!(message, told("*3|$7|message|$1|c|$1|x|").as_bytes());
    }
    server.shutdown().expect("ends");
    expect_end(&mut plain);
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn a_subscriber_may_be_idle_and_who_does_not_log_in_cannot_be_one() {
    let path = std::env::temp_dir().join(format!("flagstone-pubsub-token-{}", std::process::id()));
    std::fs::write(&path, "s3cret\n").expect("writable");
    let server = start_with(Config {
        auth_token_file: Some(path.clone()),
        idle_timeout: Some(Duration::from_secs(1)),
        ..small_config()
    });
    std::fs::remove_file(&path).expect("was there");
    let no = "-NOAUTH Authentication required.|";
    let mut stranger = connect(&server);
    check(
        &mut stranger,
        "SUBSCRIBE c d|PSUBSCRIBE c*|PUBLISH c x|UNSUBSCRIBE c|UNSUBSCRIBE|PUBSUB NUMSUB c|PUBSUB CHANNELS",
        &no.repeat(7),
    );
    let long = array(&[b"PUBLISH", b"c", &[b'm'; 50_000]]);
    exchange(&mut stranger, &long, told(no).as_bytes());
    let mut subscriber = connect(&server);
    check(
        &mut subscriber,
        "AUTH s3cret|SUBSCRIBE c",
        "+OK|*3|$9|subscribe|$1|c|:1|",
    );
    let mut other = connect(&server);
    check(&mut other, "AUTH s3cret|GET k", "+OK|$-1|");
    std::thread::sleep(Duration::from_secs(4));
    expect_end(&mut other);
    let mut publisher = connect(&server);
    check(&mut publisher, "AUTH s3cret|PUBLISH c x", "+OK|:1|");
    expect(&mut subscriber, told("*3|$7|message|$1|c|$1|x|").as_bytes());
    // Once it has none left, it is idle like any other.
    check(
        &mut subscriber,
        "UNSUBSCRIBE",
        "*3|$11|unsubscribe|$1|c|:0|",
    );
    std::thread::sleep(Duration::from_secs(4));
    expect_end(&mut subscriber);
}

#[test]
fn messages_stand_between_answers_and_never_in_one() {
    let server = common::start();
    let mut subscriber = connect(&server);
    subscriber.write_all(&requests("HELLO 3")).expect("sent");
    let mut hello = vec![0; 512];
    let _ = subscriber.read(&mut hello).expect("HELLO's answer");
    check(&mut subscriber, "SUBSCRIBE c", ">3|$9|subscribe|$1|c|:1|");
    let value = vec![b'v'; 900_000];
    let set = array(&[b"SET", b"k", &value]);
    exchange(&mut subscriber, &set, b"+OK\r\n");
    let mut publisher = connect(&server);
    let message = told(">3|$7|message|$1|c|$2|hi|");
    for _ in 0..5 {
        // The value goes out in pieces, of which the client reads none while messages come.
        subscriber
            .write_all(&requests("GET k|MGET k k|GET k"))
            .expect("sent");
        std::thread::sleep(Duration::from_millis(20));
        for _ in 0..50 {
            check(&mut publisher, "PUBLISH c hi", ":1|");
        }
        let bulk = [b"$900000\r\n", &value[..], b"\r\n"].concat();
        let answers = [
            bulk.clone(),
            b"*2\r\n".to_vec(),
            bulk.clone(),
            bulk.clone(),
            bulk.clone(),
        ];
        let (mut left, mut messages) = (answers.concat(), 0);
        let mut got = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while messages < 50 || !left.is_empty() {
            let len = subscriber.read(&mut buffer).expect("answers");
            assert!(len > 0, "closed");
            got.extend_from_slice(&buffer[..len]);
            loop {
                if got.first() == Some(&b'>') {
                    if got.len() < message.len() {
                        break;
                    }
                    assert_eq!(&got[..message.len()], message.as_bytes());
                    got.drain(..message.len());
                    messages += 1;
                    continue;
                }
                // Of a list, the head and each value are an answer.
                let next = match left.first() {
                    Some(b'*') => 4,
                    Some(_) => bulk.len(),
                    None => break,
                };
                if got.len() < next {
                    break;
                }
                assert!(got[..next] == left[..next], "an answer is torn");
                got.drain(..next);
                left.drain(..next);
            }
        }
        assert!(got.is_empty() && messages == 50);
    }
}

#[test]
fn what_is_published_in_a_transaction_goes_out_with_it() {
    let server = common::start();
    let mut subscriber = connect(&server);
    check(&mut subscriber, "SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|");
    let mut publisher = connect(&server);
    check(
        &mut publisher,
        "MULTI|PUBLISH c one|SET k v|PUBLISH c two|PUBLISH c three|SUBSCRIBE d|EXEC",
        "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*5|:1|+OK|:1|:1|*3|$9|subscribe|$1|d|:1|",
    );
    expect(
        &mut subscriber,
        told("*3|$7|message|$1|c|$3|one|*3|$7|message|$1|c|$3|two|*3|$7|message|$1|c|$5|three|")
            .as_bytes(),
    );
    check(
        &mut publisher,
        "UNSUBSCRIBE|MULTI|PUBLISH c x|DISCARD",
        "*3|$11|unsubscribe|$1|d|:0|+OK|+QUEUED|+OK|",
    );
    check(&mut subscriber, "PING", "*2|$4|pong|$0||");
}

#[test]
fn a_drain_ends_subscribers_and_what_was_published_is_there() {
    let server = common::start();
    let mut subscribers = [0; 20].map(|_| connect(&server));
    for subscriber in &mut subscribers {
        check(subscriber, "SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|");
    }
    let mut publisher = connect(&server);
    check(&mut publisher, "PUBLISH c bye", ":20|");
    server.shutdown().expect("ends");
    for subscriber in &mut subscribers {
        expect(subscriber, told("*3|$7|message|$1|c|$3|bye|").as_bytes());
        expect_end(subscriber);
    }
}
