//! What each role says next. Everything here appends requests to a connection's outbox;
//! nothing touches a socket.

use super::ledger::{Ledger, Lengths, NEVER_WRITTEN, NEVER_WRITTEN_COUNT, UNTRACKED};
use super::tally::{Pending, Reader, Tally};
use super::{Abuse, Phase, conn::Conn};
use crate::dialect::Dialect;
use crate::value::{KEY_LEN, mix};

/// Connections that share the hot set.
pub(super) const HOT_CONNECTIONS: usize = 8;
/// Lengths of hot values: small ones, as what is read all the time usually is.
const HOT_LEN: usize = 200;
/// A writer waits for replies at so many requests, or bytes, in flight.
const WRITER_REQUESTS_MAX: usize = 32;
const WRITER_BYTES_MAX: usize = 256 << 10;

/// What the roles share.
pub(super) struct Desk<'a> {
    pub(super) abuse: &'a Abuse,
    pub(super) ledger: Ledger,
    pub(super) tally: Tally,
    /// Keys of 1 MiB values: the never-readers ask for them.
    pub(super) large_keys: Vec<u32>,
    dice: u64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(abuse: &'a Abuse) -> Self {
        Self {
            abuse,
            ledger: Ledger::default(),
            tally: Tally::default(),
            large_keys: Vec::new(),
            dice: abuse.seed,
        }
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(1);
        mix(self.dice, self.abuse.seed)
    }

    fn dialect(&self) -> Dialect {
        self.abuse.dialect
    }

    fn put(&mut self, conn: &mut Conn, key: u32, len: usize) {
        let version = self.ledger.issue(key);
        self.dialect()
            .write_put(&mut conn.outbox, key, version, len);
        conn.pending.push_back(Pending::Put { key, version });
    }

    pub(super) fn get(&self, conn: &mut Conn, key: u32, reader: Reader) {
        self.dialect().write_get(&mut conn.outbox, key);
        conn.pending.push_back(Pending::Get {
            key,
            acked: self.ledger.acked(key),
            reader,
        });
    }

    /// Reads a key that cannot be there. Its answer proves that the connection works.
    pub(super) fn ping(&self, conn: &mut Conn, key: u32) {
        let key = NEVER_WRITTEN + key % NEVER_WRITTEN_COUNT;
        self.dialect().write_get(&mut conn.outbox, key);
        conn.pending.push_back(Pending::Never { key });
    }

    /// 75 % new keys, 10 % overwritten, 15 % read back, until enough is in flight.
    pub(super) fn writer(&mut self, conn: &mut Conn) {
        while conn.pending.len() < WRITER_REQUESTS_MAX && conn.unsent() < WRITER_BYTES_MAX {
            let dice = self.roll();
            let own = conn.own_keys.len();
            let (key, new) = match dice % 100 {
                0..75 => (self.ledger.new_key(), true),
                _ if own == 0 => (self.ledger.new_key(), true),
                _ => (conn.own_keys[(dice >> 32) as usize % own], false),
            };
            if dice % 100 >= 85 && !new {
                self.own_get(conn, key);
                continue;
            }
            if new {
                conn.own_keys.push_back(key);
                if own > 255 {
                    conn.own_keys.pop_front();
                }
            }
            let len = self.abuse.lengths.of(key);
            self.ledger.log(key);
            self.tally.written_bytes += (KEY_LEN + len) as u64;
            self.put(conn, key, len);
        }
    }

    /// A read of a key that only this connection writes: whatever it has issued must come,
    /// not merely what is acked, because requests of one connection are executed in order.
    fn own_get(&self, conn: &mut Conn, key: u32) {
        self.dialect().write_get(&mut conn.outbox, key);
        conn.pending.push_back(Pending::Get {
            key,
            acked: self.ledger.issued(key),
            reader: Reader::Any,
        });
    }

    /// First writes its share of the hot set, then reads 16 of it, and writes again what was
    /// missed.
    pub(super) fn hot(&mut self, conn: &mut Conn) {
        if conn.own_keys.is_empty() {
            for _ in 0..self.abuse.hot_keys.div_ceil(HOT_CONNECTIONS) {
                let key = self.ledger.new_key();
                conn.own_keys.push_back(key);
                self.put(conn, key, HOT_LEN);
            }
            return;
        }
        if !conn.pending.is_empty() {
            return;
        }
        for key in std::mem::take(&mut conn.missed) {
            self.put(conn, key, HOT_LEN);
        }
        for _ in 0..16 {
            let key = conn.own_keys[self.roll() as usize % conn.own_keys.len()];
            self.get(conn, key, Reader::Hot);
        }
    }

    /// Writes one of its two keys and reads it back.
    pub(super) fn large(&mut self, conn: &mut Conn) {
        if !conn.pending.is_empty() {
            return;
        }
        if conn.own_keys.is_empty() {
            let keys = [self.ledger.new_key(), self.ledger.new_key()];
            conn.own_keys.extend(keys);
            self.large_keys.extend(keys);
        }
        let key = conn.own_keys[self.roll() as usize % 2];
        self.put(conn, key, self.dialect().value_len_max());
        self.get(conn, key, Reader::Large);
    }

    /// One to four questions about keys written lately.
    pub(super) fn passer_by(&mut self, conn: &mut Conn) {
        for _ in 0..1 + self.roll() % 4 {
            let dice = self.roll();
            match self.ledger.recent(dice) {
                Some(key) => self.get(conn, key, Reader::Any),
                None => self.ping(conn, dice as u32),
            }
        }
    }

    /// 4 KiB of requests whose answers nobody will read: mostly for 1 MiB values, else small
    /// PUTs.
    pub(super) fn silent(&mut self, conn: &mut Conn) {
        for _ in 0..64 {
            let dice = self.roll();
            match (dice % 4, self.large_keys.len()) {
                (0, _) | (_, 0) => {
                    let key = UNTRACKED + (dice >> 40) as u32 % 1000;
                    self.dialect()
                        .write_put(&mut conn.outbox, key, 1, Lengths::Fixed(32).of(key));
                }
                (_, count) => {
                    let key = self.large_keys[(dice >> 32) as usize % count];
                    self.dialect().write_get(&mut conn.outbox, key);
                }
            }
        }
    }

    /// Two thirds of a PUT of the longest value.
    pub(super) fn stalled(&mut self, conn: &mut Conn, nth: usize) {
        let len = self.dialect().value_len_max();
        self.dialect().write_half_put(
            &mut conn.outbox,
            NEVER_WRITTEN + nth as u32 % NEVER_WRITTEN_COUNT,
            len,
            len / 3 * 2,
        );
    }

    /// What a visitor does before it goes.
    pub(super) fn visitor(&mut self, conn: &mut Conn, nth: usize) {
        match nth % 4 {
            0 => {
                let key = self.ledger.new_key();
                self.put(conn, key, 100);
                self.own_get(conn, key);
            }
            // A pipeline whose answers meet a closed door.
            1 => {
                for _ in 0..16 {
                    let dice = self.roll();
                    let key = self.ledger.recent(dice).unwrap_or(NEVER_WRITTEN);
                    self.dialect().write_get(&mut conn.outbox, key);
                }
            }
            2 => self.dialect().write_half_put(
                &mut conn.outbox,
                NEVER_WRITTEN + nth as u32 % NEVER_WRITTEN_COUNT,
                5000,
                3000,
            ),
            _ => {}
        }
    }

    /// Whether writers go on.
    pub(super) fn writes_in(&self, phase: Phase) -> bool {
        phase < Phase::Calm
    }
}
