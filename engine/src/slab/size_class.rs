//! Size classes: from item bytes to chunk bytes, without a loop.
//!
//! Steps of 8 bytes up to about 100, then about 8 % apart (4 % in pages of 16 KiB); each size is what a page
//! divided by a whole number gives, rounded down to the granule, so that next to nothing
//! is left over at a page's end. The last class is the whole page.

/// The smallest chunk: a header, a short key, a short value.
pub(crate) const CHUNK_BYTES_MIN: usize = 24;

/// Runs are so many bytes or a multiple. With 32 an item of 2 KB would cost 5 bytes more; with 8 the bits for them cost what
/// is gained.
const UNIT_BYTES: usize = 16;
/// A run is at most this part of a page.
const RUN_SHARE: usize = 4;

/// Two sizes are at most this far apart, in 1/1000, where the page's divisors allow it. Smaller pages have no more divisors
/// that would help, and larger ones so many that their half-empty pages would cost what is gained.
const fn step_max_permille(page_bytes: usize) -> usize {
    if page_bytes == 16 << 10 { 1040 } else { 1080 }
}

/// The number of a size class.
pub(crate) type ClassNo = u8;

/// The sizes, and a table from size to class.
#[derive(Clone, Debug)]
pub(crate) struct SizeClasses {
    /// Chunk bytes of each class, rising.
    sizes: Box<[u32]>,
    /// Chunks of each class in a page.
    chunks: Box<[u16]>,
    /// Class of the smallest chunk that holds `n` granules.
    by_granule: Box<[ClassNo]>,
    /// Where the classes end that each may borrow from: see [`SizeClasses::near`].
    near_ends: Box<[ClassNo]>,
    /// The classes that further pieces of an item use: see [`SizeClasses::tail_for`].
    tails: Box<[ClassNo]>,
    granule_shift: u32,
    /// log2 of a unit's bytes: see [`SizeClasses::run_units`].
    unit_shift: u32,
    units_per_page: usize,
}

impl SizeClasses {
    pub fn new(page_bytes: usize, granule: usize) -> Self {
        let sizes = sizes_for(page_bytes, granule);
        let granule_shift = granule.trailing_zeros();
        let mut by_granule = Vec::with_capacity((page_bytes >> granule_shift) + 1);
        let mut class = 0;
        for granules in 0..=page_bytes >> granule_shift {
            while (sizes[class] as usize) < granules << granule_shift {
                class += 1;
            }
            by_granule.push(class as ClassNo);
        }
        let chunks = sizes
            .iter()
            .map(|&size| (page_bytes / size as usize) as u16)
            .collect();
        let mut tails: Vec<ClassNo> = vec![0];
        for class in 1..sizes.len() {
            let last = sizes[usize::from(tails[tails.len() - 1])];
            if 2 * sizes[class] >= 3 * last || class + 1 == sizes.len() {
                tails.push(class as ClassNo);
            }
        }
        let near_end = |class: usize| {
            let most = sizes[class] + sizes[class] / 32;
            let near = sizes[class + 1..].iter().take_while(|&&size| size <= most);
            (class + 1 + near.count()) as ClassNo
        };
        SizeClasses {
            near_ends: (0..sizes.len()).map(near_end).collect(),
            tails: tails.into(),
            sizes: sizes.into(),
            chunks,
            by_granule: by_granule.into(),
            granule_shift,
            unit_shift: UNIT_BYTES.max(granule).trailing_zeros(),
            units_per_page: page_bytes / UNIT_BYTES.max(granule),
        }
    }

    /// How many classes there are.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    #[inline(always)]
    pub fn chunk_bytes(&self, class: usize) -> usize {
        self.sizes[class] as usize
    }

    /// Chunks in a page of `class`.
    #[inline(always)]
    pub fn chunks_per_page(&self, class: usize) -> usize {
        usize::from(self.chunks[class])
    }

    /// The smallest class that holds `bytes`, which is at most a page.
    #[inline(always)]
    pub fn class_for(&self, bytes: usize) -> usize {
        usize::from(self.by_granule[(bytes + (1 << self.granule_shift) - 1) >> self.granule_shift])
    }

    /// The largest class whose chunks are smaller than `bytes`, if there is one.
    pub fn class_below(&self, bytes: usize) -> Option<usize> {
        self.class_for(bytes).checked_sub(1)
    }

    /// The smallest class that holds `bytes`, among those for further pieces that are longer than a run, and for
    /// ends that grow.
    ///
    /// These are half as large again from one to the next, because each class that is used at all has half a page standing
    /// empty in each shard.
    pub fn tail_for(&self, bytes: usize) -> usize {
        let fits = |class: &&ClassNo| self.sizes[usize::from(**class)] as usize >= bytes;
        usize::from(
            *self
                .tails
                .iter()
                .find(fits)
                .expect("a piece is at most a page"),
        )
    }

    /// The largest class for further pieces that is smaller than `bytes`, if there is one.
    pub fn tail_below(&self, bytes: usize) -> Option<usize> {
        let smaller = |class: &&ClassNo| (self.sizes[usize::from(**class)] as usize) < bytes;
        self.tails
            .iter()
            .rev()
            .find(smaller)
            .map(|&class| usize::from(class))
    }

    /// The classes whose free chunks `class` may use before anything is evicted for it: up to
    /// a 32nd larger, which few are. With an eighth, overwrites with other sizes ended in chunks that were
    /// too large more often than they filled a page: 45 bytes an item at 40 + 300, and 39 with this.
    #[inline]
    pub fn near(&self, class: usize) -> std::ops::Range<usize> {
        class + 1..usize::from(self.near_ends[class])
    }

    /// Units of a run of `bytes`, its header included.
    ///
    /// Runs are for the ends of items that are cut. Ends come in all sizes, and with size classes each class had half a page
    /// standing empty in each shard; runs of all lengths share pages.
    #[inline]
    pub fn run_units(&self, bytes: usize) -> usize {
        (bytes + (1 << self.unit_shift) - 1) >> self.unit_shift
    }

    /// Bytes of a unit.
    pub fn unit_bytes(&self) -> usize {
        1 << self.unit_shift
    }

    /// Units of a page.
    pub fn units_per_page(&self) -> usize {
        self.units_per_page
    }

    /// Units at a page's beginning in which there is a bit for each of its units.
    pub fn bitmap_units(&self) -> usize {
        self.run_units(self.units_per_page / 8)
    }

    /// The longest run that a cut makes, in bytes. Longer ones would leave holes that nothing fits.
    pub fn run_bytes_max(&self) -> usize {
        self.chunk_bytes(self.whole_page()) / RUN_SHARE
    }

    /// The class of whole pages.
    pub fn whole_page(&self) -> usize {
        self.sizes.len() - 1
    }

    /// Heap bytes of the tables.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.sizes)
            + size_of_val(&*self.chunks)
            + size_of_val(&*self.by_granule)
            + size_of_val(&*self.near_ends)
            + size_of_val(&*self.tails)
    }
}

fn sizes_for(page_bytes: usize, granule: usize) -> Vec<u32> {
    let least = CHUNK_BYTES_MIN.next_multiple_of(granule);
    // Every size that a whole number of chunks leaves, smallest first.
    let mut candidates: Vec<usize> = (1..=page_bytes / least)
        .rev()
        .map(|chunks| page_bytes / chunks / granule * granule)
        .collect();
    candidates.dedup();
    let mut sizes = vec![candidates[0] as u32];
    let mut last = candidates[0];
    for (at, &size) in candidates.iter().enumerate().skip(1) {
        let is_end = at + 1 == candidates.len();
        let next = candidates.get(at + 1).copied().unwrap_or(usize::MAX);
        // Taken if the one after it would be too far from the last one taken.
        if is_end || next * 1000 > last * step_max_permille(page_bytes) {
            sizes.push(size as u32);
            last = size;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_fits_its_class_and_no_smaller_one() {
        for (page, granule) in [(4096, 8), (16 << 10, 8), (64 << 10, 8), (64 << 10, 64)] {
            let classes = SizeClasses::new(page, granule);
            assert!(classes.count() < 128, "{page}: {}", classes.count());
            assert_eq!(classes.chunk_bytes(classes.whole_page()), page);
            for bytes in 0..=page {
                let class = classes.class_for(bytes);
                assert!(classes.chunk_bytes(class) >= bytes);
                assert!(class == 0 || classes.chunk_bytes(class - 1) < bytes);
            }
        }
    }

    #[test]
    fn sizes_are_about_8_percent_apart_and_pages_are_used_up() {
        for page in [4096usize, 16 << 10, 64 << 10] {
            let classes = SizeClasses::new(page, 8);
            for class in 1..classes.count() {
                let (size, below) = (classes.chunk_bytes(class), classes.chunk_bytes(class - 1));
                // Larger ones are as far apart as the page's divisors are.
                if size <= page / 32 || (size <= page / 14 && step_max_permille(page) > 1071) {
                    let close =
                        size - below <= 16 || size * 1000 <= below * step_max_permille(page);
                    assert!(close, "{page}: {below} to {size}");
                }
                let left = page - size * classes.chunks_per_page(class);
                assert!(left * 25 <= page, "{page}: class of {size} leaves {left}");
            }
        }
    }
}
