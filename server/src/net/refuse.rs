//! Newcomers over the limit: told so, and shown out.
//!
//! A socket that is closed while it has unread input makes the kernel send a reset, which
//! may destroy the very line that says why. So each is kept a moment, with our FIN sent, and
//! what it sends is read and forgotten. Their number is bounded; the oldest make room.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use socket2::Socket;

use crate::proto::{Accepts, Codec};

/// Kept at a time, and no more than a sixteenth of the files that may be open.
const KEPT_MAX: usize = 64;
const KEPT_SHARE: u64 = 16;
/// Kept for so long.
const KEPT_FOR: Duration = Duration::from_millis(500);
/// How often they are looked at.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// Kept at a time, with the files that this process may open.
pub fn kept_max() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let share = files.map_or(KEPT_MAX as u64, |files| files / KEPT_SHARE);
    (share as usize).clamp(1, KEPT_MAX)
}

/// The refused, oldest first.
pub struct Refused {
    kept_max: usize,
    kept: VecDeque<(Socket, Instant)>,
}

impl Refused {
    pub fn new() -> Self {
        let kept_max = kept_max();
        Refused {
            kept_max,
            kept: VecDeque::with_capacity(kept_max),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Tells a newcomer, and keeps it a moment. The socket does not block.
    pub fn show_out(&mut self, mut socket: Socket, accepts: Accepts) {
        // A new socket takes a few bytes. If not, it is closed without them.
        let told = socket.write(Codec::no_place(accepts)).is_ok()
            && socket.shutdown(Shutdown::Write).is_ok();
        if told {
            if self.kept.len() == self.kept_max {
                self.kept.pop_front();
            }
            self.kept.push_back((socket, Instant::now()));
        }
    }

    /// Forgets what they sent, and lets go of who has left or was kept long enough.
    pub fn sweep(&mut self) {
        let mut scratch = [0; 4096];
        self.kept.retain_mut(|(socket, since)| {
            if since.elapsed() >= KEPT_FOR {
                return false;
            }
            // A few reads a sweep: one who keeps sending must not keep us.
            for _ in 0..4 {
                match socket.read(&mut scratch) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
            true
        });
    }
}
