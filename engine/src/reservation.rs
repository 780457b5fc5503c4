//! A value on its way in: its memory is set aside, it is written once, then linked.
//!
//! The shard's lock is held to reserve and to commit, never in between. Until the commit
//! nobody finds the item, and what was stored under the key before is still there; if the
//! reservation is dropped, nothing has happened.
//!
//! What a reservation knows is a [`Filling`], which names no cache: so the same code serves one that borrows
//! its cache ([`Reservation`]) and one that holds a share of it
//! ([`OwnedReservation`](crate::OwnedReservation)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::arena::spans::Spans;
use crate::cache::Cache;
use crate::chunk_ref::ChunkRef;
use crate::error::StoreError;
use crate::hash::{Key, KeyHash};
use crate::item::header::flag;
use crate::item::view::View;
use crate::shard::PageBag;
use crate::shard::fill::{copy_value, set_value_here};
use crate::shard::join::Part;
use crate::shard::reserve::Blueprint;
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, CasWish, Condition, Outcome, Side, Stored};

/// Memory for one item that is not linked yet. See [`Cache::reserve`].
pub struct Reservation<'c> {
    cache: &'c Cache,
    filling: Filling,
}

impl<'c> Reservation<'c> {
    pub(crate) fn new(
        cache: &'c Cache,
        key: Key<'_>,
        head: ChunkRef,
        value_len: Option<usize>,
        cas: CasWish,
    ) -> Self {
        let (piece, at) = View::known(cache.region(), head).value_begin();
        let filling = Filling {
            hash: key.hash(),
            head,
            piece,
            at,
            written: 0,
            value_len,
            cas,
        };
        Reservation { cache, filling }
    }

    /// What it knows; from now on whoever has that gives the memory back.
    pub(crate) fn into_filling(self) -> Filling {
        let filling = self.filling;
        std::mem::forget(self);
        filling
    }

    /// Its key's.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        self.filling.hash
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.filling.written
    }

    /// Calls `f` with the key that it will be stored under.
    pub fn with_key<R>(&self, f: impl FnOnce(Key<'_>) -> R) -> R {
        let view = View::known(self.cache.region(), self.filling.head);
        view.with_key(|space, key| f(Key::known(key, space, self.filling.hash)))
    }

    /// Appends to the value.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] when there are more bytes than were reserved for;
    /// of a growing reservation [`StoreError::TooLarge`] when the value passes the plan's
    /// `item_bytes_max`, and [`StoreError::NoSpace`] while transfers hold the memory. In
    /// the last case a part may have been taken: see [`Reservation::written`].
    pub fn write(&mut self, bytes: &[u8], now: Tick) -> Result<(), StoreError> {
        self.filling.write(self.cache, bytes, now)
    }

    /// Appends to the value what `from` has, by one system call straight into the item's memory; what stands
    /// behind a value of known length goes to `behind`. Of one whose length is not known no more than a page is read, and nothing goes to
    /// `behind`. It waits if `from` does. Nothing was read if `from` is at its end, or if there was no room: the value is whole and
    /// `behind` is empty, or a growing value cannot grow, for which [`Reservation::write`] has the reason.
    ///
    /// # Errors
    /// The system's, with nothing appended.
    pub fn read_from(
        &mut self,
        from: impl AsFd,
        behind: &mut [u8],
        now: Tick,
    ) -> io::Result<Drawn> {
        self.filling
            .read_from(self.cache, from.as_fd(), behind, now)
    }

    /// Copies the end of what was read into a value whose length is not known: as many bytes as `out` has.
    ///
    /// # Panics
    /// If the last [`Reservation::read_from`] has read fewer.
    pub fn copy_last(&self, out: &mut [u8]) {
        self.filling.copy_last(self.cache, out);
    }

    /// So many of the bytes that were read last do not belong to the value.
    ///
    /// # Panics
    /// If the last [`Reservation::read_from`] has read fewer.
    pub fn take_back(&mut self, bytes: usize) {
        self.filling.take_back(self.cache, bytes);
    }

    /// Gives the item another deadline than it was reserved with, for a protocol that tells it behind the value. False, and
    /// nothing is done: it was reserved without the fields for such a one. A deadline in the middle of a second has them all.
    pub fn set_deadline(&mut self, deadline: Deadline) -> bool {
        // Nobody can reach the item before it is committed.
        View::known(self.cache.region(), self.filling.head).set_deadline(deadline)
    }

    /// Links the item, if `condition` holds, in place of what the key had before.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] when fewer bytes were written than were reserved for.
    pub fn commit(self, condition: Condition, now: Tick) -> Result<Outcome, StoreError> {
        self.commit_as(condition, now).map(|stored| stored.outcome)
    }

    /// As [`Reservation::commit`]; says the CAS number too.
    ///
    /// # Errors
    /// As [`Reservation::commit`].
    pub fn commit_as(mut self, condition: Condition, now: Tick) -> Result<Stored, StoreError> {
        self.filling.commit_as(self.cache, condition, now)
    }

    /// Lengthens the item that the key has by what was written, instead of replacing it. If it
    /// has none, what was written becomes one, if `or_create`.
    ///
    /// # Errors
    /// As [`Cache::extend`], and as [`Reservation::commit`].
    pub fn commit_extending(
        mut self,
        side: Side,
        compare: Option<u64>,
        or_create: bool,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        self.filling
            .commit_extending(self.cache, side, compare, or_create, now)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.filling.give_up(self.cache);
    }
}

/// What [`Reservation::read_from`] has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Bytes of the value.
    pub value_bytes: usize,
    /// Bytes behind it.
    pub behind_bytes: usize,
    /// All the room that there was is filled: there may be more to read.
    pub is_full: bool,
}

/// A reservation without its cache, which every call must be given: always the same one.
#[derive(Clone, Copy)]
pub(crate) struct Filling {
    hash: KeyHash,
    /// None: it was linked.
    head: ChunkRef,
    /// The piece that is being filled.
    piece: ChunkRef,
    /// Bytes of `piece` that were written.
    at: usize,
    written: usize,
    /// `None`: the value's length is not known yet.
    value_len: Option<usize>,
    /// `Next` or `Be`: the item has the field for it.
    cas: CasWish,
}

impl Filling {
    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// See [`Reservation::write`].
    pub fn write(&mut self, cache: &Cache, bytes: &[u8], now: Tick) -> Result<(), StoreError> {
        let most = match self.value_len {
            Some(value_len) => value_len,
            None => cache.plan().item_bytes_max(),
        };
        if bytes.len() > most - self.written {
            return Err(match self.value_len {
                Some(_) => StoreError::LengthMismatch,
                None => StoreError::TooLarge,
            });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let view = View::known(cache.region(), self.piece);
            let room = self.room(cache, view) - self.at;
            if room == 0 {
                self.piece = self.next_piece(cache, view, now)?;
                self.at = 0;
                continue;
            }
            let (part, after) = rest.split_at(room.min(rest.len()));
            view.write_piece(self.at, part);
            self.at += part.len();
            self.written += part.len();
            rest = after;
            if self.value_len.is_none() {
                let mut view = view;
                set_value_here(&mut view, self.at);
            }
        }
        Ok(())
    }

    /// See [`Reservation::read_from`].
    pub fn read_from(
        &mut self,
        cache: &Cache,
        from: BorrowedFd<'_>,
        behind: &mut [u8],
        now: Tick,
    ) -> io::Result<Drawn> {
        let region = cache.region();
        let mut spans = Spans::new();
        let behind = match self.value_len {
            Some(value_len) if self.plan_known(cache, value_len, &mut spans) => behind,
            Some(_) => &mut [],
            None => {
                let view = View::known(region, self.piece);
                if self.room(cache, view) == self.at
                    && let Ok(piece) = self.next_piece(cache, view, now)
                {
                    (self.piece, self.at) = (piece, 0);
                }
                let view = View::known(region, self.piece);
                let most = cache.plan().item_bytes_max() - self.written;
                let room = (self.room(cache, view) - self.at).min(most);
                spans.push(&region.arena, view.piece_byte(self.at), room);
                &mut []
            }
        };
        let (room, all) = (spans.bytes(), spans.bytes() + behind.len());
        let read = spans.read(from, behind);
        if self.value_len.is_none() && !matches!(read, Ok(1..)) {
            // A page that was put there for this read goes again.
            self.take_back(cache, 0);
        }
        let read = read?;
        self.skip(cache, read.min(room));
        Ok(Drawn {
            value_bytes: read.min(room),
            behind_bytes: read.saturating_sub(room),
            is_full: read == all,
        })
    }

    /// The places of what is to come of a value of known length. False: there are more.
    fn plan_known<'c>(&self, cache: &'c Cache, value_len: usize, spans: &mut Spans<'c>) -> bool {
        let region = cache.region();
        let mut left = value_len - self.written;
        let (mut piece, mut at) = (self.piece, self.at);
        while left > 0 && !spans.is_full() {
            let view = View::known(region, piece);
            let room = (self.room(cache, view) - at).min(left);
            if room == 0 {
                (piece, at) = (view.next_piece(), 0);
                continue;
            }
            // This reservation's, of which it is the only writer.
            spans.push(&region.arena, view.piece_byte(at), room);
            (at, left) = (at + room, left - room);
        }
        left == 0
    }

    /// See [`Reservation::copy_last`].
    pub fn copy_last(&self, cache: &Cache, out: &mut [u8]) {
        let from = self.at.checked_sub(out.len()).expect("so many were read");
        View::known(cache.region(), self.piece).copy_piece(from, out);
    }

    /// See [`Reservation::take_back`].
    pub fn take_back(&mut self, cache: &Cache, bytes: usize) {
        self.at = self.at.checked_sub(bytes).expect("so many were read");
        self.written -= bytes;
        if self.value_len.is_some() {
            return;
        }
        let mut view = View::known(cache.region(), self.piece);
        set_value_here(&mut view, self.at);
        if self.at == 0 && self.piece != self.head {
            // No value has a last piece of nothing.
            let mut state = cache.shard_of(self.hash.shard_no()).lock(cache.region());
            self.piece = state.ungrow(self.piece);
            drop(state);
            let before = View::known(cache.region(), self.piece);
            self.at = usize::from(before.header.value_len);
        }
    }

    /// So many of the next bytes are written.
    fn skip(&mut self, cache: &Cache, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let view = View::known(cache.region(), self.piece);
            let part = (self.room(cache, view) - self.at).min(left);
            if part == 0 {
                (self.piece, self.at) = (view.next_piece(), 0);
                continue;
            }
            self.at += part;
            left -= part;
        }
        self.written += bytes;
        if self.value_len.is_none() {
            let mut view = View::known(cache.region(), self.piece);
            set_value_here(&mut view, self.at);
        }
    }

    /// Bytes of value that the piece holds.
    fn room(&self, cache: &Cache, view: View<'_>) -> usize {
        if self.value_len.is_some() {
            usize::from(view.header.value_len)
        } else {
            view.room(cache.region().geometry.page_bytes)
        }
    }

    fn next_piece(&self, cache: &Cache, view: View<'_>, now: Tick) -> Result<ChunkRef, StoreError> {
        if self.value_len.is_some() {
            return Ok(view.next_piece());
        }
        let region = cache.region();
        let mut bag = PageBag::new(region);
        View::known(region, self.head).with_key(|space, key| {
            cache.with_pages(Key::known(key, space, self.hash), &mut bag, now, |bag| {
                let mut state = cache.shard_of(self.hash.shard_no()).lock(region);
                state.grow(self.piece, bag, now)
            })
        })
    }

    /// See [`Reservation::commit_as`].
    pub fn commit_as(
        &mut self,
        cache: &Cache,
        condition: Condition,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        self.finish(cache, now)?;
        let (view, hash) = (View::known(cache.region(), self.head), self.hash);
        view.with_key(|space, key| self.link(cache, Key::known(key, space, hash), condition, now))
    }

    /// Links what is filled.
    fn link(
        &mut self,
        cache: &Cache,
        key: Key<'_>,
        condition: Condition,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        let region = cache.region();
        let head = std::mem::take(&mut self.head);
        let mut state = cache.shard_of(self.hash.shard_no()).lock(region);
        let condition = state.inherit(key, head, condition, now);
        let view = View::known(region, head);
        if view.header.has(flag::CAS) {
            view.set_cas(match self.cas {
                CasWish::Be(cas) => cas,
                CasWish::IfKept | CasWish::Next => state.next_cas(),
            });
        }
        let cas = View::known(region, head).cas().unwrap_or(0);
        let outcome = state.commit(key, head, condition, now);
        if outcome != Outcome::Stored {
            return Ok(Stored::not(outcome));
        }
        Ok(Stored {
            outcome,
            cas,
            value_len: self.written,
        })
    }

    /// See [`Reservation::commit_extending`].
    pub fn commit_extending(
        &mut self,
        cache: &Cache,
        side: Side,
        compare: Option<u64>,
        or_create: bool,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        self.finish(cache, now)?;
        let part = (Part::Reserved(self.head), side, self.cas);
        let (view, hash) = (View::known(cache.region(), self.head), self.hash);
        let extended = view.with_key(|space, key| {
            cache.extend_with(Key::known(key, space, hash), part, compare, now)
        })?;
        if extended.outcome == Outcome::NotStored && or_create {
            return self.commit_as(cache, Condition::Absent, now);
        }
        Ok(extended)
    }

    /// The whole value is there. May be called again.
    fn finish(&mut self, cache: &Cache, now: Tick) -> Result<(), StoreError> {
        match self.value_len {
            Some(value_len) if value_len != self.written => Err(StoreError::LengthMismatch),
            Some(_) => Ok(()),
            None => {
                let head = View::known(cache.region(), self.head);
                head.set_body_len(head.key_body_len() + self.written);
                let hash = self.hash;
                head.with_key(|space, key| self.trim(cache, Key::known(key, space, hash), now));
                // From now on it is one like any other: its first piece may have no field for the length.
                self.value_len = Some(self.written);
                Ok(())
            }
        }
    }

    /// The last page of a growing reservation is full of room that the value did not need:
    /// an item of one page moves to a chunk of its size, a longer one's end likewise.
    /// Without memory for that the page stays, which wastes room but is right.
    fn trim(&mut self, cache: &Cache, key: Key<'_>, now: Tick) {
        let region = cache.region();
        let head = View::known(region, self.head);
        let meta = head.meta();
        let mut blueprint = Blueprint::new(
            key,
            Attributes {
                client_flags: meta.client_flags,
                deadline: meta.deadline,
            },
        );
        blueprint.flags |= head.header.flags() & (flag::CAS | flag::EXTRA | flag::DEADLINE);
        let layout = blueprint.layout(&region.geometry.classes, self.written);
        if self.piece == self.head {
            let Ok(small) = cache.reserve_layout(blueprint, layout, self.written, now) else {
                return;
            };
            copy_value(region, self.head, small);
            let big = std::mem::replace(&mut self.head, small);
            self.piece = small;
            let mut state = cache.shard_of(self.hash.shard_no()).lock(region);
            state.abandon(big);
        } else if layout.pages > 0 && layout.pieces() > layout.pages {
            let mut bag = PageBag::new(region);
            let mut state = cache.shard_of(self.hash.shard_no()).lock(region);
            state.trim_tail(self.piece, layout, &mut bag, now);
            drop(state);
        }
    }

    /// Gives the memory back, unless the item was linked.
    pub fn give_up(&mut self, cache: &Cache) {
        if self.head.is_some() {
            let region = cache.region();
            let mut state = cache.shard_of(self.hash.shard_no()).lock(region);
            state.abandon(self.head);
            self.head = ChunkRef::NONE;
        }
    }
}
