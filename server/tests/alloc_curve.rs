//! Noting what becomes of the keys of the curve's sample allocates nothing: values of many keys are asked for and stored, more than the
//! cache holds.

mod common;

use std::time::Duration;

use common::alloc::{self, REQUESTS, assert_none};
use common::{small_config, stat};

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn the_curve_allocates_nothing() {
    const KEYS: usize = 40_000;
    let _profiler = alloc::profiler();
    let lines: Vec<Vec<u8>> = (0..KEYS)
        .map(|key| format!("PUT key{key} {}\nGET key{key}\n", "v".repeat(1000)).into_bytes())
        .collect();
    let reply = format!("OK\n{}\n", "v".repeat(1000)).into_bytes();
    let server = assert_none(small_config(), 1, REQUESTS, |clients, n| {
        if n == 0 {
            // By now the model knows how large the cache is.
            std::thread::sleep(Duration::from_millis(2500));
        }
        clients[0].exchange(&lines[n % KEYS], &reply);
    });
    let noted = stat(&server, "curve_noted");
    assert!(noted > REQUESTS as u64 / 1000, "{noted} of {REQUESTS}");
}
