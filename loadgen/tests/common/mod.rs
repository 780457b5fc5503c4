//! Servers to put load on: other programs where they are installed, and one that lies.
#![allow(dead_code, missing_docs)] // Each test file uses its own part.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flagstone_bench::settings::{Length, Settings};
use flagstone_bench::socket::Place;
use flagstone_bench::wire::Protocol;

/// A short run of everything: reads, writes and deletes, many connections, two threads.
pub fn short(address: impl Into<Place>, protocol: Protocol) -> Settings {
    Settings {
        address: address.into(),
        protocol,
        connections: 20,
        threads: 2,
        pipeline: 4,
        keys: 500,
        warmup: Duration::from_millis(50),
        length: Length::Time(Duration::from_millis(300)),
        mix: "8:1:1".parse().expect("a mix"),
        ..Settings::default()
    }
}

/// The program is not here: says so by name. In CI, where everything has to be, that fails.
pub fn skip(program: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{program} is not installed, and CI runs everything"
    );
    eprintln!("skipped: {program} is not installed");
}

/// A server process on a port that nobody else had a moment ago.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// `None` where the program is missing.
    pub fn start(program: &str, arguments: impl Fn(u16) -> Vec<String>) -> Option<Self> {
        // Another process may take the port between the two steps: then it is tried again.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = free.local_addr().expect("bound");
            drop(free);
            let child = Command::new(program)
                .args(arguments(address.port()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()?;
            let mut process = Process { child, address };
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(20) {
                if let Ok(Some(_)) = process.child.try_wait() {
                    break;
                }
                if TcpStream::connect(address).is_ok() {
                    return Some(process);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("{program} does not come up");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a native server does to the values that it is asked for.
pub type Lie = fn(asked: &str, values: &HashMap<String, String>) -> Option<String>;

/// A server of the native protocol whose reads go through `lie`. One thread a connection, for
/// as long as the test lives.
pub fn liar(lie: Lie) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accepts");
            std::thread::spawn(move || lie_to(stream, lie));
        }
    });
    address
}

fn lie_to(stream: TcpStream, lie: Lie) {
    // Replies in pieces would wait for acknowledgements, 40 ms each.
    stream.set_nodelay(true).expect("settable");
    let mut values = HashMap::new();
    let mut out = stream.try_clone().expect("clones");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let mut words = line.splitn(3, ' ');
        let reply = match (words.next(), words.next(), words.next()) {
            (Some("GET"), Some(key), _) => {
                lie(key, &values).unwrap_or_else(|| "NOTFOUND".to_owned())
            }
            (Some("PUT"), Some(key), Some(value)) => {
                values.insert(key.to_owned(), value.to_owned());
                "OK".to_owned()
            }
            _ => "ERROR".to_owned(),
        };
        if out.write_all(format!("{reply}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// A server that does `each` with a connection and then closes it.
pub fn serve(each: fn(TcpStream, usize)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.expect("accepts");
            std::thread::spawn(move || each(stream, number));
        }
    });
    address
}

/// Reads until `count` lines have come.
pub fn swallow_lines(stream: &mut TcpStream, count: usize) {
    let mut byte = [0];
    let mut lines = 0;
    while lines < count && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        lines += usize::from(byte[0] == b'\n');
    }
}
