//! Goal: a rollout that nobody notices. Method: the binary gets SIGTERM while clients pipeline
//! without a pause and others are idle; probes are watched as an orchestrator would, and each client tells how its
//! connection ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http;
use crate::common::process::Process;

/// Requests that a client sends in one go, and what they are answered.
const BATCH: usize = 32;
/// So many are sent before replies are waited for.
const AHEAD: u64 = 1000;

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server's FIN, between two replies.
    Fin,
    /// It was cut in the middle of a reply.
    Cut(String),
    /// Anything else: a reset, above all.
    Failed(ErrorKind),
}

/// Pipelines until the connection ends: replies are read by one thread while another goes on
/// sending, also after the server has said goodbye.
fn pipeline(address: &str, (request, reply): (&[u8], &[u8]), served: &AtomicU64) -> (End, Instant) {
    let mut reader = TcpStream::connect(address).expect("connects");
    let patience = Some(Duration::from_secs(30));
    reader.set_read_timeout(patience).expect("settable");
    let mut writer = reader.try_clone().expect("clones");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| {
            let batch = request.repeat(BATCH);
            let mut sent = 0;
            while !over.load(Relaxed) {
                writer.write_all(&batch).map_err(|error| error.kind())?;
                sent += BATCH as u64;
                while sent > served.load(Relaxed) + AHEAD && !over.load(Relaxed) {
                    std::thread::yield_now();
                }
            }
            Ok(())
        });
        let mut kept = Vec::new();
        let mut bytes = [0; 4096];
        let end = loop {
            match reader.read(&mut bytes) {
                Ok(0) if kept.is_empty() => break End::Fin,
                Ok(0) => break End::Cut(common::show(&kept).to_string()),
                Ok(n) => kept.extend_from_slice(&bytes[..n]),
                Err(error) => break End::Failed(error.kind()),
            }
            let whole = kept.len() / reply.len() * reply.len();
            for one in kept.drain(..whole).as_slice().chunks(reply.len()) {
                assert_eq!(common::show(one), common::show(reply));
                served.fetch_add(1, Relaxed);
            }
        };
        let ended = Instant::now();
        // The other thread has not noticed yet, and what it sends must not be answered by a
        // reset: read too late, it would take the last replies with it.
        std::thread::sleep(Duration::from_millis(20));
        over.store(true, Relaxed);
        match sends.join().expect("ends") {
            Ok(()) => (end, ended),
            Err(kind) => (End::Failed(kind), ended),
        }
    })
}

/// Says nothing until its connection ends.
fn idle(address: &str) -> (End, Instant) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).expect("settable");
    let mut byte = [0];
    let end = match stream.read(&mut byte) {
        Ok(0) => End::Fin,
        Ok(_) => End::Cut(common::show(&byte).to_string()),
        Err(error) => End::Failed(error.kind()),
    };
    (end, Instant::now())
}

const NATIVE: (&[u8], &[u8]) = (b"GET native\n", b"one two three\n");
const MEMCACHED: (&[u8], &[u8]) = (b"mg memcached v\r\n", b"VA 3\r\none\r\n");

fn store(process: &Process) {
    let mut client = process.connect();
    let lines = b"PUT native one two three\nms memcached 3\r\none\r\n";
    client.write_all(lines).expect("sends");
    common::expect(&mut client, b"OK\nHD\r\n");
    client.shutdown(Shutdown::Write).expect("open");
}

#[test]
fn a_drain_is_announced_served_through_and_ends_with_a_fin() {
    const DELAY: Duration = Duration::from_secs(2);
    let mut process = Process::start(&["--drain-delay", "2s"]);
    store(&process);
    let admin: SocketAddr = process.admin.parse().expect("an address");
    let address = process.address.clone();
    let address = address.as_str();
    assert_eq!(http::get(admin, "/readyz").status, 200);
    let served: [AtomicU64; 2] = Default::default();
    std::thread::scope(|scope| {
        let busy = [NATIVE, MEMCACHED].map(|words| {
            let served = &served[usize::from(words == MEMCACHED)];
            scope.spawn(move || pipeline(address, words, served))
        });
        let idle = scope.spawn(|| idle(address));
        common::wait_until("they are served", || {
            served.iter().all(|served| served.load(Relaxed) > 1000)
        });
        let told = Instant::now();
        process.signal("TERM");
        common::wait_until("readyz says no", || {
            http::get(admin, "/readyz").status == 503
        });
        let noticed = told.elapsed();
        assert!(noticed < Duration::from_millis(500), "{noticed:?}");
        // Nobody is sent here any more; those who are here, and late-comers, are served.
        let mut looks = 0;
        while told.elapsed() < DELAY - Duration::from_millis(400) {
            let before = [0, 1].map(|no: usize| served[no].load(Relaxed));
            let readyz = http::get(admin, "/readyz");
            assert_eq!((readyz.status, &*readyz.body), (503, "draining\n"));
            assert_eq!(http::get(admin, "/livez").status, 200);
            store(&process);
            std::thread::sleep(Duration::from_millis(100));
            for (served, before) in served.iter().zip(before) {
                assert!(served.load(Relaxed) > before, "look {looks}");
            }
            looks += 1;
        }
        assert!(looks > 3, "{looks}");
        let ends = busy.map(|client| client.join().expect("ends"));
        for (end, at) in ends.into_iter().chain([idle.join().expect("ends")]) {
            assert_eq!(end, End::Fin);
            assert!(at.duration_since(told) >= DELAY, "{:?}", at - told);
        }
    });
    assert_eq!(process.exit_code(), Some(0));
    assert!(TcpStream::connect(admin).is_err(), "the pages are gone");
}

/// A reset comes by chance, so this is done often.
#[test]
fn no_client_sees_a_reset_in_many_drains() {
    for round in 0..12 {
        let mut process = Process::start(&["--drain-delay", "50ms"]);
        store(&process);
        let address = process.address.clone();
        let address = address.as_str();
        let served: [AtomicU64; 6] = Default::default();
        std::thread::scope(|scope| {
            let busy = served.iter().enumerate().map(|(no, served)| {
                let words = [NATIVE, MEMCACHED][no % 2];
                scope.spawn(move || pipeline(address, words, served))
            });
            let busy: Vec<_> = busy.collect();
            common::wait_until("they are served", || {
                served.iter().all(|served| served.load(Relaxed) > 100)
            });
            process.signal("TERM");
            for client in busy {
                assert_eq!(client.join().expect("ends").0, End::Fin, "round {round}");
            }
        });
        assert_eq!(process.exit_code(), Some(0), "round {round}");
    }
}
