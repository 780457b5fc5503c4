//! The report as one page: tables and plots, nothing fetched from anywhere.

use std::fmt::Write;

use super::plots::{latency_plot, over_time_plot, throughput_plot};
use super::{Latency, Report, grouped, time_text};
use crate::chart::escaped;

/// A table or a plot that is wider than the screen is moved sideways by itself, and keeps a size that can be read.
const STYLE: &str = ":root{--ink:#222;--paper:#fff;--line:#ddd;--soft:#444;--bad:#b03a48;--odd:#8a6a00;color-scheme:light}\
 @media(prefers-color-scheme:dark){:root{--ink:#e6e4df;--paper:#16191c;--line:#3a4046;--soft:#aab0b6;--bad:#ef8078;--odd:#e3ad4f;\
 color-scheme:dark}}\
 body{font-family:sans-serif;max-width:860px;margin:1.5em auto;padding:0 1em;color:var(--ink);background:var(--paper)}\
 h1{font-size:1.5em;margin:.2em 0}.wide{overflow-x:auto}.wide svg{min-width:560px}\
 table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .6em;white-space:nowrap;text-align:right;border-bottom:1px solid var(--line)}\
 th:first-child,td:first-child{text-align:left}\
 .kinds td:nth-child(2){text-align:left}.beside td:first-child,.beside th:first-child{position:sticky;left:0;background:var(--paper)}\
 @media(max-width:500px){.beside,.kinds{font-size:.85em}}\
 .beside th{white-space:normal;max-width:9em}.beside i{display:inline-block;min-width:4em;color:var(--soft);font-style:normal}.small{color:var(--soft);font-size:.9em}.fault{color:var(--bad);font-weight:bold}.note{color:var(--odd)}\
 svg{max-width:100%;height:auto}svg>rect:first-of-type{fill:var(--paper)}svg text{fill:var(--soft)}svg line{stroke:var(--line)}";

pub(super) fn page(report: &Report) -> String {
    let mut out = head(
        &report.title(),
        &format!(
            "{} requests a second",
            grouped(report.requests_per_second as u64)
        ),
        &report.settings.sentence(),
    );
    for fault in report.faults() {
        let _ = writeln!(out, "<p class=\"fault\">{}</p>", escaped(&fault));
    }
    for warning in report.warnings() {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escaped(&warning));
    }
    let over = &report.over_time;
    for part in [
        latency_table(report),
        facts_table(report),
        latency_plot(&kinds(report).collect::<Vec<_>>()),
        over_time_plot(&[("p50", over, &over.p50), ("p99", over, &over.p99)]),
        throughput_plot(&[("requests", &report.throughput)]),
    ] {
        let _ = writeln!(out, "<div class=\"wide\">{part}</div>");
    }
    foot(&mut out, report);
    out
}

/// Up to the sentence that says what was asked for.
pub(super) fn head(title: &str, heading: &str, sentence: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>flagstone-bench: {0}</title><style>{STYLE}</style></head><body>\n\
         <p><b>{0}</b></p>\n<h1>{1}</h1>\n<p>{2}</p>\n",
        escaped(title),
        escaped(heading),
        escaped(sentence),
    )
}

pub(super) fn foot(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "<p>flagstone-bench {}, seed {}</p>\n</body></html>",
        escaped(&report.settings.version),
        report.settings.seed
    );
}

/// Every kind of request that there was.
pub(super) fn kinds(report: &Report) -> impl Iterator<Item = (&'static str, &Latency)> {
    [
        ("reads", report.reads.as_ref()),
        ("writes", report.writes.as_ref()),
        ("deletes", report.deletes.as_ref()),
    ]
    .into_iter()
    .filter_map(|(name, latency)| Some((name, latency?)))
}

fn latency_table(report: &Report) -> String {
    let mut out = String::from(
        "<table><tr><th></th><th>requests</th><th>mean</th><th>p50</th><th>p90</th><th>p99</th>\
         <th>p99.9</th><th>p99.99</th><th>max</th></tr>\n",
    );
    for (name, l) in kinds(report).chain([("all", &report.all)]) {
        let _ = write!(out, "<tr><td>{name}</td><td>{}</td>", grouped(l.count));
        for us in [l.mean, l.p50, l.p90, l.p99, l.p999, l.p9999, l.max] {
            let _ = write!(out, "<td>{}</td>", time_text(us));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
    out
}

fn facts_table(report: &Report) -> String {
    let mut out = String::from("<table>\n");
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "<tr><td>{name}</td><td>{value}</td></tr>");
    };
    fact("time", format!("{:.2} s", report.seconds));
    if let Some(ratio) = report.hit_ratio() {
        fact("hit ratio", format!("{:.2} %", 100.0 * ratio));
    }
    fact("hits", grouped(report.hits));
    fact("misses", grouped(report.misses));
    fact("refused", grouped(report.refused + report.preload_refused));
    fact("wrong values", grouped(report.wrong));
    fact("unanswered", grouped(report.unanswered));
    fact("bytes sent", grouped(report.sent_bytes));
    fact("bytes received", grouped(report.received_bytes));
    if let Some(busy) = report.generator_busy {
        fact(
            "the generator worked",
            format!("{:.0} % of its time", 100.0 * busy.min(1.0)),
        );
    }
    if let Some(us) = report.server_cpu_us_per_request {
        fact("server's CPU time a request", format!("{us:.3} µs"));
    }
    if let Some(bytes) = report.server_resident_bytes {
        let mib = bytes as f64 / (1 << 20) as f64;
        fact("server's resident memory", format!("{mib:.1} MiB"));
    }
    out.push_str("</table>\n");
    out
}
