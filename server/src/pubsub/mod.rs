//! Messages from publishers to subscribers, over all workers.
//!
//! ```text
//!   ring       … │ record │ record │ record │ record ▏◄── head: publishers append
//!                             ▲                 ▲
//!   subscribers           cursor of one     of another     a subscriber with nothing pending has none
//! ```
//!
//! A record is a message with its channel and the names that it is for. It is written once, however many receive it.
//! A subscriber that has nothing pending is given the record's place and is woken; one that has goes on from
//! where it is. An answer is made when it is brought.
//!
//! A publisher never waits for a peer that does not read: a subscriber whose cursor the ring has overtaken has lost messages, and is
//! closed. It does wait for a subscriber that was woken and has not had a turn since: that is *due*, and its worker gives it one
//! within a pass.
//!
//! All tables have their room at the start, and touch none of it before the first subscription: the cache has it until
//! then. While it makes room, a few subscriptions and messages go ahead. One lock guards them: it is held for as long as a message takes to be copied, patterns to be compared, or
//! those who receive it to be gone through, all of which are bounded.

mod due;
mod long;
mod receivers;
mod ring;
mod terms;
mod topics;

use std::task::Waker;

use parking_lot::Mutex;

use self::long::Longs;
pub use self::long::{LongBegun, LongNo};
use self::ring::{Record, Ring};
use self::terms::{Cursor, Match};
pub use self::terms::{Full, Held, Kind, SubscriberNo};
use self::topics::Tables;
use crate::memory::lease_room::LeaseRoom;
use crate::memory::plan::pubsub::PubSubPlan;
use crate::proto::LongMessage;
use crate::proto::resp::pubsub::{HEAD_BYTES_MAX, message_head};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// So many subscriptions are for it.
    To(u64),
    /// Those who are due have a turn first.
    NotNow,
}

/// What was brought of what is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// All, in so many bytes.
    All(usize),
    /// Some, in so many bytes, and whether that ends in the middle of a message: there is more.
    Some(usize, bool),
    /// Messages are lost.
    Lapped,
}

/// Before the cache has made room, so many subscriptions …
const EARLY_SUBSCRIPTIONS: usize = 64;
/// … and so many bytes of messages come out of the headroom.
const EARLY_BYTES: u64 = 64 << 10;

/// So many names of records are looked at in one go.
const LOOKED_AT_MAX: usize = 2048;

/// See the module's head.
pub struct PubSub {
    state: Mutex<State>,
    /// Whether the cache has made room for all of it.
    pub room: LeaseRoom,
    longs: Longs,
}

struct State {
    ring: Ring,
    tables: Tables,
    /// So far the ring may be ahead of one who is due.
    ahead_max: u64,
}

impl PubSub {
    /// All tables, empty. `shared`: the cache makes room for them when they are needed.
    #[must_use]
    pub fn new(plan: &PubSubPlan, shared: bool) -> Self {
        let room = LeaseRoom::default();
        if !shared {
            room.grant();
        }
        PubSub {
            state: Mutex::new(State {
                ring: Ring::new(plan.ring_bytes),
                tables: Tables::new(plan),
                ahead_max: plan.ahead_bytes_max() as u64,
            }),
            room,
            longs: Longs::new(),
        }
    }

    /// Subscribes. A subscriber's first subscription gives it a place.
    pub fn subscribe(
        &self,
        subscriber: &mut Option<SubscriberNo>,
        (kind, name): (Kind, &[u8]),
        waker: &Waker,
    ) -> Result<Held, Full> {
        self.room.want();
        let mut state = self.state.lock();
        if !self.room.is_granted() && state.tables.subscriptions.len() >= EARLY_SUBSCRIPTIONS {
            return Err(Full::NotNow);
        }
        let since = state.ring.head();
        let no = match *subscriber {
            Some(no) => no,
            None => state.tables.join(waker).ok_or(Full::All)?,
        };
        let held = state.tables.subscribe(no, kind, name, since);
        match held {
            Ok(_) => *subscriber = Some(no),
            Err(_) if subscriber.is_none() => state.tables.leave(no),
            Err(_) => {}
        }
        held
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

    /// Publishes, at `now` in milliseconds. `waits`: for those who are due.
    pub fn publish(
        &self,
        (kind, channel): (Kind, &[u8]),
        message: &[u8],
        now: u32,
        waits: bool,
    ) -> Published {
        if !self.room.is_wanted() {
            return Published::To(0);
        }
        let mut guard = self.state.lock();
        let State {
            ring,
            tables,
            ahead_max,
        } = &mut *guard;
        let place = ring.head();
        let is_early = !self.room.is_granted() && place >= EARLY_BYTES;
        if waits && (is_early || tables.is_ahead(place, *ahead_max, now)) {
            return Published::NotNow;
        }
        let direct = tables
            .find(kind, channel)
            .map_or(Match::NONE, |topic| tables.found(topic));
        let matching = match kind {
            Kind::Channel => tables.match_patterns(channel),
            _ => 0,
        };
        if direct == Match::NONE && matching == 0 {
            return Published::To(0);
        }
        let patterns = tables.matching(matching);
        let Some(place) = ring.append((kind, channel, message), direct, patterns) else {
            return Published::To(0);
        };
        let mut received = match direct {
            Match::NONE => 0,
            Match { topic, .. } => tables.wake_all(topic, place, now),
        };
        for no in 0..matching {
            received += tables.wake_all(tables.matching(matching)[no].topic, place, now);
        }
        Published::To(received)
    }

    /// Begins to take in a long message.
    pub fn begin_long(&self, message: LongMessage<'_>, now: u32) -> LongBegun {
        if !self.room.is_wanted() || self.figures().1 == 0 {
            return LongBegun::Nobody;
        }
        if !self.room.is_granted() {
            return LongBegun::NotNow;
        }
        let no = self.longs.begin(message, now);
        no.map_or(LongBegun::NotNow, LongBegun::Yes)
    }

    /// Takes in a piece of it. False: it took too long, and another has its room.
    pub fn write_long(&self, no: LongNo, piece: &[u8]) -> bool {
        self.longs.write(no, piece)
    }

    /// Publishes it.
    pub fn publish_long(&self, no: LongNo, now: u32) -> Published {
        let published = self.longs.with(no, |kind, channel, message| {
            let published = self.publish((kind, channel), message, now, true);
            (published, published != Published::NotNow)
        });
        published.unwrap_or(Published::To(0))
    }

    /// Its publisher is gone.
    pub fn drop_long(&self, no: LongNo) {
        self.longs.with(no, |_, _, _| ((), true));
    }

    /// A subscriber has its turn: nobody waits for it any more.
    pub fn begin_turn(&self, subscriber: SubscriberNo) {
        self.state.lock().tables.not_due(subscriber.no());
    }

    /// Its turn is over before it was brought all that it takes: others wait for the next.
    pub fn end_turn(&self, subscriber: SubscriberNo, now: u32) {
        let mut state = self.state.lock();
        let head = state.ring.head();
        state.tables.be_due(subscriber.no(), head, now);
    }

    /// Whether anything is pending.
    #[must_use]
    pub fn is_pending(&self, subscriber: SubscriberNo) -> bool {
        let state = self.state.lock();
        state.tables.cursor(subscriber.no()).is_some()
    }

    /// Copies what is pending to the front of `room`, as answers in version 3 of the protocol or 2.
    pub fn bring(&self, subscriber: SubscriberNo, room: &mut [u8], v3: bool) -> Brought {
        let no = subscriber.no();
        let mut guard = self.state.lock();
        let State { ring, tables, .. } = &mut *guard;
        let Some(mut cursor) = tables.cursor(no) else {
            return Brought::All(0);
        };
        if !ring.has(cursor.place) {
            return Brought::Lapped;
        }
        let (mut len, mut looked_at) = (0, 0);
        while let Some(record) = ring.at(cursor.place) {
            let whole = bring_record(
                (tables, no),
                &record,
                &mut cursor,
                (&mut room[len..], v3),
                &mut looked_at,
            );
            len += whole.0;
            if !whole.1 {
                let is_inside = (cursor.name, cursor.offset) != (0, 0);
                tables.set_cursor(no, Some(cursor));
                return Brought::Some(len, is_inside);
            }
            cursor = Cursor::at(record.next);
        }
        tables.set_cursor(no, None);
        Brought::All(len)
    }

    /// Whether a subscriber has lost messages.
    #[must_use]
    pub fn is_lapped(&self, subscriber: SubscriberNo) -> bool {
        let state = self.state.lock();
        let cursor = state.tables.cursor(subscriber.no());
        cursor.is_some_and(|cursor| !state.ring.has(cursor.place))
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

/// Brings of a record what is for a subscriber, from the cursor on. How many bytes those are, and whether they are all.
///
/// A record that matches many patterns is compared with the subscriber's own if those are fewer, and the other way round: a
/// pattern of a stranger costs nothing.
fn bring_record(
    (tables, no): (&Tables, u32),
    record: &Record<'_>,
    cursor: &mut Cursor,
    (room, v3): (&mut [u8], bool),
    looked_at: &mut usize,
) -> (usize, bool) {
    let place = cursor.place;
    let own = tables.own_patterns(no);
    let has_fewer = own < record.patterns();
    let names = 1 + own.min(record.patterns()) as u32;
    let mut own_at = tables.own_pattern(no, cursor.name.saturating_sub(1));
    let mut len = 0;
    while cursor.name < names {
        *looked_at += 1;
        if *looked_at > LOOKED_AT_MAX {
            return (len, false);
        }
        let name = match cursor.name {
            0 => tables
                .is_for(no, record.direct, place)
                .then_some(record.direct),
            _ if has_fewer => {
                let (found, next) = tables.own_found(own_at, place);
                own_at = next;
                found.filter(|&found| record.has(found))
            }
            name => Some(record.pattern(name as usize - 1))
                .filter(|&found| tables.is_for(no, found, place)),
        };
        if let Some(name) = name {
            let pattern = (cursor.name > 0).then(|| tables.name(name.topic));
            let mut head = [0; HEAD_BYTES_MAX];
            let lengths = (record.kind, record.channel, record.message.len());
            let head_len = message_head(lengths, pattern, v3, &mut head).unwrap_or(0);
            let mut offset = cursor.offset as usize;
            let mut skip = offset;
            for part in [&head[..head_len], record.message, b"\r\n"] {
                let rest = part.get(skip..).unwrap_or_default();
                skip -= skip.min(part.len());
                let some = rest.len().min(room.len() - len);
                room[len..len + some].copy_from_slice(&rest[..some]);
                len += some;
                offset += some;
                if some < rest.len() {
                    cursor.offset = offset as u32;
                    return (len, false);
                }
            }
        }
        cursor.name += 1;
        cursor.offset = 0;
    }
    *looked_at += 1;
    (len, true)
}
