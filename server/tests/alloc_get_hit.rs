//! A GET that finds its value allocates nothing.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn get_hit_allocates_nothing() {
    let _profiler = alloc::profiler();
    assert_none(small_config(), 1, REQUESTS, |clients, n| {
        if n == 0 {
            clients[0].exchange(b"PUT key some value\n", b"OK\n");
        }
        clients[0].exchange(b"GET key\n", b"some value\n");
    });
}
