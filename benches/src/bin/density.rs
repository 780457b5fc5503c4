//! Bytes of budget that an item costs beyond its key and value.
//!
//! ```text
//! density [--budget-mib 64] [--case 20+100] [--seed 1] [--parts]
//! ```
//!
//! Values spread evenly ±25 % about the named size, so that no lucky size class decides.
//! `fresh`: keys are inserted, three times what the budget could hold without any
//! overhead; then every key is looked up. `churned`: after that, ten budgets' worth of
//! bytes are written over keys (one and a half times what fits), each with a new size, one
//! write in five with a deadline of seconds, with a delete for every ten writes, while time
//! passes and `maintain` runs; then every key is looked up again.
//!
//! An item's cost is the whole budget divided by the items that a lookup returned. Its
//! overhead is that less the mean key and value *of those items* (evicting large items
//! first would otherwise look like density). `--parts` says where the overhead lies.

use std::process::ExitCode;

use flagstone_benches::args::Args;
use flagstone_benches::rng::{Rng, mix};
use flagstone_engine::{Attributes, Cache, Deadline, Lookup, Options, Plan, Tick};

/// Mean key and value, and the overhead that is the target at 64 MiB.
const CASES: [(usize, usize, usize); 4] =
    [(20, 32, 28), (20, 100, 30), (40, 300, 40), (20, 2000, 70)];

/// Inserts, in budgets.
const FILL_BUDGETS: usize = 3;
/// Overwrites, in budgets.
const CHURN_BUDGETS: usize = 10;
/// Milliseconds between two calls of `maintain`.
const MAINTAIN_EVERY_MS: u64 = 100;
/// Writes between them.
const WRITES_PER_MAINTAIN: u64 = 20_000;

struct Case {
    key_len: usize,
    value_mean: usize,
}

impl Case {
    fn key<'k>(&self, id: u64, buffer: &'k mut [u8; 64]) -> &'k [u8] {
        let hex = b"0123456789abcdef";
        for (at, byte) in buffer[..self.key_len].iter_mut().enumerate() {
            // Sixteen digits tell keys apart; what follows is a common suffix.
            *byte = if at < 16 {
                hex[(mix(id) >> (4 * at) & 15) as usize]
            } else {
                b'-'
            };
        }
        &buffer[..self.key_len]
    }

    /// Evenly from -25 % to +25 %.
    fn value_len(&self, rng: &mut Rng) -> usize {
        let quarter = self.value_mean / 4;
        self.value_mean - quarter + rng.below(2 * quarter as u64 + 1) as usize
    }
}

struct Census {
    items: usize,
    payload_bytes: usize,
}

/// Looks up every key below `id_max`.
fn census(cache: &Cache, case: &Case, id_max: u64, now: Tick, out: &mut [u8]) -> Census {
    let mut buffer = [0; 64];
    let mut census = Census {
        items: 0,
        payload_bytes: 0,
    };
    for id in 0..id_max {
        let key = cache.key(case.key(id, &mut buffer)).expect("a valid key");
        if let Lookup::Hit(meta) = cache.get(key, now, out) {
            census.items += 1;
            census.payload_bytes += case.key_len + meta.value_len;
        }
    }
    census
}

fn report(cache: &Cache, census: &Census) -> f64 {
    let stats = cache.stats();
    let items = census.items as f64;
    let each = cache.plan().budget_bytes() as f64 / items;
    let payload = census.payload_bytes as f64 / items;
    print!(
        "  {:>8} {:>8.1} {:>8.1} {:>8.1} {:>6.1} %",
        census.items,
        payload,
        each,
        each - payload,
        100.0 * stats.pages_index as f64
            / (stats.pages_index + stats.pages_items + stats.pages_free) as f64,
    );
    each - payload
}

/// Where the bytes of an item's overhead lie; expired items that are still there count as room.
fn parts(cache: &Cache, census: &Census) {
    let stats = cache.stats();
    let items = census.items as f64;
    let each = |bytes: u64| bytes as f64 / items;
    let pages = stats.pages_index + stats.pages_items + stats.pages_free;
    let (mut ends, mut free_chunks, mut used, mut used_bytes) = (0, 0, 0, 0);
    cache.classes(|class| {
        ends += class.pages * (stats.page_bytes - class.chunks_per_page * class.chunk_bytes);
        free_chunks += (class.chunks - class.chunks_used) * class.chunk_bytes;
        // The units of runs are no pieces; each run is one behind some other.
        used += if class.is_runs() {
            0
        } else {
            class.chunks_used
        };
        used_bytes += class.chunks_used * class.chunk_bytes;
    });
    let payload = census.payload_bytes as u64;
    println!(
        "    {:.1} beside pages, {:.1} index, {:.1} free pages, {:.1} page ends, {:.1} free chunks, \
         {:.1} in chunks beyond key and value ({:.2} chunks of classes an item)",
        each(cache.plan().budget_bytes() as u64 - pages * stats.page_bytes),
        each(stats.pages_index * stats.page_bytes),
        each(stats.pages_free * stats.page_bytes),
        each(ends),
        each(free_chunks),
        each(used_bytes - payload),
        used as f64 / items,
    );
}

fn measure(
    case: &Case,
    target: usize,
    budget_bytes: usize,
    seed: u64,
    with_parts: bool,
) -> Result<(), String> {
    let options = Options {
        budget_bytes,
        hash_seed: seed,
        ..Options::default()
    };
    let plan = Plan::new(&options).map_err(|error| error.to_string())?;
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    let mut rng = Rng::new(seed);
    let mut buffer = [0; 64];
    let value = vec![0x5a; 2 * case.value_mean];
    let mut out = vec![0; 2 * case.value_mean];
    let mut now = Tick::from_secs(1000);

    let payload = case.key_len + case.value_mean;
    let id_max = (FILL_BUDGETS * budget_bytes / payload) as u64;
    for id in 0..id_max {
        let key = cache.key(case.key(id, &mut buffer)).expect("a valid key");
        let len = case.value_len(&mut rng);
        cache
            .put(key, &value[..len], Attributes::default(), now)
            .map_err(|error| error.to_string())?;
    }
    let fresh = census(&cache, case, id_max, now, &mut out);
    print!("{:>3} + {:<5}", case.key_len, case.value_mean);
    let fresh_overhead = report(&cache, &fresh);
    if with_parts {
        println!();
        parts(&cache, &fresh);
        print!("{:>11}", "");
    }

    let churned_ids = fresh.items as u64 * 3 / 2;
    let mut written = 0;
    let mut writes = 0u64;
    while written < CHURN_BUDGETS * budget_bytes {
        let id = rng.below(churned_ids);
        let key = cache.key(case.key(id, &mut buffer)).expect("a valid key");
        let len = case.value_len(&mut rng);
        let deadline = if rng.below(5) == 0 {
            Deadline::after_secs(now, 1 + rng.below(5))
        } else {
            Deadline::NEVER
        };
        cache
            .put(key, &value[..len], deadline.into(), now)
            .map_err(|error| error.to_string())?;
        written += case.key_len + len;
        writes += 1;
        if rng.below(10) == 0 {
            let id = rng.below(churned_ids);
            let key = cache.key(case.key(id, &mut buffer)).expect("a valid key");
            cache.delete(key, now);
        }
        if writes.is_multiple_of(WRITES_PER_MAINTAIN) {
            now = now.plus_millis(MAINTAIN_EVERY_MS);
            while cache.maintain(now, 1000).more {}
        }
    }
    // What expired is taken back by the writes that follow, as in a server that goes on.
    let churned = census(&cache, case, id_max, now, &mut out);
    print!(" |");
    let churned_overhead = report(&cache, &churned);
    let missed = fresh_overhead.max(churned_overhead) > target as f64;
    println!("   {target:>4}{}", if missed { "  missed" } else { "" });
    if with_parts {
        parts(&cache, &churned);
    }
    cache.audit().map_err(|broken| format!("audit: {broken}"))?;
    Ok(())
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let budget_mib: usize = args.option("--budget-mib")?.unwrap_or(64);
    let only: Option<String> = args.option("--case")?;
    let seed = args.option("--seed")?.unwrap_or(1);
    let with_parts = args.flag("--parts");
    args.words()?;
    println!("budget {budget_mib} MiB; bytes an item, all in");
    println!(
        "            fresh                                         | churned                                       target"
    );
    println!(
        "key + value    items  payload     each overhead  index   |    items  payload     each overhead  index   overhead"
    );
    for (key_len, value_mean, target) in CASES {
        if only
            .as_ref()
            .is_some_and(|only| *only != format!("{key_len}+{value_mean}"))
        {
            continue;
        }
        let case = Case {
            key_len,
            value_mean,
        };
        measure(&case, target, budget_mib << 20, seed, with_parts)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("density: {error}");
            ExitCode::FAILURE
        }
    }
}
