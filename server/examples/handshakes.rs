//! Measures what TLS handshakes cost those who do not make any: the time to answer of one plain
//! client, beside a number of handshakes a second, spread evenly or all at once.
//!
//! ```text
//!   cargo build --release && cargo run --release -p flagstone-server --example handshakes -- \
//!     target/release/flagstone chain.pem key.pem
//! ```
//!
//! The server has one worker. A handshake here is a client's first message, always the same,
//! and what the server answers: the dear part of it, and none of the client's own work, which would
//! take from the same CPUs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

type Failure = Box<dyn std::error::Error>;

/// The plain client asks so often: not so often that it would queue behind itself when each of its
/// requests waits for one handshake.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(2);
const SECONDS: u64 = 8;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, cert, key] = arguments.as_slice() else {
        return Err("usage: handshakes FLAGSTONE CERT.pem KEY.pem".into());
    };
    let (mut server, [plain, secret]) = start(program, cert, key)?;
    let hello = client_hello()?;
    println!("handshakes/s       done     p50     p99   p99.9     max (µs)");
    for (each_second, burst) in [(0, 1), (200, 1), (200, 200), (0, 1), (200, 1), (200, 200)] {
        let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let times = std::thread::scope(|scope| {
            if each_second > 0 {
                scope.spawn(|| shake_hands(secret, &hello, each_second, burst, &over, &done));
            }
            let times = ask(plain);
            over.store(true, Relaxed);
            times
        })?;
        let part = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_micros();
        println!(
            "{each_second:>4} {:<13} {:>5} {:>7} {:>7} {:>7} {:>7}",
            if burst > 1 { "at once" } else { "evenly" },
            done.load(Relaxed) / SECONDS,
            part(0.5),
            part(0.99),
            part(0.999),
            part(1.0),
        );
    }
    server.kill()?;
    server.wait()?;
    Ok(())
}

fn start(program: &str, cert: &str, key: &str) -> Result<(Child, [SocketAddr; 2]), Failure> {
    let mut server = Command::new(program)
        .args(["--listen", "127.0.0.1:0,tls:127.0.0.1:0", "--admin", "none"])
        .args(["--workers", "1", "--tls-max-connections", "1000"])
        .args(["--tls-cert", cert, "--tls-key", key])
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = BufReader::new(server.stderr.take().ok_or("no stderr")?);
    let mut line = String::new();
    stderr.read_line(&mut line)?;
    let places = line.split("listening on ").nth(1).ok_or(line.clone())?;
    let mut places = places.split(", ").map(str::parse);
    let mut next = || places.next().ok_or("a place is missing");
    let both = [next()??, next()??];
    std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
    Ok((server, both))
}

/// What a client says first.
fn client_hello() -> Result<Vec<u8>, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name)?.write_tls(&mut hello)?;
    Ok(hello)
}

/// The times of a client who asks at a steady pace, sorted; counted from when each was due.
fn ask(address: SocketAddr) -> std::io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    let began = Instant::now();
    for no in 0.. {
        let due = began + BETWEEN_REQUESTS * no;
        if due > began + Duration::from_secs(SECONDS) {
            break;
        }
        while Instant::now() < due {
            std::thread::sleep(Duration::from_micros(50));
        }
        stream.write_all(b"GET a\n")?;
        stream.read_exact(&mut [0; 9])?;
        times.push(due.elapsed());
    }
    times.sort();
    Ok(times)
}

/// `each_second` handshakes, `burst` of them at once.
fn shake_hands(
    address: SocketAddr,
    hello: &[u8],
    each_second: u32,
    burst: u32,
    over: &AtomicBool,
    done: &AtomicU64,
) {
    let began = Instant::now();
    for round in 0.. {
        let due = began + Duration::from_secs(1) * burst * round / each_second;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if over.load(Relaxed) {
            return;
        }
        let connected = (0..burst).filter_map(|_| TcpStream::connect(address).ok());
        let mut connected: Vec<TcpStream> = connected.collect();
        for stream in &mut connected {
            let _ = stream.write_all(hello);
        }
        for mut stream in connected {
            if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 5) {
                done.fetch_add(1, Relaxed);
            }
        }
    }
}
