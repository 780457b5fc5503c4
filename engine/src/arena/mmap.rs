//! Words from the kernel: an anonymous map, or a file's.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::FallocateFlags;
use rustix::mm::{MprotectFlags, mprotect};

/// A private anonymous or shared file mapping, page-aligned.
pub(super) struct Mapping {
    map: MmapRaw,
    is_file: bool,
}

impl Mapping {
    /// `len` bytes of zeroes.
    pub fn anonymous(len: usize, prefault: bool, huge_pages: bool) -> io::Result<Self> {
        let map: MmapRaw = MmapOptions::new().len(len).map_anon()?.into();
        if huge_pages {
            // Only advice: a kernel without transparent huge pages says EINVAL, and the
            // cache works with small ones.
            let _ = map.advise(Advice::HugePage);
        }
        if prefault {
            populate(&map)?;
        }
        Ok(Mapping {
            map,
            is_file: false,
        })
    }

    /// `len` bytes of the file at `path`, made if it is not there. Its blocks are allocated
    /// now: a full disk is an error here and never a SIGBUS later.
    pub fn file(path: &Path, len: usize, prefault: bool) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        file.set_len(len as u64)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64) {
            Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        if prefault {
            populate(&map)?;
        }
        Ok(Mapping { map, is_file: true })
    }

    pub fn start(&self) -> NonNull<AtomicU64> {
        // A successful map is never null.
        NonNull::new(self.map.as_mut_ptr().cast()).expect("mmap returned null")
    }

    /// Gives `len` bytes from byte `at` on back: pages of an anonymous map, or of the file
    /// (a hole; tmpfs and the usual disk file systems know how).
    pub fn discard(&self, at: usize, len: usize) -> io::Result<()> {
        let advice = if self.is_file {
            UncheckedAdvice::Remove
        } else {
            UncheckedAdvice::DontNeed
        };
        // SAFETY: the bytes become zero under the words' readers, who only ever see atomics and
        // trust nothing they read without the lock; no reference to them as anything else exists.
        unsafe { self.map.unchecked_advise_range(advice, at, len) }
    }

    pub fn protect(&self, read_only: bool) -> io::Result<()> {
        let flags = if read_only {
            MprotectFlags::READ
        } else {
            MprotectFlags::READ | MprotectFlags::WRITE
        };
        // SAFETY:
        // - the range is exactly this mapping, which `self` owns;
        // - taking away the right to write invalidates no reference: the words are only
        //   reached as shared atomics, and a store to them then is a fault, not a race.
        unsafe { mprotect(self.map.as_mut_ptr().cast(), self.map.len(), flags) }?;
        Ok(())
    }
}

/// Touches every OS page now, so that a budget that is not there fails at start. Kernels
/// before 5.14 do not know the advice; there the pages come on first use.
fn populate(map: &MmapRaw) -> io::Result<()> {
    match map.advise(Advice::PopulateWrite) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
