//! Eight hex digits at a time: a number's nibbles are spread over the bytes of one word.
//!
//! Every key and every value carries such numbers, so this is on the way of each request.

const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const ONES: u64 = 0x0101_0101_0101_0101;

/// `number` in lower case.
#[inline(always)]
#[must_use]
pub fn encode(number: u32) -> [u8; 8] {
    let mut word = u64::from(number);
    word = (word << 16 | word) & 0x0000_ffff_0000_ffff;
    word = (word << 8 | word) & 0x00ff_00ff_00ff_00ff;
    word = (word << 4 | word) & LOW;
    // Nibbles over 9 carry into bit 4 when 6 is added: those become letters.
    let letters = (word + 6 * ONES) >> 4 & ONES;
    (word + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// The number, if these are digits as [`encode`] writes them.
#[inline(always)]
#[must_use]
pub fn decode(digits: [u8; 8]) -> Option<u32> {
    let word = u64::from_be_bytes(digits);
    let letters = word >> 6 & ONES;
    let mut word = (word & LOW).wrapping_add(9 * letters) & LOW;
    word = (word | word >> 4) & 0x00ff_00ff_00ff_00ff;
    word = (word | word >> 8) & 0x0000_ffff_0000_ffff;
    let number = (word | word >> 16) as u32;
    // Whatever else was read as a digit does not come back as it was.
    (encode(number) == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for number in (0..64)
            .map(|i| 0x0123_4567u32.wrapping_mul(i * 77 + 1))
            .chain([0, 9, 10, u32::MAX])
        {
            let digits = encode(number);
            assert_eq!(&digits, format!("{number:08x}").as_bytes());
            assert_eq!(decode(digits), Some(number));
        }
    }

    #[test]
    fn nothing_but_eight_lower_case_digits_is_a_number() {
        for at in 0..8 {
            for byte in 0..=255u8 {
                let mut digits = *b"0a1b2c3d";
                digits[at] = byte;
                let expected = str::from_utf8(&digits)
                    .ok()
                    .filter(|text| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .and_then(|text| u32::from_str_radix(text, 16).ok());
                assert_eq!(decode(digits), expected, "{digits:?}");
            }
        }
    }
}
