//! The region: one run of words, reserved at open, never moved, freed with the cache.
//!
//! Everything in it is an `AtomicU64`, everywhere and always: mixed-size atomic access
//! to the same bytes is undefined, and so is a plain read beside a writer. Bytes are
//! taken out of words and put into them; no reference into the arena ever leaves.
//!
//! The only home of `unsafe` in this crate: mapping memory, viewing it as words, and
//! the prefetch hint. All access from above is bounds-checked.

pub(crate) mod bytes;
#[cfg(test)]
pub(crate) mod crash;
mod file;
mod heap;
mod mmap;
pub(crate) mod outgoing;
pub(crate) mod spans;

pub(crate) use file::MAGIC;

use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::OpenError;
use crate::geometry::WORD_BYTES;

/// What the arena's memory is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// Boxed, from the global allocator, once.
    Heap,
    /// A private anonymous map.
    #[default]
    Mmap,
    /// A shared map of a file, which is made, and whose blocks are allocated, at open.
    File(PathBuf),
}

/// What keeps the words alive; dropped with the arena.
enum Owner {
    Heap(#[allow(dead_code)] heap::HeapWords),
    Map(mmap::Mapping),
}

/// The words.
pub(crate) struct Arena {
    words: NonNull<AtomicU64>,
    len: usize,
    owner: Owner,
    os_page_bytes: usize,
}

// SAFETY: the words are atomics, which any thread may use through a shared reference;
// `owner` is only dropped (by one thread) or asked for its mapping.
unsafe impl Send for Arena {}
// SAFETY: as above; nothing in `Arena` is mutated through `&self` but atomics.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves `len` words, all zero unless a file already holds something. `keep`: of a file that is there nothing is
    /// allocated yet ([`Arena::provide`]).
    pub fn open(
        len: usize,
        backing: &Backing,
        prefault: bool,
        huge_pages: bool,
        keep: bool,
        os_page_bytes: usize,
    ) -> Result<Self, OpenError> {
        let (words, owner) = match backing {
            Backing::Heap => {
                let heap = heap::HeapWords::zeroed(len, prefault);
                (heap.start(), Owner::Heap(heap))
            }
            Backing::Mmap => {
                let map = mmap::Mapping::anonymous(len * WORD_BYTES, prefault, huge_pages)
                    .map_err(OpenError::Memory)?;
                (map.start(), Owner::Map(map))
            }
            Backing::File(path) => {
                let map = mmap::Mapping::file(path, len * WORD_BYTES, prefault && !keep, keep)?;
                (map.start(), Owner::Map(map))
            }
        };
        Ok(Arena {
            words,
            len,
            owner,
            os_page_bytes,
        })
    }

    #[inline(always)]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY:
        // - `start()` of either owner is aligned to 8 and valid for `len` words, zeroed or from the file;
        // - the owner lives in `self` and never moves or frees the memory before it is dropped;
        // - nobody holds a `&mut` or a plain `&[u8]` to it: owners hand out the pointer only here.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    /// The word itself, for the stamp.
    #[inline(always)]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        #[cfg(test)]
        crash::point(self.words());
        &self.words()[at]
    }

    /// Relaxed load.
    #[inline(always)]
    pub fn load(&self, at: usize) -> u64 {
        self.words()[at].load(Ordering::Relaxed)
    }

    /// Relaxed store; only under the lock that guards the word.
    #[inline(always)]
    pub fn store(&self, at: usize, value: u64) {
        #[cfg(test)]
        crash::point(self.words());
        self.words()[at].store(value, Ordering::Relaxed);
    }

    /// The `N` words from `at` on, checked once for all of them.
    #[inline(always)]
    pub fn run<const N: usize>(&self, at: usize) -> &[AtomicU64; N] {
        self.words()[at..]
            .first_chunk()
            .expect("the words lie in the arena")
    }

    /// Relaxed load of a word that may not be there.
    #[inline(always)]
    pub fn try_load(&self, at: usize) -> Option<u64> {
        Some(self.words().get(at)?.load(Ordering::Relaxed))
    }

    /// The `len` words from word `at` on, if they are there.
    #[inline(always)]
    pub fn get(&self, at: usize, len: usize) -> Option<&[AtomicU64]> {
        // A sum that wraps is an end before the beginning.
        self.words().get(at..at.wrapping_add(len))
    }

    /// The words in which the `len` bytes from byte `at` on lie, and where in the first they begin.
    #[inline(always)]
    fn around(&self, at: usize, len: usize) -> (&[AtomicU64], usize) {
        let shift = at % WORD_BYTES;
        let count = (shift + len).div_ceil(WORD_BYTES);
        (&self.words()[at / WORD_BYTES..][..count], shift)
    }

    /// Bytes of it all.
    pub fn len_bytes(&self) -> usize {
        self.len * WORD_BYTES
    }

    /// Copies `out.len()` bytes from byte `at`.
    pub fn copy_out(&self, at: usize, out: &mut [u8]) {
        let (words, shift) = self.around(at, out.len());
        bytes::copy_out(words, shift, out);
    }

    /// Copies `bytes` to byte `at`. The caller is the only writer of the words touched: those
    /// at the ends keep their other bytes.
    #[inline]
    pub fn copy_in(&self, at: usize, bytes: &[u8]) {
        let (words, shift) = self.around(at, bytes.len());
        self.copy_into(words, shift, bytes);
    }

    /// The same to byte `at` of `words`, which are some of the arena's.
    #[inline(always)]
    pub fn copy_into(&self, words: &[AtomicU64], at: usize, bytes: &[u8]) {
        #[cfg(test)]
        crash::point(self.words());
        // A crash in the middle of it: where that is, is the processor's choice.
        #[cfg(test)]
        if crash::is_watched() && bytes.len() > 1 {
            bytes::copy_in(words, at, &bytes[..bytes.len() / 2]);
            crash::point(self.words());
        }
        bytes::copy_in(words, at, bytes);
    }

    /// Copies `count` whole words; source and destination do not overlap.
    pub fn copy_words(&self, from: usize, to: usize, count: usize) {
        let words = self.words();
        for (source, target) in words[from..from + count].iter().zip(&words[to..to + count]) {
            #[cfg(test)]
            crash::point(words);
            target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Zeroes `count` words.
    pub fn clear_words(&self, at: usize, count: usize) {
        for word in &self.words()[at..at + count] {
            #[cfg(test)]
            crash::point(self.words());
            word.store(0, Ordering::Relaxed);
        }
    }

    /// A hint that the line of word `at` will be read soon.
    #[inline(always)]
    pub fn prefetch(&self, at: usize) {
        #[cfg(all(target_arch = "x86_64", not(flagstone_portable)))]
        if let Some(word) = self.words().get(at) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program can see, and `word` is in bounds.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast::<i8>()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(flagstone_portable))))]
        let _ = at;
    }

    /// Gives the memory of `count` words back to the OS; they read as zero until they are
    /// stored to again. Memory from the heap stays.
    ///
    /// # Errors
    /// The OS's. Refused if an end is not at a boundary of the OS's pages: the kernel would round, and take the
    /// neighbours' words too.
    pub fn discard(&self, at: usize, count: usize) -> std::io::Result<()> {
        debug_assert!(at + count <= self.len);
        let os_page_words = self.os_page_bytes / WORD_BYTES;
        if !at.is_multiple_of(os_page_words) || !count.is_multiple_of(os_page_words) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        match &self.owner {
            Owner::Heap(_) => Ok(()),
            Owner::Map(map) => map.discard(at * WORD_BYTES, count * WORD_BYTES),
        }
    }

    /// Makes sure that there is memory again for `count` words that were given back: until then a store to
    /// a file's may be a SIGBUS.
    ///
    /// # Errors
    /// The OS's: the disk is full.
    pub fn provide(&self, at: usize, count: usize) -> std::io::Result<()> {
        debug_assert!(at + count <= self.len);
        match &self.owner {
            Owner::Heap(_) => Ok(()),
            Owner::Map(map) => map.provide(at * WORD_BYTES, count * WORD_BYTES),
        }
    }

    /// Runs `work` while no thread can write to the arena: a store in it is a SIGSEGV.
    ///
    /// For the proof that hot reads write nothing. Refused for the heap.
    pub fn read_only_while<R>(&self, work: impl FnOnce() -> R) -> std::io::Result<R> {
        /// Makes the map writable again, also when `work` panics: whoever catches that goes on storing.
        struct Writable<'a>(&'a mmap::Mapping);
        impl Drop for Writable<'_> {
            fn drop(&mut self) {
                self.0
                    .protect(false)
                    .expect("a map that was writable can be made so again");
            }
        }
        match &self.owner {
            Owner::Heap(_) => Err(std::io::ErrorKind::Unsupported.into()),
            Owner::Map(map) => {
                map.protect(true)?;
                let _writable = Writable(map);
                Ok(work())
            }
        }
    }
}
