//! Verdicts, and tables of figures: shapes down, subjects across.

use std::fmt::Write;

use super::{Results, short};
use flagstone_bench::wire::Protocol;

use crate::race::board::{Outcome, Row, Sample, ours, ours_in};
use crate::race::shape::Against;

/// A name and a figure.
type Percentile = (&'static str, fn(&Sample) -> f64);
/// What must not be above others' at a fixed rate.
const PERCENTILES: [Percentile; 2] = [
    ("p99", |sample| sample.p99_us),
    ("p99.9", |sample| sample.p999_us),
];

pub(super) fn targets(results: &Results) -> String {
    let mut out = String::from(
        "## Targets\n\nCPU time of the server for one request, or a latency at a fixed rate, as a ratio.\n\n\
         | shape | Flagstone's protocol | against | ratio | at most | |\n|---|---|---|---|---|---|\n",
    );
    for row in &results.rows {
        for target in row.shape.targets {
            let against = against(target.against);
            for &protocol in target.ours {
                let (ratio, verdict) = verdict(row.outcome(&results.subjects, target, protocol));
                let _ = writeln!(
                    out,
                    "| {} | {} | {against} | {ratio} | {:.2} | {verdict} |",
                    row.shape.name,
                    protocol.name(),
                    target.ratio
                );
            }
        }
        if row.shape.timed.is_none() {
            continue;
        }
        for (name, of) in PERCENTILES {
            let (ratio, verdict) = verdict(row.latency(&results.subjects, of));
            let _ = writeln!(
                out,
                "| {}: {name} | native | the best of others' | {ratio} | 1.00 | {verdict} |",
                row.shape.name
            );
        }
    }
    out.push('\n');
    out
}

/// A ratio and what is thought of it.
fn verdict(outcome: Option<Outcome>) -> (String, &'static str) {
    match outcome {
        Some(outcome) if outcome.is_met => (format!("{:.2}", outcome.ratio), "met"),
        Some(outcome) => (format!("{:.2}", outcome.ratio), "**missed**"),
        None => ("–".to_owned(), "not measured"),
    }
}

/// Whom a target is measured against, in words.
fn against(against: Against) -> String {
    match against {
        Against::Floor => "echo on bare tokio".to_owned(),
        Against::Native => "flagstone native".to_owned(),
        Against::Best(kinds) => {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            format!("the best of {}", names.join(", "))
        }
    }
}

pub(super) fn losses(results: &Results) -> String {
    let mut out = String::from("## Where Flagstone loses\n\n");
    let mut is_any = false;
    for row in &results.rows {
        for (at, ratio) in row.losses(&results.subjects) {
            is_any = true;
            let name = &results.subjects[at].name;
            let what = match row.shape.timed {
                Some(_) => "99th percentile",
                None => "CPU time",
            };
            let _ = writeln!(
                out,
                "- {}: {ratio:.2} × the {what} of {name}",
                row.shape.name
            );
        }
    }
    // memtier does not speak the native protocol.
    let ours = ours_in(&results.subjects, Protocol::Memcache);
    for row in results.memtier.iter().filter(|_| ours.is_some()) {
        for (at, ratio) in row.losses_of(ours.unwrap_or_default(), &results.subjects) {
            is_any = true;
            let name = &results.subjects[at].name;
            let _ = writeln!(
                out,
                "- {}, in memcached's protocol: {ratio:.2} × the CPU time of {name}",
                row.shape.name
            );
        }
    }
    if !is_any {
        out.push_str("In no row that was measured.\n");
    }
    out.push('\n');
    out
}

/// Percentiles at fixed rates. Empty if there was none.
pub(super) fn timed(results: &Results) -> String {
    let is_timed = |row: &&Row| row.shape.timed.is_some();
    let rows: Vec<&Row> = results.rows.iter().filter(is_timed).collect();
    if rows.is_empty() {
        return String::new();
    }
    let note = "Median / 99th / 99.9th percentile, microseconds. A request is due at its time, whatever became of those \
                before it, and its latency counts from then on: a stall is charged to everyone who had to wait. Up to as \
                many requests as the pipeline is deep are under way on each of 50 connections.";
    let table = table(results, &rows, note, |row, at| {
        let figure = |of: fn(&Sample) -> f64| Some(row.figure(at, |s| Some(of(s)))?.0);
        Some(format!(
            "{:.0} / {:.0} / {:.0}",
            figure(|sample| sample.p50_us)?,
            figure(|sample| sample.p99_us)?,
            figure(|sample| sample.p999_us)?
        ))
    });
    format!("## Latency at a fixed rate\n\n{table}")
}

/// What caches that were full all the time held, beside what a request cost them: who keeps more,
/// or keeps the right items, answers more of them. Empty if no row was of that kind.
pub(super) fn hits(results: &Results) -> String {
    let has_misses = |row: &&Row| {
        let samples = row.rounds.iter().flatten().flatten();
        samples.filter_map(|s| s.hit_ratio).any(|ratio| ratio < 1.0)
    };
    let rows: Vec<&Row> = results.rows.iter().filter(has_misses).collect();
    if rows.is_empty() {
        return String::new();
    }
    let note = "Reads that found a value, and what the process had resident. A budget means the whole process to \
                Flagstone, and the cache alone to the others.";
    let table = table(results, &rows, note, |row, at| {
        let (hits, ..) = row.figure(at, |sample| sample.hit_ratio)?;
        let (bytes, ..) = row.figure(at, |sample| Some(sample.resident_bytes? as f64))?;
        Some(format!(
            "{:.1} %, {:.0} MiB",
            100.0 * hits,
            bytes / f64::from(1 << 20)
        ))
    });
    format!("## Hit ratio where items are evicted all the time\n\n{table}")
}

/// A subject's CPU time, with its spread.
pub(super) fn cpu_time(row: &Row, at: usize) -> Option<String> {
    let (median, least, most) = row.figure(at, |sample| Some(sample.cpu_us))?;
    let (median, least, most) = (short(median), short(least), short(most));
    Some(format!("{median} ({least}–{most})"))
}

/// CPU time under another generator than ours. Empty if it was not there.
pub(super) fn memtier(results: &Results) -> String {
    if results.memtier.is_empty() {
        return String::new();
    }
    let rows: Vec<&Row> = results.memtier.iter().collect();
    let note = "CPU time of the server for one request in microseconds, as above, while memtier_benchmark asks. It speaks \
                neither the native protocol nor the meta commands.";
    let table = table(results, &rows, note, cpu_time);
    format!("## Cross-check by another generator\n\n{table}")
}

/// [`table`] of all rows that are not of a fixed rate.
pub(super) fn figures(
    results: &Results,
    note: &str,
    cell: impl Fn(&Row, usize) -> Option<String>,
) -> String {
    let is_closed = |row: &&Row| row.shape.timed.is_none();
    let rows: Vec<&Row> = results.rows.iter().filter(is_closed).collect();
    table(results, &rows, note, cell)
}

/// A table of a figure: shapes down, subjects across. Rows that Flagstone loses to another
/// cache are marked.
fn table(
    results: &Results,
    rows: &[&Row],
    note: &str,
    cell: impl Fn(&Row, usize) -> Option<String>,
) -> String {
    let mut out = format!("{note}\n\n| shape |");
    for subject in &results.subjects {
        let _ = write!(out, " {} |", subject.name);
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(results.subjects.len()));
    out.push('\n');
    for row in rows {
        let is_lost = !row.losses(&results.subjects).is_empty();
        let mark = if is_lost { " (lost)" } else { "" };
        let _ = write!(out, "| {}{mark} |", row.shape.name);
        for at in 0..results.subjects.len() {
            let text = cell(row, at).unwrap_or_else(|| "–".to_owned());
            if Some(at) == ours(&results.subjects) {
                let _ = write!(out, " **{text}** |");
            } else {
                let _ = write!(out, " {text} |");
            }
        }
        out.push('\n');
    }
    out.push('\n');
    out
}
