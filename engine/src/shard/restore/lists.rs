//! The lists of a shard that is restored, joined of what their items say.

use super::reached::{MARK, Reached};
use crate::chunk_ref::{CHUNK_REF_BITS, ChunkRef};
use crate::item::header::{Header, Kind};
use crate::lru::list::List;
use crate::lru::segments::Segment;
use crate::shard::ShardState;
use crate::shard::lists::segment_of;

/// Links that are followed through what was forgotten, to find out where a part of a list belongs.
const FORGOTTEN_MAX: usize = 64;
/// Parts of a list that are put in order. More are a sign of damage, and the order is given up.
const PARTS_MAX: usize = 4096;

/// A part of a list: its links agree.
#[derive(Clone, Copy)]
struct Part {
    head: ChunkRef,
    tail: ChunkRef,
    /// The item behind which it belongs; none if that is unknown.
    behind: ChunkRef,
}

/// What is known of a list before it is joined.
#[derive(Clone, Default)]
pub(super) struct Scattered {
    pub items: usize,
    /// Those that say that they are first.
    pub heads: Vec<ChunkRef>,
}

fn older_of(word: u64) -> ChunkRef {
    ChunkRef::from_granule(word as u32 & ((1 << CHUNK_REF_BITS) - 1))
}

pub(super) fn newer_of(word: u64) -> ChunkRef {
    ChunkRef::from_granule((word >> 32) as u32 & ((1 << CHUNK_REF_BITS) - 1))
}

impl ShardState {
    /// Makes lists of what is scattered; returns how many lost their order.
    pub(super) fn join_lists(
        &mut self,
        reached: &Reached<'_>,
        scattered: &[[Scattered; 2]],
    ) -> u64 {
        let mut unordered = 0;
        for (class, lists) in scattered.iter().enumerate() {
            for (segment, list) in [Segment::Probation, Segment::Main].into_iter().zip(lists) {
                if list.items == 0 {
                    continue;
                }
                let joined = reached.whole_list(class, segment, list).or_else(|| {
                    let mut parts = reached.parts(class, segment);
                    reached.put_in_order(&mut parts, list.items).then(|| {
                        reached.link_parts(&parts);
                        let first = parts[0].head;
                        (first, parts[parts.len() - 1].tail)
                    })
                });
                let (head, tail) = joined.unwrap_or_else(|| {
                    unordered += 1;
                    reached.link_as_they_lie(class, segment)
                });
                let clock = self.clock();
                let queue = &mut self.classes[class].queues[segment as usize];
                queue.list = List::restored(head, tail, list.items);
                // Nobody knows when they came: as if one after the other.
                for no in 1..=list.items {
                    let then = u64::from(clock) * no as u64 / list.items as u64;
                    queue.ages.enter(then as u32, no);
                }
            }
        }
        unordered
    }
}

impl Reached<'_> {
    /// The links of a marked item of this list.
    fn member(&self, chunk: ChunkRef, class: usize, segment: Segment) -> Option<u64> {
        if !chunk.is_some() || self.class_of(chunk) != Some(class) {
            return None;
        }
        let word = self.region.geometry.word_of(chunk);
        let links = self.region.arena.load(word);
        let header = Header::unpack(self.region.arena.load(word + 1));
        let is_one = links & MARK != 0
            && header.kind() == Kind::Linked
            && segment_of(header) as usize == segment as usize;
        is_one.then_some(links)
    }

    /// The item behind one of the list, if both say so.
    fn behind(
        &self,
        links: u64,
        chunk: ChunkRef,
        list: (usize, Segment),
    ) -> Option<(ChunkRef, u64)> {
        let older = older_of(links);
        let older_links = self.member(older, list.0, list.1)?;
        (newer_of(older_links) == chunk).then_some((older, older_links))
    }

    /// From an item to the last of its part, at most so many; returns that, and how many they are.
    fn walk(&self, head: ChunkRef, list: (usize, Segment), most: usize) -> (ChunkRef, usize) {
        let Some(mut links) = self.member(head, list.0, list.1) else {
            return (head, 0);
        };
        let (mut tail, mut items) = (head, 1);
        while items <= most
            && let Some((older, older_links)) = self.behind(links, tail, list)
        {
            (tail, links) = (older, older_links);
            items += 1;
        }
        (tail, items)
    }

    /// Head and tail of a list that is as it should be.
    fn whole_list(
        &self,
        class: usize,
        segment: Segment,
        list: &Scattered,
    ) -> Option<(ChunkRef, ChunkRef)> {
        let &[head] = &list.heads[..] else {
            return None;
        };
        let (tail, items) = self.walk(head, (class, segment), list.items);
        let links = self.region.arena.load(self.region.geometry.word_of(tail));
        (items == list.items && !older_of(links).is_some()).then_some((head, tail))
    }

    /// The parts of a list, as they lie.
    fn parts(&self, class: usize, segment: Segment) -> Vec<Part> {
        let mut parts = Vec::new();
        self.for_each_item(|chunk, its_class, view| {
            if its_class != class || segment_of(view.header) as usize != segment as usize {
                return;
            }
            let newer = newer_of(self.region.arena.load(view.word));
            let continues = self
                .member(newer, class, segment)
                .is_some_and(|links| older_of(links) == chunk);
            if !continues && parts.len() <= PARTS_MAX {
                parts.push(Part {
                    head: chunk,
                    tail: chunk,
                    behind: self.known_before(newer, class, segment),
                });
            }
        });
        parts
    }

    /// The nearest item of the list on the way from `chunk` to newer ones.
    fn known_before(&self, mut chunk: ChunkRef, class: usize, segment: Segment) -> ChunkRef {
        let geometry = &self.region.geometry;
        for _ in 0..FORGOTTEN_MAX {
            if !chunk.is_some() || self.member(chunk, class, segment).is_some() {
                return chunk;
            }
            let Some(links) = self.region.arena.try_load(geometry.word_of(chunk)) else {
                break;
            };
            chunk = newer_of(links);
        }
        ChunkRef::NONE
    }

    /// Puts the parts behind one another, newest first. False: they are not all of the list's items, or too many.
    fn put_in_order(&self, parts: &mut Vec<Part>, items: usize) -> bool {
        if parts.is_empty() || parts.len() > PARTS_MAX {
            return false;
        }
        let mut counted = 0;
        for part in parts.iter_mut() {
            let word = self.region.geometry.word_of(part.head);
            let header = Header::unpack(self.region.arena.load(word + 1));
            let Some(class) = self.class_of(part.head) else {
                return false;
            };
            let (tail, len) = self.walk(part.head, (class, segment_of(header)), items);
            part.tail = tail;
            counted += len;
        }
        if counted != items {
            return false;
        }
        // Those of which nobody knows where they belong come first, and behind each the ones that belong there.
        let mut rest = std::mem::take(parts);
        let tails: Vec<ChunkRef> = rest.iter().map(|part| part.tail).collect();
        while !rest.is_empty() {
            let wanted = parts.last().map(|part| part.tail);
            let next = rest
                .iter()
                .position(|part| Some(part.behind) == wanted)
                .or_else(|| rest.iter().position(|part| !tails.contains(&part.behind)))
                .unwrap_or(0);
            parts.push(rest.remove(next));
        }
        true
    }

    fn set_links(&self, chunk: ChunkRef, older: Option<ChunkRef>, newer: Option<ChunkRef>) {
        let word = self.region.geometry.word_of(chunk);
        let links = self.region.arena.load(word);
        let older = older.unwrap_or(older_of(links));
        let newer = newer.unwrap_or(newer_of(links));
        let links = u64::from(older.granule()) | u64::from(newer.granule()) << 32 | links & MARK;
        self.region.arena.store(word, links);
    }

    fn link_parts(&self, parts: &[Part]) {
        let mut before = ChunkRef::NONE;
        for part in parts {
            self.set_links(part.head, None, Some(before));
            if before.is_some() {
                self.set_links(before, Some(part.head), None);
            }
            before = part.tail;
        }
        self.set_links(before, Some(ChunkRef::NONE), None);
    }

    fn link_as_they_lie(&self, class: usize, segment: Segment) -> (ChunkRef, ChunkRef) {
        let (mut head, mut tail) = (ChunkRef::NONE, ChunkRef::NONE);
        self.for_each_item(|chunk, its_class, view| {
            if its_class != class || segment_of(view.header) as usize != segment as usize {
                return;
            }
            self.set_links(chunk, Some(ChunkRef::NONE), Some(tail));
            if tail.is_some() {
                self.set_links(tail, Some(chunk), None);
            } else {
                head = chunk;
            }
            tail = chunk;
        });
        (head, tail)
    }
}
