//! Goal: a key behaves like one place in memory, whoever writes and reads it over whichever
//! connection: each request takes effect at one moment between its sending and its reply.
//! Method: four clients at once store, read and delete one key, five times each, and note
//! when they asked, when the answer came, and what it was. A search looks for an order of
//! the twenty that respects those times and that a plain variable would have answered alike
//! (Wing and Gong; histories are short, so it is quick). Then the next key. The search itself is shown to
//! refuse what is wrong.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Instant;

use crate::common;

const CLIENTS: usize = 4;
const REQUESTS: usize = 5;
const KEYS: usize = 1_000;

/// A request and its answer.
#[derive(Clone, Copy, Debug)]
enum What {
    Put(u32),
    Get(Option<u32>),
    Del { was_there: bool },
}

#[derive(Clone, Copy, Debug)]
struct Op {
    what: What,
    asked: u128,
    answered: u128,
}

/// What is stored after `what`, or `None` if a variable that holds `stored` answers otherwise.
fn after(what: What, stored: Option<u32>) -> Option<Option<u32>> {
    match what {
        What::Put(value) => Some(Some(value)),
        What::Get(seen) => (seen == stored).then_some(stored),
        What::Del { was_there } => (was_there == stored.is_some()).then_some(None),
    }
}

/// Whether there is an order that explains the history. `done` is a bit an op.
fn is_linearizable(ops: &[Op]) -> bool {
    let all = (1_u32 << ops.len()) - 1;
    let mut seen = HashSet::new();
    let mut left = vec![(0_u32, None)];
    while let Some((done, stored)) = left.pop() {
        if done == all {
            return true;
        }
        if !seen.insert((done, stored)) {
            continue;
        }
        let open = |no: &usize| done & 1 << no == 0;
        // Whatever was answered before another was asked comes before it.
        let first_answer = (0..ops.len()).filter(open).map(|no| ops[no].answered).min();
        for no in (0..ops.len()).filter(open) {
            if Some(ops[no].asked) <= first_answer
                && let Some(next) = after(ops[no].what, stored)
            {
                left.push((done | 1 << no, next));
            }
        }
    }
    false
}

struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    start: Instant,
}

impl Client {
    fn ask(&mut self, key: usize, request: What) -> Op {
        let line = match request {
            What::Put(value) => format!("PUT k{key} {value}\n"),
            What::Get(_) => format!("GET k{key}\n"),
            What::Del { .. } => format!("DEL k{key}\n"),
        };
        let mut reply = String::new();
        let asked = self.start.elapsed().as_nanos();
        self.writer.write_all(line.as_bytes()).expect("sends");
        self.reader.read_line(&mut reply).expect("replies");
        let answered = self.start.elapsed().as_nanos();
        let reply = reply.trim_end();
        let what = match (request, reply) {
            (What::Put(value), "OK") => What::Put(value),
            (What::Get(_), "NOTFOUND") => What::Get(None),
            (What::Get(_), value) => What::Get(Some(value.parse().expect("a value of ours"))),
            (What::Del { .. }, "OK") => What::Del { was_there: true },
            (What::Del { .. }, "NOTFOUND") => What::Del { was_there: false },
            _ => panic!("{line:?} was answered {reply:?}"),
        };
        Op {
            what,
            asked,
            answered,
        }
    }
}

#[test]
fn a_key_is_like_one_variable() {
    let server = common::start();
    let (barrier, start) = (Barrier::new(CLIENTS), Instant::now());
    let histories: Vec<Vec<Op>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let writer = common::connect(&server);
                let barrier = &barrier;
                scope.spawn(move || {
                    let reader = BufReader::new(writer.try_clone().expect("clones"));
                    let mut dice = client as u64 + 1;
                    let mut this = Client {
                        reader,
                        writer,
                        start,
                    };
                    let mut ops = Vec::new();
                    for key in 0..KEYS {
                        barrier.wait();
                        for request in 0..REQUESTS {
                            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            let request = match (dice >> 33) % 8 {
                                0..3 => What::Put((client * REQUESTS + request) as u32),
                                3..7 => What::Get(None),
                                _ => What::Del { was_there: false },
                            };
                            ops.push(this.ask(key, request));
                        }
                    }
                    ops
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("asks"))
            .collect()
    });
    let mut together = 0;
    for key in 0..KEYS {
        let of_key = key * REQUESTS..(key + 1) * REQUESTS;
        let ops: Vec<Op> = histories
            .iter()
            .flat_map(|ops| &ops[of_key.clone()])
            .copied()
            .collect();
        assert!(
            is_linearizable(&ops),
            "key {key}: no order explains {ops:#?}"
        );
        let meets = |a: &Op, b: &Op| a.asked < b.answered && b.asked < a.answered;
        together += ops
            .iter()
            .map(|a| ops.iter().filter(|b| meets(a, b)).count() - 1)
            .sum::<usize>()
            / 2;
    }
    println!("{KEYS} keys, {together} pairs of requests that were under way together");
    // Else nothing was tried.
    assert!(together > KEYS, "{together}");
}

#[test]
fn the_search_refuses_what_is_wrong() {
    let op = |what, asked, answered| Op {
        what,
        asked,
        answered,
    };
    let table = [
        (
            vec![op(What::Put(1), 0, 1), op(What::Get(Some(1)), 2, 3)],
            true,
        ),
        // Lost, invented, old.
        (
            vec![op(What::Put(1), 0, 1), op(What::Get(None), 2, 3)],
            false,
        ),
        (vec![op(What::Get(Some(1)), 0, 1)], false),
        (
            vec![
                op(What::Put(1), 0, 1),
                op(What::Put(2), 2, 3),
                op(What::Get(Some(1)), 4, 5),
            ],
            false,
        ),
        // While a store is under way, either; but never the old one after somebody saw the new.
        (
            vec![
                op(What::Put(1), 0, 9),
                op(What::Get(None), 1, 2),
                op(What::Get(Some(1)), 3, 4),
            ],
            true,
        ),
        (
            vec![
                op(What::Put(1), 0, 9),
                op(What::Get(Some(1)), 1, 2),
                op(What::Get(None), 3, 4),
            ],
            false,
        ),
        // Two cannot both have deleted it.
        (
            vec![
                op(What::Put(1), 0, 1),
                op(What::Del { was_there: true }, 2, 4),
                op(What::Del { was_there: true }, 3, 5),
            ],
            false,
        ),
    ];
    for (history, expected) in table {
        assert_eq!(is_linearizable(&history), expected, "{history:#?}");
    }
}
