//! Goal: an edit sees the item as it is, and what it decides is one step for everybody else.
//!
//! Method: seeded edits against a plain map, in caches with room and in caches that are full;
//! edits that panic, which must change nothing; and threads that count at once while others read
//! values that certify themselves.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flagstone_engine::{
    Attributes, Cache, CasWish, Current, Deadline, Edit, Lookup, NewValue, Options, Plan, Side,
    StoreError, Tick, Updated,
};

const NOW: Tick = Tick::from_secs(1000);

fn open(budget_bytes: usize, item_bytes_max: usize) -> Cache {
    let options = Options {
        budget_bytes,
        item_bytes_max,
        hash_seed: 7,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// An error of the caller's own.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Unwanted(u64),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    attributes: Attributes,
    cas: Option<u64>,
    stale: bool,
}

fn entry_of(item: &Current<'_>, out: &mut [u8]) -> Entry {
    let meta = item.meta();
    let len = item.copy_to(out).expect("long enough");
    assert_eq!(len, meta.value_len);
    assert_eq!(item.copy_to(&mut out[..len]), Some(len));
    if len > 0 {
        assert_eq!(item.copy_to(&mut vec![0; len - 1]), None);
    }
    // The same in windows, across the pieces of a long one.
    let (mut at, mut window) = (0, [0; 700]);
    while at < len {
        let read = item.read_at(at, &mut window);
        assert!(read == window.len() || at + read == len);
        assert_eq!(window[..read], out[at..at + read]);
        at += read;
    }
    assert_eq!(item.read_at(len, &mut window), 0);
    assert_eq!(item.read_at(len + 9, &mut window), 0);
    Entry {
        value: out[..len].to_vec(),
        attributes: meta.attributes(),
        cas: meta.cas,
        stale: meta.stale,
    }
}

fn play(seed: u64, budget_bytes: usize, keys: u64, len_max: u64) {
    let item_bytes_max = 100_000;
    let cache = open(budget_bytes, item_bytes_max);
    let mut map: HashMap<u64, Entry> = HashMap::new();
    let mut out = vec![0; item_bytes_max];
    let mut room = vec![0; 2000];
    for step in 0..6000u64 {
        let dice = mix(mix(seed) ^ step);
        let number = dice % keys;
        let name = number.to_le_bytes();
        let key = cache.key(&name).expect("a key");
        let len = (mix(dice) % len_max) as usize;
        let given: Vec<u8> = (0..len).map(|at| (at as u64 ^ dice) as u8).collect();
        let roomed = len.min(room.len());
        let in_room = dice >> 20 & 1 == 0;
        let new = if in_room {
            &given[..roomed]
        } else {
            &given[..]
        };
        let attributes = Attributes {
            client_flags: (dice >> 24 & 3) as u32,
            deadline: match dice >> 26 & 1 {
                0 => Deadline::NEVER,
                _ => Deadline::after_secs(NOW, 500),
            },
        };
        let cas = match dice >> 28 & 3 {
            0 => CasWish::Next,
            1 => CasWish::Be(1 << 40 | step),
            _ => CasWish::IfKept,
        };
        let stale = dice >> 30 & 7 == 0;
        let side = if dice >> 33 & 1 == 0 {
            Side::Before
        } else {
            Side::Behind
        };
        let kind = match dice >> 37 & 7 {
            0 => 8,
            _ => dice >> 34 & 7,
        };
        let context = format!("seed {seed} step {step} kind {kind}");
        let mut seen = None;
        let updated = cache.update(key, NOW, &mut room, |current, room| {
            seen = current.map(|item| entry_of(item, &mut out));
            let value = if in_room {
                room[..roomed].copy_from_slice(new);
                NewValue::Room(roomed)
            } else {
                NewValue::Given(&given)
            };
            Ok(match kind {
                0 => Edit::Keep,
                1 => Edit::Remove,
                2 => return Err(Refused::Unwanted(step)),
                3 => Edit::Outdate {
                    deadline: attributes.deadline,
                    cas: None,
                },
                8 => Edit::Touch(attributes.deadline),
                4 | 5 => Edit::Extend {
                    part: value,
                    side,
                    cas,
                },
                _ => Edit::Store {
                    value,
                    attributes,
                    cas,
                    stale,
                },
            })
        });
        let before = map.get(&number).cloned();
        if seen.is_none() && before.is_some() {
            assert!(cache.stats().evictions > 0, "{context}: gone");
            map.remove(&number);
        } else {
            assert_eq!(seen, before, "{context}");
        }
        let mut after = map.get(&number).cloned();
        let expected = match (kind, &mut after) {
            (0, _) | (1 | 3 | 4 | 5 | 8, None) => Ok(Updated::Kept),
            (1, entry) => {
                *entry = None;
                Ok(Updated::Removed)
            }
            (2, _) => Err(Refused::Unwanted(step)),
            (3, Some(entry)) => {
                entry.attributes.deadline = attributes.deadline;
                entry.stale = true;
                let Ok(Updated::Stored { cas, value_len }) = updated else {
                    panic!("{context}: {updated:?}");
                };
                assert!(cas.is_some() && cas != entry.cas, "{context}");
                entry.cas = cas;
                assert_eq!(value_len, entry.value.len(), "{context}");
                Ok(Updated::Stored { cas, value_len })
            }
            (8, Some(entry)) => {
                entry.attributes.deadline = attributes.deadline;
                Ok(Updated::Stored {
                    cas: entry.cas,
                    value_len: entry.value.len(),
                })
            }
            (4 | 5, Some(entry)) if entry.value.len() + new.len() > item_bytes_max => {
                Err(Refused::Store(StoreError::TooLarge))
            }
            (_, entry) => {
                let kept = kind < 6;
                let mut next = entry.take().unwrap_or_default();
                if kept {
                    let at = if side == Side::Before {
                        0
                    } else {
                        next.value.len()
                    };
                    next.value.splice(at..at, new.iter().copied());
                } else {
                    next.value = new.to_vec();
                    next.attributes = attributes;
                }
                next.stale = !kept && stale;
                let Ok(Updated::Stored {
                    cas: told,
                    value_len,
                }) = updated
                else {
                    panic!("{context}: {updated:?}");
                };
                match cas {
                    CasWish::Be(cas) => assert_eq!(told, Some(cas), "{context}"),
                    CasWish::IfKept if next.cas.is_none() => assert_eq!(told, None, "{context}"),
                    _ => assert!(told.is_some() && told != next.cas, "{context}"),
                }
                next.cas = told;
                let value_len_now = next.value.len();
                *entry = Some(next);
                assert_eq!(value_len, value_len_now, "{context}");
                Ok(Updated::Stored {
                    cas: told,
                    value_len,
                })
            }
        };
        assert_eq!(updated, expected, "{context}");
        match after {
            Some(entry) => {
                match cache.get(key, NOW, &mut out) {
                    Lookup::Hit(meta) => {
                        assert!(out[..meta.value_len] == entry.value, "{context}");
                        assert_eq!(meta.attributes(), entry.attributes, "{context}");
                        assert_eq!(
                            (meta.cas, meta.stale),
                            (entry.cas, entry.stale),
                            "{context}"
                        );
                    }
                    other => panic!("{context}: {other:?}"),
                }
                map.insert(number, entry);
            }
            None => {
                map.remove(&number);
                assert_eq!(cache.meta(key, NOW), None, "{context}");
            }
        }
        if step % 500 == 0 {
            cache
                .audit()
                .unwrap_or_else(|wrong| panic!("{context}: {wrong}"));
        }
    }
    cache.audit().expect("sound");
}

#[test]
fn edits_do_to_the_cache_what_they_do_to_a_map() {
    for seed in 0..3 {
        play(seed, 64 << 20, 300, 1500);
        play(seed, 8 << 20, 3000, 9000);
        play(seed, 8 << 20, 200, 60_000);
    }
}

/// Whatever an edit panics about, everything is as before, and the lock is free.
#[test]
fn an_edit_that_panics_changes_nothing() {
    let cache = open(8 << 20, 1 << 20);
    let names: Vec<[u8; 8]> = (0..2000u64).map(u64::to_le_bytes).collect();
    for name in &names {
        let key = cache.key(name).expect("a key");
        cache
            .put(key, &name.repeat(9), Attributes::default(), NOW)
            .expect("memory");
    }
    let absent = cache.key(b"absent").expect("a key");
    for key in [cache.key(&names[7]).expect("a key"), absent] {
        let mut room = [0; 8];
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _ = cache.update(
                key,
                NOW,
                &mut room,
                |_, room| -> Result<Edit<'_>, StoreError> {
                    room.fill(1);
                    panic!("on purpose");
                },
            );
        }));
        assert!(caught.is_err());
        // The bytes that it speaks of are not there.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _ = cache.update(key, NOW, &mut room, |_, room| -> Result<_, StoreError> {
                let len = room.len() + 1;
                Ok(Edit::store(NewValue::Room(len), Attributes::default()))
            });
        }));
        assert!(caught.is_err());
    }
    assert_eq!(cache.meta(absent, NOW), None);
    for name in &names {
        let (key, mut out) = (cache.key(name).expect("a key"), [0; 72]);
        assert!(matches!(cache.get(key, NOW, &mut out), Lookup::Hit(_)));
        assert_eq!(out[..], name.repeat(9));
        assert!(cache.delete(key, NOW));
    }
    assert_eq!(cache.audit().expect("sound").items, 0);
}

/// The old value goes to the caller's buffer in the same step: nobody's store is lost or seen twice.
#[test]
fn what_is_taken_was_put_once() {
    let cache = &open(8 << 20, 1 << 20);
    let (count, threads) = (20_000u64, 3);
    let taken = &AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let key = cache.key(b"the one").expect("a key");
                for number in 0..count {
                    let (mine, mut old) = ((thread * count + number).to_le_bytes(), None);
                    let updated: Result<_, StoreError> =
                        cache.update(key, NOW, &mut [], |current, _| {
                            let mut bytes = [0; 8];
                            old = current.and_then(|item| item.copy_to(&mut bytes));
                            old = old.map(|_| u64::from_le_bytes(bytes) as usize);
                            Ok(match number % 5 {
                                0 => Edit::Remove,
                                _ => Edit::store(NewValue::Given(&mine), Attributes::default()),
                            })
                        });
                    updated.expect("memory");
                    let put = if number % 5 == 0 {
                        0
                    } else {
                        thread * count + number
                    };
                    taken.fetch_add(put.wrapping_sub(old.unwrap_or(0) as u64), Ordering::Relaxed);
                }
            });
        }
    });
    // All that was put, less all that was taken, is what is there.
    let (key, mut out) = (cache.key(b"the one").expect("a key"), [0; 8]);
    let left = match cache.get(key, NOW, &mut out) {
        Lookup::Hit(_) => u64::from_le_bytes(out),
        _ => 0,
    };
    assert_eq!(taken.load(Ordering::Relaxed), left);
}

/// A count, then so many copies of a number that follows from it: torn or mixed, it does not fit.
fn certified(count: u64, out: &mut [u8]) -> usize {
    let len = 8 + 8 * (mix(count) % 30) as usize;
    out[..8].copy_from_slice(&count.to_le_bytes());
    for part in out[8..len].chunks_exact_mut(8) {
        part.copy_from_slice(&mix(count ^ 5).to_le_bytes());
    }
    len
}

#[test]
fn counters_lose_no_step_and_readers_see_no_torn_value() {
    let cache = &open(8 << 20, 1 << 20);
    let (steps, keys, writers) = (30_000u64, 7u64, 2);
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing: Vec<_> = (0..writers)
            .map(|_| {
                scope.spawn(move || {
                    let mut room = [0; 256];
                    for step in 0..steps {
                        let name = (step % keys).to_le_bytes();
                        let key = cache.key(&name).expect("a key");
                        let updated: Result<_, StoreError> =
                            cache.update(key, NOW, &mut room, |current, room| {
                                let mut count = [0; 8];
                                if let Some(item) = current {
                                    assert_eq!(item.read_at(0, &mut count), 8);
                                }
                                let len = certified(u64::from_le_bytes(count) + 1, room);
                                Ok(Edit::store(NewValue::Room(len), Attributes::default()))
                            });
                        updated.expect("memory");
                    }
                })
            })
            .collect();
        for reader in 0..2 {
            scope.spawn(move || {
                let (mut out, mut expected, mut last) = ([0; 256], [0; 256], [0; 7]);
                for at in reader.. {
                    let name = (at % keys).to_le_bytes();
                    let key = cache.key(&name).expect("a key");
                    if let Lookup::Hit(meta) = cache.get(key, NOW, &mut out) {
                        let count = u64::from_le_bytes(out[..8].try_into().expect("8 bytes"));
                        let len = certified(count, &mut expected);
                        assert_eq!(out[..meta.value_len], expected[..len]);
                        let last = &mut last[(at % keys) as usize];
                        assert!(count >= *last, "counted backwards");
                        *last = count;
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for writer in writing {
            writer.join().expect("counts");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut sum = 0;
    for number in 0..keys {
        let (name, mut out) = (number.to_le_bytes(), [0; 256]);
        let key = cache.key(&name).expect("a key");
        assert!(matches!(cache.get(key, NOW, &mut out), Lookup::Hit(_)));
        sum += u64::from_le_bytes(out[..8].try_into().expect("8 bytes"));
    }
    assert_eq!(sum, steps * writers);
    cache.audit().expect("sound");
}

/// A long value is copied out while it is pinned, and goes only if it is still that one.
#[test]
fn an_item_is_known_by_its_pin() {
    let cache = open(16 << 20, 1 << 20);
    let key = cache.key(b"long").expect("a key");
    let remove_if_pinned = |pinned: &flagstone_engine::Pinned<'_>| {
        let updated: Result<_, StoreError> = cache.update(key, NOW, &mut [], |current, _| {
            Ok(match current {
                Some(item) if item.is_pinned_by(pinned) => Edit::Remove,
                _ => Edit::Keep,
            })
        });
        updated.expect("no memory is wanted")
    };
    let value = vec![7; 200_000];
    cache
        .put(key, &value, Attributes::default(), NOW)
        .expect("memory");
    let mut pinned = cache.pin(key, NOW).expect("few").expect("is there");
    cache
        .put(key, &value, Attributes::default(), NOW)
        .expect("memory");
    assert_eq!(remove_if_pinned(&pinned), Updated::Kept);
    pinned = cache.pin(key, NOW).expect("few").expect("is there");
    assert_eq!(remove_if_pinned(&pinned), Updated::Removed);
    let mut out = vec![0; value.len()];
    assert_eq!(pinned.read(&mut out), value.len());
    assert!(out == value);
    drop(pinned);
    assert_eq!(cache.audit().expect("sound").items, 0);
}
