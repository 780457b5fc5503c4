//! Requests between `MULTI` and `EXEC`: looked at, and kept as they came.
//!
//! A request that is kept is whole, has a command's name, and as many arguments as the command takes. Whatever else is
//! wrong with it is found when it is read again, by `EXEC`, which executes the bytes as if they had just arrived.

use super::ask::ask;
use super::command::Op;
use super::decode::{Reading, many};
use super::encode::Shape;
use super::frame::{self, Framed};
use super::names::Name;
use super::session::{At, Many, Multi};
use super::words;
use crate::proto::{Command, Decoded, Refusal, WHOLE_BYTES_MAX, Words};

/// Whether a command is carried out inside of a transaction, too.
pub(super) fn is_immediate(name: Name) -> bool {
    matches!(
        name,
        Name::Multi | Name::Exec | Name::Discard | Name::Watch | Name::Quit | Name::Reset
    )
}

/// Whether it can neither be carried out there nor be kept.
fn is_barred(name: Name) -> bool {
    matches!(name, Name::Shutdown)
}

impl Reading {
    /// The same, after a mistake.
    fn spoiled(self) -> Self {
        Reading {
            session: self.session.in_multi(Multi::Spoiled),
            ..self
        }
    }

    fn spoil(self, words: Words, taken: usize, left: u32) -> Decoded<'static> {
        let refused = Command::Refuse(Refusal::Words(words));
        self.spoiled().refuse(refused, taken, left)
    }

    fn keep(self, bytes: &[u8]) -> Decoded<'_> {
        self.keep_part(bytes, At::Request)
    }

    /// A request, or a part of one behind which the next one is.
    fn keep_part(self, bytes: &[u8], next: At) -> Decoded<'_> {
        let queue = Command::Resp(Op::Queue(bytes, next == At::Request));
        let session = self.session.at(next);
        self.request(queue, Shape::Status, bytes.len(), session)
    }

    /// The next key of a list, or a key with its value, which stands at `bytes[from..]`: what is before it is kept with it.
    /// A list is kept one by one, as it is read, so that it may be longer than what can be held.
    pub(super) fn keep_keys(self, bytes: &[u8], from: usize, many: Many, left: u32) -> Decoded<'_> {
        let count = if many == Many::Set { 2 } else { 1 };
        let count = left.min(count);
        let at = match self.args(bytes, from, count) {
            Ok(at) => at,
            Err(None) => return self.spoil(words::TOO_LONG, from, left),
            Err(Some(decoded)) => return decoded,
        };
        self.keep_part(
            &bytes[..at],
            match left - count {
                0 => At::Request,
                left => At::Kept(many, left),
            },
        )
    }

    /// Where so many arguments end, of which the first is at `bytes[at..]`. `None`: they cannot be held.
    // What is decoded is handed on as it is: there is no heap to put it on.
    #[allow(clippy::result_large_err)]
    pub(super) fn args(
        self,
        bytes: &[u8],
        mut at: usize,
        count: u32,
    ) -> Result<usize, Option<Decoded<'static>>> {
        for _ in 0..count {
            let end = match frame::bulk(bytes, at) {
                Framed::More if bytes.len() >= WHOLE_BYTES_MAX => return Err(None),
                Framed::More => return Err(Some(Decoded::More)),
                Framed::Broken(words) => return Err(Some(Decoded::HangUp(words))),
                Framed::Whole(bulk) => bulk.end(),
            };
            if end > WHOLE_BYTES_MAX {
                return Err(None);
            }
            if end > bytes.len() {
                return Err(Some(Decoded::More));
            }
            at = end;
        }
        Ok(at)
    }

    /// An array whose name ends at `bytes[behind_name..]`, and `count` arguments.
    pub(super) fn keep_array<'a>(
        self,
        bytes: &'a [u8],
        (word, known): (&'a [u8], Option<Name>),
        behind_name: usize,
        count: u32,
    ) -> Decoded<'a> {
        let Some(name) = known else {
            return self
                .spoiled()
                .arguments(bytes, (word, None), behind_name, count);
        };
        if !name.takes(1 + count) {
            let op = Command::Resp(Op::WrongArity(name));
            return self.spoiled().refuse(op, behind_name, count);
        }
        if is_barred(name) {
            return self.spoil(words::NOT_IN_MULTI, behind_name, count);
        }
        if let Some(many) = many(name) {
            return self.keep_keys(bytes, behind_name, many, count);
        }
        let at = match self.args(bytes, behind_name, count) {
            Ok(at) => at,
            Err(None) => return self.spoil(words::TOO_LONG, behind_name, count),
            Err(Some(decoded)) => return decoded,
        };
        self.keep(&bytes[..at])
    }

    /// A line of words.
    pub(super) fn keep_line<'a>(
        self,
        bytes: &'a [u8],
        line: &'a [u8],
        taken: usize,
    ) -> Decoded<'a> {
        let mut first: &[u8] = b"";
        let mut count = 0;
        let split = frame::split(line, |word| {
            if count == 0 {
                first = word;
            }
            count += 1;
        });
        if split.is_none() {
            return Decoded::HangUp(words::UNBALANCED);
        }
        match Name::of(first) {
            _ if count == 0 => self.line_of(line, taken),
            Some(name) if is_immediate(name) => self.line_of(line, taken),
            Some(name) if is_barred(name) => self.spoil(words::NOT_IN_MULTI, taken, 0),
            Some(name) if name.takes(count) => self.keep(&bytes[..taken]),
            _ => self.spoiled().line_of(line, taken),
        }
    }

    /// What is asked inside of a transaction, by a command that is not kept.
    pub(super) fn asked_inside<'a>(
        self,
        name: Name,
        args: &[&'a [u8]],
        taken: usize,
    ) -> Decoded<'a> {
        if !name.takes(1 + args.len() as u32) {
            if name == Name::Exec {
                let session = self.session.in_multi(Multi::No);
                return self.request(Command::Resp(Op::BadExec), Shape::Value, taken, session);
            }
            let asked = ask(name, args, self.spoiled().session, self.locked);
            return self.answered(asked, taken);
        }
        if name == Name::Watch {
            return self.refuse_words(words::WATCH_IN_MULTI, taken, 0);
        }
        self.answered(ask(name, args, self.session, self.locked), taken)
    }
}
