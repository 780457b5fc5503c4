//! Many threads, one cache: clone the handle for each, and stay within the memory whatever they store.
//!
//! ```text
//! cargo run --release --package flagstone-engine --example threads
//! ```

use std::error::Error;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use flagstone_engine::Cache;

const THREADS: u64 = 4;
const ROUNDS: u64 = 50_000;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::builder().memory(8 << 20).build()?;

    // A thread for upkeep: what has expired gives its memory back before anybody needs it. Optional.
    let (stop, stopped) = mpsc::channel::<()>();
    let upkeep = {
        let cache = cache.clone();
        thread::spawn(move || {
            let tenth = Duration::from_millis(100);
            while stopped.recv_timeout(tenth) == Err(RecvTimeoutError::Timeout) {
                while cache.maintain().more {}
            }
        })
    };

    let workers: Vec<_> = (0..THREADS)
        .map(|worker| {
            let cache = cache.clone();
            thread::spawn(move || {
                let mut hits = 0_u64;
                for round in 0..ROUNDS {
                    // A number that is asked for again, and another that is not.
                    let key = (round * (worker + 1) % 10_000).to_le_bytes();
                    match cache.get(key) {
                        Some(value) => {
                            assert_eq!(value, key.repeat(40), "a value is never another key's");
                            hits += 1;
                        }
                        None => cache
                            .insert_ttl(key, key.repeat(40), Duration::from_secs(30))
                            .expect("it fits"),
                    }
                }
                hits
            })
        })
        .collect();
    let hits: u64 = workers
        .into_iter()
        .map(|worker| worker.join().expect("no worker panics"))
        .sum();

    drop(stop);
    upkeep.join().expect("upkeep does not panic");
    assert!(cache.memory_used() <= cache.memory());
    println!(
        "{hits} hits of {} in {THREADS} threads; {} items in {} of {} KiB",
        THREADS * ROUNDS,
        cache.len(),
        cache.memory_used() >> 10,
        cache.memory() >> 10
    );
    assert!(hits > THREADS * ROUNDS / 4);
    Ok(())
}
