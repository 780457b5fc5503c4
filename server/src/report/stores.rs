//! How long values were that were stored, and how long they were to be kept, under names that all protocols share.

use std::fmt::Write;

use super::slow::Line;
use crate::observe::stores::{LIFETIME_ENDS, Stored, size_end, sum_of};
use crate::proto::{Reply, Stat};
use crate::server::shared::Shared;

type Tell<'t> = &'t mut dyn FnMut(Reply<'_>) -> Option<()>;

/// In short: of all protocols. `None` as soon as `tell` has no room.
pub fn tell(shared: &Shared<'_>, tell: Tell<'_>) -> Option<()> {
    let sum = sum_of(&shared.threads.stored());
    let n = Stat::number;
    tell(Reply::Stats(&[
        n("stored_values", sum.count()),
        n("stored_value_bytes", sum.bytes),
        n("stored_value_bytes_p50", sum.size_at(500)),
        n("stored_value_bytes_p99", sum.size_at(990)),
        n("stored_forever", sum.forever()),
    ]))
}

/// A line for each bucket in which any value is, of each protocol: those of its size, then those of its lifetime.
pub fn lines(shared: &Shared<'_>, tell: Tell<'_>) -> Option<()> {
    for stored in shared.threads.stored() {
        for (bucket, count) in stored.sizes.into_iter().enumerate() {
            line(&stored, "bytes", size_end(bucket), count, tell)?;
        }
        for (bucket, count) in stored.lifetimes.into_iter().enumerate() {
            let end = LIFETIME_ENDS.get(bucket).copied();
            line(&stored, "seconds", end, count, tell)?;
        }
        if stored.forever() > 0 {
            named(&stored, format_args!("forever"), stored.forever(), tell)?;
        }
    }
    Some(())
}

fn line(stored: &Stored, unit: &str, end: Option<u64>, count: u64, tell: Tell<'_>) -> Option<()> {
    match end {
        _ if count == 0 => Some(()),
        Some(end) => named(stored, format_args!("{unit}_{end}"), count, tell),
        None => named(stored, format_args!("{unit}_more"), count, tell),
    }
}

fn named(stored: &Stored, what: std::fmt::Arguments<'_>, count: u64, tell: Tell<'_>) -> Option<()> {
    let mut name = Line::new();
    // It has room for the longest.
    let _ = write!(name, "stored_{}_{what}", stored.protocol);
    tell(Reply::Stats(&[Stat::number(name.as_str(), count)]))
}
