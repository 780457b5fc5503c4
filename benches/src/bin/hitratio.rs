//! The engine's hit ratio on a trace, beside reference policies.
//!
//! ```text
//! hitratio [--requests N] [--percent 1,10] [--value-bytes N] [--adaptive] [--explore] [--verbose] TRACE.csv.gz … @FAMILY … @all
//! hitratio --curve [--entries N] [--seeds N] [--percent 3,10] [--adaptive] TRACE.csv.gz … @FAMILY … @all
//! ```
//!
//! `@FAMILY` is a trace that is made (see `synthetic`): `@zipf`, `@churn`, `@shift`, `@weekly`, `@loops`, `@scans`,
//! `@batch`, `@sessions`; `@all` is all of them. The last lines name the row in which the engine is furthest behind
//! each reference.
//!
//! Replay: look a key up; store it if it is not there. The ratio counts every request,
//! those on the empty cache too.
//!
//! **Equal-size items.** Capacity is a share of the trace's keys. The engine has a byte
//! budget instead, so the budget is searched for: the largest one (to an engine page)
//! under which the engine never held more items than the capacity during the replay of
//! this very trace. The column `held` is the most it held, in percent of the capacity; at
//! less than 100 the engine plays with a handicap. Items are made so large that each
//! shard has about 16 pages of them (capacity / 256 items a page, 1 to 40): 16 shards of whole pages
//! cannot hold 137 items of 50 bytes fairly. `S3-FIFO/16` is the reference in 16 shards
//! of equal capacity; what it loses against `S3-FIFO` (the last column) is the price of
//! dividing.
//!
//! **By bytes.** The budget is a share of the bytes of all distinct objects. The
//! references get the same number of bytes and pay for nothing but the object, so this row
//! contains the engine's overhead per item. Objects that the engine refuses at this budget
//! are refused by the references too.
//!
//! `--adaptive` replays with the engine's eviction that follows what is asked for (`--eviction adaptive` of the server).
//! `--curve` compares the engine's miss-ratio curve with replays at the sizes that it tells of (`flagstone_benches::curve`).
//! `--explore` adds S3-FIFO with other list shares, thresholds and ghosts, at equal sizes.
//!
//! Memory is not warmed, and no time passes: nothing expires.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;

use flagstone_benches::args::Args;
use flagstone_benches::curve::Rows;
use flagstone_benches::policy::{
    Arc, Lru, Policy, S3Fifo, Sharded, Tuning, TwoQ, WTinyLfu, hit_ratio,
};
use flagstone_benches::synthetic;
use flagstone_benches::trace::Trace;
use flagstone_engine::{
    Attributes, Cache, Eviction, ITEM_BYTES_LEAST, Lookup, Options, Plan, Tick,
};

const ENGINE_SHARDS: u64 = 16;
/// The step of the search: the engine's pages are this large up to 24 MiB, and a multiple of
/// it above.
const PAGE_BYTES: usize = 4096;
/// Room in a chunk for the header, links and an 8-byte key.
const ITEM_OVERHEAD_BYTES: usize = 36;

struct Replayed {
    hit_ratio: f64,
    /// The most items that were held at once.
    held_most: u64,
    refused: usize,
}

/// Plays `trace` through an engine.
fn replay(plan: Plan, trace: &Trace, value_len: impl Fn(u32) -> usize) -> Result<Replayed, String> {
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    let value = vec![0x5a; cache.plan().item_bytes_max()];
    let mut out = vec![0; cache.plan().item_bytes_max()];
    let now = Tick::from_secs(1);
    let sample_every = (trace.requests.len() / 1000).max(1);
    let mut replayed = Replayed {
        hit_ratio: 0.0,
        held_most: 0,
        refused: 0,
    };
    let mut hits = 0usize;
    for (request_no, request) in trace.requests.iter().enumerate() {
        let bytes = u64::from(request.key).to_le_bytes();
        let key = cache.key(&bytes).expect("eight bytes are a key");
        match cache.get(key, now, &mut out) {
            Lookup::Hit(_) | Lookup::TooSmall(_) => hits += 1,
            Lookup::Miss => {
                let stored = value
                    .get(..value_len(request.size))
                    .is_some_and(|value| cache.put(key, value, Attributes::default(), now).is_ok());
                replayed.refused += usize::from(!stored);
            }
        }
        if request_no % sample_every == 0 {
            cache.maintain(now, 64);
            replayed.held_most = replayed.held_most.max(cache.stats().items);
        }
    }
    replayed.held_most = replayed.held_most.max(cache.stats().items);
    replayed.hit_ratio = hits as f64 / trace.requests.len() as f64;
    Ok(replayed)
}

fn plan_of(eviction: Eviction, budget_bytes: usize, item_bytes_max: usize) -> Result<Plan, String> {
    let options = Options {
        budget_bytes,
        item_bytes_max: item_bytes_max.max(ITEM_BYTES_LEAST),
        eviction,
        ..Options::default()
    };
    Plan::new(&options).map_err(|error| error.to_string())
}

/// Replays with the largest budget whose cache never holds more than `capacity` items.
fn replay_at_capacity(
    eviction: Eviction,
    trace: &Trace,
    capacity: u64,
    value_len: usize,
) -> Result<(usize, Replayed), String> {
    let run = |pages: usize| -> Result<Replayed, String> {
        let plan = plan_of(
            eviction,
            pages * PAGE_BYTES,
            ITEM_BYTES_LEAST.max(value_len),
        )?;
        replay(plan, trace, |_| value_len)
    };
    let mut low = (1usize..)
        .find(|&pages| {
            plan_of(
                eviction,
                pages * PAGE_BYTES,
                ITEM_BYTES_LEAST.max(value_len),
            )
            .is_ok()
        })
        .expect("some budget is large enough");
    let mut best = run(low)?;
    if best.held_most > capacity {
        return Err(format!(
            "the smallest budget holds {} items of {value_len} bytes",
            best.held_most
        ));
    }
    let item_bytes = value_len + ITEM_OVERHEAD_BYTES + 32;
    let mut high = low + 64 + 2 * capacity as usize * item_bytes / PAGE_BYTES;
    while low + 1 < high {
        let middle = low.midpoint(high);
        let replayed = run(middle)?;
        if replayed.held_most > capacity {
            high = middle;
        } else {
            low = middle;
            best = replayed;
        }
    }
    Ok((low, best))
}

fn percent(ratio: f64) -> f64 {
    100.0 * ratio
}

struct Settings {
    requests: usize,
    percents: Vec<f64>,
    value_len: Option<usize>,
    eviction: Eviction,
    explore: bool,
    verbose: bool,
    curve: Option<RefCell<Rows>>,
}

/// The references that a row is compared with.
const PEERS: [&str; 5] = ["LRU", "S3-FIFO", "2Q", "ARC", "W-TinyLFU"];

/// What the references make of a trace.
struct References {
    /// In the order of [`PEERS`].
    ratios: [f64; PEERS.len()],
    /// S3-FIFO in as many shards as the engine has.
    sharded: f64,
}

impl References {
    fn of(trace: &Trace, capacity: u64, size_of: impl Fn(u32) -> u64) -> Self {
        let keys = trace.key_count;
        let ratio = |policy: &mut dyn Policy| hit_ratio(policy, trace, &size_of);
        let s3 = |capacity, keys| S3Fifo::new(capacity, keys, Tuning::PAPER);
        References {
            ratios: [
                ratio(&mut Lru::new(capacity, keys)),
                ratio(&mut s3(capacity, keys)),
                ratio(&mut TwoQ::new(capacity, keys)),
                ratio(&mut Arc::new(capacity, keys)),
                ratio(&mut WTinyLfu::new(capacity, keys)),
            ],
            sharded: ratio(&mut Sharded::new(ENGINE_SHARDS, capacity, keys, s3)),
        }
    }
}

/// What a row is of.
struct Row<'r> {
    trace: &'r str,
    /// The capacity, in percent of all keys' or objects' `unit`.
    share: f64,
    capacity: u64,
    unit: &'static str,
}

/// The row that is furthest behind each reference.
#[derive(Default)]
struct Worst {
    rows: Vec<([f64; PEERS.len()], String)>,
}

impl Worst {
    /// Prints a row: what it is, what was held of the capacity, and the ratios.
    fn row(&mut self, row: &Row<'_>, held: Option<f64>, references: &References, ours: f64) {
        let Row {
            trace,
            share,
            capacity,
            unit,
        } = row;
        let [lru, s3_fifo, two_q, arc, tiny] = references.ratios.map(percent);
        let less = references.ratios.map(|ratio| percent(ours - ratio));
        let held = held.map_or(String::new(), |held| format!("{held:.1} %"));
        print!(
            "{trace:<12} {share:>4} %  {unit} {capacity:>10}   {lru:>6.2} {s3_fifo:>7.2} {two_q:>6.2} {arc:>6.2} {tiny:>6.2} {:>9.2} {held:>8} ",
            percent(ours)
        );
        less.iter().for_each(|less| print!(" {less:>+7.2}"));
        println!(
            " {:>+8.2}",
            percent(references.sharded - references.ratios[1])
        );
        let name = format!("{trace}, {share} % of {unit}");
        self.rows.push((less, name));
    }

    fn print(&self) {
        let behind = |name: &str, by: &dyn Fn(&[f64; PEERS.len()]) -> f64| {
            let worst = self
                .rows
                .iter()
                .min_by(|(a, _), (b, _)| by(a).total_cmp(&by(b)));
            if let Some((less, row)) = worst {
                println!("worst against {name:<30} {:>+6.2}  {row}", by(less));
            }
        };
        for (peer, name) in PEERS.into_iter().enumerate() {
            behind(name, &|less| less[peer]);
        }
        behind("the better of LRU and S3-FIFO", &|less| {
            less[0].min(less[1])
        });
    }
}

fn table(name: &str, trace: &Trace, settings: &Settings, worst: &mut Worst) -> Result<(), String> {
    if let Some(rows) = &settings.curve {
        return curve(name, trace, settings, &mut rows.borrow_mut());
    }
    let keys = trace.key_count;
    for &share in &settings.percents {
        let capacity = (keys as f64 * share / 100.0) as u64;
        let items_per_page = (capacity as usize / 256).clamp(1, 40);
        let value_len = settings
            .value_len
            .unwrap_or(PAGE_BYTES / items_per_page - ITEM_OVERHEAD_BYTES);
        let references = References::of(trace, capacity, |_| 1);
        let (pages, ours) = replay_at_capacity(settings.eviction, trace, capacity, value_len)?;
        worst.row(
            &Row {
                trace: name,
                share,
                capacity,
                unit: "items",
            },
            Some(percent(ours.held_most as f64 / capacity as f64)),
            &references,
            ours.hit_ratio,
        );
        if settings.verbose {
            println!("    {pages} pages of {PAGE_BYTES}, values of {value_len} bytes");
        }
        if settings.explore {
            explore(trace, capacity);
        }
    }
    if trace.has_sizes() {
        for &share in &settings.percents {
            by_bytes(name, trace, share, settings, worst)?;
        }
    }
    Ok(())
}

/// The rows of the curve.
fn curve(name: &str, trace: &Trace, settings: &Settings, rows: &mut Rows) -> Result<(), String> {
    for &share in &settings.percents {
        let capacity = (trace.key_count as f64 * share / 100.0) as usize;
        let value_len = PAGE_BYTES / (capacity / 256).clamp(1, 40) - ITEM_OVERHEAD_BYTES;
        rows.items(name, trace, share, settings.value_len.unwrap_or(value_len))?;
        if trace.has_sizes() {
            rows.bytes(name, trace, share)?;
        }
    }
    Ok(())
}

/// S3-FIFO with other numbers, each of which an engine might choose.
fn explore(trace: &Trace, capacity: u64) {
    println!("      small  hits to main  counted to  ghosts  hit ratio, %");
    for small_divisor in [10, 20] {
        for (threshold, frequency_max) in [(1, 1), (1, 3), (2, 3)] {
            for ghost_percent in [0, 25, 50, 100, 200, 300] {
                let tuning = Tuning {
                    small_divisor,
                    threshold,
                    frequency_max,
                    ghost_percent,
                };
                let mut policy = S3Fifo::new(capacity, trace.key_count, tuning);
                println!(
                    "      1/{small_divisor:<6} {threshold:>10} {frequency_max:>11} {ghost_percent:>5} % {:>12.2}",
                    percent(hit_ratio(&mut policy, trace, |_| 1)),
                );
            }
        }
    }
}

fn by_bytes(
    name: &str,
    trace: &Trace,
    share: f64,
    settings: &Settings,
    worst: &mut Worst,
) -> Result<(), String> {
    let budget = (trace.distinct_bytes() as f64 * share / 100.0) as usize;
    let largest = trace.requests.iter().map(|r| r.size).max().unwrap_or(0) as usize;
    // The largest limit for values that this budget can have.
    let mut item_bytes_max = largest.max(ITEM_BYTES_LEAST);
    let plan = loop {
        match plan_of(settings.eviction, budget, item_bytes_max) {
            Ok(plan) => break plan,
            Err(error) if item_bytes_max == ITEM_BYTES_LEAST => return Err(error),
            Err(_) => item_bytes_max = (item_bytes_max * 15 / 16).max(ITEM_BYTES_LEAST),
        }
    };
    let refused_size = budget as u64 + 1;
    let size_of = |size: u32| {
        if size as usize > item_bytes_max {
            refused_size
        } else {
            u64::from(size)
        }
    };
    let references = References::of(trace, budget as u64, size_of);
    let ours = replay(plan, trace, |size| size as usize)?;
    worst.row(
        &Row {
            trace: name,
            share,
            capacity: budget as u64,
            unit: "bytes",
        },
        None,
        &references,
        ours.hit_ratio,
    );
    if settings.verbose {
        println!(
            "    values up to {item_bytes_max} bytes, {} requests for larger ones refused, {} items held at most",
            ours.refused, ours.held_most
        );
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let percents: String = args.option("--percent")?.unwrap_or("1,10".to_owned());
    let eviction = match args.flag("--adaptive") {
        true => Eviction::Adaptive,
        false => Eviction::S3Fifo,
    };
    let entries = args.option("--entries")?.unwrap_or(2048);
    let seeds = args.option("--seeds")?.unwrap_or(1);
    let rows = Rows {
        entries,
        eviction,
        seeds,
        worst: Default::default(),
    };
    let settings = Settings {
        requests: args.option("--requests")?.unwrap_or(usize::MAX),
        percents: percents
            .split(',')
            .map(|share| share.parse().map_err(|_| format!("--percent {share}")))
            .collect::<Result<_, _>>()?,
        value_len: args.option("--value-bytes")?,
        eviction,
        curve: args.flag("--curve").then_some(RefCell::new(rows)),
        explore: args.flag("--explore"),
        verbose: args.flag("--verbose"),
    };
    let words = args.words()?;
    if words.is_empty() {
        return Err("usage: hitratio [--requests N] [--percent 1,10] [--value-bytes N] [--adaptive] [--explore] [--verbose] [--curve [--entries N] [--seeds N]] TRACE.csv.gz … @FAMILY … @all".to_owned());
    }
    match &settings.curve {
        Some(rows) => rows.borrow().print_head(),
        None => print_head(),
    }
    let mut worst = Worst::default();
    for word in &words {
        match word.strip_prefix('@') {
            Some("all") => {
                for family in synthetic::names() {
                    made(family, &settings, &mut worst)?;
                }
            }
            Some(family) => made(family, &settings, &mut worst)?,
            None => {
                let path = Path::new(word);
                let trace = Trace::read(path, settings.requests)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                table(
                    name.trim_end_matches(".csv.gz"),
                    &trace,
                    &settings,
                    &mut worst,
                )?;
            }
        }
    }
    match &settings.curve {
        Some(rows) => rows.borrow().print_worst(),
        None => worst.print(),
    }
    Ok(())
}

fn print_head() {
    println!(
        "{:43}hit ratio, %{:45}Flagstone less{:29}S3-FIFO/16",
        "", "", ""
    );
    println!(
        "{:41}LRU S3-FIFO     2Q    ARC W-TLFU Flagstone     held      LRU S3-FIFO      2Q     ARC  W-TLFU     less",
        ""
    );
}

/// The rows of a trace that is made.
fn made(family: &str, settings: &Settings, worst: &mut Worst) -> Result<(), String> {
    let trace = synthetic::trace(family).ok_or(format!("@{family}: no such family"))?;
    table(&format!("@{family}"), &trace, settings, worst)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hitratio: {error}");
            ExitCode::FAILURE
        }
    }
}
