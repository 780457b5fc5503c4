//! Lines of memcached's protocol → [`Command`].

use super::dump::Form;
use super::keys::Keys;
use super::meta::{Meta, Verb};
use super::mistake::Mistake;
use super::store;
use super::words::Words;
use crate::proto::exptime::{Exptime, lifetime};
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
    if skip_spaces(list).is_empty() || has_long_word(list) {
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

/// Whether a word is longer than a key may be: where none is, there is a space in every stretch of so many bytes.
fn has_long_word(mut list: &[u8]) -> bool {
    while let Some(stretch) = list.get(..=KEY_BYTES_MAX) {
        match memchr::memrchr(b' ', stretch) {
            Some(at) => list = &list[at + 1..],
            None => return true,
        }
    }
    false
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
        b"stats" => stats(words),
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
        b"debugstall" => stall(words),
        b"debugallocate" => Command::Allocate,
        _ if is_http_line(line) => return Decoded::HangUp(b""),
        _ => Command::Refuse(Refusal::Malformed),
    };
    let answers_anyway = matches!(verb, b"stats" | b"version" | b"quit");
    say(command, quiet && !answers_anyway, taken)
}

/// For tests: for how long the worker stands still, and whether it works meanwhile.
fn stall<'a>(mut words: Words<'a>) -> Command<'a> {
    let seconds = words.next().and_then(number::parse_i64);
    match (seconds, words.next()) {
        (Some(seconds @ 0..=600), word @ (None | Some(b"busy"))) => Command::Stall {
            seconds: seconds.unsigned_abs(),
            busy: word.is_some(),
        },
        _ => Command::Refuse(Refusal::Malformed),
    }
}

/// Which counters are asked for.
fn stats<'a>(mut words: Words<'a>) -> Command<'a> {
    match words.next() {
        None => Command::Stats(Topic::General),
        Some(b"settings") => Command::Stats(Topic::Settings),
        Some(b"items") => Command::Stats(Topic::Items),
        Some(b"slabs") => Command::Stats(Topic::Slabs),
        Some(b"sizes") => Command::Stats(Topic::Sizes),
        Some(b"curve") => Command::Stats(Topic::Curve),
        Some(b"stored") => Command::Stats(Topic::Stored),
        Some(b"conns") => Command::Stats(Topic::Conns),
        Some(b"reset") => Command::Stats(Topic::Reset),
        Some(b"slow") => Command::Stats(Topic::Slow),
        Some(b"hotkeys") => match words.next().map(number::parse_u32) {
            Some(None) => Command::Refuse(Mistake::BadFormat.into()),
            count => Command::Stats(Topic::hot_keys(count.flatten().map(u64::from))),
        },
        Some(b"cachedump") => cachedump(words),
        Some(b"detail") => Command::Refuse(Mistake::NotKept.into()),
        Some(_) => Command::Refuse(Refusal::Malformed),
    }
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
        answer: Some(mistake.words().into()),
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
mod tests;
