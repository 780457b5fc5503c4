//! Messages between clients: what is asked, and how it is told.

use super::encode::Out;
use super::names::Name;

/// What a name is subscribed to as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels that match.
    Pattern,
    /// A channel of a cluster's part.
    Shard,
}

/// A channel's name, and a pattern, has up to so many bytes.
pub const CHANNEL_BYTES_MAX: usize = 250;

/// A message has up to so many.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What is asked about messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages<'a> {
    /// `SUBSCRIBE` and its like, for one name.
    Subscribe(Kind, &'a [u8]),
    /// `UNSUBSCRIBE` and its like, for one name.
    Unsubscribe(Kind, &'a [u8]),
    /// The same for all names of a kind.
    UnsubscribeAll(Kind),
    /// `PUBLISH`, `SPUBLISH`: a channel and a message.
    Publish(Kind, &'a [u8], &'a [u8]),
    /// `PUBSUB CHANNELS`, `SHARDCHANNELS`: those that match, or all.
    Channels(Kind, Option<&'a [u8]>),
    /// `PUBSUB NUMSUB`, `SHARDNUMSUB`, for one channel.
    NumSub(Kind, &'a [u8]),
    /// `PUBSUB NUMPAT`
    NumPat,
}

/// Whether a command has to do with messages.
#[must_use]
pub fn is_about_messages(name: Name) -> bool {
    matches!(
        name,
        Name::Publish
            | Name::SPublish
            | Name::PubSub
            | Name::Subscribe
            | Name::PSubscribe
            | Name::SSubscribe
            | Name::Unsubscribe
            | Name::PUnsubscribe
            | Name::SUnsubscribe
    )
}

/// What may be asked in version 2 by one who has subscribed.
#[must_use]
pub fn is_allowed_subscribed(name: Name) -> bool {
    matches!(
        name,
        Name::Subscribe
            | Name::PSubscribe
            | Name::SSubscribe
            | Name::Unsubscribe
            | Name::PUnsubscribe
            | Name::SUnsubscribe
            | Name::Ping
            | Name::Quit
            | Name::Reset
    )
}

/// A subscription has begun or ended, and how many are left.
pub fn changed(
    (v3, begins): (bool, bool),
    (kind, name): (Kind, Option<&[u8]>),
    left: u32,
    room: &mut [u8],
) -> Option<usize> {
    let mut out = Out::new(room, v3);
    out.push(3)?;
    out.text(match (kind, begins) {
        (Kind::Channel, true) => "subscribe",
        (Kind::Channel, false) => "unsubscribe",
        (Kind::Pattern, true) => "psubscribe",
        (Kind::Pattern, false) => "punsubscribe",
        (Kind::Shard, true) => "ssubscribe",
        (Kind::Shard, false) => "sunsubscribe",
    })?;
    match name {
        Some(name) => out.bulk(name)?,
        None => out.nil()?,
    }
    out.integer(i64::from(left))?;
    Some(out.len())
}

/// What stands before a message of so many bytes.
pub fn message_head(
    (kind, channel, len): (Kind, &[u8], usize),
    pattern: Option<&[u8]>,
    v3: bool,
    room: &mut [u8],
) -> Option<usize> {
    let mut out = Out::new(room, v3);
    match pattern {
        Some(pattern) => {
            out.push(4)?;
            out.text("pmessage")?;
            out.bulk(pattern)?;
        }
        None => {
            out.push(3)?;
            out.text(match kind {
                Kind::Shard => "smessage",
                _ => "message",
            })?;
        }
    }
    out.bulk(channel)?;
    out.bulk_head(len)?;
    Some(out.len())
}

/// What [`message_head`] writes, at most.
pub const HEAD_BYTES_MAX: usize = 2 * CHANNEL_BYTES_MAX + 64;

/// `PING` by one who has subscribed, in version 2.
pub fn pong(said: &[u8], room: &mut [u8]) -> Option<usize> {
    let mut out = Out::new(room, false);
    out.array(2)?;
    out.text("pong")?;
    out.bulk(said)?;
    Some(out.len())
}
