//! Reading a value with its head, and what is told of an item.

use flagstone_engine::{Cache, ItemMeta, Key, Lookup, Tick, Visited};

use super::lifetime::seconds_begun;
use crate::proto::{Facts, ReplyFormat};

/// What a read found.
pub enum Got {
    Value { len: usize },
    Missing,
    TooLong(usize),
    NotNow,
}

/// Head and value in one validated read.
#[inline]
pub fn get(
    cache: &Cache,
    key: Key<'_>,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
) -> Got {
    let fits = room.len().saturating_sub(format.value_tail().len());
    let room = &mut room[..fits];
    loop {
        let mut head_len = 0;
        let found = cache.get_headed(key, now, room, |meta, room| {
            head_len = format.value_head(key.bytes(), &facts(meta, now), room)?;
            Some(head_len)
        });
        return match found {
            Lookup::Hit(meta) => Got::Value {
                len: head_len + meta.value_len,
            },
            Lookup::Miss => Got::Missing,
            Lookup::TooSmall(ItemMeta { cas: None, .. }) if format.wants_cas() => {
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
pub fn facts(meta: &ItemMeta, now: Tick) -> Facts {
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

/// A size class's number in all that is told: memcached counts from 1.
pub fn class_no(visited: &Visited) -> u64 {
    visited.class as u64 + 1
}
