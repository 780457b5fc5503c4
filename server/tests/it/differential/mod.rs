//! Goal: what a client of memcached sees here is what memcached would have answered, byte
//! by byte, except for a written list.
//! Method: the same bytes go to a real memcached and to Flagstone, cut differently; the
//! replies are compared. There are fixed inputs, seeded random ones, and expiry by waiting.
//! A failing seed is shrunk to the fewest requests that still differ, and printed.
//!
//! [`known`] is the list of intended differences. Each is checked, too: one that is gone
//! must leave the list.
//!
//! ```text
//! TEST_MEMCACHED=/path/to/memcached    another memcached than the one in PATH
//! TEST_DIFFERENTIAL_SUBJECT=/path      a second memcached instead of Flagstone: equal
//!                                           ones must be found equal
//! TEST_DIFFERENTIAL_SEEDS=5000         more seeds
//! TEST_DIFFERENTIAL_FIRST=17           the first of them
//! ```

mod binary;
mod fixed;
mod generate;
mod known;
mod pair;
mod redis;
mod replies;
mod rng;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common;

use generate::{Op, Plan};
use pair::Pair;

/// Ten seconds' worth.
const SEEDS: u64 = 60;

const SHRINK_AT_MOST: Duration = Duration::from_secs(60);

fn number_from(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

#[test]
fn fixed_inputs_are_answered_alike() {
    let Some(mut pair) = Pair::start("fixed_inputs_are_answered_alike") else {
        return;
    };
    let mut wrong = Vec::new();
    for &(age, input) in fixed::INPUTS {
        if age == fixed::Age::New && pair.is_old() {
            continue;
        }
        let (theirs, ours) = pair.both(input);
        if theirs.units != ours.units {
            wrong.push(pair::report(&[input.to_vec()], &theirs, &ours));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_known_differences_are_as_written() {
    let Some(mut pair) = Pair::start("the_known_differences_are_as_written") else {
        return;
    };
    let mut wrong = Vec::new();
    for known in known::DIFFERENCES {
        let (theirs, ours) = pair.both(known.input);
        let their_text = if pair.is_old() {
            known.old
        } else {
            known.current
        };
        for (who, text, expected) in [
            ("memcached", theirs.text(), their_text),
            ("Flagstone", ours.text(), known.ours),
        ] {
            if text != expected {
                let input = common::show(known.input);
                wrong.push(format!(
                    "{input}\n  {who} said {text:?}\n  the list {expected:?}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn seeded_sequences_are_answered_alike() {
    let Some(mut pair) = Pair::start("seeded_sequences_are_answered_alike") else {
        return;
    };
    let first = number_from("TEST_DIFFERENTIAL_FIRST", 1);
    let seeds = number_from("TEST_DIFFERENTIAL_SEEDS", SEEDS);
    let mut kinds = BTreeSet::new();
    for seed in first..first + seeds {
        let plan = Plan::of_seed(seed, pair.is_old());
        if let Some(difference) = pair.play(&plan, &mut kinds) {
            let (plan, difference) = shrink(&mut pair, plan, difference);
            panic!(
                "seed {seed} differs; the fewest requests that still do, on {} connections:\n{difference}",
                plan.segments.len()
            );
        }
    }
    // What a comparison never saw, it has not compared.
    if seeds >= SEEDS {
        let unnamed = if pair.is_old() { "ERROR" } else { "" };
        for kind in replies::KINDS.iter().filter(|&&kind| kind != unnamed) {
            assert!(
                kinds.contains(*kind),
                "no reply of the kind {kind} in {seeds} seeds"
            );
        }
    }
}

/// Leaves requests out as long as the replies still differ: halves first, then smaller runs.
fn shrink(pair: &mut Pair, mut plan: Plan, mut difference: String) -> (Plan, String) {
    let mut run = plan.op_count() / 2;
    let start = Instant::now();
    while run > 0 && start.elapsed() < SHRINK_AT_MOST {
        let mut at = 0;
        let mut shorter = false;
        while at < plan.op_count() {
            let candidate = plan.without(at, run);
            if let Some(found) = pair.play(&candidate, &mut BTreeSet::new()) {
                plan = candidate;
                difference = found;
                shorter = true;
            } else {
                at += run;
            }
        }
        if !shorter {
            run /= 2;
        }
    }
    (plan, difference)
}

fn assert_alike(theirs: &replies::Replies, ours: &replies::Replies, when: &str) {
    let report = pair::report(&[], theirs, ours);
    assert!(theirs.units == ours.units, "{when}:\n{report}");
}

#[test]
fn items_expire_alike() {
    let Some(mut pair) = Pair::start("items_expire_alike") else {
        return;
    };
    // Either side may see a short deadline up to a second early: nothing is asked between
    // the stores and a moment when every short one is over and no long one is near.
    let mut store = Vec::new();
    let mut ask = Vec::new();
    for (no, seconds) in [
        "0",
        "1",
        "2",
        "60",
        "-1",
        "2592000",
        "2592001",
        "2000000000",
    ]
    .into_iter()
    .enumerate()
    {
        let set = format!("set e{no} {no} {seconds} 1\r\nx\r\n");
        let add = format!("add e{no} 9 0 1\r\ny\r\n");
        let meta = format!("ms m{no} 1 T{seconds} F{no}\r\nz\r\n");
        let touch = format!("set t{no} 0 0 1\r\nt\r\ntouch t{no} {seconds}\r\n");
        let gat = format!("set g{no} 0 0 1\r\ng\r\ngat {seconds} g{no}\r\n");
        let count = format!("ma n{no} N{seconds} J7 v\r\n");
        let vivify = format!("mg v{no} N{seconds} v\r\n");
        let stale = format!("ms s{no} 1 T100\r\ns\r\nmd s{no} I T{seconds}\r\n");
        for part in [&set, &meta, &touch, &gat, &count, &vivify, &stale] {
            store.extend_from_slice(part.as_bytes());
        }
        for key in ["e", "m", "t", "g", "n", "v", "s"] {
            ask.extend_from_slice(format!("get {key}{no}\r\nmg {key}{no} v f s t\r\n").as_bytes());
        }
        ask.extend_from_slice(add.as_bytes());
        ask.extend_from_slice(format!("incr n{no} 1\r\ntouch g{no} 0\r\nma n{no}\r\n").as_bytes());
    }
    // A flush in the future, and one that was.
    store.extend_from_slice(b"mn\r\n");
    let (theirs, ours) = pair.both(&store);
    assert_alike(&theirs, &ours, "while they are stored");
    std::thread::sleep(Duration::from_millis(3300));
    let (theirs, ours) = pair.both(&ask);
    assert_alike(&theirs, &ours, "when the short ones are over");

    let (theirs, ours) = pair.both(b"set f 0 0 1\r\nf\r\nflush_all 2\r\nget f\r\n");
    assert_eq!(
        theirs.text(),
        ours.text(),
        "a flush in two seconds has not come"
    );
    std::thread::sleep(Duration::from_millis(3300));
    let (theirs, ours) = pair.both(b"get f\r\nset f 0 0 1\r\ng\r\nget f\r\n");
    assert_eq!(
        theirs.text(),
        ours.text(),
        "a flush in two seconds has come"
    );
}

/// The comparison itself: a difference is found, and shrunk to the request that makes it.
#[test]
fn a_difference_is_found_and_shrunk() {
    let Some(mut pair) = Pair::start("a_difference_is_found_and_shrunk") else {
        return;
    };
    let mut plan = Plan::of_seed(1, pair.is_old());
    let known = &known::DIFFERENCES[0];
    let middle = plan.segments.len() / 2;
    plan.segments[middle].insert(0, Op::new(known.input.to_vec()));
    let difference = pair.play(&plan, &mut BTreeSet::new());
    let (plan, _) = shrink(&mut pair, plan, difference.expect("a difference"));
    assert_eq!(plan.op_count(), 1);
}
