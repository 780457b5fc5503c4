//! No command of memcached's binary protocol allocates: hits, misses, stores that evict and expire, quiet pipelines, long
//! values, counters, mistakes.

mod common;

use common::alloc::{self, REQUESTS, assert_none, digits};
use common::binary::*;
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn binary_allocates_nothing() {
    let _profiler = alloc::profiler();
    let config = Config {
        memory_bytes: 24 << 20,
        connections_max: 20,
        ..small_config()
    };
    let noop = packet(NOOP, "").opaque(0x1234_5678).bytes();
    // An answer ends with the header of what was asked last.
    let end = [
        &b"\x81\x0a\0\0\0\0\0\0\0\0\0\0"[..],
        &[0x12, 0x34, 0x56, 0x78],
        &[0; 8],
    ]
    .concat();
    let rounds: Vec<Vec<u8>> = [
        vec![
            store(SET, "hot", (7, 0), "hi"),
            packet(GET, "hot"),
            packet(GETK, "hot"),
            packet(GETQ, "hot"),
            packet(GETKQ, "hot"),
        ],
        vec![
            packet(GET, "miss"),
            packet(GETK, "miss"),
            packet(GETQ, "miss"),
            packet(GETKQ, "miss"),
        ],
        vec![
            store(ADD, "hot", (0, 0), "x"),
            store(REPLACE, "hot", (0, 0), "hi"),
            store(ADDQ, "hot", (0, 0), "x"),
            store(REPLACEQ, "miss", (0, 0), "hi"),
        ],
        vec![
            packet(APPEND, "hot").value("!"),
            packet(PREPENDQ, "hot").value("!"),
            packet(APPENDQ, "miss").value("!"),
            packet(APPEND, "hot").value("x").cas(3),
        ],
        vec![
            store(SET, "hot", (0, 0), "x").cas(7),
            store(SETQ, "miss", (0, 0), "x").cas(7),
        ],
        vec![
            count(INCREMENT, "n", 1, 9, 0),
            count(DECREMENTQ, "n", 2, 0, 0),
            count(INCREMENT, "hot", 1, 0, 0),
            count(INCREMENT, "miss", 1, 0, u32::MAX),
        ],
        vec![
            packet(TOUCH, "hot").number(100),
            packet(TOUCH, "miss").number(1),
            packet(GAT, "n").number(0),
            packet(GATKQ, "miss").number(0),
            packet(GATK, "miss").number(0),
        ],
        vec![
            packet(DELETE, "n"),
            packet(DELETE, "n"),
            packet(DELETE, "hot").cas(5),
            packet(DELETEQ, "hot"),
        ],
        vec![
            packet(0x99, "strange").value("body"),
            packet(VERBOSITY, "").number(1),
            packet(VERSION, ""),
            packet(STAT, "nonsense"),
            packet(MECHANISMS, ""),
        ],
        vec![
            packet(FLUSH, "").number(1000),
            packet(FLUSHQ, "").number(1000),
            packet(AUTH, "PLAIN").value("\0a\0b"),
        ],
    ]
    .iter()
    .map(|packets| [bytes(packets), noop.clone()].concat())
    .collect();
    // Those that fill the cache make it evict and expire.
    let mut fill = [
        store(SET, "key:00000000", (5, 2), [b'v'; 3000]).bytes(),
        noop.clone(),
    ]
    .concat();
    let number_at = HEADER_BYTES + 8 + 4;
    let long = bytes(&[
        store(SETQ, "long", (0, 0), vec![b'l'; 300_000]),
        packet(APPENDQ, "long").value(vec![b'l'; 100_000]),
        store(0x99, "strange", (0, 0), vec![b'l'; 100_000]),
        packet(GETK, "long"),
        packet(STAT, ""),
        packet(STAT, "settings"),
        packet(STAT, "items"),
        packet(STAT, "slabs"),
    ]);
    let long = [long, noop.clone()].concat();
    let too_long = [
        store(SET, "long", (0, 0), vec![b'l'; 2_000_000]).bytes(),
        packet(FLUSH, "").bytes(),
        noop.clone(),
    ]
    .concat();
    let many: Vec<u8> = (0..3000)
        .flat_map(|no| packet(GETKQ, if no % 2 == 0 { "hot" } else { "miss" }).bytes())
        .collect();
    let many = [store(SETQ, "hot", (0, 0), "hi").bytes(), many, noop].concat();
    assert_none(config, 1, REQUESTS / 40, |clients, n| {
        let client = &mut clients[0];
        for round in &rounds {
            client.exchange_until(round, &end);
        }
        digits(&mut fill[number_at..number_at + 8], n);
        client.exchange_until(&fill, &end);
        if n % 100 == 0 {
            client.exchange_until(&many, &end);
            client.exchange_until(&long, &end);
        }
        if n % 1000 == 0 {
            client.exchange_until(&too_long, &end);
        }
    });
}
