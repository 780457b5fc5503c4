//! Goal: whatever is done to the cache, it answers like a plain map that forgets, and every
//! chunk, list, bucket and page is accounted for afterwards.
//!
//! Method: seeded operations are played against the cache and a `HashMap`. A hit must be
//! the map's value, to the byte, with its attributes; a miss is right if the map has no
//! live entry, and otherwise only while the cache reports evictions. After every few
//! hundred operations the whole cache is audited. A failure prints its seed.

use std::collections::HashMap;

use flagstone_engine::{
    Attributes, Backing, Cache, Condition, Deadline, Eviction, Lookup, Options, Outcome, Plan,
    Reservation, StoreError, Tick,
};

/// SplitMix64 (Vigna), enough for choosing operations.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    client_flags: u32,
    deadline: Deadline,
    /// The CAS number, if it was asked for since the last store.
    cas: Option<u64>,
}

/// What a sequence is made of.
struct Shape {
    budget_bytes: usize,
    item_bytes_max: usize,
    keys: u64,
    value_bytes_max: u64,
    operations: usize,
    audit_every: usize,
    /// Share of operations that store, in percent.
    stores: u64,
}

fn key_of(number: u64) -> Vec<u8> {
    // From 1 to 250 bytes, all bytes; and long ones, which differ in their last bytes only.
    if number % 13 == 5 {
        let len = [250, 251, 255, 256, 257, 1000, 4090, 9000, 16 << 10][number as usize / 13 % 9];
        let mut key = vec![b'/'; len];
        key[len - 8..].copy_from_slice(&number.to_be_bytes());
        return key;
    }
    let len = match number % 7 {
        0 => 1 + number % 8,
        6 => 250 - number % 5,
        _ => 8 + number % 24,
    };
    (0..len.max(8))
        .map(|at| ((number >> (8 * (at % 8))) as u8) ^ (at / 8) as u8)
        .collect()
}

fn play(seed: u64, shape: &Shape) {
    let cache = Cache::open(
        Plan::new(&Options {
            budget_bytes: shape.budget_bytes,
            item_bytes_max: shape.item_bytes_max,
            backing: Backing::Mmap,
            hash_seed: seed,
            eviction: [Eviction::S3Fifo, Eviction::Adaptive, Eviction::Lru][seed as usize % 3],
            ..Options::default()
        })
        .unwrap(),
    )
    .unwrap();
    let mut dice = Dice(seed);
    let mut map: HashMap<Vec<u8>, Entry> = HashMap::new();
    let mut now = Tick::from_secs(1000);
    let mut buffer = vec![0u8; shape.item_bytes_max];
    let mut held: Vec<(Vec<u8>, Entry, Reservation<'_>)> = Vec::new();
    let mut pinned: Vec<(Vec<u8>, flagstone_engine::Pinned<'_>)> = Vec::new();

    for step in 0..shape.operations {
        let context = || format!("seed {seed} step {step}");
        if dice.chance(5) {
            now = now.plus_millis(dice.below(700));
        }
        let key_bytes = key_of(dice.below(shape.keys));
        let key = cache.key(&key_bytes).unwrap();
        let live = map
            .get(&key_bytes)
            .filter(|entry| !entry.deadline.has_passed(now))
            .cloned();
        let entry = random_entry(&mut dice, shape, now);
        let attributes = Attributes {
            client_flags: entry.client_flags,
            deadline: entry.deadline,
        };
        if dice.chance(shape.stores) {
            match dice.below(10) {
                0..=3 => {
                    cache
                        .put(key, &entry.value, attributes, now)
                        .unwrap_or_else(|error| {
                            panic!("{}: put of {}: {error}", context(), entry.value.len())
                        });
                    map.insert(key_bytes, entry);
                }
                4 => {
                    let outcome = cache.add(key, &entry.value, attributes, now).unwrap();
                    match (&live, outcome) {
                        (None, Outcome::Stored) | (Some(_), Outcome::NotStored) => {}
                        (Some(_), Outcome::Stored) => assert_evicted(&cache, &context()),
                        other => panic!("{}: add: {other:?}", context()),
                    }
                    if outcome == Outcome::Stored {
                        map.insert(key_bytes, entry);
                    }
                }
                5 => {
                    let outcome = cache.replace(key, &entry.value, attributes, now).unwrap();
                    match (&live, outcome) {
                        (Some(_), Outcome::Stored) | (None, Outcome::NotStored) => {}
                        (Some(_), Outcome::NotStored) => assert_evicted(&cache, &context()),
                        other => panic!("{}: replace: {other:?}", context()),
                    }
                    if outcome == Outcome::Stored {
                        map.insert(key_bytes, entry);
                    }
                }
                6 => {
                    // Half of the time with the right number.
                    let right = live.as_ref().and_then(|entry| entry.cas);
                    let expected = if dice.chance(50) {
                        right.unwrap_or(7)
                    } else {
                        u64::MAX
                    };
                    let outcome = cache
                        .compare_and_swap(key, &entry.value, attributes, expected, now)
                        .unwrap();
                    match (&live, outcome) {
                        (Some(_), Outcome::Stored) => {
                            assert_eq!(right, Some(expected), "{}", context());
                            map.insert(key_bytes, entry);
                        }
                        (Some(_), Outcome::Exists) => {
                            assert_ne!(right, Some(expected), "{}", context());
                        }
                        (None, Outcome::NotFound) => {}
                        (Some(_), Outcome::NotFound) => assert_evicted(&cache, &context()),
                        other => panic!("{}: compare and swap: {other:?}", context()),
                    }
                }
                7 if held.len() < 3 => {
                    let reserved = if dice.chance(50) {
                        cache.reserve(key, entry.value.len(), attributes, now)
                    } else {
                        cache.reserve_growing(key, attributes, now)
                    };
                    let mut reservation = reserved.unwrap();
                    let cut = dice.below(entry.value.len() as u64 + 1) as usize;
                    reservation.write(&entry.value[..cut], now).unwrap();
                    held.push((key_bytes, entry, reservation));
                }
                _ => {
                    let mut reservation = if dice.chance(50) {
                        cache
                            .reserve(key, entry.value.len(), attributes, now)
                            .unwrap()
                    } else {
                        cache.reserve_growing(key, attributes, now).unwrap()
                    };
                    for part in entry.value.chunks(1 + dice.below(3000) as usize) {
                        reservation.write(part, now).unwrap();
                    }
                    assert_eq!(
                        reservation.commit(Condition::Always, now),
                        Ok(Outcome::Stored),
                        "{}",
                        context()
                    );
                    map.insert(key_bytes, entry);
                }
            }
        } else {
            match dice.below(20) {
                0..=1 => {
                    let deleted = cache.delete(key, now);
                    match (&live, deleted) {
                        (Some(_), true) | (None, false) => {}
                        (Some(_), false) => assert_evicted(&cache, &context()),
                        (None, true) => panic!("{}: deleted what was not there", context()),
                    }
                    map.remove(&key_bytes);
                }
                2..=3 => {
                    let touched = cache.touch(key, entry.deadline, now).unwrap();
                    match (&live, touched) {
                        (Some(_), true) => {
                            map.get_mut(&key_bytes).unwrap().deadline = entry.deadline;
                        }
                        (None, false) => {}
                        (Some(_), false) => assert_evicted(&cache, &context()),
                        (None, true) => panic!("{}: touched what was not there", context()),
                    }
                }
                4 => {
                    let cas = cache.cas(key, now).unwrap();
                    match (&live, cas) {
                        (Some(entry), Some(cas)) => {
                            if let Some(known) = entry.cas {
                                assert_eq!(cas, known, "{}", context());
                            }
                            map.get_mut(&key_bytes).unwrap().cas = Some(cas);
                        }
                        (None, None) => {}
                        (Some(_), None) => assert_evicted(&cache, &context()),
                        (None, Some(_)) => panic!("{}: a number of nothing", context()),
                    }
                }
                5 if !held.is_empty() => {
                    let at = dice.below(held.len() as u64) as usize;
                    let (key_bytes, entry, mut reservation) = held.swap_remove(at);
                    if dice.chance(70) {
                        let written = reservation.written();
                        reservation.write(&entry.value[written..], now).unwrap();
                        let outcome = reservation.commit(Condition::Always, now);
                        assert_eq!(outcome, Ok(Outcome::Stored), "{}", context());
                        map.insert(key_bytes, entry);
                    }
                }
                6 => {
                    if pinned.len() < 3 {
                        let pin = cache.pin(key, now).unwrap();
                        match (live, pin) {
                            (Some(entry), Some(pin)) => pinned.push((entry.value, pin)),
                            (None, Some(_)) => panic!("{}: pinned nothing", context()),
                            _ => {}
                        }
                    } else {
                        let (value, mut pin) = pinned.swap_remove(0);
                        let mut seen = Vec::new();
                        let mut window = vec![0u8; 1 + dice.below(5000) as usize];
                        loop {
                            let len = pin.read(&mut window);
                            if len == 0 {
                                break;
                            }
                            seen.extend_from_slice(&window[..len]);
                        }
                        assert!(seen == value, "{}: a pinned value has changed", context());
                    }
                }
                7 => {
                    cache.maintain(now, 1000);
                    if dice.chance(10) {
                        // Not so few that what is held leaves no room for the largest value.
                        let all = cache.plan().page_count() as u64;
                        let pages = (all * 9 / 10 + dice.below(all / 5)) as usize;
                        cache
                            .resize(pages, 1 + dice.below(300) as usize, now)
                            .unwrap();
                    }
                }
                // Some play through many flushes, one upon the other, and the others through long histories.
                8 if dice.chance(if seed.is_multiple_of(3) { 40 } else { 2 }) => {
                    cache.flush();
                    map.clear();
                }
                _ => match (cache.get(key, now, &mut buffer), &live) {
                    (Lookup::Hit(meta), Some(entry)) => {
                        assert!(
                            buffer[..meta.value_len] == entry.value,
                            "{}: another value",
                            context()
                        );
                        assert_eq!(meta.client_flags, entry.client_flags, "{}", context());
                        assert_eq!(meta.deadline, entry.deadline, "{}", context());
                    }
                    (Lookup::Miss, None) => {}
                    (Lookup::Miss, Some(_)) => assert_evicted(&cache, &context()),
                    (Lookup::Hit(_), None) => panic!("{}: found what is not there", context()),
                    (Lookup::TooSmall(_), _) => {
                        panic!("{}: the buffer is as large as can be", context())
                    }
                },
            }
        }
        if step % shape.audit_every == 0 {
            let audit = cache
                .audit()
                .unwrap_or_else(|wrong| panic!("{}: {wrong}", context()));
            assert!(audit.orphans <= pinned.len(), "{}: {audit:?}", context());
        }
    }
    drop(held);
    drop(pinned);
    let audit = cache
        .audit()
        .unwrap_or_else(|wrong| panic!("seed {seed}, at the end: {wrong}"));
    assert_eq!(
        (audit.reserved_chunks, audit.orphans),
        (0, 0),
        "seed {seed}: {audit:?}"
    );
    cache.flush();
    let audit = cache
        .audit()
        .unwrap_or_else(|wrong| panic!("seed {seed}, flushed: {wrong}"));
    assert_eq!(
        (audit.items, audit.item_pages),
        (0, 0),
        "seed {seed}: {audit:?}"
    );
    while cache.maintain(now, 1000).more {}
    let audit = cache
        .audit()
        .unwrap_or_else(|wrong| panic!("seed {seed}, cleared up: {wrong}"));
    assert_eq!(audit.flushed_pages, 0, "seed {seed}: {audit:?}");
}

fn random_entry(dice: &mut Dice, shape: &Shape, now: Tick) -> Entry {
    let len = match dice.below(20) {
        0 => 0,
        1 => dice.below(shape.value_bytes_max + 1),
        2..=4 => dice.below(shape.value_bytes_max / 8 + 1),
        _ => dice.below(200),
    };
    let filler = dice.roll();
    let value = (0..len)
        .map(|at| (filler >> (8 * (at % 8))) as u8 ^ at as u8)
        .collect();
    let deadline = match dice.below(10) {
        0..=1 => Deadline::after_secs(now, 1 + dice.below(6)),
        2 => Deadline::exact(now.plus_millis(1 + dice.below(5000))),
        _ => Deadline::NEVER,
    };
    let client_flags = if dice.chance(20) {
        dice.roll() as u32
    } else {
        0
    };
    Entry {
        value,
        client_flags,
        deadline,
        cas: None,
    }
}

/// A live entry may be missing only because something was evicted.
fn assert_evicted(cache: &Cache, context: &str) {
    assert!(
        cache.stats().evictions > 0,
        "{context}: an item is gone, and nothing was evicted"
    );
}

#[test]
fn roomy_nothing_is_ever_lost() {
    for seed in 0..6 {
        play(
            seed,
            &Shape {
                budget_bytes: 32 << 20,
                item_bytes_max: 64 << 10,
                keys: 600,
                value_bytes_max: 20_000,
                operations: 12_000,
                audit_every: 1500,
                stores: 40,
            },
        );
    }
}

#[test]
fn tight_small_items_evict_and_grow_the_index() {
    for seed in 100..104 {
        play(
            seed,
            &Shape {
                budget_bytes: 1 << 20,
                item_bytes_max: 4 << 10,
                keys: 30_000,
                value_bytes_max: 600,
                operations: 60_000,
                audit_every: 3000,
                stores: 60,
            },
        );
    }
}

#[test]
fn tight_mixed_sizes_move_pages_between_classes() {
    for seed in 200..206 {
        play(
            seed,
            &Shape {
                budget_bytes: 2 << 20,
                item_bytes_max: 256 << 10,
                keys: 3000,
                value_bytes_max: 256 << 10,
                operations: 15_000,
                audit_every: 700,
                stores: 60,
            },
        );
    }
}

/// What lru promises and s3fifo does not: recency alone decides.
#[test]
fn lru_keeps_what_was_used_last() {
    let now = Tick::ZERO;
    for (eviction, newest_stay) in [(Eviction::Lru, true), (Eviction::S3Fifo, false)] {
        let options = Options {
            budget_bytes: 4 << 20,
            eviction,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        let put = |number: u64| {
            let bytes = number.to_le_bytes();
            let key = cache.key(&bytes).unwrap();
            cache
                .put(key, &[7; 200], Attributes::default(), now)
                .unwrap();
        };
        let get = |number: u64| {
            let bytes = number.to_le_bytes();
            let hit = cache.get(cache.key(&bytes).unwrap(), now, &mut [0; 256]);
            matches!(hit, Lookup::Hit(_))
        };
        // A thousand that are used all the time, as many as fit of which each is used five
        // times and never again, and then a scan of new ones.
        for number in 0..60_000 {
            put(number);
            get(number % 1000);
        }
        let many = 1 << 40..(1 << 40) + 8000;
        for _ in 0..5 {
            many.clone().for_each(|number| {
                if !get(number) {
                    put(number);
                }
            });
        }
        let scan = 1 << 41..(1 << 41) + 50_000;
        scan.clone().for_each(put);
        let left = many.filter(|&number| get(number)).count();
        let newest = scan.skip(42_000).filter(|&number| get(number)).count();
        assert_eq!(
            newest > 7_900,
            newest_stay,
            "{eviction:?}: {newest} of the newest"
        );
        assert_eq!(
            left == 0,
            newest_stay,
            "{eviction:?}: {left} of the often used"
        );
        cache.audit().unwrap();
    }
}

#[test]
fn a_value_that_cannot_fit_changes_nothing() {
    let cache = Cache::open(
        Plan::new(&Options {
            budget_bytes: 4 << 20,
            ..Options::default()
        })
        .unwrap(),
    )
    .unwrap();
    let now = Tick::ZERO;
    let key = cache.key(b"k").unwrap();
    cache.put(key, b"old", Attributes::default(), now).unwrap();
    let long = vec![1u8; (1 << 20) + 1];
    assert_eq!(
        cache.put(key, &long, Attributes::default(), now),
        Err(StoreError::TooLarge)
    );
    let mut growing = cache
        .reserve_growing(key, Attributes::default(), now)
        .unwrap();
    growing.write(&long[1..], now).unwrap();
    assert_eq!(growing.write(b"x", now), Err(StoreError::TooLarge));
    drop(growing);
    let mut buffer = [0u8; 8];
    assert!(matches!(cache.get(key, now, &mut buffer), Lookup::Hit(meta) if meta.value_len == 3));
    let audit = cache.audit().unwrap();
    assert_eq!(audit.items, 1);
    assert_eq!(audit.pieces + audit.reserved_chunks, 0);
}

#[test]
fn the_largest_value_always_fits_after_any_load_of_small_ones() {
    let cache = Cache::open(
        Plan::new(&Options {
            budget_bytes: 32 << 20,
            ..Options::default()
        })
        .unwrap(),
    )
    .unwrap();
    let now = Tick::ZERO;
    for number in 0..600_000u64 {
        let key = number.to_le_bytes();
        let key = cache.key(&key).unwrap();
        cache
            .put(key, &[7; 30], Attributes::default(), now)
            .unwrap();
    }
    let long: Vec<u8> = (0..1 << 20).map(|at| (at / 7) as u8).collect();
    let mut buffer = vec![0u8; 1 << 20];
    for number in 0..40u64 {
        let key = (number | 1 << 60).to_le_bytes();
        let key = cache.key(&key).unwrap();
        cache.put(key, &long, Attributes::default(), now).unwrap();
        assert!(matches!(cache.get(key, now, &mut buffer), Lookup::Hit(_)));
        assert!(buffer == long);
    }
    cache.audit().unwrap();
    for number in 0..600_000u64 {
        let key = (number | 1 << 61).to_le_bytes();
        let key = cache.key(&key).unwrap();
        cache
            .put(key, &[7; 30], Attributes::default(), now)
            .unwrap();
    }
    cache.audit().unwrap();
}

#[test]
fn a_cache_shrinks_and_grows_while_it_is_full() {
    let plan = Plan::new(&Options {
        budget_bytes: 16 << 20,
        ..Options::default()
    })
    .unwrap();
    let all = plan.page_count();
    let cache = Cache::open(plan).unwrap();
    let now = Tick::ZERO;
    let fill = |from: u64| {
        for number in from..from + 100_000 {
            let bytes = number.to_le_bytes();
            let value = [number as u8; 150];
            cache
                .put(
                    cache.key(&bytes).unwrap(),
                    &value,
                    Attributes::default(),
                    now,
                )
                .unwrap();
        }
        cache.stats().items
    };
    let full = fill(0);
    assert_eq!(cache.resize(all / 2, 10, now).unwrap(), all - 10);
    assert_eq!(cache.resize(all / 2, usize::MAX, now).unwrap(), all / 2);
    let audit = cache.audit().unwrap();
    assert_eq!(audit.retired_pages, all - all / 2);
    // All shards gave alike: each still has about half of what it had.
    let left = (0..100_000u64)
        .filter(|number| {
            let bytes = number.to_le_bytes();
            cache.meta(cache.key(&bytes).unwrap(), now).is_some()
        })
        .count() as u64;
    assert!(left * 100 > full * 45, "{left} of {full}");
    let half = fill(1 << 20);
    assert!(
        half * 100 > full * 45 && half * 100 < full * 55,
        "{half} of {full}"
    );
    assert_eq!(cache.resize(usize::MAX, usize::MAX, now).unwrap(), all);
    let again = fill(1 << 21);
    assert!(again * 100 > full * 97, "{again} of {full}");
    assert_eq!(
        cache.resize(0, usize::MAX, now).unwrap(),
        cache.pages_usable_min()
    );
    let key = cache.key(b"large").unwrap();
    cache
        .put(key, &vec![1; 1 << 20], Attributes::default(), now)
        .unwrap();
    cache.audit().unwrap();
}
