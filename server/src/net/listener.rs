//! The gate: accepting connections, and choosing who serves them.
//!
//! A newcomer goes to the worker with the fewest connections that has a free slot, ties in rotation; past a worker that is
//! busy while another is not. At the limit it is told so and shown out ([`refuse`](super::refuse)).
//!
//! Accepted sockets inherit TCP_NODELAY, keepalive and the sizes of their buffers from the
//! listening one, which saves system calls on each of them.
//!
//! Before a newcomer is accepted, the governor has made room for it.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;

use super::mailbox::{Mailbox, Newcomer};
use super::refuse::Refused;
use super::socket::{Door, Guest, Listening};
use crate::memory::governor::Governor;
use crate::proto::Accepts;
use crate::server::shared::Shared;

/// How often, at the end, room is tried to be made for one more newcomer …
const REST_TRIES: u32 = 50;
/// … and the pause before the next try, in which the workers serve those who came before.
const REST_PAUSE: Duration = Duration::from_millis(1);
/// Accepted in one go before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Why accepting paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nobody is waiting; the listener will wake us.
    NobodyWaits,
    /// Others' turn; come back soon.
    Yield,
    /// The cache makes room for more connections; come back very soon.
    Crowded,
    /// No descriptor or no memory for another socket; come back after a while.
    Exhausted(Errno),
}

/// One listening socket and where its connections go.
pub struct Acceptor<'w> {
    door: Door,
    accepts: Accepts,
    proxied: bool,
    shared: &'w Shared<'w>,
    governor: &'w Governor<'w>,
    mailboxes: &'w [Mailbox],
}

impl<'w> Acceptor<'w> {
    /// Must be called within the runtime that polls it.
    pub fn new(
        listening: Listening,
        shared: &'w Shared<'w>,
        governor: &'w Governor<'w>,
        mailboxes: &'w [Mailbox],
    ) -> io::Result<Self> {
        Ok(Acceptor {
            accepts: listening.accepts,
            proxied: listening.proxied,
            door: Door::new(listening)?,
            shared,
            governor,
            mailboxes,
        })
    }

    /// Accepts until something is in the way. Newcomers over the limit go to `refused`.
    pub fn poll(&self, refused: &mut Refused, cx: &mut Context<'_>) -> Pause {
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.governor.may_accept() {
                return Pause::Crowded;
            }
            let accepted = match self.door.poll_accept(cx) {
                Poll::Pending => return Pause::NobodyWaits,
                Poll::Ready(accepted) => accepted,
            };
            match accepted {
                Ok(guest) => self.receive(guest, refused),
                Err(error) => {
                    if let Some(
                        // The newcomer is still there.
                        errno @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM),
                    ) = Errno::from_io_error(&error)
                    {
                        return Pause::Exhausted(errno);
                    }
                    // The newcomer left before it came in, or the network told of an old
                    // error.
                }
            }
        }
        Pause::Yield
    }

    /// Takes in, without waiting, who has arrived before we stop listening. Room is made for them as for all others;
    /// where none is left, they are told so. At a socket that somebody else keeps open they wait for our successor.
    pub fn accept_rest(&self, refused: &mut Refused) {
        if self.door.is_handed() {
            return;
        }
        for _ in 0..self.shared.plan.connections_max {
            let mut tries = 0;
            while !self.governor.may_accept() {
                tries += 1;
                if tries > REST_TRIES {
                    return;
                }
                std::thread::sleep(REST_PAUSE);
            }
            match self.door.accept() {
                Ok(guest) => self.receive(guest, refused),
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Whether it does not come from where somebody guesses passwords too fast. Nearly always
    /// nobody does, and nothing is looked up. Where it comes by a proxy, whose address is everybody's, the connection
    /// asks when it knows its client's.
    fn lets_in(&self, guest: &Guest) -> bool {
        let (guesses, clock) = (&self.shared.guesses, &self.shared.clock);
        self.proxied
            || !guesses.are_on()
            || !guesses.are_hot(clock.now())
            || guesses.lets_in(guest.origin(), clock.now())
    }

    fn receive(&self, guest: Guest, refused: &mut Refused) {
        if !self.lets_in(&guest) || !self.shared.admission.admit() {
            // Words without TLS would be noise to who speaks it.
            if guest.is_tls() {
                return;
            }
            refused.show_out(guest.into_socket(), self.accepts);
        } else if let Some(mailbox) = choose(self.mailboxes) {
            mailbox.post(Newcomer {
                guest,
                accepts: self.accepts,
                proxied: self.proxied,
                moved: None,
            });
        } else {
            // Not seen: there are as many slots as connections are admitted, but for one that is being handed over.
            self.shared.admission.leave();
            refused.show_out(guest.into_socket(), self.accepts);
        }
    }
}

/// Reserves a slot of a worker. A tie goes to the first: it has one more at once, so ties go round by themselves.
fn choose(mailboxes: &[Mailbox]) -> Option<&Mailbox> {
    let one_is_free = mailboxes.iter().any(|mailbox| mailbox.is_idle());
    loop {
        let with_room = mailboxes.iter().filter(|mailbox| mailbox.has_room());
        let best = with_room
            .min_by_key(|mailbox| (one_is_free && mailbox.is_busy(), mailbox.connections()))?;
        // Another worker may have taken the slot just now.
        if best.reserve() {
            return Some(best);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::super::socket::KEEPALIVE;
    use super::*;
    use crate::memory::room::SMALL_BUFFER_BYTES;
    use crate::settings::endpoint::{Endpoint, Place};

    fn door() -> (tokio::runtime::Runtime, Door, SocketAddr) {
        let endpoint = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listening = Listening::open(&endpoint, 0o700, None).expect("listens");
        let Ok(Place::Tcp(address)) = listening.place() else {
            panic!("has an address");
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let door = Door::new(listening).expect("registers");
        (runtime, door, address)
    }

    #[test]
    fn accepted_sockets_inherit_their_options() {
        let (_runtime, door, address) = door();
        let _client = TcpStream::connect(address).expect("connects");
        let accepted = door.accept().expect("somebody waits").into_socket();
        assert!(accepted.tcp_nodelay().expect("readable"));
        assert!(accepted.keepalive().expect("readable"));
        assert_eq!(accepted.tcp_keepalive_time().expect("readable"), KEEPALIVE);
        assert!(accepted.nonblocking().expect("readable"));
        let doubled = 2 * SMALL_BUFFER_BYTES;
        assert_eq!(accepted.send_buffer_size().expect("readable"), doubled);
        assert_eq!(accepted.recv_buffer_size().expect("readable"), doubled);
        // No linger of 0, which would reset instead of finishing.
        assert_eq!(accepted.linger().expect("readable"), None);
    }

    #[test]
    fn accepted_unix_sockets_have_the_planned_buffer() {
        let path = std::env::temp_dir().join(format!("flagstone-door-{}", std::process::id()));
        let endpoint: Endpoint = format!("unix:{}", path.display()).parse().expect("a place");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let listening = Listening::open(&endpoint, 0o700, None).expect("listens");
        let door = Door::new(listening).expect("registers");
        let _client = UnixStream::connect(&path).expect("connects");
        let accepted = door.accept().expect("somebody waits").into_socket();
        assert!(accepted.nonblocking().expect("readable"));
        let doubled = 2 * SMALL_BUFFER_BYTES;
        assert_eq!(accepted.send_buffer_size().expect("readable"), doubled);
        drop(door);
        assert!(!path.exists(), "the socket's file goes with the door");
    }

    #[test]
    fn nobody_waiting_is_not_an_error() {
        let (_runtime, door, _) = door();
        assert_eq!(door.accept().err(), Some(Errno::WOULDBLOCK));
    }
}
