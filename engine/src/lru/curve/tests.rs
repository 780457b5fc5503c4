//! Goal: the curve of a sample is that of the whole. Method: traffic of known kinds is played to a miniature of all keys,
//! which stands for the real cache, and to others of other sizes; the model, which is told of some keys only, says what those find.

use super::*;

const ITEM_BYTES: u32 = 100;
/// Items of today's cache.
const CAPACITY: u64 = 3000;
const REQUESTS: u64 = 400_000;
const ENTRIES: usize = 1024;

/// A stream of numbers that is the same each time.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

fn unit(number: u64) -> f64 {
    (mixed(number) >> 11) as f64 / (1_u64 << 53) as f64
}

fn zipf(at: u64) -> u64 {
    // The chance of a key falls with its number.
    20_000_f64.powf(unit(at)) as u64
}

fn cycle(at: u64) -> u64 {
    at % 2000
}

fn scan(at: u64) -> u64 {
    match at % 3 {
        0 => 1_000_000 + at,
        _ => zipf(at),
    }
}

type Family = (&'static str, fn(u64) -> u64);

fn holding(items: u64) -> Holding {
    let bytes = CAPACITY * u64::from(ITEM_BYTES);
    let used = items * u64::from(ITEM_BYTES);
    Holding {
        items,
        bytes: used,
        item_page_bytes: used,
        index_bytes: 0,
        index_bytes_least: 0,
        free_bytes: bytes - used,
        tuning: TUNINGS[0],
    }
}

fn item(key: u64) -> Item {
    Item {
        hash: mixed(key + 1),
        bytes: ITEM_BYTES,
        deadline: 0,
    }
}

/// A cache of all keys, a multiple of today's in quarters.
fn whole(quarters: u64, rules: &Rules) -> Miniature {
    let mut whole = Miniature::new(60_000);
    let bytes = CAPACITY * u64::from(ITEM_BYTES) * quarters / 4;
    whole.resize(bytes, u32::MAX, rules);
    whole
}

fn refer(curve: &mut Curve, item: Item, to: Use) {
    let hash = KeyHash::from_number(item.hash);
    if Curve::samples(hash, curve.limit()) {
        curve.note(
            Reference::new(hash, to, item.bytes, Deadline::NEVER),
            Tick::ZERO,
        );
    }
}

/// Plays traffic; the real ratios of late, and the curve.
fn play(eviction: Eviction, key_at: fn(u64) -> u64) -> ([f64; CURVE_POINTS], CurvePoints) {
    let rules = Rules {
        eviction,
        tuning: TUNINGS[0],
        shard_count: SHARD_COUNT,
    };
    let mut reals = QUARTERS.map(|quarters| whole(quarters, &rules));
    let mut curve = Curve::new(ENTRIES, eviction);
    let mut hits = [0.0; CURVE_POINTS];
    let (mut all, mut forgotten) = (0.0, 0);
    let mut told = [0; 2];
    let mut items = 0;
    for at in 0..REQUESTS {
        if at % 500 == 0 {
            curve.adjust(&holding(items), told[0], told[1]);
        }
        let item = item(key_at(at));
        for (real, hits) in reals.iter_mut().zip(&mut hits) {
            let hit = real.ask(item, false, 0, &rules);
            real.store(item, &rules);
            *hits += f64::from(u8::from(hit));
            if real.whole_bytes() == CAPACITY * u64::from(ITEM_BYTES) {
                told[usize::from(!hit)] += 1;
                items = (items + u64::from(!hit)).min(CAPACITY);
                refer(&mut curve, item, if hit { Use::Hit } else { Use::Miss });
                if !hit {
                    refer(&mut curve, item, Use::Store);
                }
            }
        }
        all += 1.0;
        let (times, kept) = curve.forgotten();
        for _ in forgotten..times {
            all *= kept;
            hits.iter_mut().for_each(|hits| *hits *= kept);
        }
        forgotten = times;
    }
    (hits.map(|hits| hits / all), curve.points())
}

#[test]
fn the_curve_of_a_sample_is_that_of_the_whole() {
    let families: [Family; 3] = [("zipf", zipf), ("cycle", cycle), ("scan", scan)];
    for eviction in [Eviction::S3Fifo, Eviction::Lru] {
        for (name, key_at) in families {
            let (real, curve) = play(eviction, key_at);
            for (real, point) in real.into_iter().zip(curve.points) {
                let off = 100.0 * (point.hit_ratio - real).abs();
                // Of a loop that is longer than the cache, main keeps what once came to it: that depends on the past.
                let most = if point.multiple < 0.5 { 3.0 } else { 2.0 };
                assert!(
                    off < most || name == "cycle" && point.multiple < 1.0,
                    "{eviction:?} {name} at {}: {} and {real}",
                    point.multiple,
                    point.hit_ratio
                );
            }
        }
    }
}

#[test]
fn a_large_cache_is_noted_seldom_and_a_small_one_always() {
    let mut curve = Curve::new(ENTRIES, Eviction::S3Fifo);
    assert_eq!(curve.limit(), 0, "nothing is known");
    let of = |items: u64, bytes: u64| Holding {
        items,
        bytes: items * 100,
        item_page_bytes: items * 100,
        free_bytes: bytes - items * 100,
        ..holding(0)
    };
    for (items, bytes, share) in [
        // Items that nobody knows are small.
        (0, 1 << 30, 128.0 / (1 << 20) as f64),
        (1 << 20, 1 << 30, 200.0 / (1 << 20) as f64),
        (500, 50_000, 1.0),
    ] {
        curve = Curve::new(ENTRIES, Eviction::S3Fifo);
        curve.adjust(&of(items, bytes), 0, 0);
        let limit = f64::from(curve.limit()) / f64::from(u32::MAX);
        assert!((0.7..1.4).contains(&(limit / share)), "{limit} and {share}");
    }
    curve.restrain(1 << 20);
    curve.adjust(&of(500, 50_000), 0, 0);
    assert_eq!(curve.limit(), 1 << 20);
}

#[test]
fn what_expires_or_is_deleted_is_missed_at_each_size() {
    let rules = Rules {
        eviction: Eviction::S3Fifo,
        tuning: TUNINGS[0],
        shard_count: SHARD_COUNT,
    };
    let mut cache = whole(4, &rules);
    let due = |deadline| Item {
        deadline,
        ..item(7)
    };
    cache.store(due(10), &rules);
    assert!(cache.ask(due(0), false, 9, &rules));
    assert!(!cache.ask(due(0), false, 10, &rules), "its second has come");
    cache.store(due(0), &rules);
    assert!(cache.ask(due(0), false, 99, &rules));
    cache.delete(item(7).hash);
    assert!(!cache.ask(due(0), false, 99, &rules));
    // The real cache has it: a client that missed it here would have brought it.
    assert!(!cache.ask(due(0), true, 99, &rules));
    assert!(cache.ask(due(0), true, 99, &rules));
}

#[test]
fn advice_goes_by_straight_lines() {
    let mut curve = CurvePoints::default();
    for ((point, quarters), percent) in curve
        .points
        .iter_mut()
        .zip(QUARTERS)
        .zip([60.0, 80.0, 84.0, 86.0, 88.0, 90.0, 95.0])
    {
        point.multiple = quarters as f64 / 4.0;
        point.hit_ratio = percent / 100.0;
    }
    let close = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
    for (less, multiple) in [
        (0.0, 1.0),
        (0.01, 0.875),
        (0.02, 0.75),
        (0.06, 0.5),
        (0.5, 0.25),
    ] {
        close(curve.least_within(less), multiple);
    }
    close(curve.at_twice(), 0.9);
    curve
        .points
        .iter_mut()
        .for_each(|point| point.hit_ratio = 1.0);
    close(curve.least_within(0.01), 0.25);
}
