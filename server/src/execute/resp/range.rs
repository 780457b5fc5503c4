//! Parts of values: `GETRANGE` and `SETRANGE`.

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Key, Outcome, Pinned, Reservation, StoreError, Tick,
};

use super::common::{Stop, Tried, WINDOW_BYTES, With, say, whole};
use super::note_read;
use crate::execute::done::Done;
use crate::memory::plan::OUTBOX_BYTES;
use crate::proto::REPLY_BYTES_MAX;
use crate::proto::resp::encode::integer;
use crate::proto::resp::{Format, words};

/// Writes over a part of a value, or lengthens it.
pub fn set_range(
    key: Key<'_>,
    offset: usize,
    value: &[u8],
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let before = hold(key, with)?;
    if value.is_empty() {
        let len = before.map_or(0, |before| before.meta().value_len);
        with.counters.others.add(1);
        return Ok(whole(integer(len as i64, room)));
    }
    let len = write_over(key, before, (offset, value), with)?;
    Ok(whole(integer(len as i64, room)))
}

/// The item held still, with a CAS number by which it is told whether it is still the same; `None`: there is none.
pub fn hold<'h>(key: Key<'_>, with: With<'_, 'h>) -> Tried<Option<Pinned<'h>>> {
    let cache: &'h Cache = with.shared.cache;
    match cache.cas(key, with.now)? {
        None => Ok(None),
        Some(_) => match cache.pin(key, with.now)? {
            Some(pinned) => Ok(Some(pinned)),
            None => Err(Stop::Again),
        },
    }
}

/// Stores the value that was held with `value` at `offset`, if it is still the same; says how long it is then.
pub fn write_over(
    key: Key<'_>,
    before: Option<Pinned<'_>>,
    (offset, value): (usize, &[u8]),
    with: With<'_, '_>,
) -> Tried<usize> {
    let cache = with.shared.cache;
    let meta = before.as_ref().map(Pinned::meta);
    let len_before = meta.map_or(0, |meta| meta.value_len);
    let len = offset.saturating_add(value.len()).max(len_before);
    if len > with.shared.plan.engine.item_bytes_max() {
        return Err(say(words::STRING_TOO_LONG));
    }
    with.shared.note_counted();
    let attributes = meta.map_or(Attributes::default(), |meta| meta.attributes());
    let condition = meta
        .and_then(|meta| meta.cas)
        .map_or(Condition::Absent, Condition::Cas);
    let wish = CasWish::IfKept;
    let mut after = cache.reserve_for(key, len, attributes, condition, wish, with.now)?;
    let mut window = [0; WINDOW_BYTES];
    // What was there, up to the offset; zeros, if it was shorter; the new part; what was there behind it.
    if let Some(mut before) = before {
        before.seek(0);
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
            Ok(len)
        }
        _ => Err(Stop::Again),
    }
}

fn write_zeros(to: &mut Reservation<'_>, mut left: usize, now: Tick) -> Result<(), StoreError> {
    while left > 0 {
        let n = left.min(WINDOW_BYTES);
        to.write(&[0; WINDOW_BYTES][..n], now)?;
        left -= n;
    }
    Ok(())
}

/// Answers with a part of a value.
pub fn get_range(
    key: Key<'_>,
    from: i64,
    to: i64,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let pinned = with.shared.cache.pin(key, with.now)?;
    let value_len = pinned.as_ref().map_or(0, |pinned| pinned.meta().value_len);
    let (start, end) = range(from, to, value_len);
    let len = end - start;
    let head_len = Format::value_head(len, room).unwrap_or(0);
    let whole_len = head_len + len + 2;
    if whole_len > room.len() {
        // Into an empty outbox, if it is no longer than that; else in pieces.
        return Ok(match len + REPLY_BYTES_MAX > OUTBOX_BYTES {
            true => Done::TooLong(len),
            false => Done::NeedsRoom,
        });
    }
    note_read(pinned.is_some(), with.counters);
    if let Some(mut pinned) = pinned {
        pinned.seek(start);
        pinned.read(&mut room[head_len..head_len + len]);
    }
    room[head_len + len..whole_len].copy_from_slice(b"\r\n");
    Ok(whole(Some(whole_len)))
}

/// Holds a part of a value still that is longer than any room, and writes its head.
pub fn pin_range<'h>(
    key: Key<'_>,
    (from, to): (i64, i64),
    with: With<'_, 'h>,
    room: &mut [u8],
) -> Result<Option<(Pinned<'h>, usize)>, StoreError> {
    let cache: &'h Cache = with.shared.cache;
    let Some(mut pinned) = cache.pin(key, with.now)? else {
        return Err(StoreError::NoSpace);
    };
    let (start, end) = range(from, to, pinned.meta().value_len);
    pinned.narrow(start, end - start);
    let head_len = Format::value_head(end - start, room).ok_or(StoreError::NoSpace)?;
    note_read(true, with.counters);
    Ok(Some((pinned, head_len)))
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
}
