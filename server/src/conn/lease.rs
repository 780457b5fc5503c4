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
//! All of it is allocated, and touched, when the worker starts.

use crate::memory::plan::{
    INBOX_BYTES, LEASES_BYTES_MAX, OUTBOX_BYTES, SMALL_LEASE_BYTES, WorkerPlan,
};

/// Buffers of one size.
struct Pool {
    bytes: Box<[u8]>,
    lease_bytes: usize,
    /// Numbers of the free ones; the last given back is the next taken, because it is warm.
    free: Vec<u16>,
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
}

impl Pool {
    fn new(count: usize, lease_bytes: usize) -> Self {
        // Not zero, so that every OS page is really there from now on.
        let bytes = vec![0xa5; count * lease_bytes].into_boxed_slice();
        let count = u16::try_from(count).expect("leases are counted in u16");
        Pool {
            bytes,
            lease_bytes,
            free: (0..count).rev().collect(),
        }
    }

    fn bytes_mut(&mut self, no: u16) -> &mut [u8] {
        let start = usize::from(no) * self.lease_bytes;
        &mut self.bytes[start..start + self.lease_bytes]
    }
}

impl Leases {
    pub fn new(plan: &WorkerPlan) -> Self {
        Leases {
            small: Pool::new(plan.small_count, SMALL_LEASE_BYTES),
            input: Pool::new(plan.input_count, INBOX_BYTES),
            output: Pool::new(plan.output_count, OUTBOX_BYTES),
            input_kept: plan.input_count / 4,
        }
    }

    /// How many are lent, by kind, in the order of [`LEASE_KINDS`](crate::observe::counters::LEASE_KINDS).
    pub fn in_use(&self) -> [u64; 3] {
        [&self.small, &self.input, &self.output]
            .map(|pool| (pool.bytes.len() / pool.lease_bytes - pool.free.len()) as u64)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases() -> Leases {
        Leases::new(&WorkerPlan {
            slot_count: 4,
            small_count: 1,
            input_count: 2,
            output_count: 1,
        })
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
