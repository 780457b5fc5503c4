//! Everything at once: a worker that executes a transaction keeps the others from executing anything meanwhile.
//!
//! Each worker holds a gate of its own while it executes requests of a turn. Nobody else wants it as a rule, so that
//! costs two instructions on a line in its own cache. Who wants to be alone
//!
//! 1. takes the lock that only one has (`alone`),
//! 2. says that the gates are closed,
//! 3. and waits at each other gate until who was inside has come out: a turn.
//!
//! Who comes to a closed gate waits for that lock, and goes through its gate before it gives the lock back, so that two
//! workers full of transactions do not lock out a third.
//!
//! Order of the locks: `alone` before any gate; nobody waits for anything with a gate in hand.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::{Mutex, MutexGuard};

/// A cache line and its neighbour's.
#[repr(align(128))]
#[derive(Default)]
struct Gate(Mutex<()>);

/// The gates of all workers.
pub struct Gates {
    gates: Box<[Gate]>,
    are_closed: AtomicBool,
    alone: Mutex<()>,
}

/// Leave to execute requests, until it is dropped.
pub struct Leave<'g> {
    gates: &'g Gates,
    worker_no: usize,
    held: Held<'g>,
}

enum Held<'g> {
    /// There are no others.
    Nothing,
    /// Beside the other workers.
    Gate { _gate: MutexGuard<'g, ()> },
    /// Alone.
    All(Option<MutexGuard<'g, ()>>),
}

impl Gates {
    #[must_use]
    pub fn new(worker_count: usize) -> Self {
        // One worker needs none.
        let count = if worker_count == 1 { 0 } else { worker_count };
        Gates {
            gates: (0..count).map(|_| Gate::default()).collect(),
            are_closed: AtomicBool::new(false),
            alone: Mutex::new(()),
        }
    }

    /// Leave for a worker to execute requests beside the others; waits while another is alone.
    #[inline(always)]
    pub fn enter(&self, worker_no: usize) -> Leave<'_> {
        let held = match self.gates.get(worker_no) {
            None => Held::Nothing,
            Some(gate) => {
                let gate = gate.0.lock();
                let gate = match self.are_closed.load(SeqCst) {
                    false => gate,
                    true => {
                        drop(gate);
                        self.enter_next(worker_no)
                    }
                };
                Held::Gate { _gate: gate }
            }
        };
        Leave {
            gates: self,
            worker_no,
            held,
        }
    }

    #[cold]
    fn enter_next(&self, worker_no: usize) -> MutexGuard<'_, ()> {
        // Nobody is alone while this lock is ours.
        let _alone = self.alone.lock();
        self.gates[worker_no].0.lock()
    }
}

impl<'g> Leave<'g> {
    /// Has all others stay outside, when those who are inside have come out. Others may have been inside in between.
    pub fn be_alone(self) -> Leave<'g> {
        let (gates, worker_no) = (self.gates, self.worker_no);
        drop(self);
        let alone = gates.alone.lock();
        gates.are_closed.store(true, SeqCst);
        for (_, gate) in gates
            .gates
            .iter()
            .enumerate()
            .filter(|&(no, _)| no != worker_no)
        {
            drop(gate.0.lock());
        }
        Leave {
            gates,
            worker_no,
            held: Held::All(Some(alone)),
        }
    }

    /// Lets the others in again.
    pub fn be_beside(self) -> Leave<'g> {
        let (gates, worker_no) = (self.gates, self.worker_no);
        drop(self);
        gates.enter(worker_no)
    }

    /// Whether no other worker executes anything.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        matches!(self.held, Held::All(_))
    }
}

impl Drop for Leave<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Held::All(alone) = &mut self.held {
            self.gates.are_closed.store(false, SeqCst);
            // To who has waited for longest.
            if let Some(alone) = alone.take() {
                MutexGuard::unlock_fair(alone);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::thread;

    /// Two numbers that are only changed together by who is alone, and looked at by all.
    #[test]
    fn who_is_alone_is_alone() {
        let gates = Gates::new(3);
        let pair = [AtomicU64::new(0), AtomicU64::new(0)];
        thread::scope(|scope| {
            for worker_no in 0..3 {
                let (gates, pair) = (&gates, &pair);
                scope.spawn(move || {
                    for round in 0..2000 {
                        let leave = gates.enter(worker_no);
                        assert_eq!(pair[0].load(Relaxed), pair[1].load(Relaxed));
                        if round % 3 == 0 {
                            let leave = leave.be_alone();
                            assert!(leave.is_alone());
                            let sum = pair[0].load(Relaxed) + 1;
                            pair[0].store(sum, Relaxed);
                            thread::yield_now();
                            pair[1].store(sum, Relaxed);
                            let leave = leave.be_beside();
                            assert!(!leave.is_alone());
                        }
                    }
                });
            }
        });
        assert_eq!(pair[0].load(Relaxed), 3 * 667);
    }
}
