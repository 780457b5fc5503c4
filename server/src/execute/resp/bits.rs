//! Bits of values: `SETBIT`, `GETBIT`, `BITCOUNT`, `BITPOS`. The first one is the highest of the first byte.

use flagstone_engine::{Edit, Key, NewValue, Pinned};

use super::common::{Stop, Tried, WINDOW_BYTES, With, kept, say, whole};
use super::note_read;
use super::range::{hold, write_over};
use crate::execute::done::Done;
use crate::proto::resp::bits::Span;
use crate::proto::resp::encode::integer;
use crate::proto::resp::words;

/// In which byte a bit is, and which of it.
fn place(offset: u64) -> (usize, u8) {
    ((offset / 8) as usize, 0x80 >> (offset % 8))
}

fn put(byte: &mut u8, mask: u8, on: bool) -> bool {
    let was = *byte & mask != 0;
    *byte = if on { *byte | mask } else { *byte & !mask };
    was
}

/// `SETBIT`: nothing is written where the bit is as it should be; a short value is changed under the shard's lock, a long one as `SETRANGE` does it.
pub fn set_bit(
    key: Key<'_>,
    offset: u64,
    on: bool,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let (at, mask) = place(offset);
    if at >= with.shared.plan.engine.item_bytes_max() {
        return Err(say(words::STRING_TOO_LONG));
    }
    with.shared.note_counted();
    let mut was = None;
    let mut short = [0; WINDOW_BYTES];
    let cache = with.shared.cache;
    cache.update(key, with.now, &mut short, |current, value| {
        was = None;
        let len_before = current.map_or(0, |item| item.meta().value_len);
        let len = len_before.max(at + 1);
        if len > value.len() {
            return Ok(Edit::Keep);
        }
        value[len_before..len].fill(0);
        if let Some(item) = current {
            item.copy_to(value).ok_or(Stop::Again)?;
        }
        let before = put(&mut value[at], mask, on);
        was = Some(before);
        // As in Redis what is as it was counts as not written, for who watches it.
        Ok::<_, Stop>(match before == on && len == len_before {
            true => Edit::Keep,
            false => Edit::store(NewValue::Room(len), kept(current)),
        })
    })?;
    let was = match was {
        Some(was) => {
            with.counters.puts.add(1);
            was
        }
        None => {
            let mut before = hold(key, with)?;
            let mut byte = [0];
            if let Some(before) = &mut before {
                before.seek(at);
                before.read(&mut byte);
            }
            let was = put(&mut byte[0], mask, on);
            let is_within = |before: &Pinned<'_>| at < before.meta().value_len;
            if was != on || !before.as_ref().is_some_and(is_within) {
                write_over(key, before, (at, &byte), with)?;
            }
            was
        }
    };
    Ok(whole(integer(i64::from(was), room)))
}

/// `GETBIT`: what is behind the value is zero.
pub fn get_bit(key: Key<'_>, offset: u64, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let (at, mask) = place(offset);
    let pinned = with.shared.cache.pin(key, with.now)?;
    note_read(pinned.is_some(), with.counters);
    let mut byte = [0];
    if let Some(mut pinned) = pinned {
        pinned.seek(at);
        pinned.read(&mut byte);
    }
    Ok(whole(integer(i64::from(byte[0] & mask != 0), room)))
}

/// `BITCOUNT`
pub fn count(key: Key<'_>, span: Span, with: With<'_, '_>, room: &mut [u8]) -> Tried<Done> {
    let pinned = with.shared.cache.pin(key, with.now)?;
    note_read(pinned.is_some(), with.counters);
    let mut ones = 0;
    // Both before the value's end, and in the wrong order: none.
    let is_crossed = matches!(span.end, Some(end) if span.start < 0 && end < 0 && span.start > end);
    if let Some(mut pinned) = pinned.filter(|_| !is_crossed)
        && let Some((first, last)) = bits_of(span, pinned.meta().value_len)
    {
        each_window(&mut pinned, first, last, false, |_, window| {
            ones += window
                .iter()
                .map(|byte| i64::from(byte.count_ones()))
                .sum::<i64>();
            true
        });
    }
    Ok(whole(integer(ones, room)))
}

/// `BITPOS`: -1 if there is none.
pub fn find(
    key: Key<'_>,
    bit: bool,
    span: Span,
    with: With<'_, '_>,
    room: &mut [u8],
) -> Tried<Done> {
    let pinned = with.shared.cache.pin(key, with.now)?;
    note_read(pinned.is_some(), with.counters);
    let Some(mut pinned) = pinned else {
        // Nothing is as good as zeros without end.
        return Ok(whole(integer(if bit { -1 } else { 0 }, room)));
    };
    let mut found = None;
    if let Some((first, last)) = bits_of(span, pinned.meta().value_len) {
        let other = if bit { 0 } else { 0xff };
        each_window(&mut pinned, first, last, !bit, |at, window| {
            let no = window.iter().position(|&byte| byte != other);
            found = no.map(|no| (at + no) * 8 + (window[no] ^ other).leading_zeros() as usize);
            found.is_none()
        });
        // Behind a value whose end was not told there are zeros.
        if !bit && span.end.is_none() {
            found = found.or(Some(last + 1));
        }
    }
    let found = found.map_or(-1, |found| found as i64);
    Ok(whole(integer(found, room)))
}

/// The first and the last bit of a part of a value; `None`: nothing is in it.
fn bits_of(span: Span, value_len: usize) -> Option<(usize, usize)> {
    let unit = if span.in_bits { 1 } else { 8 };
    let total = i64::try_from(value_len * 8 / unit).unwrap_or(i64::MAX);
    let at = |place: i64| match place < 0 {
        true => place.saturating_add(total).max(0),
        false => place,
    };
    let (start, end) = (at(span.start), at(span.end.unwrap_or(-1)).min(total - 1));
    let is_some = start <= end;
    is_some.then(|| (start as usize * unit, end as usize * unit + unit - 1))
}

/// Goes through the bytes that hold the bits from `first` to `last`, some at a time, until `each` says no; it is told
/// where they are. The bits before and behind in the outer bytes are `outside`.
fn each_window(
    pinned: &mut Pinned<'_>,
    first: usize,
    last: usize,
    outside: bool,
    mut each: impl FnMut(usize, &[u8]) -> bool,
) {
    let cover = |byte: &mut u8, covered: u8| match outside {
        true => *byte |= covered,
        false => *byte &= !covered,
    };
    let (mut at, end) = (first / 8, last / 8 + 1);
    let mut window = [0; WINDOW_BYTES];
    pinned.seek(at);
    while at < end {
        let most = (end - at).min(WINDOW_BYTES);
        let len = pinned.read(&mut window[..most]);
        if len == 0 {
            return;
        }
        if at == first / 8 {
            cover(&mut window[0], !(0xff >> (first % 8)));
        }
        if at + len == end {
            cover(&mut window[len - 1], !(0xff << (7 - last % 8)));
        }
        if !each(at, &window[..len]) {
            return;
        }
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_from_both_ends_in_bytes_and_bits() {
        let of = |start, end, in_bits| {
            let span = Span {
                start,
                end,
                in_bits,
            };
            bits_of(span, 10)
        };
        assert_eq!(of(0, None, false), Some((0, 79)));
        assert_eq!(of(1, Some(1), false), Some((8, 15)));
        assert_eq!(of(-1, Some(-1), false), Some((72, 79)));
        assert_eq!(of(-5, Some(-1), true), Some((75, 79)));
        assert_eq!(of(5, Some(1000), true), Some((5, 79)));
        assert_eq!(of(80, None, true), None);
        assert_eq!(of(5, Some(2), false), None);
        assert_eq!(of(i64::MIN, Some(i64::MAX), true), Some((0, 79)));
        assert_eq!(bits_of(Span::default(), 0), None);
    }
}
