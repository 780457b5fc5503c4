//! What is there when a server starts again with the file that another left: one that was killed, one that ended, one
//! that had other settings.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::http;
use crate::common::process::{Process, flagstone, run};
use crate::common::tool::Scratch;

/// Keys that each client has to itself.
const KEYS: usize = 60;
/// Clients of each kind.
const CLIENTS: usize = 3;

/// What a client knows of one of its keys.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The last that was acknowledged; 0 for none, which a deletion makes it.
    acknowledged: u64,
    /// What was asked for and not answered.
    in_flight: Option<u64>,
}

/// Which store it is, and whose: nobody else's value looks like it.
fn value(client: usize, key: usize, store: u64) -> Vec<u8> {
    let lens = [30, 200, 1000, 5000, 40_000];
    let len = lens[store as usize % lens.len()];
    let mut value = format!("{client}:{key}:{store}:").into_bytes();
    let mut seed = store.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (client * KEYS + key) as u64;
    while value.len() < len {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.push(b'a' + (seed >> 33) as u8 % 26);
    }
    value
}

fn store_of(value: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(&value[..value.len().min(60)]);
    let store = text.split(':').nth(2).and_then(|text| text.parse().ok());
    store.unwrap_or_else(|| panic!("not a value: {text}"))
}

/// Stores and removes until the server is gone; each key's state is noted before and behind each request.
fn write_on(stream: TcpStream, client: usize, round: u64, known: &mut [Known]) {
    let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    let mut line = String::new();
    for step in 1.. {
        let key = (step as usize * 7 + step as usize / 11) % KEYS;
        let store = round << 32 | step;
        let removes = step % 9 == 0;
        let command = if removes {
            format!("DEL k{client}-{key}\n").into_bytes()
        } else {
            let mut command = format!("PUT k{client}-{key} ").into_bytes();
            command.extend_from_slice(&value(client, key, store));
            command.push(b'\n');
            command
        };
        known[key].in_flight = Some(if removes { 0 } else { store });
        line.clear();
        let is_answered = stream.write_all(&command).is_ok()
            && replies
                .read_line(&mut line)
                .is_ok_and(|_| line.ends_with('\n'));
        if !is_answered {
            return;
        }
        let is_done = matches!(&*line, "OK\n" | "NOTFOUND\n");
        assert!(is_done, "{line:?} to {step}");
        known[key] = Known {
            acknowledged: if removes { 0 } else { store },
            in_flight: None,
        };
    }
}

/// The same for a counter, by another protocol.
fn count_on(stream: TcpStream, client: usize, counted: &mut u64) {
    let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    let mut line = String::new();
    let command = format!("*2\r\n$4\r\nINCR\r\n$2\r\nn{client}\r\n");
    loop {
        line.clear();
        let is_answered = stream.write_all(command.as_bytes()).is_ok()
            && replies
                .read_line(&mut line)
                .is_ok_and(|_| line.ends_with('\n'));
        if !is_answered {
            return;
        }
        let number = line
            .trim_end()
            .strip_prefix(':')
            .and_then(|text| text.parse().ok());
        *counted = number.unwrap_or_else(|| panic!("{line:?}"));
    }
}

/// A server with all of its settings.
fn start(settings: &[&str]) -> Process {
    let mut command = flagstone();
    command.args(settings);
    if !settings.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    }
    Process::spawn(command)
}

/// Sends a line or several, and reads one.
fn ask(client: &mut BufReader<TcpStream>, command: impl AsRef<[u8]>) -> Vec<u8> {
    client.get_mut().write_all(command.as_ref()).expect("sends");
    let mut reply = Vec::new();
    client.read_until(b'\n', &mut reply).expect("a reply");
    assert_eq!(reply.pop(), Some(b'\n'), "it hung up");
    reply
}

/// Kills in a run of it: FLAGSTONE_KILLS says otherwise.
fn kills() -> u64 {
    std::env::var("FLAGSTONE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(25)
}

/// Under load, at any moment: each key has its last acknowledged value, the one that was on its way, or none; and nearly
/// none is lost that was not being written to.
#[test]
fn a_killed_server_comes_back_with_what_it_acknowledged() {
    let scratch = Scratch::new("killed");
    let path = scratch.0.join("arena");
    let arguments = ["--arena", path.to_str().expect("plain"), "--workers", "2"];
    let mut known = vec![[Known::default(); KEYS]; CLIENTS];
    let mut counted = [0; CLIENTS];
    let (mut checked, mut lost) = (0_u64, 0_u64);
    let mut waits = (1..).map(|round: u64| Duration::from_micros(20_000 + round * 7919 % 61_000));
    for round in 1..=kills() {
        let mut server = Process::start(&arguments);
        assert_eq!(
            server.before.contains("restored "),
            round > 1,
            "{}",
            server.before
        );
        let mut client = BufReader::with_capacity(1 << 17, server.connect());
        for (no, keys) in known.iter_mut().enumerate() {
            for (key, known) in keys.iter_mut().enumerate() {
                let found = ask(&mut client, format!("GET k{no}-{key}\n"));
                let store = match &found[..] {
                    b"NOTFOUND" => 0,
                    found => {
                        let store = store_of(found);
                        assert!(
                            found == value(no, key, store),
                            "torn: k{no}-{key} {store:x}"
                        );
                        store
                    }
                };
                checked += 1;
                let may_be = [Some(known.acknowledged), known.in_flight, Some(0)];
                assert!(
                    may_be.contains(&Some(store)),
                    "round {round}: k{no}-{key} is {store:x}, and was {known:x?}"
                );
                lost +=
                    u64::from(store == 0 && known.acknowledged > 0 && known.in_flight.is_none());
                *known = Known {
                    acknowledged: store,
                    in_flight: None,
                };
            }
        }
        for (no, counted) in counted.iter_mut().enumerate() {
            let found = ask(&mut client, format!("GET n{no}\n"));
            let found = match &found[..] {
                b"NOTFOUND" => {
                    lost += u64::from(*counted > 0);
                    0
                }
                digits => String::from_utf8_lossy(digits).parse().expect("a number"),
            };
            assert!(
                found == 0 || found == *counted || found == *counted + 1,
                "round {round}: n{no} is {found}, and was {counted}"
            );
            *counted = found;
        }
        let wait = waits.next().expect("there is always one more");
        std::thread::scope(|scope| {
            for (no, known) in known.iter_mut().enumerate() {
                let stream = server.connect();
                scope.spawn(move || write_on(stream, no, round, known));
            }
            for (no, counted) in counted.iter_mut().enumerate() {
                let stream = server.connect();
                scope.spawn(move || count_on(stream, no, counted));
            }
            std::thread::sleep(wait);
            server.child.kill().expect("killed");
            server.child.wait().expect("it ended");
        });
    }
    println!("{} kills, {checked} values looked at, {lost} lost", kills());
    assert!(
        checked > 0 && lost * 20 < checked,
        "{lost} of {checked} lost"
    );
}

/// A drain loses nothing, whatever the next process is like: memory, workers, address.
#[test]
fn a_server_that_ended_comes_back_whole() {
    let scratch = Scratch::new("ended");
    let path = scratch.0.join("arena");
    let arena = ["--arena", path.to_str().expect("plain")];
    let mut stored = HashMap::new();
    for (round, settings) in [
        &["--memory", "48m"][..],
        &["--memory", "48m", "--workers", "2"],
        &["--memory", "96m", "--workers", "1"],
        &["--memory", "48m", "--max-connections", "300"],
        &["--memory", "48m"],
        &["--memory", "64m"],
    ]
    .into_iter()
    .enumerate()
    {
        let mut server = start(&[&arena[..], settings].concat());
        let items = server.metric("flagstone_arena_restored_items");
        assert_eq!(items as usize, stored.len(), "{}", server.before);
        assert_eq!(server.metric("flagstone_arena_restored_forgotten"), 0.0);
        // A tmpfs counts what is allocated: never more than this server may have, whatever the file once was.
        let blocks = std::fs::metadata(&path).expect("the file").blocks();
        let memory = settings[1]
            .strip_suffix('m')
            .and_then(|text| text.parse().ok());
        let memory: u64 = memory.expect("MiB");
        assert!(
            blocks * 512 < memory << 20,
            "{blocks} blocks with {memory} MiB"
        );
        let mut client = BufReader::new(server.connect());
        for (key, value) in &stored {
            assert_eq!(ask(&mut client, format!("GET {key}\n")), *value, "{key}");
        }
        for number in 0..200 {
            let key = format!("key-{round}-{number}");
            let value = value(round, number, number as u64);
            let command = [format!("PUT {key} ").into_bytes(), value.clone()].concat();
            let command = [command, b"\n".to_vec()].concat();
            assert_eq!(ask(&mut client, command), b"OK");
            stored.insert(key, value);
        }
        server.signal("TERM");
        assert_eq!(server.exit_code(), Some(0));
    }
}

/// By the calendar: what expired while no server ran is gone, and what is left expires when it was to.
#[test]
fn deadlines_go_on_while_no_server_runs() {
    let scratch = Scratch::new("deadlines");
    let path = scratch.0.join("arena");
    let arena = ["--arena", path.to_str().expect("plain")];
    let mut server = Process::start(&arena);
    let mut client = BufReader::new(server.connect());
    for (key, seconds) in [("short", "2"), ("long", "600")] {
        let command = format!(
            "*5\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\nv\r\n$2\r\nEX\r\n${}\r\n{seconds}\r\n",
            key.len(),
            seconds.len()
        );
        assert_eq!(ask(&mut client, command), b"+OK\r");
    }
    let uptime = server.metric("flagstone_uptime_seconds");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(1500));
    server.child.kill().expect("killed");
    server.child.wait().expect("it ended");
    std::thread::sleep(Duration::from_millis(1600));
    let server = Process::start(&arena);
    assert!(server.metric("flagstone_uptime_seconds") <= uptime + 2.0);
    let mut client = BufReader::new(server.connect());
    let ttl = |client: &mut BufReader<TcpStream>, key: &str| {
        let command = format!("*2\r\n$3\r\nTTL\r\n${}\r\n{key}\r\n", key.len());
        let reply = String::from_utf8(ask(client, command)).expect("a number");
        reply
            .trim_matches([':', '\r'])
            .parse::<i64>()
            .expect("a number")
    };
    assert_eq!(ttl(&mut client, "short"), -2);
    let left = 600 - begun.elapsed().as_secs() as i64;
    let told = ttl(&mut client, "long");
    assert!(
        (left - 2..=left + 2).contains(&told),
        "{told} and not {left}"
    );
}

/// The pages say that it starts, and how far that is; clients wait where they are.
#[test]
fn who_comes_while_it_restores_is_told_or_waits() {
    let scratch = Scratch::new("restores");
    let path = scratch.0.join("arena");
    let path = path.to_str().expect("plain");
    let arena = ["--arena", path, "--memory", "256m", "--workers", "1"];
    let mut server = start(&arena);
    let mut client = server.connect();
    let mut batch = Vec::new();
    for number in 0..400_000 {
        batch.extend_from_slice(format!("PUT key-{number} {number}\n").as_bytes());
    }
    let mut reader = client.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(|| client.write_all(&batch).expect("sends"));
        let mut replies = vec![0; 3 * 400_000];
        reader.read_exact(&mut replies).expect("replies");
    });
    let (address, admin) = (server.address.clone(), server.admin.clone());
    server.child.kill().expect("killed");
    server.child.wait().expect("it ended");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            let mut told = Vec::new();
            while !is_over.load(Relaxed) {
                let admin = admin.parse().expect("an address");
                let request = b"GET /readyz HTTP/1.0\r\n\r\n";
                if let Ok(answer) = http::request(admin, request) {
                    told.push(answer.body);
                }
            }
            told
        });
        let first = scope.spawn(|| {
            let begun = Instant::now();
            let stream = loop {
                match TcpStream::connect(&address) {
                    Ok(stream) => break stream,
                    Err(_) if begun.elapsed() < Duration::from_secs(30) => {}
                    Err(error) => panic!("{error}"),
                }
            };
            ask(&mut BufReader::new(stream), "GET key-77\n")
        });
        let places = ["--listen", &address, "--admin", &admin];
        let server = start(&[&arena[..], &places].concat());
        assert!(
            server.before.contains("restored 400000 items"),
            "{}",
            server.before
        );
        assert_eq!(first.join().expect("answered"), b"77");
        is_over.store(true, Relaxed);
        let told = told.join().expect("asked");
        let starting = told
            .iter()
            .filter(|text| text.starts_with("starting"))
            .count();
        assert!(starting > 0, "{told:?}");
    });
}

#[test]
fn what_cannot_be_restored_is_said_and_refused_if_that_is_wanted() {
    let scratch = Scratch::new("refused");
    let path = scratch.0.join("arena");
    let text = path.to_str().expect("plain");
    let server = Process::start(&["--arena", text, "--arena-required"]);
    assert!(server.before.contains("is new"), "{}", server.before);
    drop(server);
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[8] = 77;
    std::fs::write(&path, &bytes).expect("writes");
    let output = run(
        &[
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--memory",
            "48m",
            "--arena",
            text,
            "--arena-required",
        ],
        &[],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("its format has the number 77"), "{stderr}");
    assert!(
        std::fs::read(&path).expect("reads") == bytes,
        "it was touched"
    );
    let server = Process::start(&["--arena", text]);
    let expected = "nothing is restored of";
    assert!(server.before.contains(expected), "{}", server.before);
}
