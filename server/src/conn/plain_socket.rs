//! A plain socket, TCP or Unix, and what its worker's epoll has told of it.
//!
//! Events come at edges: one tells of a change, and it is remembered here until a call that moves less than it might shows that it
//! is used up. A connection has a turn for an event only if it wanted it, that is, if a call has ended "pending" since.
//!
//! ```text
//!   epoll: IN ──► is_readable ──► recv ── moved less than asked ──► not readable, wants to read ──► (event, turn)
//! ```
//!
//! Whether it is writable is asked for only once a write was not taken whole. A Unix socket tells of that each time its peer reads;
//! asked for always, a reply that is read while the worker sleeps would wake it once more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Poll;

use flagstone_engine::Drawn;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// What is asked for of every socket.
const ALWAYS: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
/// What makes a read worth trying, and what a write.
const READABLE: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);
const WRITABLE: EventFlags = EventFlags::OUT
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);
/// After these no more events come: what they tell of stays.
const LAST: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);

/// A socket that is registered with a worker's epoll.
pub struct PlainSocket {
    fd: OwnedFd,
    /// The worker's, in which it is known by the number of its slot.
    epoll: Arc<OwnedFd>,
    slot_no: u32,
    is_readable: bool,
    is_writable: bool,
    /// The peer has ended, or the socket has: whatever was read last, the end is still to be read.
    is_last: bool,
    wants_read: bool,
    wants_write: bool,
    /// Whether epoll tells when it is writable.
    tells_writable: bool,
}

impl PlainSocket {
    /// Registers a socket that does not block.
    pub fn register(fd: OwnedFd, epoll: &Arc<OwnedFd>, slot_no: usize) -> io::Result<Self> {
        epoll::add(epoll, &fd, EventData::new_u64(slot_no as u64), ALWAYS)?;
        Ok(PlainSocket {
            fd,
            epoll: Arc::clone(epoll),
            slot_no: slot_no as u32,
            // The kernel tells at once if something is there.
            is_readable: false,
            is_writable: true,
            is_last: false,
            wants_read: true,
            wants_write: false,
            tells_writable: false,
        })
    }

    /// The worker knows it no longer.
    pub fn unregister(self) -> io::Result<OwnedFd> {
        epoll::delete(&self.epoll, &self.fd)?;
        Ok(self.fd)
    }

    /// Remembers an event. True: somebody waits for it.
    #[inline]
    pub fn note(&mut self, event: EventFlags) -> bool {
        self.is_last |= event.intersects(LAST);
        let mut is_wanted = false;
        if event.intersects(READABLE) {
            self.is_readable = true;
            is_wanted = std::mem::take(&mut self.wants_read);
        }
        if event.intersects(WRITABLE) {
            if event == EventFlags::OUT && !self.wants_write {
                self.tell_writable(false);
            }
            self.is_writable = true;
            is_wanted |= std::mem::take(&mut self.wants_write);
        }
        is_wanted
    }

    /// Asks epoll to tell when it is writable, or not to.
    #[cold]
    fn tell_writable(&mut self, tells: bool) {
        if tells == self.tells_writable {
            return;
        }
        let asked = match tells {
            true => ALWAYS | EventFlags::OUT,
            false => ALWAYS,
        };
        // It tells at once if it is so now.
        let data = EventData::new_u64(self.slot_no.into());
        match epoll::modify(&self.epoll, &self.fd, data, asked) {
            Ok(()) => self.tells_writable = tells,
            // It is not known there: then nobody waits for its events any more.
            Err(error) => debug_assert!(false, "a registered socket can be asked for: {error}"),
        }
    }

    /// Reads what is there into `room`. Pending: nothing, and an event will be wanted.
    #[inline(always)]
    pub fn poll_read(&mut self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.is_readable {
            self.wants_read = true;
            return Poll::Pending;
        }
        self.poll_read_anew(room, RecvFlags::empty())
    }

    /// The same whether an event has told of something or not.
    #[inline(always)]
    pub fn poll_read_anew(&mut self, room: &mut [u8], flags: RecvFlags) -> Poll<io::Result<usize>> {
        match retry_on_intr(|| recv(&self.fd, &mut *room, flags)) {
            Ok((n, _)) => {
                // More would have been read if it were there: only an event brings it. After the last event, trying does.
                if n < room.len() {
                    self.is_readable = self.is_last;
                }
                Poll::Ready(Ok(n))
            }
            Err(Errno::WOULDBLOCK) => {
                self.is_readable = false;
                self.wants_read = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// As [`poll_read`](Self::poll_read), by one call of `read`'s that has room of its own.
    pub fn poll_read_by(
        &mut self,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<Drawn>,
    ) -> Poll<io::Result<Drawn>> {
        if self.poll_readable().is_pending() {
            return Poll::Pending;
        }
        loop {
            match read(self.fd.as_fd()) {
                Ok(drawn) => {
                    if !drawn.is_full {
                        self.is_readable = self.is_last;
                    }
                    return Poll::Ready(Ok(drawn));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    self.wants_read = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Ready: a read is worth trying. Pending: an event will be wanted.
    #[inline]
    pub fn poll_readable(&mut self) -> Poll<()> {
        if self.is_readable {
            return Poll::Ready(());
        }
        self.wants_read = true;
        Poll::Pending
    }

    /// Sends as much of `bytes` as is taken. Pending: nothing, and an event will be wanted.
    #[inline(always)]
    pub fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_writable {
            self.want_write();
            return Poll::Pending;
        }
        // A peer that has gone is an error like any other, and no signal.
        match retry_on_intr(|| send(&self.fd, bytes, SendFlags::NOSIGNAL)) {
            Ok(n) => {
                if n < bytes.len() {
                    self.is_writable = false;
                }
                Poll::Ready(Ok(n))
            }
            Err(Errno::WOULDBLOCK) => {
                self.want_write();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Has `send` send something; less than it could is no sign that the socket takes no more. Pending: nothing is taken, and an
    /// event will be wanted.
    #[inline]
    pub fn poll_send(
        &mut self,
        send: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if !self.is_writable {
            self.want_write();
            return Poll::Pending;
        }
        match send(self.fd.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.want_write();
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        }
    }

    /// The kernel has been asked whether it is writable.
    #[cold]
    pub fn poll_asked(&mut self, is_writable: bool) -> Poll<()> {
        if is_writable {
            self.is_writable = true;
            return Poll::Ready(());
        }
        self.want_write();
        Poll::Pending
    }

    /// It is not writable. The kernel was asked, or took only a part, so it tells of the change.
    #[cold]
    fn want_write(&mut self) {
        self.is_writable = false;
        self.wants_write = true;
        self.tell_writable(true);
    }

    /// Says that nothing more will be sent.
    pub fn shut_down(&self) -> io::Result<()> {
        Ok(shutdown(&self.fd, Shutdown::Write)?)
    }
}

impl AsFd for PlainSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::buffer::spare_capacity;
    use rustix::event::Timespec;
    use rustix::event::epoll::{CreateFlags, Event};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    struct Pair<P> {
        epoll: Arc<OwnedFd>,
        socket: PlainSocket,
        peer: P,
    }

    fn registered<P>(ours: OwnedFd, peer: P) -> Pair<P> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC).unwrap());
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        let socket = PlainSocket::register(ours, &epoll, 5).unwrap();
        Pair {
            epoll,
            socket,
            peer,
        }
    }

    fn unix() -> Pair<UnixStream> {
        let (ours, peer) = UnixStream::pair().unwrap();
        registered(ours.into(), peer)
    }

    fn tcp() -> Pair<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        registered(listener.accept().unwrap().0.into(), peer)
    }

    impl<P: Read + Write> Pair<P> {
        /// What epoll tells within so many milliseconds, passed on; how many of it gave a turn.
        fn events(&mut self, millis: i64) -> (usize, usize) {
            let mut told: Vec<Event> = Vec::with_capacity(8);
            let timeout = Timespec {
                tv_sec: millis / 1000,
                tv_nsec: millis % 1000 * 1_000_000,
            };
            epoll::wait(&self.epoll, spare_capacity(&mut told), Some(&timeout)).unwrap();
            let turns = told.iter().filter(|event| {
                let (data, flags) = (event.data, event.flags);
                assert_eq!(data.u64(), 5);
                self.socket.note(flags)
            });
            let turns = turns.count();
            (told.len(), turns)
        }

        fn asks_and_is_answered(&mut self) {
            let mut room = [0; 64];
            for _ in 0..3 {
                assert!(self.socket.poll_read(&mut room).is_pending());
                self.peer.write_all(b"ask").unwrap();
                assert_eq!(self.events(5000), (1, 1));
                assert!(matches!(
                    self.socket.poll_read(&mut room),
                    Poll::Ready(Ok(3))
                ));
                assert!(self.socket.poll_read(&mut room).is_pending());
                assert!(matches!(
                    self.socket.poll_write(b"answer"),
                    Poll::Ready(Ok(6))
                ));
                self.peer.read_exact(&mut room[..6]).unwrap();
                assert_eq!(self.events(20), (0, 0), "nothing to tell of");
            }
        }

        /// Writes until no more is taken, and has it read by the peer.
        fn is_blocked_and_goes_on(&mut self) {
            let bytes = [7; 64 << 10];
            let mut sent = 0;
            while let Poll::Ready(n) = self.socket.poll_write(&bytes) {
                sent += n.unwrap();
            }
            while self.events(20) != (0, 0) {}
            assert!(self.socket.poll_write(&bytes).is_pending());
            let mut room = vec![0; 64 << 10];
            let mut turns = 0;
            while sent > 0 {
                sent -= self.peer.read(&mut room).unwrap();
                turns += self.events(if sent == 0 { 5000 } else { 1 }).1;
            }
            assert!(turns > 0, "nobody was told that there is room");
            assert!(matches!(
                self.socket.poll_write(b"more"),
                Poll::Ready(Ok(4))
            ));
        }
    }

    #[test]
    fn a_reply_is_no_event() {
        unix().asks_and_is_answered();
        tcp().asks_and_is_answered();
    }

    #[test]
    fn a_writer_is_told_when_there_is_room() {
        let mut pair = unix();
        pair.is_blocked_and_goes_on();
        // The peer's next reads bring one event for nothing, and then none.
        let mut room = [0; 64];
        pair.peer.read_exact(&mut room[..4]).unwrap();
        while pair.events(20) != (0, 0) {}
        pair.asks_and_is_answered();
        pair.is_blocked_and_goes_on();
        tcp().is_blocked_and_goes_on();
    }

    #[test]
    fn only_what_is_not_taken_at_all_waits_for_an_event() {
        let mut pair = unix();
        for n in [7, 1] {
            let sent = pair.socket.poll_send(|_| Ok(n));
            assert!(matches!(sent, Poll::Ready(Ok(taken)) if taken == n));
        }
        let blocked = || Err(io::ErrorKind::WouldBlock.into());
        assert!(pair.socket.poll_send(|_| blocked()).is_pending());
        let again = pair.socket.poll_send(|_| panic!("it takes nothing"));
        assert!(again.is_pending());
        // There is room all the time, so the kernel tells at once.
        assert_eq!(pair.events(5000), (1, 1));
        let sent = pair.socket.poll_send(|_| Ok(2));
        assert!(matches!(sent, Poll::Ready(Ok(2))));
        let gone = pair
            .socket
            .poll_send(|_| Err(io::ErrorKind::BrokenPipe.into()));
        assert!(matches!(gone, Poll::Ready(Err(_))));
    }

    #[test]
    fn an_end_is_read_after_what_stands_before_it() {
        fn check<P: Read + Write>(mut pair: Pair<P>, end: impl Fn(&P)) {
            pair.peer.write_all(b"last").unwrap();
            end(&pair.peer);
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert_eq!(pair.events(5000), (1, 1));
            let mut room = [0; 64];
            for len in [4, 0] {
                let read = pair.socket.poll_read(&mut room);
                assert!(matches!(read, Poll::Ready(Ok(n)) if n == len), "{read:?}");
            }
        }
        check(unix(), |peer| {
            peer.shutdown(std::net::Shutdown::Write).unwrap()
        });
        check(tcp(), |peer| {
            peer.shutdown(std::net::Shutdown::Write).unwrap()
        });
    }

    #[test]
    fn what_is_looked_at_stays() {
        let mut pair = tcp();
        pair.peer.write_all(b"stays").unwrap();
        assert_eq!(pair.events(5000), (1, 1));
        let mut room = [0; 64];
        for _ in 0..2 {
            let looked = pair.socket.poll_read_anew(&mut room, RecvFlags::PEEK);
            assert!(matches!(looked, Poll::Ready(Ok(5))));
            assert!(
                pair.socket.poll_readable().is_pending(),
                "no event has come since"
            );
        }
        let read = pair.socket.poll_read_anew(&mut room, RecvFlags::empty());
        assert!(matches!(read, Poll::Ready(Ok(5))));
        let read = pair.socket.poll_read_anew(&mut room, RecvFlags::empty());
        assert!(read.is_pending());
    }

    #[test]
    fn who_is_unregistered_is_told_of_no_more() {
        let mut pair = unix();
        let epoll = Arc::clone(&pair.epoll);
        let fd = pair.socket.unregister().unwrap();
        pair.peer.write_all(b"x").unwrap();
        let again = PlainSocket::register(fd, &epoll, 5).unwrap();
        let mut pair = Pair {
            socket: again,
            ..pair
        };
        assert_eq!(
            pair.events(5000),
            (1, 1),
            "it is told at once of what is there"
        );
    }
}
