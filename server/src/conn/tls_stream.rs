//! A socket with TLS on it, as a connection sees it: bytes in, bytes out.
//!
//! ```text
//!   poll_write ─► writer ─► session ─► write_tls ─► socket
//!   poll_read  ◄─ reader ◄─ session ◄─ read_tls  ◄─ socket
//! ```
//!
//! The handshake happens by itself while the connection reads. Cipher text that the socket
//! did not take waits in the session, a record at most: as long as it is there, no more is
//! taken, and each turn begins by sending it on.
//!
//! One handshake is answered in a worker's pass. Another that could be has to wait for the next
//! one: [`tls::begin_pass`] says why.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};

use super::plain_socket::PlainSocket;
use crate::auth::tls::{self, HANDSHAKE_TIMEOUT, Handshake, Seat};

/// What a client may send before its handshake is over. A hello has one or two kilobytes; rustls would keep one of
/// 64, which is more than a connection's place in the plan.
const HANDSHAKE_BYTES_MAX: usize = 16 << 10;
/// The longest record of TLS: so much plain text is taken at a time.
const RECORD_BYTES: usize = 16 << 10;

pub struct TlsStream {
    pub socket: PlainSocket,
    session: ServerConnection,
    since: Instant,
    /// We have said goodbye; the socket is closed when that is sent.
    is_closing: bool,
    is_closed: bool,
    /// Its handshake is not over.
    is_new: bool,
    /// What came in meanwhile.
    handshake_bytes: usize,
    /// It could go on with its handshake in the next pass.
    is_postponed: bool,
    seat: Seat,
}

impl TlsStream {
    pub fn new(socket: PlainSocket, config: Arc<ServerConfig>, seat: Seat) -> io::Result<Self> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(RECORD_BYTES));
        Ok(TlsStream {
            socket,
            session,
            since: Instant::now(),
            is_closing: false,
            is_closed: false,
            is_new: true,
            handshake_bytes: 0,
            is_postponed: false,
            seat,
        })
    }

    /// Whether its handshake takes too long.
    pub fn is_late(&self) -> bool {
        self.session.is_handshaking() && self.since.elapsed() > HANDSHAKE_TIMEOUT
    }

    /// Whether another had its handshake in this pass, and it needs a turn in the next. Said once.
    pub fn take_postponed(&mut self) -> bool {
        std::mem::take(&mut self.is_postponed)
    }

    /// Time has passed in which nobody could get on.
    pub fn forgive(&mut self, time: Duration) {
        self.since += time;
    }

    /// Sends what the session has. Pending: the socket does not take all of it.
    pub fn poll_send(&mut self) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Waiting(&mut self.socket);
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.is_closing && !self.is_closed {
            self.is_closed = true;
            return Poll::Ready(self.socket.shut_down());
        }
        Poll::Ready(Ok(()))
    }

    pub fn poll_read(&mut self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Poll::Ready(Err(error)) = self.poll_send() {
                return Poll::Ready(Err(error));
            }
            match self.session.reader().read(room) {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer hung up without a goodbye. A request that was cut is never
                // executed, so this is an end like any other.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            if self.is_new && tls::has_shaken_hands() {
                self.is_postponed = true;
                return Poll::Pending;
            }
            let mut socket = Waiting(&mut self.socket);
            match self.session.read_tls(&mut socket) {
                Ok(read) if self.is_new => {
                    self.handshake_bytes += read;
                    if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
                        self.is_new = false;
                        self.seat.note(Handshake::Failed);
                        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let processed = self.session.process_new_packets();
            if self.is_new {
                self.note_handshake(processed.is_ok());
            }
            if let Err(error) = processed {
                // The peer is told what was wrong, if it still listens.
                let _ = self.poll_send();
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    }

    /// What became of the handshake, after some of it was read.
    fn note_handshake(&mut self, is_well: bool) {
        // It is what is said in return that was signed, and took its time.
        if self.session.wants_write() {
            tls::note_shaken_hands();
        }
        if !is_well || !self.session.is_handshaking() {
            self.is_new = false;
            self.seat.note(match is_well {
                true => Handshake::Done,
                false => Handshake::Failed,
            });
        }
    }

    pub fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send())?;
        let bytes = &bytes[..bytes.len().min(RECORD_BYTES)];
        let n = self.session.writer().write(bytes)?;
        // What the socket does not take now is sent when it is writable again, which wakes us.
        if let Poll::Ready(Err(error)) = self.poll_send() {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(n))
    }

    pub fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        if !self.is_closing {
            self.is_closing = true;
            self.session.send_close_notify();
        }
        self.poll_send()
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        if self.is_new {
            self.seat.note(match self.is_late() {
                true => Handshake::Late,
                false => Handshake::Abandoned,
            });
        }
    }
}

/// The socket as the session wants it: a call that would have to wait says so, and there is a turn when it need not any more.
struct Waiting<'s>(&'s mut PlainSocket);

fn or_would_block(moved: Poll<io::Result<usize>>) -> io::Result<usize> {
    match moved {
        Poll::Ready(moved) => moved,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Waiting<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        or_would_block(self.0.poll_read(bytes))
    }
}

impl Write for Waiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(self.0.poll_write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
