//! What stands before the first request at a place behind a proxy: see [`crate::proto::proxied`].
//!
//! It is read from the socket itself, never more of it than belongs to it, so that TLS or a request begins where it ends.
//! It holds no buffer, and counts as something held: a header that does not come is a stall like half a request.

use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use super::worker_state::Strange;
use super::{Conn, Phase, Turn, WorkerState};
use crate::auth::guesses::Origin;
use crate::clients::Place;
use crate::proto::proxied::{Carried, Fault, Header};

impl Conn {
    /// It came in where a proxy's header is expected.
    pub fn expect_header(&mut self) {
        self.phase = Phase::Arriving(Header::NONE);
    }

    /// A turn of one that is not among requests yet, or not any more. `None`: it is now.
    #[cold]
    pub(super) fn turn_aside(&mut self, worker: &mut WorkerState<'_>) -> io::Result<Option<Turn>> {
        match self.phase {
            Phase::Arriving(header) => self.arrive(header, worker),
            _ => self.linger(worker).map(Some),
        }
    }

    /// Reads what has come of the header. `None`: it is whole, and requests may follow.
    fn arrive(
        &mut self,
        mut header: Header,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<Option<Turn>> {
        loop {
            let room = &mut worker.inbox[..header.wants()];
            let taken = match self.stream.socket().poll_read(room) {
                Poll::Pending => {
                    self.phase = Phase::Arriving(header);
                    // Whoever has asked nothing when the server goes has nothing to be told.
                    return Ok(Some(match worker.tools.finishing {
                        true => Turn::Close,
                        false => Turn::Rest,
                    }));
                }
                Poll::Ready(read) => match read? {
                    // Somebody looked whether the port is open.
                    0 if header.is_empty() => return Ok(Some(Turn::Close)),
                    0 => Err(Fault::Truncated),
                    n => header.take(&room[..n]),
                },
            };
            match taken {
                Ok(None) => {}
                Ok(Some(carried)) => return self.arrived(carried, worker),
                Err(fault) => {
                    let peer = worker.tools.shared.clients.peer(worker.tools.client);
                    worker.tools.strange = Some(Strange { fault, peer });
                    worker.tools.counters.proxy_faults.add(1);
                    return Ok(Some(Turn::Close));
                }
            }
        }
    }

    /// The header is whole, and says where the client is.
    fn arrived(
        &mut self,
        carried: Carried,
        worker: &mut WorkerState<'_>,
    ) -> io::Result<Option<Turn>> {
        self.phase = Phase::Requests;
        self.got_on(worker.tools.now);
        let (shared, client) = (worker.tools.shared, worker.tools.client);
        let peer = match carried {
            Carried::Nothing => None,
            Carried::Unix => Some(Place::Unix),
            Carried::V4(ip, port) => Some(Place::V4(ip, port)),
            // As a socket of both families tells it.
            Carried::V6(ip, port) => Some(Place::from(Some(SocketAddr::from((ip, port))))),
        };
        if let Some(peer) = peer {
            shared.clients.set_peer(client, peer);
        }
        let now = worker.tools.now;
        let (guesses, origin) = (
            &shared.guesses,
            Origin::of(shared.clients.peer(client).ip()),
        );
        if !guesses.are_hot(now) || guesses.lets_in(origin, now) {
            return Ok(None);
        }
        // Words without TLS would be noise to who speaks it.
        if self.is_tls() {
            return Ok(Some(Turn::Close));
        }
        let words = self.codec.no_place_here();
        worker.tools.outbox.room()[..words.len()].copy_from_slice(words);
        worker.tools.outbox.filled(words.len());
        // A new socket takes a few bytes. If not, it is closed without them.
        let _ = worker
            .tools
            .outbox
            .send(&mut self.stream, worker.tools.counters)?;
        self.say_goodbye(worker).map(Some)
    }
}
