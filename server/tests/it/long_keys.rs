//! Keys of any bytes, from the empty one to the limit, over real connections: every way to store and to read, lists, streamed
//! values, what is longer than allowed, any split of the input, and what the other protocols make of such keys.

use crate::common::resp::{array, bulk};
use crate::common::{show, small_config, start, start_with, stat, talk, talk_in_parts};
use flagstone_server::{Config, Running};

/// The longest key that can be had.
const MOST: usize = 16_000;
const TOO_LONG: &[u8] = b"-ERR the key is longer than the server's --max-key allows\r\n";

/// A key of `len` bytes, all of which but the last are those of any other.
fn key(len: usize, last: u8) -> Vec<u8> {
    let mut key: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    if let Some(byte) = key.last_mut() {
        *byte = last;
    }
    key
}

#[track_caller]
fn check(server: &Running, input: &[Vec<u8>], expected: &[&[u8]], context: &str) {
    let replies = talk(server, &input.concat());
    assert_eq!(show(&replies), show(&expected.concat()), "{context}");
}

#[test]
fn a_key_of_any_length_does_what_a_short_one_does() {
    let server = start();
    let lengths = [
        0, 1, 250, 251, 255, 256, 1000, 2048, 4096, 8100, 15_999, MOST,
    ];
    for len in lengths {
        let (a, b) = (&key(len, b'a')[..], &key(len, b'b')[..]);
        let long = vec![b'v'; 100_000];
        let twice = [&b"hello!"[..], &b"hello!"[..]].concat();
        // The empty key has no other of its length.
        let other: &[u8] = if len == 0 {
            b"$6\r\nhello!\r\n"
        } else {
            b"$-1\r\n"
        };
        let deleted: &[u8] = if len == 0 { b":0\r\n" } else { b":1\r\n" };
        let steps: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (array(&[b"GET", a]), b"$-1\r\n".to_vec()),
            (array(&[b"SET", a, b"hello"]), b"+OK\r\n".to_vec()),
            (array(&[b"APPEND", a, b"!"]), b":6\r\n".to_vec()),
            (array(&[b"GET", a]), bulk(b"hello!")),
            (array(&[b"GET", b]), other.to_vec()),
            (
                array(&[b"MGET", a, b"x", a]),
                [
                    b"*3\r\n".to_vec(),
                    bulk(b"hello!"),
                    b"$-1\r\n".to_vec(),
                    bulk(b"hello!"),
                ]
                .concat(),
            ),
            (array(&[b"EXPIRE", a, b"100"]), b":1\r\n".to_vec()),
            (array(&[b"TTL", a]), b":100\r\n".to_vec()),
            (array(&[b"STRLEN", a]), b":6\r\n".to_vec()),
            (array(&[b"GETRANGE", a, b"1", b"-2"]), bulk(b"ello")),
            (
                array(&[b"SETRANGE", a, b"6", b"hello!"]),
                b":12\r\n".to_vec(),
            ),
            (array(&[b"GETSET", a, b"41"]), bulk(&twice)),
            (array(&[b"INCR", a]), b":42\r\n".to_vec()),
            (
                array(&[b"MSET", a, b"1", b"x", b"2", b, b"3"]),
                b"+OK\r\n".to_vec(),
            ),
            (array(&[b"EXISTS", a, b, b"x", a]), b":4\r\n".to_vec()),
            (array(&[b"DEL", b, b"x"]), b":2\r\n".to_vec()),
            (array(&[b"DEL", a]), deleted.to_vec()),
            // The value follows the key in pieces, and how it is to be stored follows the value.
            (
                array(&[b"SET", a, &long, b"EX", b"50", b"NX"]),
                b"+OK\r\n".to_vec(),
            ),
            (array(&[b"TTL", a]), b":50\r\n".to_vec()),
            (array(&[b"GET", a]), bulk(&long)),
            (array(&[b"SETEX", a, b"70", &long]), b"+OK\r\n".to_vec()),
            (array(&[b"MSET", b"x", b"1", a, &long]), b"+OK\r\n".to_vec()),
            (array(&[b"GETDEL", a]), bulk(&long)),
            (array(&[b"DEL", b"x", a, b]), b":1\r\n".to_vec()),
        ];
        let input: Vec<Vec<u8>> = steps.iter().map(|(input, _)| input.clone()).collect();
        let expected: Vec<&[u8]> = steps.iter().map(|(_, reply)| &reply[..]).collect();
        for (input, reply) in &steps {
            check(
                &server,
                std::slice::from_ref(input),
                &[reply],
                &format!("key of {len}"),
            );
        }
        check(
            &server,
            &input,
            &expected,
            &format!("a pipeline, key of {len}"),
        );
    }
    assert_eq!(stat(&server, "items"), 0);
}

#[test]
fn a_key_over_the_limit_is_refused_or_absent_and_nothing_else_suffers() {
    let small = Config {
        key_bytes_max: 300,
        ..small_config()
    };
    for (server, least) in [(start(), MOST + 1), (start_with(small), 301)] {
        for len in [least, MOST + 1, 16_384, 20_000, 100_000] {
            let long = &key(len, b'a')[..];
            let input = [
                array(&[b"SET", b"a", b"1"]),
                array(&[b"DEL", long, b"a", long]),
                array(&[b"EXISTS", long]),
                array(&[b"MSET", b"b", b"2", long, b"3", b"c", b"4"]),
                array(&[b"PING"]),
            ];
            let expected: [&[u8]; 4] = [b"+OK\r\n:1\r\n:0\r\n", TOO_LONG, b"+PONG\r\n", b""];
            // By a setting, a list says so.
            let told = show(&talk(&server, &input.concat()));
            if len > MOST {
                assert_eq!(told, show(&expected.concat()), "{len}");
            }
            let mut input = vec![array(&[b"SET", b"a", b"1"])];
            let mut expected: Vec<&[u8]> = vec![b"+OK\r\n"];
            if len > MOST {
                input.push(array(&[b"MGET", b"a", long, b"a", long]));
                expected.push(b"*4\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n$-1\r\n");
            }
            if len < 16_300 {
                input.extend([
                    array(&[b"GET", long]),
                    array(&[b"SET", long, b"x"]),
                    array(&[b"SET", long, &[b'v'; 50_000], b"EX", b"9"]),
                    array(&[b"TTL", long]),
                ]);
                expected.extend([TOO_LONG; 4]);
            }
            input.push(array(&[b"GET", b"a"]));
            expected.push(b"$1\r\n1\r\n");
            check(&server, &input, &expected, &format!("{len}"));
        }
    }
}

#[test]
fn any_split_of_long_keys_gives_the_same_answers() {
    let server = start();
    let lengths = [
        0, 1, 250, 251, 1000, 1024, 2030, 2048, 2050, 4096, 15_990, 15_999, MOST, 16_001, 16_350,
        16_384, 17_000, 40_000,
    ];
    for len in lengths {
        let (a, value) = (&key(len, b'a')[..], [b'v'; 30_000]);
        let input = [
            array(&[b"SET", a, b"1"]),
            array(&[b"GET", a]),
            array(&[b"MGET", b"n", a, a]),
            array(&[b"SET", a, &value, b"EX", b"9"]),
            array(&[b"STRLEN", a]),
            array(&[b"MSET", b"n", b"1", a, b"2", b"m", b"3"]),
            array(&[b"DEL", b"n", a, b"m"]),
            array(&[b"PING"]),
        ];
        let edges: Vec<usize> = input
            .iter()
            .scan(0, |at, request| {
                *at += request.len();
                Some(*at)
            })
            .collect();
        let input = input.concat();
        let whole = show(&talk(&server, &input));
        let cuts = edges
            .iter()
            .flat_map(|&edge| [edge - len.min(edge) / 2, edge - 1, edge, edge + 9]);
        let cuts = cuts.chain([1, 5, 30, 1024, 1025, 2048, 2049, 16_383, 16_384, 16_385]);
        for cut in cuts.filter(|&cut| cut < input.len()) {
            let replies = talk_in_parts(&server, &[&input[..cut], &input[cut..]]);
            assert_eq!(show(&replies), whole, "key of {len} cut at {cut}");
        }
        for size in [999, 1024, 2049, 16_000, 16_384] {
            let parts: Vec<&[u8]> = input.chunks(size).collect();
            let replies = talk_in_parts(&server, &parts);
            assert_eq!(show(&replies), whole, "key of {len} in parts of {size}");
        }
    }
}

#[test]
fn other_protocols_meet_long_keys_as_far_as_they_can_say_them() {
    let server = start();
    let name = "https://example.org/".to_owned() + &"path/".repeat(100);
    let name = name.as_bytes();
    let line = |verb: &[u8], rest: &[u8]| [verb, b" ", name, rest, b"\n"].concat();
    let told = talk(
        &server,
        &[
            line(b"PUT", b" native"),
            line(b"GET", b""),
            line(b"TTL", b""),
        ]
        .concat(),
    );
    assert_eq!(show(&told), show(b"OK\nnative\n-1\n"));
    let input = [array(&[b"GET", name]), array(&[b"APPEND", name, b"!"])].concat();
    assert_eq!(
        show(&talk(&server, &input)),
        show(b"$6\r\nnative\r\n:7\r\n")
    );
    let told = talk(
        &server,
        &[
            line(b"PUTEX", b" 100 again"),
            line(b"GETL", b""),
            line(b"DEL", b""),
            line(b"GET", b""),
        ]
        .concat(),
    );
    assert_eq!(show(&told), show(b"OK\n5\nagain\nOK\nNOTFOUND\n"));
    // A line of the native protocol is no longer than it was.
    let most = [b'k'; 2044];
    let told = talk(
        &server,
        &[b"GET ", &most[..], b"\nGET ", &[b'k'; 2045], b"\n"].concat(),
    );
    assert_eq!(show(&told), show(b"NOTFOUND\nERROR\n"));
    // memcached's clients cannot say it.
    let refused = b"CLIENT_ERROR bad command line format\r\n";
    let get = [b"get ", name, b"\r\n"].concat();
    assert_eq!(show(&talk(&server, &get)), show(refused));
    let meta = [b"mg ", name, b" v\r\n"].concat();
    assert_eq!(show(&talk(&server, &meta)), show(refused));
    let set = [b"set ", name, b" 0 0 1\r\nx\r\n"].concat();
    assert!(talk(&server, &set).starts_with(b"CLIENT_ERROR"));
    // The empty key is none in lines of words.
    let told = talk(
        &server,
        &[array(&[b"SET", b"", b"x"]), b"".to_vec()].concat(),
    );
    assert_eq!(show(&told), show(b"+OK\r\n"));
    assert_eq!(show(&talk(&server, b"GET \n")), show(b"ERROR\n"));
}

#[test]
fn dumps_name_long_keys_and_the_empty_one() {
    let server = start();
    let names: Vec<Vec<u8>> = [300, 1000, 5000, MOST]
        .map(|len| vec![b'a' + (len % 26) as u8; len])
        .to_vec();
    let mut input = array(&[b"SET", b"", b"x"]);
    for name in &names {
        input.extend(array(&[b"SET", name, b"x"]));
    }
    // Too long for any line once it is escaped: it is left out.
    input.extend(array(&[b"SET", &[0xFF; MOST], b"x"]));
    input.extend(array(&[b"SET", b"short", b"x"]));
    assert_eq!(talk(&server, &input), b"+OK\r\n".repeat(names.len() + 3));
    let dump = talk(&server, b"lru_crawler metadump all\r\n");
    let lines: Vec<&[u8]> = dump.split(|&byte| byte == b'\n').collect();
    for name in names
        .iter()
        .map(|name| &name[..])
        .chain([&b""[..], b"short"])
    {
        let begin = [b"key=", name, b" exp=-1 "].concat();
        let met = lines.iter().filter(|line| line.starts_with(&begin));
        assert_eq!(met.count(), 1, "key of {}", name.len());
    }
    assert!(dump.ends_with(b"END\r\n"));
    let dump = talk(&server, b"lru_crawler mgdump all\r\n");
    for name in &names {
        let line = [b"mg ", &name[..], b"\r\n"].concat();
        assert!(
            dump.windows(line.len()).any(|part| part == line),
            "{}",
            name.len()
        );
    }
}
