//! The lane for lists of keys whose values are asked for: memcached's `get` and `gets`, Redis' `MGET`.
//!
//! A list is a pipeline, and its keys are what most of its work is: so a batch of them is read, hashed, prefetched and answered
//! at a time, like the lane's runs (`plain`), with the same answers and limits as in the general way, which begins each list and
//! has whatever is out of the ordinary.

use std::io;
use std::slice;

use flagstone_engine::Key;

use super::plain::{Ahead, RUN_MIN, Run};
use super::{Halt, Planned, RequestLoop};
use crate::conn::batch::Batch;
use crate::memory::plan::OUTBOX_BYTES;
use crate::proto::plain::list::{List, ListLane};

/// A key, and where in the inbox what belongs to it ends.
pub(super) type Placed<'a> = (Key<'a>, usize);

impl RequestLoop<'_, '_> {
    /// Answers some keys of the list in which `bytes[*at..]` are, and moves `at` on. Before them, `first` is asked for, if
    /// there is one: the list's first key, which was read with its line.
    #[inline]
    pub(super) fn run_list(
        &mut self,
        list: List,
        bytes: &[u8],
        at: &mut usize,
        first: Option<Placed<'_>>,
    ) -> io::Result<Run> {
        match list {
            List::Memcached(lane) => self.run_keys(bytes, at, first, lane),
            List::Resp(lane) => self.run_keys(bytes, at, first, lane),
        }
    }

    /// Answers the beginning of a list, whose first request has been read. `None`: it is for the general way.
    pub(super) fn begin_list(
        &mut self,
        list: List,
        first: &Planned<'_>,
        bytes: &[u8],
        at: &mut usize,
    ) -> io::Result<Option<Option<Halt>>> {
        match (first.work.key(), list.left()) {
            (Some(key), None) => Ok(
                match self.run_list(list, bytes, at, Some((key, first.end)))? {
                    Run::Executed(halt) => Some(halt),
                    Run::None => None,
                },
            ),
            // What stands before the answers is answered by itself.
            (None, Some(RUN_MIN..)) => self.execute(slice::from_ref(first), bytes, at).map(Some),
            _ => Ok(None),
        }
    }

    #[inline(never)]
    fn run_keys<L: ListLane>(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        first: Option<Placed<'_>>,
        lane: L,
    ) -> io::Result<Run> {
        let cache = self.tools.shared.cache;
        let (mut end, mut is_over) = (*at, false);
        let mut batch = Batch::new();
        if let Some(first) = first {
            end = first.1;
            batch.push(Ahead::of(cache, first.0, end));
        }
        while !batch.is_full()
            && !is_over
            && let Some(listed) = lane.key(&bytes[end..], batch.len())
            && let Ok(key) = cache.key(listed.key)
        {
            end += listed.taken;
            is_over = listed.is_last;
            batch.push(Ahead::of(cache, key, end));
        }
        // A short list between other requests is looked up with those.
        if batch.len() < RUN_MIN && end < bytes.len() && (first.is_some() || !is_over) {
            return Ok(Run::None);
        }
        batch.iter_mut().for_each(|ahead| ahead.look(cache));
        let mut done = 0;
        let run = self.answer_keys(&batch, (at, &mut done), is_over, lane);
        if done > 0 {
            let inside = lane.inside(done, is_over && done == batch.len());
            self.conn.codec.go_on(inside);
        }
        self.tools.sampler.pass(done, |no| Some(batch[no].key));
        run
    }

    /// Answers them, and says how many it has; the list ends with the last of them, or does not.
    #[inline(always)]
    fn answer_keys<L: ListLane>(
        &mut self,
        batch: &[Ahead<'_>],
        (at, done): (&mut usize, &mut usize),
        is_over: bool,
        lane: L,
    ) -> io::Result<Run> {
        for Ahead { key, spot, end } in batch {
            if let Some(halt) = self.lacks_room()? {
                return Ok(Run::Executed(Some(halt)));
            }
            let Some(mut len) = self.get(*key, spot, lane) else {
                return self.leave_key(*done);
            };
            if is_over && *done + 1 == batch.len() {
                self.tools.outbox.room()[len..len + L::END.len()].copy_from_slice(L::END);
                len += L::END.len();
            }
            *done += 1;
            *at = *end;
            if self.answered(len) {
                return Ok(Run::Executed(Some(Halt::Tired)));
            }
        }
        self.end_run(batch.len())
    }

    /// There is no room for a key's answer, or it is for the general way, and `done` keys before it were answered.
    #[cold]
    fn leave_key(&mut self, done: usize) -> io::Result<Run> {
        // With so much room it is not for lack of that, or the value is a very long one.
        if self.tools.outbox.room_bytes() < OUTBOX_BYTES / 2
            && let Some(halt) = self.empty_outbox()?
        {
            return Ok(Run::Executed(Some(halt)));
        }
        Ok(match done {
            0 => Run::None,
            _ => Run::Executed(None),
        })
    }
}
