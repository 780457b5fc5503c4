//! What is asked of each cache: operations, their keys, and how a share of them is timed.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::keys::{KeyBytes, uniform, zipf};
use crate::rng::{Rng, mix};
use crate::subjects::{BATCH_MAX, Subject};

/// Draws are made ahead of time; after so many they repeat.
const DRAWS: usize = 1 << 20;
/// Key numbers from here on are never stored by a load.
const ABSENT: u64 = 1 << 40;
/// Key numbers from here on are stored once.
const FRESH: u64 = 1 << 41;

/// An eighth of a share is played first and not timed: it brings the cache's own hot lines
/// back after another cache had its turn.
const WARM_UP_DIVISOR: usize = 8;

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A key that is there, zipf 0.99.
    HitZipf,
    /// A key that is there, all alike.
    HitUniform,
    /// A key that is not there, all alike: absent keys have no favourites.
    Miss,
    /// A value of equal length for a key that is there, zipf 0.99.
    Replace,
    /// Ten hits to one replace, zipf 0.99.
    Mixed,
    /// 32 hits handed over at once, zipf 0.99.
    Batch {
        /// Memory is asked for before it is read.
        ahead: bool,
    },
    /// A key never seen before, into a full cache.
    InsertEvict,
}

impl Op {
    /// As a table says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Op::HitZipf => "hit, zipf",
            Op::HitUniform => "hit, uniform",
            Op::Miss => "miss",
            Op::Replace => "replace, zipf",
            Op::Mixed => "10 hits : 1 replace",
            Op::Batch { ahead: false } => "batch of 32",
            Op::Batch { ahead: true } => "batch of 32, prefetched",
            Op::InsertEvict => "insert with eviction",
        }
    }
}

/// Keys and values of one size.
pub struct Workload {
    /// Items that are loaded.
    pub key_count: usize,
    /// Bytes of each value.
    pub value_len: usize,
    zipf: Box<[u32]>,
    uniform: Box<[u32]>,
    value: Box<[u8]>,
    /// The order in which keys are loaded, so that popular ones do not lie side by side.
    order: Box<[u32]>,
}

impl Workload {
    /// `key_count` items of `value_len` bytes.
    #[must_use]
    pub fn new(key_count: usize, value_len: usize) -> Self {
        let bound = key_count as u32;
        let mut order: Box<[u32]> = (0..bound).collect();
        Rng::new(3).shuffle(&mut order);
        Workload {
            key_count,
            value_len,
            zipf: zipf(bound, 0.99, DRAWS, 1),
            uniform: uniform(bound, DRAWS, 2),
            value: (0..value_len).map(|at| mix(at as u64) as u8).collect(),
            order,
        }
    }

    /// Key numbers, `DRAWS` of them.
    fn draws(&self, op: Op) -> &[u32; DRAWS] {
        match op {
            Op::HitUniform | Op::Miss => self.uniform.as_array().expect("so many were drawn"),
            _ => self.zipf.as_array().expect("so many were drawn"),
        }
    }
}

/// A share of work for one thread.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// What to do.
    pub op: Op,
    /// How often.
    pub ops: usize,
    /// Where in the draws to begin.
    pub from: usize,
}

/// A subject with a name, its operations compiled for it: a call a share, not a call an
/// operation, goes through the table.
pub trait Contestant: Send + Sync {
    /// As a table says it.
    fn name(&self) -> &str;
    /// Whether looking ahead differs from not doing so.
    fn looks_ahead(&self) -> bool;
    /// Stores every key of the workload.
    fn load(&self, workload: &Workload);
    /// Carries a share out; how many lookups found a value.
    fn play(&self, workload: &Workload, share: Share) -> usize;
}

/// The [`Contestant`] that a [`Subject`] is.
pub struct Entry<S> {
    name: &'static str,
    subject: S,
    fresh: AtomicU64,
}

impl<S: Subject> Entry<S> {
    /// Under `name`.
    pub fn new(name: &'static str, subject: S) -> Self {
        Entry {
            name,
            subject,
            fresh: AtomicU64::new(FRESH),
        }
    }

    #[inline(always)]
    fn get(&self, id: u64, out: &mut [u8]) -> usize {
        let found = self.subject.get(KeyBytes::of(id).as_slice(), out);
        black_box(&mut *out);
        usize::from(found.is_some())
    }
}

impl<S: Subject> Contestant for Entry<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn looks_ahead(&self) -> bool {
        S::LOOKS_AHEAD
    }

    fn load(&self, workload: &Workload) {
        for &id in &workload.order {
            self.subject
                .put(KeyBytes::of(u64::from(id)).as_slice(), &workload.value);
        }
    }

    #[inline(never)]
    fn play(&self, workload: &Workload, share: Share) -> usize {
        let value = &*workload.value;
        let mut out = vec![0; workload.value_len * BATCH_MAX];
        let (out_one, _) = out.split_at_mut(workload.value_len);
        let draws = workload.draws(share.op);
        let mut at = share.from;
        let mut next = || {
            at += 1;
            u64::from(draws[at % DRAWS])
        };
        let put = |id| self.subject.put(KeyBytes::of(id).as_slice(), value);
        let mut hits = 0;
        match share.op {
            Op::HitZipf | Op::HitUniform => {
                for _ in 0..share.ops {
                    hits += self.get(next(), out_one);
                }
            }
            Op::Miss => {
                for _ in 0..share.ops {
                    hits += self.get(ABSENT + next(), out_one);
                }
            }
            Op::Replace => {
                for _ in 0..share.ops {
                    put(next());
                }
            }
            Op::Mixed => {
                for op_no in 0..share.ops {
                    if op_no % 11 == 10 {
                        put(next());
                    } else {
                        hits += self.get(next(), out_one);
                    }
                }
            }
            Op::Batch { ahead } => {
                let mut keys = [KeyBytes::default(); BATCH_MAX];
                for _ in 0..share.ops / BATCH_MAX {
                    keys.fill_with(|| KeyBytes::of(next()));
                    hits += self.subject.get_batch(&keys, &mut out, ahead);
                    black_box(&mut out);
                }
            }
            Op::InsertEvict => {
                let first = self.fresh.fetch_add(share.ops as u64, Relaxed);
                (first..first + share.ops as u64).for_each(put);
            }
        }
        hits
    }
}

/// Which time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// What the thread used of a processor: on a busy machine, what others used is not in it.
    /// A thread that sleeps on a lock uses none.
    Cpu,
    /// What passed.
    Wall,
}

/// What a share took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The mean over the threads.
    pub elapsed: Duration,
    /// Lookups that found a value, over all threads.
    pub hits: usize,
}

/// What this thread has used of a processor.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timed(contestant: &dyn Contestant, workload: &Workload, share: Share, clock: Clock) -> Timing {
    let warm_up = Share {
        ops: share.ops / WARM_UP_DIVISOR,
        from: share.from + share.ops,
        ..share
    };
    contestant.play(workload, warm_up);
    match clock {
        Clock::Cpu => {
            let from = cpu_time();
            let hits = contestant.play(workload, share);
            Timing {
                elapsed: cpu_time() - from,
                hits,
            }
        }
        Clock::Wall => {
            let from = Instant::now();
            let hits = contestant.play(workload, share);
            Timing {
                elapsed: from.elapsed(),
                hits,
            }
        }
    }
}

/// Runs `share` on each of `threads` threads at once, each from another place in the draws.
///
/// # Panics
/// When a thread did.
pub fn time(
    contestant: &dyn Contestant,
    workload: &Workload,
    share: Share,
    threads: usize,
    clock: Clock,
) -> Timing {
    if threads == 1 {
        return timed(contestant, workload, share, clock);
    }
    let barrier = Barrier::new(threads);
    let timings: Vec<Timing> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let share = Share {
                    from: share.from + thread * DRAWS / threads,
                    ..share
                };
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    timed(contestant, workload, share, clock)
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("no share panics"))
            .collect()
    });
    Timing {
        elapsed: timings
            .iter()
            .map(|timing| timing.elapsed)
            .sum::<Duration>()
            / threads as u32,
        hits: timings.iter().map(|timing| timing.hits).sum(),
    }
}
