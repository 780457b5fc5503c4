//! `/metrics`: Prometheus' text format, version 0.0.4.
//!
//! A family a metric: one line of help, one of type, then its samples together, as the format
//! demands. Names follow Prometheus' conventions: base units, `_total` for what only grows.
//! What a label can be is known beforehand, so the page cannot grow: size classes and
//! protocols are few.

mod items;
mod memory;
mod workers;

use std::fmt::{self, Write};

use self::items::{classes, items};
use self::memory::{memory, pages, plan};
use self::workers::{leases, workers};
use super::http::quoted;
use crate::observe::counters::Totals;
use crate::observe::latency::{Distribution, bucket_end_micros};
use crate::observe::snapshot::{Snapshot, TlsFigures};
use crate::server::stage::Stage;

/// Writes one section; false if there is none of that number.
pub fn write(snapshot: &Snapshot, section: usize, out: &mut String) -> Result<bool, fmt::Error> {
    if let Some(section) = SECTIONS.get(section) {
        section(snapshot, out)?;
        return Ok(true);
    }
    let latency_no = section - SECTIONS.len();
    match snapshot.latencies.get(latency_no) {
        None => Ok(false),
        Some(latency) => {
            if latency_no == 0 {
                head(
                    out,
                    "flagstone_request_duration_seconds",
                    HISTOGRAM,
                    "Time from when a worker saw a request until its reply was sent.",
                )?;
            }
            histogram(latency, out)?;
            Ok(true)
        }
    }
}

type Section = fn(&Snapshot, &mut String) -> fmt::Result;

/// In the order of the page. Each is a few kilobytes at most.
const SECTIONS: [Section; 11] = [
    server,
    workers,
    leases,
    requests,
    counters,
    connections,
    items,
    memory,
    plan,
    pages,
    classes,
];

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A family of one sample.
fn one(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    head(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

/// A family with one label.
fn many<'n>(
    out: &mut String,
    (name, kind, help): (&str, &str, &str),
    label: &str,
    samples: impl IntoIterator<Item = (&'n str, u64)>,
) -> fmt::Result {
    head(out, name, kind, help)?;
    for (of, value) in samples {
        write!(out, "{name}{{{label}=")?;
        quoted(out, of)?;
        writeln!(out, "}} {value}")?;
    }
    Ok(())
}

/// Thousandths as a decimal fraction.
struct Thousandths(u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn server(of: &Snapshot, out: &mut String) -> fmt::Result {
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    let info = (
        "flagstone_build_info",
        GAUGE,
        "The server's version, as a label.",
    );
    many(out, info, "version", version)?;
    let stages = [
        ("starting", Stage::Starting),
        ("ready", Stage::Ready),
        ("draining", Stage::Leaving),
    ];
    many(
        out,
        (
            "flagstone_stage",
            GAUGE,
            "Where the server is in its life: 1 for where it is.",
        ),
        "stage",
        stages.map(|(name, stage)| (name, u64::from(stage == of.stage))),
    )?;
    let process = &of.process;
    one(
        out,
        "flagstone_uptime_seconds",
        GAUGE,
        "Time since the server started.",
        Thousandths(of.uptime_millis),
    )?;
    one(
        out,
        "flagstone_workers",
        GAUGE,
        "Threads that serve connections.",
        of.workers,
    )?;
    one(
        out,
        "flagstone_longest_silence_seconds",
        GAUGE,
        "Time since the last sign of life of the thread that has shown none for longest.",
        Thousandths(u64::try_from(of.silent_for.as_millis()).unwrap_or(u64::MAX)),
    )?;
    many(
        out,
        (
            "flagstone_allocations_total",
            COUNTER,
            "Blocks asked of the global allocator; while serving requests there are none.",
        ),
        "during",
        of.allocations,
    )?;
    many(
        out,
        (
            "flagstone_log_lines_dropped_total",
            COUNTER,
            "Messages that were not written: there were too many, or stderr was not read.",
        ),
        "reason",
        of.log_lines_dropped,
    )?;
    one(
        out,
        "process_cpu_seconds_total",
        COUNTER,
        "CPU time of the process.",
        Thousandths(process.cpu_millis),
    )?;
    one(
        out,
        "process_resident_memory_bytes",
        GAUGE,
        "Resident memory of the process.",
        process.resident_bytes,
    )?;
    one(
        out,
        "process_start_time_seconds",
        GAUGE,
        "When the process started, since 1970.",
        of.started_unix,
    )?;
    if process.open_files > 0 {
        one(
            out,
            "process_open_fds",
            GAUGE,
            "Open files.",
            process.open_files,
        )?;
    }
    one(
        out,
        "process_max_fds",
        GAUGE,
        "Open files that are allowed.",
        process.open_files_max,
    )
}

fn requests(of: &Snapshot, out: &mut String) -> fmt::Result {
    let totals = &of.totals;
    many(
        out,
        ("flagstone_gets_total", COUNTER, "Values asked for."),
        "result",
        [("hit", totals.hits), ("miss", totals.misses)],
    )?;
    one(
        out,
        "flagstone_sets_total",
        COUNTER,
        "Values stored.",
        totals.puts,
    )?;
    for (name, help, hits, misses) in [
        (
            "flagstone_deletes_total",
            "Deletions asked for.",
            totals.delete_hits,
            totals.delete_misses,
        ),
        (
            "flagstone_touches_total",
            "Lifetimes changed, with or without sending the value.",
            totals.touch_hits,
            totals.touch_misses,
        ),
        (
            "flagstone_increments_total",
            "Numbers counted up.",
            totals.incr_hits,
            totals.incr_misses,
        ),
        (
            "flagstone_decrements_total",
            "Numbers counted down.",
            totals.decr_hits,
            totals.decr_misses,
        ),
    ] {
        let samples = [("hit", hits), ("miss", misses)];
        many(out, (name, COUNTER, help), "result", samples)?;
    }
    many(
        out,
        (
            "flagstone_cas_total",
            COUNTER,
            "Values to be stored over the very item that was read.",
        ),
        "result",
        [
            ("hit", totals.cas_hits),
            ("miss", totals.cas_misses),
            ("changed", totals.cas_badval),
        ],
    )?;
    one(
        out,
        "flagstone_logins_total",
        COUNTER,
        "Attempts to log in.",
        totals.logins,
    )?;
    one(
        out,
        "flagstone_login_failures_total",
        COUNTER,
        "Of those, the ones that failed.",
        totals.login_errors,
    )?;
    one(
        out,
        "flagstone_flushes_total",
        COUNTER,
        "Wishes to remove everything.",
        totals.flushes,
    )?;
    one(
        out,
        "flagstone_too_large_total",
        COUNTER,
        "Values refused because of their length.",
        totals.too_large,
    )?;
    one(
        out,
        "flagstone_other_commands_total",
        COUNTER,
        "Commands of other kinds.",
        totals.others,
    )?;
    one(
        out,
        "flagstone_refused_total",
        COUNTER,
        "Requests answered with an error.",
        totals.refusals,
    )?;
    one(
        out,
        "flagstone_received_bytes_total",
        COUNTER,
        "Bytes that clients sent.",
        totals.read_bytes,
    )?;
    one(
        out,
        "flagstone_sent_bytes_total",
        COUNTER,
        "Bytes that clients were sent.",
        totals.written_bytes,
    )?;
    one(
        out,
        "flagstone_buffer_waits_total",
        COUNTER,
        "Times a connection had to wait for a buffer or a large transfer's turn.",
        totals.waits,
    )
}

/// Those that tell themselves.
fn counters(of: &Snapshot, out: &mut String) -> fmt::Result {
    for told in Totals::TOLD {
        one(out, told.metric, COUNTER, told.help, (told.of)(&of.totals))?;
    }
    Ok(())
}

fn connections(of: &Snapshot, out: &mut String) -> fmt::Result {
    let totals = &of.totals;
    one(
        out,
        "flagstone_connections",
        GAUGE,
        "Connections being served.",
        of.connections,
    )?;
    one(
        out,
        "flagstone_connections_max",
        GAUGE,
        "Connections that may be served at a time.",
        of.connections_max,
    )?;
    one(
        out,
        "flagstone_connections_allowed",
        GAUGE,
        "Connections that the memory of the moment allows.",
        of.connections_allowed,
    )?;
    one(
        out,
        "flagstone_connections_total",
        COUNTER,
        "Connections served so far.",
        totals.connections,
    )?;
    if let Some(tls) = &of.tls {
        tls_figures(tls, out)?;
    }
    many(
        out,
        (
            "flagstone_connections_cut_total",
            COUNTER,
            "Connections that the server ended: turned away at the limit, stalled while holding \
             a buffer, shed because others waited for what they held, stuck while the kernel held \
             too much for slow peers, idle for too long, not logged in in time, closed after too \
             many failed logins from their address or not let in after those, of a protocol that strayed here, failed by a \
             bug.",
        ),
        "reason",
        [
            ("turned_away", of.turned_away),
            ("stalled", totals.stalls),
            ("shed", totals.stalls_shed),
            ("kernel_memory", totals.stalls_kernel),
            ("idle", totals.idle_kicks),
            ("login_timeout", totals.login_timeouts),
            ("login_failures", totals.login_cuts),
            ("login_slowed", of.logins_slowed),
            ("stray", totals.hangups),
            ("panic", totals.panics),
        ],
    )
}

fn tls_figures(of: &TlsFigures, out: &mut String) -> fmt::Result {
    one(
        out,
        "flagstone_tls_connections",
        GAUGE,
        "Of the connections, those with TLS.",
        of.connections,
    )?;
    many(
        out,
        (
            "flagstone_tls_handshakes_total",
            COUNTER,
            "Handshakes by how they ended: done, failed (a certificate that is not trusted, another \
             protocol), abandoned by the client, late, or with all seats taken.",
        ),
        "result",
        of.handshakes,
    )?;
    if let Some(expires) = of.expires_unix {
        one(
            out,
            "flagstone_tls_certificate_expiry_timestamp_seconds",
            GAUGE,
            "Until when the certificate, and each of its chain, is valid, since 1970.",
            expires,
        )?;
    }
    Ok(())
}

/// The powers of two of a microsecond; the finer buckets are for the page.
fn histogram(latency: &Distribution, out: &mut String) -> fmt::Result {
    let name = "flagstone_request_duration_seconds";
    let labels = format!(
        "protocol=\"{}\",command=\"{}\"",
        latency.protocol, latency.command
    );
    let mut below = 0;
    for (bucket, count) in latency.counts.iter().enumerate() {
        below += count;
        if let Some(micros) = bucket_end_micros(bucket).filter(|end| end.is_power_of_two()) {
            let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
            writeln!(
                out,
                "{name}_bucket{{{labels},le=\"{seconds}.{fraction:06}\"}} {below}"
            )?;
        }
    }
    writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}")?;
    let (seconds, nanos) = (
        latency.sum_nanos / 1_000_000_000,
        latency.sum_nanos % 1_000_000_000,
    );
    writeln!(out, "{name}_sum{{{labels}}} {seconds}.{nanos:09}")?;
    writeln!(out, "{name}_count{{{labels}}} {below}")
}
