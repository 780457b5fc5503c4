//! A request costs the generator no allocation: a run of many more requests allocates no more.
//!
//! Method: count the heap blocks of a short run and of one ten times as long, against a server
//! in this process that does not allocate for requests either. One test in this file, because
//! dhat counts the whole process.

use std::net::SocketAddr;
use std::time::Duration;

use flagstone_bench::settings::{Length, Sizes};
use flagstone_bench::wire::Protocol;
use flagstone_bench::{Settings, run};
use flagstone_server::{Config, Server};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn ten_times_the_requests_allocate_no_more() {
    let server = Server::start(Config {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()],
        memory_bytes: 48 << 20,
        workers: 1,
        connections_max: 100,
        ..Config::default()
    })
    .expect("the server starts");
    let settings = |requests, (protocol, multi_get, ttl_seconds)| Settings {
        protocol,
        multi_get,
        ttl_seconds,
        address: server.local_addr().into(),
        connections: 10,
        pipeline: 8,
        keys: 1000,
        value_bytes: Sizes { min: 24, max: 3000 },
        distribution: "zipf".parse().expect("a distribution"),
        mix: "6:3:1".parse().expect("a mix"),
        warmup: Duration::ZERO,
        length: Length::Requests(requests),
        ..Settings::default()
    };
    let profiler = dhat::Profiler::builder().testing().build();
    let blocks = |requests, way| {
        let before = dhat::HeapStats::get().total_blocks;
        let report = run(&settings(requests, way), false).expect("a run");
        assert!(report.is_faultless() && report.requests == requests);
        dhat::HeapStats::get().total_blocks - before
    };
    // Whatever is set up once in a process.
    blocks(1000, (Protocol::Native, 1, 0));
    for way in [(Protocol::Native, 1, 0), (Protocol::Resp, 10, 3600)] {
        let (few, many) = (blocks(10_000, way), blocks(100_000, way));
        // Not per request, and not repeatable: a connection's own buffer, when a reply arrives
        // in two pieces or a request leaves in two; the report's curves, which are finer with
        // more requests.
        assert!(
            many < few + 50,
            "{way:?}: {few} blocks for 10,000 requests, {many} for 100,000"
        );
        eprintln!("{way:?}: {few} blocks for 10,000 requests, {many} for 100,000");
    }
    drop(profiler);
    server.shutdown().expect("drains");
}
