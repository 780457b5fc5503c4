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
//! - *a turn* that took long: named by the first request that its last read has brought, with how many it executed. Of a
//!   pipeline nobody knows which request took how long, and the cause says so;
//! - *a request that goes through much* (`KEYS`, a script, a long `APPEND`), measured by itself;
//! - *a value that is sent or received in pieces,* from the first piece to the last: how fast the client is counts;
//! - *a wait* for a lease, for memory, or for a long value's turn.
//!
//! The lock is taken for an entry and by the readers, never for a request that was fast enough. Of a key the ring keeps
//! length, beginning and hash; only length and hash where `--tell-keys` is off. The hash is another in each process: it
//! shows that two entries are about the same key, and not which.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use flagstone_engine::Key;
use parking_lot::Mutex;

use super::few::Few;
use crate::clients::Place;
pub use crate::memory::costs::SLOW_ENTRIES as ENTRIES;
use crate::memory::costs::SLOW_ENTRY_BYTES;
use crate::proto::Codec;

/// Of a command's name so many bytes are.
pub const WORD_BYTES: usize = 16;
/// Of a key so many are, where keys are told.
pub const KEY_BYTES: usize = 32;
/// Of a client's name so many are.
pub const NAME_BYTES: usize = 24;

static_assertions::const_assert!(size_of::<Entry>() <= SLOW_ENTRY_BYTES);

/// Why it took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The worker was at other connections for most of the time.
    Busy,
    /// The request took most of it.
    Work,
    /// Several requests did that were executed in one turn.
    Pipeline,
    /// A value went in or out in pieces.
    LongValue,
    /// It waited for a leased buffer.
    Lease,
    /// It waited until so long a value may be on its way.
    Permit,
    /// It waited for memory.
    Memory,
}

impl Cause {
    /// In the order of [`SlowLog::counts`].
    pub const ALL: [Cause; 7] = [
        Cause::Busy,
        Cause::Work,
        Cause::Pipeline,
        Cause::LongValue,
        Cause::Lease,
        Cause::Permit,
        Cause::Memory,
    ];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Busy => "worker_busy",
            Cause::Work => "work",
            Cause::Pipeline => "pipeline",
            Cause::LongValue => "long_value",
            Cause::Lease => "waited_for_lease",
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
    /// Where the client is.
    pub client: Place,
    /// What it calls itself.
    pub name: Few<NAME_BYTES>,
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
        client: Place::Unix,
        name: Few::NONE,
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
    /// How many there were of each cause.
    counts: [AtomicU64; Cause::ALL.len()],
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
                entries: vec![Entry::NONE; threshold.map_or(0, |_| ENTRIES)].into_boxed_slice(),
                noted: 0,
                first: 0,
            }),
            counts: Default::default(),
            threshold_nanos: threshold.map_or(u64::MAX, nanos),
            tells_keys,
        }
    }

    /// Whether beginnings of keys are kept.
    #[must_use]
    pub fn tells_keys(&self) -> bool {
        self.tells_keys
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

    /// How many there were of each cause since the start, those that were written over or forgotten among them.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); Cause::ALL.len()] {
        Cause::ALL.map(|cause| (cause.name(), self.counts[cause as usize].load(Relaxed)))
    }

    /// Keeps an entry, and gives it its number. Only of a request that took [so long](Self::threshold_nanos).
    pub fn note(&self, entry: Entry) {
        // Relaxed: a count publishes nothing.
        self.counts[entry.cause as usize].fetch_add(1, Relaxed);
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

    /// Calls `with` with the newest, at most `most` of them, and how many these are.
    pub fn newest<R>(
        &self,
        most: usize,
        with: impl FnOnce(usize, &mut dyn Iterator<Item = &Entry>) -> R,
    ) -> R {
        let ring = self.ring.lock();
        let count = ring.count().min(most);
        let entry = |ago: usize| &ring.entries[place(ring.noted - 1 - ago as u64)];
        with(count, &mut (0..count).map(entry))
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
        log.newest(most, |count, entries| {
            let all: Vec<_> = entries.map(|entry| (entry.number, entry.micros)).collect();
            assert_eq!(all.len(), count);
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
        let counts = log.counts();
        assert_eq!(counts[Cause::Work as usize], ("work", 301));
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 301);
    }

    #[test]
    fn causes_stand_at_their_numbers() {
        for (no, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, no);
        }
    }

    #[test]
    fn nobody_is_slow_where_nobody_can_be() {
        assert_eq!(SlowLog::new(None, false).threshold_nanos(), u64::MAX);
    }
}
