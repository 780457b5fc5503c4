//! A PUT of a key that is there allocates nothing, whether the value keeps its size class or not.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn put_replace_allocates_nothing() {
    let _profiler = alloc::profiler();
    const VALUE: [u8; 4000] = [b'v'; 4000];
    let line = |len: usize| [b"PUT key ", &VALUE[..len], b"\n"].concat();
    let puts = [line(10), line(10), line(3000), line(500), line(4000)];
    assert_none(small_config(), 1, REQUESTS, |clients, n| {
        clients[0].exchange(&puts[n % puts.len()], b"OK\n");
    });
}
