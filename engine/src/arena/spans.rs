//! Bytes from a descriptor straight into the words: what `readv` is to plain memory.
//!
//! A long value that arrives by a socket would be written twice: by the kernel into a buffer, and from there into its pages. So the
//! kernel is given the places of the pages themselves. For those bytes its copy is what a move is (see [`bytes`](super::bytes)): the
//! stores of the thread that makes the call, to the bytes that it was told and to no others, in no order. The same argument holds
//! for them: one writer (the owner of the reservation), readers without a lock that believe nothing before their stamp is
//! validated, and accesses of any width, which the processor keeps coherent byte by byte. Rust's model does not speak of what a
//! system call does; it is as far outside as assembly is. No `&mut [u8]` to the words ever exists, which would claim that nobody
//! else reads them.

use std::ffi::c_int;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::Arena;

/// More are not read into at once: half a megabyte of pages of 16 KiB.
const SPANS_MAX: usize = 32;

const NO_SPAN: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

/// Places in the arena that are to be filled one after the other.
pub(crate) struct Spans<'a> {
    /// Places in the words of this arena, and at last one that is not.
    list: [libc::iovec; SPANS_MAX + 1],
    count: usize,
    bytes: usize,
    arena: PhantomData<&'a Arena>,
}

impl<'a> Spans<'a> {
    pub fn new() -> Self {
        Spans {
            list: [NO_SPAN; SPANS_MAX + 1],
            count: 0,
            bytes: 0,
            arena: PhantomData,
        }
    }

    /// Whether there is no room for one more.
    pub fn is_full(&self) -> bool {
        self.count == SPANS_MAX
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the `len` bytes from byte `at` on, of which the caller is the only writer until they are read.
    pub fn push(&mut self, arena: &'a Arena, at: usize, len: usize) {
        assert!(!self.is_full(), "asked before");
        // Panics unless they lie in the arena.
        let (words, shift) = arena.around(at, len);
        self.list[self.count] = libc::iovec {
            iov_base: words
                .as_ptr()
                .cast_mut()
                .cast::<u8>()
                .wrapping_add(shift)
                .cast(),
            iov_len: len,
        };
        self.count += 1;
        self.bytes += len;
    }

    /// Fills them, and then `behind`, with what `from` has, by one call. Says how many bytes that was.
    ///
    /// # Errors
    /// The OS's. The bytes of the places may be anything then.
    pub fn read(mut self, from: BorrowedFd<'_>, behind: &mut [u8]) -> io::Result<usize> {
        if !behind.is_empty() {
            self.list[self.count] = libc::iovec {
                iov_base: behind.as_mut_ptr().cast(),
                iov_len: behind.len(),
            };
            self.count += 1;
        }
        let count = c_int::try_from(self.count).expect("they are few");
        // SAFETY:
        // - the first `count` entries are places that the kernel may write to: `push` checked that theirs lie in the words of an
        //   arena, which is borrowed for `'a` and unmapped or freed only when it is dropped, and the last is `behind`, borrowed
        //   exclusively;
        // - the pointers into the arena come from a slice of atomics, through which a shared reference may write;
        // - nobody else writes those bytes (`push`'s debt), and who reads them meanwhile discards it, as is said above;
        // - the kernel keeps no pointer when the call is over.
        let n = unsafe { libc::readv(from.as_raw_fd(), self.list.as_ptr(), count) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::arena::Backing;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const OS_PAGE_BYTES: usize = 4096;

    #[test]
    fn places_are_filled_in_order_and_nothing_beside_them() {
        for backing in [Backing::Heap, Backing::Mmap] {
            let arena = Arena::open(512, &backing, false, false, false, OS_PAGE_BYTES).unwrap();
            arena.copy_in(0, &[0xee; 4096]);
            let (mut peer, ours) = UnixStream::pair().unwrap();
            peer.write_all(b"one, three, and five").unwrap();
            let mut spans = Spans::new();
            for (at, len) in [(3, 5), (4091, 5), (1024, 7)] {
                spans.push(&arena, at, len);
            }
            assert_eq!(spans.bytes(), 17);
            let mut behind = [0; 8];
            assert_eq!(spans.read(ours.as_fd(), &mut behind).unwrap(), 20);
            let mut all = [0; 4096];
            arena.copy_out(0, &mut all);
            assert_eq!(&all[3..8], b"one, ");
            assert_eq!(&all[4091..], b"three");
            assert_eq!(&all[1024..1031], b", and f");
            assert_eq!(&behind, b"ive\0\0\0\0\0");
            let beside = all.iter().filter(|&&byte| byte == 0xee).count();
            assert_eq!(beside, 4096 - 17);
        }
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn what_is_not_in_the_arena_is_no_place() {
        let arena = Arena::open(64, &Backing::Heap, false, false, false, OS_PAGE_BYTES).unwrap();
        Spans::new().push(&arena, 500, 16);
    }
}
