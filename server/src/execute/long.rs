//! Values that are longer than any room.

use flagstone_engine::{Key, Pinned, StoreError, Tick};

use super::read::facts;
use super::{Order, Work, meta, resp};
use crate::observe::counters::Counters;
use crate::proto::{Command, Refusal, ReplyFormat, Speech, Storing};
use crate::server::shared::Shared;

/// Whether a reader who looks for a line end might take only a part of a value.
#[inline]
pub fn may_be_cut(shared: &Shared<'_>, format: ReplyFormat<'_>) -> bool {
    format.ends_at_newline() && shared.has_counted()
}

/// A value is about to be stored in the protocol of `format`.
#[inline]
pub fn note_store(shared: &Shared<'_>, format: ReplyFormat<'_>) {
    if !format.ends_at_newline() {
        shared.note_counted();
    }
}

/// The key and the order of a store whose value is still to arrive.
pub fn with_order<T>(
    shared: &Shared<'_>,
    storing: Storing<'_>,
    speech: Speech,
    database: usize,
    now: Tick,
    then: impl FnOnce(Key<'_>, Order) -> T,
) -> Result<T, Refusal> {
    let key = |bytes| {
        shared
            .cache
            .key_in(database, bytes)
            .map_err(|_| Refusal::LongKey)
    };
    match storing {
        Storing::Plain { key: bytes, terms } => {
            let order = Order::plain(speech, &terms, now, &shared.clock);
            Ok(then(key(bytes)?, order))
        }
        Storing::Meta(meta) => meta::with_key(shared, key(meta.key)?, meta, |key, options| {
            then(key, Order::flagged(options, now, &shared.clock))
        }),
        Storing::Binary(store) => Ok(then(
            key(store.key)?,
            Order::binary(&store, now, &shared.clock),
        )),
    }
}

/// Finds the value and holds it still, and writes its head to the front of `room`: for values
/// that are longer than any room. `None`: there is none any more.
pub fn pin<'h>(
    work: Work<'_>,
    shared: &'h Shared<'h>,
    now: Tick,
    format: ReplyFormat<'_>,
    room: &mut [u8],
    counters: &Counters,
) -> Result<Option<(Pinned<'h>, usize)>, StoreError> {
    let Some(key) = work.key else {
        return Ok(None);
    };
    match work.command {
        Command::Get { .. } | Command::GetAndTouch { .. } => {}
        Command::Meta(meta) => return meta::pin(shared, key, meta, now, format, room, counters),
        Command::Resp(op) => {
            let with = resp::With {
                shared,
                now,
                format,
                counters,
            };
            return resp::pin(op, key, with, room);
        }
        _ => return Ok(None),
    }
    let cache = shared.cache;
    if format.wants_cas() {
        cache.cas(key, now)?;
    }
    let Some(pinned) = cache.pin(key, now)? else {
        return Ok(None);
    };
    // Without its CAS number it is another item than a moment ago: try again.
    let head_len = format
        .value_head(key.bytes(), &facts(&pinned.meta(), now), room)
        .ok_or(StoreError::NoSpace)?;
    // If there is no memory for another deadline, it keeps its own.
    let _ = work.touch_after(shared, now);
    match work.command {
        Command::Get { .. } => counters.hits.add(1),
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
