//! Goal: whatever is stored, overwritten, deleted, extended and left to expire, in whatever
//! sizes, every byte of the plan has a place at any moment, and nothing stays dead.
//!
//! Method: two threads do all of that at random on a cache that is far too small, a third does
//! the upkeep; every second the world is stopped and everything is counted: the plan's lines
//! against the budget, pages, chunks, lists and index against each other, the classes against
//! the totals. At the end time jumps ahead of every deadline, and what had one must be gone.
//!
//! Ten seconds; `FLAGSTONE_SOAK_SECONDS` makes it longer.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use flagstone_engine::{Attributes, Cache, Deadline, Options, Plan, Tick};

const BUDGET: usize = 16 << 20;
const KEYS: u64 = 200_000;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

struct World {
    cache: Cache,
    /// Milliseconds, faster than real ones so that deadlines of minutes pass.
    clock: AtomicU64,
    stop: AtomicBool,
    /// Taken for reading around each operation, for writing to stop the world.
    gate: RwLock<()>,
}

impl World {
    fn now(&self) -> Tick {
        Tick::from_millis(self.clock.load(Relaxed))
    }

    /// Mostly small, sometimes a few KiB, now and then a chain of pages.
    fn value_len(dice: u64) -> usize {
        let spread = (dice >> 20) as usize;
        match dice % 1000 {
            0..700 => spread % 300,
            700..970 => spread % 4096,
            970..998 => spread % (64 << 10),
            _ => spread % (1 << 20),
        }
    }

    fn work(&self, mut seed: u64) -> u64 {
        let filler = vec![0xA5; 1 << 20];
        let mut operations = 0;
        while !self.stop.load(Relaxed) {
            let _open = self.gate.read().unwrap();
            seed = mix(seed.wrapping_add(1));
            let now = self.now();
            let number = (mix(seed) % KEYS).to_le_bytes();
            let key = self.cache.key(&number).unwrap();
            match seed % 16 {
                0..9 => {
                    let dice = mix(seed ^ 7);
                    let value = &filler[..Self::value_len(dice)];
                    let deadline = match dice >> 60 {
                        0..8 => Deadline::NEVER,
                        8..12 => Deadline::after_secs(now, 1 + (dice >> 50) % 4),
                        _ => Deadline::after_secs(now, 1 + (dice >> 50) % 600),
                    };
                    let attributes = Attributes {
                        deadline,
                        client_flags: (dice >> 40) as u32 & 1,
                    };
                    // Only memory that is held may refuse, and nobody holds any here.
                    self.cache.put(key, value, attributes, now).unwrap();
                }
                9..11 => {
                    self.cache.delete(key, now);
                }
                11 => {
                    let until = Deadline::after_secs(now, 30);
                    self.cache.touch(key, until, now).unwrap();
                }
                _ => self.cache.get_with(key, now, |_| {}).map(drop).unwrap(),
            }
            operations += 1;
        }
        operations
    }

    fn count_everything(&self) {
        let _closed = self.gate.write().unwrap();
        let plan = self.cache.plan();
        let sum: usize = plan.lines().map(|line| line.bytes).sum();
        assert_eq!(sum, plan.budget_bytes(), "the plan's lines");
        let audit = self.cache.audit().expect("the audit");
        let stats = self.cache.stats();
        let (mut items, mut pages, mut evictions) = (0, 0, 0);
        self.cache.classes(|class| {
            assert!(class.chunks_used <= class.chunks, "{class:?}");
            items += class.items_probation + class.items_main;
            pages += class.pages;
            evictions += class.evictions;
        });
        assert_eq!(items, stats.items, "{audit:?}");
        assert_eq!(pages, stats.pages_items);
        assert_eq!(evictions, stats.evictions);
    }
}

#[test]
fn every_byte_has_its_place_at_any_moment() {
    let seconds = std::env::var("FLAGSTONE_SOAK_SECONDS")
        .map_or(10, |text| text.parse().expect("a number of seconds"));
    let options = Options {
        budget_bytes: BUDGET,
        ..Options::default()
    };
    let world = World {
        cache: Cache::open(Plan::new(&options).unwrap()).unwrap(),
        clock: AtomicU64::new(1000),
        stop: AtomicBool::new(false),
        gate: RwLock::new(()),
    };
    let begin = Instant::now();
    let operations: u64 = thread::scope(|scope| {
        let workers = [11, 13].map(|seed| {
            scope.spawn({
                let world = &world;
                move || world.work(seed)
            })
        });
        scope.spawn(|| {
            while !world.stop.load(Relaxed) {
                world.clock.fetch_add(300, Relaxed);
                {
                    let _open = world.gate.read().unwrap();
                    world.cache.maintain(world.now(), 1000);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        for second in 1..=seconds {
            thread::sleep(
                (begin + Duration::from_secs(second)).saturating_duration_since(Instant::now()),
            );
            world.count_everything();
        }
        world.stop.store(true, Relaxed);
        workers.map(|worker| worker.join().unwrap()).iter().sum()
    });
    let stats = world.cache.stats();
    println!("{operations} operations, {stats:?}");
    assert!(
        stats.evictions > 0 && stats.expired.total() > 0 && stats.deletes > 0,
        "{stats:?}"
    );

    // Past every deadline: upkeep alone reclaims what had one, and nothing else.
    let now = world.now().plus_secs(3600);
    while world.cache.maintain(now, 1000).more {}
    world.count_everything();
    let mut found = 0;
    for number in 0..KEYS {
        let number = number.to_le_bytes();
        if let Some(meta) = world.cache.meta(world.cache.key(&number).unwrap(), now) {
            assert_eq!(meta.deadline, Deadline::NEVER);
            found += 1;
        }
    }
    assert_eq!(found, world.cache.stats().items, "dead items stay");
}
