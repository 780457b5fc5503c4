//! Commands that look at an item or change what is beside its value, and those that have no key.

use flagstone_engine::{Cache, Deadline, Edit, ItemMeta, Key, StoreError, Tick, Updated};

use super::common::{With, canonical_i64, refused, status, whole};
use super::{keys, script};
use crate::clock::Clock;
use crate::execute::done::{Done, Seen, Step};
use crate::execute::lifetime::deadline;
use crate::proto::resp::command::{About, Op, Ttl};
use crate::proto::resp::encode::{Out, integer};
use crate::proto::resp::pubsub::pong;
use crate::proto::resp::words;
use crate::proto::{Act, Refusal, Reply, ReplyFormat};
use crate::report;

/// Commands that look at an item, or change what is beside its value.
pub fn look(op: Op<'_>, key: Key<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    let (shared, now) = (with.shared, with.now);
    let cache = shared.cache;
    let meta = || cache.meta(key, now);
    let number = match op {
        Op::Expire(_, lifetime, condition) => {
            let until = deadline(lifetime, now, &shared.clock);
            let holds = |meta: &ItemMeta| {
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
            return touch(key, until, holds, with, room);
        }
        Op::Persist(_) => {
            let has_one = |meta: &ItemMeta| !meta.deadline.is_never();
            return touch(key, Deadline::NEVER, has_one, with, room);
        }
        Op::Ttl(_, form) => ttl(meta(), form, now, &shared.clock),
        Op::StrLen(_) => meta().map_or(0, |meta| meta.value_len as i64),
        Op::Watch(_) => {
            with.counters.others.add(1);
            return match seen(cache, key, now) {
                Ok(seen) => Done::Step(Step::Watch(seen)),
                Err(_) => Done::NotNow,
            };
        }
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
                    let word = match visited.meta.value_len {
                        ..=INTEGER_BYTES_MAX if is_integer(key, with) => "int",
                        ..=EMBEDDED_BYTES_MAX => "embstr",
                        _ => "raw",
                    };
                    return whole(out.text(word).map(|()| out.len()));
                }
                About::IdleTime => visited.idle_seconds.unwrap_or(0) as i64,
                About::RefCount => 1,
                About::Freq => return refused(words::NO_FREQ),
                About::MemoryUsage => visited.item_bytes as i64,
            }
        }
        _ => return Done::Reply(Reply::Refused(Refusal::Malformed)),
    };
    with.counters.others.add(1);
    whole(integer(number, room))
}

/// How an item looks, for those who watch it: it has a CAS number from now on.
fn seen(cache: &Cache, key: Key<'_>, now: Tick) -> Result<Seen, StoreError> {
    let cas = cache.cas(key, now)?;
    // Where it is another one by now, it has another number, or none.
    let meta = cache.meta(key, now);
    let deadline = meta.and_then(|meta| meta.deadline.tick());
    Ok(Seen {
        cas,
        deadline: deadline.map(Tick::as_millis),
    })
}

/// Whether the item under a key is the one that was seen, unchanged.
#[must_use]
pub fn is_as_seen(cache: &Cache, (database, key): (usize, &[u8]), then: Seen, now: Tick) -> bool {
    let Ok(key) = cache.key_in(database, key) else {
        return false;
    };
    let meta = cache.meta(key, now);
    let deadline = meta.and_then(|meta| meta.deadline.tick());
    match (meta, then.cas) {
        (None, None) => true,
        (Some(meta), Some(cas)) => {
            meta.cas == Some(cas) && deadline.map(Tick::as_millis) == then.deadline
        }
        _ => false,
    }
}

/// Up to here Redis calls a value embedded.
const EMBEDDED_BYTES_MAX: usize = 44;
/// No number of 64 bits is longer.
const INTEGER_BYTES_MAX: usize = 20;

/// Whether the value is a number as Redis writes it.
fn is_integer(key: Key<'_>, with: With<'_, '_>) -> bool {
    let mut is_integer = false;
    let looked = with
        .shared
        .cache
        .update(key, with.now, &mut [], |current, _| {
            let mut digits = [0; INTEGER_BYTES_MAX];
            let len = current.and_then(|item| item.copy_to(&mut digits));
            is_integer = len.is_some_and(|len| canonical_i64(&digits[..len]).is_some());
            Ok::<_, StoreError>(Edit::Keep)
        });
    looked.is_ok() && is_integer
}

/// Gives the item another deadline if `holds` says so of what it has, as one step.
fn touch(
    key: Key<'_>,
    until: Deadline,
    holds: impl Fn(&ItemMeta) -> bool,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Done {
    let cache = with.shared.cache;
    let updated = cache.update(key, with.now, &mut [], |current, _| {
        Ok::<_, StoreError>(match current {
            Some(item) if holds(item.meta()) => Edit::Touch(until),
            _ => Edit::Keep,
        })
    });
    let done = match updated {
        Ok(updated) => updated != Updated::Kept,
        Err(_) => return Done::NotNow,
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

/// Removes everything of one database.
fn flush(database: u8, with: With<'_, '_>) -> Done {
    with.counters.flushes.add(1);
    Done::Reply(if with.shared.limits.flush {
        with.shared.cache.flush_database(usize::from(database));
        with.shared.flush.note_flush();
        Reply::Flushed
    } else {
        Reply::Refused(Refusal::NotAllowed(Act::Flush))
    })
}

/// Carries out a command without a key.
pub fn run_keyless(op: Op<'_>, with: With<'_, '_>, room: &mut [u8]) -> Done {
    let v3 = match with.format {
        ReplyFormat::Resp(format) => format.v3,
        _ => false,
    };
    match op {
        Op::Nothing => return whole(Some(0)),
        Op::Reset => return Done::Reset,
        Op::Eval(ref call) => return script::run_keyless(call, with),
        Op::Multi => return Done::Step(Step::Begin),
        Op::Queue(..) => return Done::Step(Step::Keep),
        Op::Exec { spoiled } => return Done::Step(Step::Execute { spoiled }),
        Op::BadExec => return Done::Step(Step::Abort),
        Op::Discard => return Done::Step(Step::Forget),
        Op::Unwatch => return Done::Step(Step::Unwatch),
        Op::Messages(_) => return Done::Messages,
        Op::Client(_) => return Done::Client,
        Op::Duplicate(_) | Op::SetMany(_) => return Done::Alone,
        Op::Absent => {
            with.counters.misses.add(1);
            return Done::Reply(Reply::Missing);
        }
        Op::FlushDb(database) => return flush(database, with),
        Op::Unknown(..)
        | Op::UnknownSub(..)
        | Op::WrongArity(_)
        | Op::BadTime(_)
        | Op::OnlyMessages(_) => {
            with.counters.refusals.add(1);
            if let Op::Unknown(..) | Op::UnknownSub(..) = op {
                with.counters.unknown_commands.add(1);
            }
            return whole(report::resp::refusal(op, room));
        }
        _ => with.counters.others.add(1),
    }
    match op {
        Op::Scan(from) => return keys::scan(from, with, room),
        Op::Keys(pattern, database) => return keys::keys(pattern, database, with, room),
        Op::RandomKey(database) => return keys::random_key(database, with, room, v3),
        _ => {}
    }
    let mut out = Out::new(room, v3);
    let written = match op {
        Op::Array(len) => out.array(len as usize),
        Op::Pong(said) => return whole(pong(said.unwrap_or_default(), room)),
        Op::Ping(None) => out.status("PONG"),
        Op::Ping(Some(message)) => out.bulk(message),
        Op::Empty => out.array(0),
        Op::Number(number) => out.integer(number),
        Op::SlowLog(asked) => report::resp::slow_log(asked, &with.shared.slow_log, &mut out),
        Op::HotKeys(most) => {
            report::resp::hot_keys(most, &with.shared.hot_keys, with.now, &mut out)
        }
        Op::TrackingInfo => report::resp::tracking_off(&mut out),
        Op::DbSize(database) => {
            let items = with.shared.cache.items_in(usize::from(database));
            out.integer(items as i64)
        }
        Op::Time => report::resp::time(&with.shared.clock, &mut out),
        Op::ScriptLoad(text, script) => script::load(text, script, with, &mut out),
        Op::ScriptExists(hashes) => script::exist(&hashes, with, &mut out),
        Op::ScriptFlush => {
            with.shared.scripts.forget();
            out.status("OK")
        }
        Op::ResetStat => {
            report::reset(with.shared);
            out.status("OK")
        }
        op => {
            let stats = with.shared.cache.stats();
            return whole(
                report::resp::tell(op, (with.shared, &stats), with.now, &mut out)
                    .map(|()| out.len()),
            );
        }
    };
    whole(written.map(|()| out.len()))
}
