//! The thread that writes messages to stderr, and the ring in front of it.
//!
//! ```text
//!   acceptor, maintainer … ─► ring (32 KiB, lines whole) ─► writer ─► stderr
//!                              full: dropped and counted      may wait for ever
//! ```
//!
//! Whoever reads stderr may stop doing so, and a full pipe blocks its writer. Only this thread
//! waits then: everybody else goes on, new connections and signals included. Setting the pipe
//! itself to non-blocking would change it for every process that shares it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Lines that wait to be written, together.
const RING_BYTES: usize = 32 << 10;
/// Written at a time. A pipe takes so much whole or not at all.
const CHUNK_BYTES: usize = 4 << 10;
/// How long to wait when stderr is non-blocking and full.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Lines that nobody will read, since the start of the process.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines were dropped because stderr was not read.
pub fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// See the module's head.
pub struct Writer {
    ring: Mutex<Ring>,
    filled: Condvar,
    emptied: Condvar,
}

struct Ring {
    /// Never grows: a line that has no room is dropped.
    bytes: VecDeque<u8>,
    /// The thread has taken something that is not written yet.
    is_writing: bool,
}

impl Writer {
    /// Starts the thread. `None` if it cannot be had.
    pub fn start() -> Option<&'static Writer> {
        let writer: &Writer = Box::leak(Box::new(Writer::new()));
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread
            .spawn(|| writer.run(&mut std::io::stderr()))
            .ok()
            .map(|_| writer)
    }

    fn new() -> Self {
        Writer {
            ring: Mutex::new(Ring {
                bytes: VecDeque::with_capacity(RING_BYTES),
                is_writing: false,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Leaves a line to be written. Never waits for stderr; false: it was dropped.
    pub fn push(&self, line: &[u8]) -> bool {
        let mut ring = self.ring.lock();
        let has_room = ring.bytes.len() + line.len() <= RING_BYTES;
        if has_room {
            ring.bytes.extend(line);
            self.filled.notify_one();
        } else {
            LOST.fetch_add(1, Relaxed);
        }
        has_room
    }

    /// Waits until everything is written, but not for longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let mut ring = self.ring.lock();
        let until = std::time::Instant::now() + patience;
        while !ring.bytes.is_empty() || ring.is_writing {
            if self.emptied.wait_until(&mut ring, until).timed_out() {
                return;
            }
        }
    }

    fn run(&self, out: &mut impl std::io::Write) {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            let len = self.take(&mut chunk);
            write(out, &chunk[..len]);
        }
    }

    /// Waits for something to write, and takes it.
    fn take(&self, chunk: &mut [u8]) -> usize {
        let mut ring = self.ring.lock();
        ring.is_writing = false;
        while ring.bytes.is_empty() {
            self.emptied.notify_all();
            self.filled.wait(&mut ring);
        }
        ring.is_writing = true;
        let len = ring.bytes.len().min(chunk.len());
        for (to, from) in chunk.iter_mut().zip(ring.bytes.drain(..len)) {
            *to = from;
        }
        len
    }
}

/// Writes all of it, or counts the lines that could not be written.
fn write(out: &mut impl std::io::Write, mut left: &[u8]) {
    while !left.is_empty() {
        match out.write(left) {
            Ok(0) => break,
            Ok(n) => left = &left[n..],
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => std::thread::sleep(RETRY_INTERVAL),
                // Nobody is there to read.
                _ => break,
            },
        }
    }
    let lines = left.iter().filter(|&&byte| byte == b'\n').count();
    LOST.fetch_add(lines as u64, Relaxed);
}

/// For a process that has no [`Writer`]: a message of a start that fails.
pub fn write_now(line: &[u8]) {
    let _ = std::io::stderr().write_all(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No thread takes anything out.
    #[test]
    fn what_has_no_room_is_dropped_whole_and_counted() {
        let writer = Writer::new();
        let line = [b'x'; 1000];
        let before = lost();
        let kept = (0..100).filter(|_| writer.push(&line)).count();
        assert_eq!(kept, RING_BYTES / line.len());
        assert_eq!(writer.ring.lock().bytes.len(), kept * line.len());
        assert!(lost() - before >= 100 - kept as u64);
        writer.flush(Duration::from_millis(1));
        let mut chunk = [0; CHUNK_BYTES];
        assert_eq!(writer.take(&mut chunk), CHUNK_BYTES);
        assert!(writer.push(&line), "there is room again");
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_only() {
        struct Gone;
        impl std::io::Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let before = lost();
        write(&mut Gone, b"one\ntwo\n");
        assert!(lost() - before >= 2);
    }
}
