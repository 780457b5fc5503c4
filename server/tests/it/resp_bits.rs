//! Bits and parts of values, and what Redis' clients change if something holds, as one step.

use std::io::Write;
use std::thread;

use crate::common::resp::{array, check, requests};
use crate::common::{connect, exchange, expect, start, talk};

/// `expected` has `|` for the line's end.
#[track_caller]
#[test]
fn bits_are_set_counted_and_found() {
    let server = start();
    let table = [
        (
            "SETBIT b 7 1|SETBIT b 7 1|SETBIT b 17 1|STRLEN b|GETBIT b 7|GETBIT b 6|GETBIT b 999|GETBIT none 0",
            ":0|:1|:0|:3|:1|:0|:0|:0|",
        ),
        (
            "BITCOUNT b|BITCOUNT b 0 0|BITCOUNT b 1 2 BYTE|BITCOUNT b 8 -1 BIT|BITCOUNT b 5 2|BITCOUNT none",
            ":2|:1|:1|:1|:0|:0|",
        ),
        (
            "BITPOS b 1|BITPOS b 1 1|BITPOS b 0 0 -1|BITPOS b 1 18 -1 BIT|BITPOS none 1|BITPOS none 0",
            ":7|:17|:0|:-1|:-1|:0|",
        ),
        (
            "SETBIT one 0 1|SETBIT one 1 1|BITPOS one 0|SET f ab EX 90|SETBIT f 6 1|GET f|TTL f",
            ":0|:0|:2|+OK|:0|$2|cb|:90|",
        ),
        (
            "SETBIT b -1 1|SETBIT b x 1|SETBIT b 4294967296 1|SETBIT b 0 2|SETBIT b 9000000 1|GETBIT b -1",
            "-ERR bit offset is not an integer or out of range|-ERR bit offset is not an integer or out of range|-ERR bit offset is not an integer or out of range|-ERR bit is not an integer or out of range|-ERR string exceeds maximum allowed size (--max-item)|-ERR bit offset is not an integer or out of range|",
        ),
        (
            "BITCOUNT b 1|BITCOUNT b 0 1 FOO|BITCOUNT b x 1|BITPOS b 2|BITPOS b x|BITPOS b 1 0 1 FOO",
            "-ERR syntax error|-ERR syntax error|-ERR value is not an integer or out of range|-ERR The bit argument must be 1 or 0.|-ERR value is not an integer or out of range|-ERR syntax error|",
        ),
    ];
    for (lines, expected) in table {
        check(&server, lines, expected);
    }
}

#[test]
fn a_value_is_removed_if_it_is_this_one() {
    let server = start();
    let table = [
        (
            "SET a mine|DELIFEQ a other|DELIFEQ a mine|DELIFEQ a mine|GET a",
            "+OK|:0|:1|:0|$-1|",
        ),
        (
            "SET a mine|DELEX a IFNE mine|DELEX a IFEQ mine|DELEX a|SET a x|DELEX a|DELEX none IFNE x",
            "+OK|:0|:1|:0|+OK|:1|:0|",
        ),
        (
            "DELEX a IFDEQ 0|DELEX a IFEQ",
            "-ERR syntax error|-ERR syntax error|",
        ),
        (
            "SET n -12|OBJECT ENCODING n|SET n 012|OBJECT ENCODING n|OBJECT FREQ none",
            "+OK|$3|int|+OK|$6|embstr|$-1|",
        ),
    ];
    for (lines, expected) in table {
        check(&server, lines, expected);
    }
    let told = talk(&server, &requests("OBJECT FREQ n"));
    assert!(told.starts_with(b"-ERR An LFU maxmemory policy is not selected"));
}

/// Bits of a value that lies in many pieces, and parts of it of any length, also to one who reads slowly.
#[test]
fn bits_and_parts_of_a_long_value() {
    let server = start();
    let value: Vec<u8> = (0..900_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    let mut client = connect(&server);
    exchange(&mut client, &array(&[b"SET", b"l", &value]), b"+OK\r\n");
    let ones: u32 = value.iter().map(|byte| byte.count_ones()).sum();
    let told = format!(":{ones}\r\n");
    exchange(&mut client, &requests("BITCOUNT l"), told.as_bytes());
    for (from, to) in [
        (0, 899_999),
        (1, 200_000),
        (333_333, 899_998),
        (850_000, 899_999),
    ] {
        let asked = requests(&format!("GETRANGE l {from} {to}|ECHO behind"));
        let part = &value[from..=to];
        let head = format!("${}\r\n", part.len());
        let told = [head.as_bytes(), part, b"\r\n$6\r\nbehind\r\n"].concat();
        exchange(&mut client, &asked, &told);
    }
    let (at, mask) = (654_321, 0x10);
    let offset = at * 8 + 3;
    let was = u8::from(value[at] & mask != 0);
    let asked =
        format!("SETBIT l {offset} 0|GETBIT l {offset}|SETBIT l {offset} 1|BITPOS l 1 {at} {at}");
    let found = at * 8 + (value[at] | mask).leading_zeros() as usize;
    let told = format!(":{was}\r\n:0\r\n:0\r\n:{found}\r\n");
    exchange(&mut client, &requests(&asked), told.as_bytes());
    // One who does not read what they asked for keeps nobody waiting, and has it all in the end.
    client
        .write_all(&requests("GETRANGE l 0 500000").repeat(20))
        .expect("asks");
    check(&server, "STRLEN l|BITCOUNT none", ":900000|:0|");
    let told = [&b"$500001\r\n"[..], &value[..=500_000], b"\r\n"].concat();
    for _ in 0..20 {
        expect(&mut client, &told);
    }
}

/// Of many who set a deadline where none is, one does.
#[test]
fn a_condition_and_its_deadline_are_one_step() {
    const ROUNDS: usize = 300;
    let server = start();
    let keys: String = (0..ROUNDS).map(|no| format!("SET k{no} v|")).collect();
    talk(&server, &requests(keys.trim_end_matches('|')));
    let asked: Vec<String> = (0..ROUNDS)
        .map(|no| format!("EXPIRE k{no} 100 NX"))
        .collect();
    let asked = requests(&asked.join("|"));
    let done: usize = thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| talk(&server, &asked)))
            .collect();
        let set = |told: Vec<u8>| told.iter().filter(|&&byte| byte == b'1').count();
        all.into_iter()
            .map(|one| set(one.join().expect("ends")))
            .sum()
    });
    assert_eq!(done, ROUNDS);
}

/// Bits that several set at once are all set.
#[test]
fn no_bit_is_lost_to_another() {
    let server = start();
    for pad in ["0", "80000"] {
        talk(&server, &requests(&format!("SETRANGE b {pad} x")));
        thread::scope(|scope| {
            for no in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let asked: Vec<String> = (0..50)
                        .map(|bit| format!("SETBIT b {} 1", 1000 + bit * 4 + no))
                        .collect();
                    talk(server, &requests(&asked.join("|")));
                });
            }
        });
        check(&server, "BITCOUNT b 1000 1199 BIT|DEL b", ":200|:1|");
    }
}
