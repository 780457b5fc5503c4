//! Tests look at the arena before any store: as if the process were killed there.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

type Look = Box<dyn FnMut(&dyn Fn() -> Vec<u64>)>;

thread_local! {
    /// See [`trust_writers`].
    static TRUSTS_WRITERS: Cell<bool> = const { Cell::new(false) };
    static LOOK: RefCell<Option<Look>> = const { RefCell::new(None) };
}

/// From now on `look` is called before this thread's stores to any arena; it may ask for a copy of it.
pub(crate) fn watch(look: impl FnMut(&dyn Fn() -> Vec<u64>) + 'static) {
    LOOK.set(Some(Box::new(look)));
}

/// No more.
pub(crate) fn unwatch() {
    LOOK.take();
}

pub(crate) fn is_watched() -> bool {
    LOOK.with_borrow(Option::is_some)
}

/// Whoever restores an arena in this thread does not look at the stamps: to show that it has to.
pub(crate) fn trust_writers(trusts: bool) {
    TRUSTS_WRITERS.set(trusts);
}

pub(crate) fn trusts_writers() -> bool {
    TRUSTS_WRITERS.get()
}

pub(super) fn point(words: &[AtomicU64]) {
    LOOK.with_borrow_mut(|look| {
        if let Some(look) = look {
            look(&|| words.iter().map(|word| word.load(Relaxed)).collect());
        }
    });
}
