//! One connection: what it has asked and not been told, and bytes on their way.
//!
//! A connection owns no buffer as long as its requests leave in one write and its replies
//! arrive whole; both happen in buffers of the thread's. What does not fit is kept here, in
//! buffers that grow once and stay.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use crate::failure::{Failure, shown};
use crate::keys::KeyNames;
use crate::many::Many;
use crate::settings::Settings;
use crate::socket::Socket;
use crate::tls::Client;
use crate::wire::{Asked, Found, Protocol, Reply};

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// When it was sent, or should have been, on the run's clock.
    pub since_ns: u64,
    pub key: u32,
    pub asked: Asked,
}

/// A connection and its bookkeeping.
#[derive(Debug)]
pub(crate) struct Conn {
    pub stream: Socket,
    pub pending: VecDeque<Pending>,
    /// Requests of its timetable that it has sent (fixed rate only).
    pub issued: u64,
    /// What no line end was found in; see [`Protocol::read_reply`].
    pub scanned: usize,
    /// Reads of several keys.
    pub many: Many,
    unsent: Vec<u8>,
    held: Vec<u8>,
    held_len: usize,
}

/// The first question on a connection: nobody stores this key (numbers end one below it).
const NOBODYS_KEY: u32 = u32::MAX;
/// A server that always answers with a value may have a long one.
const FIRST_REPLY_BYTES_MAX: usize = 2 << 20;

impl Conn {
    /// Connects, logs in if that is wanted, and asks one question, so that the server has
    /// really taken the connection: a kernel accepts on behalf of servers that will hang up.
    pub fn open(
        settings: &Settings,
        tls: Option<&Client>,
        names: KeyNames<'_>,
        (number, of): (usize, usize),
        pending_max: usize,
    ) -> Result<Self, Failure> {
        let Settings {
            address,
            protocol,
            timeout,
            verify,
            ..
        } = settings;
        let connected = Socket::connect(address, *timeout);
        let stream = connected.map_err(|error| Failure::Connect {
            address: address.clone(),
            before: number - 1,
            error,
        })?;
        let stream = match tls {
            None => stream,
            Some(client) => stream.with_tls(client).map_err(|error| Failure::Turned {
                number,
                of,
                why: match error.kind() {
                    ErrorKind::WouldBlock => "no TLS handshake within --timeout".to_owned(),
                    _ => format!("no TLS with the server: {error}"),
                },
            })?,
        };
        let mut first = First {
            stream,
            timeout: *timeout,
            bytes: vec![0; 4096],
        };
        let failure = |error| match error {
            FirstError::Turned(why) => Failure::Turned { number, of, why },
            FirstError::Foreign(reply) => Failure::Foreign {
                address: address.clone(),
                protocol: *protocol,
                reply,
            },
        };
        let mut question = Vec::new();
        if let Some(login) = &settings.login {
            let spoken = protocol.write_login(&mut question, login);
            let is_done = |reply: Reply<'_>| reply == Reply::Done;
            first
                .ask(spoken, Asked::Write, &question, is_done)
                .map_err(|error| match error {
                    FirstError::Turned(why) => FirstError::Turned(format!("login: {why}")),
                    foreign => foreign,
                })
                .map_err(failure)?;
            question.clear();
        }
        protocol.write_read(&mut question, names, NOBODYS_KEY);
        // Not a value for the key that nobody stores: in the native protocol every line is a
        // value, and another protocol's words are lines.
        let is_right = |reply: Reply<'_>| reply == Reply::Missing || !*verify;
        first
            .ask(*protocol, Asked::Read, &question, is_right)
            .map_err(failure)?;
        let stream = first.stream;
        stream
            .set_nonblocking()
            .map_err(|error| Failure::System("a socket's settings", error))?;
        Ok(Conn {
            stream,
            pending: VecDeque::with_capacity(pending_max),
            issued: 0,
            scanned: 0,
            many: Many::default(),
            unsent: Vec::new(),
            held: Vec::new(),
            held_len: 0,
        })
    }

    /// Sends `bytes` behind what is unsent. True if something remains unsent.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.send_rest();
        }
        let sent = write_some(&mut self.stream, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(sent < bytes.len() || self.stream.has_unsent())
    }

    /// Sends what is unsent. True if something remains.
    pub fn send_rest(&mut self) -> io::Result<bool> {
        let sent = write_some(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        Ok(!self.unsent.is_empty() || self.stream.has_unsent())
    }

    /// Reads once and hands over everything that is not consumed yet; `consume` says how much
    /// of it is. How many bytes were read: 0 is the end, `None` that there was nothing.
    #[inline]
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        mut consume: impl FnMut(&mut Self, &[u8]) -> Result<usize, Failure>,
    ) -> Result<Option<usize>, Failure> {
        if self.held_len == 0 {
            let Some(count) = self.read_into(buffer)? else {
                return Ok(None);
            };
            let used = consume(self, &buffer[..count])?;
            let rest = &buffer[used..count];
            if !rest.is_empty() {
                if self.held.len() < rest.len() {
                    self.held.resize(rest.len() * 2, 0);
                }
                self.held[..rest.len()].copy_from_slice(rest);
                self.held_len = rest.len();
            }
            return Ok(Some(count));
        }
        // The rest of a reply: it lands behind its beginning.
        let mut held = std::mem::take(&mut self.held);
        if held.len() - self.held_len < buffer.len().min(held.len()) {
            held.resize(held.len() * 2, 0);
        }
        let received = self.read_into(&mut held[self.held_len..]);
        if let Ok(Some(count)) = received {
            let len = self.held_len + count;
            let used = consume(self, &held[..len])?;
            held.copy_within(used..len, 0);
            self.held_len = len - used;
        }
        self.held = held;
        received
    }

    #[inline]
    fn read_into(&mut self, room: &mut [u8]) -> Result<Option<usize>, Failure> {
        match self.stream.read(room) {
            Ok(count) => Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
                _ => Err(self.closed(Some(error))),
            },
        }
    }

    /// The sentence for a connection that the server has ended.
    pub fn closed(&self, error: Option<io::Error>) -> Failure {
        Failure::Closed {
            owed: self.pending.len(),
            error,
        }
    }
}

/// A new connection, while it waits for each reply.
struct First {
    stream: Socket,
    timeout: Duration,
    bytes: Vec<u8>,
}

enum FirstError {
    /// It was hung up, answered with a refusal, or not at all.
    Turned(String),
    /// The reply is no reply of the protocol.
    Foreign(String),
}

impl First {
    /// Asks, and reads a reply, behind which nothing may follow.
    fn ask(
        &mut self,
        protocol: Protocol,
        asked: Asked,
        question: &[u8],
        is_right: impl Fn(Reply<'_>) -> bool,
    ) -> Result<(), FirstError> {
        let turned = |error: io::Error| FirstError::Turned(error.to_string());
        self.stream.write_all(question).map_err(turned)?;
        let (bytes, mut len, mut scanned) = (&mut self.bytes, 0, 0);
        loop {
            if len == bytes.len() {
                bytes.resize(2 * len, 0);
            }
            let count = match self.stream.read(&mut bytes[len..]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(FirstError::Turned(format!(
                        "no reply in {} s (--timeout)",
                        self.timeout.as_secs_f64()
                    )));
                }
                Err(error) => return Err(turned(error)),
            };
            len += count;
            match protocol.read_reply(asked, &bytes[..len], &mut scanned) {
                Found::Whole(Reply::Refused(words), _) => {
                    let why = format!("the server says {}", shown(words));
                    return Err(FirstError::Turned(why));
                }
                Found::Whole(reply, used) if used == len && is_right(reply) => return Ok(()),
                Found::Part if count > 0 && len < FIRST_REPLY_BYTES_MAX => {}
                Found::Part if len == 0 => {
                    let why = "the server hung up without a word".to_owned();
                    return Err(FirstError::Turned(why));
                }
                _ => return Err(FirstError::Foreign(shown(&bytes[..len]))),
            }
        }
    }
}

/// Writes as much as goes; a full socket takes nothing, which is no error.
#[inline]
fn write_some(stream: &mut Socket, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Ok(count) => Ok(count),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(0),
            _ => Err(error),
        },
    }
}
