//! What 1 to 64 workers would get done with sixteen writers' locks: reckoned from what one thread takes on this machine, and
//! compared with two threads that really run.
//!
//! ```text
//! many_cores [--rounds 7] [--ops 300000] [--outside 0,160,4400]
//! ```
//!
//! Measured are, in nanoseconds of one thread's CPU: to make a key and hash it, a read with it, and a store over a value of the same length. What
//! a store takes beside the key counts as held under the lock, which is a little too much. `--outside` is what a request costs beside
//! the engine, in nanoseconds: nothing for a program that has the cache in itself, and the others for a
//! server (`benches/RESULTS.md`: what a server that looks nothing up takes for one of 32 requests at a time, and for one alone).
//!
//! What it leaves out is said in docs/decisions/0096: lines that wander between caches, sleeping, sockets, memory's bandwidth.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::Instant;

use flagstone_benches::args::Args;
use flagstone_benches::keys::{KeyBytes, NOW, put, uniform, zipf};
use flagstone_benches::queueing::Request;
use flagstone_benches::rng::{Rng, mix};
use flagstone_benches::rows::cpu_time;
use flagstone_engine::{Attributes, Cache, Key, Options, Plan};

const KEYS: u32 = 1_000_000;
const VALUE_BYTES: usize = 64;
const EXPONENT: f64 = 0.99;
const SHARDS: usize = 16;
const DRAWS: usize = 1 << 20;
/// Seeds of which the one in the middle is taken: its hottest shard is as hot as half of all caches'.
const SEEDS: u64 = 101;
const WORKERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// One in so many is a store; none.
#[derive(Clone, Copy, PartialEq)]
struct Mix {
    name: &'static str,
    store_every: Option<usize>,
}

const MIXES: [Mix; 3] = [
    Mix {
        name: "reads",
        store_every: None,
    },
    Mix {
        name: "10 reads : 1 store",
        store_every: Some(11),
    },
    Mix {
        name: "stores",
        store_every: Some(1),
    },
];

impl Mix {
    fn stores(self) -> f64 {
        self.store_every.map_or(0.0, |every| 1.0 / every as f64)
    }
}

/// Which keys are asked for: draws, and how often each shard is meant.
struct Popularity {
    name: &'static str,
    draws: Box<[u32]>,
    shares: Vec<f64>,
}

/// The share of the most popular key, and those of the shards, the hottest last, in a cache that is as unlucky as half of them.
fn zipf_shares() -> (f64, Vec<f64>) {
    let weights: Vec<f64> = (1..=KEYS)
        .map(|rank| f64::from(rank).powf(-EXPONENT))
        .collect();
    let all: f64 = weights.iter().sum();
    let mut seeds: Vec<Vec<f64>> = (0..SEEDS)
        .map(|seed| {
            let mut shares = vec![0.0; SHARDS];
            for (id, weight) in (0u64..).zip(&weights) {
                shares[(mix(id ^ seed << 32) >> 60) as usize] += weight / all;
            }
            shares.sort_by(f64::total_cmp);
            shares
        })
        .collect();
    seeds.sort_by(|a, b| a[SHARDS - 1].total_cmp(&b[SHARDS - 1]));
    (weights[0] / all, seeds.swap_remove(SEEDS as usize / 2))
}

/// Asks for `ops` of the draws from `from` on.
#[inline(never)]
fn play(cache: &Cache, draws: &[u32], (from, ops): (usize, usize), mix: Mix) {
    let value = [7; VALUE_BYTES];
    let mut out = [0; VALUE_BYTES];
    let every = mix.store_every.unwrap_or(usize::MAX);
    for at in 0..ops {
        let id = draws[(from + at) % draws.len()];
        let bytes = KeyBytes::of(u64::from(id));
        let key = cache.key(bytes.as_slice()).expect("a valid key");
        if at % every == every - 1 {
            cache
                .put(key, &value, Attributes::default(), NOW)
                .expect("room");
        } else {
            black_box(cache.get(key, NOW, &mut out));
            black_box(&mut out);
        }
    }
}

/// What comes before a read and a store alike.
#[inline(never)]
fn make_keys(cache: &Cache, draws: &[u32], (from, ops): (usize, usize)) {
    for at in 0..ops {
        let id = draws[(from + at) % draws.len()];
        let bytes = KeyBytes::of(u64::from(id));
        black_box(cache.key(bytes.as_slice()).expect("a valid key"));
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Machine<'c> {
    cache: &'c Cache,
    rounds: usize,
    ops: usize,
}

/// Nanoseconds an operation.
#[derive(Clone, Copy)]
struct Costs {
    key: f64,
    read: f64,
    store: f64,
}

impl Costs {
    fn request(self, mix: Mix, outside: f64, shares: &[f64]) -> Request {
        let stores = mix.stores();
        let thinks = outside + (1.0 - stores) * self.read + stores * self.key;
        Request::new(thinks, stores, self.store - self.key, shares)
    }
}

impl Machine<'_> {
    /// One thread's CPU time an operation.
    fn cpu(&self, mut work: impl FnMut((usize, usize))) -> f64 {
        let mut rounds: Vec<f64> = (0..self.rounds)
            .map(|round| {
                let from = round * self.ops;
                work((from, self.ops / 8));
                let begun = cpu_time();
                work((from, self.ops));
                (cpu_time() - begun).as_nanos() as f64 / self.ops as f64
            })
            .collect();
        median(&mut rounds)
    }

    fn costs(&self, draws: &[u32]) -> Costs {
        let [reads, _, stores] = MIXES;
        Costs {
            key: self.cpu(|span| make_keys(self.cache, draws, span)),
            read: self.cpu(|span| play(self.cache, draws, span, reads)),
            store: self.cpu(|span| play(self.cache, draws, span, stores)),
        }
    }

    /// Requests a nanosecond of so many threads, by the wall's clock.
    fn really(&self, draws: &[u32], mix: Mix, threads: usize) -> f64 {
        let mut rounds: Vec<f64> = (0..self.rounds)
            .map(|round| {
                let barrier = Barrier::new(threads);
                let (barrier, cache, ops) = (&barrier, self.cache, self.ops);
                let took = std::thread::scope(|scope| {
                    let workers: Vec<_> = (0..threads)
                        .map(|no| {
                            let from = (2 * round + no) * draws.len() / 8;
                            scope.spawn(move || {
                                play(cache, draws, (from, ops / 8), mix);
                                barrier.wait();
                                let begun = Instant::now();
                                play(cache, draws, (from, ops), mix);
                                begun.elapsed().as_nanos() as f64
                            })
                        })
                        .collect();
                    let each = workers
                        .into_iter()
                        .map(|worker| worker.join().expect("plays"));
                    each.fold(0.0, f64::max)
                });
                (threads * ops) as f64 / took
            })
            .collect();
        median(&mut rounds)
    }
}

fn shard_of(key: Key<'_>) -> usize {
    (key.hash().number() >> 60) as usize
}

/// Two real threads beside two reckoned ones, each as a multiple of one.
fn compare(machine: &Machine<'_>, popularities: &[Popularity]) {
    println!("\n| | | one: reckoned | real | two, by one: reckoned | real |");
    println!("|---|---|---|---|---|---|");
    for popularity in popularities {
        let costs = machine.costs(&popularity.draws);
        for mix in MIXES {
            let request = costs.request(mix, 0.0, &popularity.shares);
            let one = machine.really(&popularity.draws, mix, 1);
            let two = machine.really(&popularity.draws, mix, 2);
            println!(
                "| {} | {} | {:.0} ns | {:.0} ns | {:.2} | {:.2} |",
                popularity.name,
                mix.name,
                1.0 / request.by(1).throughput,
                1.0 / one,
                request.by(2).throughput / request.by(1).throughput,
                two / one
            );
        }
    }
}

fn reckon(costs: &[Costs], popularities: &[Popularity], outsides: &[f64]) {
    print!("\n| outside | | |");
    WORKERS.iter().for_each(|workers| print!(" {workers} |"));
    println!(" the busiest lock, of 32 | ends at |");
    println!("|---|---|---|{}---|---|", "---|".repeat(WORKERS.len()));
    for &outside in outsides {
        for (popularity, costs) in popularities.iter().zip(costs) {
            for mix in MIXES {
                let request = costs.request(mix, outside, &popularity.shares);
                let one = request.by(1).throughput;
                print!("| {outside:.0} ns | {} | {} |", mix.name, popularity.name);
                for workers in WORKERS {
                    print!(" {:.1} |", request.by(workers).throughput / one);
                }
                let end = request.most_workers();
                let end = if end.is_finite() {
                    format!("{end:.0}")
                } else {
                    "–".into()
                };
                println!(" {:.0} % | {end} |", 100.0 * request.by(32).busiest);
            }
        }
    }
}

/// How often a read of the most popular key finds that a store of it is at work, or began meanwhile, and has to look again.
fn meetings(hottest: f64, costs: Costs, shares: &[f64], outsides: &[f64]) {
    println!("\n| outside | | read again: of 1 worker | 8 | 16 | 32 | 64 |");
    println!("|---|---|---|---|---|---|---|");
    let mix = MIXES[1];
    for &outside in outsides {
        let request = costs.request(mix, outside, shares);
        print!("| {outside:.0} ns | {} |", mix.name);
        for workers in [1, 8, 16, 32, 64usize] {
            // The others' stores of that key, times the time in which one would be met.
            let others = request.by(workers).throughput * (workers - 1) as f64 / workers as f64;
            let rate = others * mix.stores() * hottest;
            let met = 1.0 - (-rate * (costs.store - costs.key + costs.read - costs.key)).exp();
            print!(" {:.2} % |", 100.0 * met);
        }
        println!();
    }
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let rounds: usize = args.option("--rounds")?.unwrap_or(7);
    let ops: usize = args.option("--ops")?.unwrap_or(300_000);
    let outside: String = args
        .option("--outside")?
        .unwrap_or_else(|| "0,160,4400".into());
    args.words()?;
    let outsides: Vec<f64> = outside
        .split(',')
        .map(|nanos| {
            nanos
                .parse()
                .map_err(|_| format!("--outside {outside}: numbers"))
        })
        .collect::<Result<_, _>>()?;
    let options = Options {
        budget_bytes: 256 << 20,
        ..Options::default()
    };
    let plan = Plan::new(&options).map_err(|error| error.to_string())?;
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    // Popular keys do not lie side by side, nor does a shard in the order in which it is asked for.
    let mut ids: Vec<u32> = (0..KEYS).collect();
    Rng::new(3).shuffle(&mut ids);
    for &id in &ids {
        put(&cache, u64::from(id), &[7; VALUE_BYTES])?;
    }
    Rng::new(4).shuffle(&mut ids);
    let machine = Machine {
        cache: &cache,
        rounds,
        ops,
    };
    let (hottest, hot_shares) = zipf_shares();
    let popularities = [
        Popularity {
            name: "uniform",
            draws: uniform(KEYS, DRAWS, 2),
            shares: vec![1.0 / SHARDS as f64; SHARDS],
        },
        Popularity {
            name: "zipf 0.99",
            draws: zipf(KEYS, EXPONENT, DRAWS, 1),
            shares: hot_shares,
        },
        Popularity {
            name: "one shard",
            draws: ids
                .into_iter()
                .filter(|&id| {
                    let bytes = KeyBytes::of(u64::from(id));
                    shard_of(cache.key(bytes.as_slice()).expect("a valid key")) == 0
                })
                .collect(),
            shares: vec![1.0],
        },
    ];
    let costs: Vec<Costs> = popularities
        .iter()
        .map(|popularity| machine.costs(&popularity.draws))
        .collect();
    println!("| nanoseconds | the key | a read | a store | the hottest shard |");
    println!("|---|---|---|---|---|");
    for (popularity, costs) in popularities.iter().zip(&costs) {
        let hot = popularity.shares.iter().copied().fold(0.0, f64::max);
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.1} % |",
            popularity.name,
            costs.key,
            costs.read,
            costs.store,
            100.0 * hot
        );
    }
    println!("the most popular key: {:.1} %", 100.0 * hottest);
    compare(&machine, &popularities);
    reckon(&costs[..2], &popularities[..2], &outsides);
    meetings(hottest, costs[1], &popularities[1].shares, &outsides);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("many_cores: {error}");
            ExitCode::FAILURE
        }
    }
}
