//! Redis' commands about several keys at once: `RENAME`, `RENAMENX`, `COPY`, `MSETNX`, `MSETEX`.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use crate::common::resp::{array, check, requests};
use crate::common::{connect, exchange, show, small_config, start, start_with, talk};
use flagstone_server::Config;

/// `expected` has `|` for the line's end.
const SAME: &str = "-ERR source and destination objects are the same|";
const SYNTAX: &str = "-ERR syntax error|";

#[test]
fn an_item_gets_another_key() {
    let server = start();
    for (lines, expected) in [
        (
            "RENAME a b|SET a 1|RENAME a b|GET a|GET b",
            "-ERR no such key|+OK|+OK|$-1|$1|1|",
        ),
        ("SET a 2|RENAME a b|GET b|EXISTS a", "+OK|+OK|$1|2|:0|"),
        ("RENAME b b|GET b|RENAME a a", "+OK|$1|2|-ERR no such key|"),
        (
            "RENAMENX b a|RENAMENX a a|SET b 3|RENAMENX a b|MGET a b|RENAMENX none b",
            ":1|:0|+OK|:0|*2|$1|2|$1|3|-ERR no such key|",
        ),
        // The deadline is the item's, and not the key's.
        (
            "EXPIRE a 100|RENAME a b|TTL b|SET c 1|RENAME c b|TTL b",
            ":1|+OK|:100|+OK|+OK|:-1|",
        ),
        (
            "RENAME a|RENAMENX a b c|COPY a",
            "-ERR wrong number of arguments for 'rename' command|\
             -ERR wrong number of arguments for 'renamenx' command|\
             -ERR wrong number of arguments for 'copy' command|",
        ),
        // In the database that is selected.
        (
            "SELECT 3|RENAME b c|SET b 3|RENAME b c|GET c|SELECT 0|GET b|GET c",
            "+OK|-ERR no such key|+OK|+OK|$1|3|+OK|$1|1|$-1|",
        ),
        (
            "MULTI|RENAME b d|GET d|RENAME b d|EXEC",
            "+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|$1|1|-ERR no such key|",
        ),
        ("WATCH d|RENAME d e|MULTI|EXEC", "+OK|+OK|+OK|*-1|"),
        (
            "SET x 1|WATCH e|RENAME x e|MULTI|EXEC",
            "+OK|+OK|+OK|+OK|*-1|",
        ),
    ] {
        check(&server, lines, expected);
    }
    assert_eq!(
        show(&talk(
            &server,
            b"*1\r\n$4\r\nPING\r\nRENAME e f\r\nGET f\r\n"
        )),
        show(b"+PONG\r\n+OK\r\n$1\r\n1\r\n")
    );
}

#[test]
fn a_copy_is_an_item_of_its_own() {
    let server = start();
    for (lines, expected) in [
        (
            "COPY a b|SET a 1 EX 100|COPY a b|TTL b|COPY a b|SET a 2|COPY a b REPLACE|GET b|TTL b",
            ":0|+OK|:1|:100|:0|+OK|:1|$1|2|:-1|",
        ),
        ("APPEND b x|GET a", ":2|$1|2|"),
        (
            "COPY a a|COPY none none|COPY a a REPLACE|COPY a a DB 0",
            &SAME.repeat(4),
        ),
        (
            "COPY a a DB 5|COPY a a DB 5|COPY a c replace db 5|SELECT 5|MGET a b c|COPY c b DB 0|COPY c b DB 0 REPLACE|SELECT 0|GET b",
            ":1|:0|:1|+OK|*3|$1|2|$-1|$1|2|:0|:1|+OK|$1|2|",
        ),
        (
            "COPY a b DB 16|COPY a b DB x|COPY a b DB 99999999999",
            "-ERR DB index is out of range|-ERR value is not an integer or out of range|\
             -ERR value is out of range, value must between -2147483648 and 2147483647|",
        ),
        (
            "COPY a b DB|COPY a b FOO|COPY a b REPLACE x",
            &SYNTAX.repeat(3),
        ),
    ] {
        check(&server, lines, expected);
    }
}

/// Of any length, and with memcached's flags.
#[test]
fn the_whole_value_goes_along() {
    let server = start_with(Config {
        memory_bytes: 64 << 20,
        ..small_config()
    });
    let mut client = connect(&server);
    for len in [0, 1, 4095, 4096, 4097, 20_000, 70_000, 1 << 20] {
        let value: Vec<u8> = (0..len)
            .map(|at: usize| (at * 7 + at / 251) as u8)
            .collect();
        let told = [format!("${len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        exchange(
            &mut client,
            &array(&[b"SET", b"long", &value, b"EX", b"500"]),
            b"+OK\r\n",
        );
        exchange(
            &mut client,
            &requests("COPY long copy REPLACE|RENAME long moved"),
            b":1\r\n+OK\r\n",
        );
        exchange(
            &mut client,
            &requests("EXISTS long|TTL copy|TTL moved"),
            b":0\r\n:500\r\n:500\r\n",
        );
        exchange(&mut client, &requests("GET copy"), &told);
        exchange(&mut client, &requests("GET moved"), &told);
    }
    assert_eq!(
        show(&talk(&server, b"set f 7 0 2\r\nhi\r\n")),
        show(b"STORED\r\n")
    );
    check(&server, "RENAME f g|COPY g h", "+OK|:1|");
    let told = b"VALUE g 7 2\r\nhi\r\nVALUE h 7 2\r\nhi\r\nEND\r\n";
    assert_eq!(show(&talk(&server, b"get f g h\r\n")), show(told));
}

#[test]
fn all_are_stored_or_none() {
    let server = start();
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command|");
    for (lines, expected) in [
        (
            "MSETNX a 1 b 2|MSETNX c 3 b 4|MGET a b c",
            ":1|:0|*3|$1|1|$1|2|$-1|",
        ),
        // The same twice: the last one counts.
        (
            "MSETNX d 1 d 2|GET d|MSETNX d 3 d 4|GET d",
            ":1|$1|2|:0|$1|2|",
        ),
        ("MSETNX a|MSETNX a 1 b|MSETNX", &arity("msetnx").repeat(3)),
        (
            "MSETEX 2 a 5 n 6 XX|MGET a n|MSETEX 2 a 5 n 6 NX|GET n|MSETEX 2 a 5 n 6|MGET a n",
            ":0|*2|$1|1|$-1|:0|$-1|:1|*2|$1|5|$1|6|",
        ),
        (
            "MSETEX 2 a 7 b 8 EX 100 xx|TTL a|TTL b|MSETEX 1 a 9 KEEPTTL|TTL a|GET a|MSETEX 1 a 9|TTL a",
            ":1|:100|:100|:1|:100|$1|9|:1|:-1|",
        ),
        (
            "MSETEX 1 a 9 PXAT 1|GET a|MSETEX 1 a 9 nx px 70000|TTL a",
            ":1|$-1|:1|:70|",
        ),
        ("MSETEX|MSETEX 1 a", &arity("msetex").repeat(2)),
        (
            "MSETEX a 1 ex 10|MSETEX 0 a 1|MSETEX -1 a 1|MSETEX 2147483648 a 1",
            &"-ERR invalid numkeys value|".repeat(4),
        ),
        (
            "MSETEX 2 a 1 b|MSETEX 2147483647 a 1",
            &"-ERR wrong number of key-value pairs|".repeat(2),
        ),
        (
            "MSETEX 1 a 1 FOO|MSETEX 1 a 1 NX XX|MSETEX 1 a 1 EX 1 PX 1|MSETEX 1 a 1 GET|MSETEX 1 a 1 b 2",
            &SYNTAX.repeat(5),
        ),
        (
            "MSETEX 1 a 1 EX 0|MSETEX 1 a 1 EX x",
            "-ERR invalid expire time in 'msetex' command|-ERR value is not an integer or out of range|",
        ),
        (
            "SELECT 2|MSETNX a 2 z 2|SELECT 0|GET z|COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 5",
            "+OK|:1|+OK|$-1|*2|$1|a|$1|b|",
        ),
        (
            "MULTI|MSETNX p 1 q 2|MSETNX q 1|MSETEX 1 p 3 XX|GET p|EXEC",
            "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*4|:1|:0|:1|$1|3|",
        ),
    ] {
        check(&server, lines, expected);
    }
    let lines = b"*1\r\n$4\r\nPING\r\nMSETNX l1 x l2 'y z'\r\nMSETNX l3\r\nMSETEX 1 l1 w EX 9 XX\r\nGET l1\r\nGET l2\r\n";
    let told = b"+PONG\r\n:1\r\n-ERR wrong number of arguments for 'msetnx' command\r\n:1\r\n$1\r\nw\r\n$3\r\ny z\r\n";
    assert_eq!(show(&talk(&server, lines)), show(told));
}

/// As much as can be held, in bytes that come one at a time; what is longer is refused and skipped.
#[test]
fn a_list_has_16_kib() {
    let server = start();
    let keys: Vec<Vec<u8>> = (0..900).map(|no| format!("k{no}").into_bytes()).collect();
    let words = |keys: &[Vec<u8>], value: &'static [u8]| {
        let pairs = keys.iter().flat_map(|key| [&key[..], value]);
        array(
            &[b"MSETNX"]
                .into_iter()
                .map(|word: &[u8; 6]| &word[..])
                .chain(pairs)
                .collect::<Vec<_>>(),
        )
    };
    let fits = words(&keys[..700], b"v");
    assert!(fits.len() < 16 << 10);
    let mut client = connect(&server);
    client.set_nodelay(true).expect("set");
    for part in fits.chunks(700) {
        client.write_all(part).expect("sent");
    }
    exchange(
        &mut client,
        &requests("DBSIZE|GET k699"),
        b":1\r\n:700\r\n$1\r\nv\r\n",
    );
    let long = [words(&keys[700..], &[b'v'; 100]), requests("DBSIZE")].concat();
    let refused =
        b"-ERR MSETNX and MSETEX take keys and values of up to 16 KiB together here\r\n:700\r\n";
    exchange(&mut client, &long, refused);
    let long = array(&[b"MSETEX", b"1", b"a", &[b'v'; 40_000], b"EX", b"9"]);
    exchange(&mut client, &[long, requests("DBSIZE")].concat(), refused);
    let key = [b'k'; 16_001];
    let long_key = "-ERR the key is longer than the server's --max-key allows\r\n";
    exchange(
        &mut client,
        &array(&[b"RENAME", b"k1", &key]),
        long_key.as_bytes(),
    );
}

/// Two workers: whoever has seen a part of it done, without a transaction of its own, finds all of it done.
#[test]
fn nobody_sees_half_of_it() {
    const ROUNDS: usize = 300;
    const KEYS: usize = 400;
    let server = start_with(Config {
        workers: 2,
        memory_bytes: 64 << 20,
        ..small_config()
    });
    let round_no = AtomicUsize::new(0);
    let mut first = connect(&server);
    exchange(&mut first, &requests("SET from0 value"), b"+OK\r\n");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = connect(&server);
                let mut told = [0; 4 * 4 * 50];
                loop {
                    let no = round_no.load(Relaxed);
                    if no == ROUNDS {
                        break;
                    }
                    let next = no + 1;
                    let look = format!(
                        "EXISTS first{no}|EXISTS last{no}|EXISTS from{next}|EXISTS from{no}"
                    );
                    client.write_all(&requests(&look).repeat(50)).expect("sent");
                    client.read_exact(&mut told).expect("answers");
                    for answers in told.chunks(16) {
                        let [first, last, to, from] = [1, 5, 9, 13].map(|at| answers[at] == b'1');
                        assert!(!first || last, "half of a list in round {no}");
                        assert!(!(to && from), "under both keys in round {no}");
                    }
                }
            });
        }
        for no in 0..ROUNDS {
            let keys: Vec<String> = (1..KEYS).map(|key| format!("k{key}:{no}")).collect();
            let (first_key, last_key) = (format!("first{no}"), format!("last{no}"));
            let mut words: Vec<&[u8]> = vec![b"MSETNX", first_key.as_bytes(), b"1"];
            keys.iter()
                .for_each(|key| words.extend([key.as_bytes(), b"1"]));
            words.extend([last_key.as_bytes(), b"1"]);
            let next = no + 1;
            let change = [
                array(&words),
                requests(&format!("RENAME from{no} from{next}")),
            ]
            .concat();
            exchange(&mut first, &change, b":1\r\n+OK\r\n");
            round_no.store(next, Relaxed);
        }
    });
}
