//! Bytes of RESP → [`Command`].

mod line;
mod messages;
mod several;

use super::ask::{Asked, ask, is_key, terms, unit_of};
use super::command::Op;
use super::encode::{Format, Shape};
use super::frame::{self, Bulk, Framed};
use super::messages::kind_of;
use super::names::Name;
use super::pubsub::Messages;
use super::queue;
use super::session::{At, Many, Session};
use super::set::{SetOptions, Wrong, time};
use super::words;
use crate::proto::scan::{is_http_line, newline};
use crate::proto::{
    Command, Decoded, HEAD_BYTES_MAX, How, Inside, LONG_KEY_BYTES_MAX, Lifetime, LongHead, Refusal,
    ReplyFormat, Request, Rest, Storing, WHOLE_BYTES_MAX, Words,
};

/// No command that is not a list of keys has more arguments, its name counted.
const ARGS_MAX: usize = 16;

/// A request under way.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) session: Session,
    /// The client has to log in first.
    pub(super) locked: bool,
    /// What reaches farther, and is not there, is not held whole.
    pub(super) whole: usize,
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
        (At::Swap, _) => {
            let swap = Command::Resp(Op::Settle(SetOptions::GET));
            reading.request(swap, Shape::Value, 0, session.at(At::Request))
        }
        (_, None) => Decoded::More,
        (At::Request, Some(b'*')) => reading.array(bytes),
        (At::Request, Some(_)) => reading.line(bytes),
        (At::Keys(many, left), _) => reading.next_key(bytes, 0, many, left),
        (At::Passing(many, left), _) => reading.forget(bytes, left, |left| At::Keys(many, left)),
        (At::Skipping(left), _) => reading.forget(bytes, left, At::Skipping),
        (At::Kept(many, left), _) => reading.keep_keys(bytes, 0, many, left),
        (At::Options(left), _) => reading.options(bytes, left),
    }
}

/// Whether a line of words on an address for all protocols is one of Redis': their probes send these. (`AUTH` is a word of
/// the native protocol.)
#[must_use]
pub fn is_probe(line: &[u8]) -> bool {
    const PROBES: [&[u8]; 8] = [
        b"PING", b"INFO", b"HELLO", b"COMMAND", b"ECHO", b"SELECT", b"CLIENT", b"CONFIG",
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
        // Nobody remembers a database for the next line.
        Decoded::Request(request) if matches!(request.inside, Inside::Resp(session) if session.database() > 0) => {
            Decoded::Request(Request {
                command: Command::Refuse(Refusal::Words(words::BAD_DB)),
                inside: Inside::Line,
                ..request
            })
        }
        Decoded::Request(request) => Decoded::Request(Request {
            inside: Inside::Line,
            ..request
        }),
        other => other,
    }
}

impl Reading {
    pub(super) fn request<'a>(
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

    pub(super) fn answered<'a>(self, asked: Asked<'a>, taken: usize) -> Decoded<'a> {
        Decoded::Request(Request {
            command: asked.command,
            format: ReplyFormat::Resp(Format {
                v3: asked.v3,
                shape: asked.shape,
            }),
            taken,
            inside: Inside::Resp(asked.session),
        })
    }

    /// The answer, and what is left of the request is skipped.
    pub(super) fn refuse(self, op: Command<'_>, taken: usize, left: u32) -> Decoded<'_> {
        let at = match left {
            0 => At::Request,
            left => At::Skipping(left),
        };
        self.request(op, Shape::Value, taken, self.session.at(at))
    }

    pub(super) fn refuse_words(self, words: Words, taken: usize, left: u32) -> Decoded<'static> {
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
        if let Some(refused) = self.only_messages(known, (count, count - 1), name.end()) {
            return refused;
        }
        if self.session.is_multi() && !known.is_some_and(queue::is_immediate) {
            return self.keep_array(bytes, (word, known), name.end(), count - 1);
        }
        if let Some(many) = known.and_then(many)
            && !self.locked
            && !self.session.is_multi()
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
        if let Some(known @ (Name::MSetNx | Name::MSetEx)) = known
            && !self.locked
        {
            return self.set_many(bytes, known, name.end(), count - 1);
        }
        if known == Some(Name::PubSub)
            && let Some(decoded) = self.num_sub(bytes, name.end(), count - 1)
        {
            return decoded;
        }
        self.arguments(bytes, (word, known), name.end(), count - 1)
    }

    /// The arguments behind a command's name, all of which are held.
    pub(super) fn arguments<'a>(
        self,
        bytes: &'a [u8],
        (word, name): (&'a [u8], Option<Name>),
        behind_name: usize,
        count: u32,
    ) -> Decoded<'a> {
        let mut args: [&[u8]; ARGS_MAX] = [b""; ARGS_MAX];
        let mut at = behind_name;
        let mut have = 0;
        // Of `SET`: where only what stands behind it is too much, it is streamed like one that is longer.
        let mut value = None;
        let held = (count as usize).min(ARGS_MAX - 1);
        while have < held {
            let bulk = match frame::bulk(bytes, at) {
                // The inbox ends before its length does.
                Framed::More if bytes.len() >= WHOLE_BYTES_MAX => match value {
                    Some(value) => {
                        return self.long(name, &args[..1], value, count - 1, (behind_name, count));
                    }
                    None => return self.refuse_words(words::TOO_LONG, behind_name, count),
                },
                Framed::More => return Decoded::More,
                Framed::Broken(words) => return Decoded::HangUp(words),
                Framed::Whole(bulk) => bulk,
            };
            match bytes.get(bulk.start..bulk.end()) {
                Some(arg) => args[have] = &arg[..bulk.len],
                None if bulk.end() > self.whole => {
                    if let Some(value) = value {
                        return self.long(name, &args[..1], value, count - 1, (behind_name, count));
                    }
                    let left = count - have as u32;
                    return self.long(name, &args[..have], bulk, left, (behind_name, count));
                }
                None => return Decoded::More,
            }
            if have == 1 && name == Some(Name::Set) && self.whole > 0 {
                value = Some(bulk);
            }
            at = bulk.end();
            have += 1;
        }
        let args = &args[..have];
        let Some(name) = name else {
            let shown = [0, 1, 2].map(|no| args.get(no).copied());
            let op = Command::Resp(Op::Unknown(word, shown));
            return self.refuse(op, at, count - have as u32);
        };
        if have < count as usize {
            return self.refuse_words(words::SYNTAX, at, count - have as u32);
        }
        if self.session.is_multi() {
            return self.asked_inside(name, args, at);
        }
        let asked = ask(name, args, self.session, self.locked);
        self.answered(asked, at)
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
            (Some(name @ (Name::Publish | Name::SPublish)), [channel]) if left == 1 => {
                return match self.long_message(name, channel, bulk) {
                    Ok(head) => Decoded::Long(head),
                    Err(words) => refused(words),
                };
            }
            (Some(Name::Set), [_]) if left == 1 => (How::Always, Lifetime::Forever, Shape::Status),
            (Some(Name::Set), [_]) => (How::Always, ANY_LIFETIME, Shape::Status),
            (Some(Name::GetSet), [_]) if left == 1 => (How::Always, ANY_LIFETIME, Shape::Value),
            (Some(Name::Append), [_]) if left == 1 => {
                (How::BehindAny, Lifetime::Forever, Shape::Length)
            }
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
            return refused(words::LONG_KEY);
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
            inside: Inside::Resp(self.session.at(match (name, left) {
                (Some(Name::GetSet), _) => At::Swap,
                (_, 1) => At::Request,
                (_, left) => At::Options(left - 1),
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
                return self.refuse_words(words::LONG_OPTION, 0, left);
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
                None => Command::Resp(Op::Settle(options)),
            },
            Err(Wrong::Words(words)) => Command::Refuse(Refusal::Words(words)),
            Err(Wrong::Time) => Command::Resp(Op::BadTime(Name::Set)),
        };
        self.request(command, Shape::Status, at, between)
    }

    /// Forgets the next argument, of `left`: of a refused request, or a key that was answered already.
    fn forget(self, bytes: &[u8], left: u32, more: impl FnOnce(u32) -> At) -> Decoded<'_> {
        let after = match left {
            1 => At::Request,
            left => more(left - 1),
        };
        match frame::bulk(bytes, 0) {
            Framed::More => Decoded::More,
            Framed::Broken(words) => Decoded::HangUp(words),
            Framed::Whole(bulk) => Decoded::Long(LongHead::Skip {
                answer: None,
                rest: Rest::bytes(bulk.len + 2),
                taken: bulk.start,
                inside: Inside::Resp(self.session.at(after)),
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
        if let (Many::Unsubscribe(kind), 0) = (many, left) {
            let op = Command::Resp(Op::Messages(Messages::UnsubscribeAll(kind)));
            return self.request(op, Shape::Value, at, self.session.at(At::Request));
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
        if let Many::Subscribe(_) | Many::Unsubscribe(_) | Many::NumSub(_) = many {
            return self.next_name(bytes, (from, bulk), many, left);
        }
        let is_set = many == Many::Set;
        let taken = 1 + u32::from(is_set);
        let rest = left - taken.min(left);
        let shape = match many {
            Many::Get => Shape::Value,
            Many::Set | Many::Watch => Shape::All { last: rest == 0 },
            _ => Shape::Sum { last: rest == 0 },
        };
        let after = self.session.at(match rest {
            0 => At::Request,
            rest => At::Keys(many, rest),
        });
        if bulk.len > LONG_KEY_BYTES_MAX {
            // Nothing can be stored under such a key; and nothing is there.
            if is_set || many == Many::Watch {
                return self.refuse_words(words::LONG_KEY, from, left);
            }
            let passing = self.session.at(At::Passing(many, left));
            return self.request(Command::Resp(Op::Absent), shape, from, passing);
        }
        let Some(key) = bytes.get(bulk.start..bulk.end()) else {
            return Decoded::More;
        };
        let key = &key[..bulk.len];
        let command = match many {
            Many::Get => Command::Get { key },
            Many::Delete => Command::Delete { key },
            Many::Watch => Command::Resp(Op::Watch(key)),
            Many::Set => return self.next_pair(bytes, (key, bulk.end()), shape, after),
            _ => Command::Resp(Op::Exists(key)),
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
}

/// A lifetime for a value whose own is told behind it: in the middle of a second, so that there is room for any other.
const ANY_LIFETIME: Lifetime = Lifetime::UntilMillis(4_000_000_000_001);

/// Which list of keys a command has.
#[inline]
pub(super) fn many(name: Name) -> Option<Many> {
    Some(match name {
        Name::MGet => Many::Get,
        Name::Del | Name::Unlink => Many::Delete,
        Name::Exists => Many::Exists,
        Name::Touch => Many::Touch,
        Name::MSet => Many::Set,
        Name::Watch => Many::Watch,
        Name::Subscribe | Name::PSubscribe | Name::SSubscribe => Many::Subscribe(kind_of(name)),
        Name::Unsubscribe | Name::PUnsubscribe | Name::SUnsubscribe => {
            Many::Unsubscribe(kind_of(name))
        }
        _ => return None,
    })
}
