//! Several servers beside one another: one table with a column a server, a page, a list in JSON.
//!
//! Ratios are to the first server; they are formed of the sums of all rounds. There is no verdict:
//! a figure that is better in one row is often paid for in another.

use std::fmt::Write;

use super::html::{foot, head, kinds};
use super::plots::{latency_plot, over_time_plot, throughput_plot};
use super::{Latency, Report, grouped, time_text};
use crate::chart::escaped;

/// The reports of servers that were measured in turns.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order in which they were named. There is at least one.
    pub reports: Vec<Report>,
}

/// One figure of each server.
struct Row {
    name: &'static str,
    /// In words; empty where there is none.
    cells: Vec<String>,
    /// The same to the first server's, where that says something.
    ratios: Vec<Option<f64>>,
}

impl Comparison {
    /// # Panics
    /// Without a report.
    #[must_use]
    pub fn new(reports: Vec<Report>) -> Self {
        assert!(!reports.is_empty(), "a comparison is of servers");
        Comparison { reports }
    }

    /// What was measured, against what, and when.
    #[must_use]
    pub fn title(&self) -> String {
        let subjects: Vec<_> = self.reports.iter().map(Report::subject).collect();
        let (last, others) = subjects.split_last().expect("there is one");
        match others {
            [] => self.reports[0].title(),
            others => format!(
                "{} and {last}, side by side, {}",
                others.join(", "),
                self.reports[0].began
            ),
        }
    }

    /// How they were measured, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let setup = &self.reports[0].settings;
        let rounds = match setup.rounds {
            1 => "one round".to_owned(),
            count => format!("{count} rounds"),
        };
        let of = match (setup.requests, setup.seconds) {
            (Some(requests), _) => format!("{} requests", grouped(requests)),
            (None, seconds) => format!("{} s", seconds.unwrap_or_default()),
        };
        let tls = if setup.tls { "over TLS, " } else { "" };
        format!(
            "one server at a time, in turn: {rounds}, {of} of each server; {tls}{}",
            setup.load()
        )
    }

    /// The reports as JSON: a list.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(&self.reports).expect("plain numbers and words");
        text.push('\n');
        text
    }

    fn row(
        &self,
        name: &'static str,
        with_ratio: bool,
        figure: impl Fn(&Report) -> Option<(f64, String)>,
    ) -> Row {
        let figures: Vec<_> = self.reports.iter().map(figure).collect();
        let first = figures[0].as_ref().map(|(number, _)| *number);
        let ratio = |number: f64| {
            let first = first.filter(|first| with_ratio && *first > 0.0)?;
            Some(number / first)
        };
        let ratios = figures.iter().skip(1);
        let ratios = ratios.map(|found| ratio(found.as_ref()?.0));
        Row {
            name,
            ratios: std::iter::once(None).chain(ratios).collect(),
            cells: figures
                .into_iter()
                .map(|found| found.map(|(_, text)| text).unwrap_or_default())
                .collect(),
        }
    }

    /// The table, without rows that say nothing of any server.
    fn rows(&self) -> Vec<Row> {
        let latency = |name, figure: fn(&Latency) -> f64| {
            self.row(name, true, |report| {
                let us = figure(&report.all);
                (report.all.count > 0).then(|| (us, time_text(us)))
            })
        };
        let count = |name, figure: fn(&Report) -> u64| {
            self.row(name, false, |report| {
                let count = figure(report);
                (count > 0).then(|| (count as f64, grouped(count)))
            })
        };
        let words = |name, words: fn(&Report) -> Option<String>| {
            self.row(name, false, |report| Some((0.0, words(report)?)))
        };
        let mut rows = vec![
            words("protocol", |report| Some(report.settings.protocol.clone())),
            self.row("requests a second", true, |report| {
                let rate = report.requests_per_second;
                (report.requests > 0).then(|| (rate, grouped(rate as u64)))
            }),
            words("slowest round", |report| round_text(report, f64::min)),
            words("fastest round", |report| round_text(report, f64::max)),
            latency("latency, mean", |l| l.mean),
            latency("p50", |l| l.p50),
            latency("p90", |l| l.p90),
            latency("p99", |l| l.p99),
            latency("p99.9", |l| l.p999),
            latency("max", |l| l.max),
            words("hit ratio", |report| {
                let ratio = report.hit_ratio()?;
                Some(format!("{:.2} %", 100.0 * ratio))
            }),
            self.row("server's CPU a request", true, |report| {
                let us = report.server_cpu_us_per_request?;
                Some((us, format!("{us:.3} µs")))
            }),
            self.row("server's memory", true, |report| {
                let mib = report.server_resident_bytes? as f64 / (1 << 20) as f64;
                Some((mib, format!("{mib:.1} MiB")))
            }),
            count("refused", |report| report.refused + report.preload_refused),
            count("wrong values", |report| report.wrong),
            count("unanswered", |report| report.unanswered),
            words("generator busy", |report| {
                let busy = report.generator_busy?.min(1.0);
                Some(format!("{:.0} %", 100.0 * busy))
            }),
            words("ended early", |report| {
                report.ended_early.as_ref()?;
                Some(format!("after {:.1} s", report.seconds))
            }),
        ];
        rows.retain(|row| row.cells.iter().any(|cell| !cell.is_empty()));
        rows
    }

    /// What is wrong, or to be kept in mind, with the server's name in front: word, sentence.
    fn remarks(&self) -> Vec<(&'static str, String)> {
        let named = |report: &Report, sentence: String| format!("{}: {sentence}", report.name);
        let mut remarks = Vec::new();
        for report in &self.reports {
            let warnings = report.warnings().into_iter();
            remarks.extend(warnings.map(|sentence| ("NOTE", named(report, sentence))));
        }
        for report in &self.reports {
            let faults = report.faults().into_iter();
            remarks.extend(faults.map(|sentence| ("FAULT", named(report, sentence))));
        }
        remarks
    }

    /// The comparison as a table for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        const RATIO: usize = 7;
        let rows = self.rows();
        let wide = |text: &str| text.chars().count();
        let widths: Vec<usize> = (0..self.reports.len())
            .map(|at| {
                let cells = rows.iter().map(|row| wide(&row.cells[at]));
                cells.fold(wide(&self.reports[at].name), usize::max) + 2
            })
            .collect();
        let first = rows.iter().map(|row| wide(row.name)).max().unwrap_or(0);
        let mut out = format!("{}\n{}\n\n{:first$}", self.title(), self.sentence(), "");
        for (at, report) in self.reports.iter().enumerate() {
            let width = widths[at];
            let _ = write!(out, "{:>width$}", report.name);
            if at > 0 {
                let _ = write!(out, "{:RATIO$}", "");
            }
        }
        for row in &rows {
            let mut line = format!("{:first$}", row.name);
            for (at, (cell, ratio)) in row.cells.iter().zip(&row.ratios).enumerate() {
                let (width, cell) = (widths[at], if cell.is_empty() { "-" } else { cell });
                let _ = write!(line, "{cell:>width$}");
                let ratio = ratio.map(ratio_text).unwrap_or_default();
                if at > 0 {
                    let _ = write!(line, "{ratio:>RATIO$}");
                }
            }
            let _ = write!(out, "\n{}", line.trim_end());
        }
        let (name, setup) = (&self.reports[0].name, &self.reports[0].settings);
        let _ = write!(
            out,
            "\n\n× is to {name}. Left on each server: the keys of run {0}, up to {1} (--run {0} asks for them again)\n",
            setup.run,
            grouped(u64::from(setup.keys)),
        );
        for (word, sentence) in self.remarks() {
            let _ = writeln!(out, "{word}: {sentence}");
        }
        // Names at the head of a column may leave blanks behind the last.
        let lines = out.lines().map(|line| line.trim_end().to_owned() + "\n");
        lines.collect()
    }

    /// The comparison as a page that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        let (first, others) = self.reports.split_first().expect("there is one");
        let mut heading = format!(
            "{}: {} requests a second",
            first.name,
            grouped(first.requests_per_second as u64)
        );
        for report in others {
            let ratio = report.requests_per_second / first.requests_per_second;
            let ratio = if ratio.is_finite() {
                ratio_text(ratio)
            } else {
                "-".to_owned()
            };
            let _ = write!(heading, "; {} {ratio}", report.name);
        }
        let mut out = head(&self.title(), &heading, &self.sentence());
        for (word, sentence) in self.remarks() {
            let class = if word == "FAULT" { "fault" } else { "note" };
            let _ = writeln!(out, "<p class=\"{class}\">{}</p>", escaped(&sentence));
        }
        let reports = || {
            self.reports
                .iter()
                .map(|report| (report.name.as_str(), report))
        };
        let with_replies = || reports().filter(|(_, report)| report.all.count > 0);
        let latencies: Vec<_> = with_replies().map(|(name, r)| (name, &r.all)).collect();
        let over: Vec<_> = with_replies()
            .map(|(name, r)| (name, &r.over_time, r.over_time.p99.as_slice()))
            .collect();
        let throughputs: Vec<_> = with_replies()
            .map(|(name, r)| (name, &r.throughput))
            .collect();
        for part in [
            self.figures(),
            self.kinds(),
            latency_plot(&latencies),
            over_time_plot(&over),
            throughput_plot(&throughputs),
        ] {
            let _ = writeln!(out, "<div class=\"wide\">{part}</div>");
        }
        foot(&mut out, first);
        out
    }

    fn figures(&self) -> String {
        let mut out = String::from("<table class=\"beside\"><tr><th></th>");
        for report in &self.reports {
            let early = report.ended_early.as_ref().map(|_| " class=\"fault\"");
            let _ = write!(
                out,
                "<th{}>{}</th>",
                early.unwrap_or_default(),
                escaped(&report.name)
            );
        }
        out.push_str("</tr>\n");
        for row in self.rows() {
            let _ = write!(out, "<tr><td>{}</td>", row.name);
            for (at, (cell, ratio)) in row.cells.iter().zip(&row.ratios).enumerate() {
                let cell = if cell.is_empty() { "-" } else { cell };
                let ratio = ratio.map(ratio_text).unwrap_or_default();
                // Figures without a ratio stand below those with one.
                let ratio = if at > 0 {
                    format!("<i>{ratio}</i>")
                } else {
                    ratio
                };
                let _ = write!(out, "<td>{}{ratio}</td>", escaped(cell));
            }
            out.push_str("</tr>\n");
        }
        let _ = write!(
            out,
            "</table>\n<p class=\"small\">× is to {}. Latencies are of all requests.</p>\n",
            escaped(&self.reports[0].name)
        );
        out
    }

    /// Latencies of each kind of request, the servers below one another.
    fn kinds(&self) -> String {
        let mut out = String::from(
            "<table class=\"kinds\"><tr><th></th><th></th><th>requests</th><th>p50</th><th>p90</th>\
             <th>p99</th><th>p99.9</th><th>p99.99</th><th>max</th></tr>\n",
        );
        for kind in ["reads", "writes", "deletes"] {
            for report in &self.reports {
                let Some((_, l)) = kinds(report).find(|(name, _)| *name == kind) else {
                    continue;
                };
                let _ = write!(
                    out,
                    "<tr><td>{kind}</td><td>{}</td><td>{}</td>",
                    escaped(&report.name),
                    grouped(l.count)
                );
                for us in [l.p50, l.p90, l.p99, l.p999, l.p9999, l.max] {
                    let _ = write!(out, "<td>{}</td>", time_text(us));
                }
                out.push_str("</tr>\n");
            }
        }
        out.push_str("</table>\n");
        out
    }
}

fn ratio_text(ratio: f64) -> String {
    match ratio {
        ..10.0 => format!("{ratio:.2}×"),
        ..100.0 => format!("{ratio:.1}×"),
        _ => format!("{ratio:.0}×"),
    }
}

/// The least or the most requests a second of a round, where there were several.
fn round_text(report: &Report, choose: fn(f64, f64) -> f64) -> Option<String> {
    let (first, others) = report.rounds.split_first()?;
    (!others.is_empty()).then(|| {
        let chosen = others.iter().copied().fold(*first, choose);
        grouped(chosen as u64)
    })
}
