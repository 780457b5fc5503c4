//! The arena's file as it is documented, and one that was written by a release before: it is read, or it is refused by
//! its number, and never misread.
//!
//! The fixture is the words of a small arena that are not zero. `FLAGSTONE_WRITE_FIXTURE=1` writes it anew, which is right only together
//! with a new format number.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use flagstone_engine::{
    Attributes, Backing, Cache, Deadline, Lookup, Options, Plan, Restored, Tick,
};

const FORMAT: u64 = 4;
const NOW: Tick = Tick::from_secs(10);

fn fixture() -> PathBuf {
    let name = format!("tests/fixtures/arena-format-{FORMAT}.txt");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn scratch(name: &str) -> PathBuf {
    let name = format!("flagstone-format-{name}-{}", std::process::id());
    std::env::temp_dir().join(name)
}

fn options(path: &Path) -> Options {
    Options {
        budget_bytes: 700 << 10,
        item_bytes_max: 12 << 10,
        backing: Backing::File(path.to_owned()),
        hash_seed: 99,
        os_page_bytes: 4096,
        restore: true,
        unix_zero: 1_800_000_000,
        boot: 7,
        ..Options::default()
    }
}

/// Items of each kind.
fn items() -> impl Iterator<Item = (usize, Vec<u8>, Vec<u8>, Attributes)> {
    (0..40).map(|number: usize| {
        let mut name = format!("key-{number}").into_bytes();
        if number.is_multiple_of(13) {
            name.resize(251 + number, b'/');
        }
        let len = [0, 5, 40, 300, 6000][number % 5] * usize::from(number < 15 || number % 5 < 3);
        let value = (0..len).map(|at| (number + at) as u8).collect();
        let attributes = Attributes {
            client_flags: number as u32 % 3,
            deadline: match number % 4 {
                0 => Deadline::at(Tick::from_secs(5000)),
                1 => Deadline::exact(Tick::from_millis(6_000_123)),
                _ => Deadline::NEVER,
            },
        };
        (number % 3, name, value, attributes)
    })
}

fn fill(cache: &Cache) {
    for (database, name, value, attributes) in items() {
        let key = cache.key_in(database, &name).unwrap();
        cache.put(key, &value, attributes, NOW).unwrap();
    }
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
    bytes.chunks_exact(8).map(word).collect()
}

#[test]
fn a_file_of_a_release_before_is_read() {
    let path = scratch("before");
    let _ = std::fs::remove_file(&path);
    if std::env::var_os("FLAGSTONE_WRITE_FIXTURE").is_some() {
        fill(&Cache::open(Plan::new(&options(&path)).unwrap()).unwrap());
        let words = words_of(&std::fs::read(&path).unwrap());
        let mut text = format!("{}\n", words.len());
        let told = words.iter().enumerate().filter(|(_, word)| **word != 0);
        told.for_each(|(at, word)| writeln!(text, "{at:x} {word:x}").unwrap());
        std::fs::write(fixture(), text).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
    let text = std::fs::read_to_string(fixture()).expect("the fixture");
    let (len, told) = text.split_once('\n').expect("a length");
    let mut words = vec![0_u64; len.parse().expect("a length")];
    for line in told.lines() {
        let (at, word) = line.split_once(' ').expect("a place and a word");
        let hex = |text| u64::from_str_radix(text, 16).expect("a number");
        words[hex(at) as usize] = hex(word);
    }
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    std::fs::write(&path, bytes).unwrap();
    let cache = Cache::open(Plan::new(&options(&path)).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    cache.audit().unwrap();
    let restored = Restored::Items {
        items: 40,
        forgotten: 0,
        unordered: 0,
    };
    assert_eq!(cache.restored(), restored);
    for (database, name, value, attributes) in items() {
        let key = cache.key_in(database, &name).unwrap();
        let mut out = vec![0; 12 << 10];
        let Lookup::Hit(meta) = cache.get(key, NOW, &mut out) else {
            panic!("{name:?} is not there");
        };
        assert_eq!(out[..meta.value_len], value);
        let found = (meta.client_flags, meta.deadline);
        assert_eq!(found, (attributes.client_flags, attributes.deadline));
    }
}

/// What `docs/file-format.md` says of the first words, and of what stands where.
#[test]
fn the_format_is_the_one_that_is_documented() {
    let path = scratch("documented");
    let _ = std::fs::remove_file(&path);
    let cache = Cache::open(Plan::new(&options(&path)).unwrap()).unwrap();
    fill(&cache);
    drop(cache);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let words = words_of(&bytes);
    assert_eq!(&bytes[..8], b"FLAGSTON");
    assert_eq!((words[1], words[3]), (FORMAT, 99), "format, seed");
    assert_eq!((words[4], words[5]), (7, 0), "boot");
    assert_eq!(words[6], 1_800_000_000, "the second at tick 0");
    let layout = &words[32..41];
    let [
        _,
        number,
        page_bytes,
        granule,
        pages,
        table,
        directory,
        first,
        _,
    ] = layout
    else {
        panic!("nine words");
    };
    assert_eq!((*number, *page_bytes, *granule), (0, 4096, 3));
    let after_headers = (4096 + 16 * 128) / 8;
    assert_eq!(
        (*table, *directory),
        (after_headers, after_headers + 3 * pages)
    );
    assert_eq!(words.len() as u64, first + pages * page_bytes / 8);
    assert_eq!(words[64], 1, "it is made");
    assert_eq!(words[72] >> 32, 1, "database 1 was never flushed");
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/file-format.md");
    let text = std::fs::read_to_string(text).unwrap();
    assert!(text.contains(&format!("format number {FORMAT}")));
}
