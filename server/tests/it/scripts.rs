//! The scripts of cache and lock libraries, by text and by hash, and every other one.

use std::thread;

use crate::common::resp::{array, requests};
use crate::common::{connect, exchange, show, small_config, start, start_with, talk};
use flagstone_server::{Config, Running};

const RELEASE: &str = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) else return 0 end";
/// What phpredis calls it.
const RELEASE_HASH: &str = "b70c2384248f88e6b75b9f89241a180f856ad852";
const KEEP: &str = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) else return 0 end";
const PROLONG: &str = "local token = redis.call('get', KEYS[1])
    if not token or token ~= ARGV[1] then return 0 end
    local expiration = redis.call('pttl', KEYS[1])
    if not expiration then expiration = 0 end
    if expiration < 0 then return 0 end
    local newttl = ARGV[2]
    if ARGV[3] == \"0\" then newttl = ARGV[2] + expiration end
    redis.call('pexpire', KEYS[1], newttl)
    return 1";
const ADD: &str =
    "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])";
const COUNT: &str = "local current
    current = redis.call(\"incr\",KEYS[1])
    if tonumber(current) == 1 then redis.call(\"expire\",KEYS[1],ARGV[1]) end
    return current";
const COUNT_KNOWN: &str = "local exists = redis.call('EXISTS', KEYS[1])
    if (exists == 1) then return redis.call('INCRBY', KEYS[1], ARGV[1]) else return false end";

fn eval(script: &str, words: &str) -> Vec<u8> {
    let mut all: Vec<&[u8]> = vec![b"EVAL", script.as_bytes()];
    all.extend(words.split(' ').map(str::as_bytes));
    array(&all)
}

/// `expected` has `|` for the line's end.
#[track_caller]
fn check(server: &Running, input: &[u8], expected: &str) {
    let expected = expected.replace('|', "\r\n");
    assert_eq!(
        show(&talk(server, input)),
        show(expected.as_bytes()),
        "{}",
        show(input)
    );
}

#[test]
fn locks_are_released_kept_and_prolonged_by_their_owner() {
    let server = start();
    let line = requests;
    let table: Vec<(Vec<u8>, &str)> = vec![
        (line("SET lock mine PX 10000"), "+OK|"),
        (eval(RELEASE, "1 lock other"), ":0|"),
        (eval(KEEP, "1 lock other 50000"), ":0|"),
        (eval(KEEP, "1 lock mine 50000"), ":1|"),
        (line("TTL lock|GET lock"), ":50|$4|mine|"),
        (eval(PROLONG, "1 lock mine 50000 0"), ":1|"),
        (line("TTL lock"), ":100|"),
        (eval(PROLONG, "1 lock mine 20000 1"), ":1|"),
        (line("TTL lock"), ":20|"),
        (eval(PROLONG, "1 lock other 20000 1"), ":0|"),
        (eval(RELEASE, "1 lock mine"), ":1|"),
        (eval(RELEASE, "1 lock mine"), ":0|"),
        (eval(KEEP, "1 lock mine 9"), ":0|"),
        // A lock without a lifetime is not prolonged, and one whose time is over is gone.
        (line("SET lock mine"), "+OK|"),
        (eval(PROLONG, "1 lock mine 50000 0"), ":0|"),
        (eval(KEEP, "1 lock mine 0"), ":1|"),
        (line("EXISTS lock"), ":0|"),
    ];
    for (input, expected) in table {
        check(&server, &input, expected);
    }
}

#[test]
fn what_is_counted_and_added_gets_its_lifetime_at_once() {
    let server = start();
    let table: Vec<(Vec<u8>, &str)> = vec![
        (eval(ADD, "1 a value 100"), "+OK|"),
        (eval(ADD, "1 a other 100"), "$-1|"),
        (requests("GET a|TTL a"), "$5|value|:100|"),
        (
            eval(ADD, "1 b value 0"),
            "-ERR invalid expire time in script|",
        ),
        (eval(COUNT, "1 n 50"), ":1|"),
        (requests("TTL n|EXPIRE n 20"), ":50|:1|"),
        (eval(COUNT, "1 n 50"), ":2|"),
        (requests("TTL n"), ":20|"),
        (eval(COUNT_KNOWN, "1 n 5"), ":7|"),
        (eval(COUNT_KNOWN, "1 none 5"), "$-1|"),
        (requests("EXISTS none|TTL n"), ":0|:20|"),
        (
            eval(COUNT, "1 a 50"),
            "-ERR value is not an integer or out of range|",
        ),
    ];
    for (input, expected) in table {
        check(&server, &input, expected);
    }
    // In version 3 nothing is said otherwise.
    let told = talk(
        &server,
        &[requests("HELLO 3"), eval(COUNT_KNOWN, "1 none 5")].concat(),
    );
    assert!(
        told.starts_with(b"%7\r\n") && told.ends_with(b"*0\r\n_\r\n"),
        "{}",
        show(&told)
    );
}

#[test]
fn scripts_are_called_by_hash_once_they_were_sent() {
    let server = start();
    let hash = RELEASE_HASH;
    let missing = "-NOSCRIPT No matching script. Please use EVAL.|";
    let call = requests(&format!("EVALSHA {hash} 1 lock mine"));
    check(&server, &call, missing);
    let exists = requests(&format!("SCRIPT EXISTS {hash} {}", "0".repeat(40)));
    check(&server, &exists, "*2|:0|:0|");
    let load = array(&[b"SCRIPT", b"LOAD", RELEASE.as_bytes()]);
    check(&server, &load, &format!("$40|{hash}|"));
    check(&server, &exists, "*2|:1|:0|");
    check(
        &server,
        &[requests("SET lock mine"), call.clone()].concat(),
        "+OK|:1|",
    );
    let upper = requests(&format!(
        "EVALSHA {} 1 lock mine",
        hash.to_ascii_uppercase()
    ));
    check(&server, &upper, ":0|");
    check(
        &server,
        &[requests("SCRIPT FLUSH"), call.clone()].concat(),
        &format!("+OK|{missing}"),
    );
    // Sending the text is as good as loading it.
    check(
        &server,
        &[eval(RELEASE, "1 lock mine"), call.clone()].concat(),
        ":0|:0|",
    );
    // In a transaction, too.
    let all = [requests("MULTI|SET lock mine"), call, requests("EXEC")].concat();
    check(&server, &all, "+OK|+QUEUED|+QUEUED|*2|+OK|:1|");
}

#[test]
fn any_other_script_is_refused() {
    let server = start();
    let unknown = "-ERR unknown script: those of cache and lock libraries are executed, and others are not interpreted here|";
    check(&server, &eval("return 1", "0"), unknown);
    check(
        &server,
        &eval("return redis.call('get',KEYS[1])", "1 k"),
        unknown,
    );
    check(&server, &array(&[b"SCRIPT", b"LOAD", b"return 1"]), unknown);
    let few = "-ERR Wrong number of keys or arguments for this script|";
    check(&server, &eval(RELEASE, "0 k v"), few);
    check(&server, &eval(RELEASE, "1 k"), few);
    check(
        &server,
        &eval(RELEASE, "3 k v"),
        "-ERR Number of keys can't be greater than number of args|",
    );
    check(
        &server,
        &eval(RELEASE, "-1 k v"),
        "-ERR Number of keys can't be negative|",
    );
    check(
        &server,
        &eval(RELEASE, "x k v"),
        "-ERR value is not an integer or out of range|",
    );
    let read_only = array(&[b"EVAL_RO", RELEASE.as_bytes(), b"1", b"k", b"v"]);
    check(
        &server,
        &read_only,
        "-ERR Write commands are not allowed from read-only scripts.|",
    );
    check(
        &server,
        &requests("SCRIPT KILL|PING"),
        "-NOTBUSY No scripts in execution right now.|+PONG|",
    );
}

/// A lock that many take and give back, on two workers: it has one owner at a time.
#[test]
fn a_lock_has_one_owner() {
    let server = start_with(Config {
        workers: 2,
        ..small_config()
    });
    thread::scope(|scope| {
        for owner in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut conn = connect(server);
                let token = format!("token-{owner}");
                for _ in 0..100 {
                    loop {
                        use std::io::{Read, Write};
                        let take = format!("SET lock {token} NX PX 60000");
                        conn.write_all(&requests(&take)).expect("sent");
                        let mut told = [0; 5];
                        conn.read_exact(&mut told).expect("told");
                        if told == *b"+OK\r\n" {
                            break;
                        }
                        thread::yield_now();
                    }
                    // Whoever has it finds its own name, also after prolonging it.
                    let get = format!("${}\r\n{token}\r\n", token.len());
                    exchange(
                        &mut conn,
                        &eval(KEEP, &format!("1 lock {token} 50000")),
                        b":1\r\n",
                    );
                    exchange(&mut conn, &requests("GET lock"), get.as_bytes());
                    exchange(&mut conn, &eval(RELEASE, "1 lock nobody"), b":0\r\n");
                    exchange(
                        &mut conn,
                        &eval(RELEASE, &format!("1 lock {token}")),
                        b":1\r\n",
                    );
                }
            });
        }
    });
}
