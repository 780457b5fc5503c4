//! Logging in with SASL, by its mechanism PLAIN.
//!
//! ```text
//!   list mechanisms             the answer: PLAIN
//!   auth    key PLAIN, value <nothing, or the user>\0<user>\0<password>
//!   auth    key PLAIN, no value the answer: go on, with a step
//!   step    key PLAIN, value as above
//! ```
//!
//! Until that has succeeded, nothing else but the version is told, and the connection of a client that asks for more is closed.
//! A login in another form is a failed one: it says no more about who may log in than a wrong password.

use super::command::Op;
use super::opcode::Verb;
use crate::proto::Inside;

/// The one mechanism.
pub(super) const MECHANISM: &[u8] = b"PLAIN";
/// No mechanism has a longer name.
pub(super) const MECHANISM_BYTES_MAX: usize = 32;
/// A longer login is nobody's.
pub(super) const LOGIN_BYTES_MAX: usize = 4096;

/// Where in a login a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The mechanism is chosen, and the rest is awaited.
    is_started: bool,
}

impl Session {
    /// At the beginning.
    pub const NEW: Session = Session { is_started: false };

    /// Where in it `inside` is; `None`: in another protocol.
    #[inline]
    #[must_use]
    pub const fn of(inside: Inside) -> Option<Self> {
        match inside {
            Inside::Binary => Some(Session { is_started: false }),
            Inside::BinaryLogin => Some(Session { is_started: true }),
            _ => None,
        }
    }

    /// Where the next request is.
    #[inline]
    #[must_use]
    pub const fn inside(self) -> Inside {
        match self.is_started {
            false => Inside::Binary,
            true => Inside::BinaryLogin,
        }
    }
}

/// What `auth` or `step` asks, and where the connection is then.
pub(super) fn login<'a>(
    session: Session,
    verb: Verb,
    mechanism: &[u8],
    value: &'a [u8],
) -> (Op<'a>, Session) {
    let nobody = Op::Login {
        user: b"",
        password: b"",
    };
    let may = match verb {
        Verb::Auth => true,
        _ => session.is_started,
    };
    let op = match may && mechanism == MECHANISM {
        true if verb == Verb::Auth && value.is_empty() => {
            return (Op::AskLogin, Session { is_started: true });
        }
        true => parts(value).unwrap_or(nobody),
        false => nobody,
    };
    (op, Session::NEW)
}

/// `<authorize as>\0<user>\0<password>`. To act as somebody else is nobody's right.
fn parts(value: &[u8]) -> Option<Op<'_>> {
    let mut parts = value.splitn(3, |&byte| byte == 0);
    let (acts_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let acts_alone = acts_as.is_empty() || acts_as == user;
    (acts_alone && !password.contains(&0)).then_some(Op::Login { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_three_parts() {
        let login = |user, password| Some(Op::Login { user, password });
        let table: [(&[u8], _); 8] = [
            (b"\0me\0secret", login(b"me", b"secret")),
            (b"me\0me\0secret", login(b"me", b"secret")),
            (b"\0\0token", login(b"", b"token")),
            (b"\0me\0", login(b"me", b"")),
            (b"root\0me\0secret", None),
            (b"\0me", None),
            (b"me", None),
            (b"\0me\0a\0b", None),
        ];
        for (value, expected) in table {
            assert_eq!(parts(value), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_step_needs_a_beginning() {
        let nobody = Op::Login {
            user: b"",
            password: b"",
        };
        let me = Op::Login {
            user: b"me",
            password: b"x",
        };
        let started = Session { is_started: true };
        let new = Session::NEW;
        let value = b"\0me\0x";
        let table: [(Session, Verb, &[u8], &[u8], _); 7] = [
            (new, Verb::Auth, b"PLAIN", value, (me, new)),
            (new, Verb::Auth, b"PLAIN", b"", (Op::AskLogin, started)),
            (started, Verb::Step, b"PLAIN", value, (me, new)),
            (started, Verb::Step, b"PLAIN", b"", (nobody, new)),
            (new, Verb::Step, b"PLAIN", value, (nobody, new)),
            (new, Verb::Auth, b"CRAM-MD5", value, (nobody, new)),
            (started, Verb::Auth, b"PLAIN", value, (me, new)),
        ];
        for (session, verb, mechanism, value, expected) in table {
            assert_eq!(login(session, verb, mechanism, value), expected);
        }
    }
}
