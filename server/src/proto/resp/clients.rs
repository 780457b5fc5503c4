//! What is asked about clients: `CLIENT` with its subcommands.

use super::command::Op;
use super::names::Name;
use super::set::Wrong;
use super::words;
use crate::proto::clients::{Chosen, Clients, IDS_MAX, Kind, Library};
use crate::proto::number::{parse_i64, parse_u64};
use crate::proto::{Command, Word, Words};

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
        [_, _, ..] if is(0, b"TRACKING") => return Err(Wrong::Words(words::NO_TRACKING)),
        [_, _, ..] if is(0, b"PAUSE") => return Err(Wrong::Words(words::NO_PAUSE)),
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

/// What a client calls itself that greets.
pub fn own_name(name: Option<&[u8]>) -> Result<Option<&[u8]>, Wrong> {
    name.map(|name| named(name, words::BAD_CLIENT_NAME))
        .transpose()
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
