//! Asking a running server whether it answers: what `flagstone healthcheck` does.
//!
//! Where it can be asked without TLS, it is. Where not, its admin pages are asked, which say more
//! than one request could; and where there are none, TLS is spoken, with whatever certificate
//! the server has: the question is whether it answers, not who it is.
//!
//! One connection, one request, one line of reply. `TTL` of a key that nobody stores counts
//! neither as a hit nor as a miss. A server that is full answers `ERROR` and is as healthy as
//! can be: restarting it would help nobody. A place for memcached's binary protocol alone is asked for
//! nothing in that, and any answer of it is as good.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::commands::tls_client::{self, TlsClient};
use crate::proto::proxied::LOCAL_HEADER;
use crate::proto::{Accepts, binary};
use crate::settings::endpoint::{Endpoint, Place};

/// Everything together may take so long.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST: &[u8] = b"TTL flagstone:healthcheck\n";

/// The request to admin pages. HTTP 1.0 ends with the connection.
const PAGE_REQUEST: &[u8] = b"GET /livez HTTP/1.0\r\n\r\n";

/// Where and how to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At a place for clients: as one of a proxy's own if it is behind one, with TLS if it has that, and in memcached's
    /// binary protocol if it is for that alone.
    Place(Endpoint),
    /// At the admin pages.
    Admin(SocketAddr),
}

impl Target {
    /// The place of a server.
    #[must_use]
    pub fn of(endpoint: Endpoint) -> Self {
        // The other protocols' places answer a request of the native one, too.
        let accepts = match endpoint.accepts {
            Accepts::Binary => Accepts::Binary,
            _ => Accepts::Auto,
        };
        Target::Place(Endpoint {
            accepts,
            ..endpoint
        })
    }

    /// Where a server that listens there is found from here.
    pub(crate) fn reachable(&self) -> Self {
        match self {
            Target::Place(endpoint) => Target::Place(Endpoint {
                place: place_reachable(&endpoint.place),
                ..endpoint.clone()
            }),
            Target::Admin(address) => Target::Admin(reachable(*address)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Place(endpoint) => endpoint.fmt(f),
            Target::Admin(address) => write!(f, "http://{address}/livez"),
        }
    }
}

/// Why a server is not healthy.
#[derive(Debug)]
pub enum Unhealthy {
    /// Nobody accepts there.
    Unreachable(Target, io::Error),
    /// It accepts and does not answer.
    Silent(Target, io::Error),
    /// It answers, but not as this server does.
    Stranger(Target),
    /// It says so itself.
    Stuck(Target),
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
            Unhealthy::Stuck(address) => {
                write!(
                    f,
                    "the server at {address} says that a thread of it is stuck"
                )
            }
        }
    }
}

impl std::error::Error for Unhealthy {}

/// Asks the server that listens there, and returns where it was asked.
///
/// # Errors
/// When it does not answer within two seconds.
pub fn ask(target: &Target) -> Result<Target, Unhealthy> {
    let target = target.reachable();
    let deadline = Instant::now() + PATIENCE;
    let unreachable = |error| Unhealthy::Unreachable(target.clone(), error);
    let silent = |error| Unhealthy::Silent(target.clone(), error);
    let line = match &target {
        Target::Place(endpoint) => {
            let request = match endpoint.accepts {
                Accepts::Binary => binary::NOOP,
                _ => REQUEST,
            };
            match (endpoint.tls, &endpoint.place) {
                (true, Place::Tcp(address)) => {
                    let preface = preface(endpoint);
                    let mut stream = tls_client::connect(*address, PATIENCE, None, preface)
                        .map_err(unreachable)?;
                    first_tls_line(&mut stream, request, deadline).map_err(silent)?
                }
                _ => {
                    let mut stream = connect(endpoint).map_err(unreachable)?;
                    first_line(&mut stream, request, deadline).map_err(silent)?
                }
            }
        }
        Target::Admin(address) => {
            let mut stream = connect(&Endpoint::from(*address)).map_err(unreachable)?;
            first_line(&mut stream, PAGE_REQUEST, deadline).map_err(silent)?
        }
    };
    if let Target::Place(Endpoint {
        accepts: Accepts::Binary,
        ..
    }) = target
    {
        return match line[0] {
            binary::ANSWER_MAGIC => Ok(target),
            _ => Err(Unhealthy::Stranger(target)),
        };
    }
    if let Target::Admin(_) = target {
        let status = line.get(..12).unwrap_or_default();
        return match (status.starts_with(b"HTTP/1."), status.get(9..)) {
            (true, Some(b"200")) => Ok(target),
            (true, Some(b"503")) => Err(Unhealthy::Stuck(target)),
            _ => Err(Unhealthy::Stranger(target)),
        };
    }
    // Also a port for memcached alone answers: it says that it does not know the request.
    match line[0] {
        b'0'..=b'9' | b'-' | b'N' | b'E' => Ok(target),
        _ => Err(Unhealthy::Stranger(target)),
    }
}

/// What a client of ours sends first: where a proxy's header is expected, that of a proxy that asks for itself.
pub(crate) fn preface(endpoint: &Endpoint) -> &'static [u8] {
    match endpoint.proxied {
        true => &LOCAL_HEADER,
        false => b"",
    }
}

/// Connects without TLS.
pub(crate) fn connect(endpoint: &Endpoint) -> io::Result<Socket> {
    let mut socket: Socket = match &endpoint.place {
        Place::Tcp(address) => TcpStream::connect_timeout(address, PATIENCE)?.into(),
        Place::Unix(path) => {
            // A full backlog is told at once, not waited for.
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
            socket.connect(&SockAddr::unix(path)?)?;
            socket.set_nonblocking(false)?;
            socket
        }
    };
    // A new socket takes a few bytes. At its limit the server answers and closes without having read.
    let _ = socket.write_all(preface(endpoint));
    Ok(socket)
}

fn place_reachable(place: &Place) -> Place {
    match place {
        Place::Tcp(address) => Place::Tcp(reachable(*address)),
        place => place.clone(),
    }
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

/// The first line of the reply, or as much of it as matters: of an answer that is no text one byte.
fn first_line(stream: &mut Socket, request: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let left = || {
        deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
    };
    stream.set_write_timeout(Some(left()?))?;
    // At its limit the server answers and closes without having read.
    let sent = stream.write_all(request);
    let mut line = [0; 64];
    let mut len = 0;
    while !is_enough(&line[..len]) && len < line.len() {
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
    Ok(line[..len].to_vec())
}

fn is_enough(line: &[u8]) -> bool {
    line.first() == Some(&binary::ANSWER_MAGIC) || line.contains(&b'\n')
}

/// The same over TLS, whose socket has its timeouts.
fn first_tls_line(
    stream: &mut TlsClient,
    request: &[u8],
    deadline: Instant,
) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut line = Vec::new();
    let mut byte = [0];
    while Instant::now() < deadline && line.len() < 64 {
        match stream.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
        if is_enough(&line) {
            return Ok(line);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
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
        let place = Target::of(listener.local_addr().expect("bound").into());
        let stranger = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepts");
            stream.write_all(b"+PONG\r\n").expect("sends");
        });
        assert!(matches!(ask(&place), Err(Unhealthy::Stranger(_))));
        stranger.join().expect("ends");
        assert!(matches!(ask(&place), Err(Unhealthy::Unreachable(..))));
    }
}
