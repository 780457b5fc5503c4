//! What is asked about messages between clients.

use super::command::Op;
use super::names::Name;
use super::pubsub::{CHANNEL_BYTES_MAX, Kind, Messages};
use super::set::Wrong;
use super::words;
use crate::proto::Command;

/// As what `SUBSCRIBE` and its like subscribe.
pub fn kind_of(name: Name) -> Kind {
    match name {
        Name::PSubscribe | Name::PUnsubscribe => Kind::Pattern,
        Name::SSubscribe | Name::SUnsubscribe | Name::SPublish => Kind::Shard,
        _ => Kind::Channel,
    }
}

/// Whether a channel or a pattern can be called that.
fn is_channel(name: &[u8]) -> bool {
    name.len() <= CHANNEL_BYTES_MAX
}

/// What is asked about messages, but lists of names.
pub fn ask<'a>(name: Name, args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let first = args.first().copied().unwrap_or_default();
    let kind = kind_of(name);
    let is = |word: &[u8]| first.eq_ignore_ascii_case(word);
    Ok(Command::Resp(match (name, args) {
        (Name::PubSub, [_, pattern @ ..]) if is(b"CHANNELS") && pattern.len() <= 1 => {
            Op::Messages(Messages::Channels(Kind::Channel, pattern.first().copied()))
        }
        (Name::PubSub, [_, pattern @ ..]) if is(b"SHARDCHANNELS") && pattern.len() <= 1 => {
            Op::Messages(Messages::Channels(Kind::Shard, pattern.first().copied()))
        }
        (Name::PubSub, [_]) if is(b"NUMPAT") => Op::Messages(Messages::NumPat),
        (Name::PubSub, _) => Op::UnknownSub(name, first),
        _ if !is_channel(first) => return Err(Wrong::Words(words::BAD_CHANNEL)),
        (Name::Publish | Name::SPublish, [channel, message]) => {
            Op::Messages(Messages::Publish(kind, channel, message))
        }
        (Name::Subscribe | Name::PSubscribe | Name::SSubscribe, [channel]) => {
            Op::Messages(Messages::Subscribe(kind, channel))
        }
        (_, []) => Op::Messages(Messages::UnsubscribeAll(kind)),
        (_, [channel]) => Op::Messages(Messages::Unsubscribe(kind, channel)),
        _ => return Err(Wrong::Words(words::SYNTAX)),
    }))
}
