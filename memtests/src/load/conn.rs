//! One connection of the load: bytes out until the socket is full, bytes in until it is
//! empty, replies in order.

use super::ledger::Ledger;
use super::tally::{Fault, Pending, Reader, Tally};
use super::{Phase, Role};
use crate::dialect::{Dialect, Reply};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A question that waits its turn for longer, behind those who never read, may find a value gone that was there when
/// it was asked: in the smaller limits the writers replace the whole cache in less time.
const PROMPT: Duration = Duration::from_millis(100);

/// The connection has ended, or must be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended;

/// A connection and what it waits for. Ten thousand of them are mostly empty vectors.
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    pub(super) role: Role,
    /// Whether the connection stands.
    pub(super) stands: bool,
    pub(super) outbox: Vec<u8>,
    sent: usize,
    inbox: Vec<u8>,
    scanned: usize,
    pub(super) pending: VecDeque<Pending>,
    /// Keys that only this connection writes.
    pub(super) own_keys: VecDeque<u32>,
    /// Hot keys that were missed and are to be written again.
    pub(super) missed: Vec<u32>,
    /// When its last PUT was acknowledged.
    stored_at: Option<Instant>,
}

impl Conn {
    pub(super) fn new(stream: TcpStream, role: Role) -> Self {
        Self {
            stream,
            role,
            stands: false,
            outbox: Vec::new(),
            sent: 0,
            inbox: Vec::new(),
            scanned: 0,
            pending: VecDeque::new(),
            own_keys: VecDeque::new(),
            missed: Vec::new(),
            stored_at: None,
        }
    }

    /// Bytes not yet taken by the kernel.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Sends what the kernel takes. Returns whether it took everything.
    pub(super) fn flush(&mut self) -> Result<bool, Ended> {
        while self.sent < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent..]) {
                Ok(0) => return Err(Ended),
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                // Writable is announced before a connection stands only if something else has
                // happened to it.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Ended),
            }
        }
        self.sent = 0;
        if self.outbox.capacity() > 64 << 10 {
            self.outbox = Vec::new();
        } else {
            self.outbox.clear();
        }
        Ok(true)
    }

    /// Receives what is there, `bytes_max` at most, and judges every whole reply.
    pub(super) fn receive(
        &mut self,
        dialect: Dialect,
        scratch: &mut [u8],
        bytes_max: usize,
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<(), Ended> {
        let mut left = bytes_max;
        let mut ended = Ok(());
        while left > 0 {
            let room = scratch.len().min(left);
            match self.stream.read(&mut scratch[..room]) {
                Ok(0) => ended = Err(Ended),
                Ok(n) => {
                    left -= n;
                    self.inbox.extend_from_slice(&scratch[..n]);
                    self.judge(dialect, ledger, tally);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => ended = Err(Ended),
            }
            break;
        }
        ended
    }

    fn judge(&mut self, dialect: Dialect, ledger: &mut Ledger, tally: &mut Tally) {
        let mut at = 0;
        while let Some(&(mut pending)) = self.pending.front() {
            let Some((reply, used)) =
                dialect.read_reply(pending.asked(), &self.inbox[at..], &mut self.scanned)
            else {
                break;
            };
            match (&mut pending, reply) {
                (Pending::Put { .. }, _) => self.stored_at = Some(Instant::now()),
                (Pending::Get { reader, .. }, Reply::Missing)
                    if *reader == Reader::Large
                        && self.stored_at.is_some_and(|at| at.elapsed() > PROMPT) =>
                {
                    *reader = Reader::LargeLate;
                }
                _ => {}
            }
            if tally.judge(ledger, self.role, pending, reply)
                && let Pending::Get { key, .. } = pending
            {
                self.missed.push(key);
            }
            self.pending.pop_front();
            at += used;
        }
        if self.pending.is_empty() && at < self.inbox.len() {
            tally.fault(Fault::Unasked { role: self.role });
            at = self.inbox.len();
        }
        if at == self.inbox.len() && self.inbox.capacity() > 4 << 10 {
            self.inbox = Vec::new();
        } else {
            self.inbox.drain(..at);
        }
    }

    /// Whether the server may hang up on this connection without being wrong.
    pub(super) fn may_be_hung_up(&self, phase: Phase) -> bool {
        match self.role {
            // They never read, or never finish a request: a server may lose its patience.
            Role::Silent | Role::Stalled => true,
            // With a question pending, only after having been turned away: its PUT is
            // answered then, its GET is not.
            Role::Visitor => self.pending.len() < 2,
            _ => phase == Phase::Over,
        }
    }
}
