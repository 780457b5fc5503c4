//! A scan meets all that is there from its beginning to its end, whatever happens meanwhile.

use std::collections::{HashMap, HashSet};

use flagstone_engine::{Attributes, Cache, Options, Plan, Scan, Tick};

const NOW: Tick = Tick::from_secs(1000);

fn cache() -> Cache {
    let options = Options {
        budget_bytes: 32 << 20,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("memory")
}

fn put(cache: &Cache, key: &str) {
    let key = cache.key(key.as_bytes()).expect("a key");
    let stored = cache.put(key, b"value", Attributes::default(), NOW);
    stored.expect("room");
}

fn delete(cache: &Cache, key: &str) {
    cache.delete(cache.key(key.as_bytes()).expect("a key"), NOW);
}

/// One call after the other, with `between` after each; how often each key was met.
fn scan(cache: &Cache, mut between: impl FnMut(usize)) -> HashMap<String, usize> {
    let mut met = HashMap::new();
    let mut scan = Scan::default();
    let mut calls = 0;
    loop {
        // Its number is all that a client brings back.
        let mut here = Scan::from_number(scan.number());
        let more = cache.scan(&mut here, NOW, |key, meta| {
            assert_eq!(meta.value_len, 5);
            *met.entry(String::from_utf8(key.to_vec()).expect("text"))
                .or_insert(0) += 1;
            true
        });
        calls += 1;
        assert_eq!(more, here.number() != 0);
        if !more {
            return met;
        }
        assert!(here.number() > scan.number(), "it gets on");
        scan = here;
        between(calls);
    }
}

#[test]
fn every_item_of_a_quiet_cache_is_met_once() {
    let cache = cache();
    assert_eq!(scan(&cache, |_| ()), HashMap::new());
    for count in [1, 16, 1_000, 70_000] {
        (0..count).for_each(|n| put(&cache, &format!("key:{n}")));
        let met = scan(&cache, |_| ());
        assert_eq!(met.len(), count);
        assert!(met.values().all(|&times| times == 1));
    }
    cache.flush();
    assert_eq!(scan(&cache, |_| ()), HashMap::new());
}

#[test]
fn what_stays_is_met_while_the_index_grows_and_shrinks() {
    let cache = cache();
    let stay: HashSet<String> = (0..3_000).map(|n| format!("stays:{n}")).collect();
    stay.iter().for_each(|key| put(&cache, key));
    let buckets = || cache.stats().index_buckets;
    let before = buckets();
    let mut fresh = 0;
    let met = scan(&cache, |calls| {
        if calls % 4 == 0 && fresh < 90_000 {
            (0..400).for_each(|n| put(&cache, &format!("comes:{}", fresh + n)));
            fresh += 400;
        }
    });
    assert!(
        buckets() > 3 * before,
        "{} from {before} buckets",
        buckets()
    );
    assert!(stay.iter().all(|key| met.contains_key(key)));
    let large = buckets();
    let mut gone = 0;
    let met = scan(&cache, |_| {
        (0..20).for_each(|n| delete(&cache, &format!("comes:{}", gone + n)));
        gone += 20;
        cache.maintain(NOW, 64);
    });
    assert!(buckets() < large / 2, "{} from {large} buckets", buckets());
    assert!(stay.iter().all(|key| met.contains_key(key)));
    cache.audit().expect("sound");
}

#[test]
fn who_has_no_room_goes_on_where_it_was() {
    let cache = cache();
    (0..5_000).for_each(|n| put(&cache, &format!("key:{n}")));
    let mut met = HashSet::new();
    let mut scan = Scan::default();
    loop {
        // Room for one key a call.
        let mut taken = 0;
        let more = cache.scan(&mut scan, NOW, |key, _| {
            taken += 1;
            if taken == 1 {
                met.insert(key.to_vec());
            }
            taken == 1
        });
        if !more {
            break;
        }
    }
    assert_eq!(met.len(), 5_000);
    // Numbers that no scan had lead somewhere, or to the end.
    for number in [
        1,
        77 << 20,
        15 << 59 | 0xffff_ffff,
        (16 << 59) - 1,
        16 << 59,
        u64::MAX,
    ] {
        let mut scan = Scan::from_number(number);
        while cache.scan(&mut scan, NOW, |_, _| true) {}
        assert_eq!(scan.number(), 0);
    }
}
