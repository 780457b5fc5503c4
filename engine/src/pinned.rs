//! A large value on its way out: held still, read a window at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::arena::outgoing::Outgoing;
use crate::chunk_ref::ChunkRef;
use crate::item::view::View;
use crate::region::Region;
use crate::shard::locked::Shard;
use crate::shard::pins::PinNo;
use crate::types::ItemMeta;

/// An item whose bytes stay until this is dropped. See [`Cache::pin`](crate::Cache::pin).
///
/// It is a [`std::io::Read`], too, which never fails.
pub struct Pinned<'c> {
    region: &'c Region,
    shard: &'c Shard,
    reading: Reading,
}

impl<'c> Pinned<'c> {
    /// Of an item that was pinned under the lock just now.
    pub(crate) fn new(region: &'c Region, shard: &'c Shard, head: ChunkRef) -> Self {
        let view = View::known(region, head);
        let meta = view.meta();
        let (piece, at) = view.value_begin();
        let reading = Reading {
            head,
            piece,
            at,
            left: meta.value_len,
            from: 0,
            meta,
        };
        Pinned {
            region,
            shard,
            reading,
        }
    }

    /// What it knows; from now on whoever has that unpins the item.
    pub(crate) fn into_reading(self) -> Reading {
        let reading = self.reading;
        std::mem::forget(self);
        reading
    }

    pub(crate) fn is_of(&self, region: &Region) -> bool {
        std::ptr::eq(self.region, region)
    }

    pub(crate) fn is_at(&self, chunk: ChunkRef) -> bool {
        self.reading.head == chunk
    }

    /// Holds the item no longer, for somebody who reads on later: it may be evicted, replaced or deleted, and then its
    /// memory is free at once. If it is flushed, its memory is held until the pin is dropped.
    ///
    /// # Errors
    /// The pin, unchanged: its item was replaced, deleted, evicted or flushed already.
    pub fn loosen(self) -> Result<Loosened<'c>, Self> {
        let no = self.shard.lock(self.region).loosen(self.reading.head);
        let Some(no) = no else {
            return Err(self);
        };
        let (region, shard) = (self.region, self.shard);
        Ok(Loosened {
            region,
            shard,
            no,
            reading: self.into_reading(),
        })
    }

    /// What was known of the item when it was pinned.
    #[must_use]
    pub fn meta(&self) -> ItemMeta {
        self.reading.meta
    }

    /// Copies the value's next bytes to the front of `out`; returns how many, 0 at its end.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        self.reading.read(self.region, out)
    }

    /// Writes the value's next bytes to `out`, straight from where they lie, `before` in front of them and, if they are the
    /// last, `behind` behind them: as much of all that as `out` takes at once, and of the value `most` bytes. Returns how much
    /// that is; of the value, what was taken counts as read.
    ///
    /// Nothing is copied but by `out`. A value in many pieces, or more than `most` bytes of it, takes several calls.
    ///
    /// # Errors
    /// Those of `writev`. Nothing was taken then. A pipe or socket whose reader has gone is an error where the signal for that
    /// is ignored, as it is in every program of Rust's that does not ask for it.
    pub fn write_to(
        &mut self,
        out: impl AsFd,
        before: &[u8],
        behind: &[u8],
        most: usize,
    ) -> io::Result<usize> {
        self.reading
            .write_to(self.region, out.as_fd(), before, behind, most)
    }

    /// The next [`read`](Self::read) begins at the value's byte `at`.
    pub fn seek(&mut self, at: usize) {
        self.reading.seek(self.region, at);
    }

    /// From now on the value is its `len` bytes from its byte `from` on, as far as there are any:
    /// [`meta`](Self::meta) has their length, and they are read from the first one on.
    pub fn narrow(&mut self, from: usize, len: usize) {
        self.reading.narrow(self.region, from, len);
    }
}

/// A pin that holds its item no longer. See [`Pinned::loosen`].
pub struct Loosened<'c> {
    region: &'c Region,
    shard: &'c Shard,
    no: PinNo,
    reading: Reading,
}

impl<'c> Loosened<'c> {
    /// The pin as it was, which counts as a read of the item. `None`: it has been evicted, replaced or deleted.
    #[must_use]
    pub fn hold(self) -> Option<Pinned<'c>> {
        let (region, shard, no, reading) = (self.region, self.shard, self.no, self.reading);
        std::mem::forget(self);
        let is_there = shard.lock(region).hold(no);
        is_there.then(|| Pinned {
            region,
            shard,
            reading,
        })
    }
}

impl Drop for Loosened<'_> {
    fn drop(&mut self) {
        let mut state = self.shard.lock(self.region);
        if state.let_go(self.no) {
            state.unpin(self.reading.head);
        }
    }
}

impl io::Read for Pinned<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        Ok(Pinned::read(self, out))
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.reading.unpin(self.region, self.shard);
    }
}

/// A pinned item without its cache, which every call must be given: always the same one.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    head: ChunkRef,
    piece: ChunkRef,
    /// Bytes of `piece` that were read.
    at: usize,
    /// Bytes that are still to be read. The item may be longer by now.
    left: usize,
    /// The value's first byte that is of interest.
    from: usize,
    meta: ItemMeta,
}

impl Reading {
    /// What was known of the item when it was pinned.
    pub fn meta(&self) -> ItemMeta {
        self.meta
    }

    /// See [`Pinned::read`].
    pub fn read(&mut self, region: &Region, out: &mut [u8]) -> usize {
        let mut done = 0;
        while done < out.len() && self.left > 0 {
            let (view, at, len) = self.next_part(region, out.len() - done);
            view.copy_piece(at, &mut out[done..done + len]);
            done += len;
        }
        done
    }

    /// See [`Pinned::write_to`].
    pub fn write_to(
        &mut self,
        region: &Region,
        out: BorrowedFd<'_>,
        before: &[u8],
        behind: &[u8],
        most: usize,
    ) -> io::Result<usize> {
        let mut outgoing = Outgoing::new(&region.arena);
        outgoing.push(before);
        let mut ahead = *self;
        // One place is kept for what stands behind.
        while ahead.left > 0 && self.left - ahead.left < most && outgoing.room() > 1 {
            let room = most - (self.left - ahead.left);
            let (view, at, len) = ahead.next_part(region, room);
            outgoing.push_words(view.piece_byte(at), len);
        }
        if ahead.left == 0 {
            outgoing.push(behind);
        }
        let taken = outgoing.write(out)?;
        self.skip(region, taken.saturating_sub(before.len()));
        Ok(taken)
    }

    /// Goes on by `len` bytes, or to the end.
    fn skip(&mut self, region: &Region, mut len: usize) {
        while len > 0 && self.left > 0 {
            len -= self.next_part(region, len).2;
        }
    }

    /// Goes on by the next bytes, of `most` at most those that lie together: in which piece, from which byte on, how many.
    fn next_part<'r>(&mut self, region: &'r Region, most: usize) -> (View<'r>, usize, usize) {
        let view = View::known(region, self.piece);
        let (at, here) = (self.at, usize::from(view.header.value_len));
        let len = (here - at).min(most).min(self.left);
        self.at += len;
        self.left -= len;
        if self.at == here {
            self.piece = view.next_piece();
            self.at = 0;
        }
        (view, at, len)
    }

    /// See [`Pinned::seek`].
    pub fn seek(&mut self, region: &Region, at: usize) {
        let at = at.min(self.meta.value_len);
        self.piece = self.head;
        self.at = View::known(region, self.head).key_body_len() + self.from + at;
        self.left = self.meta.value_len - at;
        while self.left > 0 {
            let view = View::known(region, self.piece);
            let here = usize::from(view.header.value_len);
            if self.at < here {
                break;
            }
            self.at -= here;
            self.piece = view.next_piece();
        }
    }

    /// See [`Pinned::narrow`].
    pub fn narrow(&mut self, region: &Region, from: usize, len: usize) {
        let from = from.min(self.meta.value_len);
        self.from += from;
        self.meta.value_len = (self.meta.value_len - from).min(len);
        self.seek(region, 0);
    }

    /// Lets go of the item: once, at the end.
    pub fn unpin(&self, region: &Region, shard: &Shard) {
        shard.lock(region).unpin(self.head);
    }
}
