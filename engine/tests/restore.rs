//! A cache whose file outlives it: what comes back, and what does not.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use flagstone_engine::{
    Attributes, Backing, Cache, CasWish, Condition, Deadline, Eviction, Lookup, Opening, Options,
    Plan, Restored, Tick, Unusable, Visit,
};

const NOW: Tick = Tick::from_secs(10);

/// A file of the test's own, removed behind it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("flagstone-restore-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        Scratch(path)
    }

    fn options(&self, budget_bytes: usize) -> Options {
        Options {
            budget_bytes,
            backing: Backing::File(self.0.clone()),
            restore: true,
            unix_zero: 1_000_000,
            boot: 42,
            ..Options::default()
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(options: &Options) -> Cache {
    let cache = Cache::open(Plan::new(options).unwrap()).unwrap();
    cache.audit().unwrap();
    cache
}

fn put(cache: &Cache, bytes: &[u8], value: &[u8]) {
    let key = cache.key(bytes).unwrap();
    cache.put(key, value, Attributes::default(), NOW).unwrap();
}

fn get(cache: &Cache, bytes: &[u8]) -> Option<Vec<u8>> {
    get_in(cache, 0, bytes)
}

fn get_in(cache: &Cache, database: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let key = cache.key_in(database, bytes).unwrap();
    let mut out = vec![0; 2 << 20];
    match cache.get(key, NOW, &mut out) {
        Lookup::Hit(meta) => Some(out[..meta.value_len].to_vec()),
        _ => None,
    }
}

fn items(cache: &Cache) -> u64 {
    match cache.restored() {
        Restored::Items {
            items,
            forgotten: 0,
            unordered: 0,
        } => items,
        other => panic!("{other:?}"),
    }
}

/// Numbered values of all lengths.
fn value(number: usize) -> Vec<u8> {
    let len = [0, 3, 20, 100, 300, 2000, 9000, 70_000][number % 8];
    (0..len).map(|at| (number + at * 7) as u8).collect()
}

#[test]
fn all_comes_back_with_what_it_has() {
    let scratch = Scratch::new("all");
    let options = scratch.options(16 << 20);
    let cache = open(&options);
    assert_eq!(cache.restored(), Restored::New);
    let names: Vec<_> = (0..400)
        .map(|number| {
            let mut name = format!("key-{number}").into_bytes();
            if number % 17 == 0 {
                name.resize(300 + number * 10, b'/');
            }
            name
        })
        .collect();
    let attributes = |number: usize| Attributes {
        client_flags: number as u32 % 3 * 77,
        deadline: match number % 5 {
            0 => Deadline::at(Tick::from_secs(5000)),
            1 => Deadline::exact(Tick::from_millis(7_000_123)),
            _ => Deadline::NEVER,
        },
    };
    for (number, name) in names.iter().enumerate() {
        let key = cache.key_in(number % 4, name).unwrap();
        cache
            .put(key, &value(number), attributes(number), NOW)
            .unwrap();
    }
    let mut metas = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let key = cache.key_in(number % 4, name).unwrap();
        let visit = Visit {
            cas: match number % 7 {
                0 => CasWish::Next,
                _ => CasWish::IfKept,
            },
            ..Visit::default()
        };
        let _ = cache.visit(key, &visit, NOW, &mut [0; 9], 9, |_, _| Some(0));
        metas.push(cache.meta(key, NOW).unwrap());
    }
    let before = cache.stats();
    let key = cache.key(b"counted").unwrap();
    let visit = Visit {
        create: Some(Deadline::NEVER),
        cas: CasWish::Next,
        ..Visit::default()
    };
    let cas_of = |cache: &Cache| {
        let key = cache.key(b"counted").unwrap();
        cache.meta(key, NOW).unwrap().cas.unwrap()
    };
    let _ = cache.visit(key, &visit, NOW, &mut [0; 9], 9, |_, _| Some(0));
    let last = cas_of(&cache);
    drop(cache);

    // Another seed, epoch and CAS numbers are for a new file.
    let later = Options {
        unix_zero: options.unix_zero + 500,
        ..scratch.options(16 << 20)
    };
    let cache = open(&later);
    assert_eq!(items(&cache), before.items + 1);
    assert_eq!(cache.unix_zero(), options.unix_zero);
    assert_eq!(cache.stats().databases[..4], {
        let mut databases = before.databases;
        databases[0] += 1;
        databases[..4].to_vec()
    });
    for (number, name) in names.iter().enumerate() {
        assert_eq!(get_in(&cache, number % 4, name), Some(value(number)));
        let key = cache.key_in(number % 4, name).unwrap();
        assert_eq!(cache.meta(key, NOW).unwrap(), metas[number], "{number}");
    }
    // What was given out is not given out again.
    let key = cache.key(b"counted").unwrap();
    let reserved = cache.reserve(key, 3, Attributes::default(), NOW);
    let mut reservation = reserved.unwrap();
    reservation.write(b"new", NOW).unwrap();
    reservation.commit(Condition::Always, NOW).unwrap();
    let _ = cache.visit(key, &visit, NOW, &mut [0; 9], 9, |_, _| Some(0));
    assert!(cas_of(&cache) > last);
    cache.audit().unwrap();
}

#[test]
fn deadlines_go_on_and_what_has_expired_is_swept() {
    let scratch = Scratch::new("deadlines");
    let cache = open(&scratch.options(8 << 20));
    for number in 0..1000u32 {
        let key = number.to_le_bytes();
        let attributes = Attributes {
            deadline: Deadline::at(Tick::from_secs(20 + u64::from(number))),
            ..Attributes::default()
        };
        let key = cache.key(&key).unwrap();
        cache.put(key, b"value", attributes, NOW).unwrap();
    }
    drop(cache);
    let cache = open(&scratch.options(8 << 20));
    assert_eq!(items(&cache), 1000);
    let then = Tick::from_secs(520);
    while cache.maintain(then, 1000).more {}
    // A page is swept when it is worth it: some minutes later at the latest.
    assert!(cache.stats().items < 1000);
    let late = Tick::from_secs(20 + 500 + 300);
    while cache.maintain(late, 1000).more {}
    assert!(cache.stats().items <= 500);
    cache.audit().unwrap();
}

/// The order in which items leave is that in which they would have left before.
#[test]
fn the_oldest_leave_first_as_before() {
    let scratch = Scratch::new("order");
    let options = Options {
        eviction: Eviction::Lru,
        hash_seed: 3,
        ..scratch.options(8 << 20)
    };
    let name = |number: usize| format!("key-{number}").into_bytes();
    let fill = |cache: &Cache, range: std::ops::Range<usize>| {
        range.for_each(|number| put(cache, &name(number), &[7; 200]));
    };
    let survivors = |cache: &Cache| -> Vec<usize> {
        (0..60_000)
            .filter(|&number| get(cache, &name(number)).is_some())
            .collect()
    };
    let cache = open(&options);
    fill(&cache, 0..40_000);
    drop(cache);
    let cache = open(&options);
    fill(&cache, 40_000..50_000);
    let found = survivors(&cache);
    cache.audit().unwrap();
    drop(cache);

    std::fs::remove_file(&scratch.0).unwrap();
    let cache = open(&options);
    fill(&cache, 0..50_000);
    let expected = survivors(&cache);
    let both = found.iter().filter(|number| expected.contains(number));
    let (both, all) = (both.count(), expected.len());
    assert!(both * 100 >= all * 97, "{both} of {all} are the same");
}

#[test]
fn a_smaller_budget_keeps_the_newest_and_a_larger_one_grows() {
    let scratch = Scratch::new("sizes");
    let lru = |budget_bytes: usize| Options {
        eviction: Eviction::Lru,
        ..scratch.options(budget_bytes)
    };
    let name = |number: usize| format!("key-{number}").into_bytes();
    let there = |cache: &Cache, range: std::ops::Range<usize>| {
        range
            .filter(|&number| get(cache, &name(number)) == Some(vec![number as u8; 300]))
            .count()
    };
    let cache = open(&lru(16 << 20));
    (0..60_000).for_each(|number| put(&cache, &name(number), &[number as u8; 300]));
    let full = cache.stats().items as usize;
    let pages = cache.pages_usable();
    drop(cache);

    let plan = Plan::new(&lru(8 << 20)).unwrap();
    assert_eq!(
        plan.lines().map(|line| line.bytes).sum::<usize>(),
        plan.budget_bytes()
    );
    let cache = open(&lru(8 << 20));
    assert!(cache.pages_usable() < pages * 6 / 10);
    let half = cache.stats().items as usize;
    assert!(
        half > full * 4 / 10 && half < full * 6 / 10,
        "{half} of {full}"
    );
    let mut newest = there(&cache, 60_000 - half..60_000);
    assert!(newest * 100 > half * 95, "{newest} of {half}");
    drop(cache);

    // Up again, to the size that it had, and beyond it, twice.
    for (budget_bytes, factor) in [(16 << 20, 1.0), (40 << 20, 2.4), (64 << 20, 3.8)] {
        let cache = open(&lru(budget_bytes));
        assert!(items(&cache) as usize >= half);
        assert_eq!(there(&cache, 60_000 - half..60_000), newest);
        let usable = cache.pages_usable() as f64;
        assert!(
            usable >= pages as f64 * factor,
            "{usable} pages, and there were {pages}"
        );
        // All of it can be used.
        (100_000..300_000).for_each(|number| put(&cache, &name(number), &[1; 300]));
        let held = cache.stats().items as usize;
        assert!(held as f64 > full as f64 * factor * 0.95, "{held} {full}");
        (60_000 - half..60_000).for_each(|number| put(&cache, &name(number), &[number as u8; 300]));
        cache.audit().unwrap();
        let kept = there(&cache, 60_000 - half..60_000);
        assert!(kept * 100 > half * 95, "{kept} of {half}");
        drop(cache);
        let cache = open(&lru(budget_bytes));
        assert_eq!(there(&cache, 60_000 - half..60_000), kept);
        newest = kept;
    }
}

#[test]
fn what_cannot_be_gone_on_with_is_said_and_begun_anew() {
    let scratch = Scratch::new("unusable");
    let options = scratch.options(8 << 20);
    let make = || {
        let cache = open(&options);
        cache.flush();
        (0..100u8).for_each(|number| put(&cache, &[number], b"value"));
    };
    let write = |at: u64, bytes: &[u8]| {
        let file = OpenOptions::new().write(true).open(&scratch.0).unwrap();
        file.write_all_at(bytes, at).unwrap();
    };
    let becomes = |options: &Options, expected: Restored| {
        let cache = open(options);
        assert_eq!(cache.restored(), expected);
        assert_eq!(cache.stats().items, 0);
        put(&cache, b"again", b"value");
    };
    make();
    becomes(
        &Options {
            restore: false,
            ..options.clone()
        },
        Restored::NotAsked,
    );
    for (changed, why) in [
        (
            Options {
                boot: 43,
                ..options.clone()
            },
            Unusable::Boot,
        ),
        (
            Options {
                unix_zero: options.unix_zero - 1,
                ..options.clone()
            },
            Unusable::Future,
        ),
        (
            Options {
                os_page_bytes: 64 << 10,
                budget_bytes: 64 << 20,
                ..options.clone()
            },
            Unusable::Pages,
        ),
        (
            Options {
                budget_bytes: 5 << 20,
                item_bytes_max: 2 << 20,
                ..options.clone()
            },
            Unusable::Budget,
        ),
    ] {
        std::fs::remove_file(&scratch.0).unwrap();
        make();
        if why == Unusable::Budget {
            // It was made for much more than there is now.
            std::fs::remove_file(&scratch.0).unwrap();
            drop(open(&scratch.options(2 << 30)));
        }
        becomes(&changed, Restored::Nothing(why));
    }
    // Behind each of them the next finds the new one.
    std::fs::remove_file(&scratch.0).unwrap();
    make();
    write(8, &[99, 0, 0, 0, 0, 0, 0, 0]);
    becomes(&options, Restored::Nothing(Unusable::Format(99)));
    assert_eq!(items(&open(&options)), 1);
    write(24, b"another seed");
    becomes(&options, Restored::Nothing(Unusable::Damaged));
    let len = std::fs::metadata(&scratch.0).unwrap().len();
    let file = OpenOptions::new().write(true).open(&scratch.0).unwrap();
    file.set_len(len - 4096).unwrap();
    drop(file);
    becomes(&options, Restored::Nothing(Unusable::Short));
    write(64 * 8, &[0]);
    becomes(&options, Restored::Nothing(Unusable::Unfinished));
    std::fs::write(&scratch.0, b"FLAGSTON").unwrap();
    becomes(&options, Restored::Nothing(Unusable::Unfinished));
    std::fs::write(&scratch.0, b"").unwrap();
    becomes(&options, Restored::New);
}

#[test]
fn several_threads_restore_as_one_does() {
    let scratch = Scratch::new("threads");
    let options = scratch.options(32 << 20);
    let cache = open(&options);
    (0..20_000u32)
        .for_each(|number| put(&cache, &number.to_le_bytes(), &value(number as usize % 5)));
    drop(cache);
    let opening = Opening::new(Plan::new(&options).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let opening = &opening;
            scope.spawn(move || {
                (first..opening.parts())
                    .step_by(4)
                    .for_each(|part| opening.restore(part));
            });
        }
    });
    assert_eq!(opening.parts_done(), opening.parts());
    let cache = opening.finish().unwrap();
    cache.audit().unwrap();
    assert_eq!(items(&cache), 20_000);
    for number in 0..20_000u32 {
        assert_eq!(
            get(&cache, &number.to_le_bytes()),
            Some(value(number as usize % 5))
        );
    }
}
