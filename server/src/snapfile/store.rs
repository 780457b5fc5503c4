//! Records of blocks into a cache: the half of restoring that knows items.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};

use flagstone_engine::{
    Cache, CasWish, Condition, Deadline, ItemMeta, Key, Reservation, StoreError, Tick,
};
use smallvec::SmallVec;

use super::format::{BLOCK_HEAD_BYTES, Entries, Entry, Part, Record};
use super::restore::{Restored, Target};
use crate::clock::Clock;

/// The buckets of so many items are asked for before the first of them is stored.
const BATCH: usize = 16;

/// A block, and how many bytes of it are records, if it is what it should be.
pub struct Arrived {
    pub block: Box<[u8]>,
    pub records_len: Option<usize>,
}

/// A value whose parts are arriving.
struct Long<'c> {
    reservation: Reservation<'c>,
    record: Record,
}

/// What one thread stores.
pub struct Restoring<'c> {
    target: Target<'c>,
    cache: &'c Cache,
    clock: &'c Clock,
    done: Restored,
    long: Option<Long<'c>>,
    long_key: Vec<u8>,
}

impl<'c> Restoring<'c> {
    pub fn new(target: &Target<'c>) -> Self {
        Restoring {
            target: *target,
            cache: target.cache,
            clock: target.clock,
            done: Restored::default(),
            long: None,
            long_key: Vec::new(),
        }
    }

    /// Stores what arrives until nothing more does; to be told to stop it gives the blocks back as they are.
    pub fn run(
        mut self,
        arrives: &Receiver<Arrived>,
        emptied: &SyncSender<Box<[u8]>>,
        stop: &AtomicBool,
    ) -> Restored {
        while let Ok(Arrived { block, records_len }) = arrives.recv() {
            match records_len {
                _ if stop.load(Relaxed) => {}
                None => self.lose(),
                Some(len) => self.take(&block[BLOCK_HEAD_BYTES..][..len]),
            }
            if emptied.send(block).is_err() {
                break;
            }
        }
        self.done
    }

    /// A block is lost, and with it the value that went on there.
    fn lose(&mut self) {
        self.done.damaged += 1;
        self.long = None;
    }

    fn take(&mut self, records: &[u8]) {
        let now = self.clock.now();
        (self.target.look)(now);
        let mut entries = Entries::of(records);
        let mut is_first = true;
        loop {
            let mut batch: SmallVec<[_; BATCH]> = SmallVec::new();
            for entry in entries.by_ref().take(BATCH) {
                let key = match entry {
                    Entry::Whole(record, key, _) => self.cache.key_in(record.database, key).ok(),
                    Entry::First(..) | Entry::Further(..) => None,
                };
                if let Some(key) = key {
                    self.cache.prefetch(key);
                }
                batch.push((entry, key));
            }
            if batch.is_empty() {
                break;
            }
            for (entry, key) in batch {
                // A value goes on at the beginning of the next block, or not at all.
                if !(is_first && matches!(entry, Entry::Further(..))) {
                    self.long = None;
                }
                is_first = false;
                match entry {
                    Entry::Whole(record, _, value) => self.whole(&record, key, value, now),
                    Entry::First(record, key, part) => self.first(record, key, part, now),
                    Entry::Further(part, bytes) => self.further(part, bytes, now),
                }
            }
        }
        if entries.is_broken {
            self.lose();
        }
    }

    /// What is known of an item; `None`: it has expired.
    fn meta(&mut self, record: &Record, now: Tick) -> Option<ItemMeta> {
        let mut meta = ItemMeta::default();
        if let Some(unix_millis) = record.deadline_unix_millis {
            let at = self.clock.tick_of_unix_millis(unix_millis);
            if at <= now {
                self.done.expired += 1;
                return None;
            }
            meta.deadline = Deadline::exact(at);
        }
        meta.client_flags = record.client_flags;
        meta.cas = record.cas;
        meta.stale = record.stale;
        meta.won = record.won;
        Some(meta)
    }

    fn whole(&mut self, record: &Record, key: Option<Key<'_>>, value: &[u8], now: Tick) {
        let Some(meta) = self.meta(record, now) else {
            return;
        };
        let Some(key) = key else {
            self.done.refused += 1;
            return;
        };
        let stored = self.cache.import(key, value, &meta, record.standing, now);
        self.count(stored, key.bytes().len() + value.len());
    }

    fn first(&mut self, record: Record, key: &[u8], part: &[u8], now: Tick) {
        let Some(meta) = self.meta(&record, now) else {
            return;
        };
        let Ok(known) = self.cache.key_in(record.database, key) else {
            self.done.refused += 1;
            return;
        };
        let wish = meta.cas.map_or(CasWish::IfKept, CasWish::Be);
        let len = record.value_len as usize;
        let reserved = self
            .cache
            .reserve_as(known, len, meta.attributes(), wish, now);
        let Ok(reservation) = reserved else {
            self.done.refused += 1;
            return;
        };
        self.long_key.clear();
        self.long_key.extend_from_slice(key);
        self.go_on(
            Long {
                reservation,
                record,
            },
            part,
            now,
        );
    }

    fn further(&mut self, part: Part, bytes: &[u8], now: Tick) {
        let Some(long) = self.long.take() else {
            return;
        };
        if long.reservation.written() == part.offset as usize {
            self.go_on(long, bytes, now);
        }
    }

    /// Writes a part; behind the last one the item is complete.
    fn go_on(&mut self, mut long: Long<'c>, bytes: &[u8], now: Tick) {
        if long.reservation.write(bytes, now).is_err() {
            self.done.refused += 1;
            return;
        }
        let len = long.record.value_len as usize;
        if long.reservation.written() < len {
            self.long = Some(long);
            return;
        }
        let stored = self.commit(long, now);
        self.count(stored, self.long_key.len() + len);
    }

    fn commit(&mut self, long: Long<'c>, now: Tick) -> Result<(), StoreError> {
        let record = long.record;
        long.reservation.commit(Condition::Always, now)?;
        let Some(meta) = self.meta(&record, now) else {
            return Ok(());
        };
        match self.cache.key_in(record.database, &self.long_key) {
            Ok(key) => self.cache.settle(key, &meta, record.standing, now),
            Err(_) => Ok(()),
        }
    }

    fn count(&mut self, stored: Result<(), StoreError>, bytes: usize) {
        match stored {
            Ok(()) => {
                self.done.items += 1;
                self.done.bytes += bytes as u64;
            }
            Err(_) => self.done.refused += 1,
        }
    }
}
