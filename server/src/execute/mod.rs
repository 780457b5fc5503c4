//! The desk: one match, `Command × Cache → Reply`.
//!
//! A command is taken in two steps, so that a batch of them can be prefetched in between:
//! [`Work::of`] hashes the key, once; [`Work::run`] does what was asked. The only place that
//! speaks both the vocabulary of the protocols and that of the engine.

mod meta;
mod order;

use flagstone_engine::{
    Cache, CasWish, Deadline, ItemMeta, Key, Lookup, NumberChange, NumberChanged, Pinned,
    StoreError, Tick, Visited,
};

pub use self::order::Order;

use crate::house::{Clock, House};
use crate::metrics::Counters;
use crate::proto::scan;
use crate::proto::{
    Command, Facts, Fate, How, KEY_BYTES_MAX, Lifetime, Listing, Meta, Refusal, Reply, Storing,
    Terms, Topic, Voice, Word,
};

static_assertions::const_assert_eq!(KEY_BYTES_MAX, flagstone_engine::KEY_BYTES_MAX);

/// A command with its key hashed.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// Send the value.
    Get(Key<'a>),
    /// Send the value, and change its lifetime.
    GetAndTouch(Key<'a>, Lifetime),
    /// Store.
    Store(Key<'a>, &'a [u8], Terms),
    /// Do what flags say. The key is the one on the line, which may be base64.
    Meta(Key<'a>, Meta<'a>),
    /// Store as flags say, likewise.
    MetaStore(Key<'a>, &'a [u8], Meta<'a>),
    /// Remove.
    Delete(Key<'a>),
    /// Change the lifetime.
    Touch(Key<'a>, Lifetime),
    /// Count up (or else down) by so much.
    Count(Key<'a>, bool, u64),
    /// Say how many seconds are left.
    Ttl(Key<'a>),
    /// Send the counters.
    Stats(Topic),
    /// Remove everything, now or then.
    Flush(Lifetime),
    /// Be content with so much memory.
    LimitMemory(usize),
    /// Say a word.
    Say(Word),
    /// Let in whoever knows this password of this user.
    Login(&'a [u8], &'a [u8]),
    /// Tell of items.
    Dump(Listing),
    /// Shut the server down.
    Shutdown,
    /// Move the clock.
    MoveClock(i64),
    /// Stop this worker for so many seconds; whether it works meanwhile.
    Stall(u64, bool),
    /// Close the connection.
    Quit,
    /// Say no.
    Refuse(Refusal),
}

/// What became of some [`Work`].
pub enum Done {
    /// It is done; this is the answer.
    Reply(Reply<'static>),
    /// The value, of so many bytes, is longer than the room. Nothing was done.
    TooLong(usize),
    /// The counters are asked for, which the caller gathers.
    Stats(Topic),
    /// Items are asked for, which the caller goes through.
    Dump(Listing),
    /// The client may do everything from now on.
    LoggedIn,
    /// It may not, and has tried.
    LoginFailed,
    /// The memory is held by transfers under way. Nothing was done; try again later.
    NotNow,
    /// The connection is to be closed.
    Quit,
}

impl<'a> Work<'a> {
    /// Hashes the key of `command`.
    #[inline]
    pub fn of(cache: &Cache, command: Command<'a>) -> Self {
        // A codec lets no other key through.
        let keyed = |key: &'a [u8]| cache.key(key).map_err(|_| Refusal::Malformed);
        let work = match command {
            Command::Get { key } => keyed(key).map(Work::Get),
            Command::Store { key, value, terms } => {
                keyed(key).map(|key| Work::Store(key, value, terms))
            }
            Command::Meta(meta) => keyed(meta.key).map(|key| Work::Meta(key, meta)),
            Command::MetaStore { meta, value } => {
                keyed(meta.key).map(|key| Work::MetaStore(key, value, meta))
            }
            Command::GetAndTouch { key, lifetime } => {
                keyed(key).map(|key| Work::GetAndTouch(key, lifetime))
            }
            Command::Delete { key } => keyed(key).map(Work::Delete),
            Command::Touch { key, lifetime } => keyed(key).map(|key| Work::Touch(key, lifetime)),
            Command::Count { key, up, by } => keyed(key).map(|key| Work::Count(key, up, by)),
            Command::Ttl { key } => keyed(key).map(Work::Ttl),
            Command::Stats(topic) => Ok(Work::Stats(topic)),
            Command::Flush { when } => Ok(Work::Flush(when)),
            Command::LimitMemory { bytes } => Ok(Work::LimitMemory(bytes)),
            Command::Say(word) => Ok(Work::Say(word)),
            Command::Login { user, password } => Ok(Work::Login(user, password)),
            Command::Dump(listing) => Ok(Work::Dump(listing)),
            Command::Shutdown => Ok(Work::Shutdown),
            Command::MoveClock { seconds } => Ok(Work::MoveClock(seconds)),
            Command::Stall { seconds, busy } => Ok(Work::Stall(seconds, busy)),
            Command::Quit => Ok(Work::Quit),
            Command::Refuse(refusal) => Err(refusal),
        };
        work.unwrap_or_else(Work::Refuse)
    }

    /// The key whose bucket is worth prefetching.
    #[inline]
    pub fn key(&self) -> Option<Key<'a>> {
        match *self {
            Work::Get(key)
            | Work::GetAndTouch(key, _)
            | Work::Store(key, ..)
            | Work::Meta(key, _)
            | Work::MetaStore(key, ..)
            | Work::Delete(key)
            | Work::Touch(key, _)
            | Work::Count(key, ..)
            | Work::Ttl(key) => Some(key),
            _ => None,
        }
    }

    /// Whether it may take so long that a turn should look at the clock: it may go through a long value, or through
    /// much of the cache, or try a password.
    #[inline]
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        match self {
            Work::Store(_, _, terms) => matches!(terms.how, How::Behind | How::Before),
            // That may be the mode.
            Work::MetaStore(_, _, meta) => memchr::memchr(b'M', meta.flags).is_some(),
            Work::Stats(_) | Work::Flush(_) | Work::Dump(_) | Work::Login(..) => true,
            _ => false,
        }
    }

    /// Does it. A value is copied from the cache to the front of `room`, behind its head and
    /// with what may follow it still fitting; `room` is otherwise untouched.
    #[inline]
    pub fn run(
        self,
        house: &House<'_>,
        now: Tick,
        voice: Voice<'_>,
        room: &mut [u8],
        counters: &Counters,
    ) -> Done {
        let cache = house.cache;
        Done::Reply(match self {
            Work::Get(key) => match get(cache, key, now, voice, room) {
                Got::Value { len } => {
                    counters.hits.add(1);
                    match may_be_cut(house, voice) && scan::has_newline(&room[..len]) {
                        false => Reply::Value { len },
                        true => Reply::Refused(Refusal::Malformed),
                    }
                }
                Got::Missing => {
                    counters.misses.add(1);
                    Reply::Missing
                }
                Got::TooLong(len) => return Done::TooLong(len),
                Got::NotNow => return Done::NotNow,
            },
            Work::Store(key, value, terms) => {
                note_store(house, voice);
                let order = Order::plain(&terms, now, &house.clock);
                return order.run(cache, key, value, now, counters);
            }
            Work::Meta(key, meta) => {
                return meta::run(house, key, meta, now, voice, room, counters);
            }
            Work::MetaStore(key, value, meta) => {
                note_store(house, voice);
                return meta::store(house, key, meta, value, now, counters);
            }
            Work::GetAndTouch(key, _) => match get(cache, key, now, voice, room) {
                Got::Value { len } => {
                    if self.touch_after(house, now).is_err() {
                        return Done::NotNow;
                    }
                    counters.touch_hits.add(1);
                    Reply::Value { len }
                }
                Got::Missing => {
                    counters.touch_misses.add(1);
                    Reply::Missing
                }
                Got::TooLong(len) => return Done::TooLong(len),
                Got::NotNow => return Done::NotNow,
            },
            Work::Delete(key) => {
                if cache.delete(key, now) {
                    counters.delete_hits.add(1);
                    Reply::Deleted
                } else {
                    counters.delete_misses.add(1);
                    Reply::Missing
                }
            }
            Work::Touch(key, lifetime) => {
                match cache.touch(key, deadline(lifetime, now, &house.clock), now) {
                    Ok(true) => {
                        counters.touch_hits.add(1);
                        Reply::Touched
                    }
                    Ok(false) => {
                        counters.touch_misses.add(1);
                        Reply::Missing
                    }
                    Err(_) => return Done::NotNow,
                }
            }
            Work::Count(key, up, by) => return count(cache, key, up, by, now, counters),
            Work::Ttl(key) => {
                counters.others.add(1);
                match cache.meta(key, now) {
                    Some(meta) => Reply::SecondsLeft(seconds_left(meta.deadline, now)),
                    None => Reply::Missing,
                }
            }
            Work::Flush(when) => {
                counters.flushes.add(1);
                if house.manners.flush {
                    house.flush(when, now);
                    Reply::Flushed
                } else {
                    Reply::Refused(Refusal::FlushNotAllowed)
                }
            }
            Work::LimitMemory(bytes) => {
                let plan = house.plan;
                let range = plan.memory_bytes_least()..=plan.memory_bytes_max;
                // It takes away from all what they have stored, as flushing does.
                if house.manners.flush && range.contains(&bytes) {
                    counters.others.add(1);
                    house.memory.wish(bytes);
                    Reply::Said(Word::Ok)
                } else {
                    counters.refusals.add(1);
                    Reply::Refused(Refusal::MemoryOutOfRange)
                }
            }
            Work::Say(word) => {
                counters.others.add(1);
                Reply::Said(word)
            }
            Work::Login(user, password) => {
                counters.logins.add(1);
                if house.users.know(user, password) {
                    return Done::LoggedIn;
                }
                counters.login_errors.add(1);
                return Done::LoginFailed;
            }
            Work::Dump(listing) => return Done::Dump(listing),
            Work::Shutdown if house.manners.shutdown => {
                house.shutdown.notify_one();
                return Done::Quit;
            }
            Work::Shutdown => Reply::Refused(Refusal::ShutdownNotEnabled),
            Work::Refuse(Refusal::BadShutdown) if !house.manners.shutdown => {
                Reply::Refused(Refusal::ShutdownNotEnabled)
            }
            Work::MoveClock(seconds) => {
                if house.manners.test_hooks {
                    counters.others.add(1);
                    house.clock.advance(seconds);
                    Reply::Said(Word::Ok)
                } else {
                    counters.refusals.add(1);
                    Reply::Refused(Refusal::Malformed)
                }
            }
            Work::Stall(seconds, busy) => {
                if house.manners.test_hooks {
                    counters.others.add(1);
                    stall(std::time::Duration::from_secs(seconds), busy);
                    Reply::Said(Word::Ok)
                } else {
                    counters.refusals.add(1);
                    Reply::Refused(Refusal::Malformed)
                }
            }
            Work::Refuse(refusal) => {
                counters.refusals.add(1);
                if refusal == Refusal::TooLarge {
                    counters.too_large.add(1);
                }
                Reply::Refused(refusal)
            }
            Work::Stats(topic) => return Done::Stats(topic),
            Work::Quit => return Done::Quit,
        })
    }

    /// Changes the lifetime of what was sent, if that was asked for too.
    pub fn touch_after(self, house: &House<'_>, now: Tick) -> Result<(), StoreError> {
        if let Work::GetAndTouch(key, lifetime) = self {
            house
                .cache
                .touch(key, deadline(lifetime, now, &house.clock), now)?;
        }
        Ok(())
    }
}

/// Whether a reader who looks for a line end might take only a part of a value.
#[inline]
pub fn may_be_cut(house: &House<'_>, voice: Voice<'_>) -> bool {
    voice.ends_at_newline() && house.has_counted()
}

/// A value is about to be stored in the protocol of `voice`.
#[inline]
pub fn note_store(house: &House<'_>, voice: Voice<'_>) {
    if !voice.ends_at_newline() {
        house.note_counted();
    }
}

enum Got {
    Value { len: usize },
    Missing,
    TooLong(usize),
    NotNow,
}

/// Head and value in one validated read.
#[inline]
fn get(cache: &Cache, key: Key<'_>, now: Tick, voice: Voice<'_>, room: &mut [u8]) -> Got {
    let fits = room.len().saturating_sub(voice.value_tail().len());
    let room = &mut room[..fits];
    loop {
        let mut head_len = 0;
        let found = cache.get_headed(key, now, room, |meta, room| {
            head_len = voice.value_head(key.bytes(), &facts(meta, now), room)?;
            Some(head_len)
        });
        return match found {
            Lookup::Hit(meta) => Got::Value {
                len: head_len + meta.value_len,
            },
            Lookup::Miss => Got::Missing,
            Lookup::TooSmall(ItemMeta { cas: None, .. }) if voice.wants_cas() => {
                // It gets its number now, because now somebody asks.
                match cache.cas(key, now) {
                    Ok(_) => continue,
                    Err(_) => Got::NotNow,
                }
            }
            Lookup::TooSmall(meta) => Got::TooLong(meta.value_len),
        };
    }
}

/// What a protocol wants to know of a value.
#[inline]
fn facts(meta: &ItemMeta, now: Tick) -> Facts {
    Facts {
        value_len: meta.value_len,
        client_flags: meta.client_flags,
        cas: meta.cas,
        seconds_left: seconds_begun(meta.deadline, now),
        stale: meta.stale,
        won: meta.won,
        ..Facts::default()
    }
}

/// The key and the order of a store whose value is still to arrive.
pub fn with_order<T>(
    house: &House<'_>,
    storing: Storing<'_>,
    now: Tick,
    then: impl FnOnce(Key<'_>, Order) -> T,
) -> Result<T, Refusal> {
    let key = |bytes| house.cache.key(bytes).map_err(|_| Refusal::Malformed);
    match storing {
        Storing::Plain { key: bytes, terms } => {
            Ok(then(key(bytes)?, Order::plain(&terms, now, &house.clock)))
        }
        Storing::Meta(meta) => meta::with_key(house, key(meta.key)?, meta, |key, options| {
            then(key, Order::flagged(options, now, &house.clock))
        }),
    }
}

/// Finds the value and holds it still, and writes its head to the front of `room`: for values
/// that are longer than any room. `None`: there is none any more.
pub fn pin<'h>(
    work: Work<'_>,
    house: &'h House<'h>,
    now: Tick,
    voice: Voice<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Result<Option<(Pinned<'h>, usize)>, StoreError> {
    let (Work::Get(key) | Work::GetAndTouch(key, _)) = work else {
        return match work {
            Work::Meta(key, meta) => meta::pin(house, key, meta, now, voice, room, counters),
            _ => Ok(None),
        };
    };
    let cache = house.cache;
    if voice.wants_cas() {
        cache.cas(key, now)?;
    }
    let Some(pinned) = cache.pin(key, now)? else {
        return Ok(None);
    };
    // Without its CAS number it is another item than a moment ago: try again.
    let head_len = voice
        .value_head(key.bytes(), &facts(&pinned.meta(), now), room)
        .ok_or(StoreError::NoSpace)?;
    // If there is no memory for another deadline, it keeps its own.
    let _ = work.touch_after(house, now);
    match work {
        Work::Get(_) => counters.hits.add(1),
        _ => counters.touch_hits.add(1),
    }
    Ok(Some((pinned, head_len)))
}

/// Whether a line end is in a value that is about to be sent in pieces. It is looked through once before, in pieces
/// of `room`.
pub fn has_newline(pinned: &mut Pinned<'_>, room: &mut [u8]) -> bool {
    let mut found = false;
    loop {
        match pinned.read(room) {
            0 => break,
            len => found |= memchr::memchr(b'\n', &room[..len]).is_some(),
        }
        if found {
            break;
        }
    }
    pinned.seek(0);
    found
}

fn count(cache: &Cache, key: Key<'_>, up: bool, by: u64, now: Tick, counters: &Counters) -> Done {
    let change = NumberChange {
        up,
        by,
        compare: None,
        cas: CasWish::IfKept,
        touch: None,
        create: None,
    };
    let (hits, misses) = if up {
        (&counters.incr_hits, &counters.incr_misses)
    } else {
        (&counters.decr_hits, &counters.decr_misses)
    };
    Done::Reply(match cache.change_number(key, &change, now) {
        Ok(NumberChanged::Done { number, .. }) => {
            hits.add(1);
            Reply::Counted(number)
        }
        Ok(NumberChanged::Missing) => {
            misses.add(1);
            Reply::Missing
        }
        Ok(NumberChanged::NotNumeric) => {
            counters.refusals.add(1);
            Reply::Refused(Refusal::NotNumeric)
        }
        Ok(NumberChanged::Exists) => Reply::Fate(Fate::Exists),
        Err(_) => return Done::NotNow,
    })
}

/// The moment at which a lifetime ends.
#[inline]
#[must_use]
pub fn deadline(lifetime: Lifetime, now: Tick, clock: &Clock) -> Deadline {
    match lifetime {
        Lifetime::Forever => Deadline::NEVER,
        Lifetime::Seconds(seconds) => Deadline::after_secs(now, u64::from(seconds)),
        Lifetime::Counted(seconds) => {
            let begun = Tick::from_secs(now.as_millis() / 1000);
            Deadline::at(begun.plus_secs(u64::from(seconds)))
        }
        Lifetime::Until(unix) => Deadline::at(clock.tick_of_unix(unix)),
        Lifetime::Past => Deadline::at(Tick::ZERO),
    }
}

/// What a dump tells of an item: moments of the calendar, where other answers count seconds.
#[must_use]
pub fn dump_facts(visited: &Visited, now: Tick, clock: &Clock) -> Facts {
    let accessed = visited.idle_seconds.map_or(Clock::EPOCH, |seconds| {
        Tick::from_millis(now.as_millis().saturating_sub(seconds * 1000))
    });
    Facts {
        seconds_left: visited.meta.deadline.tick().map(|at| clock.unix_of(at)),
        idle_seconds: clock.unix_of(accessed),
        cas: visited.meta.cas,
        read: visited.read,
        value_len: visited.meta.value_len,
        class: class_no(visited),
        item_bytes: visited.item_bytes as u64,
        client_flags: visited.meta.client_flags,
        ..Facts::default()
    }
}

/// A size class's number in all that is told: memcached counts from 1.
fn class_no(visited: &Visited) -> u64 {
    visited.class as u64 + 1
}

/// The refusal that tells a client about `error`.
#[must_use]
pub fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::TooLarge => Refusal::TooLarge,
        // `NoSpace`, `LengthMismatch`, and whatever else may pass by itself.
        _ => Refusal::NoSpace,
    }
}

/// Whole seconds from the one that has begun: an item that was given 100 of them, counted from
/// there, says 100 until it is over.
fn seconds_begun(deadline: Deadline, now: Tick) -> Option<u64> {
    Some(deadline.tick()?.millis_since(now).div_ceil(1000))
}

/// Whole seconds from `now`, rounded down: the deadline was rounded up when it was stored, so
/// an item that is to live 100 seconds says 100 at first.
fn seconds_left(deadline: Deadline, now: Tick) -> Option<u64> {
    Some(deadline.tick()?.millis_since(now) / 1000)
}

/// Stops the worker, so that tests see what is said of a worker that is stuck, and of one that is busy.
#[cold]
fn stall(time: std::time::Duration, busy: bool) {
    if !busy {
        return std::thread::sleep(time);
    }
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_item_says_the_seconds_it_was_given() {
        let clock = Clock::start();
        for now in [0, 1, 499, 500, 999, 1000, 12_345] {
            let now = Tick::from_millis(now);
            for seconds in [1, 10, 86_400] {
                let kept = deadline(Lifetime::Seconds(seconds), now, &clock);
                assert_eq!(seconds_left(kept, now), Some(u64::from(seconds)));
            }
        }
        let kept = deadline(Lifetime::Forever, Tick::ZERO, &clock);
        assert_eq!(seconds_left(kept, Tick::ZERO), None);
    }
}
