//! What scripts ask of the cache: each is one edit under the shard's lock.

use flagstone_engine::{Attributes, Deadline, Edit, Key, NewValue, Updated};

use super::common::{
    NUMBER_BYTES_MAX, Stop, Tried, With, canonical_i64, is_equal, kept, note_counted_by, refused,
    say, signed, status, whole,
};
use crate::execute::done::Done;
use crate::execute::lifetime::deadline;
use crate::proto::number::parse_i64;
use crate::proto::resp::encode::{Out, integer};
use crate::proto::resp::script::{Call, Named, Script};
use crate::proto::resp::set::Unit;
use crate::proto::resp::words;
use crate::proto::{Lifetime, Reply};
use crate::server::scripts::{hash_of, parse};

/// Which script a call means.
fn script_of(call: &Call<'_>, with: With<'_, '_>) -> Tried<Script> {
    let script = match call.script {
        Named::Text(text, script) => {
            with.shared.scripts.note(hash_of(text), script);
            script
        }
        Named::Hash(digits) => {
            let known = parse(digits).and_then(|hash| with.shared.scripts.find(hash));
            known.ok_or(say(words::NO_SCRIPT))?
        }
    };
    match call.read_only {
        true => Err(say(words::READ_ONLY_SCRIPT)),
        false => Ok(script),
    }
}

/// A call without a key: none of the scripts does without.
pub fn run_keyless(call: &Call<'_>, with: With<'_, '_>) -> Done {
    with.counters.refusals.add(1);
    match script_of(call, with) {
        Ok(_) => refused(words::SCRIPT_ARGUMENTS),
        Err(Stop::Done(done)) => done,
        Err(Stop::Again) => Done::NotNow,
    }
}

/// A number that a script hands on to a command.
fn number(digits: &[u8]) -> Tried<i64> {
    parse_i64(digits).ok_or(say(words::NOT_INTEGER))
}

fn lifetime(number: i64, millis: bool) -> Tried<Lifetime> {
    let unit = if millis { Unit::Millis } else { Unit::Seconds };
    unit.lifetime(number).ok_or(say(words::SCRIPT_TIME))
}

pub fn run(call: &Call<'_>, key: Key<'_>, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let script = script_of(call, with)?;
    if usize::from(call.count) < script.args() {
        return Err(say(words::SCRIPT_ARGUMENTS));
    }
    let [first, second] = call.args;
    match script {
        Script::Release => {
            let removed = if_holds(key, first, with, |_| Ok(Edit::Remove))?;
            match removed {
                true => with.counters.delete_hits.add(1),
                false => with.counters.delete_misses.add(1),
            }
            Ok(whole(integer(i64::from(removed), room)))
        }
        Script::Keep { millis } => {
            let set = if_holds(key, first, with, |attributes| {
                set_deadline(first, attributes, lifetime(number(second)?, millis)?, with)
            });
            told_touch(set?, with, room)
        }
        Script::Prolong => {
            let mut has_none = false;
            let set = if_holds(key, first, with, |attributes| {
                let Some(until) = attributes.deadline.tick() else {
                    has_none = true;
                    return Ok(Edit::Keep);
                };
                let left = match call.third_is_zero {
                    true => until.millis_since(with.now) as i64,
                    false => 0,
                };
                let millis = number(second)?.saturating_add(left);
                set_deadline(first, attributes, lifetime(millis, true)?, with)
            });
            told_touch(set? && !has_none, with, room)
        }
        Script::Add => add(key, first, second, with, room),
        Script::Count { millis } => count(key, 1, Some((first, millis)), false, with, room),
        Script::CountBy => count(
            key,
            number(second)?,
            Some((first, false)),
            false,
            with,
            room,
        ),
        Script::CountKnown => count(key, number(first)?, None, true, with, room),
        Script::CountAny => count(key, number(first)?, None, false, with, room),
    }
}

/// Changes the item if it holds `value`; whether it did.
fn if_holds<'v>(
    key: Key<'_>,
    value: &'v [u8],
    with: With<'_, '_>,
    mut edit: impl FnMut(Attributes) -> Tried<Edit<'v>>,
) -> Tried<bool> {
    let mut holds = false;
    let cache = with.shared.cache;
    cache.update(key, with.now, &mut [], |current, _| {
        holds = current.is_some_and(|item| is_equal(item, value));
        match holds {
            true => edit(kept(current)),
            false => Ok(Edit::Keep),
        }
    })?;
    Ok(holds)
}

/// The value is known: stored again, with another deadline, it is changed as one step.
fn set_deadline<'v>(
    value: &'v [u8],
    attributes: Attributes,
    lifetime: Lifetime,
    with: With<'_, '_>,
) -> Tried<Edit<'v>> {
    if lifetime == Lifetime::Past {
        return Ok(Edit::Remove);
    }
    let until = deadline(lifetime, with.now, &with.shared.clock);
    let attributes = Attributes {
        deadline: until,
        ..attributes
    };
    Ok(Edit::store(NewValue::Given(value), attributes))
}

fn told_touch(is_set: bool, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    match is_set {
        true => with.counters.touch_hits.add(1),
        false => with.counters.touch_misses.add(1),
    }
    Ok(whole(integer(i64::from(is_set), room)))
}

fn add(
    key: Key<'_>,
    value: &[u8],
    seconds: &[u8],
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    with.shared.note_counted();
    let cache = with.shared.cache;
    let mut until = Deadline::NEVER;
    let updated = cache.update(key, with.now, &mut [], |current, _| {
        if current.is_some() {
            return Ok(Edit::Keep);
        }
        let number = number(seconds)?;
        if number <= 0 {
            return Err(say(words::SCRIPT_TIME));
        }
        until = deadline(lifetime(number, false)?, with.now, &with.shared.clock);
        Ok(Edit::store(NewValue::Given(value), until.into()))
    })?;
    with.counters.puts.add(1);
    if let Updated::Stored { .. } = updated {
        with.note_stored(value.len(), until);
    }
    Ok(match updated {
        Updated::Stored { .. } => whole(status("OK", room)),
        _ => Done::Reply(Reply::Missing),
    })
}

/// Counts. What was counted from nothing to `by` gets a lifetime.
fn count(
    key: Key<'_>,
    by: i64,
    expiry: Option<(&[u8], bool)>,
    only_known: bool,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let mut sum = None;
    let mut was_there = false;
    let mut number_room = [0; NUMBER_BYTES_MAX];
    let cache = with.shared.cache;
    let counted = cache.update(key, with.now, &mut number_room, |current, number_room| {
        was_there = current.is_some();
        let before = match current {
            None if only_known => {
                sum = None;
                return Ok(Edit::Keep);
            }
            None => 0,
            Some(item) => item
                .copy_to(number_room)
                .and_then(|len| canonical_i64(&number_room[..len]))
                .ok_or(say(words::NOT_INTEGER))?,
        };
        let after = before.checked_add(by).ok_or(say(words::OVERFLOW))?;
        sum = Some(after);
        let mut attributes = kept(current);
        if after == by
            && let Some((digits, millis)) = expiry
        {
            let lifetime = lifetime(number(digits)?, millis)?;
            if lifetime == Lifetime::Past {
                return Ok(Edit::Remove);
            }
            attributes.deadline = deadline(lifetime, with.now, &with.shared.clock);
        }
        let (digits, len) = signed(after);
        number_room[..len].copy_from_slice(&digits[..len]);
        Ok::<_, Stop>(Edit::store(NewValue::Room(len), attributes))
    });
    counted?;
    note_counted_by(by, was_there, with.counters);
    Ok(match sum {
        Some(sum) => whole(integer(sum, room)),
        None => Done::Reply(Reply::Missing),
    })
}

/// `SCRIPT LOAD`: what its text hashes to, in digits.
pub fn load(text: &[u8], script: Script, with: With<'_, '_>, out: &mut Out<'_>) -> Option<()> {
    let hash = hash_of(text);
    with.shared.scripts.note(hash, script);
    let mut digits = [0; 40];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    out.bulk(&digits)
}

/// `SCRIPT EXISTS`
pub fn exist(hashes: &[Option<&[u8]>], with: With<'_, '_>, out: &mut Out<'_>) -> Option<()> {
    let asked = hashes.iter().flatten();
    out.array(asked.clone().count())?;
    for digits in asked {
        let known = parse(digits).and_then(|hash| with.shared.scripts.find(hash));
        out.integer(i64::from(known.is_some()))?;
    }
    Some(())
}
