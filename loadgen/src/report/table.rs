//! The report for a terminal: aligned columns, nothing that a pipe could not carry.

use std::fmt::Write;

use super::{Latency, Report, grouped, time_text};

pub(super) fn table(report: &Report) -> String {
    let mut out = format!("{}\n{}\n\n", report.title(), report.settings.sentence());
    let head = [
        "", "requests", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max",
    ];
    line(&mut out, &head.map(str::to_owned));
    row(&mut out, "reads", report.reads.as_ref());
    row(&mut out, "writes", report.writes.as_ref());
    row(&mut out, "deletes", report.deletes.as_ref());
    row(&mut out, "all", Some(&report.all));
    out.push('\n');

    let per_second = |bytes: u64| bytes as f64 / report.seconds / 1e6;
    let mut fact = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    fact(format!(
        "left on the server: the keys of run {}, up to {} (--run {} asks for them again)",
        report.settings.run,
        grouped(u64::from(report.settings.keys)),
        report.settings.run
    ));
    fact(format!(
        "{} requests a second, over {:.2} s; sent {:.1} MB/s, received {:.1} MB/s",
        grouped(report.requests_per_second as u64),
        report.seconds,
        per_second(report.sent_bytes),
        per_second(report.received_bytes)
    ));
    if let Some(ratio) = report.hit_ratio() {
        let what = if report.settings.multi_get > 1 {
            "keys read"
        } else {
            "reads"
        };
        fact(format!(
            "{:.2} % of {what} hit, {} missed",
            100.0 * ratio,
            grouped(report.misses)
        ));
    }
    if let Some(us) = report.server_cpu_us_per_request {
        let memory = report
            .server_resident_bytes
            .map(|bytes| format!(", {:.1} MiB resident", bytes as f64 / (1 << 20) as f64))
            .unwrap_or_default();
        fact(format!("server: {us:.3} µs of CPU time a request{memory}"));
    }
    for warning in report.warnings() {
        fact(format!("NOTE: {warning}"));
    }
    for fault in report.faults() {
        fact(format!("FAULT: {fault}"));
    }
    out
}

fn row(out: &mut String, name: &str, latency: Option<&Latency>) {
    let Some(l) = latency else { return };
    let mut cells = vec![name.to_owned(), grouped(l.count)];
    cells.extend([l.mean, l.p50, l.p90, l.p99, l.p999, l.p9999, l.max].map(time_text));
    line(out, &cells);
}

fn line(out: &mut String, cells: &[String]) {
    for (at, cell) in cells.iter().enumerate() {
        let _ = match at {
            0 => write!(out, "{cell:<8}"),
            1 => write!(out, "{cell:>13}"),
            _ => write!(out, "{cell:>11}"),
        };
    }
    out.push('\n');
}
