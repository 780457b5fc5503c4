//! An arena's file, changed in any way: it is opened and used, or refused, without a panic, and audits itself.
//!
//! The input is a list of changes to a file that a cache has left: ten bytes each, a place and a word. A first byte that is odd
//! lets the file be as short as the next two say.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flagstone_engine::{Attributes, Backing, Cache, Lookup, Options, Plan, Tick};
use libfuzzer_sys::fuzz_target;

const NOW: Tick = Tick::from_secs(10);

fn options(path: &Path) -> Options {
    Options {
        budget_bytes: 700 << 10,
        item_bytes_max: 12 << 10,
        backing: Backing::File(path.to_owned()),
        hash_seed: 99,
        os_page_bytes: 4096,
        restore: true,
        ..Options::default()
    }
}

fn fill(cache: &Cache, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let bytes = number.to_le_bytes();
        let key = cache.key_in(number as usize % 3, &bytes).expect("short");
        let value = vec![number as u8; [3, 40, 300, 6000][number as usize % 4]];
        let _ = cache.put(key, &value, Attributes::default(), NOW);
    }
}

/// A place of this process' own, and what a cache left there.
fn whole() -> &'static (PathBuf, Vec<u8>) {
    static WHOLE: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let name = format!("flagstone-fuzz-arena-{}", std::process::id());
        let path = Path::new("/dev/shm").join(name);
        let _ = std::fs::remove_file(&path);
        fill(&Cache::open(Plan::new(&options(&path)).expect("a plan")).expect("opens"), 0..300);
        let bytes = std::fs::read(&path).expect("reads");
        (path, bytes)
    })
}

fuzz_target!(|input: &[u8]| {
    let (path, whole) = whole();
    let mut bytes = whole.clone();
    let mut changes = input;
    if let [first, low, high, rest @ ..] = input
        && first % 2 == 1
    {
        let len = usize::from(u16::from_le_bytes([*low, *high])) * 16;
        bytes.truncate(len.max(8));
        changes = rest;
    }
    for change in changes.chunks_exact(10) {
        let words = bytes.len() / 8;
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        // Small places are where the arena says what is where; the others are spread over it.
        let at = if place < 1 << 14 { place } else { place * 7 } % words * 8;
        // The magic stays: without it the file is not touched at all.
        if at > 0 {
            bytes[at..at + 8].copy_from_slice(&change[2..]);
        }
    }
    let _ = std::fs::remove_file(path);
    std::fs::write(path, &bytes).expect("writes");
    let cache = Cache::open(Plan::new(&options(path)).expect("a plan")).expect("opens");
    cache.audit().expect("whole");
    let mut out = vec![0; 64 << 10];
    for number in 0..300u32 {
        let key = number.to_le_bytes();
        let key = cache.key_in(number as usize % 3, &key).expect("short");
        if let Lookup::Hit(meta) = cache.get(key, NOW, &mut out) {
            assert!(meta.value_len <= out.len());
        }
    }
    fill(&cache, 200..600);
    while cache.maintain(NOW, 1000).more {}
    cache.audit().expect("whole");
});
