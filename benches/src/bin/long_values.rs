//! What one very long value costs, and how long the others of its shard wait for it meanwhile.
//!
//! ```text
//! long_values [--mib 100] [--budget-mib 512] [--rounds 9] [--only TEXT]
//! ```
//!
//! Each round stores the value afresh, so that a first time is a first time, writes over more memory than the processor's
//! caches hold, and then does the one thing that the row names. The first columns are what that took: of the thread's CPU, the
//! median of the rounds and the longest, and by the wall's clock. It is more than what the shard's lock is held for.
//!
//! Meanwhile another thread asks for what is known of the long value, reads a small value of the same shard, and stores
//! one, over and over; the last columns are the longest that each waited while the thing was done. The first row does nothing: what is seen there is
//! what this machine does to any thread.

use std::hint::{black_box, spin_loop};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use flagstone_benches::args::Args;
use flagstone_benches::keys::{KeyBytes, NOW};
use flagstone_benches::rows::cpu_time;
use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Deadline, Key, Options, Outcome, Pinned, Plan,
    Reservation, Side,
};

/// More than any processor's last cache has for one thread.
const CLEARING_BYTES: usize = 64 << 20;
/// Small values that are asked for beside it.
const SMALL: u64 = 64;
/// Nothing is done for so long before and behind each thing.
const PAUSE: Duration = Duration::from_millis(5);
const LONG: &[u8] = b"the long one";

/// What a thing needs and may leave behind: pins and reservations end after the clock was looked at.
struct Scene<'c> {
    cache: &'c Cache,
    key: Key<'c>,
    value: &'c [u8],
    pinned: Option<Pinned<'c>>,
    reserved: Option<Reservation<'c>>,
}

impl Scene<'_> {
    fn join(&mut self, side: Side) {
        let joined = self
            .cache
            .extend(self.key, b"x", side, None, CasWish::IfKept, NOW);
        assert_eq!(joined.expect("fits").outcome, Outcome::Stored);
    }

    fn number(&mut self) {
        let cas = self.cache.cas(self.key, NOW).expect("room");
        cas.expect("it is there");
    }

    fn touch(&mut self) {
        let deadline = Deadline::exact(NOW.plus_millis(1 << 20));
        assert_eq!(self.cache.touch(self.key, deadline, NOW), Ok(true));
    }

    fn pin(&mut self) {
        let pinned = self.cache.pin(self.key, NOW).expect("room");
        self.pinned = Some(pinned.expect("it is there"));
    }

    fn reserve(&mut self) {
        let (key, len) = (self.key, self.value.len());
        let reserved = self.cache.reserve(key, len, Attributes::default(), NOW);
        self.reserved = Some(reserved.expect("room"));
    }

    fn commit(&mut self) {
        let reserved = self.reserved.take().expect("it was reserved");
        let outcome = reserved.commit(Condition::Always, NOW);
        assert_eq!(outcome, Ok(Outcome::Stored));
    }

    fn delete(&mut self) {
        assert!(self.cache.delete(self.key, NOW));
    }

    fn flush(&mut self) {
        self.cache.flush();
    }
}

struct Row {
    name: &'static str,
    /// Done before the clock is looked at.
    before: fn(&mut Scene<'_>),
    what: fn(&mut Scene<'_>),
}

const ROWS: [Row; 16] = [
    Row {
        name: "nothing, for a millisecond",
        before: |_| {},
        what: |_| {
            spin(Duration::from_millis(1));
        },
    },
    Row {
        name: "append a byte, the first",
        before: |_| {},
        what: |scene| scene.join(Side::Behind),
    },
    Row {
        name: "append a byte, the next",
        before: |scene| scene.join(Side::Behind),
        what: |scene| scene.join(Side::Behind),
    },
    Row {
        name: "append a byte, it is being read",
        before: |scene| scene.pin(),
        what: |scene| scene.join(Side::Behind),
    },
    Row {
        name: "prepend a byte",
        before: |_| {},
        what: |scene| scene.join(Side::Before),
    },
    Row {
        name: "prepend a byte, it is being read",
        before: |scene| scene.pin(),
        what: |scene| scene.join(Side::Before),
    },
    Row {
        name: "the first CAS number",
        before: |_| {},
        what: |scene| scene.number(),
    },
    Row {
        name: "the first CAS number, it is being read",
        before: |scene| scene.pin(),
        what: |scene| scene.number(),
    },
    Row {
        name: "the first touch",
        before: |_| {},
        what: |scene| scene.touch(),
    },
    Row {
        name: "the first touch, it is being read",
        before: |scene| scene.pin(),
        what: |scene| scene.touch(),
    },
    Row {
        name: "begin to read it",
        before: |_| {},
        what: |scene| scene.pin(),
    },
    Row {
        name: "end reading it",
        before: |scene| scene.pin(),
        what: |scene| scene.pinned = None,
    },
    Row {
        name: "set memory aside for another",
        before: |_| {},
        what: |scene| scene.reserve(),
    },
    Row {
        name: "put that in its place",
        before: |scene| {
            scene.reserve();
            let reserved = scene.reserved.as_mut().expect("it was reserved");
            reserved.write(scene.value, NOW).expect("fits");
        },
        what: |scene| scene.commit(),
    },
    Row {
        name: "delete it",
        before: |_| {},
        what: |scene| scene.delete(),
    },
    Row {
        name: "flush",
        before: |_| {},
        what: |scene| scene.flush(),
    },
];

/// What the other thread waited for, each the longest, in nanoseconds: `ASKED`.
#[derive(Default)]
struct Waits([AtomicU64; 3]);

/// What the other thread asks for.
const ASKED: [&str; 3] = ["meta", "get", "put"];

impl Waits {
    fn take(&self) -> [f64; 3] {
        std::array::from_fn(|at| self.0[at].swap(0, SeqCst) as f64 / 1000.0)
    }
}

struct Beside<'c> {
    cache: &'c Cache,
    long: Key<'c>,
    keys: Vec<KeyBytes>,
    /// Odd while the thing is being done.
    turn: AtomicU64,
    done: AtomicBool,
    waits: Waits,
}

impl Beside<'_> {
    /// Asks until it is done.
    fn ask(&self) {
        let mut out = [0; 64];
        for at in 0.. {
            if self.done.load(SeqCst) {
                return;
            }
            let small = self.keys[at % self.keys.len()];
            let key = self.cache.key(small.as_slice()).expect("a valid key");
            self.timed(0, || {
                black_box(self.cache.meta(self.long, NOW));
            });
            self.timed(1, || {
                black_box(self.cache.get(key, NOW, &mut out));
            });
            self.timed(2, || {
                let put = self.cache.put(key, &[7; 40], Attributes::default(), NOW);
                put.expect("room");
            });
        }
    }

    /// Counts if the thing was being done when it began, or when it ended.
    #[inline(always)]
    fn timed(&self, kind: usize, what: impl FnOnce()) {
        let turn_before = self.turn.load(SeqCst);
        let begun = Instant::now();
        what();
        let waited = begun.elapsed().as_nanos() as u64;
        let turn = self.turn.load(SeqCst);
        if turn % 2 == 1 || turn != turn_before || turn_before % 2 == 1 {
            self.waits.0[kind].fetch_max(waited, SeqCst);
        }
    }
}

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        spin_loop();
    }
}

fn clear_caches(memory: &mut [u8]) {
    for line in memory.chunks_mut(64) {
        line[0] = line[0].wrapping_add(1);
    }
    black_box(memory);
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn measure(
    row: &Row,
    rounds: usize,
    beside: &Beside<'_>,
    (value, clearing): (&[u8], &mut [u8]),
) -> Result<(), String> {
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut scene = Scene {
            cache: beside.cache,
            key: beside.long,
            value,
            pinned: None,
            reserved: None,
        };
        scene.cache.delete(scene.key, NOW);
        scene
            .cache
            .put(scene.key, value, Attributes::default(), NOW)
            .map_err(|error| error.to_string())?;
        (row.before)(&mut scene);
        clear_caches(clearing);
        spin(PAUSE);
        beside.turn.fetch_add(1, SeqCst);
        let (begun, cpu_begun) = (Instant::now(), cpu_time());
        (row.what)(&mut scene);
        cpu.push((cpu_time() - cpu_begun).as_nanos() as f64 / 1000.0);
        wall.push(begun.elapsed().as_nanos() as f64 / 1000.0);
        beside.turn.fetch_add(1, SeqCst);
        // Who waits for the lock is not to wait for what comes next, too.
        spin(PAUSE);
    }
    let middles = (median(&mut cpu), median(&mut wall));
    let [meta, get, put] = beside.waits.take();
    println!(
        "| {} | {:.0}, {:.0} | {:.0}, {:.0} | {meta:.0} | {get:.0} | {put:.0} |",
        row.name,
        middles.0,
        cpu[rounds - 1],
        middles.1,
        wall[rounds - 1],
    );
    Ok(())
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let mib: usize = args.option("--mib")?.unwrap_or(100);
    let budget_mib: usize = args.option("--budget-mib")?.unwrap_or(512);
    let rounds: usize = args.option("--rounds")?.unwrap_or(9);
    let only: String = args.option("--only")?.unwrap_or_default();
    args.words()?;
    let options = Options {
        budget_bytes: budget_mib << 20,
        item_bytes_max: (mib + 1) << 20,
        ..Options::default()
    };
    let plan = Plan::new(&options).map_err(|error| error.to_string())?;
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    let long = cache.key(LONG).expect("a valid key");
    // The highest bits of a hash say which shard.
    let shard_of = |key: Key<'_>| key.hash().number() >> 60;
    let is_beside =
        |id: &KeyBytes| shard_of(cache.key(id.as_slice()).expect("a valid key")) == shard_of(long);
    let beside = Beside {
        cache: &cache,
        long,
        keys: (0..)
            .map(KeyBytes::of)
            .filter(is_beside)
            .take(SMALL as usize)
            .collect(),
        turn: AtomicU64::new(0),
        done: AtomicBool::new(false),
        waits: Waits::default(),
    };
    let value = vec![0x5a; mib << 20];
    let mut clearing = vec![0; CLEARING_BYTES];
    println!("{mib} MiB, microseconds; of {rounds} rounds the median and the longest");
    println!(
        "| | CPU | wall | {} | {} | {} beside |",
        ASKED[0], ASKED[1], ASKED[2]
    );
    println!("|---|---|---|---|---|---|");
    std::thread::scope(|scope| {
        scope.spawn(|| beside.ask());
        let mut wanted = ROWS.iter().filter(|row| row.name.contains(&only));
        let measured =
            wanted.try_for_each(|row| measure(row, rounds, &beside, (&value, &mut clearing)));
        beside.done.store(true, SeqCst);
        measured
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("long_values: {error}");
            ExitCode::FAILURE
        }
    }
}
