//! The slowest insert: every item was hit, so that many are looked at before one leaves.
//!
//! ```text
//! slowest [--budget-mib 256] [--value-bytes 100] [--rounds 5]
//! ```
//!
//! A round hits every item three times, as often as is counted, and then times inserts one by
//! one, each thread CPU time. The first insert of each shard finds all its items marked: it spares as many as
//! the engine ever looks at, and then one leaves all the same. Printed are the slowest insert of a round, the
//! sixteenth slowest (one a shard), and the median.

use std::process::ExitCode;
use std::time::Duration;

use flagstone_benches::args::Args;
use flagstone_benches::keys::{KeyBytes, NOW, put};
use flagstone_benches::rows::cpu_time;
use flagstone_engine::{Cache, Lookup, Options, Plan};

/// Hits that a slot counts.
const HITS: usize = 3;
const SHARDS: usize = 16;
/// Inserts that are timed in a round.
const INSERTS: u64 = 4096;

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let budget_mib: usize = args.option("--budget-mib")?.unwrap_or(256);
    let value_len: usize = args.option("--value-bytes")?.unwrap_or(100);
    let rounds: usize = args.option("--rounds")?.unwrap_or(5);
    args.words()?;
    let options = Options {
        budget_bytes: budget_mib << 20,
        ..Options::default()
    };
    let plan = Plan::new(&options).map_err(|error| error.to_string())?;
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    let value = vec![0x5a; value_len];
    let mut out = vec![0; value_len];
    let mut fresh = 0;
    while cache.stats().evictions < 1000 {
        for _ in 0..10_000 {
            put(&cache, fresh, &value)?;
            fresh += 1;
        }
    }
    println!("microseconds of CPU: slowest, sixteenth slowest, median of {INSERTS} inserts");
    for _ in 0..rounds {
        let mut marked = 0;
        for _ in 0..HITS {
            for id in 0..fresh {
                let bytes = KeyBytes::of(id);
                let key = cache.key(bytes.as_slice()).expect("a valid key");
                marked += usize::from(matches!(cache.get(key, NOW, &mut out), Lookup::Hit(_)));
            }
        }
        let mut took: Vec<Duration> = Vec::with_capacity(INSERTS as usize);
        for _ in 0..INSERTS {
            let from = cpu_time();
            put(&cache, fresh, &value)?;
            took.push(cpu_time() - from);
            fresh += 1;
        }
        took.sort();
        let micros = |from_end: usize| took[took.len() - from_end].as_nanos() as f64 / 1000.0;
        println!(
            "{:>9.1} {:>9.1} {:>9.1}   {} items marked",
            micros(1),
            micros(SHARDS),
            micros(took.len() / 2),
            marked / HITS
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slowest: {error}");
            ExitCode::FAILURE
        }
    }
}
