//! A PUT of a key that is not there allocates nothing. (The memory holds all of them: what
//! evicts has a test of its own.)

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn put_new_allocates_nothing() {
    let _profiler = alloc::profiler();
    let mut put = *b"PUT new-######## a value of thirty-two bytes....\n";
    assert_none(small_config(), 1, REQUESTS, |clients, n| {
        alloc::digits(&mut put[8..16], n);
        clients[0].exchange(&put, b"OK\n");
    });
}
