//! A connection's socket: TCP, Unix, or TCP with TLS on it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, libc, sockopt_impl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

use super::tls_stream::TlsStream;
use crate::auth::guesses::Origin;
use crate::memory::plan::INBOX_BYTES;

sockopt_impl!(
    /// What the unread bytes take with all that belongs to them, and the buffer that they lie in.
    MemInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 2]
);

/// A socket that is registered with the worker's runtime.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// In a box: it is many times larger than the others, and so would every slot be.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        let peer = match self {
            Stream::Tcp(stream) => stream.peer_addr(),
            Stream::Tls(stream) => stream.socket.peer_addr(),
            Stream::Unix(_) => return Origin::LOCAL,
        };
        peer.map_or(Origin::LOCAL, |peer| Origin::of(peer.ip()))
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Whether it is in a handshake that takes too long.
    pub fn is_late(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.is_late())
    }
}

impl Stream {
    /// Reads what is there into `room`. Pending: nothing, and `cx` is told when there is.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => poll_read(stream, cx, room),
            Stream::Unix(stream) => poll_read(stream, cx, room),
            Stream::Tls(stream) => stream.poll_read(cx, room),
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
    pub fn poll_read_left(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<usize>> {
        let flags = if peek {
            RecvFlags::PEEK
        } else {
            RecvFlags::empty()
        };
        match self {
            Stream::Tcp(stream) => poll_read_left(stream, cx, room, flags),
            Stream::Unix(stream) => poll_read_left(stream, cx, room, flags),
            Stream::Tls(stream) => stream.poll_read(cx, room),
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
        getsockopt(self, MemInfo).map_or(true, |[unread, buffer]| unread > buffer / 2)
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
    /// record. If not, `cx` is told when it is so.
    pub fn poll_roomy(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_roomy = match self {
            Stream::Tls(stream) => return stream.poll_send(cx),
            _ => is_polled(self, PollFlags::OUT),
        };
        // If it is not, the question has made the kernel tell when it changes. If it is, tokio may not have heard of it yet,
        // and would not try.
        match self {
            Stream::Tcp(stream) if is_roomy => stream.poll_write_ready(cx),
            Stream::Unix(stream) if is_roomy => stream.poll_write_ready(cx),
            Stream::Tcp(stream) => poll_anew(stream, Interest::WRITABLE, cx),
            Stream::Unix(stream) => poll_anew(stream, Interest::WRITABLE, cx),
            Stream::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Has `cx` told when there is something to read. Ready: there may be something now.
    #[inline]
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            // Only a read tells what the session holds already.
            Stream::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Sends as much of `bytes` as is taken. Pending: nothing, and `cx` is told when something is.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => poll_write(stream, cx, bytes),
            Stream::Unix(stream) => poll_write(stream, cx, bytes),
            Stream::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Says that nothing more will be sent.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}

/// A plain socket, as tokio knows it.
trait Plain: AsFd {
    fn try_io(&self, interest: Interest, call: impl FnOnce() -> io::Result<()>) -> io::Result<()>;
    fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

macro_rules! plain {
    ($kind:ty) => {
        impl Plain for $kind {
            #[inline(always)]
            fn try_io(
                &self,
                interest: Interest,
                call: impl FnOnce() -> io::Result<()>,
            ) -> io::Result<()> {
                self.try_io(interest, call)
            }

            #[inline(always)]
            fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                if interest.is_readable() {
                    self.poll_read_ready(cx)
                } else {
                    self.poll_write_ready(cx)
                }
            }
        }
    };
}

plain!(TcpStream);
plain!(UnixStream);

/// Makes a system call that moves up to `most` bytes as soon as tokio takes the socket to be ready, and has `cx`
/// told when it is otherwise.
///
/// Fewer than `most` mean that nothing more will move now; tokio hears of it as "would block", so that the
/// next call waits for an event without trying in vain, as its own streams do. Those cost nearly twice the
/// instructions: they look at the readiness more often, keep a budget, and call by way of wrappers for threads that
/// could be cancelled.
#[inline(always)]
fn poll_move(
    stream: &impl Plain,
    interest: Interest,
    cx: &mut Context<'_>,
    most: usize,
    mut call: impl FnMut() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        let mut moved = None;
        let tried = stream.try_io(interest, || {
            let n = retry_on_intr(&mut call)?;
            moved = Some(n);
            if 0 < n && n < most {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        if let Some(n) = moved {
            return Poll::Ready(Ok(n));
        }
        match tried {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Poll::Ready(Err(error));
            }
            _ => ready!(stream.poll_ready(interest, cx))?,
        }
    }
}

#[inline(always)]
fn poll_read(
    stream: &impl Plain,
    cx: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    poll_move(stream, Interest::READABLE, cx, room.len(), || {
        recv(stream, &mut *room, RecvFlags::empty()).map(|(n, _)| n)
    })
}

fn poll_read_left(
    stream: &impl Plain,
    cx: &mut Context<'_>,
    room: &mut [u8],
    flags: RecvFlags,
) -> Poll<io::Result<usize>> {
    match retry_on_intr(|| recv(stream, &mut *room, flags)) {
        // More would have been read if it were there: only an event brings it.
        Ok((n, _)) => {
            if n < room.len() {
                forget(stream, Interest::READABLE);
            }
            Poll::Ready(Ok(n))
        }
        Err(Errno::WOULDBLOCK) => {
            ready!(poll_anew(stream, Interest::READABLE, cx))?;
            // An event has come meanwhile.
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

/// Makes tokio take the socket not to be ready until an event says that it is.
fn forget(stream: &impl Plain, interest: Interest) {
    let _ = stream.try_io(interest, || Err(io::ErrorKind::WouldBlock.into()));
}

fn poll_anew(
    stream: &impl Plain,
    interest: Interest,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    forget(stream, interest);
    stream.poll_ready(interest, cx)
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

#[inline(always)]
fn poll_write(stream: &impl Plain, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    // A peer that has gone is an error like any other, and no signal.
    poll_move(stream, Interest::WRITABLE, cx, bytes.len(), || {
        send(stream, bytes, SendFlags::NOSIGNAL)
    })
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.socket.as_fd(),
        }
    }
}
