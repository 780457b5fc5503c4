//! Deep pipelines allocate nothing: 1,000 requests in one write, cut by the network wherever it
//! likes.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn pipeline_allocates_nothing() {
    let _profiler = alloc::profiler();
    let line: &[u8] = b"PUT a 1\nGET a\nGET b\nDEL b\nFOO\n";
    let reply: &[u8] = b"OK\n1\nNOTFOUND\nNOTFOUND\nERROR\n";
    let (lines, replies) = (line.repeat(200), reply.repeat(200));
    // 1,000 requests a round, a few more rounds than needed.
    assert_none(small_config(), 1, REQUESTS / 1000 + 50, |clients, _| {
        clients[0].exchange(&lines, &replies);
    });
}
