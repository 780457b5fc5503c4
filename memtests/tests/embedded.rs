//! Goal: a program that embeds the engine gets the promise in its own process: after `build` a call allocates the `Vec`
//! that it returns, and nothing else; `get_or_insert_with` what its closure allocates.
//!
//! Method: dhat counts every block of the process; each call is made some hundred times, and blocks and bytes are compared
//! with what was asked for, exactly. One test in this file, so that it counts only this.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use flagstone_engine::{Cache, Lookup, SharedCache};

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

const ITEMS: u64 = 500;
const CALLERS: usize = 4;

/// A call, or many of a kind.
type Call<'c> = Box<dyn FnMut() + 'c>;

/// Blocks and bytes that `work` allocates.
fn allocated(work: impl FnOnce()) -> (u64, u64) {
    let before = dhat::HeapStats::get();
    work();
    let after = dhat::HeapStats::get();
    (
        after.total_blocks - before.total_blocks,
        after.total_bytes - before.total_bytes,
    )
}

/// Waits until nothing is allocated for half a second: the thread that started the test still has something to note
/// down when the test already runs.
fn settle() {
    while allocated(|| thread::sleep(Duration::from_millis(500))) != (0, 0) {}
}

/// As long as is asked for most, with some of one piece, of several, and of none.
fn len_of(number: u64) -> usize {
    match number % 50 {
        0 => 50_000,
        1..=5 => 3_000,
        6 => 0,
        _ => number as usize % 300 + 1,
    }
}

fn fill(cache: &SharedCache, bytes: &[u8]) {
    for number in 0..ITEMS {
        let value = &bytes[..len_of(number)];
        cache.insert(number.to_be_bytes(), value).expect("fits");
    }
}

fn for_all(mut work: impl FnMut(&[u8; 8], usize)) {
    for number in 0..ITEMS {
        work(&number.to_be_bytes(), len_of(number));
    }
}

#[test]
fn a_call_allocates_what_it_returns() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let cache = Cache::builder()
        .memory(16 << 20)
        .value_bytes_max(64 << 10)
        .build()
        .expect("16 MiB");
    let bytes = vec![7u8; 64 << 10];
    let mut out = vec![0u8; 64 << 10];
    let minute = Duration::from_secs(60);
    settle();

    // Nothing is returned, and nothing is allocated. In this order: each row finds what the ones before left.
    let mut wants_nothing: Vec<(&str, Call<'_>)> = vec![
        ("insert", Box::new(|| fill(&cache, &bytes))),
        ("insert, replacing", Box::new(|| fill(&cache, &bytes))),
        (
            "get_into",
            Box::new(|| {
                for_all(|key, len| {
                    let hit = cache.get_into(key, &mut out);
                    assert!(matches!(hit, Lookup::Hit(meta) if meta.value_len == len));
                });
            }),
        ),
        (
            "contains, get of nothing, get_into of nothing",
            Box::new(|| {
                for_all(|key, _| {
                    assert!(cache.contains(key) && cache.get(&key[1..]).is_none());
                    assert_eq!(cache.get_into(&key[1..], &mut []), Lookup::Miss);
                });
            }),
        ),
        (
            "len, memory_used, memory, now",
            Box::new(|| {
                assert_eq!(cache.len() as u64, ITEMS);
                assert!(cache.memory_used() < cache.memory());
                black_box(cache.now());
            }),
        ),
        (
            "retain",
            Box::new(|| {
                let mut first = [0; 16];
                let done = cache.retain(|item| {
                    let len = item.read(&mut first);
                    assert_eq!(&first[..len], &bytes[..item.value_len().min(16)]);
                    item.key()[7] % 2 == 0
                });
                assert!(done.removed > 200 && done.skipped == 0, "{done:?}");
            }),
        ),
        (
            "remove",
            Box::new(|| for_all(|key, _| assert_eq!(cache.remove(key), key[7] % 2 == 0))),
        ),
        (
            "insert_ttl, in seconds and in milliseconds",
            Box::new(|| {
                for_all(|key, len| {
                    let time = minute + Duration::from_millis(u64::from(key[7]) % 2);
                    cache.insert_ttl(key, &bytes[..len], time).expect("fits");
                });
            }),
        ),
        (
            "reserve, write, commit",
            Box::new(|| {
                for_all(|key, len| {
                    let mut writer = cache.reserve(key, len).expect("fits");
                    writer.write(&bytes[..len]).expect("as long as was said");
                    writer.commit().expect("all of it");
                });
            }),
        ),
        (
            "pin, read",
            Box::new(|| {
                for_all(|key, len| {
                    let mut pinned = cache.pin(key).expect("few").expect("there");
                    let (mut window, mut read) = ([0; 4096], 0);
                    while let more @ 1.. = pinned.read(&mut window) {
                        read += more;
                    }
                    assert_eq!(read, len);
                });
            }),
        ),
        (
            "a clone of the handle",
            Box::new(|| assert!(!cache.clone().is_empty())),
        ),
        (
            "insert, evicting",
            Box::new(|| {
                for number in 0..20_000_u64 {
                    cache
                        .insert(number.to_le_bytes(), &bytes[..3_000])
                        .expect("evicts");
                }
                assert!(cache.core().stats().evictions > 1_000);
            }),
        ),
        (
            "clear, maintain",
            Box::new(|| {
                cache.clear();
                while cache.maintain().more {}
                assert!(cache.is_empty());
            }),
        ),
    ];
    for (what, work) in &mut wants_nothing {
        let found = allocated(work);
        assert_eq!(found, (0, 0), "{what} allocated");
    }
    drop(wants_nothing);

    fill(&cache, &bytes);
    let lens = || (0..ITEMS).map(|number| len_of(number) as u64);
    // A `Vec` of no bytes is no block.
    let values = (
        lens().filter(|len| *len > 0).count() as u64,
        lens().sum::<u64>(),
    );
    let found = allocated(|| for_all(|key, _| assert!(cache.get(key).is_some())));
    assert_eq!(found, values, "get allocates the values");
    let found = allocated(|| {
        for_all(|key, len| {
            let value = cache.get_or_insert_with(key, || unreachable!("it is there"));
            assert_eq!(value.len(), len);
        });
    });
    assert_eq!(
        found, values,
        "get_or_insert_with of what is there, likewise"
    );
    let found = allocated(|| assert_eq!(cache.iter().count() as u64, ITEMS));
    let (blocks, sum) = values;
    assert_eq!(
        found,
        (blocks + ITEMS, sum + 8 * ITEMS),
        "iter: keys and values"
    );
    cache.clear();
    let found = allocated(|| {
        for_all(|key, len| {
            let value = cache.get_or_insert_with(key, || bytes[..len].to_vec());
            assert_eq!(value.len(), len);
        });
    });
    assert_eq!(
        found, values,
        "get_or_insert_with of what is not: the closure's"
    );

    // Several who want the same at once: one computes, the others wait, and each gets a value of its own.
    let barrier = Barrier::new(CALLERS + 1);
    let rounds = 100_u64;
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for number in 0..rounds {
                    barrier.wait();
                    let value = cache.get_or_insert_with((number | 1 << 40).to_be_bytes(), || {
                        // Long enough that the others come to wait.
                        thread::sleep(Duration::from_millis(1));
                        bytes[..3_000].to_vec()
                    });
                    assert_eq!(value.len(), 3_000);
                    barrier.wait();
                }
            });
        }
        // The first round warms up what threads have of their own.
        barrier.wait();
        barrier.wait();
        let (blocks, sum) = allocated(|| {
            for _ in 1..rounds {
                barrier.wait();
                barrier.wait();
            }
        });
        let asked = (rounds - 1) * CALLERS as u64;
        assert_eq!((blocks, sum), (asked, asked * 3_000), "one value a caller");
    });
}
