//! What servers hold, what Flagstone executes, and what a second worker costs it.

use std::fmt::Write;

use flagstone_bench::report::grouped;

use super::{HELD_VALUE_BYTES, IDLE_COUNTS, Results, short};
use crate::race::workers::KEPT_MIN;

pub(super) fn memory(results: &Results) -> String {
    if results.memory.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "## Memory\n\nItems that are there after a budget of {} MiB was filled 2.2 times over, and what the process then has \
         resident for each. A budget means the whole process to Flagstone, and the cache alone to the others. Idle \
         connections have asked one question each; the bytes are the process's, the kernel's come on top for everybody alike.\n\n\
         | server | resident at start |",
        results.memory_mib
    );
    for count in IDLE_COUNTS {
        let _ = write!(out, " bytes a connection at {} |", grouped(count as u64));
    }
    for value_bytes in HELD_VALUE_BYTES {
        let _ = write!(
            out,
            " items, 20 + {value_bytes} B | resident | bytes an item |"
        );
    }
    out.push_str("\n|---|---|");
    out.push_str(&"---|".repeat(IDLE_COUNTS.len() + 3 * HELD_VALUE_BYTES.len()));
    out.push('\n');
    let none = || "–".to_owned();
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    for (at, memory) in &results.memory {
        let _ = write!(
            out,
            "| {} | {} |",
            results.subjects[*at].name,
            memory.start_bytes.map_or_else(none, mib)
        );
        for number in 0..IDLE_COUNTS.len() {
            let bytes = memory.idle_bytes.as_ref().and_then(|all| all.get(number));
            let text = bytes.map_or_else(none, |bytes| grouped(bytes.round() as u64));
            let _ = write!(out, " {text} |");
        }
        for number in 0..HELD_VALUE_BYTES.len() {
            match memory.held.get(number).copied().flatten() {
                Some(held) => {
                    let each = held.resident_bytes as f64 / held.items.max(1) as f64;
                    let _ = write!(
                        out,
                        " {} | {} | {each:.1} |",
                        grouped(held.items),
                        mib(held.resident_bytes)
                    );
                }
                None => out.push_str(" – | – | – |"),
            }
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

/// One worker against two. Empty if it was not measured.
pub(super) fn workers(results: &Results) -> String {
    if results.workers.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "## Two workers against one\n\nFlagstone's native protocol: CPU time of a request in microseconds, with one worker on one core \
         and with two on two, and the requests for a CPU second of two as a ratio to those of one. Where a machine has \
         two CPUs, the generator shares one of them with the second worker, and requests pile up and get cheaper: the ratio is \
         no measure of two workers then.\n\n\
         | shape | one worker | two workers | ratio | at least {KEPT_MIN:.2} |\n|---|---|---|---|---|\n"
    );
    for row in &results.workers {
        let _ = match row.figures() {
            Some((one, two, ratio)) => {
                let verdict = match row.is_alone {
                    false => "not judged: no core of its own",
                    true if ratio >= KEPT_MIN => "met",
                    true => "**missed**",
                };
                let (one, two) = (short(one), short(two));
                writeln!(
                    out,
                    "| {} | {one} | {two} | {ratio:.2} | {verdict} |",
                    row.name
                )
            }
            None => writeln!(out, "| {} | – | – | – | not measured |", row.name),
        };
    }
    out.push('\n');
    out
}

/// What is aimed at: row and most.
const INSTRUCTIONS_MAX: [(&str, u64); 4] = [
    ("get_p1", 1_500),
    ("get_p32", 560),
    ("put_p1", 1_900),
    ("put_p32", 900),
];

pub(super) fn instructions(results: &Results) -> String {
    if results.instructions.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "## User-space instructions of Flagstone for one request\n\nCounted under callgrind and stored by \
         `scripts/instructions`, which says what each row asks. (`alone` is one connection, the others are 50.)\n\n\
         | row | instructions | target | |\n|---|---|---|---|\n",
    );
    for (name, count) in &results.instructions {
        let target = INSTRUCTIONS_MAX.iter().find(|(row, _)| row == name);
        let (target, verdict) = match target {
            Some(&(_, most)) if *count <= most => (grouped(most), "met"),
            Some(&(_, most)) => (grouped(most), "**missed**"),
            None => ("–".to_owned(), ""),
        };
        let _ = writeln!(
            out,
            "| {name} | {} | {target} | {verdict} |",
            grouped(*count)
        );
    }
    out.push('\n');
    out
}
