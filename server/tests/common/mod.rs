//! A whole server in this process, and clients that talk to it.
#![allow(dead_code, missing_docs)] // Each program of tests uses its own part.

pub mod alloc;
pub mod binary;
pub mod http;
pub mod process;
pub mod resp;
pub mod tls;
pub mod tool;

use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use flagstone_server::{Config, Running, Server};

/// Nothing in a test takes longer unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn small_config() -> Config {
    Config {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()],
        memory_bytes: 48 << 20,
        workers: 2,
        connections_max: 200,
        ..Config::default()
    }
}

pub fn start() -> Running {
    start_with(small_config())
}

pub fn start_with(config: Config) -> Running {
    Server::start(config).expect("the server starts")
}

pub fn connect(server: &Running) -> TcpStream {
    connect_to(server.local_addr())
}

pub fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_nodelay(true).expect("settable");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    stream.set_write_timeout(Some(PATIENCE)).expect("settable");
    stream
}

/// Sends everything, half-closes, and returns everything until the server's FIN.
pub fn talk(server: &Running, input: &[u8]) -> Vec<u8> {
    talk_in_parts(server, &[input])
}

/// The same, with each part in a packet of its own as far as a client can help it.
pub fn talk_in_parts(server: &Running, parts: &[&[u8]]) -> Vec<u8> {
    let mut stream = connect(server);
    let mut reader = stream.try_clone().expect("clones");
    std::thread::scope(|scope| {
        let replies = scope.spawn(move || {
            let mut replies = Vec::new();
            // A reset after a hang-up is as good as a FIN.
            let _ = reader.read_to_end(&mut replies);
            replies
        });
        for part in parts {
            if stream.write_all(part).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        replies.join().expect("reads")
    })
}

/// Sends and waits for exactly `expected`.
pub fn exchange(stream: &mut TcpStream, input: &[u8], expected: &[u8]) {
    stream.write_all(input).expect("sends");
    expect(stream, expected);
}

pub fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).expect("replies");
    assert_eq!(show(&reply), show(expected));
}

/// The connection ends without another byte.
pub fn expect_end(stream: &mut TcpStream) {
    let mut byte = [0];
    assert_eq!(
        stream.read(&mut byte).expect("a FIN, no reset"),
        0,
        "{byte:?}"
    );
}

/// Bytes that are compared whole; only the first of them are told.
#[derive(PartialEq, Eq)]
pub struct Shown(Vec<u8>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 300;
        let Shown(bytes) = self;
        let shown = bytes[..bytes.len().min(MOST)].escape_ascii();
        write!(f, "{shown}… ({} bytes)", bytes.len())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub fn show(bytes: &[u8]) -> Shown {
    Shown(bytes.to_vec())
}

/// One number of `STATS`.
pub fn stat(server: &Running, name: &str) -> u64 {
    let stats = String::from_utf8(talk(server, b"STATS\n")).expect("text");
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let number = line.unwrap_or_else(|| panic!("no {name} in {stats}"));
    number.parse().expect("a number")
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
