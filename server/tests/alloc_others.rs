//! STATS, TTL and FLUSH allocate nothing, nor does following the limit that STATS tells of.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn others_allocates_nothing() {
    let _profiler = alloc::profiler();
    // Four requests a round.
    let config = Config {
        cgroup_root: Some("/".into()),
        ..small_config()
    };
    assert_none(config, 1, REQUESTS / 4, |clients, _| {
        clients[0].exchange_until(b"STATS\n", b"END\n");
        clients[0].exchange(b"PUTEX key 100 value\n", b"OK\n");
        clients[0].exchange_until(b"TTL key\n", b"\n");
        clients[0].exchange(b"FLUSH\n", b"OK\n");
    });
}
