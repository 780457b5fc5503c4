//! Servers without a cache: they recognise a whole request and answer with a fixed reply.
//!
//! What such a server costs, every server costs: sockets, readiness, finding the end of a
//! request. It is the floor that a cache is measured against. The replies are right in their
//! protocol, so that the same load generator runs against them (with `--no-verify`: every key
//! has the same value).
//!
//! [`Canned`] knows the protocols, [`Session`] what a connection has not finished, [`epoll`]
//! and [`tokio_rt`] bring bytes to them.

pub mod epoll;
pub mod tokio_rt;

use std::io;
use std::net::{SocketAddr, TcpListener};

use flagstone_bench::wire::Protocol;
use memchr::memchr;
use socket2::{Domain, Socket, Type};

/// One read takes at most so much, as in most servers.
pub const READ_BYTES: usize = 64 << 10;

/// The replies, ready to be copied.
#[derive(Clone, Debug)]
pub struct Canned {
    protocol: Protocol,
    value: Vec<u8>,
    stored: &'static [u8],
    deleted: &'static [u8],
}

impl Canned {
    /// Replies of `protocol`, reads with `value_bytes` of value.
    #[must_use]
    pub fn new(protocol: Protocol, value_bytes: usize) -> Self {
        let body = vec![b'v'; value_bytes];
        let around = |head: String, tail: &str| {
            let mut value = head.into_bytes();
            value.extend_from_slice(&body);
            value.extend_from_slice(tail.as_bytes());
            value
        };
        let (value, stored, deleted): (_, &'static [u8], &'static [u8]) = match protocol {
            Protocol::Native => (around(String::new(), "\n"), b"OK\n", b"OK\n"),
            Protocol::Memcache => (
                around(format!("VALUE k 0 {value_bytes}\r\n"), "\r\nEND\r\n"),
                b"STORED\r\n",
                b"DELETED\r\n",
            ),
            Protocol::Meta => (
                around(format!("VA {value_bytes}\r\n"), "\r\n"),
                b"HD\r\n",
                b"HD\r\n",
            ),
            Protocol::Resp => (
                around(format!("${value_bytes}\r\n"), "\r\n"),
                b"+OK\r\n",
                b":1\r\n",
            ),
        };
        Canned {
            protocol,
            value,
            stored,
            deleted,
        }
    }

    /// Appends a reply for each whole request at the start of `bytes`; how many bytes those
    /// were.
    #[inline]
    pub fn answer(&self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some((asked, len)) = self.request(&bytes[used..]) {
            used += len;
            out.extend_from_slice(match asked {
                b'G' | b'g' => &self.value,
                b'D' | b'd' => self.deleted,
                _ => self.stored,
            });
        }
        used
    }

    /// The letter that tells what the request at the start of `bytes` asks, and its length.
    #[inline]
    fn request(&self, bytes: &[u8]) -> Option<(u8, usize)> {
        let end = memchr(b'\n', bytes)? + 1;
        let line = &bytes[..end];
        match self.protocol {
            Protocol::Native => Some((bytes[0], end)),
            Protocol::Memcache | Protocol::Meta => {
                // "set k 0 0 n", "mg k v", "ms k n"
                let asked = *line.get(usize::from(self.protocol == Protocol::Meta))?;
                if asked != b's' {
                    return Some((asked, end));
                }
                let digits = line.trim_ascii_end().rsplit(|&byte| byte == b' ').next()?;
                let len = end + number(digits) + 2;
                (bytes.len() >= len).then_some((asked, len))
            }
            Protocol::Resp => {
                let mut at = end;
                let mut asked = 0;
                for word in 0..number(line.get(1..)?) {
                    let rest = bytes.get(at..)?;
                    let start = at + memchr(b'\n', rest)? + 1;
                    at = start + number(rest.get(1..start - at)?) + 2;
                    if word == 0 {
                        asked = *bytes.get(start)?;
                    }
                }
                (bytes.len() >= at).then_some((asked, at))
            }
        }
    }
}

/// The digits at the start of `bytes`. Whoever sends something else gets nonsense back.
fn number(bytes: &[u8]) -> usize {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0usize, |number, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(usize::from(digit - b'0'))
    })
}

/// What a connection has received and not answered, answered and not sent.
#[derive(Debug, Default)]
pub struct Session {
    held: Vec<u8>,
    /// Replies that the socket would not take.
    pub unsent: Vec<u8>,
}

impl Session {
    /// Takes received bytes and appends the replies to them.
    #[inline]
    pub fn feed(&mut self, canned: &Canned, received: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let used = canned.answer(received, out);
            self.held.extend_from_slice(&received[used..]);
        } else {
            self.held.extend_from_slice(received);
            let used = canned.answer(&self.held, out);
            self.held.drain(..used);
        }
    }
}

/// A listener for each worker on one port; the kernel shares connections out among them.
///
/// # Errors
/// When the port cannot be had.
pub fn listeners(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if count > 1 {
            socket.set_reuse_port(true)?;
        }
        let address = match listeners.first() {
            Some(first) => first.local_addr()?,
            None => address,
        };
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        listeners.push(socket.into());
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagstone_bench::keys::KeyNames;
    use flagstone_bench::settings::Sizes;
    use flagstone_bench::value::TypeCase;
    use flagstone_bench::wire::{Asked, Found, PROTOCOLS, Reply};

    /// What the generator writes, cut at any place, is answered by what the generator reads.
    #[test]
    fn requests_cut_anywhere_get_right_replies() {
        let names = KeyNames::new(Sizes { min: 20, max: 20 });
        let case = TypeCase::new(100);
        for (name, protocol) in PROTOCOLS {
            let mut requests = Vec::new();
            protocol.write_read(&mut requests, names, 1);
            protocol.write_write(&mut requests, names, &case, (2, 1, 40), 0);
            protocol.write_delete(&mut requests, names, 3);
            protocol.write_read(&mut requests, names, 4);
            let canned = Canned::new(protocol, 5);
            for cut in 0..requests.len() {
                let (mut session, mut out) = (Session::default(), Vec::new());
                session.feed(&canned, &requests[..cut], &mut out);
                session.feed(&canned, &requests[cut..], &mut out);
                let mut used = 0;
                for (asked, expected) in [
                    (Asked::Read, Reply::Value(b"vvvvv")),
                    (Asked::Write, Reply::Done),
                    (Asked::Delete, Reply::Done),
                    (Asked::Read, Reply::Value(b"vvvvv")),
                ] {
                    match protocol.read_reply(asked, &out[used..], &mut 0) {
                        Found::Whole(reply, len) if reply == expected => used += len,
                        other => panic!("{name}, cut at {cut}: {other:?}"),
                    }
                }
                assert_eq!(used, out.len(), "{name}, cut at {cut}");
            }
        }
    }
}
