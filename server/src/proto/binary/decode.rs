//! Requests of the binary protocol → [`Command`].
//!
//! What is wrong with a header is known before its body is here. Lengths that do not fit are answered, and the connection is
//! closed: nobody knows what the bytes behind them are. Behind a command that is not known its body is skipped.

use super::command::{Count, Op, Store};
use super::login::{LOGIN_BYTES_MAX, MECHANISM_BYTES_MAX, Session, login};
use super::opcode::{Opcode, Verb};
use super::{Format, HEADER_BYTES, Head, MAGIC};
use crate::proto::exptime::lifetime;
use crate::proto::{
    Answer, Command, Decoded, How, KEY_BYTES_MAX, Lifetime, LongHead, Refusal, ReplyFormat,
    Request, Rest, Storing, Terms, Topic, WHOLE_BYTES_MAX, Word,
};

/// A longer body is a mistake: memcached's largest item.
const BODY_BYTES_MAX: usize = 1 << 30;
/// A number that is not there is not made.
const NO_CREATE: u32 = u32::MAX;

/// Reads one request from the front of `bytes`.
#[inline]
pub fn decode(bytes: &[u8], session: Session, locked: bool) -> Decoded<'_> {
    decode_within(bytes, session, locked, WHOLE_BYTES_MAX)
}

/// The same, where a store of more than `whole` bytes is not held whole.
#[inline]
pub fn decode_within(bytes: &[u8], session: Session, locked: bool, whole: usize) -> Decoded<'_> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return match bytes.first() {
            Some(&MAGIC) | None => Decoded::More,
            Some(_) => Decoded::HangUp(b""),
        };
    };
    if header[0] != MAGIC {
        return Decoded::HangUp(b"");
    }
    let frame = Frame::of(header, session);
    match frame.check(locked) {
        Ok(opcode) => frame.read(opcode, bytes, whole),
        Err(Wrong::Unknown) => frame.refuse(Refusal::Malformed, bytes),
        Err(Wrong::Lengths) => frame.close(Refusal::BadLengths),
        Err(Wrong::Frame) => frame.close(Refusal::Malformed),
        Err(Wrong::Locked) => frame.close(Refusal::LoginFailed),
    }
}

/// What is wrong with a header.
enum Wrong {
    /// Key and extras are longer than the body.
    Frame,
    /// A length is not what the command has.
    Lengths,
    /// Nobody has logged in.
    Locked,
    /// There is no such command.
    Unknown,
}

/// A header.
#[derive(Clone, Copy)]
struct Frame {
    head: Head,
    key_len: usize,
    extras_len: usize,
    body_len: usize,
    cas: u64,
    session: Session,
}

impl Frame {
    #[inline]
    fn of(header: &[u8; HEADER_BYTES], session: Session) -> Self {
        Frame {
            head: Head {
                opcode: header[1],
                opaque: [header[12], header[13], header[14], header[15]],
            },
            key_len: usize::from(u16::from_be_bytes([header[2], header[3]])),
            extras_len: usize::from(header[4]),
            body_len: number_at(header, 8) as usize,
            cas: long_number_at(header, 16),
            session,
        }
    }

    /// The command, if every length is what it has to be.
    #[inline]
    fn check(&self, locked: bool) -> Result<Opcode, Wrong> {
        let before_value = self.key_len + self.extras_len;
        if before_value > self.body_len {
            return Err(Wrong::Frame);
        }
        if self.body_len > BODY_BYTES_MAX {
            return Err(Wrong::Lengths);
        }
        let opcode = self.head.opcode();
        let is_open = |opcode: Opcode| {
            matches!(
                opcode.verb,
                Verb::Version | Verb::Mechanisms | Verb::Auth | Verb::Step
            )
        };
        if locked && !opcode.is_some_and(is_open) {
            return Err(Wrong::Locked);
        }
        if self.key_len > KEY_BYTES_MAX {
            return Err(Wrong::Lengths);
        }
        let opcode = opcode.ok_or(Wrong::Unknown)?;
        let (extras, key, value) = (
            self.extras_len,
            self.key_len > 0,
            self.body_len > before_value,
        );
        let fits = match opcode.verb {
            Verb::Get | Verb::Delete => extras == 0 && key && !value,
            Verb::Set | Verb::Add | Verb::Replace => extras == 8 && key,
            Verb::Increment | Verb::Decrement => extras == 20 && key && !value,
            Verb::Quit | Verb::Noop | Verb::Version | Verb::Mechanisms => self.body_len == 0,
            Verb::Flush => matches!(extras, 0 | 4) && !key && !value,
            Verb::Append | Verb::Prepend | Verb::Auth | Verb::Step => extras == 0 && key,
            Verb::Stat => extras == 0 && !value,
            Verb::Verbosity => extras == 4 && !key && !value,
            Verb::Touch | Verb::GetAndTouch => extras == 4 && key && !value,
        };
        match fits {
            true => Ok(opcode),
            false => Err(Wrong::Lengths),
        }
    }

    /// Where the request ends.
    #[inline]
    fn end(&self) -> usize {
        HEADER_BYTES + self.body_len
    }

    #[inline]
    fn request<'a>(self, command: Command<'a>, key: &'a [u8], session: Session) -> Decoded<'a> {
        Decoded::Request(Request {
            command,
            format: ReplyFormat::Binary(Format {
                head: self.head,
                key,
            }),
            taken: self.end(),
            inside: session.inside(),
        })
    }

    /// The answer, and nothing behind it.
    fn close(self, refusal: Refusal) -> Decoded<'static> {
        Decoded::Request(Request {
            command: Command::Binary(Op::Close(Some(refusal))),
            format: ReplyFormat::Binary(Format::plain(self.head)),
            taken: HEADER_BYTES,
            inside: self.session.inside(),
        })
    }

    /// The answer behind the whole body, which is skipped.
    fn refuse(self, refusal: Refusal, bytes: &[u8]) -> Decoded<'static> {
        if bytes.len() >= self.end() {
            return self.request(Command::Refuse(refusal), b"", self.session);
        }
        if self.end() <= WHOLE_BYTES_MAX {
            return Decoded::More;
        }
        Decoded::Long(LongHead::Skip {
            answer: Some(Answer::Brief(self.head.refused(refusal))),
            rest: Rest::bytes(self.body_len),
            taken: HEADER_BYTES,
            inside: self.session.inside(),
        })
    }

    /// A request whose header is in order.
    #[inline]
    fn read<'a>(self, opcode: Opcode, bytes: &'a [u8], whole: usize) -> Decoded<'a> {
        let value_at = HEADER_BYTES + self.extras_len + self.key_len;
        if bytes.len() < value_at {
            return Decoded::More;
        }
        let extras = &bytes[HEADER_BYTES..][..self.extras_len];
        let key = &bytes[value_at - self.key_len..value_at];
        if let Some(store) = self.store(opcode, extras, key) {
            return self.stored(store, value_at, bytes, whole);
        }
        if matches!(opcode.verb, Verb::Auth | Verb::Step) {
            return self.login(opcode.verb, key, value_at, bytes);
        }
        // Nothing else has a value.
        let repeated = if opcode.has_key { key } else { b"" };
        let command = match opcode.verb {
            Verb::Get => Command::Get { key },
            Verb::GetAndTouch => Command::GetAndTouch {
                key,
                lifetime: lifetime_at(extras, 0),
            },
            Verb::Delete if self.cas == 0 => Command::Delete { key },
            _ => other(self, opcode, extras, key),
        };
        self.request(command, repeated, self.session)
    }

    /// How the request stores, if it does.
    #[inline]
    fn store<'a>(&self, opcode: Opcode, extras: &[u8], key: &'a [u8]) -> Option<Store<'a>> {
        let how = match opcode.verb {
            // With a CAS number all three are the same.
            Verb::Set | Verb::Add | Verb::Replace if self.cas != 0 => How::Same(self.cas),
            Verb::Set => How::Always,
            Verb::Add => How::Absent,
            Verb::Replace => How::Present,
            Verb::Append => How::Behind,
            Verb::Prepend => How::Before,
            _ => return None,
        };
        let terms = match extras.is_empty() {
            true => Terms {
                how,
                ..Terms::plain(Lifetime::Forever)
            },
            false => Terms {
                how,
                client_flags: number_at(extras, 0),
                lifetime: lifetime_at(extras, 4),
                too_long_drops: opcode.verb == Verb::Set,
            },
        };
        Some(Store {
            key,
            terms,
            compare: self.cas,
            asks_cas: !opcode.is_quiet,
        })
    }

    #[inline]
    fn stored<'a>(
        self,
        store: Store<'a>,
        value_at: usize,
        bytes: &'a [u8],
        whole: usize,
    ) -> Decoded<'a> {
        if let Some(value) = bytes.get(value_at..self.end()) {
            let command = Command::Binary(Op::Store { store, value });
            return self.request(command, b"", self.session);
        }
        if self.end() <= whole {
            return Decoded::More;
        }
        Decoded::Long(LongHead::Store {
            storing: Storing::Binary(store),
            value_len: Some(self.end() - value_at),
            format: ReplyFormat::Binary(Format::plain(self.head)),
            taken: value_at,
            inside: self.session.inside(),
        })
    }

    fn login<'a>(
        self,
        verb: Verb,
        mechanism: &[u8],
        value_at: usize,
        bytes: &'a [u8],
    ) -> Decoded<'a> {
        if mechanism.len() > MECHANISM_BYTES_MAX {
            return self.refuse(Refusal::BadLengths, bytes);
        }
        if self.end() - value_at > LOGIN_BYTES_MAX {
            return self.refuse(Refusal::LoginFailed, bytes);
        }
        let Some(value) = bytes.get(value_at..self.end()) else {
            return Decoded::More;
        };
        let (op, session) = login(self.session, verb, mechanism, value);
        self.request(Command::Binary(op), b"", session)
    }
}

/// A number of four bytes.
#[inline]
fn number_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..].first_chunk().copied();
    u32::from_be_bytes(bytes.unwrap_or_default())
}

/// A number of eight bytes.
#[inline]
fn long_number_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..].first_chunk().copied();
    u64::from_be_bytes(bytes.unwrap_or_default())
}

/// A lifetime of four bytes, which is never below 0.
#[inline]
fn lifetime_at(extras: &[u8], at: usize) -> Lifetime {
    lifetime(i64::from(number_at(extras, at)))
}

/// The commands that are seldom.
fn other<'a>(frame: Frame, opcode: Opcode, extras: &[u8], key: &'a [u8]) -> Command<'a> {
    match opcode.verb {
        Verb::Delete => Command::Binary(Op::Delete {
            key,
            compare: frame.cas,
        }),
        Verb::Increment | Verb::Decrement => {
            let creates = number_at(extras, 16) != NO_CREATE;
            Command::Binary(Op::Count(Count {
                key,
                up: opcode.verb == Verb::Increment,
                by: long_number_at(extras, 0),
                create: creates.then(|| (long_number_at(extras, 8), lifetime_at(extras, 16))),
                compare: frame.cas,
                asks_cas: !opcode.is_quiet,
            }))
        }
        Verb::Touch => Command::Binary(Op::Touch {
            key,
            lifetime: lifetime_at(extras, 0),
        }),
        Verb::Flush => Command::Flush {
            // No delay is no delay, not "never".
            when: match extras.is_empty() || number_at(extras, 0) == 0 {
                true => Lifetime::Past,
                false => lifetime_at(extras, 0),
            },
        },
        Verb::Stat => match key {
            b"" => Command::Stats(Topic::General),
            b"settings" => Command::Stats(Topic::Settings),
            b"items" => Command::Stats(Topic::Items),
            b"slabs" => Command::Stats(Topic::Slabs),
            b"sizes" => Command::Stats(Topic::Sizes),
            b"curve" => Command::Stats(Topic::Curve),
            b"stored" => Command::Stats(Topic::Stored),
            b"reset" => Command::Stats(Topic::Reset),
            b"slow" => Command::Stats(Topic::Slow),
            b"hotkeys" => Command::Stats(Topic::hot_keys(None)),
            _ => Command::Binary(Op::NoTopic),
        },
        Verb::Version => Command::Say(Word::Version),
        Verb::Mechanisms => Command::Binary(Op::AskLogin),
        Verb::Quit => Command::Binary(Op::Close(None)),
        // There is nothing to make more verbose; the word is accepted.
        _ => Command::Say(Word::Ok),
    }
}

#[cfg(test)]
mod tests;
