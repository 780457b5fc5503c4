//! Sockets and the open-file limit: the few places where the suite talks to the operating
//! system about connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// Raises the soft limit of open files to the hard one and returns it. A hard limit of 20,000
/// that cannot be raised is common inside containers; callers ask for fewer connections then,
/// and say so.
pub fn raise_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A refusal leaves the soft limit: what it is then is returned, and the caller is content
    // with fewer.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Begins a connection without waiting for it; it becomes writable when it stands.
///
/// To a loopback address, `nth` picks a source address in 127.0.1.0/24: one source has but
/// 28,000 ports, and a closed connection keeps its port for a minute.
pub fn connect_nonblocking(
    addr: SocketAddr,
    nth: usize,
    receive_bytes: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?; // before connecting: the window is agreed upon then
    }
    if addr.is_ipv4() && addr.ip().is_loopback() {
        let source = Ipv4Addr::new(127, 0, 1, 1 + (nth % 250) as u8);
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(source, 0)).into())?;
    }
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// Closes at once with RST, as a crashed client's machine does. A refused option means a FIN
/// instead, which is as good.
pub fn reset(stream: TcpStream) {
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// A port of the loopback address that nobody listens on. Another process might take it
/// before its user does; the suite runs one server at a time, and a server that cannot bind
/// says so.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
