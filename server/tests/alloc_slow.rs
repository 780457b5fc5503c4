//! Requests that are all kept as slow, and those who look at the list, allocate nothing.

mod common;

use std::time::Duration;

use common::alloc::{self, REQUESTS, assert_none};
use common::resp::requests;
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn slow_requests_allocate_nothing() {
    let _profiler = alloc::profiler();
    let config = Config {
        slow_log: Some(Duration::from_nanos(1)),
        ..small_config()
    };
    let long = vec![b'v'; 200_000];
    let store = [&b"set long 0 0 200000\r\n"[..], &long, b"\r\n"].concat();
    let read = [&b"VALUE long 0 200000\r\n"[..], &long, b"\r\nEND\r\n"].concat();
    let (log, reset, keys) = (
        requests("SLOWLOG GET 10|ECHO done"),
        requests("SLOWLOG RESET"),
        requests("KEYS nothing*"),
    );
    assert_none(config, 4, REQUESTS / 20, |clients, n| match n % 10 {
        0 => clients[0].exchange(b"PUT key value\n", b"OK\n"),
        1 => clients[0].exchange(b"GET key\nGET key\n", b"value\nvalue\n"),
        2 => clients[0].exchange_until(b"SLOW\n", b"\nEND\n"),
        3 => clients[1].exchange(&store, b"STORED\r\n"),
        4 => clients[1].exchange(b"get long\r\n", &read),
        5 => clients[1].exchange_until(b"stats slow\r\n", b"\r\nEND\r\n"),
        6 => clients[2].exchange_until(&log, b"$4\r\ndone\r\n"),
        7 => clients[2].exchange(&keys, b"*0\r\n"),
        8 => clients[2].exchange_until(
            b"*3\r\n$7\r\nSLOWLOG\r\n$3\r\nGET\r\n$2\r\n-1\r\n*2\r\n$4\r\nECHO\r\n$4\r\nlast\r\n",
            b"$4\r\nlast\r\n",
        ),
        _ if n % 1000 == 9 => clients[2].exchange(&reset, b"+OK\r\n"),
        _ => clients[3].exchange(b"TTL key\n", b"-1\n"),
    });
}
