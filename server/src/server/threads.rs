//! The threads of a server beside its own: workers, and the admin pages. They are scoped: they may borrow all that the
//! server owns, and it cannot end before they have.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};
use std::sync::mpsc;
use std::thread::{self, Scope};

use tokio::sync::Notify;

use super::error::StartError;
use super::shared::Shared;
use crate::admin;
use crate::net::mailbox::Mailbox;
use crate::net::worker;
use crate::observe::snapshot::SnapshotTaker;

/// The workers, and where each gets its connections from.
pub(super) struct Workers<'h> {
    shared: &'h Shared<'h>,
    pub mailboxes: Vec<Mailbox>,
    alive: Alive,
}

/// How many workers run, told also when one panics.
struct Alive {
    count: AtomicUsize,
    changed: Notify,
}

struct LeaveOnDrop<'a>(&'a Alive);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, AcqRel);
        self.0.changed.notify_one();
    }
}

impl Alive {
    /// Waits until at most `count` workers run.
    async fn at_most(&self, count: usize) {
        while self.count.load(Acquire) > count {
            self.changed.notified().await;
        }
    }
}

impl<'h> Workers<'h> {
    /// As many as the plan says, none of which runs yet.
    pub fn new(shared: &'h Shared<'h>) -> io::Result<Self> {
        let plan = shared.plan;
        let mailboxes = (0..plan.worker_count).map(|_| Mailbox::new(plan.worker.slot_count));
        Ok(Workers {
            shared,
            mailboxes: mailboxes.collect::<io::Result<_>>()?,
            alive: Alive {
                count: AtomicUsize::new(0),
                changed: Notify::new(),
            },
        })
    }

    /// Starts them, and returns when all that could be started are warm.
    pub fn spawn<'s>(&'s self, scope: &'s Scope<'s, '_>) -> Result<(), StartError> {
        let (warm, warmed) = mpsc::channel::<()>();
        let spawned = (0..self.mailboxes.len()).try_for_each(|no| {
            let (shared, mailboxes) = (self.shared, &self.mailboxes[..]);
            let warm = warm.clone();
            self.alive.count.fetch_add(1, AcqRel);
            let leaves = LeaveOnDrop(&self.alive);
            thread::Builder::new()
                .name(format!("worker-{no}"))
                .spawn_scoped(scope, move || {
                    let _leaves = leaves;
                    worker::run(shared, mailboxes, no, || drop(warm));
                })
                .map(drop)
                .map_err(StartError::System)
        });
        drop(warm);
        // Nobody sends: it ends when the last worker is warm and drops its end.
        let _ = warmed.recv();
        spawned
    }

    /// Waits until one ends, which none should before it was told to.
    pub async fn first_end(&self) -> io::Error {
        self.alive.at_most(self.mailboxes.len() - 1).await;
        io::Error::other("a worker ended before its time")
    }

    /// Makes all of them see that the server drains.
    pub fn wake(&self) {
        self.mailboxes.iter().for_each(Mailbox::wake);
    }

    /// Waits until all have ended.
    pub async fn last_end(&self) {
        self.alive.at_most(0).await;
    }
}

/// Starts the thread of the admin pages, which ends with `over`.
pub(super) fn spawn_admin<'s>(
    scope: &'s Scope<'s, '_>,
    listener: &'s TcpListener,
    shared: &'s Shared<'_>,
    rules: admin::Rules<'s>,
    over: &'s Notify,
) -> Result<(), StartError> {
    thread::Builder::new()
        .name("admin".to_owned())
        .spawn_scoped(scope, move || {
            let snapshots = SnapshotTaker::new(shared);
            let told = admin::Told::Snapshots(&snapshots);
            warn_of_admin(admin::run(listener, told, rules, over));
        })
        .map(drop)
        .map_err(StartError::System)
}

pub(super) fn warn_of_admin(ended: io::Result<()>) {
    if let Err(error) = ended {
        log::warn!("no admin pages: {error}");
    }
}

/// Also when a panic passes by.
pub(super) struct NotifyOnDrop<'n>(pub &'n Notify);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
