//! A PUT that makes room by evicting allocates nothing.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn put_evict_allocates_nothing() {
    let _profiler = alloc::profiler();
    let mut put = [b"PUT evict-######## ", &[b'v'; 2000][..], b"\n"].concat();
    let server = assert_none(small_config(), 1, REQUESTS, |clients, n| {
        alloc::digits(&mut put[10..18], n);
        clients[0].exchange(&put, b"OK\n");
    });
    // 200 MB went through 48 MiB.
    assert!(common::stat(&server, "evictions") > 0);
}
