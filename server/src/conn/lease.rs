//! Buffers for what a connection cannot finish at once.
//!
//! A connection that waits for its next request owns no buffer. Only three things outlive its
//! turn, and each is put aside in a leased buffer of its own kind:
//!
//! | kind | holds | at most |
//! |---|---|---|
//! | small | the beginning of a request | `SMALL_LEASE_BYTES` |
//! | input | whatever was read and is not executed yet | an inbox |
//! | output | replies that the peer has not taken yet | an outbox |
//!
//! A connection holds at most one for input (small or not) and one for output, and hardly anybody ever waits for
//! one:
//!
//! - *Without a lease for input,* what was read is only looked at, whole requests are executed and then taken
//!   out of the kernel, and half a one stays there. With TLS that cannot be done: a quarter of the leases is kept
//!   for such connections, which do wait.
//! - *Without a lease for output,* as much is executed as the socket is sure to take: a reply of a kilobyte or two.
//!   If it has no room for that, the peer has not read what it was sent before, and it is the socket that is waited for.
//! - *A value that is sent in pieces* needs none. What the peer does not take is read again from the cache.
//!
//! All of it is allocated when the worker starts, and a few of each kind are touched. The others hold no memory until
//! half of those are lent ([`LeaseRoom`]): then the governor makes room for all of them in all workers, once and for good.

use crate::memory::lease_room::LeaseRoom;
use crate::memory::plan::{
    INBOX_BYTES, LEASES_BYTES_MAX, OUTBOX_BYTES, SMALL_LEASE_BYTES, WorkerPlan,
};

/// Buffers of one size.
struct Pool {
    bytes: Box<[u8]>,
    lease_bytes: usize,
    /// Numbers of the free ones; the last given back is the next taken, because it is warm.
    free: Vec<u16>,
    /// Buffers that may be used: those with smaller numbers.
    usable: u16,
}

/// Bytes put aside. Every connection has room for two of these.
#[derive(Debug)]
pub struct Lease {
    kind: Kind,
    no: u16,
    start: u16,
    end: u16,
}

static_assertions::const_assert!(OUTBOX_BYTES <= u16::MAX as usize);
static_assertions::const_assert!(INBOX_BYTES <= OUTBOX_BYTES && SMALL_LEASE_BYTES <= INBOX_BYTES);
// A pool is a part of a worker's leases.
static_assertions::const_assert!(LEASES_BYTES_MAX / SMALL_LEASE_BYTES <= u16::MAX as usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Small,
    Input,
    Output,
}

/// A worker's three pools.
pub struct Leases {
    small: Pool,
    input: Pool,
    output: Pool,
    /// Input leases that only a connection may use which cannot leave in the kernel what it has looked at.
    input_kept: usize,
    /// Whether all may be used.
    is_whole: bool,
}

impl Pool {
    /// `count` buffers, of which the first `usable` may be used for now.
    fn new(count: usize, usable: usize, lease_bytes: usize) -> Self {
        // Zeroes, so that the OS gives no page that is not used …
        let mut bytes = vec![0; count * lease_bytes].into_boxed_slice();
        // … and something else, so that every OS page of these is really there from now on.
        bytes[..usable * lease_bytes].fill(0xa5);
        let usable = u16::try_from(usable).expect("leases are counted in u16");
        let mut free = Vec::with_capacity(count);
        free.extend((0..usable).rev());
        Pool {
            bytes,
            lease_bytes,
            free,
            usable,
        }
    }

    fn count(&self) -> usize {
        self.bytes.len() / self.lease_bytes
    }

    /// All may be used. The first ones go on to be taken first, because they are warm.
    fn open(&mut self) {
        let count = u16::try_from(self.count()).expect("leases are counted in u16");
        let free_before = self.free.len();
        self.free.extend((self.usable..count).rev());
        self.free.rotate_left(free_before);
        self.usable = count;
    }

    /// Whether half of what may be used is lent.
    fn is_half_lent(&self) -> bool {
        self.free.len() * 2 <= usize::from(self.usable)
    }

    fn bytes_mut(&mut self, no: u16) -> &mut [u8] {
        let start = usize::from(no) * self.lease_bytes;
        &mut self.bytes[start..start + self.lease_bytes]
    }
}

impl Leases {
    pub fn new(plan: &WorkerPlan) -> Self {
        let [small, input, output] = plan.leases_at_first;
        Leases {
            small: Pool::new(plan.small_count, small, SMALL_LEASE_BYTES),
            input: Pool::new(plan.input_count, input, INBOX_BYTES),
            output: Pool::new(plan.output_count, output, OUTBOX_BYTES),
            input_kept: input / 4,
            is_whole: plan.leases_lent_bytes() == 0,
        }
    }

    /// Asks for the other buffers when half of the first are lent, and takes them when there is room for them.
    #[inline]
    pub fn follow(&mut self, room: &LeaseRoom) {
        if !self.is_whole {
            self.follow_some(room);
        }
    }

    fn follow_some(&mut self, room: &LeaseRoom) {
        if room.is_granted() {
            self.small.open();
            self.input.open();
            self.output.open();
            self.input_kept = self.input.count() / 4;
            self.is_whole = true;
        } else if [&self.small, &self.input, &self.output]
            .into_iter()
            .any(Pool::is_half_lent)
        {
            room.want();
        }
    }

    /// How many are lent, by kind, in the order of [`LEASE_KINDS`](crate::observe::counters::LEASE_KINDS).
    pub fn in_use(&self) -> [u64; 3] {
        [&self.small, &self.input, &self.output]
            .map(|pool| (usize::from(pool.usable) - pool.free.len()) as u64)
    }

    pub fn has_output(&self) -> bool {
        !self.output.free.is_empty()
    }

    /// Whether there is a place for what a turn reads. Some are kept for those who `need` one.
    #[inline]
    pub fn has_input(&self, needs: bool) -> bool {
        let kept = if needs { 0 } else { self.input_kept };
        self.input.free.len() > kept
    }

    /// Whether there is a small place for so many bytes.
    pub fn has_small(&self, bytes: usize) -> bool {
        bytes <= SMALL_LEASE_BYTES && !self.small.free.is_empty()
    }

    /// Puts unexecuted input aside. `None` only if [`has_input`](Self::has_input) was not
    /// asked first.
    pub fn put_input(&mut self, bytes: &[u8]) -> Option<Lease> {
        let kind = if bytes.len() <= SMALL_LEASE_BYTES && !self.small.free.is_empty() {
            Kind::Small
        } else {
            Kind::Input
        };
        self.put(kind, bytes)
    }

    /// Puts unsent output aside. `None` only if [`has_output`](Self::has_output) was not
    /// asked first.
    pub fn put_output(&mut self, bytes: &[u8]) -> Option<Lease> {
        self.put(Kind::Output, bytes)
    }

    fn put(&mut self, kind: Kind, bytes: &[u8]) -> Option<Lease> {
        let pool = self.pool_mut(kind);
        let no = pool.free.pop()?;
        pool.bytes_mut(no)[..bytes.len()].copy_from_slice(bytes);
        Some(Lease {
            kind,
            no,
            start: 0,
            end: u16::try_from(bytes.len()).expect("a lease is small"),
        })
    }

    /// What `lease` still holds.
    pub fn bytes(&mut self, lease: &Lease) -> &[u8] {
        &self.pool_mut(lease.kind).bytes_mut(lease.no)
            [usize::from(lease.start)..usize::from(lease.end)]
    }

    /// Gives the buffer back.
    pub fn give(&mut self, lease: Lease) {
        let free = &mut self.pool_mut(lease.kind).free;
        debug_assert!(!free.contains(&lease.no), "given back twice");
        free.push(lease.no);
    }

    fn pool_mut(&mut self, kind: Kind) -> &mut Pool {
        match kind {
            Kind::Small => &mut self.small,
            Kind::Input => &mut self.input,
            Kind::Output => &mut self.output,
        }
    }
}

impl Lease {
    /// The first `n` of its bytes are no longer needed.
    pub fn advance(&mut self, n: usize) {
        self.start += u16::try_from(n).expect("a lease is small");
        debug_assert!(self.start <= self.end);
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether giving it back makes room for a whole inbox.
    pub fn is_input(&self) -> bool {
        self.kind == Kind::Input
    }

    /// How large it is, whatever is in it.
    pub fn size(&self) -> usize {
        match self.kind {
            Kind::Small => SMALL_LEASE_BYTES,
            Kind::Input => INBOX_BYTES,
            Kind::Output => OUTBOX_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::plan::QueuePlan;

    const QUEUES: QueuePlan = QueuePlan {
        small_count: 1,
        large_count: 1,
    };

    fn leases() -> Leases {
        Leases::new(&WorkerPlan {
            slot_count: 4,
            small_count: 1,
            input_count: 2,
            output_count: 1,
            leases_at_first: [1, 2, 1],
            queues: QUEUES,
        })
    }

    #[test]
    fn the_others_are_there_when_there_is_room_for_them() {
        let mut leases = Leases::new(&WorkerPlan {
            slot_count: 9,
            small_count: 3,
            input_count: 9,
            output_count: 4,
            leases_at_first: [1, 4, 2],
            queues: QUEUES,
        });
        let room = LeaseRoom::default();
        leases.follow(&room);
        assert!(!room.is_wanted());
        let first = leases.put_output(b"a").expect("one of two");
        leases.follow(&room);
        assert!(room.is_wanted() && !room.is_granted());
        let second = leases.put_output(b"b").expect("the other");
        assert!(!leases.has_output());
        room.grant();
        leases.follow(&room);
        assert_eq!(leases.in_use(), [0, 0, 2]);
        leases.give(second);
        // What was used is used again before what was not.
        let third = leases.put_output(b"c").expect("there are four");
        let fourth = leases.put_output(b"d").expect("there are four");
        assert_eq!([first.no, third.no, fourth.no], [0, 1, 2]);
        assert_eq!(leases.input_kept, 2);
        leases.follow(&room);
        assert_eq!(leases.in_use(), [0, 0, 3]);
    }

    #[test]
    fn what_is_put_aside_is_found_again() {
        let mut leases = leases();
        let first = leases.put_input(b"GET a").expect("free");
        let second = leases.put_input(b"GET b").expect("free");
        let mut third = leases.put_output(b"value").expect("free");
        assert_eq!(leases.bytes(&first), b"GET a");
        assert_eq!(leases.bytes(&second), b"GET b");
        third.advance(2);
        assert_eq!(leases.bytes(&third), b"lue");
        third.advance(3);
        assert!(third.is_empty());
    }

    #[test]
    fn pools_run_out_apart_and_leases_return() {
        let mut leases = leases();
        let small = leases.put_input(b"x").expect("a small one");
        let large = vec![b'y'; INBOX_BYTES];
        let first = leases.put_input(&large).expect("a large one");
        // A small one may take a large place when no small one is left.
        let second = leases.put_input(b"z").expect("a large one");
        assert!(!leases.has_input(false) && leases.has_output());
        assert!(leases.put_input(b"w").is_none());
        for lease in [small, first, second] {
            leases.give(lease);
        }
        assert!(leases.has_input(false) && leases.has_output());
        assert!(leases.put_input(&large).is_some());
    }
}
