//! What messages between clients may take.

use crate::proto::resp::pubsub::{CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::settings::config::Config;

/// Messages on their way and who receives them take this part of the memory …
const SHARE: usize = 64;
/// … but never more than this …
const BYTES_MAX: usize = 8 << 20;
/// … nor less: three of the longest messages fit into the ring.
const BYTES_MIN: usize = 512 << 10;

/// What a name with subscriptions takes.
pub const TOPIC_BYTES: usize = 292;
/// What a subscription takes.
pub const SUBSCRIPTION_BYTES: usize = 44;
/// What a connection takes that has one.
pub const SUBSCRIBER_BYTES: usize = 96;
/// What a message takes in the ring beside itself and its channel …
pub const RECORD_HEAD_BYTES: usize = 24;
/// … and each pattern that matches.
pub const MATCH_BYTES: usize = 8;

/// Messages that are longer than an inbox and on their way in, at a time.
pub const LONG_MESSAGES: usize = 2;

/// So many steps all patterns take together at most, to be compared with a channel: about a millisecond. A connection may have
/// half of them.
pub const PATTERN_STEPS_MAX: u32 = 1 << 19;

/// So far publishers are ahead of subscribers that are due, at most.
const AHEAD_BYTES_MAX: usize = 128 << 10;

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
        let bytes = (memory_bytes / SHARE).clamp(BYTES_MIN, BYTES_MAX);
        // Half is the ring; of the rest half is for names, and a quarter each for subscriptions and for who has them.
        let ring_bytes = bytes / 2;
        let topics = bytes / 4 / TOPIC_BYTES;
        let names_bytes = RECORD_HEAD_BYTES + topics * MATCH_BYTES + CHANNEL_BYTES_MAX;
        debug_assert!(3 * (names_bytes + MESSAGE_BYTES_MAX) <= ring_bytes);
        PubSubPlan {
            ring_bytes,
            topics,
            subscriptions: bytes / 8 / SUBSCRIPTION_BYTES,
            subscribers: (bytes / 8 / SUBSCRIBER_BYTES).min(config.connections_max),
        }
    }

    /// So far publishers are ahead of subscribers that are due.
    #[must_use]
    pub fn ahead_bytes_max(&self) -> usize {
        (self.ring_bytes / 8).min(AHEAD_BYTES_MAX)
    }

    /// Subscriptions that one connection may have.
    #[must_use]
    pub fn subscriptions_each(&self) -> usize {
        self.topics / 2
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = self.ring_bytes
            + self.topics * TOPIC_BYTES
            + self.subscriptions * SUBSCRIPTION_BYTES
            + self.subscribers * SUBSCRIBER_BYTES
            + LONG_MESSAGES * (CHANNEL_BYTES_MAX + MESSAGE_BYTES_MAX);
        bytes.next_multiple_of(4096)
    }
}
