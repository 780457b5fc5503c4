//! A GET that finds nothing allocates nothing.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn get_miss_allocates_nothing() {
    let _profiler = alloc::profiler();
    let mut get = *b"GET absent-########\n";
    assert_none(small_config(), 1, REQUESTS, |clients, n| {
        alloc::digits(&mut get[11..19], n);
        clients[0].exchange(&get, b"NOTFOUND\n");
    });
}
