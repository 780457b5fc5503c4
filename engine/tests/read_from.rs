//! Goal: a value that is read from a descriptor straight into its memory is the value that was sent.
//!
//! Method: a socket pair; values of lengths around those of a piece, a page, and of more pieces than one call fills; the
//! first part written as a caller does that has read some of it already; sent in parts of several sizes, with other bytes
//! behind it, which have to come out behind it.
#![cfg(not(miri))]

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;

use flagstone_engine::{Attributes, Cache, Condition, Drawn, Lookup, Options, Outcome, Plan, Tick};

const NOW: Tick = Tick::from_secs(1);
const BEHIND: &[u8] = b"\r\nset another 0 0 1\r\n";

fn cache() -> Cache {
    let options = Options {
        budget_bytes: 32 << 20,
        item_bytes_max: 2 << 20,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).unwrap()).unwrap()
}

fn value(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Stores a value of `len` bytes, of which `written` are written and the others come in parts of `part` bytes.
fn check(cache: &Cache, key: &[u8], len: usize, written: usize, part: usize) {
    let sent = value(len);
    let key = cache.key(key).unwrap();
    let mut reservation = cache.reserve(key, len, Attributes::default(), NOW).unwrap();
    reservation.write(&sent[..written], NOW).unwrap();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    let stream = [&sent[written..], BEHIND].concat();
    let (mut behind, mut came) = ([0; 64], 0);
    for chunk in stream.chunks(part) {
        peer.write_all(chunk).unwrap();
        let mut left = chunk.len();
        while left > 0 {
            let before = reservation.written();
            let drawn = reservation
                .read_from(&ours, &mut behind[came..], NOW)
                .unwrap();
            assert_eq!(reservation.written(), before + drawn.value_bytes);
            assert!(drawn.behind_bytes == 0 || reservation.written() == len);
            came += drawn.behind_bytes;
            left -= drawn.value_bytes + drawn.behind_bytes;
        }
    }
    assert_eq!(&behind[..came], BEHIND, "{len} {written} {part}");
    let stored = reservation.commit(Condition::Always, NOW).unwrap();
    assert_eq!(stored, Outcome::Stored);
    let mut room = vec![0; len];
    assert!(matches!(cache.get(key, NOW, &mut room), Lookup::Hit(_)));
    assert!(room == sent, "{len} {written} {part}");
}

#[test]
fn a_value_arrives_however_it_is_cut() {
    let cache = cache();
    let lens = [0, 1, 7, 500, 16_371, 16_372, 16_384, 40_001, 65_536];
    for len in lens {
        for written in [0, 1, len / 3, len].into_iter().filter(|&n| n <= len) {
            for part in [977, 30_000, 100_000] {
                check(&cache, b"key", len, written, part);
                check(&cache, &[b'k'; 3000], len, written, part);
            }
        }
    }
    // More pieces than one call fills.
    check(&cache, b"long", 1_500_000, 16_000, 150_000);
    assert_eq!(
        cache.audit().unwrap().items,
        3,
        "and nothing was written beside"
    );
}

#[test]
fn what_is_not_there_is_not_read() {
    let cache = cache();
    let key = cache.key(b"key").unwrap();
    let mut reservation = cache
        .reserve(key, 20_000, Attributes::default(), NOW)
        .unwrap();
    let (peer, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let error = reservation.read_from(&ours, &mut [], NOW).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(peer);
    let end = Drawn {
        value_bytes: 0,
        behind_bytes: 0,
        is_full: false,
    };
    assert_eq!(reservation.read_from(&ours, &mut [0; 9], NOW).unwrap(), end);
    assert_eq!(reservation.written(), 0);
    let whole = reservation.commit(Condition::Always, NOW);
    assert!(whole.is_err(), "it is not whole");
    assert_eq!(cache.audit().unwrap().items, 0);
}

/// Stores a value that ends at a newline, which is found after it was read.
fn check_line(cache: &Cache, key: &[u8], len: usize, written: usize, part: usize) {
    let sent: Vec<u8> = value(len).iter().map(|&byte| byte | 0x80).collect();
    let key = cache.key(key).unwrap();
    let mut reservation = cache
        .reserve_growing(key, Attributes::default(), NOW)
        .unwrap();
    reservation.write(&sent[..written], NOW).unwrap();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    let stream = [&sent[written..], BEHIND].concat();
    let (mut seen, mut behind) = (vec![0; 1 << 17], Vec::new());
    'parts: for chunk in stream.chunks(part) {
        peer.write_all(chunk).unwrap();
        let mut left = chunk.len();
        while left > 0 {
            let drawn = reservation.read_from(&ours, &mut [], NOW).unwrap();
            let seen = &mut seen[..drawn.value_bytes];
            reservation.copy_last(seen);
            left -= seen.len();
            if let Some(at) = seen.iter().position(|&byte| byte == BEHIND[0]) {
                behind.extend_from_slice(&seen[at..]);
                reservation.take_back(seen.len() - at);
                break 'parts;
            }
        }
    }
    assert!(BEHIND.starts_with(&behind) && !behind.is_empty());
    assert_eq!(reservation.written(), len);
    let stored = reservation.commit(Condition::Always, NOW).unwrap();
    assert_eq!(stored, Outcome::Stored);
    let mut room = vec![0; len];
    assert!(matches!(cache.get(key, NOW, &mut room), Lookup::Hit(_)));
    assert!(room == sent, "{len} {written} {part}");
}

#[test]
fn a_value_without_a_known_length_ends_where_its_reader_says() {
    let cache = cache();
    // Around the ends of first pages, with a short key and with a long one.
    let lens = (0..4).chain(16_300..16_390).chain(32_700..32_770);
    for len in lens.chain([65_000, 100_000]) {
        for written in [0, len / 2, len] {
            for part in [30_000, 100_000] {
                check_line(&cache, b"key", len, written, part);
                check_line(&cache, &[b'k'; 3000], len, written, part);
            }
        }
        cache.audit().unwrap();
    }
    assert_eq!(cache.audit().unwrap().items, 2);
}

/// A page that a read found nothing for: the value does not end with a piece of nothing, which no other process would take for whole.
#[test]
fn a_read_that_brings_nothing_leaves_no_piece() {
    let cache = cache();
    let key = cache.key(b"key").unwrap();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let sent = value(3 * cache.plan().page_bytes());
    // The first page of a growing value, and two: a read that has filled all of its room.
    for pages in [1, 2] {
        let mut reservation = cache
            .reserve_growing(key, Attributes::default(), NOW)
            .unwrap();
        let mut full = 0;
        while full < pages {
            peer.write_all(&sent[reservation.written()..][..1 << 10])
                .unwrap();
            // What has come behind the page's end is its next one's, and taken back.
            let drawn = reservation.read_from(&ours, &mut [], NOW).unwrap();
            if drawn.is_full {
                full += 1;
                std::io::Read::read(&mut &ours, &mut [0; 1 << 10]).unwrap_or(0);
            }
        }
        let len = reservation.written();
        let held = cache.audit().unwrap().item_pages;
        for _ in 0..2 {
            let error = reservation.read_from(&ours, &mut [], NOW).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert_eq!(cache.audit().unwrap().item_pages, held);
        }
        assert_eq!(reservation.written(), len);
        let stored = reservation.commit(Condition::Always, NOW).unwrap();
        assert_eq!(stored, Outcome::Stored);
        let mut room = vec![0; len];
        assert!(matches!(cache.get(key, NOW, &mut room), Lookup::Hit(_)));
        assert!(room == sent[..len], "{pages}");
        cache.delete(key, NOW);
        assert_eq!(cache.audit().unwrap().item_pages, 0);
    }
}

#[test]
fn a_value_grows_no_further_than_an_item_may() {
    let cache = cache();
    let most = cache.plan().item_bytes_max();
    let key = cache.key(b"key").unwrap();
    let mut reservation = cache
        .reserve_growing(key, Attributes::default(), NOW)
        .unwrap();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    peer.write_all(&[7; 100]).unwrap();
    reservation.write(&value(most - 60), NOW).unwrap();
    let mut read = 0;
    loop {
        let drawn = reservation.read_from(&ours, &mut [0; 9], NOW).unwrap();
        assert_eq!(drawn.behind_bytes, 0);
        if drawn.value_bytes == 0 {
            break;
        }
        read += drawn.value_bytes;
    }
    assert_eq!((read, reservation.written()), (60, most));
    assert!(reservation.write(b"x", NOW).is_err());
}
