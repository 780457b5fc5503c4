//! The bytes of messages, the newest over the oldest.

use super::terms::{Kind, Match};
use crate::memory::plan::pubsub::{MATCH_BYTES, RECORD_HEAD_BYTES as HEAD_BYTES};

/// Records begin at multiples of this.
const ALIGN: usize = 8;
/// Instead of a length: the next record is at the ring's beginning.
const WRAPS: u32 = u32::MAX;

/// See the module's head. Places count all bytes that were ever appended.
pub struct Ring {
    bytes: Box<[u8]>,
    head: u64,
}

/// One message, and the names that it is for.
#[derive(Clone, Copy)]
pub struct Record<'r> {
    pub kind: Kind,
    pub channel: &'r [u8],
    pub message: &'r [u8],
    /// The channel itself.
    pub direct: Match,
    patterns: &'r [u8],
    /// Where the next one is.
    pub next: u64,
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(number)
}

impl Record<'_> {
    /// How many patterns match.
    pub fn patterns(&self) -> usize {
        self.patterns.len() / MATCH_BYTES
    }

    /// One of them, in the order of topics.
    pub fn pattern(&self, no: usize) -> Match {
        let at = no * MATCH_BYTES;
        Match {
            topic: number(self.patterns, at),
            tag: number(self.patterns, at + 4),
        }
    }

    /// Whether this is one of them.
    pub fn has(&self, wanted: Match) -> bool {
        let (mut low, mut high) = (0, self.patterns());
        while low < high {
            let middle = low.midpoint(high);
            let found = self.pattern(middle);
            match found.cmp(&wanted) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }
}

impl Ring {
    pub fn new(bytes: usize) -> Self {
        Ring {
            // Zeroes, so that the OS gives no page before it is written.
            bytes: vec![0; bytes.next_multiple_of(ALIGN)].into_boxed_slice(),
            head: 0,
        }
    }

    /// Where the next record will be, or a mark that leads to it.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether what was at a place is still there.
    pub fn has(&self, place: u64) -> bool {
        self.head - place <= self.bytes.len() as u64
    }

    fn offset(&self, place: u64) -> usize {
        (place % self.bytes.len() as u64) as usize
    }

    /// Appends a message, and says where it is. `patterns` are in order. `None`: it is longer than the ring.
    pub fn append(
        &mut self,
        (kind, channel, message): (Kind, &[u8], &[u8]),
        direct: Match,
        patterns: &[Match],
    ) -> Option<u64> {
        let matches_bytes = patterns.len() * MATCH_BYTES;
        let len = HEAD_BYTES + matches_bytes + channel.len() + message.len();
        if len > self.bytes.len() {
            return None;
        }
        let mut at = self.offset(self.head);
        if self.bytes.len() - at < len {
            // A multiple of eight bytes is left, so that the mark fits.
            self.bytes[at..at + 4].copy_from_slice(&WRAPS.to_ne_bytes());
            self.head += (self.bytes.len() - at) as u64;
            at = 0;
        }
        let record = &mut self.bytes[at..at + len];
        let names = (kind as u32) << 16 | channel.len() as u32;
        let count = patterns.len() as u32;
        let numbers = [len as u32, names, count, direct.topic, direct.tag];
        for (no, number) in numbers.into_iter().enumerate() {
            record[4 * no..][..4].copy_from_slice(&number.to_ne_bytes());
        }
        let (matches, text) = record[HEAD_BYTES..].split_at_mut(matches_bytes);
        for (place, found) in matches.chunks_exact_mut(MATCH_BYTES).zip(patterns) {
            place[..4].copy_from_slice(&found.topic.to_ne_bytes());
            place[4..].copy_from_slice(&found.tag.to_ne_bytes());
        }
        text[..channel.len()].copy_from_slice(channel);
        text[channel.len()..].copy_from_slice(message);
        let place = self.head;
        self.head += len.next_multiple_of(ALIGN) as u64;
        Some(place)
    }

    /// The record at a place that the ring has. `None`: none is there yet.
    pub fn at(&self, place: u64) -> Option<Record<'_>> {
        let mut place = place;
        if place < self.head && number(&self.bytes, self.offset(place)) == WRAPS {
            place += (self.bytes.len() - self.offset(place)) as u64;
        }
        if place >= self.head {
            return None;
        }
        let at = self.offset(place);
        let len = number(&self.bytes, at) as usize;
        let record = &self.bytes[at..at + len];
        let names = number(record, 4);
        let matches_bytes = number(record, 8) as usize * MATCH_BYTES;
        let (patterns, text) = record[HEAD_BYTES..].split_at(matches_bytes);
        let (channel, message) = text.split_at((names & 0xffff) as usize);
        Some(Record {
            kind: match names >> 16 {
                2 => Kind::Shard,
                _ => Kind::Channel,
            },
            channel,
            message,
            direct: Match {
                topic: number(record, 12),
                tag: number(record, 16),
            },
            patterns,
            next: place + len.next_multiple_of(ALIGN) as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lie_over_the_oldest_and_each_is_whole() {
        let mut ring = Ring::new(1024);
        let mut places = Vec::new();
        for no in 0..200u32 {
            let message = vec![no as u8; no as usize % 150];
            let patterns: Vec<Match> = (0..no % 5).map(|topic| Match { topic, tag: no }).collect();
            let direct = Match { topic: 7, tag: no };
            let place = ring.append((Kind::Channel, b"c", &message), direct, &patterns);
            places.push((place.expect("fits"), message, patterns));
            for (place, message, patterns) in &places {
                if !ring.has(*place) {
                    continue;
                }
                let record = ring.at(*place).expect("is there");
                assert_eq!((record.channel, record.message), (&b"c"[..], &message[..]));
                let found: Vec<Match> = (0..record.patterns())
                    .map(|no| record.pattern(no))
                    .collect();
                assert_eq!(&found, patterns);
                assert!(patterns.iter().all(|&found| record.has(found)));
                assert!(!record.has(Match { topic: 9, tag: no }));
            }
        }
        assert!(!ring.has(places[150].0) && ring.has(places[199].0));
        assert!(ring.at(ring.head()).is_none());
        let long = [0; 1024];
        assert!(
            ring.append((Kind::Shard, b"c", &long), Match::NONE, &[])
                .is_none()
        );
    }
}
