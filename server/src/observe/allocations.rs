//! Counts what the process asks of the global allocator, apart by what it was doing.
//!
//! The promise is that a request allocates nothing. The tests prove it with an allocator of
//! their own; this counter lets an operator watch it where it matters, on the server that
//! runs. [`Counting`] is the binary's allocator: the system's, and a count. The count costs
//! only those who allocate, which a request does not; what a turn pays is noting that it has
//! begun and ended, two stores to memory of its own thread.
//!
//! ```text
//!   elsewhere ──► during_requests(|| turn) ──► elsewhere        start, accepting, admin, …
//!                     └─ counted as "requests": stays 0; as "tls" where TLS is spoken
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What a thread is doing while it allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum During {
    /// Anything but the others.
    Elsewhere,
    /// Serving requests.
    Requests,
    /// Serving a connection with TLS, which allocates.
    Tls,
}

impl During {
    /// All of them, and how they are called in metrics.
    pub const ALL: [(During, &'static str); 3] = [
        (During::Elsewhere, "elsewhere"),
        (During::Requests, "requests"),
        (During::Tls, "tls"),
    ];
}

/// What an allocation means that is made while a request is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    /// A figure.
    #[default]
    Count,
    /// The end of the process, with a backtrace: for tests.
    Abort,
}

/// Whether it is the end.
static ABORTS: AtomicBool = AtomicBool::new(false);

/// From now on, and for the whole process. What has once been told to end is not told otherwise.
pub fn seal(seal: Seal) {
    if seal == Seal::Abort {
        ABORTS.store(true, Relaxed);
    }
}

static COUNTS: [AtomicU64; During::ALL.len()] = [const { AtomicU64::new(0) }; During::ALL.len()];

thread_local! {
    // Constant and without a destructor: reading it neither allocates nor registers anything.
    static DOING: Cell<During> = const { Cell::new(During::Elsewhere) };
}

/// Blocks allocated so far. 0 for ever where [`Counting`] is not the allocator.
#[must_use]
pub fn count(during: During) -> u64 {
    COUNTS[during as usize].load(Relaxed)
}

/// Does `work`, counting what it allocates as `during`.
#[inline]
pub fn note<R>(during: During, work: impl FnOnce() -> R) -> R {
    /// Also when `work` panics.
    struct Back(During);
    impl Drop for Back {
        fn drop(&mut self) {
            DOING.set(self.0);
        }
    }
    let _back = Back(DOING.replace(during));
    work()
}

/// The system's allocator, and a count.
#[derive(Debug)]
pub struct Counting;

#[inline]
fn one_more() {
    let doing = DOING.get();
    // Relaxed: a count publishes nothing.
    COUNTS[doing as usize].fetch_add(1, Relaxed);
    if doing == During::Requests && ABORTS.load(Relaxed) {
        broken();
    }
}

/// A request has allocated. A panic on its way does, too: it is told of before.
#[cold]
#[inline(never)]
fn broken() {
    // What follows allocates.
    DOING.set(During::Elsewhere);
    let trace = Backtrace::force_capture();
    let mut log = std::io::stderr().lock();
    let _ = writeln!(
        log,
        "flagstone: memory was allocated while a request was served (--seal abort):\n{trace}"
    );
    std::process::abort();
}

#[allow(unsafe_code)] // The trait is unsafe to implement; there is no other way to be asked.
// SAFETY: every call is passed on to `System` as it came, and what `System` answers is passed
// back as it is; `GlobalAlloc`'s debts are the caller's towards us and ours towards `System`,
// and they are the same. Counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        one_more();
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        one_more();
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        one_more();
        // SAFETY: the caller's block, which came from `System` through us, and its layout.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's block, which came from `System` through us, and its layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The only one of this crate's tests that counts what requests allocate.
    #[global_allocator]
    static ALLOC: Counting = Counting;

    #[test]
    fn what_is_allocated_meanwhile_is_counted_apart() {
        let before = count(During::Requests);
        drop(vec![0u8; 100]);
        assert_eq!(count(During::Requests), before);
        let elsewhere = count(During::Elsewhere);
        note(During::Requests, || {
            let mut grows = vec![0u8; 100];
            grows.reserve_exact(1000);
            drop(grows);
        });
        assert_eq!(count(During::Requests), before + 2);
        drop(Box::new([1u8; 64]));
        // Other tests of this process allocate too.
        assert!(count(During::Elsewhere) > elsewhere);
        // A panic ends it too.
        let caught = std::panic::catch_unwind(|| {
            note(During::Requests, || std::panic::resume_unwind(Box::new(())))
        });
        assert!(caught.is_err());
        assert_eq!(DOING.get(), During::Elsewhere);
    }
}
