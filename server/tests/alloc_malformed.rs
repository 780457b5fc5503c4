//! Lines that are refused allocate nothing, however long they are.

mod common;

use common::alloc::{self, REQUESTS, assert_none};
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn malformed_allocates_nothing() {
    let _profiler = alloc::profiler();
    let long = [&[b'X'; 50_000][..], b"\n"].concat();
    let too_large = [b"PUT key ", &vec![b'v'; (1 << 20) + 1][..], b"\n"].concat();
    let key = [b"GET ", &[b'k'; 251][..], b"\n"].concat();
    let short: [&[u8]; 8] = [
        b"\n",
        b"FOO\n",
        b"GET\n",
        b"GET a b\n",
        b"PUT k\n",
        b"PUTEX k x v\n",
        &key,
        b"\xff\x00\r\n",
    ];
    let config = Config {
        key_bytes_max: 250,
        ..small_config()
    };
    assert_none(config, 1, REQUESTS, |clients, n| {
        clients[0].exchange(short[n % short.len()], b"ERROR\n");
        if n % 1000 == 0 {
            clients[0].exchange(&long, b"ERROR\n");
        }
        if n % 20_000 == 0 {
            clients[0].exchange(&too_large, b"ERROR\n");
        }
    });
}
