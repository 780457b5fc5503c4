//! Many connections taking turns allocate nothing.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn turns_allocates_nothing() {
    let _profiler = alloc::profiler();
    let server = assert_none(small_config(), 100, REQUESTS, |clients, n| {
        let client = &mut clients[(n * 7) % 100];
        match n % 3 {
            0 => client.exchange(b"PUT shared value\n", b"OK\n"),
            1 => client.exchange(b"GET shared\n", b"value\n"),
            _ => client.exchange(b"TTL shared\n", b"-1\n"),
        }
    });
    assert_eq!(common::stat(&server, "connections_served"), 102);
}
