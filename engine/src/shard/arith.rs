//! Values that are numbers, counted up and down under the lock.
//!
//! A number is decimal text of up to 64 bits, as clients store it. Counting overwrites the
//! text where it lies whenever the item keeps its shape; spaces fill what fewer digits leave
//! over, so that the length does not shrink.

use super::ShardState;
use super::storage::PageBag;
use super::write::{Blueprint, Shortage};
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::item::header::flag;
use crate::item::view::View;
use crate::region::Region;
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, CasWish, Condition, ItemMeta, Outcome};

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

/// A number in decimal, with spaces behind it up to a length.
struct Text {
    bytes: [u8; NUMBER_BYTES_MAX],
    len: usize,
}

impl Text {
    fn of(number: u64, len_min: usize) -> Self {
        let mut bytes = [b' '; NUMBER_BYTES_MAX];
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut left = number;
        for place in bytes[..digits].iter_mut().rev() {
            *place = b'0' + (left % 10) as u8;
            left /= 10;
        }
        Text {
            bytes,
            len: digits.max(len_min),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
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

impl ShardState {
    /// Carries out `change`.
    pub fn change_number(
        &mut self,
        region: &Region,
        key: Key<'_>,
        change: &NumberChange,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<NumberChanged, Shortage> {
        let place = self.find(region, key);
        let Some(place) = place.filter(|at| !View::known(region, at.chunk).is_expired(now)) else {
            let Some((number, deadline)) = change.create else {
                return Ok(NumberChanged::Missing);
            };
            let text = Text::of(number, 0);
            let blueprint = Blueprint::new(key, deadline.into()).with_cas(change.cas);
            let cas = self.put_value(region, place, blueprint, text.as_bytes(), bag, now)?;
            let meta = ItemMeta {
                value_len: text.len,
                deadline,
                cas: (cas != 0).then_some(cas),
                ..ItemMeta::default()
            };
            return Ok(NumberChanged::Done {
                number,
                meta,
                created: true,
            });
        };
        let condition = change.compare.map_or(Condition::Always, Condition::Cas);
        if self.check(region, Some(place), condition, now) != Outcome::Stored {
            return Ok(NumberChanged::Exists);
        }
        let view = View::known(region, place.chunk);
        let before = view.meta();
        if view.header.has(flag::CHAINED) || before.value_len > NUMBER_BYTES_MAX {
            return Ok(NumberChanged::NotNumeric);
        }
        let mut value = [0; NUMBER_BYTES_MAX];
        view.copy_piece(0, &mut value[..before.value_len]);
        let Some(old) = number_in(&value[..before.value_len]) else {
            return Ok(NumberChanged::NotNumeric);
        };
        let number = if change.up {
            old.wrapping_add(change.by)
        } else {
            old.saturating_sub(change.by)
        };
        let text = Text::of(number, before.value_len);
        let attributes = Attributes {
            client_flags: before.client_flags,
            deadline: change.touch.unwrap_or(before.deadline),
        };
        let mut blueprint = Blueprint::new(key, attributes).with_cas(change.cas);
        // A field that the item has stays, so that it keeps its shape.
        blueprint.flags |=
            view.header.flags() & (flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS);
        self.protected = place.chunk;
        let put = self.put_value(region, Some(place), blueprint, text.as_bytes(), bag, now);
        self.protected = ChunkRef::NONE;
        let cas = put?;
        Ok(NumberChanged::Done {
            number,
            meta: ItemMeta {
                value_len: text.len,
                cas: (cas != 0).then_some(cas),
                ..before
            },
            created: false,
        })
    }
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
    fn text_fills_up_with_spaces() {
        for (number, len_min, expected) in [
            (0, 0, "0"),
            (9, 2, "9 "),
            (10, 1, "10"),
            (u64::MAX, 3, "18446744073709551615"),
        ] {
            assert_eq!(Text::of(number, len_min).as_bytes(), expected.as_bytes());
        }
    }
}
