//! A bucket and the overflow buckets behind it: entries without holes, the last slot of a full bucket a link.

use super::bucket::{Bucket, SLOTS};
use crate::arena::Arena;
use crate::geometry::Geometry;

/// The last bucket of a chain and how many of its slots are used.
#[inline(always)]
pub(super) fn chain_end(arena: &Arena, geometry: &Geometry, primary: Bucket) -> (Bucket, usize) {
    let used = primary.used(arena);
    // Only where all but the last slot are used can that be a link.
    if used == SLOTS - 1 && primary.overflow(arena, geometry).is_some() {
        return chain_end_further(arena, geometry, primary);
    }
    (primary, used)
}

/// The same of a chain of several buckets.
#[inline(never)]
fn chain_end_further(arena: &Arena, geometry: &Geometry, primary: Bucket) -> (Bucket, usize) {
    let mut bucket = primary;
    while let Some(next) = bucket.overflow(arena, geometry) {
        bucket = next;
    }
    (bucket, bucket.used(arena))
}

pub(super) fn chain_overflows(arena: &Arena, geometry: &Geometry, primary: Bucket) -> usize {
    std::iter::successors(primary.overflow(arena, geometry), |bucket| {
        bucket.overflow(arena, geometry)
    })
    .count()
}

pub(super) fn chain_entries(arena: &Arena, geometry: &Geometry, primary: Bucket) -> usize {
    let (_, used) = chain_end(arena, geometry, primary);
    chain_overflows(arena, geometry, primary) * (SLOTS - 1) + used
}

/// Overflow buckets of a chain of so many entries: all of its buckets but the last give a slot to the link.
pub(super) const fn overflows_for(entries: usize) -> usize {
    entries.saturating_sub(2) / (SLOTS - 1)
}

/// Makes room behind the full bucket `last`: its last slot becomes the link, and that
/// slot's entry the first one of `spare`.
pub(super) fn push_overflow(arena: &Arena, geometry: &Geometry, last: Bucket, spare: Bucket) {
    spare.clear_slots(arena);
    let tag = last.tag(arena, SLOTS - 1);
    let (chunk, marks) = last.slot(arena, SLOTS - 1);
    spare.set_slot(arena, 0, tag, chunk, marks);
    last.set_overflow(arena, geometry, spare);
}

/// Fills the hole at `bucket`/`slot` with the chain's last entry, so that chains have no
/// holes. An overflow bucket left with one entry is folded into its predecessor's link
/// slot and returned.
#[inline(always)]
pub(super) fn take_out(
    arena: &Arena,
    geometry: &Geometry,
    primary: Bucket,
    bucket: Bucket,
    slot: usize,
) -> Option<Bucket> {
    let used = primary.used(arena);
    // Only where all but the last slot are used can that be a link.
    if used == SLOTS - 1 && primary.overflow(arena, geometry).is_some() {
        return take_out_further(arena, geometry, primary, bucket, slot);
    }
    debug_assert_eq!(primary, bucket);
    primary.move_slot(arena, used - 1, slot);
    None
}

/// The same of a chain of several buckets.
#[inline(never)]
fn take_out_further(
    arena: &Arena,
    geometry: &Geometry,
    primary: Bucket,
    bucket: Bucket,
    slot: usize,
) -> Option<Bucket> {
    let mut before = primary;
    let mut last = primary;
    while let Some(next) = last.overflow(arena, geometry) {
        before = last;
        last = next;
    }
    let end = last.used(arena) - 1;
    if (last, end) != (bucket, slot) {
        let (chunk, marks) = last.slot(arena, end);
        bucket.set_slot(arena, slot, last.tag(arena, end), chunk, marks);
    }
    last.clear_slot(arena, end);
    if end > 1 {
        return None;
    }
    debug_assert_eq!(end, 1, "an overflow bucket has two entries or more");
    let (chunk, marks) = last.slot(arena, 0);
    before.set_slot(arena, SLOTS - 1, last.tag(arena, 0), chunk, marks);
    Some(last)
}

/// The cursor `bucket`/`slot` moved past buckets' ends; `None` at the chain's end.
pub(super) fn settle(
    arena: &Arena,
    geometry: &Geometry,
    bucket: Bucket,
    slot: usize,
) -> Option<(Bucket, usize)> {
    if slot < bucket.used(arena) {
        return Some((bucket, slot));
    }
    let next = bucket.overflow(arena, geometry)?;
    (next.used(arena) > 0).then_some((next, 0))
}
