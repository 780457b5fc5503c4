//! A cache's items into blocks, in memory that is there from the beginning: one block, and the key of a long item.
//!
//! It is the sink of an export, so records are written under a shard's lock; blocks leave when no lock is held.

use std::io;

use flagstone_engine::{Exported, KEY_BYTES_MAX, Pinned, Room, Sink};
use static_assertions::const_assert;

use super::format::{
    self, BLOCK_BYTES, BLOCK_HEAD_BYTES, Counts, FURTHER_BYTES, Head, Kind, Part, Record,
};
use crate::clock::Clock;
use crate::memory::costs::SNAPSHOT_BUFFER_BYTES;

/// Longer ones (key and value) are read in pieces, without a lock.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// A value does not begin in a block's last bytes.
const BEGINNING_BYTES: usize = 4 << 10;
// All its memory.
const_assert!(BLOCK_BYTES + KEY_BYTES_MAX <= SNAPSHOT_BUFFER_BYTES);

/// Where blocks go.
pub trait Output {
    /// Takes a block.
    fn put(&mut self, block: &[u8]) -> io::Result<()>;
}

/// The block that is being filled.
pub struct Blocks<'c> {
    clock: &'c Clock,
    head: Head,
    block: Box<[u8]>,
    /// Bytes of it that are used.
    at: usize,
    /// Items that begin in it.
    items: u32,
    number: u64,
    counts: Counts,
    /// The item that is to be read in pieces.
    long: Record,
    long_key: Vec<u8>,
}

impl<'c> Blocks<'c> {
    pub fn new(clock: &'c Clock) -> Self {
        Blocks {
            clock,
            head: Head::default(),
            block: vec![0; BLOCK_BYTES].into(),
            at: BLOCK_HEAD_BYTES,
            items: 0,
            number: 0,
            counts: Counts::default(),
            long: Record::default(),
            long_key: Vec::with_capacity(KEY_BYTES_MAX),
        }
    }

    /// Begins a file.
    pub fn begin(&mut self, head: Head) {
        self.head = head;
        self.at = BLOCK_HEAD_BYTES;
        self.items = 0;
        self.number = 0;
        self.counts = Counts::default();
    }

    /// What was written so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// An item is left out.
    pub fn skip(&mut self) {
        self.counts.skipped += 1;
    }

    /// Hands the block over, unless it is empty.
    pub fn pass_on(&mut self, out: &mut dyn Output) -> io::Result<()> {
        if self.at == BLOCK_HEAD_BYTES {
            return Ok(());
        }
        let used = self.at - BLOCK_HEAD_BYTES;
        format::seal(
            &mut self.block,
            &self.head,
            self.number,
            Kind::Items,
            self.items,
            used,
        );
        self.number += 1;
        self.at = BLOCK_HEAD_BYTES;
        self.items = 0;
        out.put(&self.block)
    }

    /// Hands over what is left, and the end block.
    pub fn end(&mut self, out: &mut dyn Output) -> io::Result<()> {
        self.pass_on(out)?;
        let used = self
            .counts
            .encode(&self.head, &mut self.block[BLOCK_HEAD_BYTES..]);
        format::seal(&mut self.block, &self.head, self.number, Kind::End, 0, used);
        out.put(&self.block)
    }

    /// Reads the long item that was told of last, and hands over the blocks that it fills.
    pub fn long(&mut self, pinned: &mut Pinned<'_>, out: &mut dyn Output) -> io::Result<()> {
        let front = self.long.len(true) + self.long_key.len();
        if BLOCK_BYTES - self.at < front + BEGINNING_BYTES {
            self.pass_on(out)?;
        }
        let value_len = self.long.value_len;
        let len = (BLOCK_BYTES - self.at - front).min(value_len as usize);
        let at = self.at;
        self.at += self
            .long
            .encode(&self.long_key, Some(len as u32), &mut self.block[at..]);
        self.items += 1;
        self.fill(pinned, len);
        let mut offset = len as u32;
        while offset < value_len {
            self.pass_on(out)?;
            let room = BLOCK_BYTES - self.at - FURTHER_BYTES;
            let len = room.min((value_len - offset) as usize);
            let part = Part {
                offset,
                len: len as u32,
            };
            part.encode(value_len, &mut self.block[self.at..]);
            self.at += FURTHER_BYTES;
            self.fill(pinned, len);
            offset += len as u32;
        }
        self.counts.items += 1;
        self.counts.bytes += (self.long_key.len() + value_len as usize) as u64;
        Ok(())
    }

    fn fill(&mut self, pinned: &mut Pinned<'_>, len: usize) {
        let read = pinned.read(&mut self.block[self.at..self.at + len]);
        assert_eq!(read, len, "a pinned value is as long as it was");
        self.at += len;
    }
}

impl Sink for Blocks<'_> {
    fn room(&mut self, item: &Exported<'_>) -> Room<'_> {
        let meta = &item.meta;
        let Ok(value_len) = u32::try_from(meta.value_len) else {
            // No item is so long; what is sent here would be cut.
            return Room::Pin;
        };
        let deadline = meta.deadline.tick();
        let record = Record {
            database: item.database,
            value_len,
            deadline_unix_millis: deadline.map(|at| self.clock.unix_millis_of(at)),
            client_flags: meta.client_flags,
            cas: meta.cas,
            stale: meta.stale,
            won: meta.won,
            standing: item.standing,
        };
        if item.key.len() + meta.value_len > COPIED_BYTES_MAX {
            self.long = record;
            self.long_key.clear();
            self.long_key.extend_from_slice(item.key);
            return Room::Pin;
        }
        let front = record.len(false) + item.key.len();
        if BLOCK_BYTES - self.at < front + meta.value_len {
            return Room::Later;
        }
        let (from, at) = (self.at, self.at + front);
        self.at = at + meta.value_len;
        self.items += 1;
        self.counts.items += 1;
        self.counts.bytes += (item.key.len() + meta.value_len) as u64;
        record.encode(item.key, None, &mut self.block[from..at]);
        Room::Here(&mut self.block[at..self.at])
    }
}
