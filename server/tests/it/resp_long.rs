//! Values over Redis' protocol that come in pieces, where how they are stored depends on what is there.

use std::io::{Read, Write};

use crate::common::resp::{array, bulk, requests};
use crate::common::{connect, exchange, show, small_config, start_with, stat, talk};
use flagstone_server::{Config, Running};

const LENS: [usize; 4] = [15_000, 17_000, 100_000, 700_000];

fn server() -> Running {
    start_with(Config {
        memory_bytes: 64 << 20,
        workers: 2,
        ..small_config()
    })
}

fn value(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed) % 251) as u8).collect()
}

/// Sends and reads at once: both are longer than what lies between.
fn expect(server: &Running, asked: &[Vec<u8>], told: &[&[u8]]) {
    let (asked, told) = (asked.concat(), told.concat());
    let mut client = connect(server);
    let mut reader = client.try_clone().expect("clones");
    std::thread::scope(|scope| {
        scope.spawn(move || client.write_all(&asked).expect("sent"));
        let mut replies = vec![0; told.len()];
        reader.read_exact(&mut replies).expect("all replies");
        let differs = replies
            .iter()
            .zip(&told)
            .position(|(one, other)| one != other);
        if let Some(at) = differs {
            let near = &replies[at.saturating_sub(40)..][..80.min(told.len() - at)];
            panic!("at {at}: {}", show(near));
        }
    });
}

#[test]
fn options_behind_a_long_value_mean_what_they_mean_behind_a_short_one() {
    let server = server();
    for len in LENS {
        for database in ["0", "3"] {
            let (one, two) = (value(0, len), value(7, len));
            let set = |options: &[&[u8]]| {
                let words: Vec<&[u8]> = [&[b"SET", &b"a"[..], &two], options].concat();
                array(&words)
            };
            let asked = [
                requests(&format!("SELECT {database}|FLUSHDB")),
                // The lifetime stays, or goes.
                array(&[b"SET", b"a", &one, b"EX", b"100"]),
                set(&[b"KEEPTTL"]),
                requests("TTL a|GET a"),
                set(&[]),
                requests("TTL a|DEL a"),
                set(&[b"XX", b"KEEPTTL"]),
                set(&[b"KEEPTTL"]),
                requests("TTL a"),
                // Only over one value.
                set(&[b"IFEQ", b"short"]),
                requests("SET a short EX 50"),
                set(&[b"IFEQ", b"shorT"]),
                requests("STRLEN a"),
                set(&[b"keepttl", b"ifeq", b"short"]),
                requests("TTL a|STRLEN a"),
                // What was there is the answer, whether it is stored or not.
                requests("SET a short"),
                set(&[b"GET", b"PX", b"60000"]),
                requests("TTL a"),
                set(&[b"NX", b"GET"]),
                requests("DEL a"),
                set(&[b"GET", b"XX"]),
                set(&[b"GET"]),
                array(&[b"GETSET", b"a", &one]),
                requests("GET a"),
                array(&[b"GETSET", b"b", &one]),
                // Wrong ones change nothing, and the connection goes on.
                set(&[b"GET", b"EX", b"0"]),
                set(&[b"GET", b"SOON"]),
                set(&[b"IFEQ", &[b'x'; 3000]]),
                requests("GET a|PING"),
            ];
            let (first, second) = (bulk(&one), bulk(&two));
            let told: [&[u8]; 29] = [
                b"+OK\r\n+OK\r\n+OK\r\n",
                b"+OK\r\n:100\r\n",
                &second,
                b"+OK\r\n:-1\r\n:1\r\n",
                b"$-1\r\n",
                b"+OK\r\n",
                b":-1\r\n",
                b"$-1\r\n",
                b"+OK\r\n",
                b"$-1\r\n",
                b":5\r\n",
                b"+OK\r\n",
                b":50\r\n",
                &format!(":{len}\r\n").into_bytes(),
                b"+OK\r\n",
                b"$5\r\nshort\r\n",
                b":60\r\n",
                &second,
                b":1\r\n",
                b"$-1\r\n",
                b"$-1\r\n",
                &second,
                &first,
                b"$-1\r\n",
                b"-ERR invalid expire time in 'set' command\r\n",
                b"-ERR syntax error\r\n",
                b"-ERR behind a long value, options have up to 2 KiB here\r\n",
                &first,
                b"+PONG\r\n",
            ];
            expect(&server, &asked, &told);
        }
    }
}

#[test]
fn what_is_appended_may_be_long() {
    let server = server();
    for len in LENS.map(|len| len.min(400_000)) {
        let (one, two) = (value(0, len), value(7, len));
        let both = [&one[..], &two].concat();
        let asked = [
            requests("FLUSHALL"),
            array(&[b"APPEND", b"a", &one]),
            array(&[b"APPEND", b"a", &two]),
            requests("EXPIRE a 100|GET a"),
            array(&[b"APPEND", b"a", b"!"]),
            requests("TTL a"),
        ];
        let told: [&[u8]; 4] = [
            &format!("+OK\r\n:{len}\r\n:{}\r\n:1\r\n", 2 * len).into_bytes(),
            &bulk(&both),
            &format!(":{}\r\n", 2 * len + 1).into_bytes(),
            b":100\r\n",
        ];
        expect(&server, &asked, &told);
    }
    // Together they are longer than any value: it stays as it is.
    let half = value(0, 700_000);
    let asked = [
        requests("FLUSHALL"),
        array(&[b"APPEND", b"a", &half]),
        array(&[b"APPEND", b"a", &half]),
        requests("STRLEN a|PING"),
    ];
    let told = "+OK\r\n:700000\r\n-ERR string exceeds maximum allowed size (--max-item)\r\n:700000\r\n+PONG\r\n";
    assert_eq!(show(&talk(&server, &asked.concat())), show(told.as_bytes()));
}

/// Each value that was set is answered once, to whoever set the next, or is there in the end.
#[test]
fn a_swap_of_long_values_is_one_step() {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 40;
    let server = server();
    let tag = |value: &[u8]| usize::from_be_bytes(value[..8].try_into().expect("8 bytes"));
    let mut seen: Vec<usize> = std::thread::scope(|scope| {
        let server = &server;
        let clients = (0..CLIENTS).map(|client| {
            scope.spawn(move || {
                let mut stream = connect(server);
                let mut seen = Vec::new();
                for round in 0..ROUNDS {
                    let number = client * ROUNDS + round;
                    // Some fit into an answer, some do not.
                    let mut value = vec![b'v'; [20_000, 60_000][round % 2]];
                    value[..8].copy_from_slice(&number.to_be_bytes());
                    stream
                        .write_all(&array(&[b"GETSET", b"a", &value]))
                        .expect("sent");
                    seen.extend(read_bulk(&mut stream).as_deref().map(tag));
                }
                seen
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("joined"))
            .collect()
    });
    let mut stream = connect(&server);
    stream.write_all(&requests("GET a")).expect("sent");
    seen.extend(read_bulk(&mut stream).as_deref().map(tag));
    seen.sort_unstable();
    assert_eq!(seen, (0..CLIENTS * ROUNDS).collect::<Vec<_>>());
    exchange(&mut stream, &requests("PING"), b"+PONG\r\n");
}

fn read_bulk(stream: &mut std::net::TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let len: i64 = std::str::from_utf8(&head[1..head.len() - 2])
        .expect("text")
        .parse()
        .unwrap_or_else(|_| panic!("{}", show(&head)));
    let mut value = vec![0; usize::try_from(len).ok()? + 2];
    stream.read_exact(&mut value).expect("a value");
    value.truncate(value.len() - 2);
    Some(value)
}

/// Strangers have all buffers for half requests, and what comes in pieces is a first request: it is an array all the same.
#[test]
fn the_lines_of_a_value_are_no_requests() {
    let server = start_with(Config {
        memory_bytes: 64 << 20,
        workers: 2,
        connections_max: 400,
        ..small_config()
    });
    exchange(&mut connect(&server), b"PUT precious 1\n", b"OK\n");
    let half = [
        requests("PING"),
        b"*2\r\n$3\r\nGET\r\n$12000\r\n".to_vec(),
        vec![b'k'; 6000],
    ]
    .concat();
    let mut strangers: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    for stranger in &mut strangers {
        exchange(stranger, &half, b"+PONG\r\n");
    }
    let value = b"user text\nFLUSH\nPUT pwned 1\n".repeat(430);
    let set = array(&[b"SET", b"page", &value]);
    let mut victims: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    for piece in set.chunks(500) {
        for victim in &mut victims {
            victim.write_all(piece).expect("sent");
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    for victim in &mut victims {
        exchange(victim, b"", b"+OK\r\n");
    }
    drop(strangers);
    exchange(
        &mut connect(&server),
        b"GET precious\nGET pwned\n",
        b"1\nNOTFOUND\n",
    );
    let told = talk(&server, &requests("GET page"));
    assert!(
        told == bulk(&value),
        "{}",
        show(&told[..told.len().min(80)])
    );
}

/// What stands behind a value may be what makes a request too long to be held.
#[test]
fn values_about_as_long_as_a_buffer_take_every_option() {
    let server = server();
    let mut client = connect(&server);
    for len in (15_300..16_400).step_by(7).chain(16_300..16_390) {
        let value = value(len, len);
        let ifeq = vec![b'i'; 900];
        for options in [
            &[&b"EX"[..], b"100"][..],
            &[b"PXAT", b"33177117420000"],
            &[b"KEEPTTL"],
            &[b"GET"],
            &[b"IFEQ", &ifeq],
        ] {
            let words: Vec<&[u8]> = [&[b"SET", &b"k"[..], &value], options].concat();
            let told: &[u8] = match options[0] {
                b"GET" | b"IFEQ" => b"$-1\r\n",
                _ => b"+OK\r\n",
            };
            let asked = [requests("DEL k"), array(&words)].concat();
            client.write_all(&asked).expect("sent");
            let mut first = [0; 4];
            client.read_exact(&mut first).expect("a count");
            exchange(&mut client, b"", told);
        }
    }
}

/// Many who swap long values at once wait for each other's memory; nobody is refused.
#[test]
fn swaps_of_long_values_are_not_refused() {
    let server = server();
    std::thread::scope(|scope| {
        for client in 0..12 {
            let server = &server;
            scope.spawn(move || {
                let mut stream = connect(server);
                let key = format!("k{client}");
                let value = vec![b'v'; 900_000];
                for round in 0..6 {
                    stream
                        .write_all(&array(&[b"GETSET", key.as_bytes(), &value]))
                        .expect("sent");
                    // Evicted, perhaps.
                    let old = read_bulk(&mut stream);
                    assert!(old.is_none_or(|old| old == value), "{round}");
                }
            });
        }
    });
}

/// A store that a condition forbids is a store that was asked for, however long its value is.
#[test]
fn what_is_not_stored_is_counted_all_the_same() {
    let server = server();
    for len in [100, 100_000] {
        let before = stat(&server, "puts");
        let set = array(&[b"SET", b"k", &value(0, len), b"IFEQ", b"other"]);
        exchange(&mut connect(&server), &set, b"$-1\r\n");
        assert_eq!(stat(&server, "puts") - before, 1, "{len}");
    }
}
