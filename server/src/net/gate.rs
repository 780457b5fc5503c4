//! The acceptor's work: the listeners, connections that are refused, and the maintainer, side by side
//! on one thread.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::listener::{Acceptor, Pause};
use super::mailbox::Mailbox;
use super::refuse::{self, Refused};
use super::socket::Listening;
use crate::memory::governor::Governor;
use crate::server::maintainer;
use crate::server::shared::Shared;

/// How long accepting pauses when descriptors or memory have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// How long accepting pauses while the cache makes room.
const CROWDED_PAUSE: Duration = Duration::from_millis(1);
/// How often exhaustion is told.
const EXHAUSTED_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Files that those being shown out may take.
pub fn files_for_refused() -> usize {
    refuse::kept_max()
}

/// Accepts and maintains until dropped; returns only if that is impossible. When dropped, it
/// first takes in who stands at the door.
pub async fn run(
    listeners: Vec<Listening>,
    shared: &Shared<'_>,
    governor: &Governor<'_>,
    mailboxes: &[Mailbox],
) -> io::Result<()> {
    let acceptors = listeners
        .into_iter()
        .map(|listener| Acceptor::new(listener, shared, governor, mailboxes))
        .collect::<io::Result<Vec<_>>>()?;
    let gate = Gate {
        acceptors,
        refused: RefCell::new(Refused::new()),
        somebody_refused: Notify::new(),
    };
    let Err(error) = first_of(
        gate.accept(),
        first_of(gate.show_out(), maintainer::run(shared, governor)),
    )
    .await;
    Err(error)
}

struct Gate<'w> {
    acceptors: Vec<Acceptor<'w>>,
    refused: RefCell<Refused>,
    somebody_refused: Notify,
}

impl Gate<'_> {
    async fn accept(&self) -> io::Result<Infallible> {
        let mut log = Log::default();
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Pause::NobodyWaits => {}
                Pause::Yield => tokio::task::yield_now().await,
                Pause::Crowded => sleep(CROWDED_PAUSE).await,
                Pause::Exhausted(errno) => {
                    log.exhausted(errno);
                    sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Pause> {
        let mut refused = self.refused.borrow_mut();
        let mut pause = Pause::NobodyWaits;
        for acceptor in &self.acceptors {
            match acceptor.poll(&mut refused, cx) {
                Pause::NobodyWaits => {}
                reason => pause = reason,
            }
        }
        if !refused.is_empty() {
            self.somebody_refused.notify_one();
        }
        match pause {
            Pause::NobodyWaits => Poll::Pending,
            reason => Poll::Ready(reason),
        }
    }

    async fn show_out(&self) -> io::Result<Infallible> {
        loop {
            self.somebody_refused.notified().await;
            while !self.refused.borrow().is_empty() {
                sleep(refuse::INTERVAL).await;
                self.refused.borrow_mut().sweep();
            }
        }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let refused = self.refused.get_mut();
        for acceptor in &self.acceptors {
            acceptor.accept_rest(refused);
        }
    }
}

#[derive(Default)]
struct Log {
    last: Option<Instant>,
}

impl Log {
    fn exhausted(&mut self, errno: Errno) {
        if self
            .last
            .is_none_or(|last| last.elapsed() >= EXHAUSTED_LOG_INTERVAL)
        {
            self.last = Some(Instant::now());
            log::warn!(
                "cannot accept more connections at the moment ({errno}); \
                 those there are served on"
            );
        }
    }
}

/// The output of whichever future is ready first.
pub async fn first_of<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let mut one = pin!(one);
    let mut other = pin!(other);
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await
}
