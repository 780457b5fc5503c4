//! Where the memory is: the plan, the container, the pages.

use std::fmt;

use super::format::{COUNTER, GAUGE, many, one};
use crate::observe::snapshot::Snapshot;

pub fn memory(of: &Snapshot, out: &mut String) -> fmt::Result {
    let memory = &of.memory;
    one(
        out,
        "flagstone_memory_bytes",
        GAUGE,
        "Memory that the server plans with at the moment.",
        memory.memory_bytes,
    )?;
    one(
        out,
        "flagstone_memory_max_bytes",
        GAUGE,
        "What that may grow to.",
        of.memory_bytes_max,
    )?;
    one(
        out,
        "flagstone_connection_memory_bytes",
        GAUGE,
        "Of it, what connections take.",
        memory.connection_bytes,
    )?;
    one(
        out,
        "flagstone_socket_memory_max_bytes",
        GAUGE,
        "Of it, what the kernel's socket buffers may take.",
        of.socket_bytes_max,
    )?;
    if let Some(headroom_bytes) = of.headroom_bytes() {
        one(
            out,
            "flagstone_cgroup_limit_bytes",
            GAUGE,
            "The container's memory limit.",
            memory.limit_bytes,
        )?;
        one(
            out,
            "flagstone_cgroup_headroom_bytes",
            GAUGE,
            "What is left under that limit.",
            headroom_bytes,
        )?;
    }
    if memory.usage_bytes > 0 {
        one(
            out,
            "flagstone_cgroup_usage_bytes",
            GAUGE,
            "Memory charged to the container.",
            memory.usage_bytes,
        )?;
        one(
            out,
            "flagstone_cgroup_socket_bytes",
            GAUGE,
            "Of it, socket buffers, where the kernel tells.",
            memory.socket_bytes,
        )?;
        one(
            out,
            "flagstone_cgroup_at_limit_total",
            COUNTER,
            "Times the limit stopped a charge.",
            memory.at_limit_count,
        )?;
        one(
            out,
            "flagstone_cgroup_oom_kills_total",
            COUNTER,
            "Processes of the container killed for memory.",
            memory.kill_count,
        )?;
        one(
            out,
            "flagstone_cgroup_memory_pressure_ratio",
            GAUGE,
            "Part of the last ten seconds in which some thread waited for memory.",
            // Hundredths of a percent.
            format_args!(
                "{}.{:04}",
                memory.pressure_hundredths / 10_000,
                memory.pressure_hundredths % 10_000
            ),
        )?;
    }
    Ok(())
}

pub fn plan(of: &Snapshot, out: &mut String) -> fmt::Result {
    many(
        out,
        (
            "flagstone_memory_plan_bytes",
            GAUGE,
            "The memory plan made at the start: its lines sum to the memory.",
        ),
        "line",
        of.plan.iter().map(|(name, bytes)| (name.as_str(), *bytes)),
    )
}

pub fn pages(of: &Snapshot, out: &mut String) -> fmt::Result {
    let engine = &of.engine;
    one(
        out,
        "flagstone_page_bytes",
        GAUGE,
        "Bytes of a page.",
        engine.page_bytes,
    )?;
    many(
        out,
        ("flagstone_pages", GAUGE, "Pages by what they are used for."),
        "state",
        [
            ("items", engine.pages_items),
            ("index", engine.pages_index),
            ("free", engine.pages_free),
            ("retired", engine.pages_retired),
        ],
    )?;
    one(
        out,
        "flagstone_index_buckets",
        GAUGE,
        "Buckets of the index.",
        engine.index_buckets,
    )?;
    one(
        out,
        "flagstone_pinned_items",
        GAUGE,
        "Items that are being sent in pieces.",
        engine.pinned,
    )
}
