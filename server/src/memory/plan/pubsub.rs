//! What messages between clients may take.

use crate::pubsub::bytes_of;
use crate::settings::config::Config;

/// Messages on their way and who receives them take this part of the memory …
const SHARE: usize = 128;
/// … but never more than this.
const BYTES_MAX: usize = 4 << 20;
/// The ring takes seven sixteenths of it, and at least so much: a message that is held whole fits.
const RING_BYTES_MIN: usize = 80 << 10;
/// So many of each there are at least.
const LEAST: usize = 64;

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubSubPlan {
    /// Bytes of messages.
    pub ring_bytes: usize,
    /// Names with subscriptions.
    pub topics: usize,
    /// Subscriptions of all connections.
    pub subscriptions: usize,
    /// Connections that have one.
    pub subscribers: usize,
}

impl PubSubPlan {
    pub(super) fn new(config: &Config, memory_bytes: usize) -> Self {
        let bytes = (memory_bytes / SHARE).min(BYTES_MAX);
        let [topic, subscription, subscriber] = bytes_of();
        // Five sixteenths are for names, two for subscriptions, two for who has them.
        let subscribers = (bytes / 8 / subscriber).max(LEAST);
        PubSubPlan {
            ring_bytes: (bytes / 16 * 7).max(RING_BYTES_MIN).next_multiple_of(64),
            topics: (bytes / 16 * 5 / topic).max(LEAST),
            subscriptions: (bytes / 8 / subscription).max(LEAST),
            subscribers: subscribers.min(config.connections_max),
        }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let [topic, subscription, subscriber] = bytes_of();
        let bytes = self.ring_bytes
            + self.topics * topic
            + self.subscriptions * subscription
            + self.subscribers * subscriber;
        bytes.next_multiple_of(4096)
    }
}
