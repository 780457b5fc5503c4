//! What Redis' own commands ask of the cache.
//!
//! A command that changes a value does it as one step, under the shard's lock ([`Cache::update`]); one whose value is
//! too long for that reads it held still, and stores only if it is still the same.

mod bits;
mod common;
mod keys;
mod look;
mod range;
mod script;
mod several;

use flagstone_engine::{
    Attributes, Cache, CasWish, Current, Deadline, Edit, Key, NewValue, Pinned, Side, StoreError,
    Updated,
};

pub use self::common::With;
use self::common::{
    NUMBER_BYTES_MAX, Stop, Tried, canonical_i64, is_equal, kept, note_counted_by, say, signed,
    status, whole,
};
pub use self::look::is_as_seen;
use self::look::{look, run_keyless};
use self::range::{get_range, set_range};
pub use self::several::run_alone;
use super::decimal;
use super::done::Done;
use super::lifetime::deadline;
use crate::observe::counters::Counters;
use crate::proto::resp::command::Op;
use crate::proto::resp::encode::{Out, integer};
use crate::proto::resp::set::{Expiry, SetOptions};
use crate::proto::resp::{Format, words};
use crate::proto::{Command, How, Reply};

/// So often somebody else may be faster before a command waits for its next turn.
const TRIES_MAX: usize = 64;

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
            Op::SetBit(_, at, on) => bits::set_bit(key, at, on, with, room),
            Op::GetBit(_, at) => bits::get_bit(key, at, with, room),
            Op::BitCount(_, span) => bits::count(key, span, with, room),
            Op::BitPos(_, bit, span) => bits::find(key, bit, span, with, room),
            Op::DelIf(_, condition) => del_if(key, condition, with, room),
            Op::Eval(ref call) => script::run(call, key, with, room),
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

/// `SET` with a look at what is there.
fn set(
    key: Key<'_>,
    value: &[u8],
    options: &SetOptions<'_>,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    with.shared.note_counted();
    let tail_len = with.format.value_tail().len();
    let (mut found, mut until) = (None, None);
    let updated = with
        .shared
        .cache
        .update(key, with.now, &mut [], |current, _| {
            found = None;
            if options.get
                && let Some(item) = current
            {
                found = Some(copy(item, tail_len, room)?);
            }
            until = stored_until(current, options, with);
            Ok::<_, Stop>(set_edit(value, until))
        })?;
    with.counters.puts.add(1);
    if let Some(until) = until {
        with.note_stored(value.len(), until);
    }
    Ok(match (options.get, found, updated) {
        (true, Some(len), _) => {
            with.counters.hits.add(1);
            Done::Reply(Reply::Value { len })
        }
        (true, None, _) => {
            with.counters.misses.add(1);
            Done::Reply(Reply::Missing)
        }
        (false, _, Updated::Stored { .. }) => whole(status("OK", room)),
        (false, ..) => Done::Reply(Reply::Missing),
    })
}

/// Head and value at the front of `room`, and how long both are; or the value is to be sent in pieces.
fn copy(item: &Current<'_>, tail_len: usize, room: &mut [u8]) -> Tried<usize> {
    let too_long = || Stop::Done(Done::TooLong(item.meta().value_len));
    let head_len = Format::value_head(item.meta().value_len, room).ok_or_else(too_long)?;
    let fits = room.len().saturating_sub(tail_len).max(head_len);
    let len = item.copy_to(&mut room[head_len..fits]);
    len.map(|len| head_len + len).ok_or_else(too_long)
}

/// What becomes of the item; it stays if a condition does not hold.
fn set_edit(value: &[u8], until: Option<Deadline>) -> Edit<'_> {
    match until {
        Some(until) => Edit::store(NewValue::Given(value), until.into()),
        None => Edit::Keep,
    }
}

/// Until when a new value is kept; `None`: a condition does not hold.
fn stored_until(
    current: Option<&Current<'_>>,
    options: &SetOptions<'_>,
    with: With<'_, '_>,
) -> Option<Deadline> {
    let holds = match (options.how, current) {
        (How::Absent, Some(_)) | (How::Present, None) => false,
        _ => match (options.equal, current) {
            (Some(_), None) => false,
            (Some(expected), Some(item)) => is_equal(item, expected),
            (None, _) => true,
        },
    };
    holds.then(|| match options.expiry {
        Expiry::Until(lifetime) => deadline(lifetime, with.now, &with.shared.clock),
        Expiry::Keep => kept(current).deadline,
    })
}

/// What a value finds that has arrived in pieces.
pub struct Before<'h> {
    /// Until when it is to be kept; `None`: it is not stored.
    pub until: Option<Deadline>,
    /// The value that was there, if that is asked for.
    pub value: Option<Old<'h>>,
}

/// A value that was there.
pub enum Old<'h> {
    /// With its head at the front of the room: so many bytes.
    Copied(usize),
    /// The same is too long for that: how long the head is.
    Held(Pinned<'h>, usize),
}

/// What a value that has arrived in pieces is to find.
#[derive(Clone, Copy)]
pub struct Wanted<'a>(SetOptions<'a>);

impl<'a> Wanted<'a> {
    /// If how the value is to be stored depends on that.
    pub fn of(command: Command<'a>) -> Option<Self> {
        match command {
            Command::Resp(Op::Settle(options)) => Some(Wanted(options)),
            _ => None,
        }
    }

    /// Whether the value that was there is the answer.
    pub fn answers_old(&self) -> bool {
        self.0.get
    }
}

/// Looks at what is there before a value takes its place, while nobody else executes anything.
pub fn look_before<'h>(
    key: Key<'_>,
    wanted: &Wanted<'_>,
    with: With<'_, 'h>,
    room: &mut [u8],
) -> Result<Before<'h>, StoreError> {
    let tail_len = with.format.value_tail().len();
    let cache: &'h Cache = with.shared.cache;
    let options = &wanted.0;
    let (mut until, mut is_there, mut copied) = (None, false, None);
    cache.update(key, with.now, &mut [], |current, _| {
        until = stored_until(current, options, with);
        is_there = current.is_some();
        copied = match current {
            Some(item) if options.get => copy(item, tail_len, room).ok(),
            _ => None,
        };
        Ok::<_, StoreError>(Edit::Keep)
    })?;
    let value = match copied {
        Some(len) => Some(Old::Copied(len)),
        None if options.get && is_there => {
            let pinned = cache.pin(key, with.now)?.ok_or(StoreError::NoSpace)?;
            let head_len =
                Format::value_head(pinned.meta().value_len, room).ok_or(StoreError::NoSpace)?;
            Some(Old::Held(pinned, head_len))
        }
        None => None,
    };
    if options.get {
        note_read(value.is_some(), with.counters);
    }
    Ok(Before { until, value })
}

fn note_read(found: bool, counters: &Counters) {
    match found {
        true => counters.hits.add(1),
        false => counters.misses.add(1),
    }
}

fn get_del(key: Key<'_>, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let tail_len = with.format.value_tail().len();
    let mut found = None;
    with.shared
        .cache
        .update(key, with.now, &mut [], |current, _| {
            found = None;
            if let Some(item) = current {
                found = Some(copy(item, tail_len, room)?);
            }
            Ok::<_, Stop>(Edit::Remove)
        })?;
    note_read(found.is_some(), with.counters);
    Ok(Done::Reply(match found {
        Some(len) => {
            with.counters.delete_hits.add(1);
            Reply::Value { len }
        }
        None => Reply::Missing,
    }))
}

/// Removes the item if its value is this one, or is not.
fn del_if(
    key: Key<'_>,
    condition: Option<(&[u8], bool)>,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let cache = with.shared.cache;
    let holds = |item: &Current<'_>| match condition {
        Some((value, wanted)) => is_equal(item, value) == wanted,
        None => true,
    };
    let updated = cache.update(key, with.now, &mut [], |current, _| {
        Ok::<_, Stop>(match current.is_some_and(holds) {
            true => Edit::Remove,
            false => Edit::Keep,
        })
    })?;
    let removed = updated == Updated::Removed;
    match removed {
        true => with.counters.delete_hits.add(1),
        false => with.counters.delete_misses.add(1),
    }
    Ok(whole(integer(i64::from(removed), room)))
}

fn append(key: Key<'_>, value: &[u8], with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    with.shared.note_counted();
    let part = NewValue::Given(value);
    let updated = with
        .shared
        .cache
        .update(key, with.now, &mut [], |current, _| {
            Ok::<_, StoreError>(match current {
                Some(_) => Edit::Extend {
                    part,
                    side: Side::Behind,
                    cas: CasWish::IfKept,
                },
                None => Edit::store(part, Attributes::default()),
            })
        });
    let len = match updated {
        Ok(Updated::Stored { value_len, .. }) => value_len,
        Ok(_) => 0,
        Err(StoreError::TooLarge) => return Err(say(words::STRING_TOO_LONG)),
        Err(error) => return Err(error.into()),
    };
    with.counters.puts.add(1);
    Ok(whole(integer(len as i64, room)))
}

fn incr(key: Key<'_>, by: i64, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let (mut sum, mut was_there) = (0, false);
    let mut number_room = [0; NUMBER_BYTES_MAX];
    let cache = with.shared.cache;
    cache.update(key, with.now, &mut number_room, |current, number_room| {
        was_there = current.is_some();
        let number = match current {
            None => 0,
            Some(item) => item
                .copy_to(number_room)
                .and_then(|len| canonical_i64(&number_room[..len]))
                .ok_or(say(words::NOT_INTEGER))?,
        };
        sum = number.checked_add(by).ok_or(say(words::OVERFLOW))?;
        let (digits, len) = signed(sum);
        number_room[..len].copy_from_slice(&digits[..len]);
        Ok::<_, Stop>(Edit::store(NewValue::Room(len), kept(current)))
    })?;
    note_counted_by(by, was_there, with.counters);
    Ok(whole(integer(sum, room)))
}

fn incr_by_float(key: Key<'_>, by: &[u8], with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let mut was_there = false;
    let mut number_room = [0; NUMBER_BYTES_MAX];
    let cache = with.shared.cache;
    let updated = cache.update(key, with.now, &mut number_room, |current, number_room| {
        was_there = current.is_some();
        let len = match current {
            None => {
                number_room[0] = b'0';
                1
            }
            Some(item) => item.copy_to(number_room).ok_or(say(words::NOT_FLOAT))?,
        };
        let sum = decimal::add(&number_room[..len], by).map_err(|wrong| match wrong {
            decimal::Wrong::NoNumber => say(words::NOT_FLOAT),
            decimal::Wrong::NotFinite => say(words::NOT_FINITE),
        })?;
        let sum = sum.as_bytes();
        number_room[..sum.len()].copy_from_slice(sum);
        Ok::<_, Stop>(Edit::store(NewValue::Room(sum.len()), kept(current)))
    })?;
    note_counted_by(1, was_there, with.counters);
    let len = match updated {
        Updated::Stored { value_len, .. } => value_len,
        _ => 0,
    };
    let mut out = Out::new(room, false);
    Ok(whole(out.bulk(&number_room[..len]).map(|()| out.len())))
}

/// Holds a long value still that `SET … GET`, `GETDEL` or `GETRANGE` answers with, after doing what else they do.
pub fn pin<'h>(
    op: Op<'_>,
    key: Key<'_>,
    with: With<'_, 'h>,
    room: &mut [u8],
) -> Result<Option<(Pinned<'h>, usize)>, StoreError> {
    if let Op::GetRange(_, from, to) = op {
        return range::pin_range(key, (from, to), with, room);
    }
    let cache: &'h Cache = with.shared.cache;
    // Whatever goes wrong, the whole request is tried again.
    const AGAIN: StoreError = StoreError::NoSpace;
    let Some(pinned) = cache.pin(key, with.now)? else {
        return Err(AGAIN);
    };
    let head_len = Format::value_head(pinned.meta().value_len, room).ok_or(StoreError::NoSpace)?;
    let mut stored = None;
    let updated = cache.update(key, with.now, &mut [], |current, _| {
        if !current.is_some_and(|item| item.is_pinned_by(&pinned)) {
            return Err(AGAIN);
        }
        Ok(match op {
            Op::Set(_, value, ref options) => {
                let until = stored_until(current, options, with);
                stored = until.map(|until| (value.len(), until));
                set_edit(value, until)
            }
            Op::GetDel(_) => Edit::Remove,
            _ => Edit::Keep,
        })
    })?;
    match updated {
        Updated::Removed => with.counters.delete_hits.add(1),
        _ => with.counters.puts.add(1),
    }
    if let Some((value_len, until)) = stored {
        with.note_stored(value_len, until);
    }
    with.counters.hits.add(1);
    Ok(Some((pinned, head_len)))
}
