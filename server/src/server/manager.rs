//! What a service manager is told: systemd's `Type=notify` and its watchdog.
//!
//! The manager names a datagram socket in `NOTIFY_SOCKET`, and hears a line a message there: `READY=1` when clients are
//! served, `STOPPING=1` when the end has begun, `WATCHDOG=1` in half the time of `WATCHDOG_USEC` at the latest. The last is only
//! sent while no thread is stuck, by the same judgement as `/livez`: so the manager restarts what a restart helps.
//!
//! Nothing waits for the manager: a message that its socket does not take at once is lost.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use flagstone_engine::Tick;

use crate::observe::liveness::Liveness;
use crate::observe::threads::Threads;
use crate::server::stage::Stage;

/// Who is told, if anybody is.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// It expects a sign of life so often at least.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that this process's environment names.
    pub fn of_process() -> Self {
        let Some(place) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let text = |name: &str| std::env::var(name).ok();
        match connect(&place) {
            Ok(socket) => Manager {
                socket: Some(socket),
                watchdog: watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID")),
            },
            Err(error) => {
                let place = place.display();
                log::warn!("the service manager cannot be told anything at \"{place}\": {error}");
                Self::default()
            }
        }
    }

    /// The server is at this point of its life now.
    pub fn tell(&self, stage: Stage) {
        match stage {
            Stage::Starting => {}
            Stage::Ready => self.send(b"READY=1\n"),
            Stage::Leaving => self.send(b"STOPPING=1\n"),
        }
    }

    fn send(&self, message: &[u8]) {
        if let Some(socket) = &self.socket {
            // It is told again, or notices by itself.
            let _ = socket.send(message);
        }
    }
}

/// Signs of life, from the maintainer.
#[derive(Default)]
pub struct Watchdog {
    last: Option<Instant>,
}

impl Watchdog {
    /// A round of the maintainer.
    pub fn round(&mut self, manager: &Manager, threads: &Threads, now: Tick) {
        let Some(interval) = manager.watchdog else {
            return;
        };
        if self.last.is_some_and(|last| last.elapsed() < interval / 2) {
            return;
        }
        if threads.liveness(now) != Liveness::Stuck {
            self.last = Some(Instant::now());
            manager.send(b"WATCHDOG=1\n");
        }
    }
}

/// A path, or behind an @ a name that is in no directory.
fn connect(place: &OsStr) -> io::Result<UnixDatagram> {
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(place),
        _ => Err(io::Error::other("that is no path of a socket")),
    }?;
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// How often a sign of life is expected, if one is expected of this process.
fn watchdog(micros: Option<String>, process: Option<String>) -> Option<Duration> {
    let is_ours = process.is_none_or(|id| id.parse() == Ok(std::process::id()));
    let micros = micros?.parse().ok().filter(|&micros| micros > 0)?;
    is_ours.then_some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_are_for_the_process_that_is_watched() {
        let own = std::process::id().to_string();
        for (micros, process, expected) in [
            (Some("3000000"), Some(&*own), Some(3)),
            (Some("3000000"), None, Some(3)),
            (Some("3000000"), Some("1"), None),
            (Some("3000000"), Some(""), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (None, Some(&*own), None),
        ] {
            let interval = watchdog(micros.map(str::to_owned), process.map(str::to_owned));
            assert_eq!(
                interval,
                expected.map(Duration::from_secs),
                "{micros:?} {process:?}"
            );
        }
        assert!(connect(OsStr::new("vsock:2:1")).is_err());
        assert!(connect(OsStr::new("/flagstone/no/such/socket")).is_err());
    }
}
