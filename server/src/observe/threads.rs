//! What each thread that serves has counted, how long its requests took, and whether it still gets on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use flagstone_engine::Tick;

use super::counters::{Counters, Totals};
use super::latency::Latencies;
use super::liveness::{Liveness, Look, judge};
use super::stores::{self, AllStored};
use crate::clock::{thread_cpu_micros, thread_id};

/// The workers and the acceptor.
pub struct Threads {
    /// One a worker, each written by that worker alone.
    counters: Vec<Counters>,
    /// Likewise.
    latencies: Vec<Latencies>,
    /// When the acceptor's thread last made its round, in milliseconds of the clock.
    seen_alive: AtomicU64,
    /// When they all began, in milliseconds.
    begun: u64,
    /// What it had used of the CPU then, and its number in the kernel.
    acceptor_cpu_micros: AtomicU64,
    acceptor_id: AtomicU64,
}

impl Threads {
    /// Of so many workers, and of the thread that calls this: the acceptor's.
    pub fn new(worker_count: usize, begun: Tick) -> Self {
        let workers = 0..worker_count;
        Threads {
            counters: workers.clone().map(|_| Counters::default()).collect(),
            latencies: workers.map(|_| Latencies::default()).collect(),
            seen_alive: AtomicU64::new(begun.as_millis()),
            begun: begun.as_millis(),
            acceptor_cpu_micros: AtomicU64::new(0),
            acceptor_id: AtomicU64::new(thread_id()),
        }
    }

    /// The counters of one worker.
    pub fn counters(&self, worker_no: usize) -> &Counters {
        &self.counters[worker_no]
    }

    /// The counters of each worker.
    pub fn all_counters(&self) -> impl Iterator<Item = &Counters> + Clone {
        self.counters.iter()
    }

    /// The durations of one worker.
    pub fn latencies(&self, worker_no: usize) -> &Latencies {
        &self.latencies[worker_no]
    }

    /// The durations of all workers.
    pub fn all_latencies(&self) -> impl Iterator<Item = &Latencies> + Clone {
        self.latencies.iter()
    }

    /// The counters of all workers, summed.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.counters {
            totals.add(counters);
        }
        totals
    }

    /// The values that all workers stored, by protocol.
    pub fn stored(&self) -> AllStored {
        stores::stored(self.counters.iter().map(|counters| &counters.stores))
    }

    /// The acceptor's thread has made its round.
    pub fn note_round(&self, now: Tick) {
        self.seen_alive.store(now.as_millis(), Relaxed);
        self.acceptor_cpu_micros.store(thread_cpu_micros(), Relaxed);
        self.acceptor_id.store(thread_id(), Relaxed);
    }

    /// How the thread fares that fares worst.
    pub fn liveness(&self, now: Tick) -> Liveness {
        let silent_for = |seen: u64| {
            // Not warm yet is not silent.
            let seen = seen.max(self.begun);
            Duration::from_millis(now.as_millis().saturating_sub(seen))
        };
        let worker = |counters: &Counters| {
            let thread_id = counters.thread_id.get();
            let cpu_micros = counters.cpu_micros.get();
            judge(silent_for(counters.seen_alive.get()), cpu_micros, || {
                Look::at(thread_id)
            })
        };
        let acceptor = judge(
            silent_for(self.seen_alive.load(Relaxed)),
            self.acceptor_cpu_micros.load(Relaxed),
            || Look::at(self.acceptor_id.load(Relaxed)),
        );
        self.counters
            .iter()
            .map(worker)
            .fold(acceptor, |worst, one| worst.max(one))
    }

    /// For how long the thread has shown no sign of life that has shown none for longest.
    pub fn silent_for(&self, now: Tick) -> Duration {
        let workers = self.counters.iter().map(|counters| {
            // Not warm yet is not silent.
            counters.seen_alive.get().max(self.begun)
        });
        let acceptor = self.seen_alive.load(Relaxed);
        let oldest = workers.chain([acceptor]).min().unwrap_or(acceptor);
        Duration::from_millis(now.as_millis().saturating_sub(oldest))
    }
}
