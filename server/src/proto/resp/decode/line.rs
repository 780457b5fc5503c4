//! Requests that are a line of words.

use super::*;
use crate::proto::resp::several::Args;

impl Reading {
    /// A line of words.
    pub(in crate::proto::resp) fn line(self, bytes: &[u8]) -> Decoded<'_> {
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
        if self.session.is_multi() {
            return self.keep_line(bytes, line, end + 1);
        }
        self.line_of(line, end + 1)
    }

    pub(in crate::proto::resp) fn line_of(self, line: &[u8], taken: usize) -> Decoded<'_> {
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
            let op = Command::Resp(Op::Unknown(word, shown));
            return self.refuse(op, taken, 0);
        };
        if let Some(refused) = self.only_messages(Some(name), (have as u32, 0), taken) {
            return refused;
        }
        // Of lists, a line has one key: they are sent as arrays.
        if have > ARGS_MAX
            || many(name).is_some()
                && args.len() != 1 + usize::from(name == Name::MSet)
                && !(args.is_empty() && matches!(many(name), Some(Many::Unsubscribe(_))))
        {
            return self.refuse_words(words::SYNTAX, taken, 0);
        }
        if self.session.is_multi() {
            return self.asked_inside(name, args, taken);
        }
        if let Name::MSetNx | Name::MSetEx = name
            && !self.locked
        {
            return self.set_many_of(name, Args::Line(line), args.len() as u32, taken);
        }
        let asked = ask(name, args, self.session, self.locked);
        self.answered(asked, taken)
    }
}
