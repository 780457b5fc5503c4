//! Goal: a flush removes everything at once, however much there is; what is being filled or streamed meanwhile is
//! not harmed; and the memory comes back before anything else has to leave.
//!
//! Method: caches are filled, flushed at awkward moments, looked at, audited, and cleared up.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use std::time::Instant;

use flagstone_engine::{
    Attributes, Cache, Condition, Deadline, Lookup, Options, Outcome, Plan, StoreError, Tick, Walk,
};

const NOW: Tick = Tick::from_secs(1000);

fn open(budget_bytes: usize) -> Cache {
    let options = Options {
        budget_bytes,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

fn put(cache: &Cache, number: u64, value: &[u8]) {
    let bytes = number.to_le_bytes();
    let key = cache.key(&bytes).expect("a key");
    // Some have a deadline, which the sweep must not find again after a flush.
    let deadline = match number % 3 {
        0 => Deadline::after_secs(NOW, number % 50),
        _ => Deadline::NEVER,
    };
    cache.put(key, value, deadline.into(), NOW).expect("stores");
}

fn is_there(cache: &Cache, number: u64) -> bool {
    let bytes = number.to_le_bytes();
    let key = cache.key(&bytes).expect("a key");
    let found = cache.get(key, NOW, &mut [0; 4096]);
    assert_eq!(cache.meta(key, NOW).is_some(), found != Lookup::Miss);
    found != Lookup::Miss
}

fn clear_up(cache: &Cache) {
    while cache.maintain(NOW, 1000).more {}
    let audit = cache.audit().expect("whole");
    assert_eq!(audit.flushed_pages, 0, "{audit:?}");
}

#[test]
fn everything_is_gone_at_once_and_new_items_stay() {
    let cache = open(16 << 20);
    for round in 0..5u64 {
        for number in 0..20_000 {
            put(&cache, number, &[round as u8; 200]);
        }
        // Several in a row, with and without a clearing up, and items between two of them.
        for again in 0..=round {
            cache.flush();
            let stats = cache.stats();
            assert_eq!((stats.items, stats.item_bytes), (0, 0));
            assert!((0..20_000).all(|number| !is_there(&cache, number)));
            let mut met = 0;
            while cache.walk(&mut Walk::default(), usize::MAX, NOW, |_, _| {
                met += 1;
                true
            }) {}
            assert_eq!(met, 0, "a walk meets what was flushed");
            cache.classes(|class| assert_eq!((class.items(), class.chunks_used), (0, 0)));
            put(&cache, 7 + again, b"new");
            assert!(is_there(&cache, 7 + again));
            cache.audit().expect("whole");
        }
        // A sweep of everything that was ever due finds only what is there.
        let later = NOW.plus_secs(3600);
        while cache.maintain(later, 1000).more {}
        clear_up(&cache);
        let expired = cache.stats().expired.total();
        assert!(expired <= round + 1, "{expired} expired after a flush");
    }
}

#[test]
fn flushed_items_leave_before_any_other() {
    let cache = open(16 << 20);
    // Once around, so that every page is in use, in chunks of another size than afterwards.
    for number in 0..60_000 {
        put(&cache, number, &[1; 300]);
    }
    cache.flush();
    let before = cache.stats();
    let some = cache.plan().items_expected(1008) as u64 * 8 / 10;
    for number in 0..some {
        put(&cache, 3 * number + 1, &[2; 1000]);
    }
    let after = cache.stats();
    assert_eq!(after.evictions, before.evictions, "of {some} items");
    assert_eq!(after.items, some);
    // The largest value takes pages of all shards.
    cache.flush();
    let key = cache.key(b"large").expect("a key");
    let value = vec![3; cache.plan().item_bytes_max()];
    cache
        .put(key, &value, Attributes::default(), NOW)
        .expect("fits");
    assert_eq!(cache.stats().evictions, before.evictions);
    clear_up(&cache);
    // And a cache that shrinks finds them as well.
    for number in 0..60_000 {
        put(&cache, number, &[1; 300]);
    }
    let evictions = cache.stats().evictions;
    cache.flush();
    let pages = cache.pages_usable_min();
    assert_eq!(
        cache.resize(pages, usize::MAX, NOW).expect("shrinks"),
        pages
    );
    assert_eq!(cache.stats().evictions, evictions);
    clear_up(&cache);
}

/// Transfers of every kind and length across one flush and across several, with and without a clearing up.
#[test]
fn transfers_survive_a_flush() {
    let cache = open(16 << 20);
    for flushes in 1..4 {
        for cleared in [false, true] {
            for number in 0..10_000 {
                put(&cache, number, &[9; 130]);
            }
            let lengths = [0, 10, 130, 1500, 5000, 70_000, 300_000];
            let value = |len: usize| -> Vec<u8> { (0..len).map(|at| (at % 251) as u8).collect() };
            let names: Vec<String> = lengths.iter().map(|len| format!("of {len}")).collect();
            let grown: Vec<String> = lengths.iter().map(|len| format!("grown {len}")).collect();
            let pinned: Vec<String> = lengths.iter().map(|len| format!("pinned {len}")).collect();
            let mut filling = Vec::new();
            let mut streaming = Vec::new();
            for (at, &len) in lengths.iter().enumerate() {
                let (bytes, none) = (value(len), Attributes::default());
                let key = cache.key(names[at].as_bytes()).expect("a key");
                let mut exact = cache.reserve(key, len, none, NOW).expect("room");
                exact.write(&bytes[..len / 2], NOW).expect("fits");
                let key = cache.key(grown[at].as_bytes()).expect("a key");
                let mut growing = cache.reserve_growing(key, none, NOW).expect("room");
                growing.write(&bytes[..len / 2], NOW).expect("fits");
                filling.push((len, exact, growing));
                let key = cache.key(pinned[at].as_bytes()).expect("a key");
                cache.put(key, &bytes, none, NOW).expect("room");
                let mut pin = cache.pin(key, NOW).expect("room").expect("is there");
                let mut out = vec![0; len / 3];
                assert_eq!(pin.read(&mut out), len / 3);
                streaming.push((len, out, pin));
            }
            for again in 0..flushes {
                cache.flush();
                cache.audit().expect("whole");
                for number in 0..100 {
                    put(&cache, number, &[again; 130]);
                }
            }
            if cleared {
                clear_up(&cache);
            }
            for (at, (len, mut exact, mut growing)) in filling.into_iter().enumerate() {
                // One of each is given up.
                let bytes = value(len);
                exact.write(&bytes[len / 2..], NOW).expect("fits");
                growing.write(&bytes[len / 2..], NOW).expect("fits");
                if at % 3 == 2 {
                    continue;
                }
                for (name, reservation) in [(&names[at], exact), (&grown[at], growing)] {
                    let outcome = reservation.commit(Condition::Always, NOW);
                    assert_eq!(outcome, Ok(Outcome::Stored));
                    let mut out = vec![0; len];
                    let key = cache.key(name.as_bytes()).expect("a key");
                    assert!(matches!(cache.get(key, NOW, &mut out), Lookup::Hit(_)));
                    assert!(out == bytes, "{name}");
                }
            }
            cache.audit().expect("whole");
            for (at, (len, mut out, mut pin)) in streaming.into_iter().enumerate() {
                let begun = out.len();
                out.resize(len, 0);
                assert_eq!(pin.read(&mut out[begun..]), len - begun);
                assert!(out == value(len), "{len}");
                let key = cache.key(pinned[at].as_bytes()).expect("a key");
                assert_eq!(cache.meta(key, NOW), None);
            }
            let audit = cache.audit().expect("whole");
            assert_eq!((audit.reserved_chunks, audit.orphans), (0, 0), "{audit:?}");
            clear_up(&cache);
            cache.flush();
            clear_up(&cache);
            let audit = cache.audit().expect("whole");
            assert_eq!(audit.item_pages, 0, "{audit:?}");
        }
    }
}

#[test]
fn what_transfers_hold_is_the_only_thing_that_stays() {
    let cache = open(8 << 20);
    let mut held = Vec::new();
    let names: Vec<[u8; 8]> = (0u64..).take(100_000).map(u64::to_le_bytes).collect();
    for name in &names {
        let key = cache.key(name).expect("a key");
        match cache.reserve(key, 3000, Attributes::default(), NOW) {
            Ok(reservation) => held.push(reservation),
            Err(StoreError::NoSpace) => break,
            Err(error) => panic!("{error}"),
        }
    }
    cache.flush();
    // The very key that there was no room for.
    let key = cache.key(&names[held.len()]).expect("a key");
    let more = |cache: &Cache| cache.put(key, &[0; 3000], Attributes::default(), NOW);
    assert_eq!(more(&cache), Err(StoreError::NoSpace));
    held.truncate(held.len() / 2);
    assert_eq!(more(&cache), Ok(()));
    drop(held);
    clear_up(&cache);
}

/// What a flush removed, nobody reads after it, lock or no lock, while the pages become other items'.
#[test]
fn readers_never_see_what_was_flushed() {
    let cache = open(8 << 20);
    let flushed = AtomicU64::new(0);
    let names: Vec<[u8; 8]> = (0u64..2000).map(u64::to_le_bytes).collect();
    let length = |name: usize, round: u64| 16 + (name * 37 + round as usize * 101) % 900;
    let rounds = 150u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                for (at, name) in names.iter().enumerate() {
                    let key = cache.key(name).expect("a key");
                    let value = round.to_le_bytes().repeat(length(at, round) / 8);
                    cache
                        .put(key, &value, Attributes::default(), NOW)
                        .expect("fits");
                }
                cache.flush();
                flushed.store(round, Release);
                if round % 3 == 0 {
                    cache.maintain(NOW, 1000);
                }
            }
        });
        let reader = || {
            let (mut hits, mut at) = (0u64, 0);
            let mut out = [0; 1024];
            while flushed.load(Acquire) < rounds {
                at = (at + 7) % names.len();
                let key = cache.key(&names[at]).expect("a key");
                let least = flushed.load(Acquire);
                if let Lookup::Hit(meta) = cache.get(key, NOW, &mut out) {
                    hits += 1;
                    let value = &out[..meta.value_len];
                    let round = u64::from_le_bytes(value[..8].try_into().expect("8 bytes"));
                    assert!(round > least, "of round {round}, {least} was flushed");
                    assert!(value.chunks(8).all(|part| part == &value[..8]), "torn");
                }
            }
            hits
        };
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(reader)).collect();
        let hits: u64 = readers
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert!(hits > 0, "nothing was proved");
    });
    cache.audit().expect("whole");
}

/// The times are for people to read; what is asserted holds on a machine that is very busy.
#[test]
fn a_flush_takes_as_long_for_a_million_items_as_for_ten() {
    let mut fastest = [f64::MAX; 2];
    for (fastest, items) in fastest.iter_mut().zip([10u64, 1_000_000]) {
        let cache = open(256 << 20);
        for _ in 0..3 {
            for number in 0..items {
                put(&cache, number, &[1; 60]);
            }
            assert_eq!(cache.stats().items, items);
            let begun = Instant::now();
            cache.flush();
            *fastest = fastest.min(begun.elapsed().as_secs_f64());
            assert_eq!(cache.stats().items, 0);
            let (mut portions, mut slowest) = (0, 0.0f64);
            loop {
                let begun = Instant::now();
                let more = cache.maintain(NOW, 1000).more;
                slowest = slowest.max(begun.elapsed().as_secs_f64());
                portions += 1;
                if !more {
                    break;
                }
            }
            println!("{items} items cleared up in {portions} portions, the slowest {slowest:.6} s");
        }
        println!("{items} items flushed in {fastest:.6} s");
    }
    assert!(fastest[1] < 0.05 + 20.0 * fastest[0], "{fastest:?}");
}
