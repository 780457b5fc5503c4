//! Lists of pages, and the pool that all shards share.
//!
//! A page is in at most one list at a time: the pool's stack, or its class's list of
//! pages with a free chunk. Both are linked through the page table, so that moving a
//! page allocates nothing.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::page::{CLASS_FREE, NO_DEADLINE, PageMeta, PageTable};

/// A doubly linked list of pages, newest first. The holder guards it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageList {
    /// First page, plus one.
    head: u32,
}

impl PageList {
    pub const EMPTY: PageList = PageList { head: 0 };

    pub fn first(&self) -> Option<usize> {
        self.head.checked_sub(1).map(|page| page as usize)
    }

    pub fn push(&mut self, table: PageTable<'_>, page_no: usize) {
        let mut meta = table.get(page_no);
        debug_assert!(meta.next == 0 && meta.prev == 0 && self.head != page_no as u32 + 1);
        meta.next = self.head;
        table.set(page_no, meta);
        if let Some(second) = self.first() {
            let mut meta = table.get(second);
            meta.prev = page_no as u32 + 1;
            table.set(second, meta);
        }
        self.head = page_no as u32 + 1;
    }

    /// Puts a page behind `last`, which is the last of some list.
    pub fn push_behind(table: PageTable<'_>, last: usize, page_no: usize) {
        let (mut before, mut meta) = (table.get(last), table.get(page_no));
        debug_assert!(before.next == 0 && meta.next == 0 && meta.prev == 0);
        before.next = page_no as u32 + 1;
        table.set(last, before);
        meta.prev = last as u32 + 1;
        table.set(page_no, meta);
    }

    pub fn remove(&mut self, table: PageTable<'_>, page_no: usize) {
        let mut meta = table.get(page_no);
        if meta.prev == 0 {
            debug_assert_eq!(self.head, page_no as u32 + 1, "the page is in this list");
            self.head = meta.next;
        } else {
            let before = meta.prev as usize - 1;
            let mut other = table.get(before);
            other.next = meta.next;
            table.set(before, other);
        }
        if meta.next != 0 {
            let after = meta.next as usize - 1;
            let mut other = table.get(after);
            other.prev = meta.prev;
            table.set(after, other);
        }
        meta.next = 0;
        meta.prev = 0;
        table.set(page_no, meta);
    }
}

/// The pages that belong to no class. Its lock is taken last: under a shard's, never
/// around one.
///
/// A page may also be *retired*: its memory was given back to the OS, and nobody gets it
/// until it is restored. That is how a cache shrinks and grows while it runs.
pub(crate) struct PagePool {
    free: Mutex<Free>,
    /// Pages that can be taken, written under the lock: an insert into a full cache asks in vain, and
    /// need not take the lock for that.
    available: AtomicUsize,
}

struct Free {
    list: PageList,
    count: usize,
    retired: PageList,
    retired_count: usize,
    /// Pages from here to `fresh_end` have never been used: they are not in the list, so
    /// that opening a large arena touches nothing of it.
    fresh: usize,
    /// Pages from here on have never been used and are retired.
    fresh_end: usize,
    page_count: usize,
}

impl PagePool {
    pub fn new(page_count: usize) -> Self {
        PagePool {
            free: Mutex::new(Free {
                list: PageList::default(),
                count: 0,
                retired: PageList::default(),
                retired_count: 0,
                fresh: 0,
                fresh_end: page_count,
                page_count,
            }),
            available: AtomicUsize::new(page_count),
        }
    }

    /// The pool of an arena that another process left: every page that is nobody's, of `is_owned`.
    pub fn found(
        table: PageTable<'_>,
        page_count: usize,
        mut is_owned: impl FnMut(usize) -> bool,
    ) -> Self {
        let fresh = (0..page_count)
            .rev()
            .find(|&page_no| is_owned(page_no))
            .map_or(0, |last| last + 1);
        // Nobody's pages say so, also in a damaged arena. Of those that were never used none is touched that does.
        for page_no in (fresh..page_count).filter(|&page_no| table.owner(page_no).0 != CLASS_FREE) {
            table.set(page_no, PageMeta::EMPTY);
        }
        let pool = PagePool::new(page_count);
        pool.free.lock().fresh = fresh;
        // The first ones are taken first.
        for page_no in (0..fresh).rev().filter(|&page_no| !is_owned(page_no)) {
            pool.push(table, page_no);
        }
        let free = pool.free.lock();
        pool.note_available(&free);
        drop(free);
        pool
    }

    /// The runs of pages that are not retired, one after the other.
    pub fn for_each_in_use<E>(
        &self,
        table: PageTable<'_>,
        mut each: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut retired, end) = {
            let free = self.free.lock();
            let list = std::iter::successors(free.retired.first(), |&page_no| {
                (table.get(page_no).next as usize).checked_sub(1)
            });
            (list.collect::<Vec<_>>(), free.fresh_end)
        };
        retired.sort_unstable();
        let mut from = 0;
        for page_no in retired.into_iter().chain([end]) {
            if from < page_no {
                each(from..page_no)?;
            }
            from = page_no + 1;
        }
        Ok(())
    }

    fn note_available(&self, free: &Free) {
        // Relaxed: whoever pushed a page sees it, and for others it is as if they had asked before.
        let available = free.count + (free.fresh_end - free.fresh);
        self.available.store(available, Ordering::Relaxed);
    }

    /// Pages that can be taken right now.
    pub fn count(&self) -> usize {
        self.available.load(Ordering::Relaxed)
    }

    /// Pages that are retired.
    pub fn retired(&self) -> usize {
        let free = self.free.lock();
        free.retired_count + (free.page_count - free.fresh_end)
    }

    /// The pages from this one on were never used.
    pub fn fresh(&self) -> usize {
        self.free.lock().fresh
    }

    /// Takes a page. Its entry is [`PageMeta::EMPTY`].
    pub fn pop(&self, table: PageTable<'_>) -> Option<usize> {
        if self.count() == 0 {
            return None;
        }
        let mut free = self.free.lock();
        if let Some(page_no) = free.list.first() {
            free.list.remove(table, page_no);
            free.count -= 1;
            self.note_available(&free);
            return Some(page_no);
        }
        if free.fresh < free.fresh_end {
            let page_no = free.fresh;
            free.fresh += 1;
            self.note_available(&free);
            table.set(page_no, PageMeta::EMPTY);
            table.set_deadline(page_no, NO_DEADLINE);
            return Some(page_no);
        }
        None
    }

    /// Gives a page back. It is in no list, and nothing in it is linked.
    pub fn push(&self, table: PageTable<'_>, page_no: usize) {
        let mut free = self.free.lock();
        table.set(page_no, PageMeta::EMPTY);
        table.set_deadline(page_no, NO_DEADLINE);
        free.list.push(table, page_no);
        free.count += 1;
        self.note_available(&free);
    }

    /// Retires up to `count` pages that were never used; returns them.
    pub fn retire_fresh(&self, count: usize) -> Range<usize> {
        let mut free = self.free.lock();
        let retired = count.min(free.fresh_end - free.fresh);
        free.fresh_end -= retired;
        self.note_available(&free);
        free.fresh_end..free.fresh_end + retired
    }

    /// Retires a page that was taken with [`PagePool::pop`] and whose memory is given back.
    pub fn retire(&self, table: PageTable<'_>, page_no: usize) {
        let mut free = self.free.lock();
        free.retired.push(table, page_no);
        free.retired_count += 1;
    }

    /// Makes up to `count` retired pages available again, each run of them after `provide` has seen to it that
    /// there is memory for it. Nobody else retires or restores meanwhile.
    ///
    /// # Errors
    /// Of `provide`; the pages before are available.
    pub fn restore<E>(
        &self,
        table: PageTable<'_>,
        count: usize,
        mut provide: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (first, fresh) = {
            let free = self.free.lock();
            (free.fresh_end, count.min(free.page_count - free.fresh_end))
        };
        if fresh > 0 {
            provide(first..first + fresh)?;
            let mut free = self.free.lock();
            free.fresh_end += fresh;
            self.note_available(&free);
        }
        for _ in fresh..count {
            let Some(page_no) = self.free.lock().retired.first() else {
                break;
            };
            provide(page_no..page_no + 1)?;
            let mut free = self.free.lock();
            free.retired.remove(table, page_no);
            free.retired_count -= 1;
            free.list.push(table, page_no);
            free.count += 1;
            self.note_available(&free);
        }
        Ok(())
    }
}
