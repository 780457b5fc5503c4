//! Keys with values that are looked at all together.

use super::*;
use crate::proto::resp::several::{Args, set_many};

impl Reading {
    /// `MSETNX` or `MSETEX` in an array, whose name ends at `bytes[behind_name..]`, with `count` arguments: all are held, because
    /// all keys are looked at before the first is stored.
    pub(in crate::proto::resp) fn set_many(
        self,
        bytes: &[u8],
        name: Name,
        behind_name: usize,
        count: u32,
    ) -> Decoded<'_> {
        if !name.takes(1 + count) || name == Name::MSetNx && count % 2 == 1 {
            return self.refuse(Command::Resp(Op::WrongArity(name)), behind_name, count);
        }
        match self.args(bytes, behind_name, count) {
            Ok(end) => self.set_many_of(name, Args::Array(&bytes[behind_name..end]), count, end),
            Err(None) => self.refuse_words(words::LONG_PAIRS, behind_name, count),
            Err(Some(decoded)) => decoded,
        }
    }

    /// The same, of `count` arguments that are at hand.
    pub(in crate::proto::resp) fn set_many_of<'a>(
        self,
        name: Name,
        args: Args<'a>,
        count: u32,
        taken: usize,
    ) -> Decoded<'a> {
        let pairs_up = name != Name::MSetNx || count.is_multiple_of(2);
        let command = match set_many(name, args, count as usize, self.session.database) {
            _ if !name.takes(1 + count) || !pairs_up => Command::Resp(Op::WrongArity(name)),
            Ok(many) => Command::Resp(Op::SetMany(many)),
            Err(Wrong::Words(words)) => Command::Refuse(Refusal::Words(words)),
            Err(Wrong::Time) => Command::Resp(Op::BadTime(name)),
        };
        self.request(command, Shape::Value, taken, self.session.at(At::Request))
    }
}
