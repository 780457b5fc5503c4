//! Goal: a GET of a hot item, and a miss, write nothing that threads share.
//!
//! Method: once the items are hot, the whole arena (superblock, shard headers, page table,
//! directory, buckets, items) is protected against writing, for every thread. A single
//! store to it is a SIGSEGV. What lies outside the arena is the shards' locks and lists;
//! that readers of hot items do not want those is shown in `shard::read`.

use flagstone_engine::{Attributes, Backing, Cache, Deadline, Lookup, Options, Plan, Tick};

const KEYS: u64 = 50_000;

fn filled(backing: Backing) -> Cache {
    let options = Options {
        budget_bytes: 32 << 20,
        backing,
        ..Options::default()
    };
    let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
    let now = Tick::from_secs(10);
    for number in 0..KEYS {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).unwrap();
        let value = vec![number as u8; 16 + number as usize % 300];
        let attributes = Attributes {
            client_flags: number as u32 % 3,
            deadline: if number % 4 == 0 {
                Deadline::after_secs(now, 50)
            } else {
                Deadline::NEVER
            },
        };
        cache.put(key, &value, attributes, now).unwrap();
    }
    let large = cache.key(b"large").unwrap();
    cache
        .put(large, &[7; 300_000], Attributes::default(), now)
        .unwrap();
    cache
}

fn read_all(cache: &Cache, now: Tick) {
    let mut buffer = vec![0u8; 300_000];
    for number in 0..KEYS {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).unwrap();
        match cache.get(key, now, &mut buffer) {
            Lookup::Hit(meta) => {
                assert_eq!(meta.value_len, 16 + number as usize % 300);
                assert!(
                    buffer[..meta.value_len]
                        .iter()
                        .all(|&byte| byte == number as u8)
                );
            }
            other => panic!("{number}: {other:?}"),
        }
        let absent = (number | 1 << 40).to_le_bytes();
        assert_eq!(
            cache.get(cache.key(&absent).unwrap(), now, &mut buffer),
            Lookup::Miss
        );
    }
    let large = cache.key(b"large").unwrap();
    assert!(matches!(cache.get(large, now, &mut buffer), Lookup::Hit(_)));
}

#[test]
fn hot_reads_run_over_memory_that_cannot_be_written() {
    let path = std::env::temp_dir().join(format!("flagstone-read-only-{}", std::process::id()));
    for backing in [Backing::Mmap, Backing::File(path.clone())] {
        let cache = filled(backing);
        let now = Tick::from_secs(11);
        // An item counts up to three hits; from then on it is hot.
        (0..3).for_each(|_| read_all(&cache, now));
        cache
            .read_only_while(|| {
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| read_all(&cache, now));
                    }
                });
                // Expired items are misses without a store, too.
                let key = 4u64.to_le_bytes();
                let later = Tick::from_secs(100);
                assert_eq!(
                    cache.get(cache.key(&key).unwrap(), later, &mut [0; 400]),
                    Lookup::Miss
                );
            })
            .unwrap();
    }
    std::fs::remove_file(&path).unwrap();
}

/// Whoever catches a panic of the work goes on storing.
#[test]
fn a_panic_leaves_the_arena_writable() {
    let cache = filled(Backing::Mmap);
    let work = || cache.read_only_while(|| panic!("on purpose"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    let key = 1u64.to_le_bytes();
    cache.delete(cache.key(&key).unwrap(), Tick::from_secs(11));
}

/// The proof above can fail: a store to the protected arena does kill the process.
#[test]
fn a_store_would_be_noticed() {
    const CHILD: &str = "FLAGSTONE_TEST_STORE_WHILE_READ_ONLY";
    if std::env::var_os(CHILD).is_some() {
        let cache = filled(Backing::Mmap);
        let _ = cache.read_only_while(|| {
            let key = 1u64.to_le_bytes();
            cache.delete(cache.key(&key).unwrap(), Tick::from_secs(11));
        });
        std::process::exit(0);
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_store_would_be_noticed"])
        .env(CHILD, "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert!(
        matches!(status.signal(), Some(7 | 11)),
        "the child stored to protected memory and lived: {status}"
    );
}
