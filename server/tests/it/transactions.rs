//! Redis' transactions: what is kept until `EXEC`, what is refused, what is watched, and what others see of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::common::resp::{array, check, requests};
use crate::common::{
    connect, exchange, expect, show, small_config, start, start_with, talk, talk_in_parts,
};
use flagstone_server::Config;

/// `expected` has `|` for the line's end.
const ABORT: &str = "-EXECABORT Transaction discarded because of previous errors.|";

#[test]
fn what_is_kept_is_executed_at_once_and_in_order() {
    let server = start();
    let table = [
        (
            "MULTI|SET a 1|INCR a|GET a|EXEC|GET a",
            "+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|:2|$1|2|$1|2|",
        ),
        ("MULTI|EXEC|PING", "+OK|*0|+PONG|"),
        (
            "MULTI|SET a 7|DISCARD|GET a|EXEC|DISCARD",
            "+OK|+QUEUED|+OK|$1|2|-ERR EXEC without MULTI|-ERR DISCARD without MULTI|",
        ),
        (
            "MULTI|MULTI|WATCH a|SET a 3|EXEC",
            "+OK|-ERR MULTI calls can not be nested|-ERR WATCH inside MULTI is not allowed|+QUEUED|*1|+OK|",
        ),
        (
            "MULTI|MSET x 1 y 2|MGET x none y|DEL x y none|EXISTS a a|PING hi|EXEC",
            "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*5|+OK|*3|$1|1|$-1|$1|2|:2|:2|$2|hi|",
        ),
        // What fails when it is executed fails alone.
        (
            "MULTI|SET a x|INCR a|MSET a 1 b|SET a 1 EX 0|SET a y FOO|APPEND a z|EXEC",
            "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*6|+OK|\
             -ERR value is not an integer or out of range|\
             -ERR wrong number of arguments for 'mset' command|\
             -ERR invalid expire time in 'set' command|-ERR syntax error|:2|",
        ),
        // UNWATCH is kept like anything else, and RESET and QUIT are not.
        (
            "MULTI|UNWATCH|EXEC|MULTI|SET a 1|RESET|EXEC",
            "+OK|+QUEUED|*1|+OK|+OK|+QUEUED|+RESET|-ERR EXEC without MULTI|",
        ),
        ("MULTI|SET a q|QUIT|PING", "+OK|+QUEUED|+OK|"),
        ("GET a", "$2|xz|"),
        (
            "HELLO 3|MULTI|GET none|EXEC",
            "%7|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:3|$2|id|:10|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|+OK|+QUEUED|*1|_|",
        ),
    ];
    for (lines, expected) in table {
        check(&server, lines, expected);
    }
}

#[test]
fn one_mistake_refuses_all_of_it() {
    let server = start();
    let unknown = "-ERR unknown command 'NOPE', with args beginning with: '1' |";
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command|");
    let table = [
        (
            "MULTI|SET a 1|NOPE 1|SET a 2|EXEC|GET a",
            format!("+OK|+QUEUED|{unknown}+QUEUED|{ABORT}$-1|"),
        ),
        (
            "MULTI|SET a 1|GET|EXEC|GET a",
            format!("+OK|+QUEUED|{}{ABORT}$-1|", arity("get")),
        ),
        (
            "MULTI|SET a 1|EXEC now|EXEC|GET a",
            "+OK|+QUEUED|-EXECABORT Transaction discarded because of: wrong number of arguments for \
             'exec' command|-ERR EXEC without MULTI|$-1|"
                .to_owned(),
        ),
        (
            "MULTI|SHUTDOWN|EXEC",
            format!("+OK|-ERR Command not allowed inside a transaction|{ABORT}"),
        ),
        // The next one is another one.
        (
            "MULTI|NOPE 1|DISCARD|MULTI|SET a 1|EXEC",
            format!("+OK|{unknown}+OK|+OK|+QUEUED|*1|+OK|"),
        ),
    ];
    for (lines, expected) in &table {
        check(&server, lines, expected);
    }
    // What cannot be held whole cannot be kept.
    let long = [
        requests("MULTI|SET a old"),
        array(&[b"SET", b"a", &[b'v'; 20_000]]),
        requests("EXEC|GET a"),
    ]
    .concat();
    let told =
        format!("+OK|+QUEUED|-ERR the request's arguments are longer than 16 KiB|{ABORT}$1|1|");
    assert_eq!(
        show(&talk(&server, &long)),
        show(told.replace('|', "\r\n").as_bytes())
    );
}

#[test]
fn any_split_is_the_same_transaction() {
    let server = start();
    let mut input = requests("WATCH a b|MULTI|MSET a 1 b 2|MGET a b|MSET a 1 c");
    input.extend_from_slice(b"GET a\r\nset \"c\" 3\r\n\r\nEXEC\r\n");
    input.extend_from_slice(&requests("MULTI|NOPE x|EXEC|DEL a b c"));
    let whole = talk(&server, &input);
    assert!(
        whole.windows(4).any(|four| four == b"*5\r\n"),
        "{}",
        show(&whole)
    );
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        let replies = talk_in_parts(&server, &[first, second]);
        assert_eq!(show(&replies), show(&whole), "split at {at}");
    }
}

/// What is answered to `lines`, up to the answer to an `ECHO` behind them.
fn ask(stream: &mut TcpStream, lines: &str) -> String {
    const END: &[u8] = b"$9\r\nthat's it\r\n";
    let mut input = requests(lines);
    input.extend_from_slice(&array(&[b"ECHO", b"that's it"]));
    stream.write_all(&input).expect("sent");
    let mut replies = Vec::new();
    let mut room = [0; 4096];
    while !replies.ends_with(END) {
        let len = stream.read(&mut room).expect("replies");
        assert!(len > 0, "closed behind {}", show(&replies));
        replies.extend_from_slice(&room[..len]);
    }
    replies.truncate(replies.len() - END.len());
    String::from_utf8(replies)
        .expect("text")
        .replace("\r\n", "|")
}

#[test]
fn what_is_watched_must_not_change() {
    let server = start();
    let mut one = connect(&server);
    let mut other = connect(&server);
    ask(&mut other, "SET b 0");
    // What was there, what is watched, what the other does then, and whether that is a change.
    let table = [
        ("SET a 0", "WATCH a b", "PING", false),
        ("SET a 0", "WATCH a", "SET a 0", true),
        ("SET a 0", "WATCH b a", "INCR a", true),
        ("SET a 0", "WATCH a", "DEL a", true),
        ("SET a 0", "WATCH a", "GETDEL a|SET a 0", true),
        ("SET a 0", "WATCH a", "EXPIRE a 100", true),
        ("SET a 0", "WATCH a", "FLUSHALL|SET b 0", true),
        ("SET a 0", "WATCH a", "GET a|TTL a|MGET a b", false),
        ("DEL a", "WATCH a", "SET a 1", true),
        ("DEL a", "WATCH a", "SET b 1", false),
        ("SET a 0", "WATCH a|UNWATCH", "SET a 1", false),
        ("SET a 0", "WATCH a|MULTI|DISCARD", "SET a 1", false),
        ("SET a 0", "WATCH a|MULTI|EXEC", "SET a 1", false),
        ("SET a 0", "WATCH a|RESET", "SET a 1", false),
    ];
    for (before, watch, change, is_change) in table {
        ask(&mut other, before);
        let watched = ask(&mut one, watch);
        assert!(watched.starts_with("+OK|"), "{watched}");
        ask(&mut other, change);
        let told = ask(&mut one, "MULTI|SET a mine|EXEC");
        let executed = if is_change { "*-1|" } else { "*1|+OK|" };
        assert_eq!(told, format!("+OK|+QUEUED|{executed}"), "{watch}, {change}");
        // Nothing is watched behind it.
        ask(&mut other, "SET a 5");
        assert_eq!(ask(&mut one, "MULTI|GET a|EXEC"), "+OK|+QUEUED|*1|$1|5|");
    }
    assert!(ask(&mut one, "HELLO 3|WATCH a|SET a 9").ends_with("+OK|+OK|"));
    assert_eq!(ask(&mut one, "MULTI|GET a|EXEC"), "+OK|+QUEUED|_|");
}

/// A counter that is read and written by many at once, on two workers, some of whom just count.
#[test]
fn no_update_is_lost() {
    let server = start_with(Config {
        workers: 2,
        ..small_config()
    });
    const ROUNDS: usize = 100;
    // Between the look at what is watched and the write lies work, in which others would find the time to count.
    let work = "SETRANGE pad 300000 x|".repeat(5);
    let tried: usize = thread::scope(|scope| {
        let watchers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut conn = connect(&server);
                    let (mut done, mut tried) = (0, 0);
                    while done < ROUNDS {
                        tried += 1;
                        let before = ask(&mut conn, "WATCH n|GET n");
                        let before = before.rsplit('|').nth(1).expect("a number");
                        let before: u64 = before.parse().unwrap_or(0);
                        let lines = format!("MULTI|{work}SET n {}|EXEC", before + 1);
                        done += usize::from(ask(&mut conn, &lines).ends_with(":300001|+OK|"));
                    }
                    tried
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut conn = connect(&server);
                for _ in 0..ROUNDS {
                    // Others want to get on, too.
                    thread::sleep(Duration::from_millis(2));
                    assert!(ask(&mut conn, "INCR n").starts_with(':'));
                }
            });
        }
        watchers
            .into_iter()
            .map(|one| one.join().expect("done"))
            .sum()
    });
    assert!(tried > 6 * ROUNDS, "nobody was in anybody's way");
    let all = 8 * ROUNDS;
    check(
        &server,
        "GET n",
        &format!("${}|{all}|", all.to_string().len()),
    );
}

/// Two keys that are only written together, by transactions on two workers.
#[test]
fn nobody_sees_half_of_it() {
    let server = start_with(Config {
        workers: 2,
        ..small_config()
    });
    check(&server, "MSET a 0 b 0", "+OK|");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut conn = connect(server);
                for round in 0..400 {
                    let value = format!("{writer}x{round}");
                    let lines = format!("MULTI|SET a {value}|GET b|SET b {value}|EXEC");
                    assert!(ask(&mut conn, &lines).contains("*3|"));
                }
                stop.store(true, Relaxed);
            });
        }
        for command in ["MGET a b", "MULTI|GET a|GET b|EXEC"] {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut conn = connect(server);
                while !stop.load(Relaxed) {
                    let told = ask(&mut conn, command);
                    let told = told.split_once('*').expect("an array").1;
                    let mut words = told.split('|').skip(2);
                    let (a, b) = (words.next(), words.nth(1));
                    assert_eq!(a, b, "{told}");
                }
            });
        }
    });
}

/// Answers that are longer than any buffer, with long values among them.
#[test]
fn long_answers_come_whole_and_in_order() {
    let server = start();
    let mut conn = connect(&server);
    let long = vec![b'l'; 300_000];
    exchange(&mut conn, &array(&[b"SET", b"long", &long]), b"+OK\r\n");
    let value = vec![b'v'; 5000];
    exchange(&mut conn, &array(&[b"SET", b"some", &value]), b"+OK\r\n");
    let mut input = requests("MULTI");
    let mut told = b"+OK\r\n".to_vec();
    let mut answers = b"*301\r\n".to_vec();
    for no in 0..100 {
        let key = if no % 20 == 7 { "long" } else { "some" };
        input.extend_from_slice(&requests(&format!("GET {key}|INCR n|PING")));
        told.extend_from_slice(&b"+QUEUED\r\n".repeat(3));
        let value = if no % 20 == 7 { &long } else { &value };
        answers.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
        answers.extend_from_slice(value);
        answers.extend_from_slice(format!("\r\n:{}\r\n+PONG\r\n", no + 1).as_bytes());
    }
    input.extend_from_slice(&requests("ECHO last|EXEC|ECHO next"));
    told.extend_from_slice(b"+QUEUED\r\n");
    answers.extend_from_slice(b"$4\r\nlast\r\n$4\r\nnext\r\n");
    conn.write_all(&input).expect("sent");
    expect(&mut conn, &told);
    // Nobody reads for a while.
    thread::sleep(Duration::from_millis(300));
    expect(&mut conn, &answers);
}

/// A transaction that is in its middle when a turn ends goes on although nothing more is asked.
#[test]
fn nothing_has_to_be_asked_behind_a_long_answer() {
    let server = start();
    let mut conn = connect(&server);
    let long = vec![b'l'; 90_000];
    exchange(&mut conn, &array(&[b"SET", b"long", &long]), b"+OK\r\n");
    let answer = [b"$90000\r\n", &long[..], b"\r\n"].concat();
    // A turn answers with so much or so little more that it ends behind one of these.
    for before in 0..6 {
        let gets = "GET long|".repeat(before);
        let input = requests(&format!(
            "{gets}MULTI|GET long|MGET long none long|GET none|EXEC"
        ));
        let mut answers = answer.repeat(before);
        answers.extend_from_slice(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n");
        answers.extend_from_slice(&answer);
        answers.extend_from_slice(b"*3\r\n");
        answers.extend_from_slice(&answer);
        answers.extend_from_slice(b"$-1\r\n");
        answers.extend_from_slice(&answer);
        answers.extend_from_slice(b"$-1\r\n");
        exchange(&mut conn, &input, &answers);
    }
}

/// Lists that are longer than what can be held are kept key by key.
#[test]
fn long_lists_are_kept() {
    let server = start();
    let pairs: String = (0..1000)
        .map(|no| format!(" key:{no} value:{no}"))
        .collect();
    let keys: String = (0..1000).map(|no| format!(" key:{no}")).collect();
    let lines = format!("MULTI|MSET{pairs}|MGET{keys}|DEL{keys}|EXEC|EXISTS{keys}");
    let values: String = (0..1000)
        .map(|no| format!("${}|value:{no}|", format!("value:{no}").len()))
        .collect();
    let told = format!("+OK|+QUEUED|+QUEUED|+QUEUED|*3|+OK|*1000|{values}:1000|:0|");
    check(&server, &lines, &told);
    // One that does not fit is refused once, and so is the next.
    let much: String = (0..4000).map(|no| format!(" key:{no} {no:0100}")).collect();
    let lines = format!("MULTI|SET a 1|MSET{much}|SET b 1|EXEC|EXISTS a b key:1");
    let full =
        "-ERR no room is left for this command: a transaction has three quarters of their memory|";
    check(
        &server,
        &lines,
        &format!("+OK|+QUEUED|{full}+QUEUED|{ABORT}:0|"),
    );
}

#[test]
fn who_has_no_room_is_told_and_nothing_is_executed() {
    let server = start();
    let mut conn = connect(&server);
    let value = [b'v'; 10_000];
    let set = array(&[b"SET", b"k", &value]);
    exchange(&mut conn, &requests("MULTI"), b"+OK\r\n");
    let mut kept = 0;
    let full = loop {
        conn.write_all(&set).expect("sent");
        let mut first = [0; 9];
        conn.read_exact(&mut first).expect("told");
        if first != *b"+QUEUED\r\n" {
            break first;
        }
        kept += 1;
        assert!(kept < 1000);
    };
    assert!(kept > 1 && full.starts_with(b"-ERR no r"), "{kept}");
    expect(
        &mut conn,
        b"oom is left for this command: a transaction has three quarters of their memory\r\n",
    );
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    exchange(&mut conn, &requests("EXEC"), aborted.as_bytes());
    assert_eq!(ask(&mut conn, "EXISTS k"), ":0|");
    // It is all free again.
    assert_eq!(ask(&mut conn, "MULTI|SET k v|EXEC"), "+OK|+QUEUED|*1|+OK|");
}

/// More who sit in an open transaction than there is room for: they give way, and are told.
#[test]
fn who_sits_in_a_transaction_gives_way() {
    let server = start();
    let mut sitting: Vec<_> = (0..100).map(|_| connect(&server)).collect();
    let mut refused = 0;
    for conn in &mut sitting {
        exchange(conn, &requests("MULTI"), b"+OK\r\n");
        conn.write_all(&requests("SET sat 1")).expect("sent");
        let mut first = [0; 9];
        conn.read_exact(&mut first).expect("told");
        refused += usize::from(first != *b"+QUEUED\r\n");
    }
    assert!(refused > 0, "there is room for all of them");
    thread::sleep(Duration::from_millis(1200));
    let mut other = connect(&server);
    assert_eq!(
        ask(&mut other, "WATCH a|MULTI|SET a 1|EXEC"),
        "+OK|+OK|+QUEUED|*1|+OK|"
    );
    let told = [
        "-EXECABORT Transaction discarded: it waited for more than a second, and others needed its room\r\n",
    ];
    let mut gave_way = 0;
    for conn in &mut sitting[..100 - refused] {
        conn.write_all(&requests("EXEC")).expect("sent");
        let mut first = [0; 4];
        conn.read_exact(&mut first).expect("told");
        match &first {
            b"*1\r\n" => expect(conn, b"+OK\r\n"),
            _ => {
                expect(conn, &told[0].as_bytes()[4..]);
                gave_way += 1;
            }
        }
    }
    assert_eq!(gave_way, 1);
}

/// Whoever goes away in the middle leaves nothing behind.
#[test]
fn who_goes_away_gives_all_of_it_back() {
    let server = start();
    for _ in 0..300 {
        let mut conn = connect(&server);
        assert_eq!(ask(&mut conn, "WATCH a b c"), "+OK|");
        exchange(&mut conn, &requests("MULTI|SET a 1"), b"+OK\r\n+QUEUED\r\n");
    }
    check(&server, "MULTI|GET a|EXEC", "+OK|+QUEUED|*1|$-1|");
}
