//! Words from the kernel: an anonymous map, or a file's.

use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::mm::{MprotectFlags, mprotect};

use super::file::ArenaFile;
use crate::error::OpenError;

/// A private anonymous or shared file mapping, page-aligned.
pub(super) struct Mapping {
    map: MmapRaw,
    /// Locked for as long as it is mapped: fields are dropped in their order.
    file: Option<ArenaFile>,
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
        Ok(Mapping { map, file: None })
    }

    /// `len` bytes of the file at `path`: see [`ArenaFile::open`]. A start that fails leaves nothing behind.
    pub fn file(path: &Path, len: usize, prefault: bool, keep: bool) -> Result<Self, OpenError> {
        let file = ArenaFile::open(path, len as u64, keep)?;
        let mapped = (|| {
            let map = MmapOptions::new().len(len).map_raw(file.file())?;
            if prefault {
                populate(&map)?;
            }
            Ok(map)
        })();
        match mapped {
            Ok(map) => Ok(Mapping {
                map,
                file: Some(file),
            }),
            Err(error) => {
                file.undo(path);
                Err(OpenError::File(path.to_owned(), error))
            }
        }
    }

    pub fn start(&self) -> NonNull<AtomicU64> {
        // A successful map is never null.
        NonNull::new(self.map.as_mut_ptr().cast()).expect("mmap returned null")
    }

    /// Gives `len` bytes from byte `at` on back: pages of an anonymous map, or of the file
    /// (a hole; tmpfs and the usual disk file systems know how).
    pub fn discard(&self, at: usize, len: usize) -> io::Result<()> {
        let advice = if self.file.is_some() {
            UncheckedAdvice::Remove
        } else {
            UncheckedAdvice::DontNeed
        };
        // SAFETY: the bytes become zero under the words' readers, who only ever see atomics and
        // trust nothing they read without the lock; no reference to them as anything else exists.
        unsafe { self.map.unchecked_advise_range(advice, at, len) }
    }

    /// Makes sure that there is memory for `len` bytes from byte `at` on, which were given back: the blocks
    /// of a file are allocated again, so that a full disk is an error here and not a SIGBUS at the next store.
    pub fn provide(&self, at: usize, len: usize) -> io::Result<()> {
        match &self.file {
            Some(file) => file.allocate(at as u64, len as u64),
            None => Ok(()),
        }
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
