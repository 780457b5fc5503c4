//! Redis' databases over real connections: each is a keyspace of its own, for every command, list and streamed value.

use crate::common::resp::{array, check, requests};
use crate::common::{show, small_config, start, start_with, talk, talk_in_parts};
use flagstone_server::Config;

/// `expected` has `|` for the line's end.
#[track_caller]
#[test]
fn selecting_one_is_for_the_connection() {
    let server = start();
    for (lines, expected) in [
        (
            "SET a 0|SELECT 1|GET a|SET a 1|SELECT 15|GET a|SET a 15|SELECT 0|GET a|SELECT 1|GET a|SELECT 15|GET a",
            "+OK|+OK|$-1|+OK|+OK|$-1|+OK|+OK|$1|0|+OK|$1|1|+OK|$2|15|",
        ),
        ("GET a", "$1|0|"),
        (
            "SELECT 16|SELECT -1|SELECT x|SELECT 1x|SELECT 99999999999|SELECT 99999999999999999999|SELECT|GET a",
            "-ERR DB index is out of range|-ERR DB index is out of range|-ERR value is not an integer or out of range|-ERR value is not an integer or out of range|-ERR value is out of range, value must between -2147483648 and 2147483647|-ERR value is not an integer or out of range|-ERR wrong number of arguments for 'select' command|$1|0|",
        ),
        // A mistake leaves the connection where it is; `RESET` does not.
        (
            "SELECT 1|SELECT 16|GET a|FOO|GET a|SET a|GET a|RESET|GET a",
            "+OK|-ERR DB index is out of range|$1|1|-ERR unknown command 'FOO', with args beginning with: |$1|1|-ERR wrong number of arguments for 'set' command|$1|1|+RESET|$1|0|",
        ),
        (
            "SELECT 1|DBSIZE|SELECT 0|DBSIZE|SELECT 7|DBSIZE",
            "+OK|:1|+OK|:1|+OK|:0|",
        ),
        ("CONFIG GET databases", "*2|$9|databases|$2|16|"),
    ] {
        check(&server, lines, expected);
    }
    let hello = talk(&server, &requests("SELECT 1|HELLO 3|GET a"));
    assert!(hello.ends_with(b"$1\r\n1\r\n"), "{}", show(&hello));
    let info = talk(&server, &requests("INFO keyspace"));
    let told = "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\ndb1:keys=1,expires=0,avg_ttl=0\r\ndb15:keys=1,expires=0,avg_ttl=0\r\n";
    let is_told = info.windows(told.len()).any(|part| part == told.as_bytes());
    assert!(is_told, "{}", show(&info));
    // The other protocols are in database 0, and a line that anybody may send selects nothing.
    assert_eq!(
        show(&talk(&server, b"SELECT 1\r\nget a\r\n")),
        show(b"-ERR DB index is out of range\r\nVALUE a 0 1\r\n0\r\nEND\r\n")
    );
    assert_eq!(show(&talk(&server, b"GET a\n")), show(b"0\n"));
}

/// What every command does in one database is nothing to the others.
#[test]
fn every_command_is_about_its_database() {
    let server = start();
    let keys = "a b c n";
    check(
        &server,
        "MSET a 0 b 0 c 0 n 0|SELECT 2|MSET a 2 b 2 c 2 n 2",
        "+OK|+OK|+OK|",
    );
    for lines in [
        "APPEND a x",
        "SETRANGE a 3 y",
        "INCR n",
        "INCRBYFLOAT n 1.5",
        "DEL a b",
        "UNLINK c",
        "SET a 1 GET",
        "SET b 1 NX",
        "SET b 2 XX KEEPTTL",
        "GETSET c 9",
        "EXPIRE a 100",
        "PERSIST a",
        "GETEX a EX 50",
        "GETDEL a",
        "SETNX a q",
        "SETEX a 100 q",
        "TOUCH a b",
        "MSET a 5 b 6",
        "TTL a",
        "STRLEN a",
        "GETRANGE a 0 -1",
        "TYPE a",
        "EXISTS a b c",
        "OBJECT ENCODING a",
        "MEMORY USAGE a",
        "MGET a b c n",
        "DECRBY n 3",
        "PEXPIRE b 90000",
    ] {
        let answers = talk(&server, &requests(&format!("SELECT 1|{lines}")));
        assert!(
            answers.starts_with(b"+OK\r\n") && answers.len() > 5,
            "{lines}"
        );
        for (database, value) in [(0, 0), (2, 2)] {
            check(
                &server,
                &format!("SELECT {database}|MGET {keys}|TTL a"),
                &format!("+OK|*4|$1|{value}|$1|{value}|$1|{value}|$1|{value}|:-1|"),
            );
        }
    }
}

#[test]
fn long_values_and_lists_are_in_their_database() {
    let server = start();
    let long = |byte: u8| vec![byte; 300_000];
    let store = |byte: u8, options: &[&[u8]]| {
        let value = long(byte);
        array(&[&[&b"SET"[..], b"long", &value], options].concat())
    };
    let input = [
        requests("SELECT 1"),
        store(b'1', &[]),
        requests("SELECT 2"),
        store(b'2', &[b"EX", b"100"]),
        array(&[b"MSET", b"p", b"2", b"q", &long(b'q')]),
        requests("SELECT 0|GET long|MGET long p q|SELECT 1|GET long|MGET p long|SELECT 2|GET long|TTL long|GETDEL q|GET p|GETDEL long|GET long|SELECT 1|STRLEN long"),
    ]
    .concat();
    let value = |byte| [&b"$300000\r\n"[..], &long(byte), b"\r\n"].concat();
    let expected = [
        b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n$-1\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n+OK\r\n"
            .to_vec(),
        value(b'1'),
        b"*2\r\n$-1\r\n".to_vec(),
        value(b'1'),
        b"+OK\r\n".to_vec(),
        value(b'2'),
        b":100\r\n".to_vec(),
        value(b'q'),
        b"$1\r\n2\r\n".to_vec(),
        value(b'2'),
        b"$-1\r\n+OK\r\n:300000\r\n".to_vec(),
    ]
    .concat();
    let replies = talk(&server, &input);
    assert!(
        replies == expected,
        "{} for {}",
        show(&replies[..replies.len().min(200)]),
        replies.len()
    );
}

#[test]
fn a_flush_is_of_one_database_or_of_all() {
    let server = start();
    let fill = "MSET a 0 b 0|SELECT 1|MSET a 1 b 1|SELECT 2|MSET a 2 b 2|SELECT 0|";
    let filled = "+OK|+OK|+OK|+OK|+OK|+OK|";
    for (lines, expected) in [
        (
            "SELECT 1|FLUSHDB|GET a|DBSIZE|SET a x|GET a|SELECT 0|MGET a b|DBSIZE|SELECT 2|MGET a b",
            "+OK|+OK|$-1|:0|+OK|$1|x|+OK|*2|$1|0|$1|0|:2|+OK|*2|$1|2|$1|2|",
        ),
        (
            "FLUSHDB|GET a|DBSIZE|SET a x|GET a|DBSIZE|SELECT 1|MGET a b|SELECT 2|MGET a b|SELECT 0|FLUSHDB ASYNC|GET a",
            "+OK|$-1|:0|+OK|$1|x|:1|+OK|*2|$1|1|$1|1|+OK|*2|$1|2|$1|2|+OK|+OK|$-1|",
        ),
        (
            "SELECT 2|FLUSHALL|MGET a b|SELECT 1|GET a|SELECT 0|GET a|SET a y|GET a|DBSIZE|FLUSHALL SYNC",
            "+OK|+OK|*2|$-1|$-1|+OK|$-1|+OK|$-1|+OK|$1|y|:1|+OK|",
        ),
    ] {
        check(
            &server,
            &format!("{fill}{lines}"),
            &format!("{filled}{expected}"),
        );
    }
    // In one batch, and in many; the other protocols follow.
    let rounds = "SELECT 3|SET k 1|FLUSHDB|GET k|SET k 2|GET k|SELECT 0|SET k 0|FLUSHDB|GET k|SET k 9|GET k|";
    let told = "+OK|+OK|+OK|$-1|+OK|$1|2|+OK|+OK|+OK|$-1|+OK|$1|9|";
    let (rounds, told) = (rounds.repeat(20), told.repeat(20));
    check(&server, &rounds[..rounds.len() - 1], &told);
    let parts: Vec<Vec<u8>> = requests(&rounds[..rounds.len() - 1])
        .chunks(7)
        .map(<[u8]>::to_vec)
        .collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert_eq!(
        show(&talk_in_parts(&server, &parts)),
        show(told.replace('|', "\r\n").as_bytes())
    );
    let native = talk(&server, b"GET k\nPUT k 5\nGET k\nFLUSH\nGET k\n");
    assert_eq!(show(&native), show(b"9\nOK\n5\nOK\nNOTFOUND\n"));
    check(&server, "SELECT 3|DBSIZE|SELECT 0|DBSIZE", "+OK|:0|+OK|:0|");
}

/// What is watched is so in its own database, and what is kept selects when it is executed.
#[test]
fn transactions_are_in_their_database() {
    let server = start();
    for (lines, expected) in [
        (
            "SET k 0|SELECT 1|WATCH k|SELECT 0|SET k 1|MULTI|GET k|EXEC",
            "+OK|+OK|+OK|+OK|+OK|+OK|+QUEUED|*1|$1|1|",
        ),
        (
            "SELECT 1|SET k 1|WATCH k|SELECT 0|SELECT 1|SET k 2|MULTI|GET k|EXEC",
            "+OK|+OK|+OK|+OK|+OK|+OK|+OK|+QUEUED|*-1|",
        ),
        (
            "SELECT 1|WATCH k|FLUSHDB|SELECT 0|MULTI|GET k|EXEC",
            "+OK|+OK|+OK|+OK|+OK|+QUEUED|*-1|",
        ),
        (
            "MULTI|SELECT 4|SET k 4|GET k|FLUSHDB|GET k|SET k 5|EXEC|GET k|SELECT 0|GET k",
            "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*6|+OK|+OK|$1|4|+OK|$-1|+OK|$1|5|+OK|$1|1|",
        ),
        (
            "MULTI|SELECT 4|DISCARD|GET k|MULTI|SELECT 99|GET k|EXEC|GET k",
            "+OK|+QUEUED|+OK|$1|1|+OK|+QUEUED|+QUEUED|*2|-ERR DB index is out of range|$1|1|$1|1|",
        ),
    ] {
        check(&server, lines, expected);
    }
}

#[test]
fn where_flushing_is_not_allowed_no_database_is_flushed() {
    let server = start_with(Config {
        flush: false,
        ..small_config()
    });
    let replies = talk(&server, &requests("SELECT 4|SET a 1|FLUSHDB|GET a"));
    assert!(replies.ends_with(b"$1\r\n1\r\n"), "{}", show(&replies));
    assert!(
        replies.starts_with(b"+OK\r\n+OK\r\n-"),
        "{}",
        show(&replies)
    );
}

#[test]
fn all_keys_are_those_of_the_database() {
    let server = start();
    check(
        &server,
        "SET zero v|SELECT 3|SET three v|SELECT 4|SET four v|FLUSHDB",
        "+OK|+OK|+OK|+OK|+OK|+OK|",
    );
    let nothing = "*0|*2|$1|0|*0|$-1|";
    for (database, told) in [
        (0, "*1|$4|zero|*2|$1|0|*1|$4|zero|$4|zero|"),
        (3, "*1|$5|three|*2|$1|0|*1|$5|three|$5|three|"),
        (4, nothing),
        (5, nothing),
    ] {
        check(
            &server,
            &format!("SELECT {database}|KEYS *|SCAN 0 COUNT 1000|RANDOMKEY"),
            &format!("+OK|{told}"),
        );
    }
    // In a transaction, too.
    check(
        &server,
        "MULTI|SELECT 3|KEYS *|DBSIZE|SELECT 0|KEYS *|EXEC",
        "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*5|+OK|*1|$5|three|:1|+OK|*1|$4|zero|",
    );
}

/// A few keys among many of another database: a call passes a bounded number of those, and in the end every key is met.
#[test]
fn a_scan_passes_the_keys_of_other_databases_and_meets_its_own() {
    let server = start();
    let puts: String = (0..30_000).map(|n| format!("PUT o:{n} v\n")).collect();
    assert_eq!(talk(&server, puts.as_bytes()), b"OK\n".repeat(30_000));
    let wanted: Vec<String> = (0..50).map(|n| format!("mine:{n}")).collect();
    let sets: Vec<String> = wanted.iter().map(|key| format!("SET {key} v")).collect();
    let stored = talk(&server, &requests(&format!("SELECT 9|{}", sets.join("|"))));
    assert_eq!(stored, b"+OK\r\n".repeat(51));
    let (mut cursor, mut met, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let lines = format!("SELECT 9|SCAN {cursor} COUNT 100");
        let told = String::from_utf8(talk(&server, &requests(&lines))).expect("text");
        let mut words = told
            .lines()
            .filter(|line| !line.starts_with(['+', '*', '$']));
        cursor = words.next().expect("a cursor").to_owned();
        met.extend(words.map(str::to_owned));
        calls += 1;
        assert!(calls < 100, "it goes round");
        if cursor == "0" {
            break;
        }
    }
    assert!(calls >= 6, "30,000 keys were passed in {calls} calls");
    met.sort();
    let mut wanted = wanted;
    wanted.sort();
    assert_eq!(met, wanted);
    // All of them would have to be gone through.
    let told = talk(&server, &requests("SELECT 9|KEYS *|SELECT 8|KEYS *"));
    let refused = told.starts_with(b"+OK\r\n-ERR ") && told.ends_with(b"\r\n+OK\r\n*0\r\n");
    assert!(refused, "{}", show(&told));
}

#[test]
fn long_keys_are_in_their_database() {
    let server = start();
    for len in [250, 251, 300, 4000, 16_000] {
        let key = vec![b'u'; len];
        let of = |words: &[&[u8]]| array(words);
        let input = [
            requests("SELECT 1"),
            of(&[b"SET", &key, b"1", b"EX", b"100"]),
            requests("SELECT 2"),
            of(&[b"GET", &key]),
            of(&[b"SET", &key, b"2"]),
            of(&[b"INCR", &key]),
            of(&[b"APPEND", &key, b"x"]),
            requests("SELECT 0"),
            of(&[b"EXISTS", &key]),
            of(&[b"SET", &key, b"0"]),
            requests("SELECT 1"),
            of(&[b"MGET", &key, b"no", &key]),
            of(&[b"TTL", &key]),
            requests("DBSIZE|FLUSHDB|DBSIZE"),
            of(&[b"GET", &key]),
            requests("SELECT 2"),
            of(&[b"GETDEL", &key]),
            requests("DBSIZE|SELECT 0"),
            of(&[b"GET", &key]),
            of(&[b"WATCH", &key]),
            requests("SELECT 7"),
            of(&[b"SET", &key, b"7"]),
            requests("MULTI|SELECT 7"),
            of(&[b"GET", &key]),
            requests("FLUSHDB|EXEC|SELECT 0|FLUSHDB"),
            of(&[b"GET", &key]),
            of(&[b"SET", &key, b"9"]),
            of(&[b"GET", &key]),
            of(&[b"DEL", &key]),
        ]
        .concat();
        let told = "+OK|+OK|+OK|$-1|+OK|:3|:2|+OK|:0|+OK|+OK|*3|$1|1|$-1|$1|1|:100|:1|+OK|:0|$-1|+OK|$2|3x|:0|+OK|$1|0|\
            +OK|+OK|+OK|+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|$1|7|+OK|+OK|+OK|$-1|+OK|$1|9|:1|";
        assert_eq!(
            show(&talk(&server, &input)),
            show(told.replace('|', "\r\n").as_bytes()),
            "{len}"
        );
    }
}

/// A lock in one database is none in another.
#[test]
fn scripts_are_about_their_database() {
    let server = start();
    let release = b"if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
    let call = array(&[b"EVAL", release, b"1", b"lock", b"me"]);
    let input = [
        requests("SELECT 1|SET lock me|SELECT 2"),
        call.clone(),
        requests("SELECT 1"),
        call.clone(),
        call,
    ]
    .concat();
    assert_eq!(
        show(&talk(&server, &input)),
        show(b"+OK\r\n+OK\r\n+OK\r\n:0\r\n+OK\r\n:1\r\n:0\r\n")
    );
}

/// Whatever another protocol's client writes as a key is a key of database 0.
#[test]
fn other_protocols_are_in_database_0() {
    let server = start();
    check(&server, "SELECT 1|SET k secret|SET b 2", "+OK|+OK|+OK|");
    for prefix in [&[1u8, 0, 0, 0][..], &[1], &[1, 1, 0, 0], &[0, 0, 0, 0]] {
        let key = [prefix, b"k"].concat();
        let line = |before: &[u8], after: &[u8]| [before, &key, after].concat();
        for request in [
            line(b"get ", b"\r\n"),
            line(b"mg ", b" v\r\n"),
            line(b"delete ", b"\r\n"),
            array(&[b"GET", &key]),
            array(&[b"DEL", &key]),
            array(&[b"SET", &key, b"zero"]),
        ] {
            let told = talk(&server, &request);
            assert!(
                !told.windows(6).any(|part| part == b"secret"),
                "{}",
                show(&told)
            );
        }
        check(&server, "SELECT 1|GET k|DBSIZE", "+OK|$6|secret|:2|");
        let told = talk(&server, &array(&[b"GET", &key]));
        assert_eq!(show(&told), show(b"$4\r\nzero\r\n"));
    }
    assert_eq!(talk(&server, b"flush_all\r\n"), b"OK\r\n");
    check(&server, "SELECT 1|GET k", "+OK|$-1|");
    check(&server, "SET mine v|SELECT 1|SET k v", "+OK|+OK|+OK|");
    for (request, told) in [
        (&b"lru_crawler metadump all\r\n"[..], "key=mine "),
        (b"lru_crawler mgdump all\r\n", "mg mine"),
    ] {
        let dumped = talk(&server, request);
        let dumped = String::from_utf8_lossy(&dumped);
        let of_items: Vec<&str> = dumped.lines().filter(|line| line.len() > 3).collect();
        assert!(
            of_items.len() == 1 && of_items[0].starts_with(told),
            "{dumped}"
        );
    }
}
