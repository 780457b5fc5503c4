//! memcached's meta commands over real connections: every flag, what it answers, and what it
//! changes.

use crate::common::{show, small_config, start, start_with, talk};
use flagstone_server::{Config, Running};

/// `input` and `expected` with `|` for the line's end.
#[track_caller]
fn check(server: &Running, input: &str, expected: &str) {
    let wire = |text: &str| text.replace('|', "\r\n");
    let reply = talk(server, wire(input).as_bytes());
    assert_eq!(show(&reply), show(wire(expected).as_bytes()), "{input}");
}

/// The flag's argument in the first line that answers `input`.
fn flag(server: &Running, input: &str, letter: char) -> Option<String> {
    let reply = talk(server, input.replace('|', "\r\n").as_bytes());
    let reply = String::from_utf8(reply).expect("text");
    let words = reply.lines().next().expect("a line").split(' ').skip(1);
    words
        .filter_map(|word| word.strip_prefix(letter))
        .map(str::to_owned)
        .next()
}

fn number(server: &Running, input: &str, letter: char) -> u64 {
    let found = flag(server, input, letter).unwrap_or_else(|| panic!("no {letter}: {input}"));
    found.parse().expect("a number")
}

#[test]
fn reading_and_storing() {
    let server = start();
    for (input, expected) in [
        ("mg k|mg k v|mg k s v Oo k|", "EN|EN|EN Oo kk|"),
        ("ms k 2|hi|mg k|mg k v|", "HD|HD|VA 2|hi|"),
        ("mg k s v f t k Oabc|", "VA 2 s2 f0 t-1 kk Oabc|hi|"),
        (
            "ms k 2 F7 T100|ho|mg k t f v|get k|",
            "HD|VA 2 t100 f7|ho|VALUE k 7 2|ho|END|",
        ),
        ("ms k 1 s|xyz", "CLIENT_ERROR bad data chunk|"),
        ("mn|mg  k   v |", "MN|VA 2|ho|"),
        ("ms k 2 I s|ab|mg k s v|", "HD s2|VA 2 s2|ab|"),
        ("ms k 1 T-1|x|mg k v|", "HD|EN|"),
        (
            "ms Zm9v 1 b k|x|get foo|mg Zm9v b k v|mg foo k v|",
            "HD kZm9v b|VALUE foo 0 1|x|END|VA 1 kZm9v b|x|VA 1 kfoo|x|",
        ),
    ] {
        check(&server, input, expected);
    }
}

#[test]
fn modes_and_conditions() {
    let server = start();
    for (input, expected) in [
        ("ms k 1 ME|a|ms k 1 ME|b|", "HD|NS|"),
        (
            "ms k 1 MA s|b|ms k 1 MP s|0|mg k v|",
            "HD s2|HD s3|VA 3|0ab|",
        ),
        ("ms no 1 MA|x|ms no 1 MR|x|ms k 1 MR|y|", "NS|NS|HD|"),
        (
            "ms new 2 MA N100|hi|mg new t v|ms new 2 MA N100 s|ho|",
            "HD|VA 2 t100|hi|HD s4|",
        ),
        ("ms k 1 C1 c s|x|ms no 1 C1 c|x|", "EX c0 s1|NF c0|"),
        (
            "ms k 1 E1234 c|x|mg k c|ms k 1 C1234 E99 c|y|mg k c v|",
            "HD c1234|HD c1234|HD c99|VA 1 c99|y|",
        ),
        (
            "ms k 1 MA C1|z|ms k 1 MA C99|z|ms k 1 MA C0|z|mg k v|",
            "EX|HD|HD|VA 3|yzz|",
        ),
        ("mg k C5 v|", "VA 3|yzz|"),
        ("md k C5|md k|md k|", "EX|HD|NF|"),
        (
            "ms k 2 E50|hi|mg k C50 v c|mg k C51 v c|",
            "HD|HD c50|VA 2 c50|hi|",
        ),
        ("md k x|mg k v c|md k q|mg k v q|mn|", "HD|VA 0 c50||MN|"),
        ("md no Oo k|md no q|", "NF Oo kno|NF|"),
    ] {
        check(&server, input, expected);
    }
}

#[test]
fn counting() {
    let server = start();
    for (input, expected) in [
        ("ma n|ma n k Ox|", "NF|NF kn Ox|"),
        ("ma n N0 v|ma n v|ma n|", "VA 1|0|VA 1|1|HD|"),
        (
            "ma n v D10|ma n v MD D3|ma n v M- D100|ma n v M+|",
            "VA 2|12|VA 1|9|VA 1|0|VA 1|1|",
        ),
        (
            "ma m N100 J13 v t|ma m T200 v t|ma m t T300 v|",
            "VA 2 t100|13|VA 2 t200|14|VA 2 t200|15|",
        ),
        (
            "ma m C1 v|ma m E77 c v|ma m C77 v|",
            "EX|VA 2 c77|16|VA 2|17|",
        ),
        (
            "set s 0 0 1|x|ma s|",
            "STORED|CLIENT_ERROR cannot increment or decrement non-numeric value|",
        ),
        ("ma n q|ma no q|mn|", "NF|MN|"),
        (
            "ma n MZ|ma n D|ma n s s|",
            "CLIENT_ERROR invalid mode for ma M token|CLIENT_ERROR invalid or duplicate flag|CLIENT_ERROR invalid or duplicate flag|",
        ),
    ] {
        check(&server, input, expected);
    }
    assert!(number(&server, "ma n c|", 'c') < number(&server, "ma n c|", 'c'));
}

#[test]
fn one_of_many_is_told_to_bring_a_new_value() {
    let server = start();
    // What is not there.
    check(
        &server,
        "mg k s v N30 t|mg k s v N30|mg k v|",
        "VA 0 s0 t30 W||VA 0 s0 Z||VA 0 Z||",
    );
    let cas = number(&server, "mg k c|", 'c');
    check(&server, &format!("ms k 2 C{}|no|", cas + 1), "EX|");
    check(
        &server,
        &format!("ms k 2 C{cas} T100|ok|mg k v|"),
        "HD|VA 2|ok|",
    );
    // What runs out.
    check(
        &server,
        "mg k v R90|mg k v R110|mg k v R110|mg k v|",
        "VA 2|ok|VA 2 W|ok|VA 2 Z|ok|VA 2 Z|ok|",
    );
    // What is out of date.
    let cas = number(&server, "mg k c|", 'c');
    check(&server, "ms k 2|ok|md k I T30|", "HD|HD|");
    check(
        &server,
        "mg k v t|mg k v|mg k|",
        "VA 2 t30 X W|ok|VA 2 Z X|ok|HD Z X|",
    );
    check(
        &server,
        &format!("ms k 3 I T500 C{cas}|old|mg k v t|"),
        "HD|VA 3 t30 Z X|old|",
    );
    let cas = number(&server, "mg k c|", 'c');
    check(
        &server,
        &format!("ms k 3 I T500 C{}|bad|", cas + 1000),
        "EX|",
    );
    check(
        &server,
        &format!("ms k 3 I T500 C{cas}|new|mg k v t|"),
        "HD|VA 3 t500|new|",
    );
    // A shadow of itself.
    check(
        &server,
        "md k x I|mg k v|mg k v|",
        "HD|VA 0 X W||VA 0 Z X||",
    );
    // A plain read serves a stale value too, and a plain store ends all that.
    check(
        &server,
        "get k|set k 0 0 1|x|mg k v|",
        "VALUE k 0 0||END|STORED|VA 1|x|",
    );
}

#[test]
fn what_is_noted_of_reads() {
    let server = start_with(Config {
        test_hooks: true,
        ..small_config()
    });
    check(
        &server,
        "ms k 1|x|mg k u h|mg k h|mg k h|",
        "HD|HD h0|HD h0|HD h1|",
    );
    // From then on also other reads and stores count.
    check(
        &server,
        "ms k 1|x|mg k u h|get k|mg k u h|",
        "HD|HD h0|VALUE k 0 1|x|END|HD h1|",
    );
    check(&server, "debugtime 80|", "OK|");
    let idle = number(&server, "mg k u l|", 'l');
    assert!((80..=82).contains(&idle), "{idle}");
    check(&server, "get k|mg k u l|", "VALUE k 0 1|x|END|HD l0|");
    check(&server, "touch k 1000|mg k t|", "TOUCHED|HD t1000|");
    let told = String::from_utf8(talk(&server, b"me k\r\nme no\r\n")).expect("text");
    assert!(
        told.starts_with("ME k exp=1000 la=0 cas=0 fetch=yes cls="),
        "{told}"
    );
    assert!(told.ends_with("\r\nEN\r\n"), "{told}");
    // However long nobody asks: after 30 days, and after 1,000 more.
    check(&server, "set k 0 0 1|x|mg k h|", "STORED|HD h0|");
    const DAY: u64 = 24 * 3600;
    for (more, days) in [(30, 30 * DAY), (1000, 1030 * DAY)] {
        check(&server, &format!("debugtime {}|", more * DAY), "OK|");
        let told = String::from_utf8(talk(&server, b"me k\r\n")).expect("text");
        let la = told
            .split(" la=")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let la: u64 = la.expect("la").parse().expect("a number");
        assert!((days..days + 5).contains(&la), "{told}");
        let idle = number(&server, "mg k u l|", 'l');
        assert!((days..days + 5).contains(&idle), "{idle}");
    }
}

#[test]
fn long_values_and_lifetimes_on_the_way() {
    let server = start();
    let long = "v".repeat(200_000);
    check(
        &server,
        &format!("ms k 200000 T100 F5 Oid k s|{long}|mg k v t T50 f Ox|mg k t|"),
        &format!("HD Oid kk s200000|VA 200000 t100 f5 Ox|{long}|HD t50|"),
    );
    check(
        &server,
        &format!("ms Zm9v 200000 b q|{long}|mg Zm9v b k s|ms Zm9v 200000 MA b s|{long}|"),
        "HD kZm9v b s200000|HD s400000|",
    );
    let cas = number(&server, "mg Zm9v b c|", 'c');
    check(
        &server,
        &format!("ms Zm9v 200000 b C{cas} E5 c|{long}|mg foo v c|"),
        &format!("HD c5|VA 200000 c5|{long}|"),
    );
    check(&server, "md foo I|", "HD|");
    check(
        &server,
        "mg foo v|mg foo|",
        &format!("VA 200000 X W|{long}|HD Z X|"),
    );
    let too_long = "v".repeat((1 << 20) + 1);
    check(
        &server,
        &format!("ms k {} q|{too_long}|mg k v|", too_long.len()),
        "SERVER_ERROR object too large for cache|EN|",
    );
}

#[test]
fn mistakes() {
    let server = start();
    let long = "k".repeat(251);
    for (input, expected) in [
        (
            "mg|ms k|md|ma|me|mg |",
            "CLIENT_ERROR bad command line format|".repeat(6),
        ),
        ("mx k|", "ERROR|".to_owned()),
        ("mg k m o|", "CLIENT_ERROR invalid flag|".to_owned()),
        ("mg k v v|", "CLIENT_ERROR duplicate flag|".to_owned()),
        (
            "mg k Nx|",
            "CLIENT_ERROR bad token in command line format|".to_owned(),
        ),
        ("mg ! b|", "CLIENT_ERROR error decoding key|".to_owned()),
        (
            "ms k 2 q Tx|hi|mn|",
            "CLIENT_ERROR bad token in command line format|MN|".to_owned(),
        ),
        (
            "ms k 2 MZ q|hi|",
            "CLIENT_ERROR invalid mode for ms M token|".to_owned(),
        ),
        (
            "ms k x|",
            "CLIENT_ERROR bad command line format|".to_owned(),
        ),
        (
            &format!("mg {long} v|"),
            "CLIENT_ERROR bad command line format|".to_owned(),
        ),
        (
            &format!("mg k O{long}|"),
            "CLIENT_ERROR opaque token too long|".to_owned(),
        ),
        (
            "mg k a b c d e f g h i j k l m n o p q r s t u|",
            "CLIENT_ERROR options flags are too long|".to_owned(),
        ),
    ] {
        check(&server, input, &expected);
    }
}
