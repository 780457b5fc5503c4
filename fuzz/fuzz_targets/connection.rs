//! A whole connection: any bytes, in any pieces, through a real socket into a whole server.
//!
//! Two servers get the same bytes, one at a stroke, the other in pieces; each input begins with an
//! empty cache. Their replies must be the same, and when a server is shut down, now and then,
//! its cache audits itself (with debug assertions, which cargo-fuzz switches on).
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use flagstone_server::{Config, Running, Server};
use libfuzzer_sys::fuzz_target;

/// Inputs between two audits.
const INPUTS_PER_SERVER: u32 = 2_000;
/// A reply that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Pair {
    servers: [(Running, PathBuf); 2],
    inputs: u32,
}

static PAIR: Mutex<Option<Pair>> = Mutex::new(None);

fn start(name: &str) -> (Running, PathBuf) {
    let path = std::env::temp_dir().join(format!("fs-fuzz-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let place = format!("unix:{}", path.display());
    let config = Config {
        listen: vec![place.parse().expect("an address")],
        memory_bytes: 24 << 20,
        item_bytes_max: 64 << 10,
        connections_max: 8,
        workers: 1,
        cgroup_root: None,
        ..Config::default()
    };
    (Server::start(config).expect("starts"), path)
}

fn talk(path: &PathBuf, parts: &[&[u8]]) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    stream.set_write_timeout(Some(PATIENCE)).expect("settable");
    for part in parts {
        // A server that has hung up need not be told more.
        if stream.write_all(part).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut replies = Vec::new();
    match stream.read_to_end(&mut replies) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no reply, no end"),
        // A reset after a hang-up is an end, too.
        _ => replies,
    }
}

/// Pieces of lengths that the first byte picks.
fn cut(bytes: &[u8], pattern: u8) -> Vec<&[u8]> {
    let mut state = u32::from(pattern) + 1;
    let longest = [1, 3, 16, 200][usize::from(pattern % 4)];
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = (1 + state as usize / 65_536 % longest).min(rest.len());
        // Enough pieces; a packet each would take long.
        let len = if parts.len() < 64 { len } else { rest.len() };
        let (part, more) = rest.split_at(len);
        parts.push(part);
        rest = more;
    }
    parts
}

/// CAS numbers are a server's own, and so are its counters: they are not compared.
fn comparable(bytes: &[u8]) -> Vec<u8> {
    match bytes.first() {
        Some(0x81) => packets(bytes),
        _ => without_digits(&without_stores(bytes)),
    }
}

/// A lifetime may be in the next bucket if the clock was a little further.
fn is_about_stores(line: &[u8]) -> bool {
    line.strip_prefix(b"STAT ")
        .unwrap_or(line)
        .starts_with(b"stored_")
}

/// Lines of text that are to be compared.
fn without_stores(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| !is_about_stores(line))
        .flatten()
        .copied()
        .collect()
}

/// Answers of memcached's binary protocol.
fn packets(mut bytes: &[u8]) -> Vec<u8> {
    const STAT: u8 = 0x10;
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((header, rest)) = bytes.split_first_chunk::<24>() {
        let len = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let (body, rest) = rest.split_at(len.min(rest.len()));
        // A counter's digits may be more in one of the two.
        if header[1] == STAT {
            if !is_about_stores(body) {
                out.extend_from_slice(&header[..8]);
                out.extend_from_slice(&header[12..16]);
                out.extend_from_slice(&without_digits(body));
            }
        } else {
            out.extend_from_slice(&header[..16]);
            out.extend_from_slice(body);
        }
        bytes = rest;
    }
    out.extend_from_slice(bytes);
    out
}

/// Digits are not compared.
fn without_digits(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        // A figure of the curve may be below nothing at one time and not at the other.
        if byte == b'-'
            && out.last() == Some(&b' ')
            && bytes[at + 1..].first().is_some_and(u8::is_ascii_digit)
        {
            continue;
        }
        let byte = if byte.is_ascii_digit() { b'#' } else { byte };
        if byte != b'#' || out.last() != Some(&b'#') {
            out.push(byte);
        }
    }
    out
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&pattern, bytes)) = bytes.split_first() else {
        return;
    };
    // Replies of more than a socket holds, while nobody reads, would have to wait for each
    // other.
    let bytes = &bytes[..bytes.len().min(4096)];
    let mut place = PAIR.lock().expect("one thread");
    if place
        .as_ref()
        .is_some_and(|pair| pair.inputs >= INPUTS_PER_SERVER)
    {
        for (server, _) in place.take().expect("looked at above").servers {
            server.shutdown().expect("ends");
        }
    }
    let pair = place.get_or_insert_with(|| Pair {
        // Names of digits: `stats settings` tells the socket's path, and digits are not compared.
        servers: [start("1"), start("2")],
        inputs: 0,
    });
    pair.inputs += 1;
    let parts = cut(bytes, pattern);
    // A second may begin between the two.
    let mut differ = (Vec::new(), Vec::new());
    let same = (0..4).any(|_| {
        let [whole, pieces] = &pair.servers;
        assert_eq!(talk(&whole.1, &[b"FLUSH\n"]), b"OK\n");
        assert_eq!(talk(&pieces.1, &[b"FLUSH\n"]), b"OK\n");
        let whole = talk(&whole.1, &[bytes]);
        let pieces = talk(&pieces.1, &parts);
        differ = (comparable(&whole), comparable(&pieces));
        differ.0 == differ.1
    });
    assert!(
        same,
        "at a stroke: {}\nin pieces: {}",
        differ.0.escape_ascii(),
        differ.1.escape_ascii()
    );
});
