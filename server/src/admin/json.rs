//! `/stats`: what the page polls. Numbers as they stand; rates and percentiles are the
//! page's to work out from two answers, so that the server remembers nothing for it.
//!
//! The names are the page's own business and may change with it: programs read `/metrics`.

use std::fmt::{self, Write};

use super::quote::quoted;
use super::sizes;
use crate::observe::counters::Totals;
use crate::observe::curve::CurveFigures;
use crate::observe::latency::{BUCKETS, bucket_end_micros};
use crate::observe::snapshot::Snapshot;
use crate::server::stage::Stage;

/// Writes one section; false if there is none of that number.
pub fn write(of: &Snapshot, section: usize, out: &mut String) -> Result<bool, fmt::Error> {
    match section {
        0 => numbers(of, out)?,
        1 => classes(of, out)?,
        2 => {
            out.push_str(",\"curve\":");
            curve(of.curve.as_ref(), out)?;
        }
        3 => {
            out.push_str(",\"stored\":");
            sizes::write(&of.stored, out)?;
        }
        4 => latencies(of, out)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn numbers(of: &Snapshot, out: &mut String) -> fmt::Result {
    let (totals, engine, memory) = (&of.totals, &of.engine, &of.memory);
    let stage = match of.stage {
        Stage::Starting => "starting",
        Stage::Ready => "ready",
        Stage::Leaving => "draining",
    };
    write!(
        out,
        "{{\"version\":\"{}\",\"stage\":\"{stage}\"",
        env!("CARGO_PKG_VERSION")
    )?;
    let numbers = [
        ("uptime_ms", of.uptime_millis),
        ("arena_restored", of.restoring.items()),
        ("arena_restored_ms", of.restoring.took_millis()),
        ("arena_restored_unix", of.restoring.unix),
        ("cpu_ms", of.process.cpu_millis),
        ("resident", of.process.resident_bytes),
        ("workers", of.workers),
        ("hits", totals.hits),
        ("misses", totals.misses),
        ("sets", totals.puts),
        ("deletes", totals.delete_hits + totals.delete_misses),
        ("requests", totals.requests()),
        ("refused", totals.refusals),
        ("read_bytes", totals.read_bytes),
        ("written_bytes", totals.written_bytes),
        ("waits", totals.waits),
        ("connections", of.connections),
        ("connections_max", of.connections_max),
        ("connections_allowed", of.connections_allowed),
        ("connections_total", totals.connections),
        ("turned_away", of.turned_away),
        ("stalled", totals.all_stalls()),
        ("items", engine.items),
        ("item_bytes", engine.item_bytes),
        ("evictions", engine.evictions),
        ("expired", engine.expired.total()),
        ("page_bytes", engine.page_bytes),
        ("pages_items", engine.pages_items),
        ("pages_index", engine.pages_index),
        ("pages_free", engine.pages_free),
        ("pages_retired", engine.pages_retired),
        ("memory", memory.memory_bytes),
        ("memory_max", of.memory_bytes_max),
        ("connection_bytes", memory.connection_bytes),
        ("limit", memory.limit_bytes),
        ("usage", memory.usage_bytes),
        ("pressure", memory.pressure_hundredths),
        ("oom_kills", memory.kill_count),
        ("snapshot_writing", u64::from(of.file.is_writing)),
        ("snapshots_written", of.file.written),
        ("snapshots_failed", of.file.failed),
        ("snapshot_unix", of.file.last_unix),
        ("snapshot_ms", of.file.last_millis),
        ("snapshot_items", of.file.last_items),
        ("snapshot_bytes", of.file.last_bytes),
        ("restored_unix", of.file.restored_begun_unix),
        ("restored_ms", of.file.restored_millis),
        ("restored_items", of.file.restored_items),
        ("restored_damaged", of.file.restored_damaged),
    ];
    for (name, number) in numbers {
        write!(out, ",\"{name}\":{number}")?;
    }
    for told in Totals::TOLD {
        write!(out, ",\"{}\":{}", told.page, (told.of)(totals))?;
    }
    for (name, number) in of.allocations {
        write!(out, ",\"allocations_{name}\":{number}")?;
    }
    match of.departures.last_millis {
        Some(millis) => write!(out, ",\"eviction_age_ms\":{millis}")?,
        None => write!(out, ",\"eviction_age_ms\":null")?,
    }
    out.push_str(",\"plan\":[");
    for (no, (name, bytes)) in of.plan.iter().enumerate() {
        out.push_str(if no == 0 { "[" } else { ",[" });
        quoted(out, name)?;
        write!(out, ",{bytes}]")?;
    }
    out.push(']');
    Ok(())
}

/// `[chunk bytes, pages, chunks, used, probation, main, evictions, tail age]`, each.
fn classes(of: &Snapshot, out: &mut String) -> fmt::Result {
    out.push_str(",\"classes\":[");
    for (no, class) in of.classes.iter().enumerate() {
        let stats = &class.stats;
        let comma = if no == 0 { "" } else { "," };
        write!(
            out,
            "{comma}[{},{},{},{},{},{},{},{}]",
            stats.chunk_bytes,
            stats.pages,
            stats.chunks,
            stats.chunks_used,
            stats.items_probation,
            stats.items_main,
            stats.evictions,
            class.tail_age_millis
        )?;
    }
    out.push(']');
    Ok(())
}

/// `/curve`: what the hit ratio would be with less memory, and more; `null` without a model.
pub fn curve(figures: Option<&CurveFigures>, out: &mut String) -> fmt::Result {
    let Some(figures) = figures else {
        out.push_str("null");
        return Ok(());
    };
    out.push_str("{\"points\":[");
    for (no, point) in figures.points.points.iter().enumerate() {
        let comma = if no == 0 { "" } else { "," };
        write!(
            out,
            "{comma}{{\"memory\":{},\"bytes\":{},\"hit_ratio\":{:.5},\"full\":{}}}",
            point.multiple, point.bytes, point.hit_ratio, point.is_full
        )?;
    }
    write!(
        out,
        "],\"error\":{:.5},\"requests\":{:.0},\"noted\":{},\"lost\":{},\"memory_bytes\":{}",
        figures.error(),
        figures.points.requests,
        figures.points.noted,
        figures.lost,
        figures.memory_bytes
    )?;
    match figures.advised_bytes {
        Some(bytes) => write!(out, ",\"advised_bytes\":{bytes}")?,
        None => out.push_str(",\"advised_bytes\":null"),
    }
    write!(out, ",\"advice\":\"{}\"}}", figures.advice())
}

/// The buckets' ends once, then the counts of each, up to the last that is not 0.
fn latencies(of: &Snapshot, out: &mut String) -> fmt::Result {
    out.push_str(",\"latency_ends_us\":[");
    for bucket in 0..BUCKETS - 1 {
        let comma = if bucket == 0 { "" } else { "," };
        write!(out, "{comma}{}", bucket_end_micros(bucket).unwrap_or(0))?;
    }
    out.push_str("],\"latencies\":[");
    for (no, latency) in of.latencies.iter().enumerate() {
        let comma = if no == 0 { "" } else { "," };
        let (protocol, command) = (latency.protocol, latency.command);
        write!(out, "{comma}[\"{protocol}\",\"{command}\",[")?;
        let used = latency.counts.iter().rposition(|&count| count > 0);
        for (bucket, count) in latency
            .counts
            .iter()
            .take(used.map_or(0, |at| at + 1))
            .enumerate()
        {
            let comma = if bucket == 0 { "" } else { "," };
            write!(out, "{comma}{count}")?;
        }
        out.push_str("]]");
    }
    out.push_str("]}\n");
    Ok(())
}
