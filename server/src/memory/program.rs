//! The program's own code and constants stay in memory.
//!
//! They are pages of files, which the kernel takes away first when a container is at its limit, and charges again when they are
//! run again. Over `memory.high` each such charge puts its thread to sleep, for up to two seconds: the thread that is to
//! make the cache smaller would sleep at every step, and a limit that follows would find it where it was.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::ops::Range;

use rustix::mm::{MlockFlags, mlock, mlock_with};

/// Locks what is mapped of the program's file and of its libraries and is not written to, as far as the system lets it
/// (`RLIMIT_MEMLOCK`): of the program all, of the libraries what has been used or will be.
///
/// Returns the bytes that are locked.
///
/// # Errors
/// The first refusal; what was locked before stays locked.
pub fn keep_in_memory() -> io::Result<usize> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let program = fs::read_link("/proc/self/exe")?;
    let mut locked = 0;
    let parts = || maps.lines().filter_map(Part::of);
    let is_own = |part: &Part<'_>| program.as_os_str() == part.path;
    for part in parts().filter(is_own) {
        locked += part.lock(true)?;
    }
    for part in parts().filter(|part| !is_own(part)) {
        locked += part.lock(false)?;
    }
    Ok(locked)
}

/// A part of a file that is mapped to be read or run.
struct Part<'m> {
    addresses: Range<usize>,
    path: &'m str,
}

impl<'m> Part<'m> {
    /// From a line of `/proc/PID/maps`: addresses, rights, offset, device, inode, path.
    fn of(line: &'m str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (begin, end) = words.next()?.split_once('-')?;
        let rights = words.next()?;
        let path = words.nth(3)?;
        let address = |hex| usize::from_str_radix(hex, 16).ok();
        let is_read_only = rights.starts_with("r-") && rights.ends_with('p');
        (is_read_only && path.starts_with('/')).then_some(Part {
            addresses: address(begin)?..address(end)?,
            path,
        })
    }

    /// Locks it: all of it now, or each page when it is touched for the first time.
    fn lock(&self, now: bool) -> io::Result<usize> {
        let len = self.addresses.len();
        let at = std::ptr::with_exposed_provenance_mut::<c_void>(self.addresses.start);
        #[allow(unsafe_code)]
        // The system calls take addresses, which nothing but a pointer can be.
        // SAFETY: locking neither reads, writes, maps nor unmaps anything; of addresses where nothing is mapped any more the
        // kernel says ENOMEM.
        let locked = unsafe {
            match now {
                true => mlock(at, len),
                false => mlock_with(at, len, MlockFlags::ONFAULT),
            }
        };
        locked?;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_or_no_file_is_left_out() {
        let of = |line| Part::of(line).map(|part| (part.addresses, part.path));
        let code = "55f0a000-55f0c000 r-xp 00001000 fe:00 5318929    /bin/flagstone";
        assert_eq!(of(code), Some((0x55f0_a000..0x55f0_c000, "/bin/flagstone")));
        for line in [
            "55f0a000-55f0c000 rw-p 00001000 fe:00 5318929    /bin/flagstone",
            "55f0a000-55f0c000 r--s 00001000 fe:00 5318929    /tmp/arena",
            "55f0a000-55f0c000 ---p 00001000 fe:00 5318929    /bin/flagstone",
            "7ffd5000-7ffd7000 r-xp 00000000 00:00 0          [vdso]",
            "7ffd5000-7ffd7000 r--p 00000000 00:00 0",
            "nonsense",
            "",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
