//! Pages on their way from the pool to one large item.

use crate::region::Region;
use crate::slab::free_list::PageList;

/// Pages in somebody's hand: taken from the pool for one large item. What is left goes back to it.
pub(crate) struct PageBag<'r> {
    region: &'r Region,
    list: PageList,
    count: usize,
}

impl<'r> PageBag<'r> {
    pub fn new(region: &'r Region) -> Self {
        PageBag {
            region,
            list: PageList::default(),
            count: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn push(&mut self, page_no: usize) {
        self.list.push(self.region.pages(), page_no);
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
