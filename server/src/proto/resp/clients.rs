//! What is asked about clients: `CLIENT` with its subcommands.

use super::command::Op;
use super::names::Name;
use super::set::Wrong;
use super::words;
use crate::proto::number::{parse_i64, parse_u64};
use crate::proto::{Command, Role, Word, Words};

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

/// Whether a client may be called that, or its library: what is told in a row has no spaces.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_graphic)
}

/// `CLIENT`
pub fn ask<'a>(args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let is = |at: usize, word: &[u8]| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word))
    };
    let ok = Command::Say(Word::Ok);
    let syntax = Err(Wrong::Words(words::SYNTAX));
    let clients = |asked| Command::Resp(Op::Client(asked));
    Ok(match args {
        [_] if is(0, b"ID") => clients(Clients::Id),
        [_] if is(0, b"INFO") => clients(Clients::Info),
        [_] if is(0, b"GETNAME") => clients(Clients::GetName),
        [_, name] if is(0, b"SETNAME") => {
            clients(Clients::SetName(named(name, words::BAD_CLIENT_NAME)?))
        }
        [_, _, name] if is(0, b"SETINFO") => {
            let library = match () {
                () if is(1, b"LIB-NAME") => Library::Name,
                () if is(1, b"LIB-VER") => Library::Version,
                () => return Err(Wrong::Words(words::BAD_CLIENT_INFO)),
            };
            clients(Clients::SetInfo(
                library,
                named(name, words::BAD_LIBRARY_NAME)?,
            ))
        }
        [_, options @ ..] if is(0, b"LIST") => clients(Clients::List(to_list(options)?)),
        [_, addr] if is(0, b"KILL") => clients(Clients::KillOne(addr)),
        [_, options @ ..] if is(0, b"KILL") => clients(Clients::Kill(to_kill(options)?)),
        [_, _] if is(0, b"NO-EVICT") || is(0, b"NO-TOUCH") => match is(1, b"ON") || is(1, b"OFF") {
            true => ok,
            false => return syntax,
        },
        [_, _] if is(0, b"REPLY") => match () {
            () if is(1, b"ON") => ok,
            () if is(1, b"OFF") || is(1, b"SKIP") => {
                return Err(Wrong::Words(words::NO_SILENCE));
            }
            () => return syntax,
        },
        [_, _] if is(0, b"TRACKING") && is(1, b"OFF") => ok,
        // Nobody is told of keys that others have changed, here or elsewhere.
        [_] if is(0, b"GETREDIR") => Command::Resp(Op::Number(-1)),
        [_] if is(0, b"TRACKINGINFO") => Command::Resp(Op::TrackingInfo),
        // Nobody waits.
        [_] if is(0, b"UNPAUSE") => ok,
        _ => {
            let sub = args.first().copied().unwrap_or_default();
            Command::Resp(Op::UnknownSub(Name::Client, sub))
        }
    })
}

/// `HELLO` by one who calls itself so.
pub fn hello(name: Option<&[u8]>) -> Result<Command<'_>, Wrong> {
    if let Some(name) = name {
        named(name, words::BAD_CLIENT_NAME)?;
    }
    Ok(Command::Resp(Op::Client(Clients::Hello(name))))
}

fn named(name: &[u8], wrong: Words) -> Result<&[u8], Wrong> {
    match is_name(name) {
        true => Ok(name),
        false => Err(Wrong::Words(wrong)),
    }
}

/// `[TYPE kind] [ID id …]`
fn to_list<'a>(options: &[&'a [u8]]) -> Result<Chosen<'a>, Wrong> {
    let mut chosen = Chosen::default();
    match options {
        [] => {}
        [option, kind] if option.eq_ignore_ascii_case(b"TYPE") => {
            chosen.kind = Some(kind_of(kind)?)
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
            if ids.len() > IDS_MAX {
                return Err(Wrong::Words(words::MANY_CLIENT_IDS));
            }
            for (place, digits) in chosen.ids.iter_mut().zip(ids) {
                *place = id(digits, words::BAD_CLIENT_ID)?;
            }
        }
        _ => return Err(Wrong::Words(words::SYNTAX)),
    }
    Ok(chosen)
}

/// `[ID id] [ADDR addr] [LADDR addr] [TYPE kind] [USER user] [SKIPME yes|no] [MAXAGE seconds]`, in any order.
fn to_kill<'a>(options: &[&'a [u8]]) -> Result<Chosen<'a>, Wrong> {
    let mut chosen = Chosen {
        skips_me: true,
        ..Chosen::default()
    };
    let syntax = Wrong::Words(words::SYNTAX);
    let (pairs, rest) = options.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(syntax);
    }
    for [option, value] in pairs {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        match () {
            () if is(b"ID") => chosen.ids[0] = id(value, words::LOW_CLIENT_ID)?,
            () if is(b"ADDR") => chosen.addr = Some(value),
            () if is(b"LADDR") => chosen.laddr = Some(value),
            () if is(b"USER") => chosen.user = Some(value),
            () if is(b"TYPE") => chosen.kind = Some(kind_of(value)?),
            () if is(b"SKIPME") => {
                chosen.skips_me = match () {
                    () if value.eq_ignore_ascii_case(b"yes") => true,
                    () if value.eq_ignore_ascii_case(b"no") => false,
                    () => return Err(syntax),
                }
            }
            () if is(b"MAXAGE") => {
                let seconds = parse_u64(value).filter(|&seconds| seconds > 0);
                chosen.age_seconds_least = seconds.ok_or(Wrong::Words(words::BAD_MAXAGE))?;
            }
            () => return Err(syntax),
        }
    }
    Ok(chosen)
}

fn id(digits: &[u8], wrong: Words) -> Result<u64, Wrong> {
    let id = parse_i64(digits).and_then(|id| u64::try_from(id).ok());
    id.filter(|&id| id > 0).ok_or(Wrong::Words(wrong))
}

fn kind_of(word: &[u8]) -> Result<Kind, Wrong> {
    let is = |kind: &[u8]| word.eq_ignore_ascii_case(kind);
    match () {
        () if is(b"NORMAL") => Ok(Kind::Normal),
        () if is(b"PUBSUB") => Ok(Kind::PubSub),
        () if is(b"MASTER") || is(b"REPLICA") || is(b"SLAVE") => Ok(Kind::None),
        () => Err(Wrong::Words(words::BAD_CLIENT_KIND)),
    }
}
