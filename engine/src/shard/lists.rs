//! Which list an item is on, and the accounts that are kept by list: items, bytes, deadlines.

use super::locked::Locked;
use super::storage::class_of;
use super::{Class, Queue};
use crate::chunk_ref::ChunkRef;
use crate::item::header::{Header, Kind, flag};
use crate::item::view::View;
use crate::lru::segments::Segment;
use crate::region::Region;
use crate::slab::page::NO_DEADLINE;
use crate::tick::Deadline;

impl Locked<'_> {
    /// Puts an item at the head of a list of its class and declares it linked.
    #[inline(never)]
    pub(super) fn enlist(&mut self, head: ChunkRef, segment: Segment) {
        let region = self.region;
        let mut view = View::known(region, head);
        let main = if segment == Segment::Main {
            flag::MAIN
        } else {
            0
        };
        let flags = view.header.flags() & !flag::MAIN | main;
        view.set_header(view.header.with_flags(flags).with_kind(Kind::Linked));
        let class = class_of(region, head);
        let bytes = footprint(region, view, class);
        self.inserted_bytes += bytes;
        self.push_head(head, class, segment, bytes);
        self.counters.item_bytes += view.payload_len() as u64;
        self.note_deadline(head, view.deadline());
    }

    /// Takes an item off its list.
    #[inline(never)]
    pub(super) fn delist(&mut self, head: ChunkRef) {
        let region = self.region;
        self.delist_of(head, View::known(region, head), class_of(region, head));
    }

    /// The same for an item of which view and class are at hand; returns about what it takes up.
    #[inline(always)]
    pub(super) fn delist_of(&mut self, head: ChunkRef, view: View<'_>, class: usize) -> u64 {
        let region = self.region;
        let bytes = footprint(region, view, class);
        self.take_off(head, class, segment_of(view.header), bytes);
        self.counters.item_bytes -= view.payload_len() as u64;
        bytes
    }

    /// Puts an item of `bytes` at the head of a list of its class.
    #[inline(always)]
    pub(super) fn push_head(&mut self, head: ChunkRef, class: usize, segment: Segment, bytes: u64) {
        let region = self.region;
        let clock = self.clock();
        let queue = &mut self.classes[class].queues[segment as usize];
        queue.list.push_head(&region.arena, &region.geometry, head);
        queue.ages.enter(clock, queue.list.len());
        let held = &mut self.held[segment as usize];
        held.items += 1;
        held.bytes += bytes;
    }

    /// Takes an item of `bytes` off the list that it is on.
    #[inline(always)]
    pub(super) fn take_off(&mut self, head: ChunkRef, class: usize, segment: Segment, bytes: u64) {
        let region = self.region;
        let list = self.classes[class].list(segment);
        list.remove(&region.arena, &region.geometry, head);
        let held = &mut self.held[segment as usize];
        held.items -= 1;
        held.bytes -= bytes;
    }

    /// The page and the shard remember the earliest deadline among their items.
    #[inline(always)]
    pub fn note_deadline(&mut self, chunk: ChunkRef, deadline: Deadline) {
        if let Some(due) = due_second(deadline) {
            self.note_due(chunk, due);
        }
    }

    #[inline(never)]
    fn note_due(&mut self, chunk: ChunkRef, due: u32) {
        let region = self.region;
        let page_no = region.geometry.page_of(chunk);
        let table = region.pages();
        if due < table.deadline(page_no) {
            table.set_deadline(page_no, due);
        }
        self.deadline_min = self.deadline_min.min(due);
        self.deadline_noted = self.deadline_noted.min(due);
    }

    pub(super) fn class(&self, class: usize) -> &Class {
        &self.classes[class]
    }

    pub(super) fn queue(&self, class: usize, segment: Segment) -> &Queue {
        &self.classes[class].queues[segment as usize]
    }
}

/// The first whole second at which the deadline has passed.
pub(super) fn due_second(deadline: Deadline) -> Option<u32> {
    if deadline.is_never() {
        return None;
    }
    let due = deadline
        .secs()
        .saturating_add(u32::from(deadline.millis() > 0));
    Some(due.min(NO_DEADLINE - 1))
}

/// About what a linked item takes up, by its first piece and that one's class. Whoever changes it for a linked item
/// tells the lists' account (`extend`).
#[inline(always)]
pub(super) fn footprint(region: &Region, view: View<'_>, class: usize) -> u64 {
    let first = region.geometry.classes.chunk_bytes(class);
    if view.header.has(flag::CHAINED) {
        let here = usize::from(view.header.value_len);
        (first + view.body_len().saturating_sub(here)) as u64
    } else {
        first as u64
    }
}

/// Which list the item is on.
#[inline(always)]
pub(super) fn segment_of(header: Header) -> Segment {
    if header.has(flag::MAIN) {
        Segment::Main
    } else {
        Segment::Probation
    }
}
