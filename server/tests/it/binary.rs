//! Goal: clients of memcached's binary protocol are answered as memcached answers them, over the same items as all others.
//! Method: tables of packets and of the answers in words; every cut of a session; the differential tests compare with a real
//! memcached.

use std::io::Write;
use std::net::TcpStream;

use crate::common::binary::*;
use crate::common::process::{Process, run};
use crate::common::tool::Scratch;
use crate::common::{self, PATIENCE, connect, expect_end, start, start_with, talk, talk_in_parts};
use flagstone_server::{Config, Running};

/// One connection's requests, and its answers in words.
#[track_caller]
fn check(server: &Running, requests: &[Packet], expected: &[&str]) {
    assert_eq!(texts(&talk(server, &bytes(requests))), expected);
}

fn noop() -> Packet {
    packet(NOOP, "")
}

#[test]
fn values_go_in_and_out() {
    let server = start();
    check(
        &server,
        &[
            store(SET, "k", (7, 0), "value").opaque(0xdead_beef),
            packet(GET, "k").opaque(1),
            packet(GETK, "k"),
            packet(GET, "none"),
            packet(GETK, "none"),
            packet(GETQ, "none"),
            packet(GETKQ, "none"),
            packet(GETQ, "k"),
            packet(GETKQ, "k"),
            store(SET, "empty", (0, 0), ""),
            packet(GET, "empty"),
            noop().opaque(u32::MAX),
        ],
        &[
            "01 00 cas o=deadbeef",
            "00 00 cas 00000007 v=value o=1",
            "0c 00 cas 00000007 k=k v=value",
            "00 01 v=Not found",
            "0c 01 k=none",
            "09 00 cas 00000007 v=value",
            "0d 00 cas 00000007 k=k v=value",
            "01 00 cas",
            "00 00 cas 00000000",
            "0a 00 o=ffffffff",
        ],
    );
}

#[test]
fn stores_have_conditions() {
    let server = start();
    check(
        &server,
        &[
            store(REPLACE, "k", (0, 0), "x"),
            store(REPLACEQ, "k", (0, 0), "x"),
            store(ADD, "k", (1, 0), "a"),
            store(ADD, "k", (2, 0), "b"),
            store(ADDQ, "k", (2, 0), "b"),
            store(REPLACE, "k", (3, 0), "c"),
            packet(APPEND, "k").value(">"),
            packet(PREPEND, "k").value("<"),
            packet(GET, "k"),
            packet(APPEND, "none").value("x"),
            packet(PREPEND, "none").value("x"),
            packet(APPENDQ, "none").value("x"),
            packet(PREPENDQ, "none").value("x"),
            store(SET, "none", (0, 0), "x").cas(5),
            store(ADD, "none", (0, 0), "x").cas(5),
            store(REPLACEQ, "none", (0, 0), "x").cas(5),
            store(SET, "k", (0, 0), "x").cas(5),
            packet(APPEND, "k").value("x").cas(5),
            packet(DELETE, "k").cas(5),
            packet(DELETE, "k"),
            packet(DELETE, "k"),
            packet(DELETEQ, "k"),
            packet(DELETE, "k").cas(5),
        ],
        &[
            "03 01 v=Not found",
            "13 01 v=Not found",
            "02 00 cas",
            "02 02 v=Data exists for key.",
            "12 02 v=Data exists for key.",
            "03 00 cas",
            "0e 00 cas",
            "0f 00 cas",
            "00 00 cas 00000003 v=<c>",
            "0e 05 v=Not stored.",
            "0f 05 v=Not stored.",
            "19 05 v=Not stored.",
            "1a 05 v=Not stored.",
            "01 01 v=Not found",
            "02 01 v=Not found",
            "13 01 v=Not found",
            "01 02 v=Data exists for key.",
            "0e 02 v=Data exists for key.",
            "04 02 v=Data exists for key.",
            "04 00",
            "04 01 v=Not found",
            "14 01 v=Not found",
            "04 01 v=Not found",
        ],
    );
}

#[test]
fn what_is_quiet_is_not_answered_when_all_goes_well() {
    let server = start();
    check(
        &server,
        &[
            store(SETQ, "k", (9, 0), "5"),
            store(ADDQ, "other", (0, 0), "x"),
            store(REPLACEQ, "k", (9, 0), "6"),
            packet(APPENDQ, "k").value("0"),
            packet(PREPENDQ, "k").value("1"),
            count(INCREMENTQ, "k", 5, 0, 0),
            count(DECREMENTQ, "k", 1, 0, 0),
            count(INCREMENTQ, "new", 1, 42, 0),
            packet(DELETEQ, "other"),
            packet(GATQ, "k").number(100),
            packet(GATKQ, "none").number(100),
            packet(GATQ, "none").number(100),
            packet(GETQ, "other"),
            packet(GETKQ, "new"),
            noop(),
            packet(FLUSHQ, ""),
            packet(GETKQ, "new"),
            noop(),
            packet(QUITQ, ""),
            noop(),
        ],
        &[
            "1e 00 cas 00000009 v=164",
            "0d 00 cas 00000000 k=new v=42",
            "0a 00",
            "0a 00",
        ],
    );
    check(&server, &[packet(QUIT, ""), noop()], &["07 00"]);
}

#[test]
fn numbers_are_counted() {
    let server = start();
    let seven = "05 00 cas v=\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07";
    let zero = "06 00 cas v=\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00";
    check(
        &server,
        &[
            count(INCREMENT, "n", 1, 7, u32::MAX),
            count(INCREMENT, "n", 1, 7, 0),
            count(INCREMENT, "n", 0, 0, 0),
            packet(GET, "n"),
            count(DECREMENT, "n", 10, 0, 0),
            store(SET, "t", (0, 0), "text"),
            count(INCREMENT, "t", 1, 0, 0),
            count(DECREMENTQ, "t", 1, 0, 0),
            count(INCREMENT, "n", 1, 0, 0).cas(3),
        ],
        &[
            "05 01 v=Not found",
            seven,
            seven,
            "00 00 cas 00000000 v=7",
            zero,
            "01 00 cas",
            "05 06 v=Non-numeric server-side value for incr or decr",
            "16 06 v=Non-numeric server-side value for incr or decr",
            "05 02 v=Data exists for key.",
        ],
    );
}

#[test]
fn lifetimes_change_and_are_kept() {
    let server = start();
    check(
        &server,
        &[
            store(SET, "k", (5, 1000), "v"),
            packet(TOUCH, "k").number(100),
            packet(GAT, "k").number(200),
            packet(GATK, "k").number(300),
            packet(TOUCH, "none").number(1),
            packet(GAT, "none").number(1),
            packet(GATK, "none").number(1),
        ],
        &[
            "01 00 cas",
            "1c 00 cas 00000005",
            "1d 00 cas 00000005 v=v",
            "23 00 cas 00000005 k=k v=v",
            "1c 01 v=Not found",
            "1d 01 v=Not found",
            "23 01 k=none",
        ],
    );
    assert_eq!(talk(&server, b"mg k t f\r\n"), b"HD t300 f5\r\n");
    // For ever, and until a day that is over.
    let past = 1_000_000_000;
    check(
        &server,
        &[
            packet(TOUCH, "k").number(0),
            store(SETQ, "gone", (0, past), "v"),
            packet(GET, "gone"),
        ],
        &["1c 00 cas 00000005", "00 01 v=Not found"],
    );
    assert_eq!(talk(&server, b"mg k t\r\n"), b"HD t-1\r\n");
}

/// A number holds until somebody changes the item, whichever protocol gave it out and whichever asks.
#[test]
fn cas_numbers_are_the_items() {
    let server = start();
    let mut stream = connect(&server);
    let set = ask(&mut stream, &store(SET, "k", (0, 0), "a"));
    assert_eq!(ask(&mut stream, &packet(GET, "k")).cas, set.cas);
    let text = String::from_utf8(talk(&server, b"gets k\r\n")).expect("text");
    assert_eq!(text, format!("VALUE k 0 1 {}\r\na\r\nEND\r\n", set.cas));
    let next = ask(&mut stream, &store(SET, "k", (0, 0), "b").cas(set.cas));
    assert!(next.status == 0 && next.cas > set.cas);
    let old = ask(&mut stream, &packet(APPEND, "k").value("x").cas(set.cas));
    assert_eq!(old.text(), "0e 02 v=Data exists for key.");
    let longer = ask(&mut stream, &packet(APPEND, "k").value("x").cas(next.cas));
    assert_eq!(longer.text(), "0e 00 cas");
    assert_eq!(ask(&mut stream, &packet(GET, "k")).cas, longer.cas);
    let deleted = ask(&mut stream, &packet(DELETE, "k").cas(longer.cas));
    assert_eq!(deleted.text(), "04 00");

    // Of items that were stored without one, each is asked in another way.
    talk(&server, b"PUT a 1\nPUT b 2\nPUT c 3\n");
    check(&server, &[store(SETQ, "d", (0, 0), "4")], &[]);
    let a = ask(&mut stream, &packet(GET, "a"));
    let b = ask(&mut stream, &packet(TOUCH, "b").number(0));
    let c = ask(&mut stream, &count(INCREMENT, "c", 1, 0, 0));
    let d = ask(&mut stream, &packet(GATK, "d").number(0));
    for (key, told) in [("a", a), ("b", b), ("c", c), ("d", d)] {
        assert!(told.cas != 0, "{key}");
        let stored = ask(
            &mut stream,
            &store(REPLACE, key, (0, 0), "new").cas(told.cas),
        );
        assert_eq!(stored.status, 0, "{key}");
    }
}

#[test]
fn long_values_go_in_and_out_binary() {
    let server = start();
    let mut stream = connect(&server);
    for len in [
        16_000,
        16_384 - 33,
        16_384 - 32,
        16_384 - 31,
        16_384,
        40_000,
        300_000,
        1 << 20,
    ] {
        let value: Vec<u8> = (0..len).map(|no: usize| (no % 251) as u8).collect();
        let request = store(SET, "k", (77, 0), &value).opaque(len as u32);
        let stored = ask(&mut stream, &request);
        assert_eq!(stored.text(), format!("01 00 cas o={len:x}"));
        for opcode in [GET, GETK, GATKQ] {
            let mut request = packet(opcode, "k").opaque(3);
            if opcode == GATKQ {
                request = request.number(0);
            }
            let got = ask(&mut stream, &request);
            assert_eq!((got.status, got.cas, got.opaque), (0, stored.cas, 3));
            assert_eq!(got.extras, 77u32.to_be_bytes());
            assert_eq!(got.key.len(), usize::from(opcode != GET));
            assert!(got.value == value, "{len} bytes");
        }
    }
    // A long part, quietly.
    let part = vec![b'>'; 20_000];
    let requests = [
        store(SETQ, "part", (1, 0), vec![b'v'; 20_000]),
        packet(APPENDQ, "part").value(&part),
        packet(PREPENDQ, "part").value(&part),
        packet(APPENDQ, "none").value(&part),
        packet(GET, "part"),
    ];
    let answers = texts(&talk(&server, &bytes(&requests)));
    assert_eq!(
        answers,
        ["19 05 v=Not stored.", "00 00 cas 00000001 v=60000 bytes"]
    );
}

#[test]
fn a_value_that_is_too_long_is_skipped() {
    let server = start_with(Config {
        item_bytes_max: 100_000,
        ..common::small_config()
    });
    let long = vec![b'x'; 100_001];
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for opcode in [SET, ADD, REPLACE, APPEND, SETQ] {
        requests.push(store(SETQ, "k", (0, 0), "old"));
        let request = match opcode {
            APPEND => packet(APPEND, "k").value(&long),
            _ => store(opcode, "k", (0, 0), &long),
        };
        requests.push(request.opaque(0xabcd));
        requests.push(packet(GETK, "k"));
        expected.push(format!("{opcode:02x} 03 v=Too large. o=abcd"));
        // Whoever sets believes that the old one is gone.
        expected.push(match opcode {
            SET | SETQ => "0c 01 k=k".to_owned(),
            _ => "0c 00 cas 00000000 k=k v=old".to_owned(),
        });
    }
    // Not too long, but what it would become a part of.
    requests.push(store(SETQ, "half", (0, 0), &long[..60_000]));
    requests.push(packet(APPEND, "half").value(&long[..60_000]));
    expected.push("0e 05 v=Not stored.".to_owned());
    assert_eq!(texts(&talk(&server, &bytes(&requests))), expected);
}

#[test]
fn unknown_commands_are_skipped_with_their_bodies() {
    let server = start();
    let strange = |len: usize| {
        let mut strange = store(0x77, "key", (1, 2), vec![0x80; len]);
        strange.opaque = 0x11;
        strange
    };
    check(
        &server,
        &[
            packet(0xff, ""),
            strange(5),
            strange(16_300),
            strange(16_500),
            strange(500_000),
            noop(),
        ],
        &[
            "ff 81 v=Unknown command",
            "77 81 v=Unknown command o=11",
            "77 81 v=Unknown command o=11",
            "77 81 v=Unknown command o=11",
            "77 81 v=Unknown command o=11",
            "0a 00",
        ],
    );
}

/// Nobody knows what stands behind lengths that do not fit: the connection ends behind the answer.
#[test]
fn lengths_that_do_not_fit_end_the_connection() {
    let server = start();
    let raw = |opcode: u8, key_len: u16, extras_len: u8, body_len: u32| {
        let mut bytes = packet(opcode, "").opaque(0x55).bytes();
        bytes[2..4].copy_from_slice(&key_len.to_be_bytes());
        bytes[4] = extras_len;
        bytes[8..12].copy_from_slice(&body_len.to_be_bytes());
        bytes
    };
    let mut table = vec![
        (raw(GET, 3, 0, 1), 0x81),
        (raw(SET, 3, 8, 10), 0x81),
        (raw(SET, 3, 8, u32::MAX), 4),
        (raw(0x77, 0, 0, u32::MAX), 4),
        (raw(GET, 251, 0, 251), 4),
        (raw(0x77, 251, 0, 251), 4),
        (raw(SET, u16::MAX, 8, 100_000), 4),
    ];
    for opcode in [GET, GETKQ, DELETE, DELETEQ] {
        for lengths in [(0, 0, 0), (1, 4, 5), (1, 0, 2)] {
            table.push((raw(opcode, lengths.0, lengths.1, lengths.2), 4));
        }
    }
    for opcode in [SET, ADDQ, REPLACE] {
        for lengths in [(0, 8, 9), (1, 0, 2), (1, 4, 6), (1, 9, 12)] {
            table.push((raw(opcode, lengths.0, lengths.1, lengths.2), 4));
        }
    }
    for opcode in [INCREMENT, DECREMENTQ] {
        for lengths in [(0, 20, 20), (1, 16, 17), (1, 20, 22)] {
            table.push((raw(opcode, lengths.0, lengths.1, lengths.2), 4));
        }
    }
    for opcode in [TOUCH, GAT, GATKQ] {
        for lengths in [(0, 4, 4), (1, 0, 1), (1, 4, 6)] {
            table.push((raw(opcode, lengths.0, lengths.1, lengths.2), 4));
        }
    }
    for opcode in [NOOP, VERSION, QUIT, QUITQ, MECHANISMS] {
        for lengths in [(1, 0, 1), (0, 1, 1), (0, 0, 1)] {
            table.push((raw(opcode, lengths.0, lengths.1, lengths.2), 4));
        }
    }
    table.extend([
        (raw(FLUSH, 0, 3, 3), 4),
        (raw(FLUSH, 1, 0, 1), 4),
        (raw(FLUSHQ, 0, 4, 5), 4),
        (raw(APPEND, 0, 0, 1), 4),
        (raw(PREPENDQ, 1, 4, 6), 4),
        (raw(STAT, 0, 4, 4), 4),
        (raw(STAT, 0, 0, 4), 4),
        (raw(VERBOSITY, 0, 0, 0), 4),
        (raw(AUTH, 0, 0, 5), 4),
        (raw(STEP, 5, 4, 9), 4),
    ]);
    for (wrong, status) in table {
        let opcode = wrong[1];
        let input = [noop().bytes(), wrong.clone(), noop().bytes()].concat();
        let told = answers(&talk(&server, &input));
        let shown = wrong.escape_ascii();
        assert_eq!(told.len(), 2, "{shown}");
        let (status_told, opaque) = (told[1].status, told[1].opaque);
        assert_eq!(
            (told[1].opcode, status_told, opaque),
            (opcode, status, 0x55),
            "{shown}"
        );
        // Known from the header alone.
        let mut stream = connect(&server);
        assert_eq!(ask(&mut stream, &noop()).status, 0);
        stream.write_all(&wrong).expect("sends");
        assert_eq!(next(&mut stream).status, status, "{shown}");
        expect_end(&mut stream);
    }
}

#[test]
fn another_magic_ends_the_connection_silently() {
    let server = start();
    for stray in [&b"get k\r\n"[..], b"\x81", b"\0", b"*1\r\n$4\r\nPING\r\n"] {
        let input = [&noop().bytes()[..], stray].concat();
        assert_eq!(texts(&talk(&server, &input)), ["0a 00"]);
    }
    // An answer is no request, and text is not left for binary.
    assert_eq!(talk(&server, b"\x81\0\0"), b"");
    let input = [&b"get k\r\n"[..], &noop().bytes()].concat();
    assert!(talk(&server, &input).starts_with(b"END\r\n"));
}

#[test]
fn the_rest_is_told() {
    let server = start();
    check(
        &server,
        &[
            packet(VERSION, ""),
            packet(VERBOSITY, "").number(3),
            packet(FLUSH, ""),
            packet(FLUSH, "").number(0),
            packet(FLUSH, "").number(1000),
            packet(STAT, "sizes"),
            packet(STAT, "reset"),
            packet(STAT, "nonsense"),
            packet(STAT, "detail on"),
            packet(MECHANISMS, ""),
            packet(AUTH, "PLAIN").value("\0me\0secret"),
            packet(STEP, "PLAIN").value("\0me\0secret"),
        ],
        &[
            "0b 00 v=1.6.45",
            "1b 00",
            "08 00",
            "08 00",
            "08 00",
            "10 00 k=sizes_status v=disabled",
            "10 00",
            "10 00",
            "10 01 v=Not found",
            "10 01 v=Not found",
            "20 81 v=Unknown command",
            "21 81 v=Unknown command",
            "22 81 v=Unknown command",
        ],
    );
    let quiet = start_with(Config {
        flush: false,
        ..common::small_config()
    });
    check(&quiet, &[packet(FLUSH, "")], &["08 20 v=Auth failure."]);
}

/// The counters of the text protocol, in packets: the same names and the same numbers.
#[test]
fn counters_are_those_of_the_text_protocol() {
    let server = start();
    check(
        &server,
        &[
            store(SETQ, "k", (0, 0), "1"),
            packet(GETQ, "k"),
            packet(GETQ, "none"),
            packet(TOUCH, "k").number(0),
            packet(GATQ, "none").number(0),
            count(INCREMENTQ, "k", 1, 0, u32::MAX),
            count(DECREMENTQ, "none", 1, 0, u32::MAX),
            packet(DELETE, "none"),
            store(SET, "k", (0, 0), "1").cas(1),
        ],
        &[
            "09 00 cas 00000000 v=1",
            "1c 00 cas 00000000",
            "16 01 v=Not found",
            "04 01 v=Not found",
            "01 02 v=Data exists for key.",
        ],
    );
    let told = answers(&talk(&server, &packet(STAT, "").opaque(4).bytes()));
    let (last, stats) = told.split_last().expect("answers");
    assert_eq!(last.text(), "10 00 o=4");
    assert!(stats.len() > 80 && stats.iter().all(|stat| stat.opaque == 4));
    let told = |name: &str| {
        let stat = stats.iter().find(|stat| stat.key == name.as_bytes());
        String::from_utf8(stat.expect(name).value.clone()).expect("text")
    };
    for (name, value) in [
        ("cmd_get", "2"),
        ("get_hits", "1"),
        ("get_misses", "1"),
        ("cmd_set", "2"),
        ("touch_hits", "1"),
        ("touch_misses", "1"),
        ("incr_hits", "1"),
        ("decr_misses", "1"),
        ("delete_misses", "1"),
        ("cas_badval", "1"),
        ("curr_items", "1"),
        ("version", "1.6.45"),
    ] {
        assert_eq!(told(name), value, "{name}");
    }
    for topic in ["settings", "items", "slabs"] {
        let told = answers(&talk(&server, &packet(STAT, topic).bytes()));
        let text = talk(&server, format!("stats {topic}\r\n").as_bytes());
        let lines = String::from_utf8(text).expect("text");
        let names = lines.lines().filter_map(|line| line.split(' ').nth(1));
        let names: Vec<&[u8]> = names.map(str::as_bytes).collect();
        let keys: Vec<&[u8]> = told.iter().map(|stat| &stat.key[..]).collect();
        assert_eq!(keys[..keys.len() - 1], names, "{topic}");
    }
}

/// Whatever bytes a key has, it is that key and no other.
#[test]
fn keys_are_any_bytes() {
    let server = start();
    let keys: [&[u8]; 5] = [b"a b", b"a\r\nget b", b"\0", b"\x80", &[b'k'; 250]];
    let mut requests = Vec::new();
    for (no, key) in keys.iter().enumerate() {
        requests.push(store(SETQ, key, (no as u32, 0), key));
    }
    requests.extend(keys.iter().map(|key| packet(GETK, key)));
    let told = answers(&talk(&server, &bytes(&requests)));
    for (no, (key, told)) in keys.iter().zip(&told).enumerate() {
        assert_eq!((&told.key[..], &told.value[..]), (*key, *key));
        assert_eq!(told.extras, (no as u32).to_be_bytes());
    }
}

/// Some of everything.
fn session() -> Vec<u8> {
    let long = vec![b'l'; 17_000];
    bytes(&[
        store(SET, "k", (7, 100), "value").opaque(1),
        packet(GETK, "k").opaque(2),
        store(SETQ, "long", (0, 0), &long),
        packet(GETKQ, "none"),
        packet(APPEND, "long").value(&long),
        packet(GETQ, "long").opaque(3),
        store(0x66, "strange", (0, 0), &long).opaque(4),
        packet(0x67, "strange").opaque(5),
        count(INCREMENT, "n", 1, 5, 0),
        packet(GATK, "n").number(0),
        packet(TOUCH, "none").number(0),
        packet(STAT, "sizes"),
        packet(GETK, "none").opaque(6),
        packet(DELETE, "k").cas(9),
        packet(FLUSH, "").number(1000),
        packet(VERSION, ""),
        noop().opaque(7),
        packet(QUIT, "").opaque(8),
        noop(),
    ])
}

/// CAS numbers are a server's own.
fn without_cas(bytes: &[u8]) -> Vec<Packet> {
    let all = answers(bytes).into_iter();
    all.map(|answer| Packet {
        cas: u64::from(answer.cas != 0),
        ..answer
    })
    .collect()
}

#[test]
fn any_split_gives_the_same_answers_binary() {
    let input = session();
    let server = start();
    let clean = || assert_eq!(talk(&server, b"FLUSH\n"), b"OK\n");
    clean();
    let whole = without_cas(&talk(&server, &input));
    assert_eq!(whole.len(), 17);
    // All cuts among short requests, and some within the long ones.
    let cuts = (1..300)
        .chain((300..input.len()).step_by(1009))
        .chain(input.len() - 300..input.len());
    for cut in cuts {
        clean();
        let (one, two) = input.split_at(cut);
        let told = without_cas(&talk_in_parts(&server, &[one, two]));
        assert_eq!(told, whole, "cut at {cut}");
    }
    for length in [1, 7, 23, 100, 1000, 16_384] {
        clean();
        // One byte at a time of the long values would take long.
        let parts: Vec<&[u8]> = match length {
            1 => input[..400].chunks(1).chain([&input[400..]]).collect(),
            _ => input.chunks(length).collect(),
        };
        let told = without_cas(&talk_in_parts(&server, &parts));
        assert_eq!(told, whole, "in pieces of {length}");
    }
}

fn locked() -> (Scratch, Running) {
    let scratch = Scratch::new("binary-login");
    let users = scratch.0.join("users");
    let token = scratch.0.join("token");
    std::fs::write(&users, "me:secret\n").expect("writes");
    std::fs::write(&token, "s3cret-token\n").expect("writes");
    let server = start_with(Config {
        auth_file: Some(users),
        auth_token_file: Some(token),
        ..common::small_config()
    });
    (scratch, server)
}

#[test]
fn nothing_is_done_before_a_login() {
    let (_scratch, server) = locked();
    for request in [
        packet(GET, "k"),
        store(SETQ, "k", (0, 0), "v"),
        noop(),
        packet(QUIT, ""),
        packet(STAT, ""),
        packet(0x77, ""),
    ] {
        let request = request.opaque(3);
        let told = texts(&talk(&server, &bytes(&[request.clone(), noop()])));
        let expected = format!("{:02x} 20 v=Auth failure. o=3", request.opcode);
        assert_eq!(told, [expected]);
    }
    let login = packet(AUTH, "PLAIN").value("\0me\0secret");
    check(
        &server,
        &[
            packet(VERSION, ""),
            packet(MECHANISMS, ""),
            packet(AUTH, "CRAM-MD5"),
            packet(AUTH, "X".repeat(40)).value("\0me\0secret"),
            packet(AUTH, "PLAIN").value("\0me\0wrong"),
            packet(STEP, "PLAIN").value("\0me\0secret"),
            login.clone().opaque(9),
            store(SET, "k", (0, 0), "v"),
            packet(GET, "k"),
        ],
        &[
            "0b 00 v=1.6.45",
            "20 00 v=PLAIN",
            "21 20 v=Auth failure.",
            "21 04 v=Invalid arguments",
            "21 20 v=Auth failure.",
            "22 20 v=Auth failure.",
            "21 00 v=Authenticated o=9",
            "01 00 cas",
            "00 00 cas 00000000 v=v",
        ],
    );
    // In two steps, with a token, and again on the same connection.
    check(
        &server,
        &[
            packet(AUTH, "PLAIN"),
            packet(STEP, "PLAIN").value("\0anybody\0s3cret-token"),
            packet(GETK, "k"),
            login,
            packet(GETK, "k"),
        ],
        &[
            "21 21",
            "22 00 v=Authenticated",
            "0c 00 cas 00000000 k=k v=v",
            "21 00 v=Authenticated",
            "0c 00 cas 00000000 k=k v=v",
        ],
    );
}

/// Guessing costs a connection, as it does in the other protocols.
#[test]
fn guesses_end_the_connection() {
    let (_scratch, server) = locked();
    let guess = packet(AUTH, "PLAIN").value("\0me\0wrong").bytes();
    let told = texts(&talk(&server, &guess.repeat(30)));
    assert!(told.iter().all(|told| told == "21 20 v=Auth failure."));
    assert!(told.len() < 15, "{} guesses", told.len());
    assert_eq!(common_stat(&server, "auth_errors"), told.len() as u64);
}

fn common_stat(server: &Running, name: &str) -> u64 {
    let login = packet(AUTH, "PLAIN").value("\0me\0secret");
    let told = answers(&talk(server, &bytes(&[login, packet(STAT, "")])));
    let stat = told.iter().find(|stat| stat.key == name.as_bytes());
    let text = String::from_utf8(stat.expect(name).value.clone()).expect("text");
    text.parse().expect("a number")
}

#[test]
fn places_are_for_it_or_not() {
    let places = ["binary", "memcached", "native", "resp"];
    let server = start_with(Config {
        listen: places
            .map(|protocol| format!("{protocol}:127.0.0.1:0").parse().expect("a place"))
            .to_vec(),
        ..common::small_config()
    });
    let addresses: Vec<_> = server.local_addrs().collect();
    for (place, address) in places.into_iter().zip(addresses) {
        let mut stream = common::connect_to(address);
        stream.write_all(&noop().bytes()).expect("sends");
        if matches!(place, "binary" | "memcached") {
            assert_eq!(next(&mut stream).text(), "0a 00", "{place}");
        } else {
            expect_end(&mut stream);
        }
        let mut stream = common::connect_to(address);
        stream.write_all(b"version\r\n").expect("sends");
        if place == "binary" {
            expect_end(&mut stream);
        }
    }
}

/// A client for whom there is no place is told so in its own protocol, where that is known.
#[test]
fn one_too_many_is_told_so_in_a_packet() {
    let server = start_with(Config {
        listen: vec!["binary:127.0.0.1:0".parse().expect("a place")],
        connections_max: 2,
        ..common::small_config()
    });
    let mut held: Vec<TcpStream> = (0..2).map(|_| connect(&server)).collect();
    for stream in &mut held {
        assert_eq!(ask(stream, &noop()).status, 0);
    }
    let mut stream = connect(&server);
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    assert_eq!(
        next(&mut stream).text(),
        "00 85 v=Too many open connections"
    );
    expect_end(&mut stream);
}

/// Where nothing else is spoken, the server's own probe asks in packets.
#[test]
fn a_place_for_binary_alone_is_healthy() {
    let process = Process::start(&["--listen", "binary:127.0.0.1:0", "--workers", "1"]);
    let place = process.places[1].as_str();
    let asked = format!("binary:{place}");
    let output = run(&["healthcheck", "--address", &asked], &[]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&["stats", &asked], &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!("the place {asked} is for memcached alone");
    assert!(
        !output.status.success() && said.contains(&expected),
        "{said}"
    );
}
