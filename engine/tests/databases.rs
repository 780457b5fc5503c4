//! Goal: databases are keyspaces of their own. Whatever is stored, flushed and read, by however many threads, nobody gets
//! another database's item or one that was flushed, and the counts are right.
//!
//! Method: seeded operations against a map with an audit now and then; and readers without a lock beside who flushes and
//! writes.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Release},
};

use flagstone_engine::{
    Attributes, Cache, Condition, DATABASES, Lookup, Options, Outcome, Plan, Scan, Tick, Walk,
};

const NOW: Tick = Tick::from_secs(1000);

fn open(budget_bytes: usize) -> Cache {
    let options = Options {
        budget_bytes,
        hash_seed: 7,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

/// Keys that look like one another with something before them.
fn key_of(number: u64) -> Vec<u8> {
    let mut key = match number % 6 {
        0 => vec![],
        1 => vec![(number % 16) as u8, 0, 0, 0],
        2 => vec![(number % 16) as u8, (number % 3) as u8, 0, 0],
        3 => vec![b'k'; 242],
        4 => [1, 0, 0, 0].repeat(100),
        _ => vec![0],
    };
    key.extend_from_slice(&(number / 6 % 40).to_be_bytes());
    key
}

fn roll(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn databases_answer_like_maps_of_their_own() {
    for seed in 1..=6 {
        let cache = open(16 << 20);
        let mut dice = seed;
        let mut maps: Vec<HashMap<Vec<u8>, Vec<u8>>> = vec![HashMap::new(); DATABASES];
        let mut out = vec![0; 70_000];
        for step in 0..6000 {
            let database = match roll(&mut dice) % 3 {
                0 => 0,
                1 => roll(&mut dice) as usize % 3,
                _ => roll(&mut dice) as usize % DATABASES,
            };
            let bytes = key_of(roll(&mut dice) % 240);
            let key = cache.key_in(database, &bytes).expect("a key");
            let len = match roll(&mut dice) % 20 {
                0 => 20_000,
                1 => 3000,
                _ => roll(&mut dice) as usize % 100,
            };
            let value: Vec<u8> = (0..len).map(|_| roll(&mut dice) as u8).collect();
            match roll(&mut dice) % 100 {
                0..40 => {
                    cache
                        .put(key, &value, Attributes::default(), NOW)
                        .expect("stores");
                    maps[database].insert(bytes, value);
                }
                40..50 => {
                    let mut reservation = cache
                        .reserve(key, value.len(), Attributes::default(), NOW)
                        .expect("begins");
                    reservation.write(&value, NOW).expect("written");
                    let stored = reservation.commit(Condition::Always, NOW).expect("commits");
                    assert_eq!(stored, Outcome::Stored);
                    maps[database].insert(bytes, value);
                }
                50..60 => {
                    let was = maps[database].remove(&bytes).is_some();
                    assert_eq!(cache.delete(key, NOW), was);
                }
                60 => {
                    cache.flush_database(database);
                    maps[database].clear();
                }
                61 if roll(&mut dice).is_multiple_of(8) => {
                    cache.flush();
                    maps.iter_mut().for_each(HashMap::clear);
                }
                _ => match (cache.get(key, NOW, &mut out), maps[database].get(&bytes)) {
                    (Lookup::Hit(hit), Some(value)) => {
                        assert_eq!(&out[..hit.value_len], &value[..]);
                    }
                    (Lookup::Miss, None) => {}
                    (found, wanted) => {
                        panic!(
                            "seed {seed} step {step}: {found:?}, {} wanted",
                            wanted.is_some()
                        )
                    }
                },
            }
            if step % 500 == 0 {
                let _ = cache.maintain(NOW, 50);
                cache.audit().expect("whole");
                let counts = cache.stats().databases;
                for (map, count) in maps.iter().zip(counts) {
                    assert_eq!(map.len() as u64, count, "seed {seed} step {step}");
                }
            }
        }
        assert_eq!(cache.stats().evictions, 0);
        // A walk is through database 0.
        let mut walked = Vec::new();
        let mut walk = Walk::default();
        while cache.walk(&mut walk, 100, NOW, |key, _| {
            walked.push(key.to_vec());
            true
        }) {}
        walked.sort();
        let mut wanted: Vec<Vec<u8>> = maps[0].keys().cloned().collect();
        wanted.sort();
        assert_eq!(walked, wanted);
        for (database, map) in maps.iter().enumerate() {
            let (mut scan, mut met) = (Scan::default(), Vec::new());
            while cache
                .scan_in(database, &mut scan, NOW, |key, _| {
                    met.push(key.to_vec());
                    true
                })
                .more
            {}
            met.sort();
            let mut wanted: Vec<Vec<u8>> = map.keys().cloned().collect();
            wanted.sort();
            assert_eq!(met, wanted, "seed {seed} database {database}");
            assert_eq!(cache.items_in(database), map.len() as u64);
        }
        // What was flushed is taken back.
        while cache.maintain(NOW, 1000).more {}
        let all: u64 = maps.iter().map(|map| map.len() as u64).sum();
        assert_eq!(cache.stats().items, all);
        cache.audit().expect("whole");
    }
}

/// The same few keys again and again: what was flushed does not pile up in their buckets.
#[test]
fn a_database_is_flushed_and_filled_for_ever() {
    let cache = open(16 << 20);
    for round in 0..100_000u64 {
        let key = cache.key_in(3, b"same").expect("a key");
        assert_eq!(cache.get(key, NOW, &mut [0; 8]), Lookup::Miss);
        cache
            .put(key, &round.to_le_bytes(), Attributes::default(), NOW)
            .expect("stores");
        cache.flush_database(3);
        if round % 1000 == 0 {
            let _ = cache.maintain(NOW, 100);
        }
    }
    while cache.maintain(NOW, 1000).more {}
    assert_eq!(cache.stats().items, 0);
    cache.audit().expect("whole");
}

/// Values say their database and the flush before which they were stored.
#[test]
fn readers_without_a_lock_get_nothing_of_others() {
    const KEYS: u64 = 64;
    let cache = open(16 << 20);
    let flushed: [AtomicU64; 3] = Default::default();
    let stop = AtomicBool::new(false);
    // Database 2 is left alone.
    for number in 0..KEYS {
        let bytes = number.to_be_bytes();
        let key = cache.key_in(2, &bytes).expect("a key");
        cache
            .put(key, &[2; 16], Attributes::default(), NOW)
            .expect("stores");
    }
    std::thread::scope(|scope| {
        for reader in 0..2u64 {
            let (cache, flushed, stop) = (&cache, &flushed, &stop);
            scope.spawn(move || {
                let mut dice = reader + 9;
                let mut out = [0; 64];
                while !stop.load(Acquire) {
                    let database = roll(&mut dice) as usize % 3;
                    let least = flushed[database].load(Acquire);
                    let bytes = (roll(&mut dice) % KEYS).to_be_bytes();
                    let key = cache.key_in(database, &bytes).expect("a key");
                    match cache.get(key, NOW, &mut out) {
                        Lookup::Hit(hit) => {
                            assert_eq!(hit.value_len, 16);
                            assert_eq!(usize::from(out[0]), database);
                            let round = u64::from_le_bytes(out[8..16].try_into().expect("eight"));
                            assert!(database == 2 || round >= least, "{round} after {least}");
                        }
                        Lookup::Miss => assert_ne!(database, 2),
                        Lookup::TooSmall(_) => panic!("short values"),
                    }
                }
            });
        }
        let mut value = [0; 16];
        for round in 0..3000u64 {
            let database = round as usize % 2;
            value[0] = database as u8;
            value[8..].copy_from_slice(&round.to_le_bytes());
            for number in 0..KEYS {
                let bytes = number.to_be_bytes();
                let key = cache.key_in(database, &bytes).expect("a key");
                cache
                    .put(key, &value, Attributes::default(), NOW)
                    .expect("stores");
            }
            cache.flush_database(database);
            flushed[database].store(round + 1, Release);
            if round % 50 == 0 {
                let _ = cache.maintain(NOW, 500);
            }
        }
        stop.store(true, Release);
    });
    assert_eq!(cache.stats().databases[..3], [0, 0, KEYS]);
    cache.audit().expect("whole");
}
