//! The report as one page: tables and three plots, nothing fetched from anywhere.

use std::fmt::Write;

use super::{Latency, Report, grouped, time_text};
use crate::chart::{Axis, Curve, escaped, linear_ticks, lines};

/// A table or a plot that is wider than the screen is moved sideways by itself, and keeps a size that can be read.
const STYLE: &str = ":root{--ink:#222;--paper:#fff;--line:#ddd;--soft:#444;--bad:#b03a48;--odd:#8a6a00;color-scheme:light}\
 @media(prefers-color-scheme:dark){:root{--ink:#e6e4df;--paper:#16191c;--line:#3a4046;--soft:#aab0b6;--bad:#ef8078;--odd:#e3ad4f;\
 color-scheme:dark}}\
 body{font-family:sans-serif;max-width:860px;margin:1.5em auto;padding:0 1em;color:var(--ink);background:var(--paper)}\
 h1{font-size:1.5em;margin:.2em 0}.wide{overflow-x:auto}.wide svg{min-width:560px}\
 table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .6em;white-space:nowrap;text-align:right;border-bottom:1px solid var(--line)}\
 th:first-child,td:first-child{text-align:left}.fault{color:var(--bad);font-weight:bold}.note{color:var(--odd)}\
 svg{max-width:100%;height:auto}svg>rect:first-of-type{fill:var(--paper)}svg text{fill:var(--soft)}svg line{stroke:var(--line)}";

pub(super) fn page(report: &Report) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>flagstone-bench: {}</title><style>{STYLE}</style></head><body>\n\
         <p><b>{}</b></p>\n<h1>{} requests a second</h1>\n<p>{}</p>\n",
        escaped(&report.title()),
        escaped(&report.title()),
        grouped(report.requests_per_second as u64),
        escaped(&report.settings.sentence()),
    );
    for fault in report.faults() {
        let _ = writeln!(out, "<p class=\"fault\">{}</p>", escaped(&fault));
    }
    for warning in report.warnings() {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escaped(&warning));
    }
    for part in [
        latency_table(report),
        facts_table(report),
        latency_plot(report),
        over_time_plot(report),
        throughput_plot(report),
    ] {
        let _ = writeln!(out, "<div class=\"wide\">{part}</div>");
    }
    let _ = writeln!(
        out,
        "<p>flagstone-bench {}, seed {}</p>\n</body></html>",
        escaped(&report.settings.version),
        report.settings.seed
    );
    out
}

/// Every kind of request that there was.
fn kinds(report: &Report) -> impl Iterator<Item = (&'static str, &Latency)> {
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

/// Latency over percentiles. Across, each step to the right leaves a tenth of the requests
/// that the step before left: the tail is what a plot of latency is for.
fn latency_plot(report: &Report) -> String {
    let decades = (report.all.count.max(10) as f64).log10().ceil();
    let at_x = |percent: f64| -(1.0 - percent / 100.0).max(1e-12).log10() / decades;
    let low = report.all.min.max(0.1).log10().floor();
    let high = report.all.max.max(1.0).log10().ceil().max(low + 1.0);
    let at_y = |us: f64| (us.max(0.1).log10() - low) / (high - low);
    let x_ticks = (0..=decades as i32).map(|decade| {
        let percent = 100.0 * (1.0 - 10f64.powi(-decade));
        let digits = (decade - 2).max(0) as usize;
        (at_x(percent), format!("{percent:.digits$}"))
    });
    // The median lies between the first two, and is what is looked for first.
    let x_ticks = x_ticks.chain([(at_x(50.0), "50".to_owned())]);
    let y_ticks = (low as i32..=high as i32).map(|power| {
        let us = 10f64.powi(power);
        (at_y(us), time_text(us))
    });
    let curves: Vec<Curve> = kinds(report)
        .map(|(name, latency)| Curve {
            name: name.to_owned(),
            points: latency
                .curve
                .iter()
                .map(|&(percent, us)| (at_x(percent), at_y(us)))
                .collect(),
        })
        .collect();
    let x = Axis {
        label: "percentile".to_owned(),
        ticks: x_ticks.collect(),
    };
    let y = Axis {
        label: "latency".to_owned(),
        ticks: y_ticks.collect(),
    };
    lines("Latency by percentile", &x, &y, &curves)
}

/// Latency over the run. An interval without a reply is a gap: the server stalled.
fn over_time_plot(report: &Report) -> String {
    let over = &report.over_time;
    let known = || over.p50.iter().chain(&over.p99).flatten().copied();
    let low = known().fold(f64::MAX, f64::min).clamp(0.1, 1e8);
    let low = low.log10().floor();
    let high = known().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let seconds = over.p50.len() as f64 * over.interval_seconds;
    let (end, x_ticks) = linear_ticks(seconds, |second| {
        format!("{} s", (second * 100.0).round() / 100.0)
    });
    let curve = |name: &str, latencies: &[Option<f64>]| Curve {
        name: name.to_owned(),
        points: latencies
            .iter()
            .enumerate()
            .map(|(at, us)| {
                let y = us.map_or(f64::NAN, |us| (us.max(0.1).log10() - low) / (high - low));
                ((at as f64 + 0.5) * over.interval_seconds / end, y)
            })
            .collect(),
    };
    let y_ticks = (low as i32..=high as i32).map(|power| {
        let at = (f64::from(power) - low) / (high - low);
        (at, time_text(10f64.powi(power)))
    });
    let x = Axis {
        label: "time".to_owned(),
        ticks: x_ticks,
    };
    let y = Axis {
        label: "latency".to_owned(),
        ticks: y_ticks.collect(),
    };
    let curves = [curve("p50", &over.p50), curve("p99", &over.p99)];
    lines("Latency over time", &x, &y, &curves)
}

/// Requests a second over the run.
fn throughput_plot(report: &Report) -> String {
    let slot = report.throughput.slot_seconds;
    let mut rates: Vec<f64> = report
        .throughput
        .replies
        .iter()
        .map(|&replies| replies as f64 / slot)
        .collect();
    // The last slot is not full, and would look like a collapse.
    if rates.len() > 1 {
        rates.pop();
    }
    let most = rates.iter().copied().fold(0.0, f64::max);
    let (top, y_ticks) = linear_ticks(most, |rate| grouped(rate as u64));
    let seconds = rates.len() as f64 * slot;
    let (end, x_ticks) = linear_ticks(seconds, |second| {
        format!("{} s", (second * 100.0).round() / 100.0)
    });
    let curve = Curve {
        name: "requests".to_owned(),
        points: rates
            .iter()
            .enumerate()
            .map(|(at, rate)| ((at as f64 + 0.5) * slot / end, rate / top))
            .collect(),
    };
    let x = Axis {
        label: "time".to_owned(),
        ticks: x_ticks,
    };
    let y = Axis {
        label: "requests a second".to_owned(),
        ticks: y_ticks,
    };
    lines("Throughput over time", &x, &y, &[curve])
}
