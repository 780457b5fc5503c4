//! `--spin`: a worker that is asked again and again looks for the next request before it sleeps. It ends with the requests, and is
//! never for those who ask now and then.
//!
//! Method: processor time of a server's process, which does not depend on what else the machine does.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::process::{Process, run};

/// Nanoseconds that the threads of a process have run.
fn processor_nanos(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let nanos = tasks.map(|task| {
        let path = task.expect("a thread").path().join("schedstat");
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        let first = stat.split_whitespace().next().map(str::parse::<u64>);
        first.map_or(0, |nanos| nanos.expect("a number"))
    });
    nanos.sum()
}

/// How often the threads of a process have gone to sleep.
fn sleeps(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let sleeps = tasks.map(|task| {
        let path = task.expect("a thread").path().join("status");
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            line.strip_prefix("voluntary_ctxt_switches:")?
                .trim()
                .parse()
                .ok()
        };
        status.lines().find_map(line).unwrap_or(0u64)
    });
    sleeps.sum()
}

/// Processor time for `work`, in milliseconds.
fn millis_of(server: &Process, work: impl FnOnce()) -> u64 {
    let before = processor_nanos(server.child.id());
    work();
    (processor_nanos(server.child.id()) - before) / 1_000_000
}

#[test]
fn a_spin_ends_with_the_requests_and_nobody_idle_spins() {
    let server = Process::start(&["--workers", "1", "--spin", "1000", "--curve=false"]);
    let mut client = TcpStream::connect(&server.address).expect("connects");
    client.set_nodelay(true).expect("set");
    let mut replies = BufReader::new(client.try_clone().expect("cloned"));
    let mut ask = |count: usize, pause: Duration| {
        for _ in 0..count {
            client.write_all(b"PUT key value\nGET key\n").expect("sent");
            for reply in ["OK\n", "value\n"] {
                let mut line = String::new();
                replies.read_line(&mut line).expect("answered");
                assert_eq!(line, reply);
            }
            std::thread::sleep(pause);
        }
    };
    // Once a spin would have been worth it, it is over: half a second of it would be five hundred.
    ask(1_000, Duration::ZERO);
    let idle = millis_of(&server, || std::thread::sleep(Duration::from_millis(500)));
    assert!(idle < 100, "{idle} ms of 500 while nobody asked");
    // One who asks every ten milliseconds is not waited for: a spin for each would be a hundred.
    let seldom = millis_of(&server, || ask(100, Duration::from_millis(10)));
    assert!(seldom < 80, "{seldom} ms for a hundred requests");
}

/// A worker that does not spin sleeps before nearly each request of a client that takes a moment for its next one. On a busy machine
/// either may stand still for longer than a spin, so there are many tries, and one is enough.
#[test]
fn who_is_asked_again_at_once_does_not_sleep_meanwhile() {
    const REQUESTS: u64 = 100;
    const MOMENT: Duration = Duration::from_micros(200);
    let some = |spin: &str, is_it: fn(u64) -> bool| {
        let server = Process::start(&["--workers", "1", "--spin", spin, "--curve=false"]);
        let mut client = TcpStream::connect(&server.address).expect("connects");
        client.set_nodelay(true).expect("set");
        let mut replies = BufReader::new(client.try_clone().expect("cloned"));
        (0..200).any(|_| {
            let before = sleeps(server.child.id());
            for _ in 0..REQUESTS {
                client.write_all(b"GET key\n").expect("sent");
                let mut line = String::new();
                replies.read_line(&mut line).expect("answered");
                assert_eq!(line, "NOTFOUND\n");
                let answered = Instant::now();
                while answered.elapsed() < MOMENT {
                    std::hint::spin_loop();
                }
            }
            is_it(sleeps(server.child.id()) - before)
        })
    };
    assert!(some("1000", |slept| slept < REQUESTS / 4));
    // And the figure is one that can be otherwise.
    assert!(some("0", |slept| slept > REQUESTS / 2));
}

#[test]
fn a_spin_has_a_bound() {
    for (spin, works) in [("0", true), ("1000", true), ("1001", false), ("-1", false)] {
        let output = run(&[&format!("--spin={spin}"), "--check-config"], &[]);
        assert_eq!(output.status.success(), works, "--spin={spin}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.contains("0 to 1000 work"), !works, "{stderr}");
    }
}
