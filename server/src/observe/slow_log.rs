//! The last requests that took long, in a ring.
//!
//! ```text
//!   worker ── took long ──► entry ──► [ 126 | 127 | … | 125 ]   128 places, the oldest is written over
//!                                          ▲
//!                     SLOW, SLOWLOG GET, stats slow, /slow: newest first
//! ```
//!
//! A worker measures turns and transfers, not requests ([`latency`](super::latency)), so an entry is one of four:
//!
//! - *a turn* that took long: named by the first request that its last read has brought, with how many it executed;
//! - *a request that goes through much* (`KEYS`, a script, a long `APPEND`), measured by itself;
//! - *a value that is sent or received in pieces,* from the first piece to the last: how fast the client is counts;
//! - *a wait* for a buffer, for memory, or for a long value's turn.
//!
//! The lock is taken for an entry and by those who read, never by a request that was fast enough. Of a key there is its
//! length and its hash, which tells equal keys apart from others and nothing else; its beginning only where a setting
//! (`--tell-keys`) says so.

use std::net::SocketAddr;
use std::time::Duration;

use flagstone_engine::Key;
use parking_lot::Mutex;

use super::few::Few;
use crate::proto::Codec;

/// So many are kept.
pub const ENTRIES: usize = 128;
/// Of a command's name so many bytes are.
pub const WORD_BYTES: usize = 16;
/// Of a key so many are, where keys are told.
pub const KEY_BYTES: usize = 48;

/// What the ring takes, for the plan.
pub const SLOW_LOG_BYTES: usize = ENTRIES * size_of::<Entry>();

/// Why it took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The worker was at other connections for most of the time.
    Busy,
    /// The request, or the pipeline that it was in, took most of it.
    Work,
    /// A value went in or out in pieces.
    LongValue,
    /// It waited for a buffer.
    Buffer,
    /// It waited until so long a value may be on its way.
    Permit,
    /// It waited for memory.
    Memory,
}

impl Cause {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Busy => "worker_busy",
            Cause::Work => "work",
            Cause::LongValue => "long_value",
            Cause::Buffer => "waited_for_buffer",
            Cause::Permit => "waited_for_permit",
            Cause::Memory => "waited_for_memory",
        }
    }
}

/// What is kept of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPrint {
    /// Its hash, which is another in each process.
    pub hash: u64,
    /// Its length.
    pub len: u16,
    /// Its beginning, where keys are told.
    pub shown: Few<KEY_BYTES>,
}

/// A request that took long.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Counted from 0 since the start.
    pub number: u64,
    /// When it was over, in milliseconds since 1970.
    pub unix_millis: u64,
    /// How long it took.
    pub micros: u64,
    /// Why.
    pub cause: Cause,
    /// Which of [`Codec::NAMES`] was spoken.
    pub protocol_no: u8,
    /// So many requests were executed in that time on that connection; 0: none was finished.
    pub requests: u32,
    /// What the first is called, as the client wrote it.
    pub word: Few<WORD_BYTES>,
    /// The key that it is about, if it is about one.
    pub key: Option<KeyPrint>,
    /// How long the value under that key is, if there is one.
    pub value_bytes: Option<u64>,
    /// Whose request it was; `None`: somebody's at a Unix socket.
    pub client: Option<SocketAddr>,
}

impl Entry {
    /// Where none is yet.
    const NONE: Entry = Entry {
        number: 0,
        unix_millis: 0,
        micros: 0,
        cause: Cause::Work,
        protocol_no: 0,
        requests: 0,
        word: Few::NONE,
        key: None,
        value_bytes: None,
        client: None,
    };

    /// In which protocol it was asked.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        Codec::NAMES[usize::from(self.protocol_no)]
    }
}

/// See the module's head.
pub struct SlowLog {
    ring: Mutex<Ring>,
    threshold_nanos: u64,
    tells_keys: bool,
}

struct Ring {
    entries: Box<[Entry]>,
    /// So many were ever noted.
    noted: u64,
    /// Those before this one were forgotten.
    first: u64,
}

impl SlowLog {
    /// For requests that take so long or longer; `None`: for none.
    #[must_use]
    pub fn new(threshold: Option<Duration>, tells_keys: bool) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        SlowLog {
            ring: Mutex::new(Ring {
                entries: vec![Entry::NONE; ENTRIES].into_boxed_slice(),
                noted: 0,
                first: 0,
            }),
            threshold_nanos: threshold.map_or(u64::MAX, nanos),
            tells_keys,
        }
    }

    /// From so many nanoseconds on a request is slow.
    #[inline]
    #[must_use]
    pub fn threshold_nanos(&self) -> u64 {
        self.threshold_nanos
    }

    /// What may be kept of a key.
    #[must_use]
    pub fn print(&self, key: Key<'_>) -> KeyPrint {
        let bytes = key.bytes();
        KeyPrint {
            hash: key.hash().number(),
            len: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
            shown: match self.tells_keys {
                true => Few::of(bytes),
                false => Few::NONE,
            },
        }
    }

    /// Keeps an entry, and gives it its number.
    pub fn note(&self, entry: Entry) {
        let mut ring = self.ring.lock();
        let number = ring.noted;
        ring.noted += 1;
        ring.entries[place(number)] = Entry { number, ..entry };
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.lock().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all of them. Numbers go on.
    pub fn forget(&self) {
        let mut ring = self.ring.lock();
        ring.first = ring.noted;
    }

    /// Calls `with` with the newest, at most `most` of them.
    pub fn newest<R>(
        &self,
        most: usize,
        with: impl FnOnce(&mut dyn ExactSizeIterator<Item = &Entry>) -> R,
    ) -> R {
        let ring = self.ring.lock();
        let count = ring.count().min(most);
        let entry = |ago: usize| &ring.entries[place(ring.noted - 1 - ago as u64)];
        with(&mut (0..count).map(entry))
    }
}

fn place(number: u64) -> usize {
    (number % ENTRIES as u64) as usize
}

impl Ring {
    fn count(&self) -> usize {
        ((self.noted - self.first) as usize).min(ENTRIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(micros: u64) -> Entry {
        Entry {
            micros,
            ..Entry::NONE
        }
    }

    fn read(log: &SlowLog, most: usize) -> Vec<(u64, u64)> {
        log.newest(most, |entries| {
            let all: Vec<_> = entries
                .map(|entry| (entry.number, entry.micros))
                .collect();
            all
        })
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_are_written_over() {
        let log = SlowLog::new(Some(Duration::from_millis(10)), false);
        assert_eq!(log.threshold_nanos(), 10_000_000);
        assert_eq!(read(&log, 10), []);
        for micros in 0..300 {
            log.note(entry(micros));
        }
        assert_eq!(log.len(), ENTRIES);
        assert_eq!(read(&log, 2), [(299, 299), (298, 298)]);
        let all = read(&log, usize::MAX);
        assert_eq!((all.len(), all[127]), (128, (172, 172)));
        log.forget();
        assert!(log.is_empty());
        log.note(entry(7));
        assert_eq!(read(&log, 10), [(300, 7)]);
    }

    #[test]
    fn nobody_is_slow_where_nobody_can_be() {
        assert_eq!(SlowLog::new(None, false).threshold_nanos(), u64::MAX);
    }
}
