//! Decimal numbers, straight from and to bytes: no UTF-8 check, no allocation.

/// A decimal number without sign, spaces or empty digits; `None` if it is anything else or
/// over `u32::MAX`. Leading zeros are allowed.
#[must_use]
pub fn parse_u32(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u32;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    Some(number)
}

/// The same, up to `u64::MAX`.
#[inline]
#[must_use]
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// The same with perhaps a minus before it.
#[inline]
#[must_use]
pub fn parse_i64(digits: &[u8]) -> Option<i64> {
    match digits.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(parse_u64(digits)?),
        None => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// The digits of a number, kept where they were made.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    /// Filled from the back: the last digit is known first.
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    /// Writes `number` in decimal.
    #[must_use]
    pub fn of(mut number: u64) -> Self {
        let mut bytes = [0; 20];
        let mut start = bytes.len();
        loop {
            start -= 1;
            bytes[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Digits { bytes, start };
            }
        }
    }

    /// 1 to 20 digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_strictly() {
        let table: &[(&[u8], Option<u32>)] = &[
            (b"0", Some(0)),
            (b"7", Some(7)),
            (b"007", Some(7)),
            (b"4294967295", Some(u32::MAX)),
            (b"4294967296", None),
            (b"99999999999999999999999", None),
            (b"", None),
            (b"-1", None),
            (b"+1", None),
            (b" 1", None),
            (b"1 ", None),
            (b"1a", None),
            (b"1\r", None),
        ];
        for &(input, expected) in table {
            assert_eq!(parse_u32(input), expected, "{:?}", input.escape_ascii());
        }
    }

    #[test]
    fn long_and_negative_numbers() {
        let table: &[(&[u8], Option<u64>, Option<i64>)] = &[
            (b"18446744073709551615", Some(u64::MAX), None),
            (b"18446744073709551616", None, None),
            (
                b"9223372036854775807",
                Some(i64::MAX as u64),
                Some(i64::MAX),
            ),
            (b"-9223372036854775808", None, Some(i64::MIN)),
            (b"-9223372036854775809", None, None),
            (b"-1", None, Some(-1)),
            (b"-", None, None),
            (b"", None, None),
            (b"1x", None, None),
        ];
        for &(input, unsigned, signed) in table {
            assert_eq!(parse_u64(input), unsigned, "{:?}", input.escape_ascii());
            assert_eq!(parse_i64(input), signed, "{:?}", input.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_written_as_std_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
