//! Goal: once the cache is open, no operation allocates: not a hit, miss, insert, edit, eviction,
//! page move, expiry, reservation, pin, flush or sweep.
//!
//! Method: dhat counts every block of the process; one test in this file, so that it
//! counts only this. The first round warms up whatever the standard library keeps.

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Deadline, Edit, Lookup, NewValue, Options, Plan, Side,
    StoreError, Tick,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn round(cache: &Cache, base: u64, value: &[u8], out: &mut [u8]) -> u64 {
    let mut hits = 0;
    for number in base..base + 30_000 {
        let now = Tick::from_millis(number * 3);
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).unwrap();
        let len = match number % 50 {
            0 => 60_000,
            1..=5 => 3000 + number as usize % 500,
            _ => number as usize % 300,
        };
        let deadline = if number % 3 == 0 {
            Deadline::after_secs(now, 1)
        } else {
            Deadline::NEVER
        };
        cache.put(key, &value[..len], deadline.into(), now).unwrap();
        cache
            .put(key, &value[..len / 2], deadline.into(), now)
            .unwrap();
        if let Lookup::Hit(_) = cache.get(key, now, out) {
            hits += 1;
        }
        cache.cas(key, now).unwrap();
        cache
            .touch(key, Deadline::exact(now.plus_millis(1500)), now)
            .unwrap();
        let mut growing = cache
            .reserve_growing(key, Attributes::default(), now)
            .unwrap();
        growing.write(&value[..len], now).unwrap();
        growing.commit(Condition::Present, now).unwrap();
        if let Ok(Some(mut pinned)) = cache.pin(key, now) {
            if number % 5 == 0 {
                cache.delete(key, now);
            }
            while pinned.read(&mut out[..512]) > 0 {}
        }
        let absent = (number | 1 << 60).to_le_bytes();
        assert_eq!(
            cache.get(cache.key(&absent).unwrap(), now, out),
            Lookup::Miss
        );
        let brief = cache.key(&absent).unwrap();
        let deadline = Deadline::after_secs(now, 1).into();
        cache.put(brief, &value[..len], deadline, now).unwrap();
        cache
            .add(key, b"again", Attributes::default(), now)
            .unwrap();
        let mut room = [0; 100];
        let updated: Result<_, StoreError> = cache.update(key, now, &mut room, |current, room| {
            let attributes = current.map(|item| item.meta().attributes());
            room[..8].copy_from_slice(&number.to_le_bytes());
            let in_room = NewValue::Room(number as usize % 100);
            Ok(match number % 4 {
                0 => Edit::Extend {
                    part: in_room,
                    side: Side::Behind,
                    cas: CasWish::IfKept,
                },
                1 => Edit::store(NewValue::Given(&value[..len]), Attributes::default()),
                _ => Edit::store(in_room, attributes.unwrap_or_default()),
            })
        });
        updated.unwrap();
        if number % 1000 == 0 {
            cache.maintain(now, 10_000);
        }
    }
    let _ = cache.stats();
    cache.flush();
    hits
}

#[test]
fn no_operation_allocates() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let options = Options {
        budget_bytes: 4 << 20,
        item_bytes_max: 64 << 10,
        ..Options::default()
    };
    let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
    let value = vec![9u8; 64 << 10];
    let mut out = vec![0u8; 64 << 10];
    round(&cache, 0, &value, &mut out);
    let before = dhat::HeapStats::get();
    let hits = round(&cache, 1 << 20, &value, &mut out);
    let after = dhat::HeapStats::get();
    assert!(hits > 29_000, "{hits} hits: the round did not do its work");
    let stats = cache.stats();
    assert!(
        stats.evictions > 0 && stats.expired.total() > 0 && stats.items_moved > 0,
        "{stats:?}"
    );
    assert_eq!(
        after.total_blocks - before.total_blocks,
        0,
        "operations allocated"
    );
}
