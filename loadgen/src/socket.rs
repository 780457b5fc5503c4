//! Where a server listens, and a socket to it: TCP or Unix.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::tls::{Client, TlsSocket};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Place::Tcp(address)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            SocketAddrUnix::new(path)
                .ok()
                .filter(|_| !path.is_empty())
                .ok_or_else(|| {
                    format!(
                        "{text:?} is no Unix socket: unix:/run/cache.sock works, 107 bytes at most"
                    )
                })?;
            return Ok(Place::Unix(path.into()));
        }
        let mut addresses = text.to_socket_addrs().map_err(|error| {
            format!("{text:?} is no address: 127.0.0.1:7171 works, or unix:/PATH ({error})")
        })?;
        addresses
            .next()
            .map(Place::Tcp)
            .ok_or_else(|| format!("{text:?} has no address"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connected socket, with TLS on it or without.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Shakes hands on it, which blocks as reads do.
    pub fn with_tls(self, client: &Client) -> io::Result<Self> {
        Ok(Socket::Tls(Box::new(client.shake(self)?)))
    }

    /// Whether bytes have been received that its next read may give, and nobody will tell of.
    #[inline]
    pub fn has_more(&self) -> bool {
        matches!(self, Socket::Tls(tls) if tls.has_more)
    }

    /// Whether bytes that it has taken are not sent; writing nothing tries again.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        matches!(self, Socket::Tls(tls) if tls.has_unsent())
    }

    /// Connects; `timeout` also bounds each read until the socket is made nonblocking.
    pub fn connect(place: &Place, timeout: Duration) -> io::Result<Self> {
        match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                Ok(Socket::Tcp(stream))
            }
            Place::Unix(path) => {
                // The standard library's connect would wait for ever where the listener's
                // queue is full; the kernel waits as long as a send may take.
                let flags = SocketFlags::CLOEXEC;
                let socket =
                    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout))?;
                rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
                let stream = UnixStream::from(socket);
                stream.set_read_timeout(Some(timeout))?;
                Ok(Socket::Unix(stream))
            }
        }
    }

    /// From now on, what cannot be done at once is not waited for.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_nonblocking(true),
            Socket::Unix(stream) => stream.set_nonblocking(true),
            Socket::Tls(tls) => tls.socket.set_nonblocking(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
            Socket::Tls(tls) => tls.socket.as_fd(),
        }
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(room),
            Socket::Unix(stream) => stream.read(room),
            Socket::Tls(tls) => tls.read(room),
        }
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in [
            "127.0.0.1:7171",
            "[::1]:80",
            "unix:/run/cache.sock",
            "unix:here",
        ] {
            assert_eq!(text.parse::<Place>().expect(text).to_string(), text);
        }
        for wrong in ["unix:", "nowhere", "127.0.0.1"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
        assert!(
            format!("unix:/{}", "x".repeat(200))
                .parse::<Place>()
                .is_err()
        );
    }
}
