//! A peer that never reads costs a bounded amount of memory. A program of its own, because it
//! looks at the resident memory of its process.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{connect, exchange, start};

/// Resident memory of this process, in which the server runs.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    let kib: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kib << 10
}

/// Sends until neither side's kernel takes more.
fn stuff(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).expect("settable");
    let mut sent = 0;
    let mut patience = 10;
    while patience > 0 {
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
        if sent > 64 << 20 {
            panic!("the server reads on although nobody reads its replies");
        }
    }
    stream.set_nonblocking(false).expect("settable");
    sent
}

#[test]
fn a_peer_that_never_reads_is_not_read_from() {
    let server = start();
    let mut polite = connect(&server);
    let put = [b"PUT k ", &[b'v'; 10_000][..], b"\n"].concat();
    exchange(&mut polite, &put, b"OK\n");
    let before = resident_bytes();
    let gets = b"GET k\n".repeat(10_000);
    let mut rude: Vec<TcpStream> = (0..10).map(|_| connect(&server)).collect();
    let mut sent = Vec::new();
    for stream in &mut rude {
        sent.push(stuff(stream, &gets));
        exchange(&mut polite, b"PUT a 1\nGET a\n", b"OK\n1\n");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for peers that do not read");
    // Nothing is lost: once they read, everything they asked for is there.
    let stream = &mut rude[0];
    let whole = sent[0] / 6;
    let reply = [&[b'v'; 10_000][..], b"\n"].concat();
    for _ in 0..whole {
        let mut got = vec![0; reply.len()];
        stream.read_exact(&mut got).expect("replies");
        assert!(got == reply);
    }
}
