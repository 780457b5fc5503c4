//! How long an arena's file takes to be gone on with, as a kill leaves it.
//!
//! ```text
//! reopen [--mib 1024] [--values 32,100,300,2000] [--threads 2] [--file /dev/shm/flagstone-reopen]
//! ```
//!
//! The file is filled with keys of 20 bytes until items are evicted, and opened again by so many threads. Beside it stands
//! what reading the file once takes with as many threads: no way of restoring that looks at each item is faster.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flagstone_benches::args::Args;
use flagstone_benches::rng::mix;
use flagstone_engine::{Attributes, Backing, Cache, Opening, Options, Plan, Restored, Tick};

const NOW: Tick = Tick::from_secs(1);
const MIB: usize = 1 << 20;

/// What was asked for.
struct Settings {
    mib: usize,
    threads: usize,
    file: PathBuf,
    values: String,
}

fn settings() -> Result<Settings, String> {
    let mut args = Args::of_process();
    let settings = Settings {
        mib: args.option("--mib")?.unwrap_or(1024),
        threads: args.option("--threads")?.unwrap_or(2).max(1),
        file: args
            .option("--file")?
            .unwrap_or_else(|| "/dev/shm/flagstone-reopen".into()),
        values: args
            .option("--values")?
            .unwrap_or_else(|| "32,100,300,2000".to_owned()),
    };
    args.words()?;
    Ok(settings)
}

fn main() -> ExitCode {
    let Settings {
        mib,
        threads,
        file,
        values,
    } = match settings() {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("reopen: {why}");
            return ExitCode::from(2);
        }
    };
    println!(
        "{:>7} {:>11} {:>9} {:>9} {:>8} {:>9}",
        "value", "items", "restored", "s", "s / GiB", "read once"
    );
    for value_len in values.split(',').filter_map(|text| text.parse().ok()) {
        let plan = || {
            Plan::new(&Options {
                budget_bytes: mib * MIB,
                backing: Backing::File(file.clone()),
                restore: true,
                ..Options::default()
            })
            .expect("a plan")
        };
        let _ = std::fs::remove_file(&file);
        let items = fill(Cache::open(plan()).expect("opens"), value_len);
        let read = read_once(&file, threads);
        let begun = Instant::now();
        let opening = Opening::new(plan()).expect("opens");
        std::thread::scope(|scope| {
            for first in 0..threads {
                let opening = &opening;
                scope.spawn(move || {
                    (first..opening.parts())
                        .step_by(threads)
                        .for_each(|part| opening.restore(part));
                });
            }
        });
        let cache = opening.finish().expect("opens");
        let took = begun.elapsed();
        let Restored::Items {
            items: restored, ..
        } = cache.restored()
        else {
            eprintln!("reopen: {:?}", cache.restored());
            return ExitCode::FAILURE;
        };
        let per_gib = |took: Duration| took.as_secs_f64() * 1024.0 / mib as f64;
        println!(
            "{value_len:>7} {items:>11} {restored:>9} {:>9.3} {:>8.2} {:>9.2}",
            took.as_secs_f64(),
            per_gib(took),
            per_gib(read)
        );
        drop(cache);
        let _ = std::fs::remove_file(&file);
        if restored != items {
            eprintln!("reopen: {restored} items of {items}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Fills a cache; returns how many items it has then.
fn fill(cache: Cache, value_len: usize) -> u64 {
    let value = vec![7; value_len];
    for number in 0_u64.. {
        let mut bytes = [b'-'; 20];
        bytes[..8].copy_from_slice(&mix(number).to_le_bytes());
        let key = cache.key(&bytes).expect("short");
        cache
            .put(key, &value, Attributes::default(), NOW)
            .expect("stored");
        if number.is_multiple_of(4096) && cache.stats().evictions > 100_000 {
            break;
        }
    }
    cache.stats().items
}

/// What reading all of a file takes.
fn read_once(path: &Path, threads: usize) -> Duration {
    let file = File::open(path).expect("opens");
    let len = file.metadata().expect("a length").len();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for no in 0..threads as u64 {
            let file = &file;
            scope.spawn(move || {
                let mut block = vec![0; MIB];
                for at in (no * MIB as u64..len).step_by(threads * MIB) {
                    let _ = file.read_at(&mut block, at);
                }
            });
        }
    });
    begun.elapsed()
}
