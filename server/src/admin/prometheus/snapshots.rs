//! Items in a file: written and restored.

use std::fmt;

use super::format::{COUNTER, GAUGE, Thousandths, many, one};
use crate::observe::snapshot::Snapshot;

pub(super) fn snapshots(of: &Snapshot, out: &mut String) -> fmt::Result {
    let file = &of.file;
    many(
        out,
        (
            "flagstone_snapshots_total",
            COUNTER,
            "Snapshots of all items that were to be written to --snapshot.",
        ),
        "result",
        [("written", file.written), ("failed", file.failed)],
    )?;
    let numbers = [
        (
            "flagstone_snapshot_writing",
            "Whether one is being written.",
            u64::from(file.is_writing),
        ),
        (
            "flagstone_snapshot_timestamp_seconds",
            "When the last one was done, since 1970; 0: none was.",
            file.last_unix,
        ),
        (
            "flagstone_snapshot_items",
            "Items in the last one.",
            file.last_items,
        ),
        (
            "flagstone_snapshot_skipped_items",
            "Items that are not in the last one, because too many long values were being read.",
            file.last_skipped,
        ),
        (
            "flagstone_snapshot_bytes",
            "The last one's length.",
            file.last_bytes,
        ),
        (
            "flagstone_restored_timestamp_seconds",
            "When the snapshot was begun that the start restored, since 1970; 0: it restored none.",
            file.restored_begun_unix,
        ),
        (
            "flagstone_restored_damaged_blocks",
            "Blocks of it that were damaged.",
            file.restored_damaged,
        ),
    ];
    for (name, help, number) in numbers {
        one(out, name, GAUGE, help, number)?;
    }
    for (name, help, millis) in [
        (
            "flagstone_snapshot_duration_seconds",
            "How long writing the last one took.",
            file.last_millis,
        ),
        (
            "flagstone_restored_duration_seconds",
            "How long the start took to restore a snapshot.",
            file.restored_millis,
        ),
    ] {
        one(out, name, GAUGE, help, Thousandths(millis))?;
    }
    many(
        out,
        (
            "flagstone_restored_items",
            GAUGE,
            "Items of the snapshot that the start restored: stored, expired meanwhile, or refused by this server's settings.",
        ),
        "result",
        [
            ("stored", file.restored_items),
            ("expired", file.restored_expired),
            ("refused", file.restored_refused),
        ],
    )
}
