//! Files that are not as they were written.

use std::collections::BTreeMap;

use flagstone_engine::Attributes;

use super::{bytes, cache, head, known, restored, written, zoo};
use crate::clock::Clock;
use crate::snapfile::format::{
    self, BLOCK_BYTES, BLOCK_HEAD_BYTES, Entries, Entry, HEAD_BYTES, Head, Kind,
};
use crate::snapfile::restore::Unread;

/// Whichever byte is another: the items of its block are missing, and nothing else.
#[test]
fn a_flipped_byte_loses_a_block_and_no_other() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(16));
    let now = clock.now();
    // The first blocks are full, so that there are several.
    let mut wanted = BTreeMap::new();
    for no in 0..300u32 {
        let value = bytes(2000 + no as usize, no as u8);
        let name = no.to_le_bytes();
        let key = from.key(&name).expect("short");
        from.put(key, &value, Attributes::default(), now)
            .expect("stored");
        wanted.insert(name.to_vec(), value);
    }
    let (mut file, counts) = written(&from, &clock, "flipped");
    assert_eq!(counts.items, 300);
    let blocks = (file.len() - HEAD_BYTES) / BLOCK_BYTES;
    assert!(blocks >= 4, "{blocks}");
    let begins = |block: usize| HEAD_BYTES + block * BLOCK_BYTES;
    let items: Vec<u64> = (0..blocks)
        .map(|no| {
            let block = &file[begins(no)..begins(no + 1)];
            let (_, items, _) = format::open(block, head().id, no as u64).expect("whole");
            u64::from(items)
        })
        .collect();
    let places: Vec<usize> = (0..80)
        .chain((0..blocks).flat_map(|no| {
            let begin = begins(no);
            let used = [0..BLOCK_HEAD_BYTES + 40, 5000..5016, 100_000..100_008];
            used.into_iter().flatten().map(move |at| begin + at)
        }))
        .collect();
    let to = cache(16);
    for at in places {
        for flip in [1u8, 0x80] {
            file[at] ^= flip;
            to.flush();
            while to.maintain(now, 10_000).more {}
            let done = restored(&to, &clock, &file).expect("a head and its copy");
            file[at] ^= flip;
            let lost = match at.checked_sub(HEAD_BYTES) {
                None => 0,
                Some(at) => items[at / BLOCK_BYTES],
            };
            // What is behind the end's counts is nothing.
            let is_padding = at >= begins(blocks - 1) + 5000;
            assert_eq!(done.items, 300 - lost, "byte {at}");
            assert_eq!(done.damaged, u64::from(at >= HEAD_BYTES && !is_padding));
            assert_eq!(to.stats().items, 300 - lost);
            for (name, value) in &wanted {
                if let Some((_, found)) = known(&to, 0, name, now) {
                    assert!(&found == value, "byte {at}: a foreign value");
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_short_has_its_first_blocks() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(32));
    let zoo = zoo(&from, &clock);
    let (file, counts) = written(&from, &clock, "cut");
    let mut before = 0;
    for len in [0, 1, 79, 80, 100, HEAD_BYTES, HEAD_BYTES + 1]
        .into_iter()
        .chain((HEAD_BYTES..file.len()).step_by(BLOCK_BYTES / 3))
    {
        let to = cache(32);
        match restored(&to, &clock, &file[..len]) {
            Err(Unread::Misfit(_)) => assert!(len < HEAD_BYTES, "{len}"),
            Err(Unread::Stopped | Unread::NoThread) => unreachable!("nobody stops it"),
            Ok(done) => {
                assert!(done.is_short, "{len}");
                assert!(done.items >= before && done.items <= counts.items);
                before = done.items;
                for ((database, key), (_, value)) in &zoo {
                    if let Some((_, found)) = known(&to, *database, key, clock.now()) {
                        assert!(&found == value, "{len}: a foreign value");
                    }
                }
            }
        }
        to.audit().expect("all of it holds together");
    }
    assert!(before > 0);
}

/// Blocks in the wrong place, or of another file, are no blocks.
#[test]
fn a_block_elsewhere_is_not_taken_for_another() {
    let (clock, from) = (Clock::start(Clock::new_zero()), cache(16));
    for no in 0..400u32 {
        let name = no.to_le_bytes();
        let key = from.key(&name).expect("short");
        from.put(key, &[0; 2000], Attributes::default(), clock.now())
            .expect("stored");
    }
    let (file, _) = written(&from, &clock, "swapped");
    let (first, second) = (HEAD_BYTES, HEAD_BYTES + BLOCK_BYTES);
    let mut swapped = file.clone();
    swapped[first..second].copy_from_slice(&file[second..second + BLOCK_BYTES]);
    let done = restored(&cache(16), &clock, &swapped).expect("restored");
    assert_eq!(done.damaged, 1);
    let mut other = file;
    other[16] ^= 1;
    let checked = Head::decode(&other);
    assert!(checked.is_err(), "the id is under the checksum");
}

/// Bytes that nobody wrote, under a checksum that is right.
#[test]
fn made_up_records_harm_nobody() {
    let clock = Clock::start(Clock::new_zero());
    let to = cache(16);
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut file = vec![0; HEAD_BYTES + 2 * BLOCK_BYTES];
    head().encode(&mut file[..HEAD_BYTES]);
    for round in 0..300 {
        for number in 0..2 {
            let block = &mut file[HEAD_BYTES + number * BLOCK_BYTES..][..BLOCK_BYTES];
            let used = next() as usize % 2000;
            for byte in &mut block[BLOCK_HEAD_BYTES..BLOCK_HEAD_BYTES + used] {
                // Small numbers, so that lengths fit now and then.
                *byte = match next() % 4 {
                    0 => next() as u8,
                    1 => 0x80 | next() as u8 & 0x4F,
                    _ => 0,
                };
            }
            format::seal(block, &head(), number as u64, Kind::Items, 0, used);
            let records = &block[BLOCK_HEAD_BYTES..BLOCK_HEAD_BYTES + used];
            for entry in Entries::of(records) {
                let (Entry::Whole(_, key, value) | Entry::First(_, key, value)) = entry else {
                    continue;
                };
                assert!(key.len() + value.len() <= used);
            }
        }
        let done = restored(&to, &clock, &file).expect("a head");
        assert!(done.is_short, "round {round}");
        to.audit().expect("all of it holds together");
    }
}

#[test]
fn another_format_and_no_snapshot_are_told_apart() {
    let clock = Clock::start(Clock::new_zero());
    let mut file = vec![0; HEAD_BYTES];
    let misfit = |file: &[u8]| restored(&cache(8), &clock, file).expect_err("no snapshot");
    assert_eq!(misfit(&file), Unread::Misfit(format::Misfit::Damaged));
    head().encode(&mut file);
    assert_eq!(restored(&cache(8), &clock, &file).expect("empty").items, 0);
    file[8] = 77;
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&file[..72], 0);
    file[72..80].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(misfit(&file), Unread::Misfit(format::Misfit::Format(77)));
}
