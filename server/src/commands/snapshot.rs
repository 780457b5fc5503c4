//! `flagstone snapshot`: asking a running server for a snapshot, and waiting until it is written.
//!
//! The admin pages begin it at a POST; how it ended is in their metrics, as everything is that they tell.

use std::fmt;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use super::healthcheck::reachable;
use super::top::{self, Blind, Page};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// So often a look may fail before it gives up.
const FAILURES_MAX: u32 = 10;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    items: u64,
    bytes: u64,
    millis: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "snapshot written: {} items, {} MiB, in {}.{:03} s",
            self.items,
            self.bytes >> 20,
            self.millis / 1000,
            self.millis % 1000
        )
    }
}

/// Why there is none.
#[derive(Debug)]
pub enum Unwritten {
    /// The server cannot be asked.
    Blind(Blind),
    /// It says no, in its words.
    Refused(SocketAddr, String),
    /// It has begun and not finished; its log says why.
    Failed(SocketAddr),
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritten::Blind(blind) => blind.fmt(f),
            Unwritten::Refused(address, words) => {
                write!(f, "the server at {address} says: {}", words.trim_end())
            }
            Unwritten::Failed(address) => write!(
                f,
                "the server at {address} could not write the snapshot: its log says why"
            ),
        }
    }
}

impl std::error::Error for Unwritten {}

/// Asks, and waits.
///
/// # Errors
/// When there is no snapshot.
pub fn ask(address: SocketAddr, token: Option<&[u8]>) -> Result<Done, Unwritten> {
    let address = reachable(address);
    let before = top::look(address, token).map_err(Unwritten::Blind)?;
    let (status, words) = top::ask(address, token, "POST /snapshot").map_err(Unwritten::Blind)?;
    if status != 202 {
        return Err(Unwritten::Refused(address, words));
    }
    let (written, failed) = (
        "flagstone_snapshots_total{result=\"written\"}",
        "flagstone_snapshots_total{result=\"failed\"}",
    );
    let mut failures = 0;
    loop {
        sleep(INTERVAL);
        let now = match top::look(address, token) {
            Ok(now) => now,
            // It may be busy, or on its way out.
            Err(_) if failures < FAILURES_MAX => {
                failures += 1;
                continue;
            }
            Err(blind) => return Err(Unwritten::Blind(blind)),
        };
        let rose = |name: &str| now.get(name) > before.get(name);
        if rose(written) {
            return Ok(done(&now));
        }
        if rose(failed) {
            return Err(Unwritten::Failed(address));
        }
    }
}

fn done(page: &Page) -> Done {
    Done {
        items: page.get("flagstone_snapshot_items") as u64,
        bytes: page.get("flagstone_snapshot_bytes") as u64,
        millis: (page.get("flagstone_snapshot_duration_seconds") * 1000.0).round() as u64,
    }
}
