//! What the hit ratio would be with less memory, or more.

use std::fmt::{self, Write};

use super::format::{COUNTER, GAUGE, head, one};
use crate::observe::snapshot::Snapshot;

/// Nothing without a model.
pub fn curve(of: &Snapshot, out: &mut String) -> fmt::Result {
    let Some(figures) = &of.curve else {
        return Ok(());
    };
    let points = &figures.points;
    head(
        out,
        "flagstone_curve_hit_ratio",
        GAUGE,
        "Part of the latest gets that so many times the cache's memory would find; at 1, what was found.",
    )?;
    for point in &points.points {
        writeln!(
            out,
            "flagstone_curve_hit_ratio{{memory=\"{}\"}} {:.5}",
            point.multiple, point.hit_ratio
        )?;
    }
    one(
        out,
        "flagstone_curve_error_ratio",
        GAUGE,
        "What the curve's model says of today's memory, less what was found.",
        format_args!("{:.5}", figures.error()),
    )?;
    one(
        out,
        "flagstone_curve_references_total",
        COUNTER,
        "References to keys of the curve's sample.",
        points.noted,
    )?;
    one(
        out,
        "flagstone_curve_references_lost_total",
        COUNTER,
        "References to keys of the sample that came too fast to be noted.",
        figures.lost,
    )?;
    one(
        out,
        "flagstone_memory_advised_bytes",
        GAUGE,
        "What the memory could be lowered to for less than a point of hit ratio; 0: too little is known.",
        figures.advised_bytes.unwrap_or(0),
    )
}
