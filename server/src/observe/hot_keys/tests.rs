//! Goal: what is told of a key is never further off than the answer says: the sketch's part to the letter, the sampling's in
//! about 95 of 100 cases.
//! Method: traffic of Zipf's kind and evenly spread, counted exactly beside it.

use flagstone_engine::{Cache, Options, Plan};

use super::sampler::HALVE_MILLIS;
use super::*;

const KEYS: usize = 20_000;
const PLACES: usize = 128;

/// Keys are made by a cache alone.
fn cache() -> Cache {
    let options = Options {
        budget_bytes: 8 << 20,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("fits")).expect("opens")
}

fn names() -> Vec<String> {
    (0..KEYS).map(|no| format!("key:{no}")).collect()
}

/// Numbers of keys: number `k` is asked for in proportion to `1 / (k + 1)^skew`.
struct Traffic {
    below: Vec<f64>,
    random: u64,
}

impl Traffic {
    fn new(skew: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let below = (0..KEYS).map(|no| {
            sum += ((no + 1) as f64).powf(-skew);
            sum
        });
        Traffic {
            below: below.collect(),
            random: seed,
        }
    }

    fn next(&mut self) -> usize {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let at = (mixed >> 11) as f64 / (1u64 << 53) as f64 * self.below[KEYS - 1];
        self.below
            .partition_point(|&below| below <= at)
            .min(KEYS - 1)
    }
}

#[test]
fn a_sketch_keeps_its_bounds_and_goes_on_to_when_it_is_halved() {
    let (cache, names) = (cache(), names());
    for (skew, weight) in [(0.0, 1), (0.7, 1), (0.99, 3), (1.4, 256)] {
        let (mut traffic, mut sketch) = (Traffic::new(skew, 7), Sketch::new(PLACES));
        let (mut truth, mut total) = (vec![0.0; KEYS], 0.0);
        for round in 1..=300_000 {
            let no = traffic.next();
            let key = cache.key(names[no].as_bytes()).expect("short");
            sketch.note(key, weight, true);
            truth[no] += weight as f64;
            total += weight as f64;
            if round % 70_000 == 0 {
                sketch.halve();
                truth.iter_mut().for_each(|count| *count /= 2.0);
                total /= 2.0;
            }
            if round % 30_000 != 0 {
                continue;
            }
            let context = format!("skew {skew}, {round} requests");
            let least = sketch.least();
            // Halves are rounded up.
            assert!((sketch.total() as f64 - total).abs() < 10.0, "{context}");
            let mut has_place = vec![false; KEYS];
            for hot in sketch.places() {
                let name = std::str::from_utf8(hot.shown.as_bytes()).expect("text");
                let no: usize = name["key:".len()..].parse().expect("a number");
                has_place[no] = true;
                let (count, error) = (hot.count as f64, hot.error as f64);
                assert!(truth[no] <= count, "{context}: {hot:?} {}", truth[no]);
                assert!(
                    count - error <= truth[no],
                    "{context}: {hot:?} {}",
                    truth[no]
                );
            }
            let bound = total / PLACES as f64 + 10.0;
            assert!(least as f64 <= bound, "{context}: {least}");
            let missing = (0..KEYS).filter(|&no| !has_place[no]);
            assert!(
                missing
                    .map(|no| truth[no])
                    .all(|count| count <= least as f64),
                "{context}"
            );
        }
    }
}

/// What several workers saw is merged, each of them with other keys in front.
#[test]
fn what_is_told_is_as_near_as_it_says() {
    let (cache, names) = (cache(), names());
    for (skew, hot_least) in [(0.9, 5), (1.0, 10), (1.2, 20)] {
        let hot_keys = HotKeys::new((3, PLACES), true, 42);
        let now = Tick::ZERO;
        let mut samplers = [0, 1, 2].map(|no| Sampler::new(&hot_keys, no, now));
        let mut traffic = Traffic::new(skew, 11);
        let mut truth = vec![0u64; KEYS];
        let requests = 3_000_000;
        let mut left = requests;
        while left > 0 {
            // As pipelines are: some alone, some many.
            let len = [1, 1, 32, 5][left % 4].min(left);
            let batch: Vec<usize> = (0..len).map(|_| traffic.next()).collect();
            batch.iter().for_each(|&no| truth[no] += 1);
            let key = |at: usize| cache.key(names[batch[at]].as_bytes()).ok();
            samplers[left / 7 % 3].pass(len, key);
            left -= len;
        }
        let mut told = Vec::new();
        hot_keys.hottest(20, now, |count, keys| {
            assert_eq!(count, 20);
            told.extend(keys);
        });
        let is_near = |hot: &&HotKey| {
            let name = std::str::from_utf8(hot.shown.as_bytes()).expect("text");
            let no: usize = name["key:".len()..].parse().expect("a number");
            let of_all = truth[no] * 1000 / requests as u64;
            assert!(hot.permille.abs_diff(of_all) <= 20, "{hot:?}, {of_all} ‰");
            truth[no].abs_diff(hot.requests) <= hot.error
        };
        let near = told.iter().filter(is_near).count();
        assert!(
            near >= 18,
            "skew {skew}: {near} of 20 are as near as they say"
        );
        // The hottest come in their order, and what is said of them is of use.
        for (no, hot) in told[..hot_least.min(3)].iter().enumerate() {
            assert_eq!(hot.shown.as_bytes(), names[no].as_bytes(), "skew {skew}");
            assert!(hot.error < hot.requests / 4, "skew {skew}: {hot:?}");
        }
        let found = told.iter().filter(|hot| {
            let is = |name: &String| name.as_bytes() == hot.shown.as_bytes();
            names[..hot_least].iter().any(is)
        });
        assert_eq!(found.count(), hot_least, "skew {skew}");
    }
}

/// Two clients take turns, which a count to a fixed number would not see.
#[test]
fn patterns_hide_nothing() {
    let (cache, hot_keys) = (cache(), HotKeys::new((1, PLACES), true, 1));
    let mut sampler = Sampler::new(&hot_keys, 0, Tick::ZERO);
    for no in 0..400_000 {
        let name = [&b"one"[..], b"two", b"one", b"three"][no % 4];
        sampler.pass(1, |_| cache.key(name).ok());
    }
    let told: Vec<_> = hot_keys.hottest(9, Tick::ZERO, |_, keys| {
        keys.map(|hot| (hot.shown.as_bytes().to_vec(), hot.permille))
            .collect()
    });
    assert_eq!((told.len(), &told[0].0[..]), (3, &b"one"[..]));
    assert!(
        told[0].1.abs_diff(500) < 60 && told[1].1.abs_diff(250) < 60,
        "{told:?}"
    );
}

#[test]
fn how_many_are_looked_at_follows_the_traffic() {
    let (cache, hot_keys) = (cache(), HotKeys::new((1, PLACES), false, 1));
    let mut sampler = Sampler::new(&hot_keys, 0, Tick::ZERO);
    let key = cache.key(b"key").expect("short");
    let mut period = |no: u64, requests: usize| {
        (0..requests / 8).for_each(|_| sampler.pass(8, |_| Some(key)));
        sampler.age(Tick::ZERO.plus_millis(no * HALVE_MILLIS));
        sampler.every()
    };
    // Few requests: each is counted in the end.
    let mut every = 0;
    for no in 1..=9 {
        every = period(no, 800);
    }
    assert_eq!(every, 1);
    let exact = hot_keys.hottest(1, Tick::ZERO, |_, keys| keys.next());
    let exact = exact.expect("one");
    assert!(exact.shown.is_empty() && exact.len == 3, "{exact:?}");
    // Many: within one period it is one in many.
    let every = period(10, 4_000_000);
    assert!((256..=2048).contains(&every), "{every}");
}

#[test]
fn where_it_is_off_nothing_is_looked_at() {
    let (cache, hot_keys) = (cache(), HotKeys::new((0, PLACES), true, 1));
    let mut sampler = Sampler::new(&hot_keys, 0, Tick::ZERO);
    for _ in 0..10_000 {
        sampler.pass(32, |_| cache.key(b"key").ok());
    }
    sampler.age(Tick::ZERO.plus_millis(2 * HALVE_MILLIS));
    assert!(!hot_keys.is_on());
    assert_eq!(hot_keys.hottest(10, Tick::ZERO, |count, _| count), 0);
}
