//! The race's results as a page of Markdown and one plot.

use std::fmt::Write;

use flagstone_bench::chart::{Group, bars};
use flagstone_bench::report::grouped;

use super::board::{Row, Sample, ours};
use super::measure::Held;
use super::shape::Against;
use super::subject::Subject;

/// Everything that the page tells.
pub struct Results {
    /// Who ran.
    pub subjects: Vec<Subject>,
    /// What was measured of whom.
    pub rows: Vec<Row>,
    /// By subject; the floors and all but the first protocol of a program are left out.
    pub memory: Vec<(usize, Memory)>,
    /// The budget in which items were counted, MiB.
    pub memory_mib: usize,
    /// What went wrong, in words.
    pub failures: Vec<String>,
    /// Facts for the head of the page: name and words.
    pub facts: Vec<(&'static str, String)>,
    /// Flagstone's user-space instructions for one request, as they are stored: row and count.
    pub instructions: Vec<(String, u64)>,
    /// How each server was started, and the generator.
    pub commands: Vec<String>,
}

/// One program's memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Resident after its start.
    pub start_bytes: Option<u64>,
    /// Bytes for each idle connection, at each count of [`IDLE_COUNTS`].
    pub idle_bytes: Option<Vec<f64>>,
    /// Items held, for each of [`HELD_VALUE_BYTES`].
    pub held: Vec<Option<Held>>,
}

/// Idle connections that are opened.
pub const IDLE_COUNTS: [usize; 2] = [1_000, 10_000];
/// Value sizes that a budget is filled with.
pub const HELD_VALUE_BYTES: [usize; 2] = [32, 300];

/// The page.
#[must_use]
pub fn markdown(results: &Results, plot: &str) -> String {
    let mut out = String::from(
        "# The race\n\nMeasured by `scripts/race`. One server process on one core, the load generator on another; \
         all subjects one after another in every round, medians of the rounds. CPU time is what the kernel's scheduler \
         gave to the server's threads, for each request, so it does not depend on how fast the generator is. \
         Ratios are formed within a round. Echo servers hold no cache: they are the floor of what a server costs. \
         How to read it: [README](../README.md#compare-before-you-choose).\n\n",
    );
    for (name, words) in &results.facts {
        let _ = writeln!(out, "- {name}: {words}");
    }
    out.push('\n');
    out.push_str(&targets(results));
    out.push_str(&losses(results));
    let _ = writeln!(
        out,
        "## CPU time of the server for one request\n\n![CPU time]({plot})\n"
    );
    out.push_str(&figures(
        results,
        "Microseconds, median (least–most of the rounds).",
        |row, at| {
            let (median, least, most) = row.figure(at, |sample| sample.cpu_us)?;
            Some(format!(
                "{} ({}–{})",
                short(median),
                short(least),
                short(most)
            ))
        },
    ));
    out.push_str("## Requests a second\n\n");
    out.push_str(&figures(
        results,
        "The generator's core is as busy as the server's: the faster of two servers may be waiting for it.",
        |row, at| {
            let (median, ..) = row.figure(at, |sample| sample.per_second)?;
            Some(grouped(median.round() as u64))
        },
    ));
    out.push_str("## Latency at full load\n\n");
    out.push_str(&figures(
        results,
        "Median / 99th percentile, microseconds, with every connection always asking. Mostly the time in the queue.",
        |row, at| {
            let figure = |of: fn(&Sample) -> f64| Some(row.figure(at, of)?.0);
            Some(format!(
                "{:.0} / {:.0}",
                figure(|sample| sample.p50_us)?,
                figure(|sample| sample.p99_us)?
            ))
        },
    ));
    out.push_str(&memory(results));
    out.push_str(&instructions(results));
    out.push_str("## How it was run\n\n```sh\n");
    for command in &results.commands {
        let _ = writeln!(out, "{command}");
    }
    out.push_str("```\n");
    if !results.failures.is_empty() {
        out.push_str("\n## Remarks\n\n");
        for failure in &results.failures {
            let _ = writeln!(out, "- {failure}");
        }
    }
    out
}

/// The plot: one group of bars for each shape.
#[must_use]
pub fn plot(results: &Results) -> String {
    let names: Vec<String> = results.subjects.iter().map(|s| s.name.clone()).collect();
    let groups: Vec<Group> = results
        .rows
        .iter()
        .map(|row| Group {
            name: row.shape.name.to_owned(),
            values: (0..names.len())
                .map(|at| Some(row.figure(at, |sample| sample.cpu_us)?.0))
                .collect(),
        })
        .collect();
    bars(
        "CPU time of the server for one request, µs (less is better)",
        &names,
        &groups,
    )
}

/// Three significant digits: 0.123, 1.23, 12.3.
fn short(figure: f64) -> String {
    match figure {
        ..1.0 => format!("{figure:.3}"),
        ..10.0 => format!("{figure:.2}"),
        _ => format!("{figure:.1}"),
    }
}

fn targets(results: &Results) -> String {
    let mut out = String::from(
        "## Targets\n\nFlagstone's native protocol, CPU time as a ratio.\n\n\
         | shape | against | ratio | target | |\n|---|---|---|---|---|\n",
    );
    for row in &results.rows {
        let Some(target) = row.shape.target else {
            continue;
        };
        let against = match target.against {
            Against::Floor => "echo on bare tokio",
            Against::BetterRedis => "the better of redis and valkey",
        };
        let (ratio, verdict) = match row.outcome(&results.subjects) {
            Some(outcome) if outcome.is_met => (format!("{:.2}", outcome.ratio), "met"),
            Some(outcome) => (format!("{:.2}", outcome.ratio), "**missed**"),
            None => ("–".to_owned(), "not measured"),
        };
        let _ = writeln!(
            out,
            "| {} | {against} | {ratio} | {:.2} | {verdict} |",
            row.shape.name, target.ratio
        );
    }
    out.push('\n');
    out
}

fn losses(results: &Results) -> String {
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

/// A table of a figure: shapes down, subjects across. Rows that Flagstone loses to another
/// cache are marked.
fn figures(results: &Results, note: &str, cell: impl Fn(&Row, usize) -> Option<String>) -> String {
    let mut out = format!("{note}\n\n| shape |");
    for subject in &results.subjects {
        let _ = write!(out, " {} |", subject.name);
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(results.subjects.len()));
    out.push('\n');
    for row in &results.rows {
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

fn memory(results: &Results) -> String {
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

/// What is aimed at: row and most.
const INSTRUCTIONS_MAX: [(&str, u64); 2] = [("get_p1", 1_700), ("get_p32", 700)];

fn instructions(results: &Results) -> String {
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

/// Reads `name = count` lines; everything else in the file is for others.
#[must_use]
pub fn parse_instructions(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| *name != "tolerance_percent")
        .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::shape::shapes;
    use crate::race::subject::{Kind, subjects};
    use flagstone_bench::wire::Protocol;
    use std::path::Path;

    /// Flagstone against a floor and a redis: within the target in the first shape, beaten by
    /// redis in the second, absent in the third.
    fn results() -> Results {
        let none = Path::new("/none");
        let subjects: Vec<Subject> = [
            (Kind::Echo("tokio"), Protocol::Native),
            (Kind::Flagstone, Protocol::Native),
            (Kind::Redis, Protocol::Resp),
        ]
        .into_iter()
        .flat_map(|(kind, protocol)| subjects(kind, none, &[protocol]))
        .collect();
        let sample = |cpu_us| {
            Some(Sample {
                cpu_us,
                per_second: 1e6 / cpu_us,
                p50_us: 100.0,
                p99_us: 200.0,
            })
        };
        let rounds = [
            vec![sample(5.0), sample(5.2), sample(7.0)],
            vec![sample(0.2), sample(1.2), sample(1.0)],
            vec![sample(0.2), None, sample(1.0)],
        ];
        let rows = shapes(false)
            .into_iter()
            .zip(rounds)
            .map(|(shape, round)| Row {
                shape,
                rounds: vec![round],
            });
        let memory = Memory {
            start_bytes: Some(3 << 20),
            idle_bytes: Some(vec![545.0, 1545.0]),
            held: vec![
                Some(Held {
                    items: 1000,
                    refused: 0,
                    resident_bytes: 100_000,
                }),
                None,
            ],
        };
        Results {
            rows: rows.collect(),
            subjects,
            memory: vec![(1, memory)],
            memory_mib: 64,
            instructions: parse_instructions(
                "# x\ncompiler = \"rustc 1\"\ntolerance_percent = 3\nget_p1 = 1701\nget_p32 = 700\n",
            ),
            failures: vec!["flagstone native, GET, pipeline 32: no words".to_owned()],
            facts: vec![("date", "2026-11-22".to_owned())],
            commands: vec!["flagstone --listen 127.0.0.1:PORT".to_owned()],
        }
    }

    #[test]
    fn the_page_says_what_was_met_missed_and_lost() {
        let page = markdown(&results(), "results.svg");
        for line in [
            "| GET, pipeline 1 | echo on bare tokio | 1.04 | 1.08 | met |",
            "| GET, pipeline 16 | the better of redis and valkey | 1.20 | 0.45 | **missed** |",
            "| GET, pipeline 32 | the better of redis and valkey | – | 0.40 | not measured |",
            "- GET, pipeline 16: 1.20 × the CPU time of redis",
            "| GET, pipeline 16 (lost) | 0.200 (0.200–0.200) | **1.20 (1.20–1.20)** | 1.00 (1.00–1.00) |",
            "| flagstone native | 3.0 MiB | 545 | 1,545 | 1,000 | 0.1 MiB | 100.0 | – | – | – |",
            "| get_p1 | 1,701 | 1,700 | **missed** |",
            "| get_p32 | 700 | 700 | met |",
            "- date: 2026-11-22",
            "- flagstone native, GET, pipeline 32: no words",
        ] {
            assert!(page.contains(line), "no {line:?} in:\n{page}");
        }
        assert!(!page.contains("- GET, pipeline 1:"), "that was won");
    }

    #[test]
    fn tables_are_as_wide_as_their_heads() {
        let page = markdown(&results(), "results.svg");
        let mut width = None;
        for line in page.lines() {
            let count = line.matches('|').count();
            if count == 0 {
                width = None;
                continue;
            }
            assert_eq!(*width.get_or_insert(count), count, "{line}");
        }
    }

    #[test]
    fn the_plot_has_a_bar_for_each_figure() {
        let svg = plot(&results());
        assert_eq!(svg.matches("<rect").count(), 1 + 3 + 8);
    }
}
