//! The server as a whole, and its process.

use std::fmt;

use super::format::{COUNTER, GAUGE, Thousandths, many, one};
use crate::observe::snapshot::Snapshot;
use crate::server::stage::Stage;

pub(super) fn server(of: &Snapshot, out: &mut String) -> fmt::Result {
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
    one(
        out,
        "flagstone_uptime_seconds",
        GAUGE,
        "Time since the server started.",
        Thousandths(of.uptime_millis),
    )?;
    one(
        out,
        "flagstone_arena_restored_items",
        GAUGE,
        "Items of the arena's file that were there when the server started.",
        of.restoring.items(),
    )?;
    one(
        out,
        "flagstone_arena_restored_forgotten",
        GAUGE,
        "Slots of the index in the arena's file that were being written to when it was left, or did not check.",
        of.restoring.forgotten(),
    )?;
    one(
        out,
        "flagstone_arena_restore_seconds",
        GAUGE,
        "How long it took to open the cache when the server started.",
        Thousandths(of.restoring.took_millis()),
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
    )
}

/// As every exporter tells it of its process.
pub(super) fn process(of: &Snapshot, out: &mut String) -> fmt::Result {
    let process = &of.process;
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
