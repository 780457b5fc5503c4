//! Peers that do not read, do not finish, or are too many: memory stays bounded and everybody
//! else is served.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{
    connect, exchange, expect, expect_end, small_config, start, start_with, stat, wait_until,
};
use flagstone_server::Config;

#[test]
fn peers_that_do_not_read_a_large_value_leave_room_for_others() {
    let server = start();
    let mut polite = connect(&server);
    let value = vec![b'v'; 1 << 20];
    exchange(
        &mut polite,
        &[b"PUT k ", &value[..], b"\n"].concat(),
        b"OK\n",
    );
    // More than there are transfers at a time.
    let mut slow: Vec<TcpStream> = (0..40).map(|_| connect(&server)).collect();
    for stream in &mut slow {
        stream.write_all(&b"GET k\n".repeat(8)).expect("sends");
    }
    std::thread::sleep(Duration::from_millis(200));
    // Small requests go on while all transfers are taken.
    for _ in 0..100 {
        exchange(&mut polite, b"PUT a 1\nGET a\n", b"OK\n1\n");
    }
    // And all the large ones have their turn as soon as they are read.
    let reply = [&value[..], b"\n"].concat();
    std::thread::scope(|scope| {
        for stream in &mut slow {
            let reply = &reply;
            scope.spawn(move || {
                for _ in 0..8 {
                    expect(stream, reply);
                }
            });
        }
    });
}

#[test]
fn who_holds_a_transfer_and_does_not_read_makes_way_sooner() {
    let server = start_with(Config {
        stall_timeout: Duration::from_secs(16),
        ..small_config()
    });
    let mut polite = connect(&server);
    let value = vec![b'v'; 1 << 20];
    exchange(
        &mut polite,
        &[b"PUT k ", &value[..], b"\n"].concat(),
        b"OK\n",
    );
    let mut rude: Vec<TcpStream> = (0..10).map(|_| connect(&server)).collect();
    for stream in &mut rude {
        stream.write_all(&b"GET k\n".repeat(8)).expect("sends");
    }
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    exchange(&mut polite, b"GET k\n", &[&value[..], b"\n"].concat());
    assert!(
        start.elapsed() < Duration::from_secs(14),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn many_half_requests_are_all_finished_in_the_end() {
    // More connections with half a request than there are buffers for them.
    let server = start();
    let half = [b"PUT k ", &[b'v'; 9_000][..]].concat();
    let mut slow: Vec<TcpStream> = (0..150).map(|_| connect(&server)).collect();
    for stream in &mut slow {
        stream.write_all(&half).expect("sends");
    }
    std::thread::sleep(Duration::from_millis(100));
    for stream in &mut slow {
        stream.write_all(b"end\n").expect("sends");
    }
    for stream in &mut slow {
        expect(stream, b"OK\n");
    }
}

#[test]
fn who_waits_for_others_is_not_taken_for_stalled() {
    let server = start_with(Config {
        stall_timeout: Duration::from_secs(2),
        ..small_config()
    });
    let value = vec![b'v'; 1 << 20];
    let mut polite: Vec<TcpStream> = (0..5).map(|_| connect(&server)).collect();
    exchange(
        &mut polite[0],
        &[b"PUT k ", &value[..], b"\n"].concat(),
        b"OK\n",
    );
    let reply = [&value[..], b"\n"].concat();
    // Wave after wave of peers who take every transfer and do not read.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rude = std::collections::VecDeque::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let mut stream = connect(&server);
                stream.write_all(&b"GET k\n".repeat(8)).expect("sends");
                rude.push_back(stream);
                if rude.len() > 40 {
                    rude.pop_front();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        let readers: Vec<_> = polite
            .iter_mut()
            .map(|stream| {
                let reply = &reply;
                scope.spawn(move || exchange(stream, b"GET k\n", reply))
            })
            .collect();
        let served = readers.into_iter().map(|reader| reader.join().is_ok());
        let served: Vec<bool> = served.collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(served, [true; 5]);
    });
}

#[test]
fn a_slow_writer_is_served() {
    let server = start();
    let mut slow = connect(&server);
    for _ in 0..3 {
        for byte in b"PUT slow and steady\nGET slow\n" {
            slow.write_all(&[*byte]).expect("sends");
            std::thread::sleep(Duration::from_millis(2));
        }
        expect(&mut slow, b"OK\nand steady\n");
    }
}

#[test]
fn who_stalls_with_a_buffer_is_closed_and_who_idles_is_not() {
    let server = start_with(Config {
        stall_timeout: Duration::from_secs(1),
        ..small_config()
    });
    let mut idle = connect(&server);
    exchange(&mut idle, b"PUT a 1\n", b"OK\n");
    let mut half = connect(&server);
    half.write_all(b"PUT half").expect("sends");
    let mut upload = connect(&server);
    upload
        .write_all(&[b"PUT k ", &[b'v'; 50_000][..]].concat())
        .expect("sends");
    // A trickle is no progress.
    let start = Instant::now();
    let mut trickle = connect(&server);
    let mut trickled = 0;
    while trickle.write_all(b"x").is_ok() {
        trickled += 1;
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{trickled} bytes and still there"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    for stream in [&mut half, &mut upload] {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap_or(0), 0);
    }
    assert_eq!(stat(&server, "connections_stalled"), 3);
    exchange(&mut idle, b"GET a\n", b"1\n");
}

#[test]
fn over_the_limit_the_newcomer_is_told_and_closed() {
    let server = start_with(Config {
        connections_max: 10,
        ..small_config()
    });
    let mut inside: Vec<TcpStream> = (0..10).map(|_| connect(&server)).collect();
    for stream in &mut inside {
        exchange(stream, b"PUT a 1\n", b"OK\n");
    }
    for _ in 0..100 {
        let mut outside = connect(&server);
        // It need not wait to be told before it speaks.
        let _ = outside.write_all(b"PUT a 2\nGET a\n");
        expect(&mut outside, b"ERROR Too many open connections\r\n");
        expect_end(&mut outside);
    }
    for stream in &mut inside {
        exchange(stream, b"GET a\n", b"1\n");
    }
    // A place that becomes free is given to the next.
    drop(inside.pop());
    wait_until("the place is free again", || {
        let mut next = connect(&server);
        let _ = next.write_all(b"GET a\n");
        let mut reply = [0; 2];
        next.read_exact(&mut reply).is_ok() && &reply == b"1\n"
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let server = start();
    for n in 0..2_000 {
        let mut stream = connect(&server);
        match n % 4 {
            0 => exchange(&mut stream, b"PUT a 1\nGET a\n", b"OK\n1\n"),
            1 => stream.write_all(b"PUT half").expect("sends"),
            2 => stream.write_all(&[b'x'; 20_000]).expect("sends"),
            _ => {}
        }
    }
    // The one that asks is the only one left.
    wait_until("all are gone", || stat(&server, "connections") == 1);
    assert_eq!(stat(&server, "connections_panicked"), 0);
}

#[test]
fn connections_are_spread_evenly() {
    // As many as there are places, two workers: if one worker were given more than its share,
    // the last newcomers would not be served.
    let server = start();
    for _ in 0..3 {
        let mut streams: Vec<TcpStream> = (0..199).map(|_| connect(&server)).collect();
        for stream in &mut streams {
            exchange(stream, b"PUT a 1\n", b"OK\n");
        }
        drop(streams);
        wait_until("all are gone", || stat(&server, "connections") == 1);
    }
}

/// Also when an assertion fails, so that a failure does not look like a hang.
struct ShutdownOnDrop(TcpStream);

impl Drop for ShutdownOnDrop {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

#[test]
fn one_who_pipelines_without_end_does_not_starve_a_neighbour() {
    let server = start_with(Config {
        workers: 1,
        ..small_config()
    });
    let mut neighbour = connect(&server);
    exchange(&mut neighbour, b"PUT a 1\n", b"OK\n");
    let busy = connect(&server);
    std::thread::scope(|scope| {
        let mut writer = busy.try_clone().expect("clones");
        let mut reader = busy.try_clone().expect("clones");
        let _busy = ShutdownOnDrop(busy);
        scope.spawn(move || {
            let puts = b"PUT a 1\n".repeat(4000);
            while writer.write_all(&puts).is_ok() {}
        });
        scope.spawn(move || {
            let mut replies = vec![0; 1 << 16];
            while reader.read(&mut replies).is_ok_and(|n| n > 0) {}
        });
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let start = Instant::now();
            exchange(&mut neighbour, b"GET a\n", b"1\n");
            longest = longest.max(start.elapsed());
        }
        // Generous, for a busy machine: without fairness it would wait for ever.
        assert!(longest < Duration::from_secs(2), "{longest:?}");
    });
}

#[test]
fn shutdown_answers_what_has_arrived_and_closes_with_a_fin() {
    let server = start();
    let mut clients: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    for client in &mut clients {
        exchange(client, b"PUT a 1\n", b"OK\n");
    }
    for client in &mut clients {
        client
            .write_all(&[&b"GET a\n".repeat(100)[..], b"GET half"].concat())
            .expect("sends");
    }
    let address = server.local_addr();
    let start = Instant::now();
    let stopped = std::thread::spawn(move || server.shutdown());
    for client in &mut clients {
        expect(client, &b"1\n".repeat(100));
        expect_end(client);
    }
    drop(clients);
    stopped.join().expect("joins").expect("ends well");
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn shutdown_does_not_wait_for_ever() {
    let server = start_with(Config {
        drain_timeout: Duration::from_secs(1),
        ..small_config()
    });
    let mut polite = connect(&server);
    let value = vec![b'v'; 1 << 20];
    exchange(
        &mut polite,
        &[b"PUT k ", &value[..], b"\n"].concat(),
        b"OK\n",
    );
    // Never reads what it asks for.
    let mut rude = connect(&server);
    rude.write_all(&b"GET k\n".repeat(100)).expect("sends");
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    server.shutdown().expect("ends well");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}
