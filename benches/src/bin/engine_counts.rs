//! One kind of work of the engine, so often, for whoever counts its instructions: `scripts/instructions`.
//!
//! ```text
//! engine_counts insert VALUE_BYTES OPS      new keys, into a full cache
//! engine_counts replace VALUE_BYTES OPS     values of equal length, for keys that are there
//! ```
//!
//! What is done before (the cache is opened and filled) does not depend on OPS, so the difference of two runs is
//! the work's alone.

use std::process::ExitCode;

use flagstone_benches::args::Args;
use flagstone_benches::keys::put;
use flagstone_engine::{Cache, Options, Plan};

const BUDGET: usize = 8 << 20;
/// About what an item costs beyond key and value, and more, so that the cache is full with as many as this says.
const OVERHEAD_MIN: usize = 20;

fn run() -> Result<(), String> {
    let usage = || "engine_counts insert|replace VALUE_BYTES OPS".to_owned();
    let words = Args::of_process().words()?;
    let [work, value_len, ops] = words.as_slice() else {
        return Err(usage());
    };
    let value_len: usize = value_len.parse().map_err(|_| usage())?;
    let ops: u64 = ops.parse().map_err(|_| usage())?;
    let options = Options {
        budget_bytes: BUDGET,
        // The same buckets each time.
        hash_seed: 1,
        ..Options::default()
    };
    let plan = Plan::new(&options).map_err(|error| error.to_string())?;
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    let value = vec![0x5a; value_len];
    let full = (BUDGET / (value_len + OVERHEAD_MIN)) as u64;
    match work.as_str() {
        "insert" => (0..2 * full + ops).try_for_each(|id| put(&cache, id, &value))?,
        "replace" => {
            let keys = full / 3;
            (0..keys + ops).try_for_each(|at| put(&cache, at % keys, &value))?;
        }
        _ => return Err(usage()),
    }
    let evictions = cache.stats().evictions;
    let evicts = work == "insert";
    if (evictions > full) != evicts {
        return Err(format!("{evictions} evictions: not what is to be counted"));
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine_counts: {error}");
            ExitCode::FAILURE
        }
    }
}
