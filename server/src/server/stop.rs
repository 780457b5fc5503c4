//! What ends a running server, and what makes it read its files again.

use crate::auth::tls::CertificateStore;
use crate::auth::users::Logins;
use crate::net::gate::first_of;
use crate::server::manager::Manager;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// What makes a server stop.
pub(super) enum Stop {
    /// [`Running::shutdown`].
    Told(Arc<Notify>),
    /// SIGTERM or SIGINT. SIGHUP is heard beside them: certificates are read again.
    Signals {
        terminate: Signal,
        interrupt: Signal,
        hangup: Signal,
        tls: Option<Arc<CertificateStore>>,
        logins: Option<Arc<Logins>>,
    },
}

/// What made it stop, for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// [`Running::shutdown`].
    Told,
    /// A client's command.
    Command,
    /// A signal, by its number.
    Signal(i32),
}

impl Why {
    /// Who presses Ctrl-C or asks for a shutdown does not want to wait.
    pub(super) fn is_hurried(self) -> bool {
        matches!(self, Why::Command) || self == Why::Signal(SignalKind::interrupt().as_raw_value())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Told => "a call",
            Why::Command => "a client's shutdown command",
            Why::Signal(number) if *number == SignalKind::interrupt().as_raw_value() => "SIGINT",
            Why::Signal(_) => "SIGTERM",
        })
    }
}

impl Stop {
    pub(super) fn signals() -> io::Result<Self> {
        Ok(Stop::Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            tls: None,
            logins: None,
        })
    }

    /// Who started this process, and is to be told how it fares. A server in threads of another program's has none.
    pub(super) fn manager(&self) -> Manager {
        match self {
            Stop::Told(_) => Manager::default(),
            Stop::Signals { .. } => Manager::of_process(),
        }
    }

    /// From now on SIGHUP reads these again.
    pub(super) fn reloads(
        &mut self,
        certificates: Option<&Arc<CertificateStore>>,
        users: &Arc<Logins>,
    ) {
        if let Stop::Signals { tls, logins, .. } = self {
            *tls = certificates.cloned();
            *logins = users.has_files().then(|| Arc::clone(users));
        }
        warn_of_certificate(certificates.map(|certificates| &**certificates));
    }

    /// Waits for a second signal. Who only tells may do so when a client has already asked.
    pub(super) async fn told_again(&mut self) -> i32 {
        match self {
            Stop::Told(_) => std::future::pending().await,
            Stop::Signals { .. } => match self.told().await {
                Why::Signal(number) => number,
                Why::Told | Why::Command => 0,
            },
        }
    }

    /// Waits for it, and says what it was.
    pub(super) async fn told(&mut self) -> Why {
        match self {
            Stop::Told(notify) => {
                notify.notified().await;
                Why::Told
            }
            Stop::Signals {
                terminate,
                interrupt,
                hangup,
                tls,
                logins,
            } => {
                let terminated = async {
                    terminate.recv().await;
                    Why::Signal(SignalKind::terminate().as_raw_value())
                };
                let interrupted = async {
                    interrupt.recv().await;
                    Why::Signal(SignalKind::interrupt().as_raw_value())
                };
                let hung_up = async {
                    loop {
                        hangup.recv().await;
                        read_again(tls.as_deref(), logins.as_deref());
                    }
                };
                first_of(first_of(terminated, interrupted), hung_up).await
            }
        }
    }
}

/// What SIGHUP does. New connections see the new certificate and the new users and tokens, those
/// there keep what they have.
pub(super) fn read_again(tls: Option<&CertificateStore>, logins: Option<&Logins>) {
    if tls.is_none() && logins.is_none() {
        log::info!("SIGHUP: there is nothing to read again");
    }
    match tls.map(CertificateStore::reload) {
        None => {}
        Some(Ok(())) => {
            log::info!("SIGHUP: the certificate and its key were read again");
            warn_of_certificate(tls);
        }
        Some(Err(invalid)) => log::warn!("SIGHUP: {invalid}; the old certificate stays"),
    }
    match logins.map(Logins::reload) {
        None => {}
        Some(Ok((users, tokens))) => log::info!(
            users = users, tokens = tokens;
            "SIGHUP: users ({users}) and tokens ({tokens}) were read again; whoever has logged in \
             stays so"
        ),
        Some(Err(invalid)) => {
            log::warn!("SIGHUP: {invalid}; the old users and tokens stay");
        }
    }
}

/// Who is about to present a certificate that nobody will trust should know.
fn warn_of_certificate(tls: Option<&CertificateStore>) {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    if let Some(complaint) = tls.and_then(|tls| tls.complaint(now)) {
        log::warn!("{complaint}");
    }
}

/// The last message of a server.
pub(super) fn tell_of_end(why: Why, took: Duration, clients: usize, cut: u64) {
    let (reason, took_ms) = (why.to_string(), took.as_millis() as u64);
    log::info!(
        reason = reason.as_str(), clients = clients, cut = cut, took_ms = took_ms;
        "stopped by {why} after {:.3} s: {clients} clients were drained, of which {cut} had not \
         finished in time",
        took.as_secs_f64(),
    );
}
