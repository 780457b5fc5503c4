//! Which slots of a worker have something to do.
//!
//! One bit a slot, and one summary bit for each 64 of them:
//!
//! ```text
//!   summary   0 0 1 0 …        slots 128 to 191 have something to do
//!   words     … [2]: 0 1 0 0 1 …   namely 129 and 132
//! ```
//!
//! A wake sets a bit; a pass over the worker's connections takes the bits and gives each slot
//! one turn. So a slot that is woken often has one turn a pass like every other, waking
//! allocates nothing, and there is no queue that could grow. A worker that sleeps is woken by an eventfd, which its epoll
//! knows; one that does not looks at the bits before it sleeps, and waking it is no system call.
//!
//! Each slot's [`Waker`] is made once, when the worker starts, and serves every connection
//! that ever lives in the slot. A wake that comes late, for a connection that has gone, is a
//! turn for nothing and harmless.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Relaxed, Ordering::SeqCst,
};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

/// The set of slots with something to do.
pub struct ReadySet {
    summary: Box<[AtomicU64]>,
    words: Box<[AtomicU64]>,
    /// The worker sleeps, or is about to.
    is_asleep: AtomicBool,
    /// Readable when it was woken from that.
    bell: OwnedFd,
}

struct SlotWaker {
    ready: Arc<ReadySet>,
    slot_no: usize,
}

impl ReadySet {
    pub fn new(slot_count: usize) -> io::Result<Arc<Self>> {
        let words = slot_count.div_ceil(64);
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Ok(Arc::new(ReadySet {
            summary: zeros(words.div_ceil(64)),
            words: zeros(words),
            is_asleep: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        }))
    }

    /// What tells the worker's epoll that it was woken.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Makes the waker of one slot.
    pub fn waker(self: &Arc<Self>, slot_no: usize) -> Waker {
        Waker::from(Arc::new(SlotWaker {
            ready: Arc::clone(self),
            slot_no,
        }))
    }

    /// Gives a slot a turn in the next pass. From any thread.
    #[inline]
    pub fn wake(&self, slot_no: usize) {
        self.mark(slot_no);
        // SeqCst: either this sees that the worker is about to sleep, or the worker sees the bit.
        if self.is_asleep.load(SeqCst) {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        // Of many who see that it sleeps one rings.
        if self.is_asleep.swap(false, AcqRel) {
            // The counter cannot be full: it counts sleeps.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Before the worker sleeps. False: there is something to do, and it must not.
    pub fn may_sleep(&self) -> bool {
        self.is_asleep.store(true, SeqCst);
        if self.any() {
            self.is_asleep.store(false, Relaxed);
            return false;
        }
        true
    }

    /// The worker has slept, or has not.
    pub fn awake(&self) {
        self.is_asleep.store(false, Relaxed);
    }

    /// Sets the bit.
    fn mark(&self, slot_no: usize) {
        let word_no = slot_no / 64;
        // Pairs with `take`: what the waker did is seen by the turn that follows. SeqCst for `wake`.
        let before = self.words[word_no].fetch_or(1 << (slot_no % 64), SeqCst);
        if before == 0 {
            // The word's bit comes before its summary bit, so a summary bit that is seen
            // leads to the word; one that is seen too early leads to nothing.
            self.summary[word_no / 64].fetch_or(1 << (word_no % 64), SeqCst);
        }
    }

    /// Takes every bit and calls `turn` with its slot. Slots woken meanwhile have their turn
    /// in this pass or the next.
    pub fn take(&self, mut turn: impl FnMut(usize)) {
        for (group_no, group) in self.summary.iter().enumerate() {
            // Nearly always nobody but epoll has something to say.
            if group.load(Relaxed) == 0 {
                continue;
            }
            let mut group_bits = group.swap(0, AcqRel);
            while group_bits != 0 {
                let word_no = group_no * 64 + group_bits.trailing_zeros() as usize;
                group_bits &= group_bits - 1;
                let mut bits = self.words[word_no].swap(0, AcqRel);
                while bits != 0 {
                    turn(word_no * 64 + bits.trailing_zeros() as usize);
                    bits &= bits - 1;
                }
            }
        }
    }

    /// Whether any slot has something to do.
    pub fn any(&self) -> bool {
        self.summary.iter().any(|group| group.load(SeqCst) != 0)
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.ready.wake(self.slot_no);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.wake(self.slot_no);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::events::{Events, epoll};
    use std::sync::atomic::Ordering::Acquire;
    use std::time::Instant;

    fn taken(ready: &ReadySet) -> Vec<usize> {
        let mut slots = Vec::new();
        ready.take(|slot_no| slots.push(slot_no));
        slots
    }

    #[test]
    fn every_woken_slot_has_one_turn() {
        let ready = ReadySet::new(10_000).unwrap();
        assert!(!ready.any());
        assert!(taken(&ready).is_empty());
        for slot_no in [9_999, 0, 63, 64, 4_095, 4_096, 64] {
            ready.waker(slot_no).wake();
        }
        assert!(ready.any());
        assert_eq!(taken(&ready), [0, 63, 64, 4_095, 4_096, 9_999]);
        assert!(!ready.any());
    }

    #[test]
    fn a_slot_that_wakes_itself_has_its_next_turn_in_the_next_pass() {
        let ready = ReadySet::new(3).unwrap();
        ready.wake(1);
        let mut turns = 0;
        ready.take(|slot_no| {
            turns += 1;
            ready.wake(slot_no);
        });
        assert_eq!(turns, 1);
        assert!(ready.any());
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        let ready = ReadySet::new(256).unwrap();
        let woken: Vec<AtomicU64> = (0..256).map(|_| AtomicU64::new(0)).collect();
        let seen: Vec<AtomicU64> = (0..256).map(|_| AtomicU64::new(0)).collect();
        let pass = || {
            ready.take(|slot_no| {
                let now = woken[slot_no].load(Acquire);
                seen[slot_no].store(now, std::sync::atomic::Ordering::Release);
            });
        };
        std::thread::scope(|scope| {
            for part in 0..4 {
                let (ready, woken) = (&ready, &woken);
                scope.spawn(move || {
                    for round in 0..20_000usize {
                        let slot_no = (round * 7 + part * 64) % 256;
                        woken[slot_no].fetch_add(1, AcqRel);
                        ready.wake(slot_no);
                    }
                });
            }
            for _ in 0..2_000 {
                pass();
            }
        });
        pass();
        for (slot_no, (woken, seen)) in woken.iter().zip(&seen).enumerate() {
            assert_eq!(woken.load(Acquire), seen.load(Acquire), "slot {slot_no}");
        }
    }

    #[test]
    fn a_worker_that_sleeps_is_woken_each_time() {
        const NANOS: u64 = 60_000_000_000;
        let ready = ReadySet::new(100).unwrap();
        let waker = ready.waker(77);
        let mut events = Events::new(&epoll(ready.bell()).unwrap());
        for _ in 0..1000 {
            let began = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| waker.wake_by_ref());
                while !ready.any() {
                    if ready.may_sleep() {
                        events.wait(NANOS);
                    }
                    ready.awake();
                }
            });
            assert!(
                began.elapsed().as_nanos() < u128::from(NANOS) / 2,
                "it slept on"
            );
            assert_eq!(taken(&ready), [77]);
            // Nobody rings for one who is awake.
            waker.wake_by_ref();
            assert!(!ready.may_sleep());
            assert_eq!(taken(&ready), [77]);
        }
    }
}
