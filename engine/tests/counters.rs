//! Goal: the counters say why an item has gone, and about how old it was. Method: each way of
//! going, once, and the ages of a cache that is written at a steady pace.

use flagstone_engine::{
    Attributes, Cache, Condition, Deadline, Expired, Lookup, Options, Plan, Tick,
};

fn cache(budget_bytes: usize) -> Cache {
    let options = Options {
        budget_bytes,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a budget that works")).expect("memory")
}

/// Stored with a deadline, or without one.
fn put(cache: &Cache, name: &str, value: &[u8], deadline: Option<u64>, now: Tick) {
    let attributes = Attributes {
        deadline: deadline.map_or(Deadline::NEVER, |second| {
            Deadline::at(Tick::from_secs(second))
        }),
        ..Attributes::default()
    };
    let key = cache.key(name.as_bytes()).expect("short");
    cache.put(key, value, attributes, now).expect("room");
}

fn expired(set: impl FnOnce(&mut Expired)) -> Expired {
    let mut counts = Expired::default();
    set(&mut counts);
    counts
}

#[test]
fn each_way_of_expiring_has_its_counter() {
    let (early, late) = (Tick::from_secs(1), Tick::from_secs(20));
    let long = [b'v'; 3000];
    type Deed = fn(&Cache, Tick, &[u8]);
    let rows: &[(&str, Deed, Expired)] = &[
        (
            "a read reclaims nothing",
            |cache, now, _| {
                let key = cache.key(b"a").expect("short");
                assert_eq!(cache.get(key, now, &mut []), Lookup::Miss);
            },
            Expired::default(),
        ),
        (
            "swept",
            |cache, now, _| assert_eq!(cache.maintain(now, 100).reclaimed, 1),
            expired(|counts| counts.swept = 1),
        ),
        (
            "deleted",
            |cache, now, _| assert!(!cache.delete(cache.key(b"a").expect("short"), now)),
            expired(|counts| counts.deleted = 1),
        ),
        (
            "replaced by one of the same shape, where it lies",
            |cache, now, _| put(cache, "a", b"2", Some(30), now),
            expired(|counts| counts.replaced = 1),
        ),
        (
            "replaced by one of another shape",
            |cache, now, _| put(cache, "a", b"2", None, now),
            expired(|counts| counts.replaced = 1),
        ),
        (
            "replaced by a value that came in pieces",
            |cache, now, long| {
                let key = cache.key(b"a").expect("short");
                let kept = cache.reserve(key, long.len(), Attributes::default(), now);
                let mut kept = kept.expect("room");
                kept.write(long, now).expect("room");
                kept.commit(Condition::Always, now).expect("room");
            },
            expired(|counts| counts.replaced = 1),
        ),
        (
            "a live one that is replaced has not expired",
            |cache, _, _| put(cache, "a", b"2", Some(30), Tick::from_secs(2)),
            Expired::default(),
        ),
    ];
    for (what, deed, expected) in rows {
        let cache = cache(8 << 20);
        put(&cache, "a", b"1", Some(10), early);
        deed(&cache, late, &long);
        assert_eq!(cache.stats().expired, *expected, "{what}");
        cache.audit().expect(what);
    }
}

#[test]
fn evictions_tell_which_list_they_left_and_at_what_age() {
    let cache = cache(8 << 20);
    let now = Tick::from_secs(1);
    let value = [b'v'; 400];
    let fill = |from: u64, to: u64| {
        for n in from..to {
            put(&cache, &format!("key{n}"), &value, None, now);
        }
    };
    fill(0, 5_000);
    let stats = cache.stats();
    assert_eq!((stats.evictions, stats.evictions_main), (0, 0));
    assert_eq!(
        (
            stats.evicted_age_probation_bytes,
            stats.evicted_age_main_bytes
        ),
        (0, 0)
    );
    // Each seen once: all of them leave probation, and as old as all of the cache, because
    // nobody has ever proved itself.
    fill(5_000, 200_000);
    let stats = cache.stats();
    let held = stats.pages_items * stats.page_bytes;
    assert!(stats.evictions > 100_000, "{stats:?}");
    assert_eq!((stats.evictions_main, stats.evicted_age_main_bytes), (0, 0));
    let age = stats.evicted_age_probation_bytes as f64 / held as f64;
    assert!((0.8..1.1).contains(&age), "{age} of what is held");
    // Half of what comes is asked for and goes on to main: probation shrinks to its tenth, and
    // what leaves main has been there for longer.
    for n in 200_000..400_000 {
        put(&cache, &format!("key{n}"), &value, None, now);
        if n % 2 == 0 {
            let key = cache
                .key(format!("key{n}").as_bytes())
                .map(|key| cache.get(key, now, &mut [0; 400]));
            assert!(matches!(key, Ok(Lookup::Hit(_))));
        }
    }
    let stats = cache.stats();
    assert!(stats.evictions_main > 50_000, "{stats:?}");
    assert!(stats.evictions > stats.evictions_main + 50_000, "{stats:?}");
    let young = stats.evicted_age_probation_bytes as f64 / held as f64;
    let old = stats.evicted_age_main_bytes as f64 / held as f64;
    assert!((0.05..0.3).contains(&young), "{young} of what is held");
    assert!((0.9..3.0).contains(&old), "{old} of what is held");
    cache.audit().expect("in order");
}
