//! Messages from publishers to subscribers, over all workers.
//!
//! ```text
//!   ring       … │ record │ record │ record │ record ▏◄── head: publishers append
//!                             ▲                 ▲
//!   subscribers           cursor of one     of another     who has nothing pending has none
//! ```
//!
//! A record is a whole answer as it goes to the client, with the topic it is for. It is written once, however many
//! receive it; a pattern that matches has a record of its own. Who has nothing pending is given the record's place and
//! is woken; who has goes on from where they are. Publishers wait for nobody: whose cursor the ring has overtaken
//! has lost messages, and is closed.
//!
//! All tables are as large at the start as they ever are. One lock guards them: it is held for as long as a message takes to be
//! copied, or those who receive it to be gone through.

mod ring;
mod topics;

use std::num::NonZeroU32;
use std::task::Waker;

use parking_lot::Mutex;

use self::ring::Ring;
use self::topics::{NONE, Tables};
use crate::memory::plan::pubsub::PubSubPlan;
use crate::proto::glob;
use crate::proto::resp::pubsub::CHANNEL_BYTES_MAX;
pub use crate::proto::resp::pubsub::Kind;

/// How many subscriptions a connection has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// By [`Kind`].
    pub counts: [u32; 3],
}

impl Held {
    /// What is told behind a change of this kind.
    #[must_use]
    pub fn told(self, kind: Kind) -> u32 {
        match kind {
            Kind::Shard => self.counts[2],
            _ => self.counts[0] + self.counts[1],
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.counts != [0; 3]
    }
}

/// A subscriber's place in the tables. In four bytes, if there is none too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriberNo(NonZeroU32);

impl SubscriberNo {
    fn new(no: u32) -> Self {
        SubscriberNo(NonZeroU32::MIN.saturating_add(no))
    }

    fn no(self) -> u32 {
        self.0.get() - 1
    }
}

/// There is no place for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What was brought of what is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// All, in so many bytes.
    All(usize),
    /// Some, in so many bytes: there is more.
    Some(usize),
    /// Messages are lost.
    Lapped,
}

/// So many records are looked at in one go.
const LOOKED_AT_MAX: usize = 256;

/// See the module's head.
pub struct PubSub {
    state: Mutex<State>,
    record_bytes_max: usize,
}

struct State {
    ring: Ring,
    tables: Tables,
}

impl PubSub {
    /// All tables, empty.
    #[must_use]
    pub fn new(plan: &PubSubPlan) -> Self {
        PubSub {
            state: Mutex::new(State {
                ring: Ring::new(plan.ring_bytes),
                tables: Tables::new(plan.topics, plan.subscriptions, plan.subscribers),
            }),
            record_bytes_max: plan.ring_bytes / 4,
        }
    }

    /// A message may have so many bytes with its channel and its frame.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        self.record_bytes_max
    }

    /// Subscribes. A subscriber's first subscription gives it a place.
    pub fn subscribe(
        &self,
        subscriber: &mut Option<SubscriberNo>,
        (kind, name): (Kind, &[u8]),
        waker: &Waker,
    ) -> Result<Held, Full> {
        let mut state = self.state.lock();
        let since = state.ring.head();
        let no = match *subscriber {
            Some(no) => no,
            None => state.tables.join(waker).ok_or(Full)?,
        };
        let held = state.tables.subscribe(no, kind, name, since);
        match held {
            Some(_) => *subscriber = Some(no),
            None if subscriber.is_none() => state.tables.leave(no),
            None => {}
        }
        held.ok_or(Full)
    }

    /// Unsubscribes from one, whether it was subscribed to or not.
    pub fn unsubscribe(
        &self,
        subscriber: &mut Option<SubscriberNo>,
        kind: Kind,
        name: &[u8],
    ) -> Held {
        let Some(no) = *subscriber else {
            return Held::default();
        };
        let mut state = self.state.lock();
        let held = state.tables.unsubscribe(no, kind, name);
        if !held.any() {
            state.tables.leave(no);
            *subscriber = None;
        }
        held
    }

    /// Unsubscribes from any one of a kind, which `tell` is given with what is left: false, and it stays. `None`: there is
    /// none.
    pub fn unsubscribe_any(
        &self,
        subscriber: &mut Option<SubscriberNo>,
        kind: Kind,
        tell: impl FnOnce(&[u8], Held) -> bool,
    ) -> Option<bool> {
        let no = (*subscriber)?;
        let mut state = self.state.lock();
        let subscription = state.tables.any_of(no, kind)?;
        let mut held = state.tables.held(no);
        held.counts[kind as usize] -= 1;
        if !tell(state.tables.name_of(subscription), held) {
            return Some(false);
        }
        state.tables.remove(subscription);
        if !held.any() {
            state.tables.leave(no);
            *subscriber = None;
        }
        Some(true)
    }

    /// What a subscriber has.
    #[must_use]
    pub fn held(&self, subscriber: Option<SubscriberNo>) -> Held {
        subscriber.map_or(Held::default(), |no| self.state.lock().tables.held(no))
    }

    /// Ends all subscriptions.
    pub fn leave(&self, subscriber: SubscriberNo) {
        let mut state = self.state.lock();
        state.tables.leave(subscriber);
    }

    /// Publishes, and says how many receive it. `write` writes the record into the bytes it is given, for a pattern if
    /// there is one, and says how long it is.
    pub fn publish(
        &self,
        (kind, channel): (Kind, &[u8]),
        mut write: impl FnMut(Option<&[u8]>, &mut [u8]) -> Option<usize>,
    ) -> u64 {
        let mut guard = self.state.lock();
        let State { ring, tables } = &mut *guard;
        let mut received = 0;
        if let Some(topic) = tables.find(kind, channel) {
            received += send(ring, tables, topic, |room| write(None, room));
        }
        if kind == Kind::Channel {
            let mut topic = tables.first_pattern();
            while topic != NONE {
                let next = tables.next_pattern(topic);
                if glob::matches(tables.name(topic), channel, false).0 {
                    let mut pattern = [0; CHANNEL_BYTES_MAX];
                    let name = tables.name(topic);
                    let pattern = &mut pattern[..name.len()];
                    pattern.copy_from_slice(name);
                    received += send(ring, tables, topic, |room| write(Some(pattern), room));
                }
                topic = next;
            }
        }
        received
    }

    /// Copies what is pending to the front of `room`, as whole records. `fix` adapts each to how the client speaks.
    pub fn bring(
        &self,
        subscriber: SubscriberNo,
        room: &mut [u8],
        fix: impl Fn(&mut [u8]),
    ) -> Brought {
        let no = subscriber.no();
        let mut guard = self.state.lock();
        let State { ring, tables } = &mut *guard;
        let Some(mut cursor) = tables.cursor(no) else {
            return Brought::All(0);
        };
        if !ring.has(cursor) {
            return Brought::Lapped;
        }
        let mut len = 0;
        for _ in 0..LOOKED_AT_MAX {
            let Some(record) = ring.at(cursor) else {
                tables.set_cursor(no, None);
                return Brought::All(len);
            };
            if tables.is_for(no, record.topic, record.tag, cursor) {
                let Some(place) = room.get_mut(len..len + record.bytes.len()) else {
                    break;
                };
                place.copy_from_slice(record.bytes);
                fix(place);
                len += record.bytes.len();
            }
            cursor = record.next;
        }
        tables.set_cursor(no, Some(cursor));
        Brought::Some(len)
    }

    /// Whether a subscriber has lost messages.
    #[must_use]
    pub fn is_lapped(&self, subscriber: SubscriberNo) -> bool {
        let state = self.state.lock();
        let cursor = state.tables.cursor(subscriber.no());
        cursor.is_some_and(|cursor| !state.ring.has(cursor))
    }

    /// Channels (of clusters' parts if `kind` says so) that have a subscriber, one after the other.
    pub fn each_channel(&self, kind: Kind, mut then: impl FnMut(&[u8])) {
        let state = self.state.lock();
        state.tables.each(kind, |name| then(name));
    }

    /// How many have subscribed to a channel, patterns not counted.
    #[must_use]
    pub fn subscribed(&self, kind: Kind, channel: &[u8]) -> u64 {
        let state = self.state.lock();
        let topic = state.tables.find(kind, channel);
        topic.map_or(0, |topic| state.tables.subscribed(topic))
    }

    /// How many channels, patterns, channels of clusters' parts and subscribers there are.
    #[must_use]
    pub fn figures(&self) -> ([u64; 3], u64) {
        let state = self.state.lock();
        state.tables.figures()
    }
}

/// Appends a record for a topic, and wakes who has nothing pending.
fn send(
    ring: &mut Ring,
    tables: &mut Tables,
    topic: u32,
    write: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> u64 {
    match ring.append(topic, tables.tag(topic), write) {
        Some(place) => tables.wake_all(topic, place),
        None => 0,
    }
}

/// What a topic, a subscription and a subscriber take, with their places in the indexes.
#[must_use]
pub const fn bytes_of() -> [usize; 3] {
    [
        size_of::<topics::Topic>() + 4,
        size_of::<topics::Subscription>() + 4,
        size_of::<topics::Subscriber>(),
    ]
}
