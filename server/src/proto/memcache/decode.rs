//! Lines of memcached's protocol → [`Command`].

use super::dump::Form;
use super::meta::{Meta, Verb};
use super::mistake::Mistake;
use super::words::Words;
use super::{Exptime, Keys, lifetime, store};
use crate::proto::scan::{is_http_line, is_http_version, newline, skip_spaces, without_cr};
use crate::proto::{
    Command, Decoded, HEAD_BYTES_MAX, Inside, KEY_BYTES_MAX, Lifetime, ListFormat, Listing,
    LongHead, PlainFormat, Refusal, ReplyFormat, Request, Rest, Topic, WHOLE_BYTES_MAX, Word,
    number,
};

/// A line and its ending are at least this long, or they are no command.
const LINE_BYTES_MIN: usize = 4;
/// memcached's size classes are fewer than this.
const CLASSES: u8 = 64;

/// Reads one request, or the first key of a list, from the front of `bytes`.
#[inline]
pub fn line(bytes: &[u8]) -> Decoded<'_> {
    line_within::<WHOLE_BYTES_MAX>(bytes)
}

/// The same, where a store of more than `WHOLE` bytes is not held whole.
#[inline(always)]
pub fn line_within<const WHOLE: usize>(bytes: &[u8]) -> Decoded<'_> {
    let Some(end) = newline(bytes) else {
        return unfinished(bytes);
    };
    let taken = end + 1;
    let (line, has_cr) = without_cr(&bytes[..end]);
    // The hottest line first: one key.
    if let Some(key) = line.strip_prefix(b"get ")
        && is_key(key)
        && memchr::memchr(b' ', key).is_none()
    {
        return Decoded::Request(Request {
            command: Command::Get { key },
            format: ReplyFormat::Values {
                cas: false,
                last: true,
            },
            taken,
            inside: Inside::MemcachedLine,
        });
    }
    if taken < LINE_BYTES_MIN {
        return refuse(Mistake::BadFormat, PlainFormat::Words, taken);
    }
    let verb_len = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (verb, rest) = line.split_at(verb_len);
    if let Some(how) = store::verb(verb) {
        if line.len() > HEAD_BYTES_MAX {
            return Decoded::HangUp(b"");
        }
        return store::line::<WHOLE>(how, rest, bytes, taken);
    }
    if let [b'm', letter] = verb {
        return if line.len() > HEAD_BYTES_MAX {
            Decoded::HangUp(b"")
        } else {
            meta::<WHOLE>(*letter, rest, bytes, taken)
        };
    }
    match verb {
        b"get" | b"gets" | b"gat" | b"gats" => keys(verb, rest, bytes, taken, has_cr),
        _ if line.len() > HEAD_BYTES_MAX => Decoded::HangUp(b""),
        _ => word_line(verb, rest, line, taken),
    }
}

/// A line with a meta command.
fn meta<'a, const WHOLE: usize>(
    letter: u8,
    rest: &'a [u8],
    bytes: &'a [u8],
    taken: usize,
) -> Decoded<'a> {
    let verb = match letter {
        b'g' => Verb::Get,
        b's' => Verb::Set,
        b'd' => Verb::Delete,
        b'a' => Verb::Count,
        b'e' => Verb::Tell,
        b'n' => return say(Command::Say(Word::Noop), false, taken),
        _ => return refuse(Refusal::Malformed, PlainFormat::Words, taken),
    };
    let mut words = Words::of(rest);
    let Some(key) = words.next() else {
        return refuse(Mistake::BadFormat, PlainFormat::Words, taken);
    };
    if verb == Verb::Set {
        return store::meta::<WHOLE>(key, words, bytes, taken);
    }
    let meta = Meta {
        verb,
        key,
        flags: words.rest(),
    };
    let command = match meta.options() {
        Ok(_) => Command::Meta(meta),
        Err(mistake) => return refuse(mistake, PlainFormat::Words, taken),
    };
    Decoded::Request(Request {
        command,
        format: ReplyFormat::Meta(meta),
        taken,
        inside: Inside::MemcachedLine,
    })
}

/// A line that is not at its end yet.
fn unfinished(bytes: &[u8]) -> Decoded<'_> {
    // The line's own end may have been cut in two.
    if without_cr(bytes).0.len() <= HEAD_BYTES_MAX {
        return Decoded::More;
    }
    let mut words = Words::of(bytes);
    let verb = words.next().unwrap_or_default();
    // Only a list of keys may go on for ever. If it is not too long to be held, its keys are
    // looked at before the first is answered, so that they are answered all or none.
    if bytes[0] == b' ' || !matches!(verb, b"get" | b"gets" | b"gat" | b"gats") {
        return Decoded::HangUp(b"");
    }
    if bytes.len() < WHOLE_BYTES_MAX {
        return Decoded::More;
    }
    let touch = if verb.starts_with(b"gat") {
        match words.number() {
            Some(exptime) => Some(Exptime::of(exptime)),
            None => return skip_line(Mistake::BadLifetime),
        }
    } else {
        None
    };
    let keys = Keys {
        cas: verb.ends_with(b"s"),
        touch,
    };
    next_key(bytes, bytes.len() - words.rest().len(), keys)
}

/// A whole line with a list of keys.
fn keys<'a>(
    verb: &[u8],
    rest: &'a [u8],
    bytes: &'a [u8],
    taken: usize,
    has_cr: bool,
) -> Decoded<'a> {
    let mut words = Words::of(rest);
    let mut touch = None;
    if verb.starts_with(b"gat") {
        let mut ahead = words;
        if ahead.next().is_none() || ahead.next().is_none() {
            return refuse(Mistake::BadFormat, PlainFormat::Words, taken);
        }
        match words.number() {
            Some(exptime) => touch = Some(Exptime::of(exptime)),
            None => return refuse(Mistake::BadLifetime, PlainFormat::Words, taken),
        }
    }
    let list = words.rest();
    // A key that is too long spoils the list, also for those before it.
    if skip_spaces(list).is_empty()
        || list.len() > KEY_BYTES_MAX && words.any(|key| key.len() > KEY_BYTES_MAX)
    {
        return refuse(Mistake::BadFormat, PlainFormat::Words, taken);
    }
    // Nobody's last of several keys is called that.
    if has_cr && is_http_version(&list[list.len().saturating_sub(8)..]) && is_http_line(list) {
        return Decoded::HangUp(b"");
    }
    let keys = Keys {
        cas: verb.ends_with(b"s"),
        touch,
    };
    let ending = 1 + usize::from(has_cr);
    next_key(bytes, taken - ending - list.len(), keys)
}

/// Reads the next key of a list from `bytes[from..]`, or the list's end.
pub fn next_key(bytes: &[u8], from: usize, keys: Keys) -> Decoded<'_> {
    let rest = skip_spaces(&bytes[from..]);
    let at = bytes.len() - rest.len();
    let Some(end) = memchr::memchr2(b' ', b'\n', rest) else {
        // One more may be the `\r` of the line's end.
        return if rest.len() > KEY_BYTES_MAX + 1 {
            skip_line(Mistake::BadFormat)
        } else if at > 0 && from == 0 && rest.is_empty() {
            // Nothing but spaces: they need not be kept.
            nothing(at, keys)
        } else {
            Decoded::More
        };
    };
    let mut last = rest[end] == b'\n';
    let key = if last {
        without_cr(&rest[..end]).0
    } else {
        &rest[..end]
    };
    let mut taken = at + end + 1;
    if key.is_empty() {
        return end_of_keys(taken);
    }
    if key.len() > KEY_BYTES_MAX {
        return skip_line(Mistake::BadFormat);
    }
    if !last {
        // The list may end right behind it, but for spaces.
        let behind = skip_spaces(&bytes[taken..]);
        if let [b'\n', ..] | [b'\r', b'\n', ..] = behind {
            last = true;
            taken = bytes.len() - behind.len() + if behind[0] == b'\n' { 1 } else { 2 };
        }
    }
    let command = match keys.touch {
        None => Command::Get { key },
        Some(exptime) => Command::GetAndTouch {
            key,
            lifetime: exptime.lifetime(),
        },
    };
    Decoded::Request(Request {
        command,
        format: ReplyFormat::Values {
            cas: keys.cas,
            last,
        },
        taken,
        inside: if last {
            Inside::MemcachedLine
        } else {
            Inside::Keys(keys)
        },
    })
}

fn end_of_keys(taken: usize) -> Decoded<'static> {
    say(Command::Say(Word::End), false, taken)
}

/// Spaces within a list.
fn nothing(taken: usize, keys: Keys) -> Decoded<'static> {
    Decoded::Request(Request {
        command: Command::Say(Word::End),
        format: ReplyFormat::Words { quiet: true },
        taken,
        inside: Inside::Keys(keys),
    })
}

/// A line of words, in which the whole command is.
fn word_line<'a>(verb: &[u8], rest: &'a [u8], line: &'a [u8], taken: usize) -> Decoded<'a> {
    let quiet = Words::of(rest).end_quietly();
    let format = if quiet {
        PlainFormat::Quiet
    } else {
        PlainFormat::Words
    };
    let refuse = |mistake: Mistake| refuse(mistake, format, taken);
    let mut words = Words::of(rest);
    let command = match verb {
        b"delete" | b"incr" | b"decr" | b"touch" => {
            let Some(key) = words.next() else {
                return self::refuse(Mistake::BadFormat, PlainFormat::Words, taken);
            };
            let more = words.clone().next();
            if verb != b"delete" && more.is_none() {
                return self::refuse(Mistake::BadFormat, PlainFormat::Words, taken);
            }
            // Old clients say a number behind a key that is to go. What is no number is a
            // mistake that would delete something else than was meant.
            let is_mistaken = |word| word != b"noreply" && number::parse_u32(word).is_none();
            if verb == b"delete" && more.is_some_and(is_mistaken) {
                return refuse(Mistake::BadFormat);
            }
            if key.len() > KEY_BYTES_MAX {
                return refuse(Mistake::BadFormat);
            }
            match verb {
                b"delete" => Command::Delete { key },
                b"touch" => match words.number() {
                    Some(exptime) => Command::Touch {
                        key,
                        lifetime: lifetime(exptime),
                    },
                    None => return refuse(Mistake::BadLifetime),
                },
                _ => match words.next().and_then(number::parse_u64) {
                    Some(by) => Command::Count {
                        key,
                        up: verb == b"incr",
                        by,
                    },
                    None => return refuse(Mistake::BadDelta),
                },
            }
        }
        b"flush_all" => match words.next() {
            None => Command::Flush {
                when: Lifetime::Past,
            },
            Some(_) if quiet && words.clone().next().is_none() => Command::Flush {
                when: Lifetime::Past,
            },
            Some(exptime) => match number::parse_i64(exptime) {
                Some(exptime) => Command::Flush {
                    // No delay is no delay, not "never".
                    when: lifetime(if exptime == 0 { -1 } else { exptime }),
                },
                None => return refuse(Mistake::BadLifetime),
            },
        },
        b"verbosity" => match words.next().and_then(number::parse_u32) {
            // There is nothing to make more verbose; the word is accepted.
            Some(_) => Command::Say(Word::Ok),
            None => return refuse(Mistake::BadFormat),
        },
        b"cache_memlimit" => match words.next().and_then(number::parse_u32) {
            Some(mib) => Command::LimitMemory {
                bytes: (mib as usize) << 20,
            },
            None => Command::Refuse(Refusal::Malformed),
        },
        b"version" => Command::Say(Word::Version),
        b"quit" => Command::Quit,
        b"stats" => match words.next() {
            None => Command::Stats(Topic::General),
            Some(b"settings") => Command::Stats(Topic::Settings),
            Some(b"items") => Command::Stats(Topic::Items),
            Some(b"slabs") => Command::Stats(Topic::Slabs),
            Some(b"sizes") => Command::Stats(Topic::Sizes),
            Some(b"conns") => Command::Stats(Topic::Conns),
            Some(b"reset") => Command::Stats(Topic::Reset),
            Some(b"cachedump") => cachedump(words),
            Some(b"detail") => Command::Refuse(Mistake::NotKept.into()),
            Some(_) => Command::Refuse(Refusal::Malformed),
        },
        b"lru_crawler" => crawler(words),
        b"shutdown" => match words.next() {
            None | Some(b"graceful") => Command::Shutdown { mistake: None },
            Some(_) => Command::Shutdown {
                mistake: Some(Mistake::BadShutdown.words()),
            },
        },
        b"debugtime" => match words.next().and_then(number::parse_i64) {
            Some(seconds) => Command::MoveClock { seconds },
            None => Command::Refuse(Refusal::Malformed),
        },
        _ if is_http_line(line) => return Decoded::HangUp(b""),
        _ => Command::Refuse(Refusal::Malformed),
    };
    let answers_anyway = matches!(verb, b"stats" | b"version" | b"quit");
    say(command, quiet && !answers_anyway, taken)
}

/// There is no crawler to be tuned: items that have expired are swept out anyway. Its dump is
/// there.
fn crawler<'a>(mut words: Words<'a>) -> Command<'a> {
    match (words.next(), words.next(), words.next()) {
        (Some(b"metadump"), Some(b"all" | b"hash"), None) => dump(None, 0, Form::Items),
        (Some(b"mgdump"), Some(b"all" | b"hash"), None) => dump(None, 0, Form::Reads),
        (Some(b"metadump" | b"mgdump" | b"crawl"), Some(which), None) if which != b"all" => {
            Command::Refuse(Mistake::BadClass.into())
        }
        (Some(b"crawl" | b"sleep" | b"tocrawl"), Some(_), None)
        | (Some(b"enable" | b"disable"), None, None) => Command::Say(Word::Ok),
        _ => Command::Refuse(Refusal::Malformed),
    }
}

/// A limit of 0 is none.
fn dump(class: Option<u8>, limit: u32, form: Form) -> Command<'static> {
    Command::Dump(Listing {
        class,
        limit: if limit == 0 { u32::MAX } else { limit },
        format: ListFormat::Memcached(form),
    })
}

/// A size class's items.
fn cachedump<'a>(mut words: Words<'a>) -> Command<'a> {
    let (Some(class), Some(limit)) = (words.next(), words.next()) else {
        return Command::Refuse(Mistake::TooFewWords.into());
    };
    match (number::parse_u32(class), number::parse_u32(limit)) {
        (Some(class), Some(limit)) => match u8::try_from(class) {
            Ok(class) if class < CLASSES => dump(Some(class), limit, Form::Listed),
            _ => Command::Refuse(Mistake::BadSlab.into()),
        },
        _ => Command::Refuse(Mistake::BadFormat.into()),
    }
}

#[inline]
fn say(command: Command<'_>, quiet: bool, taken: usize) -> Decoded<'_> {
    Decoded::Request(Request {
        command,
        format: ReplyFormat::Words { quiet },
        taken,
        inside: Inside::MemcachedLine,
    })
}

/// Refuses a whole line.
pub(super) fn refuse(
    refusal: impl Into<Refusal>,
    format: PlainFormat,
    taken: usize,
) -> Decoded<'static> {
    Decoded::Request(Request {
        command: Command::Refuse(refusal.into()),
        format: format.full(),
        taken,
        inside: Inside::MemcachedLine,
    })
}

/// Refuses a line that goes on.
fn skip_line(mistake: Mistake) -> Decoded<'static> {
    Decoded::Long(LongHead::Skip {
        words: mistake.words(),
        rest: Rest::LINE,
        taken: 0,
        inside: Inside::MemcachedLine,
    })
}

#[inline]
fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Accepts, Codec, How, Storing, Terms};

    const WORDS: ReplyFormat<'static> = ReplyFormat::Words { quiet: false };
    const QUIET: ReplyFormat<'static> = ReplyFormat::Words { quiet: true };

    fn values(cas: bool, last: bool) -> ReplyFormat<'static> {
        ReplyFormat::Values { cas, last }
    }

    fn store<'a>(value: &'a [u8], how: How, client_flags: u32, lifetime: Lifetime) -> Command<'a> {
        Command::Store {
            key: b"k",
            value,
            terms: Terms {
                how,
                client_flags,
                lifetime,
                too_long_drops: how == How::Always,
            },
        }
    }

    /// All requests in `bytes`, which end with the last one, fed in parts that end at `cuts`.
    fn requests<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<(Command<'a>, ReplyFormat<'a>)> {
        let mut codec = Codec::new(Accepts::Memcached);
        let mut found = Vec::new();
        let mut at = 0;
        for &cut in cuts.iter().chain(&[bytes.len()]) {
            loop {
                match codec.decode(&bytes[at..cut]) {
                    Decoded::More => break,
                    Decoded::Request(request) => {
                        found.push((request.command, request.format));
                        codec.go_on(request.inside);
                        at += request.taken;
                    }
                    other => panic!("{:?}: {other:?}", bytes.escape_ascii()),
                }
            }
        }
        assert_eq!(at, bytes.len(), "{:?}", bytes.escape_ascii());
        found
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[(Command<'_>, ReplyFormat<'_>)]) {
        assert_eq!(requests(bytes, &[]), expected, "{:?}", bytes.escape_ascii());
        let every: Vec<usize> = (1..bytes.len()).collect();
        assert_eq!(requests(bytes, &every), expected, "byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(requests(bytes, &[cut]), expected, "cut at {cut}");
        }
    }

    #[track_caller]
    fn check_one(bytes: &[u8], command: Command<'_>, format: ReplyFormat<'_>) {
        check(bytes, &[(command, format)]);
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], refusal: impl Into<Refusal>) {
        check_one(bytes, Command::Refuse(refusal.into()), WORDS);
    }

    #[test]
    fn lists_of_keys() {
        let get = |key| Command::Get { key };
        check_one(b"get k\r\n", get(b"k"), values(false, true));
        check_one(b"get k\n", get(b"k"), values(false, true));
        check_one(b"gets k\r\n", get(b"k"), values(true, true));
        check_one(b"get   k  \r\n", get(b"k"), values(false, true));
        check(
            b"gets a b\r\nget c \n",
            &[
                (get(b"a"), values(true, false)),
                (get(b"b"), values(true, true)),
                (get(b"c"), values(false, true)),
            ],
        );
        let gat = |key, lifetime| Command::GetAndTouch { key, lifetime };
        check(
            b"gat 10 a b\r\n",
            &[
                (gat(b"a", Lifetime::Counted(10)), values(false, false)),
                (gat(b"b", Lifetime::Counted(10)), values(false, true)),
            ],
        );
        check_one(
            b"gats -1 a\r\n",
            gat(b"a", Lifetime::Past),
            values(true, true),
        );
        for line in [
            &b"get\r\n"[..],
            b"get \r\n",
            b"gets\n",
            b"gat 1\r\n",
            b"gat\r\n",
        ] {
            check_refused(line, Mistake::BadFormat);
        }
        check_refused(b"gat x k\r\n", Mistake::BadLifetime);
        let long = [b"get a ", &[b'k'; 251][..], b" b\r\n"].concat();
        check_refused(&long, Mistake::BadFormat);
        let long = [b"get ", &[b'k'; 250][..], b"\r\n"].concat();
        check_one(&long, get(&[b'k'; 250]), values(false, true));
    }

    #[test]
    fn a_list_longer_than_any_buffer() {
        let mut line = b"get".to_vec();
        let keys = 10_000;
        for _ in 0..keys {
            line.extend_from_slice(b" some:key");
        }
        line.extend_from_slice(b"\r\n");
        let mut codec = Codec::new(Accepts::Auto);
        let (mut at, mut found) = (0, 0);
        loop {
            let end = line.len().min(at + WHOLE_BYTES_MAX);
            match codec.decode(&line[at..end]) {
                Decoded::Request(request) => {
                    found += usize::from(request.command == Command::Get { key: b"some:key" });
                    codec.go_on(request.inside);
                    at += request.taken;
                }
                other => panic!("{other:?}"),
            }
            if at == line.len() {
                break;
            }
        }
        assert_eq!(found, keys);
        // A key that is too long is found out although its end is not in sight.
        let long = [b'k'; 300];
        codec.go_on(Inside::Keys(Keys {
            cas: false,
            touch: None,
        }));
        assert_eq!(codec.decode(&long), skip_line(Mistake::BadFormat));
    }

    #[test]
    fn stores() {
        let set = |value| store(value, How::Always, 0, Lifetime::Forever);
        check_one(b"set k 0 0 2\r\nhi\r\n", set(b"hi"), WORDS);
        check_one(b"set k 0 0 2\nhi\r\n", set(b"hi"), WORDS);
        check_one(b"set k 0 0 0\r\n\r\n", set(b""), WORDS);
        check_one(b"set k 0 0 4\r\n\r\n\r\n\r\n", set(b"\r\n\r\n"), WORDS);
        check_one(b"set  k 0  0 2  noreply \r\nhi\r\n", set(b"hi"), QUIET);
        check_one(b"set k 0 0 2 junk\r\nhi\r\n", set(b"hi"), WORDS);
        for (verb, how) in [
            ("add", How::Absent),
            ("replace", How::Present),
            ("append", How::Behind),
            ("prepend", How::Before),
        ] {
            let line = format!("{verb} k 5 100 1\r\nx\r\n");
            let expected = store(b"x", how, 5, Lifetime::Counted(100));
            check_one(line.as_bytes(), expected, WORDS);
        }
        check_one(
            b"cas k 4294967295 2592001 1 18446744073709551615\r\nx\r\n",
            store(
                b"x",
                How::Same(u64::MAX),
                u32::MAX,
                Lifetime::Until(2_592_001),
            ),
            WORDS,
        );
        check_one(
            b"cas k 0 -1 1 7 noreply\r\nx\r\n",
            store(b"x", How::Same(7), 0, Lifetime::Past),
            QUIET,
        );
    }

    #[test]
    fn what_is_wrong_with_a_store() {
        check_refused(b"set k 0 0\r\n", Mistake::BadFormat);
        check_refused(b"set k 0 0 -1\r\n", Mistake::BadFormat);
        // What is no length does not tell where the block ends: nothing behind it is looked at.
        for length in [
            "x",
            "4294967295",
            "2147483647",
            "noreply",
            "3x",
            "0x3",
            "1e3",
            "+",
            "++3",
            "99999999999999999999",
        ] {
            for line in [
                format!("set k 0 0 {length}\r\n"),
                format!("ms k {length}\r\n"),
            ] {
                let decoded = self::line(line.as_bytes());
                let words = b"CLIENT_ERROR bad command line format\r\n";
                assert_eq!(decoded, Decoded::HangUp(words), "{line}");
            }
        }
        check_one(
            b"set k 0 0 +3\r\nget\r\n",
            store(b"get", How::Always, 0, Lifetime::Forever),
            WORDS,
        );
        // With one the block is skipped.
        for line in [
            &b"set k x 0 3\r\nget\r\n"[..],
            b"set k 0 x 3\r\nget\r\n",
            b"set k 4294967296 0 3\r\nget\r\n",
            b"cas k 0 0 3\r\nget\r\n",
            b"cas k 0 0 3 x\r\nget\r\n",
        ] {
            check_refused(line, Mistake::BadFormat);
        }
        let long = [b"set ", &[b'k'; 251][..], b" 0 0 1\r\nx\r\n"].concat();
        check_refused(&long, Mistake::BadFormat);
        check_one(
            b"set k x 0 3 noreply\r\nget\r\n",
            Command::Refuse(Mistake::BadFormat.into()),
            QUIET,
        );
        check_refused(b"set k 0 0 3\r\nabcde", Refusal::BrokenValue);
    }

    #[test]
    fn long_blocks_are_streamed_or_skipped() {
        let head = b"set k 1 0 1048576 noreply\r\n";
        let bytes = [&head[..], b"begin"].concat();
        let Decoded::Long(LongHead::Store {
            storing: Storing::Plain { key, terms },
            value_len,
            format,
            taken,
            ..
        }) = line(&bytes)
        else {
            panic!("a long store");
        };
        assert_eq!((key, terms.client_flags), (&b"k"[..], 1));
        assert_eq!(
            (value_len, format, taken),
            (Some(1 << 20), QUIET, head.len())
        );
        let head = b"set k x 0 1048576\r\n";
        assert_eq!(
            line(head),
            Decoded::Long(LongHead::Skip {
                words: Mistake::BadFormat.words(),
                rest: Rest::bytes((1 << 20) + 2),
                taken: head.len(),
                inside: Inside::MemcachedLine,
            })
        );
    }

    #[test]
    fn words() {
        check_one(b"delete k\r\n", Command::Delete { key: b"k" }, WORDS);
        check_one(b"delete k 0\r\n", Command::Delete { key: b"k" }, WORDS);
        check_one(
            b"delete k noreply\r\n",
            Command::Delete { key: b"k" },
            QUIET,
        );
        check_one(
            b"delete k 10 noreply\r\n",
            Command::Delete { key: b"k" },
            QUIET,
        );
        check_refused(b"delete\r\n", Mistake::BadFormat);
        check_refused(b"delete k l\r\n", Mistake::BadFormat);
        let count = |up, by| Command::Count { key: b"k", up, by };
        check_one(b"incr k 1\r\n", count(true, 1), WORDS);
        check_one(
            b"decr k 18446744073709551615 noreply\r\n",
            count(false, u64::MAX),
            QUIET,
        );
        check_refused(b"incr k -1\r\n", Mistake::BadDelta);
        check_refused(b"incr k 18446744073709551616\r\n", Mistake::BadDelta);
        check_refused(b"incr k\r\n", Mistake::BadFormat);
        let touch = |lifetime| Command::Touch {
            key: b"k",
            lifetime,
        };
        check_one(b"touch k 0\r\n", touch(Lifetime::Forever), WORDS);
        check_one(
            b"touch k 2592000\r\n",
            touch(Lifetime::Counted(2_592_000)),
            WORDS,
        );
        check_one(
            b"touch k 1700000000\r\n",
            touch(Lifetime::Until(1_700_000_000)),
            WORDS,
        );
        let far = 2_147_483_648;
        check_one(
            b"touch k 2147483648\r\n",
            touch(Lifetime::Until(far)),
            WORDS,
        );
        check_one(
            b"touch k 99999999999\r\n",
            touch(Lifetime::Until(u32::MAX)),
            WORDS,
        );
        let flush = |when| Command::Flush { when };
        check_one(b"flush_all\r\n", flush(Lifetime::Past), WORDS);
        check_one(b"flush_all 0\r\n", flush(Lifetime::Past), WORDS);
        check_one(b"flush_all 10\r\n", flush(Lifetime::Counted(10)), WORDS);
        check_one(b"flush_all noreply\r\n", flush(Lifetime::Past), QUIET);
        check_one(
            b"flush_all 10 noreply\r\n",
            flush(Lifetime::Counted(10)),
            QUIET,
        );
        check_refused(b"flush_all now\r\n", Mistake::BadLifetime);
        check_one(b"verbosity 1\r\n", Command::Say(Word::Ok), WORDS);
        check_one(b"verbosity 1 noreply\r\n", Command::Say(Word::Ok), QUIET);
        check_refused(b"verbosity\r\n", Mistake::BadFormat);
        check_one(b"version\r\n", Command::Say(Word::Version), WORDS);
        check_one(b"quit\r\n", Command::Quit, WORDS);
        check_one(b"stats\r\n", Command::Stats(Topic::General), WORDS);
        check_one(b"stats slabs\r\n", Command::Stats(Topic::Slabs), WORDS);
        check_refused(b"stats nonsense\r\n", Refusal::Malformed);
        check_one(
            b"lru_crawler metadump all\r\n",
            dump(None, 0, Form::Items),
            WORDS,
        );
        let few = dump(Some(3), 9, Form::Listed);
        check_one(b"stats cachedump 3 9\r\n", few, WORDS);
        check_refused(b"stats cachedump 3\r\n", Mistake::TooFewWords);
        check_refused(b"stats cachedump 3 -1\r\n", Mistake::BadFormat);
        check_refused(b"stats cachedump x 1\r\n", Mistake::BadFormat);
        check_refused(b"stats cachedump 64 0\r\n", Mistake::BadSlab);
        check_refused(b"lru_crawler metadump x\r\n", Mistake::BadClass);
        check_refused(b"lru_crawler\r\n", Refusal::Malformed);
        let shutdown = |mistake| Command::Shutdown { mistake };
        check_one(b"shutdown\r\n", shutdown(None), WORDS);
        check_one(b"shutdown graceful\r\n", shutdown(None), WORDS);
        let mistake = Mistake::BadShutdown.words();
        check_one(b"shutdown foo\r\n", shutdown(Some(mistake)), WORDS);
        check_refused(b"nonsense\r\n", Refusal::Malformed);
        check_one(
            b"nonsense noreply\r\n",
            Command::Refuse(Refusal::Malformed),
            QUIET,
        );
        check_refused(b"GET k\r\n", Refusal::Malformed);
        check_refused(b" \n", Mistake::BadFormat);
        check_refused(b"\r\n", Mistake::BadFormat);
        check_refused(b"a\r\n", Mistake::BadFormat);
        check_refused(b" get k\r\n", Refusal::Malformed);
    }

    #[test]
    fn strays_and_endless_lines_are_hung_up_on() {
        let endless = [b'x'; HEAD_BYTES_MAX + 1];
        let blanks = [b' '; HEAD_BYTES_MAX + 1];
        let long = [b"incr ", &endless[..], b" 1\r\n"].concat();
        let strays: &[&[u8]] = &[
            b"get / HTTP/1.1\r\n",
            b"patch / HTTP/1.1\r\n",
            b"host: example.org\r\n",
            &endless,
            &blanks,
            &long,
        ];
        for stray in strays {
            let decoded = line(stray);
            assert_eq!(decoded, Decoded::HangUp(b""), "{:?}", stray.escape_ascii());
        }
        for line_of_keys in [
            &b"get a b\r\n"[..],
            b"get HTTP/1.1\r\n",
            b"get / HTTP/1.1\n",
        ] {
            assert!(matches!(line(line_of_keys), Decoded::Request(_)));
        }
    }
}
