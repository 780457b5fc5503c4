//! The codecs: every request byte for byte, every reply at every split.

use super::Asked::{Delete, Read, Write};
use super::Protocol::{Memcache, Meta, Native, Resp};
use super::*;
use crate::settings::Sizes;

#[test]
fn requests_are_what_the_protocols_say() {
    let names = KeyNames::new(Sizes { min: 8, max: 8 });
    let case = TypeCase::new(64);
    let mut value = Vec::new();
    case.write(&mut value, 7, 3, 30);
    let value = str::from_utf8(&value).expect("printable");
    let check = |protocol: Protocol, expected: [String; 3]| {
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        protocol.write_read(&mut out[0], names, 7);
        protocol.write_write(&mut out[1], names, &case, (7, 3, 30), 0);
        protocol.write_delete(&mut out[2], names, 7);
        for (out, expected) in out.iter().zip(&expected) {
            assert_eq!(str::from_utf8(out), Ok(expected.as_str()), "{protocol:?}");
        }
    };
    check(
        Native,
        [
            "GET 00000007\n".into(),
            format!("PUT 00000007 {value}\n"),
            "DEL 00000007\n".into(),
        ],
    );
    check(
        Memcache,
        [
            "get 00000007\r\n".into(),
            format!("set 00000007 0 0 30\r\n{value}\r\n"),
            "delete 00000007\r\n".into(),
        ],
    );
    check(
        Meta,
        [
            "mg 00000007 v\r\n".into(),
            format!("ms 00000007 30\r\n{value}\r\n"),
            "md 00000007\r\n".into(),
        ],
    );
    check(
        Resp,
        [
            "*2\r\n$3\r\nGET\r\n$8\r\n00000007\r\n".into(),
            format!("*3\r\n$3\r\nSET\r\n$8\r\n00000007\r\n$30\r\n{value}\r\n"),
            "*2\r\n$3\r\nDEL\r\n$8\r\n00000007\r\n".into(),
        ],
    );
}

#[test]
fn a_write_says_when_its_value_is_to_go() {
    let names = KeyNames::new(Sizes { min: 8, max: 8 });
    let case = TypeCase::new(64);
    let mut value = Vec::new();
    case.write(&mut value, 7, 3, 30);
    let value = str::from_utf8(&value).expect("printable");
    let table = [
        (Native, format!("PUTEX 00000007 3600 {value}\n")),
        (Memcache, format!("set 00000007 0 3600 30\r\n{value}\r\n")),
        (Meta, format!("ms 00000007 30 T3600\r\n{value}\r\n")),
        (
            Resp,
            format!(
                "*5\r\n$3\r\nSET\r\n$8\r\n00000007\r\n$30\r\n{value}\r\n$2\r\nEX\r\n$4\r\n3600\r\n"
            ),
        ),
    ];
    for (protocol, expected) in table {
        let mut out = Vec::new();
        protocol.write_write(&mut out, names, &case, (7, 3, 30), 3600);
        assert_eq!(str::from_utf8(&out), Ok(expected.as_str()), "{protocol:?}");
    }
}

#[test]
fn logins_are_what_the_protocols_say() {
    let table: [(Protocol, &str, Protocol, &str); 6] = [
        (Native, "t0k", Native, "AUTH t0k\n"),
        (Memcache, "t0k", Memcache, "set auth 0 0 9\r\ntoken t0k\r\n"),
        (Meta, "ann pw", Memcache, "set auth 0 0 6\r\nann pw\r\n"),
        (Memcache, "ann pw", Memcache, "set auth 0 0 6\r\nann pw\r\n"),
        (Resp, "t0k", Resp, "*2\r\n$4\r\nAUTH\r\n$3\r\nt0k\r\n"),
        (
            Resp,
            "ann pw",
            Resp,
            "*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$2\r\npw\r\n",
        ),
    ];
    for (protocol, login, answers, expected) in table {
        let mut out = Vec::new();
        let login = Login::of(login).expect("a login");
        assert_eq!(protocol.write_login(&mut out, &login), answers);
        assert_eq!(str::from_utf8(&out), Ok(expected), "{protocol:?}");
    }
}

#[test]
fn replies_are_found_at_any_split_and_with_anything_behind_them() {
    let table: &[(Protocol, Asked, &[u8], Reply<'_>)] = &[
        (Native, Write, b"OK\n", Reply::Done),
        (Native, Write, b"ERROR\n", Reply::Refused(b"ERROR")),
        (Native, Read, b"NOTFOUND\n", Reply::Missing),
        (Native, Read, b"a value\n", Reply::Value(b"a value")),
        (Native, Read, b"\n", Reply::Value(b"")),
        (Native, Read, b"OK\n", Reply::Value(b"OK")),
        (Native, Read, b"ERROR\n", Reply::Refused(b"ERROR")),
        (Native, Delete, b"OK\n", Reply::Done),
        (Native, Delete, b"NOTFOUND\n", Reply::Missing),
        (Memcache, Write, b"STORED\r\n", Reply::Done),
        (
            Memcache,
            Write,
            b"NOT_STORED\r\n",
            Reply::Refused(b"NOT_STORED"),
        ),
        (
            Memcache,
            Write,
            b"SERVER_ERROR out of memory\r\n",
            Reply::Refused(b"SERVER_ERROR out of memory"),
        ),
        (Memcache, Read, b"ERROR\r\n", Reply::Refused(b"ERROR")),
        (Memcache, Read, b"END\r\n", Reply::Missing),
        (
            Memcache,
            Read,
            b"VALUE k 0 3\r\na\nb\r\nEND\r\n",
            Reply::Value(b"a\nb"),
        ),
        (
            Memcache,
            Read,
            b"VALUE k 0 0\r\n\r\nEND\r\n",
            Reply::Value(b""),
        ),
        (Memcache, Delete, b"DELETED\r\n", Reply::Done),
        (Memcache, Delete, b"NOT_FOUND\r\n", Reply::Missing),
        (Meta, Write, b"HD\r\n", Reply::Done),
        (Meta, Write, b"NS\r\n", Reply::Refused(b"NS")),
        (Meta, Read, b"EN\r\n", Reply::Missing),
        (Meta, Read, b"VA 3\r\na\nb\r\n", Reply::Value(b"a\nb")),
        (Meta, Read, b"VA 1 f0\r\na\r\n", Reply::Value(b"a")),
        (Meta, Delete, b"HD\r\n", Reply::Done),
        (Meta, Delete, b"NF\r\n", Reply::Missing),
        (
            Meta,
            Read,
            b"CLIENT_ERROR bad\r\n",
            Reply::Refused(b"CLIENT_ERROR bad"),
        ),
        (Resp, Write, b"+OK\r\n", Reply::Done),
        (Resp, Write, b"-OOM no\r\n", Reply::Refused(b"OOM no")),
        (Resp, Read, b"$-1\r\n", Reply::Missing),
        (Resp, Read, b"$3\r\na\nb\r\n", Reply::Value(b"a\nb")),
        (Resp, Read, b"$0\r\n\r\n", Reply::Value(b"")),
        (Resp, Delete, b":1\r\n", Reply::Done),
        (Resp, Delete, b":0\r\n", Reply::Missing),
    ];
    for &(protocol, asked, bytes, expected) in table {
        let followed = [bytes, b"OK\nEND\r\n$-1\r\n"].concat();
        for first in 0..=bytes.len() {
            let mut scanned = 0;
            for end in [first, bytes.len() - 1] {
                if end < bytes.len() {
                    let found = protocol.read_reply(asked, &bytes[..end], &mut scanned);
                    assert_eq!(found, Found::Part, "{protocol:?} {bytes:?} {end}");
                }
            }
            assert_eq!(
                protocol.read_reply(asked, &followed, &mut scanned),
                Found::Whole(expected, bytes.len()),
                "{protocol:?} {bytes:?}"
            );
            assert_eq!(scanned, 0);
        }
    }
}

#[test]
fn other_protocols_are_told_apart() {
    let table: &[(Protocol, Asked, &[u8])] = &[
        (Native, Write, b"STORED\r\n"),
        (Native, Delete, b":1\r\n"),
        (Memcache, Read, b"NOTFOUND\n"),
        (Memcache, Read, b"-ERR unknown command\r\n"),
        (Memcache, Read, b"VALUE k 0 x\r\n"),
        (Memcache, Read, b"VALUE k 0 99999999999999999999\r\n"),
        (Memcache, Read, b"VALUE k 0 1\r\nab\r\nEND\r\n"),
        (Memcache, Write, b"END\r\n"),
        (Memcache, Read, &[b'x'; 4096]),
        (Meta, Read, b"VA\r\n"),
        (Meta, Read, b"VALUE k 0 1\r\n"),
        (Resp, Read, b"+OK\r\n"),
        (Resp, Read, b"$x\r\n"),
        (Resp, Read, b"$1\r\nabc\r\n"),
        (Resp, Read, b"HTTP/1.1 400 Bad Request\r\n"),
        (Resp, Read, b"$1\n"),
    ];
    for &(protocol, asked, bytes) in table {
        let found = protocol.read_reply(asked, bytes, &mut 0);
        assert_eq!(
            found,
            Found::Garbled,
            "{protocol:?} {:?}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn numbers_are_written_in_full() {
    for number in [0, 9, 10, 1024, 1_000_000, usize::MAX] {
        let mut out = Vec::new();
        write_number(&mut out, number);
        assert_eq!(out, number.to_string().as_bytes());
    }
}
