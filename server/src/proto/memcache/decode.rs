//! Lines of memcached's protocol → [`Command`].

use super::meta::{Meta, Verb};
use super::words::Words;
use super::{Keys, lifetime, store};
use crate::proto::scan::{is_http_line, is_http_version, newline, skip_spaces, without_cr};
use crate::proto::{
    Command, Decoded, HEAD_BYTES_MAX, Inside, KEY_BYTES_MAX, Lifetime, Listing, LongHead, Refusal,
    Request, Rest, Tone, Topic, Voice, WHOLE_BYTES_MAX, Word, number,
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
            voice: Voice::Values {
                cas: false,
                last: true,
            },
            taken,
            inside: Inside::MemcachedLine,
        });
    }
    if taken < LINE_BYTES_MIN {
        return refuse(Refusal::BadFormat, Tone::Words, taken);
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
        _ => return refuse(Refusal::Malformed, Tone::Words, taken),
    };
    let mut words = Words::of(rest);
    let Some(key) = words.next() else {
        return refuse(Refusal::BadFormat, Tone::Words, taken);
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
        Err(refusal) => return refuse(refusal, Tone::Words, taken),
    };
    Decoded::Request(Request {
        command,
        voice: Voice::Meta(meta),
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
            Some(exptime) => Some(lifetime(exptime)),
            None => return skip_line(Refusal::BadLifetime),
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
            return refuse(Refusal::BadFormat, Tone::Words, taken);
        }
        match words.number() {
            Some(exptime) => touch = Some(lifetime(exptime)),
            None => return refuse(Refusal::BadLifetime, Tone::Words, taken),
        }
    }
    let list = words.rest();
    // A key that is too long spoils the list, also for those before it.
    if skip_spaces(list).is_empty()
        || list.len() > KEY_BYTES_MAX && words.any(|key| key.len() > KEY_BYTES_MAX)
    {
        return refuse(Refusal::BadFormat, Tone::Words, taken);
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
            skip_line(Refusal::BadFormat)
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
        return skip_line(Refusal::BadFormat);
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
        Some(lifetime) => Command::GetAndTouch { key, lifetime },
    };
    Decoded::Request(Request {
        command,
        voice: Voice::Values {
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
        voice: Voice::Words { quiet: true },
        taken,
        inside: Inside::Keys(keys),
    })
}

/// A line of words, in which the whole command is.
fn word_line<'a>(verb: &[u8], rest: &'a [u8], line: &'a [u8], taken: usize) -> Decoded<'a> {
    let quiet = Words::of(rest).end_quietly();
    let tone = if quiet { Tone::Quiet } else { Tone::Words };
    let refuse = |refusal| refuse(refusal, tone, taken);
    let mut words = Words::of(rest);
    let command = match verb {
        b"delete" | b"incr" | b"decr" | b"touch" => {
            let Some(key) = words.next() else {
                return self::refuse(Refusal::BadFormat, Tone::Words, taken);
            };
            let more = words.clone().next();
            if verb != b"delete" && more.is_none() {
                return self::refuse(Refusal::BadFormat, Tone::Words, taken);
            }
            // Old clients say a number behind a key that is to go. What is no number is a
            // mistake that would delete something else than was meant.
            let is_mistaken = |word| word != b"noreply" && number::parse_u32(word).is_none();
            if verb == b"delete" && more.is_some_and(is_mistaken) {
                return refuse(Refusal::BadFormat);
            }
            if key.len() > KEY_BYTES_MAX {
                return refuse(Refusal::BadFormat);
            }
            match verb {
                b"delete" => Command::Delete { key },
                b"touch" => match words.number() {
                    Some(exptime) => Command::Touch {
                        key,
                        lifetime: lifetime(exptime),
                    },
                    None => return refuse(Refusal::BadLifetime),
                },
                _ => match words.next().and_then(number::parse_u64) {
                    Some(by) => Command::Count {
                        key,
                        up: verb == b"incr",
                        by,
                    },
                    None => return refuse(Refusal::BadDelta),
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
                None => return refuse(Refusal::BadLifetime),
            },
        },
        b"verbosity" => match words.next().and_then(number::parse_u32) {
            // There is nothing to make more verbose; the word is accepted.
            Some(_) => Command::Say(Word::Ok),
            None => return refuse(Refusal::BadFormat),
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
            Some(b"detail") => Command::Refuse(Refusal::NotKept),
            Some(_) => Command::Refuse(Refusal::Malformed),
        },
        b"lru_crawler" => crawler(words),
        b"shutdown" => match words.next() {
            None | Some(b"graceful") => Command::Shutdown,
            Some(_) => Command::Refuse(Refusal::BadShutdown),
        },
        b"debugtime" => match words.next().and_then(number::parse_i64) {
            Some(seconds) => Command::MoveClock { seconds },
            None => Command::Refuse(Refusal::Malformed),
        },
        b"debugstall" => {
            let seconds = words.next().and_then(number::parse_i64);
            match (seconds, words.next()) {
                (Some(seconds @ 0..=600), word @ (None | Some(b"busy"))) => Command::Stall {
                    seconds: seconds.unsigned_abs(),
                    busy: word.is_some(),
                },
                _ => Command::Refuse(Refusal::Malformed),
            }
        }
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
        (Some(b"metadump"), Some(b"all" | b"hash"), None) => Command::Dump(Listing::All),
        (Some(b"mgdump"), Some(b"all" | b"hash"), None) => Command::Dump(Listing::Keys),
        (Some(b"metadump" | b"mgdump" | b"crawl"), Some(which), None) if which != b"all" => {
            Command::Refuse(Refusal::BadClass)
        }
        (Some(b"crawl" | b"sleep" | b"tocrawl"), Some(_), None)
        | (Some(b"enable" | b"disable"), None, None) => Command::Say(Word::Ok),
        _ => Command::Refuse(Refusal::Malformed),
    }
}

/// A size class's items.
fn cachedump<'a>(mut words: Words<'a>) -> Command<'a> {
    let (Some(class), Some(limit)) = (words.next(), words.next()) else {
        return Command::Refuse(Refusal::TooFewWords);
    };
    match (number::parse_u32(class), number::parse_u32(limit)) {
        (Some(class), Some(limit)) => match u8::try_from(class) {
            Ok(class) if class < CLASSES => Command::Dump(Listing::Class { class, limit }),
            _ => Command::Refuse(Refusal::BadSlab),
        },
        _ => Command::Refuse(Refusal::BadFormat),
    }
}

#[inline]
fn say(command: Command<'_>, quiet: bool, taken: usize) -> Decoded<'_> {
    Decoded::Request(Request {
        command,
        voice: Voice::Words { quiet },
        taken,
        inside: Inside::MemcachedLine,
    })
}

/// Refuses a whole line.
pub(super) fn refuse(refusal: Refusal, tone: Tone, taken: usize) -> Decoded<'static> {
    Decoded::Request(Request {
        command: Command::Refuse(refusal),
        voice: tone.voice(),
        taken,
        inside: Inside::MemcachedLine,
    })
}

/// Refuses a line that goes on.
fn skip_line(refusal: Refusal) -> Decoded<'static> {
    Decoded::Long(LongHead::Skip {
        refusal,
        tone: Tone::Words,
        rest: Rest::Line,
        taken: 0,
    })
}

#[inline]
fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Codec, How, Storing, Terms, Tongue};

    const WORDS: Voice<'static> = Voice::Words { quiet: false };
    const QUIET: Voice<'static> = Voice::Words { quiet: true };

    fn values(cas: bool, last: bool) -> Voice<'static> {
        Voice::Values { cas, last }
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
    fn requests<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<(Command<'a>, Voice<'a>)> {
        let mut codec = Codec::new(Tongue::Memcached);
        let mut found = Vec::new();
        let mut at = 0;
        for &cut in cuts.iter().chain(&[bytes.len()]) {
            loop {
                match codec.decode(&bytes[at..cut]) {
                    Decoded::More => break,
                    Decoded::Request(request) => {
                        found.push((request.command, request.voice));
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
    fn check(bytes: &[u8], expected: &[(Command<'_>, Voice<'_>)]) {
        assert_eq!(requests(bytes, &[]), expected, "{:?}", bytes.escape_ascii());
        let every: Vec<usize> = (1..bytes.len()).collect();
        assert_eq!(requests(bytes, &every), expected, "byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(requests(bytes, &[cut]), expected, "cut at {cut}");
        }
    }

    #[track_caller]
    fn check_one(bytes: &[u8], command: Command<'_>, voice: Voice<'_>) {
        check(bytes, &[(command, voice)]);
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], refusal: Refusal) {
        check_one(bytes, Command::Refuse(refusal), WORDS);
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
            check_refused(line, Refusal::BadFormat);
        }
        check_refused(b"gat x k\r\n", Refusal::BadLifetime);
        let long = [b"get a ", &[b'k'; 251][..], b" b\r\n"].concat();
        check_refused(&long, Refusal::BadFormat);
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
        let mut codec = Codec::new(Tongue::Auto);
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
        assert_eq!(codec.decode(&long), skip_line(Refusal::BadFormat));
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
        check_refused(b"set k 0 0\r\n", Refusal::BadFormat);
        check_refused(b"set k 0 0 -1\r\n", Refusal::BadFormat);
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
            check_refused(line, Refusal::BadFormat);
        }
        let long = [b"set ", &[b'k'; 251][..], b" 0 0 1\r\nx\r\n"].concat();
        check_refused(&long, Refusal::BadFormat);
        check_one(
            b"set k x 0 3 noreply\r\nget\r\n",
            Command::Refuse(Refusal::BadFormat),
            QUIET,
        );
        check_refused(b"set k 0 0 3\r\nabcde", Refusal::BadChunk);
    }

    #[test]
    fn long_blocks_are_streamed_or_skipped() {
        let head = b"set k 1 0 1048576 noreply\r\n";
        let bytes = [&head[..], b"begin"].concat();
        let Decoded::Long(LongHead::Store {
            storing: Storing::Plain { key, terms },
            value_len,
            voice,
            taken,
        }) = line(&bytes)
        else {
            panic!("a long store");
        };
        assert_eq!((key, terms.client_flags), (&b"k"[..], 1));
        assert_eq!(
            (value_len, voice, taken),
            (Some(1 << 20), QUIET, head.len())
        );
        let head = b"set k x 0 1048576\r\n";
        assert_eq!(
            line(head),
            Decoded::Long(LongHead::Skip {
                refusal: Refusal::BadFormat,
                tone: Tone::Words,
                rest: Rest::Bytes((1 << 20) + 2),
                taken: head.len()
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
        check_refused(b"delete\r\n", Refusal::BadFormat);
        check_refused(b"delete k l\r\n", Refusal::BadFormat);
        let count = |up, by| Command::Count { key: b"k", up, by };
        check_one(b"incr k 1\r\n", count(true, 1), WORDS);
        check_one(
            b"decr k 18446744073709551615 noreply\r\n",
            count(false, u64::MAX),
            QUIET,
        );
        check_refused(b"incr k -1\r\n", Refusal::BadDelta);
        check_refused(b"incr k 18446744073709551616\r\n", Refusal::BadDelta);
        check_refused(b"incr k\r\n", Refusal::BadFormat);
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
        check_refused(b"flush_all now\r\n", Refusal::BadLifetime);
        check_one(b"verbosity 1\r\n", Command::Say(Word::Ok), WORDS);
        check_one(b"verbosity 1 noreply\r\n", Command::Say(Word::Ok), QUIET);
        check_refused(b"verbosity\r\n", Refusal::BadFormat);
        check_one(b"version\r\n", Command::Say(Word::Version), WORDS);
        check_one(b"quit\r\n", Command::Quit, WORDS);
        check_one(b"stats\r\n", Command::Stats(Topic::General), WORDS);
        check_one(b"stats slabs\r\n", Command::Stats(Topic::Slabs), WORDS);
        check_refused(b"stats nonsense\r\n", Refusal::Malformed);
        check_one(
            b"lru_crawler metadump all\r\n",
            Command::Dump(Listing::All),
            WORDS,
        );
        let few = Listing::Class { class: 3, limit: 9 };
        check_one(b"stats cachedump 3 9\r\n", Command::Dump(few), WORDS);
        check_refused(b"stats cachedump 3\r\n", Refusal::TooFewWords);
        check_refused(b"stats cachedump 3 -1\r\n", Refusal::BadFormat);
        check_refused(b"stats cachedump x 1\r\n", Refusal::BadFormat);
        check_refused(b"stats cachedump 64 0\r\n", Refusal::BadSlab);
        check_refused(b"lru_crawler metadump x\r\n", Refusal::BadClass);
        check_refused(b"lru_crawler\r\n", Refusal::Malformed);
        check_one(b"shutdown\r\n", Command::Shutdown, WORDS);
        check_one(b"shutdown graceful\r\n", Command::Shutdown, WORDS);
        check_refused(b"shutdown foo\r\n", Refusal::BadShutdown);
        check_refused(b"nonsense\r\n", Refusal::Malformed);
        check_one(
            b"nonsense noreply\r\n",
            Command::Refuse(Refusal::Malformed),
            QUIET,
        );
        check_refused(b"GET k\r\n", Refusal::Malformed);
        check_refused(b" \n", Refusal::BadFormat);
        check_refused(b"\r\n", Refusal::BadFormat);
        check_refused(b"a\r\n", Refusal::BadFormat);
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
