//! Workers that take turns at locks, reckoned: a closed network of queues, by mean value analysis.
//!
//! ```text
//!            ┌──────────── thinks: what needs no lock ────────────┐
//!  n workers ┤                                                    │
//!            └──► lock 0 │ lock 1 │ … │ lock 15: one at a time ───┘
//! ```
//!
//! Each worker goes round: it does what needs no lock, then, if the request is a store, it needs one lock for a while. The
//! sum over the locks of *demand* (how often times how long) is what a request spends under one. The recursion is exact for times that are
//! exponential (Reiser, Lavenberg, "Mean-Value Analysis of Closed Multichain Queuing Networks", JACM 1980). Real ones differ less from one another, and
//! then queues are shorter: so what it says of waiting is rather too much than too little. It knows
//! nothing of caches, of the cost of putting a thread to sleep, or of memory's bandwidth.

/// What `workers` get done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Requests a nanosecond, of all workers together.
    pub throughput: f64,
    /// Nanoseconds that a request waits for locks which others hold, in the mean.
    pub waits: f64,
    /// The share of the time in which the busiest lock is held, 0 to 1.
    pub busiest: f64,
}

/// A request: nanoseconds without any lock, and under each of them, in the mean over all requests.
#[derive(Clone, Debug)]
pub struct Request {
    /// What needs no lock.
    pub thinks: f64,
    /// A lock each.
    pub demands: Vec<f64>,
}

impl Request {
    /// One of which a share `stores` is under a lock for `held` nanoseconds: under each as often as `shares` says, which sum to 1.
    #[must_use]
    pub fn new(thinks: f64, stores: f64, held: f64, shares: &[f64]) -> Self {
        Request {
            thinks,
            demands: shares.iter().map(|share| share * stores * held).collect(),
        }
    }

    /// What `workers` (at least one) get done.
    #[must_use]
    pub fn by(&self, workers: usize) -> Outcome {
        let mut queued = vec![0.0; self.demands.len()];
        let mut outcome = Outcome {
            throughput: 0.0,
            waits: 0.0,
            busiest: 0.0,
        };
        let under: f64 = self.demands.iter().sum();
        let longest = self.demands.iter().copied().fold(0.0, f64::max);
        for count in 1..=workers {
            // Who comes finds what is there when one worker fewer goes round.
            let stays: Vec<f64> = self
                .demands
                .iter()
                .zip(&queued)
                .map(|(demand, queued)| demand * (1.0 + queued))
                .collect();
            let all: f64 = stays.iter().sum();
            let throughput = count as f64 / (self.thinks + all);
            queued = stays.iter().map(|stay| stay * throughput).collect();
            outcome = Outcome {
                throughput,
                waits: all - under,
                busiest: throughput * longest,
            };
        }
        outcome
    }

    /// How many workers' throughput the busiest lock allows, whatever their number.
    #[must_use]
    pub fn most_workers(&self) -> f64 {
        let longest = self.demands.iter().copied().fold(0.0, f64::max);
        (self.thinks + self.demands.iter().sum::<f64>()) / longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[track_caller]
    fn check(seen: f64, expected: f64) {
        assert!((seen / expected - 1.0).abs() < 1e-9, "{seen}, {expected}");
    }

    #[test]
    fn without_locks_workers_do_not_meet() {
        let reads = Request::new(250.0, 0.0, 100.0, &[0.0625; 16]);
        for workers in [1, 2, 64] {
            let outcome = reads.by(workers);
            check(outcome.throughput, workers as f64 / 250.0);
            assert_eq!((outcome.waits, outcome.busiest), (0.0, 0.0));
        }
    }

    /// Equal locks and nothing else: `n / (held × (n + locks − 1) / locks)`, a textbook's closed form.
    #[test]
    fn equal_locks_are_as_the_closed_form_says() {
        for locks in [1usize, 2, 16] {
            let stores = Request::new(0.0, 1.0, 80.0, &vec![1.0 / locks as f64; locks]);
            for workers in [1usize, 2, 7, 64] {
                let a_round = 80.0 / locks as f64 * (workers + locks - 1) as f64;
                check(stores.by(workers).throughput, workers as f64 / a_round);
            }
        }
    }

    /// One lock and a pause: the machine-repairman model, by its own formula (Erlang's loss).
    #[test]
    fn one_lock_and_a_pause_are_the_repairman() {
        let (thinks, held) = (300.0, 100.0);
        let request = Request::new(thinks, 1.0, held, &[1.0]);
        for workers in [1usize, 2, 5, 20] {
            // The chance that the lock is free: 1 / Σ n!/(n−k)! (held/thinks)^k.
            let (mut sum, mut term) = (1.0, 1.0);
            for k in 0..workers {
                term *= (workers - k) as f64 * held / thinks;
                sum += term;
            }
            let outcome = request.by(workers);
            check(outcome.throughput, (1.0 - 1.0 / sum) / held);
            check(outcome.busiest, 1.0 - 1.0 / sum);
        }
    }

    #[test]
    fn the_busiest_lock_is_the_end() {
        let shares = [0.125, 0.0625, 0.0625, 0.75];
        let request = Request::new(900.0, 0.5, 100.0, &shares);
        let one = request.by(1).throughput;
        check(request.most_workers(), 950.0 / 37.5);
        let many = request.by(10_000);
        assert!((many.throughput / one / request.most_workers() - 1.0).abs() < 1e-3);
        assert!(many.busiest <= 1.0 + 1e-9);
        // More workers never do less, and never more than their number.
        let mut before = one;
        for workers in 2..200 {
            let now = request.by(workers).throughput;
            let rises = now >= before * (1.0 - 1e-12);
            assert!(rises && now < one * workers as f64, "{workers}");
            before = now;
        }
    }

    /// The same network, played: each worker an event at a time, times drawn from the exponential distribution.
    #[test]
    fn a_game_of_events_agrees() {
        let shares = [0.4, 0.2, 0.2, 0.2];
        let (thinks, held, stores, workers) = (200.0, 100.0, 0.5, 6usize);
        let mut rng = Rng::new(11);
        let mut draw = |mean: f64| -mean * (1.0 - rng.unit()).ln();
        let mut dice = Rng::new(12);
        // When each worker comes to its next lock, and when each lock is free: who comes first has it first.
        let mut comes: Vec<f64> = (0..workers).map(|_| draw(thinks)).collect();
        let mut free = [0.0f64; 4];
        let (mut rounds, mut now) = (0u64, 0.0);
        while rounds < 400_000 {
            let next = (0..workers)
                .min_by(|&a, &b| comes[a].total_cmp(&comes[b]))
                .expect("there are some");
            now = comes[next];
            let mut ends = now;
            if dice.unit() < stores {
                let mut at = dice.unit();
                let lock = shares
                    .iter()
                    .position(|share| {
                        at -= share;
                        at < 0.0
                    })
                    .unwrap_or(3);
                ends = free[lock].max(now) + draw(held);
                free[lock] = ends;
            }
            comes[next] = ends + draw(thinks);
            rounds += 1;
        }
        let played = rounds as f64 / now;
        let reckoned = Request::new(thinks, stores, held, &shares)
            .by(workers)
            .throughput;
        assert!(
            (played / reckoned - 1.0).abs() < 0.01,
            "{played}, {reckoned}"
        );
    }
}
