//! DEL allocates nothing, whether it finds something or not.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn del_allocates_nothing() {
    let _profiler = alloc::profiler();
    // Three requests a round: store, delete, delete again.
    assert_none(small_config(), 1, REQUESTS / 3 + 1, |clients, _| {
        clients[0].exchange(b"PUT key value\n", b"OK\n");
        clients[0].exchange(b"DEL key\n", b"OK\n");
        clients[0].exchange(b"DEL key\n", b"NOTFOUND\n");
    });
}
