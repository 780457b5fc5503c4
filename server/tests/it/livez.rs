//! Goal: `/livez` answers 503 while a worker is stuck, and at no other time.
//! Method: a hook of the tests stops a worker for some seconds longer than it may be silent, once asleep and once at work.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::{connect, expect, http, small_config, start_with};
use flagstone_server::{Config, Running};

/// A worker may be silent for ten seconds.
const STALL_SECONDS: u64 = 14;

/// What `/livez` answers from the command on until a second after the worker goes on, each status once.
fn statuses_during(server: &Running, command: &str) -> Vec<(u16, Duration)> {
    let address = server.admin_addr().expect("an admin page");
    let mut client = connect(server);
    client.write_all(command.as_bytes()).expect("sent");
    let begun = Instant::now();
    let mut statuses: Vec<(u16, Duration)> = Vec::new();
    while begun.elapsed() < Duration::from_secs(STALL_SECONDS + 2) {
        let status = http::get(address, "/livez").status;
        if statuses.last().is_none_or(|&(last, _)| last != status) {
            statuses.push((status, begun.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    expect(&mut client, b"OK\r\n");
    statuses
}

#[test]
fn only_a_worker_that_is_stuck_is_reported() {
    let start = || {
        start_with(Config {
            admin: Some(([127, 0, 0, 1], 0).into()),
            test_hooks: true,
            workers: 2,
            ..small_config()
        })
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let server = start();
            let seen = statuses_during(&server, &format!("debugstall {STALL_SECONDS}\r\n"));
            let statuses: Vec<u16> = seen.iter().map(|&(status, _)| status).collect();
            assert_eq!(statuses, [200, 503, 200], "{seen:?}");
            let stuck_at = seen[1].1;
            assert!(stuck_at >= Duration::from_secs(9), "{seen:?}");
        });
        scope.spawn(|| {
            let server = start();
            let seen = statuses_during(&server, &format!("debugstall {STALL_SECONDS} busy\r\n"));
            assert!(seen.iter().all(|&(status, _)| status == 200), "{seen:?}");
        });
    });
}

#[test]
fn nobody_else_may_stop_a_worker() {
    let server = start_with(small_config());
    for command in ["debugstall 1\r\n", "debugstall 1 busy\r\n"] {
        let mut client = connect(&server);
        client.write_all(command.as_bytes()).expect("sent");
        expect(&mut client, b"ERROR\r\n");
    }
}
