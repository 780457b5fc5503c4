//! What became of keys of the curve's sample: noted when a request is done, never for others.
//!
//! The short way (`plain`) knows what it did. Of other requests, whatever their protocol calls them, the counters tell: it was looked for and was
//! there or not; or it may have changed, and then the cache is asked what is there now.

use flagstone_engine::{Curve, Deadline, Key, KeyHash, Reference, Use};

use super::{Planned, RequestLoop};
use crate::execute::{Done, Work};
use crate::observe::counters::Commands;
use crate::proto::{Fate, Reply};

/// What was counted before a request on a key of the sample.
pub(super) struct Before {
    commands: Commands,
    hits: u64,
}

impl RequestLoop<'_, '_> {
    #[inline(always)]
    fn is_sampled(&self, hash: KeyHash) -> bool {
        Curve::samples(hash, self.tools.uses.limit())
    }

    /// A value that came in pieces was stored, or not.
    pub(super) fn note_committed(&mut self, hash: KeyHash, deadline: Deadline, reply: &Reply<'_>) {
        if let Reply::Store {
            fate: Fate::Done,
            value_len,
            ..
        } = *reply
            && self.is_sampled(hash)
        {
            // How long the key is matters little beside the value.
            let bytes = self.tools.shared.cache.footprint(0, value_len, deadline);
            self.tools
                .uses
                .note(Reference::new(hash, Use::Store, bytes, deadline));
        }
    }

    /// A value goes out in pieces.
    #[inline(always)]
    pub(super) fn note_sending(&mut self, work: &Work<'_>) {
        if let Some(key) = work.key()
            && self.is_sampled(key.hash())
        {
            self.tools
                .uses
                .note_read(self.tools.shared.cache, key, true, self.tools.now);
        }
    }

    /// Executes a request, and notes it if its key is of the sample.
    #[inline(always)]
    pub(super) fn run_noted(&mut self, planned: &Planned<'_>) -> Done {
        let work = planned.work;
        let sampled = work.key().filter(|key| self.is_sampled(key.hash()));
        let before = sampled.map(|key| (key, self.count()));
        let room = self.tools.outbox.room();
        let done = work.run(
            self.tools.shared,
            self.tools.now,
            planned.format,
            room,
            self.tools.counters,
        );
        if let Some((key, before)) = before
            && matches!(done, Done::Reply(_))
        {
            self.note_counted(key, &before);
        }
        done
    }

    #[cold]
    #[inline(never)]
    fn count(&self) -> Before {
        Before {
            commands: self.tools.counters.commands(),
            hits: self.tools.counters.hits.get(),
        }
    }

    #[cold]
    #[inline(never)]
    fn note_counted(&mut self, key: Key<'_>, before: &Before) {
        let [get, set, delete, touch, count, ..] =
            self.tools.counters.commands().since(&before.commands).0;
        let (cache, now) = (self.tools.shared.cache, self.tools.now);
        if get > 0 {
            let is_hit = self.tools.counters.hits.get() > before.hits;
            self.tools.uses.note_read(cache, key, is_hit, now);
        } else if delete > 0 {
            self.tools.uses.note_deleted(key);
        } else if set + touch + count > 0 {
            self.tools.uses.note_there(cache, key, Use::Store, now);
        }
    }
}
