//! What each design choice costs in time: `cargo bench --bench choices`.
//!
//! Every group has a row with the choice and one without it, in one run; docs/performance.md says why each
//! was made. One thread; 20-byte keys on average, all made on the spot.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use flagstone_benches::keys::KeyBytes;
use flagstone_engine::{
    Attributes, Backing, Cache, Deadline, Eviction, Key, Lookup, Options, Plan, Tick,
};

const NOW: Tick = Tick::from_secs(1);
/// Fits all that is stored where nothing is to be evicted.
const ROOMY_BYTES: usize = 256 << 20;
/// Fits a fraction of what is stored, and far more than the processor's caches.
const TIGHT_BYTES: usize = 64 << 20;
const KEYS: u64 = 200_000;

type Group<'c> = BenchmarkGroup<'c, criterion::measurement::WallTime>;

fn open(options: Options) -> Cache {
    let plan = Plan::new(&options).expect("a budget that works");
    Cache::open(plan).expect("memory for the cache")
}

fn roomy() -> Cache {
    open(Options {
        budget_bytes: ROOMY_BYTES,
        ..Options::default()
    })
}

fn with_key<R>(cache: &Cache, id: u64, work: impl FnOnce(Key<'_>) -> R) -> R {
    let key = KeyBytes::of(id);
    work(cache.key(key.as_slice()).expect("16 to 24 bytes are a key"))
}

fn put(cache: &Cache, id: u64, value: &[u8], attributes: Attributes) {
    with_key(cache, id, |key| {
        cache
            .put(key, value, attributes, NOW)
            .expect("a value that fits");
    });
}

/// One hit after the other, over all keys in a stride that no prefetcher follows.
fn hits(group: &mut Group<'_>, name: &str, cache: &Cache, keys: u64) {
    let mut out = vec![0; 64 << 10];
    let mut id = 0;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            id = (id + 7_919) % keys;
            let found = with_key(cache, id, |key| cache.get(key, NOW, &mut out));
            assert!(matches!(black_box(found), Lookup::Hit(_)));
        });
    });
}

/// One insert after the other of keys never seen before.
fn inserts(group: &mut Group<'_>, name: &str, cache: &Cache, value: &[u8]) {
    let mut id = 1 << 40;
    // Full, and every list in its steady state.
    for _ in 0..2 * TIGHT_BYTES / (60 + value.len()) {
        id += 1;
        put(cache, id, value, Attributes::default());
    }
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            id += 1;
            put(cache, id, value, Attributes::default());
        });
    });
}

/// S3-FIFO's two lists and ghosts, and plain LRU.
fn eviction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert that evicts, 32 B");
    for (name, eviction) in [("s3-fifo", Eviction::S3Fifo), ("lru", Eviction::Lru)] {
        let cache = open(Options {
            budget_bytes: TIGHT_BYTES,
            eviction,
            ..Options::default()
        });
        inserts(&mut group, name, &cache, &[b'v'; 32]);
    }
    group.finish();
}

/// Deadlines as optional fields: what they cost those who use them, and nobody else.
fn deadlines(criterion: &mut Criterion) {
    let later = NOW.plus_secs(3600);
    let rows = [
        ("none", Attributes::default()),
        ("seconds", Attributes::from(Deadline::at(later))),
        (
            "milliseconds",
            Attributes::from(Deadline::exact(later.plus_millis(1))),
        ),
    ];
    for (name, attributes) in rows {
        let cache = roomy();
        for id in 0..KEYS {
            put(&cache, id, &[b'v'; 32], attributes);
        }
        let mut group = criterion.benchmark_group("hit by deadline, 32 B");
        hits(&mut group, name, &cache, KEYS);
        group.finish();
        let mut group = criterion.benchmark_group("replace by deadline, 32 B");
        let mut id = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                id = (id + 7_919) % KEYS;
                put(&cache, id, &[b'v'; 32], attributes);
            });
        });
        group.finish();
    }
}

/// CAS numbers are given out when they are asked for.
fn cas(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit by CAS number, 32 B");
    let cache = roomy();
    for id in 0..KEYS {
        put(&cache, id, &[b'v'; 32], Attributes::default());
    }
    hits(&mut group, "never asked for", &cache, KEYS);
    for id in 0..KEYS {
        let asked = with_key(&cache, id, |key| cache.cas(key, NOW));
        assert!(asked.expect("there is room").is_some());
    }
    hits(&mut group, "asked for", &cache, KEYS);
    group.finish();
}

/// A value in one chunk, and one that is split so that less of its chunks is wasted.
fn pieces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit by length");
    for len in [1_000, 2_000, 4_000, 8_000, 16_000] {
        let keys = (64 << 20) / len as u64;
        let cache = roomy();
        let value = vec![b'v'; len];
        for id in 0..keys {
            put(&cache, id, &value, Attributes::default());
        }
        group.throughput(Throughput::Bytes(len as u64));
        hits(&mut group, &format!("{len} B"), &cache, keys);
    }
    group.finish();
}

/// The index grows by one bucket at a time: what the items pay for it, beside those that come when
/// it has grown.
fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert, index");
    let fill = |cache: &Cache, from: u64, count: u64| {
        let began = Instant::now();
        for id in from..from + count {
            put(cache, id, &[b'v'; 32], Attributes::default());
        }
        began.elapsed()
    };
    // Whole fills; a fill is so many times the operation.
    for (name, grown) in [("growing", false), ("grown", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|ops| {
                let mut time = Duration::ZERO;
                let fills = ops.div_ceil(KEYS);
                for _ in 0..fills {
                    let cache = roomy();
                    if grown {
                        fill(&cache, KEYS, KEYS);
                        // Deleted, they leave the buckets, because shrinking is upkeep's work.
                        for id in KEYS..2 * KEYS {
                            assert!(with_key(&cache, id, |key| cache.delete(key, NOW)));
                        }
                    }
                    time += fill(&cache, 0, KEYS);
                }
                time.mul_f64(ops as f64 / (fills * KEYS) as f64)
            });
        });
    }
    group.finish();
}

/// The sweep, for each item that it reclaims; and a round of upkeep with nothing due.
fn sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upkeep");
    let due = NOW.plus_secs(1);
    group.bench_function("an expired item reclaimed", |bencher| {
        bencher.iter_custom(|ops| {
            let mut time = Duration::ZERO;
            let fills = ops.div_ceil(KEYS);
            for _ in 0..fills {
                let cache = roomy();
                for id in 0..KEYS {
                    put(&cache, id, &[b'v'; 32], Attributes::from(Deadline::at(due)));
                }
                let began = Instant::now();
                while cache.maintain(due.plus_secs(1), 4096).more {}
                time += began.elapsed();
                assert_eq!(cache.stats().items, 0, "all were due");
            }
            time.mul_f64(ops as f64 / (fills * KEYS) as f64)
        });
    });
    let cache = roomy();
    for id in 0..KEYS {
        put(&cache, id, &[b'v'; 32], Attributes::default());
    }
    group.bench_function("a round with nothing due", |bencher| {
        bencher.iter(|| black_box(cache.maintain(due, 4096)));
    });
    group.finish();
}

/// What the arena's memory is.
fn backings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit by backing, 32 B");
    let path = std::env::temp_dir().join(format!("flagstone-choices-{}", std::process::id()));
    let rows = [
        ("heap", Backing::Heap, false),
        ("map", Backing::Mmap, false),
        ("map, huge pages", Backing::Mmap, true),
        ("file", Backing::File(path.clone()), false),
    ];
    for (name, backing, huge_pages) in rows {
        let cache = open(Options {
            budget_bytes: ROOMY_BYTES,
            backing,
            huge_pages,
            ..Options::default()
        });
        for id in 0..KEYS {
            put(&cache, id, &[b'v'; 32], Attributes::default());
        }
        hits(&mut group, name, &cache, KEYS);
    }
    group.finish();
    std::fs::remove_file(&path).expect("the arena's file");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = eviction, deadlines, cas, pieces, growth, sweep, backings
}
criterion_main!(benches);
