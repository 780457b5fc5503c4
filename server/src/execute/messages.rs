//! Messages between clients: the commands for them.

use std::task::Waker;

use flagstone_engine::Tick;

use super::Work;
use crate::observe::counters::Counters;
use crate::proto::glob;
use crate::proto::resp::encode::{Out, integer};
use crate::proto::resp::pubsub::{self as told, Messages};
use crate::proto::resp::{Format, Op, words};
use crate::proto::{Command, Refusal, ReplyFormat, Words};
use crate::pubsub::{Full, Kind, PubSub, Published, SubscriberNo};
use crate::server::shared::Shared;

/// What became of one.
pub enum Messaged {
    /// The answer, or a part of it, is in the room: so many bytes, and whether it is all.
    Said(usize, bool),
    /// The answer does not fit into the room.
    NeedsRoom,
    /// There is no room yet, or others come first.
    NotNow,
    /// It is refused.
    Refused(Refusal),
}

impl Work<'_> {
    /// Whether it publishes a message.
    #[must_use]
    pub fn is_published(&self) -> bool {
        matches!(
            self.command,
            Command::Resp(Op::Messages(Messages::Publish(..)))
        )
    }

    /// How long the message is that it publishes.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        match self.command {
            Command::Resp(Op::Messages(Messages::Publish(_, _, message))) => message.len(),
            _ => 0,
        }
    }
}

/// Carries out a command about messages. Its answer fits into any room for a reply, but a list of channels.
pub fn run(
    work: &Work<'_>,
    (shared, counters): (&Shared<'_>, &Counters),
    (subscriber, waker): (&mut Option<SubscriberNo>, &Waker),
    (now, waits): (Tick, bool),
    format: ReplyFormat<'_>,
    room: &mut [u8],
) -> Messaged {
    let (Command::Resp(Op::Messages(asked)), ReplyFormat::Resp(Format { v3, .. })) =
        (work.command, format)
    else {
        return Messaged::Refused(Refusal::Malformed);
    };
    let hub = &shared.pubsub;
    let said = match asked {
        Messages::Subscribe(kind, name) => match hub.subscribe(subscriber, (kind, name), waker) {
            Ok(held) => told::changed((v3, true), (kind, Some(name)), held.told(kind), room),
            Err(Full::NotNow) => return Messaged::NotNow,
            Err(Full::All) => return refused(words::NO_SUBSCRIPTION, counters),
            Err(Full::Own) => return refused(words::NO_OWN_SUBSCRIPTION, counters),
            Err(Full::Patterns) => return refused(words::NO_PATTERN, counters),
        },
        Messages::Unsubscribe(kind, name) => {
            let held = hub.unsubscribe(subscriber, kind, name);
            told::changed((v3, false), (kind, Some(name)), held.told(kind), room)
        }
        Messages::UnsubscribeAll(kind) => {
            return unsubscribe_all((hub, counters), subscriber, (v3, kind), room);
        }
        Messages::Publish(kind, channel, message) => {
            let millis = now.as_millis() as u32;
            match hub.publish((kind, channel), message, millis, waits) {
                Published::NotNow => return Messaged::NotNow,
                Published::To(received) => {
                    return Messaged::Said(received_by(received, counters, room), true);
                }
            }
        }
        Messages::Channels(kind, pattern) => match channels(hub, (kind, pattern), (v3, room)) {
            Ok(len) => Some(len),
            Err(true) => return refused(words::HARD_PATTERN, counters),
            Err(false) => return Messaged::NeedsRoom,
        },
        Messages::NumSub(kind, channel) => {
            let mut out = Out::new(room, v3);
            out.bulk(channel)
                .and_then(|()| out.integer(hub.subscribed(kind, channel) as i64))
                .map(|()| out.len())
        }
        Messages::NumPat => {
            let (topics, _) = hub.figures();
            integer(topics[Kind::Pattern as usize] as i64, room)
        }
    };
    match said {
        Some(len) => {
            counters.others.add(1);
            Messaged::Said(len, true)
        }
        None => Messaged::NeedsRoom,
    }
}

/// A message reaches so many.
pub fn received_by(count: u64, counters: &Counters, room: &mut [u8]) -> usize {
    counters.others.add(1);
    counters.published.add(1);
    counters.messages_received.add(count);
    integer(count as i64, room).unwrap_or(0)
}

/// A list does not fit into any room.
pub fn too_long(counters: &Counters) -> Refusal {
    counters.refusals.add(1);
    Refusal::Words(words::LONG_LIST)
}

fn refused(words: Words, counters: &Counters) -> Messaged {
    counters.refusals.add(1);
    Messaged::Refused(Refusal::Words(words))
}

/// As many as fit into the room; the rest is for the next time.
fn unsubscribe_all(
    (hub, counters): (&PubSub, &Counters),
    subscriber: &mut Option<SubscriberNo>,
    (v3, kind): (bool, Kind),
    room: &mut [u8],
) -> Messaged {
    let mut len = 0;
    loop {
        let mut written = None;
        let mut is_last = false;
        let before = len;
        let left = hub.unsubscribe_any(subscriber, kind, |name, held| {
            is_last = held.counts[kind as usize] == 0;
            let count = held.told(kind);
            written = told::changed((v3, false), (kind, Some(name)), count, &mut room[len..]);
            written.is_some()
        });
        len += written.unwrap_or(0);
        match left {
            Some(true) if is_last => break,
            Some(true) => {}
            Some(false) => return Messaged::Said(before, false),
            None => {
                let count = hub.held(*subscriber).told(kind);
                let nobody = told::changed((v3, false), (kind, None), count, &mut room[len..]);
                len += nobody.unwrap_or(0);
                break;
            }
        }
    }
    counters.others.add(1);
    Messaged::Said(len, true)
}

/// Comparing the names of all channels with a pattern takes at most so many steps.
const STEPS_MAX: usize = 1 << 19;

/// Those that match. An error: they do not fit, or (true) comparing them takes too long.
fn channels(
    hub: &PubSub,
    (kind, pattern): (Kind, Option<&[u8]>),
    (v3, room): (bool, &mut [u8]),
) -> Result<usize, bool> {
    // The head stands before them and says how many there are: it is written last, and moved up to them.
    const HEAD_BYTES: usize = 16;
    let (head, list) = room.split_at_mut_checked(HEAD_BYTES).ok_or(false)?;
    let mut out = Out::new(list, v3);
    let (mut count, mut steps) = (0, STEPS_MAX);
    let mut fits = Ok(());
    hub.each_channel(kind, |name| {
        let matches = match pattern {
            _ if fits.is_err() => Some(false),
            None => Some(true),
            Some(pattern) => glob::matches(pattern, name, false, &mut steps),
        };
        match matches {
            Some(true) => {
                fits = out.bulk(name).ok_or(false);
                count += 1;
            }
            Some(false) => {}
            None => fits = Err(true),
        }
    });
    fits?;
    let len = out.len();
    let mut out = Out::new(head, v3);
    out.array(count).ok_or(false)?;
    let head_len = out.len();
    room.copy_within(HEAD_BYTES..HEAD_BYTES + len, head_len);
    Ok(head_len + len)
}
