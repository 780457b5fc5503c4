//! The intended differences, with a reason each.
//!
//! A row is a whole connection: what is sent, what memcached answers, what Flagstone answers
//! (both as [`replies`](super::replies) writes them). [`covers`] keeps what the rows are about
//! out of the random sequences, and [`is_news`] what an older memcached answers in another way.

pub struct Known {
    pub input: &'static [u8],
    /// The version that Flagstone follows.
    pub current: &'static str,
    /// Debian's, 1.6.18.
    pub old: &'static str,
    pub ours: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    pub reason: &'static str,
}

const REFUSED: &str = "CLIENT_ERROR bad command line format\\r\\n|(closed)";
const UNKNOWN: &str = "ERROR\\r\\n|(closed)";

pub const DIFFERENCES: &[Known] = &[
    Known {
        input: b"GET nothing-here\n",
        current: UNKNOWN,
        old: UNKNOWN,
        ours: "NOTFOUND\\n|(closed)",
        reason: "a verb in capitals is the native protocol",
    },
    Known {
        input: b"\r\n",
        current: REFUSED,
        old: UNKNOWN,
        ours: "ERROR\\n|(closed)",
        reason: "a connection that begins with an empty line has not said yet what it speaks: native",
    },
    Known {
        input: b"get / HTTP/1.1\r\nset known-h 0 0 1\r\nx\r\n",
        current: "END\\r\\n|STORED\\r\\n|(closed)",
        old: "END\\r\\n|STORED\\r\\n|(closed)",
        ours: "(closed)",
        reason: "whoever speaks HTTP is hung up on, also in lower case; memcached asks for capitals",
    },
    Known {
        input: b"  verbosity 1\r\n",
        current: "OK\\r\\n|(closed)",
        old: "OK\\r\\n|(closed)",
        ours: UNKNOWN,
        reason: "no verb has spaces before it; the current memcached takes them before some verbs",
    },
    Known {
        input: b"delete known-d junk\r\n",
        current: "NOT_FOUND\\r\\n|(closed)",
        old: "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\\r\\n|(closed)",
        ours: REFUSED,
        reason: "a time to wait before deleting is taken from old clients, a word is not",
    },
    Known {
        input: b"set known-b 0 0 1\r\nx\r\nmg a25vd24tYg== b k\r\n",
        current: "STORED\\r\\n|HD kknown-b\\r\\n|(closed)",
        old: "STORED\\r\\n|HD kknown-b\\r\\n|(closed)",
        ours: "STORED\\r\\n|HD ka25vd24tYg== b\\r\\n|(closed)",
        reason: "who asks in base64 is answered in it; memcached answers as the item was stored, or made",
    },
    Known {
        input: b"ms known-r 1 T9000\r\nx\r\nmg known-r R900 T90\r\n",
        current: "HD \\r\\n|HD \\r\\n|(closed)",
        old: "HD \\r\\n|HD \\r\\n|(closed)",
        ours: "HD \\r\\n|HD W\\r\\n|(closed)",
        reason: "the order of flags means nothing; to memcached R before T is the old lifetime",
    },
    Known {
        input: b"ms known-i 1\r\nx\r\nms known-i 1 I C987654321987654\r\ny\r\n",
        current: "HD \\r\\n|EX \\r\\n|(closed)",
        old: "HD \\r\\n|EX \\r\\n|(closed)",
        ours: "HD \\r\\n|HD \\r\\n|(closed)",
        reason: "an item that nobody asked about has no CAS number yet: any number is an older one",
    },
    Known {
        input: b"ms known-e 0\r\n\r\nma known-e C3\r\n",
        current: "HD \\r\\n|CLIENT_ERROR cannot increment or decrement non-numeric value\\r\\n|(closed)",
        old: "HD \\r\\n|CLIENT_ERROR cannot increment or decrement non-numeric value\\r\\n|(closed)",
        ours: "HD \\r\\n|EX \\r\\n|(closed)",
        reason: "the CAS number is looked at before the value, also when the value is empty",
    },
    Known {
        input: b"mg known-m !\r\n",
        current: REFUSED,
        old: "CLIENT_ERROR invalid flag\\r\\n|(closed)",
        ours: "CLIENT_ERROR invalid flag\\r\\n|(closed)",
        reason: "a flag that is no letter is an invalid one",
    },
    Known {
        input: b"set known-l 0 0 4294967295\r\nget known-l\r\n",
        current: "CLIENT_ERROR bad command line format\\r\\n|END\\r\\n|(closed)",
        old: "CLIENT_ERROR bad command line format\\r\\n|END\\r\\n|(closed)",
        ours: REFUSED,
        reason: "nobody knows where the data behind such a length ends; memcached executes it",
    },
    Known {
        input: b"set known-p +3 0 1\r\nx\r\n",
        current: "STORED\\r\\n|(closed)",
        old: "STORED\\r\\n|(closed)",
        ours: REFUSED,
        reason: "client flags are digits, without a plus sign",
    },
    Known {
        input: b"set known-f 4294967297 0 1\r\nx\r\nget known-f\r\n",
        current: "STORED\\r\\n|VALUE known-f 1 1 \\r\\n|x\\r\\n|END\\r\\n|(closed)",
        old: "STORED\\r\\n|VALUE known-f 1 1 \\r\\n|x\\r\\n|END\\r\\n|(closed)",
        ours: "CLIENT_ERROR bad command line format\\r\\n|END\\r\\n|(closed)",
        reason: "client flags have 32 bits; memcached takes more, and cuts them",
    },
    Known {
        input: b"set known-0 0 0 3\r\n5\0x\r\nincr known-0 1\r\n",
        current: "STORED\\r\\n|6\\r\\n|(closed)",
        old: "STORED\\r\\n|6\\r\\n|(closed)",
        ours: "STORED\\r\\n|CLIENT_ERROR cannot increment or decrement non-numeric value\\r\\n|(closed)",
        reason: "a zero byte does not end a value",
    },
];

/// True for a request that a row is about.
pub fn covers(template: &[u8]) -> bool {
    if template.windows(2).any(|part| part == b"+3")
        || template.windows(10).any(|part| part == b"4294967296")
    {
        return true;
    }
    if template.starts_with(b" ") {
        return true;
    }
    let line = template.split(|&byte| byte == b'\n').next();
    let line = line.unwrap_or_default();
    let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).collect();
    let words: Vec<&[u8]> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if let [b"delete", _, more @ ..] = words.as_slice()
        && more
            .iter()
            .any(|word| !word.iter().all(u8::is_ascii_digit) && *word != b"noreply")
    {
        return true;
    }
    if words.first().is_some_and(|verb| verb.len() == 2)
        && words
            .iter()
            .skip(2)
            .any(|word| [&b"!"[..], b"\x7f", b"1"].contains(word))
    {
        return true;
    }
    // An item that is made by a request in base64; two refusals in one line, of which either
    // may come first.
    let base64 = words.contains(&&b"b"[..]);
    let wrong = words.contains(&&b"!!!"[..]) || words.contains(&&b"Zm9=v"[..]);
    let flag_from = if words.first() == Some(&&b"ms"[..]) {
        3
    } else {
        2
    };
    if base64
        && (wrong && words.len() > flag_from + 1
            || words.iter().skip(2).any(|word| word.first() == Some(&b'N')))
    {
        return true;
    }
    let has = |letter: u8| {
        words
            .iter()
            .skip(2)
            .any(|word| word.first() == Some(&letter))
    };
    if words.first() == Some(&&b"mg"[..]) && has(b'R') && has(b'T') {
        return true;
    }
    let is_get = line.starts_with(b"get") || line.starts_with(b"gat");
    let has_long_key = line.windows(LONG_KEY.len()).any(|part| part == LONG_KEY);
    is_get && has_long_key
}

/// One byte too long.
const LONG_KEY: &[u8] = &[b'x'; 251];

/// True for a request that a memcached older than ours answers in another way: what 1.6.18 has not
/// learned yet, or has unlearned since.
pub fn is_news(template: &[u8]) -> bool {
    let end = template.iter().position(|&byte| byte == b'\n');
    let (line, data) = template.split_at(end.map_or(template.len(), |end| end + 1));
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((&verb, rest)) = words.split_first() else {
        return false;
    };
    let flags = rest.get(1..).unwrap_or_default();
    // Moments past 32 bits.
    const NUMBERS: &[&str] = &["4102444800", "-2147483649", "12345678901234567890"];
    if rest
        .iter()
        .any(|word| NUMBERS.iter().any(|number| word.contains(number)))
    {
        return true;
    }
    match verb {
        // Numbers that a client makes up; deleting the value and keeping the item.
        "md" | "ma" | "ms" | "mg" if flags.iter().any(|flag| flag.starts_with('E')) => true,
        "md" => flags.contains(&"x"),
        // Quiet, with a value or one that is made.
        "ma" => {
            flags.contains(&"q")
                && flags
                    .iter()
                    .any(|flag| *flag == "v" || flag.starts_with('N'))
        }
        // Appending to what is not there; the length; modes spelled out; flags that do not exist,
        // or a key, behind which the data are skipped or not.
        "ms" if stated(rest.get(1)) + 2 != data.len() => true,
        "ms" if !rest.first().is_some_and(|key| key.starts_with('{')) => true,
        "ms" => !flags.iter().skip(1).all(|flag| is_old_store_flag(flag)),
        "delete" => rest.len() > 1,
        // No key at all.
        "gat" | "gats" => rest.len() < 2,
        // A bare newline.
        "mn" => !line.ends_with("\r\n"),
        // The data of a line that is refused are skipped since.
        // Data that are longer or shorter than was said.
        "set" | "add" | "replace" | "append" | "prepend" | "cas" => {
            !is_sound_store(verb, rest) || stated(rest.get(3)) + 2 != data.len()
        }
        _ => false,
    }
}

fn is_sound_store(verb: &str, words: &[&str]) -> bool {
    let [key, flags, exptime, len, more @ ..] = words else {
        return false;
    };
    let cas = more.first().copied().unwrap_or_default();
    key.len() <= 250
        && flags.parse::<u32>().is_ok()
        && exptime.parse::<i32>().is_ok()
        && len.parse::<u32>().is_ok()
        && (verb != "cas" || cas.starts_with('{') || cas.parse::<u64>().is_ok())
}

fn is_old_store_flag(flag: &str) -> bool {
    let (letter, rest) = flag.split_at(1);
    match letter {
        "F" => rest.parse::<u32>().is_ok(),
        "T" => rest.parse::<i32>().is_ok(),
        "M" => rest.len() == 1 && rest != "x",
        "O" => (1..=32).contains(&rest.len()),
        "C" => !rest.is_empty(),
        _ => matches!(flag, "I" | "k" | "q" | "c" | "b"),
    }
}

fn stated(word: Option<&&str>) -> usize {
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
