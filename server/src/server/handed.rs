//! Sockets that a service manager has opened, as systemd does for a unit `flagstone.socket`.
//!
//! ```text
//!   LISTEN_PID      whom they are for: this process, or they are none of its business
//!   LISTEN_FDS      how many there are: the descriptors from 3 on
//!   LISTEN_FDNAMES  what the units call them, a:b:c; told in messages
//! ```
//!
//! A socket takes the place of the one that the server would open at the same address or path, of a client's place or of
//! the admin pages. One that no setting names is an error: its clients would wait for nobody.
//!
//! The manager keeps its own descriptor. So while the server restarts, whoever connects waits in the socket's queue and
//! is not refused; and the server leaves in the queue whom it has not accepted when it goes.
//!
//! A descriptor that comes as a number cannot be owned without `unsafe`. Sent over a pair of sockets of our own it comes
//! back as one that is owned, and not inherited by other programs. The variables stay: this program starts no other.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getsockname, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use socket2::{Socket, Type};

use super::error::StartError;
use crate::settings::config::Invalid;
use crate::settings::endpoint::Place;

/// The first of the descriptors.
const FIRST: RawFd = 3;

/// A socket that listens, and where.
pub(super) struct Handed {
    no: RawFd,
    socket: Socket,
    place: Place,
    name: String,
}

/// Why a socket that was handed over is of no use.
#[derive(Debug)]
pub struct Unfit {
    no: RawFd,
    name: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// Nothing of that number is open, or it cannot be had.
    Missing(io::Error),
    NoSocket,
    NoStream,
    NotListening,
    /// Neither an address nor a path.
    Nowhere,
    /// No setting, or another socket before it, is for this place.
    Unnamed(Place),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LISTEN_FDS: descriptor {}", self.no)?;
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        match &self.why {
            Why::Missing(error) => write!(f, " cannot be used: {error}"),
            Why::NoSocket => f.write_str(" is no socket"),
            Why::NoStream => f.write_str(
                " is no socket of streams: ListenStream= makes one, ListenDatagram= does not",
            ),
            Why::NotListening => {
                f.write_str(" is a socket that does not listen: Accept=no hands over one that does")
            }
            Why::Nowhere => f.write_str(" listens neither at an address nor at a path"),
            Why::Unnamed(place) => write!(
                f,
                " listens at {place}, and neither --listen nor --admin has that place, or another descriptor is for it: \
                 name it in a setting, or change the unit's ListenStream="
            ),
        }
    }
}

/// The sockets that are handed over to this process.
pub(super) fn take() -> Result<Vec<Handed>, StartError> {
    let text = |name: &str| {
        let value = std::env::var_os(name)?;
        Some(value.to_string_lossy().into_owned())
    };
    let count = count(
        text("LISTEN_PID").as_deref(),
        text("LISTEN_FDS").as_deref(),
        std::process::id(),
    );
    let count = count.map_err(StartError::Invalid)?;
    let names = text("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat(""));
    let named = (FIRST..).zip(names).take(count);
    let unfit = |no, name: &str, why| {
        let name = name.to_owned();
        StartError::Handed(Unfit { no, name, why })
    };
    // All of them before anything is opened here: it would have the number of one that is missing.
    for (no, name) in named.clone() {
        look_at(no).map_err(|why| unfit(no, name, why))?;
    }
    named
        .map(|(no, name)| take_one(no, name).map_err(|why| unfit(no, name, why)))
        .collect()
}

/// Whether there is a socket of this number.
fn look_at(no: RawFd) -> Result<(), Why> {
    match getsockname::<SockaddrStorage>(no) {
        Err(Errno::ENOTSOCK) => Err(Why::NoSocket),
        Err(error @ Errno::EBADF) => Err(Why::Missing(error.into())),
        _ => Ok(()),
    }
}

/// How many there are.
fn count(pid: Option<&str>, fds: Option<&str>, own: u32) -> Result<usize, Invalid> {
    let (Some(pid), Some(fds)) = (pid, fds) else {
        return Ok(0);
    };
    let no_pid = |_| Invalid::new("LISTEN_PID", pid, "is no number of a process");
    if pid.parse::<u32>().map_err(no_pid)? != own {
        return Ok(0);
    }
    let most = (RawFd::MAX - FIRST) as usize;
    let count = fds.parse().ok().filter(|&count| count <= most);
    count.ok_or_else(|| Invalid::new("LISTEN_FDS", fds, "is no number of descriptors"))
}

fn take_one(no: RawFd, name: &str) -> Result<Handed, Why> {
    let socket = Socket::from(owned(no).map_err(Why::Missing)?);
    let kind = socket.r#type().map_err(Why::Missing)?;
    if kind != Type::STREAM {
        return Err(Why::NoStream);
    }
    if !socket.is_listener().map_err(Why::Missing)? {
        return Err(Why::NotListening);
    }
    let address = socket.local_addr().map_err(Why::Missing)?;
    let place = match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => Place::Tcp(without_scope(address)),
        (None, Some(path)) => Place::Unix(path.to_owned()),
        (None, None) => return Err(Why::Nowhere),
    };
    // It is what it should be, so this number is no other file of ours.
    let _ = nix::unistd::close(no);
    Ok(Handed {
        no,
        socket,
        place,
        name: name.to_owned(),
    })
}

/// As settings have it.
fn without_scope(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() == 0 => SocketAddr::from((*v6.ip(), v6.port())),
        address => address,
    }
}

/// Another descriptor of the same file, which is ours and closed when another program is run.
fn owned(no: RawFd) -> io::Result<OwnedFd> {
    let (from, to) = UnixDatagram::pair()?;
    let rights = [no];
    let message = [ControlMessage::ScmRights(&rights)];
    let parts = [IoSlice::new(b"3")];
    sendmsg::<()>(from.as_raw_fd(), &parts, &message, MsgFlags::empty(), None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    recvmsg(&to, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    let missing = || io::Error::other("it did not come back");
    received.next().ok_or_else(missing)
}

/// The socket for a place, if one was handed over.
pub(super) fn take_for(place: &Place, handed: &mut Vec<Handed>) -> Option<Socket> {
    let no = handed.iter().position(|handed| handed.place == *place)?;
    let Handed { socket, name, .. } = handed.remove(no);
    let place = place.to_string();
    log::info!(
        place = place.as_str(), name = name.as_str();
        "{place}: by the socket that the service manager has opened ({name})"
    );
    Some(socket)
}

/// Who connects to one that nobody has taken would wait for nobody.
pub(super) fn refuse_rest(handed: Vec<Handed>) -> Result<(), StartError> {
    let Some(Handed {
        no, place, name, ..
    }) = handed.into_iter().next()
    else {
        return Ok(());
    };
    Err(StartError::Handed(Unfit {
        no,
        name,
        why: Why::Unnamed(place),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_for_the_process_that_is_named() {
        for (pid, fds, expected) in [
            (None, None, Ok(0)),
            (None, Some("1"), Ok(0)),
            (Some("7"), None, Ok(0)),
            (Some("7"), Some("0"), Ok(0)),
            (Some("7"), Some("2"), Ok(2)),
            (Some("8"), Some("2"), Ok(0)),
            (Some("8"), Some("many"), Ok(0)),
            (Some(""), Some("1"), Err("LISTEN_PID")),
            (Some("7x"), Some("1"), Err("LISTEN_PID")),
            (Some("-7"), Some("1"), Err("LISTEN_PID")),
            (Some("7"), Some(""), Err("LISTEN_FDS")),
            (Some("7"), Some("-1"), Err("LISTEN_FDS")),
            (Some("7"), Some("2147483645"), Err("LISTEN_FDS")),
        ] {
            let counted = count(pid, fds, 7).map_err(|invalid| invalid.setting().to_owned());
            assert_eq!(counted, expected.map_err(str::to_owned), "{pid:?} {fds:?}");
        }
    }
}
