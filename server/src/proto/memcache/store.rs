//! Lines with a block of data behind them.
//!
//! ```text
//!   set <key> <flags> <exptime> <bytes> [noreply]\r\n
//!   cas <key> <flags> <exptime> <bytes> <number> [noreply]\r\n
//!   <bytes of data>\r\n
//! ```
//!
//! The length is believed first: whatever else is wrong with the line, the block behind it is
//! data and is skipped, so that nobody's values are executed as commands.

use super::decode::refuse;
use super::meta::{Meta, Verb};
use super::mistake::Mistake;
use super::words::Words;
use crate::proto::exptime::lifetime;
use crate::proto::{
    Command, Decoded, How, Inside, KEY_BYTES_MAX, LongHead, PlainFormat, Refusal, ReplyFormat,
    Request, Rest, Storing, Terms, number,
};

/// The longest block that can be announced, its end not counted.
const BLOCK_BYTES_MAX: i64 = i32::MAX as i64 - 2;
/// The answer to a length that is none. Nobody knows where the data behind it ends, so the connection is closed: going on
/// would execute somebody's value.
const NO_LENGTH: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
/// What ends a block.
const END: &[u8; 2] = b"\r\n";

/// What a verb stores over; `None` if it does not store.
#[inline]
pub fn verb(verb: &[u8]) -> Option<How> {
    Some(match verb {
        b"set" => How::Always,
        b"add" => How::Absent,
        b"replace" => How::Present,
        b"append" => How::Behind,
        b"prepend" => How::Before,
        b"cas" => How::Same(0),
        _ => return None,
    })
}

/// Why there is no length.
enum Unusable {
    /// It is below 0: no data follows.
    Negative,
    /// Nobody knows how much data follows.
    Unknown,
}

impl Unusable {
    fn decoded(self, head: usize) -> Decoded<'static> {
        match self {
            Unusable::Negative => refuse(Mistake::BadFormat, PlainFormat::Words, head),
            Unusable::Unknown => Decoded::HangUp(NO_LENGTH),
        }
    }
}

/// A block's length. C's numbers may have a plus.
#[inline]
fn block_len(word: &[u8]) -> Result<usize, Unusable> {
    match number::parse_i64(word.strip_prefix(b"+").unwrap_or(word)) {
        Some(len @ 0..=BLOCK_BYTES_MAX) => Ok(len as usize),
        Some(..0) => Err(Unusable::Negative),
        _ => Err(Unusable::Unknown),
    }
}

/// Reads a line of `head` bytes at the front of `bytes`, and its block.
#[inline]
pub fn line<'a, const WHOLE: usize>(
    how: How,
    rest: &'a [u8],
    bytes: &'a [u8],
    head: usize,
) -> Decoded<'a> {
    let mut words = Words::of(rest);
    let [Some(key), Some(client_flags), Some(exptime), Some(len)] =
        [words.next(), words.next(), words.next(), words.next()]
    else {
        return refuse(Mistake::BadFormat, PlainFormat::Words, head);
    };
    let value_len = match block_len(len) {
        Ok(value_len) => value_len,
        Err(unusable) => return unusable.decoded(head),
    };
    let quiet = words.end_quietly();
    let format = ReplyFormat::Words { quiet };
    let how = match how {
        How::Same(_) => words.next().and_then(number::parse_u64).map(How::Same),
        how => Some(how),
    };
    let exptime = number::parse_i64(exptime);
    let storing = match (
        key.len() <= KEY_BYTES_MAX,
        how,
        number::parse_u32(client_flags),
        exptime,
    ) {
        (true, Some(how), Some(client_flags), Some(exptime)) => Ok(Storing::Plain {
            key,
            terms: Terms {
                how,
                client_flags,
                lifetime: lifetime(exptime),
                too_long_drops: how == How::Always,
            },
        }),
        _ => Err(Mistake::BadFormat),
    };
    block::<WHOLE>(storing, value_len, format, bytes, head)
}

/// Reads the rest of an `ms` line: the length, then flags.
pub fn meta<'a, const WHOLE: usize>(
    key: &'a [u8],
    mut words: Words<'a>,
    bytes: &'a [u8],
    head: usize,
) -> Decoded<'a> {
    let Some(len) = words.next() else {
        return refuse(Mistake::BadFormat, PlainFormat::Words, head);
    };
    let value_len = match block_len(len) {
        Ok(value_len) => value_len,
        Err(unusable) => return unusable.decoded(head),
    };
    let meta = Meta {
        verb: Verb::Set,
        key,
        flags: words.rest(),
    };
    match meta.options() {
        Ok(_) => block::<WHOLE>(
            Ok(Storing::Meta(meta)),
            value_len,
            ReplyFormat::Meta(meta),
            bytes,
            head,
        ),
        // Told even to the quiet.
        Err(mistake) => block::<WHOLE>(
            Err(mistake),
            value_len,
            PlainFormat::Words.full(),
            bytes,
            head,
        ),
    }
}

/// What to do with a block of `value_len` bytes behind a line of `head` bytes.
#[inline]
fn block<'a, const WHOLE: usize>(
    storing: Result<Storing<'a>, Mistake>,
    value_len: usize,
    format: ReplyFormat<'a>,
    bytes: &'a [u8],
    head: usize,
) -> Decoded<'a> {
    let block_len = value_len + END.len();
    let taken = head + block_len;
    if let Some(block) = bytes.get(head..taken) {
        let (value, end) = block.split_at(value_len);
        let command = match storing {
            Err(mistake) => Command::Refuse(mistake.into()),
            Ok(_) if end != END => Command::Refuse(Refusal::BrokenValue),
            Ok(storing) => storing.with(value),
        };
        return Decoded::Request(Request {
            command,
            format,
            taken,
            inside: Inside::MemcachedLine,
        });
    }
    if taken <= WHOLE {
        return Decoded::More;
    }
    Decoded::Long(match storing {
        Ok(storing) => LongHead::Store {
            storing,
            value_len: Some(value_len),
            format,
            taken: head,
            inside: Inside::MemcachedLine,
        },
        Err(mistake) => LongHead::Skip {
            answer: Some(format.refused(mistake.into())),
            rest: Rest::bytes(block_len),
            taken: head,
            inside: Inside::MemcachedLine,
        },
    })
}
