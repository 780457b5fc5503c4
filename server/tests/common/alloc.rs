//! Counts the blocks that the whole process allocates while requests are served: the server's
//! threads are threads of this test, and dhat is its allocator.
//!
//! One `#[test]` a file, so that nothing else runs beside it. The client allocates nothing
//! either: requests and replies are prepared before the counting begins.

use std::io::{Read, Write};
use std::net::TcpStream;

use flagstone_server::{Config, Running};

use super::tls::{self, Pair};

/// Requests that are counted, unless a test says why fewer.
pub const REQUESTS: usize = 100_000;

/// Starts a server and connects `clients`; `serve(clients, n)` performs request number `n`.
/// A tenth of the requests warm everything up, then `requests` are counted.
pub fn assert_none(
    config: Config,
    clients: usize,
    requests: usize,
    mut serve: impl FnMut(&mut [Client], usize),
) -> Running {
    // Everything that can be switched on is.
    let pair = Pair::new("alloc");
    let mut config = Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: 10,
        ..config
    };
    config
        .listen
        .push("tls:127.0.0.1:0".parse().expect("a place"));
    let server = super::start_with(config);
    let secret = server.local_addrs().last().expect("has one");
    let mut secret = tls::connect(secret, &pair.der).expect("a handshake");
    secret.write_all(b"PUT hidden 1\n").expect("sends");
    secret.read_exact(&mut [0; 3]).expect("replies");
    let mut clients: Vec<Client> = (0..clients).map(|_| Client::new(&server)).collect();
    let warm = (requests / 10).max(10);
    for n in 0..warm {
        serve(&mut clients, n);
    }
    // Read into locals: an assertion that fails allocates.
    let before = dhat::HeapStats::get();
    for n in warm..warm + requests {
        serve(&mut clients, n);
    }
    let after = dhat::HeapStats::get();
    assert_eq!(
        after.total_blocks - before.total_blocks,
        0,
        "blocks allocated in {requests} requests ({} bytes)",
        after.total_bytes - before.total_bytes
    );
    drop(secret);
    server
}

/// Must be the first thing in the test and live to its end.
#[must_use]
pub fn profiler() -> dhat::Profiler {
    dhat::Profiler::builder().testing().build()
}

pub struct Client {
    stream: TcpStream,
    reply: Box<[u8]>,
}

impl Client {
    fn new(server: &Running) -> Self {
        Client {
            stream: super::connect(server),
            reply: vec![0; 1 << 20].into_boxed_slice(),
        }
    }

    /// Sends and waits for exactly `expected`.
    pub fn exchange(&mut self, input: &[u8], expected: &[u8]) {
        self.stream.write_all(input).expect("sends");
        let reply = &mut self.reply[..expected.len()];
        self.stream.read_exact(reply).expect("replies");
        assert!(reply == expected, "{}", reply.escape_ascii());
    }

    /// Sends, and is shown out without a word.
    pub fn exchange_to_end(&mut self, input: &[u8]) {
        self.stream.write_all(input).expect("sends");
        let read = self.stream.read(&mut self.reply);
        assert!(matches!(read, Ok(0) | Err(_)));
    }

    /// Sends and reads up to `end`.
    pub fn exchange_until(&mut self, input: &[u8], end: &[u8]) {
        self.stream.write_all(input).expect("sends");
        let mut len = 0;
        while !self.reply[..len].ends_with(end) {
            let read = self.stream.read(&mut self.reply[len..]).expect("replies");
            assert!(read > 0, "no end");
            len += read;
        }
    }
}

/// Writes `n` as 8 hexadecimal digits over the `#`s of a template.
pub fn number(line: &mut [u8], n: usize) {
    let at = line.iter().position(|&byte| byte == b'#');
    let at = at.expect("a template has #s");
    digits(&mut line[at..at + 8], n);
}

pub fn digits(place: &mut [u8], n: usize) {
    for (digit, shift) in place.iter_mut().zip((0..8).rev()) {
        *digit = b"0123456789abcdef"[(n >> (4 * shift)) & 15];
    }
}
