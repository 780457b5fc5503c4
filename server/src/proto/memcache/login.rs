//! Logging in. For memcached's clients: a `set` of any key whose value is `user password`.
//!
//! ```text
//!   set <anything> <anything> <anything> <bytes>\r\n
//!   <user> <password>\r\n
//! ```
//!
//! In the native protocol it is a line, `AUTH token`. Until one of them has succeeded, nothing
//! else is understood.

use super::decode::refuse;
use super::mistake::Mistake;
use super::words::Words;
use crate::proto::scan::{is_http_line, newline, without_cr};
use crate::proto::{
    Accepts, Command, Decoded, HEAD_BYTES_MAX, Inside, PlainFormat, Refusal, ReplyFormat, Request,
    number,
};

/// A longer token is nobody's.
const TOKEN_BYTES_MAX: usize = 4096;
/// A shorter line, its `\r` counted, is no `set`.
const LINE_BYTES_MIN: usize = 6;

/// Reads one request of a client who has not logged in.
pub fn decode(bytes: &[u8], accepts: Accepts) -> Decoded<'_> {
    let Some(end) = newline(bytes) else {
        // The line's own end may have been cut in two.
        return if without_cr(bytes).0.len() > HEAD_BYTES_MAX {
            Decoded::HangUp(b"")
        } else {
            Decoded::More
        };
    };
    let taken = end + 1;
    let (line, _) = without_cr(&bytes[..end]);
    if line.len() > HEAD_BYTES_MAX || is_http_line(line) {
        return Decoded::HangUp(b"");
    }
    let is_native = match accepts {
        Accepts::Native => true,
        Accepts::Auto => !bytes[0].is_ascii_lowercase(),
        Accepts::Memcached | Accepts::Binary | Accepts::Resp => false,
    };
    if is_native {
        let Some(token) = line
            .strip_prefix(b"AUTH ")
            .filter(|token| !token.is_empty())
        else {
            return refuse(Refusal::Malformed, PlainFormat::Native, taken);
        };
        return Decoded::Request(Request {
            command: Command::Login {
                user: b"",
                password: token,
                lenient: false,
                own_name: None,
            },
            format: ReplyFormat::Native,
            taken,
            inside: Inside::Line,
        });
    }
    if end < LINE_BYTES_MIN {
        return Decoded::HangUp(b"");
    }
    let mut words = Words::of(line);
    let is_set = words.next() == Some(b"set");
    let len = words.nth(3).and_then(number::parse_u32);
    let (true, Some(len)) = (is_set, len) else {
        return refuse(Mistake::Unauthenticated, PlainFormat::Words, taken);
    };
    let len = len as usize;
    if len > TOKEN_BYTES_MAX {
        return refuse(Mistake::TokenTooLong, PlainFormat::Words, taken);
    }
    let Some(block) = bytes.get(taken..taken + len + 2) else {
        return Decoded::More;
    };
    let taken = taken + len + 2;
    let (token, end) = block.split_at(len);
    if end != b"\r\n" {
        return refuse(Mistake::BadTermination, PlainFormat::Words, taken);
    }
    let Some(at) = memchr::memchr(b' ', token) else {
        return refuse(Mistake::BadLogin, PlainFormat::Words, taken);
    };
    Decoded::Request(Request {
        command: Command::Login {
            user: &token[..at],
            password: &token[at + 1..],
            lenient: false,
            own_name: None,
        },
        format: ReplyFormat::Words { quiet: false },
        taken,
        inside: Inside::MemcachedLine,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line around the longest is taken or not, however it is cut.
    #[test]
    fn the_longest_line_is_the_same_for_every_cut() {
        for len in HEAD_BYTES_MAX - 3..HEAD_BYTES_MAX + 4 {
            for (before, after) in [("AUTH ", "\n"), ("AUTH ", "\r\n"), ("set k 0 0 3", " \r\n")] {
                let fill = if before == "AUTH " { "x" } else { " " };
                let line = format!("{before}{}{after}", fill.repeat(len - before.len()));
                let whole = decode(line.as_bytes(), Accepts::Auto);
                let is_cut = matches!(whole, Decoded::HangUp(_));
                for cut in HEAD_BYTES_MAX - 3..line.len() {
                    let begun = decode(&line.as_bytes()[..cut], Accepts::Auto);
                    assert!(
                        begun == Decoded::More || is_cut && begun == whole,
                        "{len} cut at {cut}: {begun:?}, then {whole:?}"
                    );
                }
            }
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Command<'_>) {
        match decode(bytes, Accepts::Auto) {
            Decoded::Request(request) => {
                assert_eq!((request.command, request.taken), (expected, bytes.len()));
            }
            other => panic!("{:?}: {other:?}", bytes.escape_ascii()),
        }
        for cut in 0..bytes.len() {
            let begun = decode(&bytes[..cut], Accepts::Auto);
            let refused = matches!(
                begun,
                Decoded::Request(Request {
                    command: Command::Refuse(_),
                    ..
                })
            );
            assert!(begun == Decoded::More || refused, "cut at {cut}: {begun:?}");
        }
    }

    #[test]
    fn a_set_logs_in_and_nothing_else_does() {
        let login = Command::Login {
            user: b"me",
            password: b"pass word",
            lenient: false,
            own_name: None,
        };
        check(b"set x 0 0 12\r\nme pass word\r\n", login);
        let login = Command::Login {
            user: b"",
            password: b"s3cret",
            lenient: false,
            own_name: None,
        };
        check(b"AUTH s3cret\n", login);
        check(b"AUTH s3cret\r\n", login);
        for (line, refusal) in [
            (&b"AUTH \n"[..], Refusal::Malformed),
            (b"AUTH\n", Refusal::Malformed),
            (&b"get foo\r\n"[..], Mistake::Unauthenticated.into()),
            (b"set x 0 0\r\n", Mistake::Unauthenticated.into()),
            (b"set x 0 0 -1\r\n", Mistake::Unauthenticated.into()),
            (b"set x 0 0 2147483646\r\n", Mistake::TokenTooLong.into()),
            (b"set x 0 0 2\r\nhi\r\n", Mistake::BadLogin.into()),
            (b"set x 0 0 2\r\nhiya", Mistake::BadTermination.into()),
            (b"GET foo\n", Refusal::Malformed),
            (b"FLUSH\n", Refusal::Malformed),
        ] {
            check(line, Command::Refuse(refusal));
        }
        for stray in [&b"GET / HTTP/1.1\r\n"[..], b"a\r\n", &[b'x'; 3000]] {
            assert_eq!(decode(stray, Accepts::Auto), Decoded::HangUp(b""));
        }
    }
}
