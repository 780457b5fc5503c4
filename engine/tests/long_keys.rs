//! Goal: a key of any length up to the limit, the empty one included, is a key like any other: its item is found by it and by
//! no other, with its value and nothing of the key, whatever is done to it.
//!
//! Method: keys around every length at which an item lies differently, each with neighbours that differ in the last byte or
//! are a byte shorter, are stored beside one another in every way that there is, and compared with a map.

use std::collections::BTreeMap;

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Deadline, Edit, KEY_BYTES_MAX, KeyError, Lookup,
    NewValue, Options, Outcome, Plan, Side, StoreError, Tick, Visit, Walk, Want,
};

const NOW: Tick = Tick::from_secs(1000);
const LENGTHS: [usize; 16] = [
    0,
    1,
    249,
    250,
    251,
    252,
    254,
    255,
    256,
    257,
    1000,
    4050,
    4096,
    9000,
    16_000,
    KEY_BYTES_MAX,
];

fn open(budget_bytes: usize) -> Cache {
    let options = Options {
        budget_bytes,
        item_bytes_max: 256 << 10,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

/// Three of each length, but of the empty one: they differ in the last byte, or begin with each other.
fn names() -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for len in LENGTHS {
        let mut name: Vec<u8> = (0..len).map(|at| (at / 3) as u8).collect();
        names.push(name.clone());
        for last in [b'a', b'b'] {
            if let Some(byte) = name.last_mut() {
                *byte = last;
                names.push(name.clone());
            }
        }
    }
    names
}

fn bytes(len: usize, salt: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 7 + salt * 31 + at / 251) as u8)
        .collect()
}

type Known = BTreeMap<Vec<u8>, Vec<u8>>;

/// Every key has its value, in every way of reading; what is known of all of them together is right.
fn check(cache: &Cache, known: &Known, context: &str) {
    let mut out = vec![0; 300 << 10];
    for name in names() {
        let context = format!("{context}: key of {}", name.len());
        let key = cache.key(&name).unwrap();
        let expected = known.get(&name);
        match (cache.get(key, NOW, &mut out), expected) {
            (Lookup::Hit(meta), Some(value)) => {
                assert!(out[..meta.value_len] == *value, "{context}: another value");
                assert_eq!(cache.meta(key, NOW).unwrap().value_len, value.len());
                let exact = &mut out[..value.len()];
                assert!(
                    matches!(cache.get(key, NOW, exact), Lookup::Hit(_)),
                    "{context}"
                );
                let mut pinned = cache.pin(key, NOW).unwrap().unwrap();
                for from in [0, 1, value.len() / 2, value.len()] {
                    pinned.seek(from);
                    let mut at = from.min(value.len());
                    loop {
                        let len = pinned.read(&mut out[..777]);
                        assert!(out[..len] == value[at..at + len], "{context}: pinned");
                        at += len;
                        if len == 0 {
                            break;
                        }
                    }
                    assert_eq!(at, value.len(), "{context}: pinned");
                }
            }
            (Lookup::Miss, None) => assert!(cache.pin(key, NOW).unwrap().is_none()),
            (found, _) => panic!("{context}: {found:?}"),
        }
    }
    let mut met = Vec::new();
    let mut walk = Walk::default();
    while cache.walk(&mut walk, 100, NOW, |key, visited| {
        met.push((key.to_vec(), visited.meta.value_len));
        true
    }) {}
    met.sort_unstable();
    let all = known.iter().map(|(key, value)| (key.clone(), value.len()));
    assert!(met == all.collect::<Vec<_>>(), "{context}: the walk");
    let payload: usize = known
        .iter()
        .map(|(key, value)| {
            // What might be taken for a database has one before it.
            let is_apart = key.len() <= 250 && key.first().is_some_and(|&first| first < 16);
            key.len() + 4 * usize::from(is_apart) + value.len()
        })
        .sum();
    assert_eq!(cache.stats().item_bytes, payload as u64, "{context}");
    let audit = cache
        .audit()
        .unwrap_or_else(|wrong| panic!("{context}: {wrong}"));
    assert_eq!(
        (audit.items, audit.reserved_chunks),
        (known.len(), 0),
        "{context}"
    );
}

/// What is done to every key in turn, with how long a value.
type Step = fn(&Cache, &[u8], usize, &mut Known);

const STEPS: [(&str, Step); 12] = [
    ("put", |cache, name, len, known| {
        let value = bytes(len, name.len());
        let key = cache.key(name).unwrap();
        cache.put(key, &value, Attributes::default(), NOW).unwrap();
        known.insert(name.to_vec(), value);
    }),
    ("reserve", |cache, name, len, known| {
        let value = bytes(len, 1);
        let key = cache.key(name).unwrap();
        let mut reservation = cache.reserve(key, len, 77.attributes(), NOW).unwrap();
        value
            .chunks(999)
            .for_each(|part| reservation.write(part, NOW).unwrap());
        assert_eq!(
            reservation.commit(Condition::Always, NOW),
            Ok(Outcome::Stored)
        );
        known.insert(name.to_vec(), value);
    }),
    ("grow", |cache, name, len, known| {
        let value = bytes(len, 2);
        let key = cache.key(name).unwrap();
        let mut growing = cache
            .reserve_growing(key, Attributes::default(), NOW)
            .unwrap();
        value
            .chunks(1001)
            .for_each(|part| growing.write(part, NOW).unwrap());
        assert_eq!(growing.commit(Condition::Present, NOW), Ok(Outcome::Stored));
        known.insert(name.to_vec(), value);
    }),
    ("append", |cache, name, len, known| {
        let key = cache.key(name).unwrap();
        let part = bytes(len / 3, 3);
        let stored = cache
            .extend(key, &part, Side::Behind, None, CasWish::IfKept, NOW)
            .unwrap();
        known.get_mut(name).unwrap().extend_from_slice(&part);
        assert_eq!(stored.value_len, known[name].len());
    }),
    ("prepend", |cache, name, len, known| {
        let key = cache.key(name).unwrap();
        let part = bytes(len / 3, 4);
        let stored = cache
            .extend(key, &part, Side::Before, None, CasWish::Next, NOW)
            .unwrap();
        let value = known.get_mut(name).unwrap();
        value.splice(0..0, part);
        assert_eq!(stored.value_len, value.len());
        assert_eq!(cache.cas(key, NOW).unwrap(), Some(stored.cas));
    }),
    ("append a reservation", |cache, name, len, known| {
        let key = cache.key(name).unwrap();
        let part = bytes(len / 2, 5);
        let mut growing = cache
            .reserve_growing(key, Attributes::default(), NOW)
            .unwrap();
        growing.write(&part, NOW).unwrap();
        let stored = growing
            .commit_extending(Side::Behind, None, false, NOW)
            .unwrap();
        assert_eq!(stored.outcome, Outcome::Stored);
        known.get_mut(name).unwrap().extend_from_slice(&part);
    }),
    ("prepend a reservation", |cache, name, len, known| {
        let key = cache.key(name).unwrap();
        let part = bytes(len / 2, 6);
        let mut known_length = cache
            .reserve(key, part.len(), Attributes::default(), NOW)
            .unwrap();
        known_length.write(&part, NOW).unwrap();
        let stored = known_length
            .commit_extending(Side::Before, None, false, NOW)
            .unwrap();
        assert_eq!(stored.outcome, Outcome::Stored);
        known.get_mut(name).unwrap().splice(0..0, part);
    }),
    ("new fields", |cache, name, _, _| {
        let key = cache.key(name).unwrap();
        let deadline = Deadline::exact(NOW.plus_millis(5_500));
        assert_eq!(cache.touch(key, deadline, NOW), Ok(true));
        let cas = cache.cas(key, NOW).unwrap().unwrap();
        let meta = cache.meta(key, NOW).unwrap();
        assert_eq!((meta.cas, meta.deadline), (Some(cas), deadline));
        assert_eq!(cache.touch(key, Deadline::NEVER, NOW), Ok(true));
    }),
    ("update", |cache, name, len, known| {
        let key = cache.key(name).unwrap();
        let value = known.get_mut(name).unwrap();
        let before = value.clone();
        let mut room = vec![0; 300 << 10];
        let edited = cache.update::<StoreError>(key, NOW, &mut room, |current, room| {
            let current = current.expect("it is there");
            let copied = current.copy_to(room).expect("there is room");
            assert!(room[..copied] == before);
            let mut part = [0; 100];
            let some = current.read_at(before.len() / 2, &mut part);
            assert!(before[before.len() / 2..].starts_with(&part[..some]));
            room[copied..copied + len / 5].fill(9);
            Ok(Edit::store(
                NewValue::Room(copied + len / 5),
                current.meta().attributes(),
            ))
        });
        edited.unwrap();
        value.resize(before.len() + len / 5, 9);
    }),
    ("visit", |cache, name, _, known| {
        let key = cache.key(name).unwrap();
        let visit = Visit {
            want: Want::Value,
            note: true,
            ..Visit::default()
        };
        let value = &known[name];
        let mut out = vec![0; value.len() + 1];
        let seen = cache.visit(key, &visit, NOW, &mut out, 1, |visited, out| {
            assert_eq!(visited.meta.value_len, value.len());
            out[0] = b'>';
            Some(1)
        });
        assert!(matches!(seen, Ok(flagstone_engine::Seen::Copied(len)) if len == out.len()));
        assert!(out[1..] == *value);
    }),
    ("conditions", |cache, name, len, known| {
        let key = cache.key(name).unwrap();
        let value = bytes(len, 8);
        let attributes = Attributes::default();
        assert_eq!(
            cache.add(key, &value, attributes, NOW),
            Ok(Outcome::NotStored)
        );
        let cas = cache.cas(key, NOW).unwrap().unwrap();
        let swap = |cas| cache.compare_and_swap(key, &value, attributes, cas, NOW);
        assert_eq!(swap(cas + 1_000_000), Ok(Outcome::Exists));
        assert_eq!(swap(cas), Ok(Outcome::Stored));
        known.insert(name.to_vec(), value);
    }),
    ("delete", |cache, name, _, known| {
        let key = cache.key(name).unwrap();
        assert!(cache.delete(key, NOW) && !cache.delete(key, NOW));
        known.remove(name);
    }),
];

trait Flags {
    fn attributes(self) -> Attributes;
}

impl Flags for u32 {
    fn attributes(self) -> Attributes {
        Attributes {
            client_flags: self,
            ..Attributes::default()
        }
    }
}

#[test]
fn every_way_to_an_item_leads_to_the_right_one_whatever_its_key() {
    // Pages of 4 KiB, and of 64 KiB.
    for budget_bytes in [24 << 20, 3 << 30] {
        let cache = open(budget_bytes);
        for len in [0, 1, 40, 300, 3000, 4090, 70_000] {
            let mut known = Known::new();
            for (what, step) in STEPS {
                for name in names() {
                    step(&cache, &name, len, &mut known);
                }
                check(&cache, &known, &format!("{what}, values of {len}"));
            }
        }
    }
}

/// All that is between a key and its value moves by a byte at a time: pieces end everywhere in both.
#[test]
fn every_length_of_key_and_value_is_cut_right() {
    let cache = open(24 << 20);
    let mut out = vec![0; 10_000];
    for key_len in (200..9000).step_by(13) {
        let name = bytes(key_len, 1);
        let key = cache.key(&name).unwrap();
        for value_len in [0, 1, 13, 200, 3800 - key_len % 7, 4096 + key_len % 11] {
            let value = bytes(value_len, key_len);
            let context = format!("{key_len} + {value_len}");
            if value_len % 2 == 0 {
                cache.put(key, &value, Attributes::default(), NOW).unwrap();
            } else {
                let mut growing = cache
                    .reserve_growing(key, Attributes::default(), NOW)
                    .unwrap();
                growing.write(&value, NOW).unwrap();
                growing.commit(Condition::Always, NOW).unwrap();
            }
            match cache.get(key, NOW, &mut out) {
                Lookup::Hit(meta) => assert!(out[..meta.value_len] == value, "{context}"),
                found => panic!("{context}: {found:?}"),
            }
        }
        assert!(cache.delete(key, NOW));
    }
    let audit = cache.audit().unwrap();
    assert_eq!(
        (audit.items, audit.pieces, audit.used_bytes),
        (0, 0, 0),
        "{audit:?}"
    );
}

#[test]
fn a_limit_is_kept_and_cannot_be_beyond_the_formats() {
    for (asked, most) in [
        (300, 300),
        (KEY_BYTES_MAX, KEY_BYTES_MAX),
        (1 << 30, KEY_BYTES_MAX),
    ] {
        let options = Options {
            budget_bytes: 8 << 20,
            key_bytes_max: asked,
            ..Options::default()
        };
        let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
        let name = bytes(most + 1, 0);
        assert_eq!(cache.key(&name).err(), Some(KeyError::TooLong));
        let key = cache.key(&name[..most]).unwrap();
        cache
            .put(key, b"value", Attributes::default(), NOW)
            .unwrap();
        assert_eq!(cache.meta(key, NOW).unwrap().value_len, 5);
    }
}
