//! Verdicts, and tables of figures: shapes down, subjects across.

use std::fmt::Write;

use super::Results;
use crate::race::board::{Row, ours};
use crate::race::shape::Against;

pub(super) fn targets(results: &Results) -> String {
    let mut out = String::from(
        "## Targets\n\nCPU time of the server for one request, as a ratio.\n\n\
         | shape | Flagstone's protocol | against | ratio | at most | |\n|---|---|---|---|---|---|\n",
    );
    for row in &results.rows {
        for target in row.shape.targets {
            let against = against(target.against);
            for &protocol in target.ours {
                let (ratio, verdict) = match row.outcome(&results.subjects, target, protocol) {
                    Some(outcome) if outcome.is_met => (format!("{:.2}", outcome.ratio), "met"),
                    Some(outcome) => (format!("{:.2}", outcome.ratio), "**missed**"),
                    None => ("–".to_owned(), "not measured"),
                };
                let _ = writeln!(
                    out,
                    "| {} | {} | {against} | {ratio} | {:.2} | {verdict} |",
                    row.shape.name,
                    protocol.name(),
                    target.ratio
                );
            }
        }
    }
    out.push('\n');
    out
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
            let _ = writeln!(
                out,
                "- {}: {ratio:.2} × the CPU time of {name}",
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

/// [`table`] of all rows.
pub(super) fn figures(
    results: &Results,
    note: &str,
    cell: impl Fn(&Row, usize) -> Option<String>,
) -> String {
    let rows: Vec<&Row> = results.rows.iter().collect();
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
