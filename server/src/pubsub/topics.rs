//! Who has subscribed to what: tables of fixed size, linked by numbers.

use std::hash::{BuildHasher, RandomState};
use std::task::Waker;

use super::due::Due;
use super::terms::{Cursor, Full, Held, Kind, Match, NONE, SubscriberNo};
use crate::memory::plan::pubsub::{
    PATTERN_STEPS_MAX, PubSubPlan, SUBSCRIBER_BYTES, SUBSCRIPTION_BYTES, TOPIC_BYTES,
};
use crate::proto::glob;
use crate::proto::resp::pubsub::CHANNEL_BYTES_MAX;

/// A name with subscriptions.
pub struct Topic {
    name: [u8; CHANNEL_BYTES_MAX],
    len: u8,
    kind: Kind,
    /// Another one after each use of the place.
    pub(super) tag: u32,
    /// So many steps it takes at most to compare it with a channel, if it is a pattern.
    pub(super) steps: u32,
    pub(super) first: u32,
    subscribed: u32,
    /// In its bucket, or among those that are free.
    next: u32,
    /// Among all of its kind.
    before: u32,
    pub(super) after: u32,
}

pub struct Subscription {
    pub(super) topic: u32,
    pub(super) subscriber: u32,
    /// Messages from here on.
    pub(super) since: u64,
    /// Of the same topic.
    before: u32,
    pub(super) after: u32,
    /// Of the same subscriber.
    before_own: u32,
    pub(super) after_own: u32,
    /// In its bucket, or among those that are free.
    next: u32,
}

pub struct Subscriber {
    pub(super) waker: Option<Waker>,
    /// Where what is pending begins.
    pub(super) cursor: Option<Cursor>,
    pub(super) due: Due,
    /// Its subscriptions, by kind.
    pub(super) firsts: [u32; 3],
    pub(super) held: Held,
    /// Those that its patterns take.
    steps: u32,
    next: u32,
}

// As planned, with a place in an index each, and of a topic a place among those that match.
static_assertions::const_assert_eq!(size_of::<Topic>() + 4 + size_of::<Match>(), TOPIC_BYTES);
static_assertions::const_assert_eq!(size_of::<Subscription>() + 4, SUBSCRIPTION_BYTES);
static_assertions::const_assert_eq!(size_of::<Subscriber>(), SUBSCRIBER_BYTES);

/// Each table grows to what it has room for, and not beyond: what was never used is not touched.
pub struct Tables {
    hasher: RandomState,
    pub(super) topics: Vec<Topic>,
    topics_max: usize,
    /// One more than the number of the first, so that zeroes mean none.
    topic_buckets: Box<[u32]>,
    free_topic: u32,
    /// By kind.
    pub(super) first_topics: [u32; 3],
    topic_counts: [u64; 3],
    /// Those that all patterns take.
    pattern_steps: u32,
    /// Patterns that match, while a message is published.
    pub(super) matching: Vec<Match>,
    pub(super) subscriptions: Vec<Subscription>,
    subscriptions_max: usize,
    /// Of one connection.
    subscriptions_each: u32,
    subscription_buckets: Box<[u32]>,
    free_subscription: u32,
    pub(super) subscribers: Vec<Subscriber>,
    subscribers_max: usize,
    free_subscriber: u32,
    subscriber_count: u64,
    pub(super) due_first: u32,
    pub(super) due_last: u32,
}

/// What buckets say: one more than a place in a table.
fn in_bucket(no: u32) -> u32 {
    no.wrapping_add(1)
}

fn of_bucket(bucket: u32) -> u32 {
    bucket.wrapping_sub(1)
}

impl Tables {
    pub fn new(plan: &PubSubPlan) -> Self {
        let buckets = |count: usize| vec![0; count].into_boxed_slice();
        Tables {
            hasher: RandomState::new(),
            topics: Vec::with_capacity(plan.topics),
            topics_max: plan.topics,
            topic_buckets: buckets(plan.topics),
            free_topic: NONE,
            first_topics: [NONE; 3],
            topic_counts: [0; 3],
            pattern_steps: 0,
            matching: Vec::with_capacity(plan.topics),
            subscriptions: Vec::with_capacity(plan.subscriptions),
            subscriptions_max: plan.subscriptions,
            subscriptions_each: plan.subscriptions_each() as u32,
            subscription_buckets: buckets(plan.subscriptions),
            free_subscription: NONE,
            subscribers: Vec::with_capacity(plan.subscribers),
            subscribers_max: plan.subscribers,
            free_subscriber: NONE,
            subscriber_count: 0,
            due_first: NONE,
            due_last: NONE,
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
        let mut no = of_bucket(self.topic_buckets[self.topic_bucket(kind, name)]);
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

    /// A topic as records have it.
    pub fn found(&self, topic: u32) -> Match {
        let tag = self.topics[topic as usize].tag;
        Match { topic, tag }
    }

    pub fn subscribed(&self, topic: u32) -> u64 {
        u64::from(self.topics[topic as usize].subscribed)
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
        let subscriber = Subscriber {
            waker: Some(waker.clone()),
            cursor: None,
            due: Due::NOT,
            firsts: [NONE; 3],
            held: Held::default(),
            steps: 0,
            next: NONE,
        };
        let no = match self.free_subscriber {
            NONE if self.subscribers.len() == self.subscribers_max => return None,
            NONE => {
                self.subscribers.push(subscriber);
                self.subscribers.len() as u32 - 1
            }
            no => {
                let place = &mut self.subscribers[no as usize];
                self.free_subscriber = place.next;
                *place = subscriber;
                no
            }
        };
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
        self.not_due(no);
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

    pub fn cursor(&self, subscriber: u32) -> Option<Cursor> {
        self.subscribers[subscriber as usize].cursor
    }

    pub fn set_cursor(&mut self, subscriber: u32, cursor: Option<Cursor>) {
        self.subscribers[subscriber as usize].cursor = cursor;
    }

    /// The subscription of a subscriber to a topic.
    pub(super) fn subscription(&self, topic: u32, subscriber: u32) -> Option<u32> {
        let bucket = self.subscription_bucket(topic, subscriber);
        let mut no = of_bucket(self.subscription_buckets[bucket]);
        while no != NONE {
            let subscription = &self.subscriptions[no as usize];
            if (subscription.topic, subscription.subscriber) == (topic, subscriber) {
                return Some(no);
            }
            no = subscription.next;
        }
        None
    }

    /// Subscribes, from this place in the ring on.
    pub fn subscribe(
        &mut self,
        who: SubscriberNo,
        kind: Kind,
        name: &[u8],
        since: u64,
    ) -> Result<Held, Full> {
        let subscriber = who.no();
        let found = self.find(kind, name);
        if let Some(topic) = found
            && self.subscription(topic, subscriber).is_some()
        {
            return Ok(self.held(who));
        }
        let held = self.held(who).counts.iter().sum::<u32>();
        if held >= self.subscriptions_each {
            return Err(Full::Own);
        }
        let no = match self.free_subscription {
            NONE if self.subscriptions.len() == self.subscriptions_max => return Err(Full::All),
            NONE => self.subscriptions.len() as u32,
            no => no,
        };
        let steps = match kind {
            Kind::Pattern => glob::steps_max(name, CHANNEL_BYTES_MAX) as u32,
            _ => 0,
        };
        if self.subscribers[subscriber as usize].steps + steps > PATTERN_STEPS_MAX / 2 {
            return Err(Full::Own);
        }
        let topic = match found {
            Some(topic) => topic,
            None => self.add_topic(kind, name, steps)?,
        };
        let bucket = self.subscription_bucket(topic, subscriber);
        let of_topic = &mut self.topics[topic as usize];
        let own = &mut self.subscribers[subscriber as usize];
        let after = std::mem::replace(&mut of_topic.first, no);
        let after_own = std::mem::replace(&mut own.firsts[kind as usize], no);
        of_topic.subscribed += 1;
        own.held.counts[kind as usize] += 1;
        own.steps += steps;
        let bucket = &mut self.subscription_buckets[bucket];
        let subscription = Subscription {
            topic,
            subscriber,
            since,
            before: NONE,
            after,
            before_own: NONE,
            after_own,
            next: of_bucket(std::mem::replace(bucket, in_bucket(no))),
        };
        match self.subscriptions.get_mut(no as usize) {
            Some(place) => {
                self.free_subscription = place.next;
                *place = subscription;
            }
            None => self.subscriptions.push(subscription),
        }
        if let Some(after) = self.subscriptions.get_mut(after as usize) {
            after.before = no;
        }
        if let Some(after_own) = self.subscriptions.get_mut(after_own as usize) {
            after_own.before_own = no;
        }
        Ok(self.held(who))
    }

    fn add_topic(&mut self, kind: Kind, name: &[u8], steps: u32) -> Result<u32, Full> {
        if self.pattern_steps + steps > PATTERN_STEPS_MAX {
            return Err(Full::Patterns);
        }
        let at = self.topic_bucket(kind, name);
        let first = self.first_topics[kind as usize];
        let mut topic = Topic {
            name: [0; CHANNEL_BYTES_MAX],
            len: name.len() as u8,
            kind,
            tag: 0,
            steps,
            first: NONE,
            subscribed: 0,
            next: of_bucket(self.topic_buckets[at]),
            before: NONE,
            after: first,
        };
        let place = topic.name.get_mut(..name.len()).ok_or(Full::All)?;
        place.copy_from_slice(name);
        let no = match self.free_topic {
            NONE if self.topics.len() == self.topics_max => return Err(Full::All),
            NONE => {
                self.topics.push(topic);
                self.topics.len() as u32 - 1
            }
            no => {
                let free = &mut self.topics[no as usize];
                topic.tag = free.tag;
                self.free_topic = free.next;
                *free = topic;
                no
            }
        };
        self.topic_buckets[at] = in_bucket(no);
        if let Some(first) = self.topics.get_mut(first as usize) {
            first.before = no;
        }
        self.first_topics[kind as usize] = no;
        self.topic_counts[kind as usize] += 1;
        self.pattern_steps += steps;
        Ok(no)
    }

    /// Nobody has subscribed to it any more.
    fn remove_topic(&mut self, no: u32) {
        let at = self.topic_bucket(self.topics[no as usize].kind, self.name(no));
        let topic = &self.topics[no as usize];
        let (kind, next, before, after) = (topic.kind, topic.next, topic.before, topic.after);
        self.pattern_steps -= topic.steps;
        if self.topic_buckets[at] == in_bucket(no) {
            self.topic_buckets[at] = in_bucket(next);
        } else {
            let mut other = of_bucket(self.topic_buckets[at]);
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
        if self.subscription_buckets[at] == in_bucket(no) {
            self.subscription_buckets[at] = in_bucket(next);
        } else {
            let mut other = of_bucket(self.subscription_buckets[at]);
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
        let steps = self.topics[topic as usize].steps;
        let own = &mut self.subscribers[subscriber as usize];
        own.held.counts[kind] -= 1;
        own.steps -= steps;
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
