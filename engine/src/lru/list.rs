//! A list of items, linked by chunk names through word 0 of each item. Guarded by the
//! shard's lock; readers never look at it.

use crate::arena::Arena;
use crate::chunk_ref::ChunkRef;
use crate::geometry::Geometry;

/// Newest at the head, oldest at the tail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    head: ChunkRef,
    tail: ChunkRef,
    len: u32,
    /// The next item of a walk from the tail to the head, during which items may come and go; none: there is no walk, or
    /// it has come to the end.
    walker: ChunkRef,
}

#[inline(always)]
fn links(arena: &Arena, geometry: &Geometry, chunk: ChunkRef) -> (ChunkRef, ChunkRef) {
    let word = arena.load(geometry.word_of(chunk));
    (
        ChunkRef::from_granule(word as u32),
        ChunkRef::from_granule((word >> 32) as u32),
    )
}

#[inline(always)]
fn set_links(arena: &Arena, geometry: &Geometry, chunk: ChunkRef, next: ChunkRef, prev: ChunkRef) {
    let word = u64::from(next.granule()) | u64::from(prev.granule()) << 32;
    arena.store(geometry.word_of(chunk), word);
}

impl List {
    /// One whose items are linked already.
    pub fn restored(head: ChunkRef, tail: ChunkRef, len: usize) -> Self {
        List {
            head,
            tail,
            len: len as u32,
            ..List::default()
        }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn tail(&self) -> Option<ChunkRef> {
        self.tail.is_some().then_some(self.tail)
    }

    /// The item before `chunk`: newer by one.
    pub fn newer(arena: &Arena, geometry: &Geometry, chunk: ChunkRef) -> Option<ChunkRef> {
        let (_, prev) = links(arena, geometry, chunk);
        prev.is_some().then_some(prev)
    }

    /// Pulls in what taking `chunk` off its list will change.
    pub fn prefetch_neighbours(arena: &Arena, geometry: &Geometry, chunk: ChunkRef) {
        let (next, prev) = links(arena, geometry, chunk);
        arena.prefetch(geometry.word_of(next));
        arena.prefetch(geometry.word_of(prev));
    }

    #[inline(always)]
    pub fn push_head(&mut self, arena: &Arena, geometry: &Geometry, chunk: ChunkRef) {
        set_links(arena, geometry, chunk, self.head, ChunkRef::NONE);
        if self.head.is_some() {
            let (next, _) = links(arena, geometry, self.head);
            set_links(arena, geometry, self.head, next, chunk);
        } else {
            self.tail = chunk;
        }
        self.head = chunk;
        self.len += 1;
    }

    #[inline(always)]
    pub fn remove(&mut self, arena: &Arena, geometry: &Geometry, chunk: ChunkRef) {
        let (next, prev) = links(arena, geometry, chunk);
        if self.walker == chunk {
            self.walker = prev;
        }
        self.join(arena, geometry, prev, next);
        self.len -= 1;
    }

    /// Makes `prev` and `next` neighbours; either may be none.
    #[inline(always)]
    fn join(&mut self, arena: &Arena, geometry: &Geometry, prev: ChunkRef, next: ChunkRef) {
        if prev.is_some() {
            let (_, before) = links(arena, geometry, prev);
            set_links(arena, geometry, prev, next, before);
        } else {
            self.head = next;
        }
        if next.is_some() {
            let (after, _) = links(arena, geometry, next);
            set_links(arena, geometry, next, after, prev);
        } else {
            self.tail = prev;
        }
    }

    /// `to` takes the place of `from`, whose links it has not copied yet.
    pub fn replace(&mut self, arena: &Arena, geometry: &Geometry, from: ChunkRef, to: ChunkRef) {
        let (next, prev) = links(arena, geometry, from);
        set_links(arena, geometry, to, next, prev);
        if self.walker == from {
            self.walker = to;
        }
        if prev.is_some() {
            let (_, before) = links(arena, geometry, prev);
            set_links(arena, geometry, prev, to, before);
        } else {
            self.head = to;
        }
        if next.is_some() {
            let (after, _) = links(arena, geometry, next);
            set_links(arena, geometry, next, after, to);
        } else {
            self.tail = to;
        }
    }

    /// Begins a walk at the tail. An item that is on the list until its end, wherever on it, is met.
    pub fn begin_walk(&mut self) {
        self.walker = self.tail;
    }

    /// The next item of the walk.
    pub fn walker(&self) -> Option<ChunkRef> {
        self.walker.is_some().then_some(self.walker)
    }

    /// The walk goes on by one item.
    pub fn step(&mut self, arena: &Arena, geometry: &Geometry) {
        if self.walker.is_some() {
            (_, self.walker) = links(arena, geometry, self.walker);
        }
    }

    /// There is no walk any more.
    pub fn end_walk(&mut self) {
        self.walker = ChunkRef::NONE;
    }

    /// Every item from the tail on; `None` at the first broken link.
    pub fn walk(
        &self,
        arena: &Arena,
        geometry: &Geometry,
        mut each: impl FnMut(ChunkRef),
    ) -> Option<()> {
        let mut newer = ChunkRef::NONE;
        let mut chunk = self.head;
        let mut seen = 0;
        while chunk.is_some() {
            let (next, prev) = links(arena, geometry, chunk);
            if prev != newer || seen > self.len {
                return None;
            }
            each(chunk);
            seen += 1;
            newer = chunk;
            chunk = next;
        }
        (newer == self.tail && seen == self.len).then_some(())
    }
}
