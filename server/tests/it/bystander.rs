//! Whoever behaves is served at once, whatever others do with what they have begun: half requests, slow uploads, replies
//! that nobody reads. Times are generous, for a busy machine, and still a small part of what waiting for a stranger
//! would take; `cargo run --release -p flagstone-benches --bin bystander` measures them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::binary;
use crate::common::process::Process;
use crate::common::{
    connect, exchange, expect, expect_end, small_config, start_with, stat, wait_until,
};
use flagstone_server::{Config, Running};

/// Each of the scenes here kept a bystander waiting for longer than this, up to 30 s.
const AT_ONCE: Duration = Duration::from_secs(1);

fn crowded() -> Running {
    start_with(Config {
        connections_max: 600,
        ..small_config()
    })
}

/// So many begin to store a value of 2,000 bytes under `half`, and stop in the middle.
fn begin(server: &Running, count: usize, begun: &[u8]) -> Vec<TcpStream> {
    let mut half: Vec<TcpStream> = (0..count).map(|_| connect(server)).collect();
    for stream in &mut half {
        stream.write_all(begun).expect("sends");
    }
    half
}

/// Bystanders, one a worker, ask for a second or so, and for a long value each time as well if there is one.
fn stand_by(scene: &str, bystanders: &mut [TcpStream], long: Option<&[u8]>) {
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        for stream in &mut *bystanders {
            let start = Instant::now();
            exchange(stream, b"PUT a 1\n", b"OK\n");
            exchange(stream, b"GET a\n", b"1\n");
            if let Some(value) = long {
                exchange(stream, b"GET long\n", &[value, b"\n"].concat());
            }
            longest = longest.max(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{scene}: a bystander waited for {longest:?} at most");
    assert!(longest < AT_ONCE, "{scene}: {longest:?}");
}

#[test]
fn half_requests_keep_nobody_waiting() {
    let server = crowded();
    let mut bystanders = [connect(&server), connect(&server)];
    let value = "v".repeat(2000);
    let store = format!("set half 0 0 2000\r\n{value}\r\n");
    // More than there are buffers of each kind.
    let mut half = begin(&server, 80, &store.as_bytes()[..1300]);
    let mut begun: Vec<TcpStream> = (0..310).map(|_| connect(&server)).collect();
    for stream in &mut begun {
        stream.write_all(b"P").expect("sends");
    }
    wait_until("all have arrived", || stat(&server, "connections") >= 393);
    stand_by("half requests", &mut bystanders, None);
    // Nothing that was begun is lost, whoever held it, and however it goes on.
    for stream in &mut half {
        stream
            .write_all(&store.as_bytes()[1300..1302])
            .expect("sends");
    }
    for stream in &mut half {
        stream
            .write_all(&[&store.as_bytes()[1302..], b"get half\r\nget n"].concat())
            .expect("sends");
    }
    for (no, stream) in half.iter_mut().enumerate() {
        expect(stream, b"STORED\r\nVALUE half 0 2000\r\n");
        expect(stream, value.as_bytes());
        expect(stream, b"\r\nEND\r\n");
        // Half a request that ends is nobody's; a whole one is answered first.
        if no % 2 == 0 {
            stream.write_all(b"o\r\nget").expect("sends");
        }
        stream.shutdown(Shutdown::Write).expect("half-closes");
        if no % 2 == 0 {
            expect(stream, b"END\r\n");
        }
        expect_end(stream);
    }
    for stream in &mut begun {
        exchange(stream, b"UT a 1\nGET a\n", b"OK\n1\n");
    }
    assert_eq!(stat(&server, "connections_stalled"), 0);
}

#[test]
fn who_leaves_in_the_middle_of_a_request_is_closed_in_order() {
    let server = crowded();
    let half = [&b"set half 0 0 2000\r\n"[..], &[b'v'; 1300]].concat();
    // The second crowd takes the buffers that were made ready for the first.
    let _first = begin(&server, 80, &half);
    wait_until("all have arrived", || stat(&server, "connections") >= 81);
    std::thread::sleep(Duration::from_millis(500));
    let _second = begin(&server, 80, &half);
    wait_until("all have arrived", || stat(&server, "connections") >= 161);
    let mut longest = Duration::ZERO;
    for left in [&b"g"[..], b"get n", b"set n 0 0 20\r\nabc", &half] {
        for _ in 0..10 {
            let start = Instant::now();
            let mut stream = connect(&server);
            let sent = [b"get n\r\n", left].concat();
            stream.write_all(&sent).expect("sends");
            stream.shutdown(Shutdown::Write).expect("half-closes");
            expect(&mut stream, b"END\r\n");
            expect_end(&mut stream);
            // Not by looking at the same bytes again and again until there is a buffer for them.
            longest = longest.max(start.elapsed());
        }
    }
    println!("leaving in the middle of a request took {longest:?} at most");
    assert!(longest < AT_ONCE, "{longest:?}");
}

#[test]
fn a_crowd_that_writes_in_batches_is_answered_to_the_last() {
    const ANSWERS: &[u8] = b"OK\n";
    let server = crowded();
    let batch = [&b"PUT key "[..], &[b'v'; 1024], b"\n"].concat().repeat(60);
    // Requests that end where a socket's small buffer does are as good as none: some of so many are half in it.
    let mut crowd: Vec<(TcpStream, usize, usize)> =
        (0..500).map(|_| (connect(&server), 0, 0)).collect();
    for (stream, ..) in &crowd {
        stream.set_nonblocking(true).expect("set");
    }
    let end = Instant::now() + Duration::from_secs(60);
    let mut room = [0; 1024];
    let whole = 60 * ANSWERS.len();
    while crowd.iter().any(|&(_, _, read)| read < whole) {
        for (stream, sent, read) in &mut crowd {
            while *sent < batch.len() {
                match stream.write(&batch[*sent..]) {
                    Ok(n) => *sent += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error} after {sent} bytes"),
                }
            }
            match stream.read(&mut room) {
                Ok(0) => panic!("closed after {read} bytes"),
                Ok(n) => {
                    let expected = ANSWERS.iter().cycle().skip(*read % 3).take(n);
                    assert!(room[..n].iter().eq(expected), "after {read} bytes");
                    *read += n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error} after {read} bytes"),
            }
        }
        let late = crowd.iter().filter(|&&(_, _, read)| read < whole).count();
        assert!(Instant::now() < end, "{late} wait for their answers");
    }
    assert_eq!(stat(&server, "connections_stalled"), 0);
}

#[test]
fn who_was_served_without_a_buffer_may_idle_afterwards() {
    let server = start_with(Config {
        stall_timeout: Duration::from_secs(2),
        ..small_config()
    });
    let mut half: Vec<TcpStream> = (0..100).map(|_| connect(&server)).collect();
    for stream in &mut half {
        let sent = stream.write_all(&[b"PUT half ", &[b'v'; 3_000][..]].concat());
        sent.expect("sends");
    }
    let mut idle = [connect(&server), connect(&server)];
    for stream in &mut idle {
        stream
            .write_all(&[b"PUT a ", &[b'v'; 2_000][..]].concat())
            .expect("sends");
    }
    std::thread::sleep(Duration::from_millis(50));
    for stream in &mut idle {
        exchange(stream, b"\n", b"OK\n");
    }
    wait_until("those who stall are closed", || {
        stat(&server, "connections_stalled") >= 100
    });
    std::thread::sleep(Duration::from_secs(1));
    for stream in &mut idle {
        exchange(stream, b"PUT a 1\nGET a\n", b"OK\n1\n");
    }
}

#[test]
fn slow_uploads_keep_nobody_waiting() {
    slow_uploads(&crowded(), &text_upload(), 1_500, 20);
}

#[test]
fn slow_uploads_in_binary_keep_nobody_waiting() {
    slow_uploads(&crowded(), &binary_upload(), 1_500, 20);
    let server = start_with(Config {
        connections_max: 600,
        socket_buffer_bytes: 4 << 10,
        ..small_config()
    });
    slow_uploads(&server, &binary_upload(), 1_500, 20);
    assert_eq!(stat(&server, "connections_stalled"), 0);
}

#[test]
fn slow_uploads_keep_nobody_waiting_when_the_kernel_has_no_room_for_them_either() {
    let server = start_with(Config {
        connections_max: 600,
        socket_buffer_bytes: 4 << 10,
        ..small_config()
    });
    slow_uploads(&server, &text_upload(), 1_500, 20);
    // The kernel counts each of these as most of a kilobyte: the buffer seems full when it has next to nothing.
    slow_uploads(&server, &text_upload(), 25, 6);
    assert_eq!(stat(&server, "connections_stalled"), 0);
}

/// A request, and its answer.
type Upload = (Vec<u8>, Vec<u8>);

fn text_upload() -> Upload {
    let value = [b'v'; 15_000];
    let store = [&b"set up 0 0 15000\r\n"[..], &value, b"\r\n"].concat();
    (store, b"STORED\r\n".to_vec())
}

/// Quietly, because the answer to a store has a CAS number in it.
fn binary_upload() -> Upload {
    let store = binary::store(binary::SETQ, "up", (0, 0), [b'v'; 15_000]);
    let noop = binary::packet(binary::NOOP, "");
    let mut answer = noop.bytes();
    answer[0] = 0x81;
    (binary::bytes(&[store, noop]), answer)
}

fn slow_uploads(server: &Running, (store, answer): &Upload, piece: usize, pause_millis: u64) {
    let mut bystanders = [connect(server), connect(server)];
    let mut slow: Vec<TcpStream> = (0..60).map(|_| connect(server)).collect();
    let mut sent = 0;
    while sent < store.len() {
        let next = (sent + piece).min(store.len());
        for stream in &mut slow {
            stream.write_all(&store[sent..next]).expect("sends");
        }
        sent = next;
        if sent == 6_000 {
            stand_by("slow uploads", &mut bystanders, None);
        }
        std::thread::sleep(Duration::from_millis(pause_millis));
    }
    for stream in &mut slow {
        expect(stream, answer);
    }
}

#[test]
fn long_values_that_are_not_read_keep_nobody_waiting_for_shorter_ones() {
    let server = crowded();
    let mut bystanders = [connect(&server), connect(&server)];
    let long = vec![b'l'; 60_000];
    exchange(
        &mut bystanders[0],
        &[b"PUT long ", &long[..], b"\n"].concat(),
        b"OK\n",
    );
    let huge = vec![b'h'; 1 << 20];
    exchange(
        &mut bystanders[0],
        &[b"PUT huge ", &huge[..], b"\n"].concat(),
        b"OK\n",
    );
    let mut deaf: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut deaf {
        stream.write_all(&b"GET huge\n".repeat(8)).expect("sends");
    }
    std::thread::sleep(Duration::from_millis(200));
    stand_by("long values, unread", &mut bystanders, Some(&long));
}

/// They let go of what they do not take, and go on where they were.
#[test]
fn long_values_that_are_not_read_keep_nobody_waiting_for_as_long_ones() {
    let server = crowded();
    let mut bystanders = [connect(&server), connect(&server)];
    let long = vec![b'l'; 1 << 20];
    let put = |name: &str, value: &[u8]| [b"PUT ", name.as_bytes(), b" ", value, b"\n"].concat();
    exchange(&mut bystanders[0], &put("long", &long), b"OK\n");
    let names: Vec<String> = (0..24).map(|no| format!("of-{no}")).collect();
    let mut deaf = Vec::new();
    for name in &names {
        exchange(&mut bystanders[0], &put(name, &long), b"OK\n");
        let mut stream = connect(&server);
        let asked = format!("GET {name}\n").repeat(4);
        stream.write_all(asked.as_bytes()).expect("sends");
        deaf.push(stream);
    }
    std::thread::sleep(Duration::from_millis(200));
    stand_by("long values, unread", &mut bystanders, Some(&long));
    for stream in deaf.iter_mut().take(4) {
        for _ in 0..4 {
            expect(stream, &[&long[..], b"\n"].concat());
        }
    }
    // Most of the others hold nothing: when their values are replaced, these are gone in the middle.
    for name in &names {
        exchange(&mut bystanders[0], &put(name, b"short"), b"OK\n");
    }
    let is_cut = |stream: &mut TcpStream| {
        let mut answers = Vec::new();
        stream.shutdown(Shutdown::Write).expect("open");
        stream.read_to_end(&mut answers).expect("its end");
        !answers.ends_with(b"\nshort\n")
    };
    let others = deaf.iter_mut().skip(4).map(is_cut);
    let cut = others.filter(|&cut| cut).count();
    assert!((8..=20).contains(&cut), "{cut}");
    assert_eq!(stat(&server, "connections_stalled"), cut as u64);
}

#[test]
fn replies_that_are_not_read_keep_nobody_waiting() {
    let server = crowded();
    let mut bystanders = [connect(&server), connect(&server)];
    // Longer than what a socket is sure to take.
    let long = vec![b'l'; 20_000];
    exchange(
        &mut bystanders[0],
        &[&b"set long 0 0 20000\r\n"[..], &long, b"\r\n"].concat(),
        b"STORED\r\n",
    );
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, server) = (&stop, &server);
        scope.spawn(move || {
            let deaf: Vec<TcpStream> = (0..60).map(|_| connect(server)).collect();
            let asked = b"GET long\n".repeat(100);
            while !stop.load(Relaxed) {
                for mut stream in &deaf {
                    let _ = stream.set_nonblocking(true);
                    let _ = stream.write(&asked);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        let stood = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            stand_by("replies, unread", &mut bystanders, Some(&long));
        }));
        stop.store(true, Relaxed);
        assert!(stood.is_ok());
    });
}

#[test]
fn who_reads_slowly_and_goes_on_is_not_closed() {
    let server = crowded();
    let mut teller = connect(&server);
    let long = vec![b'l'; 100_000];
    exchange(
        &mut teller,
        &[b"PUT long ", &long[..], b"\n"].concat(),
        b"OK\n",
    );
    exchange(
        &mut teller,
        &[b"PUT short ", &[b's'; 1000][..], b"\n"].concat(),
        b"OK\n",
    );
    let mut readers: Vec<TcpStream> = (0..40).map(|_| connect(&server)).collect();
    for (no, stream) in readers.iter_mut().enumerate() {
        let asked = if no % 2 == 0 {
            b"GET long\n".repeat(40)
        } else {
            b"GET short\n".repeat(4_000)
        };
        stream.write_all(&asked).expect("sends");
        stream.set_nonblocking(true).expect("settable");
    }
    let mut piece = vec![0; 10_000];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        for stream in &mut readers {
            match stream.read(&mut piece) {
                Ok(n) => assert!(n > 0, "closed after {:?}", start.elapsed()),
                // It waits for its turn: their values are more than may be under way.
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(stat(&server, "connections_stalled"), 0);
}

#[test]
fn a_heavy_pipeline_keeps_nobody_waiting() {
    let server = start_with(Config {
        workers: 1,
        ..small_config()
    });
    let mut bystanders = [connect(&server)];
    let long = vec![b'l'; 900_000];
    let put = [&b"set long 0 0 900000\r\n"[..], &long, b"\r\n"].concat();
    exchange(&mut bystanders[0], &put, b"STORED\r\n");
    for (scene, asked) in [
        ("appends", &b"append long 0 0 1\r\nx\r\n"[..]),
        ("stats slabs", b"stats slabs\r\n"),
        ("STATS CLASSES", b"STATS CLASSES\n"),
    ] {
        let busy = connect(&server);
        std::thread::scope(|scope| {
            let mut writer = busy.try_clone().expect("clones");
            let mut reader = busy.try_clone().expect("clones");
            let ends = EndsOnDrop(busy);
            scope.spawn(move || {
                let asked = asked.repeat(400);
                while writer.write_all(&asked).is_ok() {}
            });
            scope.spawn(move || {
                let mut replies = vec![0; 1 << 16];
                while reader.read(&mut replies).is_ok_and(|n| n > 0) {}
            });
            std::thread::sleep(Duration::from_millis(100));
            stand_by(scene, &mut bystanders, None);
            drop(ends);
        });
    }
}

/// Also when an assertion fails, so that a failure does not look like a hang.
struct EndsOnDrop(TcpStream);

impl Drop for EndsOnDrop {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

#[test]
fn lively_connections_are_spread_over_the_workers() {
    let server = Process::start(&["--workers", "2"]);
    let connections_of = |worker: &str| {
        server.metric(&format!(
            "flagstone_worker_connections{{worker=\"{worker}\"}}"
        ))
    };
    let mut streams: Vec<TcpStream> = (0..40)
        .map(|_| common::connect_to(server.address.parse().expect("an address")))
        .collect();
    for stream in &mut streams {
        exchange(stream, b"PUT a 1\n", b"OK\n");
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Every second one: all on one worker.
        for stream in streams.iter_mut().step_by(2) {
            let stop = &stop;
            scope.spawn(move || {
                let (asked, replies) = (b"GET a\n".repeat(200), b"1\n".repeat(200));
                while !stop.load(Relaxed) {
                    exchange(stream, &asked, &replies);
                }
            });
        }
        let start = Instant::now();
        let mut moved = false;
        while !moved && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(200));
            let counts = [connections_of("0"), connections_of("1")];
            moved = counts[0].max(counts[1]) >= 25.0;
        }
        stop.store(true, Relaxed);
        assert!(moved, "nobody was handed over");
        println!("some were handed over after {:?}", start.elapsed());
    });
    // And all of them are served on, wherever they are.
    for stream in &mut streams {
        exchange(stream, b"GET a\n", b"1\n");
    }
}

#[test]
fn a_pause_of_the_process_closes_nobody() {
    let server = Process::start(&["--workers", "1", "--stall-timeout", "3s"]);
    let address = server.address.parse().expect("an address");
    let mut streams: Vec<TcpStream> = (0..20).map(|_| common::connect_to(address)).collect();
    for stream in &mut streams {
        stream.write_all(b"PUT a").expect("sends");
    }
    let mut upload = common::connect_to(address);
    let value = vec![b'v'; 100_000];
    let store = [b"PUT long ", &value[..], b"\n"].concat();
    upload.write_all(&store[..50_000]).expect("sends");
    // They are read.
    std::thread::sleep(Duration::from_millis(300));
    server.signal("STOP");
    for stream in &mut streams {
        stream.write_all(b" 1\nGET a\n").expect("sends");
    }
    std::thread::sleep(Duration::from_secs(5));
    server.signal("CONT");
    for stream in &mut streams {
        expect(stream, b"OK\n1\n");
    }
    upload.write_all(&store[50_000..]).expect("sends");
    expect(&mut upload, b"OK\n");
}
