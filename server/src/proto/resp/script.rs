//! The scripts that cache and lock libraries send, recognised by what they say. Nothing is interpreted: each is a command of
//! its own here, and any other script is refused.
//!
//! A text is compared word by word, without its white space, comments and semicolons; a name of a variable may be any, and a
//! string may be in either quotes and in any case (those here are names of commands).

/// What a script does. Its key is `KEYS[1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Removes it if it holds `ARGV[1]`.
    Release,
    /// Gives it a lifetime of `ARGV[2]` if it holds `ARGV[1]`.
    Keep {
        /// In milliseconds; else in seconds.
        millis: bool,
    },
    /// The same in milliseconds, for one that has a lifetime: that is lengthened, unless `ARGV[3]` says otherwise.
    Prolong,
    /// Stores `ARGV[1]` for `ARGV[2]` seconds where nothing is.
    Add,
    /// Counts by one, and gives a new one a lifetime of `ARGV[1]`.
    Count {
        /// In milliseconds; else in seconds.
        millis: bool,
    },
    /// Counts by `ARGV[2]`, and gives a new one a lifetime of `ARGV[1]` seconds.
    CountBy,
    /// Counts by `ARGV[1]`, if there is one.
    CountKnown,
    /// Counts by `ARGV[1]`.
    CountAny,
}

/// How libraries put them. A variable is one small letter.
const KNOWN: [(Script, &str); 19] = [
    (
        Script::Release,
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end",
    ),
    (
        Script::Release,
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0",
    ),
    (
        Script::Release,
        "if redis.call('get',KEYS[1])==ARGV[1] then redis.call('del',KEYS[1]) return 1 else return 0 end",
    ),
    (
        Script::Release,
        "if redis.call('get',KEYS[1])==ARGV[1] then redis.call('del',KEYS[1]) return 1 end return 0",
    ),
    (
        Script::Release,
        "local a=redis.call('get',KEYS[1]) if not a or a~=ARGV[1] then return 0 end redis.call('del',KEYS[1]) return 1",
    ),
    (
        Script::Keep { millis: true },
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) else return 0 end",
    ),
    (
        Script::Keep { millis: true },
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) end return 0",
    ),
    (
        Script::Keep { millis: true },
        "local a=redis.call('get',KEYS[1]) if not a or a~=ARGV[1] then return 0 end redis.call('pexpire',KEYS[1],ARGV[2]) return 1",
    ),
    (
        Script::Keep { millis: false },
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('expire',KEYS[1],ARGV[2]) else return 0 end",
    ),
    (
        Script::Keep { millis: false },
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('expire',KEYS[1],ARGV[2]) end return 0",
    ),
    (
        Script::Prolong,
        "local a=redis.call('get',KEYS[1]) if not a or a~=ARGV[1] then return 0 end local b=redis.call('pttl',KEYS[1]) \
         if not b then b=0 end if b<0 then return 0 end local c=ARGV[2] if ARGV[3]=='0' then c=ARGV[2]+b end \
         redis.call('pexpire',KEYS[1],c) return 1",
    ),
    (
        Script::Add,
        "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])",
    ),
    (
        Script::Count { millis: false },
        "local a a=redis.call('incr',KEYS[1]) if tonumber(a)==1 then redis.call('expire',KEYS[1],ARGV[1]) end return a",
    ),
    (
        Script::Count { millis: false },
        "local a=redis.call('incr',KEYS[1]) if tonumber(a)==1 then redis.call('expire',KEYS[1],ARGV[1]) end return a",
    ),
    (
        Script::Count { millis: false },
        "local a=redis.call('incr',KEYS[1]) if a==1 then redis.call('expire',KEYS[1],ARGV[1]) end return a",
    ),
    (
        Script::Count { millis: true },
        "local a=redis.call('incr',KEYS[1]) if a==1 then redis.call('pexpire',KEYS[1],ARGV[1]) end return a",
    ),
    (
        Script::CountBy,
        "local a local b=tonumber(ARGV[2]) a=redis.call('incrby',KEYS[1],b) \
         if tonumber(a)==b then redis.call('expire',KEYS[1],ARGV[1]) end return a",
    ),
    (
        Script::CountKnown,
        "local a=redis.call('exists',KEYS[1]) if(a==1)then return redis.call('incrby',KEYS[1],ARGV[1]) else return false end",
    ),
    (
        Script::CountAny,
        "return redis.call('incrby',KEYS[1],ARGV[1])",
    ),
];

/// No script that is known is longer, whatever its white space and comments are.
const TEXT_BYTES_MAX: usize = 4096;

impl Script {
    /// What a text does, if it is a known one.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Script> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        KNOWN
            .iter()
            .find(|(_, known)| is_same(known.as_bytes(), text))
            .map(|&(script, _)| script)
    }

    /// How many arguments it looks at, at least.
    #[must_use]
    pub fn args(self) -> usize {
        match self {
            Script::Release | Script::Count { .. } | Script::CountKnown | Script::CountAny => 1,
            Script::Keep { .. } | Script::Add | Script::CountBy => 2,
            Script::Prolong => 3,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name, a keyword or a number.
    Word(&'a [u8]),
    /// Without its quotes.
    Text(&'a [u8]),
    /// One or two signs.
    Sign(&'a [u8]),
}

/// The tokens of a text. `None` within: it is no Lua that is understood.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Option<Token<'a>>;

    fn next(&mut self) -> Option<Option<Token<'a>>> {
        loop {
            let skipped = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b';';
            let at = self.0.iter().position(skipped)?;
            self.0 = &self.0[at..];
            let Some(comment) = self.0.strip_prefix(b"--") else {
                break;
            };
            if comment.starts_with(b"[") {
                return Some(None);
            }
            let end = memchr::memchr(b'\n', comment).unwrap_or(comment.len());
            self.0 = &comment[end..];
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let first = self.0[0];
        let take = |len: usize| self.0.split_at(len);
        let (token, rest) = match first {
            b'\'' | b'"' => {
                let Some(len) = memchr::memchr(first, &self.0[1..]) else {
                    return Some(None);
                };
                let (text, rest) = take(len + 2);
                (Token::Text(&text[1..=len]), rest)
            }
            _ if is_word(&first) => {
                let len = self.0.iter().position(|byte| !is_word(byte));
                let (word, rest) = take(len.unwrap_or(self.0.len()));
                (Token::Word(word), rest)
            }
            _ => {
                let is_pair =
                    matches!(first, b'=' | b'~' | b'<' | b'>') && self.0.get(1) == Some(&b'=');
                let (sign, rest) = take(1 + usize::from(is_pair));
                (Token::Sign(sign), rest)
            }
        };
        self.0 = rest;
        Some(Some(token))
    }
}

/// A known text has no more variables.
const VARIABLES_MAX: usize = 3;

/// Words that are no names of variables.
const RESERVED: [&[u8]; 16] = [
    b"and",
    b"call",
    b"else",
    b"end",
    b"false",
    b"if",
    b"local",
    b"not",
    b"or",
    b"redis",
    b"return",
    b"then",
    b"tonumber",
    b"true",
    b"KEYS",
    b"ARGV",
];

fn is_same(known: &[u8], text: &[u8]) -> bool {
    let (mut known, mut text) = (Tokens(known), Tokens(text));
    let mut names: [&[u8]; VARIABLES_MAX] = [b""; VARIABLES_MAX];
    loop {
        let matches = match (known.next(), text.next()) {
            (None, None) => return true,
            (Some(Some(Token::Word([letter @ b'a'..=b'z']))), Some(Some(Token::Word(name)))) => {
                let no = usize::from(letter - b'a');
                let is_name = !RESERVED.contains(&name) && !name[0].is_ascii_digit();
                let is_new = names[no].is_empty() && !names.contains(&name);
                if is_new {
                    names[no] = name;
                }
                is_name && names[no] == name
            }
            (Some(Some(Token::Text(one))), Some(Some(Token::Text(other)))) => {
                one.eq_ignore_ascii_case(other)
            }
            (Some(Some(one)), Some(Some(other))) => one == other,
            _ => false,
        };
        if !matches {
            return false;
        }
    }
}

/// A call of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Which.
    pub script: Named<'a>,
    /// `KEYS[1]`
    pub key: Option<&'a [u8]>,
    /// `ARGV[1]` and `ARGV[2]`, as far as there are any.
    pub args: [&'a [u8]; 2],
    /// How many arguments there are.
    pub count: u8,
    /// `ARGV[3]` is a zero.
    pub third_is_zero: bool,
    /// It must not write.
    pub read_only: bool,
}

/// How a call names its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// By its text.
    Text(&'a [u8], Script),
    /// By what its text hashes to, in hexadecimal digits.
    Hash(&'a [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_recognised_whatever_their_form() {
        let release = "\n  -- mine?\n if redis.call(\"GET\", KEYS[1]) == ARGV[1]\n then\n\treturn redis.call('DEL', KEYS[1]);\n \
                       else return 0 end\n";
        assert_eq!(Script::of(release.as_bytes()), Some(Script::Release));
        let named = "local token = redis.call('get', KEYS[1]) if not token or token ~= ARGV[1] then return 0 end \
                     redis.call('del', KEYS[1]) return 1";
        assert_eq!(Script::of(named.as_bytes()), Some(Script::Release));
        for (script, text) in KNOWN {
            assert_eq!(Script::of(text.as_bytes()), Some(script), "{text}");
        }
    }

    #[test]
    fn what_says_something_else_is_another_script() {
        for text in [
            "",
            "return 1",
            "if redis.call('get',KEYS[1])==ARGV[2] then return redis.call('del',KEYS[1]) else return 0 end",
            "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[2]) else return 0 end",
            "if redis.call('get',KEYS[1])== ARGV[1] then return redis.call('del',KEYS[1]) else return 1 end",
            "if redis.call('get',KEYS[1])= =ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end",
            "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end end",
            "local a=redis.call('get',KEYS[1]) if not b or a~=ARGV[1] then return 0 end redis.call('del',KEYS[1]) return 1",
            "local a local a=tonumber(ARGV[2]) a=redis.call('incrby',KEYS[1],a) if tonumber(a)==a then redis.call('expire',KEYS[1],ARGV[1]) end return a",
            "if redis.call('get",
            "--[[ x ]] return redis.call('incrby',KEYS[1],ARGV[1])",
        ] {
            assert_eq!(Script::of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Script::of(&[b' '; 5000]), None);
    }
}
