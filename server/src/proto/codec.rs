//! How a connection speaks, and where in that it is.
//!
//! The matches on a protocol are here, in [`ReplyFormat`] and in the plain lane: a new protocol is a
//! line in each, and a directory of its own.

use super::resp::{self, Shape};
use super::{
    Accepts, Command, Decoded, HEAD_BYTES_MAX, Inside, LongHead, Refusal, Reply, ReplyFormat,
    Request, Role, binary, memcache, native,
};

/// How a connection speaks, and where it is in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    pub(super) accepts: Accepts,
    pub(super) inside: Inside,
    /// What the client may do; [`Role::Nobody`] where it has to log in first.
    pub(super) role: Role,
    /// What a request has changed in its session, until that is told where it goes on.
    later: Option<Later>,
    /// So many keys of a list were done something with.
    gathered: u32,
    /// What went wrong with one of them.
    trouble: Option<Trouble>,
}

/// What changes once a request is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    /// It is of version 2,
    V2,
    /// or 3.
    V3,
    /// There are subscriptions,
    Subscribed,
    /// or none any more.
    Unsubscribed,
}

/// Why a value of a list was not stored. In one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    TooLarge,
    LongKey,
    NoSpace,
    NotPermitted,
    NoWatch,
    /// What is left of a request is not kept: nothing is answered to it.
    Skips,
    Other,
}

impl Trouble {
    fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge => Trouble::TooLarge,
            Refusal::LongKey => Trouble::LongKey,
            Refusal::NoSpace => Trouble::NoSpace,
            Refusal::NotPermitted => Trouble::NotPermitted,
            refusal if refusal == ReplyFormat::WATCH_FULL => Trouble::NoWatch,
            _ => Trouble::Other,
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Trouble::TooLarge => Refusal::TooLarge,
            Trouble::LongKey => Refusal::LongKey,
            Trouble::NoSpace => Refusal::NoSpace,
            Trouble::NotPermitted => Refusal::NotPermitted,
            Trouble::NoWatch => ReplyFormat::WATCH_FULL,
            Trouble::Other | Trouble::Skips => Refusal::Malformed,
        }
    }
}

impl Codec {
    /// What the protocols are called where they are counted apart.
    pub const NAMES: [&str; 3] = ["native", "memcached", "resp"];

    /// Which of [`NAMES`](Self::NAMES) was spoken last.
    #[inline]
    #[must_use]
    pub fn name_no(self) -> usize {
        match self.inside {
            Inside::Resp(_) => 2,
            Inside::Line if self.accepts != Accepts::Memcached => 0,
            _ => 1,
        }
    }

    /// At the beginning of a connection.
    #[must_use]
    pub const fn new(accepts: Accepts) -> Self {
        Codec {
            accepts,
            inside: match accepts {
                Accepts::Resp => Inside::Resp(resp::Session::NEW),
                Accepts::Binary => Inside::Binary,
                _ => Inside::Line,
            },
            role: Role::Admin,
            later: None,
            gathered: 0,
            trouble: None,
        }
    }

    /// The first bytes were of memcached's binary protocol.
    pub fn begin_binary(&mut self) {
        self.inside = Inside::Binary;
    }

    /// The same, for a client who has to log in first.
    #[must_use]
    pub const fn locked(self, locked: bool) -> Self {
        let role = if locked { Role::Nobody } else { Role::Admin };
        Codec { role, ..self }
    }

    /// Whether the client has to log in first.
    #[inline]
    #[must_use]
    pub fn is_locked(self) -> bool {
        matches!(self.role, Role::Nobody)
    }

    /// Whether the client may do what needs this role.
    #[inline]
    #[must_use]
    pub fn permits(self, needed: Role) -> bool {
        self.role >= needed
    }

    /// The database that its requests are about.
    #[inline(always)]
    #[must_use]
    pub fn database(self) -> usize {
        match self.inside {
            Inside::Resp(session) => session.database(),
            _ => 0,
        }
    }

    /// The client has logged in, and may do so much from now on.
    pub fn unlock(&mut self, format: ReplyFormat<'_>, role: Role) {
        self.role = role;
        self.greeted(format);
    }

    /// The client is greeted, in the version that it has asked for, and its session goes on in that.
    pub fn greeted(&mut self, format: ReplyFormat<'_>) {
        if let ReplyFormat::Resp(resp::Format {
            v3,
            shape: Shape::Hello,
        }) = format
        {
            self.later = Some(if v3 { Later::V3 } else { Later::V2 });
        }
    }

    /// A session of RESP is as at its beginning; whether the client has to log in again.
    pub fn reset(&mut self, locked: bool) {
        *self = self.locked(locked);
    }

    /// The client has subscribed to something, or to nothing any more, once its request is done.
    pub fn subscribed(&mut self, subscribed: bool) {
        self.later = Some(match subscribed {
            true => Later::Subscribed,
            false => Later::Unsubscribed,
        });
    }

    /// Whether a message may stand here: between two answers, not in the middle of one.
    #[must_use]
    pub fn may_tell(self) -> bool {
        matches!(self.inside, Inside::Resp(session) if session.is_at_request())
    }

    /// Whether it speaks version 3 of Redis' protocol.
    #[must_use]
    pub fn is_v3(self) -> bool {
        matches!(self.inside, Inside::Resp(session) if session.is_v3())
    }

    /// The version of Redis' protocol that it speaks; 0: it speaks another.
    #[inline]
    #[must_use]
    pub fn resp_version(self) -> u8 {
        match self.inside {
            Inside::Resp(session) => 2 + u8::from(session.is_v3()),
            _ => 0,
        }
    }

    /// Which protocols it may be.
    #[must_use]
    pub fn accepts(self) -> Accepts {
        self.accepts
    }

    /// What a newcomer is told for whom there is no place. It has not said which protocol it speaks, and native lines and
    /// memcached's begin alike.
    #[must_use]
    pub fn no_place(accepts: Accepts) -> &'static [u8] {
        match accepts {
            Accepts::Native => b"ERROR\n",
            Accepts::Auto | Accepts::Memcached => b"ERROR Too many open connections\r\n",
            Accepts::Binary => binary::encode::NO_PLACE,
            Accepts::Resp => b"-ERR max number of clients reached\r\n",
        }
    }

    /// The same for one that was let in, and has said no more.
    #[must_use]
    pub fn no_place_here(self) -> &'static [u8] {
        Self::no_place(self.accepts)
    }

    /// Goes on where `inside` says.
    #[inline]
    pub fn go_on(&mut self, inside: Inside) {
        self.inside = inside;
        if let Some(later) = self.later.take()
            && let Inside::Resp(session) = &mut self.inside
        {
            match later {
                Later::V2 | Later::V3 => session.set_version(later == Later::V3),
                Later::Subscribed | Later::Unsubscribed => {
                    session.set_subscribed(later == Later::Subscribed);
                }
            }
        }
        if self.trouble == Some(Trouble::Skips) {
            self.trouble = None;
            if let Inside::Resp(session) = &mut self.inside {
                session.skip_kept();
            }
        }
    }

    /// The request of which a part has just been refused is skipped from where it [goes on](Self::go_on).
    pub fn give_up_kept(&mut self) {
        self.trouble = Some(Trouble::Skips);
    }

    /// Reads one request from the front of `bytes`. What [`Request::inside`] says must be told
    /// to [`go_on`](Self::go_on) before the next.
    #[inline]
    pub fn decode(self, bytes: &[u8]) -> Decoded<'_> {
        match self.role {
            Role::Admin => self.decode_any(bytes, false),
            Role::Nobody => self.decode_any(bytes, true),
            role => self.decode_any(bytes, false).limited_to(role),
        }
    }

    /// The same, whatever the client may do.
    #[inline]
    fn decode_any(self, bytes: &[u8], locked: bool) -> Decoded<'_> {
        match self.inside {
            Inside::Keys(keys) => return memcache::decode::next_key(bytes, 0, keys),
            Inside::Resp(session) => return resp::decode::decode(bytes, session, locked),
            Inside::Binary | Inside::BinaryLogin => {
                let session = binary::Session::of(self.inside).unwrap_or(binary::Session::NEW);
                return binary::decode::decode(bytes, session, locked);
            }
            Inside::Line | Inside::MemcachedLine => {}
        }
        let Some(first) = bytes.first() else {
            return Decoded::More;
        };
        if let Some(session) = self.resp_session(bytes) {
            return resp::decode::decode(bytes, session, locked);
        }
        if locked {
            return memcache::login::decode(bytes, self.accepts);
        }
        match (self.accepts, first) {
            (Accepts::Auto, b'a'..=b'z' | b' ') | (Accepts::Memcached, _) => {
                memcache::decode::line(bytes)
            }
            (Accepts::Auto, b'A'..=b'Z') => self.upper(bytes),
            (Accepts::Native, _) => native::decode(bytes),
            (Accepts::Auto, _) if self.inside == Inside::MemcachedLine => {
                memcache::decode::line(bytes)
            }
            // An address of a binary protocol or of RESP never leaves its session.
            (Accepts::Auto | Accepts::Binary | Accepts::Resp, _) => native::decode(bytes),
        }
    }

    /// The session of RESP in which these bytes are read; on a port for all, an array begins one.
    #[inline]
    fn resp_session(self, bytes: &[u8]) -> Option<resp::Session> {
        match self.inside {
            Inside::Resp(session) => Some(session),
            Inside::Line if self.accepts == Accepts::Auto && bytes.first() == Some(&b'*') => {
                Some(resp::Session::NEW)
            }
            _ => None,
        }
    }

    /// A line that begins with an upper-case letter, where all protocols may be spoken.
    #[inline]
    fn upper(self, bytes: &[u8]) -> Decoded<'_> {
        let decoded = native::decode(bytes);
        match decoded {
            Decoded::Request(Request {
                command: Command::Refuse(_),
                taken,
                ..
            }) => {
                let line = bytes[..taken - 1].strip_suffix(b"\r");
                let line = line.unwrap_or(&bytes[..taken - 1]);
                match line.len() <= HEAD_BYTES_MAX && resp::decode::is_probe(line) {
                    true => resp::decode::probe(line, taken, self.is_locked()),
                    false => decoded,
                }
            }
            decoded => decoded,
        }
    }

    /// Whether the terms of the store that has just arrived are still to be read: as the next request.
    #[must_use]
    pub fn is_unsettled(self) -> bool {
        matches!(self.inside, Inside::Resp(session) if session.is_unsettled())
    }

    /// That store is refused: its terms are skipped.
    pub fn give_up_store(&mut self) {
        if let Inside::Resp(session) = &mut self.inside {
            session.skip_options();
        }
    }

    /// What is answered when `reply` has come to pass: of the keys of a list, only the last is answered, for all of them.
    #[inline]
    pub fn gather<'r>(&mut self, format: ReplyFormat<'_>, reply: Reply<'r>) -> Option<Reply<'r>> {
        let ReplyFormat::Resp(resp::Format { shape, .. }) = format else {
            return Some(reply);
        };
        let (Shape::Sum { last } | Shape::All { last }) = shape else {
            // A list that was broken off leaves nothing behind.
            if let Reply::Refused(_) = reply {
                self.gathered = 0;
                self.trouble = None;
            }
            return Some(reply);
        };
        match reply {
            Reply::Refused(refusal) => self.trouble = Some(Trouble::of(refusal)),
            reply => self.gathered += u32::from(resp::encode::is_done(reply)),
        }
        if !last {
            return None;
        }
        let gathered = std::mem::take(&mut self.gathered);
        Some(match (self.trouble.take(), shape) {
            (Some(trouble), _) => Reply::Refused(trouble.refusal()),
            (None, Shape::Sum { .. }) => Reply::Counted(u64::from(gathered)),
            (None, _) => reply,
        })
    }

    /// Says how a store begins of which `bytes` is the beginning, if as much as its head can be held, and no more: `bytes` is
    /// longer than [`HEAD_BYTES_MAX`], and to [`decode`](Self::decode) not a whole request. `None`: it is no store.
    pub fn decode_begun(self, bytes: &[u8]) -> Option<LongHead<'_>> {
        if let Some(session) = self.resp_session(bytes) {
            return match resp::decode::decode_within(bytes, session, self.is_locked(), 0) {
                Decoded::Long(head @ (LongHead::Store { .. } | LongHead::Publish { .. })) => {
                    Some(head)
                }
                _ => None,
            };
        }
        if let Some(session) = binary::Session::of(self.inside) {
            return match binary::decode::decode_within(bytes, session, self.is_locked(), 0) {
                Decoded::Long(head @ LongHead::Store { .. }) => Some(head),
                _ => None,
            };
        }
        let is_native = match (self.accepts, bytes.first()?) {
            _ if self.is_locked() || matches!(self.inside, Inside::Keys(_)) => return None,
            (Accepts::Auto, b'a'..=b'z' | b' ') | (Accepts::Memcached, _) => false,
            (Accepts::Native, _) | (Accepts::Auto, b'A'..=b'Z') => true,
            _ => self.inside == Inside::Line,
        };
        if is_native {
            // A shorter line may be whole before long, and how long its value is it does not say.
            return match bytes.len() > HEAD_BYTES_MAX {
                true => native::decode_long(bytes),
                false => None,
            };
        }
        match memcache::decode::line_within::<0>(bytes) {
            Decoded::Long(head) => Some(head),
            _ => None,
        }
    }

    /// Says what to do with a request of which `bytes` is the beginning, and which is too
    /// long to be held until it is whole. `None`: hang up.
    pub fn decode_long(self, bytes: &[u8]) -> Option<LongHead<'_>> {
        match self.inside {
            _ if self.resp_session(bytes).is_some() => None,
            Inside::Binary | Inside::BinaryLogin => None,
            // memcached's decoder never asks for more than that.
            _ => native::decode_long(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_comes_first_is_one_however_little_of_it_is_there() {
        let auto = Codec::new(Accepts::Auto);
        let begun = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12000\r\nPUT a 1\n";
        assert!(matches!(
            auto.decode_begun(begun),
            Some(LongHead::Store {
                value_len: Some(12000),
                format: ReplyFormat::Resp(_),
                ..
            })
        ));
        let get = b"*2\r\n$3\r\nGET\r\n$12000\r\nPUT a 1\n";
        assert_eq!(auto.decode_begun(get), None);
        assert_eq!(auto.decode_long(get), None);
        // Behind memcached's or native lines it is none.
        let mut memcached = auto;
        memcached.go_on(Inside::MemcachedLine);
        assert_eq!(memcached.decode_begun(begun), None);
    }
}
