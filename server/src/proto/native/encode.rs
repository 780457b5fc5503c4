//! [`Reply`] → lines of the native protocol.
//!
//! A refusal has one word for every reason, `ERROR`: the native protocol's table has no
//! other.

use crate::proto::writer::{Writer, words};
use crate::proto::{Fate, Reply, Word};

/// Writes `reply` to the front of `room`; see [`ReplyFormat::encode`](crate::proto::ReplyFormat::encode),
/// which has dealt with values.
#[inline]
pub fn encode(reply: Reply<'_>, room: &mut [u8]) -> Option<usize> {
    match reply {
        Reply::Store {
            fate: Fate::Done, ..
        }
        | Reply::Deleted
        | Reply::Flushed
        | Reply::Touched => words(b"OK\n", room),
        Reply::Missing => words(b"NOTFOUND\n", room),
        Reply::SecondsLeft(None) => words(b"-1\n", room),
        Reply::SecondsLeft(Some(number)) | Reply::Counted(number) => {
            let mut writer = Writer::new(room);
            writer.number(number)?;
            writer.put(b"\n")?;
            Some(writer.len())
        }
        Reply::Stats(stats) => {
            let mut writer = Writer::new(room);
            for stat in stats {
                writer.stat(stat)?;
                writer.put(b"\n")?;
            }
            Some(writer.len())
        }
        Reply::StatsEnd => words(b"END\n", room),
        Reply::Said(Word::Ok) => words(b"OK\n", room),
        // What the native protocol never asks for has no other word in it.
        _ => words(b"ERROR\n", room),
    }
}

/// The line before a value whose length is told.
pub fn value_head(value_len: usize, room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    writer.number(value_len as u64)?;
    writer.put(b"\n")?;
    Some(writer.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{REPLY_BYTES_MAX, Refusal, ReplyFormat, Stat};

    #[test]
    fn every_reply_has_its_line() {
        let table: &[(Reply<'_>, &[u8])] = &[
            (
                Reply::Store {
                    fate: Fate::Done,
                    cas: 0,
                    value_len: 1,
                },
                b"OK\n",
            ),
            (Reply::Deleted, b"OK\n"),
            (Reply::Flushed, b"OK\n"),
            (Reply::Missing, b"NOTFOUND\n"),
            (Reply::SecondsLeft(None), b"-1\n"),
            (Reply::SecondsLeft(Some(0)), b"0\n"),
            (Reply::SecondsLeft(Some(86_400)), b"86400\n"),
            (Reply::Refused(Refusal::Malformed), b"ERROR\n"),
            (Reply::Refused(Refusal::TooLarge), b"ERROR\n"),
            (Reply::Refused(Refusal::NoSpace), b"ERROR\n"),
            (Reply::Value { len: 0 }, b"\n"),
            (Reply::Value { len: 3 }, b"...\n"),
        ];
        for &(reply, expected) in table {
            let mut room = [b'.'; REPLY_BYTES_MAX];
            let len = ReplyFormat::Native
                .encode(reply, &mut room)
                .expect("it fits");
            assert_eq!(&room[..len], expected, "{reply:?}");
            // One byte less is no room.
            assert_eq!(
                ReplyFormat::Native.encode(reply, &mut room[..len - 1]),
                None,
                "{reply:?}"
            );
        }
    }

    #[test]
    fn stats_are_lines_and_an_end() {
        let stats = [
            Stat::text("version", "1.2.3"),
            Stat::number("items", 12),
            Stat::micros("cpu", 1_000_020),
        ];
        let mut room = [0; 64];
        let len = encode(Reply::Stats(&stats), &mut room).expect("it fits");
        assert_eq!(&room[..len], b"version 1.2.3\nitems 12\ncpu 1.000020\n");
        for short in 0..len {
            assert_eq!(encode(Reply::Stats(&stats), &mut room[..short]), None);
        }
        let len = encode(Reply::StatsEnd, &mut room).expect("it fits");
        assert_eq!(&room[..len], b"END\n");
    }
}
