//! The options of `SET`, `GETEX` and `EXPIRE`.

use super::words;
use crate::proto::number::parse_i64;
use crate::proto::{How, Lifetime, Words};

/// What becomes of the item's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It has this one from now on.
    Until(Lifetime),
    /// It keeps the one that it has.
    Keep,
}

/// How `SET` stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOptions<'a> {
    /// Over what.
    pub how: How,
    /// Only over this very value.
    pub equal: Option<&'a [u8]>,
    /// What becomes of the deadline.
    pub expiry: Expiry,
    /// Answer with the value that was there.
    pub get: bool,
}

/// Why options are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// In words.
    Words(Words),
    /// A time that is over, or too far away, in the command of this name.
    Time,
}

/// Numbers of milliseconds that an expiry can be told in.
#[derive(Clone, Copy)]
pub enum Unit {
    /// `EX`
    Seconds,
    /// `PX`
    Millis,
    /// `EXAT`
    UnixSeconds,
    /// `PXAT`
    UnixMillis,
}

impl Unit {
    fn of(word: &[u8]) -> Option<Unit> {
        Some(match () {
            () if word.eq_ignore_ascii_case(b"EX") => Unit::Seconds,
            () if word.eq_ignore_ascii_case(b"PX") => Unit::Millis,
            () if word.eq_ignore_ascii_case(b"EXAT") => Unit::UnixSeconds,
            () if word.eq_ignore_ascii_case(b"PXAT") => Unit::UnixMillis,
            () => return None,
        })
    }

    /// A lifetime of `number` of these; `None` if it does not fit 63 bits of milliseconds.
    #[must_use]
    pub fn lifetime(self, number: i64) -> Option<Lifetime> {
        let millis = match self {
            Unit::Seconds | Unit::UnixSeconds => number.checked_mul(1000)?,
            Unit::Millis | Unit::UnixMillis => number,
        };
        // Redis adds the moment to it, in milliseconds since 1970: that has to fit as well.
        const UNIX_MILLIS_ABOUT: i64 = 2_000_000_000_000;
        Some(match (u64::try_from(millis), self) {
            (Err(_) | Ok(0), _) => Lifetime::Past,
            (Ok(millis), Unit::Seconds | Unit::Millis) => {
                i64::try_from(millis).ok()?.checked_add(UNIX_MILLIS_ABOUT)?;
                Lifetime::Millis(millis)
            }
            (Ok(millis), _) => Lifetime::UntilMillis(millis),
        })
    }
}

/// A time behind its unit that has to be in the future.
pub fn time(unit: Unit, number: &[u8]) -> Result<Lifetime, Wrong> {
    let number = parse_i64(number).ok_or(Wrong::Words(words::NOT_INTEGER))?;
    match unit.lifetime(number) {
        Some(lifetime) if number > 0 => Ok(lifetime),
        _ => Err(Wrong::Time),
    }
}

impl Default for SetOptions<'_> {
    fn default() -> Self {
        SetOptions {
            how: How::Always,
            equal: None,
            expiry: Expiry::Until(Lifetime::Forever),
            get: false,
        }
    }
}

impl<'a> SetOptions<'a> {
    /// Those of `GETSET`.
    pub const GET: Self = SetOptions {
        how: How::Always,
        equal: None,
        expiry: Expiry::Until(Lifetime::Forever),
        get: true,
    };

    /// Reads what stands behind the value.
    pub fn parse(args: &[&'a [u8]]) -> Result<Self, Wrong> {
        let syntax = Err(Wrong::Words(words::SYNTAX));
        let mut options = SetOptions::default();
        let mut has_expiry = false;
        let mut has_condition = false;
        let mut args = args.iter().copied();
        while let Some(word) = args.next() {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if is(b"NX") || is(b"XX") {
                if std::mem::replace(&mut has_condition, true) {
                    return syntax;
                }
                options.how = if is(b"NX") { How::Absent } else { How::Present };
            } else if is(b"IFEQ") {
                let Some(value) = args.next() else {
                    return syntax;
                };
                if std::mem::replace(&mut has_condition, true) {
                    return syntax;
                }
                options.equal = Some(value);
            } else if is(b"GET") {
                options.get = true;
            } else if is(b"KEEPTTL") {
                if std::mem::replace(&mut has_expiry, true) {
                    return syntax;
                }
                options.expiry = Expiry::Keep;
            } else if let Some(unit) = Unit::of(word) {
                let Some(number) = args.next() else {
                    return syntax;
                };
                if std::mem::replace(&mut has_expiry, true) {
                    return syntax;
                }
                options.expiry = Expiry::Until(time(unit, number)?);
            } else {
                return syntax;
            }
        }
        Ok(options)
    }

    /// Whether it is a store like any other, without a look at what is there.
    #[must_use]
    pub fn plain(&self) -> Option<(How, Lifetime)> {
        match self.expiry {
            Expiry::Until(lifetime) if !self.get && self.equal.is_none() => {
                Some((self.how, lifetime))
            }
            _ => None,
        }
    }
}

/// Reads the options of `GETEX`: `None` changes nothing.
pub fn parse_get_ex(args: &[&[u8]]) -> Result<Option<Lifetime>, Wrong> {
    match args {
        [] => Ok(None),
        [word] if word.eq_ignore_ascii_case(b"PERSIST") => Ok(Some(Lifetime::Forever)),
        [word, number] => match Unit::of(word) {
            Some(unit) => time(unit, number).map(Some),
            None => Err(Wrong::Words(words::SYNTAX)),
        },
        _ => Err(Wrong::Words(words::SYNTAX)),
    }
}

/// On what condition `EXPIRE` changes a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireIf {
    /// It has none.
    pub none: bool,
    /// It has one.
    pub some: bool,
    /// It is earlier than the new one; none is later than any.
    pub later: bool,
    /// It is later than the new one.
    pub earlier: bool,
}

impl ExpireIf {
    /// Reads what stands behind the time.
    pub fn parse(args: &[&[u8]]) -> Result<Self, Words> {
        let mut wish = ExpireIf::default();
        for word in args {
            match () {
                () if word.eq_ignore_ascii_case(b"NX") => wish.none = true,
                () if word.eq_ignore_ascii_case(b"XX") => wish.some = true,
                () if word.eq_ignore_ascii_case(b"GT") => wish.later = true,
                () if word.eq_ignore_ascii_case(b"LT") => wish.earlier = true,
                () => return Err(words::SYNTAX),
            }
        }
        if wish.none && (wish.some || wish.later || wish.earlier) {
            return Err(words::NX_AND_OTHERS);
        }
        if wish.later && wish.earlier {
            return Err(words::GT_AND_LT);
        }
        Ok(wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_any_order() {
        let parse = |words: &str| {
            let words: Vec<&[u8]> = words.split_ascii_whitespace().map(str::as_bytes).collect();
            SetOptions::parse(&words).map(|options| (options.how, options.expiry, options.get))
        };
        let forever = Expiry::Until(Lifetime::Forever);
        let millis = |millis| Expiry::Until(Lifetime::Millis(millis));
        assert_eq!(parse(""), Ok((How::Always, forever, false)));
        assert_eq!(parse("ex 9 NX"), Ok((How::Absent, millis(9000), false)));
        assert_eq!(parse("xx get PX 9"), Ok((How::Present, millis(9), true)));
        assert_eq!(parse("KEEPTTL"), Ok((How::Always, Expiry::Keep, false)));
        let until = Expiry::Until(Lifetime::UntilMillis(5000));
        assert_eq!(parse("EXAT 5"), Ok((How::Always, until, false)));
        let syntax = Err(Wrong::Words(words::SYNTAX));
        for wrong in [
            "NX XX",
            "EX 1 PX 1",
            "EX",
            "KEEPTTL EX 1",
            "FOO",
            "EX 1 KEEPTTL",
        ] {
            assert_eq!(parse(wrong), syntax, "{wrong}");
        }
        assert_eq!(parse("EX 0"), Err(Wrong::Time));
        assert_eq!(parse("EX -1"), Err(Wrong::Time));
        assert_eq!(parse("EX 9223372036854775807"), Err(Wrong::Time));
        assert_eq!(parse("PX 9223372036854775807"), Err(Wrong::Time));
        assert_eq!(parse("EX x"), Err(Wrong::Words(words::NOT_INTEGER)));
    }
}
