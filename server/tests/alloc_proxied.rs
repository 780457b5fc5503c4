//! A proxy's header is read without an allocation, whole and in pieces, right and wrong.

mod common;

use common::alloc::{self, assert_none};
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

/// Each comes in once; a tenth more of them warm up.
const CLIENTS: usize = 500;

#[test]
fn a_header_allocates_nothing() {
    let _profiler = alloc::profiler();
    let config = Config {
        listen: vec!["proxy:127.0.0.1:0".parse().expect("a place")],
        connections_max: 2 * CLIENTS,
        ..small_config()
    };
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\xd4\x31\x1c\x03";
    let whole = [header, &b"get a\r\n"[..]].concat();
    let clients = CLIENTS + CLIENTS / 10;
    assert_none(config, clients, CLIENTS, |clients, n| {
        let client = &mut clients[n];
        match n % 3 {
            0 => client.exchange(&whole, b"END\r\n"),
            1 => {
                client.exchange(&whole[..20], b"");
                client.exchange(&whole[20..], b"END\r\n");
            }
            _ => client.exchange_to_end(b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nget a\r\n"),
        }
    });
}
