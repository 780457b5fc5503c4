//! Goal: readers without locks never get a torn or foreign value, whatever writers do.
//!
//! Method: every value certifies itself: it holds its key, a version, its length, and a
//! checksum over all of that and its filler. Readers and writers hammer a cache that is
//! far too small, with sizes that move pages between classes, deletes, deadlines, pins,
//! flushes and overwriting in place, and check every value that comes out. At the end the
//! cache is audited. Bounded in time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flagstone_engine::{
    Attributes, Backing, Cache, Condition, Copied, Deadline, Lookup, Options, Plan, Tick,
};

const RUN: Duration = Duration::from_secs(4);
/// So long it is if fewer values were written.
const RUN_MAX: Duration = Duration::from_secs(60);
const WRITES_WANTED: u64 = 20_000;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 32 bytes of certificate, then filler that follows from it.
fn certify(value: &mut Vec<u8>, key: u64, version: u64, len: usize) {
    value.clear();
    value.extend_from_slice(&key.to_le_bytes());
    value.extend_from_slice(&version.to_le_bytes());
    value.extend_from_slice(&(len as u64).to_le_bytes());
    value.extend_from_slice(&mix(key ^ mix(version ^ mix(len as u64))).to_le_bytes());
    let filler = mix(key.wrapping_mul(31) ^ version);
    while value.len() < len {
        let at = value.len() as u64;
        value.extend_from_slice(&mix(filler ^ at).to_le_bytes());
    }
    value.truncate(len);
}

/// The version, if the value is whole and belongs to `key`.
fn check(value: &[u8], key: u64) -> Result<u64, String> {
    let word = |at: usize| u64::from_le_bytes(value[8 * at..8 * at + 8].try_into().unwrap());
    if value.len() < 32 {
        return Err(format!("{} bytes", value.len()));
    }
    let (seen, version, len) = (word(0), word(1), word(2));
    if seen != key {
        return Err(format!("key {key} has the value of key {seen}"));
    }
    if len as usize != value.len() || word(3) != mix(key ^ mix(version ^ mix(len))) {
        return Err(format!("key {key}: certificate broken"));
    }
    let mut expected = Vec::new();
    certify(&mut expected, key, version, value.len());
    if expected != value {
        return Err(format!("key {key} version {version}: torn filler"));
    }
    Ok(version)
}

struct Run<'a> {
    cache: &'a Cache,
    stop: &'a AtomicBool,
    clock: &'a AtomicU64,
    versions: &'a AtomicU64,
    keys: u64,
    names: &'a [Vec<u8>],
    value_bytes_max: usize,
}

/// Every eighth key is a long one, and all of those begin alike.
fn name_of(number: u64) -> Vec<u8> {
    let mut name = match number % 8 {
        3 => vec![b'/'; [248, 900, 5000, 16_000][number as usize / 8 % 4]],
        _ => Vec::new(),
    };
    name.extend_from_slice(&number.to_be_bytes());
    name
}

impl Run<'_> {
    fn now(&self) -> Tick {
        Tick::from_millis(self.clock.load(Ordering::Relaxed))
    }

    fn write(&self, mut seed: u64) -> u64 {
        let mut value = Vec::with_capacity(self.value_bytes_max);
        let mut done = 0u64;
        while !self.stop.load(Ordering::Relaxed) {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let dice = mix(seed);
            let number = dice % self.keys;
            let key = self.cache.key(&self.names[number as usize]).unwrap();
            let version = self.versions.fetch_add(1, Ordering::Relaxed);
            // The size follows the phase, so that whole classes empty and fill.
            let phase = (done >> 12) % 3;
            let span = [200, 3000, self.value_bytes_max - 32][phase as usize];
            let len = 32 + (dice >> 20) as usize % span;
            // Few lengths, half of the time: a value of several pieces is written over where it lies if its length is the same.
            let len = if (dice >> 40).is_multiple_of(2) {
                len.next_multiple_of(1500).min(self.value_bytes_max)
            } else {
                len
            };
            let now = self.now();
            match (dice >> 50) % 32 {
                0..=1 => {
                    self.cache.delete(key, now);
                }
                2..=3 => {
                    certify(&mut value, number, version, len);
                    let deadline = Deadline::exact(now.plus_millis(1 + (dice >> 33) % 40));
                    self.cache.put(key, &value, deadline.into(), now).unwrap();
                }
                4..=6 => {
                    certify(&mut value, number, version, len);
                    let mut growing = self
                        .cache
                        .reserve_growing(key, Attributes::default(), now)
                        .unwrap();
                    for part in value.chunks(1500) {
                        growing.write(part, now).unwrap();
                    }
                    growing.commit(Condition::Always, now).unwrap();
                }
                7 => {
                    self.cache
                        .touch(key, Deadline::after_secs(now, 100), now)
                        .unwrap();
                }
                8 => {
                    self.cache.cas(key, now).unwrap();
                }
                9 => {
                    self.cache.maintain(now, 500);
                }
                10 if dice.is_multiple_of(997) => self.cache.flush(),
                11..=17 => {
                    // As in a batch, and of few lengths: most are written over where they lie.
                    let len = 32 + 16 * (len % 3);
                    certify(&mut value, number, version, len);
                    let mut spot = self.cache.prefetch(key);
                    self.cache.prefetch_item(key, &mut spot);
                    (0..(dice >> 58)).for_each(|_| std::hint::spin_loop());
                    self.cache.put_at(key, &spot, &value, 0, now).unwrap();
                }
                _ => {
                    certify(&mut value, number, version, len);
                    self.cache
                        .put(key, &value, Attributes::default(), now)
                        .unwrap();
                }
            }
            done += 1;
            if done.is_multiple_of(16) {
                self.clock.fetch_add(1, Ordering::Relaxed);
            }
        }
        done
    }

    fn read(&self, mut seed: u64) -> (u64, u64) {
        let mut buffer = vec![0u8; self.value_bytes_max];
        let (mut hits, mut misses) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let dice = mix(seed);
            // A few keys are read and written most of the time.
            let number = if dice & 3 == 0 {
                dice >> 8
            } else {
                (dice >> 8) % 16
            } % self.keys;
            let key = self.cache.key(&self.names[number as usize]).unwrap();
            if (dice >> 40).is_multiple_of(64) {
                let Ok(Some(mut pinned)) = self.cache.pin(key, self.now()) else {
                    continue;
                };
                let len = pinned.meta().value_len;
                let mut at = 0;
                while at < len {
                    at += pinned.read(&mut buffer[at..(at + 700).min(len)]);
                }
                check(&buffer[..len], number).unwrap_or_else(|wrong| panic!("pinned: {wrong}"));
                continue;
            }
            if (dice >> 46).is_multiple_of(4) {
                // As in a batch: the bucket is looked at some time before the item is read.
                let mut spot = self.cache.prefetch(key);
                self.cache.prefetch_item(key, &mut spot);
                (0..dice >> 56).for_each(|_| std::hint::spin_loop());
                let now = self.now();
                match self
                    .cache
                    .get_at(key, &spot, now, &mut buffer, |_, _| Some(0))
                {
                    Copied::Bytes(len) => {
                        check(&buffer[..len], number)
                            .unwrap_or_else(|wrong| panic!("prepared: {wrong}"));
                        hits += 1;
                    }
                    Copied::Miss => misses += 1,
                    Copied::TooSmall => panic!("the buffer has room for any"),
                }
                continue;
            }
            match self.cache.get(key, self.now(), &mut buffer) {
                Lookup::Hit(meta) => {
                    check(&buffer[..meta.value_len], number)
                        .unwrap_or_else(|wrong| panic!("{wrong}"));
                    hits += 1;
                }
                Lookup::Miss => misses += 1,
                Lookup::TooSmall(meta) => panic!("{} bytes were never stored", meta.value_len),
            }
        }
        (hits, misses)
    }
}

fn storm(keys: u64, budget_bytes: usize, value_bytes_max: usize) {
    let cache = Cache::open(
        Plan::new(&Options {
            budget_bytes,
            item_bytes_max: value_bytes_max.max(1024),
            backing: Backing::Mmap,
            hash_seed: 5,
            ..Options::default()
        })
        .unwrap(),
    )
    .unwrap();
    let run = Run {
        cache: &cache,
        stop: &AtomicBool::new(false),
        clock: &AtomicU64::new(1_000_000),
        versions: &AtomicU64::new(0),
        keys,
        names: &(0..keys).map(name_of).collect::<Vec<_>>(),
        value_bytes_max,
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|at| {
                scope.spawn({
                    let run = &run;
                    move || run.write(at)
                })
            })
            .collect();
        let readers: Vec<_> = (2..4)
            .map(|at| {
                scope.spawn({
                    let run = &run;
                    move || run.read(at)
                })
            })
            .collect();
        // Under a sanitizer, on a busy machine, it takes longer until anything is proved.
        let goes_on = || {
            let is_little = run.versions.load(Ordering::Relaxed) < WRITES_WANTED;
            begun.elapsed() < if is_little { RUN_MAX } else { RUN }
        };
        while goes_on()
            && !readers
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        run.stop.store(true, Ordering::Relaxed);
        let writes: u64 = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum();
        let hits: u64 = readers
            .into_iter()
            .map(|reader| reader.join().unwrap().0)
            .sum();
        assert!(
            writes > 1000 && hits > 1000,
            "{writes} writes, {hits} hits: too few to prove anything"
        );
    });
    let stats = cache.stats();
    assert!(
        stats.evictions > 0,
        "{stats:?}: nothing was evicted, so nothing was reused"
    );
    let audit = cache.audit().unwrap();
    assert_eq!((audit.reserved_chunks, audit.orphans), (0, 0), "{audit:?}");
}

#[test]
fn few_hot_keys_of_all_sizes() {
    storm(256, 1 << 20, 24 << 10);
}

#[test]
fn many_keys_and_much_page_reuse() {
    storm(20_000, 2 << 20, 8 << 10);
}
