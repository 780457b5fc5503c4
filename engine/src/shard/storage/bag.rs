//! Pages on their way from the pool to one large item.
//!
//! They leave in ascending order where they came in an ascending or a descending one: pages that were never used come
//! the one way, and those of an item that went the other, because the pool is a stack. Where pieces ascend, the
//! processor goes on from one page to the next by itself (docs/decisions/0073).

use crate::region::Region;
use crate::slab::free_list::PageList;

/// Pages in somebody's hand: taken from the pool for one large item. What is left goes back to it.
pub(crate) struct PageBag<'r> {
    region: &'r Region,
    list: PageList,
    /// The page at the list's end, if there is any.
    last: usize,
    count: usize,
}

impl<'r> PageBag<'r> {
    pub fn new(region: &'r Region) -> Self {
        PageBag {
            region,
            list: PageList::default(),
            last: 0,
            count: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn push(&mut self, page_no: usize) {
        let table = self.region.pages();
        if self.count > 0 && page_no > self.last {
            PageList::push_behind(table, self.last, page_no);
            self.last = page_no;
        } else {
            self.list.push(table, page_no);
            if self.count == 0 {
                self.last = page_no;
            }
        }
        self.count += 1;
    }

    pub fn pop(&mut self) -> Option<usize> {
        let page_no = self.list.first()?;
        self.list.remove(self.region.pages(), page_no);
        self.count -= 1;
        Some(page_no)
    }
}

impl Drop for PageBag<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Nearly always.
        if self.count > 0 {
            self.give_back();
        }
    }
}

impl PageBag<'_> {
    #[cold]
    fn give_back(&mut self) {
        while let Some(page_no) = self.pop() {
            self.region.pool.push(self.region.pages(), page_no);
        }
    }
}
