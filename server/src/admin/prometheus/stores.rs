//! How long values were that were stored, and how long they were to be kept.

use std::fmt::{self, Write};

use super::format::{HISTOGRAM, head};
use crate::observe::snapshot::Snapshot;
use crate::observe::stores::{LIFETIME_ENDS, SIZES, Stored, size_end};

/// Only protocols in which any was stored.
fn used(of: &Snapshot) -> impl Iterator<Item = &Stored> {
    of.stored.iter().filter(|stored| stored.count() > 0)
}

pub fn value_bytes(of: &Snapshot, out: &mut String) -> fmt::Result {
    let name = "flagstone_stored_value_bytes";
    head(
        out,
        name,
        HISTOGRAM,
        "How long whole values were that clients stored.",
    )?;
    for stored in used(of) {
        let ends = (0..SIZES).filter_map(size_end);
        histogram(name, stored, ends.zip(stored.sizes), stored.bytes, out)?;
    }
    Ok(())
}

pub fn lifetimes(of: &Snapshot, out: &mut String) -> fmt::Result {
    let name = "flagstone_stored_lifetime_seconds";
    head(
        out,
        name,
        HISTOGRAM,
        "For how long they were to be kept, in whole seconds. Those to be kept for ever, or for more than a year, are in the last \
         bucket alone; the sum is of those with a lifetime.",
    )?;
    for stored in used(of) {
        let ends = LIFETIME_ENDS.into_iter();
        histogram(
            name,
            stored,
            ends.zip(stored.lifetimes),
            stored.seconds,
            out,
        )?;
    }
    Ok(())
}

fn histogram(
    name: &str,
    stored: &Stored,
    buckets: impl Iterator<Item = (u64, u64)>,
    sum: u64,
    out: &mut String,
) -> fmt::Result {
    let (protocol, all) = (stored.protocol, stored.count());
    let mut below = 0;
    for (end, count) in buckets {
        below += count;
        writeln!(
            out,
            "{name}_bucket{{protocol=\"{protocol}\",le=\"{end}\"}} {below}"
        )?;
    }
    writeln!(
        out,
        "{name}_bucket{{protocol=\"{protocol}\",le=\"+Inf\"}} {all}"
    )?;
    writeln!(out, "{name}_sum{{protocol=\"{protocol}\"}} {sum}")?;
    writeln!(out, "{name}_count{{protocol=\"{protocol}\"}} {all}")
}
