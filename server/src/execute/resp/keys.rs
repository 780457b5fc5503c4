//! All keys, a few at a time: `SCAN`, `KEYS`, `RANDOMKEY`.

use flagstone_engine::{KEY_BYTES_MAX, Scan};

use super::common::{With, refused, whole};
use crate::execute::done::Done;
use crate::memory::plan::OUTBOX_BYTES;
use crate::proto::glob;
use crate::proto::number::Digits;
use crate::proto::resp::command::ScanFrom;
use crate::proto::resp::encode::Out;
use crate::proto::resp::words;

/// What stands around a key.
const BULK_BYTES: usize = 16;
/// Before the keys are written it is not known how many there are.
const HEAD_BYTES: usize = 64;
/// A call needs so much of the outbox, so that it gets on.
const ROOM_BYTES_LEAST: usize = HEAD_BYTES + KEY_BYTES_MAX + BULK_BYTES;
/// One call goes through so many keys, whatever is asked for: a turn is short.
const COUNT_MAX: u32 = 1024;
/// `KEYS` goes through so many in all.
const KEYS_MAX: usize = 20_000;
/// So many steps of comparing with a pattern are as much work as a key …
const STEPS_A_KEY: usize = 64;
/// … and no key may take more of them: a pattern with many stars and a long key would take seconds.
const STEPS_MAX: usize = 64 << 10;
/// One call passes so many keys of other databases, which lie among those that are asked for.
const PASSED_MAX: usize = 4096;
/// One call looks at so many buckets: all those of a small cache, most of which are empty.
const BUCKETS_MAX: usize = 4096;

/// Keys that match, one behind the other, and what may still be done to find more.
struct Found<'r> {
    out: Out<'r>,
    count: usize,
    steps_left: usize,
    /// Of other databases.
    passed: usize,
    stopped: Option<Stopped>,
}

/// Why no more are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// There was no room for one more.
    Full,
    /// To compare a key with the pattern is too much work.
    TooHard,
}

impl<'r> Found<'r> {
    /// None yet; about so many are to be gone through.
    fn new(room: &'r mut [u8], keys: usize) -> Self {
        Found {
            out: Out::new(&mut room[HEAD_BYTES..], false),
            count: 0,
            steps_left: keys * STEPS_A_KEY,
            passed: 0,
            stopped: None,
        }
    }

    /// Goes through one bucket, as far as there are steps left, and room for what matches. It gets past one key at least,
    /// if there is a step left.
    fn bucket(
        &mut self,
        (database, scan): (u8, &mut Scan),
        pattern: Option<&[u8]>,
        with: With<'_, '_>,
    ) {
        let (cache, database) = (with.shared.cache, usize::from(database));
        let scanned = cache.scan_in(database, scan, with.now, |key, _| {
            if self.steps_left == 0 {
                return false;
            }
            let mut steps = STEPS_MAX;
            let matches = pattern.map_or(Some(true), |pattern| {
                glob::matches(pattern, key, false, &mut steps)
            });
            let took = STEPS_A_KEY + (STEPS_MAX - steps);
            self.steps_left = self.steps_left.saturating_sub(took);
            self.stopped = match matches {
                Some(true) if !self.add(key) => Some(Stopped::Full),
                Some(_) => None,
                None => Some(Stopped::TooHard),
            };
            self.stopped.is_none()
        });
        self.passed += scanned.passed;
    }

    fn add(&mut self, key: &[u8]) -> bool {
        let fits = self.out.len() + key.len() + BULK_BYTES <= self.out.room();
        if fits {
            let _ = self.out.bulk(key);
            self.count += 1;
        }
        fits
    }
}

/// `SCAN`: the next few keys, and where to go on.
pub fn scan(from: ScanFrom<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    if room.len() < ROOM_BYTES_LEAST {
        return Done::NeedsRoom;
    }
    let mut scan = Scan::from_number(from.cursor);
    let mut found = Found::new(room, from.count.min(COUNT_MAX) as usize);
    let is_empty = is_empty(from.database, with);
    for _ in 0..BUCKETS_MAX {
        // Of a type that is not here there is nothing.
        if !from.is_string || is_empty {
            scan = Scan::default();
            break;
        }
        found.bucket((from.database, &mut scan), from.pattern, with);
        let is_done = found.steps_left == 0 || found.passed >= PASSED_MAX;
        if found.stopped.is_some() || is_done || scan.number() == 0 {
            break;
        }
    }
    let (count, len) = (found.count, found.out.len());
    match found.stopped {
        // Not even one: the whole outbox has room for it.
        Some(Stopped::Full) if count == 0 => return Done::NeedsRoom,
        Some(Stopped::TooHard) => return refused(words::HARD_PATTERN),
        _ => {}
    }
    whole(begin(room, len, |head| {
        head.array(2)?;
        head.bulk(Digits::of(scan.number()).as_bytes())?;
        head.array(count)
    }))
}

/// `KEYS`
pub fn keys(pattern: &[u8], database: u8, with: With<'_, '_>, room: &mut [u8]) -> Done {
    if room.len() < ROOM_BYTES_LEAST {
        return Done::NeedsRoom;
    }
    let is_empty = is_empty(database, with);
    // Those of the other databases are gone through, too.
    if with.shared.cache.stats().items as usize > KEYS_MAX && !is_empty {
        return refused(words::TOO_MANY_KEYS);
    }
    let is_whole = room.len() >= OUTBOX_BYTES;
    let mut scan = Scan::default();
    let mut found = Found::new(room, 2 * KEYS_MAX);
    loop {
        if is_empty {
            break;
        }
        found.bucket((database, &mut scan), Some(pattern), with);
        match found.stopped {
            // It may fit into the whole outbox.
            Some(Stopped::Full) if !is_whole => return Done::NeedsRoom,
            Some(Stopped::Full) => return refused(words::TOO_MANY_KEYS),
            Some(Stopped::TooHard) => return refused(words::HARD_PATTERN),
            None if scan.number() == 0 => break,
            None if found.steps_left == 0 || found.passed > KEYS_MAX => {
                return refused(words::TOO_MANY_KEYS);
            }
            None => {}
        }
    }
    let (count, len) = (found.count, found.out.len());
    whole(begin(room, len, |head| head.array(count)))
}

/// Puts a head before `len` bytes that are written already; says how long both are.
fn begin(
    room: &mut [u8],
    len: usize,
    write: impl FnOnce(&mut Out<'_>) -> Option<()>,
) -> Option<usize> {
    let mut head = Out::new(&mut room[..HEAD_BYTES], false);
    write(&mut head)?;
    let head_len = head.len();
    room.copy_within(HEAD_BYTES..HEAD_BYTES + len, head_len);
    Some(head_len + len)
}

/// `RANDOMKEY`: the first key behind a place anywhere.
pub fn random_key(database: u8, with: With<'_, '_>, room: &mut [u8], v3: bool) -> Done {
    if room.len() < ROOM_BYTES_LEAST {
        return Done::NeedsRoom;
    }
    let mut scan = Scan::from_number(anywhere(with));
    let mut found = None;
    let (mut ends, mut passed) = (0, 0);
    let is_empty = is_empty(database, with);
    // To the end, and once more from the beginning. Where nearly all has expired or is of others, nothing may be found.
    for _ in 0..KEYS_MAX {
        if is_empty || passed > KEYS_MAX {
            break;
        }
        let (cache, database) = (with.shared.cache, usize::from(database));
        let scanned = cache.scan_in(database, &mut scan, with.now, |key, _| {
            let mut out = Out::new(room, false);
            found = out.bulk(key).map(|()| out.len());
            false
        });
        passed += scanned.passed;
        ends += u32::from(!scanned.more);
        if found.is_some() || ends == 2 {
            break;
        }
    }
    whole(found.or_else(|| {
        let mut out = Out::new(room, v3);
        out.nil().map(|()| out.len())
    }))
}

/// Whether there is nothing in a database, among perhaps much of others.
fn is_empty(database: u8, with: With<'_, '_>) -> bool {
    database > 0 && with.shared.cache.items_in(usize::from(database)) == 0
}

/// A place that nobody can tell beforehand from the outside, which is all that is asked of it.
fn anywhere(with: With<'_, '_>) -> u64 {
    let asked = with.counters.others.get();
    let mut mixed = with.now.as_millis() ^ asked.rotate_left(32);
    // splitmix64's last steps (Steele, Lea, Flood, 2014).
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // A scan has numbers of 63 bits.
    (mixed ^ (mixed >> 31)) >> 1
}
