//! memcached's protocol over real connections: every command, what is wrong with it, any split
//! of the input, long values and long lists, and native lines in between.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common;
use crate::common::{
    connect, exchange, expect, expect_end, show, small_config, start, start_with, talk,
};
use crate::common::{stat, talk_in_parts};
use flagstone_server::{Config, Running};

#[track_caller]
fn check(server: &Running, input: &[u8], expected: &[u8]) {
    assert_eq!(
        show(&talk(server, input)),
        show(expected),
        "{}",
        show(input)
    );
}

/// `input` and `expected` with `|` for the line's end.
#[track_caller]
fn lines(server: &Running, input: &str, expected: &str) {
    let wire = |text: &str| text.replace('|', "\r\n");
    check(server, wire(input).as_bytes(), wire(expected).as_bytes());
}

#[test]
fn every_command() {
    let server = start();
    let table = [
        ("get a|", "END|"),
        ("set a 5 0 2|hi|get a|", "STORED|VALUE a 5 2|hi|END|"),
        ("get a b a|", "VALUE a 5 2|hi|VALUE a 5 2|hi|END|"),
        ("add a 0 0 1|x|add b 0 0 1|x|", "NOT_STORED|STORED|"),
        (
            "replace c 0 0 1|x|replace b 1 0 1|y|get b|",
            "NOT_STORED|STORED|VALUE b 1 1|y|END|",
        ),
        ("append a 9 0 1|!|get a|", "STORED|VALUE a 5 3|hi!|END|"),
        ("prepend a 9 0 2|oh|get a|", "STORED|VALUE a 5 5|ohhi!|END|"),
        (
            "append no 0 0 1|x|prepend no 0 0 1|x|",
            "NOT_STORED|NOT_STORED|",
        ),
        ("cas no 0 0 1 1|x|cas a 0 0 1 1|x|", "NOT_FOUND|EXISTS|"),
        (
            "set n 0 0 2|10|decr n 1|get n|",
            "STORED|9|VALUE n 0 2|9 |END|",
        ),
        ("incr n 90|incr n 1|get n|", "99|100|VALUE n 0 3|100|END|"),
        ("decr n 1000|incr no 1|decr no 1|", "0|NOT_FOUND|NOT_FOUND|"),
        ("set n 0 0 20|18446744073709551615|incr n 2|", "STORED|1|"),
        (
            "incr a 1|",
            "CLIENT_ERROR cannot increment or decrement non-numeric value|",
        ),
        ("incr n x|", "CLIENT_ERROR invalid numeric delta argument|"),
        (
            "touch a 100|touch no 100|touch a x|",
            "TOUCHED|NOT_FOUND|CLIENT_ERROR invalid exptime argument|",
        ),
        (
            "gat 100 a no n|",
            "VALUE a 5 5|ohhi!|VALUE n 0 20|1                   |END|",
        ),
        ("gat x a|", "CLIENT_ERROR invalid exptime argument|"),
        ("delete a|delete a|get a|", "DELETED|NOT_FOUND|END|"),
        ("set a 0 0 1 noreply|x|get a|", "VALUE a 0 1|x|END|"),
        (
            "delete a noreply|incr a 1 noreply|touch a 1 noreply|get a|",
            "END|",
        ),
        (
            "verbosity 1|verbosity|mn2|",
            "OK|CLIENT_ERROR bad command line format|ERROR|",
        ),
        ("version|", "VERSION 1.6.45|"),
        ("set a 0 0 1|x|flush_all|get a|", "STORED|OK|END|"),
        (
            "set a 0 0 1|x|flush_all 100|get a|flush_all noreply|get a|",
            "STORED|OK|VALUE a 0 1|x|END|END|",
        ),
        (
            "set a 0 -1 1|x|get a|add a 0 0 1|y|get a|",
            "STORED|END|STORED|VALUE a 0 1|y|END|",
        ),
        ("set a 0 1700000000 1|x|get a|", "STORED|END|"),
        ("set a 0 2000000000 1|x|get a|", "STORED|VALUE a 0 1|x|END|"),
        (
            "set a 0 0 2|xyz|get a|",
            "CLIENT_ERROR bad data chunk|ERROR|VALUE a 0 1|x|END|",
        ),
        ("set a 0 0 -1|", "CLIENT_ERROR bad command line format|"),
        ("nonsense|quit|get a|", "ERROR|"),
    ];
    for (input, expected) in table {
        // A line that begins in the middle of another is none: "xyz" leaves "z" behind.
        let expected = expected.replace(
            "chunk|ERROR|",
            "chunk|CLIENT_ERROR bad command line format|",
        );
        lines(&server, input, &expected);
    }
}

#[test]
fn native_lines_in_between() {
    let server = start();
    check(
        &server,
        b"PUT a native\nget a\r\nset a 0 100 1\r\nm\r\nGET a\nTTL a\nDEL a\nget a\n",
        b"OK\nVALUE a 0 6\r\nnative\r\nEND\r\nSTORED\r\nm\n99\nOK\nEND\r\n"
            .as_slice()
            .to_vec()
            .as_slice(),
    );
}

#[test]
fn cas_numbers_rise_and_fit_their_item_alone() {
    let server = start();
    let gets = || {
        let reply = String::from_utf8(talk(&server, b"gets k\r\n")).expect("text");
        let number = reply
            .lines()
            .next()
            .and_then(|line| line.rsplit(' ').next());
        number
            .and_then(|number| number.parse::<u64>().ok())
            .expect("a number")
    };
    lines(&server, "set k 0 0 1|a|", "STORED|");
    let first = gets();
    assert_eq!(gets(), first, "asking changes nothing");
    lines(&server, &format!("cas k 0 0 1 {first}|b|"), "STORED|");
    let second = gets();
    assert!(second > first);
    lines(
        &server,
        &format!("cas k 0 0 1 {first}|c|get k|"),
        "EXISTS|VALUE k 0 1|b|END|",
    );
    lines(
        &server,
        "incr k 1|set k 0 0 1|1|incr k 1|",
        "CLIENT_ERROR cannot increment or decrement non-numeric value|STORED|2|",
    );
    assert!(gets() > second);
    // Over another item with the same key it does not fit.
    let third = gets();
    lines(&server, "delete k|set k 0 0 1|x|", "DELETED|STORED|");
    lines(&server, &format!("cas k 0 0 1 {third}|y|"), "EXISTS|");
    // Large values too.
    let large = "v".repeat(100_000);
    lines(&server, &format!("set k 0 0 100000|{large}|"), "STORED|");
    let fourth = gets();
    assert!(fourth > third);
    lines(
        &server,
        &format!("cas k 0 0 100000 {fourth}|{large}|"),
        "STORED|",
    );
    lines(
        &server,
        &format!("cas k 0 0 100000 {fourth}|{large}|"),
        "EXISTS|",
    );
    let stats = String::from_utf8(talk(&server, b"stats\r\n")).expect("text");
    assert!(stats.ends_with("END\r\n"), "{stats}");
}

#[test]
fn lifetimes_end() {
    let server = start_with(Config {
        test_hooks: true,
        ..small_config()
    });
    let later = |seconds: u32| lines(&server, &format!("debugtime {seconds}|"), "OK|");
    // They count from the second that has begun: of three seconds two are certain, and one is taken for the test.
    lines(&server, "set a 0 3 1|x|", "STORED|");
    later(1);
    lines(&server, "get a|", "VALUE a 0 1|x|END|");
    later(2);
    lines(&server, "get a|", "END|");
    lines(
        &server,
        "set a 0 0 1|x|gat 3 a|",
        "STORED|VALUE a 0 1|x|END|",
    );
    later(3);
    lines(
        &server,
        "get a|set a 0 0 1|x|flush_all 3|",
        "END|STORED|OK|",
    );
    later(1);
    lines(&server, "get a|", "VALUE a 0 1|x|END|");
    later(2);
    lines(&server, "get a|", "END|");
    // Not for everybody.
    lines(&start(), "debugtime 1|", "ERROR|");
}

#[test]
fn long_values_come_and_go_in_pieces() {
    let server = start();
    let value: Vec<u8> = (0..1 << 20).map(|n| ((n * 31) >> 3) as u8).collect();
    let head = format!("set long 7 0 {}\r\n", value.len());
    let input = [head.as_bytes(), &value, b"\r\nget long none long\r\n"].concat();
    let one = [b"VALUE long 7 1048576\r\n", &value[..], b"\r\n"].concat();
    let expected = [b"STORED\r\n", &one[..], &one, b"END\r\n"].concat();
    assert!(talk(&server, &input) == expected);
    // One byte more is too much, is skipped, and takes the old value with it.
    let head = format!("set long 7 0 {}\r\n", value.len() + 1);
    let input = [head.as_bytes(), &value, b"x\r\nget long\r\n"].concat();
    check(
        &server,
        &input,
        b"SERVER_ERROR object too large for cache\r\nEND\r\n",
    );
    let head = format!("add long 7 0 {} noreply\r\n", value.len() + 1);
    let input = [
        b"set long 0 0 1\r\nx\r\n",
        head.as_bytes(),
        &value,
        b"x\r\nget long\r\n",
    ]
    .concat();
    check(&server, &input, b"STORED\r\nVALUE long 0 1\r\nx\r\nEND\r\n");
    // What does not end where it should is not stored.
    let head = b"set long 0 0 100000\r\n";
    let input = [&head[..], &value[..100_000], b"!!get long\r\n"].concat();
    check(
        &server,
        &input,
        b"CLIENT_ERROR bad data chunk\r\nVALUE long 0 1\r\nx\r\nEND\r\n",
    );
    // Long parts on both sides.
    let part = &value[..300_000];
    let input = [
        b"append long 0 0 300000\r\n",
        part,
        b"\r\nprepend long 0 0 300000\r\n",
        part,
        b"\r\nget long\r\n",
    ]
    .concat();
    let expected = [
        b"STORED\r\nSTORED\r\nVALUE long 0 600001\r\n",
        part,
        b"x",
        part,
        b"\r\nEND\r\n",
    ]
    .concat();
    assert!(talk(&server, &input) == expected);
    // Together they would be too long.
    let input = [b"append long 0 0 500000\r\n", &value[..500_000], b"\r\n"].concat();
    check(&server, &input, b"NOT_STORED\r\n");
}

#[test]
fn a_list_of_many_thousand_keys() {
    let server = start();
    let keys = 20_000;
    let mut input = b"set some:key 0 0 2\r\nhi\r\nget".to_vec();
    let mut expected = b"STORED\r\n".to_vec();
    for n in 0..keys {
        if n % 2 == 0 {
            input.extend_from_slice(b" some:key");
            expected.extend_from_slice(b"VALUE some:key 0 2\r\nhi\r\n");
        } else {
            input.extend_from_slice(b" other:key");
        }
    }
    input.extend_from_slice(b" \r\nget some:key\r\n");
    expected.extend_from_slice(b"END\r\nVALUE some:key 0 2\r\nhi\r\nEND\r\n");
    assert!(talk(&server, &input) == expected);
    assert_eq!(stat(&server, "hits"), keys / 2 + 1);
    assert_eq!(stat(&server, "misses"), keys / 2);
    // A key that is too long spoils a list whether or not it is long itself.
    let long = "k".repeat(251);
    lines(
        &server,
        &format!("get some:key {long}|get some:key|"),
        "CLIENT_ERROR bad command line format|VALUE some:key 0 2|hi|END|",
    );
    let endless = "none ".repeat(10_000);
    lines(
        &server,
        &format!("get {endless} {long} {endless}|get some:key|"),
        "CLIENT_ERROR bad command line format|VALUE some:key 0 2|hi|END|",
    );
}

#[test]
fn any_split_gives_the_same_replies() {
    let server = start();
    let script = b"set a 0 0 5\r\nab\r\nc\r\nget a  b\r\ngets\r\nappend a 0 0 1\r\nx\r\nget a\r\n\
        GET a\nset b x 0 3\r\nget\r\nset c 0 0 1\r\nxyincr n 1\r\nset n 0 0 1\r\n5\r\nincr n 6\r\n\
        gat 0 n a\r\ndelete n noreply\r\ndelete n\r\nflush_all\r\nquit\r\nget a\r\n";
    let replies =
        b"STORED\r\nVALUE a 0 5\r\nab\r\nc\r\nEND\r\nCLIENT_ERROR bad command line format\r\n\
        STORED\r\nVALUE a 0 6\r\nab\r\ncx\r\nEND\r\nERROR\nCLIENT_ERROR bad command line format\r\n\
        CLIENT_ERROR bad data chunk\r\nERROR\r\nSTORED\r\n11\r\nVALUE n 0 2\r\n11\r\n\
        VALUE a 0 6\r\nab\r\ncx\r\nEND\r\nNOT_FOUND\r\nOK\r\n";
    check(&server, script, replies);
    for cut in 1..script.len() {
        let parts = [&script[..cut], &script[cut..]];
        assert_eq!(show(&talk_in_parts(&server, &parts)), show(replies));
    }
    let bytes: Vec<&[u8]> = script.chunks(1).collect();
    assert_eq!(show(&talk_in_parts(&server, &bytes)), show(replies));
}

/// Around every limit, whatever the protocol: a line that is cut anywhere near its end is answered as one that comes whole.
#[test]
fn lines_of_any_length_are_answered_the_same_however_they_are_cut() {
    let server = start();
    let line = |before: &str, fill: char, after: &str, len: usize| {
        let fill: String = std::iter::repeat_n(fill, len - before.len() - after.len()).collect();
        format!("{before}{fill}{after}").into_bytes()
    };
    for len in (2040..2056).chain(16_378..16_392) {
        for line in [
            line("get k", ' ', "\r\n", len),
            line("set k 0 0 1", ' ', "\r\n", len),
            line("mn", ' ', "\n", len),
            line("PUT k ", 'v', "\r\n", len),
            line("PUT k ", 'v', "\n", len),
            line("GET", ' ', "k\r\n", len),
            line("nonsense ", 'x', "\r\n", len),
            line("GET /", 'a', " HTTP/1.1\r\n", len),
        ] {
            let script = [&line[..], b"x\r\nGET k\n"].concat();
            let whole = talk(&server, &script);
            for cut in [2047, 2048, 2049, len - 2, len - 1, len] {
                if cut < script.len() {
                    let parts = [&script[..cut], &script[cut..]];
                    assert_eq!(
                        show(&talk_in_parts(&server, &parts)),
                        show(&whole),
                        "{} of {len} cut at {cut}",
                        show(&line)
                    );
                }
            }
        }
    }
}

#[test]
fn other_protocols_are_told_or_hung_up_on() {
    let server = start();
    // What has begun as RESP stays it.
    let resp = talk(&server, b"*1\r\n$4\r\nPING\r\nget a\r\n");
    assert_eq!(show(&resp), show(b"+PONG\r\n$-1\r\n"));
    for stray in [
        &b"\x80\x0b\x00\x00"[..],
        b"\x81",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nset a 0 0 1\r\nx\r\n",
        b"set / HTTP/1.1\r\n",
        b"get / HTTP/1.1\r\nset a 0 0 1\r\nx\r\n",
    ] {
        let reply = talk(&server, stray);
        assert!(!reply.starts_with(b"STORED"), "{}", show(&reply));
    }
    check(&server, b"get a\r\n", b"END\r\n");
    // So long a line is no command.
    let mut stream = connect(&server);
    stream.write_all(&[b'x'; 3000]).expect("sends");
    expect_end(&mut stream);
}

#[test]
fn a_port_may_be_for_one_protocol_alone() {
    let path = std::env::temp_dir().join(format!("flagstone-test-{}.sock", std::process::id()));
    let listen = [
        "native:127.0.0.1:0".to_owned(),
        "memcached:127.0.0.1:0".to_owned(),
        format!("memcached:unix:{}", path.display()),
    ];
    // A socket that nobody listens on any more is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
    let server = start_with(Config {
        listen: listen
            .iter()
            .map(|text| text.parse().expect("valid"))
            .collect(),
        ..small_config()
    });
    let addresses: Vec<_> = server.local_addrs().collect();
    let mut native = common::connect_to(addresses[0]);
    exchange(
        &mut native,
        b"PUT a 1\nget a\n*1\nGET a\n",
        b"OK\nERROR\nERROR\n1\n",
    );
    let mut memcached = common::connect_to(addresses[1]);
    exchange(
        &mut memcached,
        b"GET a\r\n*1\r\nget a\r\n",
        b"ERROR\r\nERROR\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
    );
    let mut unix = UnixStream::connect(&path).expect("connects");
    unix.set_read_timeout(Some(common::PATIENCE))
        .expect("settable");
    unix.write_all(b"get a\r\nPUT a 2\r\nquit\r\n")
        .expect("sends");
    let mut replies = String::new();
    unix.read_to_string(&mut replies).expect("replies");
    assert_eq!(replies, "VALUE a 0 1\r\n1\r\nEND\r\nERROR\r\n");
    // Somebody listens there now.
    let second = Config {
        listen: vec![listen[2].parse().expect("valid")],
        ..small_config()
    };
    assert!(flagstone_server::Server::start(second).is_err());
    server.shutdown().expect("ends");
    assert!(!path.exists(), "the socket's file is removed");
}

#[test]
fn who_is_one_too_many_is_told_so() {
    let server = start_with(Config {
        connections_max: 1,
        workers: 1,
        ..small_config()
    });
    let mut first = connect(&server);
    exchange(&mut first, b"version\r\n", b"VERSION");
    let mut second = connect(&server);
    expect(&mut second, b"ERROR Too many open connections\r\n");
    expect_end(&mut second);
    std::thread::sleep(Duration::from_millis(10));
}
