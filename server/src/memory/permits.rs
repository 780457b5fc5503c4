//! Who may have a long value on its way, in pieces, over all workers.
//!
//! Such a value holds memory that cannot be evicted meanwhile, so each is charged by its length against a budget. There
//! are two: short values have one of their own, so that none of them waits behind a long one that its peer takes or
//! sends slowly.
//!
//! Each budget is given out first come, first served. Whoever finds nothing left, or somebody waiting, stands in a queue of
//! its worker's, with a number that is higher than all that were given out before. Each worker tells the number at the head
//! of its queue, and only the lowest of them is served. What is given back wakes the worker whose turn it is; who gave it
//! back and wants more stands behind all who wait.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

use flagstone_engine::Tick;
use parking_lot::Mutex;

use super::costs::{CHARGE_MIN, SHORT_BYTES};
use crate::memory::plan::transfers::TransferPlan;

/// Which budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Values below [`SHORT_BYTES`].
    Short,
    /// Others.
    Long,
}

/// What a transfer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Of which budget.
    pub kind: Kind,
    /// How much.
    pub bytes: usize,
}

/// The wish of somebody who waits.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What it would hold.
    pub charge: Charge,
    /// Lower came earlier.
    pub number: u64,
    /// When it came.
    pub since: Tick,
}

/// Both budgets.
#[derive(Debug)]
pub struct Permits {
    budgets: [Budget; 2],
    next_number: AtomicU64,
    /// How each worker is made to look at its queues.
    workers: Box<[OnceLock<Waker>]>,
}

#[derive(Debug)]
struct Budget {
    /// In all queues.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below 0 if a value has grown between being looked up and being held.
    left: isize,
    /// Of each worker, who is at the head of its queue.
    heads: Box<[Option<u64>]>,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::Short, Kind::Long];
}

impl Charge {
    /// For a value of so many bytes.
    #[must_use]
    pub fn of(value_len: usize) -> Self {
        Charge {
            kind: if value_len < SHORT_BYTES {
                Kind::Short
            } else {
                Kind::Long
            },
            bytes: value_len.max(CHARGE_MIN),
        }
    }
}

impl State {
    /// The worker whose turn it is.
    fn next(&self) -> Option<usize> {
        let heads = self.heads.iter().enumerate();
        let waiting = heads.filter_map(|(worker_no, head)| Some((head.as_ref()?, worker_no)));
        waiting.min().map(|(_, worker_no)| worker_no)
    }

    fn take(&mut self, bytes: usize) -> bool {
        let left = self.left - isize::try_from(bytes).unwrap_or(isize::MAX);
        let is_enough = left >= 0;
        if is_enough {
            self.left = left;
        }
        is_enough
    }
}

impl Permits {
    /// For so many workers.
    #[must_use]
    pub fn new(plan: &TransferPlan, workers: usize) -> Self {
        let budget = |bytes: usize| Budget {
            waiting: AtomicUsize::new(0),
            state: Mutex::new(State {
                left: isize::try_from(bytes).unwrap_or(isize::MAX),
                heads: vec![None; workers].into(),
            }),
        };
        Permits {
            budgets: [budget(plan.short_bytes), budget(plan.long_bytes)],
            next_number: AtomicU64::new(0),
            workers: (0..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Says how a worker is woken.
    pub fn set_worker(&self, worker_no: usize, waker: Waker) {
        let _ = self.workers[worker_no].set(waker);
    }

    fn budget(&self, kind: Kind) -> &Budget {
        &self.budgets[kind as usize]
    }

    /// Takes it at once, if it is there and nobody waits.
    pub fn take(&self, charge: Charge) -> bool {
        let budget = self.budget(charge.kind);
        // Nothing is published by a permit: the engine's own locks guard the memory.
        budget.waiting.load(Relaxed) == 0 && budget.state.lock().take(charge.bytes)
    }

    /// Takes more, or gives some back, for a value that is not as long as it was.
    pub fn correct(&self, before: Charge, after: Charge) {
        if before != after {
            let bytes = isize::try_from(after.bytes).unwrap_or(isize::MAX);
            self.budget(after.kind).state.lock().left -= bytes;
            self.give(before);
        }
    }

    /// Takes it whether it is there or not: the memory is held already.
    pub fn owe(&self, charge: Charge) {
        let bytes = isize::try_from(charge.bytes).unwrap_or(isize::MAX);
        self.budget(charge.kind).state.lock().left -= bytes;
    }

    /// Gives it back.
    pub fn give(&self, charge: Charge) {
        let budget = self.budget(charge.kind);
        let mut state = budget.state.lock();
        state.left += isize::try_from(charge.bytes).unwrap_or(isize::MAX);
        let next = state.next();
        drop(state);
        self.wake(next);
    }

    fn wake(&self, worker_no: Option<usize>) {
        if let Some(waker) = worker_no.and_then(|no| self.workers[no].get()) {
            waker.wake_by_ref();
        }
    }

    /// A place at the end of the queue.
    pub fn queue(&self, charge: Charge, since: Tick) -> Wish {
        self.budget(charge.kind).waiting.fetch_add(1, Relaxed);
        Wish {
            charge,
            number: self.next_number.fetch_add(1, Relaxed),
            since,
        }
    }

    /// So many wishes of a worker's are given up.
    pub fn give_up(&self, kind: Kind, count: usize) {
        self.budget(kind).waiting.fetch_sub(count, Relaxed);
    }

    /// How many wait.
    pub fn waiting(&self, kind: Kind) -> usize {
        self.budget(kind).waiting.load(Relaxed)
    }

    /// `wish` is the first in a worker's queue; `None`: nobody stands there. True: it is fulfilled.
    pub fn serve(&self, kind: Kind, worker_no: usize, wish: Option<Wish>) -> bool {
        let budget = self.budget(kind);
        let mut state = budget.state.lock();
        let before = state.heads[worker_no];
        state.heads[worker_no] = wish.map(|wish| wish.number);
        let mine =
            wish.filter(|wish| state.next() == Some(worker_no) && state.take(wish.charge.bytes));
        if mine.is_some() {
            state.heads[worker_no] = None;
            budget.waiting.fetch_sub(1, Relaxed);
        }
        // If its place at the front is free, it is another's turn.
        let is_left = before.is_some() && state.heads[worker_no] != before;
        let next = state
            .next()
            .filter(|&next| next != worker_no && (mine.is_some() || is_left));
        drop(state);
        self.wake(next);
        mine.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 1 << 20;

    fn permits() -> Permits {
        let plan = TransferPlan {
            short_bytes: 4 * CHARGE_MIN,
            long_bytes: 2 * LONG,
            places: 8,
        };
        Permits::new(&plan, 2)
    }

    #[test]
    fn each_kind_runs_out_apart_and_returns() {
        let permits = permits();
        let (long, short) = (Charge::of(LONG), Charge::of(1));
        assert!(permits.take(long) && permits.take(long));
        assert!(!permits.take(long));
        assert!((0..4).all(|_| permits.take(short)));
        assert!(!permits.take(short));
        permits.give(long);
        permits.give(short);
        assert!(permits.take(long) && permits.take(short));
    }

    #[test]
    fn first_come_first_served_over_all_workers() {
        let permits = permits();
        let whole = Charge::of(2 * LONG);
        assert!(permits.take(whole));
        let first = permits.queue(Charge::of(LONG), Tick::ZERO);
        let second = permits.queue(Charge::of(LONG), Tick::ZERO);
        assert!(!permits.serve(Kind::Long, 1, Some(first)));
        assert!(!permits.serve(Kind::Long, 0, Some(second)));
        permits.give(whole);
        // Who comes now, and who comes later than the other, has to wait.
        assert!(!permits.take(Charge::of(LONG)));
        assert!(!permits.serve(Kind::Long, 0, Some(second)));
        assert!(permits.serve(Kind::Long, 1, Some(first)));
        assert!(permits.serve(Kind::Long, 0, Some(second)));
        assert_eq!(permits.waiting(Kind::Long), 0);
        assert!(!permits.take(Charge::of(LONG)));
    }

    #[test]
    fn who_gives_up_keeps_nobody_waiting() {
        let permits = permits();
        let whole = Charge::of(2 * LONG);
        assert!(permits.take(whole));
        let first = permits.queue(whole, Tick::ZERO);
        let second = permits.queue(whole, Tick::ZERO);
        assert!(!permits.serve(Kind::Long, 0, Some(first)));
        assert!(!permits.serve(Kind::Long, 1, Some(second)));
        permits.give(whole);
        permits.give_up(Kind::Long, 1);
        assert!(!permits.serve(Kind::Long, 0, None));
        assert!(permits.serve(Kind::Long, 1, Some(second)));
    }
}
