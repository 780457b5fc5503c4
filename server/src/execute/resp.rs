//! What Redis' own commands ask of the cache.
//!
//! A command that changes a value reads it together with its CAS number, and stores only over that: between the two
//! nobody else's change is lost, and the shard's lock is held for neither. If somebody was faster, it begins again.

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Deadline, ItemMeta, Key, Lookup, Outcome, Pinned, Side,
    StoreError, Tick,
};

use super::decimal;
use super::lifetime::deadline;
use super::{Done, get, refusal};
use crate::clock::Clock;
use crate::observe::counters::Counters;
use crate::proto::number::{Digits, parse_i64};
use crate::proto::resp::command::{About, Op, Ttl};
use crate::proto::resp::encode::{Out, hello, integer};
use crate::proto::resp::set::{Expiry, SetOptions};
use crate::proto::resp::{Format, words};
use crate::proto::{How, REPLY_BYTES_MAX, Refusal, Reply, ReplyFormat, Words};
use crate::report;
use crate::server::shared::Shared;

/// So often somebody else may be faster before a command waits for its next turn.
const TRIES_MAX: usize = 64;
/// Pieces in which values are gone through.
const WINDOW_BYTES: usize = 1024;
/// A number as a value is no longer.
const NUMBER_BYTES_MAX: usize = decimal::TEXT_BYTES_MAX;

/// What a command needs beside its words.
#[derive(Clone, Copy)]
pub struct With<'s, 'h> {
    pub shared: &'s Shared<'h>,
    pub now: Tick,
    pub format: ReplyFormat<'s>,
    pub counters: &'s Counters,
}

/// Why a try came to nothing.
enum Stop {
    /// Somebody else was faster.
    Again,
    /// This is the end of it.
    Done(Done),
}

type Tried<T> = Result<T, Stop>;

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Done(match error {
            StoreError::NoSpace => Done::NotNow,
            error => Done::Reply(Reply::Refused(refusal(error))),
        })
    }
}

fn say(words: Words) -> Stop {
    Stop::Done(Done::Reply(Reply::Refused(Refusal::Words(words))))
}

/// What was written to the front of a room. Short answers always fit.
fn whole(len: Option<usize>) -> Done {
    match len {
        Some(len) => Done::Reply(Reply::Whole { len }),
        None => Done::NeedsRoom,
    }
}

/// Carries out one of Redis' own commands.
pub fn run(op: Op<'_>, key: Option<Key<'_>>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    match key {
        Some(key) => run_keyed(op, key, with, room),
        None => run_keyless(op, with, room),
    }
}

fn run_keyed(op: Op<'_>, key: Key<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    for _ in 0..TRIES_MAX {
        let tried = match op {
            Op::Set(_, value, options) => set(key, value, &options, with, room),
            Op::GetDel(_) => get_del(key, with, room),
            Op::Append(_, value) => append(key, value, with, room),
            Op::Incr(_, by) => incr(key, by, with, room),
            Op::IncrByFloat(_, by) => incr_by_float(key, by, with, room),
            Op::SetRange(_, offset, value) => set_range(key, offset, value, with, room),
            Op::GetRange(_, from, to) => get_range(key, from, to, with, room),
            _ => Ok(look(op, key, with, room)),
        };
        match tried {
            Ok(done) | Err(Stop::Done(done)) => return done,
            Err(Stop::Again) => {}
        }
    }
    Done::NotNow
}

/// The item's CAS number, which it is given if it had none.
fn cas_of(cache: &Cache, key: Key<'_>, now: Tick) -> Tried<Option<u64>> {
    Ok(cache.cas(key, now)?)
}

/// Puts `value` in the place of the item with this CAS number, or where none is.
fn put(
    key: Key<'_>,
    value: &[u8],
    attributes: Attributes,
    over: Option<u64>,
    with: With<'_, '_>,
) -> Tried<()> {
    let condition = over.map_or(Condition::Absent, Condition::Cas);
    let cache = with.shared.cache;
    let stored = cache.store_as(key, value, attributes, condition, CasWish::IfKept, with.now)?;
    match stored.outcome {
        Outcome::Stored => Ok(()),
        _ => Err(Stop::Again),
    }
}

/// A short value with what is known of it, as one; `None`: there is no item.
fn read<'b>(
    key: Key<'_>,
    buffer: &'b mut [u8],
    with: With<'_, '_>,
    too_long: Words,
) -> Tried<Option<(&'b [u8], ItemMeta)>> {
    if cas_of(with.shared.cache, key, with.now)?.is_none() {
        return Ok(None);
    }
    match with.shared.cache.get(key, with.now, buffer) {
        Lookup::Hit(meta) => Ok(Some((&buffer[..meta.value_len], meta))),
        Lookup::Miss => Err(Stop::Again),
        Lookup::TooSmall(_) => Err(say(too_long)),
    }
}

fn kept(meta: &ItemMeta) -> Attributes {
    Attributes {
        client_flags: meta.client_flags,
        deadline: meta.deadline,
    }
}

/// `SET` with a look at what is there.
fn set(
    key: Key<'_>,
    value: &[u8],
    options: &SetOptions<'_>,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let cache = with.shared.cache;
    let cas = cas_of(cache, key, with.now)?;
    let mut done = Done::Reply(Reply::Missing);
    if options.get {
        match get(cache, key, with.now, with.format, room) {
            super::Got::Value { len } => done = Done::Reply(Reply::Value { len }),
            super::Got::Missing => {}
            // It is sent in pieces, and stored over by `pin`.
            super::Got::TooLong(len) => return Ok(Done::TooLong(len)),
            super::Got::NotNow => return Ok(Done::NotNow),
        }
    }
    let is_stored = set_over(key, value, options, cas, with)?;
    with.counters.puts.add(1);
    match options.get {
        true => {
            note_read(
                matches!(done, Done::Reply(Reply::Value { .. })),
                with.counters,
            );
            Ok(done)
        }
        false if is_stored => Ok(whole(status("OK", room))),
        false => Ok(done),
    }
}

/// Stores over the item with this CAS number, or where none is, as the options say; false: a condition does not hold.
fn set_over(
    key: Key<'_>,
    value: &[u8],
    options: &SetOptions<'_>,
    cas: Option<u64>,
    with: With<'_, '_>,
) -> Tried<bool> {
    let shared = with.shared;
    let holds = match (options.how, cas) {
        (How::Absent, Some(_)) | (How::Present, None) => false,
        _ => match (options.equal, cas) {
            (Some(_), None) => false,
            (Some(expected), Some(_)) => is_equal(key, expected, with)?,
            (None, _) => true,
        },
    };
    if !holds {
        return Ok(false);
    }
    let until = match options.expiry {
        Expiry::Until(lifetime) => deadline(lifetime, with.now, &shared.clock),
        Expiry::Keep => {
            let meta = shared.cache.meta(key, with.now);
            meta.map_or(Deadline::NEVER, |meta| meta.deadline)
        }
    };
    shared.note_counted();
    put(key, value, until.into(), cas, with)?;
    Ok(true)
}

/// Whether the value is this one.
fn is_equal(key: Key<'_>, expected: &[u8], with: With<'_, '_>) -> Tried<bool> {
    let mut left = expected;
    let mut is_equal = true;
    let found = with.shared.cache.get_with(key, with.now, |part| {
        is_equal = is_equal && left.starts_with(part);
        left = left.get(part.len()..).unwrap_or_default();
    })?;
    Ok(found.is_some_and(|meta| is_equal && meta.value_len == expected.len()))
}

fn note_read(found: bool, counters: &Counters) {
    match found {
        true => counters.hits.add(1),
        false => counters.misses.add(1),
    }
}

fn get_del(key: Key<'_>, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let cache = with.shared.cache;
    let Some(mut pinned) = cache.pin(key, with.now)? else {
        with.counters.misses.add(1);
        return Ok(Done::Reply(Reply::Missing));
    };
    let value_len = pinned.meta().value_len;
    let head_len = Format::value_head(value_len, room).unwrap_or(0);
    let len = head_len + value_len;
    if len + with.format.value_tail().len() > room.len() {
        // It is sent in pieces, and deleted by `pin`.
        return Ok(Done::TooLong(value_len));
    }
    if pinned.read(&mut room[head_len..len]) < value_len
        || !cache.delete_pinned(key, &pinned, with.now)
    {
        return Err(Stop::Again);
    }
    with.counters.hits.add(1);
    with.counters.delete_hits.add(1);
    Ok(Done::Reply(Reply::Value { len }))
}

fn append(key: Key<'_>, value: &[u8], with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let cache = with.shared.cache;
    with.shared.note_counted();
    let stored = cache.extend(key, value, Side::Behind, None, CasWish::IfKept, with.now);
    let len = match stored {
        Ok(stored) if stored.outcome == Outcome::Stored => stored.value_len,
        Ok(_) => {
            put(key, value, Attributes::default(), None, with)?;
            value.len()
        }
        Err(StoreError::TooLarge) => return Err(say(words::STRING_TOO_LONG)),
        Err(error) => return Err(error.into()),
    };
    with.counters.puts.add(1);
    Ok(whole(integer(len as i64, room)))
}

fn incr(key: Key<'_>, by: i64, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let mut buffer = [0; NUMBER_BYTES_MAX];
    let found = read(key, &mut buffer, with, words::NOT_INTEGER)?;
    let number = match found {
        None => 0,
        Some((digits, _)) => canonical_i64(digits).ok_or(say(words::NOT_INTEGER))?,
    };
    let sum = number.checked_add(by).ok_or(say(words::OVERFLOW))?;
    let (digits, len) = signed(sum);
    let attributes = found.map_or(Attributes::default(), |(_, meta)| kept(&meta));
    let over = found.and_then(|(_, meta)| meta.cas);
    put(key, &digits[..len], attributes, over, with)?;
    note_counted_by(by, found.is_some(), with.counters);
    Ok(whole(integer(sum, room)))
}

fn note_counted_by(by: i64, found: bool, counters: &Counters) {
    match (by < 0, found) {
        (false, true) => counters.incr_hits.add(1),
        (false, false) => counters.incr_misses.add(1),
        (true, true) => counters.decr_hits.add(1),
        (true, false) => counters.decr_misses.add(1),
    }
}

/// A number as Redis writes it: without zeros before it, without `+` and `-0`.
fn canonical_i64(digits: &[u8]) -> Option<i64> {
    let number = parse_i64(digits)?;
    let (text, len) = signed(number);
    (&text[..len] == digits).then_some(number)
}

/// A number in decimal.
fn signed(number: i64) -> ([u8; 21], usize) {
    let mut text = [0; 21];
    let digits = Digits::of(number.unsigned_abs());
    let digits = digits.as_bytes();
    let start = usize::from(number < 0);
    text[0] = b'-';
    text[start..start + digits.len()].copy_from_slice(digits);
    (text, start + digits.len())
}

fn incr_by_float(key: Key<'_>, by: &[u8], with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let mut buffer = [0; NUMBER_BYTES_MAX];
    let found = read(key, &mut buffer, with, words::NOT_FLOAT)?;
    let number = found.map_or(&b"0"[..], |(digits, _)| digits);
    let sum = match decimal::add(number, by) {
        Ok(sum) => sum,
        Err(decimal::Wrong::NoNumber) => return Err(say(words::NOT_FLOAT)),
        Err(decimal::Wrong::NotFinite) => return Err(say(words::NOT_FINITE)),
    };
    let attributes = found.map_or(Attributes::default(), |(_, meta)| kept(&meta));
    let over = found.and_then(|(_, meta)| meta.cas);
    put(key, sum.as_bytes(), attributes, over, with)?;
    note_counted_by(1, found.is_some(), with.counters);
    let mut out = Out::new(room, false);
    Ok(whole(out.bulk(sum.as_bytes()).map(|()| out.len())))
}

fn set_range(
    key: Key<'_>,
    offset: usize,
    value: &[u8],
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let cache = with.shared.cache;
    let cas = cas_of(cache, key, with.now)?;
    let before = match cas {
        None => None,
        Some(_) => match cache.pin(key, with.now)? {
            Some(pinned) => Some(pinned),
            None => return Err(Stop::Again),
        },
    };
    let meta = before.as_ref().map(Pinned::meta);
    let len_before = meta.map_or(0, |meta| meta.value_len);
    if value.is_empty() {
        with.counters.others.add(1);
        return Ok(whole(integer(len_before as i64, room)));
    }
    let len = offset.saturating_add(value.len()).max(len_before);
    if len > with.shared.plan.engine.item_bytes_max() {
        return Err(say(words::STRING_TOO_LONG));
    }
    with.shared.note_counted();
    let attributes = meta.map_or(Attributes::default(), |meta| kept(&meta));
    let condition = meta
        .and_then(|meta| meta.cas)
        .map_or(Condition::Absent, Condition::Cas);
    let wish = CasWish::IfKept;
    let mut after = cache.reserve_for(key, len, attributes, condition, wish, with.now)?;
    let mut window = [0; WINDOW_BYTES];
    // What was there, up to the offset; zeros, if it was shorter; the new part; what was there behind it.
    if let Some(mut before) = before {
        let mut left = offset.min(len_before);
        while left > 0 {
            let most = left.min(WINDOW_BYTES);
            let n = before.read(&mut window[..most]);
            after.write(&window[..n], with.now)?;
            left -= n;
        }
        write_zeros(&mut after, offset.saturating_sub(len_before), with.now)?;
        after.write(value, with.now)?;
        before.seek((offset + value.len()).min(len_before));
        loop {
            match before.read(&mut window) {
                0 => break,
                n => after.write(&window[..n], with.now)?,
            }
        }
    } else {
        write_zeros(&mut after, offset, with.now)?;
        after.write(value, with.now)?;
    }
    match after.commit_as(condition, with.now)?.outcome {
        Outcome::Stored => {
            with.counters.puts.add(1);
            Ok(whole(integer(len as i64, room)))
        }
        _ => Err(Stop::Again),
    }
}

fn write_zeros(
    to: &mut flagstone_engine::Reservation<'_>,
    mut left: usize,
    now: Tick,
) -> Result<(), StoreError> {
    while left > 0 {
        let n = left.min(WINDOW_BYTES);
        to.write(&[0; WINDOW_BYTES][..n], now)?;
        left -= n;
    }
    Ok(())
}

fn get_range(key: Key<'_>, from: i64, to: i64, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let pinned = with.shared.cache.pin(key, with.now)?;
    note_read(pinned.is_some(), with.counters);
    let value_len = pinned.as_ref().map_or(0, |pinned| pinned.meta().value_len);
    let (start, end) = range(from, to, value_len);
    let len = end - start;
    let head_len = Format::value_head(len, room).unwrap_or(0);
    let whole_len = head_len + len + 2;
    if whole_len > room.len() {
        // Into an empty outbox, if it is no longer than that.
        return match len + REPLY_BYTES_MAX > crate::memory::plan::OUTBOX_BYTES {
            true => Err(say(words::RANGE_TOO_LONG)),
            false => Ok(Done::NeedsRoom),
        };
    }
    if let Some(mut pinned) = pinned {
        pinned.seek(start);
        pinned.read(&mut room[head_len..head_len + len]);
    }
    room[head_len + len..whole_len].copy_from_slice(b"\r\n");
    Ok(whole(Some(whole_len)))
}

/// From where to where a range of a value reaches; what is below 0 counts from its end.
fn range(from: i64, to: i64, value_len: usize) -> (usize, usize) {
    let len = i64::try_from(value_len).unwrap_or(i64::MAX);
    let at = |place: i64| match place < 0 {
        true => place.saturating_add(len).max(0),
        false => place,
    };
    // Both before the beginning, and in the wrong order: nothing.
    if from < 0 && to < 0 && from > to {
        return (0, 0);
    }
    let (from, to) = (at(from), at(to).min(len - 1));
    if from > to || len == 0 {
        return (0, 0);
    }
    (from as usize, to as usize + 1)
}

/// Commands that look at an item, or change what is beside its value.
fn look(op: Op<'_>, key: Key<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    let (shared, now) = (with.shared, with.now);
    let cache = shared.cache;
    let meta = || cache.meta(key, now);
    let number = match op {
        Op::Expire(_, lifetime, condition) => {
            let until = deadline(lifetime, now, &shared.clock);
            let holds = |meta: ItemMeta| {
                let before = meta.deadline.tick();
                let after = until.tick();
                // None is later than any.
                let is_later = before.is_some() && after > before;
                let is_earlier = before.is_none() || after < before;
                !(condition.none && before.is_some()
                    || condition.some && before.is_none()
                    || condition.later && !is_later
                    || condition.earlier && !is_earlier)
            };
            let is_set = meta().is_some_and(holds);
            return touch(key, until, is_set, with, room);
        }
        Op::Persist(_) => {
            let has_one = meta().is_some_and(|meta| !meta.deadline.is_never());
            return touch(key, Deadline::NEVER, has_one, with, room);
        }
        Op::Ttl(_, form) => ttl(meta(), form, now, &shared.clock),
        Op::StrLen(_) => meta().map_or(0, |meta| meta.value_len as i64),
        Op::Exists(_) => {
            with.counters.others.add(1);
            return Done::Reply(match meta() {
                Some(_) => Reply::Touched,
                None => Reply::Missing,
            });
        }
        Op::Type(_) => {
            with.counters.others.add(1);
            let word = if meta().is_some() { "string" } else { "none" };
            return whole(status(word, room));
        }
        Op::Object(_, about) => {
            with.counters.others.add(1);
            let Some(visited) = cache.examine(key, now) else {
                return Done::Reply(Reply::Missing);
            };
            match about {
                About::Encoding => {
                    let mut out = Out::new(room, false);
                    let short = visited.meta.value_len <= EMBEDDED_BYTES_MAX;
                    let word = if short { "embstr" } else { "raw" };
                    return whole(out.text(word).map(|()| out.len()));
                }
                About::IdleTime => visited.idle_seconds.unwrap_or(0) as i64,
                About::RefCount => 1,
                About::MemoryUsage => visited.item_bytes as i64,
            }
        }
        _ => return Done::Reply(Reply::Refused(Refusal::Malformed)),
    };
    with.counters.others.add(1);
    whole(integer(number, room))
}

/// Up to here Redis calls a value embedded.
const EMBEDDED_BYTES_MAX: usize = 44;

fn touch(key: Key<'_>, until: Deadline, holds: bool, with: With<'_, '_>, room: &mut [u8]) -> Done {
    let done = match holds {
        false => false,
        true => match with.shared.cache.touch(key, until, with.now) {
            Ok(done) => done,
            Err(_) => return Done::NotNow,
        },
    };
    match done {
        true => with.counters.touch_hits.add(1),
        false => with.counters.touch_misses.add(1),
    }
    whole(integer(i64::from(done), room))
}

fn ttl(meta: Option<ItemMeta>, form: Ttl, now: Tick, clock: &Clock) -> i64 {
    let Some(meta) = meta else {
        return -2;
    };
    let Some(at) = meta.deadline.tick() else {
        return -1;
    };
    let left = at.millis_since(now);
    let number = match form {
        Ttl::Millis => left,
        Ttl::Seconds => (left + 500) / 1000,
        Ttl::UnixMillis => clock.unix_millis_of(at),
        Ttl::UnixSeconds => (clock.unix_millis_of(at) + 500) / 1000,
    };
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn status(word: &str, room: &mut [u8]) -> Option<usize> {
    let mut out = Out::new(room, false);
    out.status(word)?;
    Some(out.len())
}

fn run_keyless(op: Op<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    let v3 = match with.format {
        ReplyFormat::Resp(format) => format.v3,
        _ => false,
    };
    match op {
        Op::Nothing => return whole(Some(0)),
        Op::Absent => {
            with.counters.misses.add(1);
            return Done::Reply(Reply::Missing);
        }
        Op::Unknown(..) | Op::UnknownSub(..) | Op::WrongArity(_) | Op::BadTime(_) => {
            with.counters.refusals.add(1);
            return whole(report::resp::refusal(op, room));
        }
        _ => with.counters.others.add(1),
    }
    let mut out = Out::new(room, v3);
    let written = match op {
        Op::Array(len) => out.array(len as usize),
        Op::Ping(None) => out.status("PONG"),
        Op::Ping(Some(message)) => out.bulk(message),
        Op::Hello => return whole(hello(v3, room)),
        Op::Nil => out.nil(),
        Op::Empty => out.array(0),
        Op::Number(number) => out.integer(number),
        Op::Status(word) => out.status(word),
        Op::DbSize => out.integer(with.shared.cache.stats().items as i64),
        Op::Time => report::resp::time(&with.shared.clock, &mut out),
        Op::ResetStat => {
            report::reset(with.shared);
            out.status("OK")
        }
        op => {
            return whole(
                report::resp::tell(op, with.shared, with.now, &mut out).map(|()| out.len()),
            );
        }
    };
    whole(written.map(|()| out.len()))
}

/// Holds a long value still that `SET … GET` or `GETDEL` answers with, after doing what else they do.
pub fn pin<'h>(
    op: Op<'_>,
    key: Key<'_>,
    with: With<'_, 'h>,
    room: &mut [u8],
) -> Result<Option<(Pinned<'h>, usize)>, StoreError> {
    let cache: &'h Cache = with.shared.cache;
    // Whatever goes wrong, the whole request is tried again.
    let again = Err(StoreError::NoSpace);
    let Some(cas) = cache.cas(key, with.now)? else {
        return again;
    };
    let Some(pinned) = cache.pin(key, with.now)? else {
        return again;
    };
    if pinned.meta().cas != Some(cas) {
        return again;
    }
    let head_len = Format::value_head(pinned.meta().value_len, room).ok_or(StoreError::NoSpace)?;
    match op {
        Op::Set(_, value, options) => {
            if set_over(key, value, &options, Some(cas), with).is_err() {
                return again;
            }
            with.counters.puts.add(1);
        }
        Op::GetDel(_) => {
            if !cache.delete_pinned(key, &pinned, with.now) {
                return again;
            }
            with.counters.delete_hits.add(1);
        }
        _ => return Ok(None),
    }
    with.counters.hits.add(1);
    Ok(Some((pinned, head_len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        let of = |from, to| range(from, to, 10);
        assert_eq!(of(0, -1), (0, 10));
        assert_eq!(of(0, 0), (0, 1));
        assert_eq!(of(-3, -1), (7, 10));
        assert_eq!(of(5, 2), (0, 0));
        assert_eq!(of(5, 100), (5, 10));
        assert_eq!(of(10, 20), (0, 0));
        assert_eq!(of(-100, -50), (0, 1));
        assert_eq!(of(-1, -100), (0, 0));
        assert_eq!(of(i64::MIN, i64::MAX), (0, 10));
        assert_eq!(range(0, -1, 0), (0, 0));
    }

    #[test]
    fn only_numbers_as_redis_writes_them_count() {
        for (text, number) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("01", None),
            ("-0", None),
            ("+1", None),
            (" 1", None),
            ("", None),
            ("1.0", None),
        ] {
            assert_eq!(canonical_i64(text.as_bytes()), number, "{text}");
        }
    }
}
