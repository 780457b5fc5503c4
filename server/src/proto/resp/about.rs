//! What is asked about the server: its commands and settings.

use super::command::{NAMES_ASKED_MAX, Names, Op, SlowLog};
use super::names::Name;
use super::set::Wrong;
use super::words;
use crate::proto::number::parse_i64;
use crate::proto::{Command, Topic, Words};

/// Names, as many as are held.
fn names<'a>(args: &[&'a [u8]]) -> Result<Names<'a>, Words> {
    every(args, 1)
}

/// The same, of every so many-th argument.
fn every<'a>(args: &[&'a [u8]], step: usize) -> Result<Names<'a>, Words> {
    let mut names = [None; NAMES_ASKED_MAX];
    if args.len().div_ceil(step) > names.len() {
        return Err(words::MANY_NAMES);
    }
    for (name, arg) in names.iter_mut().zip(args.iter().step_by(step)) {
        *name = Some(*arg);
    }
    Ok(names)
}

/// `COMMAND`, `COUNT`, `LIST`, `INFO`, `DOCS`, `GETKEYS`
pub fn command<'a>(args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let [sub, args @ ..] = args else {
        return Ok(Command::Resp(Op::Command));
    };
    let is = |word: &[u8]| sub.eq_ignore_ascii_case(word);
    Ok(Command::Resp(match args {
        [] if is(b"COUNT") => Op::CommandCount,
        [] if is(b"LIST") => Op::CommandList,
        [] if is(b"INFO") => Op::Command,
        asked if is(b"INFO") => Op::CommandInfo(names(asked).map_err(Wrong::Words)?),
        [] if is(b"DOCS") => Op::CommandDocs(None),
        asked if is(b"DOCS") => Op::CommandDocs(Some(names(asked).map_err(Wrong::Words)?)),
        [name, args @ ..] if is(b"GETKEYS") && !args.is_empty() => {
            Op::CommandKeys(keys_of(name, args).map_err(Wrong::Words)?)
        }
        [] | [_] if is(b"GETKEYS") => return Err(Wrong::Words(words::GET_KEYS_ARITY)),
        _ => Op::UnknownSub(Name::Command, sub),
    }))
}

/// The keys among the arguments of a command.
fn keys_of<'a>(name: &[u8], args: &[&'a [u8]]) -> Result<Names<'a>, Words> {
    let name = Name::of(name).ok_or(words::NO_COMMAND)?;
    if !name.takes(1 + args.len() as u32) {
        return Err(words::BAD_COMMAND);
    }
    let spec = name.spec();
    let keys = match name {
        Name::Eval | Name::EvalRo | Name::EvalSha | Name::EvalShaRo => {
            let count = parse_i64(args[1]).and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count <= args.len() - 2);
            return names(&args[2..][..count.unwrap_or(0)]);
        }
        Name::MSetEx => {
            let count = parse_i64(args[0]).and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count <= (args.len() - 1) / 2);
            return every(&args[1..][..2 * count.unwrap_or(0)], 2);
        }
        Name::Memory | Name::Object => args.get(1..2).unwrap_or_default(),
        _ if spec.first_key < 1 => &[],
        _ => {
            let last = match usize::try_from(spec.last_key) {
                Ok(last) => last,
                Err(_) => args.len(),
            };
            let keys = spec.first_key as usize - 1..last;
            args.get(keys).unwrap_or_default()
        }
    };
    match keys {
        [] => Err(words::NO_KEYS),
        keys => every(keys, (spec.step as usize).max(1)),
    }
}

/// `CONFIG GET`, `SET`, `RESETSTAT`, `REWRITE`
pub fn config<'a>(args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let (sub, args) = (args[0], &args[1..]);
    let is = |word: &[u8]| sub.eq_ignore_ascii_case(word);
    Ok(Command::Resp(match args {
        [_, ..] if is(b"GET") => Op::ConfigGet(names(args).map_err(Wrong::Words)?),
        [_, _, ..] if is(b"SET") && args.len().is_multiple_of(2) => {
            Op::ConfigSet(names(args).map_err(Wrong::Words)?)
        }
        [] if is(b"RESETSTAT") => Op::ResetStat,
        [] if is(b"REWRITE") => return Err(Wrong::Words(words::NO_FILE)),
        _ => Op::UnknownSub(Name::Config, sub),
    }))
}

/// `SLOWLOG GET` without a number gives so many entries.
const SLOW_TOLD: usize = 10;

/// `SLOWLOG GET`, `LEN`, `RESET`
pub fn slow_log<'a>(args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let (sub, args) = (args[0], &args[1..]);
    let is = |word: &[u8]| sub.eq_ignore_ascii_case(word);
    Ok(Command::Resp(Op::SlowLog(match args {
        [] if is(b"GET") => SlowLog::Get(SLOW_TOLD),
        [count] if is(b"GET") => match parse_i64(count) {
            // All of them.
            Some(-1) => SlowLog::Get(usize::MAX),
            Some(count @ 0..) => SlowLog::Get(usize::try_from(count).unwrap_or(usize::MAX)),
            Some(_) => return Err(Wrong::Words(words::BAD_SLOW_COUNT)),
            None => return Err(Wrong::Words(words::NOT_INTEGER)),
        },
        [] if is(b"LEN") => SlowLog::Len,
        [] if is(b"RESET") => SlowLog::Reset,
        _ => return Ok(Command::Resp(Op::UnknownSub(Name::SlowLog, sub))),
    })))
}

/// `HOTKEYS [count]`
pub fn hot_keys<'a>(args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let count = match args {
        [] => None,
        [count, ..] => match parse_i64(count).and_then(|count| u64::try_from(count).ok()) {
            None => return Err(Wrong::Words(words::NOT_INTEGER)),
            count => count,
        },
    };
    match Topic::hot_keys(count) {
        Topic::HotKeys(count) => Ok(Command::Resp(Op::HotKeys(count))),
        topic => Ok(Command::Stats(topic)),
    }
}
