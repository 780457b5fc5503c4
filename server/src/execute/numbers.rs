//! memcached's numbers: decimal text of up to 64 bits, counted up and down in the cache.
//!
//! Upwards a number wraps, downwards it stops at 0. A value keeps its length when the new number
//! has fewer digits, with spaces behind them. The arithmetic is pure ([`step`]); the cache runs
//! it under the shard's lock ([`Cache::update`]).

use flagstone_engine::{
    Attributes, Cache, CasWish, Current, Deadline, Edit, ItemMeta, Key, NewValue, StoreError, Tick,
    Updated,
};

/// A longer value is no number, whatever stands in it.
const NUMBER_BYTES_MAX: usize = 64;

/// How a number is to be changed.
#[derive(Clone, Copy, Debug)]
pub struct NumberChange {
    /// Up rather than down.
    pub up: bool,
    /// By how much.
    pub by: u64,
    /// Only if the item has this CAS number.
    pub compare: Option<u64>,
    /// The CAS number afterwards.
    pub cas: CasWish,
    /// A new deadline.
    pub touch: Option<Deadline>,
    /// If there is no item: one with this number and deadline.
    pub create: Option<(u64, Deadline)>,
}

/// What became of a [`NumberChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberChanged {
    /// There is no such item.
    Missing,
    /// It has another CAS number.
    Exists,
    /// Its value is no number.
    NotNumeric,
    /// It is done.
    Done {
        /// The number now.
        number: u64,
        /// What is known of the item now; of its deadline, what it was before.
        meta: ItemMeta,
        /// It was made for this.
        created: bool,
    },
}

/// Why a number was not changed.
enum Refused {
    Missing,
    Exists,
    NotNumeric,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

/// Carries out `change`.
///
/// # Errors
/// [`StoreError::NoSpace`] while transfers hold the memory.
pub fn change(
    cache: &Cache,
    key: Key<'_>,
    change: &NumberChange,
    now: Tick,
) -> Result<NumberChanged, StoreError> {
    let mut room = [0; NUMBER_BYTES_MAX];
    let (mut number, mut before) = (0, None);
    let updated = cache.update(key, now, &mut room, |current, room| {
        let (edit, found) = decide(current, change, room)?;
        number = found;
        before = current.map(|item| *item.meta());
        Ok(edit)
    });
    match updated {
        Ok(Updated::Stored { cas, value_len }) => {
            let created = before.is_none();
            let mut meta = before.unwrap_or_default();
            if let (true, Some((_, deadline))) = (created, change.create) {
                meta.deadline = deadline;
            }
            (meta.value_len, meta.cas) = (value_len, cas);
            Ok(NumberChanged::Done {
                number,
                meta,
                created,
            })
        }
        Ok(_) | Err(Refused::Missing) => Ok(NumberChanged::Missing),
        Err(Refused::Exists) => Ok(NumberChanged::Exists),
        Err(Refused::NotNumeric) => Ok(NumberChanged::NotNumeric),
        Err(Refused::Store(error)) => Err(error),
    }
}

/// What is to become of the item, and the number that it is then.
fn decide(
    current: Option<&Current<'_>>,
    change: &NumberChange,
    room: &mut [u8],
) -> Result<(Edit<'static>, u64), Refused> {
    let Some(item) = current else {
        let Some((number, deadline)) = change.create else {
            return Err(Refused::Missing);
        };
        let len = write_number(number, 0, room);
        return Ok((store(len, deadline.into(), change.cas), number));
    };
    if change.compare.is_some() && change.compare != item.meta().cas {
        return Err(Refused::Exists);
    }
    let number = item
        .copy_to(room)
        .and_then(|len| step(room, len, change.up, change.by));
    let Some((number, len)) = number else {
        return Err(Refused::NotNumeric);
    };
    let mut attributes = item.meta().attributes();
    attributes.deadline = change.touch.unwrap_or(attributes.deadline);
    Ok((store(len, attributes, change.cas), number))
}

fn store(len: usize, attributes: Attributes, cas: CasWish) -> Edit<'static> {
    Edit::Store {
        value: NewValue::Room(len),
        attributes,
        cas,
        stale: false,
    }
}

/// Counts the number that `room`'s first `len` bytes are. The new one stands there afterwards,
/// and is returned with its length. `None`: they are no number.
fn step(room: &mut [u8], len: usize, up: bool, by: u64) -> Option<(u64, usize)> {
    let old = number_in(&room[..len])?;
    let number = if up {
        old.wrapping_add(by)
    } else {
        old.saturating_sub(by)
    };
    Some((number, write_number(number, len, room)))
}

/// Writes a number in decimal to the front of `room`, with spaces behind it up to `len_min`;
/// returns the length.
fn write_number(number: u64, len_min: usize, room: &mut [u8]) -> usize {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let len = digits.max(len_min);
    let mut left = number;
    for place in room[..digits].iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    if digits < len {
        room[digits..len].fill(b' ');
    }
    len
}

/// The number at the front of a value: blanks, perhaps a plus, digits, then a blank or the end.
fn number_in(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"+").unwrap_or(value);
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 || value.get(digits).is_some_and(|byte| !is_blank(*byte)) {
        return None;
    }
    value[..digits].iter().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// As C's `isspace` has it.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_clients_write_them() {
        let table: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"12 ", Some(12)),
            (b"  7", Some(7)),
            (b"+7", Some(7)),
            (b"7\r", Some(7)),
            (b"1 2", Some(1)),
            (b"7a", None),
            (b"-7", None),
            (b"", None),
            (b" ", None),
            (b"hi", None),
        ];
        for &(value, expected) in table {
            assert_eq!(number_in(value), expected, "{:?}", value.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_written_with_spaces_behind_them() {
        for (number, len_min, expected) in [
            (0, 0, "0"),
            (9, 2, "9 "),
            (10, 1, "10"),
            (u64::MAX, 3, "18446744073709551615"),
        ] {
            let mut room = [b'x'; NUMBER_BYTES_MAX];
            let len = write_number(number, len_min, &mut room);
            assert_eq!(&room[..len], expected.as_bytes());
        }
    }

    #[test]
    fn a_step_wraps_upwards_and_stops_at_0_downwards() {
        type Row = (&'static [u8], bool, u64, Option<(u64, &'static [u8])>);
        let table: &[Row] = &[
            (b"7", true, 3, Some((10, b"10"))),
            (b"10", false, 1, Some((9, b"9 "))),
            (b"10", false, 11, Some((0, b"0 "))),
            (
                b"18446744073709551615",
                true,
                2,
                Some((1, b"1                   ")),
            ),
            (b" +7 ", true, 1, Some((8, b"8   "))),
            (b"x", true, 1, None),
            (b"", true, 1, None),
        ];
        for &(value, up, by, expected) in table {
            let mut room = [0; NUMBER_BYTES_MAX];
            room[..value.len()].copy_from_slice(value);
            let stepped = step(&mut room, value.len(), up, by);
            let stepped = stepped.map(|(number, len)| (number, &room[..len]));
            assert_eq!(stepped, expected, "{:?}", value.escape_ascii());
        }
    }
}
