//! What a command of RESP with its arguments asks.

use super::about;
use super::all_keys;
use super::bits;
use super::clients;
use super::command::{About, Op, Ttl};
use super::encode::Shape;
use super::eval;
use super::messages;
use super::names::Name;
use super::pubsub::is_about_messages;
use super::session::{At, Multi, Session};
use super::set::{ExpireIf, SetOptions, Unit, Wrong, parse_get_ex, time};
use super::several;
use super::subs;
use super::words;
use crate::proto::clients::Clients;
use crate::proto::number::parse_i64;
use crate::proto::{Command, How, LONG_KEY_BYTES_MAX, Lifetime, Refusal, Terms, Word};

/// What a request asks, and what its client expects.
pub struct Asked<'a> {
    pub command: Command<'a>,
    pub shape: Shape,
    pub session: Session,
    /// The version of the answer.
    pub v3: bool,
}

/// What is known before the command is.
#[derive(Clone, Copy)]
struct Asker {
    session: Session,
    /// The client has to log in first.
    locked: bool,
}

/// What a command with its arguments asks.
pub fn ask<'a>(name: Name, args: &[&'a [u8]], session: Session, locked: bool) -> Asked<'a> {
    Asker { session, locked }.ask(name, args)
}

impl Asker {
    fn ask<'a>(self, name: Name, args: &[&'a [u8]]) -> Asked<'a> {
        let mut asked = Asked {
            command: Command::Resp(Op::Nothing),
            shape: Shape::Value,
            session: self.session.at(At::Request),
            v3: self.session.v3,
        };
        let is_open = matches!(name, Name::Auth | Name::Hello | Name::Quit | Name::Reset);
        asked.command = if !name.takes(1 + args.len() as u32) {
            Command::Resp(Op::WrongArity(name))
        } else if self.locked && !is_open {
            Command::Refuse(Refusal::Words(words::NO_AUTH))
        } else {
            let found = match name.spec().first_key == 1 {
                true if !is_key(args[0]) => Err(Wrong::Words(words::LONG_KEY)),
                true => self.ask_of_key(name, args[0], &args[1..], &mut asked),
                false => self.ask_server(name, args, &mut asked),
            };
            match found {
                Ok(Command::Resp(Op::UnknownSub(name, sub)))
                    if args.len() == 1
                        && sub.eq_ignore_ascii_case(b"HELP")
                        && !subs::of(name).is_empty() =>
                {
                    Command::Resp(Op::Help(name))
                }
                Ok(command) => command,
                Err(Wrong::Words(words)) => Command::Refuse(Refusal::Words(words)),
                Err(Wrong::Time) => Command::Resp(Op::BadTime(name)),
            }
        };
        asked
    }

    fn ask_of_key<'a>(
        self,
        name: Name,
        key: &'a [u8],
        args: &[&'a [u8]],
        asked: &mut Asked<'a>,
    ) -> Result<Command<'a>, Wrong> {
        let int = |digits: &[u8]| parse_i64(digits).ok_or(Wrong::Words(words::NOT_INTEGER));
        let store = |value, how, lifetime| Command::Store {
            key,
            value,
            terms: terms(how, lifetime),
        };
        Ok(match (name, args) {
            (Name::Get, _) => Command::Get { key },
            (Name::Set, [value, options @ ..]) => {
                let options = SetOptions::parse(options)?;
                match options.plain() {
                    Some((how, lifetime)) => {
                        asked.shape = Shape::Status;
                        store(value, how, lifetime)
                    }
                    None => Command::Resp(Op::Set(key, value, options)),
                }
            }
            (Name::SetNx, [value]) => {
                asked.shape = Shape::Flag;
                store(value, How::Absent, Lifetime::Forever)
            }
            (Name::SetEx | Name::PSetEx, [number, value]) => {
                asked.shape = Shape::Status;
                store(value, How::Always, time(unit_of(name), number)?)
            }
            (Name::GetSet, [value]) => Command::Resp(Op::Set(key, value, SetOptions::GET)),
            (Name::GetEx, options) => match parse_get_ex(options)? {
                None => Command::Get { key },
                Some(lifetime) => Command::GetAndTouch { key, lifetime },
            },
            (Name::GetDel, _) => Command::Resp(Op::GetDel(key)),
            (Name::Append, [value]) => Command::Resp(Op::Append(key, value)),
            (Name::StrLen, _) => Command::Resp(Op::StrLen(key)),
            (Name::GetRange | Name::SubStr, [from, to]) => {
                Command::Resp(Op::GetRange(key, int(from)?, int(to)?))
            }
            (Name::SetRange, [offset, value]) => {
                let offset = usize::try_from(int(offset)?);
                let offset = offset.map_err(|_| Wrong::Words(words::BAD_OFFSET))?;
                Command::Resp(Op::SetRange(key, offset, value))
            }
            (Name::Incr, _) => Command::Resp(Op::Incr(key, 1)),
            (Name::Decr, _) => Command::Resp(Op::Incr(key, -1)),
            (Name::IncrBy, [by]) => Command::Resp(Op::Incr(key, int(by)?)),
            (Name::DecrBy, [by]) => {
                let by = int(by)?.checked_neg();
                let by = by.ok_or(Wrong::Words(words::DECR_OVERFLOW))?;
                Command::Resp(Op::Incr(key, by))
            }
            (Name::IncrByFloat, [by]) => Command::Resp(Op::IncrByFloat(key, by)),
            (
                Name::Expire | Name::PExpire | Name::ExpireAt | Name::PExpireAt,
                [number, options @ ..],
            ) => {
                let condition = ExpireIf::parse(options).map_err(Wrong::Words)?;
                let lifetime = unit_of(name).lifetime(int(number)?).ok_or(Wrong::Time)?;
                Command::Resp(Op::Expire(key, lifetime, condition))
            }
            (Name::SetBit | Name::GetBit | Name::BitCount | Name::BitPos, _) => {
                Command::Resp(bits::ask(name, key, args).map_err(Wrong::Words)?)
            }
            (Name::DelIfEq | Name::DelEx, _) => Command::Resp(del_if(name, key, args)?),
            (Name::Rename | Name::RenameNx | Name::Copy, _) => self.duplicate(name, key, args)?,
            (Name::Persist, _) => Command::Resp(Op::Persist(key)),
            (Name::Ttl | Name::PTtl | Name::ExpireTime | Name::PExpireTime, _) => {
                Command::Resp(Op::Ttl(key, ttl(name)))
            }
            (Name::Type, _) => Command::Resp(Op::Type(key)),
            (Name::Del | Name::Unlink, _) => {
                asked.shape = Shape::Sum { last: true };
                Command::Delete { key }
            }
            (Name::Exists | Name::Touch, _) => {
                asked.shape = Shape::Sum { last: true };
                Command::Resp(Op::Exists(key))
            }
            (Name::Watch, _) => {
                asked.shape = Shape::All { last: true };
                Command::Resp(Op::Watch(key))
            }
            (Name::MSet, [value]) => {
                asked.shape = Shape::All { last: true };
                store(value, How::Always, Lifetime::Forever)
            }
            _ => return Err(Wrong::Words(words::SYNTAX)),
        })
    }

    /// `RENAME`, `COPY` and their like.
    fn duplicate<'a>(
        self,
        name: Name,
        key: &'a [u8],
        args: &[&'a [u8]],
    ) -> Result<Command<'a>, Wrong> {
        let (to, options) = (args[0], &args[1..]);
        if !is_key(to) {
            return Err(Wrong::Words(words::LONG_KEY));
        }
        let what = several::duplicate(name, (key, to), options, self.session.database)?;
        Ok(Command::Resp(Op::Duplicate(what)))
    }

    fn ask_server<'a>(
        self,
        name: Name,
        args: &[&'a [u8]],
        asked: &mut Asked<'a>,
    ) -> Result<Command<'a>, Wrong> {
        let is = |at: usize, word: &[u8]| {
            args.get(at)
                .is_some_and(|arg| arg.eq_ignore_ascii_case(word))
        };
        let sub = args.first().copied().unwrap_or_default();
        let unknown = Ok(Command::Resp(Op::UnknownSub(name, sub)));
        let ok = Command::Say(Word::Ok);
        Ok(match name {
            Name::Ping => Command::Resp(self.ping(args)),
            Name::Echo => Command::Resp(Op::Ping(Some(args[0]))),
            Name::Quit => Command::Quit,
            Name::Reset => {
                asked.session = Session::NEW;
                Command::Resp(Op::Reset)
            }
            Name::Multi | Name::Exec | Name::Discard | Name::Unwatch => {
                Command::Resp(transaction(name, asked)?)
            }
            Name::Hello => return self.hello(args, asked),
            Name::Auth => {
                asked.shape = Shape::Status;
                match args {
                    [password] => login(b"default", password, None),
                    [user, password] => login(user, password, None),
                    _ => return Err(Wrong::Words(words::SYNTAX)),
                }
            }
            Name::Select => return select(args[0], &mut asked.session),
            Name::Eval | Name::EvalRo | Name::EvalSha | Name::EvalShaRo => {
                Command::Resp(Op::Eval(eval::call(name, args).map_err(Wrong::Words)?))
            }
            Name::Script => return eval::ask_scripts(args),
            name if is_about_messages(name) => return messages::ask(name, args),
            Name::Client => clients::ask(args)?,
            Name::Cluster => return Err(Wrong::Words(words::NO_CLUSTER)),
            Name::Command => about::command(args)?,
            Name::Config => about::config(args)?,
            Name::Debug => match args {
                [_, seconds] if is(0, b"SLEEP") => match parse_i64(seconds) {
                    Some(seconds) => Command::MoveClock { seconds },
                    None => return unknown,
                },
                _ => return unknown,
            },
            Name::FlushAll | Name::FlushDb => match args {
                [] => flush(name, asked.session),
                [_] if is(0, b"ASYNC") || is(0, b"SYNC") => flush(name, asked.session),
                _ => return Err(Wrong::Words(words::SYNTAX)),
            },
            // There are none: removing all of them is done.
            Name::Function if is(0, b"FLUSH") => ok,
            Name::Info => match args {
                [] => Command::Resp(Op::Info(None)),
                [section] => Command::Resp(Op::Info(Some(section))),
                _ => Command::Resp(Op::Info(None)),
            },
            Name::DbSize | Name::Keys | Name::RandomKey | Name::Scan => {
                all_keys::ask(name, args, self.session.database)?
            }
            Name::Latency if is(0, b"LATEST") => Command::Resp(Op::Empty),
            Name::Latency if is(0, b"RESET") => Command::Resp(Op::Number(0)),
            Name::SlowLog => about::slow_log(args)?,
            Name::HotKeys => about::hot_keys(args)?,
            Name::Module if is(0, b"LIST") => Command::Resp(Op::Empty),
            Name::Memory if is(0, b"USAGE") && args.len() > 1 => {
                about(args[1], About::MemoryUsage)?
            }
            Name::Object if args.len() == 2 => {
                let what = match () {
                    () if is(0, b"ENCODING") => About::Encoding,
                    () if is(0, b"IDLETIME") => About::IdleTime,
                    () if is(0, b"REFCOUNT") => About::RefCount,
                    () if is(0, b"FREQ") => About::Freq,
                    () => return unknown,
                };
                about(args[1], what)?
            }
            Name::Shutdown => Command::Shutdown {
                mistake: (args.len() > 1).then_some(words::SYNTAX),
            },
            Name::Time => Command::Resp(Op::Time),
            // Nobody follows this server: nobody has to be waited for.
            Name::Wait => match (parse_i64(args[0]), parse_i64(args[1])) {
                (Some(_), Some(0..)) => Command::Resp(Op::Number(0)),
                (Some(_), Some(_)) => return Err(Wrong::Words(words::NEGATIVE_TIMEOUT)),
                _ => return Err(Wrong::Words(words::NOT_INTEGER)),
            },
            _ => return unknown,
        })
    }

    /// `PING [message]`
    fn ping<'a>(self, args: &[&'a [u8]]) -> Op<'a> {
        match args {
            [] | [_] if self.session.is_for_messages() => Op::Pong(args.first().copied()),
            [] => Op::Ping(None),
            [message] => Op::Ping(Some(message)),
            _ => Op::WrongArity(Name::Ping),
        }
    }

    /// `HELLO [2|3 [AUTH user password] [SETNAME name]]`
    fn hello<'a>(self, args: &[&'a [u8]], asked: &mut Asked<'a>) -> Result<Command<'a>, Wrong> {
        let mut v3 = self.session.v3;
        let mut secret = None;
        let mut own_name = None;
        if let [version, options @ ..] = args {
            v3 = match parse_i64(version) {
                Some(2) => false,
                Some(3) => true,
                Some(_) => return Err(Wrong::Words(words::NO_PROTO)),
                None => return Err(Wrong::Words(words::BAD_PROTO)),
            };
            let mut options = options.iter().copied();
            while let Some(option) = options.next() {
                if option.eq_ignore_ascii_case(b"AUTH") {
                    let (Some(user), Some(password)) = (options.next(), options.next()) else {
                        return Err(Wrong::Words(words::SYNTAX));
                    };
                    secret = Some((user, password));
                } else if option.eq_ignore_ascii_case(b"SETNAME") {
                    own_name = options.next();
                    own_name.ok_or(Wrong::Words(words::SYNTAX))?;
                } else {
                    return Err(Wrong::Words(words::SYNTAX));
                }
            }
        }
        if self.locked && secret.is_none() {
            return Err(Wrong::Words(words::NO_AUTH_HELLO));
        }
        let own_name = clients::own_name(own_name)?;
        // The version is that of the answer, and the session's once it is greeted.
        asked.shape = Shape::Hello;
        asked.v3 = v3;
        Ok(match secret {
            Some((user, password)) => login(user, password, Some(own_name)),
            None => Command::Resp(Op::Client(Clients::Hello(own_name))),
        })
    }
}

/// What a command tells of a deadline.
fn ttl(name: Name) -> Ttl {
    match name {
        Name::PTtl => Ttl::Millis,
        Name::ExpireTime => Ttl::UnixSeconds,
        Name::PExpireTime => Ttl::UnixMillis,
        _ => Ttl::Seconds,
    }
}

/// `DELIFEQ key value`, `DELEX key [IFEQ value | IFNE value]`
fn del_if<'a>(name: Name, key: &'a [u8], args: &[&'a [u8]]) -> Result<Op<'a>, Wrong> {
    let condition = match (name, args) {
        (Name::DelIfEq, [value]) => Some((*value, true)),
        (_, []) => None,
        (_, [how, value]) if how.eq_ignore_ascii_case(b"IFEQ") => Some((*value, true)),
        (_, [how, value]) if how.eq_ignore_ascii_case(b"IFNE") => Some((*value, false)),
        _ => return Err(Wrong::Words(words::SYNTAX)),
    };
    Ok(Op::DelIf(key, condition))
}

/// The session goes on in another database.
fn select(number: &[u8], session: &mut Session) -> Result<Command<'static>, Wrong> {
    session.database = several::database(number)?;
    Ok(Command::Say(Word::Ok))
}

/// Where a transaction begins and ends.
fn transaction(name: Name, asked: &mut Asked<'_>) -> Result<Op<'static>, Wrong> {
    let multi = asked.session.multi;
    let open = |is_open: bool, words| match is_open {
        true => Ok(()),
        false => Err(Wrong::Words(words)),
    };
    Ok(match name {
        Name::Multi => {
            open(multi == Multi::No, words::NESTED_MULTI)?;
            asked.session.multi = Multi::Open;
            Op::Multi
        }
        Name::Exec => {
            open(multi != Multi::No, words::EXEC_ALONE)?;
            asked.session.multi = Multi::No;
            Op::Exec {
                spoiled: multi == Multi::Spoiled,
            }
        }
        Name::Discard => {
            open(multi != Multi::No, words::DISCARD_ALONE)?;
            asked.session.multi = Multi::No;
            Op::Discard
        }
        _ => Op::Unwatch,
    })
}

/// Redis' default user is the one with a token. A greeting lets everybody in where nobody has to log in, and may say a name.
fn login<'a>(
    user: &'a [u8],
    password: &'a [u8],
    greeting: Option<Option<&'a [u8]>>,
) -> Command<'a> {
    Command::Login {
        user: if user == b"default" { b"" } else { user },
        password,
        lenient: greeting.is_some(),
        own_name: greeting.flatten(),
    }
}

fn flush(name: Name, session: Session) -> Command<'static> {
    match name {
        Name::FlushDb => Command::Resp(Op::FlushDb(session.database)),
        _ => Command::Flush {
            when: Lifetime::Past,
        },
    }
}

fn about(key: &[u8], what: About) -> Result<Command<'_>, Wrong> {
    match is_key(key) {
        true => Ok(Command::Resp(Op::Object(key, what))),
        false => Err(Wrong::Words(words::LONG_KEY)),
    }
}

/// What the number in a command is a number of.
pub fn unit_of(name: Name) -> Unit {
    match name {
        Name::PSetEx | Name::PExpire => Unit::Millis,
        Name::ExpireAt => Unit::UnixSeconds,
        Name::PExpireAt => Unit::UnixMillis,
        _ => Unit::Seconds,
    }
}

/// A store over anything, or on this condition.
pub fn terms(how: How, lifetime: Lifetime) -> Terms {
    Terms {
        how,
        ..Terms::plain(lifetime)
    }
}

/// Whether a key can be one.
#[inline]
pub fn is_key(key: &[u8]) -> bool {
    key.len() <= LONG_KEY_BYTES_MAX
}
