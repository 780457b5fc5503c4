//! Goal: an arena in a file is one cache's alone, and has its blocks wherever the cache may store.
//!
//! Method: caches are opened in one file beside and after each other; and one is shrunk and grown while the
//! file's blocks are counted.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flagstone_engine::{Attributes, Backing, Cache, Lookup, OpenError, Options, Plan, Tick};

const NOW: Tick = Tick::from_secs(1);

fn scratch(name: &str) -> PathBuf {
    let name = format!("flagstone-arena-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    path
}

fn open(path: &Path, budget_bytes: usize) -> Result<Cache, OpenError> {
    let options = Options {
        budget_bytes,
        backing: Backing::File(path.to_owned()),
        ..Options::default()
    };
    Cache::open(Plan::new(&options).expect("a plan"))
}

#[test]
fn two_caches_never_share_a_file() {
    let path = scratch("shared");
    let first = open(&path, 8 << 20).expect("opens");
    let key = first.key(b"key").expect("a key");
    first
        .put(key, b"value", Attributes::default(), NOW)
        .expect("stores");
    assert!(matches!(
        open(&path, 8 << 20),
        Err(OpenError::FileInUse(at)) if at == path
    ));
    let mut out = [0; 5];
    assert!(matches!(first.get(key, NOW, &mut out), Lookup::Hit(_)));
    first.audit().expect("whole");
    drop(first);
    // One after the other is fine, in another size too; the next one begins empty.
    for budget_bytes in [8 << 20, 6 << 20, 12 << 20] {
        let next = open(&path, budget_bytes).expect("opens");
        let key = next.key(b"key").expect("a key");
        assert_eq!(next.get(key, NOW, &mut out), Lookup::Miss);
        next.put(key, b"value", Attributes::default(), NOW)
            .expect("stores");
        next.audit().expect("whole");
    }
    std::fs::remove_file(&path).expect("is there");
}

#[test]
fn a_cache_that_grows_again_has_its_blocks_again() {
    let path = scratch("grows");
    let cache = open(&path, 8 << 20).expect("opens");
    let blocks = || std::fs::metadata(&path).expect("is there").blocks() * 512;
    let all = blocks();
    let put_all = || {
        for number in 0u64..20_000 {
            let bytes = number.to_le_bytes();
            let key = cache.key(&bytes).expect("a key");
            cache
                .put(key, &[7; 400], Attributes::default(), NOW)
                .expect("stores");
        }
    };
    let pages = cache.plan().page_count();
    for fill in [false, true] {
        if fill {
            put_all();
        }
        let fewer = cache.pages_usable_min();
        assert_eq!(cache.resize(fewer, pages, NOW).expect("shrinks"), fewer);
        let less = ((pages - fewer) * cache.plan().page_bytes()) as u64;
        // A file system needs some for where they lie.
        assert!(
            blocks() <= all - less + (64 << 10),
            "{} of {all}, less {less}",
            blocks()
        );
        assert_eq!(cache.resize(pages, pages, NOW).expect("grows"), pages);
        let whole = cache.arena_bytes() as u64;
        assert!(
            blocks() >= whole,
            "a store to a hole is a SIGBUS on a full disk"
        );
        put_all();
        cache.audit().expect("whole");
    }
    std::fs::remove_file(&path).expect("is there");
}
