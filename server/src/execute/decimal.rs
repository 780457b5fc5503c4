//! Adding decimal numbers with a fraction: exactly where 38 digits are enough, else as floating point.
//!
//! `0.1` and `0.2` are `0.3`, as Redis' long floating point says after rounding. Nothing allocates.

use std::io::Write;

/// The longest number as text: a `f64` of the greatest exponent has 309 digits.
pub const TEXT_BYTES_MAX: usize = 352;
/// Digits behind the point that are added exactly.
const SCALE_MAX: u32 = 20;

/// Why there is no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// One of the two is no number.
    NoNumber,
    /// It would be infinite.
    NotFinite,
}

/// A number as text.
pub struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Text {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn of(number: impl std::fmt::Display) -> Option<Text> {
        let mut bytes = [0; TEXT_BYTES_MAX];
        let mut rest = &mut bytes[..];
        write!(rest, "{number}").ok()?;
        let len = TEXT_BYTES_MAX - rest.len();
        Some(Text { bytes, len })
    }
}

/// A number of units of 10^-scale.
struct Exact {
    units: i128,
    scale: u32,
}

impl Exact {
    /// `-12.50`; without an exponent.
    fn parse(digits: &[u8]) -> Option<Exact> {
        let (is_negative, digits) = match digits {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        let (mut units, mut scale, mut is_behind, mut some) = (0i128, 0, false, false);
        for &digit in digits {
            match digit {
                b'.' if !is_behind => is_behind = true,
                b'0'..=b'9' => {
                    some = true;
                    units = units
                        .checked_mul(10)?
                        .checked_add(i128::from(digit - b'0'))?;
                    scale += u32::from(is_behind);
                }
                _ => return None,
            }
        }
        let units = if is_negative { -units } else { units };
        (some && scale <= SCALE_MAX).then_some(Exact { units, scale })
    }

    fn plus(self, other: Exact) -> Option<Exact> {
        let scale = self.scale.max(other.scale);
        let at = |number: Exact| {
            number
                .units
                .checked_mul(10i128.checked_pow(scale - number.scale)?)
        };
        Some(Exact {
            units: at(self)?.checked_add(at(other)?)?,
            scale,
        })
    }

    fn text(mut self) -> Option<Text> {
        while self.scale > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.scale -= 1;
        }
        if self.scale == 0 {
            return Text::of(self.units);
        }
        let one = 10u128.pow(self.scale);
        let sign = if self.units < 0 { "-" } else { "" };
        let (before, behind) = (
            self.units.unsigned_abs() / one,
            self.units.unsigned_abs() % one,
        );
        let width = self.scale as usize;
        Text::of(format_args!("{sign}{before}.{behind:0width$}"))
    }
}

fn float(digits: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

/// The sum of two numbers.
pub fn add(one: &[u8], other: &[u8]) -> Result<Text, Wrong> {
    let exact = Exact::parse(one).zip(Exact::parse(other));
    let sum = exact.and_then(|(one, other)| one.plus(other)?.text());
    if let Some(text) = sum {
        return Ok(text);
    }
    let (Some(one), Some(other)) = (float(one), float(other)) else {
        return Err(Wrong::NoNumber);
    };
    let sum = one + other;
    match sum.is_finite() {
        true => Text::of(sum).ok_or(Wrong::NotFinite),
        false => Err(Wrong::NotFinite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_where_they_can_be() {
        let sum = |one: &str, other: &str| {
            add(one.as_bytes(), other.as_bytes())
                .map(|text| String::from_utf8(text.as_bytes().to_vec()).expect("text"))
        };
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(sum("0.1", "0.2"), ok("0.3"));
        assert_eq!(sum("10.50", "0.1"), ok("10.6"));
        assert_eq!(sum("3", "1.5"), ok("4.5"));
        assert_eq!(sum("-1.5", "1.5"), ok("0"));
        assert_eq!(sum("5.0e3", "200"), ok("5200"));
        assert_eq!(sum("1", "-1.01"), ok("-0.01"));
        assert_eq!(sum("17179869184", "0.5"), ok("17179869184.5"));
        assert_eq!(sum("1e308", "1e308"), Err(Wrong::NotFinite));
        assert_eq!(sum("inf", "1"), Err(Wrong::NotFinite));
        for wrong in ["", "x", "1 ", " 1", "nan", "1.2.3", "."] {
            assert_eq!(sum(wrong, "1"), Err(Wrong::NoNumber), "{wrong:?}");
        }
        assert!(sum("1e308", "0").is_ok_and(|text| text.len() == 309));
    }
}
