//! No command of memcached's protocol allocates: hits, misses, stores that evict and expire, long
//! lists of keys, meta commands, counters, dumps, mistakes.

mod common;

use common::alloc::{self, REQUESTS, assert_none, digits, number};
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn memcache_allocates_nothing() {
    let _profiler = alloc::profiler();
    let config = Config {
        memory_bytes: 24 << 20,
        connections_max: 20,
        test_hooks: true,
        ..small_config()
    };
    // Each round is its requests; those that fill the cache make it evict and expire.
    let value = [b'v'; 3000];
    let mut set = [&b"set key:######## 5 2 3000\r\n"[..], &value, b"\r\n"].concat();
    let mut ms = [&b"ms key:######## 3000 T2 F3 c\r\n"[..], &value, b"\r\n"].concat();
    let (set_at, ms_at) = (8, 7);
    number(&mut set, 0);
    number(&mut ms, 0);
    let mut list = b"get".to_vec();
    for _ in 0..3000 {
        list.extend_from_slice(b" hot miss");
    }
    list.extend_from_slice(b"\r\n");
    let listed = [&b"VALUE hot 0 2\r\nhi\r\n".repeat(3000)[..], b"END\r\n"].concat();
    let long = [&b"set long 0 0 300000\r\n"[..], &[b'l'; 300_000], b"\r\n"].concat();
    let long_meta = [
        &b"ms long 300000 Oid k s\r\n"[..],
        &[b'l'; 300_000],
        b"\r\n",
    ]
    .concat();
    let too_long = [
        &b"set long 0 0 2000000\r\n"[..],
        &vec![b'l'; 2_000_000],
        b"\r\n",
    ]
    .concat();
    let append = [
        &b"append long 0 0 100000\r\n"[..],
        &[b'l'; 100_000],
        b"\r\n",
    ]
    .concat();
    let exchanges: &[(&[u8], &[u8])] = &[
        (b"set hot 0 0 2\r\nhi\r\nget hot\r\n", b"STORED\r\nVALUE hot 0 2\r\nhi\r\nEND\r\n"),
        (b"get miss\r\n", b"END\r\n"),
        (b"add hot 0 0 1\r\nx\r\nreplace hot 0 0 2\r\nhi\r\n", b"NOT_STORED\r\nSTORED\r\n"),
        (b"append hot 0 0 1\r\n!\r\nprepend hot 0 0 1\r\n!\r\n", b"STORED\r\nSTORED\r\n"),
        (b"cas hot 0 0 1 7\r\nx\r\ncas miss 0 0 1 7\r\nx\r\n", b"EXISTS\r\nNOT_FOUND\r\n"),
        (b"set n 0 0 1\r\n9\r\nincr n 1\r\ndecr n 2\r\nincr hot 1\r\n",
         b"STORED\r\n10\r\n8\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        (b"touch hot 100\r\ntouch miss 1\r\ngat 0 n\r\n", b"TOUCHED\r\nNOT_FOUND\r\nVALUE n 0 2\r\n8 \r\nEND\r\n"),
        (b"delete n\r\ndelete n\r\ndelete hot noreply\r\nmn\r\n", b"DELETED\r\nNOT_FOUND\r\nMN\r\n"),
        (b"nonsense\r\nset x\r\nverbosity 1\r\nflush_all 1000\r\n",
         b"ERROR\r\nCLIENT_ERROR bad command line format\r\nOK\r\nOK\r\n"),
        (b"ms m 2 T100 I Oid k\r\nhi\r\nmg m v t k Oid\r\n", b"HD Oid km\r\nVA 2 t100 km Oid\r\nhi\r\n"),
        (b"mg no v N100 t\r\nmg no v\r\nmd no\r\n", b"VA 0 t100 W\r\n\r\nVA 0 Z\r\n\r\nHD\r\n"),
        (b"md m I T50\r\nmg m v\r\nmg m v h u\r\nmd m x\r\nmd m q\r\nmn\r\n",
         b"HD\r\nVA 2 X W\r\nhi\r\nVA 2 h1 Z X\r\nhi\r\nHD\r\nMN\r\n"),
        (b"ma c N0 J5 v\r\nma c D5 v T100\r\nma c MD q\r\nmd c\r\nma c\r\n",
         b"VA 1\r\n5\r\nVA 2\r\n10\r\nHD\r\nNF\r\n"),
        (b"ms Zm9v 1 b k\r\nx\r\nmg Zm9v b k v\r\nmg foo s s\r\n",
         b"HD kZm9v b\r\nVA 1 kZm9v b\r\nx\r\nCLIENT_ERROR duplicate flag\r\n"),
    ];
    assert_none(config, 1, REQUESTS / 40, |clients, n| {
        let client = &mut clients[0];
        for (input, expected) in exchanges {
            client.exchange(input, expected);
        }
        digits(&mut set[set_at..set_at + 8], n);
        client.exchange(&set, b"STORED\r\n");
        digits(&mut ms[ms_at..ms_at + 8], n);
        client.exchange_until(&ms, b"\r\n");
        client.exchange_until(b"gets hot key:00000001\r\n", b"END\r\n");
        if n % 100 == 0 {
            client.exchange(b"set hot 0 0 2\r\nhi\r\n", b"STORED\r\n");
            client.exchange(&list, &listed);
            client.exchange_until(b"stats\r\nstats settings\r\nstats slabs\r\nme hot\r\nstats items\r\nverbosity 7\r\n", b"END\r\nOK\r\n");
            client.exchange(&long, b"STORED\r\n");
            client.exchange(&append, b"STORED\r\n");
            client.exchange_until(b"gat 1 long\r\nmn\r\n", b"MN\r\n");
            client.exchange(&long_meta, b"HD Oid klong s300000\r\n");
            client.exchange_until(b"mg long v h\r\nmn\r\n", b"MN\r\n");
            client.exchange_until(b"debugtime 1\r\nlru_crawler metadump all\r\n", b"END\r\n");
            client.exchange_until(b"stats cachedump 3 100\r\nmn\r\n", b"END\r\nMN\r\n");
            client.exchange(b"shutdown\r\n", b"SERVER_ERROR: shutdown not enabled\r\n");
        }
        if n % 1000 == 0 {
            client.exchange(&too_long, b"SERVER_ERROR object too large for cache\r\n");
            client.exchange_until(b"flush_all\r\nstats reset\r\n", b"RESET\r\n");
        }
    });
}
