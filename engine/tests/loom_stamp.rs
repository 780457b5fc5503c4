//! Goal: the stamp protocol holds under every interleaving and every reordering that the
//! memory model allows, and each of its fences is needed.
//!
//! Method: loom runs the engine's own `stamp` functions over its atomics. Each model is run
//! as it is, and again with one fence left out, where it has to fail: a model that cannot
//! fail proves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use flagstone_engine::stamp::{self, Fences, Word, Writing};
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

struct LoomWord(AtomicU64);

impl LoomWord {
    fn new(value: u64) -> Self {
        LoomWord(AtomicU64::new(value))
    }
}

impl Word for LoomWord {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
}

/// All fences.
struct Whole;

impl Fences for Whole {
    fn reader() {
        fence(Ordering::Acquire);
    }
    fn writer() {
        fence(Ordering::Release);
    }
    fn reuse() {
        fence(Ordering::Release);
    }
}

macro_rules! without {
    ($name:ident, reader: $reader:expr, writer: $writer:expr, reuse: $reuse:expr) => {
        struct $name;
        impl Fences for $name {
            fn reader() {
                if $reader {
                    fence(Ordering::Acquire);
                }
            }
            fn writer() {
                if $writer {
                    fence(Ordering::Release);
                }
            }
            fn reuse() {
                if $reuse {
                    fence(Ordering::Release);
                }
            }
        }
    };
}

without!(NoReaderFence, reader: false, writer: true, reuse: true);
without!(NoWriterFence, reader: true, writer: false, reuse: true);
without!(NoReuseFence, reader: true, writer: true, reuse: false);

/// One bucket, and an item of two words that always hold the same number.
struct Memory {
    bucket: LoomWord,
    slot: LoomWord,
    item: [LoomWord; 2],
}

impl Memory {
    fn new() -> Self {
        Memory {
            bucket: LoomWord::new(0),
            slot: LoomWord::new(1),
            item: [LoomWord::new(1), LoomWord::new(1)],
        }
    }

    /// One optimistic read: the item's two words, if the slot names it and the stamp holds.
    fn read<F: Fences>(&self) -> Option<(u64, u64)> {
        let noted = stamp::note(&self.bucket)?;
        if self.slot.load(Relaxed) == 0 {
            return None;
        }
        let seen = (self.item[0].load(Relaxed), self.item[1].load(Relaxed));
        stamp::validate::<_, F>(&self.bucket, noted).then_some(seen)
    }
}

/// A value overwritten where it lies, while a reader copies it.
fn overwrite<F: Fences + 'static>() {
    loom::model(|| {
        let memory = Arc::new(Memory::new());
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || {
                let writing = Writing::<_, F>::begin(&memory.bucket);
                memory.item[0].store(2, Relaxed);
                memory.item[1].store(2, Relaxed);
                writing.end();
            })
        };
        if let Some((first, second)) = memory.read::<F>() {
            assert_eq!(first, second, "torn");
        }
        writer.join().unwrap();
        assert_eq!(memory.read::<F>(), Some((2, 2)), "what was stored is read");
    });
}

/// A chunk unlinked by one thread and filled anew, for another key, by the next that holds
/// the lock, while a reader still has its name.
fn reuse<F: Fences + 'static>() {
    loom::model(|| {
        let memory = Arc::new(Memory::new());
        let unlinked = Arc::new(Mutex::new(false));
        let unlinker = {
            let (memory, unlinked) = (memory.clone(), unlinked.clone());
            thread::spawn(move || {
                let mut unlinked = unlinked.lock().unwrap();
                let writing = Writing::<_, F>::begin(&memory.bucket);
                memory.slot.store(0, Relaxed);
                writing.end();
                *unlinked = true;
            })
        };
        let filler = {
            let memory = memory.clone();
            thread::spawn(move || {
                if *unlinked.lock().unwrap() {
                    stamp::before_reuse::<F>();
                    memory.item[0].store(9, Relaxed);
                    memory.item[1].store(9, Relaxed);
                }
            })
        };
        if let Some(seen) = memory.read::<F>() {
            assert_eq!(seen, (1, 1), "foreign");
        }
        unlinker.join().unwrap();
        filler.join().unwrap();
    });
}

/// An item that moves to another page, whose old place is filled anew at once, while a
/// reader copies it: it sees the item whole, from the old place or the new one.
fn relocate<F: Fences + 'static>() {
    loom::model(|| {
        let memory = Arc::new(Memory::new());
        let copy = Arc::new([LoomWord::new(0), LoomWord::new(0)]);
        let mover = {
            let (memory, copy) = (memory.clone(), copy.clone());
            thread::spawn(move || {
                stamp::before_reuse::<F>();
                copy[0].store(memory.item[0].load(Relaxed), Relaxed);
                copy[1].store(memory.item[1].load(Relaxed), Relaxed);
                let writing = Writing::<_, F>::begin(&memory.bucket);
                memory.slot.store(2, Relaxed);
                writing.end();
                stamp::before_reuse::<F>();
                memory.item[0].store(9, Relaxed);
                memory.item[1].store(9, Relaxed);
            })
        };
        if let Some(noted) = stamp::note(&memory.bucket) {
            let place = match memory.slot.load(Relaxed) {
                1 => &memory.item,
                _ => &*copy,
            };
            let seen = (place[0].load(Relaxed), place[1].load(Relaxed));
            if stamp::validate::<_, F>(&memory.bucket, noted) {
                assert_eq!(seen, (1, 1), "foreign");
            }
        }
        mover.join().unwrap();
    });
}

fn fails(model: fn()) -> bool {
    // The failing run's panic message is expected; keep the log readable.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let failed = catch_unwind(AssertUnwindSafe(model)).is_err();
    std::panic::set_hook(hook);
    failed
}

// One test, since the panic hook belongs to the process.
#[test]
fn the_stamp_holds_and_every_fence_is_needed() {
    overwrite::<Whole>();
    reuse::<Whole>();
    relocate::<Whole>();
    assert!(
        fails(overwrite::<NoReaderFence>),
        "a missing reader's fence goes unnoticed"
    );
    assert!(
        fails(overwrite::<NoWriterFence>),
        "a missing writer's fence goes unnoticed"
    );
    assert!(
        fails(relocate::<NoReaderFence>),
        "a missing reader's fence goes unnoticed by a move"
    );
    assert!(
        fails(reuse::<NoReuseFence>),
        "a missing fence before reuse goes unnoticed"
    );
}
