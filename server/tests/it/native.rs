//! The native protocol over real connections: every row of its table, any split of the input,
//! what strays in, and how connections end.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common;
use crate::common::tool::Scratch;
use crate::common::{
    connect, exchange, expect, expect_end, show, small_config, start, start_with, talk,
    talk_in_parts,
};
use flagstone_server::proto::{Accepts, Codec, Decoded};
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

#[test]
fn every_row_of_the_table() {
    let server = start();
    let long_key = [b'k'; 2045];
    let table: &[(&[u8], &[u8])] = &[
        (b"PUT a 1\nGET a\n", b"OK\n1\n"),
        (b"PUT a b  c\nGET a\n", b"OK\nb  c\n"),
        (b"PUT a \nGET a\n", b"OK\n\n"),
        (b"PUT   a 2\nGET   a\n", b"OK\n2\n"),
        (b"PUT a  2\nGET a\n", b"OK\n 2\n"),
        (b"GET nothing\n", b"NOTFOUND\n"),
        (
            b"PUT a 1\nDEL a\nDEL a\nGET a\n",
            b"OK\nOK\nNOTFOUND\nNOTFOUND\n",
        ),
        (b"PUTEX a 100 v w\nGET a\nTTL a\n", b"OK\nv w\n100\n"),
        (b"PUTEX a 100 \nGET a\n", b"OK\n\n"),
        (b"PUT a 1\nTTL a\n", b"OK\n-1\n"),
        (b"TTL nothing\n", b"NOTFOUND\n"),
        (b"PUT a 1\nFLUSH\nGET a\n", b"OK\nOK\nNOTFOUND\n"),
        (b"PUT a 1\nQUIT\nGET a\n", b"OK\n"),
        (b"Nonsense\n", b"ERROR\n"),
        (b"\n", b"ERROR\n"),
        (b"PUT k\n", b"ERROR\n"),
        (b"GET\n", b"ERROR\n"),
        (b"GET a b\n", b"ERROR\n"),
        (b"GETk\n", b"ERROR\n"),
        (b"get a\n", b"VALUE a 0 1\r\n1\r\nEND\r\n"),
        (b"PUTEX a 0 v\n", b"ERROR\n"),
        (b"PUTEX a -1 v\n", b"ERROR\n"),
        (b"PUTEX a v\n", b"ERROR\n"),
        // CR before LF goes; elsewhere it is a byte like any other.
        (b"PUT a 1\r\nGET a\r\n", b"OK\n1\n"),
        (b"PUT a 1\r\r\nGET a\r\n", b"OK\n1\r\n"),
        (b"PUT a \r\nGET a\n", b"OK\n\n"),
        (b"PUT a\r\n", b"ERROR\n"),
        // Bytes are bytes.
        (
            b"PUT \x00\xff \x01\x80\xfe\nGET \x00\xff\n",
            b"OK\n\x01\x80\xfe\n",
        ),
        // A last line without a newline is not executed.
        (b"PUT a 1\nDEL a", b"OK\n"),
        (b"GET a\n", b"1\n"),
        (b"", b""),
    ];
    for (input, expected) in table {
        check(&server, input, expected);
    }
    check(
        &server,
        &[b"GET ", &long_key[..], b"\n"].concat(),
        b"ERROR\n",
    );
    check(
        &server,
        &[b"PUT ", &long_key[..], b" v\n"].concat(),
        b"ERROR\n",
    );
    for key in [&long_key[..250], &long_key[..251], &long_key[..2043]] {
        check(
            &server,
            &[b"PUT ", key, b" v\nGET ", key, b"\n"].concat(),
            b"OK\nv\n",
        );
    }
}

#[test]
fn putex_expires() {
    let server = start();
    check(&server, b"PUTEX a 1 v\nGET a\n", b"OK\nv\n");
    std::thread::sleep(Duration::from_millis(2100));
    check(
        &server,
        b"GET a\nTTL a\nDEL a\n",
        b"NOTFOUND\nNOTFOUND\nNOTFOUND\n",
    );
}

#[test]
fn stats_are_names_and_values_and_an_end() {
    let server = start();
    let stats = String::from_utf8(talk(&server, b"PUT a 1\nGET a\nGET b\nSTATS\n")).expect("text");
    let stats = stats
        .strip_prefix("OK\n1\nNOTFOUND\n")
        .expect("replies in order");
    let stats = stats.strip_suffix("END\n").expect("an end");
    for line in stats.lines() {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        assert!(!name.is_empty() && !value.is_empty(), "{line:?}");
    }
    for line in [
        "hits 1",
        "misses 1",
        "puts 1",
        "items 1",
        "workers 2",
        "connections_max 200",
    ] {
        assert!(
            stats.lines().any(|have| have == line),
            "no {line} in {stats}"
        );
    }
}

/// Touches every command, every refusal, CR, empty values, long values and long lines.
fn script() -> (Vec<u8>, Vec<u8>) {
    let script = b"PUT a 1\nGET a\r\nPUT  b x y  z\r\nGET b\nPUTEX c 100 \n\nTTL c\nTTL a\n\
        GET c\r\nDEL a\nDEL a\nFOO\nGET a b\nPUT k\nPUT d v\r\r\nGET d\nTTL no\nFLUSH\nGET b\n\
        PUT /x HTTP/1.1\nGET /x\nQUIT\nGET d\n";
    let replies = b"OK\n1\nOK\nx y  z\nOK\nERROR\n100\n-1\n\nOK\nNOTFOUND\nERROR\nERROR\nERROR\n\
        OK\nv\r\nNOTFOUND\nOK\nNOTFOUND\nOK\nHTTP/1.1\n";
    (script.to_vec(), replies.to_vec())
}

#[test]
fn any_split_gives_the_same_commands() {
    let (script, _) = script();
    let decode_all = |cuts: &[usize]| {
        let mut decoded = Vec::new();
        let mut codec = Codec::new(Accepts::Auto);
        let mut at = 0;
        for &cut in cuts.iter().chain(&[script.len()]) {
            loop {
                match codec.decode(&script[at..cut]) {
                    Decoded::More => break,
                    Decoded::Request(request) => {
                        decoded.push(format!("{request:?}"));
                        at += request.taken;
                        codec.go_on(request.inside);
                    }
                    other => panic!("the script is native: {other:?}"),
                }
            }
        }
        decoded
    };
    let whole = decode_all(&[]);
    let every: Vec<usize> = (0..script.len()).collect();
    assert_eq!(decode_all(&every), whole);
    for cut in 0..script.len() {
        assert_eq!(decode_all(&[cut]), whole, "cut at {cut}");
    }
}

#[test]
fn any_split_gives_the_same_replies() {
    let server = start();
    let (script, replies) = script();
    let paused = |parts: &[&[u8]]| {
        let mut stream = connect(&server);
        for part in parts {
            // After QUIT the server may be gone already.
            let _ = stream.write_all(part);
            std::thread::sleep(Duration::from_micros(300));
        }
        let mut received = Vec::new();
        stream
            .read_to_end(&mut received)
            .expect("replies and a FIN");
        received
    };
    assert_eq!(show(&paused(&[&script])), show(&replies));
    for cut in 1..script.len() {
        let received = paused(&[&script[..cut], &script[cut..]]);
        assert_eq!(show(&received), show(&replies), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = script.chunks(1).collect();
    assert_eq!(show(&paused(&bytes)), show(&replies));
}

#[test]
fn long_values_arrive_whole_however_they_are_cut() {
    let server = start();
    let value: Vec<u8> = (0..100_000u32)
        .map(|n| b"abcdefgh\r,. "[n as usize % 12])
        .collect();
    for ending in [&b"\n"[..], b"\r\n"] {
        for head in [&b"PUT big "[..], b"PUTEX big 100 "] {
            let input = [head, &value, ending, b"GET big\nDEL big\nGET big\n"].concat();
            let expected = [b"OK\n", &value[..], b"\nOK\nNOTFOUND\n"].concat();
            check(&server, &input, &expected);
            for part_len in [1000, 1460, 16_383, 16_384, 16_385, 65_537] {
                let parts: Vec<&[u8]> = input.chunks(part_len).collect();
                let replies = talk_in_parts(&server, &parts);
                assert_eq!(replies.len(), expected.len());
                assert!(replies == expected, "parts of {part_len}");
            }
        }
    }
}

#[test]
fn a_cr_that_arrives_apart_from_its_newline_is_dropped() {
    let server = start();
    let value = [b'v'; 40_000];
    let head = [b"PUT k ", &value[..], b"\r"].concat();
    let expected = [b"OK\n", &value[..], b"\n"].concat();
    let mut stream = connect(&server);
    stream.write_all(&head).expect("sends");
    std::thread::sleep(Duration::from_millis(50));
    exchange(&mut stream, b"\nGET k\n", &expected);
    // But one that is followed by something else stays.
    stream.write_all(&head).expect("sends");
    std::thread::sleep(Duration::from_millis(50));
    let expected = [b"OK\n", &value[..], b"\r\r\n"].concat();
    exchange(&mut stream, b"\r\r\nGET k\n", &expected);
}

#[test]
fn values_up_to_the_limit_are_stored_and_longer_ones_refused_once() {
    let server = start();
    let limit = 1 << 20;
    let value = vec![b'v'; limit + 1];
    for (len, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
        for ending in [&b"\n"[..], b"\r\n"] {
            let input = [
                b"PUT k ",
                &value[..len],
                ending,
                b"PUT next 1\nGET k\nDEL k\n",
            ]
            .concat();
            let expected = match fits {
                true => [b"OK\nOK\n", &value[..len], b"\nOK\n"].concat(),
                false => b"ERROR\nOK\nNOTFOUND\nNOTFOUND\n".to_vec(),
            };
            check(&server, &input, &expected);
        }
    }
    // A refused value changes nothing.
    let input = [b"PUT k old\nPUT k ", &value[..], b"\nGET k\n"].concat();
    check(&server, &input, b"OK\nERROR\nold\n");
}

#[test]
fn a_line_longer_than_any_request_is_refused_once() {
    let server = start();
    for len in [2_045, 2_049, 16_384, 16_390, 100_000, 5_000_000] {
        let line = vec![b'X'; len];
        check(
            &server,
            &[&line[..], b"\nGET a\n"].concat(),
            b"ERROR\nNOTFOUND\n",
        );
        let get = [b"GET ", &line[..], b"\r\nGET a\n"].concat();
        check(&server, &get, b"ERROR\nNOTFOUND\n");
        // Never ended, never answered.
        check(&server, &line, b"");
    }
}

#[test]
fn values_of_every_size_near_the_buffers_come_back() {
    let server = start();
    let value: Vec<u8> = (0..70_000u32).map(|n| b'!' + (n % 90) as u8).collect();
    let mut stream = connect(&server);
    let sizes = [
        0, 1, 63, 64, 65, 1_023, 1_024, 1_025, 32_766, 32_767, 32_768, 32_769,
    ];
    let near_inbox = 16_384 - 16..=16_384 + 16;
    let near_outbox = 32_768 - 70..=32_768 + 4;
    for len in sizes
        .into_iter()
        .chain(near_inbox)
        .chain(near_outbox)
        .chain([65_536, 70_000])
    {
        let put = [b"PUT k ", &value[..len], b"\n"].concat();
        exchange(&mut stream, &put, b"OK\n");
        // Behind other replies in the same batch, too.
        let expected = [
            b"NOTFOUND\n",
            &value[..len],
            b"\n",
            &value[..len],
            b"\nNOTFOUND\n",
        ]
        .concat();
        exchange(&mut stream, b"GET no\nGET k\nGET k\nGET no\n", &expected);
    }
}

#[test]
fn ten_thousand_pipelined_requests_are_answered_in_order() {
    let server = start();
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for n in 0..10_000 {
        input.extend_from_slice(format!("PUT k{} v{n}\nGET k{}\n", n % 100, n % 100).as_bytes());
        expected.extend_from_slice(format!("OK\nv{n}\n").as_bytes());
    }
    check(&server, &input, &expected);
}

#[test]
fn strays_of_http_and_tls_are_hung_up_on_and_store_nothing() {
    let server = start();
    let strays: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPUT stray 1\r\n",
        b"PUT /stray HTTP/1.1\r\nHost: x\r\n\r\nPUT stray 1\n",
        b"POST /x\nPUT stray 1\n",
        b"Host: x\r\nPUT stray 1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nPUT stray 1\n",
        b"\x81\x01\x00\x05\nPUT stray 1\n",
    ];
    for stray in strays {
        check(&server, stray, b"");
        check(&server, b"GET stray\nGET /stray\n", b"NOTFOUND\nNOTFOUND\n");
    }
    // Also later in a connection: what came before is answered.
    let later = b"PUT a 1\nGET a\nGET / HTTP/1.1\r\nPUT stray 1\n";
    check(&server, later, b"OK\n1\n");
    check(&server, b"GET stray\n", b"NOTFOUND\n");
    // A native line with a plain newline keeps its bytes.
    check(&server, b"PUT /x HTTP/1.1\nGET /x\n", b"OK\nHTTP/1.1\n");
    // TLS is told that it is not spoken here, as memcached does, and recognised in two packets.
    check(
        &server,
        b"\x16\x03\x01\x02\x00\x01\nPUT stray 1\n",
        b"ERROR\r\n",
    );
    check(&server, b"GET stray\n", b"NOTFOUND\n");
    let mut stream = connect(&server);
    stream.write_all(b"\x16").expect("sends");
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(b"\x03\x01").expect("sends");
    expect(&mut stream, b"ERROR\r\n");
    expect_end(&mut stream);
    assert_eq!(common::stat(&server, "connections_hung_up"), 9);
}

#[test]
fn after_a_half_close_everything_is_answered() {
    let server = start();
    let value = vec![b'v'; 500_000];
    let put = [b"PUT k ", &value[..], b"\n"].concat();
    let mut stream = connect(&server);
    stream.write_all(&put).expect("sends");
    stream.write_all(&b"GET k\n".repeat(20)).expect("sends");
    stream.shutdown(Shutdown::Write).expect("half-closes");
    std::thread::sleep(Duration::from_millis(100));
    expect(&mut stream, b"OK\n");
    for _ in 0..20 {
        expect(&mut stream, &[&value[..], b"\n"].concat());
    }
    expect_end(&mut stream);
}

#[test]
fn quit_ends_the_connection_although_the_peer_sends_on() {
    let server = start();
    let mut stream = connect(&server);
    let input = [&b"PUT a 1\nQUIT\n"[..], &b"PUT a 2\n".repeat(10_000)].concat();
    let _ = stream.write_all(&input);
    // The reply is not lost to a reset.
    expect(&mut stream, b"OK\n");
    expect_end(&mut stream);
    check(&server, b"GET a\n", b"1\n");
}

#[test]
fn who_has_no_token_gets_nothing() {
    let path = std::env::temp_dir().join(format!("flagstone-native-token-{}", std::process::id()));
    std::fs::write(&path, "s3cret\n").expect("writable");
    let server = start_with(Config {
        auth_token_file: Some(path.clone()),
        ..small_config()
    });
    std::fs::remove_file(&path).expect("was there");
    let table: &[(&[u8], &[u8])] = &[
        (
            b"GET a\nPUT a 1\nSTATS\nFLUSH\n",
            b"ERROR\nERROR\nERROR\nERROR\n",
        ),
        (
            b"AUTH\nAUTH \nAUTH s3cre\nAUTH s3cret2\nauth s3cret\r\n",
            b"ERROR\nERROR\nERROR\nERROR\nCLIENT_ERROR unauthenticated\r\n",
        ),
        (
            b"AUTH wrong\nGET a\nAUTH s3cret\nPUT a 1\nGET a\n",
            b"ERROR\nERROR\nOK\nOK\n1\n",
        ),
        // The same token for memcached's clients, who send a name with it.
        (
            b"set x 0 0 10\r\nany s3cret\r\nget a\r\n",
            b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
        ),
        // It is each connection's own.
        (b"GET a\n", b"ERROR\n"),
    ];
    for (input, expected) in table {
        assert_eq!(common::show(&talk(&server, input)), common::show(expected));
    }
}

#[test]
fn classes_are_told_a_line_each() {
    let server = start();
    let small = "v".repeat(40);
    let puts: String = (0..100)
        .map(|n| format!("PUT small{n} {small}\n"))
        .collect();
    let large = "v".repeat(5000);
    let input = format!("{puts}PUT large {large}\nSTATS CLASSES\n");
    let reply = String::from_utf8(talk(&server, input.as_bytes())).expect("text");
    let classes: Vec<Vec<&str>> = reply
        .lines()
        .filter(|line| *line != "OK" && *line != "END")
        .map(|line| line.split(' ').collect())
        .collect();
    assert!(reply.ends_with("END\n") && classes.len() >= 2, "{reply}");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let mut items = 0;
    for class in &classes {
        let names: Vec<&str> = class.iter().copied().step_by(2).collect();
        let order = "class pages chunks used probation main evictions oldest_seconds";
        assert_eq!(names.join(" "), order);
        assert!(
            number(class[7]) <= number(class[5]) && number(class[3]) > 0,
            "{reply}"
        );
        items += number(class[9]) + number(class[11]);
    }
    assert_eq!(items, 101, "{reply}");
    // The pages that ends of items share come last, in units of 16 bytes: 5,000 bytes do not fit a chunk well.
    let (ends, classes) = classes.split_last().expect("lines");
    assert_eq!((ends[1], ends[3]), ("16", "1"), "{reply}");
    assert!(
        classes.is_sorted_by_key(|class| number(class[1])),
        "{reply}"
    );
}

/// What another protocol has stored may hold line ends: they never pass for further answers.
#[test]
fn a_value_with_a_line_end_is_no_two_answers() {
    let server = start();
    let mut client = connect(&server);
    let long = [
        &vec![b'v'; 100_000][..],
        b"\nrole=admin\n",
        &vec![b'w'; 100_000],
    ]
    .concat();
    let head = format!("set long 0 0 {}\r\n", long.len());
    exchange(
        &mut client,
        &[
            head.as_bytes(),
            &long,
            b"\r\nset short 0 0 19\r\nwhatever\nrole=admin\r\n",
        ]
        .concat(),
        b"STORED\r\nSTORED\r\n",
    );
    exchange(&mut client, b"PUT plain one line\n", b"OK\n");
    for n in [1, 40] {
        // Alone, in a run, and in a batch of others.
        exchange(
            &mut client,
            &b"GET short\nGET plain\nGET long\n".repeat(n),
            &b"ERROR\none line\nERROR\n".repeat(n),
        );
    }
    exchange(&mut client, b"GETL short\n", b"19\nwhatever\nrole=admin\n");
    exchange(
        &mut client,
        b"GETL plain\nGETL none\n",
        b"8\none line\nNOTFOUND\n",
    );
    let expected = [long.len().to_string().as_bytes(), b"\n", &long, b"\n"].concat();
    exchange(&mut client, b"GETL long\n", &expected);
    exchange(
        &mut client,
        b"GETL\nGETL a b\nGET plain\n",
        b"ERROR\nERROR\none line\n",
    );
}

/// Browsers can be talked into sending any path and any body: nothing behind such a line is executed.
#[test]
fn nothing_behind_a_stray_line_is_executed_however_long_it_is() {
    let server = start();
    for len in [10, 2040, 2050, 5000, 16_000, 17_000, 60_000, 300_000] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            let path = "a".repeat(len);
            let request =
                format!("{method} /{path} HTTP/1.1\r\n\r\nPUT pwned 1\nset pwned 0 0 1\r\n1\r\n");
            let reply = talk(&server, request.as_bytes());
            let is_told = reply.windows(2).any(|two| two == b"OK");
            assert!(!is_told, "{method} {len}: {}", show(&reply));
            assert_eq!(
                talk(&server, b"GET pwned\n"),
                b"NOTFOUND\n",
                "{method} {len}"
            );
        }
    }
}

/// Answers wait for what a read that filled the inbox left behind; where nothing is left, or half a request, they come all the same. Over a
/// Unix socket, where one write is there at once.
#[test]
fn a_pipeline_that_ends_where_a_read_does_is_answered() {
    const LINE_BYTES: usize = 64;
    let scratch = Scratch::new("whole-reads");
    let path = scratch.0.join("socket");
    let place = format!("unix:{}", path.display());
    let _server = start_with(Config {
        listen: vec![place.parse().expect("valid")],
        ..small_config()
    });
    let mut client = UnixStream::connect(&path).expect("connects");
    client
        .set_read_timeout(Some(common::PATIENCE))
        .expect("settable");
    let line = |no: usize| {
        let put = format!("PUT k{no} ");
        format!("{put:<width$}\n", width = LINE_BYTES - 1)
    };
    let expect_oks = |client: &mut UnixStream, count: usize| {
        let mut replies = vec![0; 3 * count];
        client.read_exact(&mut replies).expect("replies");
        assert!(replies == b"OK\n".repeat(count), "{count}");
    };
    for kib in [16, 32, 48, 64, 80] {
        for half in [0, 20] {
            let count = (kib << 10) / LINE_BYTES;
            let mut requests: String = (0..count).map(line).collect();
            let last = line(count);
            requests += &last[..half];
            client.write_all(requests.as_bytes()).expect("sends");
            expect_oks(&mut client, count);
            client.write_all(&last.as_bytes()[half..]).expect("sends");
            expect_oks(&mut client, 1);
        }
    }
}
