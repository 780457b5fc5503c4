//! How much the kernel may hold for each socket, and how many sockets may have a lot.
//!
//! ```text
//!   accepted ─► small buffers ── much was read, or a write had to wait ─► large ones, if one is left
//!                     ▲                                                        │
//!                     └───────── quiet for a while, or others want them ◄──────┘
//! ```
//!
//! On cgroup v2 the kernel charges what lies in socket buffers to the container, and fills a receive buffer before
//! anybody here has looked. So what a connection may cost follows from its buffers alone, and their sum has to
//! be planned: an idle connection, or one with a small request now and then, never needs more than the small ones.
//! How many may be large at a time is a number of the plan, which the governor raises when there is demand
//! and the cache has made room.
//!
//! A connection that stores a value longer than a large window is given more places for its receive buffer alone, as long as the
//! value comes faster than it is read: each read of a full window opens it again, and on the same machine the sender's work is then
//! done within that read. Half of the places are kept for others, and who has more than one gives them back first.
//!
//! A receive buffer can be made smaller while something lies in it, and what lies there stays. So the additional places are
//! counted until the unread bytes are fewer ([`SocketRoom::narrow`]).
//!
//! The window of a TCP connection follows the receive buffer that the listening socket had at the handshake, and stays at
//! that when the buffer grows. `TCP_WINDOW_CLAMP` is what opens it.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::SockRef;

/// Asked for each buffer of a connection that has not shown that it needs more.
pub const SMALL_BUFFER_BYTES: usize = 4 << 10;
/// The longest segment that is told to a peer, which is what Ethernet carries. A sender does not split a segment to fit a
/// window: over the loopback device, whose segments are 64 KiB, a small window would be filled only by a timer of 200 ms, and
/// opened again only when it is empty.
pub const SEGMENT_BYTES: u32 = 1460;
/// A read that brought so much shows it: half of what a small window lets through at once.
pub const MUCH_READ_BYTES: usize = 2 << 10;

/// Since Linux 5.14; libc has no name for it.
const SO_BUF_LOCK: libc::c_int = 72;
/// The send buffer.
const LOCK_SEND: libc::c_int = 1;

/// All that store long values may have this part of the places as additional ones …
const EXTRA_SHARE: usize = 2;
/// … of which each has this part …
const EXTRA_SHARERS: usize = 8;
/// … but no more than so many.
const EXTRA_PLACES_MAX: usize = 7;
/// A read of this part of a large window shows that the value comes as fast as it is read.
const FAST_SHARE: usize = 4;

sockopt_impl!(
    /// The largest window that is told to the peer.
    WindowClamp,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_WINDOW_CLAMP,
    u32
);

sockopt_impl!(
    /// Which buffers keep the size that was set.
    BufLock,
    SetOnly,
    libc::SOL_SOCKET,
    SO_BUF_LOCK,
    libc::c_int
);

sockopt_impl!(
    /// What the unread bytes take with all that belongs to them, and the buffer that they lie in.
    MemInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 2]
);

/// What the unread bytes of a socket take in the kernel, and what they may take.
pub fn unread_and_room(socket: &impl AsFd) -> Option<[u32; 2]> {
    getsockopt(socket, MemInfo).ok()
}

/// The places for connections with large buffers, over all workers.
#[derive(Debug)]
pub struct SocketRoom {
    large_bytes: usize,
    /// So many may be large: written by the governor.
    allowed: AtomicUsize,
    /// So many there could be if all were wanted: written by the governor.
    most: AtomicUsize,
    /// So many are taken.
    taken: AtomicUsize,
    /// So many of them are additional ones.
    extra: AtomicUsize,
    /// One was wanted and there was none, since [`SocketRoom::take_wanted`].
    wanted: AtomicBool,
}

/// The places that one connection has, and what became of its buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Both buffers are large.
    is_large: bool,
    /// Additional places …
    extra: u8,
    /// … although its receive buffer is not that large any more: what is unread is counted.
    is_lowered: bool,
    /// It cannot be larger than it is.
    is_fixed: bool,
}

static_assertions::const_assert!(EXTRA_PLACES_MAX <= u8::MAX as usize);

impl Room {
    /// Of a connection that has not shown that it needs more.
    pub const SMALL: Self = Room {
        is_large: false,
        extra: 0,
        is_lowered: false,
        is_fixed: false,
    };

    /// Whether both its buffers are large.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.is_large
    }

    /// Whether its receive buffer can be larger than that, and is not.
    #[inline]
    pub fn may_be_wide(&self) -> bool {
        self.is_large && (self.extra == 0 || self.is_lowered) && !self.is_fixed
    }

    /// Places that are counted for it.
    pub fn places(&self) -> usize {
        usize::from(self.is_large) + usize::from(self.extra)
    }
}

impl SocketRoom {
    /// No place yet. Large buffers are asked for with `large_bytes` each.
    pub fn new(large_bytes: usize) -> Self {
        SocketRoom {
            large_bytes,
            allowed: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            extra: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
        }
    }

    /// Takes so many places, if there are.
    fn take(&self, places: usize) -> bool {
        let allowed = self.allowed.load(Relaxed);
        let take = |taken: usize| (taken + places <= allowed).then_some(taken + places);
        // Relaxed: nothing is published by a place; it is a count.
        let is_taken = self.taken.fetch_update(Relaxed, Relaxed, take).is_ok();
        if !is_taken {
            self.wanted.store(true, Relaxed);
        }
        is_taken
    }

    /// Gives a connection large buffers, if there is a place. Three system calls, once in a while.
    #[inline(never)]
    pub fn raise(&self, room: &mut Room, socket: &impl AsFd) -> bool {
        if self.take(1) {
            room.is_large = true;
            set_both(socket, self.large_bytes);
        }
        room.is_large
    }

    /// Whether a value of which `left` bytes are still to come after a read of `read` bytes is worth additional places.
    #[inline]
    pub fn is_worth_it(&self, read: usize, left: usize) -> bool {
        left > self.large_bytes && read >= self.large_bytes / FAST_SHARE
    }

    /// Gives a connection with large buffers an even larger one to read from, if that keeps enough for others. A few system
    /// calls, and then none until it is quiet or others have no place.
    #[inline(never)]
    pub fn widen(&self, room: &mut Room, socket: &impl AsFd) -> bool {
        debug_assert!(room.may_be_wide());
        let most = self.most.load(Relaxed) / EXTRA_SHARE;
        let each = (most / EXTRA_SHARERS).clamp(1, EXTRA_PLACES_MAX);
        let more = each.saturating_sub(room.extra.into());
        let take = |extra: usize| (extra + more <= most).then_some(extra + more);
        if self.extra.fetch_update(Relaxed, Relaxed, take).is_err() {
            return false;
        }
        if !self.take(more) {
            self.extra.fetch_sub(more, Relaxed);
            return false;
        }
        room.extra += more as u8;
        room.is_lowered = false;
        let asked = self.large_bytes + usize::from(room.extra) * self.place_bytes() / 2;
        // Of a socket without a window the receive buffer says nothing.
        let has_window = set_window(socket, asked).is_ok();
        let given = getsockopt(socket, sockopt::RcvBuf).unwrap_or(0);
        // The system may allow less (net.core.rmem_max), and the places are better used by another.
        let used = match has_window {
            true => self.places_beyond(given),
            false => 0,
        };
        room.is_fixed = used < usize::from(room.extra);
        self.leave_extra(room, used);
        has_window
    }

    /// Additional places for so many bytes of a receive buffer, as the kernel counts them.
    fn places_beyond(&self, bytes: usize) -> usize {
        let beyond = bytes.saturating_sub(2 * self.large_bytes);
        beyond.div_ceil(self.place_bytes())
    }

    /// What a place stands for in the kernel: both buffers, which it counts twice.
    fn place_bytes(&self) -> usize {
        4 * self.large_bytes
    }

    /// Takes the additional places away from a connection: those that its unread bytes take when they are read.
    pub fn narrow(&self, room: &mut Room, socket: &impl AsFd) {
        if room.extra == 0 {
            return;
        }
        if !room.is_lowered {
            room.is_lowered = true;
            let _ = set_window(socket, self.large_bytes);
        }
        self.leave_read(room, socket);
    }

    /// Takes the large buffers away from a connection that has them. What is in them stays until it is read or sent.
    pub fn lower(&self, room: &mut Room, socket: &impl AsFd) {
        if room.is_large {
            set_both(socket, SMALL_BUFFER_BYTES);
            room.is_large = false;
            self.taken.fetch_sub(1, Relaxed);
        }
        if room.extra > 0 {
            room.is_lowered = true;
            self.leave_read(room, socket);
        }
    }

    /// Leaves the additional places that unread bytes do not take any more.
    fn leave_read(&self, room: &mut Room, socket: &impl AsFd) {
        let [unread, _] = unread_and_room(socket).unwrap_or_default();
        self.leave_extra(room, self.places_beyond(unread as usize));
    }

    /// Leaves all additional places but so many.
    fn leave_extra(&self, room: &mut Room, kept: usize) {
        let left = usize::from(room.extra).saturating_sub(kept);
        room.extra -= left as u8;
        room.is_lowered &= room.extra > 0;
        self.extra.fetch_sub(left, Relaxed);
        self.taken.fetch_sub(left, Relaxed);
    }

    /// A connection has gone, and its socket with it.
    pub fn leave(&self, room: &mut Room) {
        self.leave_extra(room, 0);
        if std::mem::take(&mut room.is_large) {
            self.taken.fetch_sub(1, Relaxed);
        }
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Sets how many there may be, and how many there could be.
    pub fn allow(&self, places: usize, most: usize) {
        self.allowed.store(places, Relaxed);
        self.most.store(most, Relaxed);
    }

    /// Whether there was no place for somebody since this was asked.
    pub fn take_wanted(&self) -> bool {
        self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed)
    }

    /// Whether there is no place left.
    pub fn is_full(&self) -> bool {
        self.taken() >= self.allowed.load(Relaxed)
    }
}

/// Small buffers for a listening socket, and what it accepts. The scale of a connection's windows is told in the handshake, by the
/// receive buffer that the socket must not outgrow: with a small one no window would ever be more than 64 KiB. So that it has no such
/// bound, it is set and then left to the kernel, until [`settle`].
pub fn set_listening(socket: &impl AsFd) -> io::Result<()> {
    let socket_ref = SockRef::from(socket);
    socket_ref.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
    socket_ref.set_send_buffer_size(SMALL_BUFFER_BYTES)?;
    // An older kernel keeps it small, and the windows too.
    let _ = setsockopt(socket, BufLock, &LOCK_SEND);
    Ok(())
}

/// An accepted socket's receive buffer is small from now on.
pub fn settle(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::RcvBuf, &SMALL_BUFFER_BYTES);
}

/// Both buffers of a socket, and its window. It works with what it had, too: an error is none.
fn set_both(socket: &impl AsFd, bytes: usize) {
    let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    let _ = set_window(socket, bytes);
}

/// Its receive buffer and its window, if it has one.
fn set_window(socket: &impl AsFd, bytes: usize) -> nix::Result<()> {
    let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
    // Half of what the kernel counts, which is twice what was asked for. A Unix socket has no window.
    let window = u32::try_from(bytes).unwrap_or(u32::MAX);
    setsockopt(socket, WindowClamp, &window)
}

#[cfg(test)]
mod tests;
