//! Counting, joining, visiting and discarding, with a look at every invariant afterwards.
//!
//! Each step is checked against what a plain description of it says; small and chained values,
//! items with and without the fields that a step needs, and a cache that is full all the while.

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Current, Deadline, Edit, Lookup, NewValue, Options,
    Outcome, Plan, Seen, Side, StoreError, Tick, Updated, Visit, Visited, Walk, Want,
};

const NOW: Tick = Tick::from_secs(1000);

fn cache() -> Cache {
    let options = Options {
        budget_bytes: 8 << 20,
        item_bytes_max: 1 << 20,
        cas_first: 1 << 20,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan")).expect("memory")
}

fn value(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; 1 << 20];
    match cache.get(cache.key(key).expect("a key"), NOW, &mut out) {
        Lookup::Hit(meta) => Some(out[..meta.value_len].to_vec()),
        _ => None,
    }
}

fn visit(cache: &Cache, key: &[u8], visit: Visit) -> Option<Visited> {
    let mut seen = None;
    let key = cache.key(key).expect("a key");
    let found = cache.visit(key, &visit, NOW, &mut [0; 64], 8, |visited, _| {
        seen = Some(*visited);
        Some(0)
    });
    match found.expect("memory") {
        Seen::Missing => None,
        _ => seen,
    }
}

/// Changes an item that is there.
fn edit(cache: &Cache, key: &[u8], edit: impl Fn(&Current<'_>) -> Edit<'static>) -> Updated {
    let key = cache.key(key).expect("a key");
    let updated: Result<_, StoreError> = cache.update(key, NOW, &mut [], |current, _| {
        Ok(current.map_or(Edit::Keep, &edit))
    });
    updated.expect("memory")
}

/// More than the budget, so that there is no free page.
fn fill(cache: &Cache, round: usize) {
    for n in 0..6000 {
        let key = format!("filler:{round}:{n}");
        let key = cache.key(key.as_bytes()).expect("a key");
        let filler = vec![b'f'; 100 + (n * 37) % 3000];
        cache
            .put(key, &filler, Attributes::default(), NOW)
            .expect("memory");
    }
}

#[test]
fn values_grow_at_both_ends() {
    let cache = cache();
    let key = cache.key(b"k").expect("a key");
    let join = |part: &[u8], side| {
        let stored = cache.extend(key, part, side, None, CasWish::IfKept, NOW);
        stored.expect("memory").outcome
    };
    assert_eq!(join(b"x", Side::Behind), Outcome::NotStored);
    let attributes = Attributes {
        client_flags: 7,
        deadline: Deadline::after_secs(NOW, 100),
    };
    cache.put(key, b"", attributes, NOW).expect("memory");
    let mut expected = Vec::new();
    for (round, len) in [0, 1, 10, 1000, 3000, 5000, 20_000, 100_000]
        .into_iter()
        .enumerate()
    {
        fill(&cache, round);
        // The fillers may have pushed it out.
        cache.put(key, &expected, attributes, NOW).expect("memory");
        let part = vec![b'0' + round as u8; len];
        assert_eq!(join(&part, Side::Behind), Outcome::Stored);
        expected.extend_from_slice(&part);
        assert_eq!(join(&part, Side::Before), Outcome::Stored);
        expected.splice(0..0, part);
        assert_eq!(value(&cache, b"k").as_ref(), Some(&expected), "{len}");
        let meta = cache.meta(key, NOW).expect("is there");
        assert_eq!((meta.client_flags, meta.deadline), (7, attributes.deadline));
        // The same through a reservation.
        let mut reservation = cache.reserve(key, len, attributes, NOW).expect("memory");
        reservation.write(&vec![b'r'; len], NOW).expect("room");
        let stored = reservation
            .commit_extending(Side::Behind, None, false, NOW)
            .expect("memory");
        expected.extend(std::iter::repeat_n(b'r', len));
        assert_eq!(
            (stored.outcome, stored.value_len),
            (Outcome::Stored, expected.len())
        );
        assert_eq!(value(&cache, b"k").as_ref(), Some(&expected), "{len}");
        cache.audit().expect("sound");
    }
    let too_long = vec![b'x'; 1 << 20];
    assert!(
        cache
            .extend(key, &too_long, Side::Behind, None, CasWish::IfKept, NOW)
            .is_err()
    );
    assert_eq!(value(&cache, b"k"), Some(expected));
}

/// One more than the number that is there, or `first` if there is none: the new one, and whether
/// it was made for this. `None`: there is text.
fn count(
    cache: &Cache,
    name: &[u8],
    first: u64,
    deadline: Option<Deadline>,
    cas: CasWish,
) -> Option<(u64, bool)> {
    let key = cache.key(name).expect("a key");
    let (mut room, mut counted) = ([0; 20], None);
    let updated: Result<_, StoreError> = cache.update(key, NOW, &mut room, |current, room| {
        let mut attributes = Attributes::default();
        let number = match current {
            None => first,
            Some(item) => {
                attributes = item.meta().attributes();
                let len = item.copy_to(room).expect("short");
                let text = std::str::from_utf8(&room[..len]).expect("text");
                match text.parse::<u64>() {
                    Ok(number) => number.wrapping_add(1),
                    Err(_) => return Ok(Edit::Keep),
                }
            }
        };
        counted = Some((number, current.is_none()));
        attributes.deadline = deadline.unwrap_or(attributes.deadline);
        let text = number.to_string();
        room[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Edit::Store {
            value: NewValue::Room(text.len()),
            attributes,
            cas,
            stale: false,
        })
    });
    match updated.expect("memory") {
        Updated::Stored { .. } => counted,
        _ => None,
    }
}

#[test]
fn numbers_change_in_place_or_not() {
    let cache = cache();
    fill(&cache, 0);
    let first = u64::MAX - 1;
    let mut expected = first;
    for round in 0..400 {
        if round % 50 == 0 {
            fill(&cache, round);
        }
        let touch = (round % 3 == 0).then(|| Deadline::after_secs(NOW, round as u64 + 1));
        let cas = [CasWish::IfKept, CasWish::Next, CasWish::Be(round as u64)][round % 3];
        let (number, created) = count(&cache, b"n", first, touch, cas).expect("a number");
        // Evicted, it begins anew.
        expected = if created {
            first
        } else {
            expected.wrapping_add(1)
        };
        assert_eq!(number, expected);
        let text = value(&cache, b"n").expect("is there");
        assert_eq!(text, expected.to_string().as_bytes());
    }
    let key = cache.key(b"n").expect("a key");
    cache
        .put(key, b"text", Attributes::default(), NOW)
        .expect("memory");
    assert_eq!(count(&cache, b"n", first, None, CasWish::IfKept), None);
    assert_eq!(value(&cache, b"n"), Some(b"text".to_vec()));
    cache.audit().expect("sound");
}

#[test]
fn visitors_change_what_they_ask_for_and_one_wins() {
    let cache = cache();
    fill(&cache, 0);
    for (name, len) in [(&b"small"[..], 10), (b"split", 1500), (b"long", 50_000)] {
        let key = cache.key(name).expect("a key");
        let content = vec![b'v'; len];
        cache
            .put(key, &content, Attributes::default(), NOW)
            .expect("memory");
        // Fields that it did not have: a number, notes, a deadline.
        let deadline = Deadline::after_secs(NOW, 50);
        let seen = visit(
            &cache,
            name,
            Visit {
                cas: CasWish::Next,
                note: true,
                touch: Some(deadline),
                ..Visit::default()
            },
        );
        let seen = seen.expect("is there");
        assert!(seen.meta.cas.is_some() && !seen.read && !seen.wins);
        let again = visit(&cache, name, Visit::default()).expect("is there");
        assert!(again.read && again.meta.cas == seen.meta.cas);
        assert_eq!(
            (again.meta.deadline, again.idle_seconds),
            (deadline, Some(0))
        );
        // It runs out soon: one wins.
        let soon = Visit {
            win_before: Some(Deadline::after_secs(NOW, 60)),
            ..Visit::default()
        };
        assert!(visit(&cache, name, soon).expect("is there").wins);
        let second = visit(&cache, name, soon).expect("is there");
        assert!(second.meta.won && !second.wins);
        // It is stale: the next one wins, and its value is still there.
        let outdate = |item: &Current<'_>| Edit::Outdate {
            deadline: item.meta().deadline,
            cas: None,
        };
        assert!(matches!(
            edit(&cache, name, outdate),
            Updated::Stored { cas: Some(_), .. }
        ));
        let stale = visit(&cache, name, Visit::default()).expect("is there");
        assert!(stale.meta.stale && stale.wins && stale.meta.cas > seen.meta.cas);
        assert_eq!(value(&cache, name), Some(content));
        // An older value takes its place and stays stale; the right one ends that.
        let older = seen.meta.cas.expect("a number");
        let stored = cache.store(
            key,
            b"older",
            Attributes::default(),
            Condition::Since(older),
            NOW,
        );
        assert_eq!(stored, Ok(Outcome::Stored));
        let meta = cache.meta(key, NOW).expect("is there");
        assert!(meta.stale && meta.won && meta.deadline == deadline);
        let right = Condition::Since(meta.cas.expect("a number"));
        assert_eq!(
            cache.store(key, b"new", Attributes::default(), right, NOW),
            Ok(Outcome::Stored)
        );
        let meta = cache.meta(key, NOW).expect("is there");
        assert!(!meta.stale && !meta.won && meta.deadline.is_never());
        let empty = |_: &Current<'_>| Edit::store(NewValue::Given(b""), Attributes::default());
        assert!(matches!(
            edit(&cache, name, empty),
            Updated::Stored { value_len: 0, .. }
        ));
        assert_eq!(value(&cache, name), Some(Vec::new()));
        assert_eq!(edit(&cache, name, |_| Edit::Remove), Updated::Removed);
        assert_eq!(edit(&cache, name, empty), Updated::Kept);
        cache.audit().expect("sound");
    }
    let created = visit(
        &cache,
        b"none",
        Visit {
            create: Some(Deadline::NEVER),
            cas: CasWish::Be(77),
            want: Want::Value,
            ..Visit::default()
        },
    );
    let created = created.expect("made");
    assert!(created.created && created.wins && created.meta.cas == Some(77));
    assert_eq!(value(&cache, b"none"), Some(Vec::new()));
    cache.audit().expect("sound");
}

#[test]
fn a_walk_meets_every_item_once() {
    let cache = cache();
    for n in 0..5000u32 {
        let bytes = n.to_le_bytes();
        let key = cache.key(&bytes).expect("a key");
        let content = vec![b'v'; n as usize % 700];
        cache
            .put(key, &content, Attributes::default(), NOW)
            .expect("memory");
    }
    let mut met = vec![0u32; 5000];
    let (mut walk, mut calls) = (Walk::default(), 0);
    let mut refuse = false;
    while cache.walk(&mut walk, 50, NOW, |key, visited| {
        // Who has no room is asked again with the same item.
        refuse = !refuse;
        if refuse {
            return false;
        }
        let n = u32::from_le_bytes(key.try_into().expect("4 bytes"));
        assert_eq!(visited.meta.value_len, n as usize % 700);
        met[n as usize] += 1;
        true
    }) {
        calls += 1;
    }
    assert!(met.iter().all(|&times| times == 1));
    assert!(calls > 5000);
}

/// A protocol may say behind a value when it ends: what was reserved with a deadline in the middle of a second takes any
/// other, and what was reserved without one takes none.
#[test]
fn a_deadline_that_follows_the_value() {
    let cache = cache();
    let exact = Deadline::exact(Tick::from_millis(NOW.as_millis() + 2345));
    let reserve = |key: &[u8], deadline: Deadline, later: Deadline| {
        let key = cache.key(key).expect("a key");
        let bytes = vec![b'v'; 20_000];
        let attributes = Attributes::from(deadline);
        let mut reservation = cache
            .reserve(key, bytes.len(), attributes, NOW)
            .expect("memory");
        reservation.write(&bytes, NOW).expect("room");
        let set = reservation.set_deadline(later);
        let outcome = reservation.commit(Condition::Always, NOW);
        assert_eq!(outcome, Ok(Outcome::Stored));
        set
    };
    let found = |key: &[u8], now| {
        let mut out = vec![0; 20_000];
        match cache.get(cache.key(key).expect("a key"), now, &mut out) {
            Lookup::Hit(meta) => Some(meta.deadline),
            _ => None,
        }
    };
    let second = Deadline::at(NOW.plus_secs(9));
    for later in [exact, second, Deadline::NEVER] {
        assert!(reserve(b"k", exact, later));
        assert_eq!(found(b"k", NOW), Some(later));
    }
    // Without the field for milliseconds the old one stays.
    assert!(!reserve(b"k", second, exact));
    assert_eq!(found(b"k", NOW), Some(second));
    assert!(reserve(b"k", exact, exact));
    assert_eq!(found(b"k", NOW.plus_millis(2344)), Some(exact));
    assert_eq!(found(b"k", NOW.plus_millis(2345)), None);
    assert!(!reserve(b"k", Deadline::NEVER, exact));
    assert_eq!(found(b"k", NOW), Some(Deadline::NEVER));
    cache.audit().expect("sound");
}

/// A value of several pieces: one of the same length is written over it where it lies, with its deadline, flags and
/// number; another length or other fields make a new item, and a pinned one keeps its bytes.
#[test]
fn pieces_are_written_over_where_they_lie() {
    let cache = cache();
    let key_of = |bytes| cache.key(bytes).expect("a key");
    let long_key = vec![b'/'; 5000];
    // Copied under the lock; longer than a page; longer than what is overwritten under the lock.
    for (len, name) in [
        (3000, &b"split"[..]),
        (3000, &long_key),
        (20_000, b"pages"),
        (20_000, &long_key),
        (100_000, b"long"),
    ] {
        let put = |seed: usize, len: usize, attributes: Attributes| {
            let content: Vec<u8> = (0..len).map(|at| (at * 7 + seed) as u8).collect();
            let before = cache.stats().inserted_bytes;
            let stored = cache
                .put(key_of(name), &content, attributes, NOW)
                .map(|()| cache.stats().inserted_bytes == before);
            assert_eq!(value(&cache, name), Some(content), "{len}");
            cache.audit().expect("sound");
            stored.expect("memory")
        };
        let is_short = len < 100_000;
        let plain = Attributes::default();
        assert!(!put(1, len, plain), "{len} is new");
        assert_eq!(put(2, len, plain), is_short, "{len} again");
        assert!(!put(3, len + 1, plain), "{len}: another length");
        assert!(!put(4, len, plain), "{len}: the same again");
        let flagged = |client_flags, secs| Attributes {
            client_flags,
            deadline: Deadline::after_secs(NOW, secs),
        };
        assert!(!put(5, len, flagged(1, 10)), "{len}: other fields");
        assert_eq!(put(6, len, flagged(2, 20)), is_short, "{len}: the same");
        let meta = cache.meta(key_of(name), NOW).expect("is there");
        let expected = flagged(2, 20);
        assert_eq!(
            (meta.client_flags, meta.deadline),
            (expected.client_flags, expected.deadline)
        );
        // A number that was asked for is another one afterwards.
        let cas = cache.cas(key_of(name), NOW).expect("memory");
        assert_eq!(
            put(7, len, flagged(2, 20)),
            is_short,
            "{len}: with a number"
        );
        let next = cache.cas(key_of(name), NOW).expect("memory");
        assert!(next > cas && cas.is_some(), "{len}: {cas:?}, {next:?}");
        // Who streams it goes on with what it began with.
        let mut pin = cache
            .pin(key_of(name), NOW)
            .expect("memory")
            .expect("is there");
        let before = value(&cache, name).expect("is there");
        assert!(!put(8, len, flagged(2, 20)), "{len}: pinned");
        let (mut seen, mut window) = (Vec::new(), [0; 700]);
        loop {
            let len = pin.read(&mut window);
            seen.extend_from_slice(&window[..len]);
            if len == 0 {
                break;
            }
        }
        assert!(seen == before, "{len}: what was pinned");
        drop(pin);
        assert!(cache.delete(key_of(name), NOW));
        cache.audit().expect("sound");
    }
}
