//! What is asked about all keys.

use super::command::{Op, ScanFrom};
use super::names::Name;
use super::set::Wrong;
use super::words;
use crate::proto::Command;
use crate::proto::number::parse_i64;

/// What `DBSIZE`, `KEYS`, `RANDOMKEY` and `SCAN` ask about a database.
pub fn ask<'a>(name: Name, args: &[&'a [u8]], database: u8) -> Result<Command<'a>, Wrong> {
    Ok(match (name, args) {
        (Name::DbSize, _) => Command::Resp(Op::DbSize(database)),
        (Name::RandomKey, _) => Command::Resp(Op::RandomKey(database)),
        (Name::Keys, [pattern]) => Command::Resp(Op::Keys(pattern, database)),
        _ => return scan(args, database),
    })
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
fn scan<'a>(args: &[&'a [u8]], database: u8) -> Result<Command<'a>, Wrong> {
    const COUNT_DEFAULT: u32 = 10;
    let [cursor, options @ ..] = args else {
        return Err(Wrong::Words(words::SYNTAX));
    };
    let cursor = std::str::from_utf8(cursor)
        .ok()
        .and_then(|text| text.parse().ok());
    let mut from = ScanFrom {
        cursor: cursor.ok_or(Wrong::Words(words::BAD_CURSOR))?,
        count: COUNT_DEFAULT,
        pattern: None,
        is_string: true,
        database,
    };
    for option in options.chunks(2) {
        let [name, value] = *option else {
            return Err(Wrong::Words(words::SYNTAX));
        };
        if name.eq_ignore_ascii_case(b"MATCH") {
            from.pattern = Some(value);
        } else if name.eq_ignore_ascii_case(b"COUNT") {
            let count = parse_i64(value).ok_or(Wrong::Words(words::NOT_INTEGER))?;
            let count = u32::try_from(count.min(i64::from(u32::MAX)));
            from.count = count
                .ok()
                .filter(|&count| count > 0)
                .ok_or(Wrong::Words(words::SYNTAX))?;
        } else if name.eq_ignore_ascii_case(b"TYPE") {
            from.is_string = value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(Wrong::Words(words::SYNTAX));
        }
    }
    Ok(Command::Resp(Op::Scan(from)))
}
