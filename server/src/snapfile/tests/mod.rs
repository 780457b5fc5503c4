//! Goal: what was written comes back, and nothing that was not; whatever became of the file.
//! Method: a cache with an item of every kind, written and restored; in `damage` the same bytes flipped, cut short and made up.

mod damage;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use flagstone_engine::{
    Attributes, Backing, Cache, CasWish, Condition, Deadline, Edit, ItemMeta, Options, Plan,
    StoreError, Tick, Visit, Want,
};

use super::blocks::Blocks;
use super::format::{Counts, Head};
use super::restore::{self, Restored, Target, Unread};
use super::write::{Pace, Unwritten, write};
use crate::clock::Clock;

const MIB: usize = 1 << 20;

fn cache(mib: usize) -> Cache {
    let options = Options {
        budget_bytes: mib * MIB,
        item_bytes_max: 3 * MIB,
        key_bytes_max: 16_000,
        backing: Backing::Heap,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("flagstone-snapfile-{name}-{id}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("snapshot")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn head() -> Head {
    Head {
        id: 0x1234_5678_9ABC_DEF0,
        begun_unix_millis: 1_800_000_000_000,
        cas_last: 4096,
        ..Head::default()
    }
}

fn try_write(
    cache: &Cache,
    clock: &Clock,
    path: &Path,
    may_go_on: &dyn Fn() -> Result<(), Unwritten>,
) -> Result<(Counts, u64), Unwritten> {
    let pace = Pace {
        rests: 0,
        may_go_on,
    };
    let mut blocks = Blocks::new(clock);
    write((cache, clock), &mut blocks, (path, MIB), head(), &pace)
}

/// The file of a cache, and what it says of itself.
fn written(cache: &Cache, clock: &Clock, name: &str) -> (Vec<u8>, Counts) {
    let scratch = Scratch::new(name);
    let path = scratch.file();
    let (counts, len) = try_write(cache, clock, &path, &|| Ok(())).expect("written");
    let bytes = fs::read(&path).expect("readable");
    assert_eq!(bytes.len() as u64, len);
    (bytes, counts)
}

fn restored(cache: &Cache, clock: &Clock, bytes: &[u8]) -> Result<Restored, Unread> {
    let stop = AtomicBool::new(false);
    let threads = 2;
    let target = Target {
        cache,
        clock,
        look: &|_| (),
    };
    restore::read(
        &target,
        (&mut Cursor::new(bytes), bytes.len() as u64),
        threads,
        &stop,
    )
}

/// An item's key, and what is known of it.
type Known = (ItemMeta, Vec<u8>);

fn known(cache: &Cache, database: usize, key: &[u8], now: Tick) -> Option<Known> {
    let key = cache.key_in(database, key).expect("short enough");
    let meta = cache.meta(key, now)?;
    let mut value = Vec::new();
    let read = cache.get_with(key, now, |part| value.extend_from_slice(part));
    read.expect("not too many at once").map(|_| (meta, value))
}

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let byte = |at: usize| (at as u8).wrapping_mul(31).wrapping_add(seed);
    (0..len).map(byte).collect()
}

/// An item of every kind, with what it is to be.
fn zoo(cache: &Cache, clock: &Clock) -> BTreeMap<(usize, Vec<u8>), Known> {
    let now = clock.now();
    let mut keys: Vec<(usize, Vec<u8>)> = vec![(0, b"".to_vec())];
    for database in [0, 1, 7, 15] {
        for key in [&b"plain"[..], b"\x00first", b"\x0f", b"\xff\x00\n\r"] {
            keys.push((database, key.to_vec()));
        }
        for len in [250, 251, 300, 16_000] {
            keys.push((database, bytes(len, database as u8)));
        }
    }
    let lens = [0, 1, 100, 16_300, 16_400, 250_000, 262_100, 1_000_000];
    for (no, len) in lens.into_iter().enumerate() {
        keys.push((no % 2, format!("long-{len}").into_bytes()));
    }
    let deadlines = [
        Deadline::NEVER,
        Deadline::after_secs(now, 1000),
        Deadline::exact(now.plus_millis(1_234_567)),
    ];
    for (no, (database, name)) in keys.iter().enumerate() {
        let key = cache.key_in(*database, name).expect("short enough");
        let text = String::from_utf8_lossy(name);
        let len = match text.strip_prefix("long-") {
            Some(len) => len.parse().expect("a number"),
            None => no * 7,
        };
        let attributes = Attributes {
            client_flags: if no % 3 == 0 { 0 } else { no as u32 + 1 },
            deadline: deadlines[no % deadlines.len()],
        };
        let wish = match no % 4 {
            0 => CasWish::Be(1 << 50 | no as u64),
            1 => CasWish::Next,
            _ => CasWish::IfKept,
        };
        let value = bytes(len, no as u8);
        cache
            .store_as(key, &value, attributes, Condition::Always, wish, now)
            .expect("stored");
        if no % 5 == 0 {
            let outdate = |_: Option<_>, _: &mut [u8]| {
                Ok::<_, StoreError>(Edit::Outdate {
                    deadline: attributes.deadline,
                    cas: None,
                })
            };
            cache
                .update(key, now, &mut [], |current, room| {
                    outdate(current.map(|_| ()), room)
                })
                .expect("outdated");
        }
        if no % 10 == 0 {
            // Who reads it now is told to bring a new one.
            let visit = Visit {
                want: Want::Nothing,
                ..Visit::default()
            };
            cache
                .visit(key, &visit, now, &mut [0; 8], 0, |_, _| Some(0))
                .expect("visited");
        }
    }
    let now = clock.now();
    let mut zoo = BTreeMap::new();
    for (database, key) in keys {
        let known = known(cache, database, &key, now).expect("stored");
        zoo.insert((database, key), known);
    }
    assert!(zoo.values().any(|(meta, _)| meta.stale && meta.won));
    assert!(zoo.values().any(|(meta, _)| meta.stale && !meta.won));
    zoo
}

#[test]
fn every_kind_of_item_comes_back_as_it_was() {
    let clock = Clock::start(Clock::new_zero());
    let from = cache(32);
    let zoo = zoo(&from, &clock);
    // All of those were read, and this one was not.
    let unread = from.key(b"unread").expect("short");
    from.put(unread, b"", Attributes::default(), clock.now())
        .expect("stored");
    let (file, counts) = written(&from, &clock, "zoo");
    assert_eq!(counts.items, zoo.len() as u64 + 1);
    assert_eq!(counts.skipped, 0);
    // Another seed of hashes, another size, another second of the start.
    for mib in [24, 64] {
        let to = cache(mib);
        let later = Clock::start(Clock::new_zero());
        let done = restored(&to, &later, &file).expect("restored");
        assert_eq!(done.items, zoo.len() as u64 + 1, "{done:?}");
        assert_eq!(done.bytes, counts.bytes);
        assert_eq!((done.damaged, done.expired, done.refused), (0, 0, 0));
        assert!(!done.is_short);
        let now = later.now();
        let is_read = |key| to.examine(key, now).expect("it is there").read;
        assert!(!is_read(to.key(b"unread").expect("short")));
        for ((database, key), (meta, value)) in &zoo {
            let read = is_read(to.key_in(*database, key).expect("short enough"));
            assert!(read, "{database} {:?}", String::from_utf8_lossy(key));
            let (back, bytes) = known(&to, *database, key, now).expect("it is there");
            let mut wanted = *meta;
            let unix = |clock: &Clock, deadline: Deadline| {
                deadline.tick().map(|at| clock.unix_millis_of(at))
            };
            assert_eq!(unix(&later, back.deadline), unix(&clock, meta.deadline));
            wanted.deadline = back.deadline;
            assert_eq!(
                back,
                wanted,
                "{database} {:?}",
                String::from_utf8_lossy(key)
            );
            assert!(
                &bytes == value,
                "{database} {:?}",
                String::from_utf8_lossy(key)
            );
        }
        assert_eq!(to.stats().items, zoo.len() as u64 + 1);
        to.audit().expect("all of it holds together");
        // The next number is above all that were given out.
        let key = to.key(b"a new one").expect("short");
        let attributes = Attributes::default();
        let stored = to.store_as(key, b"", attributes, Condition::Always, CasWish::Next, now);
        assert!(stored.expect("stored").cas > 4096);
    }
}

#[test]
fn what_has_expired_meanwhile_is_gone() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(16));
    let now = clock.now();
    for seconds in 1..=100u64 {
        let key = seconds.to_le_bytes();
        let attributes = Deadline::after_secs(now, seconds * 10).into();
        from.put(from.key(&key).expect("short"), b"value", attributes, now)
            .expect("stored");
    }
    let (file, _) = written(&from, &clock, "expired");
    let later = Clock::start(Clock::new_zero());
    later.advance(500);
    let to = cache(16);
    let done = restored(&to, &later, &file).expect("restored");
    assert_eq!(done.items + done.expired, 100);
    assert!((49..=51).contains(&done.expired), "{done:?}");
    assert_eq!(to.stats().items, done.items);
}

/// Of a smaller cache what is left is what was hit, and of that and of the others what came last.
#[test]
fn a_smaller_cache_keeps_the_most_valuable() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(48));
    let now = clock.now();
    let name = |no: u64| no.to_be_bytes();
    let hot = 20_000;
    let put = |no: u64| {
        let key = name(no);
        let key = from.key(&key).expect("short");
        from.put(key, &[no as u8; 200], Attributes::default(), now)
            .expect("stored");
    };
    let hit = |no: u64| {
        let key = name(no);
        let key = from.key(&key).expect("short");
        from.get(key, now, &mut [0; 200]);
    };
    (0..hot).for_each(put);
    (0..hot).for_each(hit);
    // Enough that the hot ones are proven, and what is not hot leaves.
    (hot..400_000).for_each(put);
    let is_there = |cache: &Cache, no: u64| {
        let key = name(no);
        let key = cache.key(&key).expect("short");
        cache.meta(key, clock.now()).is_some()
    };
    let count = |cache: &Cache, from: u64, to: u64| {
        (from..to).filter(|&no| is_there(cache, no)).count() as u64
    };
    assert!(count(&from, 0, hot) > hot * 9 / 10);
    let (file, counts) = written(&from, &clock, "smaller");
    let to = cache(16);
    let done = restored(&to, &clock, &file).expect("restored");
    assert!(done.passed > 0, "{done:?}");
    let left = to.stats().items;
    assert!(
        left < counts.items / 2 && left > 30_000,
        "{left} of {counts:?}"
    );
    let main = |cache: &Cache| {
        let mut items = 0;
        cache.classes(|class| items += class.items_main);
        items
    };
    assert!(main(&to) > hot * 9 / 10, "{} of {}", main(&to), main(&from));
    let hot_left = count(&to, 0, hot);
    assert!(hot_left > hot * 9 / 10, "{hot_left} of {hot}");
    // Of the others the youngest.
    let (young, old) = (count(&to, 390_000, 400_000), count(&to, hot, 200_000));
    assert!(young > 9_000, "{young}");
    assert_eq!(old, 0);
    to.audit().expect("all of it holds together");
}

/// Whatever ends it: the file that was there is there, whole, and nothing else.
#[test]
fn a_snapshot_that_is_not_finished_leaves_the_old_one() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(32));
    zoo(&from, &clock);
    let scratch = Scratch::new("unfinished");
    let path = scratch.file();
    try_write(&from, &clock, &path, &|| Ok(())).expect("written");
    let old = fs::read(&path).expect("readable");
    for steps in [0, 1, 5, 50, 500] {
        let left = std::cell::Cell::new(steps);
        let stops = || match left.get() {
            0 => Err(Unwritten::Stopped),
            steps => {
                left.set(steps - 1);
                Ok(())
            }
        };
        let stopped = try_write(&from, &clock, &path, &stops);
        assert!(matches!(stopped, Err(Unwritten::Stopped)));
        assert!(fs::read(&path).expect("readable") == old, "after {steps}");
        assert_eq!(fs::read_dir(&scratch.0).expect("readable").count(), 1);
    }
    // While another server is at it, it is left to that one.
    let other = super::names::unfinished(&path);
    let file = fs::File::create(&other).expect("made");
    file.lock().expect("locked");
    let in_use = try_write(&from, &clock, &path, &|| Ok(()));
    assert!(matches!(in_use, Err(Unwritten::InUse(_))));
    assert!(restore::is_being_written(&path));
    drop(file);
    assert!(!restore::is_being_written(&path), "it left this behind");
    assert!(!other.exists());
    // A link that leads elsewhere is not followed.
    std::os::unix::fs::symlink(&path, &other).expect("made");
    let linked = try_write(&from, &clock, &path, &|| Ok(()));
    assert!(matches!(linked, Err(Unwritten::File(..))));
    assert!(fs::read(&path).expect("readable") == old);
}

/// What stays is met while others are stored, removed, hit, evicted and moved.
#[test]
fn what_stays_is_in_a_snapshot_whatever_happens_meanwhile() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(24));
    let now = clock.now();
    let put = |no: u64, len: usize| {
        let name = no.to_le_bytes();
        let key = from.key(&name).expect("short");
        from.put(key, &bytes(len, no as u8), Attributes::default(), now)
            .expect("stored");
    };
    let stays = 5_000u64;
    (0..stays).for_each(|no| put(no, 100 + no as usize % 900));
    let scratch = Scratch::new("meanwhile");
    let path = scratch.file();
    let round = std::cell::Cell::new(1u64 << 32);
    let meanwhile = || {
        let at = round.get();
        round.set(at + 1);
        // Others come and go, and those that stay are hit.
        put(at, 50 + at as usize % 3000);
        let name = (at - 100).to_le_bytes();
        from.delete(from.key(&name).expect("short"), now);
        let name = (at * 7 % stays).to_le_bytes();
        from.get(from.key(&name).expect("short"), now, &mut [0; 1000]);
        from.maintain(now, 10);
        Ok(())
    };
    try_write(&from, &clock, &path, &meanwhile).expect("written");
    assert_eq!(from.stats().evictions, 0, "they stay");
    let to = cache(32);
    let file = fs::read(&path).expect("readable");
    restored(&to, &clock, &file).expect("restored");
    for no in 0..stays {
        let found = known(&to, 0, &no.to_le_bytes(), clock.now());
        let (_, value) = found.unwrap_or_else(|| panic!("{no} is missing"));
        assert!(value == bytes(100 + no as usize % 900, no as u8));
    }
    from.audit().expect("all of it holds together");
}
