//! Listening sockets and the sockets that come in by them, TCP or Unix.

use std::cell::Cell;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;

use crate::auth::guesses::Origin;
use crate::auth::tls::CertificateStore;
use crate::conn::{PlainSocket, Stream, TlsStream};
use crate::memory::room::{SEGMENT_BYTES, SMALL_BUFFER_BYTES, set_listening, settle};
use crate::proto::Accepts;
use crate::settings::endpoint::{Endpoint, Place};

/// Probes begin after so much silence.
pub const KEEPALIVE: Duration = Duration::from_secs(30);
/// Newcomers that the kernel keeps while we are busy; it lowers this to its own limit.
const BACKLOG: i32 = 4096;

/// A socket that listens.
pub struct Listening {
    /// Which protocols it is for.
    pub accepts: Accepts,
    /// Behind a proxy, whose header comes first.
    pub proxied: bool,
    /// With TLS on it.
    tls: Option<Arc<CertificateStore>>,
    socket: Bound,
    /// Another process has opened it, and keeps it open.
    is_handed: bool,
}

enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed with it.
struct SocketFile {
    path: PathBuf,
    /// Its device and its number there: another file of that name belongs to somebody else.
    id: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        SocketFile {
            path: path.to_owned(),
            id: Self::id(path),
        }
    }

    fn id(path: &Path) -> Option<(u64, u64)> {
        let found = fs::symlink_metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it, and a successor may have made its own.
        if self.id.is_some() && Self::id(&self.path) == self.id {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listening {
    /// Opens the socket. Connections begin with small socket buffers.
    pub fn open(
        endpoint: &Endpoint,
        unix_mode: u32,
        tls: Option<&Arc<CertificateStore>>,
    ) -> io::Result<Self> {
        let socket = match &endpoint.place {
            Place::Tcp(address) => Bound::Tcp(listen_tcp(*address)?),
            Place::Unix(path) => listen_unix(path, unix_mode)?,
        };
        Ok(Listening {
            accepts: endpoint.accepts,
            proxied: endpoint.proxied,
            tls: tls.filter(|_| endpoint.tls).cloned(),
            socket,
            is_handed: false,
        })
    }

    /// Takes over a socket that listens at this place already. Connections that come from now on begin with small socket
    /// buffers; a Unix socket's file is whose who has made it.
    pub fn adopt(
        endpoint: &Endpoint,
        socket: Socket,
        tls: Option<&Arc<CertificateStore>>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = match &endpoint.place {
            Place::Tcp(_) => {
                set_tcp_options(&SockRef::from(&socket))?;
                Bound::Tcp(socket.into())
            }
            Place::Unix(path) => {
                let file = SocketFile {
                    path: path.clone(),
                    id: None,
                };
                Bound::Unix(OwnedFd::from(socket).into(), file)
            }
        };
        Ok(Listening {
            accepts: endpoint.accepts,
            proxied: endpoint.proxied,
            tls: tls.filter(|_| endpoint.tls).cloned(),
            socket,
            is_handed: true,
        })
    }

    /// Where it listens, with the port that the system chose.
    pub fn place(&self) -> io::Result<Place> {
        Ok(match &self.socket {
            Bound::Tcp(listener) => Place::Tcp(listener.local_addr()?),
            Bound::Unix(_, file) => Place::Unix(file.path.clone()),
        })
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // A restarted server gets its port although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Each family has places of its own, whatever the system's default is.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_tcp_options(&SockRef::from(&socket))?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What accepted sockets inherit.
fn set_tcp_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 3)
            .with_retries(3),
    )?;
    // What has arrived before we accept is charged to us then.
    set_listening(&**socket)?;
    socket.set_tcp_mss(SEGMENT_BYTES)
}

fn listen_unix(path: &Path, mode: u32) -> io::Result<Bound> {
    // A file that a killed server left behind is in the way, one that somebody listens on is
    // theirs, and anything that is not a socket is none of our business.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && !somebody_listens(path)?
    {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::new(path);
    // Before anybody can connect: nobody can until it listens.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    let listener = OwnedFd::from(socket).into();
    Ok(Bound::Unix(listener, file))
}

/// Whether a socket's file is somebody's. Asked without waiting: one who is too busy to accept is
/// there all the same.
fn somebody_listens(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let asked = socket.connect(&SockAddr::unix(path)?);
    Ok(!asked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

/// A listening socket that is registered with the acceptor's runtime.
///
/// Registered as if it were a stream. The runtime's own listeners tell that somebody waits
/// only by accepting and registering them with the acceptor, which costs a block and two system
/// calls for nothing: a newcomer is going to a worker. A stream can be asked whether it is
/// readable, and nothing else is ever asked of this one.
pub struct Door {
    listener: tokio::net::TcpStream,
    kind: Kind,
    /// Another process keeps it open when it is closed here.
    is_handed: bool,
    /// Those who wait may have connected before the socket had its options, which they have not inherited then.
    has_early: Cell<bool>,
}

enum Kind {
    Tcp,
    Tls(Arc<CertificateStore>),
    /// Keeps the socket's file for as long as it listens.
    Unix(#[allow(dead_code)] SocketFile),
}

impl Door {
    /// Must be called within the runtime that polls it.
    pub fn new(listening: Listening) -> io::Result<Self> {
        let (listener, kind): (OwnedFd, Kind) = match listening.socket {
            Bound::Tcp(listener) => match listening.tls {
                Some(certificates) => (listener.into(), Kind::Tls(certificates)),
                None => (listener.into(), Kind::Tcp),
            },
            Bound::Unix(listener, file) => (listener.into(), Kind::Unix(file)),
        };
        Ok(Door {
            listener: tokio::net::TcpStream::from_std(listener.into())?,
            kind,
            is_handed: listening.is_handed,
            has_early: Cell::new(listening.is_handed),
        })
    }

    /// Whether who waits there when it is closed waits on, for whoever has it next.
    pub fn is_handed(&self) -> bool {
        self.is_handed
    }

    /// Accepts a newcomer, or waits for one.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Guest>> {
        loop {
            ready!(self.listener.poll_read_ready(cx))?;
            let accepted = self
                .listener
                .try_io(Interest::READABLE, || Ok(self.accept()?));
            // Nobody after all: then it is not ready any more, and asking again waits.
            if !matches!(&accepted, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(accepted);
            }
        }
    }

    /// Accepts a newcomer if one is there.
    pub fn accept(&self) -> Result<Guest, Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accepted = accept_with(&self.listener, flags).inspect_err(|&error| {
            if error == Errno::WOULDBLOCK {
                self.has_early.set(false);
            }
        })?;
        if self.has_early.get() && !matches!(self.kind, Kind::Unix(_)) {
            // It works with others, too.
            let _ = set_tcp_options(&SockRef::from(&accepted));
        }
        if !matches!(self.kind, Kind::Unix(_)) {
            settle(&accepted);
        }
        Ok(match &self.kind {
            Kind::Tcp => Guest::Plain(accepted),
            Kind::Tls(certificates) => Guest::Tls(accepted, Arc::clone(certificates)),
            Kind::Unix(_) => {
                // Such a socket inherits nothing from the listening one. It works with the system's default, too.
                let _ = SockRef::from(&accepted).set_send_buffer_size(SMALL_BUFFER_BYTES);
                Guest::Plain(accepted)
            }
        })
    }
}

/// An accepted socket that no worker knows yet.
pub enum Guest {
    Plain(OwnedFd),
    Tls(OwnedFd, Arc<CertificateStore>),
}

impl Guest {
    /// Takes a plain socket from the worker that it is registered with.
    pub fn unregister(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Plain(socket) => Ok(Guest::Plain(socket.unregister()?)),
            Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Registers it with a worker's epoll, as a slot of its.
    pub fn register(self, epoll: &Arc<OwnedFd>, slot_no: usize) -> io::Result<Stream> {
        Ok(match self {
            Guest::Plain(fd) => Stream::Plain(PlainSocket::register(fd, epoll, slot_no)?),
            Guest::Tls(fd, certificates) => {
                let full = || io::Error::other("every seat for TLS is taken");
                let seat = certificates.seat().ok_or_else(full)?;
                let socket = PlainSocket::register(fd, epoll, slot_no)?;
                let config = certificates.config();
                Stream::Tls(Box::new(TlsStream::new(socket, config, seat)?))
            }
        })
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        // A Unix socket's address is none of the network's.
        let peer = SockRef::from(self).peer_addr();
        let peer = peer.ok().and_then(|peer| peer.as_socket());
        Origin::of(peer.map(|peer| peer.ip()))
    }

    /// Whether it will speak TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Guest::Tls(..))
    }

    /// A socket that does not care which kind it is.
    pub fn into_socket(self) -> Socket {
        match self {
            Guest::Plain(fd) | Guest::Tls(fd, _) => fd.into(),
        }
    }
}

impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Guest::Plain(fd) | Guest::Tls(fd, _) => fd.as_fd(),
        }
    }
}
