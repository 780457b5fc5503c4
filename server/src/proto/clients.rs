//! What is asked about clients, however a protocol puts it.

use super::rights::Role;

/// `CLIENT LIST ID` takes so many at most.
pub const IDS_MAX: usize = 4;

/// What is asked about clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients<'a> {
    /// `CLIENT ID`
    Id,
    /// `CLIENT INFO`
    Info,
    /// `CLIENT GETNAME`
    GetName,
    /// `CLIENT SETNAME`
    SetName(&'a [u8]),
    /// `CLIENT SETINFO`
    SetInfo(Library, &'a [u8]),
    /// `CLIENT LIST` of those.
    List(Chosen<'a>),
    /// `CLIENT KILL` of all of those.
    Kill(Chosen<'a>),
    /// `CLIENT KILL` of the one with this address, which there should be.
    KillOne(&'a [u8]),
    /// `HELLO`, perhaps with a name.
    Hello(Option<&'a [u8]>),
}

/// What a client tells of its library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// `LIB-NAME`
    Name,
    /// `LIB-VER`
    Version,
}

/// A kind of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those that have not subscribed to anything.
    Normal,
    /// Those that have.
    PubSub,
    /// Replicas and the like, of which there are none.
    None,
}

/// Which clients are meant: those of whom everything that is given holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// One of these; 0 is nobody. Any, where the first is 0.
    pub ids: [u64; IDS_MAX],
    /// With this address.
    pub addr: Option<&'a [u8]>,
    /// That came in by this one.
    pub laddr: Option<&'a [u8]>,
    /// Who logged in.
    pub user: Option<&'a [u8]>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Connected for so many seconds at least.
    pub age_seconds_least: u64,
    /// The one that asks is not meant.
    pub skips_me: bool,
}

impl Clients<'_> {
    /// The least role that may ask it.
    #[must_use]
    pub fn needs(&self) -> Role {
        match self {
            Clients::List(_) | Clients::Kill(_) | Clients::KillOne(_) => Role::Admin,
            // What is about the connection alone.
            Clients::Id
            | Clients::Info
            | Clients::GetName
            | Clients::SetName(_)
            | Clients::SetInfo(..)
            | Clients::Hello(_) => Role::Nobody,
        }
    }
}
