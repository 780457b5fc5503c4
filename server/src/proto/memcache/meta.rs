//! memcached's meta commands: one letter says what, one-letter flags say how.
//!
//! ```text
//!   mg <key> <flag>*\r\n              read
//!   ms <key> <bytes> <flag>*\r\n      store; a block of data follows
//!   md <key> <flag>*\r\n              discard
//!   ma <key> <flag>*\r\n              count
//!   me <key> <flag>*\r\n              tell what is known
//!   mn\r\n                            nothing: its answer says that all before is answered
//! ```
//!
//! Flags are checked when the line is decoded, and read again when it is executed and when it is
//! answered: they stay the few bytes that they are on the line, instead of becoming a struct of
//! twenty fields that every request would carry along.

use super::mistake::Mistake;
use super::words::Words;
use crate::base64;
use crate::proto::exptime::lifetime;
use crate::proto::{KEY_BYTES_MAX, Lifetime, Role, number};

/// What a meta command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Count,
    /// `me`
    Tell,
}

/// A meta command as it stands on the line, its flags known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// What it does.
    pub verb: Verb,
    /// As it stands there: see [`Meta::key_into`].
    pub key: &'a [u8],
    /// Words whose first letters say how.
    pub flags: &'a [u8],
}

/// How `ms` stores, and which way `ma` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `ms`: over anything. `ma`: up.
    #[default]
    Usual,
    /// `ms`: only where nothing is.
    Add,
    /// `ms`: behind what is there.
    Append,
    /// `ms`: before what is there.
    Prepend,
    /// `ms`: only over something.
    Replace,
    /// `ma`: down.
    Down,
}

/// What the flags ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `b`: the key is base64.
    pub binary: bool,
    /// `q`: say nothing where that says enough.
    pub quiet: bool,
    /// `v`: send the value.
    pub value: bool,
    /// `c`: send the CAS number.
    pub cas: bool,
    /// `h`, `l`: send what is noted of the item's reads.
    pub reads: bool,
    /// `u`: this is not one.
    pub unseen: bool,
    /// `I`: stale rather than gone, or rather than refused.
    pub invalidate: bool,
    /// `x`: drop the value and keep the item.
    pub empty: bool,
    /// `C`: only if this is the CAS number.
    pub compare: Option<u64>,
    /// `E`: this is to be the CAS number.
    pub explicit: Option<u64>,
    /// `N`: make it with this lifetime if it is not there.
    pub vivify: Option<Lifetime>,
    /// `R`: win if it has less time left than this.
    pub recache: Option<Lifetime>,
    /// `T`: this is to be its lifetime.
    pub touch: Option<Lifetime>,
    /// `F`: the client's number.
    pub client_flags: u32,
    /// `M`
    pub mode: Mode,
    /// `D`
    pub delta: u64,
    /// `J`
    pub initial: u64,
}

/// More words than this on a line are too many.
const WORDS_MAX: usize = 20;
/// An opaque word, its letter included, is not longer.
pub const OPAQUE_BYTES_MAX: usize = 32;

impl Default for Options {
    fn default() -> Self {
        Options {
            binary: false,
            quiet: false,
            value: false,
            cas: false,
            reads: false,
            unseen: false,
            invalidate: false,
            empty: false,
            compare: None,
            explicit: None,
            vivify: None,
            recache: None,
            touch: None,
            client_flags: 0,
            mode: Mode::Usual,
            delta: 1,
            initial: 0,
        }
    }
}

impl<'a> Meta<'a> {
    /// The least role that may ask it.
    #[must_use]
    pub fn needs(&self) -> Role {
        match self.verb {
            // What makes an item, changes its lifetime, or takes it upon itself to renew it.
            Verb::Get if Words::of(self.flags).any(|word| b"NTR".contains(&word[0])) => Role::Write,
            Verb::Get | Verb::Tell => Role::Read,
            Verb::Set | Verb::Delete | Verb::Count => Role::Write,
        }
    }

    /// What the flags ask for.
    ///
    /// # Errors
    /// What is wrong with them; never for a command that was decoded.
    #[inline]
    pub fn options(&self) -> Result<Options, Mistake> {
        let refused = match self.parse() {
            Ok(options) => return Ok(options),
            Err(refusal) => refusal,
        };
        // `ma` has one word for it all, up to its modes.
        Err(match (self.verb, refused) {
            (Verb::Count, Mistake::OpaqueTooLong | Mistake::BadCountMode) => refused,
            (Verb::Count, _) => Mistake::BadFlag,
            _ => refused,
        })
    }

    fn parse(&self) -> Result<Options, Mistake> {
        if self.key.len() > KEY_BYTES_MAX {
            return Err(Mistake::BadFormat);
        }
        let words_before = if self.verb == Verb::Set { 3 } else { 2 };
        if Words::of(self.flags).count() + words_before > WORDS_MAX {
            return Err(Mistake::TooManyFlags);
        }
        let mut options = Options::default();
        let mut seen = 0u128;
        // The last of the wrong arguments is told, after all letters were looked at.
        let mut wrong = None;
        let mut opaque_too_long = false;
        let mut bad_mode = false;
        for word in Words::of(self.flags) {
            let (letter, argument) = (word[0], &word[1..]);
            if letter >= 127 || seen & 1 << letter != 0 {
                return Err(Mistake::DuplicateFlag);
            }
            seen |= 1 << letter;
            let mut number = |into: &mut Option<u64>, refusal| match number::parse_u64(argument) {
                Some(number) => *into = Some(number),
                None => wrong = Some(refusal),
            };
            match letter {
                b'C' => number(&mut options.compare, Mistake::BadToken),
                b'E' => number(&mut options.explicit, Mistake::BadToken),
                b'J' => {
                    let mut initial = None;
                    number(&mut initial, Mistake::BadInitial);
                    options.initial = initial.unwrap_or(0);
                }
                b'D' => {
                    let mut delta = None;
                    number(&mut delta, Mistake::BadDeltaToken);
                    options.delta = delta.unwrap_or(1);
                }
                b'N' | b'T' | b'R' => {
                    let Some(exptime) = number::parse_i64(argument) else {
                        wrong = Some(Mistake::BadToken);
                        continue;
                    };
                    let given = Some(lifetime(exptime));
                    match letter {
                        b'N' => options.vivify = given,
                        b'T' => options.touch = given,
                        _ => options.recache = given,
                    }
                }
                b'F' => match number::parse_u32(argument) {
                    Some(client_flags) => options.client_flags = client_flags,
                    None => wrong = Some(Mistake::BadFormat),
                },
                b'M' => match mode(self.verb, argument.first()) {
                    Some(mode) => options.mode = mode,
                    None => bad_mode = true,
                },
                b'O' => opaque_too_long = word.len() > OPAQUE_BYTES_MAX,
                b'b' => {
                    options.binary = true;
                    if base64::decode(self.key, &mut [0; KEY_BYTES_MAX]).is_none() {
                        wrong = Some(Mistake::BadKey);
                    }
                }
                b'q' => options.quiet = true,
                b'v' => options.value = true,
                b'c' => options.cas = true,
                b'h' | b'l' => options.reads = true,
                b'u' => options.unseen = true,
                b'I' => options.invalidate = true,
                b'x' => options.empty = true,
                // For proxies, or told from what is known anyway.
                b'P' | b'L' | b'k' | b's' | b't' | b'f' => {}
                _ => return Err(Mistake::InvalidFlag),
            }
        }
        match wrong {
            Some(refusal) => Err(refusal),
            None if bad_mode && self.verb == Verb::Set => Err(Mistake::BadStoreMode),
            None if bad_mode => Err(Mistake::BadCountMode),
            None if opaque_too_long => Err(Mistake::OpaqueTooLong),
            None => Ok(options),
        }
    }

    /// The key itself: as it stands on the line, or decoded to the front of `room`.
    #[must_use]
    pub fn key_into<'k>(&self, options: &Options, room: &'k mut [u8; KEY_BYTES_MAX]) -> &'k [u8]
    where
        'a: 'k,
    {
        if !options.binary {
            return self.key;
        }
        let len = base64::decode(self.key, room).unwrap_or(0);
        &room[..len]
    }
}

/// Modes mean nothing to the other verbs.
fn mode(verb: Verb, letter: Option<&u8>) -> Option<Mode> {
    Some(match (verb, letter?) {
        (Verb::Set, b'E') => Mode::Add,
        (Verb::Set, b'A') => Mode::Append,
        (Verb::Set, b'P') => Mode::Prepend,
        (Verb::Set, b'R') => Mode::Replace,
        (Verb::Set, b'S') | (Verb::Count, b'I' | b'+') => Mode::Usual,
        (Verb::Count, b'D' | b'-') => Mode::Down,
        (Verb::Get | Verb::Delete | Verb::Tell, _) => Mode::Usual,
        _ => return None,
    })
}

/// A meta command with nothing on it that was asked for by nobody: what has to be kept of it
/// to answer it later, when its line is gone.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    verb: Verb,
    bytes: [u8; KEPT_BYTES_MAX],
    key_len: u16,
    flags_len: u16,
}

/// A key, an opaque word, and a letter for each other flag that is answered, with spaces.
const KEPT_BYTES_MAX: usize = KEY_BYTES_MAX + OPAQUE_BYTES_MAX + 2 * 16;

impl Kept {
    /// Keeps what matters to the answer.
    #[must_use]
    pub fn of(meta: Meta<'_>) -> Self {
        let mut bytes = [0; KEPT_BYTES_MAX];
        bytes[..meta.key.len()].copy_from_slice(meta.key);
        let mut len = meta.key.len();
        for word in Words::of(meta.flags) {
            let word = match word[0] {
                b'O' => word,
                b'k' | b'b' | b'c' | b's' | b'q' => &word[..1],
                _ => continue,
            };
            bytes[len..len + word.len()].copy_from_slice(word);
            len += word.len();
            bytes[len] = b' ';
            len += 1;
        }
        Kept {
            verb: meta.verb,
            bytes,
            key_len: meta.key.len() as u16,
            flags_len: (len - meta.key.len()) as u16,
        }
    }

    /// The command again.
    #[must_use]
    pub fn meta(&self) -> Meta<'_> {
        let (key, rest) = self.bytes.split_at(usize::from(self.key_len));
        Meta {
            verb: self.verb,
            key,
            flags: &rest[..usize::from(self.flags_len)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(verb: Verb, flags: &[u8]) -> Result<Options, Mistake> {
        let key = b"Zm9v";
        Meta { verb, key, flags }.options()
    }

    #[test]
    fn flags_and_their_arguments() {
        let options = parse(
            Verb::Get,
            b" s v  t N30 R-1 T0 C7 E8 Oopaque k q b u h l f c P1 L2",
        );
        // That is as many words as there may be.
        assert_eq!(options, Err(Mistake::TooManyFlags));
        let options = parse(Verb::Get, b" v N30 R-1 T0 C7 E8 Oopaque q b u h c");
        let expected = Options {
            binary: true,
            quiet: true,
            value: true,
            cas: true,
            reads: true,
            unseen: true,
            compare: Some(7),
            explicit: Some(8),
            vivify: Some(Lifetime::Counted(30)),
            recache: Some(Lifetime::Past),
            touch: Some(Lifetime::Forever),
            ..Options::default()
        };
        assert_eq!(options, Ok(expected));
        let options = parse(Verb::Set, b"F4294967295 I x MA").unwrap();
        assert!(options.invalidate && options.empty);
        assert_eq!(
            (options.client_flags, options.mode),
            (u32::MAX, Mode::Append)
        );
        let options = parse(Verb::Count, b"D10 J5 M-").unwrap();
        assert_eq!(
            (options.delta, options.initial, options.mode),
            (10, 5, Mode::Down)
        );
    }

    #[test]
    fn what_is_wrong_with_flags() {
        let long = [&b"O"[..], &[b'o'; 32]].concat();
        let table: &[(Verb, &[u8], Mistake)] = &[
            (Verb::Get, b"s s", Mistake::DuplicateFlag),
            (Verb::Get, b"m o o", Mistake::InvalidFlag),
            (Verb::Get, b"\xff", Mistake::DuplicateFlag),
            (Verb::Get, b"N", Mistake::BadToken),
            (Verb::Get, b"Tx", Mistake::BadToken),
            (Verb::Get, b"C-1", Mistake::BadToken),
            (Verb::Set, b"Fx", Mistake::BadFormat),
            (Verb::Set, b"MZ", Mistake::BadStoreMode),
            (Verb::Set, b"M", Mistake::BadStoreMode),
            (Verb::Set, b"J", Mistake::BadInitial),
            (Verb::Count, b"J", Mistake::BadFlag),
            (Verb::Count, b"Dx", Mistake::BadFlag),
            (Verb::Count, b"MZ", Mistake::BadCountMode),
            (Verb::Get, &long, Mistake::OpaqueTooLong),
        ];
        for &(verb, flags, refusal) in table {
            assert_eq!(
                parse(verb, flags),
                Err(refusal),
                "{:?}",
                flags.escape_ascii()
            );
        }
        let meta = Meta {
            verb: Verb::Get,
            key: b"not base64!",
            flags: b"b",
        };
        assert_eq!(meta.options(), Err(Mistake::BadKey));
    }

    #[test]
    fn what_is_kept_is_answered_the_same() {
        let key = [b'k'; KEY_BYTES_MAX];
        let opaque = [&b"O"[..], &[b'o'; OPAQUE_BYTES_MAX - 1]].concat();
        let flags = [b"T10  c F5 k ", &opaque[..], b" s I b q"].concat();
        let meta = Meta {
            verb: Verb::Set,
            key: &key,
            flags: &flags,
        };
        let kept = Kept::of(meta);
        let again = kept.meta();
        assert_eq!((again.verb, again.key), (Verb::Set, &key[..]));
        let words: Vec<_> = Words::of(again.flags).collect();
        assert_eq!(words, [b"c", &b"k"[..], &opaque, b"s", b"b", b"q"]);
    }
}
