//! Faults that were found once, each with the right answer.

use std::collections::HashSet;

use flagstone_engine::{
    Attributes, Backing, Cache, CasWish, Condition, Deadline, Edit, Lookup, NewValue, Options,
    Outcome, Plan, Seen, Side, StoreError, Tick, Updated, Visit, Want,
};

const NOW: Tick = Tick::from_secs(1000);

fn open(budget_bytes: usize, item_bytes_max: usize) -> Cache {
    let options = Options {
        budget_bytes,
        item_bytes_max,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

fn value_of(cache: &Cache, name: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; cache.plan().item_bytes_max()];
    match cache.get(cache.key(name).expect("a key"), NOW, &mut out) {
        Lookup::Hit(meta) => Some(out[..meta.value_len].to_vec()),
        _ => None,
    }
}

/// A reservation that grows, and is finished twice: once to lengthen an item that is not there, once to
/// become one.
#[test]
fn a_growing_value_may_be_joined_or_created() {
    let cache = open(16 << 20, 1 << 20);
    for len in [0, 1, 100, 3000, 4096, 9000, 70_000] {
        let name = format!("name of {len}");
        let key = cache.key(name.as_bytes()).expect("a key");
        let value: Vec<u8> = (0..len).map(|at| (at % 250) as u8).collect();
        for times in 1..4 {
            let mut growing = cache
                .reserve_growing(key, Attributes::default(), NOW)
                .expect("room");
            growing.write(&value, NOW).expect("fits");
            let extended = growing
                .commit_extending(Side::Behind, None, true, NOW)
                .expect("fits");
            assert_eq!(extended.outcome, Outcome::Stored);
            assert_eq!(value_of(&cache, name.as_bytes()), Some(value.repeat(times)));
            cache.audit().expect("whole");
        }
    }
    for number in 0..50_000u32 {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).expect("a key");
        cache
            .put(key, &[1; 300], Attributes::default(), NOW)
            .expect("stores");
    }
    cache.audit().expect("whole");
}

#[test]
fn each_cache_has_a_hash_of_its_own() {
    let seeds: HashSet<u64> = (0..10).map(|_| Options::default().hash_seed).collect();
    assert_eq!(seeds.len(), 10);
}

/// What asks for no CAS number is told none.
#[test]
fn an_item_that_an_edit_makes_tells_no_cas_that_it_has_not() {
    let cache = open(8 << 20, 1 << 20);
    for (cas, expected) in [
        (CasWish::IfKept, None),
        (CasWish::Be(77), Some(77)),
        (CasWish::Be(0), None),
    ] {
        let key = cache.key(b"number").expect("a key");
        cache.delete(key, NOW);
        let updated: Result<_, StoreError> = cache.update(key, NOW, &mut [], |current, _| {
            assert!(current.is_none());
            Ok(Edit::Store {
                value: NewValue::Given(b"5"),
                attributes: Attributes::default(),
                cas,
                stale: false,
            })
        });
        let made = Updated::Stored {
            cas: expected,
            value_len: 1,
        };
        assert_eq!(updated, Ok(made));
    }
}

/// A visit that cannot have what it wants leaves the item to the next one.
#[test]
fn a_visit_without_space_has_not_taken_place() {
    let cache = open(16 << 20, 1 << 20);
    let large = vec![3; 100_000];
    let deadline = Deadline::after_secs(NOW, 50);
    // More than the pins of all shards.
    let names: Vec<[u8; 8]> = (0u64..1000).map(u64::to_le_bytes).collect();
    let name = &names[0];
    let key = cache.key(name).expect("a key");
    cache.put(key, &large, deadline.into(), NOW).expect("fits");
    let mut pins = Vec::new();
    for other in &names[1..] {
        let other = cache.key(other).expect("a key");
        cache
            .put(other, b"small", Attributes::default(), NOW)
            .expect("fits");
        if let Ok(Some(pin)) = cache.pin(other, NOW) {
            pins.push(pin);
        }
    }
    let visit = Visit {
        want: Want::ValueOrPin,
        touch: Some(Deadline::after_secs(NOW, 5000)),
        win_before: Some(Deadline::after_secs(NOW, 100_000)),
        ..Visit::default()
    };
    let seen = cache.visit(key, &visit, NOW, &mut [0; 100], 50, |_, _| Some(0));
    assert_eq!(seen.err(), Some(StoreError::NoSpace));
    assert_eq!(cache.meta(key, NOW).expect("is there").deadline, deadline);
    drop(pins);
    let seen = cache.visit(key, &visit, NOW, &mut [0; 100], 50, |visited, _| {
        assert!(visited.wins, "nobody was told before");
        assert_eq!(visited.meta.deadline, deadline);
        Some(0)
    });
    let Ok(Seen::Pinned(mut pinned, 0)) = seen else {
        panic!("there is space now");
    };
    // And one who streams the very item that all the others stream.
    let mut others = Vec::new();
    while let Ok(Some(pin)) = cache.pin(key, NOW) {
        others.push(pin);
        if others.len() == 3 {
            break;
        }
    }
    let mut out = vec![0; large.len()];
    assert_eq!(pinned.read(&mut out), large.len());
    assert!(out == large);
    drop((pinned, others));
    cache.audit().expect("whole");
}

/// The item that a store is to replace is not what leaves to make room for it.
#[test]
fn a_large_conditional_store_does_not_evict_what_it_replaces() {
    let cache = open(8 << 20, 2 << 20);
    let key = cache.key(b"target").expect("a key");
    let value = vec![1; 1_500_000];
    cache
        .put(key, &value, Attributes::default(), NOW)
        .expect("fits");
    for round in 0..100u64 {
        // So much is newer that the target is among the next to leave, sooner or later.
        let cas = cache.cas(key, NOW).expect("room");
        for number in 0..round * 80 {
            let bytes = (round << 32 | number).to_le_bytes();
            let other = cache.key(&bytes).expect("a key");
            cache
                .put(other, &[2; 1000], Attributes::default(), NOW)
                .expect("fits");
        }
        let Some(cas) = cas.filter(|_| cache.meta(key, NOW).is_some()) else {
            // It was evicted, for another item: begin anew.
            cache
                .put(key, &value, Attributes::default(), NOW)
                .expect("fits");
            continue;
        };
        let stored = if round % 2 == 0 {
            cache.compare_and_swap(key, &value, Attributes::default(), cas, NOW)
        } else {
            cache.replace(key, &value, Attributes::default(), NOW)
        };
        assert_eq!(stored, Ok(Outcome::Stored), "round {round}");
    }
    cache.audit().expect("whole");
}

/// Two and more threads store values of which two just fit.
#[test]
fn a_put_that_fits_succeeds_whatever_others_put() {
    for threads in [2, 4] {
        let cache = open(8 << 20, 2 << 20);
        let rounds = 300;
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let cache = &cache;
                scope.spawn(move || {
                    let value = vec![thread as u8; 2 << 20];
                    for round in 0..rounds {
                        let name = format!("{thread} {}", round % 3);
                        let key = cache.key(name.as_bytes()).expect("a key");
                        let len = if round % 5 == 4 {
                            100
                        } else {
                            value.len() - round
                        };
                        cache
                            .put(key, &value[..len], Attributes::default(), NOW)
                            .unwrap_or_else(|error| panic!("{thread} {round}: {error}"));
                    }
                });
            }
        });
        cache.audit().expect("whole");
    }
}

/// On a machine whose pages are larger than the engine's would be, giving one back leaves its neighbours alone.
#[test]
fn large_pages_of_the_system_are_given_back_whole() {
    for os_page_bytes in [4 << 10, 16 << 10, 64 << 10] {
        let path = std::env::temp_dir().join(format!(
            "flagstone-os-pages-{os_page_bytes}-{}",
            std::process::id()
        ));
        for backing in [Backing::Mmap, Backing::File(path.clone())] {
            let options = Options {
                budget_bytes: 16 << 20,
                item_bytes_max: 1 << 20,
                os_page_bytes,
                backing,
                ..Options::default()
            };
            let plan = Plan::new(&options).expect("a plan");
            assert!(plan.page_bytes() >= os_page_bytes);
            let cache = Cache::open(plan).expect("opens");
            let names: Vec<[u8; 8]> = (0u64..20_000).map(u64::to_le_bytes).collect();
            for name in &names {
                let key = cache.key(name).expect("a key");
                cache
                    .put(key, &name.repeat(60), Attributes::default(), NOW)
                    .expect("fits");
            }
            let pages = cache.plan().page_count();
            for fewer in [pages * 9 / 10, pages / 2, pages] {
                // A page that is not a whole one of the system's would be refused here.
                let usable = cache.resize(fewer, pages, NOW).expect("whole pages");
                assert_eq!(usable, fewer.max(cache.pages_usable_min()));
                let mut out = [0; 480];
                let mut hits = 0;
                for name in &names {
                    let key = cache.key(name).expect("a key");
                    if let Lookup::Hit(_) = cache.get(key, NOW, &mut out) {
                        assert_eq!(out[..], name.repeat(60)[..]);
                        hits += 1;
                    }
                }
                assert!(hits > 1000, "{hits}");
                cache.audit().expect("whole");
            }
        }
        std::fs::remove_file(&path).expect("is there");
    }
}

/// A store under each condition has the same outcome for every length.
#[test]
fn a_condition_means_the_same_at_every_length() {
    let cache = open(16 << 20, 1 << 20);
    for len in [10, 3000, 4084, 4096, 5000, 100_000] {
        let value = vec![1; len];
        let key = cache.key(b"key").expect("a key");
        let store = |condition| cache.store(key, &value, Attributes::default(), condition, NOW);
        cache.delete(key, NOW);
        assert_eq!(store(Condition::Present), Ok(Outcome::NotStored));
        assert_eq!(store(Condition::Cas(5)), Ok(Outcome::NotFound));
        assert_eq!(store(Condition::Since(5)), Ok(Outcome::NotFound));
        assert_eq!(store(Condition::Absent), Ok(Outcome::Stored));
        assert_eq!(store(Condition::Absent), Ok(Outcome::NotStored));
        let cas = cache.cas(key, NOW).expect("room").expect("is there");
        assert_eq!(store(Condition::Cas(cas - 1)), Ok(Outcome::Exists));
        assert_eq!(store(Condition::Cas(cas)), Ok(Outcome::Stored));

        // Whose number was asked for once has one from now on, and a new one.
        let next = cache.meta(key, NOW).expect("is there").cas.expect("kept");
        assert!(next > cas, "{len}: {next} after {cas}");

        // The same through a reservation, which is told what it will depend on.
        let reserve = |condition, attributes| {
            let mut reservation = cache
                .reserve_for(key, len, attributes, condition, CasWish::IfKept, NOW)
                .expect("room");
            reservation.write(&value, NOW).expect("fits");
            reservation.commit(condition, NOW)
        };
        assert_eq!(
            reserve(Condition::Cas(cas), Attributes::default()),
            Ok(Outcome::Exists)
        );
        assert_eq!(
            reserve(Condition::Cas(next), Attributes::default()),
            Ok(Outcome::Stored)
        );
        let meta = cache.meta(key, NOW).expect("is there");
        assert!(meta.cas > Some(next), "{len}: {meta:?}");

        // What comes too late is stale, and keeps the deadline of what was there; reads are noted on.
        let visit = Visit {
            note: true,
            ..Visit::default()
        };
        let seen = cache.visit(key, &visit, NOW, &mut [0; 50], 50, |_, _| Some(0));
        assert!(matches!(seen, Ok(Seen::Copied(0))));
        let deadline = Deadline::after_secs(NOW, 77);
        assert_eq!(cache.touch(key, deadline, NOW), Ok(true));
        let other = Attributes {
            client_flags: 5,
            deadline: Deadline::exact(NOW.plus_millis(1234)),
        };
        for by_reservation in [false, true] {
            for (late, old_deadline) in [(true, deadline), (false, other.deadline)] {
                assert_eq!(cache.touch(key, deadline, NOW), Ok(true));
                let cas = cache.cas(key, NOW).expect("room").expect("is there");
                let condition = Condition::Since(if late { cas - 16 } else { cas });
                let stored = if by_reservation {
                    reserve(condition, other)
                } else {
                    cache.store(key, &value, other, condition, NOW)
                };
                assert_eq!(stored, Ok(Outcome::Stored), "{len}");
                let seen = cache.examine(key, NOW).expect("is there");
                assert_eq!(
                    (seen.meta.stale, seen.meta.deadline),
                    (late, old_deadline),
                    "{len}"
                );
                assert_eq!(seen.meta.client_flags, 5);
                assert_eq!(seen.idle_seconds, Some(0), "{len}: reads are not noted");
                assert_eq!(store(Condition::Since(u64::MAX >> 1)), Ok(Outcome::Exists));
            }
        }
    }
    cache.audit().expect("whole");
}
