//! `/metrics`: Prometheus' text format, version 0.0.4.
//!
//! A family a metric: one line of help, one of type, then its samples together, as the format
//! demands. Names follow Prometheus' conventions: base units, `_total` for what only grows.
//! What a label can be is known beforehand, so the page cannot grow: size classes and
//! protocols are few.

mod curve;
mod format;
mod items;
mod memory;
mod server;
mod snapshots;
mod stores;
mod workers;

use std::fmt::{self, Write};

use self::curve::curve;
use self::format::{COUNTER, GAUGE, HISTOGRAM, head, many, one};
use self::items::{classes, items};
use self::memory::{memory, pages, plan};
use self::server::{process, server};
use self::snapshots::snapshots;
use self::stores::{lifetimes, value_bytes};
use self::workers::{leases, workers};
use crate::observe::counters::Totals;
use crate::observe::latency::{Distribution, bucket_end_micros};
use crate::observe::snapshot::{Snapshot, TlsFigures};

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
const SECTIONS: [Section; 18] = [
    server,
    process,
    workers,
    leases,
    requests,
    traffic,
    slow,
    counters,
    connections,
    value_bytes,
    lifetimes,
    items,
    curve,
    memory,
    plan,
    pages,
    classes,
    snapshots,
];

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
    )
}

/// What else was asked for, and how much was moved.
fn traffic(of: &Snapshot, out: &mut String) -> fmt::Result {
    let totals = &of.totals;
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

fn slow(of: &Snapshot, out: &mut String) -> fmt::Result {
    many(
        out,
        (
            "flagstone_slow_requests_total",
            COUNTER,
            "Turns, requests, transfers and waits that took as long as --slow-log or longer, by cause.",
        ),
        "cause",
        of.slow,
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
             too much for slow peers, read a long value so slowly that it left the cache, subscribed and not reading the messages, closed by another client, idle for too long, not logged in in time, closed after too \
             many failed logins from their address or not let in after those, of a protocol that strayed here, without the header of the proxy that they came by, failed by a \
             bug.",
        ),
        "reason",
        [
            ("turned_away", of.turned_away),
            ("stalled", totals.stalls),
            ("shed", totals.stalls_shed),
            ("kernel_memory", totals.stalls_kernel),
            ("value_left", totals.values_left),
            ("messages_unread", totals.subscribers_lapped),
            ("killed", totals.clients_killed),
            ("idle", totals.idle_kicks),
            ("login_timeout", totals.login_timeouts),
            ("login_failures", totals.login_cuts),
            ("login_slowed", of.logins_slowed),
            ("stray", totals.hangups),
            ("proxy_header", totals.proxy_faults),
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
