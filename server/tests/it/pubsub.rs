//! Messages between clients: over two workers, in both versions of Redis' protocol, beside a real Redis, and with clients
//! that do not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::resp::{array, requests};
use crate::common::tool::{self, find, skip};
use crate::common::{
    connect, exchange, expect, expect_end, show, small_config, start_with, talk, talk_in_parts,
    wait_until,
};
use flagstone_server::{Config, Running};

fn two_workers() -> Running {
    start_with(Config {
        workers: 2,
        connections_max: 1200,
        memory_bytes: 64 << 20,
        ..small_config()
    })
}

fn check(stream: &mut TcpStream, lines: &str, expected: &str) {
    exchange(
        stream,
        &requests(lines),
        expected.replace('|', "\r\n").as_bytes(),
    );
}

/// What is asked of both servers, each line on a connection of its own.
const SESSIONS: &[&str] = &[
    "SUBSCRIBE a b a|UNSUBSCRIBE b|UNSUBSCRIBE no|UNSUBSCRIBE|UNSUBSCRIBE|GET k",
    "PSUBSCRIBE n*|SUBSCRIBE c|PUNSUBSCRIBE|GET k|SET k v|DEL k|MGET a b|PING|PING hi|UNSUBSCRIBE c|PING",
    "UNSUBSCRIBE|PUNSUBSCRIBE|SUNSUBSCRIBE|SUBSCRIBE|PUBLISH a|PSUBSCRIBE",
    "SSUBSCRIBE s t|SUBSCRIBE s|SUNSUBSCRIBE s|SUNSUBSCRIBE|UNSUBSCRIBE|PUBSUB SHARDNUMSUB s t",
    "SUBSCRIBE x|PUBLISH x 1|NOSUCH|GET|RESET|PUBLISH x 1|PUBSUB CHANNELS",
    "PUBLISH nobody hi|SPUBLISH nobody hi|PUBSUB NUMSUB|PUBSUB NUMSUB a b|PUBSUB NUMPAT|PUBSUB CHANNELS *",
    "MULTI|PUBLISH a b|SUBSCRIBE a|EXEC|UNSUBSCRIBE a",
    "SUBSCRIBE q|QUIT",
];

#[test]
fn a_session_is_answered_as_redis_answers_it_however_it_is_cut() {
    let name = "a_session_is_answered_as_redis_answers_it_however_it_is_cut";
    let Some(redis) = find("redis-server") else {
        return skip(name, "redis-server not installed");
    };
    let dir = tool::Scratch::new("pubsub-differential");
    let socket = dir.0.join("redis.sock");
    let child = Command::new(redis)
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(&dir.0)
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let _guard = tool::Guard(child);
    wait_until("redis listens", || UnixStream::connect(&socket).is_ok());
    let server = two_workers();
    for session in SESSIONS {
        for version in ["", "HELLO 3|"] {
            let input = [requests(session), requests("RESET")].concat();
            let hello = requests(version.trim_end_matches('|'));
            let hello = if version.is_empty() { &b""[..] } else { &hello };
            let mut theirs = UnixStream::connect(&socket).expect("connects");
            theirs.write_all(&[hello, &input].concat()).expect("sent");
            theirs
                .shutdown(std::net::Shutdown::Write)
                .expect("half closed");
            let mut expected = Vec::new();
            theirs.read_to_end(&mut expected).expect("replies");
            let behind = |replies: Vec<u8>| match version {
                "" => replies,
                _ => {
                    let end = b"modules\r\n*0\r\n";
                    let at = replies.windows(end.len()).position(|bytes| bytes == end);
                    replies[at.expect("HELLO's answer") + end.len()..].to_vec()
                }
            };
            let expected = behind(expected);
            // Here a message to oneself follows the answer to its publisher.
            if session.contains("PUBLISH x") && !version.is_empty() {
                continue;
            }
            let ours = behind(talk(&server, &[hello, &input].concat()));
            assert_eq!(show(&ours), show(&expected), "{version}{session}");
            for at in 1..input.len() {
                let parts = [hello, &input[..at], &input[at..]];
                let ours = behind(talk_in_parts(&server, &parts));
                assert_eq!(show(&ours), show(&expected), "{session} cut at {at}");
            }
        }
    }
}

#[test]
fn messages_reach_subscribers_on_all_workers_in_order() {
    let server = two_workers();
    let mut subscribers: Vec<TcpStream> = (0..8).map(|_| connect(&server)).collect();
    for (no, subscriber) in subscribers.iter_mut().enumerate() {
        match no % 2 {
            0 => check(subscriber, "SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|"),
            _ => {
                let told = ">3|$10|psubscribe|$3|n*s|:1|".replace('|', "\r\n");
                subscriber.write_all(&requests("HELLO 3")).expect("sent");
                let mut hello = [0; 512];
                let _ = subscriber.read(&mut hello).expect("HELLO's answer");
                exchange(subscriber, &requests("PSUBSCRIBE n*s"), told.as_bytes());
            }
        }
    }
    let mut publisher = connect(&server);
    check(
        &mut publisher,
        "PUBSUB NUMSUB news no|PUBSUB NUMPAT|PUBSUB CHANNELS",
        "*4|$4|news|:4|$2|no|:0|:1|*1|$4|news|",
    );
    for n in 1000..3000 {
        let message = format!("{n}");
        publisher
            .write_all(&array(&[b"PUBLISH", b"news", message.as_bytes()]))
            .expect("sent");
        expect(&mut publisher, b":8\r\n");
        if n % 100 == 99 {
            for (no, subscriber) in subscribers.iter_mut().enumerate() {
                for n in n - 99..=n {
                    let told = match no % 2 {
                        0 => format!("*3|$7|message|$4|news|$4|{n}|"),
                        _ => format!(">4|$8|pmessage|$3|n*s|$4|news|$4|{n}|"),
                    };
                    expect(subscriber, told.replace('|', "\r\n").as_bytes());
                }
            }
        }
    }
    // In version 3 everything else may be asked.
    check(&mut subscribers[1], "SET k v|GET k", "+OK|$1|v|");
    check(&mut subscribers[0], "RESET|GET k", "+RESET|$1|v|");
    check(&mut publisher, "PUBLISH news x", ":7|");
    drop(subscribers);
    wait_until("all are gone", || {
        talk(&server, &requests("PUBLISH news x")) == b":0\r\n"
    });
    server.shutdown().expect("ends");
}

#[test]
fn long_messages_are_whole_and_longer_ones_are_refused() {
    let server = two_workers();
    let mut publisher = connect(&server);
    // Nobody has subscribed to anything: it is read, and reaches nobody.
    let longest = vec![b'm'; 65_536];
    let publish = |message: &[u8]| array(&[b"PUBLISH", b"c", message]);
    exchange(&mut publisher, &publish(&longest), b":0\r\n");
    let mut subscriber = connect(&server);
    check(&mut subscriber, "SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|");
    check(
        &mut subscriber,
        "PSUBSCRIBE c*",
        "*3|$10|psubscribe|$2|c*|:2|",
    );
    for len in [0, 1, 16_000, 16_383, 16_384, 16_385, 40_960, 65_535, 65_536] {
        let message: Vec<u8> = (0..len).map(|at| b'a' + (at % 23) as u8).collect();
        for _ in 0..10 {
            exchange(&mut publisher, &publish(&message), b":2\r\n");
            let heads = ["*3|$7|message|$1|c|", "*4|$8|pmessage|$2|c*|$1|c|"];
            for head in heads.map(|head| head.replace('|', "\r\n")) {
                let head = format!("{head}${len}\r\n");
                expect(
                    &mut subscriber,
                    &[head.as_bytes(), &message, b"\r\n"].concat(),
                );
            }
        }
    }
    for len in [65_537, 100_000, 10_000_000] {
        exchange(
            &mut publisher,
            &publish(&vec![b'm'; len]),
            b"-ERR a message has up to 65536 bytes here\r\n",
        );
    }
    check(&mut subscriber, "PING", "*2|$4|pong|$0||");
    exchange(
        &mut publisher,
        &array(&[b"SUBSCRIBE", &vec![b'c'; 251]]),
        b"-ERR a channel's name and a pattern have up to 250 bytes here\r\n",
    );
    check(&mut publisher, "PING", "+PONG|");
}

#[test]
fn a_long_message_that_does_not_arrive_gives_way_to_others() {
    let server = two_workers();
    let mut subscriber = connect(&server);
    check(&mut subscriber, "SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|");
    let message = vec![b'm'; 60_000];
    let publish = array(&[b"PUBLISH", b"c", &message]);
    let (beginning, end) = publish.split_at(30_000);
    let mut slow = [0; 4].map(|_| connect(&server));
    for client in &mut slow {
        client.write_all(beginning).expect("sent");
    }
    let began = Instant::now();
    let head = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$60000\r\n";
    let told = [head, &message[..], b"\r\n"].concat();
    for _ in 0..5 {
        exchange(&mut connect(&server), &publish, b":1\r\n");
        expect(&mut subscriber, &told);
    }
    println!("beside four that stop: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut refused = 0;
    for client in &mut slow {
        client.write_all(end).expect("sent");
        let mut first = [0; 1];
        client.read_exact(&mut first).expect("answered");
        refused += usize::from(first == *b"-");
        let rest = match &first {
            b"-" => &b"ERR the message took longer than a second to arrive, and others needed its room\r\n"[..],
            _ => &b"1\r\n"[..],
        };
        expect(client, rest);
        check(client, "PING", "+PONG|");
    }
    assert!(refused >= 1);
    // Those that go in the middle of one leave nothing behind.
    for _ in 0..20 {
        connect(&server).write_all(beginning).expect("sent");
    }
    wait_until("there is room again", || {
        talk(&server, &publish) == b":1\r\n"
    });
    server.shutdown().expect("ends");
}

#[test]
fn who_does_not_read_is_closed_and_keeps_nobody_waiting() {
    let server = two_workers();
    let mut slow = connect(&server);
    let mut quick = connect(&server);
    for subscriber in [&mut slow, &mut quick] {
        check(subscriber, "SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|");
    }
    let mut publisher = connect(&server);
    let message = vec![b'm'; 15_000];
    let told = [
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$15000\r\n",
        &message[..],
        b"\r\n",
    ]
    .concat();
    let publish = array(&[b"PUBLISH", b"c", &message]);
    let mut sent = 0;
    let mut answer = *b":2\r\n";
    while answer == *b":2\r\n" {
        publisher.write_all(&publish).expect("sent");
        publisher.read_exact(&mut answer).expect("answered");
        expect(&mut quick, &told);
        sent += 1;
        assert!(sent < 100_000, "never closed");
    }
    assert_eq!(&answer, b":1\r\n");
    // What the kernel had is all that it gets.
    slow.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let mut left = Vec::new();
    let _ = slow.read_to_end(&mut left);
    assert!(left.len() < sent * told.len());
    check(&mut publisher, "PUBLISH c x", ":1|");
}

#[test]
fn a_thousand_subscribers_and_a_churn_of_them() {
    let server = two_workers();
    let mut subscribers: Vec<TcpStream> = (0..1000).map(|_| connect(&server)).collect();
    for subscriber in &mut subscribers {
        check(subscriber, "SUBSCRIBE all", "*3|$9|subscribe|$3|all|:1|");
    }
    let mut publisher = connect(&server);
    for n in 0..20 {
        check(&mut publisher, &format!("PUBLISH all {n:03}"), ":1000|");
    }
    for subscriber in &mut subscribers {
        for n in 0..20 {
            let told = format!("*3|$7|message|$3|all|$3|{n:03}|").replace('|', "\r\n");
            expect(subscriber, told.as_bytes());
        }
    }
    for round in 0..300 {
        for subscriber in &mut subscribers[..4] {
            let name = format!("r{round:03}");
            check(
                subscriber,
                &format!("SUBSCRIBE {name}|UNSUBSCRIBE {name}"),
                &format!("*3|$9|subscribe|$4|{name}|:2|*3|$11|unsubscribe|$4|{name}|:1|"),
            );
        }
    }
    check(&mut publisher, "PUBSUB CHANNELS", "*1|$3|all|");
    server.shutdown().expect("ends although they are there");
    for subscriber in &mut subscribers {
        expect_end(subscriber);
    }
}

/// Subscribes to names until that is refused, and says to how many it did.
fn fill(client: &mut TcpStream, command: &str, name: impl Fn(usize) -> String) -> (usize, String) {
    let told = command.to_lowercase();
    for count in 0..100_000 {
        let name = name(count);
        client
            .write_all(&array(&[command.as_bytes(), name.as_bytes()]))
            .expect("sent");
        let mut first = [0];
        client.read_exact(&mut first).expect("answered");
        if first == *b"-" {
            let mut words = Vec::new();
            let mut byte = [0];
            while byte != *b"\n" {
                client.read_exact(&mut byte).expect("answered");
                words.push(byte[0]);
            }
            return (
                count,
                String::from_utf8(words)
                    .expect("text")
                    .trim_end()
                    .to_owned(),
            );
        }
        let (len, name_len, no) = (told.len(), name.len(), count + 1);
        let told = format!("*3|${len}|{told}|${name_len}|{name}|:{no}|").replace('|', "\r\n");
        expect(client, &told.as_bytes()[1..]);
    }
    panic!("never full")
}

#[test]
fn what_is_full_is_said() {
    let server = two_workers();
    let mut clients = [0; 3].map(|_| connect(&server));
    let mut counts = Vec::new();
    let mut whys = Vec::new();
    for (no, client) in clients.iter_mut().enumerate() {
        let (count, why) = fill(client, "SUBSCRIBE", |count| {
            format!("channel:{no}:{count:05}")
        });
        counts.push(count);
        whys.push(why);
    }
    println!("{counts:?} {whys:?}");
    assert!(
        counts[0] >= 250 && counts[1] == counts[0] && counts[2] <= 1,
        "{counts:?}"
    );
    let own = "ERR max number of subscriptions of one connection reached";
    let all = "ERR max number of subscriptions or channels reached";
    assert_eq!(whys, [own, own, all]);
    let [client, ..] = &mut clients;
    client.write_all(&requests("UNSUBSCRIBE")).expect("sent");
    for left in (0..counts[0]).rev() {
        let told = format!("*3|$11|unsubscribe|$15|channel:0:{left:05}|:{left}|");
        expect(client, told.replace('|', "\r\n").as_bytes());
    }
    check(client, "PING", "+PONG|");
    let (count, _) = fill(client, "SUBSCRIBE", |count| format!("again:{count:05}"));
    assert_eq!(count, counts[0]);
}

/// The longest of a hundred.
fn slowest(client: &mut TcpStream, request: &[u8], answer: &[u8]) -> Duration {
    let once = |_| {
        let began = Instant::now();
        exchange(client, request, answer);
        began.elapsed()
    };
    (0..100).map(once).max().expect("a hundred")
}

#[test]
fn a_strangers_patterns_slow_nobody_down() {
    let server = two_workers();
    let mut subscriber = connect(&server);
    let name = "a".repeat(250);
    let told = format!("*3|$9|subscribe|$250|{name}|:1|");
    check(&mut subscriber, &format!("SUBSCRIBE {name}"), &told);
    let mut publisher = connect(&server);
    let publish = array(&[b"PUBLISH", name.as_bytes(), b"x"]);
    println!("alone: {:?}", slowest(&mut publisher, &publish, b":1\r\n"));
    let too_much =
        "ERR no room for another pattern: comparing those that are there takes as long as may be";
    let own = "ERR max number of subscriptions of one connection reached";
    // Each takes as long as a pattern can, and does not match.
    let mut hostile = [0; 3].map(|_| connect(&server));
    for (no, client) in hostile.iter_mut().enumerate() {
        let (count, why) = fill(client, "PSUBSCRIBE", |count| {
            format!("*{}b{no}{count:04}", "a".repeat(100))
        });
        println!("{count} patterns: {why}");
        assert!(why == own || why == too_much, "{why}");
    }
    let slowest_hard = slowest(&mut publisher, &publish, b":1\r\n");
    println!("beside patterns that are much work: {slowest_hard:?}");
    drop(hostile);
    wait_until("the patterns are gone", || {
        talk(&server, &requests("PUBSUB NUMPAT")) == b":0\r\n"
    });
    // Each matches, and its owner does not read.
    let mut hostile = connect(&server);
    let (count, _) = fill(&mut hostile, "PSUBSCRIBE", |count| {
        format!("{}*", "a".repeat(count % 240) + &"?".repeat(count / 240))
    });
    let received = format!(":{}\r\n", count + 1);
    let slowest_many = slowest(&mut publisher, &publish, received.as_bytes());
    println!("beside {count} patterns that match: {slowest_many:?}");
    // In builds with assertions everything takes ten times as long.
    assert!(slowest_hard < Duration::from_millis(200));
    assert!(slowest_many < Duration::from_millis(200));
    let message = format!("*3|$7|message|$250|{name}|$1|x|").replace('|', "\r\n");
    for _ in 0..300 {
        expect(&mut subscriber, message.as_bytes());
    }
}

#[test]
fn a_bystander_is_served_beside_a_publisher_at_full_speed() {
    let server = two_workers();
    let mut subscribers: Vec<TcpStream> = (0..200).map(|_| connect(&server)).collect();
    for subscriber in &mut subscribers {
        check(subscriber, "SUBSCRIBE all", "*3|$9|subscribe|$3|all|:1|");
    }
    let mut bystander = connect(&server);
    check(&mut bystander, "SET k v", "+OK|");
    let stop = AtomicBool::new(false);
    let mut latencies = Vec::new();
    let mut published = 0u64;
    std::thread::scope(|scope| {
        // A tenth of them does not read.
        let mut reading = subscribers.split_off(20);
        let stop = &stop;
        scope.spawn(move || {
            for subscriber in &reading {
                subscriber.set_nonblocking(true).expect("not blocking");
            }
            let mut bytes = vec![0; 64 << 10];
            while !stop.load(Relaxed) {
                for subscriber in &mut reading {
                    let _ = subscriber.read(&mut bytes);
                }
            }
        });
        let mut publisher = connect(&server);
        let publisher = scope.spawn(move || {
            let publish = array(&[b"PUBLISH", b"all", &[b'm'; 200]]).repeat(16);
            let (mut answers, mut count) = (vec![0; 64 << 10], 0);
            while !stop.load(Relaxed) {
                publisher.write_all(&publish).expect("sent");
                let mut lines = 0;
                while lines < 16 {
                    let len = publisher.read(&mut answers).expect("answered");
                    lines += answers[..len].iter().filter(|&&byte| byte == b'\n').count();
                }
                count += 16;
            }
            count
        });
        for _ in 0..300 {
            let began = Instant::now();
            exchange(&mut bystander, &requests("GET k"), b"$1\r\nv\r\n");
            latencies.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Relaxed);
        published = publisher.join().expect("the publisher");
    });
    latencies.sort_unstable();
    let [median, late, worst] = [150, 296, 299].map(|no| latencies[no]);
    println!("{published} messages to 200; GET: median {median:?}, 99 % {late:?}, worst {worst:?}");
    assert!(
        published > 1000 && median < Duration::from_millis(50) && worst < Duration::from_secs(2)
    );
}
