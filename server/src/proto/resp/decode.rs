//! Bytes of RESP → [`Command`].

use super::command::{About, Op, Ttl};
use super::encode::{Format, Shape};
use super::frame::{self, Bulk, Framed};
use super::names::Name;
use super::set::{ExpireIf, SetOptions, Unit, Wrong, parse_get_ex, time};
use super::{At, Many, Session, words};
use crate::proto::number::{parse_i64, parse_u64};
use crate::proto::scan::{is_http_line, newline};
use crate::proto::{
    Command, Decoded, HEAD_BYTES_MAX, How, Inside, KEY_BYTES_MAX, Lifetime, LongHead, Refusal,
    ReplyFormat, Request, Rest, Storing, Terms, WHOLE_BYTES_MAX, Word, Words,
};

/// No command that is not a list of keys has more arguments, its name counted.
const ARGS_MAX: usize = 16;

/// A request under way.
#[derive(Clone, Copy)]
struct Reading {
    session: Session,
    /// The client has to log in first.
    locked: bool,
    /// What reaches farther, and is not there, is not held whole.
    whole: usize,
}

/// What a request asks, and what its client expects.
struct Asked<'a> {
    command: Command<'a>,
    shape: Shape,
    session: Session,
}

/// Reads one request, or the next part of one, from the front of `bytes`.
#[inline]
pub fn decode(bytes: &[u8], session: Session, locked: bool) -> Decoded<'_> {
    decode_within(bytes, session, locked, WHOLE_BYTES_MAX)
}

/// The same, where a store that reaches beyond `whole` bytes is not held whole.
#[inline]
pub fn decode_within(bytes: &[u8], session: Session, locked: bool, whole: usize) -> Decoded<'_> {
    let reading = Reading {
        session,
        locked,
        whole,
    };
    match (session.at, bytes.first()) {
        (_, None) => Decoded::More,
        (At::Request, Some(b'*')) => reading.array(bytes),
        (At::Request, Some(_)) => reading.line(bytes),
        (At::Keys(many, left), _) => reading.next_key(bytes, 0, many, left),
        (At::Skipping(left), _) => reading.skip(bytes, left),
        (At::Options(left), _) => reading.options(bytes, left),
    }
}

/// Whether a line of words on an address for all protocols is one of Redis': their probes send these.
#[must_use]
pub fn is_probe(line: &[u8]) -> bool {
    const PROBES: [&[u8]; 9] = [
        b"PING", b"INFO", b"HELLO", b"AUTH", b"COMMAND", b"ECHO", b"SELECT", b"CLIENT", b"CONFIG",
    ];
    let verb = line.split(|byte| byte.is_ascii_whitespace()).next();
    verb.is_some_and(|verb| PROBES.contains(&verb))
}

/// Reads such a line, whole: its answer is of version 2, and the next line is anybody's again.
#[must_use]
pub fn probe(line: &[u8], taken: usize, locked: bool) -> Decoded<'_> {
    let reading = Reading {
        session: Session::NEW,
        locked,
        whole: WHOLE_BYTES_MAX,
    };
    match reading.line_of(line, taken) {
        Decoded::Request(request) => Decoded::Request(Request {
            inside: Inside::Line,
            ..request
        }),
        other => other,
    }
}

impl Reading {
    fn request<'a>(
        self,
        command: Command<'a>,
        shape: Shape,
        taken: usize,
        session: Session,
    ) -> Decoded<'a> {
        Decoded::Request(Request {
            command,
            format: ReplyFormat::Resp(Format {
                v3: session.v3,
                shape,
            }),
            taken,
            inside: Inside::Resp(session),
        })
    }

    /// The answer, and what is left of the request is skipped.
    fn refuse(self, op: Command<'_>, taken: usize, left: u32) -> Decoded<'_> {
        let at = match left {
            0 => At::Request,
            left => At::Skipping(left),
        };
        self.request(op, Shape::Value, taken, self.session.at(at))
    }

    fn refuse_words(self, words: Words, taken: usize, left: u32) -> Decoded<'static> {
        self.refuse(Command::Refuse(Refusal::Words(words)), taken, left)
    }

    /// Nothing to do and nothing to say.
    fn nothing(self, taken: usize) -> Decoded<'static> {
        self.request(
            Command::Resp(Op::Nothing),
            Shape::Value,
            taken,
            self.session.at(At::Request),
        )
    }

    /// An array.
    fn array(self, bytes: &[u8]) -> Decoded<'_> {
        let (count, at) = match frame::array(bytes) {
            Framed::More => return Decoded::More,
            Framed::Broken(words) => return Decoded::HangUp(words),
            Framed::Whole((0, taken)) => return self.nothing(taken),
            Framed::Whole(whole) => whole,
        };
        let name = match frame::bulk(bytes, at) {
            Framed::More => return Decoded::More,
            Framed::Broken(words) => return Decoded::HangUp(words),
            Framed::Whole(name) => name,
        };
        if bytes.len() < name.end() {
            return match name.len <= HEAD_BYTES_MAX {
                true => Decoded::More,
                // No command is called that.
                false => self.refuse_words(words::TOO_LONG, at, count),
            };
        }
        let word = &bytes[name.start..][..name.len];
        let known = Name::of(word);
        if let Some(many) = known.and_then(many)
            && !self.locked
        {
            let known = known.expect("found above");
            let pairs_up = many != Many::Set || count % 2 == 1;
            return match known.takes(count) && pairs_up {
                true => self.begin_keys(bytes, name.end(), many, count - 1),
                false => {
                    let op = Command::Resp(Op::WrongArity(known));
                    self.refuse(op, name.end(), count - 1)
                }
            };
        }
        self.arguments(bytes, (word, known), name.end(), count - 1)
    }

    /// The arguments behind a command's name, all of which are held.
    fn arguments<'a>(
        self,
        bytes: &'a [u8],
        (word, name): (&'a [u8], Option<Name>),
        behind_name: usize,
        count: u32,
    ) -> Decoded<'a> {
        let mut args: [&[u8]; ARGS_MAX] = [b""; ARGS_MAX];
        let mut at = behind_name;
        let mut have = 0;
        let held = (count as usize).min(ARGS_MAX - 1);
        while have < held {
            let bulk = match frame::bulk(bytes, at) {
                // The inbox ends before its length does.
                Framed::More if bytes.len() >= WHOLE_BYTES_MAX => {
                    return self.refuse_words(words::TOO_LONG, behind_name, count);
                }
                Framed::More => return Decoded::More,
                Framed::Broken(words) => return Decoded::HangUp(words),
                Framed::Whole(bulk) => bulk,
            };
            match bytes.get(bulk.start..bulk.end()) {
                Some(arg) => args[have] = &arg[..bulk.len],
                None if bulk.end() > self.whole => {
                    let left = count - have as u32;
                    return self.long(name, &args[..have], bulk, left, (behind_name, count));
                }
                None => return Decoded::More,
            }
            at = bulk.end();
            have += 1;
        }
        let args = &args[..have];
        let Some(name) = name else {
            let shown = [0, 1, 2].map(|no| args.get(no).copied());
            let op = match self.locked {
                true => Command::Refuse(Refusal::Words(words::NO_AUTH)),
                false => Command::Resp(Op::Unknown(word, shown)),
            };
            return self.refuse(op, at, count - have as u32);
        };
        if have < count as usize {
            return self.refuse_words(words::SYNTAX, at, count - have as u32);
        }
        let asked = self.ask(name, args);
        self.request(asked.command, asked.shape, at, asked.session)
    }

    /// An argument reaches beyond what can be held whole: a value, or nothing that is executed.
    fn long<'a>(
        self,
        name: Option<Name>,
        args: &[&'a [u8]],
        bulk: Bulk,
        left: u32,
        (behind_name, count): (usize, u32),
    ) -> Decoded<'a> {
        let refused = |words| self.refuse_words(words, behind_name, count);
        if self.locked {
            return refused(words::NO_AUTH);
        }
        let (how, lifetime, shape) = match (name, args) {
            (Some(Name::Set), [_]) if left == 1 => (How::Always, Lifetime::Forever, Shape::Status),
            (Some(Name::Set), [_]) => (How::Always, ANY_LIFETIME, Shape::Status),
            (Some(Name::SetNx), [_]) if left == 1 => (How::Absent, Lifetime::Forever, Shape::Flag),
            (Some(name @ (Name::SetEx | Name::PSetEx)), [_, number]) if left == 1 => {
                match time(unit_of(name), number) {
                    Ok(lifetime) => (How::Always, lifetime, Shape::Status),
                    Err(Wrong::Words(words)) => return refused(words),
                    Err(Wrong::Time) => {
                        let op = Command::Resp(Op::BadTime(name));
                        return self.refuse(op, behind_name, count);
                    }
                }
            }
            _ => return refused(words::TOO_LONG),
        };
        let key = args[0];
        if !is_key(key) {
            return refused(words::BAD_KEY);
        }
        Decoded::Long(LongHead::Store {
            storing: Storing::Plain {
                key,
                terms: terms(how, lifetime),
            },
            value_len: Some(bulk.len),
            format: ReplyFormat::Resp(Format {
                v3: self.session.v3,
                shape,
            }),
            taken: bulk.start,
            inside: Inside::Resp(self.session.at(match left {
                1 => At::Request,
                left => At::Options(left - 1),
            })),
        })
    }

    /// What stands behind a long value.
    fn options(self, bytes: &[u8], left: u32) -> Decoded<'_> {
        let mut args: [&[u8]; ARGS_MAX] = [b""; ARGS_MAX];
        let mut at = 0;
        let held = (left as usize).min(ARGS_MAX);
        for slot in &mut args[..held] {
            let bulk = match frame::bulk(bytes, at) {
                Framed::More => return Decoded::More,
                Framed::Broken(words) => return Decoded::HangUp(words),
                Framed::Whole(bulk) => bulk,
            };
            if bulk.end() > HEAD_BYTES_MAX {
                return self.refuse_words(words::SYNTAX, 0, left);
            }
            match bytes.get(bulk.start..bulk.end()) {
                Some(arg) => *slot = &arg[..bulk.len],
                None => return Decoded::More,
            }
            at = bulk.end();
        }
        if held < left as usize {
            return self.refuse_words(words::SYNTAX, at, left - held as u32);
        }
        let between = self.session.at(At::Request);
        let command = match SetOptions::parse(&args[..held]) {
            Ok(options) => match options.plain() {
                Some((how, lifetime)) => Command::Settle(terms(how, lifetime)),
                None => Command::Refuse(Refusal::Words(words::LONG_VALUE)),
            },
            Err(Wrong::Words(words)) => Command::Refuse(Refusal::Words(words)),
            Err(Wrong::Time) => Command::Resp(Op::BadTime(Name::Set)),
        };
        self.request(command, Shape::Status, at, between)
    }

    /// Forgets the next argument of a refused request.
    fn skip(self, bytes: &[u8], left: u32) -> Decoded<'_> {
        match frame::bulk(bytes, 0) {
            Framed::More => Decoded::More,
            Framed::Broken(words) => Decoded::HangUp(words),
            Framed::Whole(bulk) => Decoded::Long(LongHead::Skip {
                words: words::NOTHING,
                rest: Rest::bytes(bulk.len + 2),
                taken: bulk.start,
                inside: Inside::Resp(self.session.at(match left {
                    1 => At::Request,
                    left => At::Skipping(left - 1),
                })),
            }),
        }
    }

    /// A list of `left` keys, or keys with values, begins at `bytes[at..]`.
    fn begin_keys(self, bytes: &[u8], at: usize, many: Many, left: u32) -> Decoded<'_> {
        if many == Many::Get {
            // Its answer's head is an answer of its own.
            let session = self.session.at(At::Keys(many, left));
            return self.request(Command::Resp(Op::Array(left)), Shape::Value, at, session);
        }
        self.next_key(bytes, at, many, left)
    }

    /// The next key of a list, of which `left` arguments are left.
    fn next_key(self, bytes: &[u8], from: usize, many: Many, left: u32) -> Decoded<'_> {
        let bulk = match frame::bulk(bytes, from) {
            // From where the list goes on: no need to hold what was before.
            Framed::More => return Decoded::More,
            Framed::Broken(words) => return Decoded::HangUp(words),
            Framed::Whole(bulk) => bulk,
        };
        let is_set = many == Many::Set;
        let taken = 1 + u32::from(is_set);
        let rest = left - taken.min(left);
        let shape = match many {
            Many::Get => Shape::Value,
            Many::Set => Shape::All { last: rest == 0 },
            Many::Delete | Many::Exists | Many::Touch => Shape::Sum { last: rest == 0 },
        };
        let after = self.session.at(match rest {
            0 => At::Request,
            rest => At::Keys(many, rest),
        });
        if bulk.len > KEY_BYTES_MAX || bulk.len == 0 {
            // Nothing is there under such a key; and nothing can be stored.
            return match (bytes.len() >= bulk.end(), is_set) {
                (false, false) if bulk.len <= HEAD_BYTES_MAX => Decoded::More,
                (true, false) => {
                    let op = Command::Resp(Op::Absent);
                    self.request(op, shape, bulk.end(), after)
                }
                _ => self.refuse_words(words::BAD_KEY, from, left),
            };
        }
        let Some(key) = bytes.get(bulk.start..bulk.end()) else {
            return Decoded::More;
        };
        let key = &key[..bulk.len];
        let command = match many {
            Many::Get => Command::Get { key },
            Many::Delete => Command::Delete { key },
            Many::Exists | Many::Touch => Command::Resp(Op::Exists(key)),
            Many::Set => return self.next_pair(bytes, (key, bulk.end()), shape, after),
        };
        self.request(command, shape, bulk.end(), after)
    }

    /// The value behind a key of `MSET`.
    fn next_pair<'a>(
        self,
        bytes: &'a [u8],
        (key, at): (&'a [u8], usize),
        shape: Shape,
        after: Session,
    ) -> Decoded<'a> {
        let bulk = match frame::bulk(bytes, at) {
            Framed::More => return Decoded::More,
            Framed::Broken(words) => return Decoded::HangUp(words),
            Framed::Whole(bulk) => bulk,
        };
        let terms = terms(How::Always, Lifetime::Forever);
        if let Some(value) = bytes.get(bulk.start..bulk.end()) {
            let value = &value[..bulk.len];
            let command = Command::Store { key, value, terms };
            return self.request(command, shape, bulk.end(), after);
        }
        if bulk.end() <= self.whole {
            return Decoded::More;
        }
        Decoded::Long(LongHead::Store {
            storing: Storing::Plain { key, terms },
            value_len: Some(bulk.len),
            format: ReplyFormat::Resp(Format {
                v3: self.session.v3,
                shape,
            }),
            taken: bulk.start,
            inside: Inside::Resp(after),
        })
    }

    /// A line of words.
    fn line(self, bytes: &[u8]) -> Decoded<'_> {
        let Some(end) = newline(bytes) else {
            return match bytes.len() > HEAD_BYTES_MAX + 1 {
                true => Decoded::HangUp(words::LONG_LINE),
                false => Decoded::More,
            };
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        if line.len() > HEAD_BYTES_MAX {
            return Decoded::HangUp(words::LONG_LINE);
        }
        if is_http_line(line) {
            return Decoded::HangUp(b"");
        }
        self.line_of(line, end + 1)
    }

    fn line_of(self, line: &[u8], taken: usize) -> Decoded<'_> {
        let mut args: [&[u8]; ARGS_MAX] = [b""; ARGS_MAX];
        let mut have = 0;
        let split = frame::split(line, |word| {
            if let Some(slot) = args.get_mut(have) {
                *slot = word;
            }
            have += 1;
        });
        if split.is_none() {
            return Decoded::HangUp(words::UNBALANCED);
        }
        if have == 0 {
            return self.nothing(taken);
        }
        let (word, args) = (args[0], &args[1..have.min(ARGS_MAX)]);
        let Some(name) = Name::of(word) else {
            let shown = [0, 1, 2].map(|no| args.get(no).copied());
            let op = match self.locked {
                true => Command::Refuse(Refusal::Words(words::NO_AUTH)),
                false => Command::Resp(Op::Unknown(word, shown)),
            };
            return self.refuse(op, taken, 0);
        };
        // Of lists, a line has one key: they are sent as arrays.
        if have > ARGS_MAX
            || many(name).is_some() && args.len() != 1 + usize::from(name == Name::MSet)
        {
            return self.refuse_words(words::SYNTAX, taken, 0);
        }
        let asked = self.ask(name, args);
        self.request(asked.command, asked.shape, taken, asked.session)
    }

    /// What a command with its arguments asks.
    fn ask<'a>(self, name: Name, args: &[&'a [u8]]) -> Asked<'a> {
        let mut asked = Asked {
            command: Command::Resp(Op::Nothing),
            shape: Shape::Value,
            session: self.session.at(At::Request),
        };
        let is_open = matches!(name, Name::Auth | Name::Hello | Name::Quit | Name::Reset);
        asked.command = if self.locked && !is_open {
            Command::Refuse(Refusal::Words(words::NO_AUTH))
        } else if !name.takes(1 + args.len() as u32) {
            Command::Resp(Op::WrongArity(name))
        } else {
            let found = match name.spec().first_key == 1 {
                true if !is_key(args[0]) => Err(Wrong::Words(words::BAD_KEY)),
                true => self.ask_of_key(name, args[0], &args[1..], &mut asked),
                false => self.ask_server(name, args, &mut asked),
            };
            match found {
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
            (Name::GetSet, [value]) => {
                let options = SetOptions {
                    get: true,
                    ..SetOptions::default()
                };
                Command::Resp(Op::Set(key, value, options))
            }
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
            (Name::Persist, _) => Command::Resp(Op::Persist(key)),
            (Name::Ttl, _) => Command::Resp(Op::Ttl(key, Ttl::Seconds)),
            (Name::PTtl, _) => Command::Resp(Op::Ttl(key, Ttl::Millis)),
            (Name::ExpireTime, _) => Command::Resp(Op::Ttl(key, Ttl::UnixSeconds)),
            (Name::PExpireTime, _) => Command::Resp(Op::Ttl(key, Ttl::UnixMillis)),
            (Name::Type, _) => Command::Resp(Op::Type(key)),
            (Name::Del | Name::Unlink, _) => {
                asked.shape = Shape::Sum { last: true };
                Command::Delete { key }
            }
            (Name::Exists | Name::Touch, _) => {
                asked.shape = Shape::Sum { last: true };
                Command::Resp(Op::Exists(key))
            }
            (Name::MSet, [value]) => {
                asked.shape = Shape::All { last: true };
                store(value, How::Always, Lifetime::Forever)
            }
            _ => return Err(Wrong::Words(words::SYNTAX)),
        })
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
            Name::Ping => match args {
                [] => Command::Resp(Op::Ping(None)),
                [message] => Command::Resp(Op::Ping(Some(message))),
                _ => Command::Resp(Op::WrongArity(name)),
            },
            Name::Echo => Command::Resp(Op::Ping(Some(args[0]))),
            Name::Quit => Command::Quit,
            Name::Reset => {
                asked.session = Session::NEW;
                Command::Resp(Op::Status("RESET"))
            }
            Name::Hello => return self.hello(args, asked),
            Name::Auth => {
                asked.shape = Shape::Status;
                match args {
                    [password] => login(b"default", password),
                    [user, password] => login(user, password),
                    _ => return Err(Wrong::Words(words::SYNTAX)),
                }
            }
            Name::Select => match parse_i64(args[0]) {
                Some(0) => ok,
                Some(_) => return Err(Wrong::Words(words::BAD_DB)),
                None => return Err(Wrong::Words(words::NOT_INTEGER)),
            },
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
            Name::DbSize => Command::Resp(Op::DbSize),
            Name::Debug => match args {
                [_, seconds] if is(0, b"SLEEP") => match parse_i64(seconds) {
                    Some(seconds) => Command::MoveClock { seconds },
                    None => return unknown,
                },
                _ => return unknown,
            },
            Name::FlushAll | Name::FlushDb => match args {
                [] => flush(),
                [_] if is(0, b"ASYNC") || is(0, b"SYNC") => flush(),
                _ => return Err(Wrong::Words(words::SYNTAX)),
            },
            // There are none: removing all of them is done.
            Name::Function if is(0, b"FLUSH") => ok,
            Name::Info => match args {
                [] => Command::Resp(Op::Info(None)),
                [section] => Command::Resp(Op::Info(Some(section))),
                _ => Command::Resp(Op::Info(None)),
            },
            Name::Latency if is(0, b"LATEST") => Command::Resp(Op::Empty),
            Name::Latency if is(0, b"RESET") => Command::Resp(Op::Number(0)),
            Name::SlowLog if is(0, b"GET") => Command::Resp(Op::Empty),
            Name::SlowLog if is(0, b"LEN") => Command::Resp(Op::Number(0)),
            Name::SlowLog if is(0, b"RESET") => ok,
            Name::Module if is(0, b"LIST") => Command::Resp(Op::Empty),
            Name::Memory if is(0, b"USAGE") && args.len() > 1 => {
                about(args[1], About::MemoryUsage)?
            }
            Name::Object if args.len() == 2 => {
                let what = match () {
                    () if is(0, b"ENCODING") => About::Encoding,
                    () if is(0, b"IDLETIME") => About::IdleTime,
                    () if is(0, b"REFCOUNT") => About::RefCount,
                    () => return unknown,
                };
                about(args[1], what)?
            }
            Name::Shutdown => Command::Shutdown {
                mistake: (args.len() > 1).then_some(words::SYNTAX),
            },
            Name::Time => Command::Resp(Op::Time),
            // Nobody follows this server: nobody has to be waited for.
            Name::Wait => match (parse_u64(args[0]), parse_u64(args[1])) {
                (Some(_), Some(_)) => Command::Resp(Op::Number(0)),
                _ => return Err(Wrong::Words(words::NOT_INTEGER)),
            },
            _ => return unknown,
        })
    }

    /// `HELLO [2|3 [AUTH user password] [SETNAME name]]`
    fn hello<'a>(self, args: &[&'a [u8]], asked: &mut Asked<'a>) -> Result<Command<'a>, Wrong> {
        let mut v3 = self.session.v3;
        let mut secret = None;
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
                } else if !option.eq_ignore_ascii_case(b"SETNAME") || options.next().is_none() {
                    return Err(Wrong::Words(words::SYNTAX));
                }
            }
        }
        if self.locked && secret.is_none() {
            return Err(Wrong::Words(words::NO_AUTH_HELLO));
        }
        asked.shape = Shape::Hello;
        asked.session.v3 = v3;
        Ok(match secret {
            // Where nobody has to log in, everybody is who they say.
            Some((user, password)) if self.locked => login(user, password),
            _ => Command::Resp(Op::Hello),
        })
    }
}

/// A lifetime for a value whose own is told behind it: in the middle of a second, so that there is room for any other.
const ANY_LIFETIME: Lifetime = Lifetime::UntilMillis(4_000_000_000_001);

/// Which list of keys a command has.
#[inline]
fn many(name: Name) -> Option<Many> {
    Some(match name {
        Name::MGet => Many::Get,
        Name::Del | Name::Unlink => Many::Delete,
        Name::Exists => Many::Exists,
        Name::Touch => Many::Touch,
        Name::MSet => Many::Set,
        _ => return None,
    })
}

fn unit_of(name: Name) -> Unit {
    match name {
        Name::PSetEx | Name::PExpire => Unit::Millis,
        Name::ExpireAt => Unit::UnixSeconds,
        Name::PExpireAt => Unit::UnixMillis,
        _ => Unit::Seconds,
    }
}

fn terms(how: How, lifetime: Lifetime) -> Terms {
    Terms {
        how,
        ..Terms::plain(lifetime)
    }
}

/// Redis' default user is the one with a token.
fn login<'a>(user: &'a [u8], password: &'a [u8]) -> Command<'a> {
    Command::Login {
        user: if user == b"default" { b"" } else { user },
        password,
    }
}

fn flush() -> Command<'static> {
    Command::Flush {
        when: Lifetime::Past,
    }
}

fn about(key: &[u8], what: About) -> Result<Command<'_>, Wrong> {
    match is_key(key) {
        true => Ok(Command::Resp(Op::Object(key, what))),
        false => Err(Wrong::Words(words::BAD_KEY)),
    }
}

#[inline]
fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX
}
