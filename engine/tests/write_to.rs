//! Goal: a pinned value goes to a descriptor straight from where it lies, byte for byte, with what stands before and behind it,
//! however little is taken at a time, and whatever becomes of its item meanwhile.
//!
//! Method: a socket with a small buffer, whose reader takes a little now and then.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use flagstone_engine::{Attributes, Backing, Cache, CasWish, Options, Pinned, Plan, Side, Tick};

const NOW: Tick = Tick::from_secs(1_000);
const BEFORE: &[u8] = b"before ";
const BEHIND: &[u8] = b" behind\r\n";

fn open(backing: Backing) -> Cache {
    let options = Options {
        budget_bytes: 16 << 20,
        item_bytes_max: 2 << 20,
        backing,
        ..Options::default()
    };
    Cache::open(Plan::new(&options).unwrap()).unwrap()
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed) % 251) as u8).collect()
}

fn put(cache: &Cache, name: &[u8], value: &[u8]) {
    let key = cache.key(name).unwrap();
    cache.put(key, value, Attributes::default(), NOW).unwrap();
}

fn pin<'c>(cache: &'c Cache, name: &[u8]) -> Pinned<'c> {
    cache.pin(cache.key(name).unwrap(), NOW).unwrap().unwrap()
}

/// Sends all that is left, `most` bytes of the value at a time; `meanwhile` runs whenever the socket takes no more. What the
/// reader read, and how often it was waited for.
fn sent(pinned: &mut Pinned<'_>, most: usize, mut meanwhile: impl FnMut()) -> (Vec<u8>, usize) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    let (mut before, mut behind) = (BEFORE, BEHIND);
    let mut left = pinned.meta().value_len;
    let mut all = Vec::new();
    let mut room = [0; 5_000];
    let mut waits = 0;
    while left > 0 || !before.is_empty() || !behind.is_empty() {
        match pinned.write_to(&ours, before, behind, most) {
            Ok(n) => {
                assert!(n > 0, "there is something to send");
                let front = n.min(before.len());
                let value = (n - front).min(left);
                assert!(value <= most);
                before = &before[front..];
                left -= value;
                behind = &behind[n - front - value..];
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                waits += 1;
                meanwhile();
                let n = peer.read(&mut room).unwrap();
                all.extend_from_slice(&room[..n]);
            }
        }
    }
    drop(ours);
    peer.set_nonblocking(false).unwrap();
    peer.read_to_end(&mut all).unwrap();
    (all, waits)
}

fn whole(value: &[u8]) -> Vec<u8> {
    [BEFORE, value, BEHIND].concat()
}

#[test]
fn values_of_any_length_arrive_in_parts_of_any_size() {
    for backing in [Backing::Mmap, Backing::Heap] {
        let cache = open(backing);
        for len in [0, 1, 5, 300, 4_084, 4_085, 70_000, 1 << 20] {
            let value = pattern(len, len);
            put(&cache, b"key", &value);
            for most in [1_000, 4_096, 65_536, usize::MAX] {
                let mut pinned = pin(&cache, b"key");
                let (read, waits) = sent(&mut pinned, most, || {});
                assert_eq!(read, whole(&value), "{len} bytes by {most}");
                assert!(waits > 0 || len < 1 << 20, "nobody was waited for");
            }
        }
        cache.audit().unwrap();
    }
}

#[test]
fn a_part_of_a_value_is_all_that_is_sent() {
    let cache = open(Backing::Mmap);
    let value = pattern(200_000, 3);
    put(&cache, b"key", &value);
    let mut pinned = pin(&cache, b"key");
    pinned.narrow(50_001, 100_000);
    pinned.seek(7);
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let n = pinned.write_to(&ours, b"", b"never", 10).unwrap();
    assert_eq!(n, 10, "the value goes on, so nothing stands behind it");
    let mut read = [0; 10];
    peer.read_exact(&mut read).unwrap();
    assert_eq!(read, value[50_008..50_018]);
    // Reading goes on where sending has stopped.
    let mut next = [0; 20];
    assert_eq!(pinned.read(&mut next), 20);
    assert_eq!(next, value[50_018..50_038]);
    pinned.seek(0);
    let (read, _) = sent(&mut pinned, 9_999, || {});
    assert_eq!(read, whole(&value[50_001..150_001]));
}

/// While a slow reader takes it, the value is made longer, replaced, deleted and flushed, and its memory is wanted by others.
#[test]
fn a_value_is_sent_as_it_was_when_it_was_pinned() {
    let cache = open(Backing::Mmap);
    let value = pattern(600_000, 9);
    for deed in 0..4 {
        put(&cache, b"key", &value);
        let key = cache.key(b"key").unwrap();
        let mut pinned = pin(&cache, b"key");
        let mut turn = 0;
        let (read, waits) = sent(&mut pinned, 65_536, || {
            turn += 1;
            match (deed, turn) {
                (0, _) => {
                    let more = [7; 100];
                    cache
                        .extend(key, &more, Side::Behind, None, CasWish::IfKept, NOW)
                        .unwrap();
                }
                (1, _) => put(&cache, b"key", &pattern(600_000, turn)),
                (2, 2) => assert!(cache.delete(key, NOW)),
                (3, 2) => cache.flush(),
                _ => put(&cache, &turn.to_le_bytes(), &pattern(150_000, turn)),
            }
        });
        assert!(waits > 20, "{waits}: the reader is slow");
        assert_eq!(read, whole(&value), "deed {deed}");
        drop(pinned);
        cache.audit().unwrap();
    }
}

#[test]
fn an_error_takes_nothing() {
    let cache = open(Backing::Mmap);
    let value = pattern(10_000, 1);
    put(&cache, b"key", &value);
    let mut pinned = pin(&cache, b"key");
    let (ours, peer) = UnixStream::pair().unwrap();
    drop(peer);
    let error = pinned.write_to(&ours, BEFORE, BEHIND, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let (read, _) = sent(&mut pinned, 1 << 20, || {});
    assert_eq!(read, whole(&value));
}
