//! Goal: a look that was prepared ahead (`prefetch`, `prefetch_item`) never shows anything but what
//! the key's item is when it is read, whatever happened in between.
//!
//! Method: for a batch of keys the spots are prepared; then one thing is done to the cache (a store
//! in place, a store of another size, a delete, many inserts that split buckets and evict, a flush,
//! deadlines, moved pages), to a key of the batch or to all; then `get_at` must say what `get` says, or what `put_at` stores must
//! be there, as if `put` had stored it.

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

/// Prepares spots for keys, does something to the cache, and calls `check` for each key and its spot.
fn play(
    cache: &Cache,
    rounds: u64,
    len_of: impl Fn(u64) -> usize,
    mut check: impl FnMut(u64, Key<'_>, Spot, u64, Tick),
) {
    let mut now = Tick::from_secs(1000);
    for round in 0..rounds {
        let dice = mix(round);
        let numbers: Vec<u64> = (0..BATCH).map(|at| mix(dice ^ at) % KEYS).collect();
        for &number in &numbers {
            if !mix(dice ^ number).is_multiple_of(4) {
                let len = len_of(mix(round ^ number));
                put(cache, number, round, len, Deadline::NEVER, now);
            }
        }
        let mut spots: Vec<Spot> = numbers
            .iter()
            .map(|&number| with_key(cache, number, |key| cache.prefetch(key)))
            .collect();
        for (&number, spot) in numbers.iter().zip(&mut spots) {
            with_key(cache, number, |key| cache.prefetch_item(key, spot));
        }
        let victim = numbers[0];
        match dice % 8 {
            0 => {}
            1 => put(cache, victim, !round, 20, Deadline::NEVER, now),
            2 => put(cache, victim, !round, 1500, Deadline::NEVER, now),
            3 => {
                with_key(cache, victim, |key| cache.delete(key, now));
            }
            4 if dice.is_multiple_of(5) => {
                for number in KEYS..KEYS + 3000 {
                    put(cache, number + dice, round, 700, Deadline::NEVER, now);
                }
            }
            5 if dice.is_multiple_of(3) => cache.flush(),
            6 => {
                let deadline = Deadline::exact(now.plus_millis(5));
                put(cache, victim, !round, 30, deadline, now);
                now = now.plus_millis(10);
            }
            _ => {
                for &number in &numbers {
                    put(cache, number, !round, 300, Deadline::NEVER, now);
                }
            }
        }
        for (&number, &spot) in numbers.iter().zip(&spots) {
            with_key(cache, number, |key| check(number, key, spot, round, now));
        }
    }
}

#[test]
fn what_was_prepared_shows_what_is_there() {
    let cache = small_cache();
    let mut seen = [0u8; 4096];
    let mut expected = [0u8; 4096];
    let (mut hits, mut misses) = (0, 0);
    let any_len = |dice| 8 + (dice % 900) as usize;
    play(&cache, 6_000, any_len, |number, key, spot, round, now| {
        let found = cache.get_at(key, &spot, now, &mut seen, |_, _| Some(0));
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
    assert!(hits > 50_000 && misses > 5_000, "{hits} {misses}");
    cache.audit().unwrap();
}

#[test]
fn what_was_prepared_is_stored_where_it_belongs() {
    let cache = small_cache();
    let mut seen = [0u8; 4096];
    let mut over = 0;
    // Few lengths: most of what is stored is as long as what is there.
    let few_lens = |dice| 8 + 30 * (dice % 3) as usize;
    play(&cache, 6_000, few_lens, |number, key, spot, round, now| {
        let dice = mix(round ^ !number);
        let mut value = vec![dice as u8; few_lens(dice)];
        value[..8].copy_from_slice(&number.to_le_bytes());
        let client_flags = (dice >> 8) as u32 % 3;
        let before = cache.meta(key, now);
        let held = match dice.is_multiple_of(5) {
            true => cache.pin(key, now).unwrap(),
            false => None,
        };
        let sets = cache.stats().sets;
        let mut old = vec![0; 4096];
        let old_len = held.as_ref().map(|_| match cache.get(key, now, &mut old) {
            Lookup::Hit(meta) => meta.value_len,
            other => panic!("{other:?}"),
        });
        cache.put_at(key, &spot, &value, client_flags, now).unwrap();
        assert_eq!(cache.stats().sets, sets + 1);
        let Lookup::Hit(meta) = cache.get(key, now, &mut seen) else {
            panic!("it was just stored, round {round}");
        };
        assert_eq!(seen[..meta.value_len], value, "round {round}");
        assert_eq!(
            (meta.client_flags, meta.deadline),
            (client_flags, Deadline::NEVER)
        );
        // A value that somebody streams stays what it was.
        if let (Some(mut held), Some(len)) = (held, old_len) {
            let mut kept = vec![0; len];
            let mut at = 0;
            while at < len {
                at += held.read(&mut kept[at..]);
            }
            assert_eq!(kept, old[..len], "round {round}");
        }
        over += u64::from(before.is_some_and(|before| before.value_len == value.len()));
    });
    assert!(over > 20_000, "{over}");
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
    let found = cache.get_at(key, &spot, Tick::ZERO, &mut out, |_, _| Some(0));
    assert_eq!(found, Copied::TooSmall);
    assert_eq!(out, [0; 99]);
}
