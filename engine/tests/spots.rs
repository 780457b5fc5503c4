//! Goal: a look that was prepared ahead (`prefetch`, `prefetch_item`) never shows anything but what
//! the key's item is when it is read, whatever happened in between.
//!
//! Method: for a batch of keys the spots are prepared; then one thing is done to the cache (a store
//! in place, a store of another size, a delete, many inserts that split buckets and evict, a flush,
//! deadlines, moved pages), to a key of the batch or to all; then `get_at` must say what `get` says.

use flagstone_engine::{
    Attributes, Cache, Copied, Deadline, Key, Lookup, Options, Plan, Spot, Tick,
};

const KEYS: u64 = 4_000;
const BATCH: u64 = 24;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn with_key<R>(cache: &Cache, number: u64, work: impl FnOnce(Key<'_>) -> R) -> R {
    let text = format!("{number:x}/{}", "k".repeat(number as usize % 40));
    work(cache.key(text.as_bytes()).unwrap())
}

fn put(cache: &Cache, number: u64, version: u64, len: usize, deadline: Deadline, now: Tick) {
    let mut value = vec![version as u8; len];
    value[..8].copy_from_slice(&number.to_le_bytes());
    with_key(cache, number, |key| {
        cache.put(key, &value, deadline.into(), now).unwrap();
    });
}

fn small_cache() -> Cache {
    let plan = Plan::new(&Options {
        budget_bytes: 4 << 20,
        ..Options::default()
    });
    Cache::open(plan.unwrap()).unwrap()
}

#[test]
fn what_was_prepared_shows_what_is_there() {
    let cache = small_cache();
    let mut now = Tick::from_secs(1000);
    let mut seen = [0u8; 4096];
    let mut expected = [0u8; 4096];
    let (mut hits, mut misses) = (0, 0);
    for round in 0..6_000u64 {
        let dice = mix(round);
        let numbers: Vec<u64> = (0..BATCH).map(|at| mix(dice ^ at) % KEYS).collect();
        for &number in &numbers {
            if !mix(dice ^ number).is_multiple_of(4) {
                let len = 8 + (mix(round ^ number) % 900) as usize;
                put(&cache, number, round, len, Deadline::NEVER, now);
            }
        }
        let mut spots: Vec<Spot> = numbers
            .iter()
            .map(|&number| with_key(&cache, number, |key| cache.prefetch(key)))
            .collect();
        for (&number, spot) in numbers.iter().zip(&mut spots) {
            with_key(&cache, number, |key| cache.prefetch_item(key, spot));
        }
        let victim = numbers[0];
        match dice % 8 {
            0 => {}
            1 => put(&cache, victim, !round, 20, Deadline::NEVER, now),
            2 => put(&cache, victim, !round, 1500, Deadline::NEVER, now),
            3 => {
                with_key(&cache, victim, |key| cache.delete(key, now));
            }
            4 if dice.is_multiple_of(5) => {
                for number in KEYS..KEYS + 3000 {
                    put(&cache, number + dice, round, 700, Deadline::NEVER, now);
                }
            }
            5 if dice.is_multiple_of(3) => cache.flush(),
            6 => {
                let deadline = Deadline::exact(now.plus_millis(5));
                put(&cache, victim, !round, 30, deadline, now);
                now = now.plus_millis(10);
            }
            _ => {
                for &number in &numbers {
                    put(&cache, number, !round, 300, Deadline::NEVER, now);
                }
            }
        }
        for (&number, &spot) in numbers.iter().zip(&spots) {
            with_key(&cache, number, |key| {
                let found = cache.get_at(key, spot, now, &mut seen, |_, _| Some(0));
                match (found, cache.get(key, now, &mut expected)) {
                    (Copied::Bytes(len), Lookup::Hit(meta)) => {
                        assert_eq!(&seen[..len], &expected[..meta.value_len]);
                        assert_eq!(seen[..8], number.to_le_bytes());
                        hits += 1;
                    }
                    (Copied::Miss, Lookup::Miss) => misses += 1,
                    (found, expected) => panic!("{found:?}, not {expected:?}, round {round}"),
                }
            });
        }
    }
    assert!(hits > 50_000 && misses > 5_000, "{hits} {misses}");
    cache.audit().unwrap();
}

/// A value that does not fit its room is not copied.
#[test]
fn a_short_room_is_left_alone() {
    let cache = small_cache();
    let key = cache.key(b"key").unwrap();
    cache
        .put(key, &[7; 100], Attributes::default(), Tick::ZERO)
        .unwrap();
    let mut spot = cache.prefetch(key);
    cache.prefetch_item(key, &mut spot);
    let mut out = [0; 99];
    let found = cache.get_at(key, spot, Tick::ZERO, &mut out, |_, _| Some(0));
    assert_eq!(found, Copied::TooSmall);
    assert_eq!(out, [0; 99]);
}
