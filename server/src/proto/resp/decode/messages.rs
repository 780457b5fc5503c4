//! Requests about messages.

use super::super::pubsub::{
    CHANNEL_BYTES_MAX, Kind, MESSAGE_BYTES_MAX, Messages, is_allowed_subscribed,
};
use super::*;
use crate::proto::LongMessage;

impl Reading {
    /// Refuses what may not be asked by one who has subscribed.
    pub(super) fn only_messages(
        self,
        name: Option<Name>,
        (count, left): (u32, u32),
        taken: usize,
    ) -> Option<Decoded<'static>> {
        let name = name.filter(|_| self.session.is_for_messages())?;
        let refused = name.takes(count) && !is_allowed_subscribed(name);
        refused.then(|| self.refuse(Command::Resp(Op::OnlyMessages(name)), taken, left))
    }

    /// `PUBSUB NUMSUB`, if it is that.
    pub(super) fn num_sub(self, bytes: &[u8], at: usize, left: u32) -> Option<Decoded<'_>> {
        let left = left.checked_sub(1).filter(|_| !self.locked)?;
        let Framed::Whole(sub) = frame::bulk(bytes, at) else {
            return None;
        };
        let word = &bytes.get(sub.start..sub.end())?[..sub.len];
        let kind = match () {
            () if word.eq_ignore_ascii_case(b"NUMSUB") => Kind::Channel,
            () if word.eq_ignore_ascii_case(b"SHARDNUMSUB") => Kind::Shard,
            () => return None,
        };
        let session = self.session.at(match left {
            0 => At::Request,
            left => At::Keys(Many::NumSub(kind), left),
        });
        let op = Command::Resp(Op::Array(2 * left));
        Some(self.request(op, Shape::Value, sub.end(), session))
    }

    /// A message that cannot be held whole.
    pub(super) fn long_message<'a>(
        self,
        name: Name,
        channel: &'a [u8],
        bulk: Bulk,
    ) -> Result<LongHead<'a>, Words> {
        if channel.len() > CHANNEL_BYTES_MAX {
            return Err(words::BAD_CHANNEL);
        }
        if bulk.len > MESSAGE_BYTES_MAX {
            return Err(words::LONG_MESSAGE);
        }
        Ok(LongHead::Publish {
            message: LongMessage {
                kind: kind_of(name),
                channel,
                len: bulk.len,
            },
            taken: bulk.start,
            inside: Inside::Resp(self.session.at(At::Request)),
        })
    }

    /// The next name of a list about messages.
    pub(super) fn next_name<'a>(
        self,
        bytes: &'a [u8],
        (from, bulk): (usize, Bulk),
        many: Many,
        left: u32,
    ) -> Decoded<'a> {
        if bulk.len > CHANNEL_BYTES_MAX {
            return self.refuse_words(words::BAD_CHANNEL, from, left);
        }
        let Some(name) = bytes.get(bulk.start..bulk.end()) else {
            return Decoded::More;
        };
        let name = &name[..bulk.len];
        let after = self.session.at(match left {
            1 => At::Request,
            left => At::Keys(many, left - 1),
        });
        let asked = match many {
            Many::Subscribe(kind) => Messages::Subscribe(kind, name),
            Many::Unsubscribe(kind) => Messages::Unsubscribe(kind, name),
            Many::NumSub(kind) => Messages::NumSub(kind, name),
            _ => return self.refuse_words(words::SYNTAX, from, left),
        };
        let op = Command::Resp(Op::Messages(asked));
        self.request(op, Shape::Value, bulk.end(), after)
    }
}
