//! What the cache holds, what has left it and why.

use std::fmt::{self, Write};

use super::format::{COUNTER, GAUGE, HISTOGRAM, Thousandths, head, many, one};
use crate::observe::departures::{Departures, ENDS, LISTS};
use crate::observe::snapshot::{Class, Snapshot};

pub fn items(of: &Snapshot, out: &mut String) -> fmt::Result {
    let engine = &of.engine;
    one(
        out,
        "flagstone_items",
        GAUGE,
        "Items in the cache.",
        engine.items,
    )?;
    one(
        out,
        "flagstone_item_bytes",
        GAUGE,
        "Bytes of their keys and values.",
        engine.item_bytes,
    )?;
    one(
        out,
        "flagstone_inserted_bytes_total",
        COUNTER,
        "Chunk bytes that stores ever took.",
        engine.inserted_bytes,
    )?;
    one(
        out,
        "flagstone_evictions_total",
        COUNTER,
        "Live items that had to make room.",
        engine.evictions,
    )?;
    eviction_ages(&of.departures, out)?;
    many(
        out,
        (
            "flagstone_expirations_total",
            COUNTER,
            "Items whose time was over, by what removed them: the sweep, eviction that met them \
             first, a store over them, a delete; or a flush of everything.",
        ),
        "reason",
        [
            ("swept", engine.expired.swept),
            ("evicted", engine.expired.evicted),
            ("replaced", engine.expired.replaced),
            ("deleted", engine.expired.deleted),
            ("flushed", engine.flushed),
        ],
    )?;
    one(
        out,
        "flagstone_items_deleted_total",
        COUNTER,
        "Items that clients deleted.",
        engine.deletes,
    )?;
    one(
        out,
        "flagstone_items_moved_total",
        COUNTER,
        "Items moved so that their page could be used elsewhere.",
        engine.items_moved,
    )?;
    one(
        out,
        "flagstone_pages_moved_total",
        COUNTER,
        "Pages that went to another class or shard.",
        engine.pages_moved,
    )?;
    segments(of, out)
}

/// How new items are treated, which follows what is asked for.
fn segments(of: &Snapshot, out: &mut String) -> fmt::Result {
    let engine = &of.engine;
    many(
        out,
        (
            "flagstone_segment_bytes",
            GAUGE,
            "Bytes of items on probation, and of those that have proved themselves.",
        ),
        "segment",
        [
            ("probation", engine.probation_bytes),
            ("main", engine.main_bytes),
        ],
    )?;
    one(
        out,
        "flagstone_probation_share_percent",
        GAUGE,
        "The share of probation that is aimed at.",
        engine.probation_percent,
    )?;
    one(
        out,
        "flagstone_probation_hits",
        GAUGE,
        "Hits with which an item at the end of probation stays; 0: only what comes back after it was evicted does.",
        engine.probation_hits,
    )?;
    one(
        out,
        "flagstone_probation_changes_total",
        COUNTER,
        "Changes of these two.",
        engine.probation_changes,
    )
}

fn eviction_ages(departures: &Departures, out: &mut String) -> fmt::Result {
    let name = "flagstone_eviction_age_seconds";
    head(
        out,
        name,
        HISTOGRAM,
        "How long evicted items had been on the list that they left: probation, or main for those \
         that were asked for. Estimated once a second.",
    )?;
    for (list, ages) in LISTS.iter().zip(&departures.ages) {
        let mut below = 0;
        let ends = ENDS.iter().map(Some).chain([None]);
        for (end, count) in ends.zip(&ages.counts) {
            below += count;
            write!(out, "{name}_bucket{{list=\"{list}\",le=\"")?;
            match end {
                Some(seconds) => write!(out, "{seconds}")?,
                None => out.push_str("+Inf"),
            }
            writeln!(out, "\"}} {below}")?;
        }
        let sum = Thousandths(u64::try_from(ages.sum_millis).unwrap_or(u64::MAX));
        writeln!(out, "{name}_sum{{list=\"{list}\"}} {sum}")?;
        writeln!(out, "{name}_count{{list=\"{list}\"}} {below}")?;
    }
    Ok(())
}

/// How a class is called: by its chunks, or, of the pages in which ends of items of any length are, so. Their units may be as
/// large as the smallest chunks.
struct ChunkBytes<'a>(&'a Class);

impl fmt::Display for ChunkBytes<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.stats.is_runs() {
            out.write_str("ends")
        } else {
            self.0.stats.chunk_bytes.fmt(out)
        }
    }
}

/// A family for each figure, a sample for each class that has pages: at most a few dozen.
pub fn classes(of: &Snapshot, out: &mut String) -> fmt::Result {
    let mut family = |name: &str, kind: &str, help: &str, figure: fn(&Class) -> u64| {
        head(out, name, kind, help)?;
        for class in &*of.classes {
            let chunk_bytes = ChunkBytes(class);
            writeln!(
                out,
                "{name}{{chunk_bytes=\"{chunk_bytes}\"}} {}",
                figure(class)
            )?;
        }
        Ok(())
    };
    family(
        "flagstone_class_pages",
        GAUGE,
        "Pages of a size class.",
        |class| class.stats.pages,
    )?;
    family(
        "flagstone_class_chunks",
        GAUGE,
        "Chunks in them.",
        |class| class.stats.chunks,
    )?;
    family(
        "flagstone_class_chunks_used",
        GAUGE,
        "Chunks with something in them.",
        |class| class.stats.chunks_used,
    )?;
    family(
        "flagstone_class_evictions_total",
        COUNTER,
        "Live items of the class that made room.",
        |class| class.stats.evictions,
    )?;
    let name = "flagstone_class_items";
    head(
        out,
        name,
        GAUGE,
        "Items by list: new ones on probation, proven ones in main.",
    )?;
    for class in &*of.classes {
        let stats = &class.stats;
        let chunk_bytes = ChunkBytes(class);
        for (list, items) in [
            ("probation", stats.items_probation),
            ("main", stats.items_main),
        ] {
            writeln!(
                out,
                "{name}{{chunk_bytes=\"{chunk_bytes}\",list=\"{list}\"}} {items}"
            )?;
        }
    }
    let name = "flagstone_class_tail_age_seconds";
    head(
        out,
        name,
        GAUGE,
        "Age of the oldest items of a class: who goes next. An estimate.",
    )?;
    for class in &*of.classes {
        let chunk_bytes = ChunkBytes(class);
        let age = Thousandths(class.tail_age_millis);
        writeln!(out, "{name}{{chunk_bytes=\"{chunk_bytes}\"}} {age}")?;
    }
    Ok(())
}
