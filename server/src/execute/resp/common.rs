//! What commands of Redis have in common.

use flagstone_engine::{Attributes, Current, Deadline, StoreError, Tick};

use crate::execute::decimal;
use crate::execute::done::{Done, refusal};
use crate::observe::counters::Counters;
use crate::proto::number::{Digits, parse_i64};
use crate::proto::resp::encode::Out;
use crate::proto::{Refusal, Reply, ReplyFormat, Speech, Words};
use crate::server::shared::Shared;

/// Pieces in which values are gone through.
pub const WINDOW_BYTES: usize = 1024;
/// A number as a value is no longer.
pub const NUMBER_BYTES_MAX: usize = decimal::TEXT_BYTES_MAX;

/// What a command needs beside its words.
#[derive(Clone, Copy)]
pub struct With<'s, 'h> {
    pub shared: &'s Shared<'h>,
    pub now: Tick,
    pub format: ReplyFormat<'s>,
    pub counters: &'s Counters,
}

impl With<'_, '_> {
    /// A whole value of so many bytes was stored, to be kept until then.
    pub fn note_stored(&self, value_len: usize, until: Deadline) {
        let stores = &self.counters.stores;
        stores.note_until(Speech::Resp, value_len, until, self.now);
    }
}

/// Why a try came to nothing.
pub enum Stop {
    /// Somebody else was faster.
    Again,
    /// This is the end of it.
    Done(Done),
}

pub type Tried<T> = Result<T, Stop>;

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Done(match error {
            StoreError::NoSpace => Done::NotNow,
            error => Done::Reply(Reply::Refused(refusal(error))),
        })
    }
}

pub fn refused(words: Words) -> Done {
    Done::Reply(Reply::Refused(Refusal::Words(words)))
}

pub fn say(words: Words) -> Stop {
    Stop::Done(refused(words))
}

/// What was written to the front of a room. Short answers always fit.
pub fn whole(len: Option<usize>) -> Done {
    match len {
        Some(len) => Done::Reply(Reply::Whole { len }),
        None => Done::NeedsRoom,
    }
}

/// The item's attributes, or those of a new one.
pub fn kept(current: Option<&Current<'_>>) -> Attributes {
    current.map_or(Attributes::default(), |item| item.meta().attributes())
}

/// Whether the value is this one.
pub fn is_equal(item: &Current<'_>, expected: &[u8]) -> bool {
    let mut window = [0; WINDOW_BYTES];
    item.meta().value_len == expected.len()
        && expected.chunks(WINDOW_BYTES).enumerate().all(|(no, part)| {
            let read = item.read_at(no * WINDOW_BYTES, &mut window[..part.len()]);
            window[..read] == *part
        })
}

pub fn note_counted_by(by: i64, found: bool, counters: &Counters) {
    match (by < 0, found) {
        (false, true) => counters.incr_hits.add(1),
        (false, false) => counters.incr_misses.add(1),
        (true, true) => counters.decr_hits.add(1),
        (true, false) => counters.decr_misses.add(1),
    }
}

/// A number as Redis writes it: without zeros before it, without `+` and `-0`.
pub fn canonical_i64(digits: &[u8]) -> Option<i64> {
    let number = parse_i64(digits)?;
    let (text, len) = signed(number);
    (&text[..len] == digits).then_some(number)
}

/// A number in decimal.
pub fn signed(number: i64) -> ([u8; 21], usize) {
    let mut text = [0; 21];
    let digits = Digits::of(number.unsigned_abs());
    let digits = digits.as_bytes();
    let start = usize::from(number < 0);
    text[0] = b'-';
    text[start..start + digits.len()].copy_from_slice(digits);
    (text, start + digits.len())
}

/// `+<word>`
pub fn status(word: &str, room: &mut [u8]) -> Option<usize> {
    let mut out = Out::new(room, false);
    out.status(word)?;
    Some(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_as_redis_writes_them_count() {
        for (text, number) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("01", None),
            ("-0", None),
            ("+1", None),
            (" 1", None),
            ("", None),
            ("1.0", None),
        ] {
            assert_eq!(canonical_i64(text.as_bytes()), number, "{text}");
        }
    }
}
