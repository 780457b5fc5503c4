//! Who has subscribed to what: tables of fixed size, linked by numbers.

use std::hash::{BuildHasher, RandomState};
use std::task::Waker;

use super::{Held, Kind, SubscriberNo};
use crate::proto::resp::pubsub::CHANNEL_BYTES_MAX;

/// No place in a table.
pub const NONE: u32 = u32::MAX;

/// A name with subscriptions.
pub struct Topic {
    name: [u8; CHANNEL_BYTES_MAX],
    len: u8,
    kind: Kind,
    /// Another one after each use of the place.
    tag: u32,
    first: u32,
    subscribed: u32,
    /// In its bucket, or among those that are free.
    next: u32,
    /// Among all of its kind.
    before: u32,
    after: u32,
}

pub struct Subscription {
    topic: u32,
    subscriber: u32,
    /// Messages from here on.
    since: u64,
    /// Of the same topic.
    before: u32,
    after: u32,
    /// Of the same subscriber.
    before_own: u32,
    after_own: u32,
    /// In its bucket, or among those that are free.
    next: u32,
}

pub struct Subscriber {
    waker: Option<Waker>,
    /// Where what is pending begins.
    cursor: Option<u64>,
    /// Its subscriptions, by kind.
    firsts: [u32; 3],
    held: Held,
    next: u32,
}

pub struct Tables {
    hasher: RandomState,
    topics: Box<[Topic]>,
    topic_buckets: Box<[u32]>,
    free_topic: u32,
    /// By kind.
    first_topics: [u32; 3],
    topic_counts: [u64; 3],
    subscriptions: Box<[Subscription]>,
    subscription_buckets: Box<[u32]>,
    free_subscription: u32,
    subscribers: Box<[Subscriber]>,
    free_subscriber: u32,
    subscriber_count: u64,
}

/// What is behind a free place, in a table of so many.
fn behind(no: usize, count: usize) -> u32 {
    if no + 1 < count { no as u32 + 1 } else { NONE }
}

impl Tables {
    pub fn new(topics: usize, subscriptions: usize, subscribers: usize) -> Self {
        let topic = |no| Topic {
            name: [0; CHANNEL_BYTES_MAX],
            len: 0,
            kind: Kind::Channel,
            tag: 0,
            first: NONE,
            subscribed: 0,
            next: behind(no, topics),
            before: NONE,
            after: NONE,
        };
        let subscription = |no| Subscription {
            topic: NONE,
            subscriber: NONE,
            since: 0,
            before: NONE,
            after: NONE,
            before_own: NONE,
            after_own: NONE,
            next: behind(no, subscriptions),
        };
        let subscriber = |no| Subscriber {
            waker: None,
            cursor: None,
            firsts: [NONE; 3],
            held: Held::default(),
            next: behind(no, subscribers),
        };
        Tables {
            hasher: RandomState::new(),
            topics: (0..topics).map(topic).collect(),
            topic_buckets: vec![NONE; topics].into_boxed_slice(),
            free_topic: 0,
            first_topics: [NONE; 3],
            topic_counts: [0; 3],
            subscriptions: (0..subscriptions).map(subscription).collect(),
            subscription_buckets: vec![NONE; subscriptions].into_boxed_slice(),
            free_subscription: 0,
            subscribers: (0..subscribers).map(subscriber).collect(),
            free_subscriber: 0,
            subscriber_count: 0,
        }
    }

    fn topic_bucket(&self, kind: Kind, name: &[u8]) -> usize {
        let hash = self.hasher.hash_one((kind as u8, name));
        (hash % self.topic_buckets.len() as u64) as usize
    }

    fn subscription_bucket(&self, topic: u32, subscriber: u32) -> usize {
        let hash = self.hasher.hash_one((topic, subscriber));
        (hash % self.subscription_buckets.len() as u64) as usize
    }

    /// The topic of this name, if anybody has subscribed to it.
    pub fn find(&self, kind: Kind, name: &[u8]) -> Option<u32> {
        let mut no = self.topic_buckets[self.topic_bucket(kind, name)];
        while no != NONE {
            let topic = &self.topics[no as usize];
            if topic.kind == kind && self.name(no) == name {
                return Some(no);
            }
            no = topic.next;
        }
        None
    }

    pub fn name(&self, topic: u32) -> &[u8] {
        let topic = &self.topics[topic as usize];
        &topic.name[..usize::from(topic.len)]
    }

    pub fn tag(&self, topic: u32) -> u32 {
        self.topics[topic as usize].tag
    }

    pub fn subscribed(&self, topic: u32) -> u64 {
        u64::from(self.topics[topic as usize].subscribed)
    }

    pub fn first_pattern(&self) -> u32 {
        self.first_topics[Kind::Pattern as usize]
    }

    pub fn next_pattern(&self, topic: u32) -> u32 {
        self.topics[topic as usize].after
    }

    pub fn each(&self, kind: Kind, mut then: impl FnMut(&[u8])) {
        let mut no = self.first_topics[kind as usize];
        while no != NONE {
            then(self.name(no));
            no = self.topics[no as usize].after;
        }
    }

    pub fn figures(&self) -> ([u64; 3], u64) {
        (self.topic_counts, self.subscriber_count)
    }

    /// A place for a subscriber.
    pub fn join(&mut self, waker: &Waker) -> Option<SubscriberNo> {
        let no = self.free_subscriber;
        let subscriber = self.subscribers.get_mut(no as usize)?;
        self.free_subscriber = subscriber.next;
        subscriber.waker = Some(waker.clone());
        subscriber.cursor = None;
        self.subscriber_count += 1;
        Some(SubscriberNo::new(no))
    }

    /// Ends its subscriptions and gives its place back.
    pub fn leave(&mut self, subscriber: SubscriberNo) {
        let no = subscriber.no();
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            while let Some(subscription) = self.any_of(subscriber, kind) {
                self.remove(subscription);
            }
        }
        let subscriber = &mut self.subscribers[no as usize];
        subscriber.waker = None;
        subscriber.cursor = None;
        subscriber.next = self.free_subscriber;
        self.free_subscriber = no;
        self.subscriber_count -= 1;
    }

    pub fn held(&self, subscriber: SubscriberNo) -> Held {
        self.subscribers[subscriber.no() as usize].held
    }

    pub fn cursor(&self, subscriber: u32) -> Option<u64> {
        self.subscribers[subscriber as usize].cursor
    }

    pub fn set_cursor(&mut self, subscriber: u32, cursor: Option<u64>) {
        self.subscribers[subscriber as usize].cursor = cursor;
    }

    /// Whether a record, at this place, of a topic with this tag, is for a subscriber.
    pub fn is_for(&self, subscriber: u32, topic: u32, tag: u32, place: u64) -> bool {
        self.tag(topic) == tag
            && self
                .subscription(topic, subscriber)
                .is_some_and(|no| self.subscriptions[no as usize].since <= place)
    }

    /// Gives a place to all who have nothing pending, and wakes them. Says how many subscribers there are.
    pub fn wake_all(&mut self, topic: u32, place: u64) -> u64 {
        let mut no = self.topics[topic as usize].first;
        while no != NONE {
            let subscription = &self.subscriptions[no as usize];
            let subscriber = &mut self.subscribers[subscription.subscriber as usize];
            if subscriber.cursor.is_none() {
                subscriber.cursor = Some(place);
                if let Some(waker) = &subscriber.waker {
                    waker.wake_by_ref();
                }
            }
            no = subscription.after;
        }
        self.subscribed(topic)
    }

    fn subscription(&self, topic: u32, subscriber: u32) -> Option<u32> {
        let mut no = self.subscription_buckets[self.subscription_bucket(topic, subscriber)];
        while no != NONE {
            let subscription = &self.subscriptions[no as usize];
            if (subscription.topic, subscription.subscriber) == (topic, subscriber) {
                return Some(no);
            }
            no = subscription.next;
        }
        None
    }

    /// `None`: a table is full.
    pub fn subscribe(
        &mut self,
        who: SubscriberNo,
        kind: Kind,
        name: &[u8],
        since: u64,
    ) -> Option<Held> {
        let subscriber = who.no();
        let found = self.find(kind, name);
        if let Some(topic) = found
            && self.subscription(topic, subscriber).is_some()
        {
            return Some(self.held(who));
        }
        let no = self.free_subscription;
        let free_after = self.subscriptions.get(no as usize)?.next;
        let topic = match found {
            Some(topic) => topic,
            None => self.add_topic(kind, name)?,
        };
        self.free_subscription = free_after;
        let bucket = self.subscription_bucket(topic, subscriber);
        let of_topic = &mut self.topics[topic as usize];
        let own = &mut self.subscribers[subscriber as usize];
        let after = std::mem::replace(&mut of_topic.first, no);
        let after_own = std::mem::replace(&mut own.firsts[kind as usize], no);
        of_topic.subscribed += 1;
        own.held.counts[kind as usize] += 1;
        self.subscriptions[no as usize] = Subscription {
            topic,
            subscriber,
            since,
            before: NONE,
            after,
            before_own: NONE,
            after_own,
            next: std::mem::replace(&mut self.subscription_buckets[bucket], no),
        };
        if let Some(after) = self.subscriptions.get_mut(after as usize) {
            after.before = no;
        }
        if let Some(after_own) = self.subscriptions.get_mut(after_own as usize) {
            after_own.before_own = no;
        }
        Some(self.held(who))
    }

    fn add_topic(&mut self, kind: Kind, name: &[u8]) -> Option<u32> {
        let bucket = self.topic_bucket(kind, name);
        let no = self.free_topic;
        let first = self.first_topics[kind as usize];
        let topic = self.topics.get_mut(no as usize)?;
        topic.name.get_mut(..name.len())?.copy_from_slice(name);
        topic.len = name.len() as u8;
        topic.kind = kind;
        (topic.first, topic.subscribed) = (NONE, 0);
        (topic.before, topic.after) = (NONE, first);
        self.free_topic = topic.next;
        topic.next = std::mem::replace(&mut self.topic_buckets[bucket], no);
        if let Some(first) = self.topics.get_mut(first as usize) {
            first.before = no;
        }
        self.first_topics[kind as usize] = no;
        self.topic_counts[kind as usize] += 1;
        Some(no)
    }

    /// Nobody has subscribed to it any more.
    fn remove_topic(&mut self, no: u32) {
        let at = self.topic_bucket(self.topics[no as usize].kind, self.name(no));
        let topic = &self.topics[no as usize];
        let (kind, next, before, after) = (topic.kind, topic.next, topic.before, topic.after);
        if self.topic_buckets[at] == no {
            self.topic_buckets[at] = next;
        } else {
            let mut other = self.topic_buckets[at];
            while self.topics[other as usize].next != no {
                other = self.topics[other as usize].next;
            }
            self.topics[other as usize].next = next;
        }
        match self.topics.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.first_topics[kind as usize] = after,
        }
        if let Some(after) = self.topics.get_mut(after as usize) {
            after.before = before;
        }
        let topic = &mut self.topics[no as usize];
        topic.tag = topic.tag.wrapping_add(1);
        topic.next = self.free_topic;
        self.free_topic = no;
        self.topic_counts[kind as usize] -= 1;
    }

    pub fn unsubscribe(&mut self, subscriber: SubscriberNo, kind: Kind, name: &[u8]) -> Held {
        if let Some(topic) = self.find(kind, name)
            && let Some(no) = self.subscription(topic, subscriber.no())
        {
            self.remove(no);
        }
        self.held(subscriber)
    }

    /// One of its subscriptions of a kind.
    pub fn any_of(&self, subscriber: SubscriberNo, kind: Kind) -> Option<u32> {
        let first = self.subscribers[subscriber.no() as usize].firsts[kind as usize];
        (first != NONE).then_some(first)
    }

    pub fn name_of(&self, subscription: u32) -> &[u8] {
        self.name(self.subscriptions[subscription as usize].topic)
    }

    /// Ends a subscription.
    pub fn remove(&mut self, no: u32) {
        let subscription = &self.subscriptions[no as usize];
        let (topic, subscriber) = (subscription.topic, subscription.subscriber);
        let (before, after, next) = (subscription.before, subscription.after, subscription.next);
        let (before_own, after_own) = (subscription.before_own, subscription.after_own);
        let kind = self.topics[topic as usize].kind as usize;
        let at = self.subscription_bucket(topic, subscriber);
        if self.subscription_buckets[at] == no {
            self.subscription_buckets[at] = next;
        } else {
            let mut other = self.subscription_buckets[at];
            while self.subscriptions[other as usize].next != no {
                other = self.subscriptions[other as usize].next;
            }
            self.subscriptions[other as usize].next = next;
        }
        match self.subscriptions.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.topics[topic as usize].first = after,
        }
        if let Some(after) = self.subscriptions.get_mut(after as usize) {
            after.before = before;
        }
        match self.subscriptions.get_mut(before_own as usize) {
            Some(before) => before.after_own = after_own,
            None => self.subscribers[subscriber as usize].firsts[kind] = after_own,
        }
        if let Some(after) = self.subscriptions.get_mut(after_own as usize) {
            after.before_own = before_own;
        }
        self.subscribers[subscriber as usize].held.counts[kind] -= 1;
        let free = std::mem::replace(&mut self.free_subscription, no);
        let subscription = &mut self.subscriptions[no as usize];
        // Nothing is found under it any more.
        (subscription.topic, subscription.subscriber) = (NONE, NONE);
        subscription.next = free;
        let of_topic = &mut self.topics[topic as usize];
        of_topic.subscribed -= 1;
        if of_topic.subscribed == 0 {
            self.remove_topic(topic);
        }
    }
}
