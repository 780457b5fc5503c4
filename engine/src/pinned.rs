//! A large value on its way out: held still, read a window at a time.

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

impl std::io::Read for Pinned<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
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
            let view = View::known(region, self.piece);
            let here = usize::from(view.header.value_len);
            let len = (here - self.at).min(out.len() - done).min(self.left);
            view.copy_piece(self.at, &mut out[done..done + len]);
            self.at += len;
            self.left -= len;
            done += len;
            if self.at == here {
                self.piece = view.next_piece();
                self.at = 0;
            }
        }
        done
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
