//! The engine and its floor under criterion: `cargo bench --bench engine`.
//!
//! The same rows as the binary `engine_table`, which also knows peers, counts allocations,
//! and interleaves what it compares; prefer its ratios on a machine that others use too.
//! Times are wall time, each thread's own.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flagstone_benches::rows::{Clock, Op, Share, Workload, time};
use flagstone_benches::subjects::{Room, field};

const OPS: [Op; 7] = [
    Op::HitZipf,
    Op::HitUniform,
    Op::Miss,
    Op::Replace,
    Op::Mixed,
    Op::Batch { ahead: false },
    Op::Batch { ahead: true },
];
/// Value bytes and keys, beside the million of 64 bytes.
const SIZES: [(usize, usize); 4] = [
    (32, 1_000_000),
    (300, 400_000),
    (4096, 32_000),
    (65_536, 2_000),
];

fn group(criterion: &mut Criterion, value_len: usize, key_count: usize, ops: &[Op]) {
    let workload = Workload::new(key_count, value_len);
    let full = ops == [Op::InsertEvict];
    let caches = field(
        Room {
            items: key_count,
            value_len,
            roomy: !full,
            huge_pages: false,
        },
        false,
    );
    caches.iter().for_each(|cache| cache.load(&workload));
    for &op in ops {
        let mut group = criterion.benchmark_group(format!("{value_len} B/{}", op.name()));
        group.throughput(Throughput::Elements(1));
        for threads in [1, 2] {
            for cache in &caches {
                let id = BenchmarkId::new(cache.name(), threads);
                let mut from = 0;
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|ops| {
                        let ops = ops as usize;
                        from += 314_159;
                        // A batch is 32 operations; fewer are none.
                        let share = Share {
                            op,
                            ops: ops.next_multiple_of(32),
                            from,
                        };
                        let timing = time(&**cache, &workload, share, threads, Clock::Wall);
                        timing.elapsed.mul_f64(ops as f64 / share.ops as f64)
                    });
                });
            }
        }
        group.finish();
    }
}

fn engine(criterion: &mut Criterion) {
    group(criterion, 64, 1_000_000, &OPS);
    group(criterion, 64, 1_000_000, &[Op::InsertEvict]);
    // Eviction again, where items are small and ghosts the larger part, and where the copy is.
    for (value_len, key_count) in &SIZES[..2] {
        group(criterion, *value_len, *key_count, &[Op::InsertEvict]);
    }
    for (value_len, key_count) in SIZES {
        group(criterion, value_len, key_count, &[Op::HitZipf, Op::Replace]);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = engine
}
criterion_main!(benches);
