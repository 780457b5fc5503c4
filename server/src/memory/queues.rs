//! Where a worker's connections keep requests until they are executed together, and the keys that they watch meanwhile.
//!
//! ```text
//!   small blocks   one begins each queue: a lock's release, a counter, a watched key fit
//!   large blocks   whoever needs more takes these, up to three quarters of them
//! ```
//!
//! All blocks are made when the worker starts, and a queue has them only while it is open. A block's bytes are filled from
//! the front and given back together: no entry is ever freed alone, so its length is all that has to be known of it. What
//! is watched comes first, and then the requests, as they came, none of which reaches over a block's end.
//!
//! Where none is left, the queue that was not touched for longest gives way, if that is more than a second: its owner's
//! [`Ticket`] is of no use then, and its owner is told when it comes back.

use std::num::NonZeroU32;

use crate::memory::plan::{QUEUE_LARGE_BYTES, QUEUE_SMALL_BYTES, QueuePlan};

/// Who has not touched a queue for so long gives way to others.
const IDLE_MILLIS: u32 = 1000;
/// No block.
const NONE: u16 = u16::MAX;

/// The right to a queue, until its owner gives it back, or others needed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    generation: NonZeroU32,
    no: u16,
}

/// Why something is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room for it.
    Full,
    /// Others needed the queue.
    Revoked,
}

/// A place among what a queue keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    block: u16,
    at: u16,
}

#[derive(Clone, Copy)]
struct Block {
    next: u16,
    /// So many of its bytes are filled.
    len: u16,
}

#[derive(Clone, Copy)]
struct Queue {
    generation: NonZeroU32,
    is_open: bool,
    /// What is kept is being executed: it does not give way.
    is_busy: bool,
    last: u16,
    large: u16,
    /// When its owner was here last: milliseconds, wrapping.
    touched: u32,
    watched: u32,
    requests: u32,
    /// Where the requests begin, and later how far they are executed.
    at: Place,
}

/// The bytes of a worker's blocks.
pub type Kept = Box<[u8]>;

/// What is known of a worker's blocks. Their bytes lie apart, so that they can be read while this is changed.
pub struct Queues {
    /// One for each small block, which is its first.
    queues: Box<[Queue]>,
    blocks: Box<[Block]>,
    free_small: Vec<u16>,
    free_large: Vec<u16>,
    large_most: u16,
}

static_assertions::const_assert!(QUEUE_LARGE_BYTES < u16::MAX as usize);

impl Queues {
    /// All blocks of one worker, free, and their bytes.
    #[must_use]
    pub fn new(plan: &QueuePlan) -> (Self, Box<[u8]>) {
        let (small, large) = (plan.small_count, plan.large_count);
        let no = |count: usize| u16::try_from(count).expect("blocks are counted in u16");
        let queue = Queue {
            generation: NonZeroU32::MIN,
            is_open: false,
            is_busy: false,
            last: NONE,
            large: 0,
            touched: 0,
            watched: 0,
            requests: 0,
            at: Place { block: NONE, at: 0 },
        };
        let queues = Queues {
            queues: vec![queue; small].into(),
            blocks: vec![Block { next: NONE, len: 0 }; small + large].into(),
            free_small: (0..no(small)).rev().collect(),
            free_large: (no(small)..no(small + large)).rev().collect(),
            large_most: no((large / 4 * 3).max(2).min(large)),
        };
        (queues, vec![0; plan.bytes()].into())
    }

    fn start(&self, block: u16) -> usize {
        let (no, small) = (usize::from(block), self.queues.len());
        match no < small {
            true => no * QUEUE_SMALL_BYTES,
            false => small * QUEUE_SMALL_BYTES + (no - small) * QUEUE_LARGE_BYTES,
        }
    }

    fn size(&self, block: u16) -> usize {
        match usize::from(block) < self.queues.len() {
            true => QUEUE_SMALL_BYTES,
            false => QUEUE_LARGE_BYTES,
        }
    }

    fn get(&mut self, ticket: Ticket) -> Result<&mut Queue, Refused> {
        let queue = &mut self.queues[usize::from(ticket.no)];
        match queue.is_open && queue.generation == ticket.generation {
            true => Ok(queue),
            false => Err(Refused::Revoked),
        }
    }

    /// Whether it is still its owner's.
    pub fn is_held(&mut self, ticket: Ticket) -> bool {
        self.get(ticket).is_ok()
    }

    /// An empty queue.
    pub fn open(&mut self, now_millis: u32) -> Result<Ticket, Refused> {
        if self.free_small.is_empty() {
            self.revoke_one(now_millis, NONE, false);
        }
        let no = self.free_small.pop().ok_or(Refused::Full)?;
        self.blocks[usize::from(no)] = Block { next: NONE, len: 0 };
        let queue = &mut self.queues[usize::from(no)];
        *queue = Queue {
            generation: queue.generation.checked_add(1).unwrap_or(NonZeroU32::MIN),
            is_open: true,
            is_busy: false,
            last: no,
            large: 0,
            touched: now_millis,
            watched: 0,
            requests: 0,
            at: Place { block: no, at: 0 },
        };
        Ok(Ticket {
            no,
            generation: queue.generation,
        })
    }

    /// Gives a queue back, with all that is in it.
    pub fn close(&mut self, ticket: Ticket) {
        if self.get(ticket).is_ok() {
            self.free(ticket.no);
        }
    }

    fn free(&mut self, no: u16) {
        self.queues[usize::from(no)].is_open = false;
        let mut block = self.blocks[usize::from(no)].next;
        while block != NONE {
            self.free_large.push(block);
            block = self.blocks[usize::from(block)].next;
        }
        self.free_small.push(no);
    }

    /// Takes its blocks from the queue that was not touched for longest, but for `but`; one with large blocks, if they are
    /// what is needed.
    fn revoke_one(&mut self, now_millis: u32, but: u16, needs_large: bool) {
        let idle = |queue: &Queue| now_millis.wrapping_sub(queue.touched);
        let oldest = (0..)
            .zip(&self.queues)
            .filter(|&(no, queue)| {
                let gives = queue.is_open && !queue.is_busy && idle(queue) > IDLE_MILLIS;
                gives && no != but && (!needs_large || queue.large > 0)
            })
            .max_by_key(|(_, queue)| idle(queue));
        if let Some((no, _)) = oldest {
            self.free(no);
        }
    }

    /// Room for so many bytes in one block, behind what is there.
    fn room(&mut self, ticket: Ticket, len: usize, now_millis: u32) -> Result<usize, Refused> {
        let most = self.large_most;
        let queue = self.get(ticket)?;
        queue.touched = now_millis;
        let (last, has_most) = (queue.last, queue.large >= most);
        let block = self.blocks[usize::from(last)];
        let mut at = usize::from(block.len);
        let mut into = last;
        if at + len > self.size(last) {
            if has_most || len > QUEUE_LARGE_BYTES {
                return Err(Refused::Full);
            }
            if self.free_large.is_empty() {
                self.revoke_one(now_millis, ticket.no, true);
            }
            into = self.free_large.pop().ok_or(Refused::Full)?;
            self.blocks[usize::from(into)] = Block { next: NONE, len: 0 };
            self.blocks[usize::from(last)].next = into;
            let queue = self.get(ticket)?;
            queue.last = into;
            queue.large += 1;
            at = 0;
        }
        // A block's length fits 16 bits.
        self.blocks[usize::from(into)].len = (at + len) as u16;
        Ok(self.start(into) + at)
    }

    /// Keeps a request, or a part of one.
    pub fn keep(
        &mut self,
        bytes: &mut [u8],
        ticket: Ticket,
        (request, is_last): (&[u8], bool),
        now_millis: u32,
    ) -> Result<(), Refused> {
        let at = self.room(ticket, request.len(), now_millis)?;
        bytes[at..at + request.len()].copy_from_slice(request);
        self.get(ticket)?.requests += u32::from(is_last);
        Ok(())
    }

    /// Keeps what is watched, and how it looks: before any request.
    pub fn watch(
        &mut self,
        bytes: &mut [u8],
        ticket: Ticket,
        (database, key, looks): (u8, &[u8], [u64; 2]),
        now_millis: u32,
    ) -> Result<(), Refused> {
        let len = WATCH_HEAD_BYTES + key.len();
        let key_len = u16::try_from(key.len()).map_err(|_| Refused::Full)?;
        let start = self.room(ticket, len, now_millis)?;
        let room = &mut bytes[start..start + len];
        room[..2].copy_from_slice(&key_len.to_le_bytes());
        room[2..10].copy_from_slice(&looks[0].to_le_bytes());
        room[10..18].copy_from_slice(&looks[1].to_le_bytes());
        room[18] = database;
        room[WATCH_HEAD_BYTES..].copy_from_slice(key);
        let last = self.get(ticket)?.last;
        let at = self.blocks[usize::from(last)].len;
        let queue = self.get(ticket)?;
        queue.watched += 1;
        queue.at = Place { block: last, at };
        Ok(())
    }

    /// Whether all that is watched passes `holds`.
    pub fn watched_hold(
        &mut self,
        bytes: &[u8],
        ticket: Ticket,
        mut holds: impl FnMut(u8, &[u8], [u64; 2]) -> bool,
    ) -> bool {
        let Ok(queue) = self.get(ticket) else {
            return false;
        };
        let watched = queue.watched;
        let mut place = Place {
            block: ticket.no,
            at: 0,
        };
        for _ in 0..watched {
            let Some((at, _)) = self.find(&mut place) else {
                return false;
            };
            let number = |at: usize| {
                let mut number = [0; 8];
                number.copy_from_slice(&bytes[at..at + 8]);
                u64::from_le_bytes(number)
            };
            let key_len = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            let key = &bytes[at + WATCH_HEAD_BYTES..][..key_len];
            if !holds(bytes[at + 18], key, [number(at + 2), number(at + 10)]) {
                return false;
            }
            place.at += (WATCH_HEAD_BYTES + key_len) as u16;
        }
        true
    }

    /// Where in the bytes what is kept at a place begins, or behind it, and where its block ends.
    fn find(&self, place: &mut Place) -> Option<(usize, usize)> {
        loop {
            let block = self.blocks[usize::from(place.block)];
            let start = self.start(place.block);
            if place.at < block.len {
                return Some((
                    start + usize::from(place.at),
                    start + usize::from(block.len),
                ));
            }
            if block.next == NONE {
                return None;
            }
            *place = Place {
                block: block.next,
                at: 0,
            };
        }
    }

    /// From now on its requests are executed. How many there are.
    pub fn begin(&mut self, ticket: Ticket) -> Result<usize, Refused> {
        let queue = self.get(ticket)?;
        queue.is_busy = true;
        Ok(queue.requests as usize)
    }

    /// Where in the bytes the requests are that were not executed yet, up to the end of a block.
    pub fn left(&mut self, ticket: Ticket) -> Option<(usize, usize)> {
        let mut place = self.get(ticket).ok()?.at;
        let found = self.find(&mut place);
        self.get(ticket).ok()?.at = place;
        found
    }

    /// So many bytes of them were.
    pub fn advance(&mut self, ticket: Ticket, taken: usize) {
        if let Ok(queue) = self.get(ticket) {
            queue.at.at += taken as u16;
        }
    }

    /// Queues that are open, and large blocks that they have.
    #[must_use]
    pub fn in_use(&self) -> [usize; 2] {
        let small = self.queues.len();
        let large = self.blocks.len() - small;
        [small - self.free_small.len(), large - self.free_large.len()]
    }
}

/// The key's length, how the item looks, and its database.
const WATCH_HEAD_BYTES: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(small_count: usize, large_count: usize) -> (Queues, Box<[u8]>) {
        Queues::new(&QueuePlan {
            small_count,
            large_count,
        })
    }

    fn requests(queues: &mut Queues, bytes: &[u8], ticket: Ticket) -> Vec<u8> {
        queues.begin(ticket).unwrap();
        let mut all = Vec::new();
        while let Some((start, end)) = queues.left(ticket) {
            all.extend_from_slice(&bytes[start..end]);
            queues.advance(ticket, end - start);
        }
        all
    }

    #[test]
    fn what_is_kept_comes_back_in_order_behind_what_is_watched() {
        let (mut queues, mut bytes) = queues(2, 4);
        let ticket = queues.open(0).unwrap();
        for no in 0..100u64 {
            let key = [no as u8; 30];
            queues
                .watch(&mut bytes, ticket, (no as u8, &key, [no, 7]), 0)
                .unwrap();
        }
        let mut all = Vec::new();
        for no in 0..100u8 {
            let request = [no; 200];
            queues
                .keep(&mut bytes, ticket, (&request, true), 0)
                .unwrap();
            all.extend_from_slice(&request);
        }
        let mut next = 0;
        assert!(queues.watched_hold(&bytes, ticket, |database, key, looks| {
            let wanted = (next as u8, &[next as u8; 30][..], [next, 7]);
            assert_eq!((database, key, looks), wanted);
            next += 1;
            true
        }));
        assert_eq!(next, 100);
        assert!(!queues.watched_hold(&bytes, ticket, |_, key, _| key[0] != 99));
        assert_eq!(queues.in_use(), [1, 2]);
        assert_eq!(requests(&mut queues, &bytes, ticket), all);
        queues.close(ticket);
        assert_eq!(queues.in_use(), [0, 0]);
        assert!(!queues.is_held(ticket));
    }

    #[test]
    fn one_queue_has_three_quarters_of_the_large_blocks_at_most() {
        let (mut queues, mut bytes) = queues(2, 8);
        let ticket = queues.open(0).unwrap();
        let request = [1; QUEUE_LARGE_BYTES];
        for _ in 0..6 {
            queues
                .keep(&mut bytes, ticket, (&request, true), 0)
                .unwrap();
        }
        assert_eq!(
            queues.keep(&mut bytes, ticket, (&request, true), 0),
            Err(Refused::Full)
        );
        // What was kept is still there.
        assert_eq!(
            requests(&mut queues, &bytes, ticket).len(),
            6 * request.len()
        );
    }

    #[test]
    fn who_sits_in_a_queue_gives_way_after_a_second() {
        let (mut queues, mut bytes) = queues(2, 2);
        let sitting = queues.open(0).unwrap();
        queues
            .keep(&mut bytes, sitting, (&[1; 5000], true), 0)
            .unwrap();
        queues
            .keep(&mut bytes, sitting, (&[1; 15_000], true), 0)
            .unwrap();
        let other = queues.open(500).unwrap();
        let late = queues.keep(&mut bytes, other, (&[2; 5000], true), 900);
        assert_eq!(late, Err(Refused::Full));
        assert_eq!(queues.open(900), Err(Refused::Full));
        queues
            .keep(&mut bytes, other, (&[2; 5000], true), 1100)
            .unwrap();
        let gone = queues.keep(&mut bytes, sitting, (b"x", true), 1100);
        assert_eq!(gone, Err(Refused::Revoked));
        queues.close(sitting);
        assert_eq!(queues.in_use(), [1, 1]);
        // Whoever has its place now is not it.
        let third = queues.open(1200).unwrap();
        assert!(!queues.is_held(sitting) && queues.is_held(third));
        // What is being executed stays.
        queues.begin(other).unwrap();
        queues.begin(third).unwrap();
        assert_eq!(queues.open(9999), Err(Refused::Full));
    }
}
