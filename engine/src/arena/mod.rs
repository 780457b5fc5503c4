//! The region: one run of words, reserved at open, never moved, freed with the cache.
//!
//! Everything in it is an `AtomicU64`, everywhere and always: mixed-size atomic access
//! to the same bytes is undefined, and so is a plain read beside a writer. Bytes are
//! taken out of words and put into them; no reference into the arena ever leaves.
//!
//! The only home of `unsafe` in this crate: mapping memory, viewing it as words, and
//! the prefetch hint. All access from above is bounds-checked.

mod heap;
mod mmap;
mod wide;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::OpenError;
use crate::geometry::WORD_BYTES;
use crate::plan::Backing;

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
}

// SAFETY: the words are atomics, which any thread may use through a shared reference;
// `owner` is only dropped (by one thread) or asked for its mapping.
unsafe impl Send for Arena {}
// SAFETY: as above; nothing in `Arena` is mutated through `&self` but atomics.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves `len` words, all zero unless a file already holds something.
    pub fn open(
        len: usize,
        backing: &Backing,
        prefault: bool,
        huge_pages: bool,
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
                let map = mmap::Mapping::file(path, len * WORD_BYTES, prefault)
                    .map_err(|error| OpenError::File(path.clone(), error))?;
                (map.start(), Owner::Map(map))
            }
        };
        Ok(Arena { words, len, owner })
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
        self.words()[at].store(value, Ordering::Relaxed);
    }

    /// The `N` words from `at` on, checked once for all of them.
    #[inline(always)]
    pub fn run<const N: usize>(&self, at: usize) -> &[AtomicU64; N] {
        self.words()[at..]
            .first_chunk()
            .expect("the words lie in the arena")
    }

    /// Copies `out.len()` bytes from byte `at`. Readers may call it on anything in bounds.
    #[inline]
    pub fn copy_out(&self, at: usize, out: &mut [u8]) {
        let len = out.len();
        if len == 0 {
            return;
        }
        let words = &self.words()[at / WORD_BYTES..=(at + len - 1) / WORD_BYTES];
        let shift = at % WORD_BYTES;
        if len < WORD_BYTES {
            put_bytes(out, bytes_at(words, shift));
            return;
        }
        // The ends are done as whole words, which overlap with what is between them.
        let lead = (WORD_BYTES - shift) % WORD_BYTES;
        if lead != 0 {
            put_word(&mut out[..WORD_BYTES], bytes_at(words, shift));
        }
        let (whole, tail) = out[lead..].as_chunks_mut::<WORD_BYTES>();
        let from = usize::from(lead != 0);
        let count = whole.len();
        let has_tail = !tail.is_empty();
        wide::load(&words[from..from + count], whole);
        if has_tail {
            let last = shift + len - WORD_BYTES;
            let bytes = bytes_at(&words[last / WORD_BYTES..], last % WORD_BYTES);
            put_word(&mut out[len - WORD_BYTES..], bytes);
        }
    }

    /// Copies `bytes` to byte `at`. The caller is the only writer of the words touched: those
    /// at the ends keep their other bytes.
    #[inline]
    pub fn copy_in(&self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let shift = at % WORD_BYTES;
        let first = at / WORD_BYTES;
        let last = (at + bytes.len() - 1) / WORD_BYTES;
        let words = &self.words()[first..=last];
        let lead = (WORD_BYTES - shift) % WORD_BYTES;
        if bytes.len() <= lead {
            merge(&words[0], shift, bytes);
            return;
        }
        let (head, body) = bytes.split_at(lead);
        let words = if lead == 0 {
            words
        } else {
            merge(&words[0], shift, head);
            &words[1..]
        };
        let (whole, tail) = body.as_chunks::<WORD_BYTES>();
        let (body_words, tail_words) = words.split_at(whole.len());
        wide::store(body_words, whole);
        if let Some(word) = tail_words.first() {
            merge(word, 0, tail);
        }
    }

    /// Whether the bytes from `at` on equal `bytes`.
    #[inline(always)]
    pub fn equals(&self, at: usize, bytes: &[u8]) -> bool {
        let len = bytes.len();
        if len == 0 {
            return true;
        }
        let words = &self.words()[at / WORD_BYTES..=(at + len - 1) / WORD_BYTES];
        let shift = at % WORD_BYTES;
        if len < WORD_BYTES {
            let differ = bytes_at(words, shift) ^ get_bytes(bytes);
            return differ & low_mask(len) == 0;
        }
        // The words between the ends are compared with whatever bytes stand against them; the
        // ends with whole words of `bytes`, of which the rest is shifted away.
        let lead = (WORD_BYTES - shift) % WORD_BYTES;
        let mut words = words;
        if lead != 0 {
            let down = 8 * shift as u32;
            let seen = words[0].load(Ordering::Relaxed) >> down;
            if (seen ^ get_word(&bytes[..WORD_BYTES])) << down != 0 {
                return false;
            }
            words = &words[1..];
        }
        let (whole, tail) = bytes[lead..].as_chunks::<WORD_BYTES>();
        for (bytes, word) in whole.iter().zip(words) {
            if word.load(Ordering::Relaxed) != u64::from_le_bytes(*bytes) {
                return false;
            }
        }
        match words.get(whole.len()) {
            None => true,
            Some(word) => {
                let up = 8 * (WORD_BYTES - tail.len()) as u32;
                let wanted = get_word(&bytes[len - WORD_BYTES..]) >> (up % u64::BITS);
                (word.load(Ordering::Relaxed) ^ wanted) << (up % u64::BITS) == 0
            }
        }
    }

    /// Copies `count` whole words; source and destination do not overlap.
    pub fn copy_words(&self, from: usize, to: usize, count: usize) {
        let words = self.words();
        for (source, target) in words[from..from + count].iter().zip(&words[to..to + count]) {
            target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Zeroes `count` words.
    pub fn clear_words(&self, at: usize, count: usize) {
        for word in &self.words()[at..at + count] {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// A hint that the line of word `at` will be read soon.
    #[inline(always)]
    pub fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Some(word) = self.words().get(at) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program can see, and `word` is in bounds.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast::<i8>()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Gives the memory of `count` words back to the OS; they read as zero until they are
    /// stored to again. Both ends are at OS page boundaries. Memory from the heap stays.
    ///
    /// # Errors
    /// The OS's.
    pub fn discard(&self, at: usize, count: usize) -> std::io::Result<()> {
        debug_assert!(at + count <= self.len);
        match &self.owner {
            Owner::Heap(_) => Ok(()),
            Owner::Map(map) => map.discard(at * WORD_BYTES, count * WORD_BYTES),
        }
    }

    /// Runs `work` while no thread can write to the arena: a store in it is a SIGSEGV.
    ///
    /// For the proof that hot reads write nothing. Refused for the heap.
    pub fn read_only_while<R>(&self, work: impl FnOnce() -> R) -> std::io::Result<R> {
        match &self.owner {
            Owner::Heap(_) => Err(std::io::ErrorKind::Unsupported.into()),
            Owner::Map(map) => {
                map.protect(true)?;
                let result = work();
                map.protect(false)?;
                Ok(result)
            }
        }
    }
}

/// The 8 bytes from byte `shift` of the first of `words`, the last of them 0 if there is no
/// second word.
#[inline(always)]
fn bytes_at(words: &[AtomicU64], shift: usize) -> u64 {
    let low = words[0].load(Ordering::Relaxed) >> (8 * shift);
    match words.get(1) {
        // At a shift of 0 nothing of the second word is wanted.
        Some(word) => low | word.load(Ordering::Relaxed) << 1 << (63 - 8 * shift),
        None => low,
    }
}

/// All 8 of `bytes`; `out` has as many.
#[inline(always)]
fn put_word(out: &mut [u8], bytes: u64) {
    out.copy_from_slice(&bytes.to_le_bytes());
}

/// All 8 bytes of a word.
#[inline(always)]
fn get_word(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD_BYTES];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// The low `out.len()` bytes of `bytes`; `out` has at most 8.
#[inline(always)]
fn put_bytes(out: &mut [u8], bytes: u64) {
    let bytes = bytes.to_le_bytes();
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
}

/// Up to 8 bytes as the low end of a word.
#[inline(always)]
fn get_bytes(bytes: &[u8]) -> u64 {
    let mut word = 0u64;
    for (at, &byte) in bytes.iter().take(WORD_BYTES).enumerate() {
        word |= u64::from(byte) << (8 * at);
    }
    word
}

/// Ones in the low `len` bytes; `len` is 0 to 8.
#[inline(always)]
const fn low_mask(len: usize) -> u64 {
    if len >= WORD_BYTES {
        u64::MAX
    } else {
        (1 << (8 * len)) - 1
    }
}

/// Puts `bytes` into `word` from byte `shift` on, and leaves the others.
#[inline(always)]
fn merge(word: &AtomicU64, shift: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let mask = low_mask(bytes.len()) << (8 * shift);
    let kept = word.load(Ordering::Relaxed) & !mask;
    word.store(kept | (get_bytes(bytes) << (8 * shift)), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every start, length and neighbour: what goes in comes out, and nothing beside it moves.
    #[test]
    fn bytes_go_in_and_come_out_at_every_offset() {
        let arena = Arena::open(16, &Backing::Heap, false, false).unwrap();
        let bytes: Vec<u8> = (1..=100).collect();
        for at in 0..24 {
            for len in 0..=64 {
                for word in 0..16 {
                    arena.store(word, u64::MAX);
                }
                arena.copy_in(at, &bytes[..len]);
                let mut all = [0u8; 128];
                arena.copy_out(0, &mut all);
                assert_eq!(&all[at..at + len], &bytes[..len]);
                assert!(all[..at].iter().chain(&all[at + len..]).all(|&b| b == 0xFF));
                let mut out = vec![0u8; len];
                arena.copy_out(at, &mut out);
                assert_eq!(out, &bytes[..len]);
                assert!(arena.equals(at, &bytes[..len]));
                for wrong in 0..len {
                    let mut other = bytes[..len].to_vec();
                    other[wrong] ^= 0x40;
                    assert!(!arena.equals(at, &other), "at {at} len {len} wrong {wrong}");
                }
            }
        }
    }
}
