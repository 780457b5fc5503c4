//! What is done to several keys at once, while no other worker executes anything: so nobody sees half of it, and what was
//! looked at stays so until it is done.

use flagstone_engine::{Condition, Deadline, Key};

use super::common::{Stop, Tried, With, refused, say, status, whole};
use super::{set_edit, stored_until};
use crate::execute::done::Done;
use crate::proto::resp::command::Op;
use crate::proto::resp::encode::integer;
use crate::proto::resp::set::{Expiry, SetOptions};
use crate::proto::resp::several::{Duplicate, Over, SetMany};
use crate::proto::resp::words;
use crate::proto::{How, Refusal, Reply};

/// Pieces in which a value is copied.
const PIECE_BYTES: usize = 4096;

/// Carries out a command about several keys, with everybody else outside.
pub fn run_alone(op: Op<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    let tried = match op {
        Op::Duplicate(ref duplicate) => self::duplicate(duplicate, with, room),
        Op::SetMany(ref many) => set_many(many, with, room),
        _ => Ok(Done::Reply(Reply::Refused(Refusal::Malformed))),
    };
    match tried {
        Ok(done) | Err(Stop::Done(done)) => done,
        Err(Stop::Again) => Done::NotNow,
    }
}

fn key<'k>((database, key): (u8, &'k [u8]), with: With<'_, '_>) -> Tried<Key<'k>> {
    let key = with.shared.cache.key_in(usize::from(database), key);
    key.map_err(|_| {
        with.counters.refusals.add(1);
        say(words::LONG_KEY)
    })
}

fn number(done: bool, room: &mut [u8]) -> Done {
    whole(integer(i64::from(done), room))
}

/// `RENAME`, `RENAMENX`, `COPY`: the value goes along with its deadline and flags, whatever its length.
fn duplicate(what: &Duplicate<'_>, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let (cache, now, counters) = (with.shared.cache, with.now, with.counters);
    let (from, to) = (key(what.from, with)?, key(what.to, with)?);
    let Some(mut pinned) = cache.pin(from, now)? else {
        return Ok(match what.moves {
            true => {
                counters.refusals.add(1);
                refused(words::NO_SUCH_KEY)
            }
            false => {
                counters.misses.add(1);
                number(false, room)
            }
        });
    };
    let is_same = what.from == what.to;
    if what.over == Over::Nothing && (is_same || cache.meta(to, now).is_some()) {
        counters.others.add(1);
        return Ok(number(false, room));
    }
    if !is_same {
        let meta = pinned.meta();
        let mut copy = cache.reserve(to, meta.value_len, meta.attributes(), now)?;
        let mut piece = [0; PIECE_BYTES];
        loop {
            match pinned.read(&mut piece) {
                0 => break,
                len => copy.write(&piece[..len], now)?,
            }
        }
        copy.commit(Condition::Always, now)?;
        with.shared.note_counted();
    }
    drop(pinned);
    if what.moves && !is_same {
        cache.delete(from, now);
    }
    counters.puts.add(1);
    Ok(match (what.moves, what.over) {
        (true, Over::All) => whole(status("OK", room)),
        _ => number(true, room),
    })
}

/// `MSETNX`, `MSETEX`: looks at all keys, and stores if all are as they have to be.
fn set_many(many: &SetMany<'_>, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let cache = with.shared.cache;
    let most = cache.plan().item_bytes_max();
    let mut holds = true;
    many.pairs.each(|bytes, value| {
        let key = key((many.database, bytes), with)?;
        if value.len() > most {
            with.counters.too_large.add(1);
            with.counters.refusals.add(1);
            return Err(Stop::Done(Done::Reply(Reply::Refused(Refusal::TooLarge))));
        }
        holds &= match many.how {
            How::Absent => cache.meta(key, with.now).is_none(),
            How::Present => cache.meta(key, with.now).is_some(),
            _ => true,
        };
        Ok(())
    })?;
    if !holds {
        with.counters.others.add(1);
        return Ok(number(false, room));
    }
    with.shared.note_counted();
    let options = SetOptions {
        expiry: many.expiry,
        ..SetOptions::default()
    };
    let mut stored = 0_u64;
    let result = many.pairs.each(|bytes, value| {
        let key = key((many.database, bytes), with)?;
        cache.update(key, with.now, &mut [], |current, _| {
            let until = stored_until(current, &options, with);
            Ok::<_, Stop>(set_edit(value, until))
        })?;
        stored += 1;
        Ok(())
    });
    if let Err(stop) = result {
        // It will be tried again, and nothing may be there then.
        if many.how == How::Absent {
            let mut left = stored;
            let _ = many.pairs.each(|bytes, _| {
                left = left.checked_sub(1).ok_or(Stop::Again)?;
                cache.delete(key((many.database, bytes), with)?, with.now);
                Ok::<_, Stop>(())
            });
        }
        return Err(stop);
    }
    with.counters.puts.add(stored);
    // Now that it will not be tried again.
    many.pairs.each(|bytes, value| {
        let until = match many.expiry {
            // Each has its own. Nobody else has been at them.
            Expiry::Keep => cache
                .meta(key((many.database, bytes), with)?, with.now)
                .map(|meta| meta.deadline),
            Expiry::Until(_) => stored_until(None, &options, with),
        };
        with.note_stored(value.len(), until.unwrap_or(Deadline::NEVER));
        Ok::<_, Stop>(())
    })?;
    Ok(number(true, room))
}
