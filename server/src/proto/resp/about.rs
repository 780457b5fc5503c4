//! What is asked about the server and the client's own connection.

use super::command::Op;
use super::names::Name;
use super::set::Wrong;
use super::words;
use crate::proto::{Command, Word};

/// What `CLIENT`, `COMMAND` and `CONFIG` ask.
pub fn ask<'a>(name: Name, args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let is = |at: usize, word: &[u8]| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word))
    };
    let sub = args.first().copied().unwrap_or_default();
    let unknown = Ok(Command::Resp(Op::UnknownSub(name, sub)));
    let ok = Command::Say(Word::Ok);
    Ok(match name {
        Name::Client => match args {
            [_, _] if is(0, b"SETNAME") || is(0, b"NO-EVICT") || is(0, b"NO-TOUCH") => ok,
            [_, _, _] if is(0, b"SETINFO") => ok,
            [_] if is(0, b"GETNAME") => Command::Resp(Op::Nil),
            [_, _] if is(0, b"REPLY") && is(1, b"ON") => ok,
            [_, _] if is(0, b"TRACKING") && is(1, b"OFF") => ok,
            _ => return unknown,
        },
        Name::Cluster => return Err(Wrong::Words(words::NO_CLUSTER)),
        Name::Command => match args {
            [] => Command::Resp(Op::Command),
            [_] if is(0, b"COUNT") => Command::Resp(Op::CommandCount),
            [_] if is(0, b"LIST") => Command::Resp(Op::CommandList),
            [_] if is(0, b"INFO") => Command::Resp(Op::Command),
            [_, one] if is(0, b"INFO") => Command::Resp(Op::CommandInfo(one)),
            [_] if is(0, b"DOCS") => Command::Resp(Op::CommandDocs(None)),
            [_, one] if is(0, b"DOCS") => Command::Resp(Op::CommandDocs(Some(one))),
            _ => return unknown,
        },
        Name::Config => match args {
            [_, pattern] if is(0, b"GET") => Command::Resp(Op::ConfigGet(pattern)),
            [_, setting, _] if is(0, b"SET") => Command::Resp(Op::ConfigSet(setting)),
            [_] if is(0, b"RESETSTAT") => Command::Resp(Op::ResetStat),
            _ => return unknown,
        },
        _ => return unknown,
    })
}
