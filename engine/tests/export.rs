//! Goal: an export meets what stays, whatever happens to the very item that it has come to; and hands out what is known.
//! Method: a sink that says "later" at each item, so that the test knows where the walk is, and does something to it there.

use std::collections::BTreeSet;

use flagstone_engine::{
    Attributes, Cache, Deadline, Exported, Exporting, Options, Plan, Room, Sink, Tick,
};

const NOW: Tick = Tick::from_secs(10);

fn cache(mib: usize) -> Cache {
    let options = Options {
        budget_bytes: mib << 20,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("opens")
}

fn put(cache: &Cache, no: u32, len: usize) {
    let name = no.to_le_bytes();
    let key = cache.key(&name).expect("short");
    cache
        .put(key, &vec![no as u8; len], Attributes::default(), NOW)
        .expect("stored");
}

fn delete(cache: &Cache, no: u32) {
    let name = no.to_le_bytes();
    cache.delete(cache.key(&name).expect("short"), NOW);
}

/// Says "later" whenever it has not yet of the item that it is told of.
#[derive(Default)]
struct Slow {
    value: Vec<u8>,
    told: Option<u32>,
    met: BTreeSet<u32>,
    twice: usize,
    mains: usize,
}

impl Sink for Slow {
    fn room(&mut self, item: &Exported<'_>) -> Room<'_> {
        let no = u32::from_le_bytes(item.key.try_into().expect("four bytes"));
        if self.told != Some(no) {
            self.told = Some(no);
            return Room::Later;
        }
        self.twice += usize::from(!self.met.insert(no));
        self.mains += usize::from(item.standing.is_main);
        self.value = vec![0; item.meta.value_len];
        Room::Here(&mut self.value)
    }
}

/// Goes through all items; before each of them `meanwhile` happens, which is told its number.
fn export(cache: &Cache, mut meanwhile: impl FnMut(u32)) -> Slow {
    let mut sink = Slow::default();
    let mut export = cache.export().expect("the only one");
    assert!(cache.export().is_none(), "one at a time");
    for _ in 0..10_000_000 {
        match export.go_on(NOW, &mut sink) {
            Exporting::More => {}
            Exporting::Full => meanwhile(sink.told.expect("told")),
            Exporting::Pinned(_) | Exporting::Busy => unreachable!("nothing is long"),
            Exporting::Done => return sink,
        }
        assert!(sink.value.iter().all(|&byte| byte == sink.value[0]));
    }
    panic!("it goes round");
}

#[test]
fn whatever_becomes_of_the_next_item_the_others_are_met() {
    let count = 5000;
    for what in ["removed", "stored longer", "given a deadline", "hit"] {
        let cache = cache(16);
        (0..count).for_each(|no| put(&cache, no, 50));
        let mut touched = BTreeSet::new();
        let sink = export(&cache, |no| {
            if !no.is_multiple_of(3) || !touched.insert(no) {
                return;
            }
            let name = no.to_le_bytes();
            let key = cache.key(&name).expect("short");
            match what {
                "removed" => delete(&cache, no),
                "stored longer" => put(&cache, no, 900),
                "given a deadline" => {
                    let deadline = Deadline::after_secs(NOW, 100);
                    assert!(cache.touch(key, deadline, NOW).expect("touched"));
                }
                _ => {
                    cache.get(key, NOW, &mut [0; 50]);
                }
            }
        });
        let stays = (0..count).filter(|no| what == "hit" || !no.is_multiple_of(3));
        for no in stays {
            assert!(sink.met.contains(&no), "{what}: {no} is missing");
        }
        if what == "removed" {
            let gone = (0..count).filter(|no| no.is_multiple_of(3) && sink.met.contains(no));
            assert_eq!(gone.count(), 0, "what is gone is not handed out");
        }
        cache.audit().expect("all of it holds together");
    }
}

/// Pages are emptied, and with them the chunk of the item that the walk has come to.
#[test]
fn a_walk_follows_an_item_that_is_moved() {
    let cache = cache(16);
    let count = 90_000;
    (0..count).for_each(|no| put(&cache, no, 100));
    assert_eq!(cache.stats().evictions, 0, "all of them fit");
    let pages = cache.pages_usable();
    // Room in every page, so that what is in one can move to others.
    let stays = |no: u32| no.is_multiple_of(3);
    (0..count)
        .filter(|&no| !stays(no))
        .for_each(|no| delete(&cache, no));
    let mut pages_left = pages;
    let mut steps = 0;
    let sink = export(&cache, |_| {
        steps += 1;
        if u32::is_multiple_of(steps, 100) {
            pages_left = pages_left.saturating_sub(8).max(pages / 2);
            cache.resize(pages_left, 8, NOW).expect("it shrinks");
        }
    });
    // Some leave for lack of room in their shard.
    assert!(cache.stats().evictions < 2000);
    assert!(pages_left < pages * 3 / 4, "{pages_left} of {pages}");
    let is_there = |no: u32| {
        let name = no.to_le_bytes();
        cache.meta(cache.key(&name).expect("short"), NOW).is_some()
    };
    for no in (0..count).filter(|&no| stays(no)) {
        assert!(sink.met.contains(&no) || !is_there(no), "{no} is missing");
    }
    assert_eq!(sink.twice, 0);
    cache.audit().expect("all of it holds together");
}

/// Eviction takes hit items from the tail to the head of main meanwhile: those are met there.
#[test]
fn what_proves_itself_meanwhile_is_met_on_main() {
    let cache = cache(8);
    let hot = 2000;
    (0..hot).for_each(|no| put(&cache, no, 200));
    let hit = |no: u32| {
        let name = no.to_le_bytes();
        cache.get(cache.key(&name).expect("short"), NOW, &mut [0; 200]);
    };
    (0..hot).for_each(hit);
    let mut next = hot;
    let sink = export(&cache, |_| {
        for _ in 0..20 {
            put(&cache, next, 200);
            next += 1;
        }
        (0..4).for_each(|no| hit((next * 4 + no) % hot));
    });
    assert!(cache.stats().evictions > 10_000);
    let missing = (0..hot).filter(|no| !sink.met.contains(no)).count();
    assert_eq!(missing, 0);
    assert!(sink.mains > 0);
    cache.audit().expect("all of it holds together");
}
