//! The lane for runs of the plainest request: one key, and its value or nothing.
//!
//! Most of what a cache is asked is `GET key` or `get key`, and there is little to do for it. What
//! the general way carries for all the other requests (flags, orders, facts of an item) would
//! be most of the price, so such runs are executed here, with the same answers and the same
//! limits. Whatever is out of the ordinary is left for the general way: another request, a
//! value that is longer than the outbox.

use std::io;
use std::slice;

use flagstone_engine::{Key, Lookup, Spot};
use smallvec::SmallVec;

use super::{Desk, Halt};
use crate::conn::batch::{BATCH_MAX, Batch};
use crate::conn::outbox::Sent;
use crate::proto::Dialect;

/// A shorter run between other requests is left to the general way, which looks all of them up
/// ahead.
const RUN_MIN: usize = BATCH_MAX / 4;

/// A read that was decoded.
#[derive(Clone, Copy)]
struct Read<'a> {
    key: Key<'a>,
    dialect: Dialect,
    /// Where in the inbox it ends.
    end: usize,
}

/// What became of a run.
pub(super) enum Run {
    /// There was none, or it begins with something out of the ordinary.
    None,
    /// Some or all of it is executed, up to where `at` is now. `None`: there is more to do.
    Executed(Option<Halt>),
}

impl Desk<'_, '_, '_> {
    /// Executes the run of reads at `bytes[*at..]`, and moves `at` on.
    #[inline]
    pub(super) fn reads(&mut self, bytes: &[u8], at: &mut usize) -> io::Result<Run> {
        if !self.codec.may_be_plain() {
            return Ok(Run::None);
        }
        let Some(first) = self.next_read(bytes, *at) else {
            return Ok(Run::None);
        };
        let cache = self.house.cache;
        if first.end == bytes.len() {
            let spot = cache.prefetch(first.key);
            return self.answer(slice::from_ref(&first), slice::from_ref(&spot), at);
        }
        let mut end = first.end;
        let mut batch = Batch::of(first);
        while !batch.is_full()
            && let Some(read) = self.next_read(bytes, end)
        {
            end = read.end;
            batch.push(read);
        }
        if batch.len() < RUN_MIN && end < bytes.len() {
            return Ok(Run::None);
        }
        let mut spots: SmallVec<[Spot; BATCH_MAX]> = SmallVec::new();
        for read in &*batch {
            spots.push(cache.prefetch(read.key));
        }
        for (read, &spot) in batch.iter().zip(&spots) {
            cache.prefetch_item(read.key, spot);
        }
        self.answer(&batch, &spots, at)
    }

    #[inline(always)]
    fn next_read<'a>(&self, bytes: &'a [u8], at: usize) -> Option<Read<'a>> {
        let plain = self.codec.plain_get(&bytes[at..])?;
        Some(Read {
            key: self.house.cache.key(plain.key).ok()?,
            dialect: plain.dialect,
            end: at + plain.taken,
        })
    }

    #[inline]
    fn answer(&mut self, reads: &[Read<'_>], spots: &[Spot], at: &mut usize) -> io::Result<Run> {
        let before = *at;
        for (read, &spot) in reads.iter().zip(spots) {
            loop {
                if !self.has_room()? {
                    return Ok(Run::Executed(Some(Halt::Blocked)));
                }
                let Some(len) = self.put_answer(read, spot) else {
                    if self.outbox.is_empty() {
                        let some = *at > before;
                        return Ok(if some { Run::Executed(None) } else { Run::None });
                    }
                    // It may fit into the whole outbox.
                    if self.send()? == Sent::Blocked {
                        return Ok(Run::Executed(Some(Halt::Blocked)));
                    }
                    continue;
                };
                self.outbox.filled(len);
                self.budget.spend(1, len);
                break;
            }
            *at = read.end;
            self.codec.go_on(read.dialect.inside());
            if self.budget.is_spent() {
                self.counters.yields.add(1);
                return Ok(Run::Executed(Some(Halt::Tired)));
            }
        }
        Ok(Run::Executed(None))
    }

    /// Puts the answer into the outbox's room, which has space for any short one, and says how
    /// long it is. `None`: the value does not fit.
    #[inline(always)]
    fn put_answer(&mut self, read: &Read<'_>, spot: Spot) -> Option<usize> {
        let (cache, now, dialect) = (self.house.cache, self.now, read.dialect);
        let room = self.outbox.room();
        let tail = dialect.value_tail();
        let fits = room.len() - tail.len();
        let mut head_len = 0;
        let found = cache.get_at(read.key, spot, now, &mut room[..fits], |meta, room| {
            head_len = dialect.value_head(read.key.bytes(), meta, room)?;
            Some(head_len)
        });
        match found {
            Lookup::Hit(meta) => {
                self.counters.hits.add(1);
                let end = head_len + meta.value_len;
                // Apart, because a copy of a length that is known is a store.
                match dialect {
                    Dialect::Native => room[end] = b'\n',
                    Dialect::Classic => room[end..end + tail.len()].copy_from_slice(tail),
                }
                Some(end + tail.len())
            }
            Lookup::Miss => {
                self.counters.misses.add(1);
                let words = dialect.missing();
                room[..words.len()].copy_from_slice(words);
                Some(words.len())
            }
            Lookup::TooSmall(_) => None,
        }
    }
}
