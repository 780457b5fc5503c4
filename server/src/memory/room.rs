//! How much the kernel may hold for each socket, and how many sockets may have a lot.
//!
//! ```text
//!   accepted ─► small buffers ── much was read, or a write had to wait ─► large ones, if one is left
//!                     ▲                                                        │
//!                     └───────── quiet for a while, or others want them ◄──────┘
//! ```
//!
//! On cgroup v2 the kernel charges what lies in socket buffers to the container, and fills a receive buffer before
//! anybody here has looked. So what a connection may cost follows from its buffers alone, and their sum has to
//! be planned: an idle connection, or one with a small request now and then, never needs more than the small ones.
//! How many may be large at a time is a number of the plan, which the governor raises when there is demand
//! and the cache has made room.
//!
//! The window of a TCP connection follows the receive buffer that the listening socket had at the handshake, and stays at
//! that when the buffer grows. `TCP_WINDOW_CLAMP` is what opens it.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use nix::sys::socket::{setsockopt, sockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};

/// Asked for each buffer of a connection that has not shown that it needs more.
pub const SMALL_BUFFER_BYTES: usize = 4 << 10;
/// The longest segment that is told to a peer, which is what Ethernet carries. A sender does not split a segment to fit a
/// window: over the loopback device, whose segments are 64 KiB, a small window would be filled only by a timer of 200 ms, and
/// opened again only when it is empty.
pub const SEGMENT_BYTES: u32 = 1460;
/// A read that brought so much shows it: half of what a small window lets through at once.
pub const MUCH_READ_BYTES: usize = 2 << 10;

sockopt_impl!(
    /// The largest window that is told to the peer.
    WindowClamp,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_WINDOW_CLAMP,
    u32
);

/// The places for connections with large buffers, over all workers.
#[derive(Debug)]
pub struct SocketRoom {
    large_bytes: usize,
    /// So many may be large: written by the governor.
    allowed: AtomicUsize,
    /// So many are.
    taken: AtomicUsize,
    /// One was wanted and there was none, since [`SocketRoom::take_wanted`].
    wanted: AtomicBool,
}

impl SocketRoom {
    /// No place yet. Large buffers are asked for with `large_bytes` each.
    pub fn new(large_bytes: usize) -> Self {
        SocketRoom {
            large_bytes,
            allowed: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
        }
    }

    /// Gives a connection large buffers, if there is a place. Three system calls, once in a while.
    #[inline(never)]
    pub fn raise(&self, socket: &impl AsFd) -> bool {
        let take = |taken: usize| (taken < self.allowed.load(Relaxed)).then_some(taken + 1);
        // Relaxed: nothing is published by a place; it is a count.
        if self.taken.fetch_update(Relaxed, Relaxed, take).is_err() {
            self.wanted.store(true, Relaxed);
            return false;
        }
        set(socket, self.large_bytes);
        true
    }

    /// Takes the large buffers away from a connection that has them. What is in them stays until it is read or sent.
    pub fn lower(&self, socket: &impl AsFd) {
        set(socket, SMALL_BUFFER_BYTES);
        self.leave();
    }

    /// A connection with large buffers has gone.
    pub fn leave(&self) {
        self.taken.fetch_sub(1, Relaxed);
    }

    /// Connections with large buffers.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Sets how many there may be.
    pub fn allow(&self, places: usize) {
        self.allowed.store(places, Relaxed);
    }

    /// Whether there was no place for somebody since this was asked.
    pub fn take_wanted(&self) -> bool {
        self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed)
    }

    /// Whether there is no place left.
    pub fn is_full(&self) -> bool {
        self.taken() >= self.allowed.load(Relaxed)
    }
}

/// Both buffers of a socket, and its window. It works with what it had, too: an error is none.
fn set(socket: &impl AsFd, bytes: usize) {
    let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
    let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    // Half of what the kernel counts, which is twice what was asked for. A Unix socket has no window.
    let _ = setsockopt(
        socket,
        WindowClamp,
        &u32::try_from(bytes).unwrap_or(u32::MAX),
    );
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{Ipv4Addr, TcpStream};

    use nix::sys::socket::getsockopt;
    use socket2::{Domain, Socket, Type};

    use super::*;

    /// A connection whose listening socket had small buffers: the peer, and our end.
    fn pair(sender_is_narrow: bool) -> (TcpStream, TcpStream) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener
            .set_recv_buffer_size(SMALL_BUFFER_BYTES)
            .expect("set");
        listener
            .set_send_buffer_size(SMALL_BUFFER_BYTES)
            .expect("set");
        listener.set_tcp_mss(SEGMENT_BYTES).expect("set");
        let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).expect("bound");
        listener.listen(1).expect("listens");
        let address = listener.local_addr().expect("has one");
        let peer = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // What waits on the peer's side is not what is measured.
        if sender_is_narrow {
            peer.set_send_buffer_size(1).expect("set");
        }
        peer.connect(&address).expect("connects");
        let (ours, _) = listener.accept().expect("accepted");
        (peer.into(), ours.into())
    }

    /// Bytes that a peer can send and nobody reads.
    fn sent_unread(peer: &mut TcpStream) -> usize {
        peer.set_nonblocking(true).expect("set");
        let mut sent = 0;
        let mut waits = 0;
        while waits < 20 {
            match peer.write(&[7; 1024]) {
                Ok(n) => (sent, waits) = (sent + n, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    waits += 1;
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
        sent
    }

    #[test]
    fn a_raise_opens_the_window_and_places_run_out() {
        let (mut peer, ours) = pair(true);
        let small = sent_unread(&mut peer);
        assert!(small <= 24 << 10, "{small} bytes went into a small buffer");
        drop((peer, ours));

        let room = SocketRoom::new(64 << 10);
        room.allow(1);
        let (mut peer, ours) = pair(true);
        let (_, other) = pair(true);
        assert!(room.raise(&ours));
        assert!(!room.raise(&other), "there is one place");
        assert!(room.take_wanted() && !room.take_wanted() && room.is_full());
        // The window grows as bytes come; a reader that reads lets it.
        let mut sink = vec![0; 256 << 10];
        for _ in 0..50 {
            let _ = peer.write(&sink[..16 << 10]);
            ours.set_nonblocking(true).expect("set");
            let _ = std::io::Read::read(&mut &ours, &mut sink);
        }
        let large = sent_unread(&mut peer);
        assert!(
            large > 32 << 10,
            "only {large} bytes went into a large buffer"
        );
        room.lower(&ours);
        assert!(!room.is_full() && room.taken() == 0);
        assert_eq!(
            getsockopt(&ours, sockopt::SndBuf).expect("readable"),
            2 * SMALL_BUFFER_BYTES
        );
    }

    /// A sender whose segments are longer than the small window sends them by a timer of at least 200 ms each.
    #[test]
    fn a_connection_that_was_large_goes_on_at_once() {
        // More than the window that was told and cannot be taken back.
        const BYTES: usize = 192 << 10;
        let room = SocketRoom::new(64 << 10);
        room.allow(1);
        let (peer, ours) = pair(false);
        assert!(room.raise(&ours));
        let send = |bytes: usize| {
            std::thread::scope(|scope| {
                let peer = &peer;
                scope.spawn(move || (&*peer).write_all(&vec![7; bytes]).expect("taken"));
                let began = std::time::Instant::now();
                std::io::Read::read_exact(&mut &ours, &mut vec![0; bytes]).expect("come");
                began.elapsed()
            })
        };
        send(1 << 20);
        room.lower(&ours);
        let took = send(BYTES);
        let timed = BYTES / (SMALL_BUFFER_BYTES + 1) * 200;
        assert!(
            took.as_millis() < timed as u128 / 4,
            "{took:?}: by timer it is {timed} ms"
        );
    }
}
