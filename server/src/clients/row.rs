//! What seldom changes of a client, and all that is known of one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use flagstone_engine::Tick;

use super::TooLong;
use super::cell::{Cell, Standing};

/// A client's name, its library's name and version and its user have so many bytes together.
pub const TEXT_BYTES_MAX: usize = 96;

/// One of a client's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Text {
    /// `CLIENT SETNAME`
    Name,
    /// `CLIENT SETINFO LIB-NAME`
    LibName,
    /// `CLIENT SETINFO LIB-VER`
    LibVer,
    /// Who has logged in; nothing: with a token, or nobody has.
    User,
}

const TEXTS: usize = 4;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket, or an end that the kernel could not tell of.
    Unix,
    /// An address and a port.
    V4([u8; 4], u16),
    /// The same of the newer kind.
    V6([u8; 16], u16),
}

impl From<Option<SocketAddr>> for Place {
    fn from(address: Option<SocketAddr>) -> Self {
        match address {
            None => Place::Unix,
            Some(SocketAddr::V4(v4)) => Place::V4(v4.ip().octets(), v4.port()),
            Some(SocketAddr::V6(v6)) => Place::V6(v6.ip().octets(), v6.port()),
        }
    }
}

impl Place {
    /// Its address, if it has one.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Place::Unix => None,
            Place::V4(ip, _) => Some(IpAddr::from(ip)),
            Place::V6(ip, _) => Some(IpAddr::from(ip)),
        }
    }

    /// The place that is told so.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Place> {
        if text == b"unix:0" {
            return Some(Place::Unix);
        }
        let address: SocketAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
        Some(Place::from(Some(address)))
    }
}

/// As Redis tells it; a Unix socket's name is its listener's, which is not kept.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Place::Unix => f.write_str("unix:0"),
            Place::V4(ip, port) => write!(f, "{}:{port}", std::net::Ipv4Addr::from(ip)),
            Place::V6(ip, port) => write!(f, "[{}]:{port}", std::net::Ipv6Addr::from(ip)),
        }
    }
}

/// What is known of a connection when it comes.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer {
    /// Where the client is.
    pub peer: Place,
    /// Where it came in.
    pub local: Place,
}

/// What seldom changes. Guarded by the table's lock.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// 0: nobody. In bytes, so that a row is a multiple of four and not of eight.
    id: [u8; 8],
    /// When it came: seconds of the server's clock.
    came: u32,
    worker_no: u16,
    lens: [u8; TEXTS],
    peer: Place,
    local: Place,
    /// One text behind the other.
    texts: [u8; TEXT_BYTES_MAX],
}

static_assertions::const_assert!(TEXT_BYTES_MAX <= u8::MAX as usize);

impl Row {
    pub const NONE: Row = Row {
        id: [0; 8],
        came: 0,
        worker_no: 0,
        lens: [0; TEXTS],
        peer: Place::Unix,
        local: Place::Unix,
        texts: [0; TEXT_BYTES_MAX],
    };

    pub fn new(id: u64, newcomer: &Newcomer, worker_no: usize, now: Tick) -> Self {
        Row {
            id: id.to_ne_bytes(),
            came: (now.as_millis() / 1000) as u32,
            worker_no: worker_no as u16,
            peer: newcomer.peer,
            local: newcomer.local,
            ..Row::NONE
        }
    }

    pub fn id(&self) -> u64 {
        u64::from_ne_bytes(self.id)
    }

    pub fn is_some(&self) -> bool {
        self.id() > 0
    }

    pub fn worker_no(&self) -> usize {
        usize::from(self.worker_no)
    }

    pub fn peer(&self) -> Place {
        self.peer
    }

    pub fn set_peer(&mut self, peer: Place) {
        self.peer = peer;
    }

    pub fn set_worker(&mut self, worker_no: usize) {
        self.worker_no = worker_no as u16;
    }

    fn range(&self, text: Text) -> std::ops::Range<usize> {
        let before = self.lens[..text as usize].iter();
        let start = before.map(|&len| usize::from(len)).sum();
        start..start + usize::from(self.lens[text as usize])
    }

    pub fn set_text(&mut self, text: Text, value: &[u8]) -> Result<(), TooLong> {
        let old = self.range(text);
        let used: usize = self.lens.iter().map(|&len| usize::from(len)).sum();
        if used - old.len() + value.len() > TEXT_BYTES_MAX {
            return Err(TooLong);
        }
        let end = old.start + value.len();
        self.texts.copy_within(old.end..used, end);
        self.texts[old.start..end].copy_from_slice(value);
        self.lens[text as usize] = value.len() as u8;
        Ok(())
    }

    /// The user comes last, and has what the others leave.
    pub fn set_user(&mut self, user: &[u8]) {
        let most = TEXT_BYTES_MAX - self.range(Text::User).start;
        // It fits.
        let _ = self.set_text(Text::User, &user[..user.len().min(most)]);
    }
}

/// All that is known of one client.
#[derive(Clone, Copy)]
pub struct Client {
    row: Row,
    /// How it stood after its last turn.
    pub standing: Standing,
    /// For how many seconds it has asked nothing.
    pub idle_seconds: u64,
    /// What it held a moment ago, in bytes: buffers, and a value on its way.
    pub held_bytes: u32,
}

impl Client {
    pub(super) fn of(row: Row, cell: &Cell, now: Tick) -> Self {
        Client {
            row,
            standing: cell.standing(),
            idle_seconds: cell.idle_seconds(now),
            held_bytes: cell.held_bytes(),
        }
    }

    /// What it is called by.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.row.id()
    }

    /// Where it is.
    #[must_use]
    pub fn peer(&self) -> Place {
        self.row.peer
    }

    /// Where it came in.
    #[must_use]
    pub fn local(&self) -> Place {
        self.row.local
    }

    /// One of its texts.
    #[must_use]
    pub fn text(&self, text: Text) -> &[u8] {
        &self.row.texts[self.row.range(text)]
    }

    /// Who has logged in on it, as Redis calls the user of a token.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        match self.text(Text::User) {
            b"" => b"default",
            user => user,
        }
    }

    /// For how many seconds it has been there.
    #[must_use]
    pub fn age_seconds(&self, now: Tick) -> u64 {
        (now.as_millis() / 1000).saturating_sub(u64::from(self.row.came))
    }
}
