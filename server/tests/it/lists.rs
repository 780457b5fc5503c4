//! Goal: a list of keys is answered as its keys one by one are, whatever its length, its keys and its values, wherever it stands
//! among other requests, and however it comes.
//!
//! Method: seeded lists of memcached's `get` and `gets` and of Redis' `MGET`, over keys that are there and that are not, values that are
//! empty and that fill a buffer; what has to be answered is put together from what was stored. The bytes are cut at random.

use std::fmt::Write as _;

use crate::common::resp::array;
use crate::common::{show, start, stat, talk, talk_in_parts};

/// Value lengths: nothing, a few bytes, several to a buffer, more than a buffer has.
const LENS: [usize; 6] = [0, 1, 32, 300, 9_000, 45_000];
const KEYS: usize = 60;

struct Rng(u64);

impl Rng {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % below
    }
}

/// The names of keys: of all lengths that are read in different ways.
fn name(no: usize) -> String {
    let len = [1, 7, 8, 15, 16, 20, 32, 33, 100, 249, 250][no % 11];
    format!("{no}{}", "k".repeat(len))
        .chars()
        .take(len.max(2))
        .collect()
}

/// What is stored under it, with which flags; `None`: nothing.
fn stored(no: usize) -> Option<(Vec<u8>, u32)> {
    // Long ones are few.
    let len = LENS[[0, 1, 2, 2, 2, 3, 3, 2, 4, 5][no % 10]];
    let value = || (0..len).map(|at| b'a' + ((at + no) % 26) as u8).collect();
    (!no.is_multiple_of(3)).then(|| (value(), no as u32 % 4 * 1000))
}

fn fill() -> Vec<u8> {
    let mut input = Vec::new();
    for no in 0..KEYS {
        if let Some((value, flags)) = stored(no) {
            let head = format!("set {} {flags} 0 {} noreply\r\n", name(no), value.len());
            input.extend_from_slice(head.as_bytes());
            input.extend_from_slice(&value);
            input.extend_from_slice(b"\r\n");
        }
    }
    input
}

/// Which keys a list asks for: most are short ones.
fn draw(rng: &mut Rng) -> Vec<usize> {
    let len = [1, 2, 5, 7, 8, 9, 31, 32, 33, 34, 64, 65, 100, 300][rng.below(14)];
    let spares_long = rng.below(3) > 0;
    let mut draw = || loop {
        let no = rng.below(KEYS);
        if !(spares_long && no % 10 > 7) {
            return no;
        }
    };
    (0..len).map(|_| draw()).collect()
}

fn in_parts(rng: &mut Rng, input: &[u8]) -> Vec<usize> {
    let mut ends: Vec<usize> = (0..rng.below(6)).map(|_| rng.below(input.len())).collect();
    ends.push(input.len());
    ends.sort_unstable();
    ends
}

/// The same bytes are answered alike at once and in parts.
#[track_caller]
fn check(server: &flagstone_server::Running, rng: &mut Rng, input: &[u8], expected: &[u8]) {
    let whole = talk(server, input);
    assert!(whole == expected, "{}", show(input));
    let mut parts = Vec::new();
    let mut from = 0;
    for end in in_parts(rng, input) {
        parts.push(&input[from..end]);
        from = end;
    }
    parts.retain(|part| !part.is_empty());
    assert!(talk_in_parts(server, &parts) == expected, "{}", show(input));
}

#[test]
fn memcached_lists_are_their_keys() {
    let server = start();
    assert!(talk(&server, &fill()).is_empty());
    let mut rng = Rng(0x1234_5678_9abc_def1);
    let (mut hits, mut misses) = (0, 0);
    for _ in 0..60 {
        let (mut input, mut expected) = (String::new(), Vec::new());
        for _ in 0..1 + rng.below(5) {
            let keys = draw(&mut rng);
            input.push_str("get");
            for &no in &keys {
                let spaces = if rng.below(40) == 0 { "  " } else { " " };
                write!(input, "{spaces}{}", name(no)).expect("text");
                match stored(no) {
                    Some((value, flags)) => {
                        let head = format!("VALUE {} {flags} {}\r\n", name(no), value.len());
                        expected.extend_from_slice(head.as_bytes());
                        expected.extend_from_slice(&value);
                        expected.extend_from_slice(b"\r\n");
                        hits += 2;
                    }
                    None => misses += 2,
                }
            }
            input.push_str(["\r\n", "\n", " \r\n"][rng.below(3)]);
            expected.extend_from_slice(b"END\r\n");
            if rng.below(3) == 0 {
                input.push_str("touch none 1\r\n");
                expected.extend_from_slice(b"NOT_FOUND\r\n");
            }
        }
        check(&server, &mut rng, input.as_bytes(), &expected);
    }
    assert_eq!(stat(&server, "hits"), hits);
    assert_eq!(stat(&server, "misses"), misses);
}

/// Items get their CAS numbers while they are asked for, and have them from then on.
#[test]
fn lists_with_numbers_are_their_keys() {
    let server = start();
    assert!(talk(&server, &fill()).is_empty());
    let mut rng = Rng(0x9abc_def1_1234_5678);
    for _ in 0..20 {
        let keys = draw(&mut rng);
        let (mut list, mut single) = (b"gets".to_vec(), Vec::new());
        for &no in &keys {
            list.extend_from_slice(format!(" {}", name(no)).as_bytes());
            single.extend_from_slice(format!("gets {}\r\n", name(no)).as_bytes());
        }
        list.extend_from_slice(b"\r\n");
        let listed = talk(&server, &list);
        let alone = talk(&server, &single);
        // Between the values of single requests there are ends.
        let mut expected = Vec::new();
        let mut rest = &alone[..];
        for &no in &keys {
            let len = stored(no).map_or(0, |(value, _)| {
                let head = rest
                    .windows(2)
                    .position(|two| two == b"\r\n")
                    .expect("a head");
                head + 2 + value.len() + 2
            });
            expected.extend_from_slice(&rest[..len]);
            rest = rest[len..].strip_prefix(b"END\r\n").expect("an end");
        }
        expected.extend_from_slice(b"END\r\n");
        assert!(listed == expected, "{}", show(&list));
        check(&server, &mut rng, &list, &expected);
    }
}

#[test]
fn redis_lists_are_their_keys() {
    let server = start();
    assert!(talk(&server, &fill()).is_empty());
    let mut rng = Rng(0x0f0f_1234_5678_9abc);
    for round in 0..60 {
        let v3 = round % 2 == 1;
        let (mut input, mut expected) = (Vec::new(), Vec::new());
        let nothing: &[u8] = if v3 { b"_\r\n" } else { b"$-1\r\n" };
        if v3 {
            input.extend_from_slice(&array(&[b"HELLO", b"3"]));
        }
        for _ in 0..1 + rng.below(5) {
            let keys = draw(&mut rng);
            let names: Vec<String> = keys.iter().map(|&no| name(no)).collect();
            let long = vec![b'k'; [251, 20_000][rng.below(2)]];
            let mut words: Vec<&[u8]> = vec![b"MGET"];
            words.extend(names.iter().map(String::as_bytes));
            if rng.below(4) == 0 {
                words.push(&long);
            }
            expected.extend_from_slice(format!("*{}\r\n", words.len() - 1).as_bytes());
            for &no in &keys {
                match stored(no) {
                    Some((value, _)) => {
                        expected.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                        expected.extend_from_slice(&value);
                        expected.extend_from_slice(b"\r\n");
                    }
                    None => expected.extend_from_slice(nothing),
                }
            }
            (words.len() - 1 > keys.len()).then(|| expected.extend_from_slice(nothing));
            input.extend_from_slice(&array(&words));
            input.extend_from_slice(&array(&[b"EXISTS", b"none"]));
            expected.extend_from_slice(b":0\r\n");
        }
        if v3 {
            // Behind the greeting, which tells each connection another id.
            let whole = talk(&server, &input);
            assert!(whole.starts_with(b"%7\r\n"), "{}", show(&whole));
            assert!(whole.ends_with(&expected), "{}", show(&input));
        } else {
            check(&server, &mut rng, &input, &expected);
        }
    }
}
