//! Nanoseconds and allocations an operation, for the floor, the engine and its peers.
//!
//! ```text
//! engine_table [--rounds 7] [--ops 200000] [--threads 1,2] [--clock cpu|wall] [--huge-pages]
//!              [--no-peers] [--only TEXT]
//! ```
//!
//! One round plays a share of every row with every cache in turn, so that what disturbs the
//! machine disturbs all; a figure is the median over the rounds, and a ratio the median of
//! the rounds' ratios to the floor of the same round. Times are a thread's own:
//! two threads that do not disturb one another show the figure of one.
//!
//! Values are copied out by all. Keys have 16 to 24 bytes, and making them is in all
//! figures. Allocations are counted over one more share on one thread, after the rounds.
//!
//! `--huge-pages` is for the engine; the others follow with
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` in the environment.

use std::process::ExitCode;

use flagstone_benches::args::Args;
use flagstone_benches::rows::{Clock, Contestant, Op, Share, Workload, time};
use flagstone_benches::subjects::{BATCH_MAX, Room, field};

struct Group {
    key_count: usize,
    value_len: usize,
    ops: &'static [Op],
}

/// Data of each group: 60 MiB and more, far beyond any L2.
const GROUPS: [Group; 5] = [
    Group {
        key_count: 1_000_000,
        value_len: 64,
        ops: &[
            Op::HitZipf,
            Op::HitUniform,
            Op::Miss,
            Op::Replace,
            Op::Mixed,
            Op::Batch { ahead: false },
            Op::Batch { ahead: true },
            Op::InsertEvict,
        ],
    },
    Group {
        key_count: 1_000_000,
        value_len: 32,
        ops: &[Op::HitZipf, Op::Replace, Op::InsertEvict],
    },
    Group {
        key_count: 400_000,
        value_len: 300,
        ops: &[Op::HitZipf, Op::Replace, Op::InsertEvict],
    },
    Group {
        key_count: 32_000,
        value_len: 4096,
        ops: &[Op::HitZipf, Op::Replace],
    },
    Group {
        key_count: 2_000,
        value_len: 65_536,
        ops: &[Op::HitZipf, Op::Replace],
    },
];

struct Settings {
    rounds: usize,
    ops: usize,
    threads: Vec<usize>,
    clock: Clock,
    huge_pages: bool,
    peers: bool,
    only: Option<String>,
}

/// What the rounds gave for one cache in one row.
#[derive(Default)]
struct Cell {
    nanos: Vec<f64>,
    ratios: Vec<f64>,
    hits: usize,
    lookups: usize,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

/// Lookups among `ops` operations.
fn lookups(op: Op, ops: usize) -> usize {
    match op {
        Op::Replace | Op::InsertEvict => 0,
        Op::Mixed => ops - ops / 11,
        Op::Batch { .. } => ops / BATCH_MAX * BATCH_MAX,
        Op::HitZipf | Op::HitUniform | Op::Miss => ops,
    }
}

struct Row<'a> {
    op: Op,
    threads: usize,
    field: &'a [Box<dyn Contestant>],
    cells: Vec<Cell>,
}

fn run_group(group: &Group, settings: &Settings) {
    let wanted = |op: &&Op| {
        settings
            .only
            .as_ref()
            .is_none_or(|only| format!("{} B {}", group.value_len, op.name()).contains(only))
    };
    let ops: Vec<Op> = group.ops.iter().filter(wanted).copied().collect();
    if ops.is_empty() {
        return;
    }
    let workload = Workload::new(group.key_count, group.value_len);
    let room = |roomy| Room {
        items: group.key_count,
        value_len: group.value_len,
        roomy,
        huge_pages: settings.huge_pages,
    };
    let loaded = field(room(true), settings.peers);
    loaded.iter().for_each(|cache| cache.load(&workload));
    let full = if ops.contains(&Op::InsertEvict) {
        field(room(false), settings.peers)
    } else {
        Vec::new()
    };
    let share_of = |op, from| Share {
        op,
        ops: (settings.ops * 64 / group.value_len.clamp(64, 4096)).max(2000),
        from,
    };
    for cache in &full {
        cache.load(&workload);
        // Once around, so that every list has settled.
        cache.play(
            &workload,
            Share {
                ops: group.key_count,
                ..share_of(Op::InsertEvict, 0)
            },
        );
    }
    let mut rows: Vec<Row<'_>> = ops
        .iter()
        .flat_map(|&op| settings.threads.iter().map(move |&threads| (op, threads)))
        .map(|(op, threads)| {
            let field = if op == Op::InsertEvict {
                &full
            } else {
                &loaded
            };
            Row {
                op,
                threads,
                field,
                cells: field.iter().map(|_| Cell::default()).collect(),
            }
        })
        .collect();
    for round in 0..settings.rounds {
        for row in &mut rows {
            let share = share_of(row.op, round * 314_159);
            let mut floor = 0.0;
            for (cell, cache) in row.cells.iter_mut().zip(row.field) {
                let timing = time(&**cache, &workload, share, row.threads, settings.clock);
                let nanos = timing.elapsed.as_nanos() as f64 / share.ops as f64;
                if floor == 0.0 {
                    floor = nanos;
                }
                cell.nanos.push(nanos);
                cell.ratios.push(nanos / floor);
                cell.hits += timing.hits;
                cell.lookups += row.threads * lookups(row.op, share.ops);
            }
        }
    }
    for row in &mut rows {
        print_row(row, &workload, share_of(row.op, 0));
    }
}

/// Peers stand behind the floor and the engine.
const FIRST_PEER: usize = 2;

fn print_row(row: &mut Row<'_>, workload: &Workload, share: Share) {
    // Chosen by its median: the fastest of each round would be the luckiest.
    let best_peer = row.cells[FIRST_PEER..]
        .iter()
        .map(|cell| (median(&mut cell.nanos.clone()), cell))
        .min_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut to_best_peer: Vec<f64> = best_peer.map_or(Vec::new(), |(_, peer)| {
        let rounds = row.cells[1].nanos.iter().zip(&peer.nanos);
        rounds.map(|(ours, theirs)| ours / theirs).collect()
    });
    print!(
        "{:>6} B  {:<24} {}",
        workload.value_len,
        row.op.name(),
        row.threads
    );
    for (cell, cache) in row.cells.iter_mut().zip(row.field) {
        let allocations = allocation_counter::measure(|| {
            cache.play(workload, share);
        });
        // The buffer that values are copied to is one of them.
        let allocations = (allocations.count_total - 1) as f64 / share.ops as f64;
        let stray = match (row.op, cell.lookups) {
            (_, 0) => false,
            (Op::Miss, _) => cell.hits > 0,
            (_, lookups) => cell.hits < lookups,
        };
        print!(
            " |{:>7.0} {:>5.2} {:>4.1}{}",
            median(&mut cell.nanos),
            median(&mut cell.ratios),
            allocations,
            if stray { "!" } else { " " }
        );
    }
    if to_best_peer.is_empty() {
        println!();
    } else {
        println!(" | {:>5.2}", median(&mut to_best_peer));
    }
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let threads: String = args.option("--threads")?.unwrap_or("1,2".to_owned());
    let clock: Option<String> = args.option("--clock")?;
    let settings = Settings {
        rounds: args.option("--rounds")?.unwrap_or(7),
        ops: args.option("--ops")?.unwrap_or(200_000),
        threads: threads
            .split(',')
            .map(|count| count.parse().map_err(|_| format!("--threads {count}")))
            .collect::<Result<_, _>>()?,
        clock: match clock.as_deref() {
            None | Some("cpu") => Clock::Cpu,
            Some("wall") => Clock::Wall,
            Some(other) => return Err(format!("--clock {other}: cpu or wall")),
        },
        huge_pages: args.flag("--huge-pages"),
        peers: !args.flag("--no-peers"),
        only: args.option("--only")?,
    };
    args.words()?;
    if settings.rounds == 0 || settings.threads.contains(&0) {
        return Err("--rounds and --threads start at 1".to_owned());
    }
    println!("ns an operation (median), ratio to the floor, allocations an operation;");
    println!("! marks a row where a lookup did not find what was stored");
    let tiny = Room {
        items: 1000,
        value_len: 64,
        roomy: true,
        huge_pages: false,
    };
    print!("   value  operation         threads ");
    for cache in field(tiny, settings.peers) {
        print!(" |{:>19}", cache.name());
    }
    println!(" | ours to the best peer");
    for group in &GROUPS {
        run_group(group, &settings);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine_table: {error}");
            ExitCode::FAILURE
        }
    }
}
