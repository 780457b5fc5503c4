//! What is asked about the bits of a value.

use super::command::Op;
use super::names::Name;
use super::words;
use crate::proto::Words;
use crate::proto::number::parse_i64;

/// A part of a value. What is below 0 counts from the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte, or bit.
    pub start: i64,
    /// Its last one; `None`: the value's.
    pub end: Option<i64>,
    /// Both are bits.
    pub in_bits: bool,
}

/// No bit is behind this one: that would be in a value of more than 512 MB.
const OFFSET_MAX: u64 = (512 << 20) * 8 - 1;

/// What a command about bits asks.
pub fn ask<'a>(name: Name, key: &'a [u8], args: &[&'a [u8]]) -> Result<Op<'a>, Words> {
    Ok(match (name, args) {
        (Name::SetBit, [at, bit]) => {
            let at = offset(at)?;
            match parse_i64(bit) {
                Some(bit @ 0..=1) => Op::SetBit(key, at, bit == 1),
                _ => return Err(words::BAD_BIT),
            }
        }
        (Name::GetBit, [at]) => Op::GetBit(key, offset(at)?),
        (Name::BitCount, []) => Op::BitCount(key, Span::default()),
        (Name::BitCount, [_, _, ..]) => Op::BitCount(key, span(args)?),
        (Name::BitPos, [bit, part @ ..]) => {
            let bit = match parse_i64(bit) {
                Some(bit @ 0..=1) => bit == 1,
                Some(_) => return Err(words::BAD_BIT_SOUGHT),
                None => return Err(words::NOT_INTEGER),
            };
            Op::BitPos(key, bit, span(part)?)
        }
        _ => return Err(words::SYNTAX),
    })
}

fn offset(digits: &[u8]) -> Result<u64, Words> {
    parse_i64(digits)
        .and_then(|number| u64::try_from(number).ok())
        .filter(|&at| at <= OFFSET_MAX)
        .ok_or(words::BAD_BIT_OFFSET)
}

/// `[start [end [BYTE|BIT]]]`
fn span(args: &[&[u8]]) -> Result<Span, Words> {
    let number = |digits: &[u8]| parse_i64(digits).ok_or(words::NOT_INTEGER);
    let mut span = Span::default();
    match args.get(2..).unwrap_or_default() {
        [] => {}
        [unit] if unit.eq_ignore_ascii_case(b"BIT") => span.in_bits = true,
        [unit] if unit.eq_ignore_ascii_case(b"BYTE") => {}
        _ => return Err(words::SYNTAX),
    }
    if let Some(start) = args.first() {
        span.start = number(start)?;
    }
    if let Some(end) = args.get(1) {
        span.end = Some(number(end)?);
    }
    Ok(span)
}
