//! The lane for runs of the plainest requests: one key, and its value out or in.
//!
//! Most of what a cache is asked is one key's value, or to store one, and there is little to do
//! for it. What the general way carries for all the other requests (flags, orders, facts of an
//! item) would be most of the price, so such runs are executed here, with the same answers and
//! the same limits. Whatever is out of the ordinary is left for the general way: another request, a
//! value that is longer than the outbox, or that cannot be stored.

use std::io;

use flagstone_engine::{Cache, Copied, Curve, Key, Spot};

use super::{Halt, RequestLoop};
use crate::conn::batch::{BATCH_MAX, Batch};
use crate::proto::plain::{self, Lane, OneKey};
use crate::proto::scan::has_newline;
use crate::proto::{Protocol, What};

/// A shorter run between other requests is left to the general way, which looks all of them up
/// ahead.
pub(super) const RUN_MIN: usize = BATCH_MAX / 4;

/// A request that was decoded.
#[derive(Clone, Copy)]
struct Planned<'a> {
    key: Key<'a>,
    what: What<'a>,
    /// Where in the inbox it ends.
    end: usize,
}

/// A key that was decoded, and whose bucket is on its way from memory.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    pub key: Key<'a>,
    pub spot: Spot,
    /// Where in the inbox its request ends.
    pub end: usize,
}

impl<'a> Ahead<'a> {
    #[inline(always)]
    pub fn of(cache: &Cache, key: Key<'a>, end: usize) -> Self {
        Ahead {
            key,
            spot: cache.prefetch(key),
            end,
        }
    }

    /// The bucket is looked at, and the item is on its way.
    #[inline(always)]
    pub fn look(&mut self, cache: &Cache) {
        cache.prefetch_item(self.key, &mut self.spot);
    }
}

/// What became of a run.
pub(super) enum Run {
    /// There was none, or it begins with something out of the ordinary.
    None,
    /// Some or all of it is executed, up to where `at` is now. `None`: there is more to do.
    Executed(Option<Halt>),
}

impl RequestLoop<'_, '_> {
    /// Executes the run of plain requests at `bytes[*at..]`, and moves `at` on.
    #[inline]
    pub(super) fn run(&mut self, bytes: &[u8], at: &mut usize) -> io::Result<Run> {
        if !self.conn.codec.may_be_plain() {
            return match self.conn.codec.list() {
                Some(list) => self.run_list(list, bytes, at, None),
                None => Ok(Run::None),
            };
        }
        let Some(first) = self.next_plain(bytes, *at) else {
            return Ok(Run::None);
        };
        let cache = self.tools.shared.cache;
        if first.end == bytes.len() {
            let mut spot = cache.prefetch(first.key);
            if let What::Put(..) = first.what {
                cache.prefetch_item(first.key, &mut spot);
            }
            return self.answer_one(&first, &spot, at);
        }
        let run = match first.what {
            What::Get(protocol) => match protocol {
                Protocol::Native => self.run_gets(bytes, at, first, plain::Native),
                Protocol::Memcached => self.run_gets(bytes, at, first, plain::Memcached),
                Protocol::Meta => self.run_gets(bytes, at, first, plain::Meta),
                Protocol::Resp { v3 } => self.run_gets(bytes, at, first, plain::Resp(v3)),
            },
            What::Put(protocol, ..) => match protocol {
                Protocol::Native => self.run_puts(bytes, at, first, plain::Native),
                Protocol::Memcached => self.run_puts(bytes, at, first, plain::Memcached),
                Protocol::Meta => self.run_puts(bytes, at, first, plain::Meta),
                Protocol::Resp { v3 } => self.run_puts(bytes, at, first, plain::Resp(v3)),
            },
        }?;
        if !matches!(run, Run::None) {
            return Ok(run);
        }
        let mut end = first.end;
        let mut batch = Batch::of(first);
        while !batch.is_full()
            && let Some(planned) = self.next_plain(bytes, end)
        {
            end = planned.end;
            batch.push(planned);
        }
        if batch.len() < RUN_MIN && end < bytes.len() {
            return Ok(Run::None);
        }
        let mut spots = Batch::new();
        for planned in &*batch {
            spots.push(cache.prefetch(planned.key));
        }
        for (planned, spot) in batch.iter().zip(spots.iter_mut()) {
            cache.prefetch_item(planned.key, spot);
        }
        self.answer(&batch, &spots, at)
    }

    /// A request that comes alone: there is nothing to look up ahead.
    #[inline(always)]
    fn answer_one(
        &mut self,
        planned: &Planned<'_>,
        spot: &Spot,
        at: &mut usize,
    ) -> io::Result<Run> {
        if let Some(halt) = self.lacks_room()? {
            return Ok(Run::Executed(Some(halt)));
        }
        let Some(len) = self.carry_out(planned, spot) else {
            // It may fit into the whole outbox, which is tried again then.
            if self.tools.outbox.is_empty() {
                return Ok(Run::None);
            }
            return Ok(Run::Executed(self.empty_outbox()?));
        };
        self.tools.sampler.pass(1, |_| Some(planned.key));
        let is_spent = self.note_done(planned, len, at);
        Ok(Run::Executed(is_spent.then_some(Halt::Tired)))
    }

    /// Puts the answer into the outbox's room, and says how long it is. `None`: it has no room, or is for the general way.
    #[inline(always)]
    fn carry_out(&mut self, planned: &Planned<'_>, spot: &Spot) -> Option<usize> {
        let key = planned.key;
        match planned.what {
            What::Get(Protocol::Native) => self.get_apart(key, spot, plain::Native),
            What::Get(Protocol::Memcached) => self.get_apart(key, spot, plain::Memcached),
            What::Get(Protocol::Meta) => self.get_apart(key, spot, plain::Meta),
            What::Get(Protocol::Resp { v3 }) => self.get_apart(key, spot, plain::Resp(v3)),
            What::Put(Protocol::Native, _, value) => {
                self.put_apart(key, spot, (0, value), plain::Native)
            }
            What::Put(Protocol::Memcached, flags, value) => {
                self.put_apart(key, spot, (flags, value), plain::Memcached)
            }
            What::Put(Protocol::Meta, _, value) => {
                self.put_apart(key, spot, (0, value), plain::Meta)
            }
            What::Put(Protocol::Resp { v3 }, _, value) => {
                self.put_apart(key, spot, (0, value), plain::Resp(v3))
            }
        }
    }

    /// A request is answered by so many bytes. Says whether the turn is over with it.
    #[inline(always)]
    fn note_done(&mut self, planned: &Planned<'_>, len: usize, at: &mut usize) -> bool {
        *at = planned.end;
        if !self.conn.codec.is_inside_of(planned.what) {
            self.conn.codec.go_on(planned.what.inside());
        }
        self.answered(len)
    }

    /// An answer of so many bytes stands in the outbox's room. Says whether the turn is over with it.
    #[inline(always)]
    pub(super) fn answered(&mut self, len: usize) -> bool {
        self.tools.outbox.filled(len);
        let is_spent = self.budget.spend_one(len);
        if is_spent {
            self.tools.counters.yields.add(1);
        }
        is_spent
    }

    /// A run of requests for values that are all asked for in one way, which is known when the program is compiled.
    #[inline(never)]
    fn run_gets<L: OneKey>(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        first: Planned<'_>,
        lane: L,
    ) -> io::Result<Run> {
        let cache = self.tools.shared.cache;
        let mut end = first.end;
        let mut batch = Batch::of(Ahead::of(cache, first.key, end));
        while !batch.is_full()
            && let Some(asked) = L::get(&bytes[end..])
            && let Ok(key) = cache.key(asked.key)
        {
            end += asked.taken;
            batch.push(Ahead::of(cache, key, end));
        }
        if batch.len() < RUN_MIN && end < bytes.len() {
            return Ok(Run::None);
        }
        batch.iter_mut().for_each(|ahead| ahead.look(cache));
        let mut done = 0;
        let run = self.gets(&batch, (at, &mut done), first.what, lane);
        self.tools.sampler.pass(done, |no| Some(batch[no].key));
        run
    }

    /// Answers them, and says how many it has.
    #[inline(always)]
    fn gets<L: Lane>(
        &mut self,
        batch: &[Ahead<'_>],
        (at, done): (&mut usize, &mut usize),
        what: What<'_>,
        lane: L,
    ) -> io::Result<Run> {
        let before = *at;
        let inside = what.inside();
        let is_inside = self.conn.codec.is_inside_of(what);
        for Ahead { key, spot, end } in batch {
            if let Some(halt) = self.lacks_room()? {
                return Ok(Run::Executed(Some(halt)));
            }
            let Some(len) = self.get(*key, spot, lane) else {
                // It may fit into the whole outbox. If that is what it had, it is for the general way.
                let had_all = self.tools.outbox.is_empty();
                if !had_all && let Some(halt) = self.empty_outbox()? {
                    return Ok(Run::Executed(Some(halt)));
                }
                return Ok(match had_all && *at == before {
                    true => Run::None,
                    false => Run::Executed(None),
                });
            };
            *done += 1;
            *at = *end;
            if !is_inside {
                self.conn.codec.go_on(inside);
            }
            if self.answered(len) {
                return Ok(Run::Executed(Some(Halt::Tired)));
            }
        }
        self.end_run(batch.len())
    }

    /// A run of values to store that are all sent in one way, which is known when the program is compiled.
    #[inline(never)]
    fn run_puts<L: OneKey>(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        first: Planned<'_>,
        lane: L,
    ) -> io::Result<Run> {
        let cache = self.tools.shared.cache;
        let mut end = *at;
        let mut batch = Batch::new();
        while !batch.is_full()
            && let Some(given) = L::put(&bytes[end..])
            && let Ok(key) = cache.key(given.key)
        {
            end += given.taken;
            batch.push((Ahead::of(cache, key, end), given.client_flags, given.value));
        }
        if batch.len() < RUN_MIN && end < bytes.len() {
            return Ok(Run::None);
        }
        batch.iter_mut().for_each(|(ahead, ..)| ahead.look(cache));
        let mut done = 0;
        let run = self.puts(&batch, (at, &mut done), first.what, lane);
        self.tools.sampler.pass(done, |no| Some(batch[no].0.key));
        run
    }

    /// Stores them, and says how many it has.
    #[inline(always)]
    fn puts<L: OneKey>(
        &mut self,
        batch: &[(Ahead<'_>, u32, &[u8])],
        (at, done): (&mut usize, &mut usize),
        what: What<'_>,
        lane: L,
    ) -> io::Result<Run> {
        let inside = what.inside();
        let is_inside = self.conn.codec.is_inside_of(what);
        for (Ahead { key, spot, end }, client_flags, value) in batch {
            if let Some(halt) = self.lacks_room()? {
                return Ok(Run::Executed(Some(halt)));
            }
            let Some(len) = self.put(*key, spot, (*client_flags, value), lane) else {
                return Ok(match *done {
                    0 => Run::None,
                    _ => Run::Executed(None),
                });
            };
            *done += 1;
            *at = *end;
            if !is_inside {
                self.conn.codec.go_on(inside);
            }
            if self.answered(len) {
                return Ok(Run::Executed(Some(Halt::Tired)));
            }
        }
        self.end_run(batch.len())
    }

    /// The end of a run that its budget has not ended.
    #[inline(always)]
    pub(super) fn end_run(&mut self, len: usize) -> io::Result<Run> {
        if len == BATCH_MAX && self.budget.is_late() {
            self.tools.counters.yields.add(1);
            return Ok(Run::Executed(Some(Halt::Tired)));
        }
        Ok(Run::Executed(None))
    }

    #[inline(always)]
    fn next_plain<'a>(&self, bytes: &'a [u8], at: usize) -> Option<Planned<'a>> {
        let plain = self.conn.codec.plain(&bytes[at..])?;
        Some(Planned {
            key: self.tools.shared.cache.key(plain.key).ok()?,
            what: plain.what,
            end: at + plain.taken,
        })
    }

    #[inline]
    fn answer(&mut self, batch: &[Planned<'_>], spots: &[Spot], at: &mut usize) -> io::Result<Run> {
        let mut done = 0;
        let run = self.answers(batch, spots, at, &mut done);
        self.tools.sampler.pass(done, |no| Some(batch[no].key));
        run
    }

    #[inline(always)]
    fn answers(
        &mut self,
        batch: &[Planned<'_>],
        spots: &[Spot],
        at: &mut usize,
        done: &mut usize,
    ) -> io::Result<Run> {
        let before = *at;
        for (planned, spot) in batch.iter().zip(spots) {
            loop {
                if let Some(halt) = self.lacks_room()? {
                    return Ok(Run::Executed(Some(halt)));
                }
                if let Some(len) = self.carry_out(planned, spot) {
                    *done += 1;
                    if self.note_done(planned, len, at) {
                        return Ok(Run::Executed(Some(Halt::Tired)));
                    }
                    break;
                }
                if self.tools.outbox.is_empty() {
                    let some = *at > before;
                    return Ok(if some { Run::Executed(None) } else { Run::None });
                }
                // It may fit into the whole outbox.
                if let Some(halt) = self.empty_outbox()? {
                    return Ok(Run::Executed(Some(halt)));
                }
            }
        }
        self.end_run(batch.len())
    }

    /// Puts value or absence into the outbox's room, which has space for any short answer, and says
    /// how long it is. `None`: the value does not fit.
    #[inline(always)]
    pub(super) fn get<L: Lane>(&mut self, key: Key<'_>, spot: &Spot, lane: L) -> Option<usize> {
        let (cache, now) = (self.tools.shared.cache, self.tools.now);
        let room = self.tools.outbox.room();
        let tail = L::TAIL;
        let fits = room.len() - (tail.len() + L::END.len());
        let found = cache.get_at(key, spot, now, &mut room[..fits], |meta, room| {
            let found = plain::Found {
                value_len: meta.value_len,
                client_flags: meta.client_flags,
                cas: meta.cas,
                is_outdated: meta.stale || meta.won,
            };
            lane.value_head(key.bytes(), &found, room)
        });
        match found {
            Copied::Bytes(end) => {
                self.tools.counters.hits.add(1);
                if Curve::samples(key.hash(), self.tools.uses.limit()) {
                    self.tools.uses.note_read(cache, key, true, now);
                }
                // What stands behind a line end would be taken for the next answer.
                if let Some(words) = L::CUT
                    && self.tools.shared.has_counted()
                    && has_newline(&room[..end])
                {
                    room[..words.len()].copy_from_slice(words);
                    return Some(words.len());
                }
                room[end..end + tail.len()].copy_from_slice(tail);
                Some(end + tail.len())
            }
            Copied::Miss => {
                self.tools.counters.misses.add(1);
                if Curve::samples(key.hash(), self.tools.uses.limit()) {
                    self.tools.uses.note_read(cache, key, false, now);
                }
                let words = lane.missing();
                room[..words.len()].copy_from_slice(words);
                Some(words.len())
            }
            Copied::TooSmall => None,
        }
    }

    /// The same where it is not asked for again and again: what is built for each way is the more the longer this is.
    #[inline(never)]
    fn get_apart<L: Lane>(&mut self, key: Key<'_>, spot: &Spot, lane: L) -> Option<usize> {
        self.get(key, spot, lane)
    }

    /// Stores a value and puts the answer into the outbox's room. `None`: it cannot be stored, or not
    /// now, and nothing was done.
    #[inline(always)]
    fn put<L: OneKey>(
        &mut self,
        key: Key<'_>,
        spot: &Spot,
        (client_flags, value): (u32, &[u8]),
        _: L,
    ) -> Option<usize> {
        if L::CUT.is_none() {
            self.tools.shared.note_counted();
        }
        let (cache, now) = (self.tools.shared.cache, self.tools.now);
        cache.put_at(key, spot, value, client_flags, now).ok()?;
        self.tools.counters.puts.add(1);
        self.tools.counters.stores.note(L::SPEECH, value.len());
        if Curve::samples(key.hash(), self.tools.uses.limit()) {
            self.tools.uses.note_stored(cache, key, value.len());
        }
        let words = L::STORED;
        self.tools.outbox.room()[..words.len()].copy_from_slice(words);
        Some(words.len())
    }

    /// The same where it is not asked for again and again.
    #[inline(never)]
    fn put_apart<L: OneKey>(
        &mut self,
        key: Key<'_>,
        spot: &Spot,
        given: (u32, &[u8]),
        lane: L,
    ) -> Option<usize> {
        self.put(key, spot, given, lane)
    }
}
