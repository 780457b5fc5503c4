//! Lines of the native protocol → [`Command`].
//!
//! One search for the newline, then one for a space or two: no state machine that looks at
//! every byte. What is refused does not depend on how the network cut the line, so every
//! limit here is a number, never "what the buffer happened to hold".

use super::REFUSED;
use crate::proto::scan::{
    begins_like_http, is_http_line, is_http_version, newline, skip_spaces, split_at_space,
    without_cr,
};
use crate::proto::{
    Command, Decoded, HEAD_BYTES_MAX, Inside, LONG_KEY_BYTES_MAX, Lifetime, LongHead, Refusal,
    ReplyFormat, Request, Rest, Storing, Terms, Topic, number,
};

/// Reads one line from the front of `bytes`.
#[inline]
pub fn decode(bytes: &[u8]) -> Decoded<'_> {
    let Some(end) = newline(bytes) else {
        return Decoded::More;
    };
    let taken = end + 1;
    let (line, has_cr) = without_cr(&bytes[..end]);
    if let Some(key) = line
        .strip_prefix(b"GETL ")
        .and_then(|rest| only_key(line, rest))
    {
        return Decoded::Request(Request {
            command: Command::Get { key },
            format: ReplyFormat::Sized,
            taken,
            inside: Inside::Line,
        });
    }
    match command(line) {
        // `PUT /x HTTP/1.1` is a legal line and an HTTP request at once. HTTP ends its lines
        // in CR LF, so a plain `\n` keeps the line what it says.
        Some(Command::Store { value, .. }) if has_cr && is_http_version(value.trim_ascii()) => {
            Decoded::HangUp(b"")
        }
        Some(command) => request(command, taken),
        None if is_http_line(line) => Decoded::HangUp(b""),
        None => request(Command::Refuse(Refusal::Malformed), taken),
    }
}

#[inline]
fn request(command: Command<'_>, taken: usize) -> Decoded<'_> {
    Decoded::Request(Request {
        command,
        format: ReplyFormat::Native,
        taken,
        inside: Inside::Line,
    })
}

/// Says what a line is of which only the beginning is known, more than [`HEAD_BYTES_MAX`]
/// bytes of it and no newline among them. `None`: it is none of ours, and what is behind it must not be read.
pub fn decode_long(bytes: &[u8]) -> Option<LongHead<'_>> {
    debug_assert!(bytes.len() > HEAD_BYTES_MAX && newline(bytes).is_none());
    Some(match store_head(bytes) {
        Some((key, lifetime, value)) => LongHead::Store {
            storing: Storing::Plain {
                key,
                terms: Terms::plain(lifetime),
            },
            value_len: None,
            format: ReplyFormat::Native,
            taken: bytes.len() - value.len(),
            inside: Inside::Line,
        },
        None if begins_like_http(bytes) => return None,
        None => LongHead::Skip {
            answer: Some(REFUSED.into()),
            rest: Rest::LINE,
            taken: 0,
            inside: Inside::Line,
        },
    })
}

/// The command in a line that has lost its ending, or `None` if there is none.
#[inline]
fn command(line: &[u8]) -> Option<Command<'_>> {
    // The two hot verbs first; each is one comparison of four bytes.
    if let Some(rest) = line.strip_prefix(b"GET ") {
        return Some(Command::Get {
            key: only_key(line, rest)?,
        });
    }
    if let Some((key, lifetime, value)) = store_head(line) {
        return Some(Command::Store {
            key,
            value,
            terms: Terms::plain(lifetime),
        });
    }
    let (verb, rest) = split_at_space(line).unwrap_or((line, b""));
    match verb {
        b"DEL" => Some(Command::Delete {
            key: only_key(line, rest)?,
        }),
        b"TTL" => Some(Command::Ttl {
            key: only_key(line, rest)?,
        }),
        b"STATS" if line.len() <= HEAD_BYTES_MAX && rest.trim_ascii() == b"CLASSES" => {
            Some(Command::Stats(Topic::Classes))
        }
        b"STATS" if line.len() <= HEAD_BYTES_MAX && rest.trim_ascii() == b"CURVE" => {
            Some(Command::Stats(Topic::Curve))
        }
        b"STATS" if line.len() <= HEAD_BYTES_MAX && rest.trim_ascii() == b"STORED" => {
            Some(Command::Stats(Topic::Stored))
        }
        b"HOTKEYS" if line.len() <= HEAD_BYTES_MAX => {
            let count = match skip_spaces(rest) {
                b"" => None,
                count => Some(number::parse_u64(count)?),
            };
            Some(Command::Stats(Topic::hot_keys(count)))
        }
        b"STATS" | b"SLOW" | b"FLUSH" | b"QUIT"
            if line.len() <= HEAD_BYTES_MAX && skip_spaces(rest).is_empty() =>
        {
            Some(match verb {
                b"STATS" => Command::Stats(Topic::Native),
                b"SLOW" => Command::Stats(Topic::Slow),
                b"FLUSH" => Command::Flush {
                    when: Lifetime::Past,
                },
                _ => Command::Quit,
            })
        }
        _ => None,
    }
}

/// The key that must be all there is behind the verb.
#[inline]
fn only_key<'a>(line: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    let key = skip_spaces(rest);
    (line.len() <= HEAD_BYTES_MAX && is_key(key) && memchr::memchr(b' ', key).is_none())
        .then_some(key)
}

/// Key, lifetime and value (or as much of it as is known) of a `PUT` or `PUTEX` line whose
/// head is complete and valid.
#[inline]
fn store_head(line: &[u8]) -> Option<(&[u8], Lifetime, &[u8])> {
    let behind_verb = line.strip_prefix(b"PUT")?;
    let (has_seconds, rest) = match behind_verb.strip_prefix(b" ") {
        Some(rest) => (false, rest),
        None => (true, behind_verb.strip_prefix(b"EX ")?),
    };
    let (key, rest) = split_at_space(skip_spaces(rest))?;
    if !is_key(key) {
        return None;
    }
    let (lifetime, value) = if has_seconds {
        let (seconds, value) = split_at_space(rest)?;
        // "For 0 seconds" has been read as "not at all" and as "for ever" by others: here it
        // is refused.
        let seconds = number::parse_u32(seconds).filter(|&seconds| seconds > 0)?;
        (Lifetime::Seconds(seconds), value)
    } else {
        (Lifetime::Forever, rest)
    };
    (line.len() - value.len() <= HEAD_BYTES_MAX).then_some((key, lifetime, value))
}

#[inline]
fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= LONG_KEY_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Option<Command<'a>> {
        Some(Command::Store {
            key,
            value,
            terms: Terms::plain(Lifetime::Forever),
        })
    }

    fn putex<'a>(key: &'a [u8], seconds: u32, value: &'a [u8]) -> Option<Command<'a>> {
        Some(Command::Store {
            key,
            value,
            terms: Terms::plain(Lifetime::Seconds(seconds)),
        })
    }

    fn get(key: &[u8]) -> Option<Command<'_>> {
        Some(Command::Get { key })
    }

    /// `None` stands for a refusal.
    #[track_caller]
    fn check(line: &[u8], expected: Option<Command<'_>>) {
        let taken = line.len();
        let refused = Command::Refuse(Refusal::Malformed);
        let expected = request(expected.unwrap_or(refused), taken);
        assert_eq!(decode(line), expected, "{:?}", line.escape_ascii());
        // Whatever follows changes nothing, and no beginning of it says anything.
        let followed = [line, b"GET next\nGE"].concat();
        assert_eq!(decode(&followed), expected, "{:?}", line.escape_ascii());
        for cut in 0..line.len() {
            assert_eq!(decode(&line[..cut]), Decoded::More);
        }
    }

    #[test]
    fn every_row_of_the_table() {
        check(b"PUT k v\n", put(b"k", b"v"));
        check(b"PUT k a b  c\n", put(b"k", b"a b  c"));
        check(b"PUT k  v\n", put(b"k", b" v"));
        check(b"PUT k \n", put(b"k", b""));
        check(b"PUT   k v \n", put(b"k", b"v "));
        check(b"PUT k\n", None);
        check(b"PUT k\r\n", None);
        check(b"PUT \n", None);
        check(b"PUT  \n", None);
        check(b"PUT\n", None);
        check(b"PUTa b\n", None);
        check(b"GET k\n", get(b"k"));
        check(b"GET    k\n", get(b"k"));
        check(b"GET\n", None);
        check(b"GET \n", None);
        check(b"GET   \n", None);
        check(b"GETk\n", None);
        check(b"GET a b\n", None);
        check(b"GET a \n", None);
        check(b" GET a\n", None);
        check(b"DEL k\n", Some(Command::Delete { key: b"k" }));
        check(b"DEL  k\n", Some(Command::Delete { key: b"k" }));
        check(b"DEL a b\n", None);
        check(b"DEL\n", None);
        check(b"TTL k\n", Some(Command::Ttl { key: b"k" }));
        check(b"TTL\n", None);
        check(b"TTL k k\n", None);
        check(b"PUTEX k 10 v\n", putex(b"k", 10, b"v"));
        check(b"PUTEX  k 10  v w\n", putex(b"k", 10, b" v w"));
        check(b"PUTEX k 10 \n", putex(b"k", 10, b""));
        check(b"PUTEX k 4294967295 v\n", putex(b"k", u32::MAX, b"v"));
        check(b"PUTEX k 4294967296 v\n", None);
        check(b"PUTEX k 10\n", None);
        check(b"PUTEX k  10 v\n", None);
        check(b"PUTEX k 0 v\n", None);
        check(b"PUTEX k -1 v\n", None);
        check(b"PUTEX k ten v\n", None);
        check(b"PUTEX k\n", None);
        check(b"PUTEX\n", None);
        check(b"PUTEXk 1 v\n", None);
        check(b"STATS\n", Some(Command::Stats(Topic::Native)));
        check(b"STATS  \n", Some(Command::Stats(Topic::Native)));
        check(b"STATS CLASSES\n", Some(Command::Stats(Topic::Classes)));
        check(b"STATS CURVE\n", Some(Command::Stats(Topic::Curve)));
        check(b"STATS STORED\n", Some(Command::Stats(Topic::Stored)));
        check(b"STATS CLASS\n", None);
        check(b"STATS x\n", None);
        check(b"SLOW\n", Some(Command::Stats(Topic::Slow)));
        check(b"SLOW x\n", None);
        for (line, count) in [
            (&b"HOTKEYS\n"[..], Some(10)),
            (b"HOTKEYS 3\n", Some(3)),
            (b"HOTKEYS 99999\n", Some(100)),
            (b"HOTKEYS x\n", None),
            (b"HOTKEYS 3 4\n", None),
        ] {
            check(
                line,
                count.map(|count| Command::Stats(Topic::HotKeys(count))),
            );
        }
        check(
            b"FLUSH\n",
            Some(Command::Flush {
                when: Lifetime::Past,
            }),
        );
        check(b"FLUSH all\n", None);
        check(b"QUIT\n", Some(Command::Quit));
        check(b"QUIT now\n", None);
        check(b"\n", None);
        check(b" \n", None);
        check(b"\r\n", None);
        check(b"put k v\n", None);
        check(b"get k\n", None);
        check(b"HELLO\n", None);
        check(b"\x00\xff\n", None);
    }

    #[test]
    fn one_cr_before_the_newline_is_dropped() {
        check(b"PUT k v\r\n", put(b"k", b"v"));
        check(b"PUT k v\r\r\n", put(b"k", b"v\r"));
        check(b"PUT k \r\n", put(b"k", b""));
        check(b"PUT k a\rb\n", put(b"k", b"a\rb"));
        check(b"GET k\r\n", get(b"k"));
        check(b"GET k\r\r\n", get(b"k\r"));
        check(b"STATS\r\n", Some(Command::Stats(Topic::Native)));
    }

    #[test]
    fn keys_are_any_bytes_but_space_and_newline() {
        check(b"GET \x00\xff\t\n", get(b"\x00\xff\t"));
        // The longest that leave room for a verb and, before a value, for a space.
        for len in [250, 251, 1000, HEAD_BYTES_MAX - 5] {
            let key = vec![b'k'; len];
            check(&[b"GET ", &key[..], b"\n"].concat(), get(&key));
            check(&[b"PUT ", &key[..], b" v\n"].concat(), put(&key, b"v"));
        }
        let key = [b'k'; HEAD_BYTES_MAX - 3];
        check(&[b"GET ", &key[..], b"\n"].concat(), None);
        check(&[b"PUT ", &key[..], b" v\n"].concat(), None);
        check(&[b"PUTEX ", &key[..], b" 1 v\n"].concat(), None);
        check(&[b"DEL ", &key[..], b"\n"].concat(), None);
        check(&[b"TTL ", &key[..], b"\n"].concat(), None);
    }

    #[test]
    fn a_head_has_a_longest_length_whether_seen_whole_or_not() {
        // "GET", then spaces, then "k": exactly as long as allowed, then one longer.
        for (spaces, fits) in [(HEAD_BYTES_MAX - 4, true), (HEAD_BYTES_MAX - 3, false)] {
            let line = [b"GET", &vec![b' '; spaces][..], b"k\n"].concat();
            check(&line, fits.then_some(Command::Get { key: b"k" }));
        }
        // "PUT", spaces, "k", a space; the value is not part of the head.
        for (spaces, fits) in [(HEAD_BYTES_MAX - 5, true), (HEAD_BYTES_MAX - 4, false)] {
            let value = [b'v'; 5000];
            let head = [b"PUT", &vec![b' '; spaces][..], b"k "].concat();
            let begun = [&head[..], &value[..]].concat();
            let line = [&begun[..], b"\n"].concat();
            let whole = decode(&line);
            let long = decode_long(&begun);
            if fits {
                assert!(
                    matches!(whole, Decoded::Request(Request { command: Command::Store { key: b"k", value: v, .. }, .. }) if v == value)
                );
                assert_eq!(
                    long,
                    Some(LongHead::Store {
                        storing: Storing::Plain {
                            key: b"k",
                            terms: Terms::plain(Lifetime::Forever),
                        },
                        value_len: None,
                        format: ReplyFormat::Native,
                        taken: head.len(),
                        inside: Inside::Line,
                    })
                );
            } else {
                let refused = Command::Refuse(Refusal::Malformed);
                assert_eq!(whole, request(refused, line.len()));
                assert!(matches!(long, Some(LongHead::Skip { .. })));
            }
        }
    }

    #[test]
    fn the_beginning_of_a_long_line_is_a_store_or_skipped() {
        let long = [b'x'; HEAD_BYTES_MAX + 1];
        let check = |head: &[u8], expected: Option<(&[u8], Lifetime)>| {
            let bytes = [head, &long[..]].concat();
            match (decode_long(&bytes), expected) {
                (
                    Some(LongHead::Store {
                        storing: Storing::Plain { key, terms },
                        taken,
                        ..
                    }),
                    Some(expected),
                ) => {
                    assert_eq!((key, terms.lifetime), expected);
                    assert_eq!(taken, head.len());
                }
                (Some(LongHead::Skip { answer, .. }), None) => {
                    assert_eq!(answer, Some(REFUSED.into()));
                }
                (got, expected) => panic!("{:?}: {got:?}, not {expected:?}", head.escape_ascii()),
            }
        };
        check(b"PUT k ", Some((b"k", Lifetime::Forever)));
        check(b"PUTEX k 9 ", Some((b"k", Lifetime::Seconds(9))));
        check(b"PUT ", None);
        check(b"PUTEX k ", None);
        check(b"PUTEX k 0 ", None);
        check(b"GET ", None);
        check(b"", None);
    }

    #[test]
    fn a_stray_line_of_any_length_is_none_of_ours() {
        let path = vec![b'a'; 5 * HEAD_BYTES_MAX];
        for method in [
            "GET /",
            "POST /",
            "PUT /",
            "DELETE /",
            "OPTIONS *",
            "CONNECT host",
        ] {
            let begun = [method.as_bytes(), &path[..]].concat();
            assert_eq!(decode_long(&begun), None, "{method}");
            let whole = [&begun[..], b" HTTP/1.1\r\n"].concat();
            assert_eq!(decode(&whole), Decoded::HangUp(b""), "{method}");
        }
    }

    #[test]
    fn strayed_http_is_hung_up_on() {
        let table: &[(&[u8], bool)] = &[
            (b"GET / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1\n", true),
            (b"HEAD / HTTP/1.0\r\n", true),
            (b"PUT /x HTTP/1.1\r\n", true),
            (b"PUT /x  HTTP/1.1 \r\n", true),
            (b"PUT /x HTTP/1.1\n", false),
            (b"PUT /x HTTP/1.1 \n", false),
            (b"PUT /x a HTTP/1.1\r\n", false),
            (b"PUT /x HTTP/11\r\n", false),
            (b"PUTEX /x HTTP/1.1\r\n", true),
            (b"DELETE HTTP/1.1\r\n", true),
            (b"Host: a\r\n", true),
            (b"host:a\n", true),
            (b"POST /x\n", true),
            (b"GET HTTP/1.1\r\n", false),
            (b"GET Host:\r\n", false),
            (b"User-Agent: x\r\n", false),
        ];
        for &(line, hangs_up) in table {
            let decoded = decode(line);
            assert_eq!(
                decoded == Decoded::HangUp(b""),
                hangs_up,
                "{:?}: {decoded:?}",
                line.escape_ascii()
            );
        }
    }
}
