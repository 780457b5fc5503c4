use super::*;
use crate::proto::{Accepts, Codec, How, Storing, Terms};

const WORDS: ReplyFormat<'static> = ReplyFormat::Words { quiet: false };
const QUIET: ReplyFormat<'static> = ReplyFormat::Words { quiet: true };

fn values(cas: bool, last: bool) -> ReplyFormat<'static> {
    ReplyFormat::Values { cas, last }
}

fn store<'a>(value: &'a [u8], how: How, client_flags: u32, lifetime: Lifetime) -> Command<'a> {
    Command::Store {
        key: b"k",
        value,
        terms: Terms {
            how,
            client_flags,
            lifetime,
            too_long_drops: how == How::Always,
        },
    }
}

/// All requests in `bytes`, which end with the last one, fed in parts that end at `cuts`.
fn requests<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<(Command<'a>, ReplyFormat<'a>)> {
    let mut codec = Codec::new(Accepts::Memcached);
    let mut found = Vec::new();
    let mut at = 0;
    for &cut in cuts.iter().chain(&[bytes.len()]) {
        loop {
            match codec.decode(&bytes[at..cut]) {
                Decoded::More => break,
                Decoded::Request(request) => {
                    found.push((request.command, request.format));
                    codec.go_on(request.inside);
                    at += request.taken;
                }
                other => panic!("{:?}: {other:?}", bytes.escape_ascii()),
            }
        }
    }
    assert_eq!(at, bytes.len(), "{:?}", bytes.escape_ascii());
    found
}

#[track_caller]
fn check(bytes: &[u8], expected: &[(Command<'_>, ReplyFormat<'_>)]) {
    assert_eq!(requests(bytes, &[]), expected, "{:?}", bytes.escape_ascii());
    let every: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(requests(bytes, &every), expected, "byte by byte");
    for cut in 1..bytes.len() {
        assert_eq!(requests(bytes, &[cut]), expected, "cut at {cut}");
    }
}

#[track_caller]
fn check_one(bytes: &[u8], command: Command<'_>, format: ReplyFormat<'_>) {
    check(bytes, &[(command, format)]);
}

#[track_caller]
fn check_refused(bytes: &[u8], refusal: impl Into<Refusal>) {
    check_one(bytes, Command::Refuse(refusal.into()), WORDS);
}

#[test]
fn lists_of_keys() {
    let get = |key| Command::Get { key };
    check_one(b"get k\r\n", get(b"k"), values(false, true));
    check_one(b"get k\n", get(b"k"), values(false, true));
    check_one(b"gets k\r\n", get(b"k"), values(true, true));
    check_one(b"get   k  \r\n", get(b"k"), values(false, true));
    check(
        b"gets a b\r\nget c \n",
        &[
            (get(b"a"), values(true, false)),
            (get(b"b"), values(true, true)),
            (get(b"c"), values(false, true)),
        ],
    );
    let gat = |key, lifetime| Command::GetAndTouch { key, lifetime };
    check(
        b"gat 10 a b\r\n",
        &[
            (gat(b"a", Lifetime::Counted(10)), values(false, false)),
            (gat(b"b", Lifetime::Counted(10)), values(false, true)),
        ],
    );
    check_one(
        b"gats -1 a\r\n",
        gat(b"a", Lifetime::Past),
        values(true, true),
    );
    for line in [
        &b"get\r\n"[..],
        b"get \r\n",
        b"gets\n",
        b"gat 1\r\n",
        b"gat\r\n",
    ] {
        check_refused(line, Mistake::BadFormat);
    }
    check_refused(b"gat x k\r\n", Mistake::BadLifetime);
    let long = [b"get a ", &[b'k'; 251][..], b" b\r\n"].concat();
    check_refused(&long, Mistake::BadFormat);
    let long = [b"get ", &[b'k'; 250][..], b"\r\n"].concat();
    check_one(&long, get(&[b'k'; 250]), values(false, true));
}

#[test]
fn a_list_longer_than_any_buffer() {
    let mut line = b"get".to_vec();
    let keys = 10_000;
    for _ in 0..keys {
        line.extend_from_slice(b" some:key");
    }
    line.extend_from_slice(b"\r\n");
    let mut codec = Codec::new(Accepts::Auto);
    let (mut at, mut found) = (0, 0);
    loop {
        let end = line.len().min(at + WHOLE_BYTES_MAX);
        match codec.decode(&line[at..end]) {
            Decoded::Request(request) => {
                found += usize::from(request.command == Command::Get { key: b"some:key" });
                codec.go_on(request.inside);
                at += request.taken;
            }
            other => panic!("{other:?}"),
        }
        if at == line.len() {
            break;
        }
    }
    assert_eq!(found, keys);
    // A key that is too long is found out although its end is not in sight.
    let long = [b'k'; 300];
    codec.go_on(Inside::Keys(Keys {
        cas: false,
        touch: None,
    }));
    assert_eq!(codec.decode(&long), skip_line(Mistake::BadFormat));
}

#[test]
fn stores() {
    let set = |value| store(value, How::Always, 0, Lifetime::Forever);
    check_one(b"set k 0 0 2\r\nhi\r\n", set(b"hi"), WORDS);
    check_one(b"set k 0 0 2\nhi\r\n", set(b"hi"), WORDS);
    check_one(b"set k 0 0 0\r\n\r\n", set(b""), WORDS);
    check_one(b"set k 0 0 4\r\n\r\n\r\n\r\n", set(b"\r\n\r\n"), WORDS);
    check_one(b"set  k 0  0 2  noreply \r\nhi\r\n", set(b"hi"), QUIET);
    check_one(b"set k 0 0 2 junk\r\nhi\r\n", set(b"hi"), WORDS);
    for (verb, how) in [
        ("add", How::Absent),
        ("replace", How::Present),
        ("append", How::Behind),
        ("prepend", How::Before),
    ] {
        let line = format!("{verb} k 5 100 1\r\nx\r\n");
        let expected = store(b"x", how, 5, Lifetime::Counted(100));
        check_one(line.as_bytes(), expected, WORDS);
    }
    check_one(
        b"cas k 4294967295 2592001 1 18446744073709551615\r\nx\r\n",
        store(
            b"x",
            How::Same(u64::MAX),
            u32::MAX,
            Lifetime::Until(2_592_001),
        ),
        WORDS,
    );
    check_one(
        b"cas k 0 -1 1 7 noreply\r\nx\r\n",
        store(b"x", How::Same(7), 0, Lifetime::Past),
        QUIET,
    );
}

#[test]
fn what_is_wrong_with_a_store() {
    check_refused(b"set k 0 0\r\n", Mistake::BadFormat);
    check_refused(b"set k 0 0 -1\r\n", Mistake::BadFormat);
    // What is no length does not tell where the block ends: nothing behind it is looked at.
    for length in [
        "x",
        "4294967295",
        "2147483647",
        "noreply",
        "3x",
        "0x3",
        "1e3",
        "+",
        "++3",
        "99999999999999999999",
    ] {
        for line in [
            format!("set k 0 0 {length}\r\n"),
            format!("ms k {length}\r\n"),
        ] {
            let decoded = self::line(line.as_bytes());
            let words = b"CLIENT_ERROR bad command line format\r\n";
            assert_eq!(decoded, Decoded::HangUp(words), "{line}");
        }
    }
    check_one(
        b"set k 0 0 +3\r\nget\r\n",
        store(b"get", How::Always, 0, Lifetime::Forever),
        WORDS,
    );
    // With one the block is skipped.
    for line in [
        &b"set k x 0 3\r\nget\r\n"[..],
        b"set k 0 x 3\r\nget\r\n",
        b"set k 4294967296 0 3\r\nget\r\n",
        b"cas k 0 0 3\r\nget\r\n",
        b"cas k 0 0 3 x\r\nget\r\n",
    ] {
        check_refused(line, Mistake::BadFormat);
    }
    let long = [b"set ", &[b'k'; 251][..], b" 0 0 1\r\nx\r\n"].concat();
    check_refused(&long, Mistake::BadFormat);
    check_one(
        b"set k x 0 3 noreply\r\nget\r\n",
        Command::Refuse(Mistake::BadFormat.into()),
        QUIET,
    );
    check_refused(b"set k 0 0 3\r\nabcde", Refusal::BrokenValue);
}

#[test]
fn long_blocks_are_streamed_or_skipped() {
    let head = b"set k 1 0 1048576 noreply\r\n";
    let bytes = [&head[..], b"begin"].concat();
    let Decoded::Long(LongHead::Store {
        storing: Storing::Plain { key, terms },
        value_len,
        format,
        taken,
        ..
    }) = line(&bytes)
    else {
        panic!("a long store");
    };
    assert_eq!((key, terms.client_flags), (&b"k"[..], 1));
    assert_eq!(
        (value_len, format, taken),
        (Some(1 << 20), QUIET, head.len())
    );
    let head = b"set k x 0 1048576\r\n";
    assert_eq!(
        line(head),
        Decoded::Long(LongHead::Skip {
            answer: Some(Mistake::BadFormat.words().into()),
            rest: Rest::bytes((1 << 20) + 2),
            taken: head.len(),
            inside: Inside::MemcachedLine,
        })
    );
}

#[test]
fn words() {
    check_one(b"delete k\r\n", Command::Delete { key: b"k" }, WORDS);
    check_one(b"delete k 0\r\n", Command::Delete { key: b"k" }, WORDS);
    check_one(
        b"delete k noreply\r\n",
        Command::Delete { key: b"k" },
        QUIET,
    );
    check_one(
        b"delete k 10 noreply\r\n",
        Command::Delete { key: b"k" },
        QUIET,
    );
    check_refused(b"delete\r\n", Mistake::BadFormat);
    check_refused(b"delete k l\r\n", Mistake::BadFormat);
    let count = |up, by| Command::Count { key: b"k", up, by };
    check_one(b"incr k 1\r\n", count(true, 1), WORDS);
    check_one(
        b"decr k 18446744073709551615 noreply\r\n",
        count(false, u64::MAX),
        QUIET,
    );
    check_refused(b"incr k -1\r\n", Mistake::BadDelta);
    check_refused(b"incr k 18446744073709551616\r\n", Mistake::BadDelta);
    check_refused(b"incr k\r\n", Mistake::BadFormat);
    let touch = |lifetime| Command::Touch {
        key: b"k",
        lifetime,
    };
    check_one(b"touch k 0\r\n", touch(Lifetime::Forever), WORDS);
    check_one(
        b"touch k 2592000\r\n",
        touch(Lifetime::Counted(2_592_000)),
        WORDS,
    );
    check_one(
        b"touch k 1700000000\r\n",
        touch(Lifetime::Until(1_700_000_000)),
        WORDS,
    );
    let far = 2_147_483_648;
    check_one(
        b"touch k 2147483648\r\n",
        touch(Lifetime::Until(far)),
        WORDS,
    );
    check_one(
        b"touch k 99999999999\r\n",
        touch(Lifetime::Until(u32::MAX)),
        WORDS,
    );
    let flush = |when| Command::Flush { when };
    check_one(b"flush_all\r\n", flush(Lifetime::Past), WORDS);
    check_one(b"flush_all 0\r\n", flush(Lifetime::Past), WORDS);
    check_one(b"flush_all 10\r\n", flush(Lifetime::Counted(10)), WORDS);
    check_one(b"flush_all noreply\r\n", flush(Lifetime::Past), QUIET);
    check_one(
        b"flush_all 10 noreply\r\n",
        flush(Lifetime::Counted(10)),
        QUIET,
    );
    check_refused(b"flush_all now\r\n", Mistake::BadLifetime);
    check_one(b"verbosity 1\r\n", Command::Say(Word::Ok), WORDS);
    check_one(b"verbosity 1 noreply\r\n", Command::Say(Word::Ok), QUIET);
    check_refused(b"verbosity\r\n", Mistake::BadFormat);
    check_one(b"version\r\n", Command::Say(Word::Version), WORDS);
    check_one(b"quit\r\n", Command::Quit, WORDS);
    check_one(b"stats\r\n", Command::Stats(Topic::General), WORDS);
    check_one(b"stats slabs\r\n", Command::Stats(Topic::Slabs), WORDS);
    check_one(b"stats curve\r\n", Command::Stats(Topic::Curve), WORDS);
    check_one(b"stats stored\r\n", Command::Stats(Topic::Stored), WORDS);
    check_refused(b"stats nonsense\r\n", Refusal::Malformed);
    check_one(
        b"lru_crawler metadump all\r\n",
        dump(None, 0, Form::Items),
        WORDS,
    );
    let few = dump(Some(3), 9, Form::Listed);
    check_one(b"stats cachedump 3 9\r\n", few, WORDS);
    check_refused(b"stats cachedump 3\r\n", Mistake::TooFewWords);
    check_refused(b"stats cachedump 3 -1\r\n", Mistake::BadFormat);
    check_refused(b"stats cachedump x 1\r\n", Mistake::BadFormat);
    check_refused(b"stats cachedump 64 0\r\n", Mistake::BadSlab);
    check_refused(b"lru_crawler metadump x\r\n", Mistake::BadClass);
    check_refused(b"lru_crawler\r\n", Refusal::Malformed);
    let shutdown = |mistake| Command::Shutdown { mistake };
    check_one(b"shutdown\r\n", shutdown(None), WORDS);
    check_one(b"shutdown graceful\r\n", shutdown(None), WORDS);
    let mistake = Mistake::BadShutdown.words();
    check_one(b"shutdown foo\r\n", shutdown(Some(mistake)), WORDS);
    check_refused(b"nonsense\r\n", Refusal::Malformed);
    check_one(
        b"nonsense noreply\r\n",
        Command::Refuse(Refusal::Malformed),
        QUIET,
    );
    check_refused(b"GET k\r\n", Refusal::Malformed);
    check_refused(b" \n", Mistake::BadFormat);
    check_refused(b"\r\n", Mistake::BadFormat);
    check_refused(b"a\r\n", Mistake::BadFormat);
    check_refused(b" get k\r\n", Refusal::Malformed);
}

#[test]
fn strays_and_endless_lines_are_hung_up_on() {
    let endless = [b'x'; HEAD_BYTES_MAX + 1];
    let blanks = [b' '; HEAD_BYTES_MAX + 1];
    let long = [b"incr ", &endless[..], b" 1\r\n"].concat();
    let strays: &[&[u8]] = &[
        b"get / HTTP/1.1\r\n",
        b"patch / HTTP/1.1\r\n",
        b"host: example.org\r\n",
        &endless,
        &blanks,
        &long,
    ];
    for stray in strays {
        let decoded = line(stray);
        assert_eq!(decoded, Decoded::HangUp(b""), "{:?}", stray.escape_ascii());
    }
    for line_of_keys in [
        &b"get a b\r\n"[..],
        b"get HTTP/1.1\r\n",
        b"get / HTTP/1.1\n",
    ] {
        assert!(matches!(line(line_of_keys), Decoded::Request(_)));
    }
}
