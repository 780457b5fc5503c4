//! For whom a message is.

use super::terms::{Cursor, Kind, Match, NONE};
use super::topics::Tables;
use crate::proto::glob;

impl Tables {
    /// Compares all patterns with a channel, and says how many match: see [`matching`](Self::matching).
    pub fn match_patterns(&mut self, channel: &[u8]) -> usize {
        self.matching.clear();
        let mut no = self.first_topics[Kind::Pattern as usize];
        while no != NONE {
            let topic = &self.topics[no as usize];
            // As many as it can take, which were counted when it was subscribed to.
            let mut steps = topic.steps as usize;
            if glob::matches(self.name(no), channel, false, &mut steps) == Some(true) {
                self.matching.push(self.found(no));
            }
            no = self.topics[no as usize].after;
        }
        self.matching.sort_unstable();
        self.matching.len()
    }

    /// The first `count` of those that match, in order.
    pub fn matching(&self, count: usize) -> &[Match] {
        &self.matching[..count]
    }

    /// Whether a record, at this place, for this name is for a subscriber.
    pub fn is_for(&self, subscriber: u32, name: Match, place: u64) -> bool {
        let topic = self.topics.get(name.topic as usize);
        topic.is_some_and(|topic| topic.tag == name.tag)
            && self
                .subscription(name.topic, subscriber)
                .is_some_and(|no| self.subscriptions[no as usize].since <= place)
    }

    /// How many patterns a subscriber has.
    pub fn own_patterns(&self, subscriber: u32) -> usize {
        self.subscribers[subscriber as usize].held.counts[Kind::Pattern as usize] as usize
    }

    /// One of them.
    pub fn own_pattern(&self, subscriber: u32, no: u32) -> u32 {
        let mut at = self.subscribers[subscriber as usize].firsts[Kind::Pattern as usize];
        for _ in 0..no {
            let subscription = self.subscriptions.get(at as usize);
            at = subscription.map_or(NONE, |subscription| subscription.after_own);
        }
        at
    }

    /// The pattern of a subscription, if it is older than a record, and the subscriber's next.
    pub fn own_found(&self, subscription: u32, place: u64) -> (Option<Match>, u32) {
        let Some(own) = self.subscriptions.get(subscription as usize) else {
            return (None, NONE);
        };
        let found = (own.since <= place).then(|| self.found(own.topic));
        (found, own.after_own)
    }

    /// Gives a place to all who have nothing pending, and wakes them. Says how many subscribers there are.
    pub fn wake_all(&mut self, topic: u32, place: u64, now: u32) -> u64 {
        let mut no = self.topics[topic as usize].first;
        while no != NONE {
            let subscription = &self.subscriptions[no as usize];
            let (who, after) = (subscription.subscriber, subscription.after);
            let subscriber = &mut self.subscribers[who as usize];
            if subscriber.cursor.is_none() {
                subscriber.cursor = Some(Cursor::at(place));
                if let Some(waker) = &subscriber.waker {
                    waker.wake_by_ref();
                }
                self.be_due(who, place, now);
            }
            no = after;
        }
        self.subscribed(topic)
    }
}
