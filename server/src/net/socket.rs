//! Listening sockets and the sockets that come in by them, TCP or Unix.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::conn::{Stream, TlsStream};
use crate::endpoint::{Endpoint, Place};
use crate::proto::Tongue;
use crate::tls::Keeper;

/// Probes begin after so much silence.
pub const KEEPALIVE: Duration = Duration::from_secs(30);
/// Newcomers that the kernel keeps while we are busy; it lowers this to its own limit.
const BACKLOG: i32 = 4096;

/// A socket that listens.
pub struct Listening {
    /// Which protocols it is for.
    pub tongue: Tongue,
    /// With TLS on it.
    tls: Option<Arc<Keeper>>,
    socket: Bound,
}

enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed with it.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Listening {
    /// Opens the socket, with so much for each of a connection's two socket buffers. The kernel
    /// doubles that, for its own bookkeeping.
    pub fn open(
        endpoint: &Endpoint,
        socket_buffer_bytes: usize,
        unix_mode: u32,
        tls: Option<&Arc<Keeper>>,
    ) -> io::Result<Self> {
        let socket = match &endpoint.place {
            Place::Tcp(address) => Bound::Tcp(listen_tcp(*address, socket_buffer_bytes)?),
            Place::Unix(path) => listen_unix(path, unix_mode)?,
        };
        Ok(Listening {
            tongue: endpoint.tongue,
            tls: tls.filter(|_| endpoint.tls).cloned(),
            socket,
        })
    }

    /// Where it listens, with the port that the system chose.
    pub fn place(&self) -> io::Result<Place> {
        Ok(match &self.socket {
            Bound::Tcp(listener) => Place::Tcp(listener.local_addr()?),
            Bound::Unix(_, file) => Place::Unix(file.0.clone()),
        })
    }
}

fn listen_tcp(address: SocketAddr, socket_buffer_bytes: usize) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // A restarted server gets its port although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 3)
            .with_retries(3),
    )?;
    // Before the handshakes, because the window's scale follows from it.
    socket.set_recv_buffer_size(socket_buffer_bytes)?;
    socket.set_send_buffer_size(socket_buffer_bytes)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn listen_unix(path: &Path, mode: u32) -> io::Result<Bound> {
    // A file that a killed server left behind is in the way, one that somebody listens on is
    // theirs, and anything that is not a socket is none of our business.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Before anybody can connect: nobody can until it listens.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(Bound::Unix(OwnedFd::from(socket).into(), file))
}

/// A listening socket that is registered with the acceptor's runtime.
pub enum Door {
    Tcp(tokio::net::TcpListener),
    Tls(tokio::net::TcpListener, Arc<Keeper>),
    Unix(tokio::net::UnixListener, #[allow(dead_code)] Keep),
}

/// Keeps a socket's file for as long as it listens.
pub struct Keep(#[allow(dead_code)] SocketFile);

impl Door {
    /// Must be called within the runtime that polls it.
    pub fn new(listening: Listening) -> io::Result<Self> {
        Ok(match listening.socket {
            Bound::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                match listening.tls {
                    Some(keeper) => Door::Tls(listener, keeper),
                    None => Door::Tcp(listener),
                }
            }
            Bound::Unix(listener, file) => {
                Door::Unix(tokio::net::UnixListener::from_std(listener)?, Keep(file))
            }
        })
    }

    /// Accepts a newcomer. An accepted socket comes registered with this runtime, which is
    /// undone here: two short system calls a connection, for not needing unsafe to wait for a
    /// descriptor.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Guest>> {
        match self {
            Door::Tcp(listener) => listener.poll_accept(cx).map(|accepted| {
                let (stream, _) = accepted?;
                Ok(Guest::Tcp(stream.into_std()?))
            }),
            Door::Tls(listener, keeper) => listener.poll_accept(cx).map(|accepted| {
                let (stream, _) = accepted?;
                Ok(Guest::Tls(stream.into_std()?, Arc::clone(keeper)))
            }),
            Door::Unix(listener, _) => listener.poll_accept(cx).map(|accepted| {
                let (stream, _) = accepted?;
                Ok(Guest::Unix(stream.into_std()?))
            }),
        }
    }

    /// The socket that an accepted descriptor is.
    pub fn guest(&self, descriptor: OwnedFd) -> Guest {
        match self {
            Door::Tcp(_) => Guest::Tcp(descriptor.into()),
            Door::Tls(_, keeper) => Guest::Tls(descriptor.into(), Arc::clone(keeper)),
            Door::Unix(..) => Guest::Unix(descriptor.into()),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Door::Tcp(listener) | Door::Tls(listener, _) => listener.as_fd(),
            Door::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// An accepted socket that no runtime knows yet.
pub enum Guest {
    Tcp(TcpStream),
    Tls(TcpStream, Arc<Keeper>),
    Unix(UnixStream),
}

impl Guest {
    /// Registers it with the runtime that this is called in.
    pub fn register(self) -> io::Result<Stream> {
        Ok(match self {
            Guest::Tcp(stream) => Stream::Tcp(tokio::net::TcpStream::from_std(stream)?),
            Guest::Tls(stream, keeper) => {
                let full = || io::Error::other("every seat for TLS is taken");
                let seat = keeper.seat().ok_or_else(full)?;
                let stream = tokio::net::TcpStream::from_std(stream)?;
                Stream::Tls(Box::new(TlsStream::new(stream, keeper.config(), seat)?))
            }
            Guest::Unix(stream) => Stream::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }

    /// Whether it will speak TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Guest::Tls(..))
    }

    /// A socket that does not care which kind it is.
    pub fn into_socket(self) -> Socket {
        match self {
            Guest::Tcp(stream) | Guest::Tls(stream, _) => stream.into(),
            Guest::Unix(stream) => OwnedFd::from(stream).into(),
        }
    }
}
