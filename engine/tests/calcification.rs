//! Goal: memory follows what is written. Classes that nobody writes to any more give their
//! pages to those that need them, expired items leave before live ones, and one shard or
//! size cannot starve another.
//!
//! Method: what the cache holds after a change of sizes is compared with what a fresh cache
//! holds of the new size, after one budget's worth of new writes.

use flagstone_engine::{Attributes, Cache, Deadline, Lookup, Options, Plan, Tick};

const BUDGET: usize = 32 << 20;

fn open() -> Cache {
    let options = Options {
        budget_bytes: BUDGET,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).unwrap()).unwrap()
}

/// Writes one budget's worth of values of about `size` bytes under new keys.
fn write_a_budget(cache: &Cache, size: usize, base: u64, now: Tick) {
    let value = vec![0x5A; size * 5 / 4];
    for number in 0..(BUDGET / size) as u64 {
        let bytes = (base + number).to_le_bytes();
        // A quarter around the size, so that no lucky class decides.
        let len = size * 3 / 4 + (number.wrapping_mul(0x9E37_79B9) % (size as u64 / 2)) as usize;
        let key = cache.key(&bytes).unwrap();
        cache
            .put(key, &value[..len], Attributes::default(), now)
            .unwrap();
    }
}

fn found(cache: &Cache, size: usize, base: u64, now: Tick) -> usize {
    (0..(BUDGET / size) as u64)
        .filter(|number| {
            let bytes = (base + number).to_le_bytes();
            cache.meta(cache.key(&bytes).unwrap(), now).is_some()
        })
        .count()
}

#[test]
fn each_new_size_soon_holds_what_a_fresh_cache_would() {
    let now = Tick::from_secs(1);
    let cache = open();
    for (phase, size) in [100, 1024, 10 << 10, 100].into_iter().enumerate() {
        let base = (phase as u64 + 1) << 40;
        write_a_budget(&cache, size, base, now);
        let fresh = open();
        write_a_budget(&fresh, size, base, now);
        let (held, expected) = (
            found(&cache, size, base, now),
            found(&fresh, size, base, now),
        );
        assert!(
            held * 100 >= expected * 95,
            "phase {phase}: {held} items of {size} bytes, a fresh cache holds {expected}"
        );
        cache.audit().unwrap();
    }
}

#[test]
fn classes_tell_whose_items_are_old() {
    let now = Tick::from_secs(1);
    let cache = open();
    write_a_budget(&cache, 100, 1 << 40, now);
    write_a_budget(&cache, 1024, 2 << 40, now);
    let (mut items, mut pages, mut evictions) = (0, 0, 0);
    let mut busiest = Vec::new();
    cache.classes(|class| {
        items += class.items_probation + class.items_main;
        pages += class.pages;
        evictions += class.evictions;
        assert!(class.chunks_used <= class.chunks, "{class:?}");
        busiest.push((class.evictions, class));
    });
    let stats = cache.stats();
    assert_eq!((items, pages), (stats.items, stats.pages_items));
    assert_eq!(evictions, stats.evictions);
    assert!(stats.inserted_bytes >= 2 * BUDGET as u64, "{stats:?}");
    // Wherever items are left, the oldest were inserted no longer ago than everything was.
    for (_, class) in &busiest {
        let has_items = class.items_probation + class.items_main > 0;
        assert_eq!(class.tail_age_bytes > 0, has_items, "{class:?}");
        assert!(
            class.tail_age_bytes <= 2 * stats.inserted_bytes,
            "{class:?}"
        );
    }
}

#[test]
fn what_has_expired_leaves_before_anything_live() {
    let cache = open();
    let born = Tick::from_secs(10);
    // A third of the budget lives, two thirds die after a second; then as much again is stored.
    let third = BUDGET as u64 / 3 / 250;
    let put = |number: u64, deadline: Deadline, now: Tick| {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).unwrap();
        cache.put(key, &[1; 200], deadline.into(), now).unwrap();
    };
    for number in 0..third {
        put(number, Deadline::NEVER, born);
        put(number + (1 << 40), Deadline::after_secs(born, 1), born);
    }
    assert_eq!(cache.stats().evictions, 0);
    let later = born.plus_secs(5);
    for number in 0..third {
        put(number + (2 << 40), Deadline::NEVER, later);
    }
    let stats = cache.stats();
    assert_eq!(stats.evictions, 0, "{stats:?}");
    assert!((0..third).all(|number| {
        let bytes = number.to_le_bytes();
        cache.meta(cache.key(&bytes).unwrap(), later).is_some()
    }));
    cache.audit().unwrap();
}

#[test]
fn a_million_items_that_expire_at_once_are_reclaimed_in_bounded_portions() {
    let options = Options {
        budget_bytes: 128 << 20,
        ..Options::default()
    };
    let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
    let now = Tick::from_secs(1);
    for number in 0..1_000_000u64 {
        let bytes = number.to_le_bytes();
        let deadline = Deadline::after_secs(now, 1);
        cache
            .put(cache.key(&bytes).unwrap(), &[3; 40], deadline.into(), now)
            .unwrap();
    }
    assert_eq!(
        (cache.stats().items, cache.stats().evictions),
        (1_000_000, 0)
    );
    let later = now.plus_secs(2);
    let mut rounds = 0;
    loop {
        let done = cache.maintain(later, 1024);
        rounds += 1;
        // A page more than asked for is the most that a portion does.
        assert!(done.reclaimed <= 1024 + 16 * 400, "{done:?}");
        if !done.more {
            break;
        }
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.items, stats.expired.swept),
        (0, 1_000_000),
        "after {rounds} rounds"
    );
    assert_eq!(stats.pages_items, 0);
    cache.audit().unwrap();
}

#[test]
fn one_hot_key_and_one_full_shard_take_pages_from_the_others() {
    let cache = open();
    let now = Tick::from_secs(1);
    write_a_budget(&cache, 200, 0, now);
    // Keys of one shard only: it may use far more than a sixteenth of the pages.
    let one_shard: Vec<[u8; 8]> = (1u64 << 40..)
        .map(u64::to_le_bytes)
        .filter(|bytes| {
            let hash = format!("{:?}", cache.key(bytes).unwrap().hash());
            let bits: u64 = hash["KeyHash(".len()..hash.len() - 1].parse().unwrap();
            bits >> 60 == 3
        })
        .take(12_000)
        .collect();
    for _ in 0..3 {
        for bytes in &one_shard {
            let key = cache.key(bytes).unwrap();
            cache
                .put(key, &[7; 1000], Attributes::default(), now)
                .unwrap();
            let mut out = [0; 1000];
            assert!(matches!(cache.get(key, now, &mut out), Lookup::Hit(_)));
        }
        cache.maintain(now, 1000);
    }
    let held = one_shard
        .iter()
        .filter(|bytes| cache.meta(cache.key(*bytes).unwrap(), now).is_some())
        .count();
    // A sixteenth of the budget would hold under 2,000 of them.
    assert!(held > 4000, "the busy shard holds {held} of its items");
    cache.audit().unwrap();
}
