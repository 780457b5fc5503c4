//! What a process leaves that is killed before any of its stores: each such arena is opened, audited, and compared with
//! what was acknowledged.
//!
//! Values tell whose they are. Before an operation and behind it every key's value is noted; whatever the arena holds that was
//! copied in between, a key has one of the two or none. And hardly any has none that had one all the time.

mod operations;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use self::operations::operate;
use super::superblock::{HEAD_BYTES, Superblock};
use crate::arena::{Arena, Backing, crash};
use crate::{Attributes, Cache, Deadline, Lookup, Opening, Options, Plan, Tick};

/// What a killed process may cost that was not being changed: the chains in which writers were at work.
const LOST_MAX: usize = 40;
/// Copies for one operation.
const COPIES_MAX: usize = 24;
/// The same when each store is looked at.
const COPIES_OF_ALL: usize = 5000;

/// FLAGSTONE_EXPLORE_ALL=1: not one in so many stores, but each of them. It takes gigabytes, and in a release build a minute.
fn looks_at_all() -> bool {
    std::env::var_os("FLAGSTONE_EXPLORE_ALL").is_some()
}

fn options() -> Options {
    Options {
        budget_bytes: 700 << 10,
        item_bytes_max: 12 << 10,
        backing: Backing::Heap,
        hash_seed: 7,
        unix_zero: 1000,
        cas_first: 1 << 20,
        ..Options::default()
    }
}

/// An arena like that one.
fn copy_of(words: &[u64]) -> Arena {
    let arena = Arena::open(words.len(), &Backing::Heap, false, false, false, 4096).unwrap();
    for (at, &word) in words.iter().enumerate() {
        arena.store(at, word);
    }
    arena
}

fn reopen(words: &[u64]) -> Cache {
    reopen_with(&options(), words, || ())
}

/// With a budget that may be larger.
fn reopen_with(options: &Options, words: &[u64], begins: impl FnOnce()) -> Cache {
    let mut head = [0; HEAD_BYTES];
    let bytes: &[u8] = bytemuck::cast_slice(words);
    head.copy_from_slice(&bytes[..HEAD_BYTES]);
    let found = Superblock::read(&head, bytes.len() as u64).expect("a superblock");
    let plan = Plan::of_found(options, found).expect("it can be gone on with");
    let mut words = words.to_vec();
    // As a file is lengthened.
    words.resize(words.len().max(plan.geometry().arena_words), 0);
    let arena = copy_of(&words);
    begins();
    Opening::over(plan, arena).unwrap().finish().unwrap()
}

type Item = (Vec<u8>, u32, Deadline, Option<u64>);
type State = BTreeMap<(usize, Vec<u8>), Item>;

/// A cache, and the keys that were ever stored in it.
struct Explorer {
    cache: Cache,
    now: Tick,
    keys: Vec<(usize, Vec<u8>)>,
    state: State,
    /// One in so many stores is looked at, and the next one.
    every: usize,
    seed: u64,
    looked_at: usize,
    lost: usize,
}

fn state_of(cache: &Cache, keys: &[(usize, Vec<u8>)], now: Tick) -> State {
    let mut out = vec![0; 64 << 10];
    let mut state = State::new();
    for (database, bytes) in keys {
        let key = cache.key_in(*database, bytes).unwrap();
        if let Lookup::Hit(meta) = cache.get(key, now, &mut out) {
            let value = out[..meta.value_len].to_vec();
            let item = (value, meta.client_flags, meta.deadline, meta.cas);
            state.insert((*database, bytes.clone()), item);
        }
    }
    state
}

impl Explorer {
    fn new(every: usize) -> Self {
        Explorer {
            cache: Cache::open(Plan::new(&options()).unwrap()).unwrap(),
            now: Tick::from_secs(5),
            keys: Vec::new(),
            state: State::new(),
            every,
            seed: 0x1234_5678,
            looked_at: 0,
            lost: 0,
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % below
    }

    /// Does `work`, which changes what is under `keys`, and looks at what a kill in the middle of it leaves.
    fn step(&mut self, keys: &[(usize, Vec<u8>)], what: &str, work: impl FnOnce(&Cache, Tick)) {
        for key in keys {
            if !self.keys.contains(key) {
                self.keys.push(key.clone());
            }
        }
        let copies = Rc::new(RefCell::new(Vec::new()));
        let (into, every, most) = match looks_at_all() {
            true => (Rc::clone(&copies), 1, COPIES_OF_ALL),
            false => (Rc::clone(&copies), self.every, COPIES_MAX),
        };
        let mut no = self.random(every);
        crash::watch(move |copy| {
            no += 1;
            if no.is_multiple_of(every) && into.borrow().len() < most {
                into.borrow_mut().push(copy());
            }
        });
        work(&self.cache, self.now);
        crash::unwatch();
        self.cache
            .audit()
            .unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        let before = std::mem::take(&mut self.state);
        self.state = state_of(&self.cache, &self.keys, self.now);
        for words in copies.take() {
            self.look(&words, &before, what);
        }
    }

    fn look(&mut self, words: &[u64], before: &State, what: &str) {
        let cache = reopen(words);
        cache
            .audit()
            .unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        let found = state_of(&cache, &self.keys, self.now);
        let mut lost = 0;
        for key in &self.keys {
            let (old, new) = (before.get(key), self.state.get(key));
            match found.get(key) {
                None => lost += usize::from(old.is_some() && old == new),
                item => assert!(
                    item == old || item == new,
                    "{what}: {key:?} has {item:?}, and had {old:?}, then {new:?}"
                ),
            }
        }
        assert!(lost <= LOST_MAX, "{what}: {lost} items are lost");
        self.lost = self.lost.max(lost);
        self.looked_at += 1;
        // And it can be gone on with.
        let key = cache.key(b"one more").unwrap();
        cache
            .put(key, b"value", Attributes::default(), self.now)
            .unwrap();
        cache.maintain(self.now, 100);
        cache
            .audit()
            .unwrap_or_else(|wrong| panic!("{what}, and one more: {wrong}"));
    }
}

fn value(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7) as u8).collect()
}

fn name(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

fn scale() -> usize {
    std::env::var("FLAGSTONE_EXPLORE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

#[test]
fn whatever_a_kill_interrupts_the_next_process_finds_what_was_acknowledged() {
    let mut explorer = Explorer::new(7);
    for round in 0..400 * scale() {
        operate(&mut explorer, round);
        if round % 100 == 99 {
            explorer.now = explorer.now.plus_secs(1 + round as u64 / 10);
        }
    }
    assert!(explorer.looked_at > 1000, "{}", explorer.looked_at);
    println!(
        "{} kills, at most {} items lost",
        explorer.looked_at, explorer.lost
    );
}

/// The same without a look at the stamps finds what is torn: so the test above would fail if they were not where they
/// have to be.
#[test]
fn without_stamps_a_kill_shows() {
    let found = std::panic::catch_unwind(|| {
        crash::trust_writers(true);
        let mut explorer = Explorer::new(3);
        for round in 0..400 {
            operate(&mut explorer, round);
        }
    });
    crash::trust_writers(false);
    crash::unwatch();
    let message = found.expect_err("something torn");
    let message = message.downcast_ref::<String>().expect("a message");
    assert!(message.contains(" has "), "{message}");
}

/// The index grows by splits, and shrinks by merges; chains get overflow buckets.
#[test]
fn a_kill_in_a_split_or_a_merge() {
    let mut explorer = Explorer::new(11);
    let all: Vec<_> = (0..2000).map(|number| (0, name(number))).collect();
    for batch in all.chunks(40) {
        explorer.step(batch, "grow", |cache, now| {
            for (_, bytes) in batch {
                let key = cache.key(bytes).unwrap();
                cache.put(key, bytes, Attributes::default(), now).unwrap();
            }
        });
    }
    for batch in all[100..].chunks(40) {
        explorer.step(batch, "shrink", |cache, now| {
            for (_, bytes) in batch {
                cache.delete(cache.key(bytes).unwrap(), now);
            }
            cache.maintain(now, 1000);
        });
    }
    assert!(explorer.looked_at > 500, "{}", explorer.looked_at);
}

/// What was flushed does not come back, of one database or of all.
#[test]
fn a_kill_in_a_flush_and_behind_it() {
    let mut explorer = Explorer::new(3);
    let all: Vec<_> = (0..300).map(|number| (number % 4, name(number))).collect();
    for round in 0..6 {
        explorer.every = 97;
        explorer.step(&all, "fill", |cache, now| {
            for (database, bytes) in &all {
                let key = cache.key_in(*database, bytes).unwrap();
                cache.put(key, bytes, Attributes::default(), now).unwrap();
            }
        });
        explorer.every = 3;
        // A flush is one operation on all of them: those of the shards that it has come to are gone.
        explorer.step(&all, "flush", |cache, _| match round {
            0 | 4 => cache.flush_database(1),
            1 => cache.flush_database(0),
            _ => cache.flush(),
        });
        explorer.step(&all[..1], "behind", |cache, now| {
            cache.maintain(now, 1000);
        });
    }
    assert!(explorer.looked_at > 60, "{}", explorer.looked_at);
}

/// Who is killed while it restores, or grows, leaves all that was there.
#[test]
fn a_kill_while_it_is_restored_costs_nothing() {
    let mut explorer = Explorer::new(usize::MAX >> 1);
    for round in 0..300 {
        operate(&mut explorer, round);
    }
    let whole = whole(&explorer);
    for (budget_bytes, grows) in [(700 << 10, false), (1400 << 10, true)] {
        let options = Options {
            budget_bytes,
            ..options()
        };
        let copies = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&copies);
        let mut no = 0;
        let watch = || {
            crash::watch(move |copy| {
                no += 1;
                if no % 61 == 1 && into.borrow().len() < 400 {
                    into.borrow_mut().push(copy());
                }
            });
        };
        let cache = reopen_with(&options, &whole, watch);
        crash::unwatch();
        let pages = cache.plan().page_count();
        assert_eq!(pages > explorer.cache.plan().page_count(), grows);
        assert!(copies.borrow().len() > 10);
        for words in copies.take() {
            let cache = reopen_with(&options, &words, || ());
            cache.audit().unwrap();
            assert_eq!(cache.plan().page_count(), pages);
            let found = state_of(&cache, &explorer.keys, explorer.now);
            assert!(found == explorer.state, "{} items", found.len());
        }
    }
}

/// The arena as it is.
fn whole(explorer: &Explorer) -> Vec<u64> {
    let arena = &explorer.cache.region().arena;
    let words = arena.len_bytes() / size_of::<u64>();
    (0..words).map(|at| arena.load(at)).collect()
}

/// Words of an arena changed at random: it is opened and used without a panic, and what is served is right but for the
/// words that were changed in it.
#[test]
fn a_damaged_arena_is_opened_and_used() {
    let mut explorer = Explorer::new(usize::MAX >> 1);
    for round in 0..600 {
        operate(&mut explorer, round);
    }
    let whole = whole(&explorer);
    let (mut restored, mut found) = (0, 0);
    for round in 0..250 * scale() {
        let mut words = whole.clone();
        let changes = 1 + explorer.random(30);
        // Half of the changes are where the arena says what is where.
        for _ in 0..changes {
            let within = [words.len(), words.len() / 16][round % 2];
            let at = 96 + explorer.random(within - 96);
            words[at] = match explorer.random(3) {
                0 => u64::MAX,
                1 => words[at] ^ 1 << explorer.random(64),
                _ => words[explorer.random(words.len())],
            };
        }
        let cache = reopen(&words);
        cache
            .audit()
            .unwrap_or_else(|wrong| panic!("round {round}: {wrong}"));
        restored += 1;
        let state = state_of(&cache, &explorer.keys, explorer.now);
        for (key, (value, ..)) in &state {
            let Some((expected, ..)) = explorer.state.get(key) else {
                continue;
            };
            let differ = value.iter().zip(expected).filter(|(a, b)| a != b).count();
            if value.len() == expected.len() {
                assert!(differ <= changes * 8, "round {round}: {key:?}: {differ}");
                found += 1;
            }
        }
        for number in 0..300 {
            let key = name(number);
            let key = cache.key(&key).unwrap();
            let _ = cache.put(
                key,
                &value(number, 900),
                Attributes::default(),
                explorer.now,
            );
        }
        while cache.maintain(explorer.now.plus_secs(5000), 100).more {}
        cache
            .audit()
            .unwrap_or_else(|wrong| panic!("round {round}, used: {wrong}"));
    }
    assert!(found > 10 * restored, "{found} in {restored}");
}
