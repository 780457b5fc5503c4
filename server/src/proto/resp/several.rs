//! Commands about several keys at once, which nobody sees half done: `RENAME`, `RENAMENX`, `COPY`, `MSETNX`, `MSETEX`.

use super::frame::{self, Framed};
use super::names::Name;
use super::set::{Expiry, SetOptions, Wrong};
use super::words;
use crate::proto::number::parse_i64;
use crate::proto::{How, Lifetime};

const DATABASES: i64 = crate::proto::DATABASES as i64;

/// An item that is to lie under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate<'a> {
    /// Where it lies: the database, and the key.
    pub from: (u8, &'a [u8]),
    /// Where it is to lie.
    pub to: (u8, &'a [u8]),
    /// What may lie there before.
    pub over: Over,
    /// It does not stay where it was.
    pub moves: bool,
}

/// What may lie under the new key before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Anything.
    All,
    /// Nothing.
    Nothing,
}

/// `RENAME from to`, `RENAMENX from to`, `COPY from to [DB number] [REPLACE]`
pub fn duplicate<'a>(
    name: Name,
    (from, to): (&'a [u8], &'a [u8]),
    options: &[&[u8]],
    from_database: u8,
) -> Result<Duplicate<'a>, Wrong> {
    let (mut to_database, mut over) = (from_database, Over::Nothing);
    if name == Name::Rename {
        over = Over::All;
    }
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"REPLACE") {
            over = Over::All;
        } else if option.eq_ignore_ascii_case(b"DB")
            && let Some(number) = options.next()
        {
            to_database = database(number)?;
        } else {
            return Err(Wrong::Words(words::SYNTAX));
        }
    }
    let duplicate = Duplicate {
        from: (from_database, from),
        to: (to_database, to),
        over,
        moves: name != Name::Copy,
    };
    match duplicate.moves || duplicate.from != duplicate.to {
        true => Ok(duplicate),
        false => Err(Wrong::Words(words::SAME_KEY)),
    }
}

/// A database's number.
pub fn database(number: &[u8]) -> Result<u8, Wrong> {
    Err(Wrong::Words(match parse_i64(number) {
        Some(database @ 0..DATABASES) => return Ok(database as u8),
        Some(number) if i32::try_from(number).is_ok() => words::BAD_DB,
        Some(_) => words::NOT_INT,
        None => words::NOT_INTEGER,
    }))
}

/// Arguments as they came, all of which are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Args<'a> {
    /// Of an array: those behind the command's name.
    Array(&'a [u8]),
    /// A line of words, the command's name among them.
    Line(&'a [u8]),
}

impl<'a> Args<'a> {
    /// All of them, in order, but for the command's name.
    fn each(self, mut each: impl FnMut(&'a [u8])) {
        match self {
            Args::Array(bytes) => {
                let mut at = 0;
                while let Framed::Whole(bulk) = frame::bulk(bytes, at)
                    && let Some(arg) = bytes.get(bulk.start..bulk.end())
                {
                    each(&arg[..bulk.len]);
                    at = bulk.end();
                }
            }
            Args::Line(line) => {
                let mut is_name = true;
                let _ = frame::split(line, |word| match std::mem::take(&mut is_name) {
                    true => {}
                    false => each(word),
                });
            }
        }
    }
}

/// Keys, each with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs<'a> {
    args: Args<'a>,
    /// Arguments before the first key.
    before: usize,
    /// Arguments that are keys and values.
    count: usize,
}

impl<'a> Pairs<'a> {
    /// Each key with its value, in order; the first mistake is the end.
    ///
    /// # Errors
    /// That mistake.
    pub fn each<E>(
        self,
        mut each: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut no, mut key, mut so_far) = (0, None, Ok(()));
        self.args.each(|arg| {
            let is_one = (self.before..self.before + self.count).contains(&no);
            no += 1;
            if !is_one || so_far.is_err() {
                return;
            }
            match key.take() {
                None => key = Some(arg),
                Some(key) => so_far = each(key, arg),
            }
        });
        so_far
    }
}

/// Values that are stored all at once, or none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMany<'a> {
    /// What is stored, under which keys.
    pub pairs: Pairs<'a>,
    /// What each key has to have before.
    pub how: How,
    /// What becomes of their deadlines.
    pub expiry: Expiry,
    /// Where all of them lie.
    pub database: u8,
}

/// No more options than these go together.
const OPTIONS_MAX: usize = 3;

/// `MSETNX key value …`, `MSETEX count key value … [NX|XX] [EX|PX|EXAT|PXAT number|KEEPTTL]`: `count` arguments.
pub fn set_many(
    name: Name,
    args: Args<'_>,
    count: usize,
    database: u8,
) -> Result<SetMany<'_>, Wrong> {
    if name == Name::MSetNx {
        return Ok(SetMany {
            pairs: Pairs {
                args,
                before: 0,
                count,
            },
            how: How::Absent,
            expiry: Expiry::Until(Lifetime::Forever),
            database,
        });
    }
    let mut key_count = None;
    let mut options: [&[u8]; OPTIONS_MAX] = [b""; OPTIONS_MAX];
    let (mut no, mut options_count) = (0, 0);
    args.each(|arg| {
        if no == 0 {
            key_count = parse_i64(arg).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
        } else if key_count.is_some_and(|count| no as i64 > 2 * count) {
            if let Some(slot) = options.get_mut(options_count) {
                *slot = arg;
            }
            options_count += 1;
        }
        no += 1;
    });
    let key_count = key_count.ok_or(Wrong::Words(words::BAD_KEY_COUNT))?;
    let args_count = usize::try_from(2 * key_count).unwrap_or(usize::MAX);
    if args_count > count - 1 {
        return Err(Wrong::Words(words::FEW_PAIRS));
    }
    let syntax = Wrong::Words(words::SYNTAX);
    let options = options.get(..options_count).ok_or(syntax)?;
    let options = SetOptions::parse(options)?;
    if options.get || options.equal.is_some() {
        return Err(syntax);
    }
    Ok(SetMany {
        pairs: Pairs {
            args,
            before: 1,
            count: args_count,
        },
        how: options.how,
        expiry: options.expiry,
        database,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many<'a>(line: &'a str, name: Name) -> Result<(SetMany<'a>, Vec<&'a [u8]>), Wrong> {
        let count = line.split(' ').count() - 1;
        let many = set_many(name, Args::Line(line.as_bytes()), count, 3)?;
        let mut found = Vec::new();
        let each = many.pairs.each(|key, value| {
            found.extend([key, value]);
            Ok::<_, ()>(())
        });
        assert_eq!(each, Ok(()));
        Ok((many, found))
    }

    #[test]
    fn keys_with_values_and_what_stands_behind_them() {
        let (nx, found) = many("MSETNX a 1 b 2", Name::MSetNx).expect("two");
        assert_eq!(found, [b"a", b"1", b"b", b"2"]);
        assert_eq!((nx.how, nx.database), (How::Absent, 3));
        let (ex, found) = many("MSETEX 1 a 1 EX 5 xx", Name::MSetEx).expect("one");
        assert_eq!(found, [b"a", b"1"]);
        let lifetime = Expiry::Until(Lifetime::Millis(5000));
        assert_eq!((ex.how, ex.expiry), (How::Present, lifetime));
        let words = |line| match many(line, Name::MSetEx) {
            Err(Wrong::Words(words)) => Some(words),
            _ => None,
        };
        for bad in ["MSETEX a 1 b", "MSETEX 0 a b", "MSETEX 2147483648 a b"] {
            assert_eq!(words(bad), Some(words::BAD_KEY_COUNT), "{bad}");
        }
        for few in ["MSETEX 2 a 1 b", "MSETEX 2147483647 a 1 EX 5"] {
            assert_eq!(words(few), Some(words::FEW_PAIRS), "{few}");
        }
        for wrong in ["GET", "NX XX", "EX 5 PX 5", "IFEQ 1", "x", "NX EX 5 EX 5"] {
            let line = format!("MSETEX 1 a 1 {wrong}");
            assert!(
                matches!(many(&line, Name::MSetEx), Err(Wrong::Words(said)) if said == words::SYNTAX),
                "{wrong}"
            );
        }
        assert!(matches!(
            many("MSETEX 1 a 1 EX 0", Name::MSetEx),
            Err(Wrong::Time)
        ));
    }

    #[test]
    fn a_mistake_is_the_end() {
        let args = Args::Array(b"$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n");
        let many = set_many(Name::MSetNx, args, 4, 0).expect("two");
        let mut seen = 0;
        let each = many.pairs.each(|key, _| {
            seen += 1;
            Err(key)
        });
        assert_eq!((each, seen), (Err(&b"a"[..]), 1));
    }
}
