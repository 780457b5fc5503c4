//! Goal: a reservation and a pin can outlive the function that made them, move into a thread, and keep their cache alive;
//! when they are dropped, their memory is the cache's again; and a pin names the value that it holds.

use std::io::Read;
use std::sync::Arc;
use std::thread;

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Deadline, Lookup, Options, Outcome, Plan, Side,
    StoreError, Tick,
};

const NOW: Tick = Tick::from_secs(1_000);

fn open() -> Arc<Cache> {
    let options = Options {
        budget_bytes: 8 << 20,
        item_bytes_max: 256 << 10,
        ..Options::default()
    };
    Arc::new(Cache::open(Plan::new(&options).unwrap()).unwrap())
}

fn value_of(cache: &Cache, name: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; cache.plan().item_bytes_max()];
    match cache.get(cache.key(name).unwrap(), NOW, &mut out) {
        Lookup::Hit(meta) => Some(out[..meta.value_len].to_vec()),
        _ => None,
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_value_is_written_and_read_in_threads_that_outlive_the_handle() {
    for len in [0, 11, 5_000, 100_000] {
        let cache = open();
        let weak = Arc::downgrade(&cache);
        let key = cache.key(b"key").unwrap();
        let mut reservation = cache
            .reserve_owned(key, len, Attributes::default(), CasWish::IfKept, NOW)
            .unwrap();
        let writer = thread::spawn(move || {
            for part in pattern(len).chunks(777) {
                reservation.write(part, NOW).unwrap();
            }
            assert_eq!(reservation.written(), len);
            assert_eq!(
                reservation.commit(Condition::Always, NOW),
                Ok(Outcome::Stored)
            );
        });
        writer.join().unwrap();
        assert_eq!(value_of(&cache, b"key"), Some(pattern(len)));

        let mut pinned = cache.pin_owned(key, NOW).unwrap().unwrap();
        cache.delete(key, NOW);
        // Only the pin holds the cache from here on.
        drop(cache);
        let reader = thread::spawn(move || {
            assert_eq!(pinned.meta().value_len, len);
            let mut value = Vec::new();
            pinned.read_to_end(&mut value).unwrap();
            pinned.seek(len / 2);
            let mut rest = Vec::new();
            pinned.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, value[len / 2..]);
            value
        });
        assert_eq!(reader.join().unwrap(), pattern(len));
        assert!(weak.upgrade().is_none(), "something still holds the cache");
    }
}

#[test]
fn what_is_dropped_halfway_leaves_nothing() {
    let cache = open();
    let key = cache.key(b"key").unwrap();
    cache
        .put(key, b"before", Attributes::default(), NOW)
        .unwrap();
    let mut reserved = cache
        .reserve_owned(key, 100_000, Attributes::default(), CasWish::IfKept, NOW)
        .unwrap();
    reserved.write(&[7; 50_000], NOW).unwrap();
    let mut growing = cache
        .reserve_growing_owned(key, Attributes::default(), NOW)
        .unwrap();
    growing.write(&[8; 50_000], NOW).unwrap();
    assert!(cache.audit().unwrap().reserved_chunks >= 2);
    drop(growing);
    // An early commit fails, and gives the memory back as well.
    assert_eq!(
        reserved.commit(Condition::Always, NOW),
        Err(StoreError::LengthMismatch)
    );
    let pinned = cache.pin_owned(key, NOW).unwrap().unwrap();
    cache.delete(key, NOW);
    assert_eq!(cache.audit().unwrap().orphans, 1);
    drop(pinned);
    let audit = cache.audit().unwrap();
    assert_eq!(
        (audit.items, audit.reserved_chunks, audit.orphans),
        (0, 0, 0)
    );
}

#[test]
fn an_owned_reservation_extends_what_is_there() {
    let cache = open();
    let key = cache.key(b"key").unwrap();
    cache
        .put(key, b"hello ", Attributes::default(), NOW)
        .unwrap();
    let mut growing = cache
        .reserve_growing_owned(key, Attributes::default(), NOW)
        .unwrap();
    growing.write(b"world", NOW).unwrap();
    let stored = growing
        .commit_extending(Side::Behind, None, false, NOW)
        .unwrap();
    assert_eq!((stored.outcome, stored.value_len), (Outcome::Stored, 11));
    assert_eq!(value_of(&cache, b"key").unwrap(), b"hello world");
    cache.audit().unwrap();
}

/// `delete_pinned` removes what was pinned and nothing that came after it.
#[test]
fn only_the_pinned_value_is_deleted() {
    type Between = fn(&Cache);
    fn put(cache: &Cache, value: &[u8]) {
        let key = cache.key(b"key").unwrap();
        cache.put(key, value, Attributes::default(), NOW).unwrap();
    }
    let table: [(&str, Between, bool); 6] = [
        ("nothing happened", |_| {}, true),
        (
            "the deadline changed",
            |cache| {
                let key = cache.key(b"key").unwrap();
                let later = Deadline::after_secs(NOW, 500);
                assert_eq!(cache.touch(key, later, NOW), Ok(true));
            },
            true,
        ),
        (
            "another value of that length",
            |cache| put(cache, &[2; 9_000]),
            false,
        ),
        (
            "the same value, stored again",
            |cache| put(cache, &[1; 9_000]),
            false,
        ),
        (
            "it grew where it lies",
            |cache| {
                let key = cache.key(b"key").unwrap();
                let stored = cache.extend(key, b"x", Side::Behind, None, CasWish::IfKept, NOW);
                assert_eq!(stored.unwrap().outcome, Outcome::Stored);
            },
            false,
        ),
        (
            "it is gone",
            |cache| {
                cache.delete(cache.key(b"key").unwrap(), NOW);
            },
            false,
        ),
    ];
    for (what, between, is_deleted) in table {
        let cache = open();
        let key = cache.key(b"key").unwrap();
        let deadline = Deadline::after_secs(NOW, 100);
        cache.put(key, &[1; 9_000], deadline.into(), NOW).unwrap();
        let pinned = cache.pin_unseen(key, NOW).unwrap().unwrap();
        between(&cache);
        let was_there = cache.meta(key, NOW).is_some();
        let other = open();
        let other_key = other.key(b"key").unwrap();
        assert!(!other.delete_pinned(other_key, &pinned, NOW), "{what}");
        assert_eq!(cache.delete_pinned(key, &pinned, NOW), is_deleted, "{what}");
        let is_there = cache.meta(key, NOW).is_some();
        assert_eq!(is_there, was_there && !is_deleted, "{what}");
        drop(pinned);
        cache
            .audit()
            .unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    }
}
