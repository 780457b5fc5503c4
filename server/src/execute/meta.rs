//! What memcached's meta commands ask of the cache.
//!
//! A read that asks for nothing special goes the way of every read: no lock, one validated look
//! for head and value. Flags that change something, or that ask for what is only noted on
//! request, take the lock once.

use flagstone_engine::{
    Attributes, CasWish, Current, Deadline, Edit, Key, NewValue, Pinned, Seen, StoreError, Tick,
    Updated, Visit, Visited, Want,
};

use super::done::{Done, refusal};
use super::lifetime::{deadline, seconds_begun};
use super::numbers::{self, NumberChange, NumberChanged};
use super::order::Order;
use super::read::{self, Got, get};
use crate::clock::Clock;
use crate::observe::counters::Counters;
use crate::proto::{
    Facts, Fate, KEY_BYTES_MAX, Lifetime, Meta, Mode, Options, REPLY_BYTES_MAX, Refusal, Reply,
    ReplyFormat, Verb, memcache,
};
use crate::server::shared::Shared;

/// The line's flags, and the key that it really means.
pub fn with_key<T>(
    shared: &Shared<'_>,
    hashed: Key<'_>,
    meta: Meta<'_>,
    then: impl FnOnce(Key<'_>, &Options) -> T,
) -> Result<T, Refusal> {
    let options = meta.options()?;
    if !options.binary {
        return Ok(then(hashed, &options));
    }
    let mut room = [0; KEY_BYTES_MAX];
    let key = shared
        .cache
        .key(meta.key_into(&options, &mut room))
        .map_err(|_| memcache::mistake::Mistake::BadKey)?;
    Ok(then(key, &options))
}

fn refused(refusal: Refusal, counters: &Counters) -> Done {
    counters.refusals.add(1);
    Done::Reply(Reply::Refused(refusal))
}

/// Stores.
pub fn store(
    shared: &Shared<'_>,
    hashed: Key<'_>,
    meta: Meta<'_>,
    value: &[u8],
    now: Tick,
    counters: &Counters,
) -> Done {
    with_key(shared, hashed, meta, |key, options| {
        Order::flagged(options, now, &shared.clock).run(shared.cache, key, value, now, counters)
    })
    .unwrap_or_else(|refusal| refused(refusal, counters))
}

/// Does everything else.
pub fn run(
    shared: &Shared<'_>,
    hashed: Key<'_>,
    meta: Meta<'_>,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Done {
    with_key(shared, hashed, meta, |key, options| match meta.verb {
        Verb::Get => read(shared, key, options, now, format, room, counters),
        Verb::Delete => discard(shared, key, options, now, counters),
        Verb::Count => count(shared, key, options, now, counters),
        Verb::Tell => tell(shared, key, now, counters),
        Verb::Set => refused(Refusal::Malformed, counters),
    })
    .unwrap_or_else(|refusal| refused(refusal, counters))
}

fn read(
    shared: &Shared<'_>,
    key: Key<'_>,
    options: &Options,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Done {
    if is_plain(options) {
        match get(shared.cache, key, now, format, room) {
            Got::Value { len } => {
                counters.hits.add(1);
                return Done::Reply(Reply::Value { len });
            }
            Got::Missing => {
                counters.misses.add(1);
                return Done::Reply(Reply::Missing);
            }
            Got::NotNow => return Done::NotNow,
            // Or stale, and then somebody has to win.
            Got::TooLong(_) => {}
        }
    }
    let visit = visit_of(options, now, &shared.clock, Want::Value);
    let tail_len = format.value_tail().len();
    let room = &mut room[..];
    let fits = room.len().saturating_sub(tail_len);
    let (room, head_bytes_max) = (&mut room[..fits], REPLY_BYTES_MAX - tail_len);
    let mut bare = false;
    let seen = shared
        .cache
        .visit(key, &visit, now, room, head_bytes_max, |visited, room| {
            let facts = facts_of(visited, options, &visit, now);
            bare = facts.bare;
            format.value_head(key.bytes(), &facts, room)
        });
    match seen {
        Ok(Seen::Copied(len)) => {
            note(options, true, counters);
            Done::Reply(if bare {
                Reply::Whole { len }
            } else {
                Reply::Value { len }
            })
        }
        Ok(Seen::Missing) => {
            note(options, false, counters);
            Done::Reply(Reply::Missing)
        }
        Ok(Seen::TooSmall | Seen::Pinned(..)) => {
            let meta = shared.cache.meta(key, now);
            Done::TooLong(meta.map_or(0, |meta| meta.value_len))
        }
        Err(StoreError::NoSpace) => Done::NotNow,
        Err(error) => refused(refusal(error), counters),
    }
}

/// Holds a long value still, after doing what else the flags ask for.
pub fn pin<'h>(
    shared: &'h Shared<'h>,
    hashed: Key<'_>,
    meta: Meta<'_>,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Result<Option<(Pinned<'h>, usize)>, StoreError> {
    let seen = with_key(shared, hashed, meta, |key, options| {
        let visit = visit_of(options, now, &shared.clock, Want::ValueOrPin);
        let cache = shared.cache;
        let room = &mut room[..REPLY_BYTES_MAX];
        let seen = cache.visit(key, &visit, now, room, REPLY_BYTES_MAX, |visited, room| {
            let facts = facts_of(visited, options, &visit, now);
            format.value_head(key.bytes(), &facts, room)
        });
        if let Ok(Seen::Pinned(..)) = seen {
            note(options, true, counters);
        }
        seen
    });
    match seen {
        Ok(Ok(Seen::Pinned(pinned, head_len))) => Ok(Some((pinned, head_len))),
        Ok(Ok(Seen::Missing)) | Err(_) => Ok(None),
        // It has changed since it was found to be long: the whole request is tried again.
        Ok(Ok(Seen::Copied(_) | Seen::TooSmall)) => Err(StoreError::NoSpace),
        Ok(Err(error)) => Err(error),
    }
}

/// Whether a read asks for nothing but what every read finds.
fn is_plain(options: &Options) -> bool {
    options.value
        && !options.reads
        && !options.unseen
        && options.compare.is_none()
        && options.vivify.is_none()
        && options.recache.is_none()
        && options.touch.is_none()
}

fn visit_of(options: &Options, now: Tick, clock: &Clock, want: Want) -> Visit {
    let until = |lifetime: Lifetime| deadline(lifetime, now, clock);
    Visit {
        want: if options.value { want } else { Want::Nothing },
        unless_cas: options.compare,
        touch: options.touch.map(until),
        create: options.vivify.map(until),
        win_before: options.recache.map(until),
        // A number can be chosen for what is made, not for what is only read.
        cas: match options.cas_wish() {
            CasWish::Be(cas) if options.vivify.is_some() => CasWish::Be(cas),
            _ if options.cas => CasWish::Next,
            _ => CasWish::IfKept,
        },
        note: options.reads,
        unseen: options.unseen,
    }
}

fn facts_of(visited: &Visited, options: &Options, visit: &Visit, now: Tick) -> Facts {
    let meta = &visited.meta;
    let (before, then) = if visited.created {
        (None, visit.create)
    } else {
        (seconds_begun(meta.deadline, now), visit.touch)
    };
    Facts {
        bare: !options.value || visited.is_known,
        seconds_left: before,
        seconds_then: then.map_or(before, |deadline| seconds_begun(deadline, now)),
        read: visited.read,
        // Nobody has asked before, so it was not noted. As memcached says of what was stored a moment ago.
        idle_seconds: visited.idle_seconds.unwrap_or(0),
        created: visited.created,
        wins: visited.wins,
        class: read::class_no(visited),
        item_bytes: visited.item_bytes as u64,
        ..read::facts(meta, now)
    }
}

fn note(options: &Options, hit: bool, counters: &Counters) {
    match (options.touch.is_some(), hit) {
        (false, true) => counters.hits.add(1),
        (false, false) => counters.misses.add(1),
        (true, true) => counters.touch_hits.add(1),
        (true, false) => counters.touch_misses.add(1),
    }
}

fn discard(
    shared: &Shared<'_>,
    key: Key<'_>,
    options: &Options,
    now: Tick,
    counters: &Counters,
) -> Done {
    let touch = options.touch.map(|to| deadline(to, now, &shared.clock));
    let updated = shared.cache.update(key, now, &mut [], |current, _| {
        let edit = current.map(|item| discarded(item, options, touch));
        edit.unwrap_or(Ok(Edit::Keep))
    });
    let fate = match updated {
        Ok(Updated::Kept) => Fate::Missing,
        Ok(_) => Fate::Done,
        Err(NotDiscarded::OtherCas) => Fate::Exists,
        Err(NotDiscarded::NoMemory) => return Done::NotNow,
    };
    match fate {
        Fate::Done => counters.delete_hits.add(1),
        _ => counters.delete_misses.add(1),
    }
    Done::Reply(Reply::Fate(fate))
}

/// Why an item was not discarded.
enum NotDiscarded {
    OtherCas,
    NoMemory,
}

impl From<StoreError> for NotDiscarded {
    fn from(_: StoreError) -> Self {
        NotDiscarded::NoMemory
    }
}

/// What becomes of an item that is deleted: it is removed, or it stays without its value, or with
/// a value that is stale.
fn discarded(
    item: &Current<'_>,
    options: &Options,
    touch: Option<Deadline>,
) -> Result<Edit<'static>, NotDiscarded> {
    let meta = item.meta();
    if options.compare.is_some() && options.compare != meta.cas {
        return Err(NotDiscarded::OtherCas);
    }
    Ok(match (options.empty, options.invalidate) {
        (false, false) => Edit::Remove,
        (true, stale) => Edit::Store {
            value: NewValue::Given(b""),
            attributes: Attributes::from(touch.unwrap_or(Deadline::NEVER)),
            // A stale item needs a number that is higher than any that was given out for its value.
            cas: match (options.explicit, stale) {
                (Some(cas), _) => CasWish::Be(cas),
                (None, true) => CasWish::Next,
                (None, false) => meta.cas.map_or(CasWish::IfKept, CasWish::Be),
            },
            stale,
        },
        (false, true) => Edit::Outdate {
            deadline: touch.unwrap_or(meta.deadline),
            cas: options.explicit,
        },
    })
}

fn count(
    shared: &Shared<'_>,
    key: Key<'_>,
    options: &Options,
    now: Tick,
    counters: &Counters,
) -> Done {
    let until = |lifetime: Lifetime| deadline(lifetime, now, &shared.clock);
    let up = options.mode != Mode::Down;
    let touch = options.touch.map(until);
    let change = NumberChange {
        up,
        by: options.delta,
        // Comparing with 0 is not comparing.
        compare: options.compare.filter(|&cas| cas != 0),
        cas: options.cas_wish(),
        touch,
        create: options
            .vivify
            .map(|lifetime| (options.initial, touch.unwrap_or(until(lifetime)))),
    };
    let (hits, misses) = if up {
        (&counters.incr_hits, &counters.incr_misses)
    } else {
        (&counters.decr_hits, &counters.decr_misses)
    };
    Done::Reply(match numbers::change(shared.cache, key, &change, now) {
        Ok(NumberChanged::Done {
            number,
            meta,
            created,
        }) => {
            hits.add(1);
            let before = seconds_begun(meta.deadline, now);
            let touched = touch.filter(|_| !created);
            Reply::Number(
                number,
                Facts {
                    cas: meta.cas,
                    created,
                    seconds_left: before.filter(|_| !created),
                    seconds_then: touched.map_or(before, |to| seconds_begun(to, now)),
                    ..Facts::default()
                },
            )
        }
        Ok(NumberChanged::Missing) => {
            misses.add(1);
            Reply::Missing
        }
        Ok(NumberChanged::NotNumeric) => return refused(Refusal::NotNumeric, counters),
        Ok(NumberChanged::Exists) => Reply::Fate(Fate::Exists),
        Err(_) => return Done::NotNow,
    })
}

fn tell(shared: &Shared<'_>, key: Key<'_>, now: Tick, counters: &Counters) -> Done {
    counters.metas.add(1);
    Done::Reply(match shared.cache.examine(key, now) {
        None => Reply::Missing,
        Some(visited) => Reply::Told(facts_of(
            &visited,
            &Options::default(),
            &Visit::default(),
            now,
        )),
    })
}
