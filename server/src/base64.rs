//! Keys that are not text, as text (RFC 4648, with padding). Strict: every other character is
//! an error.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each character; 64 and above: none.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Decodes to the front of `out` and says how much; `None` if it is not base64, or nothing, or
/// too long.
#[must_use]
pub fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let text = &text[..text.len() - padding];
    let len = text.len() * 3 / 4;
    let out = out.get_mut(..len)?;
    if padding > 2 || len == 0 {
        return None;
    }
    for (four, three) in text.chunks(4).zip(out.chunks_mut(3)) {
        let mut bits = 0u32;
        for (no, &byte) in four.iter().enumerate() {
            let value = VALUES[usize::from(byte)];
            if value >= 64 {
                return None;
            }
            bits |= u32::from(value) << (18 - 6 * no);
        }
        let bytes = bits.to_be_bytes();
        three.copy_from_slice(&bytes[1..=three.len()]);
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_strictly() {
        let table: &[(&[u8], &[u8])] = &[
            (b"f", b"Zg=="),
            (b"fo", b"Zm8="),
            (b"foo", b"Zm9v"),
            (b"foob", b"Zm9vYg=="),
            ("テスト".as_bytes(), b"44OG44K544OI"),
            (b"\x00\xff\xfe", b"AP/+"),
        ];
        for &(bytes, text) in table {
            let mut out = [0; 16];
            assert_eq!(decode(text, &mut out), Some(bytes.len()));
            assert_eq!(&out[..bytes.len()], bytes);
            assert_eq!(decode(text, &mut out[..bytes.len() - 1]), None);
        }
        for text in [
            &b""[..],
            b"Zg",
            b"Zg=",
            b"Z===",
            b"====",
            b"Zg==Zg==",
            b"Z g=",
            b"Zm9v\x80\x80\x80\x80",
        ] {
            assert_eq!(
                decode(text, &mut [0; 16]),
                None,
                "{:?}",
                text.escape_ascii()
            );
        }
    }
}
