//! What memcached's binary protocol asks of the cache that the others do not.
//!
//! Its answers tell the item's CAS number. An item gets one when an answer is to tell it, as it does for `gets`; a quiet
//! change is not answered, and asks for none.

use flagstone_engine::{CasWish, Edit, Key, StoreError, Tick, Updated};

use super::done::Done;
use super::lifetime::deadline;
use super::login::log_in;
use super::numbers::{self, NumberChange, NumberChanged};
use super::order::Order;
use super::read;
use crate::observe::counters::Counters;
use crate::proto::binary::Op;
use crate::proto::binary::command::Count;
use crate::proto::{Facts, Fate, Lifetime, Refusal, Reply, ReplyFormat, Word};
use crate::server::shared::Shared;

/// Carries out a command with a key.
pub fn run(
    op: Op<'_>,
    key: Key<'_>,
    shared: &Shared<'_>,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Done {
    match op {
        Op::Store { store, value } => {
            super::note_store(shared, format);
            let order = Order::binary(&store, now, &shared.clock);
            order.run(shared.cache, key, value, now, counters)
        }
        Op::Delete { compare, .. } => delete(shared, key, compare, now, counters),
        Op::Count(count) => self::count(shared, key, &count, now, counters),
        Op::Touch { lifetime, .. } => touch(shared, key, lifetime, now, format, room, counters),
        // The others have none.
        _ => run_keyless(op, shared, counters),
    }
}

/// The same for commands without a key.
pub fn run_keyless(op: Op<'_>, shared: &Shared<'_>, counters: &Counters) -> Done {
    match op {
        Op::NoTopic => {
            counters.refusals.add(1);
            Done::Reply(Reply::Missing)
        }
        // Where nobody can log in, there is no such command.
        Op::AskLogin | Op::Login { .. } if shared.users.is_empty() => {
            counters.refusals.add(1);
            Done::Reply(Reply::Refused(Refusal::Malformed))
        }
        Op::AskLogin => {
            counters.others.add(1);
            Done::Reply(Reply::Said(Word::Ok))
        }
        Op::Login { user, password } => log_in(shared, user, password, false, counters),
        Op::Close(Some(refusal)) => {
            counters.refusals.add(1);
            Done::Close(Reply::Refused(refusal))
        }
        // The others have a key.
        _ => {
            counters.others.add(1);
            Done::Close(Reply::Said(Word::Ok))
        }
    }
}

/// Why an item was not deleted.
enum NotDeleted {
    OtherCas,
    NoMemory,
}

impl From<StoreError> for NotDeleted {
    fn from(_: StoreError) -> Self {
        NotDeleted::NoMemory
    }
}

fn delete(shared: &Shared<'_>, key: Key<'_>, compare: u64, now: Tick, counters: &Counters) -> Done {
    let updated = shared.cache.update(key, now, &mut [], |current, _| {
        match current.map(|item| item.meta().cas) {
            None => Ok(Edit::Keep),
            Some(cas) if cas == Some(compare) => Ok(Edit::Remove),
            Some(_) => Err(NotDeleted::OtherCas),
        }
    });
    Done::Reply(match updated {
        Ok(Updated::Kept) => {
            counters.delete_misses.add(1);
            Reply::Missing
        }
        Ok(_) => {
            counters.delete_hits.add(1);
            Reply::Deleted
        }
        Err(NotDeleted::OtherCas) => {
            counters.delete_misses.add(1);
            Reply::Fate(Fate::Exists)
        }
        Err(NotDeleted::NoMemory) => return Done::NotNow,
    })
}

fn count(
    shared: &Shared<'_>,
    key: Key<'_>,
    count: &Count<'_>,
    now: Tick,
    counters: &Counters,
) -> Done {
    let until = |lifetime| deadline(lifetime, now, &shared.clock);
    let change = NumberChange {
        up: count.up,
        by: count.by,
        compare: Some(count.compare).filter(|&cas| cas != 0),
        cas: match count.asks_cas {
            true => CasWish::Next,
            false => CasWish::IfKept,
        },
        touch: None,
        create: count
            .create
            .map(|(number, lifetime)| (number, until(lifetime))),
    };
    let (hits, misses) = match count.up {
        true => (&counters.incr_hits, &counters.incr_misses),
        false => (&counters.decr_hits, &counters.decr_misses),
    };
    Done::Reply(match numbers::change(shared.cache, key, &change, now) {
        Ok(NumberChanged::Done { number, meta, .. }) => {
            hits.add(1);
            let facts = Facts {
                cas: meta.cas,
                ..Facts::default()
            };
            Reply::Number(number, facts)
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

/// The client's number and the CAS number are told, and no value.
fn touch(
    shared: &Shared<'_>,
    key: Key<'_>,
    lifetime: Lifetime,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Done {
    let cache = shared.cache;
    let deadline = deadline(lifetime, now, &shared.clock);
    // Looked at before: of an item whose time is over then nothing can be told.
    let found = match cache.cas(key, now) {
        Ok(cas) => cas.zip(cache.meta(key, now)),
        Err(_) => return Done::NotNow,
    };
    let Some((cas, meta)) = found else {
        counters.touch_misses.add(1);
        return Done::Reply(Reply::Missing);
    };
    match cache.touch(key, deadline, now) {
        Ok(true) => counters.touch_hits.add(1),
        Ok(false) => {
            counters.touch_misses.add(1);
            return Done::Reply(Reply::Missing);
        }
        Err(_) => return Done::NotNow,
    }
    let facts = Facts {
        bare: true,
        cas: Some(cas),
        ..read::facts(&meta, now)
    };
    match format.value_head(key.bytes(), &facts, room) {
        Some(len) => Done::Reply(Reply::Whole { len }),
        None => Done::NeedsRoom,
    }
}
