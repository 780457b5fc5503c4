//! A connection's socket: TCP, Unix, or TCP with TLS on it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::Poll;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;

use super::plain_socket::PlainSocket;
use super::tls_stream::TlsStream;
use crate::memory::plan::INBOX_BYTES;
use crate::memory::room::unread_and_room;

/// A socket that is registered with its worker.
pub enum Stream {
    Plain(PlainSocket),
    /// In a box: it is many times larger than the others, and so would every slot be.
    Tls(Box<TlsStream>),
}

impl Stream {
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Whether it is in a handshake that takes too long.
    pub fn is_late(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.is_late())
    }
}

impl Stream {
    /// The socket below TLS, of which a session that has begun would miss what is read.
    pub fn socket(&mut self) -> &mut PlainSocket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &mut stream.socket,
        }
    }

    /// The socket, if what is written to it is what the peer reads.
    #[inline]
    pub fn plain(&mut self) -> Option<&mut PlainSocket> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(_) => None,
        }
    }

    /// Remembers an event of the socket. True: somebody waits for it.
    #[inline]
    pub fn note(&mut self, event: EventFlags) -> bool {
        match self {
            Stream::Plain(socket) => socket.note(event),
            Stream::Tls(stream) => stream.socket.note(event),
        }
    }

    /// Reads what is there into `room`. Pending: nothing, and there is a turn when there is.
    #[inline]
    pub fn poll_read(&mut self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => socket.poll_read(room),
            Stream::Tls(stream) => stream.poll_read(room),
        }
    }

    /// Whether it needs another turn, of which no event will tell. Said once.
    #[inline]
    pub fn take_postponed(&mut self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.take_postponed(),
        }
    }

    /// Time has passed in which nobody could get on.
    pub fn forgive(&mut self, millis: u32) {
        if let Stream::Tls(stream) = self {
            stream.forgive(Duration::from_millis(millis.into()));
        }
    }

    /// Whether bytes can be looked at and left where they are.
    #[inline]
    pub fn can_peek(&self) -> bool {
        !self.is_tls()
    }

    /// Reads like [`poll_read`](Self::poll_read), also if no event has told of what is there: it was looked at before and
    /// left. With `peek` it is left again; [`consume`](Self::consume) takes it.
    pub fn poll_read_left(&mut self, room: &mut [u8], peek: bool) -> Poll<io::Result<usize>> {
        let flags = if peek {
            RecvFlags::PEEK
        } else {
            RecvFlags::empty()
        };
        match self {
            Stream::Plain(socket) => socket.poll_read_anew(room, flags),
            Stream::Tls(stream) => stream.poll_read(room),
        }
    }

    /// Takes bytes that were looked at: as many as `bytes` has, which are these very bytes afterwards.
    pub fn consume(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let (n, _) = retry_on_intr(|| recv(&*self, &mut bytes[done..], RecvFlags::empty()))?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += n;
        }
        Ok(())
    }

    /// Whether the kernel may have no room for a whole request of the longest.
    pub fn is_narrow(&self) -> bool {
        let room = SockRef::from(self).recv_buffer_size();
        // It counts its own bookkeeping, too.
        room.is_ok_and(|bytes| bytes < 4 * INBOX_BYTES)
    }

    /// Whether what is unread takes so much of the receive buffer that the peer may be told to send no more. The kernel counts
    /// its own bookkeeping, which is many times a short rest of a request, and closes the window before the buffer is full.
    pub fn is_clogged(&self) -> bool {
        // A kernel that does not tell may well be out of room.
        unread_and_room(self).is_none_or(|[unread, room]| unread > room / 2)
    }

    /// Whether bytes of the peer have arrived that are not read yet.
    pub fn has_unread(&self) -> bool {
        is_polled(self, PollFlags::IN)
    }

    /// Whether the socket would take something now.
    pub fn is_writable(&self) -> bool {
        is_polled(self, PollFlags::OUT)
    }

    /// Whether the peer has said that it will send no more, whatever of it is still unread.
    pub fn has_ended(&self) -> bool {
        is_polled(self, PollFlags::RDHUP)
    }

    /// Whether a short reply is sure to be taken: the socket has room for a third of its buffer, or the session for a
    /// record. If not, there is a turn when it is so.
    pub fn poll_roomy(&mut self) -> Poll<io::Result<()>> {
        // If it is not, the question makes the kernel tell when it changes.
        let is_roomy = !self.is_tls() && self.is_writable();
        match self {
            Stream::Plain(socket) => socket.poll_asked(is_roomy).map(Ok),
            Stream::Tls(stream) => stream.poll_send(),
        }
    }

    /// Ready: there may be something to read now. Pending: there is a turn when there is.
    #[inline]
    pub fn poll_readable(&mut self) -> Poll<()> {
        match self {
            Stream::Plain(socket) => socket.poll_readable(),
            // Only a read tells what the session holds already.
            Stream::Tls(_) => Poll::Ready(()),
        }
    }

    /// Sends as much of `bytes` as is taken. Pending: nothing, and there is a turn when something is.
    #[inline]
    pub fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => socket.poll_write(bytes),
            Stream::Tls(stream) => stream.poll_write(bytes),
        }
    }

    /// Says that nothing more will be sent.
    pub fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => Poll::Ready(socket.shut_down()),
            Stream::Tls(stream) => stream.poll_shutdown(),
        }
    }
}

/// What the kernel says of a socket now.
fn is_polled(stream: &Stream, what: PollFlags) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(stream, what)];
    poll(&mut polled, Some(&now)).is_ok_and(|_| polled[0].revents().intersects(what))
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Plain(socket) => socket.as_fd(),
            Stream::Tls(stream) => stream.socket.as_fd(),
        }
    }
}
