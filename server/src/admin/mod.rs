//! The admin pages: what an operator, a prober and a scraper ask, answered on an address and
//! a thread of their own.
//!
//! ```text
//!   /          a page to look at           /livez    does it live?
//!   /metrics   for Prometheus              /readyz   shall it be sent requests?
//!   /stats     what the page polls (JSON)      POST /snapshot    all items into a file
//!   /slow      requests that took long (JSON)  /hotkeys  keys that are asked for most (JSON)
//!   /curve     other sizes of memory (JSON)    /sizes    of what was stored (JSON)
//! ```
//!
//! Its own thread, because neither may wait for the other: a busy data path does not delay a
//! probe, and a scrape does not delay a request. It sees snapshots, never
//! the cache, and changes nothing: of the file that a POST asks for it passes the wish on.
//!
//! It stays small whoever calls:
//!
//! ```text
//!   accepted ─► anteroom: WAITING sockets ─► CONNECTIONS with buffers ─► answered
//!               that have sent nothing        that have asked
//! ```
//!
//! In the anteroom a newcomer displaces the oldest that had `ASK_PATIENCE` to say something, and
//! waits in the kernel's backlog until there is one; among those who have asked, it displaces
//! the oldest that is not being answered. So neither a thousand silent connections nor processes
//! that connect as fast as they can keep out a probe, which sends its request at once. Each
//! connection has a fixed buffer for its request's head, `HEAD_TIMEOUT` to send it, and
//! `LIFETIME` for everything. The pages are written piece by piece as they are sent.
//!
//! A browser's request is answered only if it names a host that is not a stranger's (`host`):
//! otherwise a page of somebody else's could read these by pointing its own name here. With
//! `--admin-token-file` it has to present a token, too (`authorization`).

mod authorization;
mod clients;
mod host;
mod hot_keys;
mod http;
mod json;
mod prometheus;
mod quote;
mod sizes;
mod slow;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

pub use self::http::Rules;
use self::http::{Pages, Sending, Visitor};
use crate::memory::costs::{ADMIN_CONNECTIONS as CONNECTIONS, ADMIN_WAITING as WAITING};
use crate::observe::snapshot::SnapshotTaker;

/// A connection's buffer for what it is sent; a head that does not fit is refused. It is the
/// least that hyper takes.
const BUFFER_BYTES: usize = 8 << 10;
/// How long a request's head may take to arrive, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection ends after this long, when it is between two requests …
const LIFETIME: Duration = Duration::from_secs(60);
/// … or so much later wherever it is.
const LIFETIME_GRACE: Duration = Duration::from_secs(5);
/// The kernel's buffers of a connection, each; it doubles them.
const SOCKET_BUFFER_BYTES: usize = 8 << 10;
/// Newcomers that the kernel keeps for us.
const BACKLOG: i32 = 64;
/// Accepted before those there have their turn.
const ACCEPTS_PER_TURN: usize = 16;
/// How long accepting pauses when descriptors have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Its files: those, the runtime's, and the listener once more.
pub const FILES: usize = CONNECTIONS + WAITING + 8;
/// One in the anteroom keeps its place for so long, whoever comes.
const ASK_PATIENCE: Duration = Duration::from_millis(250);
/// One who is being answered keeps its place for so long, whoever comes.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Opens the listening socket.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // `[::]` is every address, of both families: there is one place for these pages.
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    set_options(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes over a socket that listens already.
pub fn adopt(socket: Socket) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    set_options(&socket)?;
    Ok(socket.into())
}

/// What accepted sockets inherit.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)
}

/// What there is to say.
#[derive(Clone, Copy)]
pub enum Told<'t> {
    /// The server is starting, and so many parts of the arena are restored.
    Starting(&'t AtomicUsize),
    /// All that is known.
    Snapshots(&'t SnapshotTaker<'t>),
}

/// Answers until `stop` is told.
pub fn run(
    listener: &TcpListener,
    told: Told<'_>,
    rules: Rules<'_>,
    stop: &Notify,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        let pages = Pages { told, rules };
        let mut visitors = Visitors::new(listener, &pages);
        let mut stopped = pin!(stop.notified());
        // Unconstrained: tokio's budget would make those that have asked look silent.
        let served = poll_fn(|cx| {
            visitors.poll(cx);
            stopped.as_mut().poll(cx)
        });
        tokio::task::coop::unconstrained(served).await;
        Ok(())
    })
}

/// A connection, and when it came. They are polled side by side, not as tasks of the runtime:
/// so they may borrow.
struct Visit<'d> {
    connection: Pin<Box<dyn Connection + 'd>>,
    /// Set while a page is being sent to it.
    sending: Sending,
    since: Instant,
    is_leaving: bool,
}

/// Hyper's connection, without its type's name.
trait Connection {
    /// Ready when it is over, for whatever reason.
    fn poll_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    /// The request under way is its last.
    fn leave(self: Pin<&mut Self>);
}

impl<'d> Connection for http1::Connection<TokioIo<TcpStream>, Visitor<'d>> {
    fn poll_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx).map(drop)
    }

    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// A connection that has sent nothing yet.
struct Waiting {
    stream: TcpStream,
    since: Instant,
}

struct Visitors<'d> {
    listener: tokio::net::TcpListener,
    pages: &'d Pages<'d>,
    http: http1::Builder,
    /// Those that have sent nothing yet, oldest first.
    waiting: VecDeque<Waiting>,
    /// Those that have, oldest first.
    visits: Vec<Visit<'d>>,
    clock: Interval,
    paused_until: Option<Instant>,
}

impl<'d> Visitors<'d> {
    fn new(listener: tokio::net::TcpListener, pages: &'d Pages<'d>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .max_headers(64);
        let mut clock = interval(EXHAUSTED_PAUSE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Visitors {
            listener,
            pages,
            http,
            waiting: VecDeque::with_capacity(WAITING),
            visits: Vec::with_capacity(CONNECTIONS),
            clock,
            paused_until: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        // Those there first: a newcomer must not displace one who has its answer already.
        self.poll_visits(cx);
        self.poll_waiting(cx);
        while self.clock.poll_tick(cx).is_ready() {
            self.close_late();
            self.paused_until = None;
        }
        if self.paused_until.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.has_waiting_room(cx) {
                self.paused_until = Some(Instant::now() + EXHAUSTED_PAUSE);
                return;
            }
            match self.listener.poll_accept(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, _))) => {
                    self.waiting.push_back(Waiting {
                        stream,
                        since: Instant::now(),
                    });
                    // It has usually asked already, and so have some of those before it.
                    self.poll_waiting(cx);
                }
                // It left before it came in, or descriptors have run out: soon again.
                Poll::Ready(Err(_)) => {
                    self.paused_until = Some(Instant::now() + EXHAUSTED_PAUSE);
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    fn poll_visits(&mut self, cx: &mut Context<'_>) {
        self.visits
            .retain_mut(|visit| visit.connection.as_mut().poll_over(cx).is_pending());
    }

    /// Whether another can wait; makes room if that is fair.
    fn has_waiting_room(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting.len() >= WAITING {
            // One that has asked and is about to be let in is not silent.
            let oldest = self.waiting.iter().position(|waiting| {
                waiting.since.elapsed() >= ASK_PATIENCE
                    && waiting.stream.poll_read_ready(cx).is_pending()
            });
            oldest.map(|no| self.waiting.remove(no));
        }
        self.waiting.len() < WAITING
    }

    /// Lets in those who have sent something.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) {
        let mut no = 0;
        while let Some(waiting) = self.waiting.get(no) {
            if waiting.stream.poll_read_ready(cx).is_pending() {
                no += 1;
                continue;
            }
            if !self.has_room() {
                return;
            }
            if let Some(waiting) = self.waiting.remove(no) {
                self.receive(waiting.stream);
                self.poll_visits(cx);
            }
        }
    }

    /// Whether another can be let in; makes room if that is fair.
    fn has_room(&mut self) -> bool {
        if self.visits.len() < CONNECTIONS {
            return true;
        }
        let oldest = self
            .visits
            .iter()
            .position(|visit| !visit.sending.is_set() || visit.since.elapsed() >= ANSWER_PATIENCE);
        oldest.map(|no| self.visits.remove(no)).is_some()
    }

    fn receive(&mut self, stream: TcpStream) {
        let sending = Sending::default();
        let visitor = Visitor {
            pages: self.pages,
            sending: sending.clone(),
        };
        let connection = self.http.serve_connection(TokioIo::new(stream), visitor);
        self.visits.push(Visit {
            connection: Box::pin(connection),
            sending,
            since: Instant::now(),
            is_leaving: false,
        });
    }

    fn close_late(&mut self) {
        while let Some(first) = self.waiting.front()
            && first.since.elapsed() >= HEAD_TIMEOUT
        {
            self.waiting.pop_front();
        }
        self.visits
            .retain(|visit| visit.since.elapsed() < LIFETIME + LIFETIME_GRACE);
        for visit in &mut self.visits {
            if visit.since.elapsed() >= LIFETIME && !visit.is_leaving {
                visit.is_leaving = true;
                visit.connection.as_mut().leave();
            }
        }
    }
}
