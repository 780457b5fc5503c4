//! Values that are streamed, in and out, allocate nothing. 100 KiB each; 5,000 stores and as many
//! reads, because each costs as much as hundreds of small requests.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn large_value_allocates_nothing() {
    let _profiler = alloc::profiler();
    let value = [b'v'; 100 << 10];
    let put = [b"PUT large ", &value[..], b"\n"].concat();
    let reply = [&value[..], b"\n"].concat();
    let _ = REQUESTS;
    assert_none(small_config(), 1, 5000, |clients, _| {
        clients[0].exchange(&put, b"OK\n");
        clients[0].exchange(b"GET large\n", &reply);
    });
}
