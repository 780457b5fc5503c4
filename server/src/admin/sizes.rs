//! `/sizes`: how long values were that were stored, and how long they were to be kept, in JSON; by protocol, of those
//! in which any was.

use std::fmt::{self, Write};

use crate::observe::stores::{LIFETIME_ENDS, SIZES, Stored, size_end};

/// The ends of the buckets once, then the counts of each protocol, up to the last that is not 0.
pub fn write(all: &[Stored], out: &mut String) -> fmt::Result {
    let ends: Vec<u64> = (0..SIZES).filter_map(size_end).collect();
    out.push_str("{\"size_ends\":");
    numbers(&ends, out)?;
    out.push_str(",\"lifetime_ends_s\":");
    numbers(&LIFETIME_ENDS, out)?;
    out.push_str(",\"protocols\":[");
    let mut comma = "";
    for stored in all.iter().filter(|stored| stored.count() > 0) {
        write!(
            out,
            "{comma}{{\"protocol\":\"{}\",\"values\":{},\"value_bytes\":{},\"sizes\":",
            stored.protocol,
            stored.count(),
            stored.bytes
        )?;
        let used = stored.sizes.iter().rposition(|&count| count > 0);
        numbers(&stored.sizes[..used.map_or(0, |at| at + 1)], out)?;
        write!(
            out,
            ",\"forever\":{},\"lifetime_s\":{},\"lifetimes\":",
            stored.forever(),
            stored.seconds
        )?;
        numbers(&stored.lifetimes, out)?;
        out.push('}');
        comma = ",";
    }
    out.push_str("]}");
    Ok(())
}

fn numbers(numbers: &[u64], out: &mut String) -> fmt::Result {
    let mut before = '[';
    for number in numbers {
        write!(out, "{before}{number}")?;
        before = ',';
    }
    out.push_str(if numbers.is_empty() { "[]" } else { "]" });
    Ok(())
}
