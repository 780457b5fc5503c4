//! Whether this worker has to wait for a processor.
//!
//! Then its clients on the same machine have to as well, and one that has sent nothing for a second may not have been run in it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// It is looked at so often, when anybody asks.
const INTERVAL_NANOS: u64 = 250_000_000;
/// So long a wait tells for so long.
const TELLS_NANOS: u64 = 2_000_000_000;
/// Processors are short when this part of the time was waited.
const PART: u64 = 8;

/// Looks at the waits of the thread that made it.
pub(super) struct Processor {
    /// `schedstat`: nanoseconds run, nanoseconds waited for a processor, slices. None where the kernel does not count.
    file: Option<File>,
    looked_nanos: u64,
    waited_nanos: u64,
    short_until: u64,
}

impl Processor {
    pub fn new(now_nanos: u64) -> Self {
        let mut processor = Processor {
            file: File::open("/proc/thread-self/schedstat").ok(),
            looked_nanos: now_nanos,
            waited_nanos: 0,
            short_until: 0,
        };
        processor.waited_nanos = processor.waited().unwrap_or(0);
        processor
    }

    fn waited(&self) -> Option<u64> {
        let mut buffer = [0; 64];
        let len = self.file.as_ref()?.read_at(&mut buffer, 0).ok()?;
        waited_of(&buffer[..len])
    }

    /// Whether it had to wait for an eighth of a quarter of a second in the last two seconds.
    pub fn is_short(&mut self, now_nanos: u64) -> bool {
        let passed = now_nanos.saturating_sub(self.looked_nanos);
        if passed >= INTERVAL_NANOS {
            self.looked_nanos = now_nanos;
            if let Some(waited) = self.waited() {
                let more = waited.saturating_sub(self.waited_nanos);
                self.waited_nanos = waited;
                if more >= passed / PART {
                    self.short_until = now_nanos + TELLS_NANOS;
                }
            }
        }
        now_nanos < self.short_until
    }
}

/// The second number of the line.
fn waited_of(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_wait() {
        assert_eq!(waited_of(b"388058 5971753 3\n"), Some(5_971_753));
        for nonsense in [&b""[..], b"1", b"1 x 3", b"\xff 1 2"] {
            assert_eq!(waited_of(nonsense), None);
        }
    }

    #[test]
    fn a_wait_tells_for_two_seconds() {
        let mut processor = Processor::new(0);
        // As if all that this thread has ever waited, and a second, had been waited since.
        processor.file = None;
        assert!(!processor.is_short(1_000_000_000));
        processor.short_until = 3_000_000_000;
        assert!(processor.is_short(2_999_999_999));
        assert!(!processor.is_short(3_000_000_000));
    }
}
