//! Goal: the front does what its names say, whoever calls it from however many threads.
//!
//! Method: tables for single calls; a clock that the test moves; and for `get_or_insert_with` threads that meet at a
//! barrier, with closures that count, fail and panic.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use flagstone_engine::{
    Attributes, BuildError, Cache, InsertError, KEY_BYTES_MAX, KeyError, Lookup, PlanError,
    SharedCache, StoreError, Tick,
};

/// A cache of 8 MiB and its clock, in milliseconds.
fn open() -> (SharedCache, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let millis = Arc::clone(&clock);
    let cache = Cache::builder()
        .memory(8 << 20)
        .value_bytes_max(256 << 10)
        .build_with_clock(move || Tick::from_millis(millis.load(Ordering::Relaxed)))
        .unwrap();
    (cache, clock)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn values_of_all_lengths_come_back() {
    let (cache, _) = open();
    for len in [0, 1, 100, 1023, 1024, 1025, 5_000, 100_000, 256 << 10] {
        let value = pattern(len);
        cache.insert("key", &value).unwrap();
        let found = cache.get("key").unwrap();
        assert_eq!(found, value, "{len}");
        assert_eq!(
            found.capacity(),
            len,
            "{len}: more was allocated than asked for"
        );
        let mut out = vec![9; len];
        let hit = cache.get_into("key", &mut out);
        assert!(
            matches!(hit, Lookup::Hit(meta) if meta.value_len == len),
            "{len}: {hit:?}"
        );
        assert_eq!(out, value, "{len}");
        if let Some(short) = len.checked_sub(1) {
            let hit = cache.get_into("key", &mut out[..short]);
            assert!(
                matches!(hit, Lookup::TooSmall(meta) if meta.value_len == len),
                "{len}"
            );
        }
    }
    assert!(cache.contains("key") && !cache.contains("other"));
    assert_eq!((cache.len(), cache.is_empty()), (1, false));
    assert!(cache.remove("key"));
    assert!(!cache.remove("key"));
    assert_eq!(
        (cache.get("key"), cache.len(), cache.is_empty()),
        (None, 0, true)
    );
    cache.core().audit().unwrap();
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (cache, _) = open();
    cache.insert("key", "before").unwrap();
    let long_key = [b'k'; KEY_BYTES_MAX + 1];
    let table: [(&[u8], usize, InsertError); 2] = [
        (&long_key, 1, InsertError::Key(KeyError::TooLong)),
        (
            b"key",
            (256 << 10) + 1,
            InsertError::Store(StoreError::TooLarge),
        ),
    ];
    for (key, len, expected) in table {
        assert_eq!(cache.insert(key, vec![0; len]), Err(expected));
        assert_eq!(cache.reserve(key, len).err(), Some(expected));
    }
    let key = &long_key;
    assert_eq!(cache.get(key), None);
    assert_eq!(cache.get_into(key, &mut []), Lookup::Miss);
    assert!(!cache.contains(key) && !cache.remove(key));
    assert!(cache.pin(key).unwrap().is_none());
    // What cannot be cached is computed.
    assert_eq!(cache.get_or_insert_with(key, || b"x".to_vec()), b"x");
    assert_eq!(cache.get("key").unwrap(), b"before");
    assert_eq!(cache.len(), 1);
}

#[test]
fn items_live_as_long_as_was_said() {
    let (cache, clock) = open();
    cache.insert("forever", "x").unwrap();
    cache
        .insert_ttl("millis", "x", Duration::from_millis(1500))
        .unwrap();
    cache
        .insert_ttl("seconds", "x", Duration::from_secs(2))
        .unwrap();
    cache.insert_ttl("not at all", "x", Duration::ZERO).unwrap();
    for (passed, expected) in [
        (0, [true, true, true, false]),
        (1499, [true, true, true, false]),
        (1500, [true, false, true, false]),
        (1999, [true, false, true, false]),
        (3000, [true, false, false, false]),
    ] {
        clock.store(1_000_000 + passed, Ordering::Relaxed);
        let found = ["forever", "millis", "seconds", "not at all"].map(|key| cache.contains(key));
        assert_eq!(found, expected, "after {passed} ms");
    }
    assert!(
        cache.len() > 1,
        "expired items count until they are reclaimed"
    );
    while cache.maintain().more {}
    assert_eq!(cache.len(), 1);
}

#[test]
fn the_builders_time_to_live_is_for_those_that_say_none() {
    let clock = Arc::new(AtomicU64::new(1_000));
    let millis = Arc::clone(&clock);
    let cache = Cache::builder()
        .memory(8 << 20)
        .time_to_live(Duration::from_secs(10))
        .build_with_clock(move || Tick::from_millis(millis.load(Ordering::Relaxed)))
        .unwrap();
    cache.insert("inserted", "x").unwrap();
    cache
        .insert_ttl("longer", "x", Duration::from_secs(20))
        .unwrap();
    let _ = cache.get_or_insert_with("computed", || b"x".to_vec());
    let mut writer = cache.reserve("written", 1).unwrap();
    writer.write(b"x").unwrap();
    writer.commit().unwrap();
    let found = || ["inserted", "longer", "computed", "written"].map(|key| cache.contains(key));
    assert_eq!(found(), [true; 4]);
    clock.store(11_000, Ordering::Relaxed);
    assert_eq!(found(), [false, true, false, false]);
}

#[test]
fn the_memory_is_what_was_said() {
    for memory in [8 << 20, (8 << 20) + 4_321, 64 << 20] {
        let cache = Cache::builder()
            .memory(memory)
            .build_with_clock(|| Tick::ZERO)
            .unwrap();
        assert_eq!(cache.memory(), memory);
        let lines: usize = cache.core().plan().lines().map(|line| line.bytes).sum();
        assert!(
            lines < memory && memory - lines < 8 << 10,
            "the front's share: {}",
            memory - lines
        );
        let empty = cache.memory_used();
        assert!(
            empty < memory / 4,
            "{empty} of {memory} bytes without an item"
        );
        for number in 0..200_000_u64 {
            cache.insert(number.to_le_bytes(), [7; 1000]).unwrap();
        }
        let full = cache.memory_used();
        assert!(
            full > memory / 100 * 95 && full <= memory,
            "{full} of {memory}"
        );
        cache.clear();
        assert!(cache.is_empty());
        while cache.maintain().more {}
        assert!(cache.memory_used() < memory / 4);
    }
    let Err(BuildError::Plan(PlanError::BudgetTooSmall {
        budget_bytes,
        budget_bytes_min,
    })) = Cache::builder()
        .memory(1_000)
        .build_with_clock(|| Tick::ZERO)
    else {
        panic!("1000 bytes are not a cache");
    };
    assert_eq!(budget_bytes, 1_000);
    let build = |memory| {
        Cache::builder()
            .memory(memory)
            .build_with_clock(|| Tick::ZERO)
    };
    assert_eq!(build(budget_bytes_min).unwrap().memory(), budget_bytes_min);
    assert!(build(budget_bytes_min - 1024).is_err());
}

#[cfg(feature = "clock")]
#[test]
fn its_own_clock_goes_forward() {
    let cache = Cache::builder().memory(8 << 20).build().unwrap();
    let begun = cache.now();
    cache
        .insert_ttl("brief", "x", Duration::from_millis(60))
        .unwrap();
    cache
        .insert_ttl("long", "x", Duration::from_secs(60))
        .unwrap();
    thread::sleep(Duration::from_millis(80));
    assert!(cache.now().millis_since(begun) >= 80);
    assert!(!cache.contains("brief") && cache.contains("long"));
}

#[test]
fn one_computes_and_the_others_get_its_value() {
    let (cache, _) = open();
    let computed = AtomicUsize::new(0);
    for round in 0..200_u64 {
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                let (cache, computed, barrier) = (cache.clone(), &computed, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let value = cache.get_or_insert_with(round.to_le_bytes(), || {
                        computed.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        round.to_le_bytes().repeat(300)
                    });
                    assert_eq!(value, round.to_le_bytes().repeat(300));
                });
            }
        });
        assert_eq!(computed.load(Ordering::Relaxed) as u64, round + 1);
    }
}

/// Four threads want one value; the first two that compute panic or fail, and the third succeeds.
#[test]
fn a_panic_and_an_error_let_the_next_one_compute() {
    let (cache, _) = open();
    let computed = AtomicUsize::new(0);
    let barrier = Barrier::new(4);
    let outcomes = thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    catch_unwind(AssertUnwindSafe(|| {
                        cache.try_get_or_insert_with("key", || {
                            thread::sleep(Duration::from_millis(20));
                            match computed.fetch_add(1, Ordering::Relaxed) {
                                0 => panic!("on purpose"),
                                1 => Err("on purpose"),
                                _ => Ok(b"value".to_vec()),
                            }
                        })
                    }))
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(computed.load(Ordering::Relaxed), 3);
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_err()).count(),
        1
    );
    let failed = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Err("on purpose"))));
    assert_eq!(failed.count(), 1);
    let got = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Ok(value)) if value == b"value"));
    assert_eq!(got.count(), 2);
    assert_eq!(cache.get("key").unwrap(), b"value");
}

#[test]
fn a_value_that_cannot_be_stored_is_returned() {
    let (cache, _) = open();
    let long = pattern((256 << 10) + 1);
    let computed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let value = cache.get_or_insert_with("key", || {
                    computed.fetch_add(1, Ordering::Relaxed);
                    long.clone()
                });
                assert_eq!(value, long);
            });
        }
    });
    assert_eq!(computed.load(Ordering::Relaxed), 3);
    assert_eq!(cache.get("key"), None);
}

#[test]
fn a_computation_may_use_the_cache() {
    let (cache, _) = open();
    let value = cache.get_or_insert_with("outer", || {
        let mut value = cache.get_or_insert_with("inner", || b"inner".to_vec());
        // Its own key: it does not wait for itself.
        value.extend(cache.get_or_insert_with("outer", || b", nested".to_vec()));
        value
    });
    assert_eq!(value, b"inner, nested");
    assert_eq!(cache.get("outer").unwrap(), b"inner, nested");
    assert_eq!(cache.get("inner").unwrap(), b"inner");
}

#[test]
fn all_items_are_met_once() {
    let (cache, _) = open();
    assert_eq!(cache.iter().next(), None);
    let key = |number: usize| [&number.to_le_bytes()[..], &vec![b'k'; number % 243]].concat();
    let value = |number: usize| {
        pattern(if number.is_multiple_of(100) {
            20_000
        } else {
            number % 300
        })
    };
    for number in 0..3_000 {
        cache.insert(key(number), value(number)).unwrap();
    }
    assert_eq!(cache.len(), 3_000, "nothing was evicted");
    let mut met = vec![false; 3_000];
    for (found_key, found) in &cache {
        let number = usize::from_le_bytes(found_key[..8].try_into().unwrap());
        assert_eq!(found_key, key(number));
        assert_eq!(found, value(number));
        assert!(
            !std::mem::replace(&mut met[number], true),
            "{number} came twice"
        );
    }
    assert!(met.iter().all(|met| *met));
}

#[test]
fn retain_keeps_what_it_is_told() {
    let (cache, _) = open();
    for number in 0..3_000_u64 {
        let len = if number % 7 == 0 { 10_000 } else { 10 };
        cache
            .insert(number.to_be_bytes(), vec![number as u8; len])
            .unwrap();
    }
    assert_eq!(cache.len(), 3_000, "nothing was evicted");
    let done = cache.retain(|item| {
        let number = u64::from_be_bytes(item.key().try_into().unwrap());
        assert_eq!(item.value_len(), if number % 7 == 0 { 10_000 } else { 10 });
        assert_eq!(item.meta().value_len, item.value_len());
        let mut first = [0; 3];
        assert_eq!(item.read(&mut first), 3);
        assert_eq!(first, [number as u8; 3]);
        assert_eq!(item.value(), vec![number as u8; item.value_len()]);
        number % 3 == 0
    });
    assert_eq!((done.removed, done.skipped), (2_000, 0));
    assert_eq!(cache.len(), 1_000);
    for number in 0..3_000_u64 {
        assert_eq!(
            cache.contains(number.to_be_bytes()),
            number % 3 == 0,
            "{number}"
        );
    }
    cache.core().audit().unwrap();
}

/// The closure runs under no lock: it stores, removes and goes through the same cache. What it replaced is asked
/// about anew, and a newer value is never removed.
#[test]
fn retain_never_removes_a_newer_value() {
    let (cache, _) = open();
    for number in 0..500_u64 {
        cache.insert(number.to_be_bytes(), "old").unwrap();
    }
    let mut asked_of_new = 0;
    let done = cache.retain(|item| {
        let is_old = item.value() == b"old";
        if is_old {
            cache.insert(item.key(), "new").unwrap();
            assert_eq!(cache.iter().take(3).count(), 3);
        } else {
            asked_of_new += 1;
        }
        !is_old
    });
    assert_eq!((done.removed, done.skipped), (0, 0));
    assert!(asked_of_new >= 500, "{asked_of_new}");
    assert_eq!(cache.len(), 500);
    assert!(cache.iter().all(|(_, value)| value == b"new"));
    // One that is replaced each time it is asked about is left alone, and said so.
    let mut version = 0_u64;
    let done = cache.retain(|item| {
        if item.key() == 7_u64.to_be_bytes() {
            version += 1;
            cache.insert(item.key(), version.to_be_bytes()).unwrap();
            return false;
        }
        true
    });
    // A replaced item that moved ahead of the walk is met again there.
    assert!(done.removed == 0 && done.skipped >= 1, "{done:?}");
    assert_eq!(
        cache.get(7_u64.to_be_bytes()).unwrap(),
        version.to_be_bytes()
    );
    cache.core().audit().unwrap();
}

#[test]
fn a_closure_that_panics_leaves_the_cache_whole() {
    let (cache, _) = open();
    for number in 0..100_u64 {
        cache.insert(number.to_be_bytes(), "x").unwrap();
    }
    let mut asked = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.retain(|_| {
            asked += 1;
            assert!(asked < 50, "on purpose");
            false
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(cache.len(), 51);
    assert_eq!(cache.core().stats().pinned, 0);
    cache.core().audit().unwrap();
    cache.insert("key", "value").unwrap();
}

/// With all its shard's pins taken an item is not asked about, and `iter` still meets it.
#[test]
fn items_beside_too_many_pins_are_skipped_and_told() {
    let (cache, _) = open();
    let key = |number: u32| number.to_be_bytes();
    let mut pins = Vec::new();
    for number in 0..5_000 {
        cache.insert(key(number), "x").unwrap();
        if let Ok(Some(pinned)) = cache.pin(key(number)) {
            pins.push(pinned);
        }
    }
    assert_eq!(pins.len(), 16 * 32, "every shard's are taken");
    assert_eq!(cache.iter().count(), 5_000);
    let done = cache.retain(|_| false);
    // A pinned item can be pinned again.
    assert_eq!((done.removed, done.skipped), (16 * 32, 5_000 - 16 * 32));
    drop(pins);
    assert_eq!(cache.retain(|_| false).removed, 5_000 - 16 * 32);
    assert!(cache.is_empty());
}

#[test]
fn values_are_written_and_read_in_parts_elsewhere() {
    let (cache, _) = open();
    let mut writer = cache.reserve("key", 100_000).unwrap();
    thread::spawn(move || {
        for part in pattern(100_000).chunks(3_000) {
            writer.write_all(part).unwrap();
        }
        assert_eq!(writer.written(), 100_000);
        assert!(writer.write_all(b"x").is_err());
        writer.commit().unwrap();
    })
    .join()
    .unwrap();
    let mut pinned = cache.pin("key").unwrap().unwrap();
    assert!(cache.remove("key"));
    let value = thread::spawn(move || {
        let mut value = Vec::new();
        pinned.read_to_end(&mut value).unwrap();
        value
    });
    assert_eq!(value.join().unwrap(), pattern(100_000));
    let mut writer = cache.reserve("key", 10).unwrap();
    writer.write(b"too few").unwrap();
    assert_eq!(writer.commit(), Err(StoreError::LengthMismatch));
    assert!(!cache.contains("key"));
    cache.core().audit().unwrap();
}

#[test]
fn the_engines_own_calls_stay_within_reach() {
    let (cache, _) = open();
    let core = cache.core();
    let key = core.key(b"key").unwrap();
    core.put(key, b"from below", Attributes::default(), cache.now())
        .unwrap();
    assert_eq!(cache.get("key").unwrap(), b"from below");
    assert!(format!("{cache:?}").contains("len: 1"));
}
