//! PUTEX allocates nothing, nor does what its expiry sets in motion.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn putex_allocates_nothing() {
    let _profiler = alloc::profiler();
    let mut put = *b"PUTEX mayfly-######## 1 short\n";
    let mut get = *b"GET mayfly-########\n";
    let start = std::time::Instant::now();
    let mut expired = 0;
    let server = assert_none(small_config(), 1, REQUESTS / 2, |clients, n| {
        alloc::digits(&mut put[13..21], n);
        clients[0].exchange(&put, b"OK\n");
        // The first mayflies have expired for sure once two of their lives have passed.
        if start.elapsed().as_secs() >= 3 {
            alloc::digits(&mut get[11..19], n % 100);
            clients[0].exchange(&get, b"NOTFOUND\n");
            expired += 1;
        } else {
            clients[0].exchange(b"TTL nothing\n", b"NOTFOUND\n");
        }
        // Spread over five seconds, so that expiry happens while it is counted.
        if n % 1000 == 999 {
            std::thread::sleep(std::time::Duration::from_millis(60));
        }
    });
    assert!(expired > 0, "nothing expired in {:?}", start.elapsed());
    drop(server);
}
