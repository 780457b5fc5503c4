//! No command of Redis' protocol allocates: hits, misses, stores that evict and expire, long lists of keys, long values
//! with options behind them, reports, mistakes.

mod common;

use common::alloc::{self, REQUESTS, assert_none, digits};
use common::resp::array;
use common::small_config;
use flagstone_server::Config;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

/// A request: a line without spaces in its words.
fn line(text: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    array(&words)
}

#[test]
fn resp_allocates_nothing() {
    let _profiler = alloc::profiler();
    let config = Config {
        memory_bytes: 24 << 20,
        connections_max: 20,
        ..small_config()
    };
    let table = [
        ("PING", "+PONG\r\n"),
        ("ECHO hi", "$2\r\nhi\r\n"),
        ("SET hot hi", "+OK\r\n"),
        ("GET hot", "$2\r\nhi\r\n"),
        ("GET miss", "$-1\r\n"),
        ("SET hot hi EX 100", "+OK\r\n"),
        ("SET hot x NX", "$-1\r\n"),
        ("SET hot hi XX GET", "$2\r\nhi\r\n"),
        ("SET hot hi KEEPTTL", "+OK\r\n"),
        ("SET hot hi IFEQ hi", "+OK\r\n"),
        ("SETNX hot x", ":0\r\n"),
        ("SETEX hot 100 hi", "+OK\r\n"),
        ("PSETEX hot 100000 hi", "+OK\r\n"),
        ("GETSET hot hi", "$2\r\nhi\r\n"),
        ("GETEX hot EX 50", "$2\r\nhi\r\n"),
        ("TTL hot", ":50\r\n"),
        ("EXPIRE hot 100 GT", ":1\r\n"),
        ("PERSIST hot", ":1\r\n"),
        ("PTTL hot", ":-1\r\n"),
        ("EXPIRETIME hot", ":-1\r\n"),
        ("EXISTS hot miss hot", ":2\r\n"),
        ("TOUCH hot miss", ":1\r\n"),
        ("TYPE hot", "+string\r\n"),
        ("STRLEN hot", ":2\r\n"),
        ("APPEND hot !", ":3\r\n"),
        ("GETRANGE hot 1 -1", "$2\r\ni!\r\n"),
        ("SETRANGE hot 0 H", ":3\r\n"),
        ("SETBIT hot 1 1", ":1\r\n"),
        ("GETBIT hot 7", ":0\r\n"),
        ("BITCOUNT hot 0 -1 BIT", ":8\r\n"),
        ("BITPOS hot 1", ":1\r\n"),
        (
            "GETBIT hot x",
            "-ERR bit offset is not an integer or out of range\r\n",
        ),
        ("DELIFEQ hot no", ":0\r\n"),
        ("SET n 9", "+OK\r\n"),
        ("OBJECT ENCODING n", "$3\r\nint\r\n"),
        ("DELEX n IFNE 8", ":1\r\n"),
        ("SET n 9", "+OK\r\n"),
        ("INCR n", ":10\r\n"),
        ("DECRBY n 4", ":6\r\n"),
        ("INCRBYFLOAT n 0.5", "$3\r\n6.5\r\n"),
        ("INCR n", "-ERR value is not an integer or out of range\r\n"),
        ("GETDEL n", "$3\r\n6.5\r\n"),
        ("GETDEL n", "$-1\r\n"),
        ("MSET a 1 b 2 c 3", "+OK\r\n"),
        ("MGET a miss c", "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n"),
        ("MSETNX a 1 new 2", ":0\r\n"),
        ("MSETEX 2 a 1 b 2 XX EX 9", ":1\r\n"),
        ("MSETEX 1 a 1 EX 9 x", "-ERR syntax error\r\n"),
        ("RENAME a d", "+OK\r\n"),
        ("RENAMENX d b", ":0\r\n"),
        ("RENAME a d", "-ERR no such key\r\n"),
        ("COPY d a", ":1\r\n"),
        ("COPY d a DB 4 REPLACE", ":1\r\n"),
        ("UNLINK d", ":1\r\n"),
        ("DEL a b miss", ":2\r\n"),
        ("UNLINK c", ":1\r\n"),
        ("OBJECT ENCODING hot", "$6\r\nembstr\r\n"),
        ("SELECT 7", "+OK\r\n"),
        ("SET hot 7", "+OK\r\n"),
        ("GET hot", "$1\r\n7\r\n"),
        ("DBSIZE", ":1\r\n"),
        ("KEYS *", "*1\r\n$3\r\nhot\r\n"),
        ("SCAN 0 COUNT 1000", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nhot\r\n"),
        ("RANDOMKEY", "$3\r\nhot\r\n"),
        ("FLUSHDB", "+OK\r\n"),
        ("GET hot", "$-1\r\n"),
        ("SELECT 0", "+OK\r\n"),
        ("COMMAND GETKEYS DEL a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("CONFIG SET appendonly no", "+OK\r\n"),
        ("SELECT 16", "-ERR DB index is out of range\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("CLIENT SETINFO LIB-NAME lib", "+OK\r\n"),
        ("CLIENT LIST ID 99999", "$0\r\n\r\n"),
        ("CLIENT LIST TYPE replica", "$0\r\n\r\n"),
        ("CLIENT KILL ID 99999", ":0\r\n"),
        (
            "CLIENT KILL ADDR 1.2.3.4:5 LADDR [::1]:2 USER me MAXAGE 9",
            ":0\r\n",
        ),
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"),
        ("CLIENT NO-TOUCH maybe", "-ERR syntax error\r\n"),
        ("CLIENT GETREDIR", ":-1\r\n"),
        (
            "CLIENT TRACKINGINFO",
            "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
        ),
        (
            "CONFIG GET appendonly",
            "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
        ),
        (
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "SET hot x EX 0",
            "-ERR invalid expire time in 'set' command\r\n",
        ),
        (
            "LPUSH l 1",
            "-ERR unknown command 'LPUSH', with args beginning with: 'l' '1' \r\n",
        ),
        (
            "CLUSTER INFO",
            "-ERR This instance has cluster support disabled\r\n",
        ),
        ("WAIT 0 0", ":0\r\n"),
    ];
    let exchanges: Vec<(Vec<u8>, &[u8])> = table
        .iter()
        .map(|(asked, told)| (line(asked), told.as_bytes()))
        .collect();
    let value = [b'v'; 3000];
    let mut set = array(&[b"SET", b"key:00000000", &value, b"EX", b"2"]);
    let set_at = b"*5\r\n$3\r\nSET\r\n$12\r\nkey:".len();
    let mut list: Vec<&[u8]> = vec![b"MGET"];
    list.resize(3001, b"hot");
    let list = array(&list);
    let listed = [&b"*3000\r\n"[..], &b"$2\r\nhi\r\n".repeat(3000)].concat();
    let long_value = vec![b'l'; 300_000];
    let long = array(&[b"SET", b"long", &long_value, b"PX", b"100000", b"XX"]);
    let long_new = array(&[b"SETEX", b"long", b"100", &long_value]);
    let told = [&b"$300000\r\n"[..], &long_value, b"\r\n"].concat();
    let long_key = vec![b'k'; 16_000];
    let long_key_set = array(&[b"SET", &long_key, b"hi"]);
    let long_key_changed = [
        array(&[b"APPEND", &long_key, b"!"]),
        array(&[b"EXPIRE", &long_key, b"100"]),
        array(&[b"INCR", &long_key]),
        array(&[b"MGET", &long_key, b"", &long_key]),
        array(&[b"SET", &long_key, &long_value, b"EX", b"9"]),
        array(&[b"STRLEN", &long_key]),
        array(&[b"DEL", b"", &long_key]),
        array(&[b"GET", &[b'k'; 16_001]]),
    ]
    .concat();
    let long_key_told = b":3\r\n:1\r\n-ERR value is not an integer or out of range\r\n*3\r\n$3\r\nhi!\r\n$-1\r\n$3\r\nhi!\r\n+OK\r\n:300000\r\n:1\r\n-ERR the key is longer than the server's --max-key allows\r\n";
    let long_pair = array(&[b"MSET", b"x", b"1", b"long", &long_value]);
    let too_long = array(&[b"SET", b"long", &vec![b'l'; 2_000_000], b"EX", b"9"]);
    let too_long_told = b"-ERR the value is longer than the server's --max-item allows\r\n";
    let reports: Vec<Vec<u8>> = [
        "INFO",
        "COMMAND",
        "COMMAND DOCS",
        "CONFIG GET *",
        "TIME",
        "DBSIZE",
        "SCAN 0 MATCH * COUNT 1000",
        "SCAN 99999 MATCH k[a-z]* COUNT 100",
        "RANDOMKEY",
        "KEYS hot",
        "CLIENT ID",
        "CLIENT INFO",
        "CLIENT LIST",
    ]
    .iter()
    .map(|report| [line(report), line("ECHO end-of-it")].concat())
    .collect();
    let set_hot = line("SET hot hi");
    let get_long = line("GET long");
    let copy_long = [line("COPY long copied REPLACE"), line("RENAME copied long")].concat();
    let getdel_long = line("GETDEL long");
    // Each is read before the next is sent: the sockets' buffers do not hold them all.
    let swaps_long = [
        array(&[b"SET", b"long", &long_value, b"KEEPTTL", b"GET"]),
        array(&[b"GETSET", b"long", &long_value]),
    ];
    let append_long = [
        array(&[b"SET", b"long", &long_value, b"IFEQ", b"short"]),
        array(&[b"APPEND", b"long-new", &long_value]),
        array(&[b"APPEND", b"long-new", &long_value]),
        line("DEL long-new"),
    ]
    .concat();
    let bits_long = [
        line("GETRANGE long 1 99999"),
        line("SETBIT long 8000 1"),
        line("BITCOUNT long"),
        line("BITPOS long 0 7"),
        line("GETBIT long 8000"),
    ]
    .concat();
    let bits_told = [
        &b"$99999\r\n"[..],
        &long_value[1..100_000],
        b"\r\n:0\r\n:1200001\r\n:56\r\n:1\r\n",
    ]
    .concat();
    let hello = [line("HELLO 3"), line("HELLO 2"), line("ECHO end-of-it")].concat();
    let transactions = [
        [
            line("WATCH hot miss"),
            line("MULTI"),
            line("SET hot hi"),
            line("MGET hot miss"),
            array(&[b"SET", b"kept", &[b'v'; 9000]]),
            line("GET kept"),
            line("INCR hot"),
            line("EXEC"),
        ]
        .concat(),
        [
            line("WATCH hot"),
            line("SET hot hi"),
            line("MULTI"),
            line("GET hot"),
            line("EXEC"),
        ]
        .concat(),
        [
            line("MULTI"),
            line("GET"),
            line("NOPE"),
            line("GET hot"),
            line("EXEC"),
        ]
        .concat(),
        [
            line("MULTI"),
            line("GET long"),
            line("DISCARD"),
            line("WATCH a"),
            line("UNWATCH"),
        ]
        .concat(),
    ]
    .map(|lines| [lines, line("ECHO end-of-it")].concat());
    let release: &[u8] = b"if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
    let count: &[u8] = b"local n = redis.call('incr',KEYS[1]) if n == 1 then redis.call('expire',KEYS[1],ARGV[1]) end return n";
    let scripts = [
        line("SET lock mine PX 9999"),
        array(&[b"EVAL", release, b"1", b"lock", b"mine"]),
        array(&[b"EVAL", count, b"1", b"lock", b"9"]),
        array(&[b"SCRIPT", b"LOAD", release]),
        line("SCRIPT EXISTS b70c2384248f88e6b75b9f89241a180f856ad852"),
        line("EVALSHA b70c2384248f88e6b75b9f89241a180f856ad852 1 lock 1"),
        array(&[b"EVAL", b"return 1", b"0"]),
        line("SCRIPT FLUSH"),
        line("DEL lock"),
        line("ECHO end-of-it"),
    ]
    .concat();
    let flush = [line("CONFIG RESETSTAT"), line("FLUSHALL")].concat();
    assert_none(config, 1, REQUESTS / 100, |clients, n| {
        let client = &mut clients[0];
        for (asked, told) in &exchanges {
            client.exchange(asked, told);
        }
        digits(&mut set[set_at..set_at + 8], n);
        client.exchange(&set, b"+OK\r\n");
        if n % 100 == 0 {
            client.exchange(&set_hot, b"+OK\r\n");
            client.exchange(&list, &listed);
            client.exchange(&long_new, b"+OK\r\n");
            client.exchange(&long, b"+OK\r\n");
            client.exchange(&copy_long, b":1\r\n+OK\r\n");
            for swap in &swaps_long {
                client.exchange(swap, &told);
            }
            client.exchange(&append_long, b"$-1\r\n:300000\r\n:600000\r\n:1\r\n");
            client.exchange(&get_long, &told);
            client.exchange(&bits_long, &bits_told);
            client.exchange(&long_new, b"+OK\r\n");
            client.exchange(&getdel_long, &told);
            client.exchange(&long_pair, b"+OK\r\n");
            client.exchange(&long_key_set, b"+OK\r\n");
            client.exchange(&long_key_changed, long_key_told);
            for report in &reports {
                client.exchange_until(report, b"$9\r\nend-of-it\r\n");
            }
            client.exchange_until(&scripts, b"$9\r\nend-of-it\r\n");
            for lines in &transactions {
                client.exchange_until(lines, b"$9\r\nend-of-it\r\n");
            }
            client.exchange_until(&hello, b"$9\r\nend-of-it\r\n");
        }
        if n % 1000 == 0 {
            client.exchange(&too_long, too_long_told);
            client.exchange(&flush, b"+OK\r\n+OK\r\n");
        }
    });
}
