//! What `EVAL`, `EVALSHA` and `SCRIPT` ask.

use super::ask::is_key;
use super::command::{Op, SCRIPTS_ASKED_MAX};
use super::names::Name;
use super::script::{Call, Named, Script};
use super::set::Wrong;
use super::words;
use crate::proto::number::parse_i64;
use crate::proto::{Command, Words};

/// A script with its keys and arguments.
pub fn call<'a>(name: Name, args: &[&'a [u8]]) -> Result<Call<'a>, Words> {
    let (script, keys, args) = (args[0], args[1], &args[2..]);
    let keys = parse_i64(keys).ok_or(words::NOT_INTEGER)?;
    let keys = usize::try_from(keys).map_err(|_| words::NEGATIVE_KEYS)?;
    if keys > args.len() {
        return Err(words::MANY_KEYS);
    }
    let (keys, args) = args.split_at(keys);
    let key = keys.first().copied();
    if key.is_some_and(|key| !is_key(key)) {
        return Err(words::LONG_KEY);
    }
    let arg = |no: usize| args.get(no).copied().unwrap_or_default();
    Ok(Call {
        script: match name {
            Name::Eval | Name::EvalRo => {
                Named::Text(script, Script::of(script).ok_or(words::UNKNOWN_SCRIPT)?)
            }
            _ => Named::Hash(script),
        },
        key,
        args: [arg(0), arg(1)],
        // No more than a request has.
        count: args.len() as u8,
        third_is_zero: arg(2) == b"0",
        read_only: matches!(name, Name::EvalRo | Name::EvalShaRo),
    })
}

/// What `SCRIPT` asks.
pub fn ask_scripts<'a>(args: &[&'a [u8]]) -> Result<Command<'a>, Wrong> {
    let sub = args[0];
    let is = |word: &[u8]| sub.eq_ignore_ascii_case(word);
    Ok(Command::Resp(match &args[1..] {
        [text] if is(b"LOAD") => {
            let script = Script::of(text).ok_or(Wrong::Words(words::UNKNOWN_SCRIPT))?;
            Op::ScriptLoad(text, script)
        }
        hashes @ [_, ..] if is(b"EXISTS") => {
            let mut asked = [None; SCRIPTS_ASKED_MAX];
            if hashes.len() > asked.len() {
                return Err(Wrong::Words(words::MANY_SCRIPTS));
            }
            for (slot, hash) in asked.iter_mut().zip(hashes) {
                *slot = Some(*hash);
            }
            Op::ScriptExists(asked)
        }
        [] if is(b"FLUSH") => Op::ScriptFlush,
        [how] if is(b"FLUSH") => match () {
            () if how.eq_ignore_ascii_case(b"SYNC") => Op::ScriptFlush,
            () if how.eq_ignore_ascii_case(b"ASYNC") => Op::ScriptFlush,
            () => return Err(Wrong::Words(words::BAD_SCRIPT_FLUSH)),
        },
        [] if is(b"KILL") => return Err(Wrong::Words(words::NOT_BUSY)),
        _ => Op::UnknownSub(Name::Script, sub),
    }))
}
