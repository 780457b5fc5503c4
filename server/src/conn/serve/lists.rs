//! Replies of any length: counters, and lists of items.

use std::io;
use std::slice;

use flagstone_engine::Walk;

use super::{Halt, Phase, RequestLoop};
use crate::execute;
use crate::proto::{ListFormat, Listing, PlainFormat, Reply, Topic};
use crate::report;

/// The longest line of a dump unless the key is a long one: a key with each byte escaped, and numbers.
const DUMP_LINE_BYTES_MAX: usize = 1024;
/// Chunks looked at before the turn's budget is.
const DUMP_CHUNKS: usize = 64;

impl RequestLoop<'_, '_> {
    /// Counters are asked for.
    pub(super) fn begin_tell(&mut self, topic: Topic, format: PlainFormat) {
        self.tools.counters.others.add(1);
        self.budget.spend(1, 0);
        self.conn.phase = Phase::Telling {
            topic,
            format,
            lines: 0,
        };
    }

    /// Counters go out, a line after the other, until there are no more, the peer blocks, or the turn is over. They are
    /// gathered anew for each part: a reply of any length needs no memory.
    pub(super) fn tell(
        &mut self,
        topic: Topic,
        format: PlainFormat,
        mut lines: u16,
    ) -> io::Result<Option<Halt>> {
        let full = format.full();
        loop {
            let halt = match self.budget.is_spent() || self.budget.is_late() {
                true => Some(Halt::Tired),
                false => self.lacks_room()?,
            };
            if halt.is_some() {
                self.conn.phase = Phase::Telling {
                    topic,
                    format,
                    lines,
                };
                return Ok(halt);
            }
            let (mut at, mut line_no) = (0, 0);
            let room = self.tools.outbox.room();
            let mut tell = |reply: Reply<'_>| {
                line_no += 1;
                if line_no > lines {
                    at += full.encode(reply, &mut room[at..])?;
                    lines = line_no;
                }
                Some(())
            };
            let told =
                report::tell(
                    self.tools.shared,
                    topic,
                    self.tools.now,
                    &mut |reply| match reply {
                        Reply::Stats(stats) => stats
                            .iter()
                            .try_for_each(|stat| tell(Reply::Stats(slice::from_ref(stat)))),
                        reply => tell(reply),
                    },
                );
            self.tools.outbox.filled(at);
            self.budget.spend(0, at);
            if told.is_some() {
                self.conn.phase = Phase::Requests;
                return Ok(None);
            }
            if at == 0 {
                // A line that is longer than any room, such as a very long place: it is left out.
                lines += 1;
            }
        }
    }

    /// A list of items is asked for.
    pub(super) fn begin_dump(&mut self, listing: Listing) {
        self.tools.counters.others.add(1);
        self.conn.phase = Phase::Dumping(execute::walk_of(listing), listing.format);
        self.say(listing.format.head());
    }

    /// Items go out, a line each, until there are no more, the peer blocks, or the turn is over.
    pub(super) fn dump(&mut self, mut walk: Walk, format: ListFormat) -> io::Result<Option<Halt>> {
        // A line that did not fit is longer than most.
        let mut is_full = false;
        loop {
            if is_full && self.tools.outbox.is_empty() {
                // This turn has little room; the next may have a place for more.
                self.conn.phase = Phase::Dumping(walk, format);
                return Ok(Some(Halt::WaitLarge));
            }
            if (is_full || self.tools.outbox.room().len() < DUMP_LINE_BYTES_MAX)
                && let Some(halt) = self.empty_outbox()?
            {
                self.conn.phase = Phase::Dumping(walk, format);
                return Ok(Some(halt));
            }
            if self.budget.is_spent() || self.budget.is_late() {
                self.conn.phase = Phase::Dumping(walk, format);
                return Ok(Some(Halt::Tired));
            }
            let (cache, clock, now) = (
                self.tools.shared.cache,
                &self.tools.shared.clock,
                self.tools.now,
            );
            let before = self.tools.outbox.unsent().len();
            let outbox = &mut self.tools.outbox;
            is_full = false;
            let more = cache.walk(&mut walk, DUMP_CHUNKS, now, |key, visited| {
                let facts = execute::dump_facts(visited, now, clock);
                match format.line(key, &facts, outbox.room()) {
                    Some(len) => {
                        outbox.filled(len);
                        true
                    }
                    None => {
                        is_full = outbox.is_limited() || !outbox.is_empty();
                        // One that is longer than any room is left out.
                        !is_full
                    }
                }
            });
            self.budget.spend(
                DUMP_CHUNKS as u32,
                self.tools.outbox.unsent().len() - before,
            );
            if !more {
                self.conn.phase = Phase::Requests;
                // Room was made for a line, which is longer.
                if let Some(halt) = self.lacks_room()? {
                    self.conn.phase = Phase::Dumping(walk, format);
                    return Ok(Some(halt));
                }
                self.say(format.tail());
                return Ok(None);
            }
        }
    }
}
