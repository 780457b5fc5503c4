//! The race's results as a page of Markdown and one plot.

use std::fmt::Write;

mod memory;
mod tables;
#[cfg(test)]
mod tests;

use flagstone_bench::chart::{Group, bars};
use flagstone_bench::report::grouped;

use super::board::{Row, Sample};
use super::measure::Held;
use super::subject::Subject;
use crate::race::workers::Workers;
use memory::{instructions, memory, workers};
use tables::{cpu_time, figures, hits, losses, memtier, targets, timed};

/// Everything that the page tells.
pub struct Results {
    /// Who ran.
    pub subjects: Vec<Subject>,
    /// What was measured of whom.
    pub rows: Vec<Row>,
    /// Flagstone with one worker and with two.
    pub workers: Vec<Workers>,
    /// What was measured under memtier.
    pub memtier: Vec<Row>,
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

impl Results {
    /// Keeps how something was started, once.
    pub fn command(&mut self, command: String) {
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }

    /// Tells what went wrong, and keeps it for the page, once.
    pub fn remark(&mut self, words: String) {
        eprintln!("{words}");
        if !self.failures.contains(&words) {
            self.failures.push(words);
        }
    }
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
        cpu_time,
    ));
    out.push_str("## Requests a second\n\n");
    out.push_str(&figures(
        results,
        "The generator's core is as busy as the server's: the faster of two servers may be waiting for it.",
        |row, at| {
            let (median, ..) = row.figure(at, |sample| Some(sample.per_second))?;
            Some(grouped(median.round() as u64))
        },
    ));
    out.push_str("## Latency at full load\n\n");
    out.push_str(&figures(
        results,
        "Median / 99th percentile, microseconds, with every connection always asking. Mostly the time in the queue.",
        |row, at| {
            let figure = |of: fn(&Sample) -> f64| Some(row.figure(at, |s| Some(of(s)))?.0);
            Some(format!(
                "{:.0} / {:.0}",
                figure(|sample| sample.p50_us)?,
                figure(|sample| sample.p99_us)?
            ))
        },
    ));
    out.push_str(&timed(results));
    out.push_str(&hits(results));
    out.push_str(&memtier(results));
    out.push_str(&workers(results));
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
        .filter(|row| row.shape.timed.is_none())
        .map(|row| Group {
            name: row.shape.name.clone(),
            values: (0..names.len())
                .map(|at| Some(row.figure(at, |sample| Some(sample.cpu_us))?.0))
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

/// Reads `name = count` lines; everything else in the file is for others.
#[must_use]
pub fn parse_instructions(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| *name != "tolerance_percent")
        .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
        .collect()
}
