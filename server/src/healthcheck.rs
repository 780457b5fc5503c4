//! Asking a running server whether it answers: what `flagstone healthcheck` does.
//!
//! One connection, one request, one line of reply. `TTL` of a key that nobody stores counts
//! neither as a hit nor as a miss. A server that is full answers `ERROR` and is as healthy as
//! can be: restarting it would help nobody.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::endpoint::Place;

/// Everything together may take so long.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST: &[u8] = b"TTL flagstone:healthcheck\n";

/// Why a server is not healthy.
#[derive(Debug)]
pub enum Unhealthy {
    /// Nobody accepts there.
    Unreachable(Place, io::Error),
    /// It accepts and does not answer.
    Silent(Place, io::Error),
    /// It answers, but not as this server does.
    Stranger(Place),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unhealthy::Unreachable(address, error) => {
                write!(f, "no server can be reached at {address}: {error}")
            }
            Unhealthy::Silent(address, error) => {
                write!(f, "the server at {address} does not answer: {error}")
            }
            Unhealthy::Stranger(address) => {
                write!(f, "what answers at {address} is not a flagstone")
            }
        }
    }
}

impl std::error::Error for Unhealthy {}

/// Asks the server that listens at `place`, and returns where it was asked.
///
/// # Errors
/// When it does not answer within two seconds.
pub fn ask(place: &Place) -> Result<Place, Unhealthy> {
    let place = match place {
        Place::Tcp(address) => Place::Tcp(reachable(*address)),
        Place::Unix(path) => Place::Unix(path.clone()),
    };
    let deadline = Instant::now() + PATIENCE;
    let mut stream =
        connect(&place).map_err(|error| Unhealthy::Unreachable(place.clone(), error))?;
    // Also a port for memcached alone answers: it says that it does not know the request.
    match first_line_begins(&mut stream, deadline) {
        Ok(b'0'..=b'9' | b'-' | b'N' | b'E') => Ok(place),
        Ok(_) => Err(Unhealthy::Stranger(place)),
        Err(error) => Err(Unhealthy::Silent(place, error)),
    }
}

pub(crate) fn connect(place: &Place) -> io::Result<Socket> {
    Ok(match place {
        Place::Tcp(address) => TcpStream::connect_timeout(address, PATIENCE)?.into(),
        Place::Unix(path) => OwnedFd::from(UnixStream::connect(path)?).into(),
    })
}

/// Where a server that listens on every address is found from here.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, address.port())
}

/// The first byte of a whole line of reply.
fn first_line_begins(stream: &mut Socket, deadline: Instant) -> io::Result<u8> {
    let left = || {
        deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
    };
    stream.set_write_timeout(Some(left()?))?;
    // At its limit the server answers and closes without having read.
    let sent = stream.write_all(REQUEST);
    let mut line = [0; 64];
    let mut len = 0;
    while !line[..len].contains(&b'\n') && len < line.len() {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut line[len..]) {
            Ok(0) => {
                sent?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(line[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_found_on_loopback() {
        let table = [
            ("0.0.0.0:7171", "127.0.0.1:7171"),
            ("[::]:7171", "[::1]:7171"),
            ("192.0.2.1:7", "192.0.2.1:7"),
        ];
        for (listen, ask) in table {
            let listen: SocketAddr = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), ask);
        }
    }

    #[test]
    fn nobody_and_strangers_are_not_healthy() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let place = Place::Tcp(listener.local_addr().expect("bound"));
        let stranger = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepts");
            stream.write_all(b"+PONG\r\n").expect("sends");
        });
        assert!(matches!(ask(&place), Err(Unhealthy::Stranger(_))));
        stranger.join().expect("ends");
        assert!(matches!(ask(&place), Err(Unhealthy::Unreachable(..))));
    }
}
