//! All keys over Redis' protocol: `SCAN`, `KEYS`, `RANDOMKEY`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::resp::{array, requests};
use crate::common::{connect, exchange, show, start, talk};
use flagstone_server::Running;

/// A client that reads what it is answered.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: &Running) -> Self {
        Client(BufReader::new(connect(server)))
    }

    fn ask(&mut self, words: &[&str]) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.0.get_mut().write_all(&array(&words)).expect("sends");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    fn number(&mut self, kind: char) -> usize {
        let line = self.line();
        let digits = line.strip_prefix(kind).unwrap_or_else(|| panic!("{line}"));
        digits.parse().expect("a number")
    }

    fn bulk(&mut self) -> String {
        let len = self.number('$');
        let mut bytes = vec![0; len + 2];
        self.0.read_exact(&mut bytes).expect("a value");
        bytes.truncate(len);
        String::from_utf8(bytes).expect("text")
    }

    fn list(&mut self) -> Vec<String> {
        (0..self.number('*')).map(|_| self.bulk()).collect()
    }

    /// One call: where to go on, and what was met.
    fn scan(&mut self, cursor: &str, options: &[&str]) -> (String, Vec<String>) {
        self.ask(&[&["SCAN", cursor], options].concat());
        assert_eq!(self.number('*'), 2);
        (self.bulk(), self.list())
    }

    /// To the end: all that was met, and in how many calls.
    fn scan_all(&mut self, options: &[&str], mut between: impl FnMut()) -> (Vec<String>, usize) {
        let (mut met, mut calls) = (Vec::new(), 0);
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys) = self.scan(&cursor, options);
            met.extend(keys);
            calls += 1;
            if next == "0" {
                return (met, calls);
            }
            cursor = next;
            between();
        }
    }
}

fn fill(server: &Running, name: &str, count: usize) {
    let puts: String = (0..count).map(|n| format!("PUT {name}:{n} v\n")).collect();
    assert_eq!(talk(server, puts.as_bytes()), b"OK\n".repeat(count));
}

#[test]
fn a_scan_meets_every_key_and_those_that_match() {
    let server = start();
    let mut client = Client::new(&server);
    // A small cache is scanned in one call, as clients' own tests expect.
    assert_eq!(client.scan_all(&[], || ()), (vec![], 1));
    fill(&server, "key", 9);
    let (met, calls) = client.scan_all(&[], || ());
    assert_eq!((met.len(), calls), (9, 1));
    fill(&server, "key", 20_000);
    fill(&server, "other", 500);
    let (met, calls) = client.scan_all(&[], || ());
    assert_eq!(met.iter().collect::<HashSet<_>>().len(), 20_500);
    assert_eq!(met.len(), 20_500, "nothing moved, nothing is met twice");
    assert!(
        (1_000..2_500).contains(&calls),
        "{calls} calls for ten keys each"
    );
    let (met, calls) = client.scan_all(&["MATCH", "other:*", "COUNT", "500"], || ());
    assert_eq!(met.len(), 500);
    assert!(met.iter().all(|key| key.starts_with("other:")));
    assert!((40..80).contains(&calls), "{calls} calls for 500 keys each");
    let (met, calls) = client.scan_all(&["COUNT", "1000000000"], || ());
    assert_eq!(met.len(), 20_500);
    assert!(
        calls >= 20,
        "a call goes through about a thousand, not {met:?}",
        met = met.len() / calls
    );
    assert_eq!(client.scan_all(&["TYPE", "string"], || ()).0.len(), 20_500);
    assert_eq!(client.scan_all(&["TYPE", "hash"], || ()), (vec![], 1));
}

#[test]
fn what_stays_is_met_while_others_come_and_go() {
    let server = start();
    fill(&server, "stays", 2_000);
    let mut client = Client::new(&server);
    let mut other = connect(&server);
    let mut n = 0;
    let (met, _) = client.scan_all(&["COUNT", "20"], || {
        // Few enough that nothing has to be evicted.
        if n > 60_000 {
            return;
        }
        let puts: String = (n..n + 300).map(|n| format!("PUT comes:{n} v\n")).collect();
        exchange(&mut other, puts.as_bytes(), &b"OK\n".repeat(300));
        let dels: String = (n..n + 100).map(|n| format!("DEL comes:{n}\n")).collect();
        exchange(&mut other, dels.as_bytes(), &b"OK\n".repeat(100));
        n += 300;
    });
    let met: HashSet<_> = met.into_iter().collect();
    assert!(n > 10_000, "only {n} came meanwhile");
    assert!((0..2_000).all(|n| met.contains(&format!("stays:{n}"))));
}

#[test]
fn long_keys_need_no_more_room_than_there_is() {
    let server = start();
    let long = "k".repeat(240);
    fill(&server, &long, 3_000);
    let mut client = Client::new(&server);
    let (met, _) = client.scan_all(&["COUNT", "1000"], || ());
    assert_eq!(met.into_iter().collect::<HashSet<_>>().len(), 3_000);
    // Behind others' answers, which leave little room in the outbox.
    let mut lines = requests("GET no|").repeat(3000);
    lines.extend(requests("SCAN 0 COUNT 100|PING"));
    client.0.get_mut().write_all(&lines).expect("sends");
    for _ in 0..3000 {
        assert_eq!(client.line(), "$-1");
    }
    assert_eq!(client.number('*'), 2);
    client.bulk();
    assert!(client.list().len() >= 50);
    assert_eq!(client.line(), "+PONG");
}

#[test]
fn keys_and_a_random_one() {
    let server = start();
    let mut client = Client::new(&server);
    client.ask(&["RANDOMKEY"]);
    assert_eq!(client.line(), "$-1");
    client.ask(&["KEYS", "*"]);
    assert_eq!(client.list(), Vec::<String>::new());
    fill(&server, "key", 100);
    fill(&server, "user", 3);
    client.ask(&["KEYS", "user:[0-1]"]);
    let mut found = client.list();
    found.sort();
    assert_eq!(found, ["user:0", "user:1"]);
    client.ask(&["KEYS", "*"]);
    assert_eq!(client.list().len(), 103);
    let mut random = HashSet::new();
    for _ in 0..200 {
        client.ask(&["RANDOMKEY"]);
        random.insert(client.bulk());
    }
    assert!(random.len() > 20, "{} different ones of 103", random.len());
    // More than an answer holds.
    fill(&server, "many", 10_000);
    client.ask(&["KEYS", "*"]);
    assert!(client.line().starts_with("-ERR KEYS goes through"));
    client.ask(&["KEYS", "user:*"]);
    assert_eq!(client.list().len(), 3);
}

#[test]
fn what_is_wrong_with_a_scan_is_said() {
    let server = start();
    for (lines, expected) in [
        ("SCAN x", "-ERR invalid cursor\r\n"),
        ("SCAN -1", "-ERR invalid cursor\r\n"),
        ("SCAN 0 COUNT", "-ERR syntax error\r\n"),
        ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
        (
            "SCAN 0 COUNT x",
            "-ERR value is not an integer or out of range\r\n",
        ),
        ("SCAN 0 NOVALUES 1", "-ERR syntax error\r\n"),
        (
            "SCAN",
            "-ERR wrong number of arguments for 'scan' command\r\n",
        ),
        ("SCAN 18446744073709551615", "*2\r\n$1\r\n0\r\n*0\r\n"),
    ] {
        let replies = talk(&server, &requests(lines));
        assert_eq!(show(&replies), show(expected.as_bytes()), "{lines}");
    }
    // A pattern that is much work ends a call early, and keeps nobody.
    fill(&server, &"a".repeat(200), 2_000);
    let pattern = format!("*{}b", "a".repeat(100));
    let mut client = Client::new(&server);
    let (met, calls) = client.scan_all(&["MATCH", &pattern, "COUNT", "1000"], || ());
    assert_eq!(met, Vec::<String>::new());
    assert!(calls > 100, "{calls} calls");
}

/// A transaction keeps all workers from everything else, and each of these goes through all keys.
#[test]
fn a_transaction_that_goes_through_all_keys_lets_others_in() {
    const COMMANDS: usize = 200;
    let server = start();
    fill(&server, "key", 15_000);
    let mut client = Client::new(&server);
    let pattern = format!("*{}b", "y".repeat(50));
    client.ask(&["MULTI"]);
    assert_eq!(client.line(), "+OK");
    for _ in 0..COMMANDS {
        client.ask(&["KEYS", &pattern]);
    }
    (0..COMMANDS).for_each(|_| assert_eq!(client.line(), "+QUEUED"));
    let mut others = [connect(&server), connect(&server)];
    let begin = Instant::now();
    client.ask(&["EXEC"]);
    let (mut longest, mut asked) = (Duration::ZERO, 0);
    let answers = std::thread::spawn(move || {
        assert_eq!(client.number('*'), COMMANDS);
        (0..COMMANDS).for_each(|_| assert_eq!(client.list(), Vec::<String>::new()));
    });
    while !answers.is_finished() {
        for other in &mut others {
            let start = Instant::now();
            exchange(other, b"GET key:1\n", b"v\n");
            longest = longest.max(start.elapsed());
            asked += 1;
        }
    }
    answers.join().expect("all are answered");
    let took = begin.elapsed();
    println!(
        "{COMMANDS} commands took {took:?}; a bystander asked {asked} times and waited {longest:?} at most"
    );
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

/// One letter after the other behind a star, and keys of thousands of them: to compare them would take a second each.
#[test]
fn a_pattern_that_is_too_much_work_is_refused() {
    let server = start();
    let mut client = Client::new(&server);
    for no in 0..200 {
        let key = format!("{}{no}", "a".repeat(12_000));
        client.ask(&["SET", &key, "v"]);
        assert_eq!(client.line(), "+OK");
    }
    let mut others = [connect(&server), connect(&server)];
    let patterns = [
        format!("*{}b", "a".repeat(6_000)),
        format!("*[{}]", "b".repeat(12_000)),
    ];
    let mut longest = Duration::ZERO;
    for pattern in &patterns {
        for words in [
            &["KEYS", pattern][..],
            &["SCAN", "0", "MATCH", pattern, "COUNT", "1000"],
        ] {
            client.ask(words);
            for other in &mut others {
                let start = Instant::now();
                exchange(other, b"PUT k v\nGET k\n", b"OK\nv\n");
                longest = longest.max(start.elapsed());
            }
            assert!(client.line().starts_with("-ERR the pattern takes"));
        }
    }
    println!("a bystander waited {longest:?} at most");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let (met, _) = client.scan_all(&["MATCH", "*a1*", "COUNT", "100"], || ());
    assert_eq!(met.len(), 111, "1, 10 to 19, 100 to 199");
    // One at a time to the end.
    assert_eq!(client.scan_all(&["COUNT", "1"], || ()).0.len(), 201);
}
